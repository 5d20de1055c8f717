//! Resources in parts.

use super::asking::Partial;
use super::*;

fn parts(whole: &[u8], size: usize) -> Vec<ItemPart> {
    let (digest, total) = (*blake3::hash(whole).as_bytes(), whole.len() as u64);
    let piece = |(i, bytes): (usize, &[u8])| ItemPart {
        digest,
        total,
        offset: (i * size) as u64,
        bytes: bytes.to_vec(),
    };
    whole.chunks(size).enumerate().map(piece).collect()
}

#[test]
fn parts_in_order_make_the_whole() {
    let pieces = parts(b"a resource that is too large", 5);
    let mut partial = Partial::new(&pieces[0]);
    let ends: Vec<bool> = pieces.iter().map(|piece| partial.add(piece).expect("fits")).collect();
    assert_eq!(ends.iter().filter(|whole| **whole).count(), 1);
    assert_eq!(ends.last(), Some(&true));
    assert_eq!(partial.bytes.as_slice(), b"a resource that is too large");
}

#[test]
fn a_part_of_another_resource_or_place_is_refused() {
    let pieces = parts(b"a resource that is too large", 5);
    let others = parts(b"the same resource, changed!!", 5);
    let mut partial = Partial::new(&pieces[0]);
    assert!(!partial.add(&pieces[0]).expect("fits"));
    for wrong in [&pieces[0], &pieces[2], &others[1]] {
        assert!(partial.add(wrong).is_err());
    }
    let forged = ItemPart { bytes: vec![0; 64], ..parts(b"a resource that is too large", 5).remove(1) };
    assert!(partial.add(&forged).is_err(), "more than was announced");
    let huge = ItemPart { digest: [0; 32], total: u64::MAX, offset: 0, bytes: vec![1] };
    assert!(Partial::new(&huge).add(&huge).is_err(), "larger than a resource may be");
}

#[test]
fn parts_that_do_not_make_the_announced_whole_are_refused() {
    let mut pieces = parts(b"0123456789", 5);
    pieces[1].bytes = b"56780".to_vec();
    let mut partial = Partial::new(&pieces[0]);
    assert!(!partial.add(&pieces[0]).expect("fits"));
    assert!(partial.add(&pieces[1]).is_err());
}
