//! Two and three nodes: pairing, consent, fetching, refusal.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Stdio};

use metaclinic_tests::harness;
use serde_json::Value;

use crate::homes;

/// An offer that waits, with its lines read one by one.
pub(crate) struct Offer {
    child: Child,
    lines: std::io::Lines<BufReader<std::process::ChildStdout>>,
}

impl Offer {
    pub(crate) fn open(home: &Path) -> (Self, Value) {
        Self::open_with(home, &[])
    }

    pub(crate) fn open_with(home: &Path, more: &[&str]) -> (Self, Value) {
        let mut command = harness::command(home, &[&["--json", "pair", "offer"], more].concat());
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("starts");
        let lines = BufReader::new(child.stdout.take().expect("piped")).lines();
        let mut offer = Self { child, lines };
        let opened = offer.next();
        assert_eq!(opened["event"], "offer", "{opened}");
        (offer, opened)
    }

    pub(crate) fn next(&mut self) -> Value {
        let line = self.lines.next().expect("another line").expect("readable");
        serde_json::from_str(&line).expect("JSON")
    }

    pub(crate) fn end(mut self) -> Option<i32> {
        self.child.wait().expect("ends").code()
    }
}

impl Drop for Offer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub(crate) fn field<'a>(value: &'a Value, pointer: &str) -> &'a str {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

pub(crate) fn pair(offering: &Path, accepting: &Path) {
    let (mut offer, opened) = Offer::open(offering);
    let accepted = harness::run_json(accepting, &["pair", "accept", field(&opened, "/ticket")]);
    let check = offer.next();
    let paired = offer.next();
    assert_eq!(check["check"], accepted["check"]);
    assert_eq!(paired["event"], "paired");
}

#[test]
fn three_wrong_codes_burn_the_offer() {
    let dir = harness::temp_dir();
    let patient = homes::made(dir.path(), "patient", "patient");
    let stranger = homes::made(dir.path(), "stranger", "researcher");
    let _daemon = homes::daemon(&patient);
    let (mut offer, opened) = Offer::open(&patient);
    let at = field(&opened, "/addresses/0");
    let nameplate = field(&opened, "/code").split('-').next().expect("a nameplate");
    let wrong = format!("{nameplate}-zebra-zoo");
    for _ in 0..3 {
        let tried = harness::run_cli(&stranger, &["pair", "accept", &wrong, "--at", at]);
        assert_eq!(tried.status.code(), Some(3), "{}", harness::described(&tried));
    }
    let mut last = offer.next();
    while last["event"] == "try" {
        last = offer.next();
    }
    assert_eq!(last["event"], "failed", "{last}");
    let right = harness::run_cli(&stranger, &["pair", "accept", field(&opened, "/code"), "--at", at]);
    assert!(!right.status.success(), "a burned code pairs nobody");
    assert_eq!(offer.end(), Some(3));
    let trail = harness::run_json(&patient, &["audit", "show"]);
    let refusals =
        trail["entries"].as_array().expect("entries").iter().filter(|e| e["action"] == "refuse").count();
    assert!(refusals >= 3, "each wrong try is in the trail");
}

#[test]
fn an_edited_or_used_ticket_is_refused() {
    let dir = harness::temp_dir();
    let patient = homes::made(dir.path(), "patient", "patient");
    let clinic = homes::made(dir.path(), "clinic", "clinic");
    let _daemon = homes::daemon(&patient);
    let (mut offer, opened) = Offer::open(&patient);
    let ticket = field(&opened, "/ticket");
    let mut edited = ticket.to_owned();
    let last = edited.pop().expect("not empty");
    edited.push(if last == 'a' { 'b' } else { 'a' });
    let refused = harness::run_cli(&clinic, &["pair", "accept", &edited]);
    assert_eq!(refused.status.code(), Some(2), "{}", harness::described(&refused));
    let accepted = harness::run_json(&clinic, &["pair", "accept", ticket]);
    assert_eq!(accepted["name"], "patient");
    assert_eq!(offer.next()["event"], "check");
    assert_eq!(offer.next()["event"], "paired");
    assert_eq!(offer.end(), Some(0));
    let again = harness::run_cli(&clinic, &["pair", "accept", ticket]);
    assert!(!again.status.success(), "a ticket works once: {}", harness::described(&again));
}

#[test]
fn a_consent_opens_what_it_names_and_its_end_closes_it() {
    let dir = harness::temp_dir();
    let patient = homes::made(dir.path(), "patient", "patient");
    let clinic = homes::made(dir.path(), "clinic", "clinic");
    let bundle = homes::write_bundle(dir.path(), 700);
    let _ = harness::run_json(&patient, &["records", "import", bundle.to_str().expect("plain path")]);
    let _patient_daemon = homes::daemon(&patient);
    let clinic_daemon = homes::daemon(&clinic);
    pair(&patient, &clinic);
    let fetch = |query: &str, purpose: &str| {
        harness::run_cli(&clinic, &["--json", "records", "fetch", "patient", query, "--purpose", purpose])
    };
    assert_eq!(fetch("Observation", "treatment").status.code(), Some(3), "paired is not consented");
    let _ = harness::run_json(&patient, &["grant", "give", "clinic", "--type", "Observation", "--for", "1h"]);
    assert_eq!(fetch("Observation", "research").status.code(), Some(3), "another purpose");
    let count = |query: &str| {
        let got = fetch(query, "treatment");
        let report: Value = serde_json::from_slice(&got.stdout).unwrap_or_default();
        report["fetched"].as_u64().unwrap_or_else(|| panic!("{}", harness::described(&got)))
    };
    assert_eq!(count("Patient"), 0, "out of scope looks like nothing there");
    let got = fetch("Observation?_sort=date", "treatment");
    let report: Value = serde_json::from_slice(&got.stdout).expect("a report");
    assert_eq!(report["fetched"], 700, "all pages: {}", harness::described(&got));
    let found = harness::run_json(&clinic, &["records", "search", "Observation?code=8867-4"]);
    assert_eq!(found["total"], 700);
    let received = harness::run_json(&clinic, &["grant", "list"]);
    assert_eq!(received["grants"][0]["direction"], "received");
    assert_eq!(received["grants"][0]["state"], "as-given", "its owner may have revoked it");
    let short = harness::run_json(&patient, &["grant", "give", "clinic", "--type", "Patient", "--for", "2s"]);
    assert_eq!(short["state"], "active");
    std::thread::sleep(std::time::Duration::from_millis(2_100));
    assert_eq!(count("Patient"), 0, "expired");
    for canary in homes::CANARIES {
        assert_eq!(homes::any_file_holds(&clinic, canary), None, "{canary}");
        assert!(!clinic_daemon.log().contains(canary));
    }
    let trail = harness::run_json(&patient, &["audit", "show"]);
    let disclosed: u64 = trail["entries"]
        .as_array()
        .expect("entries")
        .iter()
        .filter(|e| e["action"] == "disclose")
        .filter_map(|e| e["count"].as_u64())
        .sum();
    assert_eq!(disclosed, 700, "the patient can read who read how much");
}

/// Two paired homes with running daemons; the patient's has `bundle` imported.
struct Two {
    patient: std::path::PathBuf,
    clinic: std::path::PathBuf,
    _daemons: [harness::Daemon; 2],
}

fn two(folder: &Path, bundle: &Path) -> Two {
    let patient = homes::made(folder, "patient", "patient");
    let clinic = homes::made(folder, "clinic", "clinic");
    let _ = harness::run_json(&patient, &["records", "import", bundle.to_str().expect("plain path")]);
    let daemons = [homes::daemon(&patient), homes::daemon(&clinic)];
    pair(&patient, &clinic);
    Two { patient, clinic, _daemons: daemons }
}

fn trail(home: &Path) -> Vec<Value> {
    harness::run_json(home, &["audit", "show"])["entries"].as_array().expect("entries").clone()
}

#[test]
fn what_is_not_consented_looks_as_if_it_were_not_there() {
    let dir = harness::temp_dir();
    let bundle = homes::write_bundle(dir.path(), 30);
    let two = two(dir.path(), &bundle);
    let give = ["grant", "give", "clinic", "--type", "Observation", "--code", "9999-9"];
    let _ = harness::run_json(&two.patient, &give);
    let answers: Vec<(Option<i32>, u64)> = [
        "Patient",
        "Patient?birthdate=1931-12-24",
        "Condition",
        "Observation?code=8867-4",
        "Observation?code=1111-1",
    ]
    .into_iter()
    .map(|query| {
        let got = harness::run_cli(&two.clinic, &["--json", "records", "fetch", "patient", query]);
        let report: Value = serde_json::from_slice(&got.stdout).expect("a report");
        (got.status.code(), report["fetched"].as_u64().expect("a count"))
    })
    .collect();
    assert!(answers.iter().all(|answer| *answer == (Some(0), 0)), "no difference shows: {answers:?}");
    let denied: Vec<u64> = trail(&two.patient)
        .iter()
        .filter(|e| e["action"] == "refuse" && e["outcome"] == "denied: outside the scope of the grant")
        .filter_map(|e| e["count"].as_u64())
        .collect();
    assert_eq!(denied, [1, 1, 30], "the owner sees what was asked for and stayed");
}

#[test]
fn a_resource_larger_than_an_answer_comes_whole() {
    let dir = harness::temp_dir();
    let text = "0123456789abcdef".repeat(150_000);
    let observation = |id: &str, note: &str| {
        serde_json::json!({ "resource": {
            "resourceType": "Observation", "id": id, "status": "final",
            "code": { "coding": [{ "code": "8867-4" }] }, "note": [{ "text": note }],
        } })
    };
    let entries = [
        observation("a", "small"),
        observation("b", &text),
        observation("c", "small"),
        observation("d", &text[1..]),
    ];
    let bundle = serde_json::json!({ "resourceType": "Bundle", "type": "collection", "entry": entries });
    let path = dir.path().join("large.json");
    std::fs::write(&path, bundle.to_string()).expect("writable");
    let two = two(dir.path(), &path);
    let _ = harness::run_json(&two.patient, &["grant", "give", "clinic", "--type", "Observation"]);
    let report = harness::run_json(&two.clinic, &["records", "fetch", "patient", "Observation"]);
    assert_eq!(report["fetched"], 4, "{report}");
    assert_eq!(report["left_out"], serde_json::json!([]));
    for (id, note) in [("b", &text[..]), ("d", &text[1..])] {
        let got = harness::run_json(&two.clinic, &["records", "get", &format!("Observation/{id}")]);
        assert_eq!(got["note"][0]["text"], note);
    }
    let disclosed: u64 = trail(&two.patient)
        .iter()
        .filter(|e| e["action"] == "disclose")
        .filter_map(|e| e["count"].as_u64())
        .sum();
    assert_eq!(disclosed, 4, "each counts once, in however many parts it went");
}

#[test]
fn a_revocation_ends_one_consent_and_names_those_that_hold() {
    let dir = harness::temp_dir();
    let bundle = homes::write_bundle(dir.path(), 3);
    let two = two(dir.path(), &bundle);
    let given = harness::run_json(&two.patient, &["grant", "give", "clinic", "--type", "Patient"]);
    let other = harness::run_json(&two.patient, &["grant", "give", "clinic", "--type", "Observation"]);
    for query in ["Patient", "Observation"] {
        let _ = harness::run_json(&two.clinic, &["records", "fetch", "patient", query]);
    }
    let grants: std::collections::BTreeSet<String> = trail(&two.patient)
        .iter()
        .filter(|e| e["action"] == "disclose")
        .map(|e| field(e, "/grant").to_owned())
        .collect();
    let both = [field(&given, "/grant").to_owned(), field(&other, "/grant").to_owned()];
    assert_eq!(grants, both.into(), "each disclosure names its consent");
    let revoked = harness::run_json(&two.patient, &["grant", "revoke", field(&given, "/grant")]);
    assert_eq!(revoked["state"], "revoked");
    assert_eq!(revoked["holding"][0]["grant"], other["grant"]);
    assert_eq!(revoked["holding"].as_array().map(Vec::len), Some(1));
    let last = harness::run_json(&two.patient, &["grant", "revoke", field(&other, "/grant")]);
    assert_eq!(last["holding"], serde_json::json!([]));
    let refused = harness::run_cli(&two.clinic, &["records", "fetch", "patient", "Observation"]);
    assert_eq!(refused.status.code(), Some(3), "{}", harness::described(&refused));
}

#[test]
fn a_consent_says_what_it_covers() {
    let dir = harness::temp_dir();
    let bundle = homes::write_bundle(dir.path(), 1);
    let two = two(dir.path(), &bundle);
    let give = |more: &[&str]| {
        harness::run_cli(&two.patient, &[&["grant", "give", "clinic"], more].concat()).status.code()
    };
    assert_eq!(give(&[]), Some(2), "everything has to be meant");
    assert_eq!(give(&["--all", "--type", "Observation"]), Some(2));
    assert_eq!(give(&["--type", "Observations"]), Some(2), "no such type in FHIR R4");
    assert_eq!(give(&["--all"]), Some(0));
    assert_eq!(give(&["--type", "Observation", "--for", "0s"]), Some(2));
}
