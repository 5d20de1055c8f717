//! `SledStorage`: the engine, and everything that is particular to it.
//!
//! sled 0.34 keeps overwritten and removed values in its file, so only sealed values and opaque keys get here.
//! It panics in a few places on damaged files; those panics end here as errors. It will not open beside a
//! stray or cut snapshot file. Snapshots only shorten the start, so they are set aside and the log is replayed;
//! a replay drops what it cannot read, so a copy from before it is kept beside it.
//!
//! After a write failed it cannot read a page whose newest part never reached the disk, though older, durable values
//! lie in it too: reading makes that part durable first, and every try ends in the same error until the database is
//! opened again. Nothing outside the engine can tell it to forget that part, so such reads fail, and say why.
//!
//! A large value that finds no space leaves its place in the engine's buffer half taken, and whoever flushes or closes the
//! engine then waits for ever. So a batch is refused before the engine sees it while there is not clearly enough space, and
//! an engine that failed all the same is never closed: the end of the process lets go of it, as a crash would.
//!
//! Its own flush asks the system to write, not the disk to keep (`sync_file_range`), and never syncs the files
//! in `blobs` where it puts pages of more than 128 KiB: [`SledStorage::flush`] adds both.

use std::collections::HashSet;
use std::ffi::OsString;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use ::sled::{Config, Db, Error, Mode, Tree};
use rustix::fs::FallocateFlags;

use crate::StoreError;
use crate::error::is_full;
use crate::files;
use crate::storage::{Batch, Row, Storage, Table};

/// How often and how far apart an engine that still holds its lock is tried again: two seconds in all.
const LOCK_TRIES: u32 = 40;
const LOCK_PAUSE: Duration = Duration::from_millis(50);
/// What must be free for a batch, beside what is in it,
const SPACE_BEYOND_BATCH_BYTES: u64 = 256 << 10;
/// and how many times its size: pages are written anew around what changes, and not all of what is free is free to everyone.
const SPACE_PER_BATCH: u64 = 4;
/// The one tree; a fixed name because tree names stay readable in the file.
const TREE: &str = "v1";
/// Pages kept in memory.
const CACHE_BYTES: u64 = 64 << 20;
/// How the engine's snapshot files begin.
const SNAPSHOT_PREFIX: &str = "snap.";
/// How one ends that is still being written.
const UNFINISHED_SUFFIX: &str = ".generating";
/// Where a copy from before a replay is kept.
const COPY_FOLDER: &str = "before-repair";

/// A sled database in a folder of its own.
pub(crate) struct SledStorage {
    db: Db,
    tree: Tree,
    folder: PathBuf,
    /// Names of blobs known to be durable; they never change.
    durable_blobs: Mutex<HashSet<OsString>>,
    /// A write failed inside the engine.
    failed: AtomicBool,
}

impl Drop for SledStorage {
    fn drop(&mut self) {
        if self.failed.load(Ordering::Relaxed) {
            // Handles that are never dropped keep the engine from closing.
            std::mem::forget((self.db.clone(), self.tree.clone()));
        }
    }
}

impl SledStorage {
    /// Opens or creates the database in `folder`, setting aside first unfinished, then all snapshot files.
    pub(crate) fn open(folder: &Path) -> Result<Self, StoreError> {
        let mut result = Self::open_unlocked(folder);
        for unfinished_only in [true, false] {
            let unreadable = matches!(result, Err(StoreError::Engine { .. } | StoreError::Damaged { .. }));
            let snapshots = snapshots(folder, unfinished_only);
            if !unreadable || snapshots.is_empty() {
                continue;
            }
            if !unfinished_only {
                keep_copy(folder)?;
            }
            tracing::warn!(
                files = snapshots.len(),
                unfinished_only,
                "store did not open: snapshots set aside"
            );
            for (i, path) in snapshots.iter().enumerate() {
                let aside = folder.join(format!("aside-snapshot-{i}"));
                fs::rename(path, &aside).map_err(StoreError::io("set aside", path))?;
            }
            result = Self::try_open(folder);
        }
        files::sync_file(&folder.join("conf"))?;
        files::sync_folder(folder)?;
        let storage = result?;
        storage.fill_holes();
        Ok(storage)
    }

    /// Takes the space for all of the database file. The engine shortens it and writes further behind, which leaves
    /// holes; at the next start it overwrites what is free in it, for which a full disk has no space then.
    fn fill_holes(&self) {
        let path = self.folder.join("db");
        let filled = fs::OpenOptions::new().write(true).open(&path).and_then(|file| {
            let length = file.metadata()?.len();
            Ok(rustix::fs::fallocate(&file, FallocateFlags::empty(), 0, length)?)
        });
        if let Err(error) = filled {
            tracing::info!(%error, "no space is set aside inside the database file");
        }
    }

    /// The engine's own threads give up its lock a moment after the last handle is gone, so one attempt may come too
    /// soon after a close.
    fn open_unlocked(folder: &Path) -> Result<Self, StoreError> {
        for _ in 0..LOCK_TRIES {
            match Self::try_open(folder) {
                Err(StoreError::InUse) => std::thread::sleep(LOCK_PAUSE),
                result => return result,
            }
        }
        Self::try_open(folder)
    }

    fn try_open(folder: &Path) -> Result<Self, StoreError> {
        guarded("open", || {
            let config = Config::new()
                .path(folder)
                .cache_capacity(CACHE_BYTES)
                .flush_every_ms(None)
                .use_compression(false)
                .mode(Mode::HighThroughput);
            let db = config.open()?;
            let tree = db.open_tree(TREE)?;
            Ok(Self {
                db,
                tree,
                folder: folder.to_path_buf(),
                durable_blobs: Mutex::default(),
                failed: AtomicBool::new(false),
            })
        })
    }

    /// Whether the disk clearly has space for a batch of this size. Where it cannot be told, the engine finds out.
    fn has_space(&self, bytes: usize) -> bool {
        let needed = (bytes as u64).saturating_mul(SPACE_PER_BATCH).saturating_add(SPACE_BEYOND_BATCH_BYTES);
        let free = rustix::fs::statvfs(&self.folder).map(|disk| disk.f_bavail.saturating_mul(disk.f_frsize));
        !free.is_ok_and(|free| free < needed)
    }

    /// Remembers that a write failed inside the engine.
    fn written<T>(&self, result: Result<T, StoreError>) -> Result<T, StoreError> {
        result.inspect_err(|error| {
            self.failed.store(true, Ordering::Relaxed);
            tracing::warn!(%error, "the database engine failed in a write");
        })
    }

    fn sync_blobs(&self) -> Result<(), StoreError> {
        let folder = self.folder.join("blobs");
        let mut durable = self.durable_blobs.lock().unwrap_or_else(PoisonError::into_inner);
        let entries = fs::read_dir(&folder).map_err(StoreError::io("list", &folder))?;
        let present: HashSet<OsString> = entries.flatten().map(|entry| entry.file_name()).collect();
        let mut new = present.difference(&durable).peekable();
        if new.peek().is_some() {
            for name in new {
                files::sync_file(&folder.join(name))?;
            }
            files::sync_folder(&folder)?;
        }
        *durable = present;
        Ok(())
    }
}

impl Storage for SledStorage {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        guarded("read", || Ok(self.tree.get(table.key(key))?.map(|value| value.to_vec())))
    }

    fn contains(&self, table: Table, key: &[u8]) -> Result<bool, StoreError> {
        guarded("read", || self.tree.contains_key(table.key(key)))
    }

    fn scan<'a>(&'a self, table: Table, from: &[u8]) -> Box<dyn Iterator<Item = Row> + 'a> {
        let mut rows = self.tree.range(table.key(from)..vec![table as u8 + 1]);
        let mut ended = false;
        Box::new(std::iter::from_fn(move || {
            if ended {
                return None;
            }
            let row = guarded("scan", || rows.next().transpose());
            ended = !matches!(row, Ok(Some(_)));
            row.map(|row| row.map(|(key, value)| (key[1..].to_vec(), value.to_vec()))).transpose()
        }))
    }

    fn apply(&self, batch: Batch) -> Result<(), StoreError> {
        if !self.has_space(batch.bytes()) {
            return Err(StoreError::DiskFull);
        }
        let mut changes = ::sled::Batch::default();
        for (key, value) in batch.into_changes() {
            match value {
                Some(value) => changes.insert(key, value),
                None => changes.remove(key),
            }
        }
        self.written(guarded("write", || self.tree.apply_batch(changes)))
    }

    fn flush(&self) -> Result<(), StoreError> {
        self.sync_blobs()?;
        self.written(guarded("flush", || self.db.flush()))?;
        files::sync_file(&self.folder.join("db"))
    }

    fn size(&self) -> Result<u64, StoreError> {
        guarded("measure", || self.db.size_on_disk())
    }
}

/// Runs one call of the engine; its errors and its panics become [`StoreError`]s.
fn guarded<T>(action: &'static str, call: impl FnOnce() -> ::sled::Result<T>) -> Result<T, StoreError> {
    match catch_unwind(AssertUnwindSafe(call)) {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) => Err(translate(action, &error)),
        Err(_) => Err(StoreError::Engine { action, detail: "it stopped unexpectedly".into() }),
    }
}

fn translate(action: &'static str, error: &Error) -> StoreError {
    match error {
        Error::Io(io) if is_full(io) => StoreError::DiskFull,
        Error::Io(io) if io.to_string().contains("acquire lock") => StoreError::InUse,
        Error::Corruption { .. } => StoreError::Damaged { what: "database file" },
        other => StoreError::Engine { action, detail: other.to_string() },
    }
}

/// The engine's snapshot files; those that it had not finished, or all.
fn snapshots(folder: &Path, unfinished_only: bool) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let named = entries.filter(|entry| {
        let name = entry.file_name();
        let name = name.to_string_lossy();
        name.starts_with(SNAPSHOT_PREFIX) && (!unfinished_only || name.ends_with(UNFINISHED_SUFFIX))
    });
    named.map(|entry| entry.path()).collect()
}

/// Keeps the database file and its large values as they are, replacing a copy kept earlier.
fn keep_copy(folder: &Path) -> Result<(), StoreError> {
    let aside = folder.join(COPY_FOLDER);
    if aside.exists() {
        fs::remove_dir_all(&aside).map_err(StoreError::io("replace", &aside))?;
    }
    files::create_folder(&aside.join("blobs"))?;
    fs::copy(folder.join("db"), aside.join("db")).map_err(StoreError::io("copy to", &aside))?;
    for entry in fs::read_dir(folder.join("blobs")).into_iter().flatten().flatten() {
        // Never changed in place, so a second name is enough to keep one.
        let kept = aside.join("blobs").join(entry.file_name());
        fs::hard_link(entry.path(), &kept).map_err(StoreError::io("link to", &kept))?;
    }
    Ok(())
}
