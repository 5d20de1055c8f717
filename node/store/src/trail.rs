//! The audit trail on disk: sealed entries in the engine, signed heads beside it.
//!
//! Heads live in files of their own so that cutting the end off the engine's file shows. They are written
//! after the entries they cover are durable, so a crash never leaves a head without its entries.

use std::path::{Path, PathBuf};

use getrandom::SysRng;
use keys::{Checkpoint, DataKey, DeviceId, Signable, Signed, codec};
use rand_core::UnwrapErr;
use zeroize::Zeroizing;

use crate::StoreError;
use crate::files;
use crate::size_class::{pad, unpad};

/// A head is signed each time the trail has grown by this many entries.
pub(crate) const HEAD_EVERY_ENTRIES: u64 = 100;
/// Heads in one file: what has to be rewritten for a new head.
const HEADS_PER_FILE: usize = 64;
/// Files kept; with [`HEADS_PER_FILE`] this makes the last 4,096 heads.
const MAX_FILES: u32 = 64;
/// A head has about 350 bytes.
const MAX_FILE_BYTES: u64 = 64 << 10;

/// Seals entry number `seq`.
pub(crate) fn seal_entry(key: &DataKey, seq: u64, entry: &[u8]) -> Vec<u8> {
    key.seal(&mut UnwrapErr(SysRng), &entry_context(seq), &pad(entry))
}

/// Opens entry number `seq`; `None` when it was changed or moved.
pub(crate) fn open_entry(key: &DataKey, seq: u64, sealed: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    unpad(Zeroizing::new(key.open(&entry_context(seq), sealed).ok()?))
}

fn entry_context(seq: u64) -> Vec<u8> {
    [b"metaclinic/store/audit/1/".as_slice(), &seq.to_be_bytes()].concat()
}

/// The signed heads, in files of [`HEADS_PER_FILE`] named by an ascending number.
pub(crate) struct Heads {
    folder: PathBuf,
    file: u32,
    current: Vec<Signed<Checkpoint>>,
    newest_entries: u64,
    /// Entries and chain hash of the newest head.
    last: Option<(u64, [u8; 32])>,
    forked: Option<u64>,
}

impl Heads {
    /// Reads the newest file in `folder`, which is made when it is not there. When that file is unreadable or
    /// not by `device`, it is left as it is and the next file is begun.
    pub(crate) fn open(folder: &Path, device: &DeviceId) -> Result<Self, StoreError> {
        files::create_folder(folder)?;
        files::clear_temporaries(folder)?;
        let file = numbers(folder)?.into_iter().max().unwrap_or(0);
        let mut heads = Self {
            folder: folder.to_path_buf(),
            file,
            current: Vec::new(),
            newest_entries: 0,
            last: None,
            forked: None,
        };
        heads.look_back()?;
        match read(folder, file).and_then(|current| Ok((covered(&current, device)?, current))) {
            Ok((entries, current)) => {
                heads.newest_entries = heads.newest_entries.max(entries);
                heads.current = current;
            }
            Err(StoreError::Damaged { .. }) => {
                tracing::warn!("the newest signed audit heads are unreadable: damage or tampering");
                heads.file += 1;
            }
            Err(error) => return Err(error),
        }
        Ok(heads)
    }

    /// How many entries the newest head covers.
    pub(crate) const fn newest_entries(&self) -> u64 {
        self.newest_entries
    }

    /// The number of entries about which kept heads disagree: the trail was cut off or rolled back and grew again.
    pub(crate) const fn forked(&self) -> Option<u64> {
        self.forked
    }

    /// The newest head's number of entries and chain hash.
    pub(crate) const fn last(&self) -> Option<(u64, [u8; 32])> {
        self.last
    }

    /// Follows all kept heads: a trail that only grows has heads that only grow.
    fn look_back(&mut self) -> Result<(), StoreError> {
        let mut files = numbers(&self.folder)?;
        files.sort_unstable();
        for file in files {
            let heads = match read(&self.folder, file) {
                Ok(heads) => heads,
                // Damage is told where the trail is verified, or where the newest file is opened.
                Err(StoreError::Damaged { .. }) => continue,
                Err(error) => return Err(error),
            };
            for head in heads {
                // Signatures are checked where the trail is verified; here they would only cost time.
                if let Ok(head) = unchecked(&head) {
                    self.follow(&head);
                }
            }
        }
        Ok(())
    }

    fn follow(&mut self, head: &Checkpoint) {
        let (entries, chain) = (head.entries, head.chain);
        let fork = |(known, before)| entries < known || (entries == known && chain != before);
        if self.last.is_some_and(fork) && self.forked.is_none() {
            self.forked = Some(entries);
        }
        self.last = Some((entries, chain));
    }

    /// Keeps `new` heads (of ascending coverage, the last one covering `entries`); durable when this returns.
    pub(crate) fn push(&mut self, new: Vec<Signed<Checkpoint>>, entries: u64) -> Result<(), StoreError> {
        for head in new {
            let said = unchecked(&head)?;
            // Over the same entries one head is enough; over another trail of that length, both are evidence.
            if self.last == Some((said.entries, said.chain)) {
                self.current.pop();
            }
            self.follow(&said);
            if self.current.len() >= HEADS_PER_FILE {
                self.write()?;
                self.file += 1;
                self.current.clear();
            }
            self.current.push(head);
        }
        self.newest_entries = self.newest_entries.max(entries);
        self.write()?;
        self.forget_old()
    }

    fn write(&self) -> Result<(), StoreError> {
        files::replace_all(&self.folder, &[(name(self.file), codec::encode(&self.current))])
    }

    fn forget_old(&self) -> Result<(), StoreError> {
        for old in numbers(&self.folder)?.into_iter().filter(|n| n.saturating_add(MAX_FILES) <= self.file) {
            let path = self.folder.join(name(old));
            std::fs::remove_file(&path).map_err(StoreError::io("remove", &path))?;
        }
        Ok(())
    }
}

/// All heads kept in `folder`, oldest first.
pub(crate) fn all_heads(folder: &Path) -> Result<Vec<Signed<Checkpoint>>, StoreError> {
    let mut files = numbers(folder)?;
    files.sort_unstable();
    let mut heads = Vec::new();
    for file in files {
        heads.append(&mut read(folder, file)?);
    }
    Ok(heads)
}

fn read(folder: &Path, file: u32) -> Result<Vec<Signed<Checkpoint>>, StoreError> {
    let Some(bytes) = files::read(&folder.join(name(file)), MAX_FILE_BYTES)? else { return Ok(Vec::new()) };
    let heads: Result<Vec<_>, _> = codec::decode("audit heads", &bytes, bytes.len());
    heads.map_err(|_| StoreError::Damaged { what: "file of signed audit heads" })
}

/// What a head says, whoever signed it.
fn unchecked(head: &Signed<Checkpoint>) -> Result<Checkpoint, StoreError> {
    codec::decode("audit head", head.body(), Checkpoint::MAX_BYTES)
        .map_err(|_| StoreError::Damaged { what: "audit head" })
}

/// The entries that the newest of `heads` covers, each checked to be by `device`.
fn covered(heads: &[Signed<Checkpoint>], device: &DeviceId) -> Result<u64, StoreError> {
    let mut entries = 0;
    for head in heads {
        let head = head
            .verify(device.as_bytes())
            .map_err(|_| StoreError::Damaged { what: "signature of an audit head" })?;
        entries = entries.max(head.entries);
    }
    Ok(entries)
}

fn name(file: u32) -> String {
    format!("{file:08}")
}

fn numbers(folder: &Path) -> Result<Vec<u32>, StoreError> {
    let entries = std::fs::read_dir(folder).map_err(StoreError::io("list", folder))?;
    let names = entries.flatten().map(|entry| entry.file_name());
    Ok(names.filter_map(|name| name.to_str()?.parse().ok()).collect())
}

#[cfg(test)]
mod tests {
    use keys::{AuditAction, AuditEvent, AuditLog, DeviceKey, Outcome, Timestamp};

    use super::*;

    fn grow(log: &mut AuditLog) {
        let event = AuditEvent {
            who: "local".into(),
            action: AuditAction::Read,
            object: None,
            purpose: None,
            grant: None,
            count: 1,
            outcome: Outcome::Allowed,
        };
        log.append(Timestamp::from_millis(0), event);
    }

    #[test]
    fn the_last_four_thousand_heads_are_kept() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let device = DeviceKey::from_seed([1; 32]);
        let mut heads = Heads::open(folder.path(), &device.id()).expect("opens");
        let mut log = AuditLog::new();
        for _ in 0..50 {
            let mut new = Vec::new();
            for _ in 0..100 {
                grow(&mut log);
                new.push(log.checkpoint(Timestamp::from_millis(0), &device));
            }
            heads.push(new, log.entries()).expect("pushes");
        }
        let kept = all_heads(folder.path()).expect("reads").len();
        assert!((4_000..=4_096).contains(&kept), "{kept}");
        assert_eq!(Heads::open(folder.path(), &device.id()).expect("opens").newest_entries(), 5_000);
    }

    #[test]
    fn a_second_head_over_the_same_entries_replaces_the_first() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let device = DeviceKey::from_seed([1; 32]);
        let mut heads = Heads::open(folder.path(), &device.id()).expect("opens");
        let mut log = AuditLog::new();
        grow(&mut log);
        for _ in 0..300 {
            heads.push(vec![log.checkpoint(Timestamp::from_millis(0), &device)], 1).expect("pushes");
        }
        assert_eq!(all_heads(folder.path()).expect("reads").len(), 1);
    }

    #[test]
    fn a_trail_that_grew_again_keeps_the_head_of_the_one_before() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let device = DeviceKey::from_seed([1; 32]);
        let mut log = AuditLog::new();
        (0..200).for_each(|_| grow(&mut log));
        let mut heads = Heads::open(folder.path(), &device.id()).expect("opens");
        heads.push(vec![log.checkpoint(Timestamp::from_millis(0), &device)], 200).expect("pushes");
        assert_eq!(Heads::open(folder.path(), &device.id()).expect("opens").forked(), None);
        let event = AuditEvent {
            who: "somebody else".into(),
            action: AuditAction::Read,
            object: None,
            purpose: None,
            grant: None,
            count: 1,
            outcome: Outcome::Allowed,
        };
        let mut other = AuditLog::new();
        for _ in 0..200 {
            other.append(Timestamp::from_millis(0), event.clone());
        }
        let mut heads = Heads::open(folder.path(), &device.id()).expect("opens");
        heads.push(vec![other.checkpoint(Timestamp::from_millis(0), &device)], 200).expect("pushes");
        assert_eq!(all_heads(folder.path()).expect("reads").len(), 2);
        assert_eq!(Heads::open(folder.path(), &device.id()).expect("opens").forked(), Some(200));
    }

    #[test]
    fn unreadable_heads_stay_in_evidence() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let device = DeviceKey::from_seed([1; 32]);
        let mut log = AuditLog::new();
        grow(&mut log);
        let head = || vec![log.checkpoint(Timestamp::from_millis(0), &device)];
        Heads::open(folder.path(), &device.id()).expect("opens").push(head(), 1).expect("pushes");
        std::fs::write(folder.path().join(name(0)), b"?").expect("writes");
        let mut heads = Heads::open(folder.path(), &device.id()).expect("opens all the same");
        heads.push(head(), 1).expect("pushes");
        assert!(matches!(all_heads(folder.path()), Err(StoreError::Damaged { .. })));
    }

    #[test]
    fn an_entry_opens_only_under_its_number() {
        let key = DataKey::from_bytes([1; 32]);
        let sealed = seal_entry(&key, 7, b"entry");
        assert_eq!(open_entry(&key, 7, &sealed).expect("opens").to_vec(), b"entry");
        assert!(open_entry(&key, 8, &sealed).is_none());
        assert_eq!(sealed.len(), seal_entry(&key, 8, &[1; 200]).len());
    }
}
