//! The audit trail of a store.

use std::sync::atomic::Ordering;

use keys::{
    AuditEntry, AuditEvent, AuditReport, Checkpoint, MAX_AUDIT_ENTRY_BYTES, Signed, Timestamp, codec,
    verify_audit,
};
use zeroize::Zeroizing;

use super::Store;
use crate::opened::Opened;
use crate::storage::{Row, Table};
use crate::writer::{Then, Write};
use crate::{StoreError, trail};

/// The most audit entries returned at once.
const MAX_PAGE: usize = 10_000;

impl Store {
    /// Records `events` in the audit trail; durable when this returns.
    ///
    /// # Errors
    /// As [`Store::put`].
    pub fn audit(&self, events: Vec<(Timestamp, AuditEvent)>) -> Result<(), StoreError> {
        self.live()?.submit(Write { events, ..Write::default() }, Then::Acknowledge).map(|_| ())
    }

    /// At most `limit` (and 10,000) audit entries from number `from_seq` on.
    ///
    /// # Errors
    /// [`StoreError::Damaged`] when one of them is not as it was written.
    pub fn audit_entries(&self, from_seq: u64, limit: usize) -> Result<Vec<AuditEntry>, StoreError> {
        let opened = self.opened()?;
        let rows = opened.storage.scan(Table::Audit, &from_seq.to_be_bytes()).take(limit.min(MAX_PAGE));
        rows.map(|row| {
            let bytes = open_entry(&opened, row)?;
            codec::decode("audit entry", &bytes, MAX_AUDIT_ENTRY_BYTES)
                .map_err(|_| StoreError::Damaged { what: "audit entry" })
        })
        .collect()
    }

    /// How many audit entries there are; 0 once closed.
    pub fn audit_count(&self) -> u64 {
        self.opened().map_or(0, |opened| opened.entries.load(Ordering::Acquire))
    }

    /// Checks the whole audit trail against itself, every kept signed head and the number of entries known,
    /// then signs a head at `now` (unless writing has failed), so that what was verified cannot be cut off later.
    ///
    /// # Errors
    /// [`StoreError::Trail`], [`StoreError::TrailCut`] or [`StoreError::Damaged`] when it is not as written.
    pub fn audit_verify(&self, now: Timestamp) -> Result<AuditReport, StoreError> {
        let opened = self.opened()?;
        // Heads first: entries are durable before their head is, so every head read has its entries.
        let known = opened.entries.load(Ordering::Acquire);
        let heads = trail::all_heads(&opened.heads)?;
        let mut unreadable = None;
        let entries =
            opened.storage.scan(Table::Audit, &[]).map_while(|row| match open_entry(&opened, row) {
                Ok(mut bytes) => Some(std::mem::take(&mut *bytes)),
                Err(error) => {
                    unreadable = Some(error);
                    None
                }
            });
        let report = verify_audit(entries, &heads, &opened.device.id());
        if let Some(error) = unreadable {
            return Err(error);
        }
        let report = report?;
        if report.entries < known {
            return Err(StoreError::TrailCut { found: report.entries, known });
        }
        if opened.failed.get().is_none() {
            self.checkpoint(now)?;
        }
        Ok(report)
    }

    /// Signs a head over all audit entries so far and keeps it.
    ///
    /// # Errors
    /// As [`Store::put`].
    pub fn checkpoint(&self, now: Timestamp) -> Result<Signed<Checkpoint>, StoreError> {
        let head = self.live()?.submit(Write::default(), Then::Checkpoint(now))?;
        Ok(head.expect("the writer answers a checkpoint with its head"))
    }
}

fn open_entry(opened: &Opened, row: Row) -> Result<Zeroizing<Vec<u8>>, StoreError> {
    let (key, sealed) = row?;
    let seq = key.try_into().ok().map(u64::from_be_bytes);
    seq.and_then(|seq| trail::open_entry(&opened.audit_key, seq, &sealed))
        .ok_or(StoreError::Damaged { what: "audit entry" })
}
