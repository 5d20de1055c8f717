//! Random histories, delivered in random orders, give one document.

use proptest::prelude::*;

use crate::cast::{Person, at, cast, charter, copy, note, pin, pull, say};
use crate::{EntryId, Pose, Role, Room, RoomCommand, SignedChange, Trust};

/// What someone does next, told by three numbers.
#[derive(Clone, Copy, Debug)]
struct Step {
    who: usize,
    what: u8,
    which: usize,
}

fn step() -> impl Strategy<Value = Step> {
    (0..5_usize, 0..10_u8, 0..1_000_usize).prop_map(|(who, what, which)| Step { who, what, which })
}

fn people() -> Vec<Person> {
    (1..=5).map(Person::new).collect()
}

fn found(people: &[Person]) -> Room {
    let roles = [Role::Owner, Role::Clinician, Role::Clinician, Role::Patient, Role::Patient];
    let members = people.iter().zip(roles).skip(1).map(|(person, role)| person.member(role)).collect();
    Room::create(&people[0].identity, charter(), members, at(1_000)).unwrap()
}

/// Carries out a step on its author's copy, or copies what another one has.
fn play(step: Step, people: &[Person], rooms: &mut [Room]) {
    let who = step.who % people.len();
    let view = rooms[who].view();
    let pick = |ids: Vec<EntryId>| (!ids.is_empty()).then(|| ids[step.which % ids.len()]);
    let annotation = pick(view.annotations.iter().map(|annotation| annotation.id).collect());
    let old_note = pick(view.notes.iter().map(|note| note.id).collect());
    let text = format!("{} {}", step.who, step.which);
    let height = step.which as f32 / 100.0;
    let command = match (step.what, annotation, old_note) {
        (0, ..) => say(&text),
        (1, ..) => note(&text),
        (2, Some(id), _) => RoomCommand::MoveAnnotation { id, pose: Pose::at(0.0, height, 0.0).unwrap() },
        (3 | 4, Some(id), _) => RoomCommand::EditAnnotation { id, text },
        (5, Some(id), _) if step.which.is_multiple_of(4) => RoomCommand::RemoveAnnotation { id },
        (6, _, Some(id)) => RoomCommand::EditNote { id, text },
        (7 | 8, ..) => {
            let from = copy(&rooms[step.which % rooms.len()]);
            pull(&mut rooms[who], &from);
            return;
        }
        _ => pin(&text),
    };
    // What the role does not allow is refused and leaves no trace.
    let _ = rooms[who].apply(command, &people[who].author(), 1, at(5_000));
}

fn all_changes(rooms: &[Room]) -> Vec<SignedChange> {
    let mut changes: Vec<SignedChange> = Vec::new();
    for room in rooms {
        for change in room.changes_not_ancestors_of(&[], usize::MAX).0 {
            if !changes.contains(&change) {
                changes.push(change);
            }
        }
    }
    changes
}

fn shuffled(mut changes: Vec<SignedChange>, mut seed: u64) -> Vec<SignedChange> {
    for place in (1..changes.len()).rev() {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        changes.swap(place, (seed >> 33) as usize % (place + 1));
    }
    changes
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn any_order_of_delivery_gives_the_same_room(
        steps in proptest::collection::vec(step(), 1..60),
        authors in 3..=5_usize,
        orders in proptest::collection::vec((any::<u64>(), 1..20_usize), 3),
    ) {
        let people = people();
        let mut rooms: Vec<_> = (0..authors).map(|_| found(&people)).collect();
        for step in steps {
            play(step, &people[..authors], &mut rooms);
        }
        let changes = all_changes(&rooms);
        let certificates: Vec<_> = people.iter().map(|person| person.certificate.clone()).collect();
        let mut ends = Vec::new();
        for (seed, piece) in orders {
            let mut room = found(&people);
            // Twice, the second time in another order: what is known changes nothing.
            for seed in [seed, !seed] {
                for piece in shuffled(changes.clone(), seed).chunks(piece) {
                    let received = room.receive(piece.to_vec(), &certificates, at(0));
                    prop_assert!(received.refused.is_empty(), "{received:?}");
                }
            }
            prop_assert_eq!(room.len(), changes.len());
            prop_assert!(room.wanted().is_empty());
            ends.push(room);
        }
        // Copy by copy, in a ring, twice round.
        for turn in 0..2 * rooms.len() {
            let from = copy(&rooms[turn % authors]);
            pull(&mut rooms[(turn + 1) % authors], &from);
        }
        for room in ends.iter().chain(&rooms) {
            prop_assert_eq!(room.heads(), ends[0].heads());
            prop_assert_eq!(room.view(), ends[0].view());
        }
    }

    #[test]
    fn a_removal_at_any_moment_ends_alike_everywhere(
        before in proptest::collection::vec(step(), 0..20),
        after in proptest::collection::vec(step(), 0..30),
        removed in 1..5_usize,
        lowered in 1..5_usize,
        orders in proptest::collection::vec(any::<u64>(), 3),
    ) {
        let people = people();
        let mut rooms: Vec<_> = (0..5).map(|_| found(&people)).collect();
        for step in before {
            play(step, &people, &mut rooms);
        }
        // Someone may vanish and someone else lose rights, while the others go on and have not heard.
        let mut owners = copy(&rooms[0]);
        owners.remove(&people[0].identity, &people[removed].id(), at(2_000)).unwrap();
        if lowered != removed {
            owners.invite(&people[0].identity, people[lowered].member(Role::Observer), at(2_100)).unwrap();
        }
        for step in after {
            // The owner has heard, of course.
            play(Step { who: 1 + step.who % 4, ..step }, &people, &mut rooms);
        }
        rooms[0] = owners;
        let changes = all_changes(&rooms);
        let epochs = rooms[0].epochs().entries_from(0).to_vec();
        let certificates: Vec<_> = people.iter().map(|person| person.certificate.clone()).collect();
        let mut ends = Vec::new();
        for (index, seed) in orders.into_iter().enumerate() {
            let changes = shuffled(changes.clone(), seed);
            // The epochs come first, in the middle, or last.
            let cut = changes.len() * index / 2;
            let mut room = Room::open(&epochs[..1], vec![], [].into_iter(), Trust::Nothing).unwrap();
            room.receive(changes[..cut].to_vec(), &certificates, at(0));
            for epoch in &epochs[1..] {
                room.add_epoch(epoch.clone()).unwrap();
            }
            room.receive(changes[cut..].to_vec(), &certificates, at(0));
            ends.push(room);
        }
        // The copies of those who went on hear of it and of each other.
        for room in &mut rooms {
            for epoch in &epochs[1..] {
                room.add_epoch(epoch.clone()).unwrap();
            }
            room.receive(changes.clone(), &certificates, at(0));
        }
        for room in ends.iter().chain(&rooms) {
            prop_assert_eq!(room.heads(), ends[0].heads());
            prop_assert_eq!(room.view(), ends[0].view());
        }
    }
}

#[test]
fn nobody_stops_others_by_writing_more_heads_than_a_change_may_build_on() {
    let mut c = cast();
    c.owner.does(&mut c.room, pin("pinned"));
    let id = c.room.view().annotations[0].id;
    let base = copy(&c.room);
    // The doctor writes one field at the same moment in as many sessions.
    let many: Vec<_> = (0..1_100)
        .map(|session| {
            let (mut apart, text) = (copy(&base), format!("text {session}"));
            let edit = RoomCommand::EditAnnotation { id, text };
            apart.apply(edit, &c.doctor.author(), 100 + session, at(5_000)).unwrap().0
        })
        .collect();
    c.room.receive(many, std::slice::from_ref(&c.doctor.certificate), at(0));
    assert_eq!(c.room.heads().len(), 1_100);
    let mut other = copy(&c.room);
    // An edit of the field, an edit of something else, then edits until one head and one value are left.
    let edit = |n: usize| RoomCommand::EditAnnotation { id, text: format!("settled {n}") };
    for n in 0..6 {
        let who = if n % 2 == 0 { &c.owner } else { &c.patient };
        let change =
            if n % 2 == 0 { who.does(&mut c.room, edit(n)) } else { who.does(&mut c.room, say("x")) };
        let sent = other.receive(vec![change], &c.room.certificates(), at(0));
        assert_eq!((sent.accepted.len(), sent.refused.len()), (1, 0));
        assert!(n % 2 == 1 || c.room.view().annotations[0].text.value == format!("settled {n}"));
    }
    for n in 6..12 {
        c.owner.does(&mut c.room, edit(n));
    }
    assert_eq!(c.room.heads().len(), 1);
    assert!(c.room.view().annotations[0].text.alternatives.is_empty());
    pull(&mut other, &c.room);
    assert_eq!(other.view(), c.room.view());
}
