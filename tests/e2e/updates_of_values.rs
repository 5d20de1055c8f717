//! Models that read values instead of recordings, risks and glucose: packages, what runs beside, counts and opinions, as
//! for every other model. The newer versions are the built-in ones with another calibration or wider intervals.

use std::path::Path;

use keys::{IdentityKey, ModelManifest, Signed};
use metaclinic_tests::harness::{self, described, fails};
use serde_json::{Value, json};
use sha2::Digest;

use crate::exchange::pair;
use crate::glucose::observation;
use crate::homes;
use crate::risk::{BY_HAND, home_with_patient};
use crate::updates::{NEW, files, in_use, install, manifest, models, package, spelled, text, version};

const HEART: &str = "heart-disease";
const GLUCOSE: &str = "glucose-forecast";
const RISKS: [&str; 3] = [HEART, "readmission-30d", "breast-mass"];
const READINGS: &str = "Patient/synthetic-1";

/// Halves the slope of the first calibration: the same order of people, other probabilities.
fn flatter(figures: &str) -> String {
    let (before, after) = figures.split_once("[decision.calibration]").expect("a calibration");
    let line = after.lines().find(|line| line.starts_with("slope = ")).expect("a slope");
    format!("{before}[decision.calibration]{}", after.replacen(line, "slope = 0.5", 1))
}

/// Stretches the intervals of the first member at both times: the same middles.
fn wider(figures: &str) -> String {
    let line = figures.lines().find(|line| line.starts_with("stretch = ")).expect("a stretch");
    figures.replacen(line, "stretch = [3.0, 3.0]", 1)
}

fn recent(home: &Path, name: &str) -> Value {
    harness::run_json(home, &["models", "drift", name])["models"][0]["recent"].clone()
}

fn risk(home: &Path, more: &[&str]) -> Value {
    harness::run_json(home, &[&["diagnose", "risk", "Patient/synthetic-1"], &BY_HAND[..], more].concat())
}

#[test]
fn a_model_of_risk_travels_runs_beside_is_activated_named_on_what_is_kept_and_taken_back() {
    let dir = harness::temp_dir();
    let author = homes::quick(dir.path(), "author", "clinic");
    let clinic = home_with_patient(dir.path(), "clinic");
    let daemon = homes::daemon(&author);
    pair(&author, &clinic);
    let folder = dir.path().join("learned");
    std::fs::create_dir(&folder).expect("made");
    let (about, figures, weights) = files(HEART);
    for (name, bytes) in [
        ("about.toml", about.into_bytes()),
        ("figures.toml", flatter(&figures).into_bytes()),
        ("weights.bpk", weights),
    ] {
        std::fs::write(folder.join(name), bytes).expect("written");
    }
    let publish = ["models", "publish", "heart", "--from", &text(&folder), "--as-version", NEW];
    assert_eq!(harness::run_json(&author, &publish)["model"], HEART);
    let fetched = harness::run_json(&clinic, &["models", "fetch", "heart", "--from", "author"]);
    assert_eq!((&fetched["version"], &fetched["newer"]), (&json!(NEW), &json!(true)), "{fetched}");

    let before = risk(&clinic, &[]);
    let here = harness::run_json(&clinic, &["models", "install", "heart", "--approve"]);
    assert_eq!(here["packages"][0]["state"], "shadow", "{here}");
    drop(daemon);
    assert_eq!(risk(&clinic, &[]), before, "the answer is that of the old model, to the last digit");
    // Too little known: both say so. Who has died: no model is asked.
    let little = harness::run_json(&clinic, &["diagnose", "risk", "synthetic-1"]);
    assert!(little["refused"].as_str().is_some_and(|why| why.contains("chest-pain")), "{little}");
    let dead = harness::run_json(&clinic, &[&["diagnose", "risk", "synthetic-2"], &BY_HAND[..]].concat());
    assert!(dead["refused"].as_str().is_some_and(|why| why.contains("died")), "{dead}");
    let shadow = harness::run_json(&clinic, &["models", "compare", "heart"])["shadow"].clone();
    let counts = ["runs", "failed", "refused_by_both"].map(|name| shadow[name].as_u64());
    assert_eq!(counts, [Some(2), Some(0), Some(1)], "{shadow}");
    assert_eq!(shadow["classes"], json!([{ "class": "at or above the threshold", "same": 1, "other": 0 }]));
    assert_eq!(shadow["difference_in"], "probability");
    let difference = shadow["mean_absolute_difference"].as_f64().expect("a difference");
    assert!(difference > 0.01, "{shadow}");

    assert_eq!(
        risk(&clinic, &["--disagree", "--because", "wrong-class"])["opinion"]["because"],
        "wrong-class"
    );
    assert_eq!(risk(&clinic, &[])["opinion"]["agree"], false, "it is shown again");
    let now = recent(&clinic, "heart");
    assert_eq!((&now["runs"], &now["disagreed"]), (&json!(6), &json!(1)), "{now}");
    assert_eq!(now["refused"], json!({ "died": 1, "needed": 1 }));
    assert_eq!(now["mean_novelty"], Value::Null);

    let here = harness::run_json(&clinic, &["models", "activate", "heart"]);
    assert_eq!((&here["version"], &here["source"]), (&json!(NEW), &json!("installed")));
    let after = risk(&clinic, &["--confirm", "--yes", "--by", "Dr. Test", "--agree"]);
    assert_eq!((&after["model"]["version"], &after["model"]["source"]), (&json!(NEW), &json!("installed")));
    let of = |report: &Value| report["probability"].as_f64().expect("a probability");
    assert!((of(&before) - of(&after) - difference).abs() < 1e-6, "{} {}", of(&before), of(&after));
    assert_eq!(after["opinion"]["agree"], true, "another answer, another opinion");
    let kept = harness::run_json(&clinic, &["records", "get", after["written"].as_str().expect("written")]);
    let named = format!("{HEART} {NEW}");
    assert!(kept["method"]["text"].as_str().is_some_and(|it| it.contains(&named)), "{kept}");
    assert!(kept["note"][0]["text"].as_str().is_some_and(|it| it.contains(&named)), "{kept}");
    let now = recent(&clinic, "heart");
    assert_eq!((&now["runs"], &now["agreed"]), (&json!(7), &json!(1)), "a confirmation is no further run");

    let back = harness::run_json(&clinic, &["models", "rollback", "heart"]);
    assert_eq!((&back["version"], &back["source"]), (&json!(version(HEART)), &json!("built-in")));
    let again = risk(&clinic, &[]);
    assert_eq!((&again["digest"], &again["probability"]), (&before["digest"], &before["probability"]));
    let trail = harness::run_json(&clinic, &["audit", "show"])["entries"].to_string();
    for action in ["model-fetch", "model-install", "model-activate", "model-rollback", "model-opinion"] {
        assert!(trail.contains(action), "{action} is in the trail");
    }
    for word in ["wrong-class", "chest pain"] {
        assert_eq!(homes::any_file_holds(&clinic, word), None, "{word} stands nowhere in plain text");
    }
}

/// Two synthetic patients: thirty readings of one, five of the other.
fn import_readings(home: &Path) {
    let reading = |at: usize| observation(at, 110.0 + at as f64, "mg/dL");
    let few = |at: usize| {
        let mut one = reading(at);
        one["id"] = format!("few-{at}").into();
        one["subject"]["reference"] = "Patient/synthetic-2".into();
        one
    };
    let lines: Vec<String> = (0..30).map(reading).chain((0..5).map(few)).map(|it| it.to_string()).collect();
    let file = home.with_extension("ndjson");
    std::fs::write(&file, lines.join("\n")).expect("written");
    assert_eq!(harness::run_json(home, &["records", "import", &text(&file)])["imported"], 35);
}

#[test]
fn a_forecaster_of_glucose_runs_beside_is_activated_counted_judged_and_taken_back() {
    let dir = harness::temp_dir();
    let home = homes::quick(dir.path(), "clinic", "clinic");
    import_readings(&home);
    let forecast =
        |more: &[&str]| harness::run_json(&home, &[&["diagnose", "glucose", READINGS], more].concat());
    let before = forecast(&[]);
    let author = IdentityKey::from_seed([7; 32]);
    let made = package(&author, GLUCOSE, |manifest, _| manifest.figures = wider(&manifest.figures));
    let taken = install(&home, "glucose", &made, Some(&author), &[]);
    assert!(taken.status.success(), "{}", described(&taken));
    assert_eq!(in_use(&home, GLUCOSE), (version(GLUCOSE), "built-in".into()));
    assert_eq!(forecast(&[]), before, "the answer is that of the old model, to the last digit");
    let few = harness::run_json(&home, &["diagnose", "glucose", "Patient/synthetic-2"]);
    assert!(few["refused"].as_str().is_some_and(|why| why.contains("55")), "{few}");
    let shadow = harness::run_json(&home, &["models", "compare", "glucose"])["shadow"].clone();
    let counts = ["runs", "failed", "refused_by_both"].map(|name| shadow[name].as_u64());
    assert_eq!(counts, [Some(2), Some(0), Some(1)], "{shadow}");
    assert_eq!(shadow["classes"][0]["class"], before["urgency"], "{shadow}");
    assert_eq!(shadow["difference_in"], "mg/dL");
    assert_eq!(shadow["mean_absolute_difference"], 0.0, "the middles are the same: {shadow}");
    let words = described(&harness::run_cli(&home, &["models", "compare", "glucose"]));
    assert!(words.contains("mean difference in mg/dL"), "{words}");

    let here = harness::run_json(&home, &["models", "activate", "glucose"]);
    assert_eq!((&here["version"], &here["source"]), (&json!(NEW), &json!("installed")));
    let after = forecast(&["--agree"]);
    assert_eq!((&after["model"]["version"], &after["opinion"]["agree"]), (&json!(NEW), &json!(true)));
    let at = |report: &Value, name: &str| report["forecasts"][0][name].as_f64().expect("a number");
    assert_eq!(at(&after, "mg_per_dl"), at(&before, "mg_per_dl"));
    assert!(at(&after, "high") > at(&before, "high") + 1.0, "{after}");
    let now = recent(&home, "glucose");
    assert_eq!((&now["runs"], &now["agreed"], &now["disagreed"]), (&json!(4), &json!(1), &json!(0)), "{now}");
    assert_eq!((&now["refused"], &now["mean_novelty"]), (&json!({ "too-few": 1 }), &Value::Null));
    let _ = harness::run_json(&home, &["models", "rollback", "glucose"]);
    assert_eq!(forecast(&[]), before);
}

#[test]
fn packages_of_values_with_a_wrong_signature_or_other_weights_are_refused() {
    let dir = harness::temp_dir();
    let home = home_with_patient(dir.path(), "clinic");
    let before = risk(&home, &[]);
    let (author, other) = (IdentityKey::from_seed([7; 32]), IdentityKey::from_seed([8; 32]));
    for name in [&RISKS[..], &[GLUCOSE]].concat() {
        let good = package(&author, name, |_, _| {});
        let refused = |bytes: &[u8], words: &str| {
            fails(&install(&home, name, bytes, Some(&author), &[]), 1, words);
            assert_eq!(in_use(&home, name), (version(name), "built-in".into()), "{name}: {words}");
        };
        let (_, _, weights) = files(name);
        let signed = manifest(&good);
        let words = ModelManifest::authentic(&signed).expect("good");
        let forged = *other.sign(&words).signature();
        refused(
            &spelled(&Signed::from_parts(signed.body().to_vec(), *signed.signer(), forged), &weights),
            "signature",
        );
        // Weights of another model: with its whole card, or under this one's card and their right hash.
        let another = if name == HEART { RISKS[1] } else { HEART };
        let (about, figures, others) = files(another);
        let whole = package(&author, name, |manifest, weights| {
            (manifest.about, manifest.figures) = (about, figures.clone());
            manifest.weights_sha256 = sha2::Sha256::digest(&others).into();
            manifest.weights_bytes = others.len() as u64;
            weights.clone_from(&others);
        });
        refused(&whole, "another model");
        let under = package(&author, name, |manifest, weights| {
            let first = |figures: &str| figures.lines().next().expect("a hash").to_owned();
            let bytes = |length: usize| format!("weights_bytes = {length}");
            manifest.figures = manifest
                .figures
                .replacen(&first(&manifest.figures), &first(&figures), 1)
                .replacen(&bytes(weights.len()), &bytes(others.len()), 1);
            manifest.weights_sha256 = sha2::Sha256::digest(&others).into();
            manifest.weights_bytes = others.len() as u64;
            *weights = others.clone();
        });
        refused(&under, "do not fit");
        let taken = install(&home, name, &good, Some(&author), &["--now"]);
        assert!(taken.status.success(), "{}", described(&taken));
        assert_eq!(in_use(&home, name), (NEW.into(), "installed".into()));
    }
    let verified = harness::run_json(&home, &["models", "verify"]);
    let built_in = std::fs::read_dir(models()).expect("readable").count();
    let checked = verified["models"].as_array().map(Vec::len);
    assert_eq!((verified["damaged"].as_u64(), checked), (Some(0), Some(built_in + 4)), "{verified}");
    // The same weights under another version: what a clinician confirms names the version, too.
    let after = risk(&home, &[]);
    assert_eq!(after["probability"], before["probability"]);
    assert_ne!(after["digest"], before["digest"]);
}

#[test]
fn an_opinion_of_values_needs_a_record_and_is_not_both_kept_and_disagreed_with() {
    let dir = harness::temp_dir();
    let home = homes::quick(dir.path(), "clinic", "clinic");
    let file = dir.path().join("values.csv");
    std::fs::write(&file, "age,timestamp,glucose\n").expect("written");
    for kind in ["risk", "glucose"] {
        let about = ["diagnose", kind, &text(&file), "--agree"];
        fails(&harness::run_cli(&home, &about), 2, "records import");
    }
    let both = ["diagnose", "risk", READINGS, "--confirm", "--by", "Dr. Test", "--yes", "--disagree"];
    fails(&harness::run_cli(&home, &both), 2, "cannot be used");
    let free = ["diagnose", "glucose", READINGS, "--disagree", "--because", "she had eaten"];
    fails(&harness::run_cli(&home, &free), 2, "possible values");
}
