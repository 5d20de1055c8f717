//! A member who cheats: forged and altered signatures, writing beyond a role, replays, floods, two changes of
//! one number. Its messages reach honest nodes through ordinary sessions.

use keys::{Signable, Signed};
use metaclinic_crdt::{Charter, Member, Role, Room, RoomCommand, SignedChange, SyncMessage, Trust, pack};
use rand_core::Rng;
use serde::{Deserialize, Serialize};

use super::network::{Faults, Transport, World};
use super::node::Node;
use super::people::Person;

/// The member who cheats.
const VILLAIN: usize = 4;

/// What only the villain writes, where it may not.
const MARK: &str = "EVIL";

/// Four honest members and the villain, in a room where everybody may write at first.
pub(crate) fn found(seed: u64) -> World {
    let faults = Faults { delay_ms: (5, 60), drop: 0, duplicate: 0 };
    let mut world = World::new(seed, Transport::Streams, faults);
    world.villain = Some(VILLAIN);
    let people: Vec<Person> = (0..5).map(|number| Person::new(seed, number)).collect();
    let roles = [Role::Owner, Role::Clinician, Role::Clinician, Role::Patient, Role::Clinician];
    let members: Vec<Member> =
        people.iter().zip(roles).map(|(p, role)| Member { identity: p.id(), role }).collect();
    let room = Room::create(&people[0].identity, charter(1), members, world.now()).unwrap();
    let epochs = room.epochs().entries_from(0).to_vec();
    for person in people {
        world.add(Node::new(person, &epochs));
    }
    world.nodes[VILLAIN].counts = false;
    edit(&mut world, 3_000);
    world
}

fn charter(number: u8) -> Charter {
    Charter { name: "Ward 3".into(), scene: "consulting-room".into(), nonce: [number; 16] }
}

/// Honest members edit for a while.
fn edit(world: &mut World, milliseconds: u64) {
    let end_ms = world.now_ms() + milliseconds;
    while world.now_ms() < end_ms {
        let next_ms = world.now_ms() + 100 + world.below(400);
        world.run_until(next_ms);
        let (node, now) = (world.below(VILLAIN as u64) as usize, world.now());
        let World { nodes, rng, .. } = world;
        nodes[node].edit(now, rng);
    }
}

/// Another copy of the villain's room, as it is now.
fn copy(world: &World) -> Room {
    let stored = &world.nodes[VILLAIN].stored;
    let (certificates, changes) = (stored.certificates.clone(), stored.changes.iter().cloned());
    Room::open(&stored.epochs, certificates, changes, Trust::Checked).unwrap()
}

fn write(world: &World, room: &mut Room, command: RoomCommand, session: u64) -> SignedChange {
    room.apply(command, &world.nodes[VILLAIN].person.author(), session, world.now()).unwrap().0
}

fn note(text: &str) -> RoomCommand {
    RoomCommand::AddNote { text: format!("{MARK} {text}") }
}

/// The villain sends these to an honest node, with its certificate.
fn send(world: &mut World, to: usize, changes: Vec<SignedChange>) {
    let certificates = vec![world.nodes[VILLAIN].person.certificate.clone()];
    let (heads, more, answer) = (Vec::new(), false, false);
    let message = SyncMessage::Changes { changes, certificates, heads, more, answer };
    world.inject(VILLAIN, to, message.encode());
}

/// The owner makes the villain an observer; what it writes from then on counts nowhere. Returns a copy of the
/// room from before, in which the villain may still write.
fn demote(world: &mut World, seed: u64) -> Room {
    let before = copy(world);
    let villain = Member { identity: world.nodes[VILLAIN].person.id(), role: Role::Observer };
    let now = world.now();
    let owner = &mut world.nodes[0];
    let epoch = owner.room.invite(&Person::identity(seed, 0), villain, now).unwrap();
    owner.stored.epochs.push(epoch);
    owner.mark(now);
    edit(world, 1_000);
    before
}

/// Every trick that ends with something refused.
pub(crate) fn attack(seed: u64) {
    let mut world = found(seed);
    let mut stale = demote(&mut world, seed);
    let room = stale.id();
    let mut other =
        Room::create(&world.nodes[VILLAIN].person.identity, charter(2), Vec::new(), world.now()).unwrap();
    for round in 0..12 {
        edit(&mut world, 700);
        let to = world.below(VILLAIN as u64) as usize;
        let late = write(&world, &mut stale, note("late"), 1_000);
        let change = match round % 6 {
            0 => late,
            1 => signed_anew(&world, &late, 1),
            2 => forged(&mut world),
            3 => write(&world, &mut other, note("elsewhere"), 1),
            4 => {
                let elsewhere = write(&world, &mut other, note("elsewhere"), 1);
                let replayed = Body { room, ..Body::of(&elsewhere) };
                replayed.sign(&world)
            }
            _ => {
                let garbage: Vec<u8> = (0..200).map(|_| world.rng.next_u32() as u8).collect();
                world.inject(VILLAIN, to, garbage);
                continue;
            }
        };
        send(&mut world, to, vec![change]);
    }
    orphans(&mut world, &mut stale);
    finish(&mut world);
    assert!(world.breaches > 0, "replays of other rooms and garbage close the stream");
    assert_eq!(marked(&world), 0, "what the villain wrote must be nowhere");
}

/// Someone new joins, and all the while the villain sends it, and the others, packs that lie: with a forged
/// signature, with writes beyond its role behind honest ones, cut, altered, of an older state, of another room.
pub(crate) fn lie_in_packs(seed: u64) {
    let mut world = found(seed);
    let mut stale = demote(&mut world, seed);
    let (newcomer, now) = (Person::new(seed, 9), world.now());
    let owner = &mut world.nodes[0];
    let member = Member { identity: newcomer.id(), role: Role::Clinician };
    let epoch = owner.room.invite(&Person::identity(seed, 0), member, now).unwrap();
    owner.stored.epochs.push(epoch);
    owner.mark(now);
    let epochs = owner.stored.epochs.clone();
    let joiner = world.add(Node::new(newcomer, &epochs));
    let charter = charter(3);
    let mut other =
        Room::create(&world.nodes[VILLAIN].person.identity, charter, Vec::new(), world.now()).unwrap();
    for round in 0..24 {
        edit(&mut world, 150);
        let to = [joiner, world.below(VILLAIN as u64) as usize][round % 2];
        let mut changes = world.nodes[VILLAIN].stored.changes.clone();
        let mut pack = match round / 2 % 6 {
            0 => {
                *changes.last_mut().unwrap() = forged(&mut world);
                pack(&changes)
            }
            1 => {
                changes.push(write(&world, &mut stale, note("late in a pack"), 1_002));
                pack(&changes)
            }
            2 | 3 => pack(&changes),
            4 => pack(&changes[..changes.len() / 2]),
            _ => pack(&[write(&world, &mut other, note("elsewhere"), 1)]),
        }
        .unwrap();
        let place = world.below(pack.len() as u64) as usize;
        match round / 2 % 6 {
            2 => pack.truncate(place),
            3 => pack[place] ^= 1 << world.below(8),
            _ => {}
        }
        send_pack(&mut world, to, pack);
    }
    finish(&mut world);
    assert_eq!(marked(&world), 0, "what the villain wrote must be nowhere");
    assert!(world.traffic.packs > 24, "honest packs traveled too");
    assert!(world.nodes.iter().any(|node| node.unreadable > 0), "a cut pack is told");
    let [first, newest] = [0, joiner].map(|node| &world.nodes[node]);
    assert_eq!(newest.room.heads(), first.room.heads(), "the new member holds the same");
    assert!(newest.room.view() == first.room.view() && newest.reopened().view() == first.room.view());
}

/// The villain sends a pack, with the certificates of everybody.
fn send_pack(world: &mut World, to: usize, pack: Vec<u8>) {
    let certificates = world.nodes[VILLAIN].stored.certificates.clone();
    let message = SyncMessage::Packed { pack, certificates, heads: Vec::new(), more: false };
    world.inject(VILLAIN, to, message.encode());
}

/// Late edits whose beginning is withheld.
fn orphans(world: &mut World, stale: &mut Room) {
    let mut chain: Vec<SignedChange> =
        (0..60).map(|n| write(world, stale, note(&format!("orphan {n}")), 1_001)).collect();
    chain.remove(0);
    for to in 0..VILLAIN {
        send(world, to, chain.clone());
    }
}

/// Two changes of one number, each to another member, who both go on working before they meet.
pub(crate) fn equivocate(seed: u64) {
    let mut world = found(seed);
    let (mut one, mut two, mut three) = (copy(&world), copy(&world), copy(&world));
    world.part(&[0, 1]);
    let first = write(&world, &mut one, note("one"), 2_000);
    let second = write(&world, &mut two, note("two"), 2_000);
    assert_ne!(first.hash(), second.hash());
    for (to, change) in [(1, &first), (2, &second)] {
        let certificates = [world.nodes[VILLAIN].person.certificate.clone()];
        let now = world.now();
        world.nodes[to].take(now, vec![change.clone()], &certificates);
        assert!(world.nodes[to].room.contains(&change.hash()));
    }
    if seed.is_multiple_of(2) {
        edit(&mut world, 2_000);
    }
    world.heal();
    finish(&mut world);
    let both = [first, second].map(|change| world.nodes[0].room.contains(&change.hash()));
    assert_ne!(both, [true, true], "two changes of one number must not both count");
    // Nothing further of that device counts, on any copy.
    let third = write(&world, &mut three, note("three"), 2_001);
    let after_one = write(&world, &mut one, note("after one"), 2_000);
    for to in 0..VILLAIN {
        send(&mut world, to, vec![third.clone(), after_one.clone()]);
    }
    finish(&mut world);
    assert!(!world.nodes[0].room.contains(&third.hash()));
    assert!(!world.nodes[0].room.contains(&after_one.hash()));
}

/// The owner signs two epochs of one number and shows each to another member; `further` more epochs follow on one
/// side, and members write under them. Returns whether every copy froze.
pub(crate) fn fork_the_line(seed: u64, further: usize) -> bool {
    let mut world = found(seed);
    world.part(&[0, 1]);
    let owner = Person::identity(seed, 0);
    let now = world.now();
    let before = [world.nodes[0].reopened(), world.nodes[0].reopened()];
    for ((to, newcomer), mut copy) in [(1, 7), (2, 8)].into_iter().zip(before) {
        let member = Member { identity: Person::new(seed, newcomer).id(), role: Role::Observer };
        let mut epochs = vec![copy.invite(&owner, member, now).unwrap()];
        for step in 0..if to == 1 { further } else { 0 } {
            // A member who goes on writing becomes a patient here and a clinician again.
            let role = if step % 2 == 0 { Role::Patient } else { Role::Clinician };
            let member = Member { identity: world.nodes[1].person.id(), role };
            epochs.push(copy.invite(&owner, member, now).unwrap());
        }
        for epoch in epochs {
            world.nodes[to].add_epochs(now, &[epoch]);
            edit(&mut world, 1_000);
        }
    }
    edit(&mut world, 3_000);
    let late = world.nodes[1].stored.changes.last().unwrap().epoch();
    assert_eq!(late, further as u64 + 1, "members write under the newest epoch of their side");
    world.heal();
    finish(&mut world);
    let first = world.nodes[0].room.epochs().proof_of_fork();
    let same = |node: &Node| node.room.epochs().proof_of_fork() == first && node.room.epochs().number() == 1;
    first.is_some() && world.nodes[..VILLAIN].iter().all(same)
}

/// Runs on until all honest copies are equal; then what they stored gives the same again.
fn finish(world: &mut World) {
    edit(world, 500);
    let end_ms = world.now_ms() + 5_000;
    let equal = |world: &World| {
        let mut honest = world.nodes[..VILLAIN].iter().map(|node| node.room.heads());
        let first = honest.next();
        honest.all(|heads| Some(&heads) == first.as_ref())
    };
    world.run_until(world.now_ms() + 500);
    while !equal(world) {
        let heads: Vec<_> = world.nodes[..VILLAIN].iter().map(|node| node.room.heads()).collect();
        assert!(world.now_ms() < end_ms, "honest copies differ: {heads:?}");
        world.run_until(world.now_ms() + 50);
    }
    let view = world.nodes[0].room.view();
    assert!(world.nodes[..VILLAIN].iter().all(|node| node.room.view() == view));
    let mut reopened = world.nodes[..VILLAIN].iter().map(Node::reopened);
    assert!(reopened.all(|room| room.view() == view), "what was stored must give the same room");
}

/// Notes of the villain's that an honest copy shows.
fn marked(world: &World) -> usize {
    let marked =
        |node: &Node| node.room.view().notes.iter().filter(|n| n.text.value.starts_with(MARK)).count();
    world.nodes[..VILLAIN].iter().map(marked).sum()
}

/// What a device signs, as the wire format says: the villain signs what it likes.
#[derive(Clone, Serialize, Deserialize)]
struct Body {
    version: u8,
    room: metaclinic_crdt::RoomId,
    epoch: u64,
    #[serde(with = "serde_bytes")]
    certificate: [u8; 32],
    session: u64,
    #[serde(with = "serde_bytes")]
    change: Vec<u8>,
}

impl Signable for Body {
    const DOMAIN: &'static str = "metaclinic/room-change/1";
    const MAX_BYTES: usize = 64 * 1024;
}

impl Body {
    fn of(change: &SignedChange) -> Self {
        Self {
            version: 1,
            room: change.room(),
            epoch: change.epoch(),
            certificate: *change.certificate(),
            session: change.session(),
            change: change.change().to_vec(),
        }
    }

    fn sign(&self, world: &World) -> SignedChange {
        let signed: Signed<Self> = world.nodes[VILLAIN].person.device.sign(self);
        SignedChange::from_bytes(&keys::codec::encode(&signed)).unwrap()
    }
}

/// A late edit under the name of the newest epoch.
fn signed_anew(world: &World, late: &SignedChange, epoch: u64) -> SignedChange {
    Body { epoch, ..Body::of(late) }.sign(world)
}

/// An honest change with a wrong signature, sent by the villain under that change's own name.
fn forged(world: &mut World) -> SignedChange {
    let honest = world.nodes[VILLAIN].stored.changes.last().unwrap();
    let mut bytes = honest.to_bytes();
    *bytes.last_mut().unwrap() ^= 1;
    let forged = SignedChange::from_bytes(&bytes).unwrap();
    assert_eq!(forged.hash(), honest.hash());
    forged
}
