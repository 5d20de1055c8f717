//! Forecasting glucose from the command line: from tables of several kinds and from records.

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::Output;

use metaclinic_tests::harness::{self, described, fails};
use serde_json::{Value, json};

use crate::homes;

/// A synthetic table: a header, then readings every five minutes.
fn table(folder: &Path, name: &str, header: &str, values: impl IntoIterator<Item = String>) -> PathBuf {
    let mut text = format!("{header}\n");
    for (at, value) in values.into_iter().enumerate() {
        writeln!(text, "2026-03-01 {:02}:{:02}:00,{value}", 8 + at / 12, at % 12 * 5).expect("written");
    }
    let file = folder.join(name);
    std::fs::write(&file, text).expect("written");
    file
}

fn rising(count: usize) -> Vec<String> {
    (0..count).map(|at| (100 + 2 * at).to_string()).collect()
}

fn run(home: &Path, file: &Path, more: &[&str]) -> Output {
    let file = file.display().to_string();
    let mut arguments = vec!["diagnose", "glucose", &file];
    arguments.extend(more);
    harness::run_cli(home, &arguments)
}

#[test]
fn a_table_is_forecast_without_a_home_and_drawn() {
    let dir = harness::temp_dir();
    let home = dir.path().join("no-home");
    let file = table(dir.path(), "a.csv", "Timestamp,Glucose Value (mg/dL)", rising(30));
    let chart = dir.path().join("chart.png");
    let (name, drawn) = (file.display().to_string(), chart.display().to_string());
    let report = harness::run_json(&home, &["diagnose", "glucose", &name, "--chart", &drawn]);
    assert!(report["refused"].is_null(), "{report}");
    let forecasts = report["forecasts"].as_array().expect("forecasts");
    assert_eq!(forecasts.len(), 2, "{report}");
    for (at, minutes) in forecasts.iter().zip([30, 60]) {
        assert_eq!(at["minutes"], minutes);
        assert_eq!(at["level"], 0.8);
        let [low, middle, high] =
            ["low", "mg_per_dl", "high"].map(|name| at[name].as_f64().expect("a number"));
        assert!(40.0 <= low && low < middle && middle < high && high <= 400.0, "{at}");
    }
    assert_eq!(report["last"]["at"], "2026-03-01T10:25:00");
    assert_eq!(report["baseline"][0]["last_value"], 158.0);
    assert_eq!(report["model"]["name"], "glucose-forecast");
    assert!(report["explanation"]["parts"][0]["course"].is_number(), "{report}");
    assert!(report["advice"].as_str().is_some_and(|it| it.contains("emergency number")), "{report}");
    assert!(std::fs::read(&chart).expect("drawn").starts_with(b"\x89PNG"));
    assert!(!home.exists());

    let words = described(&run(&home, &file, &["--at", "2026-03-01T09:30"]));
    assert!(words.contains("2026-03-01T09:30:00") && words.contains("mmol/L"), "{words}");
    assert!(words.contains("finger prick") && words.contains("not a medical device"), "{words}");
}

#[test]
fn both_units_give_the_same_forecast_and_a_wrong_unit_is_noticed() {
    let dir = harness::temp_dir();
    let home = dir.path().join("no-home");
    let mg = table(dir.path(), "mg.csv", "timestamp,glucose_mg_dl", rising(30));
    let millimoles = rising(30)
        .iter()
        .map(|it| format!("{:.4}", it.parse::<f64>().unwrap() / 18.0156))
        .collect::<Vec<_>>();
    let named = table(dir.path(), "named.csv", "timestamp,glucose (mmol/L)", millimoles.clone());
    let bare = table(dir.path(), "bare.csv", "timestamp,glucose", millimoles);
    let at_30 = |file: &Path, more: &[&str]| {
        let file = file.display().to_string();
        let mut arguments = vec!["diagnose", "glucose", &file];
        arguments.extend(more);
        harness::run_json(&home, &arguments)["forecasts"][0]["mg_per_dl"].as_f64()
    };
    let expected = at_30(&mg, &[]).expect("a forecast");
    for told in [at_30(&named, &[]), at_30(&bare, &["--unit", "mmol/L"])] {
        assert!((told.expect("a forecast") - expected).abs() < 0.5);
    }
    let refused = described(&run(&home, &bare, &[]));
    assert!(refused.contains("--unit mmol/L"), "{refused}");
    fails(&run(&home, &mg, &["--unit", "mmol/L"]), 1, "another unit");
    fails(&run(&home, &mg, &["--unit", "stone"]), 2, "mmol/L");
}

#[test]
fn what_carries_no_forecast_is_refused_with_the_reason() {
    let dir = harness::temp_dir();
    let home = dir.path().join("no-home");
    let header = "timestamp,glucose_mg_dl";
    let with = |at: usize, value: &str| {
        let mut values = rising(30);
        values[at] = value.to_owned();
        values
    };
    for (name, values, reason) in [
        ("few", rising(5), "55"),
        ("flat", vec!["140".to_owned(); 40], "the sensor may hang"),
        ("jump", with(28, "290"), "10 mg/dL a minute"),
        ("mixed", with(10, "5.6"), "units may be mixed"),
    ] {
        let file = table(dir.path(), name, header, values).display().to_string();
        let report = harness::run_json(&home, &["diagnose", "glucose", &file]);
        assert!(report["refused"].as_str().is_some_and(|it| it.contains(reason)), "{name}: {report}");
        assert_eq!(report["forecasts"], json!([]), "{name}");
    }
    let old = table(dir.path(), "old", header, rising(30));
    let told = described(&run(&home, &old, &["--at", "2026-03-01T14:00"]));
    assert!(told.contains("minutes old"), "{told}");
}

#[test]
fn wrong_files_are_told_by_line_and_what_to_do() {
    let dir = harness::temp_dir();
    let home = dir.path().join("no-home");
    let written = |name: &str, text: &[u8]| {
        let file = dir.path().join(name);
        std::fs::write(&file, text).expect("written");
        file
    };
    let nan = table(dir.path(), "nan", "timestamp,glucose", ["100", "NaN"].map(str::to_owned));
    fails(&run(&home, &nan, &[]), 1, "line 3");
    fails(&run(&home, &written("empty", b""), &[]), 1, "empty");
    fails(&run(&home, &written("other", b"timestamp,pulse\n2026-03-01 08:00,70\n"), &[]), 1, "glucose_mg_dl");
    fails(&run(&home, &written("bytes", &[0, 159, 146, 150]), &[]), 1, "UTF-8");
    fails(&run(&home, &written("when", b"timestamp,glucose\nnoon,100\n"), &[]), 1, "line 2");
    fails(&run(&home, &dir.path().join("nothing.csv"), &[]), 1, "nothing.csv");
    fails(&run(&home, dir.path(), &[]), 1, "no file");
    let good = table(dir.path(), "good", "timestamp,glucose", rising(30));
    fails(&run(&home, &good, &["--at", "soon"]), 2, "2026-03-01T14:30");
    fails(&run(&home, &good, &["--chart", "chart.gif"]), 2, ".png");
    let huge = dir.path().join("huge.csv");
    std::fs::File::create(&huge).expect("made").set_len(65 << 20).expect("grown");
    fails(&run(&home, &huge, &[]), 1, "64 MiB");
}

pub(crate) fn observation(at: usize, value: f64, unit: &str) -> Value {
    json!({
        "resourceType": "Observation", "id": format!("cgm-{at}"), "status": "final",
        "code": { "coding": [{ "system": "http://loinc.org", "code": if unit == "mg/dL" { "99504-3" } else { "105272-9" } }] },
        "subject": { "reference": "Patient/synthetic-1" },
        "effectiveDateTime": format!("2026-03-01T{:02}:{:02}:00Z", 8 + at / 12, at % 12 * 5),
        "valueQuantity": { "value": value, "unit": unit, "system": "http://unitsofmeasure.org", "code": unit },
    })
}

#[test]
fn stored_readings_in_both_units_are_forecast_and_the_reading_is_in_the_trail() {
    let dir = harness::temp_dir();
    let home = homes::quick(dir.path(), "clinic", "clinic");
    let lines: Vec<String> = (0..30)
        .map(|at| {
            let mg = 100.0 + 2.0 * at as f64;
            let one = if at % 2 == 0 {
                observation(at, mg, "mg/dL")
            } else {
                observation(at, mg / 18.0156, "mmol/L")
            };
            one.to_string()
        })
        .collect();
    let file = dir.path().join("cgm.ndjson");
    std::fs::write(&file, lines.join("\n")).expect("written");
    let imported = harness::run_json(&home, &["records", "import", &file.display().to_string()]);
    assert_eq!(imported["imported"], 30, "{imported}");
    let before = harness::run_json(&home, &["audit", "show"])["total"].as_u64();
    let report = harness::run_json(&home, &["diagnose", "glucose", "Patient/synthetic-1"]);
    assert!(report["refused"].is_null(), "{report}");
    assert_eq!(report["last"]["at"], "2026-03-01T10:25:00Z");
    let last = report["last"]["mg_per_dl"].as_f64().expect("a number");
    assert!((last - 158.0).abs() < 0.01, "{report}");
    let after = harness::run_json(&home, &["audit", "show"])["total"].as_u64();
    assert!(after > before, "{before:?} {after:?}");

    let earlier = ["diagnose", "glucose", "Patient/synthetic-1", "--at", "2026-03-01T09:30:00Z"];
    assert_eq!(harness::run_json(&home, &earlier)["last"]["at"], "2026-03-01T09:30:00Z");
    let of = |target: &str| harness::run_cli(&home, &["diagnose", "glucose", target]);
    fails(&of("Patient/nobody"), 1, "99504-3");
    fails(&of("Observation/cgm-1"), 2, "Patient/ID");
}

#[test]
fn the_card_is_measured_again_on_persons_never_seen() {
    let Some(data) =
        std::env::var_os("METACLINIC_DATA").map(|root| PathBuf::from(root).join("cgm-glucose-ml"))
    else {
        eprintln!("skipped: METACLINIC_DATA names no folder with cgm-glucose-ml");
        return;
    };
    if !data.is_dir() {
        eprintln!("skipped: METACLINIC_DATA names no folder with cgm-glucose-ml");
        return;
    }
    let dir = harness::temp_dir();
    let arguments = ["models", "evaluate", "glucose", "--data", &data.display().to_string()];
    let measured = harness::run_json(&dir.path().join("no-home"), &arguments);
    assert_eq!(measured["as_card"], true, "{measured}");
    let value = |table: usize, row: usize, column: usize| {
        measured["measured"]["tables"][table]["rows"][row]["values"][column][0].as_f64().expect("a figure")
    };
    for table in [0, 1] {
        // Model, last value, damped trend: root mean square error.
        assert!(value(table, 0, 0) < value(table, 1, 0) && value(table, 0, 0) < value(table, 2, 0));
        let holds = value(table, 0, 3);
        assert!((0.75..=0.85).contains(&holds), "{holds}");
    }
}
