//! The figures of labelled people, each judged by members that never saw them.

use std::collections::BTreeMap;

use super::fields::Split;
use super::model::RiskModel;
use super::people::LabelledPerson;
use super::reading::Values;
use crate::card::Measured;
use crate::chance::Chance;
use crate::measure::{Calibration, Case, Cases, Cell, Table, TableRow, drawn_intervals};

/// The seed by which values are hidden, to see what missing ones cost.
const HIDING_SEED: u64 = 1;
/// Shares of the known values that are hidden.
const HIDDEN: [(&str, f64); 3] = [("as they are", 0.0), ("a quarter hidden", 0.25), ("half hidden", 0.5)];

/// Figures of people, and who was refused. Values are hidden by chance for a table of what missing ones cost.
pub fn measure(
    model: &RiskModel,
    people: &[LabelledPerson],
    progress: &(dyn Fn(usize, usize) + Sync),
) -> Measured {
    let mut numbers: BTreeMap<&str, usize> = BTreeMap::new();
    let mut judged: Vec<(usize, Case)> = Vec::with_capacity(people.len());
    let mut refused = [0usize; 2];
    for (index, person) in people.iter().enumerate() {
        let next = numbers.len();
        let patient = *numbers.entry(person.patient.as_str()).or_insert(next);
        match model.assess_unseen(person, &person.values) {
            Ok(probability) => {
                judged.push((index, Case { patient, truth: person.truth, probability: probability as f32 }));
            }
            Err(_) => refused[usize::from(person.truth)] += 1,
        }
    }
    let called = model.fields().called_from;
    let all: Cases = judged.iter().map(|(_, case)| *case).collect();
    let sites = groups(&judged, |index| vec![people[index].site.clone()]);
    let subgroups = groups(&judged, |index| people[index].groups.clone());
    let work = 3 + sites.len() + subgroups.len() + HIDDEN.len();
    let mut done = 0;
    let mut row = |name: &str, cases: &[Case]| {
        done += 1;
        progress(done, work);
        compact(cases).row(name, called)
    };
    let who = if model.fields().learning.split == Split::Site { "hospital" } else { "patient" };
    let title = format!("{}, called from {called} on", model.fields().outcome.label);
    let by_weights = format!("{title}: each judged by weights that never saw the {who}");
    let everybody: Vec<Case> = judged.iter().map(|(_, case)| *case).collect();
    let mut tables = vec![Cases::table(by_weights, vec![row("all", &everybody)])];
    if sites.len() > 1 {
        let rows = sites.iter().map(|(name, cases)| row(name, cases)).collect();
        tables.push(Cases::table("Each hospital, by weights that never saw it", rows));
    }
    if !subgroups.is_empty() {
        let rows = subgroups.iter().map(|(name, cases)| row(name, cases)).collect();
        tables.push(Cases::table("Groups of patients", rows));
    }
    tables.push(believed(&everybody, if sites.len() > 1 { &sites } else { &[] }));
    tables.extend(hiding(model, people, &numbers, &mut row));
    let counts = ["people", "refused, not so", "refused, so"];
    tables.push(Table {
        title: "Refused: too little known".into(),
        counts: counts.map(str::to_owned).to_vec(),
        measures: Vec::new(),
        rows: vec![TableRow {
            name: "all".into(),
            counts: vec![people.len(), refused[0], refused[1]],
            values: Vec::new(),
        }],
    });
    Measured { calibration: all.calibration(), tables }
}

type Grouped = Vec<(String, Vec<Case>)>;

/// Cases by the names of their groups; those without a name belong to none.
fn groups(judged: &[(usize, Case)], of: impl Fn(usize) -> Vec<String>) -> Grouped {
    let mut groups: BTreeMap<String, Vec<Case>> = BTreeMap::new();
    for (index, case) in judged {
        for name in of(*index).into_iter().filter(|name| !name.is_empty()) {
            groups.entry(name).or_default().push(*case);
        }
    }
    groups.into_iter().collect()
}

/// Cases whose patients are numbered without gaps, so that draws are of these patients only.
fn compact(cases: &[Case]) -> Cases {
    let mut numbers: BTreeMap<usize, usize> = BTreeMap::new();
    cases
        .iter()
        .map(|case| {
            let next = numbers.len();
            Case { patient: *numbers.entry(case.patient).or_insert(next), ..*case }
        })
        .collect()
}

/// Whether the probabilities can be believed, in all and in each hospital.
fn believed(everybody: &[Case], sites: &[(String, Vec<Case>)]) -> Table {
    let row = |name: &str, cases: &[Case]| {
        let mut of: BTreeMap<usize, Vec<(f32, bool)>> = BTreeMap::new();
        for case in cases {
            of.entry(case.patient).or_default().push((case.probability, case.truth));
        }
        let patients: Vec<Vec<(f32, bool)>> = of.into_values().collect();
        let error = |times: &[usize]| {
            let drawn = patients.iter().zip(times);
            Calibration::of(drawn.flat_map(|(pairs, times)| pairs.repeat(*times))).error
        };
        let interval = drawn_intervals(patients.len(), &|times| Some(error(times)));
        let count = cases.len().max(1) as f64;
        let said = cases.iter().map(|case| f64::from(case.probability)).sum::<f64>() / count;
        let so = cases.iter().filter(|case| case.truth).count();
        TableRow {
            name: name.to_owned(),
            counts: vec![cases.len()],
            values: vec![
                Cell::with_interval(error(&vec![1; patients.len()]), interval),
                Cell::of(said),
                Cell::of(so as f64 / count),
            ],
        }
    };
    Table {
        title: "Whether probabilities can be believed".into(),
        counts: vec!["cases".into()],
        measures: ["calibration error", "mean said", "share that was so"].map(str::to_owned).to_vec(),
        rows: std::iter::once(row("all", everybody))
            .chain(sites.iter().map(|(name, cases)| row(name, cases)))
            .collect(),
    }
}

/// What missing values cost: known ones are hidden by chance, those that must be known stay.
fn hiding(
    model: &RiskModel,
    people: &[LabelledPerson],
    numbers: &BTreeMap<&str, usize>,
    row: &mut dyn FnMut(&str, &[Case]) -> TableRow,
) -> Option<Table> {
    let mut rows = Vec::new();
    for (stream, (name, share)) in HIDDEN.into_iter().enumerate() {
        let mut chance = Chance::new(HIDING_SEED, stream as u64);
        let mut cases = Vec::new();
        for person in people {
            let hidden = hide(model, &person.values, share, &mut chance);
            let Ok(probability) = model.assess_unseen(person, &hidden) else { continue };
            let patient = numbers.get(person.patient.as_str()).copied()?;
            cases.push(Case { patient, truth: person.truth, probability: probability as f32 });
        }
        rows.push(row(name, &cases));
    }
    Some(Cases::table("With values hidden by chance, those left with too little refused", rows))
}

fn hide(model: &RiskModel, values: &Values, share: f64, chance: &mut Chance) -> Values {
    /// Chance is cut this fine.
    const GRAIN: usize = 1_000;
    let mut hidden = values.clone();
    for (at, field) in model.fields().fields.iter().enumerate() {
        let drawn = (chance.below(GRAIN) as f64) < share * GRAIN as f64;
        if drawn && !field.needed {
            hidden.set(at, None);
        }
    }
    hidden
}
