//! `Vault`: the keys of records, in files that are rewritten and never appended, so that destroying a key
//! destroys it. 256 shard files by the first byte of the pseudonym, each sealed under a key of this home.
//!
//! ```text
//! root ─ vault key ─ shard file ─ subject key ─ segment key ─┬─ wraps each record's own key (beside the record)
//!                                 one a person  256 records  └─ terms key
//! ```
//!
//! A segment is durable before any record that uses it is acknowledged: the writer calls [`Vault::persist`]
//! before it applies a batch. The count of records in a segment may be too low after a crash; then a segment
//! takes some more than 256, which random 192-bit nonces make harmless.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use getrandom::SysRng;
use keys::{DataKey, Pseudonym, codec};
use rand_core::UnwrapErr;
use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;
use zeroize::Zeroizing;

use crate::StoreError;
use crate::files;

/// Records that share one segment key: what can be erased without touching a person's other records.
pub(crate) const SEGMENT_RECORDS: u16 = 256;
/// The most a shard file may have: about 300,000 segments.
const MAX_SHARD_BYTES: u64 = 64 << 20;
const VERSION: u8 = 1;

/// The keys of one segment.
pub(crate) struct Segment {
    /// Its number within the subject.
    pub(crate) id: u32,
    /// Wraps the data keys of its records.
    pub(crate) key: DataKey,
    /// Seals the search terms of its records.
    pub(crate) terms: DataKey,
}

/// All record keys of a home, in memory while it is unlocked.
pub(crate) struct Vault {
    folder: PathBuf,
    key: DataKey,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    subjects: HashMap<Pseudonym, Subject>,
    /// Shards with a new key that is not yet on disk.
    dirty: BTreeSet<u8>,
    /// Shards where only a count of uses changed.
    stale: BTreeSet<u8>,
}

struct Subject {
    key: DataKey,
    /// By number, so that the newest is the last.
    segments: BTreeMap<u32, (Arc<Segment>, u16)>,
}

#[derive(Serialize, Deserialize)]
struct ShardFile {
    version: u8,
    subjects: Vec<SubjectEntry>,
}

#[derive(Serialize, Deserialize)]
struct SubjectEntry {
    subject: Pseudonym,
    key: serde_bytes::ByteArray<32>,
    segments: Vec<SegmentEntry>,
}

#[derive(Serialize, Deserialize)]
struct SegmentEntry {
    id: u32,
    used: u16,
    /// The segment key sealed by the subject key.
    wrapped: ByteBuf,
}

impl Vault {
    /// Reads all shards in `folder`, which is made when it is not there. A shard that does not open is set
    /// aside (its records then count as damaged) so that the others stay usable.
    pub(crate) fn open(folder: &Path, root: &DataKey) -> Result<Self, StoreError> {
        files::create_folder(folder)?;
        files::clear_temporaries(folder)?;
        let key = root.derive("metaclinic 2026-01 store vault");
        let vault = Self { folder: folder.to_path_buf(), key, state: Mutex::default() };
        let mut damaged = 0;
        for shard in 0..=u8::MAX {
            let path = folder.join(shard_name(shard));
            let Some(bytes) = files::read(&path, MAX_SHARD_BYTES)? else { continue };
            match vault.open_shard(shard, &bytes) {
                Ok(subjects) => vault.state().subjects.extend(subjects),
                Err(_) => {
                    damaged += 1;
                    set_aside(&path)?;
                }
            }
        }
        if damaged > 0 {
            tracing::error!(
                files = damaged,
                "key files are damaged and set aside: their records cannot be read"
            );
        }
        Ok(vault)
    }

    /// The segment that takes `subject`'s next record; a new one when there is none or it is full.
    pub(crate) fn reserve(&self, subject: &Pseudonym) -> Arc<Segment> {
        let mut rng = UnwrapErr(SysRng);
        let shard = shard_of(subject);
        let mut state = self.state();
        let State { subjects, dirty, stale } = &mut *state;
        let entry = subjects.entry(*subject).or_insert_with(|| {
            dirty.insert(shard);
            Subject { key: DataKey::generate(&mut rng), segments: BTreeMap::new() }
        });
        let next_id = match entry.segments.last_entry() {
            Some(mut last) if last.get().1 < SEGMENT_RECORDS => {
                let (segment, used) = last.get_mut();
                *used += 1;
                stale.insert(shard);
                return Arc::clone(segment);
            }
            Some(last) => last.key() + 1,
            None => 0,
        };
        let segment = Arc::new(Segment::new(next_id, DataKey::generate(&mut rng)));
        entry.segments.insert(next_id, (Arc::clone(&segment), 1));
        dirty.insert(shard);
        segment
    }

    /// The segment `id` of `subject`, unless its key is gone.
    pub(crate) fn segment(&self, subject: &Pseudonym, id: u32) -> Option<Arc<Segment>> {
        let state = self.state();
        state.subjects.get(subject)?.segments.get(&id).map(|(segment, _)| Arc::clone(segment))
    }

    /// Makes every key handed out so far durable. Called by one thread only.
    pub(crate) fn persist(&self) -> Result<(), StoreError> {
        let shards = std::mem::take(&mut self.state().dirty);
        self.write(&shards).inspect_err(|_| self.state().dirty.extend(&shards))
    }

    /// As [`Vault::persist`], with the counts of uses.
    pub(crate) fn persist_counts(&self) -> Result<(), StoreError> {
        let shards = {
            let mut state = self.state();
            let mut shards = std::mem::take(&mut state.dirty);
            shards.append(&mut state.stale);
            shards
        };
        self.write(&shards)
    }

    fn write(&self, shards: &BTreeSet<u8>) -> Result<(), StoreError> {
        if shards.is_empty() {
            return Ok(());
        }
        let mut plain: BTreeMap<u8, Vec<SubjectEntry>> = shards.iter().map(|s| (*s, Vec::new())).collect();
        {
            let mut state = self.state();
            for (subject, keys) in &state.subjects {
                if let Some(entries) = plain.get_mut(&shard_of(subject)) {
                    entries.push(keys.entry(subject));
                }
            }
            state.stale.retain(|shard| !shards.contains(shard));
        }
        let mut contents = Vec::with_capacity(plain.len());
        for (shard, subjects) in plain {
            let bytes = Zeroizing::new(codec::encode(&ShardFile { version: VERSION, subjects }));
            let sealed = self.key.seal(&mut UnwrapErr(SysRng), &shard_context(shard), &bytes);
            contents.push((shard_name(shard), sealed));
        }
        files::replace_all(&self.folder, &contents)
    }

    fn open_shard(&self, shard: u8, bytes: &[u8]) -> Result<Vec<(Pseudonym, Subject)>, StoreError> {
        let damaged = || StoreError::Damaged { what: "key file" };
        let plain = self.key.open(&shard_context(shard), bytes).map(Zeroizing::new).map_err(|_| damaged())?;
        let file: ShardFile = codec::decode("key file", &plain, plain.len()).map_err(|_| damaged())?;
        if file.version != VERSION {
            return Err(StoreError::NewerFormat { found: file.version });
        }
        file.subjects.into_iter().map(|entry| entry.open().ok_or_else(damaged)).collect()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Segment {
    fn new(id: u32, key: DataKey) -> Self {
        let terms = key.derive("metaclinic 2026-01 store terms");
        Self { id, key, terms }
    }
}

impl Subject {
    fn entry(&self, subject: &Pseudonym) -> SubjectEntry {
        let mut rng = UnwrapErr(SysRng);
        let wrap = |(id, (segment, used)): (&u32, &(Arc<Segment>, u16))| {
            let wrapped = self.key.seal(&mut rng, &segment_context(subject, *id), segment.key.expose());
            SegmentEntry { id: *id, used: *used, wrapped: ByteBuf::from(wrapped) }
        };
        let segments = self.segments.iter().map(wrap).collect();
        SubjectEntry { subject: *subject, key: serde_bytes::ByteArray::new(*self.key.expose()), segments }
    }
}

impl SubjectEntry {
    fn open(self) -> Option<(Pseudonym, Subject)> {
        let key = DataKey::from_bytes(self.key.into_array());
        let mut segments = BTreeMap::new();
        for SegmentEntry { id, used, wrapped } in self.segments {
            let bytes = Zeroizing::new(key.open(&segment_context(&self.subject, id), &wrapped).ok()?);
            let segment = Segment::new(id, DataKey::from_bytes(bytes.as_slice().try_into().ok()?));
            segments.insert(id, (Arc::new(segment), used));
        }
        Some((self.subject, Subject { key, segments }))
    }
}

fn shard_of(subject: &Pseudonym) -> u8 {
    subject.as_bytes()[0]
}

fn shard_name(shard: u8) -> String {
    format!("{shard:02x}")
}

fn shard_context(shard: u8) -> [u8; 27] {
    let mut context = *b"metaclinic/store/vault/1/ \0";
    context[26] = shard;
    context
}

fn segment_context(subject: &Pseudonym, id: u32) -> Vec<u8> {
    [b"metaclinic/store/segment/1/".as_slice(), subject.as_bytes(), &id.to_be_bytes()].concat()
}

/// Renames a file that does not open, without replacing one set aside before.
fn set_aside(path: &Path) -> Result<(), StoreError> {
    let mut aside = path.with_extension("damaged");
    for n in 1..1000 {
        if !aside.exists() {
            break;
        }
        aside = path.with_extension(format!("damaged-{n}"));
    }
    std::fs::rename(path, &aside).map_err(StoreError::io("set aside", path))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn subject(first: u8, rest: u8) -> Pseudonym {
        let mut bytes = [rest; 32];
        bytes[0] = first;
        Pseudonym::from_bytes(bytes)
    }

    fn root() -> DataKey {
        DataKey::from_bytes([5; 32])
    }

    #[test]
    fn persisted_segments_are_found_again() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let (a, b) = (subject(1, 1), subject(200, 1));
        let vault = Vault::open(folder.path(), &root()).expect("opens");
        let keys = [vault.reserve(&a), vault.reserve(&b)];
        vault.persist().expect("persists");
        let again = Vault::open(folder.path(), &root()).expect("opens");
        for (subject, segment) in [a, b].iter().zip(keys) {
            let found = again.segment(subject, segment.id).expect("found");
            assert_eq!(found.key.expose(), segment.key.expose());
        }
        assert!(again.segment(&a, 1).is_none());
        assert!(again.segment(&subject(1, 2), 0).is_none());
    }

    #[test]
    fn a_full_segment_is_followed_by_another() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let vault = Vault::open(folder.path(), &root()).expect("opens");
        let ids: Vec<u32> = (0..600).map(|_| vault.reserve(&subject(3, 3)).id).collect();
        assert_eq!((ids[255], ids[256], ids[511], ids[512]), (0, 1, 1, 2));
        vault.persist_counts().expect("persists");
        let again = Vault::open(folder.path(), &root()).expect("opens");
        assert_eq!(again.reserve(&subject(3, 3)).id, 2);
    }

    #[test]
    fn only_shards_with_new_keys_are_rewritten() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let vault = Vault::open(folder.path(), &root()).expect("opens");
        vault.reserve(&subject(1, 1));
        vault.persist().expect("persists");
        let before = std::fs::read(folder.path().join("01")).expect("reads");
        vault.reserve(&subject(1, 1));
        vault.reserve(&subject(2, 1));
        vault.persist().expect("persists");
        assert_eq!(std::fs::read(folder.path().join("01")).expect("reads"), before);
        assert!(folder.path().join("02").exists());
    }

    #[test]
    fn a_damaged_shard_leaves_the_others_usable() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let vault = Vault::open(folder.path(), &root()).expect("opens");
        vault.reserve(&subject(1, 1));
        vault.reserve(&subject(2, 1));
        vault.persist().expect("persists");
        let path = folder.path().join("01");
        let mut bytes = std::fs::read(&path).expect("reads");
        bytes[60] ^= 1;
        std::fs::write(&path, &bytes).expect("writes");
        let again = Vault::open(folder.path(), &root()).expect("opens");
        assert!(again.segment(&subject(1, 1), 0).is_none());
        assert!(again.segment(&subject(2, 1), 0).is_some());
        assert_eq!(std::fs::read(folder.path().join("01.damaged")).expect("kept"), bytes);
    }

    #[test]
    fn half_written_key_files_are_removed_on_opening() {
        let folder = tempfile::tempdir().expect("temporary folder");
        std::fs::write(folder.path().join("7f.new"), b"half").expect("writes");
        Vault::open(folder.path(), &root()).expect("opens");
        assert_eq!(std::fs::read_dir(folder.path()).expect("lists").count(), 0);
    }

    #[test]
    fn shards_cannot_be_swapped() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let vault = Vault::open(folder.path(), &root()).expect("opens");
        vault.reserve(&subject(1, 1));
        vault.persist().expect("persists");
        std::fs::rename(folder.path().join("01"), folder.path().join("02")).expect("moves");
        let again = Vault::open(folder.path(), &root()).expect("opens");
        assert!(again.segment(&subject(1, 1), 0).is_none());
    }
}
