//! What people see of a room.

use std::fmt;

use keys::{IdentityId, Timestamp};
use serde::{Deserialize, Serialize};

use crate::epoch::Member;
use crate::ids::{ChangeHash, EntryId, RoomId};
use crate::pose::Pose;
use crate::schema::Attachment;

/// A room as it is now. Entries are in the order in which they were written, as far as that is known: who saw an
/// entry writes after it.
#[derive(Clone, PartialEq)]
pub struct RoomView {
    /// Which room.
    pub id: RoomId,
    /// What people call it.
    pub name: String,
    /// The place it looks like.
    pub scene: String,
    /// The number of the last epoch.
    pub epoch: u64,
    /// Who is in it.
    pub members: Vec<Member>,
    /// Things pinned to places, without those that were removed.
    pub annotations: Vec<Annotation>,
    /// Care notes.
    pub notes: Vec<Note>,
    /// What was said.
    pub chat: Vec<ChatLine>,
    /// The newest changes, sorted: two copies with equal heads show the same.
    pub heads: Vec<ChangeHash>,
}

/// A value that people may have written at the same time.
#[derive(Clone, PartialEq)]
pub struct Field<T> {
    /// What is shown: the same on every copy.
    pub value: T,
    /// Who wrote what is shown; proven by a signature. Not always who made the entry.
    pub author: IdentityId,
    /// What others wrote at the same time, until someone writes again; empty when nobody did.
    pub alternatives: Vec<Alternative<T>>,
}

impl<T> Field<T> {
    /// Whether several people wrote this at the same time and nobody has decided yet.
    pub const fn is_conflict(&self) -> bool {
        !self.alternatives.is_empty()
    }
}

/// A value that is not shown because another one is.
#[derive(Clone, PartialEq)]
pub struct Alternative<T> {
    /// What was written.
    pub value: T,
    /// By whom.
    pub author: IdentityId,
}

/// Something pinned to a place.
#[derive(Clone, PartialEq)]
pub struct Annotation {
    /// Its name on every copy.
    pub id: EntryId,
    /// Who made it; proven by a signature.
    pub author: IdentityId,
    /// When, by the author's word, not before the room began.
    pub created: Timestamp,
    /// What it says.
    pub text: Field<String>,
    /// Where it is.
    pub pose: Field<Pose>,
    /// What it is pinned to.
    pub anchor: Option<String>,
    /// A file shown there.
    pub attachment: Option<Attachment>,
}

/// A care note.
#[derive(Clone, PartialEq)]
pub struct Note {
    /// Its name on every copy.
    pub id: EntryId,
    /// Who wrote it first; proven by a signature.
    pub author: IdentityId,
    /// When, by the author's word, not before the room began.
    pub created: Timestamp,
    /// What it says.
    pub text: Field<String>,
}

/// Something that was said.
#[derive(Clone, PartialEq)]
pub struct ChatLine {
    /// Its name on every copy.
    pub id: EntryId,
    /// Who said it; proven by a signature.
    pub author: IdentityId,
    /// When, by the author's word, not before the room began.
    pub created: Timestamp,
    /// What was said.
    pub text: String,
}

impl fmt::Debug for RoomView {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (annotations, notes, chat) = (&self.annotations, &self.notes, &self.chat);
        write!(f, "RoomView({:?}, epoch {}, {annotations:?}, {notes:?}, {chat:?})", self.id, self.epoch)
    }
}

impl<T> fmt::Debug for Field<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Field(by {:?}, {} alternatives)", self.author, self.alternatives.len())
    }
}

impl<T> fmt::Debug for Alternative<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Alternative(by {:?})", self.author)
    }
}

impl fmt::Debug for Annotation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "Annotation({:?} by {:?}, text {:?}, pose {:?})",
            self.id, self.author, self.text, self.pose
        )
    }
}

impl fmt::Debug for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Note({:?} by {:?}, text {:?})", self.id, self.author, self.text)
    }
}

impl fmt::Debug for ChatLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ChatLine({:?} by {:?})", self.id, self.author)
    }
}

/// What sort of thing an entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum EntryKind {
    /// An [`Annotation`].
    Annotation,
    /// A [`Note`].
    Note,
    /// A [`ChatLine`].
    Line,
}

/// Something happened in a room.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
#[non_exhaustive]
pub enum RoomEvent {
    /// Something was pinned to a place.
    AnnotationAdded {
        /// Which.
        id: EntryId,
        /// By whom.
        author: IdentityId,
    },
    /// An annotation is elsewhere.
    AnnotationMoved {
        /// Which.
        id: EntryId,
        /// By whom.
        author: IdentityId,
    },
    /// An annotation says something else.
    AnnotationEdited {
        /// Which.
        id: EntryId,
        /// By whom.
        author: IdentityId,
    },
    /// An annotation is gone.
    AnnotationRemoved {
        /// Which.
        id: EntryId,
        /// By whom.
        author: IdentityId,
    },
    /// A care note was written.
    NoteAdded {
        /// Which.
        id: EntryId,
        /// By whom.
        author: IdentityId,
    },
    /// A care note says something else.
    NoteEdited {
        /// Which.
        id: EntryId,
        /// By whom.
        author: IdentityId,
    },
    /// Something was said.
    Said {
        /// Which line.
        id: EntryId,
        /// By whom.
        author: IdentityId,
    },
    /// Other people are in the room, or as something else.
    MembersChanged {
        /// The epoch from which on.
        epoch: u64,
    },
    /// Several people wrote one field at the same time.
    Conflict {
        /// Of which entry.
        id: EntryId,
    },
    /// Changes that had counted count no longer: their authors had lost the right before, or signed two of one
    /// number.
    Withdrawn {
        /// How many.
        changes: u64,
    },
}
