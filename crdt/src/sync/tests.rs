//! Two sessions against each other, and one against garbage.

mod bootstrap;
mod packs;
mod pair;

use keys::Timestamp;
use proptest::prelude::*;

use self::pair::{Pair, Person, Side, found};
use super::*;
use crate::{Member, Role, RoomCommand, pack};

/// What a person adds without naming an earlier entry.
fn say(text: String) -> RoomCommand {
    RoomCommand::Say { text }
}

#[test]
fn equal_rooms_exchange_at_most_512_bytes() {
    for concurrent in [1, 2, 3, 4, 5] {
        let mut pair = Pair::with_shared_history(10);
        pair.write_concurrently(concurrent);
        pair.run();
        pair.reconnect();
        pair.run();
        let (bytes, messages) = pair.traffic();
        println!("reconnect of equal rooms with {concurrent} heads: {bytes} bytes, {messages} messages");
        assert_eq!(pair.a.room.heads().len(), concurrent);
        assert!(pair.in_sync() && bytes <= 512, "{bytes} bytes with {concurrent} heads");
        assert_eq!(messages, 2);
    }
}

#[test]
fn a_new_member_gets_everything_in_few_bytes() {
    for (count, text_bytes) in [(300, 60), (400, 8_000)] {
        let mut pair = Pair::new();
        for number in 0..count {
            pair.a.write(say(format!("{number:>text_bytes$}")));
        }
        let saved = pair.a.room.saved_bytes().len();
        pair.reconnect();
        pair.run();
        let (bytes, messages) = pair.traffic();
        println!("bootstrap of {count} changes ({saved} bytes saved): {bytes} bytes, {messages} messages");
        assert!(pair.in_sync());
        assert_eq!(pair.b.room.len(), count);
        assert!(bytes * 2 <= 3 * (saved + 64 * count), "{bytes} bytes for {saved} of {count} changes");
        assert!(pair.largest() <= MAX_SYNC_MESSAGE_BYTES);
    }
}

#[test]
fn a_burst_leaves_in_one_message_at_the_next_tick() {
    let mut pair = Pair::with_shared_history(1);
    for number in 0..50 {
        pair.a.write(say(format!("line {number}")));
        assert!(pair.a.feed(SyncInput::LocalChanges).is_empty());
    }
    assert!(pair.a.session.wants_tick());
    let sent = pair.a.feed(SyncInput::Tick);
    assert_eq!(sent.len(), 1, "one message for 50 changes");
    assert!(pair.a.feed(SyncInput::Tick).is_empty());
    let change_bytes = sent[0].len();
    pair.deliver_to_b(sent);
    pair.run();
    let (bytes, messages) = pair.traffic();
    println!(
        "burst of 50: {change_bytes} bytes in one message, with receipt {bytes} bytes, {messages} messages"
    );
    assert!(pair.in_sync());
    assert_eq!(pair.b.room.heads(), pair.a.room.heads());
    assert_eq!(messages, 2, "the changes and their receipt");
    assert!(!pair.a.session.wants_tick() && !pair.b.session.wants_tick());
}

#[test]
fn edits_of_others_are_announced_not_pushed() {
    let mut pair = Pair::with_shared_history(1);
    let (change, certificate) = pair.write_elsewhere("from a third device");
    pair.a.take(vec![change.clone()], &[certificate]);
    pair.a.feed(SyncInput::LocalChanges);
    let sent = pair.a.feed(SyncInput::Tick);
    assert!(matches!(SyncMessage::decode(&sent[0]), Ok(SyncMessage::Heads { .. })));
    pair.deliver_to_b(sent);
    pair.run();
    assert!(pair.in_sync() && pair.b.room.contains(&change.hash()));
}

#[test]
fn changes_that_wait_for_what_never_comes_delay_no_other() {
    let mut pair = Pair::with_shared_history(1);
    pair.write_elsewhere("withheld");
    let (orphan, certificate) = pair.write_elsewhere("builds on it");
    pair.a.take(vec![orphan], &[certificate]);
    assert_eq!(pair.a.room.wanted().len(), 1);
    for number in 0..3 {
        let began = pair.a.now;
        pair.b.write(say(format!("line {number}")));
        pair.b.feed(SyncInput::LocalChanges);
        pair.run();
        assert!(pair.in_sync());
        assert!(pair.a.now.since(began) <= Duration::from_millis(200));
    }
}

#[test]
fn a_lost_push_is_noticed_after_two_seconds() {
    let mut pair = Pair::with_shared_history(1);
    pair.a.write(say("lost".into()));
    pair.a.feed(SyncInput::LocalChanges);
    assert_eq!(pair.a.feed(SyncInput::Tick).len(), 1, "and nobody receives it");
    pair.advance(1_900);
    assert!(pair.a.feed(SyncInput::Tick).is_empty());
    pair.advance(150);
    let probe = pair.a.feed(SyncInput::Tick);
    assert!(matches!(SyncMessage::decode(&probe[0]), Ok(SyncMessage::Heads { ask: true, .. })));
    pair.deliver_to_b(probe);
    pair.run();
    assert!(pair.in_sync());
    assert_eq!(pair.b.room.heads(), pair.a.room.heads());
}

#[test]
fn a_clock_that_jumps_back_stops_nothing() {
    let mut pair = Pair::with_shared_history(1);
    pair.a.write(say("lost".into()));
    pair.a.feed(SyncInput::LocalChanges);
    pair.a.feed(SyncInput::Tick);
    pair.a.now = Timestamp::from_millis(pair.a.now.as_millis() - 86_400_000);
    pair.a.feed(SyncInput::Tick);
    pair.advance(2_100);
    assert_eq!(pair.a.feed(SyncInput::Tick).len(), 1);
}

#[test]
fn a_stranger_gets_nothing_and_is_refused() {
    let mut pair = Pair::with_shared_history(3);
    let stranger = Person::new(99);
    let mut session = SyncSession::new(stranger.identity.id(), pair.a.person.device.id());
    let now = pair.a.now;
    assert_eq!(session.handle(now, &pair.a.room, SyncInput::Start), []);
    let want = SyncMessage::Want { wanted: Vec::new(), have: Vec::new(), packed: false };
    assert_eq!(session.handle(now, &pair.a.room, SyncInput::Message(want.encode())), []);
    let heads = pair.a.heads_message();
    let effects = session.handle(now, &pair.a.room, SyncInput::Message(heads));
    assert_eq!(effects, [SyncEffect::Refuse { reason: NO_MEMBER }]);
    assert!(!session.wants_tick());
    // One that says nothing at all is refused when its time to show an epoch is over.
    let mut session = SyncSession::new(stranger.identity.id(), pair.a.person.device.id());
    session.handle(now, &pair.a.room, SyncInput::Start);
    assert_eq!(session.handle(now, &pair.a.room, SyncInput::Tick), []);
    let effects = session.handle(now.plus(ADMISSION), &pair.a.room, SyncInput::Tick);
    assert_eq!(effects, [SyncEffect::Refuse { reason: NO_MEMBER }]);
    pair.run();
}

#[test]
fn a_member_of_a_newer_epoch_is_heard_once_the_epoch_is_here() {
    let mut pair = Pair::with_shared_history(2);
    let newcomer = Person::new(7);
    let now = pair.a.now;
    let member = Member { identity: newcomer.identity.id(), role: Role::Observer };
    pair.a.room.invite(&pair.a.person.identity, member, now).unwrap();
    let mut side = Side::new(newcomer, pair.a.room.epochs().entries_from(0), pair.b.person.identity.id());
    let opening = side.feed(SyncInput::Start);
    let mut b = SyncSession::new(side.person.identity.id(), pair.b.person.device.id());
    assert_eq!(b.handle(now, &pair.b.room, SyncInput::Start), []);
    let effects = b.handle(now, &pair.b.room, SyncInput::Message(opening[0].clone()));
    assert_eq!(effects, [SyncEffect::NeedEpochs { from: 1 }]);
    pair.b.room.add_epoch(pair.a.room.epochs().entries_from(1)[0].clone()).unwrap();
    b.handle(now, &pair.b.room, SyncInput::LocalChanges);
    let effects = b.handle(now, &pair.b.room, SyncInput::Tick);
    assert!(matches!(effects[..], [SyncEffect::Send(_)]), "{effects:?}");
}

#[test]
fn a_removed_member_is_refused_within_a_session() {
    let mut pair = Pair::with_shared_history(2);
    let (now, b) = (pair.a.now, pair.b.person.identity.id());
    pair.a.room.remove(&pair.a.person.identity, &b, now).unwrap();
    pair.a.feed(SyncInput::LocalChanges);
    assert!(pair.a.feed(SyncInput::Tick).is_empty());
    assert_eq!(pair.a.refused, Some(NO_MEMBER));
    assert!(pair.a.feed(SyncInput::Message(pair.b.heads_message())).is_empty());
}

#[test]
fn newer_epochs_are_fetched_before_changes() {
    let mut pair = Pair::with_shared_history(2);
    let newcomer = Person::new(7);
    let now = pair.a.now;
    let member = Member { identity: newcomer.identity.id(), role: Role::Observer };
    pair.a.room.invite(&pair.a.person.identity, member, now).unwrap();
    pair.a.write(say("under the new epoch".into()));
    pair.a.feed(SyncInput::LocalChanges);
    let sent = pair.a.feed(SyncInput::Tick);
    assert_eq!(sent.len(), 1);
    let answer = pair.b.feed(SyncInput::Message(sent[0].clone()));
    assert!(answer.is_empty(), "nothing is asked for before the epoch is here");
    assert_eq!(pair.b.epochs_needed.take(), Some(1));
    pair.copy_epochs_to_b();
    pair.run();
    assert!(pair.in_sync());
    assert_eq!(pair.b.room.heads(), pair.a.room.heads());
}

#[test]
fn epochs_that_do_not_come_are_asked_for_ever_more_rarely() {
    let mut pair = Pair::with_shared_history(1);
    let digest = [9; 32];
    let heads = pair.b.room.heads();
    let room = pair.b.room.id();
    let message = SyncMessage::Heads {
        version: 1,
        room,
        epoch: 8,
        epoch_digest: digest,
        heads,
        digest: None,
        ask: false,
        answer: false,
    };
    pair.a.feed(SyncInput::Message(message.encode()));
    let mut asked = usize::from(pair.a.epochs_needed.take().is_some());
    for _ in 0..1_200 {
        pair.advance(50);
        pair.a.feed(SyncInput::Tick);
        asked += usize::from(pair.a.epochs_needed.take().is_some());
    }
    assert_eq!(asked, 5, "at 0, 2, 6, 14 and 30 seconds of the first minute");
}

#[test]
fn changes_that_are_refused_are_not_asked_for_without_end() {
    let mut pair = Pair::with_shared_history(1);
    // The peer claims a change that it never sends.
    let mut heads = pair.b.room.heads();
    heads.push(ChangeHash::from_bytes([0xee; 32]));
    let known = pair.b.position();
    let message = SyncMessage::Heads {
        version: 1,
        room: pair.b.room.id(),
        epoch: known.epoch,
        epoch_digest: known.epoch_digest,
        heads,
        digest: None,
        ask: false,
        answer: false,
    }
    .encode();
    let mut asked = 0;
    for step in 0..1_200 {
        // It repeats itself ten times a second.
        let mut sent = pair.a.feed(SyncInput::Tick);
        if step % 2 == 0 {
            sent.extend(pair.a.feed(SyncInput::Message(message.clone())));
        }
        asked +=
            sent.iter().filter(|m| matches!(SyncMessage::decode(m), Ok(SyncMessage::Want { .. }))).count();
        pair.advance(50);
    }
    assert!(asked <= 6, "{asked} requests in a minute");
}

#[test]
fn a_flood_of_requests_is_served_in_measure() {
    let mut pair = Pair::with_shared_history(30);
    let want = SyncMessage::Want { wanted: Vec::new(), have: Vec::new(), packed: false }.encode();
    let answered = (0..1_000).map(|_| pair.a.feed(SyncInput::Message(want.clone())).len()).sum::<usize>();
    assert_eq!(answered, 32);
    pair.advance(1_000);
    assert_eq!(pair.a.feed(SyncInput::Message(want)).len(), 1);
}

#[test]
fn breaches_are_refused_by_name() {
    let check = |message: Vec<u8>, reason: &str| {
        let mut pair = Pair::with_shared_history(1);
        assert!(pair.a.feed(SyncInput::Message(message)).is_empty(), "{reason}");
        assert_eq!(pair.a.refused, Some(reason));
        assert!(!pair.a.session.wants_tick());
    };
    let pair = Pair::with_shared_history(1);
    let (room, known) = (pair.a.room.id(), pair.a.position());
    let heads = |version: u8, room: RoomId, count: usize| {
        SyncMessage::Heads {
            version,
            room,
            epoch: known.epoch,
            epoch_digest: known.epoch_digest,
            heads: vec![ChangeHash::from_bytes([1; 32]); count],
            digest: None,
            ask: false,
            answer: false,
        }
        .encode()
    };
    let hashes = |count: usize| vec![ChangeHash::from_bytes([1; 32]); count];
    check(heads(2, room, 0), "unknown protocol version");
    check(heads(1, RoomId::from_bytes([3; 32]), 0), "message for another room");
    check(heads(1, room, MAX_LISTED + 1), "too many heads");
    check(
        SyncMessage::Want { wanted: hashes(MAX_WANTED + 1), have: Vec::new(), packed: true }.encode(),
        "too many hashes",
    );
    let none = |heads| {
        let (changes, certificates) = (Vec::new(), Vec::new());
        SyncMessage::Changes { changes, certificates, heads, more: false, answer: false }.encode()
    };
    check(none(Vec::new()), "no changes");
    check(none(hashes(MAX_ALONG + 1)), "too many heads");
    check(vec![0; MAX_SYNC_MESSAGE_BYTES + 1], "message over its limit");
    check(vec![0; MAX_SYNC_MESSAGE_BYTES], "malformed message");
    let mut other = Pair::founded("another room");
    let change = other.a.write(say("elsewhere".into()));
    let (changes, certificates) = (vec![change], Vec::new());
    let (heads, more, answer) = (Vec::new(), false, false);
    check(
        SyncMessage::Changes { changes, certificates, heads, more, answer }.encode(),
        "change for another room",
    );
}

#[test]
fn as_many_heads_as_may_be_listed_fit_into_a_message() {
    let room = found("limit", &[]).0;
    let hashes = vec![ChangeHash::from_bytes([0xff; 32]); MAX_LISTED];
    let digest = Some([0xff; 32]);
    let (epoch, epoch_digest) = (u64::MAX, [0xff; 32]);
    let heads = SyncMessage::Heads {
        version: 1,
        room: room.id(),
        epoch,
        epoch_digest,
        heads: hashes,
        digest,
        ask: true,
        answer: true,
    };
    assert!(heads.encode().len() <= MAX_SYNC_MESSAGE_BYTES);
    let wanted = vec![ChangeHash::from_bytes([0xff; 32]); MAX_WANTED];
    let have = vec![ChangeHash::from_bytes([0xff; 32]); MAX_LISTED + MAX_SAMPLED];
    assert!(SyncMessage::Want { wanted, have, packed: true }.encode().len() <= MAX_SYNC_MESSAGE_BYTES);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn rooms_of_any_two_histories_become_equal(
        shared in 0..20_usize,
        at_a in prop::collection::vec((0..3_usize, 1..400_usize), 0..20),
        at_b in prop::collection::vec((0..3_usize, 1..400_usize), 0..20),
    ) {
        let mut pair = Pair::with_shared_history(shared);
        pair.write_apart(&at_a, &at_b);
        pair.reconnect();
        pair.run();
        prop_assert!(pair.in_sync());
        prop_assert_eq!(pair.a.room.heads(), pair.b.room.heads());
        prop_assert!(pair.a.room.view() == pair.b.room.view());
        prop_assert_eq!(pair.a.room.len(), shared + at_a.len() + at_b.len());
        prop_assert!(pair.largest() <= MAX_SYNC_MESSAGE_BYTES);
    }

    #[test]
    fn garbage_is_refused(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
        let mut pair = Pair::fresh();
        prop_assert!(pair.a.feed(SyncInput::Message(bytes)).is_empty());
        prop_assert!(pair.a.refused.is_some());
    }

    #[test]
    fn a_damaged_message_never_panics(place in any::<prop::sample::Index>(), bit in 0..8_u8, cut in any::<bool>()) {
        let mut pair = Pair::with_shared_history(2);
        let want = SyncMessage::Want { wanted: Vec::new(), have: Vec::new(), packed: false }.encode();
        for message in [pair.b.heads_message(), want.clone(), pair.b.feed(SyncInput::Message(want)).remove(0)] {
            let mut damaged = message;
            let place = place.index(damaged.len());
            if cut { damaged.truncate(place) } else { damaged[place] ^= 1 << bit }
            let before = pair.a.room.len();
            pair.a.feed(SyncInput::Message(damaged));
            prop_assert_eq!(pair.a.room.len(), before);
        }
    }
}
