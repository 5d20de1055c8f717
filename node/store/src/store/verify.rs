//! Checking that every record is as it was written.

use std::sync::atomic::Ordering;

use keys::RecordId;

use super::{Store, record_id};
use crate::storage::Table;
use crate::{StoreError, record};

/// Records verified between two reports of progress.
const PROGRESS_RECORDS: u64 = 1_000;

/// What [`Store::verify`] found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct VerifyReport {
    /// Records looked at, damaged ones included.
    pub checked: u64,
    /// Records that cannot be read as written, or not be found by their terms.
    pub damaged: Vec<RecordId>,
    /// Records that were stored and of which not even the name can be read any more.
    pub missing: u64,
    /// The store held more once: see [`Store::rollback`].
    pub rolled_back: bool,
}

impl VerifyReport {
    /// Whether every record is as it was written.
    pub fn is_sound(&self) -> bool {
        self.damaged.is_empty() && self.missing == 0 && !self.rolled_back
    }

    fn note(&mut self, id: RecordId, readable: bool, progress: &mut dyn FnMut(u64)) {
        self.checked += 1;
        if !readable {
            self.damaged.push(id);
        }
        if self.checked.is_multiple_of(PROGRESS_RECORDS) {
            progress(self.checked);
        }
    }
}

impl Store {
    /// Reads every record and checks that it is what was written. `progress` is told the number checked so far.
    ///
    /// # Errors
    /// When the store is closed. Damage, of the engine's file too, is reported, not an error.
    pub fn verify(&self, progress: &mut dyn FnMut(u64)) -> Result<VerifyReport, StoreError> {
        let room = self.room()?;
        let expected = room.records.load(Ordering::Acquire);
        let mut report = VerifyReport::default();
        // By terms, the smaller table: a damaged page of records then costs no more than its own records.
        for (key, stored) in room.storage.scan(Table::Terms, &[]).map_while(Result::ok) {
            let Some(id) = record_id(&key) else { continue };
            let readable = record::open_terms(&room.vault, &id, &stored).is_some()
                && matches!(room.storage.get(Table::Records, &key),
                    Ok(Some(stored)) if record::open(&room.vault, &id, &stored).is_some());
            report.note(id, readable, progress);
        }
        if report.checked < expected {
            for (key, _) in room.storage.scan(Table::Records, &[]).map_while(Result::ok) {
                let Some(id) = record_id(&key) else { continue };
                if !matches!(room.storage.contains(Table::Terms, &key), Ok(true)) {
                    report.note(id, false, progress);
                }
            }
        }
        report.rolled_back = room.cut.get().is_some();
        report.missing = expected.saturating_sub(report.checked);
        progress(report.checked);
        Ok(report)
    }
}
