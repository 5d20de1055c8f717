//! Rooms over real processes: joining, editing apart, meeting again, and who may not.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use metaclinic_tests::harness::{self, Daemon};
use serde_json::Value;

use crate::exchange::pair;
use crate::homes;

pub(crate) const ROOM: &str = "ward 3";

pub(crate) fn room(home: &Path, args: &[&str]) -> Value {
    let mut all = vec!["room"];
    all.extend_from_slice(args);
    harness::run_json(home, &all)
}

fn denied(home: &Path, args: &[&str]) {
    let output = harness::run_cli(home, args);
    assert_eq!(output.status.code(), Some(3), "{args:?}: {}", harness::described(&output));
}

/// Homes with running daemons, all paired with the first.
pub(crate) struct Met {
    pub(crate) homes: Vec<PathBuf>,
    pub(crate) daemons: Vec<Option<Daemon>>,
}

pub(crate) fn met(folder: &Path, names: &[(&str, &str)]) -> Met {
    let homes: Vec<PathBuf> = names.iter().map(|(name, role)| homes::made(folder, name, role)).collect();
    let daemons = homes.iter().map(|home| Some(homes::daemon(home))).collect();
    for other in &homes[1..] {
        pair(&homes[0], other);
    }
    Met { homes, daemons }
}

pub(crate) fn join(owner: &Path, member: &Path, name: &str, role: &str) {
    let invited = room(owner, &["invite", ROOM, name, "--role", role]);
    room(member, &["join", invited["ticket"].as_str().expect("a ticket")]);
}

/// Waits until all homes show the same heads.
pub(crate) fn same(homes: &[&Path], limit: Duration) -> Value {
    let deadline = Instant::now() + limit;
    loop {
        let shown: Vec<Value> = homes.iter().map(|home| room(home, &["show", ROOM])).collect();
        if shown
            .iter()
            .all(|s| s["heads"] == shown[0]["heads"] && s["annotations"] == shown[0]["annotations"])
        {
            return shown.into_iter().next().expect("at least one home");
        }
        let heads: Vec<&Value> = shown.iter().map(|s| &s["heads"]).collect();
        assert!(Instant::now() < deadline, "different rooms: {heads:?}");
        std::thread::sleep(Duration::from_millis(100));
    }
}

#[test]
fn two_moves_apart_are_a_conflict_at_both_until_somebody_moves_again() {
    let dir = harness::temp_dir();
    let mut met = met(dir.path(), &[("clinic", "clinic"), ("patient", "patient")]);
    let [clinic, patient] = [met.homes[0].clone(), met.homes[1].clone()];
    room(&clinic, &["create", ROOM]);
    join(&clinic, &patient, "patient", "patient");
    let made = room(&patient, &["annotate", ROOM, "--text", "here", "--at", "0.1,1,0.1"]);
    let id = made["annotation"].as_str().expect("an id").to_owned();
    same(&[&clinic, &patient], Duration::from_secs(10));

    met.daemons[1].take().expect("running").kill_hard();
    room(&patient, &["move", ROOM, &id, "--at", "0.2,1,0.2"]);
    room(&clinic, &["move", ROOM, &id, "--at", "0.3,1,0.3"]);
    met.daemons[1] = Some(homes::daemon(&patient));
    let together = same(&[&clinic, &patient], Duration::from_secs(10));
    let annotation = &together["annotations"][0];
    assert_eq!(annotation["position_conflicts"].as_array().map(Vec::len), Some(1), "{annotation}");

    room(&clinic, &["move", ROOM, &id, "--at", "0.5,1,0.5"]);
    let settled = same(&[&clinic, &patient], Duration::from_secs(10));
    assert_eq!(settled["annotations"][0]["position_conflicts"].as_array().map(Vec::len), Some(0));
    for home in [&clinic, &patient] {
        assert_eq!(harness::run_json(home, &["audit", "verify"])["verified"], true);
    }
}

#[test]
fn roles_hold_and_a_removed_member_writes_to_nobody() {
    let dir = harness::temp_dir();
    let met = met(dir.path(), &[("clinic", "clinic"), ("patient", "patient"), ("watcher", "researcher")]);
    let [clinic, patient, watcher] = [&met.homes[0], &met.homes[1], &met.homes[2]];
    room(clinic, &["create", ROOM, "--scene", "rehab-room"]);
    join(clinic, patient, "patient", "patient");
    let ticket = room(clinic, &["ticket", ROOM])["ticket"].as_str().expect("a ticket").to_owned();
    denied(watcher, &["room", "join", &ticket]);
    join(clinic, watcher, "watcher", "observer");
    denied(watcher, &["room", "say", ROOM, "hello"]);
    denied(patient, &["room", "note", ROOM, "not my section"]);
    denied(patient, &["room", "invite", ROOM, "clinic", "--role", "observer"]);
    let made = room(clinic, &["annotate", ROOM, "--text", "the clinic's", "--at", "0,1,0"]);
    same(&[clinic, patient, watcher], Duration::from_secs(10));
    denied(
        patient,
        &["room", "move", ROOM, made["annotation"].as_str().expect("an id"), "--at", "0.5,1,0.5"],
    );

    room(clinic, &["remove", ROOM, "patient"]);
    let deadline = Instant::now() + Duration::from_secs(10);
    while !room(patient, &["show", ROOM])["role"].is_null() {
        assert!(Instant::now() < deadline, "the patient does not learn of its removal");
        std::thread::sleep(Duration::from_millis(100));
    }
    denied(patient, &["room", "say", ROOM, "still here?"]);
    denied(patient, &["room", "join", &ticket]);
    room(clinic, &["say", ROOM, "only for those who stay"]);
    let stayed = same(&[clinic, watcher], Duration::from_secs(10));
    assert_eq!(stayed["chat"].as_array().map(Vec::len), Some(1));
    assert_eq!(room(patient, &["show", ROOM])["chat"].as_array().map(Vec::len), Some(0));
}

#[test]
fn an_attachment_comes_to_members_sealed_and_whole() {
    let dir = harness::temp_dir();
    let met = met(dir.path(), &[("clinic", "clinic"), ("patient", "patient")]);
    let [clinic, patient] = [&met.homes[0], &met.homes[1]];
    room(clinic, &["create", ROOM]);
    join(clinic, patient, "patient", "patient");
    let file = dir.path().join("report.txt");
    std::fs::write(&file, homes::CANARIES[2].repeat(1000)).expect("written");
    let file = file.to_str().expect("plain path");
    let made = room(clinic, &["annotate", ROOM, "--text", "report", "--anchor", "monitor", "--attach", file]);
    same(&[clinic, patient], Duration::from_secs(10));
    let out = dir.path().join("out");
    std::fs::create_dir(&out).expect("made");
    let id = made["annotation"].as_str().expect("an id");
    room(patient, &["save", ROOM, id, out.to_str().expect("plain path")]);
    let saved = std::fs::read_to_string(out.join("report.txt")).expect("saved");
    assert_eq!(saved, homes::CANARIES[2].repeat(1000));
    let again = harness::run_cli(patient, &["room", "save", ROOM, id, out.to_str().expect("plain path")]);
    assert_eq!(again.status.code(), Some(1), "nothing is overwritten");
    for home in [clinic, patient] {
        assert_eq!(homes::any_file_holds(home, homes::CANARIES[2]), None);
        assert_eq!(homes::any_file_holds(home, ROOM), None, "not even the room's name");
    }
}

#[test]
fn places_and_scenes_are_checked() {
    let dir = harness::temp_dir();
    let clinic = homes::made(dir.path(), "clinic", "clinic");
    let scenes = harness::run_json(&dir.path().join("no home"), &["scene", "list"]);
    assert_eq!(scenes["scenes"].as_array().map(Vec::len), Some(3));
    let wrong = |args: &[&str], words: &str| {
        let output = harness::run_cli(&clinic, args);
        assert_eq!(output.status.code(), Some(2), "{}", harness::described(&output));
        assert!(String::from_utf8_lossy(&output.stderr).contains(words), "{}", harness::described(&output));
    };
    wrong(&["room", "create", ROOM, "--scene", "ballroom"], "consulting-room");
    room(&clinic, &["create", ROOM]);
    wrong(&["room", "create", ROOM], "another name");
    wrong(&["room", "annotate", ROOM, "--text", "x", "--at", "900,0,0"], "outside the room");
    wrong(&["room", "annotate", ROOM, "--text", "x", "--anchor", "throne"], "scene list");
    wrong(&["room", "annotate", ROOM, "--text", "x"], "--at");
    wrong(&["room", "annotate", ROOM, "--text", "x", "--at", "1,2"], "three numbers");
    wrong(&["room", "join", "mcpair1abc"], "ticket for pairing");
}

#[test]
fn many_joins_at_once_make_one_room() {
    let dir = harness::temp_dir();
    let met = met(dir.path(), &[("clinic", "clinic"), ("patient", "patient")]);
    let [clinic, patient] = [&met.homes[0], &met.homes[1]];
    room(clinic, &["create", ROOM]);
    let invited = room(clinic, &["invite", ROOM, "patient", "--role", "patient"]);
    let ticket = invited["ticket"].as_str().expect("a ticket");
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| room(patient, &["join", ticket]));
        }
    });
    assert_eq!(room(patient, &["list"])["rooms"].as_array().map(Vec::len), Some(1));
    let trail = harness::run_json(patient, &["audit", "show"]);
    let joins =
        trail["entries"].as_array().expect("entries").iter().filter(|e| e["action"] == "room-join").count();
    assert_eq!(joins, 1);
    room(patient, &["say", ROOM, "here once"]);
    same(&[clinic, patient], Duration::from_secs(10));
}
