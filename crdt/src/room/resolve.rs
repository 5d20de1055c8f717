//! Which changes count: decided from all known changes and all known epochs, whatever came first.
//!
//! A change counts by itself unless its author has no right to it in its epoch, lost a right later without the
//! heads closed then covering it, or its device proved a cheat before. A change that does not count by itself
//! counts when a change that counts builds on it: a remaining member's word admits what they built on, so that
//! honest work is never stranded. Of two changes of one actor with one number, the one that more members built on
//! counts (the smaller name, if as many did), and neither if nobody did.

use std::collections::{BTreeMap, HashSet};

use keys::IdentityId;

use crate::epoch::{Epoch, EpochLog, lowered};
use crate::ids::{Actor, ChangeHash};
use crate::room::ledger::{Ledger, Place};

/// What changed by [`resolve`].
#[derive(Default)]
pub(super) struct Resolved {
    /// Count from now on, each after what it builds on.
    pub(super) admitted: Vec<Place>,
    /// Count no longer.
    pub(super) withdrawn: Vec<Place>,
}

/// Whether a change that was just entered counts without looking at the whole graph.
pub(super) fn counts_at_once(ledger: &Ledger, epochs: &EpochLog, place: Place) -> bool {
    let node = &ledger.nodes[place];
    let closed = epochs.closed_after(node.epoch, &node.author).any(|heads| !heads.contains(&node.hash));
    !closed
        && allowed(ledger, epochs, place)
        && ledger.forks().values().all(|fork| fork.device != node.device)
        && node.parents.iter().all(|parent| ledger.nodes[*parent].counts)
}

fn allowed(ledger: &Ledger, epochs: &EpochLog, place: Place) -> bool {
    let node = &ledger.nodes[place];
    epochs.role_at(node.epoch, &node.author).is_some_and(|role| role.rights().covers(node.needs))
}

/// Decides anew what counts.
pub(super) fn resolve(ledger: &mut Ledger, epochs: &EpochLog, broken: &HashSet<ChangeHash>) -> Resolved {
    let alone = count_alone(ledger, epochs);
    let mut barred: Vec<bool> = ledger.nodes.iter().map(|node| broken.contains(&node.hash)).collect();
    let counts = loop {
        spread(ledger, &mut barred);
        let counts = admit(ledger, &alone, &barred);
        let losers = losers(ledger, &counts);
        if losers.is_empty() {
            break counts;
        }
        for loser in losers {
            barred[loser] = true;
        }
    };
    let mut resolved = Resolved::default();
    for (place, node) in ledger.nodes.iter().enumerate() {
        match (node.counts, counts[place]) {
            (false, true) => resolved.admitted.push(place),
            (true, false) => resolved.withdrawn.push(place),
            _ => {}
        }
    }
    ledger.recount(&counts);
    resolved
}

/// Which changes count by themselves.
fn count_alone(ledger: &Ledger, epochs: &EpochLog) -> Vec<bool> {
    let mut alone: Vec<bool> = (0..ledger.nodes.len()).map(|place| allowed(ledger, epochs, place)).collect();
    alone[0] = true;
    for (before, after) in epochs.steps() {
        let lost = losers_of_rights(before, after);
        if lost.is_empty() {
            continue;
        }
        let heads = after.closed_heads.iter().flatten();
        let below = ledger.below(heads.filter_map(|head| ledger.place(head)));
        for (place, node) in ledger.nodes.iter().enumerate().skip(1) {
            if node.epoch < after.n && !below[place] && lost.contains(&node.author) {
                alone[place] = false;
            }
        }
    }
    for (actor, fork) in ledger.forks() {
        for (place, node) in ledger.nodes.iter().enumerate().skip(1) {
            let later = node.session > fork.session || (node.actor == *actor && node.seq >= fork.seq);
            if node.device == fork.device && later {
                alone[place] = false;
            }
        }
    }
    alone
}

fn losers_of_rights(before: &Epoch, after: &Epoch) -> HashSet<IdentityId> {
    let members = before.members.iter();
    let lost = members.filter(|member| lowered(Some(member.role), after.role(&member.identity)));
    lost.map(|member| member.identity).collect()
}

/// What builds on something barred is barred.
fn spread(ledger: &Ledger, barred: &mut [bool]) {
    for (place, node) in ledger.nodes.iter().enumerate() {
        if node.parents.iter().any(|parent| barred[*parent]) {
            barred[place] = true;
        }
    }
}

/// Later changes first: each counts by itself or because one that counts builds on it.
fn admit(ledger: &Ledger, alone: &[bool], barred: &[bool]) -> Vec<bool> {
    let mut counts = vec![false; ledger.nodes.len()];
    for (place, node) in ledger.nodes.iter().enumerate().rev() {
        let vouched = || node.children.iter().any(|child| counts[*child]);
        counts[place] = !barred[place] && (alone[place] || vouched());
    }
    // A change counts only on top of what counts; what is missing below is barred, and so is the change.
    counts
}

/// Of the first pair of counting changes of one actor with one number: all but the best.
fn losers(ledger: &Ledger, counts: &[bool]) -> Vec<Place> {
    let mut groups: BTreeMap<(u64, Actor, u64), Vec<Place>> = BTreeMap::new();
    for actor in ledger.forks().keys() {
        for place in ledger.of_actor(actor).iter().copied().filter(|place| counts[*place]) {
            let node = &ledger.nodes[place];
            groups.entry((node.seq, *actor, node.session)).or_default().push(place);
        }
    }
    let Some(group) = groups.into_values().find(|group| group.len() > 1) else { return Vec::new() };
    let best = group.iter().copied().max_by_key(|place| {
        let hash = ledger.nodes[*place].hash;
        (vouchers(ledger, counts, *place), std::cmp::Reverse(hash))
    });
    group.into_iter().filter(|place| Some(*place) != best).collect()
}

/// How many other members built on a change.
fn vouchers(ledger: &Ledger, counts: &[bool], place: Place) -> usize {
    let mut above = vec![false; ledger.nodes.len()];
    above[place] = true;
    let mut members = HashSet::new();
    for (later, node) in ledger.nodes.iter().enumerate().skip(place + 1) {
        if counts[later] && node.parents.iter().any(|parent| above[*parent]) {
            above[later] = true;
            members.insert(node.author);
        }
    }
    members.remove(&ledger.nodes[place].author);
    members.len()
}
