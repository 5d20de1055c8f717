//! Models that clinics give each other: signed, fetched between two processes, looked at, approved, run beside the one
//! in use, put in use, taken back; and packages that are not what they claim. The newer versions here are the built-in
//! model under another number, signed by homes of the tests.

use std::path::{Path, PathBuf};
use std::process::Output;
use std::thread;
use std::time::{Duration, Instant};

use keys::{IdentityKey, ModelManifest, Signed, Timestamp, codec};
use metaclinic_tests::harness::{self, described, fails};
use serde::Serialize;
use serde_json::{Value, json};
use sha2::Digest;

use crate::exchange::pair;
use crate::homes;
use crate::hostile::claim;
use crate::intruders::{MALFORMED, Victim};

/// The protocol by which models are offered.
const MODELS: &str = "/metaclinic/models/1";
const MAGIC: &[u8] = b"metaclinic-model1\n";
const ECG: &str = "ecg-beats";
const XRAY: &str = "chest-xray";
/// A version that no built-in model has yet.
pub(crate) const NEW: &str = "90";

pub(crate) fn models() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../inference/models")
}

fn sample() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../node/samples/pneumoniamnist-val-000.png")
}

pub(crate) fn text(path: &Path) -> String {
    path.display().to_string()
}

/// The files of a built-in model.
pub(crate) fn files(name: &str) -> (String, String, Vec<u8>) {
    let folder = models().join(name);
    let read = |file: &str| std::fs::read_to_string(folder.join(file)).expect("readable");
    let weights = std::fs::read(folder.join("weights.bpk")).expect("readable");
    (read("about.toml"), read("figures.toml"), weights)
}

/// The version of a built-in model.
pub(crate) fn version(name: &str) -> String {
    let (about, ..) = files(name);
    let line = about.lines().find_map(|line| line.strip_prefix("version = ")).expect("a version");
    line.trim_matches('"').to_owned()
}

/// A package as a stranger would spell it, of version [`NEW`] unless `change` does something else.
pub(crate) fn package(
    author: &IdentityKey,
    name: &str,
    change: impl FnOnce(&mut ModelManifest, &mut Vec<u8>),
) -> Vec<u8> {
    let (about, figures, mut weights) = files(name);
    let about =
        about.replacen(&format!("version = \"{}\"", version(name)), &format!("version = \"{NEW}\""), 1);
    let mut manifest = ModelManifest {
        version: ModelManifest::VERSION,
        author: author.id(),
        name: name.to_owned(),
        model_version: NEW.into(),
        about,
        figures,
        weights_sha256: sha2::Sha256::digest(&weights).into(),
        weights_bytes: weights.len() as u64,
        time: Timestamp::from_millis(1_790_000_000_000),
    };
    change(&mut manifest, &mut weights);
    spelled(&author.sign(&manifest), &weights)
}

pub(crate) fn spelled(signed: &Signed<ModelManifest>, weights: &[u8]) -> Vec<u8> {
    let signed = codec::encode(signed);
    let length = u32::try_from(signed.len()).expect("short");
    [MAGIC, &length.to_be_bytes(), &signed, weights].concat()
}

/// Tries to install `bytes`, naming `author` as trusted.
pub(crate) fn install(
    home: &Path,
    name: &str,
    bytes: &[u8],
    author: Option<&IdentityKey>,
    more: &[&str],
) -> Output {
    let file = home.with_extension("package");
    std::fs::write(&file, bytes).expect("writable");
    let (file, key) = (text(&file), author.map(|author| author.id().to_string()));
    let mut args = vec!["--json", "models", "install", name, "--file", &file, "--approve"];
    if let Some(key) = &key {
        args.extend(["--author", key]);
    }
    args.extend(more);
    harness::run_cli(home, &args)
}

pub(crate) fn in_use(home: &Path, name: &str) -> (String, String) {
    let list = harness::run_json(home, &["models", "list"]);
    let all = list["models"].as_array().expect("models");
    let model = all.iter().find(|model| model["name"] == name).expect("listed");
    let word = |field: &str| model[field].as_str().unwrap_or_default().to_owned();
    (word("in_use"), word("source"))
}

/// A synthetic record with a picture, so that there is something to read.
fn import_picture(home: &Path) {
    let data = data_encoding::BASE64.encode(&std::fs::read(sample()).expect("the sample"));
    let resource = json!({
        "resourceType": "DocumentReference", "id": "chest-1", "status": "current",
        "subject": { "reference": "Patient/synthetic-1" },
        "content": [{ "attachment": { "contentType": "image/png", "data": data } }],
    });
    let file = home.with_extension("json");
    std::fs::write(&file, resource.to_string()).expect("written");
    let imported = harness::run_json(home, &["records", "import", &text(&file)]);
    assert_eq!(imported["imported"], 1, "{imported}");
}

fn diagnosed(home: &Path) -> Value {
    harness::run_json(home, &["diagnose", "image", "DocumentReference/chest-1"])
}

#[test]
fn a_clinic_publishes_and_another_fetches_approves_runs_beside_activates_and_rolls_back() {
    let dir = harness::temp_dir();
    let author = homes::quick(dir.path(), "author", "clinic");
    let clinic = homes::quick(dir.path(), "clinic", "clinic");
    let daemon = homes::daemon(&author);
    pair(&author, &clinic);
    let folder = text(&models().join(XRAY));
    let published =
        harness::run_json(&author, &["models", "publish", "image", "--from", &folder, "--as-version", NEW]);
    assert_eq!((&published["model"], &published["version"]), (&json!(XRAY), &json!(NEW)), "{published}");

    let updates = harness::run_json(&clinic, &["models", "updates"]);
    let offer = &updates["peers"][0]["offers"][0];
    assert_eq!(
        (&offer["name"], &offer["version"], &offer["newer"]),
        (&json!(XRAY), &json!(NEW), &json!(true))
    );
    fails(&harness::run_cli(&clinic, &["models", "fetch", ECG, "--from", "author"]), 3, "not offered");
    let fetched = harness::run_json(&clinic, &["models", "fetch", XRAY, "--from", "author"]);
    assert_eq!(fetched["version"], NEW);
    assert_eq!(in_use(&clinic, XRAY), (version(XRAY), "built-in".into()), "fetched is not in use");

    import_picture(&clinic);
    let before = diagnosed(&clinic);
    fails(&harness::run_cli(&clinic, &["--json", "models", "install", XRAY]), 2, "--approve");
    let here = harness::run_json(&clinic, &["models", "install", XRAY, "--approve"]);
    assert_eq!(
        (&here["version"], &here["packages"][0]["state"]),
        (&json!(version(XRAY)), &json!("shadow")),
        "{here}"
    );
    // From here on the author's node is not needed: all that follows works with the network down.
    drop(daemon);
    let beside = diagnosed(&clinic);
    assert_eq!(beside, before, "the answer is that of the old model, to the last digit");
    let compared = harness::run_json(&clinic, &["models", "compare", XRAY]);
    assert_eq!((&compared["shadow"]["runs"], &compared["shadow"]["failed"]), (&json!(1), &json!(0)));
    assert_eq!(compared["shadow"]["classes"][0]["same"], 1, "{compared}");
    assert_eq!(compared["shadow"]["mean_absolute_difference"], 0.0, "{compared}");

    let here = harness::run_json(&clinic, &["models", "activate", XRAY]);
    assert_eq!((&here["version"], &here["source"]), (&json!(NEW), &json!("installed")));
    let after = diagnosed(&clinic);
    assert_eq!((&after["model"]["version"], &after["model"]["source"]), (&json!(NEW), &json!("installed")));
    assert_eq!(after["model"]["author"], updates["peers"][0]["peer"]);
    assert_eq!(after["findings"], before["findings"]);
    // A file belongs to no home.
    let file = harness::run_json(&clinic, &["diagnose", "image", &text(&sample())]);
    assert_eq!(file["model"]["source"], "built-in");
    let built_in = std::fs::read_dir(models()).expect("readable").count();
    let verified = harness::run_json(&clinic, &["models", "verify"]);
    assert_eq!(
        (verified["damaged"].as_u64(), verified["models"].as_array().map(Vec::len)),
        (Some(0), Some(built_in + 1))
    );
    assert_eq!(harness::run_json(&clinic, &["models", "show", XRAY])["about"]["version"], NEW);

    let back = harness::run_json(&clinic, &["models", "rollback", XRAY]);
    assert_eq!((&back["version"], &back["source"]), (&json!(version(XRAY)), &json!("built-in")));
    assert_eq!(diagnosed(&clinic), before);
    fails(&harness::run_cli(&clinic, &["models", "rollback", XRAY]), 2, "built-in");
    let trail = harness::run_json(&clinic, &["audit", "show"])["entries"].to_string();
    for action in ["model-fetch", "model-install", "model-activate", "model-rollback"] {
        assert!(trail.contains(action), "{action} is in the trail");
    }
    assert_eq!(harness::run_json(&clinic, &["audit", "verify"])["verified"], true);
}

#[test]
fn what_is_not_what_its_author_signed_is_refused_and_changes_nothing() {
    let dir = harness::temp_dir();
    let home = homes::quick(dir.path(), "clinic", "clinic");
    let (author, other) = (IdentityKey::from_seed([7; 32]), IdentityKey::from_seed([8; 32]));
    let good = package(&author, ECG, |_, _| {});
    let refused = |bytes: &[u8], words: &str| {
        fails(&install(&home, ECG, bytes, Some(&author), &[]), 1, words);
        assert_eq!(in_use(&home, ECG), (version(ECG), "built-in".into()), "{words}");
    };

    // A wrong signature: the author's words, somebody else's pen.
    let (_, _, weights) = files(ECG);
    let signed = manifest(&good);
    let words = ModelManifest::authentic(&signed).expect("good");
    let forged = *other.sign(&words).signature();
    let forged = Signed::from_parts(signed.body().to_vec(), *signed.signer(), forged);
    refused(&spelled(&forged, &weights), "signature");
    refused(&spelled(&other.sign(&words), &weights), "another identity");
    // A changed byte, wherever it lies.
    let body = good.len() - weights.len();
    for at in [0, 17, 20, 60, body / 2, body - 1, body + 5, good.len() - 1] {
        let mut changed = good.clone();
        changed[at] ^= 4;
        refused(&changed, "refused");
    }
    for end in [0, 10, 21, 500, body, good.len() - 1] {
        refused(&good[..end], "refused");
    }
    refused(&[MAGIC, &[0xff; 64]].concat(), "no package");
    refused(&vec![0; (16 << 20) + 1], "16 MiB");
    // Signed all the same, but not to be used.
    let odd = |change: fn(&mut ModelManifest, &mut Vec<u8>)| package(&author, ECG, change);
    refused(
        &odd(|manifest, _| {
            manifest.about = manifest.about.replacen("summary = \"", "summary = \"\\u001b[2J", 1);
        }),
        "deceive",
    );
    refused(
        &odd(|manifest, _| manifest.about = manifest.about.replace("emergency number", "doctor")),
        "emergency",
    );
    refused(&odd(|manifest, _| manifest.model_version = "9".into()), "version");
    refused(&odd(|manifest, _| (manifest.about, manifest.figures, _) = files(XRAY)), "refused");
    refused(
        &odd(|manifest, weights| {
            let (_, figures, other) = files(XRAY);
            // Weights of another network under the right hash.
            let hash = figures.lines().next().expect("a line").to_owned();
            let own = manifest.figures.lines().next().expect("a line").to_owned();
            manifest.figures = manifest.figures.replacen(&own, &hash, 1).replacen(
                &format!("weights_bytes = {}", weights.len()),
                &format!("weights_bytes = {}", other.len()),
                1,
            );
            manifest.weights_sha256 = sha2::Sha256::digest(&other).into();
            manifest.weights_bytes = other.len() as u64;
            *weights = other;
        }),
        "do not fit",
    );
    // An author whom nobody named.
    fails(&install(&home, ECG, &good, None, &[]), 3, "not paired");
    fails(&install(&home, ECG, &good, Some(&other), &[]), 3, "not paired");
    fails(&install(&home, XRAY, &good, Some(&author), &[]), 2, ECG);
    let trail = harness::run_json(&home, &["audit", "show"])["entries"].to_string();
    assert!(trail.contains("model-install") && trail.contains("denied"), "refusals are in the trail");

    // The same author, named: beside at first, or at once; and an old version brought again is refused.
    let taken = install(&home, ECG, &good, Some(&author), &["--now"]);
    assert!(taken.status.success(), "{}", described(&taken));
    assert_eq!(in_use(&home, ECG), (NEW.into(), "installed".into()));
    fails(&install(&home, ECG, &good, Some(&author), &["--now"]), 3, "not newer");
    let again = install(&home, ECG, &good, Some(&author), &["--now", "--allow-older"]);
    assert!(again.status.success(), "{}", described(&again));
}

/// The signed manifest inside a package.
pub(crate) fn manifest(package: &[u8]) -> Signed<ModelManifest> {
    let rest = &package[MAGIC.len()..];
    let length = u32::from_be_bytes(rest[..4].try_into().expect("four bytes")) as usize;
    codec::decode("manifest", &rest[4..4 + length], 1 << 20).expect("well formed")
}

#[test]
fn a_patient_publishes_nothing_and_a_stranger_learns_of_nothing() {
    let dir = harness::temp_dir();
    let patient = homes::quick(dir.path(), "patient", "patient");
    let folder = text(&models().join(ECG));
    let publish = ["models", "publish", ECG, "--from", folder.as_str(), "--as-version", NEW];
    fails(&harness::run_cli(&patient, &publish), 3, "patient");
    let author = homes::quick(dir.path(), "author", "clinic");
    let _daemon = homes::daemon(&author);
    let _ = harness::run_json(&author, &publish);
    // Not paired: there is nobody to ask.
    let stranger = homes::quick(dir.path(), "stranger", "clinic");
    fails(&harness::run_cli(&stranger, &["models", "fetch", ECG, "--from", "author"]), 1, "no paired peer");
    assert_eq!(harness::run_json(&stranger, &["models", "updates"])["peers"], json!([]));
    let withdrawn = harness::run_json(&author, &["models", "withdraw", ECG]);
    assert_eq!(withdrawn["offered"], false);
    fails(&harness::run_cli(&author, &["models", "withdraw", ECG]), 1, "not offered");
    let file = dir.path().join("ecg.model");
    let written = harness::run_json(&author, &[&publish[..], &["--file", &text(&file)]].concat());
    assert_eq!(written["file"], text(&file));
    // The author's own signature is good in the author's home.
    let taken = harness::run_json(&author, &["models", "install", ECG, "--file", &text(&file), "--approve"]);
    assert_eq!(taken["packages"][0]["state"], "shadow", "{taken}");
    let back = harness::run_json(&author, &["models", "rollback", ECG]);
    assert_eq!((&back["source"], &back["packages"]), (&json!("built-in"), &json!([])));
    fails(&harness::run_cli(&author, &["models", "activate", ECG]), 1, "models install");
}

/// Kills an install at many moments: afterwards the old model or the new one answers, never none.
#[test]
fn a_kill_in_the_middle_of_an_install_leaves_the_old_model_or_the_new_one() {
    let dir = harness::temp_dir();
    let home = homes::quick(dir.path(), "clinic", "clinic");
    import_picture(&home);
    let author = IdentityKey::from_seed([7; 32]);
    let (file, key) = (dir.path().join("image.model"), author.id().to_string());
    std::fs::write(&file, package(&author, XRAY, |_, _| {})).expect("writable");
    let file = text(&file);
    let args = ["models", "install", XRAY, "--file", &file, "--approve", "--now", "--author", &key];
    let started = Instant::now();
    let whole = harness::run_cli(&home, &args);
    assert!(whole.status.success(), "{}", described(&whole));
    let whole = started.elapsed();
    let _ = harness::run_json(&home, &["models", "rollback", XRAY]);
    for part in 1..=8_u32 {
        let mut child = harness::command(&home, &args).spawn().expect("starts");
        thread::sleep(whole * part / 8);
        // It may have ended already.
        let _ = child.kill();
        let _ = child.wait();
        let (now, source) = in_use(&home, XRAY);
        assert!(
            [(version(XRAY).as_str(), "built-in"), (NEW, "installed")]
                .contains(&(now.as_str(), source.as_str())),
            "{now} {source}"
        );
        let report = diagnosed(&home);
        assert_eq!(report["model"]["version"], now, "what is listed is what answers");
        assert!(report["findings"][0]["probability"].as_f64().is_some_and(|it| it > 0.5), "{report}");
        if source == "installed" {
            let _ = harness::run_json(&home, &["models", "rollback", XRAY]);
        }
    }
    let daemon = homes::daemon(&home);
    daemon.kill_hard();
    thread::sleep(Duration::from_millis(50));
    assert_eq!(harness::run_json(&home, &["models", "verify"])["damaged"], 0);
    assert_eq!(harness::run_json(&home, &["audit", "verify"])["verified"], true);
}

#[test]
fn a_damaged_package_on_the_disk_is_not_used_and_rollback_goes_on() {
    let dir = harness::temp_dir();
    let home = homes::quick(dir.path(), "clinic", "clinic");
    import_picture(&home);
    let author = IdentityKey::from_seed([7; 32]);
    let taken = install(&home, XRAY, &package(&author, XRAY, |_, _| {}), Some(&author), &["--now"]);
    assert!(taken.status.success(), "{}", described(&taken));
    let largest = std::fs::read_dir(home.join("blobs/data"))
        .expect("a folder")
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.extension().is_some_and(|ending| ending == "data"))
        .max_by_key(|path| std::fs::metadata(path).map(|meta| meta.len()).unwrap_or_default())
        .expect("the sealed package");
    let mut bytes = std::fs::read(&largest).expect("readable");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&largest, bytes).expect("writable");
    fails(
        &harness::run_cli(&home, &["diagnose", "image", "DocumentReference/chest-1"]),
        1,
        "models rollback chest-xray",
    );
    let verified = harness::run_cli(&home, &["--json", "models", "verify"]);
    assert_eq!(verified.status.code(), Some(1), "{}", described(&verified));
    let _ = harness::run_json(&home, &["models", "rollback", XRAY]);
    assert_eq!(diagnosed(&home)["model"]["source"], "built-in");
}

/// `models/1` as a hostile author speaks it.
#[derive(Serialize)]
struct Answer<'a> {
    version: u8,
    offers: [u8; 0],
    offer: Offer<'a>,
}

#[derive(Serialize)]
struct Offer<'a> {
    manifest: &'a Signed<ModelManifest>,
    package: Sealed,
}

/// What a package is said to lie under.
#[derive(Serialize)]
struct Sealed {
    #[serde(with = "serde_bytes")]
    hash: [u8; 32],
    #[serde(with = "serde_bytes")]
    key: [u8; 32],
    bytes: u64,
    content_type: String,
    title: String,
}

#[test]
fn a_hostile_author_is_refused_before_a_byte_of_the_package_is_fetched() {
    let dir = harness::temp_dir();
    let clinic = Victim::new(dir.path(), "clinic", "clinic");
    let (_, author) = clinic.paired(dir.path(), "author");
    let hostile = clinic.attacked_by(&author);
    let identity = author.identity();
    let good = manifest(&package(identity, ECG, |_, _| {}));
    let words = ModelManifest::authentic(&good).expect("good");
    let other = IdentityKey::from_seed([9; 32]);
    let forged = Signed::from_parts(good.body().to_vec(), *good.signer(), *other.sign(&words).signature());
    let elsewhere = manifest(&package(&other, ECG, |_, _| {}));
    let another = manifest(&package(identity, XRAY, |_, _| {}));
    for (signed, bytes, said) in [
        (&forged, 400_000, "signature"),
        (&elsewhere, 400_000, "somebody else signed"),
        (&another, 400_000, "another model"),
        (&good, 1 << 40, "16 MiB"),
    ] {
        let package =
            Sealed { hash: [1; 32], key: [2; 32], bytes, content_type: String::new(), title: String::new() };
        let answer = Answer { version: 1, offers: [], offer: Offer { manifest: signed, package } };
        let _answering = hostile.answering(MODELS, codec::encode(&answer));
        fails(&harness::run_cli(&clinic.home, &["models", "fetch", ECG, "--from", "author"]), 1, said);
    }
    {
        let _answering = hostile.answering(MODELS, vec![0x9f; 1000]);
        fails(&harness::run_cli(&clinic.home, &["models", "fetch", ECG, "--from", "author"]), 1, "malformed");
    }
    // And as one who asks: garbage, another version, more than a request has.
    assert!(hostile.refused(MODELS, b"garbage").contains("malformed"));
    assert!(hostile.send(MODELS, &claim(1 << 30)).len() < 300);
    assert_eq!(in_use(&clinic.home, ECG), (version(ECG), "built-in".into()));
    let listed = harness::run_json(&clinic.home, &["models", "list"]);
    assert!(!listed.to_string().contains("candidate"), "{listed}");
    let trail = clinic.end();
    let fetches = trail.0.iter().filter(|e| e["action"] == "model-fetch" && e["outcome"] == "failed").count();
    assert_eq!(fetches, 4, "{:?}", trail.0);
    assert!(trail.of(&author, MALFORMED) >= 5, "{:?}", trail.0);
}
