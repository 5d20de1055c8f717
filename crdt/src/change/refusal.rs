//! Why a change does not count.

use crate::change::{MAX_CHANGE_BYTES, MAX_OPERATIONS};

/// Why a change does not count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// Its author was no member in the epoch it names.
    #[error("author is no member of the room")]
    NotAMember,
    /// Its author may only read.
    #[error("author may only read")]
    ReadOnly,
    /// Its author may not write that part of the document.
    #[error("author may not write this section")]
    Section,
    /// A patient may change only what they wrote.
    #[error("author may change only own entries")]
    NotOwn,
    /// The device's signature is wrong.
    #[error("signature does not verify")]
    Signature,
    /// The device's certificate is missing, wrong, or of another device.
    #[error("certificate of the device is missing or wrong")]
    Certificate,
    /// Signed for another room.
    #[error("signed for another room")]
    WrongRoom,
    /// Names an epoch that has not arrived: it waits, and is refused with this only when it waits in vain.
    #[error("names an unknown epoch")]
    UnknownEpoch,
    /// Names an older epoch than what it builds on.
    #[error("names an older epoch than what it builds on")]
    OlderEpoch,
    /// Written by someone who lost a right, too late to count.
    #[error("written after the room was closed to its author")]
    Closed,
    /// More than [`MAX_CHANGE_BYTES`].
    #[error("change has more than {MAX_CHANGE_BYTES} bytes")]
    TooLarge,
    /// Not an automerge change, or one that no room writes.
    #[error("malformed change")]
    Malformed,
    /// Its actor is not the one of its device, room and session.
    #[error("actor does not belong to the device")]
    Actor,
    /// Its sequence or operation numbers do not follow what it builds on.
    #[error("change does not follow what it builds on")]
    Sequence,
    /// Its device wrote two different changes with one number; nothing of it counts from there on.
    #[error("device wrote two changes with one number")]
    Equivocation,
    /// Compressed, or another kind of chunk than a plain change.
    #[error("not a plain uncompressed change")]
    Compressed,
    /// More than [`MAX_OPERATIONS`].
    #[error("change has more than {MAX_OPERATIONS} operations")]
    TooManyOperations,
    /// Builds on more changes or names more actors than a room has writers.
    #[error("change refers to too many others")]
    TooManyReferences,
    /// A value is of the wrong kind, too large, or outside its limits.
    #[error("a value is outside its limits")]
    Value,
    /// Touches something that is not there, or that nobody may touch.
    #[error("change touches what is not there or fixed")]
    Target,
    /// The room holds as much as a room may.
    #[error("the room holds as much as a room may")]
    RoomFull,
    /// Its author has written as much of the room as one member may.
    #[error("author has written as much of the room as one member may")]
    ShareUsed,
    /// Already refused once, or more changes wait than may.
    #[error("too many changes wait")]
    Full,
}

impl Refusal {
    /// Whether it is no fault of the change, but there is no room left for it.
    pub const fn is_for_want_of_room(&self) -> bool {
        matches!(self, Self::RoomFull | Self::ShareUsed)
    }
}
