//! All changes of a room that were checked, as the graph they form, and which of them count.
//!
//! A change is entered when everything it builds on is entered. Whether it *counts* is decided from the whole
//! graph and the epochs, in `resolve`, so that it does not depend on the order of arrival.

use std::cell::OnceCell;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::ops::RangeInclusive;

use keys::{DeviceId, IdentityId};

use crate::change::SignedChange;
use crate::ids::{Actor, ChangeHash, EntryId};
use crate::role::Rights;
use crate::room::document::{SCHEMA_ACTOR, SCHEMA_OPERATIONS};
use crate::schema::{FoundOp, History, Operation, OperationId, Section};

/// The place of a change in the ledger; what it builds on has a smaller one.
pub(super) type Place = usize;

/// A checked change.
pub(super) struct Node {
    /// The signed change; none for the first change of the document, which nobody signs.
    pub(super) change: Option<SignedChange>,
    pub(super) hash: ChangeHash,
    pub(super) parents: Vec<Place>,
    pub(super) children: Vec<Place>,
    pub(super) author: IdentityId,
    pub(super) device: DeviceId,
    pub(super) session: u64,
    pub(super) epoch: u64,
    pub(super) actor: Actor,
    pub(super) seq: u64,
    /// Counter of its first operation.
    pub(super) start: u64,
    /// When, by its author's word, in Unix milliseconds.
    pub(super) time_ms: i64,
    pub(super) needs: Rights,
    pub(super) operations: Vec<Operation>,
    /// Whether it counts.
    pub(super) counts: bool,
}

impl Node {
    /// Counter of its last operation.
    pub(super) fn end(&self) -> u64 {
        self.start + self.operations.len() as u64 - 1
    }

    /// Its operations by name.
    pub(super) fn named(&self) -> impl Iterator<Item = (OperationId, &Operation)> {
        let id = |counter| OperationId { counter, actor: self.actor };
        (self.start..).map(id).zip(&self.operations)
    }
}

/// Two changes of one actor with one number: proof that its device cheats, or was copied.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fork {
    pub(super) device: DeviceId,
    pub(super) session: u64,
    /// The first number that was used twice.
    pub(super) seq: u64,
}

/// The graph of a room's checked changes.
pub(super) struct Ledger {
    pub(super) nodes: Vec<Node>,
    by_hash: HashMap<ChangeHash, Place>,
    by_actor: HashMap<Actor, Vec<Place>>,
    /// Sorted, so that one is found by the beginning of its name.
    entries: BTreeMap<EntryId, OperationId>,
    forks: BTreeMap<Actor, Fork>,
    heads: HashSet<Place>,
    counted: usize,
    /// Actors of stored changes that are refused now: their numbers are used up although none is entered.
    pub(super) retired: HashSet<Actor>,
}

impl Ledger {
    /// With only the first change.
    pub(super) fn new(first: ChangeHash) -> Self {
        // The first change is of no section that people write to: its operations are found by `section`.
        let operations = vec![Operation::Make(Section::Annotations); SCHEMA_OPERATIONS as usize];
        let root = Node {
            change: None,
            hash: first,
            parents: Vec::new(),
            children: Vec::new(),
            author: IdentityId::from_bytes([0; 32]),
            device: DeviceId::from_bytes([0; 32]),
            session: 0,
            epoch: 0,
            actor: SCHEMA_ACTOR,
            seq: 1,
            start: 1,
            time_ms: 0,
            needs: Rights::NONE,
            operations,
            counts: true,
        };
        Self {
            nodes: vec![root],
            by_hash: HashMap::from([(first, 0)]),
            by_actor: HashMap::new(),
            entries: BTreeMap::new(),
            forks: BTreeMap::new(),
            heads: HashSet::from([0]),
            counted: 1,
            retired: HashSet::new(),
        }
    }

    /// The place of a change.
    pub(super) fn place(&self, hash: &ChangeHash) -> Option<Place> {
        self.by_hash.get(hash).copied()
    }

    /// Whether a change counts.
    pub(super) fn counts(&self, hash: &ChangeHash) -> bool {
        self.place(hash).is_some_and(|place| self.nodes[place].counts)
    }

    /// How many changes count, the first one not included.
    pub(super) const fn counted(&self) -> usize {
        self.counted - 1
    }

    /// How many are entered and do not count.
    pub(super) const fn held(&self) -> usize {
        self.nodes.len() - self.counted
    }

    /// Places of the changes that count, each after what it builds on; the first change is the first.
    pub(super) fn counting(&self) -> impl DoubleEndedIterator<Item = Place> {
        (0..self.nodes.len()).filter(|place| self.nodes[*place].counts)
    }

    /// Those that count and on which none that counts builds, sorted.
    pub(super) fn heads(&self) -> Vec<ChangeHash> {
        let mut heads: Vec<_> = self.heads.iter().map(|place| self.nodes[*place].hash).collect();
        heads.sort_unstable();
        heads
    }

    /// The counter that the next operation on top of these has.
    pub(super) fn next_counter(&self, parents: &[Place]) -> u64 {
        parents.iter().map(|place| self.nodes[*place].end()).max().unwrap_or(0) + 1
    }

    /// Devices that wrote two changes of one number.
    pub(super) const fn forks(&self) -> &BTreeMap<Actor, Fork> {
        &self.forks
    }

    /// All changes of an actor.
    pub(super) fn of_actor(&self, actor: &Actor) -> &[Place] {
        self.by_actor.get(actor).map_or(&[], Vec::as_slice)
    }

    /// The changes of an actor of which one may hold the operation of this name: one at most, unless its device
    /// wrote two of one number. Numbers and counters rise with the places, since each change has the one before in its
    /// past; so one is found without a look at all.
    fn holding(&self, id: &OperationId) -> &[Place] {
        let all = self.of_actor(&id.actor);
        if self.forks.contains_key(&id.actor) {
            return all;
        }
        let after = all.partition_point(|place| self.nodes[*place].start <= id.counter);
        &all[after.saturating_sub(1)..after]
    }

    /// Enters a change that does not count yet.
    pub(super) fn enter(&mut self, node: Node) -> Place {
        let place = self.nodes.len();
        for parent in &node.parents {
            self.nodes[*parent].children.push(place);
        }
        let same = self.by_actor.entry(node.actor).or_default();
        // Numbers rise until the first that was used twice.
        let rises = !self.forks.contains_key(&node.actor)
            && same.last().is_none_or(|last| self.nodes[*last].seq < node.seq);
        if !rises && same.iter().any(|other| self.nodes[*other].seq == node.seq) {
            let fork = Fork { device: node.device, session: node.session, seq: node.seq };
            let known = self.forks.entry(node.actor).or_insert(fork);
            known.seq = known.seq.min(node.seq);
        }
        same.push(place);
        let made = node.named().filter(|(_, operation)| matches!(operation, Operation::Make(_)));
        self.entries.extend(made.map(|(id, _)| (id.entry(), id)));
        self.by_hash.insert(node.hash, place);
        self.nodes.push(node);
        place
    }

    /// Retires the actors of stored changes that were not entered.
    pub(super) fn retire(&mut self, stored: &[(ChangeHash, Actor)]) {
        let refused = stored.iter().filter(|(hash, _)| !self.by_hash.contains_key(hash));
        self.retired.extend(refused.map(|(_, actor)| *actor));
    }

    /// The head that is this change or builds on it; none if it does not count.
    pub(super) fn head_above(&self, mut place: Place) -> Option<Place> {
        while !self.heads.contains(&place) {
            place = self.nodes[place].children.iter().copied().find(|child| self.nodes[*child].counts)?;
        }
        Some(place)
    }

    /// At most `max` heads for a change to build on: those above all of `needed` first, then the oldest.
    pub(super) fn some_heads(&self, needed: &[Place], max: usize) -> Vec<Place> {
        let mut all: Vec<_> = self.heads.iter().copied().collect();
        all.sort_unstable();
        if all.len() > max {
            let above: HashSet<_> = needed.iter().filter_map(|place| self.head_above(*place)).collect();
            all.sort_by_key(|place| (!above.contains(place), *place));
            all.truncate(max);
        }
        all
    }

    /// Lets a change count. What it builds on counts.
    pub(super) fn count(&mut self, place: Place) {
        if std::mem::replace(&mut self.nodes[place].counts, true) {
            return;
        }
        self.counted += 1;
        for parent in &self.nodes[place].parents {
            self.heads.remove(parent);
        }
        if !self.nodes[place].children.iter().any(|child| self.nodes[*child].counts) {
            self.heads.insert(place);
        }
    }

    /// Replaces what counts.
    pub(super) fn recount(&mut self, counts: &[bool]) {
        for (node, counts) in self.nodes.iter_mut().zip(counts) {
            node.counts = *counts;
        }
        self.counted = counts.iter().filter(|counts| **counts).count();
        let is_head = |place: &Place| {
            self.nodes[*place].counts
                && !self.nodes[*place].children.iter().any(|child| self.nodes[*child].counts)
        };
        self.heads = (0..self.nodes.len()).filter(is_head).collect();
    }

    /// All changes that are one of these or that one of these builds on.
    pub(super) fn below(&self, places: impl IntoIterator<Item = Place>) -> Vec<bool> {
        let mut below = vec![false; self.nodes.len()];
        let mut open: Vec<Place> = places.into_iter().collect();
        while let Some(place) = open.pop() {
            if !std::mem::replace(&mut below[place], true) {
                open.extend(&self.nodes[place].parents);
            }
        }
        below
    }

    /// The past of a change that builds on these.
    pub(super) fn past(&self, parents: Vec<Place>, author: IdentityId) -> Past<'_> {
        let whole = self.heads.iter().all(|head| parents.contains(head));
        Past { ledger: self, parents, whole, below: OnceCell::new(), author }
    }

    /// The operation that made an entry, in a change that may or may not count.
    pub(super) fn entry(&self, id: &EntryId) -> Option<OperationId> {
        self.entries.get(id).copied()
    }

    /// The names of all entries in this range, of changes that may or may not count.
    pub(super) fn entries(&self, names: RangeInclusive<EntryId>) -> impl Iterator<Item = EntryId> {
        self.entries.range(names).map(|(name, _)| *name)
    }

    /// The operation of this name in a change that counts, and its change.
    pub(super) fn find_counting(&self, id: &OperationId) -> Option<(&Node, &Operation)> {
        let nodes = self.holding(id).iter().map(|place| &self.nodes[*place]);
        nodes.filter(|node| node.counts).find_map(|node| Some((node, operation(node, id)?)))
    }

    /// Gives up what does not count, all but the youngest `keep` of it.
    pub(super) fn forget_held(&mut self, keep: usize) {
        let mut spare = self.held().saturating_sub(keep);
        let mut moved: Vec<Option<Place>> = Vec::with_capacity(self.nodes.len());
        let mut kept = Self::new(self.nodes[0].hash);
        for (place, mut node) in std::mem::take(&mut self.nodes).into_iter().enumerate() {
            let parents: Option<Vec<Place>> = node.parents.iter().map(|parent| moved[*parent]).collect();
            let (Some(parents), counts) = (parents, node.counts) else {
                moved.push(None);
                continue;
            };
            if place == 0 {
                moved.push(Some(0));
            } else if !counts && spare > 0 {
                spare -= 1;
                moved.push(None);
            } else {
                (node.parents, node.children, node.counts) = (parents, Vec::new(), false);
                let new = kept.enter(node);
                if counts {
                    kept.count(new);
                }
                moved.push(Some(new));
            }
        }
        // A proof is not forgotten with what it was proven by.
        kept.forks = std::mem::take(&mut self.forks);
        kept.retired = std::mem::take(&mut self.retired);
        *self = kept;
    }
}

fn operation<'a>(node: &'a Node, id: &OperationId) -> Option<&'a Operation> {
    node.operations.get(usize::try_from(id.counter.checked_sub(node.start)?).ok()?)
}

/// What a new change can know of.
pub(super) struct Past<'a> {
    ledger: &'a Ledger,
    parents: Vec<Place>,
    /// Everything that counts is in it: the usual case, which needs no walk.
    whole: bool,
    below: OnceCell<Vec<bool>>,
    author: IdentityId,
}

impl Past<'_> {
    /// Whether a change lies in it.
    pub(super) fn contains(&self, place: Place) -> bool {
        if self.whole && self.ledger.nodes[place].counts {
            return true;
        }
        self.below.get_or_init(|| self.ledger.below(self.parents.iter().copied()))[place]
    }

    /// The number of the last change of this actor in it; 0 when there is none.
    pub(super) fn last_number(&self, actor: &Actor) -> u64 {
        let own = self.ledger.of_actor(actor).iter().rev().filter(|place| self.contains(**place));
        let mut numbers = own.map(|place| self.ledger.nodes[*place].seq);
        let last = if self.ledger.forks.contains_key(actor) { numbers.max() } else { numbers.next() };
        last.unwrap_or(0)
    }

    /// Whether it has two changes of one number in it, which no honest copy ever has.
    pub(super) fn has_fork(&self) -> bool {
        self.ledger.forks.keys().any(|actor| {
            let mut seen = HashSet::new();
            let mut inside = self.ledger.of_actor(actor).iter().filter(|place| self.contains(**place));
            !inside.all(|place| seen.insert(self.ledger.nodes[*place].seq))
        })
    }
}

impl History for Past<'_> {
    fn find(&self, id: &OperationId) -> Option<FoundOp> {
        let places = self.ledger.holding(id).iter();
        let found = |place: &Place| {
            let node = &self.ledger.nodes[*place];
            let operation = *operation(node, id)?;
            self.contains(*place).then_some(FoundOp { operation, own: node.author == self.author })
        };
        places.into_iter().find_map(found)
    }

    fn section(&self, id: &OperationId) -> Option<Section> {
        let index = usize::try_from(id.counter.checked_sub(1)?).ok()?;
        (id.actor == SCHEMA_ACTOR).then(|| Section::ALL.get(index).copied()).flatten()
    }
}
