//! Disks that are full: a home on a small file system of its own.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use metaclinic_tests::harness::{self, described};
use serde_json::{Value, json};

use crate::homes;

/// How much the small disk holds: enough for a home and an import or two.
const DISK_MIB: u32 = 32;

/// A small disk of its own, taken away when dropped.
struct SmallDisk {
    folder: PathBuf,
}

impl SmallDisk {
    /// `None`, with a message, where this user may not mount one.
    fn mounted(below: &Path) -> Option<Self> {
        let folder = below.join("disk");
        fs::create_dir(&folder).expect("made");
        let size = format!("size={DISK_MIB}m,mode=0700");
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(&folder).output();
        if mounted.is_ok_and(|output| output.status.success()) {
            return Some(Self { folder });
        }
        eprintln!("skipped: this user may not mount a small disk");
        None
    }

    /// Writes until nothing more fits.
    fn fill(&self, name: &str) -> PathBuf {
        let path = self.folder.join(name);
        let mut file = fs::File::create(&path).expect("an empty file takes no block");
        for block in [1 << 16, 1 << 12, 1] {
            while std::io::Write::write_all(&mut file, &vec![0x5a; block]).is_ok() {}
        }
        path
    }
}

impl SmallDisk {
    /// Gives it more room, as a person does who moves other things away.
    fn grow(&self) {
        let larger = Command::new("mount").args(["-o", "remount,size=256m"]).arg(&self.folder).status();
        assert!(larger.is_ok_and(|status| status.success()), "what could be mounted can be made larger");
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily: a process that a failed test left behind may still be in it.
        let _ = Command::new("umount").arg("-l").arg(&self.folder).status();
    }
}

/// Observations that pack badly, so that the disk fills soon.
fn write_notes(folder: &Path, name: &str, count: usize) -> PathBuf {
    let text = "0123456789abcdef".repeat(500);
    let line = |i: usize| {
        json!({
            "resourceType": "Observation", "id": format!("{name}-{i}"), "status": "final",
            "code": { "coding": [{ "code": "8867-4" }] }, "note": [{ "text": text }],
        })
        .to_string()
    };
    let path = folder.join(format!("{name}.ndjson"));
    fs::write(&path, (0..count).map(line).collect::<Vec<_>>().join("\n")).expect("writable");
    path
}

fn import(home: &Path, file: &Path) -> (Option<i32>, Value) {
    let output = harness::run_cli(home, &["--json", "records", "import", file.to_str().expect("plain path")]);
    let told = serde_json::from_slice(&output.stdout);
    (output.status.code(), told.unwrap_or_else(|e| panic!("{e}: {}", described(&output))))
}

/// What is here opens, and the trail is whole.
fn whole(home: &Path) -> u64 {
    let checked = harness::run_json(home, &["records", "verify"]);
    assert_eq!((&checked["damaged"], &checked["missing"]), (&json!([]), &json!(0)), "{checked}");
    assert_eq!(harness::run_json(home, &["audit", "verify"])["verified"], true);
    checked["checked"].as_u64().expect("a count")
}

/// The engine may not read all of what is well after a write failed: a check either finds it or says that it cannot
/// tell.
fn never_called_damaged(home: &Path, held: u64) {
    let output = harness::run_cli(home, &["--json", "records", "verify"]);
    let told: Value = serde_json::from_slice(&output.stdout).expect("one object");
    let cannot_tell =
        told["error"]["message"].as_str().is_some_and(|m| m.contains("before the store is opened"));
    assert!(cannot_tell || told["checked"] == held, "{}", described(&output));
    assert!(told["damaged"].as_array().is_none_or(Vec::is_empty), "{}", described(&output));
    assert_eq!(output.status.code(), Some(i32::from(cannot_tell)), "{}", described(&output));
}

/// Says of a daemon or a command on a full disk what a person needs to hear.
fn says_full(home: &Path) {
    let output = harness::run_cli(home, &["--json", "status"]);
    assert_eq!(output.status.code(), Some(1), "{}", described(&output));
    let status: Value = serde_json::from_slice(&output.stdout).expect("one object");
    assert_eq!(status["daemon"], true, "the daemon still answers");
    let trouble = status["trouble"].to_string();
    assert!(trouble.contains("disk is full"), "{trouble}");
    assert!(String::from_utf8_lossy(&output.stderr).contains("free space"), "{}", described(&output));
}

#[test]
fn a_full_disk_loses_nothing_acknowledged_and_is_recovered_from() {
    let dir = harness::temp_dir();
    let Some(disk) = SmallDisk::mounted(dir.path()) else { return };
    let home = homes::quick(&disk.folder, "clinic", "clinic");
    let first = write_notes(dir.path(), "first", 100);
    assert_eq!(import(&home, &first).1["imported"], 100);

    let mut daemon = homes::daemon(&home);
    let large = write_notes(dir.path(), "large", 6_000);
    let (code, told) = import(&home, &large);
    assert_eq!(code, Some(1), "{told}");
    assert_eq!(told["error"]["kind"], "failed");
    assert!(told["error"]["message"].as_str().is_some_and(|m| m.contains("disk is full")), "{told}");
    assert!(told["error"]["next"].as_str().is_some_and(|next| next.contains("space")), "{told}");
    assert!(daemon.is_running(), "{}", daemon.log());
    says_full(&home);
    let held = harness::run_cli(&home, &["--json", "status"]);
    let held: Value = serde_json::from_slice(&held.stdout).expect("one object");
    let held = held["records"].as_u64().expect("a count");
    never_called_damaged(&home, held);
    assert!(held > 100, "some batches were acknowledged before: {held}");
    let kept = format!("{} resources that came before are kept", held - 100);
    assert!(told["error"]["message"].as_str().is_some_and(|m| m.contains(&kept)), "{held} held: {told}");
    let again = import(&home, &first);
    assert_eq!(again.0, Some(1), "read-only until it is started again: {}", again.1);
    let log = daemon.log();
    assert!(
        !log.contains("panicked") && !log.contains("engine failed"),
        "the engine never meets a full disk: {log}"
    );
    assert!(daemon.stop().success(), "a store on a full disk closes");

    // Nobody makes room: what a start gave free is taken by others before the next one.
    let mut fillers = Vec::new();
    for start in ["first", "second", "third"] {
        fillers.push(disk.fill(&format!("filler-{start}")));
        let reopened = homes::daemon(&home);
        assert_eq!(whole(&home), held, "{start}: everything is read on a disk that holds nothing more");
        let got = harness::run_json(&home, &["records", "get", "Observation/first-99"]);
        assert_eq!(got["id"], "first-99");
        assert!(!reopened.log().contains("panicked"), "{start}: {}", reopened.log());
        let _ = reopened.stop();
    }

    fillers.into_iter().for_each(|filler| fs::remove_file(filler).expect("removed"));
    disk.grow();
    let recovered = homes::daemon(&home);
    assert_eq!(harness::run_json(&home, &["status"])["trouble"], json!([]));
    assert_eq!(import(&home, &large).1["imported"], 6_000, "importing again completes it");
    assert_eq!(whole(&home), 6_100);
    assert!(home.join("ballast").exists(), "space is set aside again");
    assert!(recovered.stop().success());
}

/// The engine leaves holes in its file that the next start fills: they are filled before others take the space.
#[test]
fn commands_work_again_and_again_on_a_disk_that_stays_full() {
    let dir = harness::temp_dir();
    let Some(disk) = SmallDisk::mounted(dir.path()) else { return };
    let home = homes::quick(&disk.folder, "clinic", "clinic");
    let first = write_notes(dir.path(), "first", 100);
    assert_eq!(import(&home, &first).1["imported"], 100);
    assert_eq!(import(&home, &write_notes(dir.path(), "large", 6_000)).0, Some(1));
    for start in 1..=4 {
        disk.fill(&format!("filler-{start}"));
        let got = harness::run_cli(&home, &["--json", "records", "get", "Observation/first-99"]);
        assert!(got.status.success(), "start {start}: {}", described(&got));
    }
    disk.grow();
    assert!(whole(&home) > 100);
}
