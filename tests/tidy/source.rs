//! Rules for sources: purity, one home for each library, length, and words that must not stay.

use crate::{
    lexer::{code_of, is_word, line_of, words},
    manifest::{members, package_name, root},
    tree::{Findings, Tree, is_test_source},
};

/// Crates that decide and never act: no runtime, files, sockets or clocks.
const PURE: [&str; 7] = ["keys", "crdt", "inference", "scenes", "node/records", "node/vitals", "node/study"];

/// What the code of a pure crate never says.
const IMPURE_PATHS: [&str; 6] =
    ["std::fs", "std::net", "SystemTime::now", "Instant::now", "Timestamp::now", "Zoned::now"];

/// Packages that a pure crate never depends on: they bring a runtime, a disk, a socket, a clock or randomness.
const IMPURE_PACKAGES: [&str; 12] = [
    "tokio",
    "tokio-util",
    "async-std",
    "smol",
    "sled",
    "redb",
    "axum",
    "hyper",
    "reqwest",
    "getrandom",
    "rand",
    "tempfile",
];

/// A library with one home: packages whose name starts with `prefix` are spoken only below `places`.
struct Fence {
    prefix: &'static str,
    folder: &'static str,
    /// Source files or folders.
    places: &'static [&'static str],
}

const FENCES: [Fence; 7] = [
    Fence { prefix: "sled", folder: "node/store", places: &["node/store/src/sled.rs"] },
    Fence { prefix: "libp2p", folder: "node/net", places: &["node/net/"] },
    Fence { prefix: "iroh", folder: "node/net", places: &["node/net/"] },
    Fence { prefix: "burn", folder: "inference", places: &["inference/"] },
    Fence { prefix: "automerge", folder: "crdt", places: &["crdt/"] },
    Fence { prefix: "age", folder: "keys", places: &["keys/"] },
    Fence { prefix: "ed25519-dalek", folder: "keys", places: &["keys/"] },
];

/// Crates that may look behind every fence: they play the hostile peer and measure against the bare library.
const UNFENCED: [&str; 2] = ["tests", "benches"];

/// Lines a source may have, and lines a file of tests may have.
const MAX_LINES: usize = 600;
const MAX_TEST_LINES: usize = 1000;

/// Words that say a thing is not done, split so that this file does not hold them.
const UNDONE: [&str; 4] =
    [concat!("TO", "DO"), concat!("FIX", "ME"), concat!("to", "do!"), concat!("unimpl", "emented!")];

/// Starts of paths that exist on one machine only, split so that this file does not hold them.
const MACHINE_PATHS: [&str; 4] =
    [concat!("/wo", "rk/"), concat!("/ho", "me/"), concat!("/ro", "ot/"), concat!("/Us", "ers/")];

fn below(path: &str, folder: &str) -> bool {
    path.strip_prefix(folder).is_some_and(|rest| rest.starts_with('/'))
}

/// Mentions of runtime, files, sockets and clocks in pure crates, their tests apart.
pub(crate) fn impure_sources(tree: &Tree) -> Findings {
    let mut found = Vec::new();
    for (path, text) in tree.sources() {
        if !PURE.iter().any(|folder| below(path, folder)) || is_test_source(path) {
            continue;
        }
        let code = code_of(text);
        let mut report = |at: usize, what: &str| {
            found.push(format!("{path}:{}: a pure crate must not use {what}", line_of(&code, at)));
        };
        for what in IMPURE_PATHS {
            words(&code, what).for_each(|at| report(at, what));
        }
        for name in ["tokio", "sled", "libp2p"] {
            uses_of(&code, name).for_each(|at| report(at, name));
        }
        for (at, name) in std_groups(&code) {
            if matches!(name.as_str(), "fs" | "net") {
                report(at, &format!("std::{name}"));
            }
        }
    }
    found
}

/// Dependencies of pure crates that would bring what they must not have.
pub(crate) fn impure_manifests(tree: &Tree) -> Findings {
    let root = root(tree);
    let mut found = Vec::new();
    for member in members(tree).into_iter().filter(|m| PURE.contains(&m.folder.as_str())) {
        for dependency in member.dependencies() {
            let name = package_name(&root, &dependency);
            if IMPURE_PACKAGES.contains(&name.as_str()) && !dependency.table.ends_with("dev-dependencies") {
                found.push(format!("{}/Cargo.toml: a pure crate must not depend on {name}", member.folder));
            }
        }
    }
    found
}

/// Dependencies on a fenced library outside its crate.
pub(crate) fn fence_breaches_in_manifests(tree: &Tree) -> Findings {
    let root = root(tree);
    let mut found = Vec::new();
    for member in members(tree).into_iter().filter(|m| !UNFENCED.contains(&m.folder.as_str())) {
        for dependency in member.dependencies() {
            let name = package_name(&root, &dependency);
            if let Some(fence) = FENCES.iter().find(|fence| fence.holds(&name))
                && fence.folder != member.folder
            {
                found
                    .push(format!("{}/Cargo.toml: {name} is spoken only in {}", member.folder, fence.folder));
            }
        }
    }
    found
}

/// Uses of a fenced library outside its place.
pub(crate) fn fence_breaches_in_sources(tree: &Tree) -> Findings {
    let mut found = Vec::new();
    for (path, text) in tree.sources().filter(|(path, _)| !UNFENCED.iter().any(|folder| below(path, folder)))
    {
        let code = code_of(text);
        for fence in FENCES.iter().filter(|fence| !fence.places.iter().any(|place| path.starts_with(place))) {
            for at in fence.uses(&code) {
                let line = line_of(&code, at);
                found.push(format!(
                    "{path}:{line}: {} is spoken only in {}",
                    fence.prefix,
                    fence.places.join(", ")
                ));
            }
        }
    }
    found
}

impl Fence {
    /// Whether `package` is the fenced library or one of its family (`libp2p-stream`).
    fn holds(&self, package: &str) -> bool {
        package.strip_prefix(self.prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
    }

    /// Where code names the library or one of its family.
    fn uses(&self, code: &str) -> Vec<usize> {
        let ident = self.prefix.replace('-', "_");
        let mut names: Vec<&str> = code
            .split(|c| !is_word(c))
            .filter(|w| *w == ident || w.starts_with(&format!("{ident}_")))
            .collect();
        names.sort_unstable();
        names.dedup();
        names.into_iter().flat_map(|name| uses_of(code, name)).collect()
    }
}

/// Where code names the crate `name`: as the start of a path, or right after `use` or `extern crate`.
/// A variable of that name, or a module of the own crate (`crate::name`), is something else.
fn uses_of<'c>(code: &'c str, name: &'c str) -> impl Iterator<Item = usize> + 'c {
    words(code, name).filter(move |&at| {
        let before = code[..at].trim_end();
        let before = before.strip_suffix("::").map_or(before, str::trim_end);
        let rooted = before.len() == code[..at].trim_end().len() || !before.ends_with(is_word);
        let starts_path = code[at + name.len()..].trim_start().starts_with("::");
        let imported = ["use", "extern crate"].iter().any(|word| ends_with_word(before, word));
        rooted && (starts_path || imported)
    })
}

fn ends_with_word(text: &str, word: &str) -> bool {
    text.strip_suffix(word).is_some_and(|rest| !rest.ends_with(is_word))
}

/// First segments inside groups `std::{…}`, which hide `std::fs` from a plain search.
fn std_groups(code: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    for at in words(code, "std") {
        let Some(group) = code[at + 3..]
            .trim_start()
            .strip_prefix("::")
            .map(str::trim_start)
            .and_then(|c| c.strip_prefix('{'))
        else {
            continue;
        };
        let (mut depth, mut item) = (0, String::new());
        for c in group.chars() {
            match c {
                '{' => depth += 1,
                '}' if depth == 0 => break,
                '}' => depth -= 1,
                ',' if depth == 0 => found.push((at, std::mem::take(&mut item))),
                _ if depth == 0 && !c.is_whitespace() => item.push(c),
                _ => {}
            }
        }
        found.push((at, item));
    }
    found.into_iter().map(|(at, item)| (at, item.split("::").next().unwrap_or_default().to_owned())).collect()
}

/// Sources that are too long to be one idea.
pub(crate) fn long_files(tree: &Tree) -> Findings {
    let mut found = Vec::new();
    for (path, text) in tree.sources() {
        let (lines, limit) =
            (text.lines().count(), if is_test_source(path) { MAX_TEST_LINES } else { MAX_LINES });
        if lines > limit {
            found.push(format!("{path}: has {lines} lines, at most {limit}; split it by idea"));
        }
    }
    found
}

/// Sources that do not open with what they are for.
pub(crate) fn sources_without_module_docs(tree: &Tree) -> Findings {
    let without = tree.sources().filter(|(_, text)| !text.starts_with("//!"));
    without.map(|(path, _)| format!("{path}: open the file with `//!`: its job and its limits")).collect()
}

/// Words that say a thing is not done.
pub(crate) fn undone_words(tree: &Tree) -> Findings {
    let mut found = Vec::new();
    for (path, text) in tree.written() {
        for word in UNDONE {
            let bare = word.trim_end_matches('!');
            let whole = words(text, bare).filter(|&at| text[at..].starts_with(word));
            found.extend(whole.map(|at| {
                format!("{path}:{}: {word} must not stay; do it or leave it out", line_of(text, at))
            }));
        }
    }
    found
}

/// Paths of somebody's machine.
pub(crate) fn machine_paths(tree: &Tree) -> Findings {
    let mut found = Vec::new();
    for (path, text) in tree.files() {
        for machine in MACHINE_PATHS {
            let starts = text.match_indices(machine).map(|(at, _)| at).filter(|&at| {
                let before = text[..at].chars().next_back();
                let after = text[at + machine.len()..].chars().next();
                !before.is_some_and(|c| is_word(c) || matches!(c, '.' | '-' | '}' | ')' | '>'))
                    && after.is_some_and(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '_'))
            });
            found
                .extend(starts.map(|at| {
                    format!("{path}:{}: {machine}… exists on one machine only", line_of(text, at))
                }));
        }
    }
    found
}

#[cfg(test)]
mod tests;
