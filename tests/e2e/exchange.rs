//! Two and three nodes: pairing, consent, fetching, refusal.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Stdio};

use metaclinic_tests::harness;
use serde_json::Value;

use crate::homes;

/// An offer that waits, with its lines read one by one.
struct Offer {
    child: Child,
    lines: std::io::Lines<BufReader<std::process::ChildStdout>>,
}

impl Offer {
    fn open(home: &Path) -> (Self, Value) {
        let mut command = harness::command(home, &["--json", "pair", "offer"]);
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

    fn next(&mut self) -> Value {
        let line = self.lines.next().expect("another line").expect("readable");
        serde_json::from_str(&line).expect("JSON")
    }

    fn end(mut self) -> Option<i32> {
        self.child.wait().expect("ends").code()
    }
}

impl Drop for Offer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn field<'a>(value: &'a Value, pointer: &str) -> &'a str {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

fn pair(offering: &Path, accepting: &Path) {
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
    assert_eq!(fetch("Patient", "treatment").status.code(), Some(3), "out of scope");
    let got = fetch("Observation?_sort=date", "treatment");
    let report: Value = serde_json::from_slice(&got.stdout).expect("a report");
    assert_eq!(report["fetched"], 700, "all pages: {}", harness::described(&got));
    let found = harness::run_json(&clinic, &["records", "search", "Observation?code=8867-4"]);
    assert_eq!(found["total"], 700);
    let received = harness::run_json(&clinic, &["grant", "list"]);
    assert_eq!(received["grants"][0]["direction"], "received");
    let short = harness::run_json(&patient, &["grant", "give", "clinic", "--type", "Patient", "--for", "2s"]);
    assert_eq!(short["state"], "active");
    std::thread::sleep(std::time::Duration::from_millis(2_100));
    assert_eq!(fetch("Patient", "treatment").status.code(), Some(3), "expired");
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
