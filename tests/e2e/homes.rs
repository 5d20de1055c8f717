//! Homes for the tests, and the synthetic records in them.

use std::path::{Path, PathBuf};

use keys::Keyring;
use metaclinic_tests::harness::{self, Daemon};
use secrecy::SecretString;
use serde_json::{Value, json};

/// Loopback only: tests talk to nobody else.
pub(crate) const LOOPBACK: [&str; 2] = ["--listen", "/ip4/127.0.0.1/tcp/0"];

/// Words of the synthetic patient that must never stand in a file of a home or in a log.
pub(crate) const CANARIES: [&str; 3] = ["Canary-Testperson", "1931-12-24", "canary note of the test"];

/// A new home called `name` in `folder`.
pub(crate) fn made(folder: &Path, name: &str, role: &str) -> PathBuf {
    let home = folder.join(name);
    let made = harness::run_json(&home, &["init", "--role", role, "--name", name]);
    assert!(made["identity"].as_str().is_some_and(|i| i.starts_with("mci1")));
    home
}

/// The same, and it opens at once: scrypt's second is worth nothing to a home that is opened fifty times.
pub(crate) fn quick(folder: &Path, name: &str, role: &str) -> PathBuf {
    let home = made(folder, name, role);
    let sealed = keyring(&home).seal(&SecretString::from(harness::PASSPHRASE), 1).expect("seals");
    std::fs::write(home.join("keyring.age"), sealed).expect("writable");
    home
}

/// The keys of a home.
pub(crate) fn keyring(home: &Path) -> Keyring {
    let sealed = std::fs::read(home.join("keyring.age")).expect("readable");
    Keyring::open(&sealed, &SecretString::from(harness::PASSPHRASE)).expect("the right passphrase")
}

/// A daemon that listens on loopback.
pub(crate) fn daemon(home: &Path) -> Daemon {
    Daemon::start(home, &LOOPBACK)
}

/// Writes a bundle of a synthetic patient with `observations` heart rates.
pub(crate) fn write_bundle(folder: &Path, observations: usize) -> PathBuf {
    let patient = json!({
        "fullUrl": "urn:uuid:p1",
        "resource": {
            "resourceType": "Patient", "id": "p1", "birthDate": CANARIES[1],
            "name": [{ "family": CANARIES[0], "text": "synthetic" }],
        },
    });
    let observation = |i: usize| {
        json!({
            "fullUrl": format!("urn:uuid:o{i}"),
            "resource": {
                "resourceType": "Observation", "id": format!("o{i}"), "status": "final",
                "category": [{ "coding": [{ "code": "vital-signs" }] }],
                "code": { "coding": [{ "system": "http://loinc.org", "code": "8867-4" }] },
                "subject": { "reference": "urn:uuid:p1" },
                "effectiveDateTime": format!("2026-01-{:02}T08:00:00Z", i % 28 + 1),
                "valueQuantity": { "value": 60 + i % 40, "unit": "/min" },
                "note": [{ "text": CANARIES[2] }],
            },
        })
    };
    let entries: Vec<Value> = std::iter::once(patient).chain((0..observations).map(observation)).collect();
    let path = folder.join("bundle.json");
    let bundle = json!({ "resourceType": "Bundle", "type": "collection", "entry": entries });
    std::fs::write(&path, bundle.to_string()).expect("the folder is writable");
    path
}

/// Whether any file below `folder` holds `word`.
pub(crate) fn any_file_holds(folder: &Path, word: &str) -> Option<PathBuf> {
    for entry in std::fs::read_dir(folder).expect("readable").flatten() {
        let kind = entry.file_type().expect("has a type");
        let found = if kind.is_dir() {
            any_file_holds(&entry.path(), word)
        } else if kind.is_file() {
            let bytes = std::fs::read(entry.path()).unwrap_or_default();
            bytes.windows(word.len()).any(|w| w == word.as_bytes()).then(|| entry.path())
        } else {
            None
        };
        if found.is_some() {
            return found;
        }
    }
    None
}
