//! What goes wrong on a real machine: taken ports, second daemons, homes that are not ours, damaged store files.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Output;
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

/// A user and group that own nothing.
const NOBODY: u32 = 65_534;

/// A command as somebody without rights over this home, when the test itself has all rights.
fn as_nobody(home: &Path, args: &[&str]) -> Output {
    let mut command = harness::command(home, args);
    if is_root(home) {
        let _ = chown(harness::passphrase_file(home), Some(NOBODY), Some(NOBODY));
        command.uid(NOBODY).gid(NOBODY);
    }
    harness::run_within(command, harness::COMMAND_LIMIT)
}

/// Whether this test runs with all rights: then what it makes belongs to the user 0.
fn is_root(below: &Path) -> bool {
    fs::metadata(below.parent().expect("in a folder")).is_ok_and(|meta| meta.uid() == 0)
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("made by this test");
}

/// Everything below a folder, and itself, folders before what is in them.
fn below(folder: &Path) -> Vec<PathBuf> {
    let mut all = vec![folder.to_path_buf()];
    for path in fs::read_dir(folder).expect("readable").flatten().map(|entry| entry.path()) {
        if path.is_dir() { all.extend(below(&path)) } else { all.push(path) }
    }
    all
}

/// Whether `output` is a failure that says all of these.
fn fails(output: &Output, words: &[&str]) {
    assert_eq!(output.status.code(), Some(1), "{}", harness::described(output));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(words.iter().all(|word| said.contains(word)), "{words:?}: {}", harness::described(output));
    assert!(!said.contains("panicked"), "{}", harness::described(output));
}

#[test]
fn a_home_of_somebody_else_is_not_called_missing() {
    let dir = harness::temp_dir();
    let home = homes::made(dir.path(), "clinic", "clinic");
    if !is_root(&home) {
        eprintln!("skipped: only root can own a home that another user opens");
        return;
    }
    set_mode(dir.path(), 0o755);
    for args in [&["status"][..], &["run"], &["init", "--role", "clinic", "--name", "x"]] {
        let output = as_nobody(&home, args);
        fails(&output, &["cannot look into", "check that the folder is yours"]);
    }
    assert!(homes::daemon(&home).stop().success(), "its owner uses it as before");
}

#[test]
fn a_home_that_cannot_be_written_says_so_and_is_used_again_afterwards() {
    let dir = harness::temp_dir();
    let home = homes::made(dir.path(), "clinic", "clinic");
    let root = is_root(&home);
    set_mode(dir.path(), 0o755);
    for path in below(&home) {
        if root {
            chown(&path, Some(NOBODY), Some(NOBODY)).expect("root may");
        }
        if path.is_dir() {
            set_mode(&path, 0o500);
        } else {
            set_mode(&path, 0o400);
        }
    }
    for args in [&["status"][..], &["run"]] {
        fails(&as_nobody(&home, args), &["cannot use the home", "writable"]);
    }
    let closed = dir.path().join("closed");
    fs::create_dir(&closed).expect("made");
    let new = closed.join("home");
    let _ = harness::passphrase_file(&new);
    set_mode(&closed, 0o555);
    fails(&as_nobody(&new, &["init", "--role", "clinic", "--name", "x"]), &["cannot create", "writable"]);
    set_mode(&closed, 0o755);
    for path in below(&home) {
        set_mode(&path, if path.is_dir() { 0o700 } else { 0o600 });
    }
    let status = as_nobody(&home, &["status"]);
    assert!(status.status.success(), "{}", harness::described(&status));
}

fn snapshots(home: &Path) -> Vec<PathBuf> {
    let named = |path: &PathBuf| path.to_string_lossy().contains("/snap.");
    below(&home.join("store")).into_iter().filter(named).collect()
}

fn cut_in_half(path: &Path) {
    let length = fs::metadata(path).expect("there").len();
    fs::OpenOptions::new().write(true).open(path).expect("there").set_len(length / 2).expect("cut");
}

#[test]
fn stray_and_cut_snapshots_are_repaired_and_half_a_database_is_never_called_well() {
    let dir = harness::temp_dir();
    let home = homes::quick(dir.path(), "clinic", "clinic");
    let bundle = homes::write_bundle(dir.path(), 400);
    let _ = harness::run_json(&home, &["records", "import", bundle.to_str().expect("plain path")]);
    let whole = |what: &str| {
        let checked = harness::run_json(&home, &["records", "verify"]);
        assert_eq!(checked["checked"], 401, "{what}: {checked}");
        assert_eq!(harness::run_json(&home, &["audit", "verify"])["verified"], true, "{what}");
    };
    fs::write(home.join("store/snap.FFFFFFFFFFFFFFFF.generating"), b"").expect("written");
    whole("a stray empty snapshot");
    snapshots(&home).iter().for_each(|path| cut_in_half(path));
    whole("snapshots cut in half");
    fs::write(home.join("store/snap.FFFFFFFFFFFFFFFF"), vec![0xa5; 5_000]).expect("written");
    whole("a snapshot of nonsense");

    cut_in_half(&home.join("store/db"));
    for args in [&["records", "verify"][..], &["audit", "verify"], &["status"]] {
        let output = harness::run_cli(&home, args);
        assert_eq!(output.status.code(), Some(1), "{args:?}: {}", harness::described(&output));
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(said.contains("error: "), "{args:?}: {}", harness::described(&output));
    }
}
