//! What goes wrong on a real machine: kills, taken ports, second daemons.

use std::net::TcpListener;
use std::time::{Duration, Instant};

use metaclinic_tests::harness;

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
