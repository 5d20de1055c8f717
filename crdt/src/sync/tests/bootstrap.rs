//! What it costs a new member to come by a room.

use std::time::Instant;

use super::pair::Pair;
use super::say;
use crate::SignedChange;

/// Bytes and time of a join, beside what automerge would save. In an optimised build:
/// `cargo test --release -p metaclinic-crdt --lib -- --ignored --nocapture figures_of_a_join`.
#[test]
#[ignore = "a measurement"]
fn figures_of_a_join() {
    for count in [300, 2_000, 10_000] {
        let mut pair = Pair::new();
        for number in 0..count {
            pair.a.write(say(format!("{number:>60}")));
        }
        let saved = pair.a.room.saved_bytes();
        let began = Instant::now();
        let loaded = automerge::Automerge::load(&saved).unwrap();
        let load_ms = began.elapsed().as_millis();
        assert_eq!(loaded.get_heads().len(), 1);
        let (changes, _) = pair.a.room.changes_not_ancestors_of(&[], usize::MAX);
        let began = Instant::now();
        assert!(changes.iter().all(SignedChange::is_authentic));
        let verify_ms = began.elapsed().as_millis();
        let saved = saved.len();
        let began = Instant::now();
        pair.reconnect();
        pair.run();
        let ms = began.elapsed().as_millis();
        let (bytes, messages) = pair.traffic();
        assert!(pair.in_sync() && pair.b.room.len() == count);
        let aim = (saved + 64 * count) * 3 / 2;
        println!(
            "{count} changes, saved {saved} bytes: {bytes} bytes (aim {aim}), {messages} messages, {ms} ms"
        );
        println!("  of it signatures {verify_ms} ms; loading the save takes automerge {load_ms} ms");
    }
}
