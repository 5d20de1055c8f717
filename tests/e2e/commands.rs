//! Exit codes, words and results of single commands.

use metaclinic_tests::harness::{self, described, fails};
use serde_json::Value;

use crate::homes;

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
    fails(&harness::run_cli(&home, &["grant", "give", "nobody", "--all"]), 1, "pair list");
    fails(&harness::run_cli(&home, &["grant", "give", "nobody", "--all", "--for", "90"]), 2, "90d");
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

#[test]
fn copies_of_two_persons_with_one_id_never_answer_together() {
    let dir = harness::temp_dir();
    let patient = homes::made(dir.path(), "alice", "patient");
    let clinic = homes::made(dir.path(), "clinic", "clinic");
    let bundle = homes::write_bundle(dir.path(), 3);
    let _ = harness::run_json(&patient, &["records", "import", bundle.to_str().expect("plain path")]);
    let bob = dir.path().join("bob.ndjson");
    let lines = [
        r#"{"resourceType":"Patient","id":"p1","name":[{"family":"Bob"}]}"#,
        r#"{"resourceType":"Observation","id":"o1","status":"final","subject":{"reference":"Patient/p1"}}"#,
    ];
    std::fs::write(&bob, lines.join("\n")).expect("written");
    let _ = harness::run_json(&clinic, &["records", "import", bob.to_str().expect("plain path")]);
    let _patient_daemon = homes::daemon(&patient);
    let _clinic_daemon = homes::daemon(&clinic);
    crate::exchange::pair(&patient, &clinic);
    for resource_type in ["Observation", "Patient"] {
        let given = ["grant", "give", "clinic", "--type", resource_type, "--for", "1h"];
        let _ = harness::run_json(&patient, &given);
        let _ = harness::run_json(&clinic, &["records", "fetch", "alice", resource_type]);
    }
    let search = |args: &[&str]| harness::run_json(&clinic, &[&["records", "search"], args].concat());
    let mixed = search(&["Observation?patient=p1"]);
    assert_eq!(mixed["total"], 1, "the own one only: {mixed}");
    assert_eq!(mixed["entry"][1]["search"]["mode"], "outcome");
    let said = mixed["entry"][1]["resource"]["issue"][0]["diagnostics"].as_str().unwrap_or_default();
    assert!(said.contains("alice"), "{said}");
    let alices = search(&["Observation?patient=p1", "--from", "alice"]);
    assert_eq!(alices["total"], 3);
    let url = alices["entry"][0]["fullUrl"].as_str().unwrap_or_default();
    assert!(url.starts_with("urn:metaclinic:mci1") && url.ends_with("/Observation/o0"), "{url}");
    assert_eq!(search(&["Observation?patient=p1", "--from", "own"])["total"], 1);
    assert_eq!(search(&["Observation"])["total"], 4, "what names nobody finds all, each with its source");
    let shown = harness::run_cli(&clinic, &["records", "search", "Patient"]);
    let shown = String::from_utf8_lossy(&shown.stdout).into_owned();
    assert!(shown.contains("source") && shown.contains("own") && shown.contains("alice"), "{shown}");
    let family = |from: &[&str]| {
        let got = harness::run_json(&clinic, &[&["records", "get", "Patient/p1"], from].concat());
        got["name"][0]["family"].as_str().unwrap_or_default().to_owned()
    };
    assert_eq!(family(&[]), "Bob");
    assert_eq!(family(&["--from", "alice"]), homes::CANARIES[0]);
    let nobody = harness::run_cli(&clinic, &["records", "get", "Patient/p1", "--from", "nobody"]);
    fails(&nobody, 1, "pair list");
}

/// A folder with one recording.
fn recording(folder: &std::path::Path) -> std::path::PathBuf {
    let samples = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../node/samples");
    let recording = folder.join("recording");
    std::fs::create_dir(&recording).expect("made");
    for name in ["mitdb-208-excerpt.hea", "mitdb-208-excerpt.dat"] {
        std::fs::copy(samples.join(name), recording.join(name)).expect("copied");
    }
    recording
}

fn blob_bytes(home: &std::path::Path) -> u64 {
    let files = std::fs::read_dir(home.join("blobs/data")).expect("the attachments");
    files.flatten().filter_map(|file| file.metadata().ok()).map(|meta| meta.len()).sum()
}

#[test]
fn importing_a_recording_again_keeps_one_attachment() {
    let dir = harness::temp_dir();
    let home = homes::made(dir.path(), "clinic", "clinic");
    let recording = recording(dir.path());
    let import = ["records", "import", recording.to_str().expect("plain path"), "--patient", "p1"];
    let _ = harness::run_json(&home, &import);
    let once = blob_bytes(&home);
    assert!(once > 0);
    for _ in 0..3 {
        let _ = harness::run_json(&home, &import);
    }
    assert_eq!(blob_bytes(&home), once);
    let checked = harness::run_json(&home, &["records", "verify"]);
    assert_eq!(
        (checked["attachments"].as_u64(), checked["attachments_missing"].as_u64()),
        (Some(1), Some(0))
    );
    let saved = dir.path().join("saved");
    std::fs::create_dir(&saved).expect("made");
    let found = harness::run_json(&home, &["records", "search", "Observation"]);
    let id = format!("Observation/{}", found["entry"][0]["resource"]["id"].as_str().unwrap_or_default());
    let _ = harness::run_json(&home, &["records", "get", &id, "--save", saved.to_str().expect("plain path")]);
}

#[test]
fn a_lost_attachment_fails_the_check_and_importing_again_mends_it() {
    let dir = harness::temp_dir();
    let home = homes::made(dir.path(), "clinic", "clinic");
    let recording = recording(dir.path());
    let import = ["records", "import", recording.to_str().expect("plain path")];
    let _ = harness::run_json(&home, &import);
    for file in std::fs::read_dir(home.join("blobs/data")).expect("the attachments").flatten() {
        let bytes = std::fs::read(file.path()).expect("readable");
        std::fs::write(file.path(), vec![0; bytes.len()]).expect("overwritten");
    }
    let checked = harness::run_cli(&home, &["--json", "records", "verify"]);
    fails(&checked, 1, "attachments");
    let report: Value = serde_json::from_slice(checked.stdout.split(|b| *b == b'\n').next().expect("a line"))
        .expect("a JSON object");
    assert_eq!(report["attachments_damaged"], 1, "{report}");
    let _ = harness::run_json(&home, &import);
    let _ = harness::run_json(&home, &["records", "verify"]);
}

#[test]
fn the_largest_resource_is_kept_and_a_larger_one_costs_only_itself() {
    let dir = harness::temp_dir();
    let home = homes::made(dir.path(), "clinic", "clinic");
    let of_size = |id: &str, bytes: usize| {
        let empty = format!(r#"{{"resourceType":"Basic","id":"{id}","x":""}}"#);
        format!(r#"{{"resourceType":"Basic","id":"{id}","x":"{}"}}"#, "x".repeat(bytes - empty.len()))
    };
    let lines = [of_size("a", 100), of_size("b", 16 << 20), of_size("c", (16 << 20) + 1), of_size("d", 100)];
    let folder = dir.path().join("named/below");
    std::fs::create_dir_all(&folder).expect("made");
    std::fs::write(folder.join("large.ndjson"), lines.join("\n")).expect("written");
    let named = dir.path().join("named");
    let report = harness::run_json(&home, &["records", "import", named.to_str().expect("plain path")]);
    assert_eq!(report["imported"], 3, "{}", report["rejected"]);
    assert_eq!(report["rejected"][0]["source"], "below/large.ndjson");
    assert_eq!(report["rejected"][0]["line"], 3);
    let got = harness::run_cli(&home, &["records", "get", "Basic/b"]);
    assert_eq!(got.stdout.len(), (16 << 20) + 1, "the text and the end of its line");
}

#[test]
fn a_stopping_node_ends_an_import_in_words() {
    let dir = harness::temp_dir();
    let home = homes::made(dir.path(), "clinic", "clinic");
    let bundle = homes::write_bundle(dir.path(), 60_000);
    let daemon = homes::daemon(&home);
    let command = harness::command(&home, &["records", "import", bundle.to_str().expect("plain path")]);
    let import = std::thread::spawn(move || harness::run_within(command, harness::COMMAND_LIMIT));
    std::thread::sleep(std::time::Duration::from_millis(2_500));
    let started = std::time::Instant::now();
    assert!(daemon.stop().success());
    assert!(started.elapsed() < std::time::Duration::from_secs(5), "{:?}", started.elapsed());
    let import = import.join().expect("ran");
    fails(&import, 1, "the import broke off");
    let checked = harness::run_json(&home, &["records", "verify"]);
    assert_eq!(checked["damaged"].as_array().map(Vec::len), Some(0));
}

#[test]
fn a_result_that_shows_what_is_wrong_is_the_only_object() {
    let dir = harness::temp_dir();
    let home = homes::made(dir.path(), "clinic", "clinic");
    let file = dir.path().join("broken.json");
    std::fs::write(&file, "{\"resourceType\":").expect("written");
    let output =
        harness::run_cli(&home, &["--json", "records", "import", file.to_str().expect("plain path")]);
    assert_eq!(output.status.code(), Some(1), "{}", described(&output));
    let report: Value = serde_json::from_slice(&output.stdout).expect("exactly one JSON object");
    assert_eq!((&report["imported"], &report["rejected_total"]), (&0.into(), &1.into()));
}

#[test]
fn completions_and_manual_pages_are_printed_and_written() {
    let dir = harness::temp_dir();
    let home = dir.path().join("none");
    for shell in ["bash", "zsh", "fish"] {
        let output = harness::run_cli(&home, &["completions", shell]);
        assert!(output.status.success(), "{}", described(&output));
        assert!(String::from_utf8_lossy(&output.stdout).contains("diagnose"), "{shell}");
    }
    fails(&harness::run_cli(&home, &["completions", "dos"]), 2, "possible values");
    let page = harness::run_cli(&home, &["man"]);
    assert!(String::from_utf8_lossy(&page.stdout).contains(".TH metaclinic 1"), "{}", described(&page));
    let folder = dir.path().join("man1");
    std::fs::create_dir(&folder).expect("made");
    let written = harness::run_cli(&home, &["man", "--dir", &folder.display().to_string()]);
    assert!(written.status.success(), "{}", described(&written));
    for name in ["metaclinic.1", "metaclinic-room-annotate.1", "metaclinic-diagnose-ecg.1"] {
        let text = std::fs::read_to_string(folder.join(name)).expect(name);
        assert!(text.contains("SYNOPSIS"), "{name}");
    }
    fails(&harness::run_cli(&home, &["man", "--dir", "/nonexistent"]), 1, "/nonexistent");
}
