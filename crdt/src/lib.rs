//! Rooms: documents that people edit together, also while apart. Members and their roles, signed changes, and
//! what is refused. Pure: time and randomness are arguments, nothing is read or written.
//!
//! A room is two things: a line of [`Epoch`]s signed by its owner, which says who may do what, and a graph of
//! [`SignedChange`]s signed by devices, which is the document. The same epochs and changes give the same
//! document on every copy, in whatever order they came.

#[cfg(test)]
mod cast;
mod change;
mod epoch;
mod ids;
mod pose;
mod role;
mod room;
mod schema;
mod sync;

pub use change::{
    Author, ChangeError, MAX_CHANGE_BYTES, MAX_OPERATIONS, MAX_SIGNED_CHANGE_BYTES, MAX_UNPACKED_BYTES,
    PackError, Refusal, SignedChange, pack, unpack,
};
pub use epoch::{
    Appended, Charter, Epoch, EpochError, EpochLog, MAX_CLOSED_HEADS, MAX_EPOCHS, MAX_MEMBERS,
    MAX_ROOM_NAME_BYTES, MAX_SCENE_BYTES, Member,
};
pub use ids::{ChangeHash, EntryId, ParseRoomIdError, RoomId};
pub use pose::{MAX_COORDINATE_M, Pose, PoseError};
pub use role::{ParseRoleError, Role};
pub use room::{Amount, MAX_ROOM, MAX_SHARE, Received, Room, RoomError, Trust};
pub use schema::{
    Alternative, Annotation, Attachment, ChatLine, CommandError, EntryKind, Field, MAX_ANCHOR_BYTES,
    MAX_TEXT_BYTES, Note, RoomCommand, RoomEvent, RoomView,
};
pub use sync::{MAX_SYNC_MESSAGE_BYTES, NO_MEMBER, SILENCE, SyncEffect, SyncInput, SyncMessage, SyncSession};
