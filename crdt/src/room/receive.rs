//! Changes from others: what is checked before a change is believed, and what follows when it is.

use std::collections::{HashMap, HashSet, VecDeque};

use automerge::ExpandedChange;
use keys::{DeviceCertificate, IdentityId, Signed, Timestamp};

use crate::change::{Refusal, SignedChange, check_shape};
use crate::ids::ChangeHash;
use crate::role::{Rights, Role};
use crate::room::document::{self, Document};
use crate::room::ledger::{Ledger, Node, Place};
use crate::room::resolve::{Resolved, counts_at_once, resolve};
use crate::room::waiting::For;
use crate::room::{Amount, Received, Room, Trust, see};
use crate::schema::{self, RoomEvent};

/// The most changes that are kept although they do not count; a change of a remaining member may admit them.
const MAX_HELD: usize = 256;

/// Where changes come from.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Origin {
    /// This copy's own storage: there was room for them when they were stored.
    Storage(Trust),
    /// Others.
    Others,
}

/// Changes on their way into the room.
struct Intake<'a> {
    origin: Origin,
    /// Certificates that came along, by digest.
    offered: HashMap<[u8; 32], &'a Signed<DeviceCertificate>>,
    /// Those to be looked at next, and whether their signatures were verified.
    queue: VecDeque<(SignedChange, bool)>,
    entered: Vec<Place>,
    received: Received,
}

/// What a change is.
pub(super) enum Judged {
    /// Here, or waiting.
    Known,
    /// To wait.
    Waits(For),
    /// To be entered.
    Fits(Box<Node>),
}

impl Room {
    /// Takes changes that others sent, with the certificates that came along. Call it with no changes after
    /// [`Room::add_epoch`], for those that had waited for the epoch.
    ///
    /// `now` decides nothing: every copy has to come to the same end.
    pub fn receive(
        &mut self,
        changes: Vec<SignedChange>,
        certificates: &[Signed<DeviceCertificate>],
        _now: Timestamp,
    ) -> Received {
        self.take(changes.into_iter(), certificates, Origin::Others)
    }

    pub(super) fn take(
        &mut self,
        changes: impl Iterator<Item = SignedChange>,
        certificates: &[Signed<DeviceCertificate>],
        origin: Origin,
    ) -> Received {
        let verified = origin == Origin::Storage(Trust::Checked);
        // Once the room is frozen no epoch is waited for.
        let known = if self.epochs.is_frozen() { u64::MAX } else { self.epochs.number() };
        let ready = self.waiting.take_for_epoch(known);
        let mut intake = Intake {
            origin,
            offered: certificates.iter().map(|signed| (signed.digest(), signed)).collect(),
            queue: ready.into_iter().map(|change| (change, true)).collect(),
            entered: Vec::new(),
            received: Received::default(),
        };
        let mut own = Vec::new();
        for change in changes {
            if verified {
                own.push((change.hash(), change.actor()));
            }
            intake.queue.push_back((change, verified));
            while let Some((change, verified)) = intake.queue.pop_front() {
                self.step(change, verified, &mut intake);
            }
        }
        while let Some((change, verified)) = intake.queue.pop_front() {
            self.step(change, verified, &mut intake);
        }
        let Intake { entered, mut received, .. } = intake;
        self.ledger.retire(&own);
        self.settle(&entered, &mut received);
        self.certificates.tidy(|| self.waiting.certificates());
        received.waiting = self.waiting.len();
        received
    }

    fn step(&mut self, change: SignedChange, verified: bool, intake: &mut Intake<'_>) {
        let digest = change.certificate();
        if let Some(certificate) = intake.offered.get(digest) {
            self.certificates.add(*digest, certificate);
        }
        let hash = change.hash();
        match self.judge(&change, verified) {
            Ok(Judged::Known) => {}
            Ok(Judged::Waits(lacks)) => self.waiting.add(change, lacks),
            Ok(Judged::Fits(node)) => {
                let full = self.usage.received(&node.author).filter(|_| intake.origin == Origin::Others);
                if let Some(full) = full {
                    return intake.received.refused.push((hash, full));
                }
                self.usage.add(node.author, change.amount());
                let place = self.ledger.enter(*node);
                intake.entered.push(place);
                if counts_at_once(&self.ledger, &self.epochs, place) {
                    self.ledger.count(place);
                }
                let waited = self.waiting.take_for(&hash).into_iter();
                intake.queue.extend(waited.map(|change| (change, true)));
            }
            Err(refusal) => intake.received.refused.push((hash, refusal)),
        }
    }

    /// Lets what was entered take effect.
    fn settle(&mut self, entered: &[Place], received: &mut Received) {
        let at_once: Vec<_> =
            entered.iter().copied().filter(|place| self.ledger.nodes[*place].counts).collect();
        let mut resolved = Resolved { admitted: at_once.clone(), withdrawn: Vec::new() };
        if at_once.len() < entered.len() {
            let anew = resolve(&mut self.ledger, &self.epochs, &self.broken);
            let at_once: HashSet<_> = at_once.into_iter().collect();
            resolved.withdrawn =
                anew.withdrawn.into_iter().filter(|place| !at_once.contains(place)).collect();
            resolved.admitted.extend(anew.admitted);
            resolved.admitted.retain(|place| self.ledger.nodes[*place].counts);
            resolved.admitted.sort_unstable();
        }
        received.events.extend(self.perform(&mut resolved));
        for place in &resolved.admitted {
            received.accepted.extend(self.ledger.nodes[*place].change.clone());
        }
        for place in entered {
            let node = &self.ledger.nodes[*place];
            if !node.counts {
                received.refused.push((node.hash, self.reason(*place)));
            }
        }
        received.evidence = self.new_evidence(entered);
        self.account(entered, &resolved.admitted, &received.evidence);
        for change in received.accepted.iter().chain(&received.evidence) {
            received.new_certificates.extend(self.note_need(change));
        }
        if self.ledger.held() > 2 * MAX_HELD {
            self.ledger.forget_held(MAX_HELD);
        }
    }

    /// Counts what is stored now: what was entered was counted, and what does not count of it is not stored unless it
    /// is evidence; what had been entered before may count now.
    fn account(&mut self, entered: &[Place], admitted: &[Place], evidence: &[SignedChange]) {
        let evidence: HashSet<_> = evidence.iter().map(SignedChange::hash).collect();
        let entered_now: HashSet<_> = entered.iter().collect();
        let amount = |node: &Node| node.change.as_ref().map(SignedChange::amount).unwrap_or_default();
        for node in entered.iter().map(|place| &self.ledger.nodes[*place]) {
            if !node.counts && !evidence.contains(&node.hash) {
                self.usage.remove(&node.author, amount(node));
            }
        }
        for place in admitted.iter().filter(|place| !entered_now.contains(place)) {
            let node = &self.ledger.nodes[*place];
            self.usage.add(node.author, amount(node));
        }
    }

    /// Notes that a change needs its certificate; gives it, counted as its author's, when that is new.
    pub(super) fn note_need(&mut self, change: &SignedChange) -> Option<Signed<DeviceCertificate>> {
        let author = self.certificates.identity(change.certificate(), &change.device())?;
        let certificate = self.certificates.need(change.certificate())?;
        self.usage.add(author, Amount { changes: 0, bytes: certificate.body().len() });
        Some(certificate)
    }

    /// Brings the document up to what counts now, and tells what happened.
    pub(super) fn perform(&mut self, resolved: &mut Resolved) -> Vec<RoomEvent> {
        let applied = if resolved.withdrawn.is_empty() {
            let raws = resolved.admitted.iter().filter_map(|place| self.ledger.nodes[*place].change.as_ref());
            self.document.apply(raws.map(SignedChange::change)).is_ok()
        } else {
            self.rebuild()
        };
        if !applied && !self.rebuild() {
            self.bar_broken(resolved);
        }
        let mut events = see::events(self, &resolved.admitted);
        if !resolved.withdrawn.is_empty() {
            events.push(RoomEvent::Withdrawn { changes: resolved.withdrawn.len() as u64 });
        }
        events
    }

    /// Builds the document anew from what counts.
    pub(super) fn rebuild(&mut self) -> bool {
        let Ok(mut document) = Document::new(&self.epochs.room()) else { return false };
        let raws = self.ledger.counting().filter_map(|place| self.ledger.nodes[place].change.as_ref());
        let built = document.apply(raws.map(SignedChange::change)).is_ok();
        if built {
            self.document = document;
        }
        built
    }

    /// Lets what automerge cannot apply, and what builds on it, not count.
    fn bar_broken(&mut self, resolved: &mut Resolved) {
        loop {
            match self.build_one_by_one() {
                Ok(document) => {
                    self.document = document;
                    break;
                }
                Err(Some(broken)) if self.broken.insert(broken) => {
                    let anew = resolve(&mut self.ledger, &self.epochs, &self.broken);
                    resolved.withdrawn.extend(anew.withdrawn);
                }
                Err(_) => break,
            }
        }
        let was_new: HashSet<_> = std::mem::take(&mut resolved.admitted).into_iter().collect();
        resolved.withdrawn.retain(|place| !was_new.contains(place));
        resolved.admitted = was_new.into_iter().filter(|place| self.ledger.nodes[*place].counts).collect();
        resolved.admitted.sort_unstable();
    }

    /// Builds the document in single steps; where one fails, says which.
    fn build_one_by_one(&self) -> Result<Document, Option<ChangeHash>> {
        let mut document = Document::new(&self.epochs.room()).map_err(|_| None)?;
        for change in self.ledger.counting().filter_map(|place| self.ledger.nodes[place].change.as_ref()) {
            document.apply(std::iter::once(change.change())).map_err(|_| Some(change.hash()))?;
        }
        Ok(document)
    }

    /// Why an entered change does not count.
    fn reason(&self, place: Place) -> Refusal {
        let node = &self.ledger.nodes[place];
        let cheats = self.ledger.forks().values().any(|fork| fork.device == node.device);
        match (self.broken.contains(&node.hash), cheats) {
            (true, _) => Refusal::Malformed,
            (_, true) => Refusal::Equivocation,
            _ => Refusal::Closed,
        }
    }

    /// Both changes of each pair of one actor and number of which one is new.
    fn new_evidence(&self, entered: &[Place]) -> Vec<SignedChange> {
        let mut places = HashSet::new();
        let forks = self.ledger.forks();
        let forked = |place: &&Place| forks.contains_key(&self.ledger.nodes[**place].actor);
        for place in entered.iter().filter(forked) {
            let node = &self.ledger.nodes[*place];
            let same = self.ledger.of_actor(&node.actor).iter();
            let same = same.copied().filter(|other| self.ledger.nodes[*other].seq == node.seq);
            let same: Vec<_> = same.take(2).collect();
            if same.len() > 1 {
                places.extend(same);
            }
        }
        let mut places: Vec<_> = places.into_iter().collect();
        places.sort_unstable();
        places.into_iter().filter_map(|place| self.ledger.nodes[place].change.clone()).collect()
    }

    /// Checks everything that a change says about itself and about what it builds on.
    pub(super) fn judge(&self, change: &SignedChange, verified: bool) -> Result<Judged, Refusal> {
        let hash = change.hash();
        if let Some(place) = self.ledger.place(&hash) {
            return if self.ledger.nodes[place].counts { Ok(Judged::Known) } else { Err(self.reason(place)) };
        }
        if self.waiting.contains(&hash) {
            return Ok(Judged::Known);
        }
        if change.room() != self.id() {
            return Err(Refusal::WrongRoom);
        }
        check_shape(change.change())?;
        let author = self.certificates.identity(change.certificate(), &change.device());
        let author = author.ok_or(Refusal::Certificate)?;
        if !verified && !change.is_authentic() {
            return Err(Refusal::Signature);
        }
        let expanded = document::expand(change.change()).ok_or(Refusal::Malformed)?;
        let actor = change.actor();
        if expanded.actor_id.to_bytes() != actor {
            return Err(Refusal::Actor);
        }
        if expanded.message != Some(change.terms()) || expanded.seq == 0 {
            return Err(Refusal::Malformed);
        }
        let epoch = self.epochs.judged_as(change.epoch());
        if epoch > self.epochs.number() {
            return Ok(Judged::Waits(For::Epoch(epoch)));
        }
        let role = self.epochs.role_at(epoch, &author).ok_or(Refusal::NotAMember)?;
        if !role.may_write() {
            return Err(Refusal::ReadOnly);
        }
        let deps: Vec<_> = expanded.deps.iter().map(|dep| ChangeHash::from_bytes(dep.0)).collect();
        let missing: Vec<_> = deps.iter().copied().filter(|dep| self.ledger.place(dep).is_none()).collect();
        if !missing.is_empty() {
            return Ok(Judged::Waits(For::Changes(missing)));
        }
        let parents = parents(&self.ledger, &deps)?;
        self.fit(change, &expanded, author, role, parents)
    }

    /// The part of [`Room::judge`] that looks at what the change builds on.
    fn fit(
        &self,
        change: &SignedChange,
        expanded: &ExpandedChange,
        author: IdentityId,
        role: Role,
        parents: Vec<Place>,
    ) -> Result<Judged, Refusal> {
        let nodes = &self.ledger.nodes;
        let epoch = self.epochs.judged_as(change.epoch());
        if parents.iter().any(|parent| nodes[*parent].epoch > epoch) {
            return Err(Refusal::OlderEpoch);
        }
        let start = expanded.start_op.get();
        if parents.iter().map(|parent| nodes[*parent].end()).max() != start.checked_sub(1) {
            return Err(Refusal::Sequence);
        }
        let (actor, seq) = (change.actor(), expanded.seq);
        let past = self.ledger.past(parents.clone(), author);
        if past.last_number(&actor) + 1 != seq {
            return Err(Refusal::Sequence);
        }
        if past.has_fork() {
            return Err(Refusal::Equivocation);
        }
        let checked = schema::check(expanded, &actor, &past)?;
        if !role.rights().covers(checked.needs) {
            return Err(not_allowed(role, checked.needs));
        }
        Ok(Judged::Fits(Box::new(Node {
            change: Some(change.clone()),
            hash: change.hash(),
            parents,
            children: Vec::new(),
            author,
            device: change.device(),
            session: change.session(),
            epoch,
            actor,
            seq,
            start,
            time_ms: expanded.time,
            needs: checked.needs,
            operations: checked.operations,
            counts: false,
        })))
    }
}

/// The places of what a change builds on, each once.
fn parents(ledger: &Ledger, deps: &[ChangeHash]) -> Result<Vec<Place>, Refusal> {
    let mut seen = HashSet::new();
    if deps.is_empty() || !deps.iter().all(|dep| seen.insert(dep)) {
        return Err(Refusal::Sequence);
    }
    Ok(deps.iter().filter_map(|dep| ledger.place(dep)).collect())
}

/// Why a role does not allow what a change needs.
pub(super) fn not_allowed(role: Role, needs: Rights) -> Refusal {
    if !role.may_write() {
        return Refusal::ReadOnly;
    }
    let rest = Rights::NOTE.with(Rights::ANNOTATE).with(Rights::CHAT);
    let lacks_section = [Rights::NOTE, Rights::ANNOTATE, Rights::CHAT]
        .into_iter()
        .any(|right| needs.touches(right) && !role.rights().covers(right));
    if lacks_section || !needs.touches(rest) { Refusal::Section } else { Refusal::NotOwn }
}
