//! `Opened`: an unlocked store's engine, keys and counters, shared by its readers and its one writer.

use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, OnceLock};

use getrandom::SysRng;
use keys::{AuditLog, DataKey, DeviceKey, codec};
use rand_core::UnwrapErr;
use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;

use crate::StoreError;
use crate::document::Documents;
use crate::rooms::Rooms;
use crate::storage::{Batch, Storage, Table};
use crate::vault::Vault;

/// The format of everything in the engine.
const FORMAT: u8 = 1;
const FORMAT_KEY: &[u8] = b"format";
const CHECK_KEY: &[u8] = b"check";
const STATE_KEY: &[u8] = b"state";
/// Sealed in [`CHECK_KEY`]: opens only with the right root key.
const CHECK_VALUE: &[u8] = b"metaclinic store";
const CHECK_CONTEXT: &[u8] = b"metaclinic/store/check/1";
const STATE_CONTEXT: &[u8] = b"metaclinic/store/state/1";
const MAX_STATE_BYTES: usize = 8 << 10;

/// What all parts of an open store share.
pub(crate) struct Opened {
    pub(crate) storage: Arc<dyn Storage>,
    pub(crate) vault: Vault,
    pub(crate) documents: Documents,
    pub(crate) rooms: Rooms,
    /// Seals audit entries.
    pub(crate) audit_key: DataKey,
    /// Signs heads.
    pub(crate) device: DeviceKey,
    /// Where signed heads are kept.
    pub(crate) heads: PathBuf,
    /// Acknowledged records.
    pub(crate) records: AtomicU64,
    /// Acknowledged rooms.
    pub(crate) room_count: AtomicU64,
    /// Acknowledged audit entries.
    pub(crate) entries: AtomicU64,
    /// Set once by the first failed write.
    pub(crate) failed: OnceLock<StoreError>,
    /// Set when opening found less than the newest signed head covers.
    pub(crate) cut: OnceLock<StoreError>,
    meta_key: DataKey,
}

/// What the writer goes on from; kept sealed and changed in the same batch as what it counts.
pub(crate) struct State {
    pub(crate) records: u64,
    pub(crate) rooms: u64,
    pub(crate) log: AuditLog,
}

#[derive(Serialize, Deserialize)]
struct StateMessage {
    version: u8,
    records: u64,
    rooms: u64,
    log: ByteBuf,
}

impl Opened {
    /// Opens a home's store on `storage`; a fresh engine gets its format mark and check value first.
    pub(crate) fn open(
        storage: Arc<dyn Storage>,
        home: &Path,
        root: &DataKey,
        device: &DeviceKey,
    ) -> Result<(Self, State), StoreError> {
        let meta_key = root.derive("metaclinic 2026-01 store meta");
        let state = match storage.get(Table::Meta, FORMAT_KEY)?.as_deref() {
            None => initialise(storage.as_ref(), &meta_key)?,
            Some([FORMAT]) => resume(storage.as_ref(), &meta_key)?,
            Some([found]) if *found > FORMAT => return Err(StoreError::NewerFormat { found: *found }),
            Some(_) => return Err(StoreError::Damaged { what: "format mark" }),
        };
        let opened = Self {
            vault: Vault::open(&home.join("keys"), root)?,
            documents: Documents::new(root),
            rooms: Rooms::new(root),
            audit_key: root.derive("metaclinic 2026-01 store audit"),
            device: DeviceKey::from_seed(*device.seed()),
            heads: home.join("audit").join("heads"),
            records: AtomicU64::new(state.records),
            room_count: AtomicU64::new(state.rooms),
            entries: AtomicU64::new(state.log.entries()),
            failed: OnceLock::new(),
            cut: OnceLock::new(),
            meta_key,
            storage,
        };
        Ok((opened, state))
    }

    /// Adds the new state to `batch`.
    pub(crate) fn put_state(&self, batch: &mut Batch, state: &State) {
        put_state(&self.meta_key, batch, state);
    }
}

fn put_state(key: &DataKey, batch: &mut Batch, state: &State) {
    let log = ByteBuf::from(state.log.save());
    let bytes =
        codec::encode(&StateMessage { version: FORMAT, records: state.records, rooms: state.rooms, log });
    batch.put(Table::Meta, STATE_KEY, key.seal(&mut UnwrapErr(SysRng), STATE_CONTEXT, &bytes));
}

fn initialise(storage: &dyn Storage, key: &DataKey) -> Result<State, StoreError> {
    for table in
        [Table::Meta, Table::Records, Table::Audit, Table::Documents, Table::Rooms, Table::RoomEntries]
    {
        if let Some(row) = storage.scan(table, &[]).next() {
            row?;
            return Err(StoreError::Damaged { what: "store: its format mark is missing" });
        }
    }
    let state = State { records: 0, rooms: 0, log: AuditLog::new() };
    let mut batch = Batch::default();
    batch.put(Table::Meta, FORMAT_KEY, vec![FORMAT]);
    batch.put(Table::Meta, CHECK_KEY, key.seal(&mut UnwrapErr(SysRng), CHECK_CONTEXT, CHECK_VALUE));
    put_state(key, &mut batch, &state);
    storage.apply(batch)?;
    storage.flush()?;
    Ok(state)
}

fn resume(storage: &dyn Storage, key: &DataKey) -> Result<State, StoreError> {
    let check = storage.get(Table::Meta, CHECK_KEY)?.ok_or(StoreError::Damaged { what: "check value" })?;
    if key.open(CHECK_CONTEXT, &check).ok().as_deref() != Some(CHECK_VALUE) {
        return Err(StoreError::WrongKey);
    }
    let damaged = || StoreError::Damaged { what: "store state" };
    let sealed = storage.get(Table::Meta, STATE_KEY)?.ok_or_else(damaged)?;
    let bytes = key.open(STATE_CONTEXT, &sealed).map_err(|_| damaged())?;
    let message: StateMessage =
        codec::decode("store state", &bytes, MAX_STATE_BYTES).map_err(|_| damaged())?;
    Ok(State { records: message.records, rooms: message.rooms, log: AuditLog::resume(&message.log)? })
}
