//! One run: five members edit, the network fails and parts, nodes restart, the owner changes who is in the room.

use std::fmt;
use std::time::{Duration, Instant};

use metaclinic_crdt::{Charter, Member, Role, Room};

use super::network::{Faults, Traffic, Transport, World};
use super::node::Node;
use super::people::Person;

/// When the network parts, and when it is whole again: 60 seconds later.
const PART_MS: u64 = 10_000;
const HEAL_MS: u64 = 70_000;

/// After healing all copies are equal within this time.
const EQUAL_WITHIN_MS: u64 = 5_000;

/// And this long after that nobody says anything more.
const REST_WITHIN_MS: u64 = 10_000;

/// The member that the owner removes, or whose right it lowers, while it is on the other side.
const LEAVER: usize = 4;

/// What a run showed.
pub(crate) struct Outcome {
    pub(crate) changes: usize,
    pub(crate) equal_after_ms: u64,
    pub(crate) traffic: Traffic,
    pub(crate) took: Duration,
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { changes, equal_after_ms, traffic, took } = self;
        let Traffic { messages, packs, bytes, cut_or_lost, .. } = traffic;
        write!(
            f,
            "{changes} changes, {messages} messages ({packs} packs) of {} KiB, {cut_or_lost} cut or lost, ",
            bytes / 1024
        )?;
        write!(f, "equal {equal_after_ms} ms after healing, ran {} ms", took.as_millis())
    }
}

/// Runs one seed to the end, which must be equal copies.
pub(crate) fn run(seed: u64, transport: Transport) -> Outcome {
    let began = Instant::now();
    let mut world = found(seed, transport);
    let mut owner_steps = 0;
    let mut parted = false;
    while world.now_ms() < HEAL_MS {
        let next_ms = world.now_ms() + 200 + world.below(600);
        world.run_until(next_ms.min(HEAL_MS));
        let node = world.below(world.nodes.len() as u64) as usize;
        let now = world.now();
        let World { nodes, rng, .. } = &mut world;
        nodes[node].edit(now, rng);
        if world.below(40) == 0 {
            world.restart(node);
        }
        if !parted && world.now_ms() >= PART_MS {
            parted = true;
            world.part(&[0, 1]);
        }
        if world.now_ms() >= PART_MS + 15_000 * (owner_steps + 1) && owner_steps < 3 {
            change_members(&mut world, seed, owner_steps);
            owner_steps += 1;
        }
    }
    world.heal();
    while !all_equal(&world) {
        assert!(world.now_ms() < HEAL_MS + EQUAL_WITHIN_MS, "copies differ: {}", describe(&world));
        let next_ms = world.now_ms() + 50;
        world.run_until(next_ms);
    }
    let equal_after_ms = world.now_ms() - HEAL_MS;
    check_rest(&mut world);
    check_reopened(&world);
    let changes = world.nodes[0].room.len();
    Outcome { changes, equal_after_ms, traffic: world.traffic, took: began.elapsed() }
}

fn found(seed: u64, transport: Transport) -> World {
    let delay_ms = match transport {
        Transport::Streams => (5, 60),
        Transport::Datagrams => (5, 250),
    };
    let drop = match transport {
        Transport::Streams => 20,
        Transport::Datagrams => 250,
    };
    let mut world = World::new(seed, transport, Faults { delay_ms, drop, duplicate: 80 });
    let people: Vec<Person> = (0..5).map(|number| Person::new(seed, number)).collect();
    let roles = [Role::Owner, Role::Clinician, Role::Clinician, Role::Patient, Role::Clinician];
    let members = people.iter().zip(roles).map(|(p, role)| Member { identity: p.id(), role }).collect();
    let charter = Charter { name: "Ward 3".into(), scene: "consulting-room".into(), nonce: [7; 16] };
    let room = Room::create(&people[0].identity, charter, members, world.now()).unwrap();
    let epochs = room.epochs().entries_from(0).to_vec();
    for person in people {
        world.add(Node::new(person, &epochs));
    }
    world
}

/// In turn: someone new is invited on the other side, a right is lowered, a member is removed.
fn change_members(world: &mut World, seed: u64, step: u64) {
    let now = world.now();
    let newcomer = Person::new(seed, world.nodes.len());
    let leaver = world.nodes[LEAVER].person.id();
    let owner = &mut world.nodes[0];
    let key = Person::identity(seed, 0);
    let epoch = match (step, seed % 3) {
        (0, _) => owner.room.invite(&key, Member { identity: newcomer.id(), role: Role::Clinician }, now),
        (1, 0 | 1) => owner.room.invite(&key, Member { identity: leaver, role: Role::Observer }, now),
        (2, 0) => owner.room.invite(&key, Member { identity: leaver, role: Role::Clinician }, now),
        (2, 1 | 2) => owner.room.remove(&key, &leaver, now),
        _ => return,
    };
    owner.stored.epochs.push(epoch.unwrap());
    owner.mark(now);
    if step == 0 {
        let epochs = owner.stored.epochs.clone();
        world.add(Node::new(newcomer, &epochs));
    }
    if step == 2 && !seed.is_multiple_of(3) {
        world.nodes[LEAVER].counts = false;
    }
}

fn all_equal(world: &World) -> bool {
    let mut counted = world.nodes.iter().filter(|node| node.counts);
    let first = counted.next().expect("the owner always counts");
    let (heads, digest) = (first.room.heads(), first.room.epochs().digest());
    counted.all(|node| node.room.heads() == heads && node.room.epochs().digest() == digest)
}

/// Copies that are equal have nothing to say to each other.
fn check_rest(world: &mut World) {
    world.run_until(world.now_ms() + REST_WITHIN_MS);
    let before = world.traffic.among_equals;
    world.run_until(world.now_ms() + 60_000);
    assert_eq!(world.traffic.among_equals, before, "equal copies go on talking: {}", describe(world));
}

/// Equal heads show the same, and what was stored gives the same room again.
fn check_reopened(world: &World) {
    let view = world.nodes[0].room.view();
    for node in world.nodes.iter().filter(|node| node.counts) {
        assert!(node.room.view() == view, "equal heads must show the same");
        assert!(node.reopened().view() == view, "what was stored must give the same room");
    }
}

fn describe(world: &World) -> String {
    let line = |(number, node): (usize, &Node)| {
        let sessions: Vec<String> =
            node.sessions.iter().map(|(peer, s)| format!("{peer}:{}", s.is_in_sync())).collect();
        let (room, counts) = (&node.room, node.counts);
        let (heads, waiting) = (room.heads(), room.wanted());
        format!(
            "\n  node {number} (counts {counts}): epoch {}, {} changes, heads {heads:?}, wants {waiting:?}, {sessions:?}",
            room.epochs().number(),
            room.len(),
        )
    };
    world.nodes.iter().enumerate().map(line).collect()
}
