//! What counts after someone lost a right: the same on every copy.

use crate::cast::{Person, at, cast, copy, note, pin, pull, say};
use crate::{Refusal, Role, Room, RoomEvent};

fn notes(room: &Room) -> Vec<String> {
    room.view().notes.into_iter().map(|note| note.text.value).collect()
}

#[test]
fn late_work_of_a_removed_member_does_not_count_anywhere() {
    let mut c = cast();
    c.doctor.does(&mut c.room, note("in time"));
    // The doctor goes on without having heard; a colleague hears that before the removal, another one after it.
    let (mut doctors, mut before, mut after) = (copy(&c.room), copy(&c.room), copy(&c.room));
    let late = c.doctor.does(&mut doctors, note("late"));
    let (late, later) = (late, c.doctor.does(&mut doctors, note("later")));
    pull(&mut before, &doctors);
    assert_eq!(notes(&before), ["in time", "late", "later"]);
    let removal = c.room.remove(&c.owner.identity, &c.doctor.id(), at(2_000)).unwrap();

    let events = before.add_epoch(removal.clone()).unwrap();
    assert_eq!(events, [RoomEvent::MembersChanged { epoch: 1 }, RoomEvent::Withdrawn { changes: 2 }]);
    after.add_epoch(removal.clone()).unwrap();
    let received = after.receive(vec![late.clone(), later], &doctors.certificates(), at(0));
    assert!(received.refused.contains(&(late.hash(), Refusal::Closed)), "{received:?}");
    doctors.add_epoch(removal).unwrap();
    for room in [&before, &after, &doctors] {
        assert_eq!(notes(room), ["in time"]);
        assert_eq!(room.view(), c.room.view());
        assert_eq!(room.heads(), c.room.heads());
    }
    assert_eq!(copy(&before).view(), c.room.view());
}

#[test]
fn a_remaining_members_work_admits_what_it_builds_on() {
    let mut c = cast();
    let mut apart = copy(&c.room);
    let late = c.doctor.does(&mut apart, note("late"));
    let mut unbuilt = copy(&apart);
    let unbuilt_change = c.doctor.does(&mut unbuilt, note("later still"));
    let answer = c.patient.does(&mut apart, say("I saw this"));
    let removal = c.room.remove(&c.owner.identity, &c.doctor.id(), at(2_000)).unwrap();
    apart.add_epoch(removal.clone()).unwrap();
    assert_eq!(notes(&apart), ["late"], "the patient's word carries it");

    // First held, then admitted by what comes later.
    let held = c.room.receive(vec![late.clone()], &apart.certificates(), at(0));
    assert_eq!(held.refused, [(late.hash(), Refusal::Closed)]);
    assert!(!c.room.contains(&late.hash()));
    assert!(c.room.missing(&[late.hash()]).is_empty());
    let received = c.room.receive(vec![answer.clone()], &apart.certificates(), at(0));
    assert_eq!(received.accepted, [late, answer]);
    assert_eq!(received.new_certificates.len(), 2);
    let received = c.room.receive(vec![unbuilt_change.clone()], &[], at(0));
    assert_eq!(received.refused, [(unbuilt_change.hash(), Refusal::Closed)]);
    unbuilt.add_epoch(removal).unwrap();
    pull(&mut unbuilt, &c.room);
    assert_eq!(c.room.view(), apart.view());
    assert_eq!(c.room.view(), unbuilt.view());
}

#[test]
fn heads_that_were_closed_count_when_they_arrive() {
    let mut c = cast();
    let mut empty = copy(&c.room);
    c.doctor.does(&mut c.room, note("one"));
    c.doctor.does(&mut c.room, note("two"));
    let removal = c.room.remove(&c.owner.identity, &c.doctor.id(), at(2_000)).unwrap();
    assert_eq!(c.room.epochs().current().closed_heads.as_ref(), Some(&c.room.heads()));
    empty.add_epoch(removal).unwrap();
    let (changes, _) = c.room.changes_not_ancestors_of(&[], usize::MAX);
    let received = empty.receive(vec![changes[0].clone()], &c.room.certificates(), at(0));
    assert_eq!(received.refused, [(changes[0].hash(), Refusal::Closed)]);
    let received = empty.receive(vec![changes[1].clone()], &[], at(0));
    assert_eq!(received.accepted, changes);
    assert_eq!(empty.view(), c.room.view());
}

#[test]
fn a_lowered_member_goes_on_within_the_new_role() {
    let mut c = cast();
    let mut doctors = copy(&c.room);
    c.doctor.does(&mut doctors, note("late"));
    let lowered = c.room.invite(&c.owner.identity, c.doctor.member(Role::Patient), at(2_000)).unwrap();
    doctors.add_epoch(lowered).unwrap();
    assert!(notes(&doctors).is_empty());
    // The withdrawn change keeps its number: the room moves to another session by itself.
    let line = c.doctor.does(&mut doctors, say("may still chat"));
    assert_ne!(line.session(), 1);
    assert_eq!(pull(&mut c.room, &doctors).accepted, [line]);
    assert_eq!(c.room.view(), doctors.view());
    let raised = c.room.invite(&c.owner.identity, c.doctor.member(Role::Clinician), at(3_000)).unwrap();
    assert_eq!(c.room.epochs().current().closed_heads, None);
    doctors.add_epoch(raised).unwrap();
    c.doctor.does(&mut doctors, note("back"));
    pull(&mut c.room, &doctors);
    assert_eq!(notes(&c.room), ["back"]);
    assert_eq!(c.room.view(), doctors.view());
}

#[test]
fn a_removed_member_cannot_hide_behind_an_old_epoch_or_another_device() {
    let mut c = cast();
    let old = copy(&c.room);
    c.room.remove(&c.owner.identity, &c.doctor.id(), at(2_000)).unwrap();
    let second_device = Person::with_device(2, 0x70);
    for person in [&c.doctor, &second_device] {
        let change = person.does(&mut copy(&old), pin("from the past"));
        let certificates = std::slice::from_ref(&person.certificate);
        let received = c.room.receive(vec![change.clone()], certificates, at(0));
        assert_eq!(received.refused, [(change.hash(), Refusal::Closed)]);
    }
    assert!(c.room.is_empty());
}

#[test]
fn what_does_not_count_is_kept_within_bounds() {
    let mut c = cast();
    let mut doctors = copy(&c.room);
    c.room.remove(&c.owner.identity, &c.doctor.id(), at(2_000)).unwrap();
    let own = c.owner.does(&mut c.room, note("mine"));
    let late: Vec<_> = (0..700).map(|_| c.doctor.does(&mut doctors, note("late"))).collect();
    for piece in late.chunks(100) {
        let received = c.room.receive(piece.to_vec(), &doctors.certificates(), at(0));
        assert!(received.accepted.is_empty());
    }
    assert!(c.room.ledger.held() <= 512, "{}", c.room.ledger.held());
    assert_eq!((c.room.len(), c.room.heads()), (1, vec![own.hash()]));
    c.owner.does(&mut c.room, note("again mine"));
    assert_eq!(notes(&c.room), ["mine", "again mine"]);
    assert_eq!(notes(&copy(&c.room)), ["mine", "again mine"]);
}
