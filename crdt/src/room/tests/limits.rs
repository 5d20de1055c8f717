//! A room ends somewhere, and so does each member's part of it.

use super::*;
use crate::cast::Cast;
use crate::room::usage::{Amount, Limits, MAX_ROOM, MAX_SHARE};

const ROOM: usize = 80;
const SHARE: usize = 40;
/// With what members may write apart.
const SHARE_AND_SLACK: usize = 45;

fn amount(changes: usize) -> Amount {
    Amount { changes, bytes: 1 << 20 }
}

/// The cast, in a room that is soon full.
fn small() -> Cast {
    let mut c = cast();
    c.room.usage.limits = Limits { room: amount(ROOM), share: amount(SHARE) };
    c
}

fn small_copy(room: &Room) -> Room {
    let mut copy = copy(room);
    copy.usage.limits = Limits { room: amount(ROOM), share: amount(SHARE) };
    copy
}

/// Lets `person` speak until the room takes no more; gives how often, and why it ended.
fn fill(room: &mut Room, person: &Person) -> (usize, Refusal) {
    for spoken in 0..2 * ROOM {
        match room.apply(say("and another thing"), &person.author(), 1, at(5_000)) {
            Ok(_) => {}
            Err(RoomError::Refused(refusal)) => return (spoken, refusal),
            Err(other) => panic!("{other:?}"),
        }
    }
    panic!("the room has no end")
}

#[test]
fn a_member_writes_up_to_their_share_and_all_up_to_the_end_of_the_room() {
    let mut c = small();
    assert_eq!(fill(&mut c.room, &c.doctor), (SHARE, Refusal::ShareUsed));
    assert_eq!(c.room.fullness(&c.doctor.id()), Some(Refusal::ShareUsed));
    assert_eq!(c.room.fullness(&c.patient.id()), None);
    c.owner.does(&mut c.room, say("first"));
    assert_eq!(fill(&mut c.room, &c.patient), (ROOM - SHARE - 1, Refusal::RoomFull));
    assert_eq!(fill(&mut c.room, &c.owner), (0, Refusal::RoomFull));
    assert_eq!((c.room.len(), c.room.amount().changes), (ROOM, ROOM));
}

#[test]
fn bytes_end_a_room_too() {
    let mut c = cast();
    let bytes = Amount { changes: 1_000, bytes: 64 << 10 };
    c.room.usage.limits = Limits { room: bytes, share: bytes };
    let long = || say(&"x".repeat(8_000));
    (0..20).for_each(|_| drop(c.room.apply(long(), &c.doctor.author(), 1, at(5_000))));
    assert_eq!(c.room.fullness(&c.patient.id()), Some(Refusal::RoomFull));
    assert_eq!(c.room.len(), 8);
    assert!((64 << 10..72 << 10).contains(&c.room.amount().bytes), "{:?}", c.room.amount());
}

#[test]
fn a_copy_takes_no_more_of_a_member_who_keeps_to_no_limit() {
    let mut c = small();
    let mut greedy = copy(&c.room);
    (0..100).for_each(|_| drop(c.doctor.does(&mut greedy, say("x"))));
    let received = pull(&mut c.room, &greedy);
    assert_eq!(received.accepted.len(), SHARE_AND_SLACK);
    assert_eq!(received.refused.len(), 1, "what builds on it waits in vain");
    assert!(received.refused.iter().all(|(_, refusal)| *refusal == Refusal::ShareUsed));
    assert!(received.refused[0].1.is_for_want_of_room());
    assert!(pull(&mut c.room, &greedy).accepted.is_empty());

    c.patient.does(&mut c.room, say("others go on"));
    assert!(c.room.fullness(&c.patient.id()).is_none());
    let mut opened = small_copy(&c.room);
    assert_eq!(opened.amount(), c.room.amount(), "what is stored opens, however much it is");
    assert!(pull(&mut opened, &greedy).accepted.is_empty());
    assert_eq!(opened.view(), c.room.view());
}

#[test]
fn honest_copies_that_reach_the_end_apart_become_equal() {
    let mut c = small();
    let everybody = [&c.owner, &c.doctor, &c.patient];
    for _ in 0..25 {
        for person in everybody {
            person.does(&mut c.room, say("together"));
        }
    }
    let mut apart = small_copy(&c.room);
    assert_eq!(fill(&mut c.room, &c.doctor).1, Refusal::RoomFull);
    assert_eq!(fill(&mut apart, &c.patient).1, Refusal::RoomFull);
    assert!(pull(&mut apart, &c.room).refused.is_empty());
    assert!(pull(&mut c.room, &apart).refused.is_empty());
    assert_eq!(c.room.view(), apart.view());
    assert_eq!((c.room.amount().changes, c.room.amount()), (ROOM + 5, apart.amount()));
}

#[test]
fn what_a_room_holds_is_counted_once() {
    let mut c = cast();
    c.doctor.does(&mut c.room, say("a"));
    c.patient.does(&mut c.room, pin("b"));
    let before = c.room.amount();
    assert_eq!(before.changes, 2);
    let again = copy(&c.room);
    assert_eq!(again.amount(), before);
    assert!(pull(&mut c.room, &again).accepted.is_empty());
    assert_eq!(c.room.amount(), before);

    // A member list of two entries with one number has everything judged anew.
    let mut other = copy(&c.room);
    let removed = c.room.remove(&c.owner.identity, &c.visitor.id(), at(6_000)).unwrap();
    other.invite(&c.owner.identity, Person::new(7).member(Role::Observer), at(6_000)).unwrap();
    other.add_epoch(removed).unwrap_err();
    assert_eq!(other.amount(), before);

    c.room.remove(&c.owner.identity, &c.doctor.id(), at(7_000)).unwrap();
    let mut late = copy(&again);
    c.doctor.does(&mut late, say("too late"));
    let received = pull(&mut c.room, &late);
    assert_eq!(received.refused.len(), 1);
    assert_eq!(c.room.amount(), before, "what is not kept takes no room");
    const { assert!(MAX_SHARE.changes < MAX_ROOM.changes && MAX_SHARE.bytes < MAX_ROOM.bytes) };
}
