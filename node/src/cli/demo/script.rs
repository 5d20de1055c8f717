//! What the demonstration shows, step by step.

use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::stage::Stage;
use crate::service::problem::{Problem, Tried};

const ECG_HEADER: &[u8] = include_bytes!("../../../samples/mitdb-208-excerpt.hea");
const ECG_SIGNAL: &[u8] = include_bytes!("../../../samples/mitdb-208-excerpt.dat");
const RADIOGRAPH: &[u8] = include_bytes!("../../../samples/pneumoniamnist-val-000.png");
const PATIENT_BUNDLE: &str = include_str!("../../../samples/synthetic-patient.json");
/// Words of the synthetic patient that must stand in no file of a home.
const PLANTED: [&str; 5] =
    ["Synthetic-Lindqvist", "1958-03-17", "SYN-0417-2209", "palpitations when climbing", "Invented Lane"];
const PATIENT_ID: &str = "synthetic-patient-1";
const HOMES: [(&str, &str, &str); 3] = [
    ("clinic", "clinic", "Harbour Clinic"),
    ("patient", "patient", "Ada at home"),
    ("other", "researcher", "Third party"),
];
const ROOM: &str = "Consultation";
const MEETING_LIMIT: Duration = Duration::from_secs(20);
const PAIRING_LIMIT: Duration = Duration::from_secs(30);

/// Plays all steps.
pub(super) fn play(stage: &mut Stage) {
    stage.step("Three homes are made: a clinic, a patient, and a third party", make_homes);
    stage.step("Their daemons start and listen on this machine", start_daemons);
    stage.step("Clinic and patient pair by a short code", |s| pair(s, "patient", "clinic", false));
    stage.step(
        "The third party pairs with the patient by ticket; pairing alone gives no right to read",
        |s| pair(s, "patient", "other", true),
    );
    stage.step("The patient imports a real ECG and a synthetic FHIR record", import);
    stage.step("Without a consent the clinic gets nothing", |s| refused(s, "clinic"));
    stage.step("The patient consents that the clinic reads, for treatment, for 30 days", give);
    stage.step("The clinic fetches the record and the sealed ECG", fetch);
    stage.step("The clinic finds the ECG in its own store and opens it", find_ecg);
    stage.step("The third party has no consent and is refused", |s| refused(s, "other"));
    stage.step("The clinic opens a consulting room and the patient joins it", open_room);
    stage.step(
        "Both put annotations into the room, one with a sealed file; both hold the same room",
        annotate,
    );
    stage.step("The third party is no member and cannot join", join_refused);
    stage.step(
        "The patient's daemon is killed with kill -9; both go on in the room without each other",
        kill_and_go_on,
    );
    stage.step("The daemon starts again; both meet by themselves and nothing is lost", meet_again);
    stage.step("The clinic reads the ECG with the model on its own device; nothing leaves it", diagnose);
    stage.step(
        "It posts the finding with the strip into the room; the patient sees it and opens the sealed strip",
        post_finding,
    );
    stage.step(
        "The clinic reads a chest radiograph on its own device, with what spoke for it",
        read_radiograph,
    );
    stage.step(
        "The patient asks how soon to get help, in English and in Chinese; nothing is kept",
        self_check,
    );
    stage.step("The patient revokes the consent; the clinic can fetch no more", revoke);
    stage.step("The audit trail verifies at both ends", verify);
    stage.step("No planted word of the patient stands in any file of any home", search_files);
}

fn make_homes(stage: &mut Stage) -> Result<String, Problem> {
    for (home, role, name) in HOMES {
        stage.expect(home, &["init", "--role", role, "--name", name])?;
    }
    Ok("each has an identity, a device key and an empty sealed store".to_owned())
}

fn start_daemons(stage: &mut Stage) -> Result<String, Problem> {
    for (home, ..) in HOMES {
        stage.start_daemon(home)?;
    }
    Ok("three processes, no server anywhere".to_owned())
}

fn pair(stage: &mut Stage, offering: &str, accepting: &str, by_ticket: bool) -> Result<String, Problem> {
    let mut offer = stage.start(offering, &["pair", "offer"])?;
    let opened = offer.next(PAIRING_LIMIT)?;
    let text = |pointer: &str| opened.pointer(pointer).and_then(|v| v.as_str()).unwrap_or_default();
    let accepted = if by_ticket {
        stage.expect(accepting, &["pair", "accept", text("/ticket")])?
    } else {
        stage.expect(accepting, &["pair", "accept", text("/code"), "--at", text("/addresses/0")])?
    };
    let check = offer.next(PAIRING_LIMIT)?;
    let paired = offer.next(PAIRING_LIMIT)?;
    if paired["event"] != "paired"
        || check["check"] != accepted["check"]
        || paired["check"] != accepted["check"]
    {
        return Err(Problem::failed("the two sides do not show the same digits"));
    }
    Ok(format!("both screens show {}", accepted["check"].as_str().unwrap_or_default()))
}

fn import(stage: &mut Stage) -> Result<String, Problem> {
    let folder = stage.folder().join("samples");
    std::fs::create_dir_all(&folder).tried("make a folder")?;
    let write = |name: &str, bytes: &[u8]| std::fs::write(folder.join(name), bytes).tried("write a sample");
    write("mitdb-208-excerpt.hea", ECG_HEADER)?;
    write("mitdb-208-excerpt.dat", ECG_SIGNAL)?;
    write("synthetic-patient.json", PATIENT_BUNDLE.as_bytes())?;
    let report = stage.expect("patient", &["records", "import", "samples", "--patient", PATIENT_ID])?;
    let imported = report["imported"].as_u64().unwrap_or_default();
    let rejected = report["rejected"].as_array().map_or(0, Vec::len);
    if imported < 13 || rejected != 0 {
        return Err(Problem::failed(format!("{imported} imported, {rejected} left out")));
    }
    Ok(format!(
        "{imported} resources, among them 5 minutes of ECG (MIT-BIH record 208, a real patient of 1979, in the usual training half)"
    ))
}

fn refused(stage: &mut Stage, home: &str) -> Result<String, Problem> {
    let ran = stage.run(home, &["records", "fetch", "Ada at home", "Observation"])?;
    if ran.code != Some(3) {
        return Err(Problem::failed(format!("expected to be denied (exit 3), saw {:?}", ran.code)));
    }
    Ok("denied, exit 3, and the refusal is in the patient's trail".to_owned())
}

fn give(stage: &mut Stage) -> Result<String, Problem> {
    let grant = stage.expect(
        "patient",
        &["grant", "give", "Harbour Clinic", "--all", "--purpose", "treatment", "--for", "30d"],
    )?;
    Ok(format!("signed until {}", grant["not_after"].as_str().unwrap_or_default()))
}

fn fetch(stage: &mut Stage) -> Result<String, Problem> {
    let mut resources = 0;
    let mut attachments = 0;
    for query in ["Patient", "Condition", "Observation"] {
        let report = stage.expect("clinic", &["records", "fetch", "Ada at home", query])?;
        resources += report["fetched"].as_u64().unwrap_or_default();
        attachments += report["attachments"].as_u64().unwrap_or_default();
    }
    if resources < 9 || attachments != 1 {
        return Err(Problem::failed(format!("{resources} resources and {attachments} attachments came")));
    }
    Ok(format!(
        "{resources} resources and {attachments} attachment, sealed again under the clinic's own keys"
    ))
}

fn find_ecg(stage: &mut Stage) -> Result<String, Problem> {
    let bundle =
        stage.expect("clinic", &["records", "search", "Observation?code=http://loinc.org|11524-6"])?;
    let resource = &bundle["entry"][0]["resource"];
    if bundle["total"] != 1 || resource["subject"]["reference"] != format!("Patient/{PATIENT_ID}") {
        return Err(Problem::failed("the ECG is not found"));
    }
    let reference = format!("Observation/{}", resource["id"].as_str().unwrap_or_default());
    let folder = stage.folder().join("from-clinic");
    std::fs::create_dir_all(&folder).tried("make a folder")?;
    stage.expect("clinic", &["records", "get", &reference, "--save", "from-clinic"])?;
    let signal = std::fs::read(folder.join("mitdb-208-excerpt.dat")).tried("read the saved signal")?;
    if signal != ECG_SIGNAL {
        return Err(Problem::failed("the signal at the clinic differs from the patient's"));
    }
    Ok(format!("{reference}; its signal is the patient's, byte for byte"))
}

/// The recording as the clinic's own store names it.
fn ecg_reference(stage: &mut Stage) -> Result<String, Problem> {
    let bundle =
        stage.expect("clinic", &["records", "search", "Observation?code=http://loinc.org|11524-6"])?;
    Ok(format!("Observation/{}", text(&bundle, "/entry/0/resource/id")))
}

fn diagnose(stage: &mut Stage) -> Result<String, Problem> {
    let reference = ecg_reference(stage)?;
    let report = stage.expect("clinic", &["diagnose", "ecg", &reference, "--strip", "ecg-strip.svg"])?;
    let beats = report["beats"].as_array().map_or(0, Vec::len);
    let rate = report.pointer("/rhythm/mean_rate_per_min").and_then(Value::as_f64).unwrap_or_default();
    let burden =
        report.pointer("/rhythm/ventricular_burden_percent").and_then(Value::as_f64).unwrap_or_default();
    let drawn = std::fs::read_to_string(stage.folder().join("ecg-strip.svg")).tried("read the strip")?;
    // The recording holds 517 beats at 103 a minute, 204 of them ventricular or fused.
    if !(450..600).contains(&beats) || !(10.0..60.0).contains(&burden) || !drawn.starts_with("<svg") {
        return Err(Problem::failed(format!("{beats} beats were found, {burden:.1} % ventricular")));
    }
    Ok(format!(
        "{beats} beats, {rate:.0}/min, {burden:.1} % called ventricular, each with reasons (record 208 is a training patient: \
         see `metaclinic models show ecg` for patients never seen)"
    ))
}

fn post_finding(stage: &mut Stage) -> Result<String, Problem> {
    let reference = ecg_reference(stage)?;
    let posted =
        stage.expect("clinic", &["diagnose", "ecg", &reference, "--room", ROOM, "--anchor", "light-box"])?;
    let annotation = text(&posted, "/annotation").to_owned();
    same_room(stage)?;
    let folder = stage.folder().join("at-the-patient");
    std::fs::create_dir_all(&folder).tried("make a folder")?;
    let deadline = Instant::now() + MEETING_LIMIT;
    let strip = folder.join("ecg-strip.png");
    loop {
        // The sealed strip follows the annotation by itself.
        let ran = stage.run("patient", &["room", "save", ROOM, &annotation, "at-the-patient"])?;
        if ran.code == Some(0) {
            break;
        }
        if Instant::now() > deadline {
            return Err(Problem::failed("the strip did not reach the patient"));
        }
        std::thread::sleep(Duration::from_millis(200));
    }
    let bytes = std::fs::read(&strip).tried("read the strip at the patient")?;
    if !bytes.starts_with(b"\x89PNG") {
        return Err(Problem::failed("the strip at the patient is no PNG"));
    }
    Ok(format!("the same annotation at both, with a strip of {} kB at the patient", bytes.len() / 1000))
}

fn kill_and_go_on(stage: &mut Stage) -> Result<String, Problem> {
    stage.kill_daemon("patient")?;
    let bundle = stage.expect("patient", &["records", "search", "Observation?code=8867-4"])?;
    let report = stage.expect("patient", &["records", "verify"])?;
    let checked = report["checked"].as_u64().unwrap_or_default();
    if bundle["total"] != 1 || checked < 13 {
        return Err(Problem::failed(format!("after the kill {checked} records are there")));
    }
    let ran = stage.run("clinic", &["records", "fetch", "Ada at home", "Observation"])?;
    if ran.code != Some(1) {
        return Err(Problem::failed(format!(
            "the clinic should see that nobody answers, saw {:?}",
            ran.code
        )));
    }
    stage.expect("patient", &["room", "say", ROOM, "I am still here, without my daemon"])?;
    stage
        .expect("patient", &["room", "annotate", ROOM, "--text", "my chair", "--anchor", "patient-chair"])?;
    let shared = stage.expect("clinic", &["room", "show", ROOM])?;
    let moved = text(&shared, "/annotations/0/annotation");
    stage.expect("clinic", &["room", "move", ROOM, moved, "--anchor", "light-box"])?;
    stage.expect("clinic", &["room", "note", ROOM, "ECG reviewed together"])?;
    Ok(format!("all {checked} records open and verify; two edits at each side while apart"))
}

fn meet_again(stage: &mut Stage) -> Result<String, Problem> {
    stage.start_daemon("patient")?;
    let deadline = Instant::now() + PAIRING_LIMIT;
    loop {
        let status = stage.expect("clinic", &["status"])?;
        let peers = status["peers"].as_array().map(Vec::as_slice).unwrap_or_default();
        if peers.iter().any(|p| p["name"] == "Ada at home" && p["connected"] == true) {
            break;
        }
        if Instant::now() > deadline {
            return Err(Problem::failed("the two did not meet again"));
        }
        std::thread::sleep(Duration::from_millis(500));
    }
    let room = same_room(stage)?;
    let count = |pointer: &str| room.pointer(pointer).and_then(Value::as_array).map_or(0, Vec::len);
    let (annotations, notes, said) = (count("/annotations"), count("/notes"), count("/chat"));
    if (annotations, notes, said) != (3, 1, 1) {
        return Err(Problem::failed(format!(
            "the room holds {annotations} annotations, {notes} notes, {said} lines"
        )));
    }
    let query = "Observation?category=vital-signs";
    let report = stage.expect("clinic", &["records", "fetch", "Ada at home", query])?;
    let vital_signs = &report["fetched"];
    Ok(format!(
        "the same room at both, all four edits in it; {vital_signs} vital signs fetched from the new address"
    ))
}

fn open_room(stage: &mut Stage) -> Result<String, Problem> {
    stage.expect("clinic", &["room", "create", ROOM, "--scene", "consulting-room"])?;
    let invited = stage.expect("clinic", &["room", "invite", ROOM, "Ada at home", "--role", "patient"])?;
    stage.expect("patient", &["room", "join", text(&invited, "/ticket")])?;
    Ok("the member list is signed by the clinic, its owner".to_owned())
}

fn annotate(stage: &mut Stage) -> Result<String, Problem> {
    let attach = ["--attach", "samples/mitdb-208-excerpt.hea"];
    let mut clinic = vec!["room", "annotate", ROOM, "--text", "ECG of today", "--anchor", "monitor"];
    clinic.extend(attach);
    stage.expect("clinic", &clinic)?;
    stage
        .expect("patient", &["room", "annotate", ROOM, "--text", "it hurts here", "--at", "0.4,1.1,-0.6"])?;
    let room = same_room(stage)?;
    let annotations = room["annotations"].as_array().map_or(0, Vec::len);
    if annotations != 2 {
        return Err(Problem::failed(format!("{annotations} annotations are in the room")));
    }
    Ok(format!(
        "{annotations} annotations, heads {}",
        text(&room, "/heads/0").chars().take(16).collect::<String>()
    ))
}

fn join_refused(stage: &mut Stage) -> Result<String, Problem> {
    let ticket = text(&stage.expect("patient", &["room", "ticket", ROOM])?, "/ticket").to_owned();
    let ran = stage.run("other", &["room", "join", &ticket])?;
    if ran.code != Some(3) {
        return Err(Problem::failed(format!("expected to be denied (exit 3), saw {:?}", ran.code)));
    }
    Ok("denied, exit 3: a ticket says where a room is, membership is signed".to_owned())
}

/// Waits until both show the same heads, and returns the room.
fn same_room(stage: &mut Stage) -> Result<Value, Problem> {
    let deadline = Instant::now() + MEETING_LIMIT;
    loop {
        let clinic = stage.expect("clinic", &["room", "show", ROOM])?;
        let patient = stage.expect("patient", &["room", "show", ROOM])?;
        if clinic["heads"] == patient["heads"] && clinic["annotations"] == patient["annotations"] {
            return Ok(patient);
        }
        if Instant::now() > deadline {
            return Err(Problem::failed("the two do not hold the same room"));
        }
        std::thread::sleep(Duration::from_millis(200));
    }
}

fn text<'a>(value: &'a Value, pointer: &str) -> &'a str {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

fn read_radiograph(stage: &mut Stage) -> Result<String, Problem> {
    let file = stage.folder().join("samples/pneumoniamnist-val-000.png");
    std::fs::write(&file, RADIOGRAPH).tried("write a sample")?;
    let why = "radiograph-why.png";
    let sample = "samples/pneumoniamnist-val-000.png";
    let report = stage.expect("clinic", &["diagnose", "image", sample, "--saliency", why])?;
    let probability = report["findings"][0]["probability"].as_f64().unwrap_or_default();
    let drawn = std::fs::read(stage.folder().join(why)).is_ok_and(|bytes| bytes.starts_with(b"\x89PNG"));
    if probability < 0.5 || !drawn {
        return Err(Problem::failed(format!("pneumonia at {probability:.2}, map drawn: {drawn}")));
    }
    Ok(format!(
        "pneumonia {:.0} %, by 28 × 28 pixels (a picture by which the model's settings were chosen); map in {why}",
        probability * 100.0
    ))
}

fn self_check(stage: &mut Stage) -> Result<String, Problem> {
    let urgent = [
        "--text",
        "胸口压榨样疼痛半小时，放射到左臂，出冷汗",
        "--age",
        "58",
        "--sex",
        "male",
        "--lang",
        "zh",
    ];
    let mild = [
        "--text",
        "runny nose and sneezing for two days, no fever, no trouble breathing",
        "--age",
        "30",
        "--sex",
        "female",
    ];
    let mut told = Vec::new();
    for (words, urgency) in [(&urgent[..], "emergency"), (&mild[..], "self_care")] {
        let arguments: Vec<&str> = std::iter::once("triage").chain(words.iter().copied()).collect();
        let answer = stage.expect("patient", &arguments)?;
        if answer["urgency"] != urgency {
            return Err(Problem::failed(format!("{} instead of {urgency}", answer["urgency"])));
        }
        let citation = answer["reasons"][0]["citation"].as_str().unwrap_or_default();
        told.push(format!("{urgency} [{citation}]"));
    }
    Ok(format!("{}; no diagnosis", told.join(", ")))
}

fn revoke(stage: &mut Stage) -> Result<String, Problem> {
    let list = stage.expect("patient", &["grant", "list"])?;
    let grant = list["grants"][0]["grant"].as_str().unwrap_or_default().to_owned();
    stage.expect("patient", &["grant", "revoke", &grant])?;
    refused(stage, "clinic")
}

fn verify(stage: &mut Stage) -> Result<String, Problem> {
    let mut entries = Vec::new();
    for home in ["clinic", "patient"] {
        let report = stage.expect(home, &["audit", "verify"])?;
        if report["verified"] != true {
            return Err(Problem::failed(format!("the trail of {home} does not verify")));
        }
        entries.push(format!("{home} {}", report["entries"]));
    }
    Ok(format!("entries: {}", entries.join(", ")))
}

fn search_files(stage: &mut Stage) -> Result<String, Problem> {
    let mut searched = 0;
    for (home, ..) in HOMES {
        search_folder(&stage.folder().join(home), &mut searched)?;
    }
    Ok(format!("{searched} files searched for {} words", PLANTED.len()))
}

fn search_folder(folder: &Path, searched: &mut usize) -> Result<(), Problem> {
    for entry in std::fs::read_dir(folder).tried("look into a home")? {
        let entry = entry.tried("look into a home")?;
        let kind = entry.file_type().tried("look into a home")?;
        if kind.is_dir() {
            search_folder(&entry.path(), searched)?;
        } else if kind.is_file() {
            let bytes = std::fs::read(entry.path()).tried("read a file of a home")?;
            let planted = |word: &&&str| bytes.windows(word.len()).any(|w| w == word.as_bytes());
            if PLANTED.iter().any(|word| planted(&word)) {
                let name = entry.file_name();
                return Err(Problem::failed(format!("a planted word stands in {}", name.to_string_lossy())));
            }
            *searched += 1;
        }
    }
    Ok(())
}
