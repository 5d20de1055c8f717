//! Many copies of one room on a virtual clock and a network that fails as a seed says.
//!
//! Every run prints its seed; `METACLINIC_SIM_SEED=n` runs that one alone, `METACLINIC_SIM_RUNS=n` that many of each
//! kind.

#[expect(clippy::unwrap_used, reason = "the whole target is a test")]
mod simulation {
    pub(crate) mod faults;
    pub(crate) mod malice;
    pub(crate) mod network;
    pub(crate) mod node;
    pub(crate) mod people;
}

use std::ops::Range;

use simulation::network::Transport;
use simulation::{faults, malice};

fn seeds(all: Range<u64>) -> Vec<u64> {
    let number = |name: &str| {
        let text = std::env::var(name).ok()?;
        Some(text.parse::<u64>().unwrap_or_else(|_| panic!("{name} must be a number")))
    };
    match (number("METACLINIC_SIM_SEED"), number("METACLINIC_SIM_RUNS")) {
        (Some(seed), _) => vec![seed],
        (None, Some(runs)) => (all.start..all.start + runs).collect(),
        (None, None) => all.collect(),
    }
}

#[expect(clippy::print_stdout, reason = "a run says its seed")]
fn run_all(all: Range<u64>, transport: Transport) {
    for seed in seeds(all) {
        println!("METACLINIC_SIM_SEED={seed} {transport:?}");
        let outcome = faults::run(seed, transport);
        println!("  {outcome}");
        assert!(outcome.changes > 50, "a run without work proves nothing");
        assert!(outcome.traffic.packs > 0, "who was apart, and who is new, gets packs");
    }
}

#[test]
fn copies_become_equal_over_streams_that_break() {
    run_all(0..15, Transport::Streams);
}

#[test]
fn copies_become_equal_though_messages_are_lost_doubled_and_reordered() {
    run_all(15..30, Transport::Datagrams);
}

#[test]
fn a_member_who_cheats_changes_no_honest_document() {
    for seed in seeds(100..106) {
        println!("METACLINIC_SIM_SEED={seed} cheating");
        malice::attack(seed);
    }
}

#[test]
fn packs_that_lie_keep_no_new_member_out_and_change_no_document() {
    for seed in seeds(400..408) {
        println!("METACLINIC_SIM_SEED={seed} packs that lie");
        malice::lie_in_packs(seed);
    }
}

#[test]
fn two_changes_of_one_number_leave_honest_copies_equal() {
    for seed in seeds(200..208) {
        println!("METACLINIC_SIM_SEED={seed} equivocation");
        malice::equivocate(seed);
    }
}

#[test]
fn two_epochs_of_one_number_freeze_every_copy() {
    for seed in seeds(300..304) {
        println!("METACLINIC_SIM_SEED={seed} fork of the line");
        assert!(malice::fork_the_line(seed, 0));
    }
}

#[test]
fn copies_agree_on_a_fork_though_one_side_went_on() {
    for seed in seeds(310..322) {
        let further = 1 + seed as usize % 4;
        println!("METACLINIC_SIM_SEED={seed} fork of the line, {further} further epochs");
        assert!(malice::fork_the_line(seed, further));
    }
}
