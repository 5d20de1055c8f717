//! What a room's document holds, what people may do to it, and what they see of it.
//!
//! The document is one automerge map of four: `annotations`, `notes` and `chat` map an entry's name to a map of
//! its fields, `schema` says which version of this and which room. Every field is one scalar, so that concurrent
//! writes conflict as a whole and are shown as a conflict.

mod check;
mod command;
mod view;

pub(crate) use check::{FoundOp, History, Operation, OperationId, check};
pub use command::{Attachment, CommandError, MAX_ANCHOR_BYTES, MAX_TEXT_BYTES, RoomCommand};
pub(crate) use command::{attachment_from_bytes, attachment_to_bytes, is_anchor, is_text};
pub use view::{Alternative, Annotation, ChatLine, EntryKind, Field, Note, RoomEvent, RoomView};

/// The version of the document's layout, in its `schema` map.
pub(crate) const SCHEMA_VERSION: u64 = 1;

/// A part of the document.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Section {
    /// Things pinned to places.
    Annotations,
    /// Care notes.
    Notes,
    /// What was said.
    Chat,
}

impl Section {
    /// All sections, in the order in which the first change makes them: operation 1, 2, 3.
    pub(crate) const ALL: [Self; 3] = [Self::Annotations, Self::Notes, Self::Chat];

    /// Its key in the root map.
    pub(crate) const fn key(self) -> &'static str {
        match self {
            Self::Annotations => "annotations",
            Self::Notes => "notes",
            Self::Chat => "chat",
        }
    }

    /// What its entries are.
    pub(crate) const fn kind(self) -> EntryKind {
        match self {
            Self::Annotations => EntryKind::Annotation,
            Self::Notes => EntryKind::Note,
            Self::Chat => EntryKind::Line,
        }
    }
}

/// A field of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Key {
    /// Text, a string.
    Text,
    /// A pose, 28 bytes.
    Pose,
    /// The name of what it is pinned to, a string; set once.
    Anchor,
    /// A file, its CBOR; set once.
    Attachment,
    /// True once removed.
    Removed,
}

impl Key {
    /// All fields.
    pub(crate) const ALL: [Self; 5] = [Self::Text, Self::Pose, Self::Anchor, Self::Attachment, Self::Removed];

    /// Its key in an entry's map.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Pose => "pose",
            Self::Anchor => "anchor",
            Self::Attachment => "attachment",
            Self::Removed => "removed",
        }
    }

    /// The field of this name.
    pub(crate) fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|key| key.name() == name)
    }
}
