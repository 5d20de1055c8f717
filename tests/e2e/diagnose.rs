//! Reading an ECG from the command line: from a file without a home, from a record, and into a room.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use metaclinic_tests::harness::{self, fails, object};
use serde_json::Value;

use crate::homes;

fn samples() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../node/samples")
}

/// A folder with the sample recording, and a path that is no home.
fn sample(folder: &Path) -> (String, PathBuf) {
    for ending in ["hea", "dat"] {
        let name = format!("mitdb-208-excerpt.{ending}");
        std::fs::copy(samples().join(&name), folder.join(&name)).expect("copied");
    }
    (folder.join("mitdb-208-excerpt.hea").display().to_string(), folder.join("no-home"))
}

#[test]
fn a_file_is_read_without_a_home_and_drawn_to_scale() {
    let dir = harness::temp_dir();
    let (file, home) = sample(dir.path());
    let (svg, png) = (dir.path().join("strip.svg"), dir.path().join("strip.png"));
    let strips = ["--strip", svg.to_str().expect("UTF-8"), "--strip", png.to_str().expect("UTF-8")];
    let mut args = vec!["--json", "diagnose", "ecg", &file, "--start", "10", "--seconds", "8"];
    args.extend(strips);
    let report = object(&harness::run_cli(&home, &args));
    assert_eq!(report["refused"], Value::Null);
    let beats = report["beats"].as_array().expect("beats");
    assert!((450..600).contains(&beats.len()), "{} beats", beats.len());
    for beat in beats {
        assert!(beat["sample"].as_u64().is_some_and(|sample| sample < 108_000));
        assert!(["N", "S", "V", "F", "Q"].contains(&beat["class"].as_str().unwrap_or_default()));
        assert!((0.0..=1.0).contains(&beat["probability"].as_f64().unwrap_or(-1.0)));
    }
    assert!(report["explanation"].as_array().is_some_and(|all| all.len() > 50));
    assert!(report["rhythm"]["mean_rate_per_min"].as_f64().is_some_and(|rate| (90.0..115.0).contains(&rate)));
    assert!(report["model"]["limits"].as_array().is_some_and(|limits| !limits.is_empty()));
    assert!(report["advice"].as_str().is_some_and(|advice| advice.contains("emergency")));
    assert!(std::fs::read_to_string(svg).expect("drawn").starts_with("<svg"));
    assert!(std::fs::read(png).expect("drawn").starts_with(b"\x89PNG"));
    assert!(!home.exists());
    // The signal file and the bare name mean the same recording.
    for name in [file.replace(".hea", ".dat"), file.replace(".hea", "")] {
        assert_eq!(
            object(&harness::run_cli(&home, &["--json", "diagnose", "ecg", &name]))["beats"],
            report["beats"]
        );
    }
    let text = harness::run_cli(&home, &["diagnose", "ecg", &file]);
    let words = String::from_utf8_lossy(&text.stdout).into_owned();
    for word in ["not a medical device", "no diagnosis", "emergency number", "beats/min"] {
        assert!(words.contains(word), "{word}: {words}");
    }
}

#[test]
fn backends_of_the_program_agree() {
    let dir = harness::temp_dir();
    let (file, home) = sample(dir.path());
    let with =
        |backend: &str| harness::run_cli(&home, &["--json", "diagnose", "ecg", &file, "--backend", backend]);
    let (flex, ndarray) = (object(&with("flex")), object(&with("ndarray")));
    let pairs =
        flex["beats"].as_array().expect("beats").iter().zip(ndarray["beats"].as_array().expect("beats"));
    for (left, right) in pairs {
        assert_eq!((&left["sample"], &left["class"]), (&right["sample"], &right["class"]));
        let gap = left["probability"].as_f64().unwrap_or(0.0) - right["probability"].as_f64().unwrap_or(1.0);
        assert!(gap.abs() <= 1e-5);
    }
    fails(&with("abacus"), 2, "flex");
}

#[test]
fn what_cannot_be_read_is_refused_in_words() {
    let dir = harness::temp_dir();
    let (file, home) = sample(dir.path());
    // A lead that is off, in the same format: two samples of 1024 in three bytes.
    let flat: Vec<u8> = [0x00, 0x44, 0x00].repeat(54_000);
    std::fs::write(dir.path().join("mitdb-208-excerpt.dat"), flat).expect("written");
    let header = std::fs::read_to_string(&file).expect("read").replace(" 975 5363 ", " 1024 -32768 ");
    std::fs::write(&file, header).expect("written");
    let report = object(&harness::run_cli(&home, &["--json", "diagnose", "ecg", &file]));
    assert!(report["refused"].as_str().is_some_and(|reason| reason.contains("no signal")), "{report}");
    assert_eq!(report["beats"], serde_json::json!([]));
    fails(&harness::run_cli(&home, &["diagnose", "ecg", "/nonexistent/100"]), 1, "/nonexistent/100");
    fails(&harness::run_cli(&home, &["diagnose", "ecg", &file, "--strip", "x.gif"]), 2, ".svg or .png");
    fails(
        &harness::run_cli(&home, &["diagnose", "ecg", &file, "--strip", "x.svg", "--start", "999"]),
        2,
        "300.0 s",
    );
    fails(
        &harness::run_cli(&home, &["diagnose", "ecg", &file, "--strip", "x.svg", "--seconds", "61"]),
        1,
        "60 seconds",
    );
    let header = Path::new(&file);
    std::fs::write(header, "mitdb-208-excerpt 1 360 108000\nnot a signal line\n").expect("written");
    fails(&harness::run_cli(&home, &["diagnose", "ecg", &file]), 1, "line 2");
    std::fs::write(header.with_extension("dat"), [0; 30]).expect("written");
    std::fs::copy(samples().join("mitdb-208-excerpt.hea"), header).expect("copied");
    fails(&harness::run_cli(&home, &["diagnose", "ecg", &file]), 1, "shorter than its header says");
}

#[test]
fn a_stored_recording_is_read_where_it_lies_and_posted_into_a_room() {
    let dir = harness::temp_dir();
    let (file, _) = sample(dir.path());
    let home = homes::made(dir.path(), "clinic", "clinic");
    let _ = harness::run_json(&home, &["records", "import", &file, "--patient", "p1"]);
    let found = harness::run_json(&home, &["records", "search", "Observation?code=11524-6"]);
    let id = found["entry"][0]["resource"]["id"].as_str().expect("an id").to_owned();
    let reference = format!("Observation/{id}");
    let stored = harness::run_json(&home, &["diagnose", "ecg", &reference]);
    let direct = harness::run_json(&home, &["diagnose", "ecg", &file]);
    assert_eq!(stored["beats"], direct["beats"]);
    let entries = harness::run_json(&home, &["audit", "show"]);
    assert!(entries["entries"].to_string().contains("\"read\""), "reading is in the trail");

    let _ = harness::run_json(&home, &["room", "create", "ward"]);
    let posted = harness::run_json(&home, &["diagnose", "ecg", &reference, "--room", "ward"]);
    let annotation = posted["annotation"].as_str().expect("an annotation").to_owned();
    let room = harness::run_json(&home, &["room", "show", "ward"]);
    let text = room["annotations"][0]["text"].as_str().expect("a text");
    assert!(text.contains("ventricular") && text.contains("not by a clinician"), "{text}");
    let saved =
        harness::run_json(&home, &["room", "save", "ward", &annotation, &dir.path().display().to_string()]);
    let strip = saved["files"][0].as_str().expect("a file");
    assert!(std::fs::read(strip).expect("saved").starts_with(b"\x89PNG"));

    fails(&harness::run_cli(&home, &["diagnose", "ecg", "Patient/nobody"]), 1, "no such resource");
    fails(&harness::run_cli(&home, &["diagnose", "ecg", &reference, "--anchor", "monitor"]), 2, "--room");
}

#[test]
fn models_show_their_cards_and_check_their_weights() {
    let dir = harness::temp_dir();
    let home = dir.path().join("no-home");
    let list = harness::run_json(&home, &["models", "list"]);
    assert_eq!(list["models"][0]["name"], "ecg-beats");
    let card = harness::run_json(&home, &["models", "show", "ecg"]);
    assert!(card["figures"]["measured"]["tables"][0]["rows"].as_array().is_some_and(|rows| rows.len() == 6));
    assert!(card["about"]["limits"].as_array().is_some_and(|limits| limits.len() > 3));
    assert_eq!(harness::run_json(&home, &["models", "verify"])["damaged"], 0);
    fails(&harness::run_cli(&home, &["models", "show", "oracle"]), 1, "models list");
    fails(
        &harness::run_cli(&home, &["models", "evaluate", "ecg", "--data", "/nonexistent"]),
        1,
        "/nonexistent",
    );
    let empty = dir.path().display().to_string();
    fails(&harness::run_cli(&home, &["models", "evaluate", "ecg", "--data", &empty]), 1, "no recording");
}

#[test]
fn an_ecg_is_read_while_it_is_taken() {
    let dir = harness::temp_dir();
    let (file, home) = sample(dir.path());
    let whole = object(&harness::run_cli(&home, &["--json", "diagnose", "ecg", &file]));
    // Format 212: two samples of 12 bits in three bytes; 200 to the millivolt, around 1,024.
    let bytes = std::fs::read(file.replace(".hea", ".dat")).expect("the samples");
    let lines: String = bytes
        .chunks_exact(3)
        .flat_map(|three| {
            let [low, shared, high] = [three[0], three[1], three[2]].map(u16::from);
            [low | (shared & 0x0F) << 8, high | (shared & 0xF0) << 4]
        })
        .map(|bits| f64::from((bits << 4).cast_signed() >> 4))
        .map(|value| format!("{}\n", (value - 1_024.0) / 200.0))
        .collect();
    let follow = |args: &[&str], lines: &str| {
        let mut command = harness::command(&home, args);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("it starts");
        let mut input = child.stdin.take().expect("piped");
        let lines = lines.to_owned();
        let writing = std::thread::spawn(move || input.write_all(lines.as_bytes()));
        let output = child.wait_with_output().expect("it ends");
        let _ = writing.join();
        output
    };
    let output = follow(&["--json", "diagnose", "ecg", "-", "--rate", "360", "--leads", "MLII"], &lines);
    assert!(output.status.success(), "{}", harness::described(&output));
    let text = String::from_utf8_lossy(&output.stdout);
    let told: Vec<Value> =
        text.lines().map(|line| serde_json::from_str(line).expect("an object a line")).collect();
    let beats: Vec<(i64, String)> = told
        .iter()
        .filter(|event| event["event"] == "beat")
        .map(|beat| (beat["sample"].as_i64().unwrap_or_default(), beat["class"].to_string()))
        .collect();
    let same = whole["beats"].as_array().expect("beats").iter().filter(|beat| {
        let (sample, class) = (beat["sample"].as_i64().unwrap_or_default(), beat["class"].to_string());
        beats.iter().any(|(other, other_class)| (other - sample).abs() <= 18 && *other_class == class)
    });
    let (same, all) = (same.count(), whole["beats"].as_array().map_or(0, Vec::len));
    assert!(same * 100 >= all * 95, "{same} of {all} beats are told alike");
    assert!(beats.len().abs_diff(all) * 50 <= all, "{} against {all}", beats.len());
    fails(&follow(&["diagnose", "ecg", "-"], ""), 2, "do not say how fast");
    fails(&follow(&["diagnose", "ecg", "-", "--rate", "360"], ""), 2, "nothing to read");
    fails(
        &follow(&["diagnose", "ecg", "-", "--rate", "360"], "0.1\nheart\n"),
        2,
        "line 2 holds no millivolts",
    );
    fails(
        &follow(&["diagnose", "ecg", "-", "--rate", "360"], "0.1\n0.1,0.2\n"),
        2,
        "line 2 has not as many values",
    );
    fails(&follow(&["diagnose", "ecg", "-", "--rate", "3"], "0.1\n"), 2, "hertz");
}
