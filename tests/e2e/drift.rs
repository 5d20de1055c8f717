//! What models did in a home: runs, refusals by reason, and what people thought of their answers.

use std::path::{Path, PathBuf};

use metaclinic_tests::harness::{self, fails};
use serde_json::{Value, json};

use crate::homes;

fn sample(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../node/samples").join(name)
}

/// Synthetic records with a picture each: a radiograph, and one that the file calls a CT.
fn import(home: &Path) {
    let chest = std::fs::read(sample("pneumoniamnist-val-000.png")).expect("the sample");
    let mut colour = Vec::new();
    {
        // A picture in colour is no radiograph.
        let mut encoder = png::Encoder::new(&mut colour, 64, 64);
        encoder.set_color(png::ColorType::Rgb);
        let mut writer = encoder.write_header().expect("a header");
        let pixels: Vec<u8> = (0..64 * 64).flat_map(|at| [(at % 256) as u8, 10, 200]).collect();
        writer.write_image_data(&pixels).expect("pixels");
    }
    for (id, bytes) in [("chest-1", &chest), ("colour-1", &colour)] {
        let resource = json!({
            "resourceType": "DocumentReference", "id": id, "status": "current",
            "subject": { "reference": "Patient/synthetic-1" },
            "content": [{ "attachment": {
                "contentType": "image/png", "data": data_encoding::BASE64.encode(bytes),
            } }],
        });
        let file = home.with_extension("json");
        std::fs::write(&file, resource.to_string()).expect("written");
        let imported = harness::run_json(home, &["records", "import", &file.display().to_string()]);
        assert_eq!(imported["imported"], 1, "{imported}");
    }
}

fn recent(home: &Path) -> Value {
    let drift = harness::run_json(home, &["models", "drift", "image"]);
    drift["models"][0]["recent"].clone()
}

#[test]
fn runs_refusals_and_opinions_are_counted_and_survive_a_restart() {
    let dir = harness::temp_dir();
    let home = homes::quick(dir.path(), "clinic", "clinic");
    import(&home);
    assert_eq!(recent(&home)["runs"], 0);
    let chest = ["diagnose", "image", "DocumentReference/chest-1"];
    let with = |more: &[&str]| harness::run_json(&home, &[&chest[..], more].concat());
    assert_eq!(with(&[])["opinion"], Value::Null);
    let refused = harness::run_json(&home, &["diagnose", "image", "DocumentReference/colour-1"]);
    assert!(refused["refused"].as_str().is_some_and(|why| why.contains("colour")), "{refused}");
    let now = recent(&home);
    assert_eq!((&now["runs"], &now["refused"]), (&json!(2), &json!({ "colour": 1 })), "{now}");
    assert_eq!(now["refused_share"], 0.5);
    assert!(now["mean_novelty"].as_f64().is_some_and(|novelty| (0.0..=1.0).contains(&novelty)), "{now}");

    let said = with(&["--disagree", "--because", "false-finding"]);
    assert_eq!(said["opinion"]["agree"], false);
    assert_eq!(said["opinion"]["because"], "false-finding");
    assert_eq!((&recent(&home)["disagreed"], &recent(&home)["agreed"]), (&json!(1), &json!(0)));
    // Who changes their mind is counted once, and the opinion is about the same signed answer.
    let changed = with(&["--agree"]);
    assert_eq!(changed["opinion"]["answer"], said["opinion"]["answer"]);
    assert_eq!((&recent(&home)["disagreed"], &recent(&home)["agreed"]), (&json!(0), &json!(1)));
    assert_eq!(with(&[])["opinion"]["agree"], true, "it is shown again");

    let daemon = homes::daemon(&home);
    let again = recent(&home);
    assert_eq!((&again["runs"], &again["agreed"]), (&json!(5), &json!(1)), "{again}");
    daemon.kill_hard();
    assert_eq!(recent(&home), again);
    let trail = harness::run_json(&home, &["audit", "show"])["entries"].to_string();
    assert_eq!(trail.matches("model-opinion").count(), 2);
    let chart = dir.path().join("drift.svg");
    let _ = harness::run_json(&home, &["models", "drift", "image", "--chart", &chart.display().to_string()]);
    assert!(std::fs::read_to_string(chart).expect("drawn").starts_with("<svg"));
    for word in ["false-finding", "colour-1", "chest-1"] {
        assert_eq!(homes::any_file_holds(&home, word), None, "{word} stands nowhere in plain text");
    }
}

#[test]
fn an_opinion_needs_a_record_and_a_reason_of_the_list() {
    let dir = harness::temp_dir();
    let home = homes::quick(dir.path(), "clinic", "clinic");
    let file = sample("pneumoniamnist-val-000.png").display().to_string();
    fails(&harness::run_cli(&home, &["diagnose", "image", &file, "--agree"]), 2, "records import");
    let recording = sample("mitdb-208-excerpt.hea").display().to_string();
    fails(&harness::run_cli(&home, &["diagnose", "ecg", &recording, "--disagree"]), 2, "records import");
    let target = "DocumentReference/chest-1";
    let free = ["diagnose", "image", target, "--disagree", "--because", "the patient is well"];
    fails(&harness::run_cli(&home, &free), 2, "possible values");
    fails(
        &harness::run_cli(&home, &["diagnose", "image", target, "--agree", "--disagree"]),
        2,
        "cannot be used",
    );
    fails(&harness::run_cli(&home, &["diagnose", "image", target, "--because", "other"]), 2, "--disagree");
    fails(&harness::run_cli(&home, &["models", "drift", "oracle"]), 1, "models list");
    fails(&harness::run_cli(&home, &["models", "drift", "--chart", "x.svg"]), 2, "one model");
}
