//! A room: its epochs, its changes, and the one document that follows from them.

mod certificates;
mod document;
mod exchange;
mod ledger;
mod members;
mod receive;
mod resolve;
mod see;
mod usage;
mod waiting;
mod write;

use std::collections::HashSet;
use std::fmt;

use keys::{DeviceCertificate, IdentityId, IdentityKey, Signed, Timestamp};

use crate::change::{ChangeError, Refusal, SignedChange};
use crate::epoch::{Charter, Epoch, EpochError, EpochLog, Member};
use crate::ids::{ChangeHash, EntryId, RoomId};
use crate::role::Role;
use crate::room::certificates::Certificates;
use crate::room::document::Document;
use crate::room::ledger::Ledger;
use crate::room::receive::Origin;
use crate::room::usage::Usage;
pub use crate::room::usage::{Amount, MAX_ROOM, MAX_SHARE};
use crate::room::waiting::Waiting;
use crate::schema::{Attachment, CommandError, EntryKind, RoomEvent, RoomView};

/// Whether changes that come from one's own storage are verified again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trust {
    /// Their signatures were checked before they were stored, and storage is sealed.
    Checked,
    /// Check every signature.
    Nothing,
}

/// What became of changes that arrived.
#[derive(Debug, Default)]
pub struct Received {
    /// Count from now on, in an order in which each comes after what it builds on; also some that had waited.
    /// Store these.
    pub accepted: Vec<SignedChange>,
    /// How many wait for others that are missing.
    pub waiting: usize,
    /// Do not count, and why.
    pub refused: Vec<(ChangeHash, Refusal)>,
    /// What happened in the room.
    pub events: Vec<RoomEvent>,
    /// Proof that a device wrote two changes of one number. Store these like `accepted`: without them a copy that is
    /// opened again would judge otherwise than before.
    pub evidence: Vec<SignedChange>,
    /// Certificates that were not stored before and are needed by `accepted` or `evidence`. Store these first.
    pub new_certificates: Vec<Signed<DeviceCertificate>>,
}

/// A command or an invitation was not carried out.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum RoomError {
    /// A value of the command is wrong, or its entry does not exist.
    #[error(transparent)]
    Command(#[from] CommandError),
    /// The author may not do this.
    #[error("not allowed: {0}")]
    Refused(#[from] Refusal),
    /// The epoch is not possible.
    #[error(transparent)]
    Epoch(#[from] EpochError),
    /// The change could not be signed.
    #[error(transparent)]
    Change(#[from] ChangeError),
    /// Only the owner changes who is in the room.
    #[error("only the owner of the room changes who is in it")]
    NotTheOwner,
    /// Nobody to remove, or the owner.
    #[error("{0:?} is no member that could be removed")]
    NoMember(IdentityId),
    /// What was to be written is there already, or the member has this role.
    #[error("nothing to change")]
    Unchanged,
    /// The document could not be built; nothing was changed.
    #[error("the document could not be changed")]
    Document,
}

/// A room: what its members see, and what they do to it.
pub struct Room {
    epochs: EpochLog,
    certificates: Certificates,
    ledger: Ledger,
    document: Document,
    waiting: Waiting,
    usage: Usage,
    /// Changes that automerge could not apply although they passed every check.
    broken: HashSet<ChangeHash>,
}

impl Room {
    /// Founds a room. The owner is added to `members` if missing.
    ///
    /// # Errors
    /// [`RoomError::Epoch`] when charter or members are outside their limits.
    pub fn create(
        owner: &IdentityKey,
        charter: Charter,
        members: Vec<Member>,
        now: Timestamp,
    ) -> Result<Self, RoomError> {
        Self::empty(EpochLog::from_entries(&[members::first_epoch(owner, charter, members, now)])?)
    }

    /// Opens a room from storage: its epochs from the first on, and the changes and certificates that were stored.
    /// Changes that do not count, for instance because damaged ones below are missing, are left out.
    ///
    /// # Errors
    /// [`RoomError::Epoch`] when the epochs are not to be believed.
    #[expect(clippy::needless_pass_by_value, reason = "the caller read them for this and needs them no more")]
    pub fn open(
        epochs: &[Signed<Epoch>],
        certificates: Vec<Signed<DeviceCertificate>>,
        changes: impl Iterator<Item = SignedChange>,
        trust: Trust,
    ) -> Result<Self, RoomError> {
        let mut room = Self::empty(EpochLog::from_entries(epochs)?)?;
        room.take(changes, &certificates, Origin::Storage(trust));
        Ok(room)
    }

    fn empty(epochs: EpochLog) -> Result<Self, RoomError> {
        let document = Document::new(&epochs.room()).map_err(|_| RoomError::Document)?;
        let ledger = Ledger::new(document.first());
        let (certificates, waiting, broken) = (Certificates::default(), Waiting::default(), HashSet::new());
        Ok(Self { epochs, certificates, ledger, document, waiting, usage: Usage::default(), broken })
    }

    /// Its name.
    pub const fn id(&self) -> RoomId {
        self.epochs.room()
    }

    /// What it is.
    pub const fn charter(&self) -> &Charter {
        self.epochs.charter()
    }

    /// Who is in it, and was.
    pub const fn epochs(&self) -> &EpochLog {
        &self.epochs
    }

    /// The role of `identity` now.
    pub fn role(&self, identity: &IdentityId) -> Option<Role> {
        self.epochs.role(identity)
    }

    /// The newest changes, sorted. In a room without changes this is the first change, which every copy makes by
    /// itself.
    pub fn heads(&self) -> Vec<ChangeHash> {
        self.ledger.heads()
    }

    /// How many signed changes count.
    pub const fn len(&self) -> usize {
        self.ledger.counted()
    }

    /// Whether nobody has written anything.
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How much it holds of the [`MAX_ROOM`] that it may.
    pub const fn amount(&self) -> Amount {
        self.usage.all()
    }

    /// Why this member, whatever its role, can write nothing more: [`Refusal::RoomFull`] or [`Refusal::ShareUsed`].
    pub fn fullness(&self, member: &IdentityId) -> Option<Refusal> {
        self.usage.own(member)
    }

    /// Whether this change counts here. The first change, which every copy makes by itself, does.
    pub fn contains(&self, hash: &ChangeHash) -> bool {
        self.ledger.counts(hash)
    }

    /// What people see.
    pub fn view(&self) -> RoomView {
        see::view(self)
    }

    /// The entries that are there and whose name begins like this, sorted, without a look at all others.
    pub fn find(&self, beginning: &str) -> impl Iterator<Item = (EntryId, EntryKind)> {
        let names =
            EntryId::beginning_with(beginning).into_iter().flat_map(|names| self.ledger.entries(names));
        names.filter_map(|id| Some((id, self.entry_there(&id)?.1.kind())))
    }

    /// The document as automerge would write it to a disk, to compare with.
    #[cfg(test)]
    pub(crate) fn saved_bytes(&self) -> Vec<u8> {
        self.document.saved()
    }

    /// The file of an annotation that is there.
    pub fn attachment(&self, annotation: &EntryId) -> Option<Attachment> {
        see::attachment(self, &self.entry_there(annotation)?.0)
    }

    /// The files of all annotations that are there.
    pub fn attachments(&self) -> Vec<Attachment> {
        see::attachments(self)
    }
}

impl fmt::Debug for Room {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Room({:?}, {} changes, {} waiting)", self.epochs, self.len(), self.waiting.len())
    }
}

#[cfg(test)]
mod tests;
