//! The rooms of a store: what each appended, in order.

use std::sync::atomic::Ordering;

use keys::{AuditEvent, Timestamp};
use zeroize::Zeroizing;

use super::{MAX_BATCH_BYTES, MAX_BATCH_LENGTH, Store, within, writable};
use crate::StoreError;
use crate::opened::Opened;
use crate::rooms::{RoomKey, entry_key};
use crate::storage::Table;
use crate::writer::{Append, Then, Write};

/// The most bytes of one entry of a room.
const MAX_ENTRY_BYTES: usize = 128 << 10;

const DAMAGED: StoreError = StoreError::Damaged { what: "room" };

impl Store {
    /// Appends `entries` (at most 128 KiB each, 10,000 of them, 64 MiB together) to what is kept of a room and
    /// records `events`, all or nothing; durable when this returns. Entries of two calls at once do not mix.
    ///
    /// # Errors
    /// [`StoreError::TooLarge`] before anything is written; [`StoreError::Damaged`] when what is there cannot be
    /// gone on from; the rest as [`Store::put`].
    pub fn append_room(
        &self,
        room: &[u8; 32],
        entries: Vec<Vec<u8>>,
        events: Vec<(Timestamp, AuditEvent)>,
    ) -> Result<(), StoreError> {
        let entries = Zeroizing::new(entries);
        within("batch of room entries", entries.len(), MAX_BATCH_LENGTH)?;
        within("batch", entries.iter().map(Vec::len).sum(), MAX_BATCH_BYTES)?;
        entries.iter().try_for_each(|entry| within("room entry", entry.len(), MAX_ENTRY_BYTES))?;
        let live = self.live()?;
        writable(&live.opened)?;
        // Found here, damage fails this call; found by the writer, it would end all writing.
        head(&live.opened, room)?;
        let mut write = Write { events, ..Write::default() };
        if !entries.is_empty() {
            write.appends.push(Append { room: *room, entries });
        }
        live.submit(write, Then::Acknowledge).map(|_| ())
    }

    /// Hands every entry of a room to `each`, in the order in which they were appended; none for an unknown room.
    ///
    /// # Errors
    /// [`StoreError::Damaged`] when one is not as it was written or is gone; those before it were handed over.
    pub fn room_entries(&self, room: &[u8; 32], each: &mut dyn FnMut(Vec<u8>)) -> Result<(), StoreError> {
        read(&*self.opened()?, room, each)
    }

    /// The rooms of which anything is kept, in no particular order.
    ///
    /// # Errors
    /// [`StoreError::Damaged`] when one cannot be told: a missing room must not pass for none.
    pub fn rooms(&self) -> Result<Vec<[u8; 32]>, StoreError> {
        let opened = self.opened()?;
        let known = opened.room_count.load(Ordering::Acquire);
        let heads = opened.storage.scan(Table::Rooms, &[]);
        let rooms = heads.map(|row| {
            let (name, sealed) = row?;
            opened.rooms.open_head(&name, &sealed).map(|(room, _)| room).ok_or(DAMAGED)
        });
        let rooms: Vec<RoomKey> = rooms.collect::<Result<_, _>>()?;
        if (rooms.len() as u64) < known { Err(DAMAGED) } else { Ok(rooms) }
    }
}

/// How many entries a room has; `None` when it is not kept.
pub(crate) fn head(opened: &Opened, room: &RoomKey) -> Result<Option<u64>, StoreError> {
    let name = opened.rooms.name(room);
    let Some(sealed) = opened.storage.get(Table::Rooms, &name)? else {
        // Entries without a head must not be written over.
        let lost = opened.storage.contains(Table::RoomEntries, &entry_key(&name, 0))?;
        return if lost { Err(DAMAGED) } else { Ok(None) };
    };
    opened.rooms.open_head(&name, &sealed).map(|(_, count)| Some(count)).ok_or(DAMAGED)
}

/// Hands the entries that the head counts to `each`.
pub(super) fn read(opened: &Opened, room: &RoomKey, each: &mut dyn FnMut(Vec<u8>)) -> Result<(), StoreError> {
    let Some(count) = head(opened, room)? else { return Ok(()) };
    let name = opened.rooms.name(room);
    let mut rows = opened.storage.scan(Table::RoomEntries, &name);
    for seq in 0..count {
        let (key, sealed) = rows.next().ok_or(DAMAGED)??;
        if key != entry_key(&name, seq) {
            return Err(DAMAGED);
        }
        let mut entry = opened.rooms.open_entry(room, seq, &sealed).ok_or(DAMAGED)?;
        each(std::mem::take(&mut *entry));
    }
    Ok(())
}
