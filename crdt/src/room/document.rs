//! The automerge document of a room. The only place that speaks automerge's document API: what it is given has
//! been checked, and where it fails or panics all the same, the document is built anew from what was accepted.

use std::num::NonZeroU64;
use std::panic::{AssertUnwindSafe, catch_unwind};

use automerge::legacy::{Key as OpKey, ObjectId, Op, OpId, OpType};
use automerge::transaction::{CommitOptions, Transactable};
use automerge::{
    ActorId, Automerge, AutomergeError, Change, ExpandedChange, ObjId, ObjType, ROOT, ReadDoc, ScalarValue,
    Value,
};

use crate::ids::{Actor, ChangeHash, RoomId};
use crate::schema::{Key, OperationId, SCHEMA_VERSION, Section};

/// The actor of the first change, the same in every room.
pub(super) const SCHEMA_ACTOR: Actor = [0; 16];

/// How many operations the first change has: a map for each section, the schema, its two fields.
pub(super) const SCHEMA_OPERATIONS: u64 = Section::ALL.len() as u64 + 3;

/// Automerge could not do what it was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("automerge failed")]
pub(super) struct Broken;

/// A document.
pub(super) struct Document {
    doc: Automerge,
    first: ChangeHash,
}

impl Document {
    /// The document of `room` with nothing in it but its sections: the same on every copy.
    pub(super) fn new(room: &RoomId) -> Result<Self, Broken> {
        guarded(|| {
            let mut doc = Automerge::new();
            doc.set_actor(ActorId::from(SCHEMA_ACTOR));
            let mut transaction = doc.transaction();
            for section in Section::ALL {
                transaction.put_object(ROOT, section.key(), ObjType::Map)?;
            }
            let schema = transaction.put_object(ROOT, "schema", ObjType::Map)?;
            transaction.put(&schema, "version", SCHEMA_VERSION)?;
            transaction.put(&schema, "room", room.as_bytes().to_vec())?;
            let (first, _) = transaction.commit_with(CommitOptions::default().with_time(0));
            let first = ChangeHash::from_bytes(first.ok_or(AutomergeError::Fail)?.0);
            Ok(Self { doc, first })
        })
    }

    /// The first change, on which all others build.
    pub(super) const fn first(&self) -> ChangeHash {
        self.first
    }

    /// Applies checked changes whose dependencies are here or among them, earlier ones first.
    pub(super) fn apply<'a>(&mut self, changes: impl Iterator<Item = &'a [u8]>) -> Result<(), Broken> {
        guarded(|| {
            let read = |raw| Change::try_from(raw).map_err(|_| AutomergeError::Fail);
            let changes = changes.map(read).collect::<Result<Vec<_>, _>>()?;
            let last = changes.last().map(Change::hash);
            self.doc.apply_changes(changes)?;
            // Automerge keeps what it cannot apply yet in a queue; nothing here may end up there.
            match last {
                Some(last) if self.doc.get_change_meta_by_hash(&last).is_none() => Err(AutomergeError::Fail),
                _ => Ok(()),
            }
        })
    }

    /// A copy to do with what the room never would.
    #[cfg(test)]
    pub(super) fn fork(&self) -> Automerge {
        self.doc.fork()
    }

    /// The document as automerge would write it to a disk, uncompressed.
    #[cfg(test)]
    pub(super) fn saved(&self) -> Vec<u8> {
        self.doc.save_nocompress()
    }

    /// All values of a field that nobody replaced, the one shown last; several mean that people wrote at the same
    /// time.
    pub(super) fn field(&self, entry: &OperationId, key: Key) -> Vec<(ScalarValue, OperationId)> {
        let values = self.doc.get_all(object(entry), key.name()).unwrap_or_default();
        let scalar = |(value, id): (Value<'_>, ObjId)| match (value, id) {
            (Value::Scalar(value), ObjId::Id(counter, actor, _)) => {
                let actor = actor.to_bytes().try_into().ok()?;
                Some((value.into_owned(), OperationId { counter, actor }))
            }
            _ => None,
        };
        values.into_iter().filter_map(scalar).collect()
    }
}

/// What one change does.
pub(super) enum Edit {
    /// Makes an entry.
    Make {
        /// Where.
        section: Section,
        /// What it starts with.
        fields: Vec<(Key, ScalarValue)>,
    },
    /// Writes a field.
    Set {
        /// Of which entry.
        entry: OperationId,
        /// Which field.
        key: Key,
        /// What.
        value: ScalarValue,
        /// In place of what.
        replaces: Vec<OperationId>,
    },
}

/// A change that is not made yet.
pub(super) struct Draft {
    pub(super) actor: Actor,
    pub(super) seq: u64,
    pub(super) start: u64,
    pub(super) time_ms: i64,
    pub(super) terms: String,
    pub(super) deps: Vec<ChangeHash>,
    pub(super) edit: Edit,
}

impl Draft {
    /// The bytes of the change. It is written out rather than taken from an automerge transaction, which writes
    /// nothing, or something else, where a value is equal to the present one.
    pub(super) fn encode(self) -> Result<Vec<u8>, Broken> {
        guarded(|| {
            let operations = self.operations();
            let change = ExpandedChange {
                operations,
                actor_id: ActorId::from(self.actor),
                hash: None,
                seq: self.seq,
                start_op: NonZeroU64::new(self.start).ok_or(AutomergeError::Fail)?,
                time: self.time_ms,
                message: Some(self.terms),
                deps: self.deps.iter().map(|dep| automerge::ChangeHash(*dep.as_bytes())).collect(),
                extra_bytes: Vec::new(),
                author: None,
            };
            Ok(Change::from(change).raw_bytes().to_vec())
        })
    }

    fn operations(&self) -> Vec<Op> {
        let op = |obj: OperationId, key: String, action, pred: Vec<OpId>| Op {
            action,
            obj: ObjectId::Id(op_id(&obj)),
            key: OpKey::Map(key.into()),
            pred: pred.into(),
            insert: false,
        };
        match &self.edit {
            Edit::Make { section, fields } => {
                let entry = OperationId { counter: self.start, actor: self.actor };
                let name = entry.entry().to_string();
                let make = op(section_id(*section), name, OpType::Make(ObjType::Map), Vec::new());
                let put = |(key, value): &(Key, ScalarValue)| {
                    op(entry, key.name().to_owned(), OpType::Put(value.clone()), Vec::new())
                };
                std::iter::once(make).chain(fields.iter().map(put)).collect()
            }
            Edit::Set { entry, key, value, replaces } => {
                let replaces = replaces.iter().map(op_id).collect();
                vec![op(*entry, key.name().to_owned(), OpType::Put(value.clone()), replaces)]
            }
        }
    }
}

fn op_id(id: &OperationId) -> OpId {
    OpId(id.counter, ActorId::from(id.actor))
}

/// The operation by which the first change makes a section.
fn section_id(section: Section) -> OperationId {
    let index = Section::ALL.iter().position(|other| *other == section).unwrap_or(0);
    OperationId { counter: index as u64 + 1, actor: SCHEMA_ACTOR }
}

fn object(id: &OperationId) -> ObjId {
    // The index is a hint that automerge verifies.
    ObjId::Id(id.counter, ActorId::from(id.actor), 0)
}

/// Runs automerge code; its panics are errors like others. What it worked on has to be thrown away then.
fn guarded<T>(work: impl FnOnce() -> Result<T, AutomergeError>) -> Result<T, Broken> {
    match catch_unwind(AssertUnwindSafe(work)) {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(_)) | Err(_) => Err(Broken),
    }
}

/// Reads a change whose shape was checked.
pub(super) fn expand(raw: &[u8]) -> Option<ExpandedChange> {
    guarded(|| Change::try_from(raw).map(|change| change.decode()).map_err(|_| AutomergeError::Fail)).ok()
}
