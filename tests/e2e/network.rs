//! Nodes that lose and find each other, and what `status` says of it.

use std::path::Path;
use std::time::{Duration, Instant};

use metaclinic_tests::harness::{self, Daemon};
use serde_json::Value;

use crate::exchange::{Offer, pair};
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

/// Whether a packet to the mDNS group comes back on this machine: in some containers none does.
fn multicast_works() -> bool {
    let group = std::net::Ipv4Addr::new(224, 0, 0, 251);
    let echo = || -> std::io::Result<bool> {
        let hear = std::net::UdpSocket::bind(("0.0.0.0", 0))?;
        hear.join_multicast_v4(&group, &std::net::Ipv4Addr::UNSPECIFIED)?;
        hear.set_read_timeout(Some(Duration::from_secs(2)))?;
        std::net::UdpSocket::bind(("0.0.0.0", 0))?.send_to(b"?", (group, hear.local_addr()?.port()))?;
        Ok(hear.recv(&mut [0; 8]).is_ok())
    };
    echo().unwrap_or(false)
}

const ANYWHERE: [&str; 2] = ["--listen", "/ip4/0.0.0.0/tcp/0"];

#[test]
fn a_code_is_enough_on_one_lan_and_a_clinic_is_found_again_at_another_port() {
    if !multicast_works() {
        eprintln!("skipped: multicast does not work on this machine");
        return;
    }
    let dir = harness::temp_dir();
    let (clinic, patient) =
        (homes::made(dir.path(), "clinic", "clinic"), homes::made(dir.path(), "patient", "patient"));
    // Only this test opens offers that the LAN can reach, so there is none yet.
    let began = Instant::now();
    let output = harness::run_cli(&patient, &["pair", "accept", "17-orbit-velvet"]);
    assert_eq!(output.status.code(), Some(1), "{}", harness::described(&output));
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(text.contains("no open offer was found") && text.contains("--at"), "{text}");
    assert!(began.elapsed() < Duration::from_secs(40), "{:?}", began.elapsed());

    let run = |home: &Path, mdns: &[&str]| Daemon::start(home, &[&ANYWHERE, mdns].concat());
    let clinic_daemon = run(&clinic, &[]);
    assert_eq!(clinic_daemon.ready()["mdns"], true);

    // The patient has no daemon: the command alone looks for the offer, and tells the LAN nothing.
    let (offer, opened) = Offer::open(&clinic);
    let code = opened["code"].as_str().expect("a code").to_owned();
    let accepted = harness::run_json(&patient, &["pair", "accept", &code]);
    assert!(accepted["check"].is_string());
    drop(offer);

    assert!(clinic_daemon.stop().success());
    let silent = run(&patient, &[]);
    assert_eq!(silent.ready()["mdns"], false, "a patient's home tells nothing unless it is told to");
    assert!(silent.stop().success());
    let (_patient, _clinic) = (run(&patient, &["--mdns", "on"]), run(&clinic, &[]));
    status_when(&patient, "the clinic is found at its new port", connected);
}

#[test]
fn a_clinic_that_moved_while_a_patient_did_is_found_through_another_clinic() {
    let dir = harness::temp_dir();
    let made = |name: &str, role: &str| homes::made(dir.path(), name, role);
    let (helper, moved, patient) =
        (made("helper", "clinic"), made("moved", "clinic"), made("patient", "patient"));
    let silent = |home: &Path| Daemon::start(home, &[&homes::LOOPBACK[..], &["--mdns", "off"]].concat());
    let _helper = silent(&helper);
    let (moved_daemon, patient_daemon) = (silent(&moved), silent(&patient));
    pair(&helper, &moved);
    pair(&helper, &patient);
    pair(&moved, &patient);
    assert!(moved_daemon.stop().success());
    assert!(patient_daemon.stop().success());

    // Both get new ports, so neither knows where the other is; both know the helper.
    let (_moved, _patient) = (silent(&moved), silent(&patient));
    let met = |status: &Value| {
        let peers = status["peers"].as_array().expect("a list");
        peers.iter().any(|peer| peer["name"] == "moved" && peer["connected"] == true)
    };
    status_when(&patient, "the moved clinic is found", met);
}
