//! Who is in a room: epochs that its owner signs, and what they do to the document.

use keys::{IdentityId, IdentityKey, Signed, Timestamp};

use crate::epoch::{Appended, Charter, Epoch, EpochError, MAX_CLOSED_HEADS, Member, lowered};
use crate::ids::ChangeHash;
use crate::role::Role;
use crate::room::document::Document;
use crate::room::ledger::Ledger;
use crate::room::receive::Origin;
use crate::room::resolve::resolve;
use crate::room::waiting::For;
use crate::room::{Room, RoomError, Trust};
use crate::schema::RoomEvent;

/// The epoch that founds a room.
pub(super) fn first_epoch(
    owner: &IdentityKey,
    charter: Charter,
    mut members: Vec<Member>,
    now: Timestamp,
) -> Signed<Epoch> {
    if !members.iter().any(|member| member.identity == owner.id()) {
        members.insert(0, Member { identity: owner.id(), role: Role::Owner });
    }
    owner.sign(&Epoch {
        version: Epoch::VERSION,
        room: None,
        n: 0,
        prev: [0; 32],
        charter: Some(charter),
        members,
        closed_heads: None,
        time: now,
    })
}

impl Room {
    /// Adds an epoch that the owner signed. Afterwards call [`Room::receive`] with no changes, for those that had
    /// waited for it. Store it also when this fails with [`EpochError::Fork`]: both epochs together are the proof
    /// that freezes the room. What counts is then judged anew; some of it may wait for that call.
    ///
    /// # Errors
    /// [`EpochError`] names the first check that fails.
    pub fn add_epoch(&mut self, epoch: Signed<Epoch>) -> Result<Vec<RoomEvent>, EpochError> {
        match self.epochs.append(epoch) {
            Ok(Appended::Known) => Ok(Vec::new()),
            Ok(Appended::New) => {
                let mut events = vec![RoomEvent::MembersChanged { epoch: self.epochs.number() }];
                if self.epochs.current().closed_heads.is_some() {
                    events.extend(self.reconsider());
                }
                Ok(events)
            }
            Err(error @ EpochError::Fork { .. }) => {
                self.start_over();
                Err(error)
            }
            Err(error) => Err(error),
        }
    }

    /// Adds a member, or gives one another role. A member who may do less from now on keeps what is known here of
    /// their work; what arrives later counts only where others have built on it.
    ///
    /// # Errors
    /// [`RoomError::NotTheOwner`], [`RoomError::Unchanged`], or [`RoomError::Epoch`] when it is not possible.
    pub fn invite(
        &mut self,
        owner: &IdentityKey,
        member: Member,
        now: Timestamp,
    ) -> Result<Signed<Epoch>, RoomError> {
        let mut members = self.epochs.current().members.clone();
        match members.iter_mut().find(|known| known.identity == member.identity) {
            Some(known) if known.role == member.role => return Err(RoomError::Unchanged),
            Some(known) => known.role = member.role,
            None => members.push(member),
        }
        self.next_epoch(owner, members, now)
    }

    /// Removes a member; see [`Room::invite`] for what becomes of their work.
    ///
    /// # Errors
    /// [`RoomError::NotTheOwner`], [`RoomError::NoMember`], or [`RoomError::Epoch`] when it is not possible.
    pub fn remove(
        &mut self,
        owner: &IdentityKey,
        identity: &IdentityId,
        now: Timestamp,
    ) -> Result<Signed<Epoch>, RoomError> {
        let mut members = self.epochs.current().members.clone();
        let before = members.len();
        members.retain(|member| member.identity != *identity || member.role == Role::Owner);
        if members.len() == before {
            return Err(RoomError::NoMember(*identity));
        }
        self.next_epoch(owner, members, now)
    }

    fn next_epoch(
        &mut self,
        owner: &IdentityKey,
        members: Vec<Member>,
        now: Timestamp,
    ) -> Result<Signed<Epoch>, RoomError> {
        if owner.id() != self.epochs.owner() {
            return Err(RoomError::NotTheOwner);
        }
        let before = self.epochs.current();
        let role_after =
            |identity: &IdentityId| members.iter().find(|m| m.identity == *identity).map(|m| m.role);
        let lost = before.members.iter().filter(|m| lowered(Some(m.role), role_after(&m.identity)));
        let lost: Vec<_> = lost.map(|member| member.identity).collect();
        let epoch = Epoch {
            version: Epoch::VERSION,
            room: Some(self.id()),
            n: before.n + 1,
            prev: self.epochs.digest(),
            charter: None,
            closed_heads: (!lost.is_empty()).then(|| self.heads_to_close(&lost)),
            members,
            time: now,
        };
        let signed = owner.sign(&epoch);
        self.add_epoch(signed.clone())?;
        Ok(signed)
    }

    /// The heads, and where there are too many of them those of remaining members first.
    fn heads_to_close(&self, lost: &[IdentityId]) -> Vec<ChangeHash> {
        let mut heads = self.heads();
        if heads.len() > MAX_CLOSED_HEADS {
            let is_lost = |head: &ChangeHash| {
                self.ledger.place(head).is_some_and(|place| lost.contains(&self.ledger.nodes[place].author))
            };
            heads.sort_by_key(|head| (is_lost(head), *head));
            heads.truncate(MAX_CLOSED_HEADS);
        }
        heads
    }

    /// Judges everything anew, as a copy does that knew the fork of the epochs before it knew any change: what was
    /// entered under epochs that no longer hold must not differ from what is refused elsewhere.
    fn start_over(&mut self) {
        let Ok(document) = Document::new(&self.id()) else { return };
        let ledger = Ledger::new(document.first());
        let before = std::mem::replace(&mut self.ledger, ledger);
        self.document = document;
        let mut waited = std::mem::take(&mut self.waiting);
        self.ledger.retired.extend(&before.retired);
        let (counted, held): (Vec<_>, Vec<_>) =
            before.nodes.into_iter().partition(|node| node.counts || node.change.is_none());
        // What is stored stays stored.
        let stored = std::mem::take(&mut self.usage);
        let counted = counted.into_iter().filter_map(|node| node.change);
        self.take(counted, &[], Origin::Storage(Trust::Checked));
        self.usage = stored;
        // Those that did not count are not stored: what counts of them now is told by the next `receive`.
        for change in held.into_iter().filter_map(|node| node.change).chain(waited.drain()) {
            self.waiting.add(change, For::Epoch(0));
        }
    }

    /// Decides anew what counts.
    fn reconsider(&mut self) -> Vec<RoomEvent> {
        let mut resolved = resolve(&mut self.ledger, &self.epochs, &self.broken);
        if resolved.admitted.is_empty() && resolved.withdrawn.is_empty() {
            return Vec::new();
        }
        self.perform(&mut resolved)
    }
}
