//! `MemoryStorage`: the twin of the engine for tests, with a durable image and what is still pending.
//!
//! It counts sync points (each `apply` and each `flush`) and can fail at one of them; [`MemoryStorage::crash`]
//! gives what a machine would find after losing power there.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::{Batch, Change, Row, Storage, Table};
use crate::StoreError;

type Image = BTreeMap<Vec<u8>, Vec<u8>>;

/// What happens at a sync point.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The machine stops: this and all later calls fail.
    Crash,
    /// No space is left, here and at all later sync points.
    DiskFull,
}

#[derive(Default)]
struct State {
    durable: Image,
    visible: Image,
    pending: Vec<Vec<Change>>,
    sync_points: u64,
    flushes: u64,
    fault: Option<(u64, Fault)>,
}

/// An engine in memory.
#[derive(Default)]
pub(crate) struct MemoryStorage(Mutex<State>);

impl MemoryStorage {
    /// Fails at sync point number `at` (0 is the first) and at all later ones.
    pub(crate) fn fail_at(&self, at: u64, fault: Fault) {
        self.state().fault = Some((at, fault));
    }

    /// Sync points passed so far.
    pub(crate) fn sync_points(&self) -> u64 {
        self.state().sync_points
    }

    /// Flushes so far.
    pub(crate) fn flushes(&self) -> u64 {
        self.state().flushes
    }

    /// What is found after a power loss now: the durable image and the first `survivors` pending batches,
    /// since an engine may have written some of them already.
    pub(crate) fn crash(&self, survivors: usize) -> Self {
        let state = self.state();
        let mut durable = state.durable.clone();
        for changes in state.pending.iter().take(survivors) {
            change(&mut durable, changes);
        }
        Self(Mutex::new(State { visible: durable.clone(), durable, ..State::default() }))
    }

    /// Changes a stored value behind the store's back.
    pub(crate) fn tamper(&self, table: Table, key: &[u8], value: Option<Vec<u8>>) {
        let mut state = self.state();
        let changes = [(table.key(key), value)];
        change(&mut state.durable, &changes);
        change(&mut state.visible, &changes);
    }

    /// A copy of everything visible, as a disk image put aside.
    pub(crate) fn copy(&self) -> Self {
        let visible = self.state().visible.clone();
        Self(Mutex::new(State { durable: visible.clone(), visible, ..State::default() }))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn sync_point(&mut self) -> Result<(), StoreError> {
        let here = self.sync_points;
        self.sync_points += 1;
        match self.fault {
            Some((at, Fault::Crash)) if here >= at => {
                Err(StoreError::Engine { action: "write", detail: "power lost".into() })
            }
            Some((at, Fault::DiskFull)) if here >= at => Err(StoreError::DiskFull),
            _ => Ok(()),
        }
    }
}

fn change(image: &mut Image, changes: &[Change]) {
    for (key, value) in changes {
        match value {
            Some(value) => image.insert(key.clone(), value.clone()),
            None => image.remove(key),
        };
    }
}

impl Storage for MemoryStorage {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.state().visible.get(&table.key(key)).cloned())
    }

    fn contains(&self, table: Table, key: &[u8]) -> Result<bool, StoreError> {
        Ok(self.state().visible.contains_key(&table.key(key)))
    }

    fn scan<'a>(&'a self, table: Table, from: &[u8]) -> Box<dyn Iterator<Item = Row> + 'a> {
        let mut next = Bound::Included(table.key(from));
        Box::new(std::iter::from_fn(move || {
            let state = self.state();
            let mut rows = state.visible.range::<Vec<u8>, _>((next.as_ref(), Bound::Unbounded));
            let (key, value) = rows.next().filter(|(key, _)| key.first() == Some(&(table as u8)))?;
            let row = (key[1..].to_vec(), value.clone());
            next = Bound::Excluded(key.clone());
            Some(Ok(row))
        }))
    }

    fn apply(&self, batch: Batch) -> Result<(), StoreError> {
        let mut state = self.state();
        state.sync_point()?;
        let changes = batch.into_changes();
        change(&mut state.visible, &changes);
        state.pending.push(changes);
        Ok(())
    }

    fn flush(&self) -> Result<(), StoreError> {
        let mut state = self.state();
        state.sync_point()?;
        state.flushes += 1;
        state.durable = state.visible.clone();
        state.pending.clear();
        Ok(())
    }

    fn size(&self) -> Result<u64, StoreError> {
        Ok(self.state().durable.iter().map(|(k, v)| (k.len() + v.len()) as u64).sum())
    }
}
