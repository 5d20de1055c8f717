//! Power cuts: a daemon killed at any moment of an import keeps what it acknowledged.

use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use metaclinic_tests::harness;
use serde_json::{Value, json};

use crate::{homes, socket};

/// Resources of one import: three batches.
const RESOURCES: usize = 1_536;

/// A number of the surroundings, if it is set.
fn setting(name: &str) -> Option<u64> {
    std::env::var(name)
        .ok()
        .map(|text| text.parse().unwrap_or_else(|_| panic!("{name} is no number: {text}")))
}

/// Where the next random number comes from (SplitMix64: enough to choose moments, and a seed replays it).
struct Moments(u64);

impl Moments {
    /// A number below 1.
    fn next(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
    }
}

/// The same observations in every round, with the round as their code: an import replaces those of the round before.
fn write_round(folder: &Path, round: u64) -> PathBuf {
    let line = |i: usize| {
        let code = json!({ "coding": [{ "code": format!("round-{round}") }] });
        let status = "final";
        json!({ "resourceType": "Observation", "id": format!("o{i}"), "status": status, "code": code })
            .to_string()
    };
    let path = folder.join("round.ndjson");
    std::fs::write(&path, (0..RESOURCES).map(line).collect::<Vec<_>>().join("\n")).expect("writable");
    path
}

fn total(home: &Path, query: &str) -> u64 {
    socket::call(home, "GET", &format!("/fhir/R4/{query}"))["total"].as_u64().expect("a total")
}

/// What `home` holds of `round`, of which `acknowledged` were told to the importer.
fn check(home: &Path, round: u64, acknowledged: u64) {
    let told = format!("round {round}, {acknowledged} acknowledged");
    let found = total(home, &format!("Observation?code=round-{round}&_count=0"));
    assert!(found >= acknowledged, "{told}: {found} are there");
    assert_eq!(total(home, "Observation?_count=0"), RESOURCES as u64, "{told}: nothing else went");
    if let Some(last) = acknowledged.checked_sub(1) {
        let read = socket::call(home, "GET", &format!("/fhir/R4/Observation/o{last}"));
        assert_eq!(read["code"]["coding"][0]["code"], format!("round-{round}"), "{told}");
    }
    let records = socket::call(home, "POST", "/api/v1/records/verify");
    assert_eq!((&records["damaged"], &records["missing"]), (&json!([]), &json!(0)), "{told}: {records}");
    assert_eq!(records["checked"], RESOURCES, "{told}: {records}");
    assert_eq!(socket::call(home, "POST", "/api/v1/audit/verify")["verified"], true, "{told}");
}

fn acknowledged(event: &Value) -> Option<u64> {
    event["acknowledged"].as_u64()
}

/// Kills the importing daemon at random moments from its first to its last write. `METACLINIC_KILL_ROUNDS` makes it
/// longer, `METACLINIC_KILL_SEED` repeats one.
#[test]
fn what_an_import_acknowledged_survives_fifty_kills() {
    let rounds = setting("METACLINIC_KILL_ROUNDS").unwrap_or(50);
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
    let seed = setting("METACLINIC_KILL_SEED").unwrap_or(since.as_millis() as u64);
    eprintln!("METACLINIC_KILL_SEED={seed} METACLINIC_KILL_ROUNDS={rounds}");
    let mut moments = Moments(seed);
    let dir = harness::temp_dir();
    let home = homes::quick(dir.path(), "clinic", "clinic");

    let daemon = homes::daemon(&home);
    let began = Instant::now();
    let file = write_round(dir.path(), 0);
    assert_eq!(socket::import(&home, &file).filter_map(|e| acknowledged(&e)).last(), Some(RESOURCES as u64));
    let whole = began.elapsed();
    daemon.kill_hard();

    let (mut before, mut cut_short) = (RESOURCES as u64, 0);
    for round in 1..=rounds {
        let daemon = homes::daemon(&home);
        check(&home, round - 1, before);
        let file = write_round(dir.path(), round);
        let wait = whole.mul_f64(moments.next());
        let (begun, begins) = mpsc::channel();
        let importing = home.clone();
        let importer = thread::spawn(move || {
            let events = socket::import(&importing, &file);
            begun.send(()).expect("the test waits");
            events.filter_map(|event| acknowledged(&event)).last().unwrap_or(0)
        });
        begins.recv_timeout(Duration::from_secs(10)).expect("the import begins");
        // The moment itself is what the test varies: there is no fact to wait for.
        thread::sleep(wait);
        daemon.kill_hard();
        before = importer.join().expect("the stream ends with the daemon");
        cut_short += u64::from(before < RESOURCES as u64);
    }
    let daemon = homes::daemon(&home);
    check(&home, rounds, before);
    assert!(daemon.stop().success());
    assert!(cut_short * 4 > rounds, "only {cut_short} of {rounds} kills came in the middle of an import");
}
