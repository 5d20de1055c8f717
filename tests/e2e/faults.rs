//! What goes wrong on a real machine: kills, taken ports, second daemons.

use std::net::TcpListener;
use std::process::Stdio;
use std::time::{Duration, Instant};

use metaclinic_tests::harness::{self, Daemon};
use serde_json::Value;

use crate::homes;

#[test]
fn a_daemon_stops_cleanly_within_five_seconds() {
    let dir = harness::temp_dir();
    let home = homes::made(dir.path(), "clinic", "clinic");
    let daemon = homes::daemon(&home);
    let started = Instant::now();
    assert!(daemon.stop().success());
    assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
    assert!(!home.join("run/api.sock").exists());
    assert!(!home.join("run/token").exists());
}

#[test]
fn a_second_daemon_on_a_home_is_refused() {
    let dir = harness::temp_dir();
    let home = homes::made(dir.path(), "clinic", "clinic");
    let mut daemon = homes::daemon(&home);
    let second = harness::run_cli(&home, &["run"]);
    assert_eq!(second.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&second.stderr).contains("in use"), "{}", harness::described(&second));
    assert!(daemon.is_running());
}

#[test]
fn a_taken_port_is_named_and_nothing_is_left_behind() {
    let dir = harness::temp_dir();
    let home = homes::made(dir.path(), "clinic", "clinic");
    let taken = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = taken.local_addr().expect("bound").to_string();
    let http = harness::run_cli(&home, &["run", "--listen", "/ip4/127.0.0.1/tcp/0", "--http", &address]);
    assert_eq!(http.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&http.stderr).contains(&address), "{}", harness::described(&http));
    let port = address.rsplit(':').next().expect("a port");
    let listen = harness::run_cli(&home, &["run", "--listen", &format!("/ip4/127.0.0.1/tcp/{port}")]);
    assert_eq!(listen.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&listen.stderr).contains("--listen"), "{}", harness::described(&listen));
    assert!(homes::daemon(&home).stop().success(), "the home opens again");
}

#[test]
fn a_socket_left_by_a_killed_daemon_does_not_stop_the_next_command() {
    let dir = harness::temp_dir();
    let home = homes::made(dir.path(), "clinic", "clinic");
    homes::daemon(&home).kill_hard();
    assert!(home.join("run/api.sock").exists());
    let status = harness::run_json(&home, &["status"]);
    assert_eq!(status["daemon"], false);
    assert!(homes::daemon(&home).stop().success());
}

/// Kills the importing daemon at another moment each time; what was acknowledged must be there.
#[test]
fn what_an_import_acknowledged_survives_kill_nine() {
    let dir = harness::temp_dir();
    let bundle = homes::write_bundle(dir.path(), 6_000);
    let path = bundle.to_str().expect("plain path");
    let home = homes::made(dir.path(), "clinic", "clinic");
    for round in 0..5_u32 {
        let daemon = Daemon::start(&home, &homes::LOOPBACK);
        let mut client = harness::command(&home, &["--json", "records", "import", path])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("starts");
        std::thread::sleep(Duration::from_millis(u64::from(60 + round * 90)));
        let before = acknowledged(&home);
        daemon.kill_hard();
        let _ = client.wait();
        let checked = harness::run_json(&home, &["records", "verify"]);
        assert_eq!(checked["damaged"].as_array().map(Vec::len), Some(0), "round {round}");
        let found = harness::run_json(&home, &["records", "search", "Observation?_count=0"]);
        assert!(found["total"].as_u64() >= Some(before.saturating_sub(1)), "round {round}: {before} {found}");
        assert_eq!(harness::run_json(&home, &["audit", "verify"])["verified"], true, "round {round}");
    }
    let report = harness::run_json(&home, &["records", "import", path]);
    assert_eq!(report["imported"], 6_001, "importing again completes it");
}

/// What the daemon shows as kept, which it only does for what is durable.
fn acknowledged(home: &std::path::Path) -> u64 {
    let output = harness::run_cli(home, &["--json", "status"]);
    let status: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
    status["records"].as_u64().unwrap_or(0)
}
