//! Reading chest radiographs from the command line: from files of several kinds and from a record.

use std::path::{Path, PathBuf};

use metaclinic_tests::harness::{self, described, fails, objects};
use serde_json::json;

use crate::api::ask;
use crate::homes;

fn sample() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../node/samples/pneumoniamnist-val-000.png")
}

#[test]
fn a_radiograph_is_read_without_a_home_and_what_spoke_for_it_is_drawn() {
    let dir = harness::temp_dir();
    let home = dir.path().join("no-home");
    let (file, why) = (sample().display().to_string(), dir.path().join("why.png"));
    let report =
        harness::run_json(&home, &["diagnose", "image", &file, "--saliency", &why.display().to_string()]);
    assert!(report["refused"].is_null(), "{report}");
    let finding = &report["findings"][0];
    assert_eq!((finding["label"].as_str(), finding["code"].as_str()), (Some("Pneumonia"), Some("233604007")));
    assert!(finding["probability"].as_f64().is_some_and(|it| it > 0.5), "{report}");
    assert!(report["explanation"]["places"].as_array().is_some_and(|places| !places.is_empty()), "{report}");
    assert!(report["advice"].as_str().is_some_and(|it| it.contains("emergency number")), "{report}");
    assert!(std::fs::read(&why).expect("drawn").starts_with(b"\x89PNG"));
    assert!(!home.exists());

    let words = harness::run_cli(&home, &["diagnose", "image", &file]);
    assert!(described(&words).contains("no diagnosis"), "{}", described(&words));
}

#[test]
fn several_files_give_an_object_a_line_and_one_bad_file_spoils_no_other() {
    let dir = harness::temp_dir();
    let home = dir.path().join("no-home");
    let (good, bad) = (sample().display().to_string(), dir.path().join("bad.png"));
    let bytes = std::fs::read(sample()).expect("the sample");
    std::fs::write(&bad, &bytes[..bytes.len() / 2]).expect("written");
    let bad = bad.display().to_string();
    let output = harness::run_cli(&home, &["--json", "diagnose", "image", &good, &bad, &good]);
    assert_eq!(output.status.code(), Some(1), "{}", described(&output));
    let told = objects(&output);
    assert_eq!(told.len(), 3, "{}", described(&output));
    assert!(told[1]["error"].as_str().is_some_and(|it| it.contains("PNG")), "{}", told[1]);
    assert_eq!(told[0]["findings"], told[2]["findings"]);

    fails(&harness::run_cli(&home, &["diagnose", "image", &bad]), 1, "PNG, JPEG or DICOM");
    fails(&harness::run_cli(&home, &["diagnose", "image", "/nonexistent.png"]), 1, "/nonexistent.png");
    fails(&harness::run_cli(&home, &["diagnose", "image", &good, "--saliency", "why.gif"]), 2, ".png");
    fails(&harness::run_cli(&home, &["diagnose", "image", &good, "--backend", "abacus"]), 2, "flex");
}

#[test]
fn a_stored_picture_is_read_and_the_reading_is_in_the_trail() {
    let dir = harness::temp_dir();
    let home = homes::quick(dir.path(), "clinic", "clinic");
    let data = data_encoding::BASE64.encode(&std::fs::read(sample()).expect("the sample"));
    let resource = json!({
        "resourceType": "DocumentReference", "id": "chest-1", "status": "current",
        "subject": { "reference": "Patient/synthetic-1" },
        "content": [{ "attachment": { "contentType": "image/png", "data": data } }],
    });
    let file = dir.path().join("record.json");
    std::fs::write(&file, resource.to_string()).expect("written");
    let imported = harness::run_json(&home, &["records", "import", &file.display().to_string()]);
    assert_eq!(imported["imported"], 1, "{imported}");
    let before = harness::run_json(&home, &["audit", "show"])["total"].as_u64();
    let report = harness::run_json(&home, &["diagnose", "image", "DocumentReference/chest-1"]);
    assert!(report["findings"][0]["probability"].as_f64().is_some_and(|it| it > 0.5), "{report}");
    let after = harness::run_json(&home, &["audit", "show"])["total"].as_u64();
    assert!(after > before, "{before:?} {after:?}");
    fails(
        &harness::run_cli(&home, &["diagnose", "image", "DocumentReference/nobody"]),
        1,
        "no such resource",
    );
}

#[test]
fn more_readings_than_wait_are_refused_and_nothing_else_waits_for_them() {
    const ASKED: usize = 40;
    let dir = harness::temp_dir();
    let home = homes::made(dir.path(), "clinic", "clinic");
    let data = data_encoding::BASE64.encode(&std::fs::read(sample()).expect("the sample"));
    let resource =
        json!({ "resourceType": "Binary", "id": "chest-1", "contentType": "image/png", "data": data });
    let file = dir.path().join("record.json");
    std::fs::write(&file, resource.to_string()).expect("written");
    let imported = harness::run_json(&home, &["records", "import", &file.display().to_string()]);
    assert_eq!(imported["imported"], 1, "{imported}");
    let daemon = homes::daemon(&home);
    let token = std::fs::read_to_string(daemon.told("token_file")).expect("the token file");
    let bearer = format!("Bearer {}", token.trim());
    let headers = [("Authorization", bearer.as_str()), ("Content-Type", "application/json")];
    let reading = json!({ "resource_type": "Binary", "id": "chest-1", "explain": true }).to_string();
    let (answers, meanwhile) = std::thread::scope(|scope| {
        let asked: Vec<_> = (0..ASKED)
            .map(|_| scope.spawn(|| ask(&daemon, "POST", "/api/v1/diagnose/image", &headers, &reading)))
            .collect();
        for _ in 0..5 {
            assert_eq!(ask(&daemon, "GET", "/api/v1/status", &headers, "").status, 200);
        }
        let meanwhile = asked.iter().any(|answer| !answer.is_finished());
        let answers: Vec<_> = asked.into_iter().map(|answer| answer.join().expect("answered")).collect();
        (answers, meanwhile)
    });
    let count = |status: u16| answers.iter().filter(|answer| answer.status == status).count();
    assert_eq!(count(200) + count(503), ASKED);
    assert!(count(200) >= 16, "{} were read", count(200));
    assert!(count(503) >= 1, "none was refused");
    let refused = answers.iter().find(|answer| answer.status == 503).expect("one was refused");
    assert!(refused.body.contains("too many readings wait"), "{}", refused.body);
    assert!(meanwhile, "the daemon answered only after all readings");
    assert!(daemon.stop().success());
}
