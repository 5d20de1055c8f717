//! Exit codes, words and results of single commands.

use std::process::Output;

use metaclinic_tests::harness::{self, described};
use serde_json::Value;

use crate::homes;

fn fails(output: &Output, code: i32, words: &str) {
    assert_eq!(output.status.code(), Some(code), "{}", described(output));
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(stderr.contains(words), "expected {words:?}: {}", described(output));
}

#[test]
fn wrong_use_ends_with_two_and_says_what_to_do() {
    let dir = harness::temp_dir();
    let home = dir.path().join("none");
    fails(&harness::run_cli(&home, &["frobnicate"]), 2, "unrecognized subcommand");
    fails(&harness::run_cli(&home, &["init", "--role", "king", "--name", "x"]), 2, "possible values");
    fails(&harness::run_cli(&home, &["status"]), 1, "metaclinic init");
    let home = homes::made(dir.path(), "clinic", "clinic");
    fails(&harness::run_cli(&home, &["init", "--role", "clinic", "--name", "x"]), 1, "already holds a home");
    fails(&harness::run_cli(&home, &["records", "search", "Observation?nonsense=1"]), 2, "cannot search");
    fails(&harness::run_cli(&home, &["records", "get", "Observation"]), 2, "TYPE/ID");
    fails(&harness::run_cli(&home, &["records", "get", "Patient/nobody"]), 1, "no such resource");
    fails(&harness::run_cli(&home, &["grant", "give", "nobody"]), 1, "pair list");
    fails(&harness::run_cli(&home, &["grant", "give", "nobody", "--for", "90"]), 2, "90d");
    fails(&harness::run_cli(&home, &["pair", "accept", "17-orbit"]), 2, "17-orbit-velvet");
    fails(&harness::run_cli(&home, &["pair", "offer"]), 1, "metaclinic run");
    fails(&harness::run_cli(&home, &["records", "import", "/nonexistent/x.json"]), 1, "/nonexistent/x.json");
}

#[test]
fn a_wrong_passphrase_is_denied_and_a_damaged_keyring_is_not_called_wrong() {
    let dir = harness::temp_dir();
    let home = homes::made(dir.path(), "clinic", "clinic");
    std::fs::write(harness::passphrase_file(&home), "another one").expect("written");
    let denied = harness::run_cli(&home, &["--json", "status"]);
    fails(&denied, 3, "wrong passphrase");
    let body: Value = serde_json::from_slice(&denied.stdout).expect("one JSON object");
    assert_eq!(body["error"]["kind"], "denied");
    std::fs::write(harness::passphrase_file(&home), harness::PASSPHRASE).expect("written");
    let keyring = std::fs::read(home.join("keyring.age")).expect("there");
    std::fs::write(home.join("keyring.age"), &keyring[..keyring.len() / 2]).expect("written");
    let damaged = harness::run_cli(&home, &["status"]);
    fails(&damaged, 1, "cannot unlock");
    assert!(!String::from_utf8_lossy(&damaged.stderr).contains("wrong passphrase"));
}

#[test]
fn an_unknown_field_in_the_configuration_is_refused() {
    let dir = harness::temp_dir();
    let home = homes::made(dir.path(), "clinic", "clinic");
    std::fs::write(home.join("config.toml"), "lissten = []\n").expect("written");
    fails(&harness::run_cli(&home, &["status"]), 2, "lissten");
}

#[test]
fn import_keeps_what_is_good_and_names_the_line_of_what_is_not() {
    let dir = harness::temp_dir();
    let home = homes::made(dir.path(), "clinic", "clinic");
    let file = dir.path().join("mixed.ndjson");
    let lines = [
        r#"{"resourceType":"Patient","id":"a","extra":1.500,"name":[{"family":"Canary-Testperson"}]}"#,
        r#"{"resourceType":"Patient","id":"b""#,
        r#"{"resourceType":"Patient","id":"not/an/id"}"#,
        r#"{"resourceType":"Patient","id":"c"}"#,
    ];
    std::fs::write(&file, lines.join("\n")).expect("written");
    let path = file.to_str().expect("plain path");
    let report = harness::run_json(&home, &["records", "import", path]);
    assert_eq!(report["imported"], 2);
    assert_eq!(report["by_type"]["Patient"], 2);
    let rejected = report["rejected"].as_array().expect("a list");
    let places: Vec<(&str, u64)> = rejected
        .iter()
        .map(|r| (r["source"].as_str().unwrap_or(""), r["line"].as_u64().unwrap_or(0)))
        .collect();
    assert_eq!(places, [("mixed.ndjson", 2), ("mixed.ndjson", 3)]);
    assert!(!report.to_string().contains("not/an/id"), "a reason holds no value of the file");
    let got = harness::run_cli(&home, &["records", "get", "Patient/a"]);
    assert_eq!(String::from_utf8_lossy(&got.stdout).trim_end(), lines[0], "kept to the last digit");
}

#[test]
fn search_finds_by_patient_code_date_and_category() {
    let dir = harness::temp_dir();
    let home = homes::made(dir.path(), "clinic", "clinic");
    let bundle = homes::write_bundle(dir.path(), 30);
    let report = harness::run_json(&home, &["records", "import", bundle.to_str().expect("plain path")]);
    assert_eq!(report["imported"], 31);
    let total = |query: &str| harness::run_json(&home, &["records", "search", query])["total"].clone();
    assert_eq!(total("Observation?patient=Patient/p1"), 30);
    assert_eq!(total("Observation?subject=p1&code=http://loinc.org|8867-4"), 30);
    assert_eq!(total("Observation?code=8310-5"), 0);
    assert_eq!(total("Observation?category=vital-signs&date=2026-01-02"), 2);
    assert_eq!(total("Observation?date=ge2026-01-28"), 1);
    assert_eq!(total("Patient?_id=p1"), 1);
    let page = harness::run_json(&home, &["records", "search", "Observation?_count=7"]);
    assert_eq!(page["entry"].as_array().map(Vec::len), Some(7));
    let first = &page["entry"][0]["resource"];
    assert_eq!(first["subject"]["reference"], "Patient/p1", "references inside a bundle are resolved");
}

#[test]
fn nothing_of_the_patient_stands_in_the_home_or_in_what_is_logged() {
    let dir = harness::temp_dir();
    let home = homes::made(dir.path(), "clinic", "clinic");
    let bundle = homes::write_bundle(dir.path(), 50);
    let daemon = homes::daemon(&home);
    let path = bundle.to_str().expect("plain path");
    let _ = harness::run_json(&home, &["records", "import", path]);
    let _ = harness::run_json(&home, &["records", "search", "Patient?name=Canary"]);
    let wrong = harness::run_cli(&home, &["records", "search", "Patient?birthdate=1931-12-24x"]);
    assert_eq!(wrong.status.code(), Some(2));
    let log = daemon.log();
    assert!(daemon.stop().success());
    for canary in homes::CANARIES {
        assert_eq!(homes::any_file_holds(&home, canary), None, "{canary}");
        assert!(!log.contains(canary), "{canary} is in the log");
        assert!(!String::from_utf8_lossy(&wrong.stderr).contains(canary), "{canary} is in an error");
    }
}

#[test]
fn the_trail_shows_what_was_done_and_verifies() {
    let dir = harness::temp_dir();
    let home = homes::made(dir.path(), "clinic", "clinic");
    let bundle = homes::write_bundle(dir.path(), 3);
    let _ = harness::run_json(&home, &["records", "import", bundle.to_str().expect("plain path")]);
    let _ = harness::run_json(&home, &["records", "get", "Patient/p1"]);
    let shown = harness::run_json(&home, &["audit", "show"]);
    let actions: Vec<&str> =
        shown["entries"].as_array().expect("entries").iter().filter_map(|e| e["action"].as_str()).collect();
    assert_eq!(actions, ["init", "import", "read"]);
    let verified = harness::run_json(&home, &["audit", "verify"]);
    assert_eq!(verified["verified"], true);
    assert_eq!(verified["entries"], 3);
    let checked = harness::run_json(&home, &["records", "verify"]);
    assert_eq!(
        (checked["checked"].as_u64(), checked["damaged"].as_array().map(Vec::len)),
        (Some(4), Some(0))
    );
}

#[test]
fn global_options_work_before_and_after_the_verb() {
    let dir = harness::temp_dir();
    let home = homes::made(dir.path(), "clinic", "clinic");
    let status = harness::run_cli(&home, &["status", "--json"]);
    let status: Value = serde_json::from_slice(&status.stdout).expect("one JSON object");
    assert_eq!(status["role"], "clinic");
    assert_eq!(status["daemon"], false);
    let safety =
        harness::run_json(&home, &["identity", "safety-number", status["identity"].as_str().expect("id")]);
    let digits = safety["safety_number"].as_str().expect("text").chars().filter(char::is_ascii_digit).count();
    assert_eq!(digits, 60);
}
