//! What people see of a room, and what they are told when it changes.

use std::collections::{BTreeMap, BTreeSet};

use automerge::ScalarValue;
use keys::{IdentityId, Timestamp};

use crate::pose::Pose;
use crate::room::Room;
use crate::room::ledger::{Node, Place};
use crate::schema::{
    Alternative, Annotation, Attachment, ChatLine, Field, Key, Note, Operation, OperationId, RoomEvent,
    RoomView, Section, attachment_from_bytes,
};

/// 9999-12-31T23:59:59.999Z: the last moment that RFC 3339 can write.
const LAST_MILLIS: i64 = 253_402_300_799_999;

/// The room as it is.
pub(super) fn view(room: &Room) -> RoomView {
    let charter = room.charter();
    let mut view = RoomView {
        id: room.id(),
        name: charter.name.clone(),
        scene: charter.scene.clone(),
        epoch: room.epochs.number(),
        members: room.epochs.members(),
        annotations: Vec::new(),
        notes: Vec::new(),
        chat: Vec::new(),
        heads: room.heads(),
    };
    let began = room.epochs.get(0).map_or(0, |epoch| epoch.time.as_millis()).min(LAST_MILLIS);
    for (id, entry) in entries(room) {
        let created = Timestamp::from_millis(entry.node.time_ms.clamp(began, LAST_MILLIS));
        let (author, name) = (entry.node.author, id.entry());
        let Some(text) = field(room, &id, &entry, Key::Text, to_text) else { continue };
        match entry.section {
            Section::Annotations => view.annotations.extend(annotation(room, &id, &entry, created, text)),
            Section::Notes => view.notes.push(Note { id: name, author, created, text }),
            Section::Chat => view.chat.push(ChatLine { id: name, author, created, text: text.value }),
        }
    }
    view
}

/// An entry, by what is known without asking the document.
struct Made<'a> {
    node: &'a Node,
    section: Section,
    /// All that was ever written to its fields, and by whom.
    written: Vec<(Key, OperationId, IdentityId)>,
}

impl Made<'_> {
    /// Whether a field was ever written.
    fn has(&self, key: Key) -> bool {
        self.written.iter().any(|(written, ..)| *written == key)
    }

    /// Who wrote this.
    fn author_of(&self, write: &OperationId) -> Option<IdentityId> {
        self.written.iter().rev().find(|(_, id, _)| id == write).map(|(.., author)| *author)
    }
}

/// All entries, in the order of their operations.
fn entries(room: &Room) -> BTreeMap<OperationId, Made<'_>> {
    let mut entries = BTreeMap::new();
    // What makes an entry comes before what writes to it.
    for node in room.ledger.counting().skip(1).map(|place| &room.ledger.nodes[place]) {
        for (id, operation) in node.named() {
            match operation {
                Operation::Make(section) => {
                    entries.insert(id, Made { node, section: *section, written: Vec::new() });
                }
                Operation::Write { entry, key, .. } => {
                    if let Some(made) = entries.get_mut(&entry.id) {
                        made.written.push((*key, id, node.author));
                    }
                }
            }
        }
    }
    entries
}

fn annotation(
    room: &Room,
    id: &OperationId,
    made: &Made<'_>,
    created: Timestamp,
    text: Field<String>,
) -> Option<Annotation> {
    // Nothing can unwrite this field.
    if made.has(Key::Removed) {
        return None;
    }
    let anchor = made.has(Key::Anchor).then(|| field(room, id, made, Key::Anchor, to_text)).flatten();
    let attachment =
        made.has(Key::Attachment).then(|| field(room, id, made, Key::Attachment, to_attachment)).flatten();
    Some(Annotation {
        id: id.entry(),
        author: made.node.author,
        created,
        text,
        pose: field(room, id, made, Key::Pose, to_pose)?,
        anchor: anchor.map(|anchor| anchor.value),
        attachment: attachment.map(|attachment| attachment.value),
    })
}

fn to_text(value: &ScalarValue) -> Option<String> {
    match value {
        ScalarValue::Str(text) => Some(text.to_string()),
        _ => None,
    }
}

fn to_pose(value: &ScalarValue) -> Option<Pose> {
    match value {
        ScalarValue::Bytes(bytes) => Pose::from_bytes(bytes),
        _ => None,
    }
}

fn to_attachment(value: &ScalarValue) -> Option<Attachment> {
    match value {
        ScalarValue::Bytes(bytes) => attachment_from_bytes(bytes),
        _ => None,
    }
}

/// The file that an annotation began with; nobody can write this field later.
pub(super) fn attachment(room: &Room, annotation: &OperationId) -> Option<Attachment> {
    room.document.field(annotation, Key::Attachment).pop().and_then(|(value, _)| to_attachment(&value))
}

/// The files of all annotations that nobody removed.
pub(super) fn attachments(room: &Room) -> Vec<Attachment> {
    let nodes = room.ledger.counting().map(|place| &room.ledger.nodes[place]);
    let annotations = nodes.flat_map(|node| &node.operations).filter_map(|operation| match operation {
        Operation::Write { entry, key: Key::Attachment, .. } => Some(entry.id),
        _ => None,
    });
    let there = annotations.filter(|id| room.document.field(id, Key::Removed).is_empty());
    there.filter_map(|id| attachment(room, &id)).collect()
}

/// A field with all that was written to it at the same time. What several wrote alike is no conflict.
fn field<T: PartialEq>(
    room: &Room,
    entry: &OperationId,
    made: &Made<'_>,
    key: Key,
    read: impl Fn(&ScalarValue) -> Option<T>,
) -> Option<Field<T>> {
    let mut values = room.document.field(entry, key);
    let (value, id) = values.pop()?;
    let (value, author) = (read(&value)?, made.author_of(&id)?);
    let mut alternatives: Vec<Alternative<T>> = Vec::new();
    // The nearest to winning first.
    for (other, id) in values.iter().rev() {
        let by = made.author_of(id);
        if let (Some(other), Some(author)) = (read(other).filter(|other| *other != value), by) {
            alternatives.push(Alternative { value: other, author });
        }
    }
    Some(Field { value, author, alternatives })
}

/// What changes that count since just now did.
pub(super) fn events(room: &Room, admitted: &[Place]) -> Vec<RoomEvent> {
    let mut events = Vec::new();
    let mut written = BTreeSet::new();
    for node in admitted.iter().map(|place| &room.ledger.nodes[*place]) {
        for (operation_id, operation) in node.named() {
            events.extend(event(operation_id, operation, node.author));
            if let Operation::Write { entry, key: Key::Text | Key::Pose, fresh: false } = operation {
                written.insert(entry.id);
            }
        }
    }
    for entry in written {
        let is_conflict = |key| room.document.field(&entry, key).len() > 1;
        let is_there = room.document.field(&entry, Key::Removed).is_empty();
        if is_there && (is_conflict(Key::Text) || is_conflict(Key::Pose)) {
            events.push(RoomEvent::Conflict { id: entry.entry() });
        }
    }
    events
}

fn event(id: OperationId, operation: &Operation, author: IdentityId) -> Option<RoomEvent> {
    match operation {
        Operation::Make(section) => {
            let id = id.entry();
            Some(match section {
                Section::Annotations => RoomEvent::AnnotationAdded { id, author },
                Section::Notes => RoomEvent::NoteAdded { id, author },
                Section::Chat => RoomEvent::Said { id, author },
            })
        }
        Operation::Write { fresh: true, .. } => None,
        Operation::Write { entry, key, .. } => {
            let id = entry.id.entry();
            match (entry.section, key) {
                (Section::Annotations, Key::Text) => Some(RoomEvent::AnnotationEdited { id, author }),
                (Section::Annotations, Key::Pose) => Some(RoomEvent::AnnotationMoved { id, author }),
                (Section::Annotations, Key::Removed) => Some(RoomEvent::AnnotationRemoved { id, author }),
                (Section::Notes, Key::Text) => Some(RoomEvent::NoteEdited { id, author }),
                _ => None,
            }
        }
    }
}
