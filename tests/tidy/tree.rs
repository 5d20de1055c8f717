//! The files of the repository as values, so that a rule can be tried on a small invented tree.

use std::{collections::BTreeMap, fs, path::Path};

/// Files larger than this are data, not text to be judged, in bytes.
const TEXT_LIMIT_BYTES: u64 = 1024 * 1024;

/// What a rule found: one line for each place, with the next step to take.
pub(crate) type Findings = Vec<String>;

/// Text files by their path from the root, with `/` between folders.
#[derive(Default)]
pub(crate) struct Tree {
    files: BTreeMap<String, String>,
}

impl Tree {
    /// An invented tree for the tests of a rule.
    pub(crate) fn of(files: &[(&str, &str)]) -> Self {
        Self { files: files.iter().map(|(path, text)| ((*path).to_owned(), (*text).to_owned())).collect() }
    }

    /// Reads the real tree: every text file, except in folders that `.gitignore` names, and `.git`.
    pub(crate) fn read(root: &Path) -> Self {
        let ignored = fs::read_to_string(root.join(".gitignore")).unwrap_or_default();
        let skipped: Vec<String> = ignored
            .lines()
            .filter_map(|line| line.trim().strip_suffix('/'))
            .map(|name| name.trim_start_matches('/').to_owned())
            .collect();
        let mut tree = Self::default();
        tree.walk(root, "", &skipped);
        tree
    }

    fn walk(&mut self, folder: &Path, prefix: &str, skipped: &[String]) {
        let entries =
            fs::read_dir(folder).unwrap_or_else(|e| panic!("cannot read {}: {e}", folder.display()));
        for entry in entries.flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            let path = format!("{prefix}{name}");
            // In a linked worktree `.git` is a file that names the machine's own repository.
            if name == ".git" {
                continue;
            }
            let Ok(meta) = entry.path().symlink_metadata() else { continue };
            if meta.is_dir() && !skipped.contains(&name) && !skipped.contains(&path) {
                self.walk(&entry.path(), &format!("{path}/"), skipped);
            } else if meta.is_file() && meta.len() <= TEXT_LIMIT_BYTES {
                // Not UTF-8: a recording, an image or an archive, which no rule judges.
                if let Ok(text) = fs::read_to_string(entry.path()) {
                    self.files.insert(path, text);
                }
            }
        }
    }

    /// The text of one file.
    pub(crate) fn text(&self, path: &str) -> Option<&str> {
        self.files.get(path).map(String::as_str)
    }

    /// All files as (path, text), in order of path.
    pub(crate) fn files(&self) -> impl Iterator<Item = (&str, &str)> {
        self.files.iter().map(|(path, text)| (path.as_str(), text.as_str()))
    }

    /// The Rust sources.
    pub(crate) fn sources(&self) -> impl Iterator<Item = (&str, &str)> {
        self.files().filter(|(path, _)| path.ends_with(".rs"))
    }

    /// What people wrote here, as opposed to data: sources, manifests, scripts and documents.
    pub(crate) fn written(&self) -> impl Iterator<Item = (&str, &str)> {
        self.files().filter(|(path, _)| is_written(path))
    }
}

fn is_written(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or(path);
    let by_ending = [".rs", ".toml", ".md", ".ts", ".js", ".css", ".html", ".sh", ".yml", ".yaml"];
    matches!(name, "Makefile" | ".gitignore")
        || path.starts_with(".ci/")
        || by_ending.iter().any(|end| name.ends_with(end))
}

/// Whether a source holds tests only, by its place: `tests.rs`, or anywhere below a folder `tests`.
pub(crate) fn is_test_source(path: &str) -> bool {
    path.ends_with("/tests.rs") || path.split('/').rev().skip(1).any(|folder| folder == "tests")
}

#[test]
fn test_sources_are_known_by_their_place() {
    assert!(is_test_source("keys/src/grant/tests.rs"));
    assert!(is_test_source("tests/tidy/main.rs"));
    assert!(is_test_source("node/net/tests/limits.rs"));
    assert!(!is_test_source("keys/src/latests.rs"));
}

#[test]
fn data_is_not_judged_as_writing() {
    assert!(is_written("Makefile") && is_written("a/b.md") && is_written(".ci/run"));
    assert!(!is_written("node/demo/patient.json") && !is_written("Cargo.lock"));
}
