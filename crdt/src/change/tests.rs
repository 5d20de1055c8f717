//! What a signed change is, and what it may cost to read one.

use keys::codec;
use proptest::prelude::*;

use super::raw::check_shape;
use super::*;
use crate::Refusal;
use crate::cast::{Person, cast, say};

fn unsigned(out: &mut Vec<u8>, mut value: u64) {
    while value > 0x7f {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// A chunk with a right checksum around `data`.
fn chunk(kind: u8, data: &[u8]) -> Vec<u8> {
    use sha2::{Digest, Sha256};
    let mut header = vec![kind];
    unsigned(&mut header, data.len() as u64);
    let hash = Sha256::new().chain_update(&header).chain_update(data).finalize();
    [&[0x85, 0x6f, 0x4a, 0x83][..], &hash[..4], &header, data].concat()
}

/// A change with these columns: specification and bytes.
fn change_with(deps: u64, actors: u64, columns: &[(u64, Vec<u8>)]) -> Vec<u8> {
    let mut data = Vec::new();
    unsigned(&mut data, deps);
    data.extend(vec![7; deps as usize * 32]);
    data.push(16);
    data.extend([1; 16]);
    data.extend([1, 7, 0]);
    data.push(26);
    data.extend([b'a'; 26]);
    unsigned(&mut data, actors);
    for _ in 0..actors {
        data.push(16);
        data.extend([2; 16]);
    }
    unsigned(&mut data, columns.len() as u64);
    for (specification, bytes) in columns {
        unsigned(&mut data, *specification);
        unsigned(&mut data, bytes.len() as u64);
    }
    data.extend(columns.iter().flat_map(|(_, bytes)| bytes.clone()));
    chunk(1, &data)
}

/// A run of `length` equal values, as automerge writes it.
fn run(length: u64, value: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    // A signed number needs its sign bit free.
    let mut rest = length;
    while rest > 0x3f {
        out.push(rest as u8 | 0x80);
        rest >>= 7;
    }
    out.push(rest as u8);
    out.extend(value);
    out
}

const ACTION: u64 = 4 << 4 | 2;
const INSERT: u64 = 3 << 4 | 4;
const KEY: u64 = 1 << 4 | 5;
const PRED_COUNT: u64 = 7 << 4;
const PRED_COUNTER: u64 = 7 << 4 | 3;

#[test]
fn a_signed_change_reads_back() {
    let mut c = cast();
    let change = c.doctor.does(&mut c.room, say("hello"));
    let again = SignedChange::from_bytes(&change.to_bytes()).unwrap();
    assert_eq!(again, change);
    assert!(again.is_authentic());
    assert_eq!((again.room(), again.epoch(), again.session()), (c.room.id(), 0, 1));
    assert_eq!(again.device(), c.doctor.device.id());
    assert_eq!(again.certificate(), &c.doctor.certificate.digest());
    let list = codec::encode(&vec![change.clone(), change.clone()]);
    let list: Vec<SignedChange> = codec::decode("changes", &list, 4096).unwrap();
    assert_eq!(list, [change.clone(), change.clone()]);
    assert_eq!(again.hash().as_bytes(), &automerge::Change::try_from(change.change()).unwrap().hash().0);
    assert!(change.to_bytes().len() <= change.encoded_len());
}

#[test]
fn sizes_are_limited_before_anything_is_read() {
    let c = cast();
    let sign = |raw| SignedChange::sign(c.room.id(), 0, 1, &c.doctor.author(), raw);
    let largest = chunk(1, &vec![0; MAX_CHANGE_BYTES - 12]);
    assert_eq!(largest.len(), MAX_CHANGE_BYTES);
    let signed = sign(largest).unwrap();
    assert!(signed.to_bytes().len() <= MAX_SIGNED_CHANGE_BYTES);
    assert!(SignedChange::from_bytes(&signed.to_bytes()).is_ok());
    let larger = chunk(1, &vec![0; MAX_CHANGE_BYTES - 11]);
    assert_eq!(check_shape(&larger), Err(Refusal::TooLarge));
    assert!(matches!(sign(larger), Err(ChangeError::Codec(CodecError::TooLarge { .. }))));
    assert!(SignedChange::from_bytes(&vec![0; MAX_SIGNED_CHANGE_BYTES + 1]).is_err());
    assert_eq!(sign(vec![1, 2, 3]), Err(ChangeError::NoChange));
    assert_eq!(sign(Vec::new()), Err(ChangeError::NoChange));
}

#[test]
fn sessions_devices_and_rooms_have_actors_of_their_own() {
    let (c, other) = (cast(), Person::new(77));
    let (room, device) = (c.room.id(), c.doctor.device.id());
    let one = actor(&device, &room, 1);
    assert_eq!(one, actor(&device, &room, 1));
    assert_ne!(one, actor(&device, &room, 2));
    assert_ne!(one, actor(&other.device.id(), &room, 1));
    assert_ne!(one, actor(&device, &RoomId::from_bytes([1; 32]), 1));
    let digest = [3; 32];
    assert_eq!(terms(&room, 0, &digest, 1).len(), 26);
    assert_ne!(terms(&room, 0, &digest, 1), terms(&room, 1, &digest, 1));
    assert_ne!(terms(&room, 0, &digest, 1), terms(&room, 0, &[4; 32], 1));
}

#[test]
fn huge_run_lengths_are_counted_and_never_unpacked() {
    let columns = |columns: &[(u64, Vec<u8>)]| check_shape(&change_with(1, 0, columns));
    assert_eq!(columns(&[(ACTION, run(1_000, &[1]))]), Ok(()));
    for length in [1_001, 1 << 20, 1 << 40, i64::MAX as u64] {
        assert_eq!(columns(&[(ACTION, run(length, &[1]))]), Err(Refusal::TooManyOperations), "{length}");
        let nulls = [&[0][..], &{
            let mut out = Vec::new();
            unsigned(&mut out, length);
            out
        }]
        .concat();
        assert_eq!(columns(&[(ACTION, nulls)]), Err(Refusal::TooManyOperations), "{length} nulls");
        let mut bits = Vec::new();
        unsigned(&mut bits, length);
        assert_eq!(columns(&[(INSERT, bits)]), Err(Refusal::TooManyOperations), "{length} bits");
    }
    // The smallest number there is: its absolute value fits no signed number.
    let smallest = [&[0x80; 9][..], &[0x7f]].concat();
    assert_eq!(columns(&[(ACTION, smallest)]), Err(Refusal::TooManyOperations));
    // Many runs, each within the limit.
    let runs: Vec<u8> = (0..2).flat_map(|value| run(600, &[value])).collect();
    assert_eq!(columns(&[(ACTION, runs)]), Err(Refusal::TooManyOperations));
    assert_eq!(columns(&[(PRED_COUNTER, run(4_001, &[1]))]), Err(Refusal::TooManyOperations));
    assert_eq!(columns(&[(PRED_COUNTER, run(4_000, &[1]))]), Ok(()));
    let mut counts = Vec::new();
    unsigned(&mut counts, 1 << 50);
    assert_eq!(columns(&[(PRED_COUNT, run(5, &counts))]), Err(Refusal::Malformed));
}

#[test]
fn columns_that_lie_about_their_lengths_are_malformed() {
    let columns = |columns: &[(u64, Vec<u8>)]| check_shape(&change_with(1, 0, columns));
    let mut long_string = vec![1];
    unsigned(&mut long_string, 1 << 60);
    assert_eq!(columns(&[(KEY, long_string)]), Err(Refusal::Malformed));
    assert_eq!(columns(&[(ACTION, vec![5])]), Err(Refusal::Malformed));
    assert_eq!(columns(&[(ACTION, vec![0x80; 12])]), Err(Refusal::Malformed));
    assert_eq!(columns(&[(ACTION | 8, run(1, &[1]))]), Err(Refusal::Compressed));
    let many: Vec<_> = (0..17).map(|id| (id << 4 | 2, run(1, &[1]))).collect();
    assert_eq!(columns(&many), Err(Refusal::Malformed));
    assert_eq!(check_shape(&change_with(1_025, 0, &[])), Err(Refusal::TooManyReferences));
    assert_eq!(check_shape(&change_with(1, 1_025, &[])), Err(Refusal::TooManyReferences));
    let good = change_with(1, 2, &[(ACTION, run(3, &[1]))]);
    assert_eq!(check_shape(&good), Ok(()));
    let mut checksum = good.clone();
    checksum[4] ^= 1;
    assert_eq!(check_shape(&checksum), Err(Refusal::Malformed));
    assert_eq!(chunk_hash(&checksum), chunk_hash(&good), "the checksum is no part of the name");
    for kind in [0, 2, 3, 9] {
        assert_eq!(check_shape(&chunk(kind, &[0; 50])), Err(Refusal::Compressed), "{kind}");
    }
    let trailing = [good.clone(), vec![0]].concat();
    assert_eq!(check_shape(&trailing), Err(Refusal::Malformed));
    for length in 0..good.len() {
        assert_eq!(check_shape(&good[..length]), Err(Refusal::Malformed));
    }
}

#[test]
fn a_length_is_written_in_its_shortest_form() {
    let good = chunk(1, &[0; 5]);
    let mut longer = good[..9].to_vec();
    longer.extend([0x85, 0x00]);
    longer.extend([0; 5]);
    assert!(chunk_hash(&good).is_some());
    assert_eq!(chunk_hash(&longer), None);
}

proptest! {
    #[test]
    fn any_bytes_are_read_without_harm(data in proptest::collection::vec(any::<u8>(), 0..400), kind in 0..4_u8) {
        let _ = check_shape(&data);
        let framed = chunk(kind, &data);
        if check_shape(&framed).is_ok() {
            let _ = automerge::Change::try_from(&framed[..]);
        }
        let _ = SignedChange::from_bytes(&data);
    }

    #[test]
    fn a_damaged_change_is_read_without_harm(place in 0..300_usize, bit in 0..8_u8, cut in 0..300_usize) {
        let mut c = cast();
        let change = c.doctor.does(&mut c.room, crate::cast::pin("hello"));
        let mut data = change.change()[11..].to_vec();
        let place = place % data.len();
        data[place] ^= 1 << bit;
        data.truncate(data.len().max(cut) - cut.min(3));
        let raw = chunk(1, &data);
        if let Ok(change) = SignedChange::sign(c.room.id(), 0, 1, &c.doctor.author(), raw) {
            let mut room = cast().room;
            let received = room.receive(vec![change], std::slice::from_ref(&c.doctor.certificate), crate::cast::at(0));
            prop_assert_eq!(received.accepted.len() + received.refused.len() + received.waiting, 1);
        }
    }
}
