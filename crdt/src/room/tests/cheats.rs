//! A device that writes two changes of one number, and an owner who signs two epochs of one number.

use crate::cast::{Cast, at, cast, copy, note, pull, say};
use crate::{Epoch, EpochError, Refusal, Role, Room, RoomError, SignedChange, Trust};

/// The doctor writes two different first changes and sends one to each of two colleagues.
fn forked() -> (Cast, Room, Room, SignedChange, SignedChange) {
    let c = cast();
    let (mut left, mut right) = (copy(&c.room), copy(&c.room));
    let (one, two) = (c.doctor.does(&mut left, note("5 mg")), c.doctor.does(&mut right, note("50 mg")));
    assert_ne!(one.hash(), two.hash());
    (c, left, right, one, two)
}

fn receive(room: &mut Room, c: &Cast, change: &SignedChange) -> crate::Received {
    room.receive(vec![change.clone()], std::slice::from_ref(&c.doctor.certificate), at(0))
}

fn words(room: &Room) -> Vec<String> {
    let view = room.view();
    let notes = view.notes.into_iter().map(|note| note.text.value);
    notes.chain(view.chat.into_iter().map(|line| line.text)).collect()
}

#[test]
fn neither_of_two_changes_with_one_number_counts_by_itself() {
    let (c, mut left, mut right, one, two) = forked();
    let received = receive(&mut left, &c, &two);
    assert_eq!(received.refused, [(two.hash(), Refusal::Equivocation)]);
    assert_eq!(received.evidence, [one.clone(), two.clone()]);
    receive(&mut right, &c, &one);
    for room in [&mut left, &mut right] {
        assert!(words(room).is_empty());
        assert_eq!(room.heads(), c.room.heads());
        let tried = room.apply(say("x"), &c.doctor.author(), 1, at(0));
        assert_eq!(tried.err(), Some(RoomError::Refused(Refusal::Equivocation)));
    }
    // A copy that is stored with the proof and opened again judges alike.
    let stored = [one, two].into_iter();
    let certificates = vec![c.doctor.certificate.clone()];
    let opened = Room::open(c.room.epochs().entries_from(0), certificates, stored, Trust::Checked).unwrap();
    assert_eq!(opened.view(), left.view());
}

#[test]
fn later_changes_of_a_cheating_device_count_only_through_others() {
    let (c, mut left, right, one, two) = forked();
    let mut unaware = copy(&left);
    let next = c.doctor.does(&mut unaware, note("next"));
    receive(&mut left, &c, &two);
    assert_eq!(receive(&mut left, &c, &next).refused, [(next.hash(), Refusal::Equivocation)]);
    drop(right);
    // A colleague who has not heard of it built on it: honest work is not stranded.
    let answer = c.patient.does(&mut unaware, say("thanks"));
    let received = pull(&mut left, &unaware);
    assert_eq!(received.accepted, [one, next, answer]);
    assert_eq!(left.view(), unaware.view());
    receive(&mut unaware, &c, &two);
    assert_eq!(left.view(), unaware.view());
}

#[test]
fn honest_copies_agree_whatever_was_built_on_either_branch() {
    let (c, mut left, mut right, one, two) = forked();
    c.patient.does(&mut left, say("on the left"));
    c.owner.does(&mut right, say("on the right"));
    let (left_before, right_before) = (copy(&left), copy(&right));
    pull(&mut left, &right_before);
    pull(&mut right, &left_before);
    assert_eq!(left.view(), right.view());
    let winner = if one.hash() < two.hash() { &left_before } else { &right_before };
    assert_eq!(left.view(), winner.view(), "as many members on either side: the smaller name");
    // One more member on the other side, and it wins.
    let mut loser = if one.hash() < two.hash() { right_before } else { left_before };
    let (more, who) = if one.hash() < two.hash() { ("patient", &c.patient) } else { ("owner", &c.owner) };
    // In a session of its own: two first changes in one would be a cheat, too.
    loser.apply(say(more), &who.author(), 2, at(5_000)).unwrap();
    for room in [&mut left, &mut right] {
        pull(room, &loser);
        assert_eq!(room.view(), loser.view());
    }
}

#[test]
fn a_fork_made_later_takes_nothing_away() {
    let (c, mut left, _, _, two) = forked();
    c.patient.does(&mut left, say("built on it"));
    let before = left.view();
    let received = receive(&mut left, &c, &two);
    assert_eq!(received.refused, [(two.hash(), Refusal::Equivocation)]);
    assert_eq!(left.view(), before);
}

#[test]
fn a_change_on_both_branches_is_refused() {
    let (c, mut left, right, _, two) = forked();
    c.patient.does(&mut left, say("left"));
    let both = c.patient.does(&mut left, say("both"));
    receive(&mut left, &c, &two);
    let mut expanded = crate::room::document::expand(both.change()).unwrap();
    expanded.deps.push(automerge::ChangeHash(*right.heads()[0].as_bytes()));
    let raw = automerge::Change::from(expanded).raw_bytes().to_vec();
    let both = SignedChange::sign(c.room.id(), 0, 1, &c.patient.author(), raw).unwrap();
    let certificates = std::slice::from_ref(&c.patient.certificate);
    let received = left.receive(vec![both.clone()], certificates, at(0));
    assert_eq!(received.refused, [(both.hash(), Refusal::Equivocation)]);
}

#[test]
fn proof_of_a_cheat_convinces_a_copy_that_had_not_heard() {
    let (c, mut left, _, one, two) = forked();
    let mut unaware = copy(&left);
    receive(&mut left, &c, &two);
    assert!(!left.contains(&one.hash()) && unaware.contains(&one.hash()));
    assert!(left.proofs_for(&left.heads()).is_empty());
    let proofs = left.proofs_for(&unaware.heads());
    assert_eq!(proofs, [one, two]);
    unaware.receive(proofs, &[], at(0));
    assert_eq!(unaware.view(), left.view());
}

#[test]
fn two_epochs_of_one_number_freeze_the_room_to_the_stricter() {
    let mut c = cast();
    let mut other = copy(&c.room);
    let lowered = c.room.invite(&c.owner.identity, c.doctor.member(Role::Observer), at(2_000)).unwrap();
    let kept = other.invite(&c.owner.identity, c.visitor.member(Role::Clinician), at(2_000)).unwrap();
    c.doctor.does(&mut other, note("written under one of them"));
    assert_eq!(c.room.add_epoch(kept.clone()), Err(EpochError::Fork { n: 1 }));
    assert_eq!(other.add_epoch(lowered.clone()), Err(EpochError::Fork { n: 1 }));
    pull_changes(&mut c.room, &other);
    for room in [&c.room, &other] {
        assert!(room.epochs().is_frozen());
        assert_eq!(room.role(&c.doctor.id()), Some(Role::Observer));
        assert_eq!(room.role(&c.visitor.id()), Some(Role::Observer));
        assert!(room.view().notes.is_empty());
    }
    assert_eq!(c.room.view(), other.view());
    let proof = c.room.epochs().proof_of_fork().map(|(a, b)| (a.clone(), b.clone())).unwrap();
    assert!(proof == (lowered.clone(), kept.clone()) || proof == (kept, lowered.clone()));
    let next = c.room.remove(&c.owner.identity, &c.patient.id(), at(3_000));
    assert_eq!(next.err(), Some(RoomError::Epoch(EpochError::Frozen)));
    let stored = [c.room.epochs().entries_from(0), &[proof.1]].concat();
    let opened = Room::open(&stored, vec![], [].into_iter(), Trust::Checked).unwrap();
    assert!(opened.epochs().is_frozen());
    let signed: Epoch = lowered.verify(lowered.signer()).unwrap();
    assert_eq!(signed.n, 1);
}

fn pull_changes(to: &mut Room, from: &Room) {
    let (changes, _) = from.changes_not_ancestors_of(&[], usize::MAX);
    to.receive(changes, &from.certificates(), at(0));
}

#[test]
fn a_proof_comes_with_what_it_builds_on() {
    let mut c = cast();
    // The doctor's work from before the removal that the closed heads leave out.
    let mut apart = copy(&c.room);
    let late = [c.doctor.does(&mut apart, note("late")), c.doctor.does(&mut apart, note("later"))];
    let (mut left, mut right) = (copy(&apart), copy(&apart));
    let (one, two) = (c.doctor.does(&mut left, note("5 mg")), c.doctor.does(&mut right, note("50 mg")));
    c.room.remove(&c.owner.identity, &c.doctor.id(), at(2_000)).unwrap();
    // A copy without the removal holds only one of the two.
    let mut unaware = copy(&cast().room);
    let all = [&late[..], &[one.clone(), two.clone()]].concat();
    c.room.receive(all.clone(), std::slice::from_ref(&c.doctor.certificate), at(0));
    assert!(c.room.is_empty(), "nothing of it counts");
    let proofs = c.room.proofs_for(&[one.hash()]);
    assert_eq!(proofs, all);
    assert!(c.room.changes(&[late[0].hash()]).is_empty(), "nobody gets them otherwise");
    let received = unaware.receive(proofs, std::slice::from_ref(&c.doctor.certificate), at(0));
    assert_eq!((received.waiting, received.evidence), (0, vec![one, two]));
}

#[test]
fn a_fork_of_the_line_ends_it_there_on_every_copy() {
    let mut c = cast();
    let mut other = copy(&c.room);
    let newcomer = crate::cast::Person::new(7);
    let one = c.room.invite(&c.owner.identity, newcomer.member(Role::Clinician), at(2_000)).unwrap();
    let two = other.invite(&c.owner.identity, c.visitor.member(Role::Clinician), at(2_000)).unwrap();
    // On one side somebody who is no member on the other writes, others build on it, and epochs follow.
    c.doctor.does(&mut c.room, note("under epoch 1"));
    let apart = copy(&c.room);
    c.room.invite(&c.owner.identity, c.patient.member(Role::Clinician), at(3_000)).unwrap();
    let kept = c.doctor.does(&mut c.room, note("under epoch 2"));
    let mut longer = copy(&c.room);
    newcomer.does(&mut longer, note("by the newcomer"));
    let stranded = c.doctor.does(&mut longer, note("built on it"));
    c.owner.does(&mut other, say("on the other side"));
    let mut late = copy(&apart);
    for room in [&mut c.room, &mut longer, &mut late] {
        assert_eq!(room.add_epoch(two.clone()), Err(EpochError::Fork { n: 1 }));
        room.receive(vec![], &[], at(0));
    }
    // The other side has some of the changes before it knows of the fork, and some after it.
    pull_changes(&mut other, &longer);
    assert_eq!(other.add_epoch(one), Err(EpochError::Fork { n: 1 }));
    other.receive(vec![], &[], at(0));
    let sources = [copy_frozen(&other), copy_frozen(&longer), copy_frozen(&c.room)];
    for room in [&mut c.room, &mut longer, &mut late, &mut other] {
        for from in &sources {
            pull_changes(room, from);
        }
        assert_eq!(room.epochs().number(), 1);
        assert!(room.contains(&kept.hash()), "good faith counts");
        assert!(!room.contains(&stranded.hash()));
    }
    for room in [&longer, &late, &other] {
        assert_eq!(room.view(), c.room.view());
    }
    // The doctor's numbers of before are not used twice.
    let next = c.doctor.does(&mut longer, note("goes on"));
    assert_ne!(next.session(), stranded.session());
    pull_changes(&mut other, &longer);
    assert_eq!(other.view(), longer.view());
}

fn copy_frozen(room: &Room) -> Room {
    let proof = room.epochs().proof_of_fork().unwrap().1.clone();
    let epochs = [room.epochs().entries_from(0), &[proof]].concat();
    let (changes, _) = room.changes_not_ancestors_of(&[], usize::MAX);
    Room::open(&epochs, room.certificates(), changes.into_iter(), Trust::Checked).unwrap()
}
