//! Changes that cannot be judged yet: what they build on, or the epoch they name, has not arrived.

use std::collections::{BTreeMap, HashMap, HashSet};

use keys::DeviceId;

use crate::change::SignedChange;
use crate::ids::{Actor, ChangeHash};

/// The most changes of a room that wait.
pub(super) const MAX_WAITING: usize = 4_096;

/// The most bytes of a room's waiting changes.
pub(super) const MAX_WAITING_BYTES: usize = 16 * 1024 * 1024;

/// The most changes of one device that wait.
pub(super) const MAX_WAITING_PER_DEVICE: usize = 1_024;

/// What a change waits for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum For {
    /// These changes.
    Changes(Vec<ChangeHash>),
    /// This epoch.
    Epoch(u64),
}

struct Waiter {
    change: SignedChange,
    order: u64,
    lacks: For,
}

/// Changes that wait; when there are too many, the oldest is given up.
#[derive(Default)]
pub(super) struct Waiting {
    waiters: HashMap<ChangeHash, Waiter>,
    by_order: BTreeMap<u64, ChangeHash>,
    by_lack: HashMap<ChangeHash, HashSet<ChangeHash>>,
    per_device: HashMap<DeviceId, usize>,
    bytes: usize,
    next: u64,
}

impl Waiting {
    /// How many wait.
    pub(super) fn len(&self) -> usize {
        self.waiters.len()
    }

    /// Whether this one waits.
    pub(super) fn contains(&self, hash: &ChangeHash) -> bool {
        self.waiters.contains_key(hash)
    }

    /// Whether one of this actor waits.
    pub(super) fn has_actor(&self, actor: &Actor) -> bool {
        self.waiters.values().any(|waiter| waiter.change.actor() == *actor)
    }

    /// Lets a change wait; gives up the oldest ones when there are too many.
    pub(super) fn add(&mut self, change: SignedChange, lacks: For) {
        let (hash, device) = (change.hash(), change.device());
        self.remove(&hash);
        if self.per_device.get(&device).is_some_and(|count| *count >= MAX_WAITING_PER_DEVICE) {
            let mut oldest = self.by_order.values();
            let oldest =
                oldest.find(|hash| self.waiters.get(hash).is_some_and(|w| w.change.device() == device));
            oldest.copied().map(|oldest| self.remove(&oldest));
        }
        if let For::Changes(hashes) = &lacks {
            for lack in hashes {
                self.by_lack.entry(*lack).or_default().insert(hash);
            }
        }
        self.bytes += change.encoded_len();
        *self.per_device.entry(device).or_default() += 1;
        self.by_order.insert(self.next, hash);
        self.waiters.insert(hash, Waiter { change, order: self.next, lacks });
        self.next += 1;
        while self.len() > MAX_WAITING || self.bytes > MAX_WAITING_BYTES {
            let Some(oldest) = self.by_order.first_key_value().map(|(_, hash)| *hash) else { return };
            self.remove(&oldest);
        }
    }

    /// Takes a change out.
    pub(super) fn remove(&mut self, hash: &ChangeHash) -> Option<SignedChange> {
        let waiter = self.waiters.remove(hash)?;
        self.by_order.remove(&waiter.order);
        self.bytes -= waiter.change.encoded_len();
        let device = waiter.change.device();
        if let Some(count) = self.per_device.get_mut(&device) {
            *count -= 1;
            if *count == 0 {
                self.per_device.remove(&device);
            }
        }
        if let For::Changes(hashes) = &waiter.lacks {
            for lack in hashes {
                if let Some(waiting) = self.by_lack.get_mut(lack) {
                    waiting.remove(hash);
                    if waiting.is_empty() {
                        self.by_lack.remove(lack);
                    }
                }
            }
        }
        Some(waiter.change)
    }

    /// Takes out those that waited for this change; some may go on waiting for others.
    pub(super) fn take_for(&mut self, hash: &ChangeHash) -> Vec<SignedChange> {
        let mut waiting: Vec<_> = self.by_lack.get(hash).into_iter().flatten().copied().collect();
        waiting.sort_unstable();
        waiting.iter().filter_map(|hash| self.remove(hash)).collect()
    }

    /// Takes out those that waited for an epoch up to this one.
    pub(super) fn take_for_epoch(&mut self, n: u64) -> Vec<SignedChange> {
        let waited = |waiter: &&Waiter| matches!(waiter.lacks, For::Epoch(lack) if lack <= n);
        let mut ready: Vec<_> =
            self.waiters.values().filter(waited).map(|w| (w.order, w.change.hash())).collect();
        ready.sort_unstable();
        ready.iter().filter_map(|(_, hash)| self.remove(hash)).collect()
    }

    /// Takes out all, the oldest first.
    pub(super) fn drain(&mut self) -> Vec<SignedChange> {
        let Self { mut waiters, by_order, .. } = std::mem::take(self);
        by_order.values().filter_map(|hash| Some(waiters.remove(hash)?.change)).collect()
    }

    /// What is waited for and does not wait itself, sorted.
    pub(super) fn wanted(&self) -> Vec<ChangeHash> {
        let mut wanted: Vec<_> = self.by_lack.keys().filter(|hash| !self.contains(hash)).copied().collect();
        wanted.sort_unstable();
        wanted
    }

    /// Digests of the certificates of those who wait.
    pub(super) fn certificates(&self) -> HashSet<[u8; 32]> {
        self.waiters.values().map(|waiter| *waiter.change.certificate()).collect()
    }
}
