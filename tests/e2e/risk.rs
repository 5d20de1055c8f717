//! Reading a risk from the command line: from tables, from a person's records, and kept only when a clinician confirms it.

use std::path::{Path, PathBuf};

use metaclinic_tests::harness::{self, described, fails, objects};
use serde_json::{Value, json};

use crate::homes;

fn written(folder: &Path, name: &str, text: &str) -> String {
    let path = folder.join(name);
    std::fs::write(&path, text).expect("written");
    path.display().to_string()
}

/// Two rows as the public data set writes them, the second with a value that cannot be.
const TABLE: &str = "age,sex,cp,trestbps,chol,fbs,restecg,thalach,exang,oldpeak,slope,ca,thal,num\n\
                     67,1,4,160,286,0,2,108,1,1.5,2,3,3,2\n41,0,2,130,20400,0,2,172,0,1.4,1,0,3,0\n44,1,4,130,?,0,1,127,0,0,?,?,?,0\n";

#[test]
fn a_table_is_read_without_a_home_and_each_row_stands_for_itself() {
    let dir = harness::temp_dir();
    let home = dir.path().join("no-home");
    let file = written(dir.path(), "rows.csv", TABLE);
    let output = harness::run_cli(&home, &["--json", "diagnose", "risk", &file, "--model", "heart"]);
    assert!(output.status.success(), "{}", described(&output));
    let told = objects(&output);
    assert_eq!(told.len(), 3);
    let first = &told[0];
    assert!(first["refused"].is_null() && first["row"] == 1, "{first}");
    assert!(first["probability"].as_f64().is_some_and(|it| it > 0.8), "{first}");
    assert_eq!(first["risks"][0]["probability"], first["probability"]);
    assert_eq!(first["risks"][0]["code"], "53741008");
    let explanation = &first["explanation"];
    let parts = explanation["parts"].as_array().expect("parts");
    let sum: f64 = parts.iter().filter_map(|part| part["log_odds"].as_f64()).sum();
    let base = explanation["base_log_odds"].as_f64().expect("a base");
    assert!((base + sum - explanation["log_odds"].as_f64().expect("a sum")).abs() < 1e-9);
    assert_eq!(first["ignored"], json!(["num"]));
    let refused = told[1]["refused"].as_str().expect("refused");
    assert!(refused.contains("cholesterol") && !refused.contains("20400"), "{refused}");
    assert_eq!((&told[1]["probability"], &told[1]["risks"]), (&Value::Null, &json!([])));
    let missing: Vec<&str> =
        told[2]["missing"].as_array().expect("a list").iter().filter_map(|it| it["name"].as_str()).collect();
    assert_eq!(missing, ["cholesterol", "st-slope", "vessels-coloured", "thallium-scan"]);
    assert!(told[0]["advice"].as_str().is_some_and(|it| it.contains("emergency number")));
    assert!(told[0]["model"]["limits"].as_array().is_some_and(|it| !it.is_empty()));
    assert!(!home.exists());

    let words = described(&harness::run_cli(&home, &["diagnose", "risk", &file]));
    for text in
        ["no diagnosis", "Kind of chest pain", "Not known", "counted as the average", "Where it fails"]
    {
        assert!(words.contains(text), "{text}: {words}");
    }
}

#[test]
fn one_person_of_a_json_file_is_drawn_and_values_by_hand_go_first() {
    let dir = harness::temp_dir();
    let home = dir.path().join("no-home");
    let person = json!({ "age": 66, "sex": "male", "chest-pain": "no chest pain", "exercise-angina": true,
                         "st-depression": "2.5 mm", "cholesterol": "6.2 mmol/L", "other": { "x": [1] } });
    let file = written(dir.path(), "person.json", &person.to_string());
    let (svg, png) = (dir.path().join("why.svg"), dir.path().join("why.png"));
    for chart in [&svg, &png] {
        let report =
            harness::run_json(&home, &["diagnose", "risk", &file, "--chart", &chart.display().to_string()]);
        assert!(report["probability"].as_f64().is_some_and(|it| it > 0.6), "{report}");
    }
    assert!(std::fs::read_to_string(&svg).expect("drawn").contains("Angina brought on by exercise"));
    assert!(std::fs::read(&png).expect("drawn").starts_with(b"\x89PNG"));
    let before = harness::run_json(&home, &["diagnose", "risk", &file]);
    let after = harness::run_json(&home, &["diagnose", "risk", &file, "--set", "exang=no"]);
    assert!(after["probability"].as_f64() < before["probability"].as_f64());
    let value = after["values"].as_array().expect("values").iter().find(|it| it["name"] == "exercise-angina");
    assert_eq!(value.map(|it| (&it["value"], &it["source"])), Some((&json!("no"), &json!("given"))));

    let stay = "age,gender,time_in_hospital,number_inpatient,number_emergency,num_medications,diag_1,A1Cresult\n\
                [70-80),Male,9,6,2,25,428,None\n[30-40),Female,2,0,0,8,786,Norm\n";
    let stay = written(dir.path(), "stays.csv", stay);
    let output = harness::run_cli(&home, &["--json", "diagnose", "risk", &stay, "--model", "readmission"]);
    let told = objects(&output);
    let said = |at: usize| told[at]["probability"].as_f64().unwrap_or_else(|| panic!("{}", told[at]));
    assert!(said(0) > 2.0 * said(1), "{} {}", said(0), said(1));
}

#[test]
fn wrong_use_says_the_next_step_and_never_the_value() {
    let dir = harness::temp_dir();
    let home = dir.path().join("no-home");
    let file = written(dir.path(), "rows.csv", TABLE);
    let run = |args: &[&str]| harness::run_cli(&home, &[&["diagnose", "risk"], args].concat());
    fails(&run(&[&file, "--model", "oracle"]), 2, "heart, readmission, breast");
    fails(&run(&[&file, "--model", "ecg"]), 2, "heart, readmission, breast");
    fails(&run(&[&file, "--set", "age"]), 2, "--set age=54");
    fails(&run(&[&file, "--set", "shoe-size=44"]), 2, "chest-pain");
    fails(&run(&[&file, "--set", "age=50", "--set", "age=51"]), 2, "twice");
    for wrong in ["age=NaN", "age=inf", "age=-3", "age=4000", "cholesterol=5.5 mol/L", "cp=worst ever"] {
        let output = run(&[&file, "--set", wrong]);
        fails(
            &output,
            2,
            wrong.split('=').next().map_or("", |name| if name == "cp" { "chest-pain" } else { name }),
        );
        let value = wrong.split('=').nth(1).unwrap_or_default();
        assert!(!String::from_utf8_lossy(&output.stderr).contains(value), "{}", described(&output));
    }
    fails(&run(&[&file, "--confirm"]), 2, "--by");
    fails(&run(&[&file, "--confirm", "--by", "Dr. Test", "--yes"]), 2, "nobody's record");
    fails(&run(&[&file, "--chart", "why.gif"]), 2, ".svg");
    fails(&run(&["/nonexistent.csv"]), 1, "/nonexistent.csv");
    let chart = dir.path().join("why.svg").display().to_string();
    fails(&run(&[&file, "--chart", &chart]), 2, "one row");
    let hostile = written(dir.path(), "hostile.csv", "age,\u{1b}[31m=cmd()\n54,\"=1+1\"\n");
    let output = run(&[&hostile]);
    assert!(output.status.success(), "{}", described(&output));
    assert!(!output.stdout.contains(&0x1b), "what others wrote must not move the cursor");
    for (name, text) in [
        ("binary.csv", "\u{0}\u{1}"),
        ("none.csv", "a,b\n1,2\n"),
        ("cut.json", "{\"age\":"),
        ("empty.csv", ""),
    ] {
        fails(&run(&[&written(dir.path(), name, text)]), 1, name);
    }
}

/// A day so many days from today.
pub(crate) fn day(offset: i64) -> String {
    let days = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .map_or(0, |it| i64::try_from(it.as_secs() / 86_400).unwrap_or(0))
        + offset;
    // Civil from days (Hinnant), for dates after 1970.
    let z = days + 719_468;
    let (era, doe) = (z / 146_097, z % 146_097);
    let yoe = (doe - doe / 1_460 + doe / 36_524 - doe / 146_096) / 365;
    let doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    let mp = (5 * doy + 2) / 153;
    let (day, month) = (doy - (153 * mp + 2) / 5 + 1, if mp < 10 { mp + 3 } else { mp - 9 });
    format!("{:04}-{month:02}-{day:02}", yoe + era * 400 + i64::from(month <= 2))
}

/// A home with a synthetic patient.
pub(crate) fn home_with_patient(folder: &Path, role: &str) -> PathBuf {
    let home = homes::quick(folder, role, role);
    let observation = |id: &str, code: &str, when: &str, quantity: Value| {
        json!({ "resourceType": "Observation", "id": id, "status": "final",
                "code": { "coding": [{ "system": "http://loinc.org", "code": code }] },
                "subject": { "reference": "Patient/synthetic-1" }, "effectiveDateTime": when, "valueQuantity": quantity })
    };
    let panel = json!({ "resourceType": "Observation", "id": "bp", "status": "final",
        "code": { "coding": [{ "system": "http://loinc.org", "code": "85354-9" }] },
        "subject": { "reference": "Patient/synthetic-1" }, "effectiveDateTime": day(-10),
        "component": [{ "code": { "coding": [{ "system": "http://loinc.org", "code": "8480-6" }] },
                        "valueQuantity": { "value": 150, "code": "mm[Hg]", "unit": "mmHg" } }] });
    let mut draft = observation("draft", "2093-3", &day(-1), json!({ "value": 500, "code": "mg/dL" }));
    draft["status"] = "preliminary".into();
    let visit = |id: &str, patient: &str, class: &str, start: i64, end: i64| {
        json!({ "resourceType": "Encounter", "id": id, "status": "finished", "class": { "code": class },
                "subject": { "reference": format!("Patient/{patient}") },
                "period": { "start": day(start), "end": day(end) } })
    };
    let lines = [
        visit("stay", "synthetic-1", "IMP", -9, -5),
        visit("stay-before", "synthetic-1", "IMP", -209, -200),
        visit("stay-long-ago", "synthetic-1", "IMP", -809, -800),
        visit("emergency", "synthetic-1", "EMER", -100, -100),
        visit("old-stay", "synthetic-2", "IMP", -409, -400),
        json!({ "resourceType": "Patient", "id": "synthetic-1", "gender": "male", "birthDate": "1960-02-29" }),
        json!({ "resourceType": "Patient", "id": "synthetic-2", "gender": "male", "birthDate": "1960-02-29",
                "deceasedDateTime": "2020-01-01" }),
        json!({ "resourceType": "Practitioner", "id": "doc", "name": [{ "text": "Synthetic Doctor" }] }),
        panel,
        draft,
        observation("chol-old", "2093-3", &day(-800), json!({ "value": 180, "code": "mg/dL" })),
        observation("chol", "14647-2", &day(-30), json!({ "value": 6.0, "code": "mmol/L" })),
        observation("chol-unit", "2093-3", &day(-5), json!({ "value": 6.0, "code": "furlong" })),
        observation("sugar", "1558-6", &day(3), json!({ "value": 200, "code": "mg/dL" })),
    ];
    let text = lines.iter().map(Value::to_string).collect::<Vec<_>>().join("\n");
    let file = written(folder, &format!("{role}.ndjson"), &text);
    let imported = harness::run_json(&home, &["records", "import", &file]);
    assert_eq!(imported["imported"], lines.len(), "{imported}");
    home
}

pub(crate) const BY_HAND: [&str; 6] =
    ["--set", "chest-pain=no chest pain", "--set", "exercise-angina=yes", "--set", "st-depression=2.5"];

fn assessments(home: &Path) -> Vec<Value> {
    let found = harness::run_json(home, &["records", "search", "RiskAssessment?patient=Patient/synthetic-1"]);
    found["entry"].as_array().cloned().unwrap_or_default()
}

#[test]
fn a_patient_is_read_from_records_with_the_age_of_each_value_and_nothing_is_written() {
    let dir = harness::temp_dir();
    let home = home_with_patient(dir.path(), "clinic");
    let before = harness::run_json(&home, &["audit", "show"])["total"].as_u64();
    let args = [&["diagnose", "risk", "synthetic-1"], &BY_HAND[..]].concat();
    let report = harness::run_json(&home, &args);
    assert!(report["probability"].as_f64().is_some_and(|it| it > 0.5), "{report}");
    let values = report["values"].as_array().expect("values");
    let of = |name: &str| values.iter().find(|it| it["name"] == name).unwrap_or(&Value::Null);
    assert_eq!(of("resting-systolic")["source"], "Observation/bp");
    assert_eq!(
        (&of("resting-systolic")["value"], &of("resting-systolic")["days_old"]),
        (&json!("150 mmHg"), &json!(10))
    );
    assert_eq!(
        (&of("cholesterol")["value"], &of("cholesterol")["source"]),
        (&json!("232.02 mg/dL"), &json!("Observation/chol"))
    );
    assert_eq!(of("sex")["value"], "male");
    assert_eq!(of("chest-pain")["source"], "given");
    assert!(of("fasting-sugar-high").is_null(), "a value from tomorrow is not used");
    let aside = report["set_aside"].as_array().expect("a list");
    let reason =
        |source: &str| aside.iter().find(|it| it["source"] == source).and_then(|it| it["reason"].as_str());
    assert!(reason("Observation/chol-unit").is_some_and(|it| it.contains("unit")), "{report}");
    assert!(reason("Observation/sugar").is_some_and(|it| it.contains("future")), "{report}");
    assert!(reason("Observation/draft").is_none());
    let after = harness::run_json(&home, &["audit", "show"])["total"].as_u64();
    assert!(after > before, "the reading is in the trail");
    assert!(assessments(&home).is_empty(), "nothing is written unless a clinician confirms");

    let stay = harness::run_json(&home, &["diagnose", "risk", "synthetic-1", "--model", "readmission"]);
    let told: Vec<(&str, &str)> = stay["values"]
        .as_array()
        .expect("values")
        .iter()
        .filter_map(|it| Some((it["name"].as_str()?, it["value"].as_str()?)))
        .collect();
    for visits in [
        ("time-in-hospital", "4 days"),
        ("number-inpatient", "1"),
        ("number-emergency", "1"),
        ("number-outpatient", "0"),
    ] {
        assert!(told.contains(&visits), "{visits:?}: {stay}");
    }
    let old = harness::run_json(&home, &["diagnose", "risk", "synthetic-2", "--model", "readmission"]);
    assert!(old["set_aside"][0]["reason"].as_str().is_some_and(|it| it.contains("30 days ago")), "{old}");

    let little = harness::run_json(&home, &["diagnose", "risk", "Patient/synthetic-1"]);
    assert!(little["refused"].as_str().is_some_and(|it| it.contains("chest-pain")), "{little}");
    let dead =
        harness::run_json(&home, &[&["diagnose", "risk", "Patient/synthetic-2"], &BY_HAND[..]].concat());
    assert!(dead["refused"].as_str().is_some_and(|it| it.contains("died")), "{dead}");
    fails(&harness::run_cli(&home, &["diagnose", "risk", "Patient/nobody"]), 1, "no such resource");
    fails(
        &harness::run_cli(&home, &["diagnose", "risk", "Patient/synthetic-1", "--from", "nobody"]),
        1,
        "pair list",
    );
}

#[test]
fn only_what_a_clinician_confirms_is_kept_and_it_says_by_whom_and_from_what() {
    let dir = harness::temp_dir();
    let home = home_with_patient(dir.path(), "clinic");
    let base = [&["diagnose", "risk", "Patient/synthetic-1"], &BY_HAND[..]].concat();
    let run = |more: &[&str]| harness::run_cli(&home, &[&base, more].concat());
    fails(&run(&["--confirm", "--by", "Dr. Test"]), 2, "--yes");
    fails(&run(&["--confirm", "--yes"]), 2, "--by");
    fails(&run(&["--confirm", "--yes", "--by", "Practitioner/nobody"]), 1, "no such resource");
    fails(&run(&["--confirm", "--yes", "--by", " "]), 2, "Practitioner/ID");
    let refused = ["diagnose", "risk", "Patient/synthetic-1", "--confirm", "--yes", "--by", "Dr. Test"];
    fails(&harness::run_cli(&home, &refused), 1, "nothing to keep");
    assert!(assessments(&home).is_empty());

    let report =
        harness::run_json(&home, &[&base, &["--confirm", "--yes", "--by", "Practitioner/doc"][..]].concat());
    let reference = report["written"].as_str().expect("written").to_owned();
    let kept = harness::run_json(&home, &["records", "get", &reference]);
    assert_eq!(kept["status"], "final");
    assert_eq!(kept["subject"]["reference"], "Patient/synthetic-1");
    assert_eq!(kept["performer"]["reference"], "Practitioner/doc");
    let basis: Vec<&str> =
        kept["basis"].as_array().expect("a basis").iter().filter_map(|it| it["reference"].as_str()).collect();
    assert_eq!(basis, ["Observation/bp", "Observation/chol", "Patient/synthetic-1"]);
    let said = kept["prediction"][0]["probabilityDecimal"].as_f64().expect("a probability");
    assert!((said - report["probability"].as_f64().unwrap_or_default()).abs() < 1e-3, "{kept}");
    let note = kept["note"][0]["text"].as_str().expect("a note");
    let hash = report["model"]["weights_sha256"].as_str().expect("a hash");
    for text in [hash, "heart-disease", "chest-pain = no chest pain", "not a medical device", "thallium-scan"]
    {
        assert!(note.contains(text), "{text}: {note}");
    }
    assert_eq!(assessments(&home).len(), 1);
    let trail = harness::run_json(&home, &["audit", "show"]);
    let entries = trail["entries"].as_array().expect("entries");
    assert!(entries.iter().any(|entry| entry["action"] == "assess" && entry["count"] == 1), "{trail}");
    assert_eq!(harness::run_json(&home, &["audit", "verify"])["verified"], true);

    let named =
        harness::run_json(&home, &[&base, &["--confirm", "--yes", "--by", "Dr. \"><Test"][..]].concat());
    let kept = harness::run_json(&home, &["records", "get", named["written"].as_str().expect("written")]);
    assert_eq!(kept["performer"]["display"], "Dr. \"><Test");
}

#[test]
fn no_other_home_than_a_clinics_writes_and_a_changed_answer_is_not_confirmed() {
    let dir = harness::temp_dir();
    for role in ["patient", "researcher"] {
        let home = home_with_patient(dir.path(), role);
        let base = [&["diagnose", "risk", "Patient/synthetic-1"], &BY_HAND[..]].concat();
        assert!(harness::run_json(&home, &base)["probability"].is_f64(), "reading is for everybody");
        fails(
            &harness::run_cli(&home, &[&base, &["--confirm", "--yes", "--by", "Dr. Test"][..]].concat()),
            3,
            "clinic",
        );
        assert!(assessments(&home).is_empty());
    }
    let home = home_with_patient(dir.path(), "clinic");
    let daemon = homes::daemon(&home);
    let token = std::fs::read_to_string(daemon.told("token_file")).expect("the token file");
    let bearer = format!("Bearer {}", token.trim());
    let headers = [("Authorization", bearer.as_str()), ("Content-Type", "application/json")];
    let request = json!({ "patient": "synthetic-1", "source": null, "model": "heart", "chart": false, "to_confirm": true,
        "set": { "chest-pain": "no chest pain", "exercise-angina": "yes", "st-depression": "2.5" } });
    let read = crate::api::ask(&daemon, "POST", "/api/v1/diagnose/risk", &headers, &request.to_string());
    let report: Value = serde_json::from_str(&read.body).expect("an answer");
    let digest = report["report"]["digest"].as_str().expect("a digest");
    let confirm = |request: &Value, digest: &str| {
        let body = json!({ "request": request, "digest": digest, "by": "Dr. Test" });
        crate::api::ask(&daemon, "POST", "/api/v1/diagnose/risk/confirm", &headers, &body.to_string())
    };
    let mut other = request.clone();
    other["set"]["st-depression"] = "0".into();
    for (request, digest) in [(&other, digest), (&request, "0000"), (&request, "")] {
        let answer = confirm(request, digest);
        assert!(answer.status == 500 && answer.body.contains("changed"), "{} {}", answer.status, answer.body);
    }
    assert!(assessments(&home).is_empty());
    assert_eq!(confirm(&request, digest).status, 200);
    assert_eq!(assessments(&home).len(), 1);
    assert!(daemon.stop().success());
}
