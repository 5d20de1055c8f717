//! `Store`: what a node does with its storage.

mod audit;
mod rooms;
#[cfg(test)]
mod tests;
mod verify;

pub(crate) use rooms::head;
pub use verify::VerifyReport;

use std::fmt;
use std::path::Path;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::thread::{self, JoinHandle};

use keys::{AuditEvent, Checkpoint, DataKey, DeviceKey, Pseudonym, RecordId, Signed, Timestamp};
use zeroize::Zeroizing;

use crate::document::DocumentKind;
use crate::opened::Opened;
use crate::sled::SledStorage;
use crate::storage::{Storage, Table};
use crate::writer::{Job, QUEUE_JOBS, Then, Write, Writer};
use crate::{StoreError, ballast, files, record};

/// The most bytes of one record, 17 MiB: a resource of 16 MiB and what is kept with it. Larger things are attachments.
pub const MAX_PAYLOAD_BYTES: usize = 17 << 20;
/// The most bytes of one record's search terms.
const MAX_TERMS_BYTES: usize = 1 << 20;
/// The most bytes of one batch.
const MAX_BATCH_BYTES: usize = 64 << 20;
/// The most records, and the most audit entries, of one batch.
const MAX_BATCH_LENGTH: usize = 10_000;
/// The most bytes of one document.
const MAX_DOCUMENT_BYTES: usize = 1 << 20;
/// The most bytes of a document's key.
const MAX_DOCUMENT_KEY_BYTES: usize = 1 << 10;

/// The open store of a home. Clones share it; the last one to go ends it, as a crash would, without loss.
#[derive(Clone)]
pub struct Store {
    shared: Arc<Shared>,
}

struct Shared {
    live: RwLock<Option<Live>>,
    writer: Mutex<Option<JoinHandle<()>>>,
}

#[derive(Clone)]
struct Live {
    opened: Arc<Opened>,
    queue: SyncSender<Job>,
}

/// A document's key and content.
pub type KeyedDocument = (Vec<u8>, Zeroizing<Vec<u8>>);

/// A record to be kept. An `id` that is there already is replaced.
pub struct NewRecord {
    /// Under what it is found: a keyed hash.
    pub id: RecordId,
    /// Whose record it is: decides which keys erase it.
    pub subject: Pseudonym,
    /// The record itself, at most [`MAX_PAYLOAD_BYTES`].
    pub payload: Vec<u8>,
    /// What it can be found by, at most 1 MiB; see [`Store::terms`].
    pub terms: Vec<u8>,
}

impl fmt::Debug for NewRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "NewRecord({:?}, {} bytes)", self.id, self.payload.len())
    }
}

impl Store {
    /// Opens the store in `home` or creates it. `root` seals everything in it; `device` signs the heads of its
    /// audit trail.
    ///
    /// # Errors
    /// [`StoreError::WrongKey`] when `root` is not this store's, [`StoreError::InUse`] when another process has
    /// it open, [`StoreError::DiskFull`] when there is no space even to open it.
    pub fn open(home: &Path, root: &DataKey, device: &DeviceKey) -> Result<Self, StoreError> {
        files::create_folder(home)?;
        let folder = home.join("store");
        files::create_folder(&folder)?;
        let mut opened = SledStorage::open(&folder);
        let full = matches!(opened, Err(StoreError::DiskFull));
        while matches!(opened, Err(StoreError::DiskFull)) && ballast::release(home) {
            tracing::warn!("the disk is full: ballast given free to open the store");
            opened = SledStorage::open(&folder);
        }
        let storage = opened?;
        if !full && let Err(error) = ballast::keep(home) {
            tracing::warn!(%error, "no space for ballast");
        }
        Self::open_on(Arc::new(storage), home, root, device)
    }

    fn open_on(
        storage: Arc<dyn Storage>,
        home: &Path,
        root: &DataKey,
        device: &DeviceKey,
    ) -> Result<Self, StoreError> {
        let (opened, state) = Opened::open(storage, home, root, device)?;
        let opened = Arc::new(opened);
        let writer = Writer::new(Arc::clone(&opened), state)?;
        let (queue, jobs) = sync_channel(QUEUE_JOBS);
        let thread = thread::Builder::new().name("store-writer".into()).spawn(move || writer.run(&jobs));
        let thread = thread.map_err(StoreError::io("start the writer of", home))?;
        let shared =
            Shared { live: RwLock::new(Some(Live { opened, queue })), writer: Mutex::new(Some(thread)) };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// Keeps `batch` and records `events` in the audit trail, all or nothing; durable when this returns.
    ///
    /// # Errors
    /// [`StoreError::TooLarge`] before anything is written; [`StoreError::DiskFull`] or
    /// [`StoreError::ReadOnly`] when writing failed, now or earlier.
    pub fn put(&self, batch: Vec<NewRecord>, events: Vec<(Timestamp, AuditEvent)>) -> Result<(), StoreError> {
        within("batch of records", batch.len(), MAX_BATCH_LENGTH)?;
        let total = batch.iter().map(|r| r.payload.len() + r.terms.len()).sum();
        within("batch", total, MAX_BATCH_BYTES)?;
        for new in &batch {
            within("record", new.payload.len(), MAX_PAYLOAD_BYTES)?;
            within("search terms", new.terms.len(), MAX_TERMS_BYTES)?;
        }
        let live = self.live()?;
        writable(&live.opened)?;
        let mut write = Write { events, ..Write::default() };
        for new in batch {
            let segment = live.opened.vault.reserve(&new.subject);
            let payload = Zeroizing::new(new.payload);
            let (sealed, terms) = record::seal(&segment, &new.subject, &new.id, &payload, &new.terms);
            write.batch.put(Table::Records, new.id.as_bytes(), sealed);
            write.batch.put(Table::Terms, new.id.as_bytes(), terms);
            write.records.push(new.id);
        }
        live.submit(write, Then::Acknowledge).map(|_| ())
    }

    /// The payload of a record.
    ///
    /// # Errors
    /// [`StoreError::Damaged`] when it is there but not as it was written, or its key was destroyed.
    pub fn get(&self, id: &RecordId) -> Result<Option<Zeroizing<Vec<u8>>>, StoreError> {
        let opened = self.opened()?;
        let Some(stored) = opened.storage.get(Table::Records, id.as_bytes())? else { return Ok(None) };
        record::open(&opened.vault, id, &stored).map(Some).ok_or(StoreError::Damaged { what: "record" })
    }

    /// Whether there is a record `id`.
    ///
    /// # Errors
    /// When the engine fails.
    pub fn contains(&self, id: &RecordId) -> Result<bool, StoreError> {
        self.opened()?.storage.contains(Table::Records, id.as_bytes())
    }

    /// How many records are kept; 0 once closed.
    pub fn record_count(&self) -> u64 {
        self.opened().map_or(0, |opened| opened.records.load(Ordering::Acquire))
    }

    /// Bytes that the engine's files have on disk.
    ///
    /// # Errors
    /// When the engine fails.
    pub fn size_bytes(&self) -> Result<u64, StoreError> {
        self.opened()?.storage.size()
    }

    /// Why nothing can be written at present; `None` when writing works.
    pub fn write_failure(&self) -> Option<StoreError> {
        self.opened().map_or(Some(StoreError::Closed), |opened| opened.failed.get().cloned())
    }

    /// Whether this store is known to have held more than it holds now: its file lost its end, or an older copy
    /// was put back. Found when it was opened, by comparing with the newest signed head.
    pub fn rollback(&self) -> Option<StoreError> {
        self.opened().ok()?.cut.get().cloned()
    }

    /// Hands the search terms of every record to `each`, as they were put. Damaged ones are left out and
    /// counted in the log; [`Store::verify`] names them.
    ///
    /// # Errors
    /// When the engine fails.
    pub fn terms(&self, each: &mut dyn FnMut(RecordId, Vec<u8>)) -> Result<(), StoreError> {
        let opened = self.opened()?;
        let mut damaged = 0u64;
        for row in opened.storage.scan(Table::Terms, &[]) {
            let (key, stored) = row?;
            let opened =
                record_id(&key).and_then(|id| Some((id, record::open_terms(&opened.vault, &id, &stored)?)));
            match opened {
                Some((id, mut terms)) => each(id, std::mem::take(&mut *terms)),
                None => damaged += 1,
            }
        }
        if damaged > 0 {
            tracing::warn!(damaged, "search terms of some records cannot be read");
        }
        Ok(())
    }

    /// Keeps a small document (at most 1 MiB, its key at most 1 KiB), replacing one of the same kind and key.
    ///
    /// # Errors
    /// As [`Store::put`].
    pub fn put_document(
        &self,
        kind: DocumentKind,
        key: &[u8],
        bytes: &[u8],
        events: Vec<(Timestamp, AuditEvent)>,
    ) -> Result<(), StoreError> {
        within("document key", key.len(), MAX_DOCUMENT_KEY_BYTES)?;
        within("document", bytes.len(), MAX_DOCUMENT_BYTES)?;
        let live = self.live()?;
        let mut write = Write { events, ..Write::default() };
        let documents = &live.opened.documents;
        write.batch.put(Table::Documents, &documents.name(kind, key), documents.seal(kind, key, bytes));
        live.submit(write, Then::Acknowledge).map(|_| ())
    }

    /// The content of one document.
    ///
    /// # Errors
    /// [`StoreError::Damaged`] when it is there but not as it was written.
    pub fn document(&self, kind: DocumentKind, key: &[u8]) -> Result<Option<Zeroizing<Vec<u8>>>, StoreError> {
        let opened = self.opened()?;
        let name = opened.documents.name(kind, key);
        let Some(sealed) = opened.storage.get(Table::Documents, &name)? else { return Ok(None) };
        let document =
            opened.documents.open(&name, &sealed).ok_or(StoreError::Damaged { what: "document" })?;
        Ok(Some(document.bytes))
    }

    /// All documents of a kind with their keys, in no particular order.
    ///
    /// # Errors
    /// [`StoreError::Damaged`] when any of them is not as it was written: a missing revocation must not pass
    /// for none.
    pub fn documents(&self, kind: DocumentKind) -> Result<Vec<KeyedDocument>, StoreError> {
        let opened = self.opened()?;
        let prefix = opened.documents.prefix(kind);
        let mut found = Vec::new();
        for row in opened.storage.scan(Table::Documents, &prefix) {
            let (name, sealed) = row?;
            if !name.starts_with(&prefix) {
                break;
            }
            let document =
                opened.documents.open(&name, &sealed).ok_or(StoreError::Damaged { what: "document" })?;
            if document.kind == kind as u8 {
                found.push((document.key, document.bytes));
            }
        }
        Ok(found)
    }

    /// Removes a document; nothing happens when it is not there.
    ///
    /// # Errors
    /// As [`Store::put`].
    pub fn remove_document(
        &self,
        kind: DocumentKind,
        key: &[u8],
        events: Vec<(Timestamp, AuditEvent)>,
    ) -> Result<(), StoreError> {
        within("document key", key.len(), MAX_DOCUMENT_KEY_BYTES)?;
        let live = self.live()?;
        let mut write = Write { events, ..Write::default() };
        write.batch.remove(Table::Documents, &live.opened.documents.name(kind, key));
        live.submit(write, Then::Acknowledge).map(|_| ())
    }

    /// Returns once everything before it is durable; each write already waits for that.
    ///
    /// # Errors
    /// As [`Store::put`].
    pub fn flush(&self) -> Result<(), StoreError> {
        self.live()?.submit(Write::default(), Then::Acknowledge).map(|_| ())
    }

    /// Finishes what waits, signs a last head and forgets the keys; for all clones. Closing twice does nothing.
    ///
    /// # Errors
    /// When finishing failed; the store is closed all the same and nothing acknowledged is lost.
    pub fn close(&self) -> Result<(), StoreError> {
        let finished = match self.live() {
            Ok(live) => live.submit(Write::default(), Then::Close).map(|_| ()),
            Err(_) => return Ok(()),
        };
        self.shared.end();
        match finished {
            Err(StoreError::Closed) => Ok(()),
            other => other,
        }
    }

    fn live(&self) -> Result<Live, StoreError> {
        let live = self.shared.live.read().unwrap_or_else(PoisonError::into_inner);
        live.clone().ok_or(StoreError::Closed)
    }

    fn opened(&self) -> Result<Arc<Opened>, StoreError> {
        let live = self.shared.live.read().unwrap_or_else(PoisonError::into_inner);
        live.as_ref().map(|live| Arc::clone(&live.opened)).ok_or(StoreError::Closed)
    }
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Store({} records)", self.record_count())
    }
}

impl Live {
    /// Hands a job to the writer and waits for its answer.
    fn submit(&self, write: Write, then: Then) -> Result<Option<Signed<Checkpoint>>, StoreError> {
        within("batch of audit entries", write.events.len(), MAX_BATCH_LENGTH)?;
        let (reply, answer) = sync_channel(1);
        self.queue.send(Job { write, then, reply }).map_err(|_| StoreError::Closed)?;
        answer.recv().map_err(|_| StoreError::Closed)?
    }
}

impl Shared {
    /// Lets go of engine and keys, and waits until the writer has ended.
    fn end(&self) {
        drop(self.live.write().unwrap_or_else(PoisonError::into_inner).take());
        let writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(writer) = writer
            && writer.join().is_err()
        {
            tracing::error!("the writer of the store ended unexpectedly");
        }
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.end();
    }
}

fn writable(opened: &Opened) -> Result<(), StoreError> {
    opened.failed.get().map_or(Ok(()), |error| Err(error.as_read_only()))
}

fn within(what: &'static str, size: usize, limit: usize) -> Result<(), StoreError> {
    if size > limit { Err(StoreError::TooLarge { what, size, limit }) } else { Ok(()) }
}

fn record_id(key: &[u8]) -> Option<RecordId> {
    key.try_into().ok().map(RecordId::from_bytes)
}
