//! What a member does here: a command becomes one signed change. The only place that writes to the document.

use automerge::ScalarValue;
use keys::{DeviceCertificate, Timestamp};

use crate::change::{Author, MAX_REFERENCES, Refusal, SignedChange, actor, terms};
use crate::ids::{Actor, EntryId};
use crate::role::Rights;
use crate::room::document::{Draft, Edit};
use crate::room::ledger::Place;
use crate::room::receive::{Judged, not_allowed};
use crate::room::resolve::Resolved;
use crate::room::{Room, RoomError};
use crate::schema::{
    CommandError, Key, Operation, OperationId, RoomCommand, RoomEvent, Section, attachment_to_bytes,
};

/// The most changes that an own change builds on: half of what a receiver allows.
const MAX_MERGED: usize = MAX_REFERENCES as usize / 2;

impl Room {
    /// Carries out `command` and signs it. `session` sets apart what a device writes between two starts: a number
    /// that it has not used in this room before, higher than all it has; the room counts on from there where it
    /// must.
    ///
    /// Store the change before anyone else sees it, and the author's certificate before the first one.
    ///
    /// # Errors
    /// [`RoomError`] says what is wrong; then nothing was changed.
    pub fn apply(
        &mut self,
        command: RoomCommand,
        author: &Author<'_>,
        session: u64,
        now: Timestamp,
    ) -> Result<(SignedChange, Vec<RoomEvent>), RoomError> {
        command.check()?;
        let certificate =
            DeviceCertificate::authentic(author.certificate).map_err(|_| Refusal::Certificate)?;
        if certificate.device != author.device.id() {
            return Err(Refusal::Certificate.into());
        }
        if self.ledger.forks().values().any(|fork| fork.device == certificate.device) {
            return Err(Refusal::Equivocation.into());
        }
        let role = self.epochs.role(&certificate.identity).ok_or(Refusal::NotAMember)?;
        let session = self.free_session(author, session);
        let actor = actor(&certificate.device, &self.id(), session);
        let own = |id: &OperationId| {
            self.ledger.find_counting(id).is_some_and(|(node, _)| node.author == certificate.identity)
        };
        let (mut edit, needs) = self.plan(command, own)?;
        if !role.rights().covers(needs) {
            return Err(not_allowed(role, needs).into());
        }
        if let Some(full) = self.usage.own(&certificate.identity) {
            return Err(full.into());
        }
        let digest = author.certificate.digest();
        let epoch = self.epochs.number();
        let parents = self.build_on(&actor, &mut edit);
        let deps = parents.iter().map(|place| self.ledger.nodes[*place].hash).collect();
        let draft = Draft {
            actor,
            seq: self.ledger.of_actor(&actor).len() as u64 + 1,
            start: self.ledger.next_counter(&parents),
            time_ms: now.as_millis(),
            terms: terms(&self.id(), epoch, &digest, session),
            deps,
            edit,
        };
        let raw = draft.encode().map_err(|_| RoomError::Document)?;
        let change = SignedChange::sign(self.id(), epoch, session, author, raw)?;
        self.certificates.add(digest, author.certificate);
        let events = self.enter_own(&change)?;
        self.usage.add(certificate.identity, change.amount());
        self.note_need(&change);
        Ok((change, events))
    }

    /// What a change builds on: all heads, unless somebody made so many that others would refuse the change; then
    /// some, and later changes bring the others together. What the edit replaces is limited to that.
    fn build_on(&self, actor: &Actor, edit: &mut Edit) -> Vec<Place> {
        let place = |id: &OperationId| {
            let mut places = self.ledger.of_actor(&id.actor).iter().copied();
            places.find(|place| {
                let node = &self.ledger.nodes[*place];
                node.counts && (node.start..=node.end()).contains(&id.counter)
            })
        };
        let own = self.ledger.of_actor(actor).iter().copied();
        let mut needed: Vec<Place> =
            own.max_by_key(|place| self.ledger.nodes[*place].seq).into_iter().collect();
        if let Edit::Set { entry, replaces, .. } = edit {
            // The value that is shown is the last.
            replaces.drain(..replaces.len().saturating_sub(MAX_MERGED / 2));
            needed.extend(std::iter::once(&*entry).chain(&*replaces).filter_map(place));
        }
        let parents = self.ledger.some_heads(&needed, MAX_MERGED);
        if let Edit::Set { replaces, .. } = edit {
            let below = self.ledger.below(parents.iter().copied());
            replaces.retain(|id| place(id).is_some_and(|place| below[place]));
        }
        parents
    }

    /// Judges an own change like one of others.
    fn enter_own(&mut self, change: &SignedChange) -> Result<Vec<RoomEvent>, RoomError> {
        let Judged::Fits(node) = self.judge(change, true)? else { return Err(RoomError::Document) };
        let place = self.ledger.enter(*node);
        self.ledger.count(place);
        let mut resolved = Resolved { admitted: vec![place], withdrawn: Vec::new() };
        let events = self.perform(&mut resolved);
        if self.contains(&change.hash()) { Ok(events) } else { Err(RoomError::Document) }
    }

    /// The first session from `session` on of which nothing is here that does not count: its numbers would be used
    /// twice.
    fn free_session(&self, author: &Author<'_>, session: u64) -> u64 {
        let (device, room) = (author.device.id(), self.id());
        let is_free = |session: &u64| {
            let actor = actor(&device, &room, *session);
            let mut places = self.ledger.of_actor(&actor).iter();
            places.all(|place| self.ledger.nodes[*place].counts)
                && !self.ledger.retired.contains(&actor)
                && !self.waiting.has_actor(&actor)
        };
        (session..).find(is_free).unwrap_or(session)
    }

    /// What a command does to the document, and what it needs.
    fn plan(
        &self,
        command: RoomCommand,
        own: impl Fn(&OperationId) -> bool,
    ) -> Result<(Edit, Rights), RoomError> {
        let text = |text: String| ScalarValue::Str(text.into());
        let make = |section, fields, needs| Ok((Edit::Make { section, fields }, needs));
        let set = |section, id: EntryId, key, value| {
            let entry = self.entry(section, &id).ok_or(CommandError::NoEntry(id))?;
            let needs = match section {
                Section::Annotations if own(&entry) => Rights::ANNOTATE,
                Section::Annotations => Rights::ANNOTATE.with(Rights::ANNOTATE_OTHERS),
                Section::Notes | Section::Chat => Rights::NOTE,
            };
            let present = self.document.field(&entry, key);
            if matches!(&present[..], [(only, _)] if *only == value) {
                return Err(RoomError::Unchanged);
            }
            let replaces = present.into_iter().map(|(_, id)| id).collect();
            Ok((Edit::Set { entry, key, value, replaces }, needs))
        };
        match command {
            RoomCommand::AddAnnotation { text: words, pose, anchor, attachment } => {
                let mut fields =
                    vec![(Key::Text, text(words)), (Key::Pose, ScalarValue::Bytes(pose.to_bytes()))];
                fields.extend(anchor.map(|anchor| (Key::Anchor, text(anchor))));
                let attachment = attachment.map(|attachment| attachment_to_bytes(&attachment));
                fields.extend(attachment.map(|bytes| (Key::Attachment, ScalarValue::Bytes(bytes))));
                make(Section::Annotations, fields, Rights::ANNOTATE)
            }
            RoomCommand::MoveAnnotation { id, pose } => {
                set(Section::Annotations, id, Key::Pose, ScalarValue::Bytes(pose.to_bytes()))
            }
            RoomCommand::EditAnnotation { id, text: words } => {
                set(Section::Annotations, id, Key::Text, text(words))
            }
            RoomCommand::RemoveAnnotation { id } => {
                set(Section::Annotations, id, Key::Removed, ScalarValue::Boolean(true))
            }
            RoomCommand::AddNote { text: words } => {
                make(Section::Notes, vec![(Key::Text, text(words))], Rights::NOTE)
            }
            RoomCommand::EditNote { id, text: words } => set(Section::Notes, id, Key::Text, text(words)),
            RoomCommand::Say { text: words } => {
                make(Section::Chat, vec![(Key::Text, text(words))], Rights::CHAT)
            }
        }
    }

    /// The operation that made an entry of this section which is still there.
    fn entry(&self, section: Section, id: &EntryId) -> Option<OperationId> {
        self.entry_there(id).filter(|(_, found)| *found == section).map(|(entry, _)| entry)
    }

    /// The operation that made an entry which is still there, and where.
    pub(super) fn entry_there(&self, id: &EntryId) -> Option<(OperationId, Section)> {
        let entry = self.ledger.entry(id)?;
        let (_, Operation::Make(section)) = self.ledger.find_counting(&entry)? else { return None };
        self.document.field(&entry, Key::Removed).is_empty().then_some((entry, *section))
    }
}
