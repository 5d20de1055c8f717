//! The source rules, each on a planted violation and on its innocent neighbour.

use super::*;

type Rule = fn(&Tree) -> Findings;

fn check(rule: Rule, path: &str, text: &str, expected: usize) {
    let found = rule(&Tree::of(&[(path, text)]));
    assert_eq!(found.len(), expected, "{path}: {text:?}: {found:?}");
}

fn manifests(rule: Rule, folder: &str, dependency: &str) -> usize {
    let root = format!(
        "[workspace]\nmembers = [\"{folder}\"]\n[workspace.dependencies]\nstream = {{ package = \"libp2p-stream\" }}\n"
    );
    let manifest = format!("[dependencies]\n{dependency}.workspace = true\n");
    rule(&Tree::of(&[("Cargo.toml", &root), (&format!("{folder}/Cargo.toml"), &manifest)])).len()
}

#[test]
fn pure_crate_with_files_sockets_or_clocks_is_found() {
    check(impure_sources, "keys/src/a.rs", "fn f() { std::fs::read(\"x\"); }", 1);
    check(impure_sources, "keys/src/a.rs", "use std::{collections::BTreeMap, fs::{self, File}};", 1);
    check(impure_sources, "node/records/src/a.rs", "use std::{io, net};", 1);
    check(impure_sources, "crdt/src/a.rs", "let t = std::time::Instant::now();", 1);
    check(impure_sources, "node/vitals/src/a.rs", "use std::time::SystemTime; let t = SystemTime::now();", 1);
    check(impure_sources, "node/study/src/a.rs", "async fn f() { tokio::time::sleep(d).await }", 1);
    check(impure_sources, "inference/src/a.rs", "use sled;", 1);
    check(impure_sources, "scenes/src/a.rs", "use libp2p::PeerId;", 1);
}

#[test]
fn talk_about_files_in_a_pure_crate_passes() {
    check(
        impure_sources,
        "keys/src/a.rs",
        "//! Never std::fs, tokio::x or sled::y.\nlet s = \"std::fs\";",
        0,
    );
    check(impure_sources, "node/records/src/wfdb/tests.rs", "std::fs::read(path)", 0);
    check(impure_sources, "node/records/tests/files.rs", "std::fs::read(path)", 0);
    check(impure_sources, "node/store/src/a.rs", "std::fs::read(path)", 0);
    check(impure_sources, "keys/src/a.rs", "use std::{fmt, collections::BTreeMap}; let net = 1;", 0);
}

#[test]
fn pure_crate_with_impure_dependency_is_found() {
    assert_eq!(manifests(impure_manifests, "keys", "tokio"), 1);
    assert_eq!(manifests(impure_manifests, "node/records", "getrandom"), 1);
    assert_eq!(manifests(impure_manifests, "keys", "serde"), 0);
    assert_eq!(manifests(impure_manifests, "node/net", "tokio"), 0);
}

#[test]
fn library_outside_its_crate_is_found() {
    assert_eq!(manifests(fence_breaches_in_manifests, "node", "sled"), 1);
    assert_eq!(manifests(fence_breaches_in_manifests, "node", "stream"), 1);
    assert_eq!(manifests(fence_breaches_in_manifests, "node/store", "age"), 1);
    assert_eq!(manifests(fence_breaches_in_manifests, "node/net", "ed25519-dalek"), 1);
    assert_eq!(manifests(fence_breaches_in_manifests, "node/store", "sled"), 0);
    assert_eq!(manifests(fence_breaches_in_manifests, "node/net", "iroh-blobs"), 0);
    assert_eq!(manifests(fence_breaches_in_manifests, "tests", "libp2p"), 0);
}

#[test]
fn library_used_outside_its_place_is_found() {
    let rule: Rule = fence_breaches_in_sources;
    check(rule, "node/store/src/lib.rs", "fn f(db: ::sled::Db) {}", 1);
    check(rule, "node/store/src/records.rs", "use sled::Tree;", 1);
    check(rule, "node/src/main.rs", "use libp2p_stream::Control;", 1);
    check(rule, "node/src/main.rs", "let key = iroh::SecretKey::generate();", 1);
    check(rule, "node/store/src/a.rs", "let r = age::x25519::Identity::generate();", 1);
    check(rule, "node/src/a.rs", "use ed25519_dalek as dalek;", 1);
    check(rule, "crdt/src/a.rs", "use burn::tensor::Tensor;", 1);
    check(rule, "node/src/a.rs", "extern crate automerge;", 1);
}

#[test]
fn library_in_its_place_and_words_like_it_pass() {
    let rule: Rule = fence_breaches_in_sources;
    check(rule, "node/store/src/sled.rs", "use sled::Tree;", 0);
    check(rule, "node/store/src/lib.rs", "mod sled; use crate::sled::Engine; use self::sled::Other;", 0);
    check(rule, "node/records/src/a.rs", "let age = years(birth); if age > 89 { patient.age }", 0);
    check(rule, "node/src/a.rs", "// the seed goes to libp2p::identity\nlet burn = true;", 0);
    check(rule, "tests/e2e/main.rs", "use libp2p::PeerId;", 0);
}

#[test]
fn long_file_is_found() {
    let lines = |count| "//! x\n".repeat(count);
    check(long_files, "keys/src/a.rs", &lines(600), 0);
    check(long_files, "keys/src/a.rs", &lines(601), 1);
    check(long_files, "keys/src/a/tests.rs", &lines(1000), 0);
    check(long_files, "keys/src/a/tests.rs", &lines(1001), 1);
    check(long_files, "tests/e2e/main.rs", &lines(1001), 1);
}

#[test]
fn source_without_module_docs_is_found() {
    check(sources_without_module_docs, "keys/src/a.rs", "use std::fmt;\n", 1);
    check(sources_without_module_docs, "keys/src/a.rs", "", 1);
    check(sources_without_module_docs, "keys/src/a.rs", "//! What it does.\n", 0);
}

#[test]
fn undone_words_are_found() {
    for word in UNDONE {
        check(undone_words, "keys/src/a.rs", &format!("fn f() {{ {word}(1) }}"), 1);
        check(undone_words, "docs/a.md", word, 1);
        check(undone_words, "node/demo/patient.json", word, 0);
    }
    check(undone_words, "Cargo.toml", "todo = \"warn\"\nunimplemented = \"warn\"", 0);
}

#[test]
fn machine_paths_are_found() {
    for start in MACHINE_PATHS {
        check(machine_paths, "docs/a.md", &format!("see {start}me/file"), 1);
        check(machine_paths, "node/demo/a.json", &format!("\"{start}x\""), 1);
        check(machine_paths, "docs/a.md", &format!("https://example.org{start}x and ./a{start}b"), 0);
    }
}
