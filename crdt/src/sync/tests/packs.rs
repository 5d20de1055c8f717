//! Packs that cannot be read or that lie: the same comes change by change.

use super::pair::Pair;
use super::*;

/// A founder with 20 changes, whose answer to a new member is not delivered yet.
fn answered() -> (Pair, Vec<u8>) {
    let mut pair = Pair::new();
    for number in 0..20 {
        pair.a.write(say(format!("line {number}")));
    }
    let opening = pair.a.feed(SyncInput::Start).remove(0);
    pair.b.feed(SyncInput::Start);
    let want = pair.b.feed(SyncInput::Message(opening)).remove(0);
    assert!(asks_packed(&want));
    let answer = pair.a.feed(SyncInput::Message(want)).remove(0);
    (pair, answer)
}

fn asks_packed(message: &[u8]) -> bool {
    matches!(SyncMessage::decode(message), Ok(SyncMessage::Want { packed: true, .. }))
}

/// The answer with another pack in it.
fn with_pack(answer: &[u8], other: impl FnOnce(Vec<u8>) -> Vec<u8>) -> Vec<u8> {
    match SyncMessage::decode(answer) {
        Ok(SyncMessage::Packed { pack, certificates, heads, more }) => {
            SyncMessage::Packed { pack: other(pack), certificates, heads, more }.encode()
        }
        other => panic!("a pack was expected, not {other:?}"),
    }
}

/// What was answered is not lost: all of it comes, in plain changes.
fn comes_in_plain(mut pair: Pair, after_ms: u64) {
    pair.advance(after_ms);
    let asked = pair.b.feed(SyncInput::Tick);
    assert!(
        asked.iter().any(|message| matches!(
            SyncMessage::decode(message),
            Ok(SyncMessage::Want { packed: false, .. })
        ))
    );
    for message in asked {
        for answer in pair.a.feed(SyncInput::Message(message)) {
            assert!(!matches!(SyncMessage::decode(&answer), Ok(SyncMessage::Packed { .. })));
            pair.deliver_to_b(vec![answer]);
        }
    }
    pair.run();
    assert!(pair.in_sync());
    assert_eq!(pair.b.room.heads(), pair.a.room.heads());
}

#[test]
fn a_pack_that_cannot_be_read_is_told_and_the_changes_come_one_by_one() {
    let (mut pair, answer) = answered();
    let cut = with_pack(&answer, |mut pack| {
        pack.pop();
        pack
    });
    assert!(pair.b.feed(SyncInput::Message(cut)).is_empty());
    assert_eq!((pair.b.unreadable, pair.b.refused, pair.b.room.len()), (1, None, 0));
    comes_in_plain(pair, 50);
}

#[test]
fn a_pack_with_a_forged_change_brings_what_lies_before_it_and_the_rest_comes_one_by_one() {
    let (mut pair, answer) = answered();
    let room = pair.a.room.id();
    let forged = with_pack(&answer, |bytes| {
        let mut changes = unpack(&room, &bytes).unwrap();
        let mut third = changes[3].to_bytes();
        *third.last_mut().unwrap() ^= 1;
        changes[3] = SignedChange::from_bytes(&third).unwrap();
        pack(&changes).unwrap()
    });
    pair.b.feed(SyncInput::Message(forged));
    assert_eq!((pair.b.unreadable, pair.b.refused, pair.b.room.len()), (0, None, 3));
    // Something came, so a pack is asked for once more; it lies again, and brings nothing.
    pair.advance(50);
    let again = pair.b.feed(SyncInput::Tick).into_iter().find(|message| asks_packed(message)).unwrap();
    let answer = pair.a.feed(SyncInput::Message(again)).remove(0);
    let forged = with_pack(&answer, |bytes| {
        let mut first = unpack(&room, &bytes).unwrap()[0].to_bytes();
        *first.last_mut().unwrap() ^= 1;
        pack(&[SignedChange::from_bytes(&first).unwrap()]).unwrap()
    });
    pair.b.feed(SyncInput::Message(forged));
    assert_eq!(pair.b.room.len(), 3);
    comes_in_plain(pair, 2_100);
}

#[test]
fn a_second_pack_that_cannot_be_read_ends_the_stream() {
    let (mut pair, answer) = answered();
    let empty = with_pack(&answer, |_| Vec::new());
    pair.b.feed(SyncInput::Message(empty.clone()));
    assert_eq!(pair.b.refused, None);
    pair.b.feed(SyncInput::Message(empty));
    assert_eq!((pair.b.unreadable, pair.b.refused), (1, Some("a second pack that cannot be read")));
}

#[test]
fn who_does_not_ask_for_packs_gets_none() {
    let (mut pair, _) = answered();
    let want = SyncMessage::Want { wanted: Vec::new(), have: Vec::new(), packed: false }.encode();
    let answer = pair.a.feed(SyncInput::Message(want)).remove(0);
    assert!(matches!(SyncMessage::decode(&answer), Ok(SyncMessage::Changes { answer: true, .. })));
}
