//! What a change does, checked operation by operation before automerge applies it: which section, whose entry,
//! which field, which value, and that all it refers to lies in its own past.

use automerge::legacy::{Key as OpKey, ObjectId, Op, OpId, OpType};
use automerge::{ExpandedChange, ObjType, ScalarValue};

use crate::change::{MAX_OPERATIONS, Refusal};
use crate::ids::{Actor, EntryId};
use crate::pose::Pose;
use crate::role::Rights;
use crate::schema::{Key, Section, attachment_from_bytes, is_anchor, is_text};

/// The name of an operation in a document: its counter and its actor. Sorts as automerge decides conflicts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct OperationId {
    /// Lamport clock.
    pub(crate) counter: u64,
    /// Who did it.
    pub(crate) actor: Actor,
}

impl OperationId {
    fn of(id: &OpId) -> Option<Self> {
        Some(Self { counter: id.0, actor: id.1.to_bytes().try_into().ok()? })
    }

    /// The name of the entry that this operation made.
    pub(crate) fn entry(&self) -> EntryId {
        EntryId::of(&self.actor, self.counter)
    }
}

/// An entry: what made it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Entry {
    /// The operation that made it.
    pub(crate) id: OperationId,
    /// Where it is.
    pub(crate) section: Section,
}

/// What one operation does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operation {
    /// Makes an entry.
    Make(Section),
    /// Writes a field.
    Write {
        /// Of which entry.
        entry: Entry,
        /// Which field.
        key: Key,
        /// Whether the same change makes the entry.
        fresh: bool,
    },
}

/// An operation of the past.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FoundOp {
    /// What it does.
    pub(crate) operation: Operation,
    /// Whether the author of the change under check did it.
    pub(crate) own: bool,
}

/// The past of the change under check.
pub(crate) trait History {
    /// The operation of this name, if it lies in the past.
    fn find(&self, id: &OperationId) -> Option<FoundOp>;
    /// The section of this name in the root.
    fn section(&self, id: &OperationId) -> Option<Section>;
}

/// What a change does and what it needs.
#[derive(Debug)]
pub(crate) struct Checked {
    /// One for each operation, in order.
    pub(crate) operations: Vec<Operation>,
    /// What its author must be allowed.
    pub(crate) needs: Rights,
}

/// Checks every operation of a change by `actor`.
pub(crate) fn check(
    change: &ExpandedChange,
    actor: &Actor,
    history: &impl History,
) -> Result<Checked, Refusal> {
    if change.operations.is_empty() {
        return Err(Refusal::Malformed);
    }
    if change.operations.len() > MAX_OPERATIONS {
        return Err(Refusal::TooManyOperations);
    }
    let mut check = Check { history, made: Vec::new(), needs: Rights::NONE, replaced: 0 };
    let mut operations = Vec::with_capacity(change.operations.len());
    for (counter, op) in (change.start_op.get()..).zip(&change.operations) {
        operations.push(check.operation(OperationId { counter, actor: *actor }, op)?);
    }
    if !check.made.iter().all(Made::is_whole) {
        return Err(Refusal::Malformed);
    }
    Ok(Checked { operations, needs: check.needs })
}

/// An entry that the change under check makes, and the fields it has so far.
struct Made {
    entry: Entry,
    keys: Vec<Key>,
}

impl Made {
    fn is_whole(&self) -> bool {
        let annotation = self.entry.section == Section::Annotations;
        self.keys.contains(&Key::Text) && self.keys.contains(&Key::Pose) == annotation
    }
}

struct Check<'a, H> {
    history: &'a H,
    made: Vec<Made>,
    needs: Rights,
    replaced: usize,
}

impl<H: History> Check<'_, H> {
    fn operation(&mut self, id: OperationId, op: &Op) -> Result<Operation, Refusal> {
        let (ObjectId::Id(object), OpKey::Map(key), false) = (&op.obj, &op.key, op.insert) else {
            return Err(Refusal::Target);
        };
        let object = OperationId::of(object).ok_or(Refusal::Target)?;
        self.replaced += op.pred.len();
        if self.replaced > MAX_OPERATIONS {
            return Err(Refusal::TooManyReferences);
        }
        match &op.action {
            OpType::Make(ObjType::Map) => self.make(id, object, key, op),
            OpType::Put(value) => self.write(id, object, key, value, op),
            _ => Err(Refusal::Target),
        }
    }

    fn make(
        &mut self,
        id: OperationId,
        object: OperationId,
        key: &str,
        op: &Op,
    ) -> Result<Operation, Refusal> {
        let section = self.history.section(&object).ok_or(Refusal::Target)?;
        if key != id.entry().to_string() || !op.pred.is_empty() {
            return Err(Refusal::Target);
        }
        self.made.push(Made { entry: Entry { id, section }, keys: Vec::new() });
        self.needs = self.needs.with(match section {
            Section::Annotations => Rights::ANNOTATE,
            Section::Notes => Rights::NOTE,
            Section::Chat => Rights::CHAT,
        });
        Ok(Operation::Make(section))
    }

    fn write(
        &mut self,
        id: OperationId,
        object: OperationId,
        key: &str,
        value: &ScalarValue,
        op: &Op,
    ) -> Result<Operation, Refusal> {
        let key = Key::named(key).ok_or(Refusal::Target)?;
        if !is_value(key, value) {
            return Err(Refusal::Value);
        }
        if let Some(made) = self.made.iter_mut().find(|made| made.entry.id == object) {
            let entry = made.entry;
            if !may_start_with(entry.section, key) || made.keys.contains(&key) || !op.pred.is_empty() {
                return Err(Refusal::Target);
            }
            made.keys.push(key);
            return Ok(Operation::Write { entry, key, fresh: true });
        }
        let found = self.history.find(&object).ok_or(Refusal::Target)?;
        let Operation::Make(section) = found.operation else { return Err(Refusal::Target) };
        self.needs = self.needs.with(later_right(section, key, found.own).ok_or(Refusal::Target)?);
        let entry = Entry { id: object, section };
        self.check_replaced(id, entry, key, op)?;
        Ok(Operation::Write { entry, key, fresh: false })
    }

    /// What is replaced are earlier values of the same field.
    fn check_replaced(&self, id: OperationId, entry: Entry, key: Key, op: &Op) -> Result<(), Refusal> {
        let mut before = None;
        for replaced in op.pred.iter() {
            let replaced = OperationId::of(replaced).ok_or(Refusal::Target)?;
            let found = self.history.find(&replaced).ok_or(Refusal::Target)?;
            let same = matches!(found.operation, Operation::Write { entry: e, key: k, .. } if e == entry && k == key);
            if !same || replaced.counter >= id.counter || before == Some(replaced) {
                return Err(Refusal::Target);
            }
            before = Some(replaced);
        }
        Ok(())
    }
}

/// Whether an entry of this section may be made with this field.
fn may_start_with(section: Section, key: Key) -> bool {
    match section {
        Section::Annotations => key != Key::Removed,
        Section::Notes | Section::Chat => key == Key::Text,
    }
}

/// What it takes to write this field of an entry that exists; none when nobody may.
fn later_right(section: Section, key: Key, own: bool) -> Option<Rights> {
    match (section, key) {
        (Section::Annotations, Key::Text | Key::Pose | Key::Removed) if own => Some(Rights::ANNOTATE),
        (Section::Annotations, Key::Text | Key::Pose | Key::Removed) => {
            Some(Rights::ANNOTATE.with(Rights::ANNOTATE_OTHERS))
        }
        (Section::Notes, Key::Text) => Some(Rights::NOTE),
        _ => None,
    }
}

fn is_value(key: Key, value: &ScalarValue) -> bool {
    match (key, value) {
        (Key::Text, ScalarValue::Str(text)) => is_text(text),
        (Key::Pose, ScalarValue::Bytes(bytes)) => Pose::from_bytes(bytes).is_some(),
        (Key::Anchor, ScalarValue::Str(name)) => is_anchor(name),
        (Key::Attachment, ScalarValue::Bytes(bytes)) => attachment_from_bytes(bytes).is_some(),
        (Key::Removed, ScalarValue::Boolean(removed)) => *removed,
        _ => false,
    }
}
