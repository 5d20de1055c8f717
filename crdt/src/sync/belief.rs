//! What one side knows about the other's copy, and how much it serves in answer.
//!
//! *Confirmed* is what the peer said it has or sent itself; *presumed* is what was sent to it and may still be
//! lost. Both are hints: a wrong one costs bytes or a round, never correctness.

use std::collections::{BTreeSet, HashSet};
use std::time::Duration;

use keys::{DeviceCertificate, Signed};

use crate::{ChangeHash, Room};

/// Beyond as many hashes the older hints are given up.
const MAX_HINTS: usize = 8 * 1024;

/// Beyond as many certificates it is forgotten which ones the peer has: they are sent again.
const MAX_CERTIFICATES: usize = 4096;

/// A first answer, so that a slow line is not blocked for long; doubled while the peer keeps up.
const FIRST_BATCH_BYTES: usize = 64 * 1024;

/// The largest answer: half of what a frame may hold, which leaves room for certificates.
pub(super) const MAX_BATCH_BYTES: usize = 512 * 1024;

/// The largest packed answer, counted unpacked: lines of text become less than half of it.
const MAX_PACKED_BATCH_BYTES: usize = crate::MAX_UNPACKED_BYTES;

/// A peer that comes back for more within this time keeps up.
const KEEPS_UP: Duration = Duration::from_secs(2);

/// Demands served at once, and refilled in a second. A peer that asks more often is not answered until later;
/// an honest one asks again.
const DEMANDS_BURST: u32 = 32;

/// Hints about the peer's copy.
#[derive(Default)]
pub(super) struct Belief {
    confirmed: BTreeSet<ChangeHash>,
    presumed: BTreeSet<ChangeHash>,
    certificates: HashSet<[u8; 32]>,
    sent_certificates: HashSet<[u8; 32]>,
}

impl Belief {
    /// The peer has these: it named or sent them.
    pub(super) fn confirm(&mut self, hashes: impl IntoIterator<Item = ChangeHash>) {
        if self.confirmed.len() > MAX_HINTS {
            self.confirmed.clear();
        }
        self.confirmed.extend(hashes);
    }

    /// These were sent to the peer.
    pub(super) fn presume(&mut self, hashes: impl IntoIterator<Item = ChangeHash>) {
        if self.presumed.len() > MAX_HINTS {
            self.presumed.clear();
        }
        self.presumed.extend(hashes);
    }

    /// What was sent may have been lost.
    pub(super) fn doubt(&mut self) {
        self.presumed.clear();
        self.sent_certificates.clear();
    }

    /// Both copies stand at `heads`; nothing else needs to be remembered.
    pub(super) fn settle(&mut self, heads: &[ChangeHash]) {
        self.presumed.clear();
        self.confirmed = heads.iter().copied().collect();
        self.certificates.extend(self.sent_certificates.drain());
    }

    /// Whether the peer is known to have all of `heads`.
    pub(super) fn confirms(&self, heads: &[ChangeHash]) -> bool {
        heads.iter().all(|head| self.confirmed.contains(head))
    }

    /// Whether the peer is known or presumed to have all of `heads`.
    pub(super) fn covers(&self, heads: &[ChangeHash]) -> bool {
        heads.iter().all(|head| self.confirmed.contains(head) || self.presumed.contains(head))
    }

    /// What of this room's history the peer is known or presumed to have.
    pub(super) fn base(&self, room: &Room) -> Vec<ChangeHash> {
        self.confirmed.union(&self.presumed).filter(|hash| room.contains(hash)).copied().collect()
    }

    /// The peer sent these certificates, so it has them.
    pub(super) fn learn_certificates(&mut self, certificates: &[Signed<DeviceCertificate>]) {
        if self.certificates.len() > MAX_CERTIFICATES {
            self.certificates.clear();
        }
        self.certificates.extend(certificates.iter().map(Signed::digest));
    }

    /// Leaves out the certificates that the peer has, and notes the others as sent.
    pub(super) fn new_certificates(
        &mut self,
        certificates: Vec<Signed<DeviceCertificate>>,
    ) -> Vec<Signed<DeviceCertificate>> {
        if self.sent_certificates.len() > MAX_CERTIFICATES {
            self.sent_certificates.clear();
        }
        let mut fresh = certificates;
        fresh.retain(|certificate| !self.certificates.contains(&certificate.digest()));
        self.sent_certificates.extend(fresh.iter().map(Signed::digest));
        fresh
    }

    /// The peer asked for the same thing again: perhaps a certificate is what it lacks.
    pub(super) fn forget_certificates(&mut self) {
        self.certificates.clear();
    }
}

/// How much is served, and how often. Times are the session's own.
pub(super) struct Service {
    batch_bytes: usize,
    served: Option<Duration>,
    demands: u32,
    refilled: Duration,
}

impl Service {
    pub(super) const fn new() -> Self {
        let (batch_bytes, demands) = (FIRST_BATCH_BYTES, DEMANDS_BURST);
        Self { batch_bytes, served: None, demands, refilled: Duration::ZERO }
    }

    /// Whether one more demand of the peer may be served.
    pub(super) fn admit(&mut self, elapsed: Duration) -> bool {
        if elapsed.saturating_sub(self.refilled) >= Duration::from_secs(1) {
            (self.refilled, self.demands) = (elapsed, DEMANDS_BURST);
        }
        let admitted = self.demands > 0;
        self.demands = self.demands.saturating_sub(1);
        admitted
    }

    /// The most bytes of changes for the answer that is made now.
    pub(super) fn batch(&mut self, elapsed: Duration, packed: bool) -> usize {
        let largest = if packed { MAX_PACKED_BATCH_BYTES } else { MAX_BATCH_BYTES };
        self.batch_bytes = match self.served.replace(elapsed) {
            Some(served) if elapsed.saturating_sub(served) < KEEPS_UP => (self.batch_bytes * 2).min(largest),
            _ => FIRST_BATCH_BYTES,
        };
        self.batch_bytes
    }
}
