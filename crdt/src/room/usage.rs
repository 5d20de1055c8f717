//! How much a room holds and may hold: without an end to it one member could fill the disks of all others.
//!
//! What a copy holds at the limit depends on what reached it first, so a limit that all copies kept to the letter
//! would leave honest ones apart that wrote at the same time. Own writes therefore end at the limit, and what others
//! wrote is taken up to an eighth beyond it.

use std::collections::HashMap;

use keys::IdentityId;

use crate::change::Refusal;

/// An amount of changes, and of bytes as they are sent and stored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Amount {
    /// How many changes.
    pub changes: usize,
    /// Their bytes, and those of the certificates they need.
    pub bytes: usize,
}

/// The most that a room holds: a hundred changes a day for a year, and in bytes one batch of the store. Each change
/// costs more the more there are, so a room that has come so far is better gone on from in a new one.
pub const MAX_ROOM: Amount = Amount { changes: 40_000, bytes: 64 << 20 };

/// The most of it that one member writes: whoever uses up their share leaves half of the room to the others.
pub const MAX_SHARE: Amount = Amount { changes: MAX_ROOM.changes / 2, bytes: MAX_ROOM.bytes / 2 };

/// What members wrote apart may go beyond a limit by this part of it.
const SLACK: usize = 8;

impl Amount {
    /// Whether this has come to `limit`.
    const fn reaches(&self, limit: &Self) -> bool {
        self.changes >= limit.changes || self.bytes >= limit.bytes
    }

    const fn with_slack(self) -> Self {
        Self { changes: self.changes + self.changes / SLACK, bytes: self.bytes + self.bytes / SLACK }
    }

    const fn add(&mut self, more: &Self) {
        self.changes += more.changes;
        self.bytes += more.bytes;
    }

    const fn remove(&mut self, less: &Self) {
        self.changes = self.changes.saturating_sub(less.changes);
        self.bytes = self.bytes.saturating_sub(less.bytes);
    }
}

/// Where a room ends.
#[derive(Clone, Copy)]
pub(super) struct Limits {
    pub(super) room: Amount,
    pub(super) share: Amount,
}

/// What a room holds, in all and by author.
pub(super) struct Usage {
    all: Amount,
    authors: HashMap<IdentityId, Amount>,
    pub(super) limits: Limits,
}

impl Usage {
    pub(super) const fn all(&self) -> Amount {
        self.all
    }

    pub(super) fn add(&mut self, author: IdentityId, more: Amount) {
        self.all.add(&more);
        self.authors.entry(author).or_default().add(&more);
    }

    pub(super) fn remove(&mut self, author: &IdentityId, less: Amount) {
        self.all.remove(&less);
        if let Some(used) = self.authors.get_mut(author) {
            used.remove(&less);
        }
    }

    /// Why `author` writes no more here.
    pub(super) fn own(&self, author: &IdentityId) -> Option<Refusal> {
        self.refusal(author, self.limits)
    }

    /// Why nothing more of `author` is taken from others.
    pub(super) fn received(&self, author: &IdentityId) -> Option<Refusal> {
        let Limits { room, share } = self.limits;
        self.refusal(author, Limits { room: room.with_slack(), share: share.with_slack() })
    }

    fn refusal(&self, author: &IdentityId, limits: Limits) -> Option<Refusal> {
        if self.all.reaches(&limits.room) {
            return Some(Refusal::RoomFull);
        }
        let used = self.authors.get(author).is_some_and(|used| used.reaches(&limits.share));
        used.then_some(Refusal::ShareUsed)
    }
}

impl Default for Usage {
    fn default() -> Self {
        let limits = Limits { room: MAX_ROOM, share: MAX_SHARE };
        Self { all: Amount::default(), authors: HashMap::new(), limits }
    }
}
