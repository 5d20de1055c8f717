//! Which epochs are believed.

use super::*;
use crate::cast::{Person, at, charter};

struct Line {
    owner: Person,
    entries: Vec<Signed<Epoch>>,
}

fn first(owner: &Person, change: impl FnOnce(&mut Epoch)) -> Signed<Epoch> {
    let mut epoch = Epoch {
        version: 1,
        room: None,
        n: 0,
        prev: [0; 32],
        charter: Some(charter()),
        members: vec![owner.member(Role::Owner), Person::new(2).member(Role::Clinician)],
        closed_heads: None,
        time: at(1_000),
    };
    change(&mut epoch);
    owner.identity.sign(&epoch)
}

fn line() -> Line {
    let owner = Person::new(1);
    let entries = vec![first(&owner, |_| ())];
    Line { owner, entries }
}

impl Line {
    fn log(&self) -> EpochLog {
        EpochLog::from_entries(&self.entries).unwrap()
    }

    fn next(&self, change: impl FnOnce(&mut Epoch)) -> Signed<Epoch> {
        let log = self.log();
        let mut epoch = Epoch {
            room: Some(log.room()),
            n: log.number() + 1,
            prev: log.digest(),
            charter: None,
            ..log.current().clone()
        };
        change(&mut epoch);
        self.owner.identity.sign(&epoch)
    }

    fn offer(&self, change: impl FnOnce(&mut Epoch)) -> Result<Appended, EpochError> {
        self.log().append(self.next(change))
    }
}

fn founded(change: impl FnOnce(&mut Epoch)) -> Result<EpochLog, EpochError> {
    EpochLog::from_entries(&[first(&Person::new(1), change)])
}

#[test]
fn a_room_is_named_by_how_it_was_founded() {
    let log = line().log();
    assert_eq!(log.room().as_bytes(), &line().entries[0].digest());
    assert_eq!(log.owner(), Person::new(1).id());
    let renamed = founded(|epoch| epoch.charter.as_mut().unwrap().nonce = [1; 16]).unwrap();
    assert_ne!(renamed.room(), log.room());
    assert_eq!(format!("{log:?}"), format!("EpochLog({:?}, epoch 0)", log.room()));
}

#[test]
fn a_first_epoch_is_believed_only_within_its_limits() {
    let charter =
        |change: &dyn Fn(&mut Charter)| founded(|e| change(e.charter.as_mut().unwrap())).map(|_| ());
    assert_eq!(charter(&|c| c.name = "n".repeat(MAX_ROOM_NAME_BYTES)), Ok(()));
    for wrong in ["", " ", "a\nb", "a\u{202e}b", &"n".repeat(MAX_ROOM_NAME_BYTES + 1)] {
        assert_eq!(charter(&|c| c.name = wrong.into()), Err(EpochError::Name));
    }
    for wrong in ["", "../up", "Room", &"n".repeat(MAX_SCENE_BYTES + 1)] {
        assert_eq!(charter(&|c| c.scene = wrong.into()), Err(EpochError::Scene));
    }
    let first = |change: &dyn Fn(&mut Epoch)| founded(|epoch| change(epoch)).map(|_| ());
    assert_eq!(first(&|e| e.charter = None), Err(EpochError::First));
    assert_eq!(first(&|e| e.n = 1), Err(EpochError::First));
    assert_eq!(first(&|e| e.prev = [1; 32]), Err(EpochError::First));
    assert_eq!(first(&|e| e.version = 2), Err(EpochError::Version { found: 2 }));
    assert_eq!(first(&|e| e.members[0].role = Role::Clinician), Err(EpochError::Owner));
    assert_eq!(first(&|e| e.members[1].role = Role::Owner), Err(EpochError::Owner));
    assert_eq!(first(&|e| e.members.push(e.members[1])), Err(EpochError::MemberTwice));
    let crowd = |count: usize| {
        let person = |n: usize| {
            let mut id = [9; 32];
            id[..8].copy_from_slice(&n.to_le_bytes());
            Member { identity: IdentityId::from_bytes(id), role: Role::Patient }
        };
        founded(|e| e.members.extend((0..count).map(person))).map(|_| ())
    };
    assert_eq!(crowd(MAX_MEMBERS - 2), Ok(()));
    assert_eq!(crowd(MAX_MEMBERS - 1), Err(EpochError::TooManyMembers));
    assert_eq!(EpochLog::from_entries(&[]).err(), Some(EpochError::Empty));
}

#[test]
fn a_later_epoch_follows_the_one_before() {
    let l = line();
    assert_eq!(l.offer(|e| e.members.push(Person::new(3).member(Role::Patient))), Ok(Appended::New));
    assert_eq!(l.offer(|e| e.n = 3), Err(EpochError::Gap { held: 0, offered: 3 }));
    assert_eq!(l.offer(|e| e.n = u64::MAX), Err(EpochError::Gap { held: 0, offered: u64::MAX }));
    assert_eq!(l.offer(|e| e.prev = [1; 32]), Err(EpochError::OtherPast { n: 1 }));
    assert_eq!(l.offer(|e| e.room = None), Err(EpochError::OtherRoom));
    assert_eq!(l.offer(|e| e.room = Some(RoomId::from_bytes([1; 32]))), Err(EpochError::OtherRoom));
    assert_eq!(l.offer(|e| e.charter = Some(charter())), Err(EpochError::First));
    assert_eq!(l.offer(|e| e.n = 0), Err(EpochError::First));
    assert_eq!(l.offer(|e| e.members.clear()), Err(EpochError::Owner));
    let mut log = l.log();
    let other = Person::new(2).identity.sign(&l.next(|_| ()).verify(l.owner.id().as_bytes()).unwrap());
    assert_eq!(log.append(other), Err(EpochError::Owner));
    assert_eq!(log.append(l.entries[0].clone()), Ok(Appended::Known));
    let next = l.next(|_| ());
    assert_eq!(log.append(next.clone()), Ok(Appended::New));
    assert_eq!(log.append(next.clone()), Ok(Appended::Known));
    assert_eq!(log.entries_from(1), [next]);
    assert!(log.entries_from(2).is_empty() && log.entries_from(u64::MAX).is_empty());
    let hand_over = l.offer(|e| {
        e.members[0].role = Role::Clinician;
        e.members[1].role = Role::Owner;
    });
    assert_eq!(hand_over, Err(EpochError::Owner));
}

#[test]
fn who_loses_a_right_has_the_document_closed_behind_them() {
    let l = line();
    let heads = |count: usize| Some(vec![ChangeHash::from_bytes([1; 32]); count]);
    assert_eq!(l.offer(|e| e.members.truncate(1)), Err(EpochError::ClosedHeads));
    assert_eq!(l.offer(|e| e.members[1].role = Role::Patient), Err(EpochError::ClosedHeads));
    let lower = |count| l.offer(|e| (e.members[1].role, e.closed_heads) = (Role::Observer, heads(count)));
    assert_eq!(lower(1), Ok(Appended::New));
    assert_eq!(lower(MAX_CLOSED_HEADS), Ok(Appended::New));
    assert_eq!(lower(MAX_CLOSED_HEADS + 1), Err(EpochError::ClosedHeads));
}

#[test]
fn two_epochs_of_one_number_freeze_the_log() {
    let mut l = line();
    let (three, four) = (Person::new(3), Person::new(4));
    let one = l.next(|e| e.members.push(three.member(Role::Clinician)));
    let two = l.next(|e| {
        e.members.push(three.member(Role::Patient));
        e.members.push(four.member(Role::Patient));
    });
    l.entries.push(one.clone());
    let after = l.next(|_| ());
    l.entries.push(after);
    let mut log = l.log();
    assert_eq!(log.append(two.clone()), Err(EpochError::Fork { n: 1 }));
    assert!(log.is_frozen());
    let proof = if one.digest() < two.digest() { (&one, &two) } else { (&two, &one) };
    assert_eq!(log.proof_of_fork(), Some(proof));
    assert_eq!(log.number(), 1, "what followed on one side is dropped");
    assert_eq!(log.append(two.clone()), Ok(Appended::Known));
    assert_eq!(log.append(l.next(|_| ())), Err(EpochError::Frozen));
    assert_eq!(log.role_at(1, &three.id()), Some(Role::Patient));
    assert_eq!(log.role_at(1, &four.id()), None);
    assert_eq!(log.role_at(2, &three.id()), None);
    assert_eq!((log.judged_as(0), log.judged_as(9)), (0, 1));
    assert_eq!(log.role_at(0, &three.id()), None);
    assert_eq!(log.members().len(), 3);
    assert!(log.was_member(&three.id()) && !log.was_member(&four.id()));
    let entries = [&l.entries[..], &[two]].concat();
    assert!(EpochLog::from_entries(&entries).unwrap().is_frozen());
}

#[test]
fn what_closed_for_someone_is_told_from_an_epoch_on() {
    let mut l = line();
    let (two, heads) = (Person::new(2), |n| Some(vec![ChangeHash::from_bytes([n; 32])]));
    l.entries.push(l.next(|e| (e.members[1].role, e.closed_heads) = (Role::Observer, heads(1))));
    l.entries.push(l.next(|e| (e.members[1].role, e.closed_heads) = (Role::Clinician, None)));
    l.entries.push(l.next(|e| {
        e.members.truncate(1);
        e.closed_heads = heads(3);
    }));
    let log = l.log();
    let closed = |n| log.closed_after(n, &two.id()).map(|heads| heads[0].as_bytes()[0]).collect::<Vec<_>>();
    assert_eq!(closed(0), [1, 3]);
    assert_eq!(closed(1), [3]);
    assert_eq!(closed(2), [3]);
    assert!(closed(3).is_empty());
    assert!(log.closed_after(0, &l.owner.id()).next().is_none());
}

#[test]
fn what_freezes_a_log_does_not_depend_on_the_order_of_arrival() {
    let mut l = line();
    let with = |l: &Line, seed: u8| l.next(|e| e.members.push(Person::new(seed).member(Role::Patient)));
    let root = l.entries.clone();
    let firsts: Vec<_> = (10..13).map(|seed| with(&l, seed)).collect();
    l.entries.push(firsts[0].clone());
    let seconds = [with(&l, 20), with(&l, 21)];
    let mut expected: Vec<_> = firsts.iter().map(Signed::digest).collect();
    expected.sort_unstable();
    let [a, b, c] = [&firsts[0], &firsts[1], &firsts[2]];
    let [d, e] = [&seconds[0], &seconds[1]];
    for order in [[a, d, e, b, c], [a, b, c, d, e], [c, b, a, e, d], [b, a, d, e, c], [a, d, c, e, b]] {
        let mut log = EpochLog::from_entries(&root).unwrap();
        for entry in order {
            let _ = log.append(entry.clone());
        }
        let (one, two) = log.proof_of_fork().unwrap();
        assert_eq!([one.digest(), two.digest()], expected[..2]);
        assert_eq!(log.number(), 1);
    }
}
