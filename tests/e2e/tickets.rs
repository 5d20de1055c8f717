//! Pairing tickets that are used, edited or past their time: refused at both ends, with a reason, and in the trail.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use keys::{DeviceId, Direction, Right, Timestamp, codec};
use metaclinic_tests::harness::{self, described};
use serde::{Deserialize, Serialize};
use serde_bytes::ByteArray;

use crate::exchange::{Offer, field};
use crate::homes;
use crate::intruders::Victim;

const OFFER_OVER: &str = "denied: the pairing offer is over";
const WRONG_CODE: &str = "denied: wrong code";
const UNKNOWN: &str = "denied: unknown peer";
const PREFIX: &str = "mcpair1";

/// What a ticket holds, as the wire format says.
#[derive(Serialize, Deserialize)]
struct Body {
    v: u8,
    d: DeviceId,
    a: Vec<String>,
    s: ByteArray<16>,
    t: Direction,
    r: Right,
    e: Timestamp,
}

/// A ticket that somebody edited who can count a checksum.
fn edited(ticket: &str, edit: impl FnOnce(&mut Body)) -> String {
    let bytes = keys::from_base32(&ticket[PREFIX.len()..]).expect("base 32");
    let mut body: Body = codec::decode("ticket", &bytes[..bytes.len() - 4], 4096).expect("a ticket");
    edit(&mut body);
    let mut bytes = codec::encode(&body);
    let sum = blake3::derive_key("metaclinic 2026 pairing ticket checksum", &bytes);
    bytes.extend_from_slice(&sum[..4]);
    format!("{PREFIX}{}", keys::base32(&bytes))
}

fn now_ms() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_millis() as i64
}

#[test]
fn a_ticket_is_worth_nothing_after_its_time_at_either_end() {
    let dir = harness::temp_dir();
    let patient = Victim::new(dir.path(), "patient", "patient");
    let [stranger, cheat] = ["stranger", "cheat"].map(|name| homes::quick(dir.path(), name, "researcher"));
    let device = |home| homes::keyring(home).device().id().to_string();
    let opened_at = Instant::now();
    let (mut offer, opened) = Offer::open_with(&patient.home, &["--minutes", "1"]);
    let ticket = field(&opened, "/ticket").to_owned();

    // The accepting side looks at the time itself and dials nobody.
    let past = edited(&ticket, |body| body.e = Timestamp::from_millis(now_ms() - 1));
    let early = harness::run_cli(&stranger, &["pair", "accept", &past]);
    // A ticket that was given a longer time is another ticket: the offering side says no even while the offer stands.
    let later = edited(&ticket, |body| body.e = Timestamp::from_millis(now_ms() + 3_600_000));
    let longer = harness::run_cli(&cheat, &["pair", "accept", &later]);
    assert!(opened_at.elapsed() < Duration::from_secs(50), "this machine is too slow for this test");
    assert_eq!(early.status.code(), Some(3), "{}", described(&early));
    assert!(String::from_utf8_lossy(&early.stderr).contains("has expired"), "{}", described(&early));
    assert_eq!(longer.status.code(), Some(3), "{}", described(&longer));
    assert!(String::from_utf8_lossy(&longer.stderr).contains("does not match"), "{}", described(&longer));
    assert_eq!(offer.next()["event"], "try");

    let last = offer.next();
    assert_eq!(
        (&last["event"], field(&last, "/reason")),
        (&"failed".into(), "the pairing offer has expired")
    );
    let stood = opened_at.elapsed();
    assert!((Duration::from_secs(59)..Duration::from_secs(90)).contains(&stood), "{stood:?}");
    assert_eq!(offer.end(), Some(3));
    let late = harness::run_cli(&stranger, &["pair", "accept", &ticket]);
    assert_eq!(late.status.code(), Some(3), "{}", described(&late));
    assert!(String::from_utf8_lossy(&late.stderr).contains("has expired"), "{}", described(&late));
    let knocks = harness::run_cli(&cheat, &["pair", "accept", &later]);
    assert_eq!(knocks.status.code(), Some(1), "the door is closed: {}", described(&knocks));

    let (patients, stranger_id, cheat_id) = (patient.device.to_string(), device(&stranger), device(&cheat));
    let trail = patient.end();
    assert_eq!(trail.count(&cheat_id, WRONG_CODE), 1, "{:?}", trail.0);
    assert!(trail.count(&cheat_id, UNKNOWN) >= 1, "{:?}", trail.0);
    assert!(trail.0.iter().all(|entry| entry["who"] != stranger_id.as_str()), "never dialled: {:?}", trail.0);
    let own = harness::run_json(&stranger, &["audit", "show"]);
    let own = own["entries"].as_array().expect("entries").iter();
    let over = own.filter(|e| e["outcome"] == OFFER_OVER && e["who"] == patients.as_str()).count();
    assert_eq!(over, 2, "and in the trail of the one who tried");
}

#[test]
fn a_used_ticket_pairs_nobody_else_and_an_edited_one_nobody() {
    let dir = harness::temp_dir();
    let patient = Victim::new(dir.path(), "patient", "patient");
    let [clinic, thief] = ["clinic", "thief"].map(|name| homes::quick(dir.path(), name, "clinic"));
    let (mut offer, opened) = Offer::open(&patient.home);
    let ticket = field(&opened, "/ticket").to_owned();
    let edits: [fn(&mut Body); 2] = [|body| body.s[0] ^= 1, |body| body.d = DeviceId::from_bytes([7; 32])];
    for edit in edits {
        let tried = harness::run_cli(&thief, &["pair", "accept", &edited(&ticket, edit)]);
        assert!(!tried.status.success(), "{}", described(&tried));
    }
    assert_eq!(offer.next()["event"], "try");
    assert!(harness::run_cli(&clinic, &["pair", "accept", &ticket]).status.success());
    assert_eq!(offer.next()["event"], "check");
    assert_eq!(offer.next()["event"], "paired");
    assert_eq!(offer.end(), Some(0));
    for home in [&clinic, &thief] {
        let again = harness::run_cli(home, &["pair", "accept", &ticket]);
        assert!(!again.status.success(), "{}", described(&again));
    }
    let peers = harness::run_json(&patient.home, &["pair", "list"]);
    assert_eq!(peers["peers"].as_array().map(Vec::len), Some(1), "{peers}");
    let [clinic, thief] = [clinic, thief].map(|home| homes::keyring(&home));
    let trail = patient.end();
    assert_eq!(trail.of(&thief, WRONG_CODE), 1, "the edited secret: {:?}", trail.0);
    assert!(trail.of(&thief, UNKNOWN) >= 1, "a stranger, and no offer is open: {:?}", trail.0);
    let refused = |e: &&serde_json::Value| {
        e["action"] == "refuse" && e["who"] == clinic.device().id().to_string().as_str()
    };
    assert!(trail.0.iter().any(|e| refused(&e)), "a known peer, and no offer is open: {:?}", trail.0);
}
