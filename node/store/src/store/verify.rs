//! Checking that every record and every room is as it was written.

use std::sync::atomic::Ordering;

use keys::RecordId;

use super::{Store, record_id, rooms};
use crate::opened::Opened;
use crate::storage::{Storage, Table};
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
    /// Rooms looked at, damaged ones included.
    pub rooms_checked: u64,
    /// Rooms of which anything cannot be read as written, or is gone.
    pub rooms_damaged: u64,
    /// The store held more once: see [`Store::rollback`].
    pub rolled_back: bool,
}

impl VerifyReport {
    /// Whether every record and every room is as it was written.
    pub fn is_sound(&self) -> bool {
        self.damaged.is_empty() && self.missing == 0 && self.rooms_damaged == 0 && !self.rolled_back
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
    /// Reads every record and every room and checks that it is what was written. `progress` is told the number of
    /// records checked so far.
    ///
    /// # Errors
    /// When the store is closed. Damage, of the engine's file too, is reported, not an error.
    pub fn verify(&self, progress: &mut dyn FnMut(u64)) -> Result<VerifyReport, StoreError> {
        let opened = self.opened()?;
        let expected = opened.records.load(Ordering::Acquire);
        let mut report = VerifyReport::default();
        // By terms, the smaller table: a damaged page of records then costs no more than its own records.
        scan_past_damage(&*opened.storage, Table::Terms, &mut |key, stored| {
            let Some(id) = record_id(key) else { return };
            let readable = record::open_terms(&opened.vault, &id, stored).is_some()
                && matches!(opened.storage.get(Table::Records, key),
                    Ok(Some(stored)) if record::open(&opened.vault, &id, &stored).is_some());
            report.note(id, readable, progress);
        });
        if report.checked < expected {
            scan_past_damage(&*opened.storage, Table::Records, &mut |key, _| {
                let Some(id) = record_id(key) else { return };
                if !matches!(opened.storage.contains(Table::Terms, key), Ok(true)) {
                    report.note(id, false, progress);
                }
            });
        }
        report.rolled_back = opened.cut.get().is_some();
        report.missing = expected.saturating_sub(report.checked);
        (report.rooms_checked, report.rooms_damaged) = check_rooms(&opened);
        progress(report.checked);
        Ok(report)
    }
}

/// Visits the rows of `table`, and goes on behind a damaged page of the engine. Keys are hashes, spread evenly, so
/// stepping through their first two bytes leaves a page behind after few steps.
fn scan_past_damage(storage: &dyn Storage, table: Table, each: &mut dyn FnMut(&[u8], &[u8])) {
    let mut from = Vec::new();
    loop {
        let mut reached = from.clone();
        let mut damaged = false;
        for row in storage.scan(table, &from) {
            let Ok((key, value)) = row else {
                damaged = true;
                break;
            };
            each(&key, &value);
            reached = key;
        }
        if !damaged {
            return;
        }
        let prefix = [reached.first().copied().unwrap_or(0), reached.get(1).copied().unwrap_or(0)];
        let Some(next) = u16::from_be_bytes(prefix).checked_add(1) else { return };
        from = next.to_be_bytes().to_vec();
    }
}

/// How many rooms there are, and how many of them are damaged.
fn check_rooms(opened: &Opened) -> (u64, u64) {
    let expected = opened.room_count.load(Ordering::Acquire);
    let (mut found, mut damaged) = (0u64, 0u64);
    for (name, sealed) in opened.storage.scan(Table::Rooms, &[]).map_while(Result::ok) {
        let head = opened.rooms.open_head(&name, &sealed);
        let whole = head.is_some_and(|(room, _)| rooms::read(opened, &room, &mut drop).is_ok());
        found += 1;
        damaged += u64::from(!whole);
    }
    (found.max(expected), damaged + expected.saturating_sub(found))
}
