//! Nodes that lose and find each other, and what `status` says of it.

use std::path::Path;
use std::time::{Duration, Instant};

use metaclinic_tests::harness::{self, Daemon};
use serde_json::Value;

use crate::exchange::pair;
use crate::homes;

const ROOM: &str = "ward 3";
/// Long enough for a loaded machine.
const PATIENCE: Duration = Duration::from_secs(30);

/// The status of a home once it is as it should be.
fn status_when(home: &Path, what: &str, holds: impl Fn(&Value) -> bool) -> Value {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let status = harness::run_json(home, &["status"]);
        if holds(&status) {
            return status;
        }
        assert!(Instant::now() < deadline, "not in time: {what}: {status}");
        std::thread::sleep(Duration::from_millis(100));
    }
}

fn connected(status: &Value) -> bool {
    status["peers"][0]["connected"] == true
}

fn lacks(status: &Value) -> Option<u64> {
    status["lag"][0]["members"][0]["lacks"].as_u64()
}

fn in_step(status: &Value) -> bool {
    status["lag"][0]["members"][0]["in_step"] == true
}

#[test]
fn status_counts_what_an_absent_member_lacks_until_it_is_back() {
    let dir = harness::temp_dir();
    let (clinic, patient) =
        (homes::made(dir.path(), "clinic", "clinic"), homes::made(dir.path(), "patient", "patient"));
    let (clinic_daemon, patient_daemon) = (homes::daemon(&clinic), homes::daemon(&patient));
    pair(&clinic, &patient);
    let _ = harness::run_json(&clinic, &["room", "create", ROOM]);
    let invited = harness::run_json(&clinic, &["room", "invite", ROOM, "patient", "--role", "patient"]);
    let _ = harness::run_json(&patient, &["room", "join", invited["ticket"].as_str().expect("a ticket")]);
    let near = |s: &Value| connected(s) && s["peers"][0]["round_trip_ms"].is_number();
    let together = status_when(&clinic, "both are in step", |s| near(s) && in_step(s));
    assert!(together["peers"][0]["connected_since"].is_string(), "{together}");
    assert_eq!(lacks(&together), Some(0));

    assert!(patient_daemon.stop().success());
    status_when(&clinic, "the patient is gone", |s| !connected(s));
    for text in ["one", "two", "three"] {
        let _ = harness::run_json(&clinic, &["room", "say", ROOM, text]);
    }
    let apart = harness::run_json(&clinic, &["status"]);
    assert_eq!((lacks(&apart), in_step(&apart)), (Some(3), false), "{apart}");
    assert!(apart["peers"][0]["last_seen"].is_string() && apart["peers"][0]["connected_since"].is_null());

    // Both are known again after a restart, and without a daemon.
    let place = clinic_daemon.listen()[0].split("/p2p").next().unwrap_or_default().to_owned();
    assert!(clinic_daemon.stop().success());
    let later = harness::run_json(&clinic, &["status"]);
    assert_eq!(later["lag"], apart["lag"]);
    assert_eq!(later["peers"][0]["last_seen"], apart["peers"][0]["last_seen"]);
    let people = harness::run_cli(&clinic, &["status"]);
    let text = String::from_utf8_lossy(&people.stdout).into_owned();
    assert!(text.contains("lacks up to 3 changes"), "{text}");

    let _daemons = [Daemon::start(&clinic, &["--listen", &place]), homes::daemon(&patient)];
    let back = status_when(&clinic, "the patient is in step again", in_step);
    assert_eq!(lacks(&back), Some(0), "{back}");
}
