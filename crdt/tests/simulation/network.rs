//! A virtual clock and a network that fails as its seed says.
//!
//! *Streams* keep order and lose nothing until they are cut; then both ends learn it and dial again later.
//! *Datagrams* are dropped, doubled, delayed and reordered one by one, and nobody learns anything.

use std::collections::{BTreeMap, BTreeSet};

use keys::{Signed, Timestamp};
use metaclinic_crdt::{Epoch, MAX_SYNC_MESSAGE_BYTES, SyncInput, SyncMessage, SyncSession};
use rand_chacha::ChaCha8Rng;
use rand_core::{Rng, SeedableRng};

use super::node::{Demand, Node};

/// A node ticks the sessions that wait for something this often.
const TICK_MS: u64 = 50;

/// How messages travel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Transport {
    Streams,
    Datagrams,
}

/// How badly; chances in thousandths for each message.
#[derive(Clone, Copy)]
pub(crate) struct Faults {
    pub(crate) delay_ms: (u64, u64),
    /// A datagram disappears, or a stream is cut.
    pub(crate) drop: u32,
    pub(crate) duplicate: u32,
}

enum Event {
    Deliver { from: usize, to: usize, generation: u64, bytes: Vec<u8> },
    Open { a: usize, b: usize },
    Gone { node: usize, peer: usize, generation: u64 },
    AskEpochs { asker: usize, of: usize, from: u64 },
    Epochs { to: usize, entries: Vec<Signed<Epoch>> },
    Tick,
}

#[derive(Default)]
struct Link {
    open: bool,
    /// A dial is under way.
    dialling: bool,
    /// Which stream of this link; what was sent in an earlier one never arrives.
    generation: u64,
    /// When the last message in each direction arrives.
    last_at: [u64; 2],
}

/// What went over the network.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Traffic {
    pub(crate) messages: u64,
    pub(crate) bytes: u64,
    pub(crate) cut_or_lost: u64,
    /// Messages between nodes that are compared.
    pub(crate) among_equals: u64,
    /// Messages that are packs of changes.
    pub(crate) packs: u64,
}

/// All nodes, the network between them, and the time.
pub(crate) struct World {
    pub(crate) nodes: Vec<Node>,
    pub(crate) rng: ChaCha8Rng,
    pub(crate) faults: Faults,
    pub(crate) traffic: Traffic,
    /// A member who breaks the rules: nobody else may be refused for breaking them.
    pub(crate) villain: Option<usize>,
    /// How often the villain's stream was closed for a breach.
    pub(crate) breaches: u64,
    transport: Transport,
    now_ms: u64,
    order: u64,
    events: BTreeMap<(u64, u64), Event>,
    links: BTreeMap<(usize, usize), Link>,
    /// Nodes on this side cannot reach those that are not.
    island: BTreeSet<usize>,
}

impl World {
    pub(crate) fn new(seed: u64, transport: Transport, faults: Faults) -> Self {
        let rng = ChaCha8Rng::seed_from_u64(seed);
        let (nodes, events, links) = (Vec::new(), BTreeMap::new(), BTreeMap::new());
        let (traffic, island) = (Traffic::default(), BTreeSet::new());
        let (villain, breaches, now_ms, order) = (None, 0, 0, 0);
        let mut world = Self {
            nodes,
            rng,
            faults,
            traffic,
            villain,
            breaches,
            transport,
            now_ms,
            order,
            events,
            links,
            island,
        };
        world.after(TICK_MS, Event::Tick);
        world
    }

    /// Now, on a day of 2026.
    pub(crate) fn now(&self) -> Timestamp {
        Timestamp::from_millis(1_770_000_000_000 + i64::try_from(self.now_ms).unwrap())
    }

    pub(crate) const fn now_ms(&self) -> u64 {
        self.now_ms
    }

    /// A number below `end`.
    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.rng.next_u64() % end
    }

    /// Adds a node and has it dial all others.
    pub(crate) fn add(&mut self, node: Node) -> usize {
        let b = self.nodes.len();
        self.nodes.push(node);
        for a in 0..b {
            self.links.insert((a, b), Link::default());
            self.dial(a, b);
        }
        b
    }

    /// Cuts the network between `island` and the rest.
    pub(crate) fn part(&mut self, island: &[usize]) {
        self.island = island.iter().copied().collect();
        let apart: Vec<(usize, usize)> =
            self.links.keys().filter(|(a, b)| !self.reach(*a, *b)).copied().collect();
        if self.transport == Transport::Streams {
            for (a, b) in apart {
                self.cut(a, b);
            }
        }
    }

    /// Ends the partition and the losses; delay, order and doubling stay as they are.
    pub(crate) fn heal(&mut self) {
        self.island.clear();
        self.faults.drop = 0;
    }

    /// Ends a node's process and starts it again from what it stored.
    pub(crate) fn restart(&mut self, node: usize) {
        self.nodes[node].restart();
        for peer in (0..self.nodes.len()).filter(|peer| *peer != node) {
            let (a, b) = (node.min(peer), node.max(peer));
            match self.transport {
                Transport::Streams => self.cut(a, b),
                // The others notice nothing.
                Transport::Datagrams => self.start(node, peer),
            }
        }
    }

    /// Sends what the node's own session would not.
    pub(crate) fn inject(&mut self, from: usize, to: usize, bytes: Vec<u8>) {
        self.send(from, to, bytes);
    }

    /// Runs what happens until `end_ms`.
    pub(crate) fn run_until(&mut self, end_ms: u64) {
        while let Some(entry) = self.events.first_entry().filter(|entry| entry.key().0 <= end_ms) {
            let ((at, _), event) = entry.remove_entry();
            self.now_ms = at;
            self.apply(event);
        }
        self.now_ms = end_ms;
    }

    fn apply(&mut self, event: Event) {
        match event {
            Event::Tick => {
                self.tick();
                self.after(TICK_MS, Event::Tick);
            }
            Event::Open { a, b } => self.open(a, b),
            Event::Gone { node, peer, generation } => {
                if self.link(node, peer).generation <= generation {
                    self.input(node, peer, SyncInput::PeerGone);
                }
            }
            Event::Deliver { from, to, generation, bytes } => {
                let current = self.link(from, to).generation == generation;
                if self.reach(from, to) && (current || self.transport == Transport::Datagrams) {
                    self.input(to, from, SyncInput::Message(bytes));
                }
            }
            Event::AskEpochs { asker, of, from } => {
                let member = self.nodes[of].room.role(&self.nodes[asker].person.id()).is_some();
                if self.reach(asker, of) && member {
                    let entries = self.nodes[of].epochs_from(from);
                    let delay = self.delay();
                    self.after(delay, Event::Epochs { to: asker, entries });
                }
            }
            Event::Epochs { to, entries } => {
                let now = self.now();
                self.nodes[to].add_epochs(now, &entries);
            }
        }
    }

    fn tick(&mut self) {
        for node in 0..self.nodes.len() {
            let waiting: Vec<usize> = self.nodes[node]
                .sessions
                .iter()
                .filter(|(_, s)| s.wants_tick())
                .map(|(peer, _)| *peer)
                .collect();
            for peer in waiting {
                self.input(node, peer, SyncInput::Tick);
            }
        }
    }

    fn dial(&mut self, a: usize, b: usize) {
        let delay = 200 + self.below(800);
        let link = self.link(a, b);
        if !link.dialling {
            link.dialling = true;
            self.after(delay, Event::Open { a: a.min(b), b: a.max(b) });
        }
    }

    fn open(&mut self, a: usize, b: usize) {
        self.link(a, b).dialling = false;
        if !self.reach(a, b) && self.transport == Transport::Streams {
            return self.dial(a, b);
        }
        let now_ms = self.now_ms;
        let link = self.link(a, b);
        (link.open, link.last_at) = (true, [now_ms; 2]);
        link.generation += 1;
        self.start(a, b);
        self.start(b, a);
    }

    fn start(&mut self, node: usize, peer: usize) {
        let other = self.nodes[peer].person.id();
        let own = self.nodes[node].person.device();
        self.nodes[node].sessions.insert(peer, SyncSession::new(other, own));
        self.input(node, peer, SyncInput::Start);
    }

    fn cut(&mut self, a: usize, b: usize) {
        let link = self.link(a, b);
        if !link.open {
            return;
        }
        link.open = false;
        link.generation += 1;
        let generation = link.generation;
        self.traffic.cut_or_lost += 1;
        for (node, peer) in [(a, b), (b, a)] {
            let notice = self.below(200);
            self.after(notice, Event::Gone { node, peer, generation });
        }
        self.dial(a, b);
    }

    fn input(&mut self, node: usize, peer: usize, input: SyncInput) {
        let now = self.now();
        for demand in self.nodes[node].handle(now, peer, input) {
            match demand {
                Demand::Send { to, bytes } => self.send(node, to, bytes),
                Demand::Epochs { of, from } => {
                    let lost = self.transport == Transport::Datagrams && self.happens(self.faults.drop);
                    let delay = self.delay();
                    if !lost {
                        self.after(delay, Event::AskEpochs { asker: node, of, from });
                    }
                }
                Demand::Close { with, reason } => {
                    if reason != "peer is no member of this room" {
                        assert_eq!(Some(with), self.villain, "node {node} refused {with}: {reason}");
                        self.breaches += 1;
                    }
                    match self.transport {
                        Transport::Streams => self.cut(node.min(with), node.max(with)),
                        Transport::Datagrams => self.dial(node, with),
                    }
                }
            }
        }
    }

    fn send(&mut self, from: usize, to: usize, bytes: Vec<u8>) {
        assert!(bytes.len() <= MAX_SYNC_MESSAGE_BYTES);
        self.traffic.messages += 1;
        self.traffic.among_equals += u64::from(self.nodes[from].counts && self.nodes[to].counts);
        self.traffic.bytes += bytes.len() as u64;
        let packed = matches!(SyncMessage::decode(&bytes), Ok(SyncMessage::Packed { .. }));
        self.traffic.packs += u64::from(packed);
        let dropped = self.happens(self.faults.drop);
        let mut at = self.now_ms + self.delay();
        let link = self.link(from, to);
        let generation = link.generation;
        if self.transport == Transport::Streams {
            if dropped {
                return self.cut(from.min(to), from.max(to));
            }
            let last = &mut self.link(from, to).last_at[usize::from(from < to)];
            at = at.max(*last);
            *last = at;
        } else if dropped {
            self.traffic.cut_or_lost += 1;
            return;
        } else if self.happens(self.faults.duplicate) {
            let again = self.now_ms + self.delay();
            self.at(again, Event::Deliver { from, to, generation, bytes: bytes.clone() });
        }
        self.at(at, Event::Deliver { from, to, generation, bytes });
    }

    fn reach(&self, a: usize, b: usize) -> bool {
        self.island.contains(&a) == self.island.contains(&b)
    }

    fn link(&mut self, a: usize, b: usize) -> &mut Link {
        self.links.get_mut(&(a.min(b), a.max(b))).unwrap()
    }

    fn delay(&mut self) -> u64 {
        let (least, most) = self.faults.delay_ms;
        least + self.below(most - least + 1)
    }

    fn happens(&mut self, thousandths: u32) -> bool {
        self.rng.next_u32() % 1_000 < thousandths
    }

    fn after(&mut self, delay_ms: u64, event: Event) {
        self.at(self.now_ms + delay_ms, event);
    }

    fn at(&mut self, at_ms: u64, event: Event) {
        self.order += 1;
        self.events.insert((at_ms, self.order), event);
    }
}
