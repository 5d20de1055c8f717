//! The rules of the house, run over the whole repository.
//!
//! Each rule is a function from a [`tree::Tree`] to what it found, and is also tried on a planted violation beside
//! its own code. When a rule is wrong, change the rule first, with the reason.

mod docs;
mod graph;
mod lexer;
mod manifest;
mod source;
mod tree;

use std::path::Path;

use tree::{Findings, Tree};

fn check(rule: fn(&Tree) -> Findings) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("the package lies in a folder of the workspace");
    let tree = Tree::read(root);
    assert!(tree.text("Cargo.toml").is_some(), "no workspace in {}", root.display());
    let found = rule(&tree);
    assert!(found.is_empty(), "{} found:\n  {}", found.len(), found.join("\n  "));
}

#[test]
fn manifests_are_readable() {
    check(manifest::unreadable_manifests);
}

#[test]
fn packages_are_members() {
    check(manifest::stray_manifests);
}

#[test]
fn versions_stand_in_the_workspace_table() {
    check(manifest::versions_outside_the_workspace_table);
}

#[test]
fn members_take_the_lint_table() {
    check(manifest::members_without_lints);
}

#[test]
fn arrows_are_drawn() {
    check(graph::undrawn_arrows);
}

#[test]
fn architecture_names_each_member() {
    check(graph::members_missing_in_the_architecture);
}

#[test]
fn architecture_draws_the_tested_graph() {
    check(graph::graph_differs_from_the_architecture);
}

#[test]
fn pure_crates_do_not_act() {
    check(source::impure_sources);
}

#[test]
fn pure_crates_do_not_depend_on_actors() {
    check(source::impure_manifests);
}

#[test]
fn libraries_are_declared_in_one_crate() {
    check(source::fence_breaches_in_manifests);
}

#[test]
fn libraries_are_spoken_in_one_place() {
    check(source::fence_breaches_in_sources);
}

#[test]
fn files_are_short() {
    check(source::long_files);
}

#[test]
fn sources_say_what_they_are_for() {
    check(source::sources_without_module_docs);
}

#[test]
fn nothing_is_left_undone() {
    check(source::undone_words);
}

#[test]
fn no_machine_is_named() {
    check(source::machine_paths);
}

#[test]
fn readme_shows_the_commands() {
    check(docs::readme_without_commands);
}

#[test]
fn decisions_are_numbered_and_listed() {
    check(docs::unlisted_decisions);
}

#[test]
fn links_lead_somewhere() {
    check(docs::broken_links);
}
