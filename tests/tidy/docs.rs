//! Rules for documents: what the README promises, numbered decisions, and links that lead somewhere.

use std::collections::BTreeSet;

use crate::tree::{Findings, Tree};

const README: &str = "README.md";
const DECISIONS: &str = "docs/decisions/";

/// The two commands that everything starts with.
const COMMANDS: [&str; 2] = ["make demo", "make test"];

/// Commands that the README does not show.
pub(crate) fn readme_without_commands(tree: &Tree) -> Findings {
    let readme = tree.text(README).unwrap_or_default();
    let missing = COMMANDS.iter().filter(|command| !readme.contains(*command));
    missing.map(|command| format!("{README}: does not show `{command}`")).collect()
}

/// Decision pages without a number of their own, or not linked from their list.
pub(crate) fn unlisted_decisions(tree: &Tree) -> Findings {
    let list = tree.text(&format!("{DECISIONS}README.md")).unwrap_or_default();
    let mut numbers = BTreeSet::new();
    let mut found = Vec::new();
    for (path, _) in tree.files() {
        let Some(name) = path.strip_prefix(DECISIONS).filter(|name| *name != "README.md") else { continue };
        match decision_number(name) {
            None => found.push(format!("{path}: name it NNNN-the-choice.md")),
            Some(number) if numbers.insert(number) => {}
            Some(number) => found.push(format!("{path}: number {number:04} is taken")),
        }
        if !list.contains(&format!("({name})")) {
            found.push(format!("{path}: link it from {DECISIONS}README.md"));
        }
    }
    let gap = (1..).zip(&numbers).find(|(expected, number)| expected != *number);
    found.extend(gap.map(|(expected, _)| format!("{DECISIONS}: number {expected:04} is missing")));
    found
}

/// The number in `NNNN-words.md`.
fn decision_number(name: &str) -> Option<u32> {
    let (number, title) = name.strip_suffix(".md")?.split_once('-')?;
    let digits = number.len() == 4 && number.bytes().all(|b| b.is_ascii_digit());
    (digits && !title.is_empty()).then(|| number.parse().ok())?
}

/// Relative links of Markdown pages to files that are not there.
pub(crate) fn broken_links(tree: &Tree) -> Findings {
    let mut found = Vec::new();
    for (path, text) in tree.files().filter(|(path, _)| path.ends_with(".md")) {
        for link in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let target = link.split('#').next().unwrap_or_default();
            let elsewhere = target.contains("://") || target.starts_with("mailto:") || target.is_empty();
            if !elsewhere && !leads_somewhere(tree, path, target) {
                found.push(format!("{path}: link to {target} leads nowhere"));
            }
        }
    }
    found
}

fn leads_somewhere(tree: &Tree, from: &str, target: &str) -> bool {
    let mut place: Vec<&str> = from.split('/').collect();
    place.pop();
    for part in target.trim_end_matches('/').split('/') {
        match part {
            "." | "" => {}
            ".." => {
                if place.pop().is_none() {
                    return false;
                }
            }
            name => place.push(name),
        }
    }
    let path = place.join("/");
    let folder = format!("{path}/");
    tree.files().any(|(file, _)| file == path || file.starts_with(&folder))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn readme_without_a_command_is_found() {
        assert!(readme_without_commands(&Tree::of(&[(README, "`make demo` and `make test`")])).is_empty());
        assert_eq!(readme_without_commands(&Tree::of(&[(README, "make demo")])).len(), 1);
        assert_eq!(readme_without_commands(&Tree::of(&[])).len(), 2);
    }

    fn decisions(list: &str, pages: &[&str]) -> Findings {
        let paths: Vec<String> = pages.iter().map(|page| format!("{DECISIONS}{page}")).collect();
        let list_path = format!("{DECISIONS}README.md");
        let mut files = vec![(list_path.as_str(), list)];
        files.extend(paths.iter().map(|path| (path.as_str(), "text")));
        unlisted_decisions(&Tree::of(&files))
    }

    #[test]
    fn listed_decisions_pass() {
        assert_eq!(decisions("[a](0001-a.md) [b](0002-b.md)", &["0001-a.md", "0002-b.md"]), Findings::new());
    }

    #[test]
    fn unnumbered_unlisted_doubled_and_skipped_decisions_are_found() {
        assert_eq!(decisions("[a](a.md)", &["a.md"]).len(), 1);
        assert_eq!(decisions("[a](001-a.md)", &["001-a.md"]).len(), 1);
        assert_eq!(decisions("", &["0001-a.md"]).len(), 1);
        assert_eq!(decisions("[a](0001-a.md) [b](0001-b.md)", &["0001-a.md", "0001-b.md"]).len(), 1);
        assert_eq!(decisions("[a](0002-a.md)", &["0002-a.md"]).len(), 1);
    }

    #[test]
    fn broken_links_are_found() {
        let check = |text: &str, expected: usize| {
            let tree = Tree::of(&[("docs/a.md", text), ("docs/guide/b.md", ""), ("LICENSE", "")]);
            assert_eq!(broken_links(&tree).len(), expected, "{text}");
        };
        check("[b](guide/b.md#part) [l](../LICENSE) [g](guide/) [w](https://example.org) [h](#here)", 0);
        check("[b](b.md)", 1);
        check("[b](../../LICENSE)", 1);
    }
}
