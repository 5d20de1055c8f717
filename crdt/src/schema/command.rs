//! What people may do in a room.

use std::fmt;

use keys::codec;
use serde::{Deserialize, Serialize};

use crate::ids::EntryId;
use crate::pose::{Pose, PoseError};

/// The most bytes (UTF-8) of an annotation, note or chat line.
pub const MAX_TEXT_BYTES: usize = 8 * 1024;

/// The most bytes of an anchor's name.
pub const MAX_ANCHOR_BYTES: usize = 64;

/// The most bytes of a file's name or content type (RFC 6838 allows 127 for each half of a type).
const MAX_LABEL_BYTES: usize = 255;

/// The most bytes of an encoded attachment: two labels, hash, key, size and field names.
const MAX_ATTACHMENT_BYTES: usize = 1_024;

/// A step that a person takes.
#[derive(Clone, PartialEq)]
pub enum RoomCommand {
    /// Pin something to a place.
    AddAnnotation {
        /// What it says, 1 to [`MAX_TEXT_BYTES`].
        text: String,
        /// Where it is.
        pose: Pose,
        /// The name of what it is pinned to, of the room's scene.
        anchor: Option<String>,
        /// A file shown there.
        attachment: Option<Attachment>,
    },
    /// Put an annotation elsewhere.
    MoveAnnotation {
        /// Which.
        id: EntryId,
        /// Where to.
        pose: Pose,
    },
    /// Change what an annotation says.
    EditAnnotation {
        /// Which.
        id: EntryId,
        /// What it says now.
        text: String,
    },
    /// Take an annotation away, for ever.
    RemoveAnnotation {
        /// Which.
        id: EntryId,
    },
    /// Write a care note.
    AddNote {
        /// What it says.
        text: String,
    },
    /// Change a care note.
    EditNote {
        /// Which.
        id: EntryId,
        /// What it says now.
        text: String,
    },
    /// Say something; it cannot be changed.
    Say {
        /// What is said.
        text: String,
    },
}

impl fmt::Debug for RoomCommand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AddAnnotation { text, .. } => write!(f, "AddAnnotation({} bytes)", text.len()),
            Self::MoveAnnotation { id, .. } => write!(f, "MoveAnnotation({id:?})"),
            Self::EditAnnotation { id, text } => write!(f, "EditAnnotation({id:?}, {} bytes)", text.len()),
            Self::RemoveAnnotation { id } => write!(f, "RemoveAnnotation({id:?})"),
            Self::AddNote { text } => write!(f, "AddNote({} bytes)", text.len()),
            Self::EditNote { id, text } => write!(f, "EditNote({id:?}, {} bytes)", text.len()),
            Self::Say { text } => write!(f, "Say({} bytes)", text.len()),
        }
    }
}

/// A command that cannot be carried out as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CommandError {
    /// The text is empty, too long, or holds control characters.
    #[error("text must be 1 to {MAX_TEXT_BYTES} bytes without control characters")]
    Text,
    /// The anchor's name is empty, too long, or has other characters.
    #[error("anchor must be 1 to {MAX_ANCHOR_BYTES} letters a-z, digits or hyphens")]
    Anchor,
    /// The attachment's name or type is empty or too long.
    #[error("name and type of an attachment must be 1 to {MAX_LABEL_BYTES} bytes on one line")]
    Attachment,
    /// Not a place.
    #[error(transparent)]
    Pose(#[from] PoseError),
    /// There is no such entry, or it was removed.
    #[error("no such entry: {0:?}")]
    NoEntry(EntryId),
}

impl RoomCommand {
    /// Checks every value, not whether the entry exists.
    ///
    /// # Errors
    /// [`CommandError`] names the first check that fails.
    pub fn check(&self) -> Result<(), CommandError> {
        let check_text = |text: &str| if is_text(text) { Ok(()) } else { Err(CommandError::Text) };
        match self {
            Self::AddAnnotation { text, pose, anchor, attachment } => {
                check_text(text)?;
                pose.check()?;
                if anchor.as_deref().is_some_and(|anchor| !is_anchor(anchor)) {
                    return Err(CommandError::Anchor);
                }
                if attachment.as_ref().is_some_and(|attachment| !attachment.is_within_limits()) {
                    return Err(CommandError::Attachment);
                }
                Ok(())
            }
            Self::MoveAnnotation { pose, .. } => Ok(pose.check()?),
            Self::EditAnnotation { text, .. }
            | Self::AddNote { text }
            | Self::EditNote { text, .. }
            | Self::Say { text } => check_text(text),
            Self::RemoveAnnotation { .. } => Ok(()),
        }
    }
}

/// Whether this is a text that may be written: line breaks and tabs are its only control characters.
pub(crate) fn is_text(text: &str) -> bool {
    let plain = |c: char| !c.is_control() || matches!(c, '\n' | '\t');
    (1..=MAX_TEXT_BYTES).contains(&text.len()) && text.chars().all(plain)
}

/// Whether this may name an anchor.
pub(crate) fn is_anchor(name: &str) -> bool {
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    (1..=MAX_ANCHOR_BYTES).contains(&name.len()) && name.bytes().all(plain)
}

/// A sealed file that belongs to an annotation: where it is and how to open it.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attachment {
    /// BLAKE3 hash of the sealed bytes, by which they are fetched.
    #[serde(with = "serde_bytes")]
    pub hash: [u8; 32],
    /// The key that opens them, of this file only.
    #[serde(with = "serde_bytes")]
    pub key: [u8; 32],
    /// How many bytes the opened file has.
    pub bytes: u64,
    /// Media type (RFC 6838), claimed, not proven.
    pub content_type: String,
    /// What the file is called.
    pub name: String,
}

impl Attachment {
    fn is_within_limits(&self) -> bool {
        let label =
            |text: &str| (1..=MAX_LABEL_BYTES).contains(&text.len()) && !text.chars().any(char::is_control);
        label(&self.content_type) && label(&self.name)
    }
}

impl fmt::Debug for Attachment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Attachment({} bytes)", self.bytes)
    }
}

/// The value of the field `attachment`.
pub(crate) fn attachment_to_bytes(attachment: &Attachment) -> Vec<u8> {
    codec::encode(attachment)
}

/// Reads [`attachment_to_bytes`] within its limits.
pub(crate) fn attachment_from_bytes(bytes: &[u8]) -> Option<Attachment> {
    let attachment: Attachment = codec::decode("attachment", bytes, MAX_ATTACHMENT_BYTES).ok()?;
    attachment.is_within_limits().then_some(attachment)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(command: &RoomCommand, expected: Result<(), CommandError>) {
        assert_eq!(command.check(), expected);
    }

    fn annotation(anchor: Option<&str>, attachment: Option<Attachment>) -> RoomCommand {
        let pose = Pose::at(0.0, 1.0, 0.0).unwrap();
        RoomCommand::AddAnnotation { text: "x".into(), pose, anchor: anchor.map(Into::into), attachment }
    }

    fn file(content_type: &str, name: &str) -> Attachment {
        Attachment {
            hash: [255; 32],
            key: [255; 32],
            bytes: u64::MAX,
            content_type: content_type.into(),
            name: name.into(),
        }
    }

    #[test]
    fn a_text_is_not_empty_not_too_long_and_plain() {
        let say = |text: &str| RoomCommand::Say { text: text.into() };
        check(&say("two\nlines\tand a tab, 两行"), Ok(()));
        check(&say(&"x".repeat(MAX_TEXT_BYTES)), Ok(()));
        for wrong in ["", "\u{1b}[31m", "\u{0}", &"x".repeat(MAX_TEXT_BYTES + 1), &"é".repeat(MAX_TEXT_BYTES)]
        {
            check(&say(wrong), Err(CommandError::Text));
            let id = EntryId::from_bytes([1; 16]);
            check(&RoomCommand::EditNote { id, text: wrong.into() }, Err(CommandError::Text));
        }
    }

    #[test]
    fn an_anchor_is_named_as_in_a_scene() {
        check(&annotation(Some("light-box"), None), Ok(()));
        for wrong in ["", "Light box", "../x", &"x".repeat(MAX_ANCHOR_BYTES + 1)] {
            check(&annotation(Some(wrong), None), Err(CommandError::Anchor));
        }
    }

    #[test]
    fn an_attachment_reads_back_within_its_limits() {
        let largest = file(&"t".repeat(MAX_LABEL_BYTES), &"n".repeat(MAX_LABEL_BYTES));
        let bytes = attachment_to_bytes(&largest);
        assert!(bytes.len() <= MAX_ATTACHMENT_BYTES, "{}", bytes.len());
        assert_eq!(attachment_from_bytes(&bytes), Some(largest.clone()));
        check(&annotation(None, Some(largest)), Ok(()));
        let long = "n".repeat(MAX_LABEL_BYTES + 1);
        for wrong in [file("", "n"), file("t", ""), file("t", "a\nb"), file("t", &long), file(&long, "n")] {
            assert_eq!(attachment_from_bytes(&attachment_to_bytes(&wrong)), None);
            check(&annotation(None, Some(wrong)), Err(CommandError::Attachment));
        }
        assert_eq!(attachment_from_bytes(&[bytes, vec![0]].concat()), None);
        assert_eq!(attachment_from_bytes(&vec![0; 5_000]), None);
    }

    #[test]
    fn a_pose_beyond_its_limits_is_no_command() {
        let pose = Pose { position_m: [f32::NAN; 3], orientation: [0.0, 0.0, 0.0, 1.0] };
        let moved = RoomCommand::MoveAnnotation { id: EntryId::from_bytes([1; 16]), pose };
        check(&moved, Err(CommandError::Pose(PoseError::Position)));
    }

    #[test]
    fn debug_shows_neither_words_nor_keys() {
        let text = format!(
            "{:?} {:?}",
            annotation(Some("desk"), Some(file("image/png", "sekret"))),
            file("a", "sekret")
        );
        assert!(!text.contains("sekret") && !text.contains("255"), "{text}");
    }
}
