//! Packs give back what went in; what was tampered with gives something that no receiver believes.

use keys::codec;
use proptest::prelude::*;

use super::*;
use crate::cast::{Cast, at, cast, note, pin, say};
use crate::{Refusal, Role, Room};

/// A room in which several people wrote, also beside each other and after a restart.
fn written() -> (Cast, Vec<SignedChange>) {
    let mut c = cast();
    for number in 0..6 {
        c.doctor.does(&mut c.room, say(&format!("line {number}")));
        let mut beside = crate::cast::copy(&c.room);
        let other = c.patient.does(&mut beside, pin("here"));
        c.owner.does(&mut c.room, note("stable"));
        c.room.receive(vec![other], std::slice::from_ref(&c.patient.certificate), at(0));
    }
    let again = c.room.apply(say("after a restart"), &c.doctor.author(), 2, at(-1)).unwrap().0;
    assert_eq!(again.session(), 2);
    let (changes, _) = c.room.changes_not_ancestors_of(&[], usize::MAX);
    (c, changes)
}

/// A copy of the room with nothing in it.
fn empty(c: &Cast) -> Room {
    Room::open(c.room.epochs().entries_from(0), Vec::new(), std::iter::empty(), crate::Trust::Nothing)
        .unwrap()
}

fn read(bytes: &[u8]) -> Pack {
    codec::decode("pack", bytes, MAX_PACK_BYTES).unwrap()
}

/// What a tampered pack of everything gives.
fn tampered(change: impl FnOnce(&mut Pack)) -> (Cast, Result<Vec<SignedChange>, PackError>) {
    let (c, changes) = written();
    let mut pack = read(&pack(&changes).unwrap());
    change(&mut pack);
    let result = unpack(&c.room.id(), &codec::encode(&pack));
    (c, result)
}

#[test]
fn a_pack_gives_back_every_bit_in_less_than_half_the_bytes() {
    let (c, changes) = written();
    let bytes = pack(&changes).unwrap();
    assert_eq!(unpack(&c.room.id(), &bytes).unwrap(), changes);
    let alone: usize = changes.iter().map(|change| change.to_bytes().len()).sum();
    assert!(bytes.len() * 2 < alone + 1_000, "{} of {alone}", bytes.len());
    // Also a part that builds on what is not in it.
    let later = &changes[5..];
    assert_eq!(unpack(&c.room.id(), &pack(later).unwrap()).unwrap(), later);
    let mut room = empty(&c);
    let received = room.receive(changes, &c.room.certificates(), at(0));
    assert_eq!(received.refused, []);
    assert_eq!(room.heads(), c.room.heads());
}

#[test]
fn for_another_room_no_signature_of_a_pack_holds() {
    let (c, changes) = written();
    let other = Room::create(&c.doctor.identity, crate::cast::charter(), Vec::new(), at(0)).unwrap();
    for change in unpack(&other.id(), &pack(&changes).unwrap()).unwrap() {
        assert!(!change.is_authentic());
    }
}

#[test]
fn an_unsigned_change_hides_in_no_pack() {
    // One change says something else, one has no signature, one is claimed for another author.
    let cheats: [fn(&mut Pack); 4] = [
        |pack| {
            let columns = &mut pack.rows[0].6;
            *columns.last_mut().unwrap() ^= 1;
        },
        |pack| pack.rows[0].7 = [0; 64],
        |pack| pack.rows[0].0 ^= 1,
        |pack| pack.hands[0].2 += 1,
    ];
    for cheat in cheats {
        let (c, result) = tampered(cheat);
        let mut room = empty(&c);
        let received = room.receive(result.unwrap(), &c.room.certificates(), at(0));
        assert!(received.accepted.is_empty(), "all else builds on the first");
        let (_, refusal) = received.refused[0];
        assert!(matches!(refusal, Refusal::Signature | Refusal::Certificate), "{refusal:?}");
        // The honest ones come one by one.
        let (changes, _) = c.room.changes_not_ancestors_of(&[], usize::MAX);
        room.receive(changes, &c.room.certificates(), at(0));
        assert_eq!(room.heads(), c.room.heads());
    }
}

#[test]
fn a_right_that_an_author_lacks_comes_with_no_pack() {
    let (mut c, _) = written();
    let before = crate::cast::copy(&c.room);
    c.room.invite(&c.owner.identity, c.doctor.member(Role::Observer), at(0)).unwrap();
    let mut stale = before;
    let late: Vec<_> = (0..3).map(|n| c.doctor.does(&mut stale, note(&format!("too late {n}")))).collect();
    let late = unpack(&c.room.id(), &pack(&late).unwrap()).unwrap();
    let heads = c.room.heads();
    let received = c.room.receive(late, std::slice::from_ref(&c.doctor.certificate), at(0));
    assert_eq!(
        received.refused.iter().map(|(_, refusal)| *refusal).collect::<Vec<_>>(),
        [Refusal::Closed; 3]
    );
    assert_eq!(c.room.heads(), heads);
}

#[test]
fn an_older_pack_rolls_nothing_back() {
    let (mut c, changes) = written();
    let older = pack(&changes[..8]).unwrap();
    c.room.invite(&c.owner.identity, c.visitor.member(Role::Clinician), at(0)).unwrap();
    c.doctor.does(&mut c.room, say("newer"));
    let heads = c.room.heads();
    let again = unpack(&c.room.id(), &older).unwrap();
    let received = c.room.receive(again, &[], at(0));
    assert!(received.accepted.is_empty() && received.refused.is_empty() && received.events.is_empty());
    assert_eq!(c.room.heads(), heads);
}

#[test]
fn references_to_nothing_are_refused_by_name() {
    let cheats: [fn(&mut Pack); 7] = [
        |pack| pack.rows[0].0 = 99,
        |pack| pack.rows[0].0 = u64::MAX,
        |pack| pack.rows[0].1 = vec![0],
        |pack| pack.rows[1].1 = vec![i64::MAX],
        |pack| pack.rows[1].1 = vec![i64::MIN],
        |pack| pack.rows[1].5 = vec![99],
        |pack| pack.actors.clear(),
    ];
    for cheat in cheats {
        assert_eq!(tampered(cheat).1, Err(PackError::Reference));
    }
    assert_eq!(tampered(|pack| pack.version = 2).1, Err(PackError::Version { found: 2 }));
    assert_eq!(tampered(|pack| pack.rows.clear()).1, Err(PackError::Empty));
}

#[test]
fn a_pack_does_not_become_more_than_its_limit() {
    // Each reference of a byte or two becomes a hash of 32 bytes.
    let many = |pack: &mut Pack| pack.rows[1].1 = vec![-1; MAX_CHANGE_BYTES / DEP_BYTES + 1];
    assert_eq!(tampered(many).1, Err(PackError::TooMuch));
    let wide = |pack: &mut Pack| {
        let row = |pack: &Pack| read(&codec::encode(pack)).rows.remove(1);
        for _ in 0..60 {
            let mut row = row(pack);
            row.1 = vec![-1; 1_000];
            pack.rows.push(row);
        }
    };
    assert_eq!(tampered(wide).1, Err(PackError::TooMuch));
    let (c, _) = written();
    let refused = unpack(&c.room.id(), &vec![0; MAX_PACK_BYTES + 1]);
    assert!(matches!(refused, Err(PackError::Codec(CodecError::TooLarge { .. }))));
}

#[test]
fn compressed_columns_and_huge_counts_are_refused_before_they_are_expanded() {
    let shaped = |columns: Vec<u8>| {
        let (c, result) = tampered(|pack| pack.rows[0].6 = columns);
        let received = empty(&c).receive(result.unwrap(), &c.room.certificates(), at(0));
        received.refused[0].1
    };
    // One column, of actions (identifier 4, kind 2), marked as compressed.
    assert_eq!(shaped(vec![1, 0x4a, 2, 3, 1]), Refusal::Compressed);
    // The same uncompressed, a run of 2^40 equal actions.
    assert_eq!(shaped(vec![1, 0x42, 7, 0x80, 0x80, 0x80, 0x80, 0x80, 0x20, 1]), Refusal::TooManyOperations);
}

#[test]
fn what_is_not_written_in_its_shortest_form_is_not_packed() {
    let (c, changes) = written();
    let first = &changes[0];
    let parts = Parts::of(first.change()).unwrap();
    assert_eq!(parts.join(), first.change());
    // The same number of dependencies in two bytes instead of one.
    let mut data = first.change()[11..].to_vec();
    data.splice(0..1, [0x81, 0x00]);
    let longer = crate::change::raw::Chunk::write(1, &data);
    let signed = SignedChange::sign(c.room.id(), 0, 1, &c.doctor.author(), longer).unwrap();
    assert_eq!(pack(std::slice::from_ref(&signed)), None);
    assert_eq!(pack(&[]), None);
}

proptest! {
    #[test]
    fn numbers_read_back(value in any::<i64>()) {
        let mut out = Vec::new();
        crate::change::raw::write_signed(&mut out, value);
        prop_assert_eq!(crate::change::raw::Input(&out).signed(), Some(value));
    }

    #[test]
    fn garbage_is_no_pack(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
        prop_assert!(unpack(&RoomId::from_bytes([1; 32]), &bytes).is_err());
    }

    #[test]
    fn a_damaged_pack_gives_nothing_that_was_not_signed(
        place in any::<prop::sample::Index>(),
        bit in 0..8_u8,
        cut in any::<bool>(),
    ) {
        let (c, changes) = written();
        let mut bytes = pack(&changes).unwrap();
        let place = place.index(bytes.len());
        if cut { bytes.truncate(place) } else { bytes[place] ^= 1 << bit }
        let read = unpack(&c.room.id(), &bytes);
        prop_assert!(!cut || read.is_err());
        let mut room = empty(&c);
        let received = room.receive(read.unwrap_or_default(), &c.room.certificates(), at(0));
        prop_assert!(received.accepted.iter().all(|change| changes.contains(change)));
        room.receive(changes, &c.room.certificates(), at(0));
        prop_assert_eq!(room.heads(), c.room.heads());
    }
}
