//! `Storage`: the one boundary behind which a storage engine lives.
//!
//! Tables are told apart by the first byte of the key, so that one batch is atomic over all of them.

#[cfg(test)]
pub(crate) mod memory;
#[cfg(test)]
mod tests;

use crate::StoreError;

/// A table. Its number is the first byte of each of its keys, on disk and for ever.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Table {
    /// Sealed records by record id.
    Records = 1,
    /// Sealed search terms by record id.
    Terms = 2,
    /// Sealed small documents by keyed hash.
    Documents = 3,
    /// Sealed audit entries by big-endian sequence number.
    Audit = 4,
    /// Format, check value and counters.
    Meta = 5,
    /// Sealed heads of rooms by keyed hash.
    Rooms = 6,
    /// Sealed entries of rooms by keyed hash and big-endian number.
    RoomEntries = 7,
}

impl Table {
    /// The engine's key for `key` of this table.
    pub(crate) fn key(self, key: &[u8]) -> Vec<u8> {
        let mut whole = Vec::with_capacity(1 + key.len());
        whole.push(self as u8);
        whole.extend_from_slice(key);
        whole
    }
}

/// One change of a [`Batch`]: the engine's key, and the new value or `None` to remove it.
pub(crate) type Change = (Vec<u8>, Option<Vec<u8>>);

/// Changes that happen together or not at all. For one key the last change counts.
#[derive(Default)]
pub(crate) struct Batch {
    changes: Vec<Change>,
    bytes: usize,
}

impl Batch {
    /// Sets `key` of `table`.
    pub(crate) fn put(&mut self, table: Table, key: &[u8], value: Vec<u8>) {
        self.bytes += key.len() + value.len();
        self.changes.push((table.key(key), Some(value)));
    }

    /// Removes `key` of `table`; nothing happens when it is not there.
    pub(crate) fn remove(&mut self, table: Table, key: &[u8]) {
        self.bytes += key.len();
        self.changes.push((table.key(key), None));
    }

    /// Adds the changes of `other` after those of this batch.
    pub(crate) fn append(&mut self, mut other: Self) {
        self.bytes += other.bytes;
        self.changes.append(&mut other.changes);
    }

    /// Bytes of all keys and values.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether nothing changes.
    pub(crate) fn is_empty(&self) -> bool {
        self.changes.is_empty()
    }

    /// The changes in order.
    pub(crate) fn into_changes(self) -> Vec<Change> {
        self.changes
    }
}

/// Key (without the table's byte) and value of one row, or why it cannot be read.
pub(crate) type Row = Result<(Vec<u8>, Vec<u8>), StoreError>;

/// An ordered map of bytes with atomic batches.
///
/// Contract: `apply` is atomic, visible to readers at once, and durable only after the next `flush`;
/// batches become durable in the order they were applied. One thread at a time applies and flushes.
pub(crate) trait Storage: Send + Sync {
    /// The value of `key`.
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError>;
    /// Whether there is a value for `key`.
    fn contains(&self, table: Table, key: &[u8]) -> Result<bool, StoreError>;
    /// Rows of `table` with a key not below `from`, ascending, read as they are asked for.
    fn scan<'a>(&'a self, table: Table, from: &[u8]) -> Box<dyn Iterator<Item = Row> + 'a>;
    /// Makes all changes of `batch` visible, or none.
    fn apply(&self, batch: Batch) -> Result<(), StoreError>;
    /// Makes everything applied so far durable.
    fn flush(&self) -> Result<(), StoreError>;
    /// Bytes on disk.
    fn size(&self) -> Result<u64, StoreError>;
}
