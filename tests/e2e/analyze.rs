//! Analyses from the command line: over tables and over records, with what is wrong in them.

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::Output;

use metaclinic_tests::harness::{self, described, fails};
use serde_json::{Value, json};

use crate::homes;

fn written(folder: &Path, name: &str, text: impl AsRef<[u8]>) -> PathBuf {
    let file = folder.join(name);
    std::fs::write(&file, text).expect("written");
    file
}

/// Made-up noise from −1 to 1, always the same (Knuth's multiplicative hash).
fn noise(at: usize) -> f64 {
    f64::from((at as u32).wrapping_mul(2_654_435_761) >> 8) / f64::from(1u32 << 23) - 1.0
}

/// A synthetic table: a value a day.
fn daily(folder: &Path, name: &str, value: impl Fn(usize) -> f64, days: usize) -> PathBuf {
    let mut text = "date,weight_kg\n".to_owned();
    for day in 0..days {
        writeln!(text, "2026-{:02}-{:02},{:.3}", 1 + day / 28, 1 + day % 28, value(day)).expect("written");
    }
    written(folder, name, text)
}

fn run(home: &Path, arguments: &[&str]) -> Output {
    harness::run_cli(home, &[&["analyze"], arguments].concat())
}

fn found(home: &Path, arguments: &[&str]) -> Value {
    harness::run_json(home, &[&["analyze"], arguments].concat())
}

#[test]
fn groups_of_a_table_are_found_named_and_drawn_without_a_home() {
    let dir = harness::temp_dir();
    let home = dir.path().join("no-home");
    let mut text = "patient,sex,pulse,weight_kg,twice,same\n".to_owned();
    for at in 0..60 {
        let far = (at % 2) as f64 * 30.0;
        let pulse = if at == 7 { "NA".to_owned() } else { format!("{:.2}", 60.0 + far + noise(at)) };
        let weight = 70.0 + far + 2.0 * noise(at + 100);
        writeln!(text, "p{at},f,{pulse},{weight:.3},{:.3},5", 2.0 * weight).expect("written");
    }
    let file = written(dir.path(), "panel.csv", text).display().to_string();
    let chart = dir.path().join("panel.svg");
    let report = found(&home, &["panel", &file, "--chart", &chart.display().to_string()]);
    assert_eq!(report["patients"], 60);
    assert_eq!(report["columns"], json!(["pulse", "weight_kg", "twice"]));
    assert_eq!(report["dropped"][0]["column"], "same");
    assert_eq!(report["imputed"][0]["count"], 1);
    assert_eq!(report["clusters"]["count"], 2, "{report}");
    assert_eq!(report["clusters"]["substantial"], true);
    assert!(report["clusters"]["stability"].as_f64().is_some_and(|it| it > 0.9), "{report}");
    assert_eq!(report["redundant"], 1, "{report}");
    let notes = report["notes"].to_string();
    assert!(notes.contains("column sex") && notes.contains("follow from the others"), "{notes}");
    let group = |at: usize| report["members"][at]["group"].as_u64();
    assert_eq!(report["members"][0]["patient"], "p0");
    assert!((8..60).all(|at| group(at) == group(at % 2)));
    assert!(std::fs::read_to_string(&chart).expect("drawn").contains("component 1"));
    assert!(!home.exists());

    let words = described(&run(&home, &["panel", &file, "--of", "pulse,weight_kg", "--clusters", "3"]));
    assert!(words.contains("3 groups") && words.contains("no diagnosis"), "{words}");
    assert_eq!(found(&home, &["panel", &file]), found(&home, &["panel", &file]), "the same every time");
    fails(&run(&home, &["panel", &file, "--clusters", "40"]), 2, "--clusters");
    fails(&run(&home, &["panel", &file, "--of", "height"]), 1, "height");
    fails(&run(&home, &["panel", &file, "--of", "sex"]), 1, "line 2");
}

#[test]
fn a_trend_is_told_with_its_interval_and_drawn() {
    let dir = harness::temp_dir();
    let home = dir.path().join("no-home");
    let rising = daily(dir.path(), "rising.csv", |day| 70.0 + 0.1 * day as f64 + noise(day), 28);
    let flat = daily(dir.path(), "flat.csv", |day| 70.0 + noise(day), 28);
    let (rising, flat) = (rising.display().to_string(), flat.display().to_string());
    let chart = dir.path().join("trend.png");
    let report = found(&home, &["trend", &rising, "--chart", &chart.display().to_string()]);
    let trend = |report: &Value, name: &str| report["trend"][name].as_f64().expect("a number");
    assert!(trend(&report, "low") <= 0.1 && trend(&report, "high") >= 0.1, "{report}");
    assert!(trend(&report, "p") < 0.01, "{report}");
    assert_eq!((report["of"].as_str(), report["measurements"].as_u64()), (Some("weight_kg"), Some(28)));
    assert!(std::fs::read(&chart).expect("drawn").starts_with(b"\x89PNG"));
    let report = found(&home, &["trend", &flat, "--of", "weight_kg"]);
    assert!(trend(&report, "low") < 0.0 && trend(&report, "high") > 0.0, "{report}");
    let words = described(&run(&home, &["trend", &flat]));
    assert!(words.contains("neither rise nor fall is sure"), "{words}");
}

#[test]
fn changes_are_found_where_they_are_and_not_where_none_are() {
    let dir = harness::temp_dir();
    let home = dir.path().join("no-home");
    let step = daily(dir.path(), "step.csv", |day| noise(day) + if day < 30 { 80.0 } else { 84.0 }, 56);
    let none = daily(dir.path(), "none.csv", |day| 80.0 + noise(day), 56);
    let report = found(&home, &["changes", &step.display().to_string()]);
    let changes = report["changes"].as_array().expect("changes");
    assert_eq!(changes.len(), 1, "{report}");
    assert_eq!(changes[0]["at"], "2026-02-03T00:00:00", "{report}");
    let report = found(&home, &["changes", &none.display().to_string()]);
    assert_eq!(report["changes"], json!([]), "{report}");
    let words = described(&run(&home, &["changes", &none.display().to_string()]));
    assert!(words.contains("No change of level"), "{words}");
}

#[test]
fn a_forecast_says_how_it_would_have_done_before() {
    let dir = harness::temp_dir();
    let home = dir.path().join("no-home");
    let line = daily(dir.path(), "line.csv", |day| 70.0 + 0.5 * day as f64 + 0.1 * noise(day), 28);
    let file = line.display().to_string();
    let report = found(&home, &["forecast", &file, "--steps", "2"]);
    let forecast = &report["forecast"];
    assert_eq!((forecast["step_s"].as_u64(), forecast["level"].as_f64()), (Some(86_400), Some(0.8)));
    assert_eq!(forecast["steps"].as_array().map(Vec::len), Some(2));
    assert!(forecast["steps"][0]["value"].as_f64().is_some_and(|it| (it - 84.0).abs() < 0.5), "{report}");
    assert!(forecast["error_to_last_value"].as_f64().is_some_and(|it| it < 0.7), "{report}");
    fails(&run(&home, &["forecast", &file, "--steps", "25"]), 2, "--steps");
    fails(&run(&home, &["forecast", &file, "--steps", "0"]), 2, "--steps");
    let short = daily(dir.path(), "short.csv", |day| day as f64, 10);
    fails(&run(&home, &["forecast", &short.display().to_string()]), 1, "24");
}

#[test]
fn wrong_tables_are_told_by_line_and_what_to_do() {
    let dir = harness::temp_dir();
    let home = dir.path().join("no-home");
    let of = |name: &str, text: &str| written(dir.path(), name, text).display().to_string();
    let trend = |file: &str| run(&home, &["trend", file]);
    fails(&trend(&of("empty", "")), 1, "empty");
    fails(&trend(&of("no-time", "a,b\n1,2\n")), 1, "header");
    fails(&trend(&of("two", "date,a,b\n2026-01-01,1,2\n")), 1, "--of");
    fails(&trend(&of("few", "date,a\n2026-01-01,1\n2026-01-02,2\n")), 1, "at least 3");
    fails(&trend(&of("when", "date,a\nsoon,1\n")), 1, "line 2");
    fails(&trend(&of("unclear", "date,a\n01/02/2026,1\n")), 1, "day and month");
    fails(&trend("/nonexistent.csv"), 1, "/nonexistent.csv");
    let panel = |file: &str| run(&home, &["panel", file]);
    fails(&panel(&of("few-patients", "patient,a\np1,1\np2,2\n")), 1, "at least 6");
    let same = "patient,a\n".to_owned() + &"p,1\n".repeat(8);
    fails(&panel(&of("same", &same)), 1, "constant");
    fails(&panel(&of("words", "patient,a\np1,x\n")), 1, "no column holds numbers");
    fails(&run(&home, &["panel", &of("any", &same), "--chart", "a.gif"]), 2, ".png");
    let huge = dir.path().join("huge.csv");
    std::fs::File::create(&huge).expect("made").set_len(65 << 20).expect("grown");
    fails(&panel(&huge.display().to_string()), 1, "64 MiB");
}

fn observation(patient: usize, at: usize, code: &str, value: f64, unit: &str) -> String {
    json!({
        "resourceType": "Observation", "id": format!("o-{patient}-{at}-{code}"), "status": "final",
        "code": { "coding": [{ "system": "http://loinc.org", "code": code }] },
        "subject": { "reference": format!("Patient/synthetic-{patient}") },
        "effectiveDateTime": format!("2026-01-{:02}T08:00:00Z", 1 + at),
        "valueQuantity": { "value": value, "unit": unit, "code": unit },
    })
    .to_string()
}

#[test]
fn stored_measurements_are_analysed_by_local_ids_and_the_analysis_is_in_the_trail() {
    let dir = harness::temp_dir();
    let home = homes::quick(dir.path(), "clinic", "clinic");
    let mut lines = Vec::new();
    for patient in 0..10 {
        let far = (patient % 2) as f64 * 40.0;
        lines.push(observation(patient, 0, "8867-4", 60.0 + far + noise(patient), "/min"));
        lines.push(observation(patient, 0, "29463-7", 60.0 + far + noise(patient + 50), "kg"));
    }
    lines.push(observation(3, 1, "29463-7", 220.0, "[lb_av]"));
    let named =
        json!({ "resourceType": "Patient", "id": "synthetic-0", "name": [{ "family": homes::CANARIES[0] }] });
    lines.push(named.to_string());
    lines.extend((1..28).map(|at| observation(0, at, "8867-4", 60.0 + at as f64 + noise(at), "/min")));
    let file = written(dir.path(), "records.ndjson", lines.join("\n"));
    let imported = harness::run_json(&home, &["records", "import", &file.display().to_string()]);
    assert_eq!(imported["imported"], lines.len(), "{imported}");
    let before = harness::run_json(&home, &["audit", "show"])["total"].as_u64();

    let panel = found(&home, &["panel"]);
    assert_eq!(panel["patients"], 10, "{panel}");
    assert_eq!(panel["columns"], json!(["29463-7 (kg)", "8867-4 (/min)"]));
    assert_eq!(panel["clusters"]["groups"][0]["size"], 5, "{panel}");
    assert!(panel["notes"].to_string().contains("another unit than kg"), "{panel}");
    assert!(panel["members"].to_string().contains("synthetic-3"));
    assert!(!panel.to_string().contains(homes::CANARIES[0]), "local ids only");

    let trend = found(&home, &["trend", "Patient/synthetic-0", "--of", "8867-4"]);
    assert_eq!((trend["unit"].as_str(), trend["measurements"].as_u64()), (Some("/min"), Some(28)), "{trend}");
    assert!(trend["trend"]["low"].as_f64().is_some_and(|it| it > 0.8), "{trend}");
    assert!(found(&home, &["forecast", "Patient/synthetic-0", "--of", "8867-4"])["forecast"].is_object());
    let after = harness::run_json(&home, &["audit", "show"])["total"].as_u64();
    assert!(after > before, "{before:?} {after:?}");

    let of = |code: &str, patient: &str| run(&home, &["trend", patient, "--of", code]);
    fails(&of("29463-7", "Patient/synthetic-3"), 1, "several units");
    fails(&of("1-1", "Patient/synthetic-0"), 1, "no such measurement");
    fails(&of("8867-4", "Observation/o"), 2, "Patient/ID");
    fails(&run(&home, &["trend", "Patient/synthetic-0"]), 2, "--of");
}
