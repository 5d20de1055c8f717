//! The audit trail: entries chained by hash, a Merkle tree over them, and signed heads.
//!
//! Each entry names the hash of the one before, so an edit, a removal or a swap shows at the next entry; the
//! signed [`Checkpoint`]s fix how many there were, so cutting off the end shows too. The Merkle root (the
//! shape of RFC 6962, hashed by BLAKE3) lets a single entry be proven to someone who has only the head.
//! Entries hold pseudonyms and counts, no health data.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::authority::DenyReason;
use crate::codec::{self, CodecError};
use crate::grant::Purpose;
use crate::identity::DeviceKey;
use crate::ids::{DeviceId, GrantId, Timestamp};
use crate::signed::{Signable, SignatureError, Signed};

/// The most bytes one encoded entry may have.
pub const MAX_AUDIT_ENTRY_BYTES: usize = 1024;

/// The most bytes of [`AuditEvent::who`]; a longer one is cut.
const MAX_WHO_BYTES: usize = 128;
const VERSION: u8 = 1;

/// What was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AuditAction {
    /// The home was made.
    Init,
    /// The keyring was opened.
    Unlock,
    /// Records were imported.
    Import,
    /// A record was read here.
    Read,
    /// Records were searched here.
    Search,
    /// We fetched from a peer.
    Fetch,
    /// We answered a peer.
    Disclose,
    /// We served an attachment.
    BlobServe,
    /// A device was paired, or tried to.
    Pair,
    /// A grant was given.
    GrantGive,
    /// A grant was taken back.
    GrantRevoke,
    /// A peer was refused.
    Refuse,
    /// Records or this trail were verified.
    Verify,
    /// Records left as a file.
    Export,
    /// A room was made here.
    RoomCreate,
    /// A room's owner changed who is in it.
    RoomMembers,
    /// This home joined a room.
    RoomJoin,
    /// Changes of a room were refused.
    RoomRefuse,
    /// A clinician confirmed what a model said, and it was kept as a record.
    Assess,
    /// A model was signed here for others, or is offered no more.
    ModelPublish,
    /// A model of a peer was fetched.
    ModelFetch,
    /// A model was approved, or a package of one refused.
    ModelInstall,
    /// An approved model was put in use.
    ModelActivate,
    /// A model was put out of use.
    ModelRollback,
    /// A person agreed or disagreed with what a model answered.
    ModelOpinion,
    /// Putting readings of one patient together was enabled (count 1) or disabled (count 0).
    FusionSwitch,
}

/// How it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// It was done.
    Allowed,
    /// It was refused.
    Denied(DenyReason),
    /// It was tried and did not succeed.
    Failed,
}

/// One thing that happened, without when.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditEvent {
    /// A device or identity id as text, or `local`; at most 128 bytes.
    pub who: String,
    /// What was done.
    pub action: AuditAction,
    /// To what: a keyed pseudonym.
    #[serde(with = "serde_bytes")]
    pub object: Option<[u8; 32]>,
    /// For what.
    pub purpose: Option<Purpose>,
    /// By which grant.
    pub grant: Option<GrantId>,
    /// To how many.
    pub count: u64,
    /// How it ended.
    pub outcome: Outcome,
}

/// One entry of the trail.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditEntry {
    /// The version of this message, 1.
    pub version: u8,
    /// How many entries came before.
    pub seq: u64,
    /// The chain's hash before this entry; zeros for the first.
    #[serde(with = "serde_bytes")]
    pub prev: [u8; 32],
    /// When.
    pub time: Timestamp,
    /// What.
    pub event: AuditEvent,
}

/// The head of a trail, signed by the device that keeps it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checkpoint {
    /// The version of this message, 1.
    pub version: u8,
    /// Whose trail, and who signs.
    pub device: DeviceId,
    /// How many entries it covers.
    pub entries: u64,
    /// The chain's hash after them.
    #[serde(with = "serde_bytes")]
    pub chain: [u8; 32],
    /// The Merkle root over them.
    #[serde(with = "serde_bytes")]
    pub merkle_root: [u8; 32],
    /// When it was signed.
    pub time: Timestamp,
}

impl Signable for Checkpoint {
    const DOMAIN: &'static str = "metaclinic/audit-checkpoint/1";
    const MAX_BYTES: usize = 512;
}

/// Where a trail stands: what is needed to go on from here. Small, and worth keeping sealed to open quickly.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditLog {
    entries: u64,
    #[serde(with = "serde_bytes")]
    head: [u8; 32],
    /// Roots of the full Merkle subtrees, largest first; their sizes are the one bits of `entries`.
    peaks: Vec<serde_bytes::ByteArray<32>>,
}

impl AuditLog {
    /// An empty trail.
    pub const fn new() -> Self {
        Self { entries: 0, head: [0; 32], peaks: Vec::new() }
    }

    /// Appends `event` and returns its number and the bytes to keep. Of `who` at most 128 bytes are kept.
    pub fn append(&mut self, now: Timestamp, mut event: AuditEvent) -> (u64, Vec<u8>) {
        event.who.truncate(event.who.floor_char_boundary(MAX_WHO_BYTES));
        let seq = self.entries;
        let bytes = codec::encode(&AuditEntry { version: VERSION, seq, prev: self.head, time: now, event });
        self.take(&bytes);
        (seq, bytes)
    }

    /// Signs where the trail stands.
    pub fn checkpoint(&self, now: Timestamp, device: &DeviceKey) -> Signed<Checkpoint> {
        device.sign(&Checkpoint {
            version: VERSION,
            device: device.id(),
            entries: self.entries,
            chain: self.head,
            merkle_root: self.merkle_root(),
            time: now,
        })
    }

    /// How many entries there are.
    pub const fn entries(&self) -> u64 {
        self.entries
    }

    /// The chain's hash after the last entry; zeros for an empty trail.
    pub const fn head(&self) -> [u8; 32] {
        self.head
    }

    /// The Merkle root over all entries (RFC 6962, 2.1, with BLAKE3).
    pub fn merkle_root(&self) -> [u8; 32] {
        let mut peaks = self.peaks.iter().rev();
        let Some(last) = peaks.next() else { return *blake3::hash(&[]).as_bytes() };
        peaks.fold(**last, |right, left| inner(left, &right))
    }

    /// Takes the next entry of a kept trail after checking that it continues this one.
    ///
    /// # Errors
    /// [`AuditError`] when it is no entry or does not follow; the trail is then unchanged.
    pub fn replay(&mut self, bytes: &[u8]) -> Result<AuditEntry, AuditError> {
        let seq = self.entries;
        let entry: AuditEntry = codec::decode("audit entry", bytes, MAX_AUDIT_ENTRY_BYTES)
            .map_err(|source| AuditError::Entry { seq, source })?;
        if entry.version != VERSION {
            return Err(AuditError::Version { seq, found: entry.version });
        }
        if entry.seq > seq {
            return Err(AuditError::Missing { seq, found: entry.seq });
        }
        if entry.seq < seq {
            return Err(AuditError::OutOfOrder { seq, found: entry.seq });
        }
        if entry.prev != self.head {
            return Err(AuditError::Broken { seq });
        }
        self.take(bytes);
        Ok(entry)
    }

    /// The trail's state as bytes, for [`AuditLog::resume`].
    pub fn save(&self) -> Vec<u8> {
        codec::encode(self)
    }

    /// Goes on from [`AuditLog::save`], so that only later entries need [`AuditLog::replay`]. The bytes must
    /// come from where no one else can write: they are believed.
    ///
    /// # Errors
    /// [`AuditError::State`] when they are no such state.
    pub fn resume(saved: &[u8]) -> Result<Self, AuditError> {
        let log: Self = codec::decode("audit state", saved, MAX_STATE_BYTES)
            .map_err(|source| AuditError::State { source: Some(source) })?;
        if u64::from(log.entries.count_ones()) != log.peaks.len() as u64 {
            return Err(AuditError::State { source: None });
        }
        Ok(log)
    }

    fn take(&mut self, bytes: &[u8]) {
        let mut hasher = blake3::Hasher::new_derive_key("metaclinic 2026 audit chain");
        self.head = *hasher.update(&self.head).update(bytes).finalize().as_bytes();
        let mut node = leaf(bytes);
        // Each one bit at the low end is a full subtree that the new leaf completes.
        for _ in 0..self.entries.trailing_ones() {
            let left = self.peaks.pop().expect("there is a peak for each one bit of the count");
            node = inner(&left, &node);
        }
        self.peaks.push(serde_bytes::ByteArray::new(node));
        self.entries += 1;
    }
}

/// At most 64 peaks.
const MAX_STATE_BYTES: usize = 64 * 34 + 128;

impl Default for AuditLog {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for AuditLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AuditLog({} entries)", self.entries)
    }
}

fn leaf(entry: &[u8]) -> [u8; 32] {
    *blake3::Hasher::new().update(&[0]).update(entry).finalize().as_bytes()
}

fn inner(left: &[u8; 32], right: &[u8; 32]) -> [u8; 32] {
    *blake3::Hasher::new().update(&[1]).update(left).update(right).finalize().as_bytes()
}

/// What a verified trail amounts to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditReport {
    /// How many entries.
    pub entries: u64,
    /// The chain's hash after the last.
    pub head: [u8; 32],
    /// How many signed heads agree with it.
    pub checkpoints: u64,
}

/// Checks a whole trail: every entry continues the one before, and every head that `device` signed agrees
/// with what stands there. Entries after the last head are chained but not fixed yet by a signature.
///
/// # Errors
/// [`AuditError`] says at which entry the trail breaks, and how.
pub fn verify_audit(
    entries: impl Iterator<Item = Vec<u8>>,
    checkpoints: &[Signed<Checkpoint>],
    device: &DeviceId,
) -> Result<AuditReport, AuditError> {
    let mut heads = Vec::with_capacity(checkpoints.len());
    for (index, signed) in checkpoints.iter().enumerate() {
        let head = signed.verify(device.as_bytes()).map_err(|error| match error {
            SignatureError::OtherSigner { .. } => AuditError::OtherDevice { index },
            source => AuditError::Checkpoint { index, source },
        })?;
        if head.device != *device {
            return Err(AuditError::OtherDevice { index });
        }
        heads.push(head);
    }
    heads.sort_by_key(|head| head.entries);
    let mut ahead = heads.iter().peekable();
    let mut log = AuditLog::new();
    agree(&log, &mut ahead)?;
    for bytes in entries {
        log.replay(&bytes)?;
        agree(&log, &mut ahead)?;
    }
    if let Some(last) = heads.last()
        && last.entries > log.entries
    {
        return Err(AuditError::CutOff { seq: log.entries, signed: last.entries });
    }
    Ok(AuditReport { entries: log.entries, head: log.head, checkpoints: heads.len() as u64 })
}

/// Compares every head that was signed right here.
fn agree<'a>(
    log: &AuditLog,
    ahead: &mut std::iter::Peekable<impl Iterator<Item = &'a Checkpoint>>,
) -> Result<(), AuditError> {
    while let Some(head) = ahead.next_if(|head| head.entries == log.entries) {
        if head.chain != log.head || head.merkle_root != log.merkle_root() {
            return Err(AuditError::Altered { seq: log.entries });
        }
    }
    Ok(())
}

/// An audit trail is not what was written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AuditError {
    /// Bytes that are no entry.
    #[error("audit entry {seq} cannot be read")]
    Entry {
        /// Which entry.
        seq: u64,
        /// What is wrong with its bytes.
        source: CodecError,
    },
    /// An entry of a version that this code does not know.
    #[error("audit entry {seq} is of unknown version {found}")]
    Version {
        /// Which entry.
        seq: u64,
        /// The version it claims.
        found: u8,
    },
    /// Entries were removed.
    #[error("audit entry {seq} is missing: entry {found} stands in its place")]
    Missing {
        /// Which entry is missing.
        seq: u64,
        /// The one found there.
        found: u64,
    },
    /// Entries were swapped or repeated.
    #[error("audit entry {found} stands in the place of entry {seq}")]
    OutOfOrder {
        /// Which entry belongs here.
        seq: u64,
        /// The one found there.
        found: u64,
    },
    /// This entry or the one before was edited.
    #[error("audit entry {seq} does not continue the entry before it: one of the two was changed")]
    Broken {
        /// Which entry.
        seq: u64,
    },
    /// The entries up to here are not those whose head was signed.
    #[error("the first {seq} audit entries are not those that were signed")]
    Altered {
        /// How many entries the signed head covers.
        seq: u64,
    },
    /// Fewer entries than were signed.
    #[error("the audit trail ends before entry {seq}, but {signed} entries were signed")]
    CutOff {
        /// The first missing entry.
        seq: u64,
        /// How many the last signed head covers.
        signed: u64,
    },
    /// A head signed by another device.
    #[error("audit checkpoint {index} is by another device")]
    OtherDevice {
        /// Its place in the list, from 0.
        index: usize,
    },
    /// A head whose signature does not verify.
    #[error("audit checkpoint {index} is not to be believed")]
    Checkpoint {
        /// Its place in the list, from 0.
        index: usize,
        /// What is wrong with it.
        source: SignatureError,
    },
    /// Saved state that is none.
    #[error("saved state of the audit trail cannot be read")]
    State {
        /// What is wrong with its bytes, if it could not be decoded.
        source: Option<CodecError>,
    },
}

#[cfg(test)]
mod tests;
