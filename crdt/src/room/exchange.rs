//! What the exchange with other copies asks of a room.

use std::collections::HashSet;

use keys::{DeviceCertificate, Signed};

use crate::change::SignedChange;
use crate::ids::ChangeHash;
use crate::room::Room;

impl Room {
    /// Those of these changes that count, in the given order.
    pub fn changes(&self, hashes: &[ChangeHash]) -> Vec<SignedChange> {
        let places = hashes.iter().filter_map(|hash| self.ledger.place(hash));
        let counting = places.map(|place| &self.ledger.nodes[place]).filter(|node| node.counts);
        counting.filter_map(|node| node.change.clone()).collect()
    }

    /// Changes that count and that none of `heads` is or builds on, each after what it builds on, together at most
    /// `limit_bytes` but at least one; and whether there are more. Unknown heads say nothing.
    pub fn changes_not_ancestors_of(
        &self,
        heads: &[ChangeHash],
        limit_bytes: usize,
    ) -> (Vec<SignedChange>, bool) {
        let known = self.ledger.below(heads.iter().filter_map(|hash| self.ledger.place(hash)));
        let new = self.ledger.counting().filter(|place| !known[*place]);
        let mut changes: Vec<SignedChange> = Vec::new();
        let mut bytes = 0;
        for change in new.filter_map(|place| self.ledger.nodes[place].change.as_ref()) {
            bytes += change.encoded_len();
            if bytes > limit_bytes && !changes.is_empty() {
                return (changes, true);
            }
            changes.push(change.clone());
        }
        (changes, false)
    }

    /// At most `max` changes by which another copy can tell what both have: exponentially spaced back from the
    /// newest, the last one is the first change, which every copy has.
    pub fn sample_ancestors(&self, max: usize) -> Vec<ChangeHash> {
        let counting: Vec<_> = self.ledger.counting().collect();
        let mut sample = Vec::new();
        let mut back = 1;
        while back < counting.len() && sample.len() + 1 < max {
            sample.push(self.ledger.nodes[counting[counting.len() - back]].hash);
            back *= 2;
        }
        if max > 0 {
            sample.push(self.document.first());
        }
        sample
    }

    /// Those of these that are neither here, counting or not, nor waiting.
    pub fn missing(&self, hashes: &[ChangeHash]) -> Vec<ChangeHash> {
        let here = |hash: &&ChangeHash| self.ledger.place(hash).is_some() || self.waiting.contains(hash);
        hashes.iter().filter(|hash| !here(hash)).copied().collect()
    }

    /// What waiting changes wait for, sorted.
    pub fn wanted(&self) -> Vec<ChangeHash> {
        self.waiting.wanted()
    }

    /// The certificates under which these changes were signed, each once, as far as they are known.
    pub fn certificates_for(&self, changes: &[SignedChange]) -> Vec<Signed<DeviceCertificate>> {
        let mut digests: Vec<_> = changes.iter().map(|change| *change.certificate()).collect();
        digests.sort_unstable();
        digests.dedup();
        digests.iter().filter_map(|digest| self.certificates.get(digest).cloned()).collect()
    }

    /// The certificates of all changes that count, for storage.
    pub fn certificates(&self) -> Vec<Signed<DeviceCertificate>> {
        let counting = self.ledger.counting().filter_map(|place| self.ledger.nodes[place].change.clone());
        self.certificates_for(&counting.collect::<Vec<_>>())
    }

    /// Proof, for a copy with these heads, that they rest on changes of a device that wrote two of one number: send
    /// it what is returned, in this order, and it will judge them alike. Empty where there is nothing to prove. At most
    /// 16 changes that prove something, and what they build on of the at most 512 that do not count here, which
    /// nobody else would give it.
    pub fn proofs_for(&self, heads: &[ChangeHash]) -> Vec<SignedChange> {
        let nodes = &self.ledger.nodes;
        let held =
            heads.iter().filter_map(|hash| self.ledger.place(hash)).filter(|place| !nodes[*place].counts);
        let below = self.ledger.below(held);
        let held = nodes.iter().zip(below).filter(|(node, below)| *below && !node.counts);
        let devices: HashSet<_> = held.map(|(node, _)| node.device).collect();
        let forks = self.ledger.forks().iter().filter(|(_, fork)| devices.contains(&fork.device));
        let pairs = forks.flat_map(|(actor, fork)| {
            let same = self.ledger.of_actor(actor).iter().filter(|place| nodes[**place].seq == fork.seq);
            same.take(2)
        });
        let pairs: HashSet<_> = pairs.take(MAX_PROOFS).copied().collect();
        let below = self.ledger.below(pairs.iter().copied());
        let shown = nodes
            .iter()
            .enumerate()
            .filter(|(place, node)| pairs.contains(place) || (below[*place] && !node.counts));
        shown.filter_map(|(_, node)| node.change.clone()).collect()
    }
}

/// The most changes of [`Room::proofs_for`] that prove something themselves.
const MAX_PROOFS: usize = 16;
