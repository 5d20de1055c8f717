//! Readings of one patient put together from the command line: off by default, for clinics, with few and with several.

use std::path::{Path, PathBuf};

use metaclinic_tests::harness::{self, described, fails};
use serde_json::{Value, json};

use crate::homes;

/// So many hours ago, as FHIR writes it.
fn ago(hours: i64) -> String {
    ago_s(hours * 3_600)
}

fn ago_s(seconds: i64) -> String {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970");
    let now = i64::try_from(now.as_secs()).expect("a time");
    let then = now - seconds;
    let of_day = then.rem_euclid(86_400);
    let day = crate::risk::day(then.div_euclid(86_400) - now.div_euclid(86_400));
    format!("{day}T{:02}:{:02}:{:02}Z", of_day / 3_600, of_day / 60 % 60, of_day % 60)
}

fn sign(patient: &str, id: &str, code: &str, unit: &str, value: f64, hours: i64) -> Value {
    json!({ "resourceType": "Observation", "id": format!("{patient}-{id}"), "status": "final",
            "code": { "coding": [{ "system": "http://loinc.org", "code": code }] },
            "subject": { "reference": format!("Patient/{patient}") }, "effectiveDateTime": ago(hours),
            "valueQuantity": { "value": value, "code": unit, "unit": unit } })
}

fn usual(patient: &str) -> Vec<Value> {
    let mut pressure = sign(patient, "bp", "85354-9", "mm[Hg]", 0.0, 1);
    pressure["component"] = json!([{ "code": { "coding": [{ "code": "8480-6" }] },
                                    "valueQuantity": { "value": 124, "code": "mm[Hg]", "unit": "mmHg" } }]);
    pressure.as_object_mut().map(|it| it.remove("valueQuantity"));
    vec![
        sign(patient, "pulse", "8867-4", "/min", 72.0, 1),
        sign(patient, "breaths", "9279-1", "/min", 14.0, 1),
        sign(patient, "spo2", "59408-5", "%", 98.0, 1),
        sign(patient, "temperature", "8310-5", "Cel", 36.8, 1),
        pressure,
    ]
}

/// A home with synthetic patients.
fn home(folder: &Path, role: &str) -> PathBuf {
    let home = homes::quick(folder, role, role);
    let patient = |id: &str, born: &str| json!({ "resourceType": "Patient", "id": id, "gender": "female", "birthDate": born });
    let mut lines = vec![
        patient("synthetic-calm", "1970-03-01"),
        patient("synthetic-ill", "1955-03-01"),
        patient("synthetic-child", "2020-03-01"),
        patient("synthetic-empty", "1980"),
    ];
    lines.extend(usual("synthetic-calm"));
    lines.extend(usual("synthetic-child"));
    lines.push(sign("synthetic-ill", "spo2", "59408-5", "%", 86.0, 1));
    lines.push(sign("synthetic-ill", "pulse", "8867-4", "furlong", 72.0, 1));
    let text = lines.iter().map(Value::to_string).collect::<Vec<_>>().join("\n");
    let file = folder.join(format!("{role}.ndjson"));
    std::fs::write(&file, text).expect("written");
    let imported = harness::run_json(&home, &["records", "import", &file.display().to_string()]);
    assert_eq!(imported["imported"], lines.len(), "{imported}");
    home
}

fn together(home: &Path, more: &[&str]) -> Value {
    harness::run_json(home, &[&["diagnose", "together"], more].concat())
}

fn enable(home: &Path) {
    let told = together(home, &["--enable", "--by", "Dr. Synthetic"]);
    assert_eq!((&told["enabled"], &told["enabled_by"]), (&json!(true), &json!("Dr. Synthetic")));
}

fn kinds(report: &Value, of: &str) -> Vec<String> {
    let all = report[of].as_array().expect("a list").iter();
    all.filter_map(|it| it["kind"].as_str().map(str::to_owned)).collect()
}

#[test]
fn together_is_off_until_a_clinician_of_a_clinic_enables_it_by_name() {
    let dir = harness::temp_dir();
    let clinic = home(dir.path(), "clinic");
    let run =
        |home: &Path, more: &[&str]| harness::run_cli(home, &[&["diagnose", "together"], more].concat());
    fails(&run(&clinic, &["Patient/synthetic-calm"]), 3, "diagnose together --enable --by");
    fails(&run(&clinic, &["--enable"]), 2, "--by");
    fails(&run(&clinic, &["--enable", "--by", " "]), 2, "is a name");
    fails(&run(&clinic, &["--enable", "--disable", "--by", "A"]), 2, "--disable");
    fails(&run(&clinic, &["--enable", "--by", "A", "Patient/synthetic-calm"]), 2, "cannot be used");
    fails(&run(&clinic, &[]), 2, "PATIENT");
    for role in ["patient", "researcher"] {
        let other = homes::quick(dir.path(), role, role);
        fails(&run(&other, &["--enable", "--by", "Dr. Synthetic"]), 3, "clinic");
        fails(&run(&other, &["Patient/a"]), 3, "clinic");
    }
    enable(&clinic);
    let report = together(&clinic, &["Patient/synthetic-calm"]);
    assert_eq!(report["enabled_by"], "Dr. Synthetic");
    let trail = harness::run_json(&clinic, &["audit", "show"]);
    let entries = trail["entries"].as_array().expect("entries");
    assert!(entries.iter().any(|it| it["action"] == "fusion-switch" && it["count"] == 1), "{trail}");
    assert!(entries.iter().any(|it| it["action"] == "read"), "{trail}");
    assert_eq!(harness::run_json(&clinic, &["audit", "verify"])["verified"], true);
    assert_eq!(together(&clinic, &["--disable"])["enabled"], false);
    fails(&run(&clinic, &["synthetic-calm"]), 3, "--enable");
    assert_eq!(homes::any_file_holds(&clinic, "Dr. Synthetic"), None, "the switch lies sealed");
}

#[test]
fn together_few_readings_name_what_is_missing_and_urgent_ones_stand() {
    let dir = harness::temp_dir();
    let home = home(dir.path(), "clinic");
    enable(&home);
    let calm = together(&home, &["Patient/synthetic-calm"]);
    assert_eq!(
        (&calm["level"], kinds(&calm, "sources")),
        (&json!("nothing_stands_out"), vec!["vitals".into()])
    );
    assert_eq!(kinds(&calm, "missing"), ["ecg", "image", "risk", "glucose", "self_check"]);
    assert_eq!((&calm["sources"][0]["share"], &calm["sources"][0]["without"]), (&json!(1.0), &Value::Null));
    assert!(
        calm["sources"][0]["words"].as_str().is_some_and(|it| it.contains("systolic pressure 124")),
        "{calm}"
    );

    let words = "crushing chest pain going into my left arm, sweating";
    let both = together(&home, &["synthetic-calm", "--text", words]);
    assert_eq!((&both["level"], &both["level_from"]), (&json!("now"), &json!(["self_check"])), "{both}");
    let contradictions = both["contradictions"].as_array().expect("a list");
    assert!(
        contradictions.iter().any(|it| it.as_str().is_some_and(|it| it.starts_with("Self-check says"))),
        "{both}"
    );
    let shares: f64 =
        both["sources"].as_array().expect("a list").iter().filter_map(|it| it["share"].as_f64()).sum();
    assert!((shares - 1.0).abs() < 1e-9);

    let ill = together(&home, &["Patient/synthetic-ill"]);
    assert_eq!(ill["level"], "now", "{ill}");
    let words = ill["sources"][0]["words"].as_str().expect("words");
    assert!(words.contains("scores 3") && words.contains("unit that is not known"), "{words}");

    let child = together(&home, &["Patient/synthetic-child"]);
    assert_eq!((&child["level"], &child["concern"]), (&Value::Null, &Value::Null));
    assert!(child["refused"].as_str().is_some_and(|it| it.contains("nothing is known")), "{child}");
    assert!(child["missing"].to_string().contains("under 16"), "{child}");
    let empty = together(&home, &["Patient/synthetic-empty"]);
    assert_eq!(kinds(&empty, "missing").len(), 6);
    fails(&harness::run_cli(&home, &["diagnose", "together", "Patient/nobody"]), 1, "no such resource");
    fails(&harness::run_cli(&home, &["diagnose", "together", "Observation/a"]), 2, "Patient/ID");
    fails(&harness::run_cli(&home, &["diagnose", "together", "a", "--chart", "a.gif"]), 2, ".svg");
    let huge = "x ".repeat(60_000);
    let output = harness::run_cli(&home, &["diagnose", "together", "synthetic-calm", "--text", &huge]);
    fails(&output, 2, "fewer words");
}

#[test]
fn together_an_ecg_and_vital_signs_are_read_drawn_and_told_in_words() {
    let dir = harness::temp_dir();
    let home = home(dir.path(), "clinic");
    enable(&home);
    let samples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../node/samples");
    let header = samples.join("mitdb-208-excerpt.hea").display().to_string();
    let imported = harness::run_json(&home, &["records", "import", &header, "--patient", "synthetic-calm"]);
    assert_eq!(imported["imported"], 1, "{imported}");
    let chart = dir.path().join("panel.svg");
    let report = together(&home, &["synthetic-calm", "--chart", &chart.display().to_string()]);
    let sources = report["sources"].as_array().expect("sources");
    let ecg = sources.iter().find(|it| it["kind"] == "ecg").unwrap_or_else(|| panic!("{report}"));
    assert!(ecg["model"].as_str().is_some_and(|it| it.starts_with("ecg-beats")), "{ecg}");
    assert!(ecg["words"].as_str().is_some_and(|it| it.contains("ventricular beats")), "{ecg}");
    assert!(ecg["age_h"].is_null() && ecg["freshness"] == 0.25, "an undated recording counts as old: {ecg}");
    assert_eq!(report["level"], "soon", "{report}");
    assert!(sources.iter().all(|it| it["without"].is_f64()));
    assert!(std::fs::read_to_string(&chart).expect("drawn").contains("ECG: share of the weight"));
    let words = described(&harness::run_cli(&home, &["diagnose", "together", "synthetic-calm"]));
    for text in [
        "Look soon, because of: ecg",
        "no probability",
        "not counted as fine",
        "not a medical device",
        "emergency",
    ] {
        assert!(words.contains(text), "{text}: {words}");
    }
}

fn imported(home: &Path, resources: &[Value]) {
    let file = home.with_extension("ndjson");
    let text = resources.iter().map(Value::to_string).collect::<Vec<_>>().join("\n");
    std::fs::write(&file, text).expect("written");
    let told = harness::run_json(home, &["records", "import", &file.display().to_string()]);
    assert_eq!(told["imported"], resources.len(), "{told}");
}

#[test]
fn together_all_six_readings_and_each_of_them_missing_in_turn() {
    let dir = harness::temp_dir();
    let home = home(dir.path(), "clinic");
    enable(&home);
    let samples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../node/samples");
    let header = samples.join("mitdb-208-excerpt.hea").display().to_string();
    let ecg = harness::run_json(&home, &["records", "import", &header, "--patient", "synthetic-calm"]);
    assert_eq!(ecg["imported"], 1, "{ecg}");
    let chest = std::fs::read(samples.join("pneumoniamnist-val-000.png")).expect("a sample");
    let mut more = vec![json!({
        "resourceType": "DocumentReference", "id": "synthetic-chest", "status": "current", "date": ago(2),
        "subject": { "reference": "Patient/synthetic-calm" },
        "content": [{ "attachment": { "contentType": "image/png", "data": data_encoding::BASE64.encode(&chest) } }],
    })];
    // Three hours of a sensor that reads every five minutes, the last one just now.
    more.extend((0..36_i64).map(|at| {
        let mut reading =
            sign("synthetic-calm", &format!("glucose-{at}"), "99504-3", "mg/dL", 110.0 + (at % 5) as f64, 0);
        reading["effectiveDateTime"] = json!(ago_s((36 - at) * 300));
        reading
    }));
    imported(&home, &more);
    let words = ["--text", "runny nose for two days, no fever"];
    let heart =
        ["--set", "chest-pain=no chest pain", "--set", "exercise-angina=no", "--set", "st-depression=0"];
    let all = together(&home, &[&["synthetic-calm"], &words[..], &heart[..]].concat());
    let mut found = kinds(&all, "sources");
    found.sort_unstable();
    assert_eq!(found, ["ecg", "glucose", "image", "risk", "self_check", "vitals"], "{all}");
    assert_eq!(all["missing"], json!([]), "{all}");
    let sources = all["sources"].as_array().expect("sources");
    let share: f64 = sources.iter().filter_map(|it| it["share"].as_f64()).sum();
    assert!((share - 1.0).abs() < 1e-9, "{all}");
    for it in sources {
        let [low, concern, high] =
            [&it["interval"][0], &it["concern"], &it["interval"][1]].map(|it| it.as_f64().expect("a number"));
        assert!((0.0..=concern).contains(&low) && (concern..=1.0).contains(&high), "{it}");
        assert!(it["without"].is_f64() && it["words"].as_str().is_some_and(|it| !it.is_empty()), "{it}");
    }
    // A picture that speaks for pneumonia and a self-check of a cold contradict each other, and both are named.
    let contradictions = all["contradictions"].to_string();
    assert!(contradictions.contains("Chest picture says") && !contradictions.contains(".."), "{all}");
    let heart_age = sources.iter().find(|it| it["kind"] == "risk").map(|it| &it["age_h"]);
    assert!(heart_age.is_some_and(|age| age.as_f64() == Some(0.0)), "what is given now is new: {all}");

    let without_heart = together(&home, &[&["synthetic-calm"], &words[..]].concat());
    assert_eq!(kinds(&without_heart, "missing"), ["risk"]);
    let bring = without_heart["missing"][0]["bring"].as_str().expect("words");
    assert!(bring.contains("--set chest-pain="), "{bring}");
    let without_words = together(&home, &[&["synthetic-calm"], &heart[..]].concat());
    assert_eq!(kinds(&without_words, "missing"), ["self_check"]);
    // What was entered in error is as good as not there.
    for (kind, mut resources) in [("image", vec![more[0].clone()]), ("glucose", more[1..].to_vec())] {
        resources.iter_mut().for_each(|it| it["status"] = json!("entered-in-error"));
        imported(&home, &resources);
        let left = together(&home, &[&["synthetic-calm"], &words[..], &heart[..]].concat());
        assert!(kinds(&left, "missing").contains(&kind.to_owned()), "{kind}: {left}");
        assert!(!kinds(&left, "sources").contains(&kind.to_owned()), "{kind}: {left}");
    }
    let run = |more: &[&str]| {
        harness::run_cli(&home, &[&["diagnose", "together", "synthetic-calm"], more].concat())
    };
    fails(&run(&["--set", "shoe-size=44"]), 2, "chest-pain");
    fails(&run(&["--set", "chest-pain"]), 2, "name=value");
    fails(&run(&["--set", "age=4000"]), 2, "age");
}
