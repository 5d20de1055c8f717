//! The figures of a data set: errors, intervals and error grid beside the last value and a trend that dies away, over all
//! persons and for groups of them, with intervals over persons.

use std::collections::BTreeMap;

use super::HORIZONS_MIN;
use super::advice::BELOW_MG_DL;
use super::baseline::extrapolated;
use super::clarke::{Zone, zone};
use super::forecaster::GlucoseModel;
use super::labelled::{Example, LabelledPerson, examples};
use super::network::Changes;
use crate::card::Measured;
use crate::measure::{Calibration, Cell, Table, TableRow, drawn_intervals};

const TIMES: usize = HORIZONS_MIN.len();
/// The shares that low end, middle and high end leave below them.
const SHARES: [f32; 3] = [0.1, 0.5, 0.9];

/// How well the model forecasts a data set.
#[derive(Clone, Default)]
pub struct Evaluation {
    persons: Vec<Judged>,
    refused: Vec<(String, usize)>,
    /// The share that a line is to leave below it, and whether what came lies below.
    said: Vec<(f32, bool)>,
}

impl std::fmt::Debug for Evaluation {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "Evaluation({} persons)", self.persons.len())
    }
}

/// A person who was judged.
#[derive(Clone)]
struct Judged {
    groups: [String; 2],
    sums: [[Sums; Method::ALL.len()]; TIMES],
}

/// What tells the future.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Method {
    Model,
    LastValue,
    DampedTrend,
}

impl Method {
    const ALL: [Method; 3] = [Method::Model, Method::LastValue, Method::DampedTrend];

    const fn name(self) -> &'static str {
        match self {
            Method::Model => "model",
            Method::LastValue => "last value",
            Method::DampedTrend => "damped trend",
        }
    }
}

/// Sums over the forecasts of one person.
#[derive(Clone, Copy, Default)]
struct Sums {
    count: f64,
    square: f64,
    absolute: f64,
    /// The absolute error of the last value.
    unmoved: f64,
    covered: f64,
    width: f64,
    harmless: f64,
    within_20: f64,
    /// From 70 mg/dL or more to below it: how often it came, was told, was both; and the same of the low end.
    fell: f64,
    told: f64,
    both: f64,
    low_told: f64,
    low_both: f64,
}

impl Sums {
    fn add(&mut self, truth: f32, last: f32, told: f32, ends: Option<[f32; 2]>) {
        let one = |holds: bool| f64::from(u8::from(holds));
        let off = f64::from(told - truth);
        self.count += 1.0;
        self.square += off * off;
        self.absolute += off.abs();
        self.unmoved += f64::from(last - truth).abs();
        let zone = zone(truth, told);
        self.within_20 += one(zone == Zone::A);
        self.harmless += one(zone <= Zone::B);
        if let Some([low, high]) = ends {
            self.covered += one((low..=high).contains(&truth));
            self.width += f64::from(high - low);
        }
        if last >= BELOW_MG_DL {
            let (fell, called) = (truth < BELOW_MG_DL, told < BELOW_MG_DL);
            let low_called = ends.is_some_and(|[low, _]| low < BELOW_MG_DL);
            self.fell += one(fell);
            self.told += one(called);
            self.both += one(fell && called);
            self.low_told += one(low_called);
            self.low_both += one(fell && low_called);
        }
    }

    fn plus(&mut self, other: &Sums, times: f64) {
        for (sum, more) in [
            (&mut self.count, other.count),
            (&mut self.square, other.square),
            (&mut self.absolute, other.absolute),
            (&mut self.unmoved, other.unmoved),
            (&mut self.covered, other.covered),
            (&mut self.width, other.width),
            (&mut self.harmless, other.harmless),
            (&mut self.within_20, other.within_20),
            (&mut self.fell, other.fell),
            (&mut self.told, other.told),
            (&mut self.both, other.both),
            (&mut self.low_told, other.low_told),
            (&mut self.low_both, other.low_both),
        ] {
            *sum += more * times;
        }
    }
}

fn share(part: f64, whole: f64) -> Option<f64> {
    (whole > 0.0).then(|| part / whole)
}

/// A measure of sums.
type Measure = (&'static str, fn(&Sums) -> Option<f64>);

const ERRORS: [Measure; 7] = [
    ("RMSE mg/dL", |sums| share(sums.square, sums.count).map(f64::sqrt)),
    ("MAE mg/dL", |sums| share(sums.absolute, sums.count)),
    ("error to last value", |sums| share(sums.absolute, sums.unmoved)),
    ("80 % interval holds", |sums| share(sums.covered, sums.count).filter(|_| sums.width > 0.0)),
    ("its width mg/dL", |sums| share(sums.width, sums.count).filter(|width| *width > 0.0)),
    ("Clarke A", |sums| share(sums.within_20, sums.count)),
    ("Clarke A or B", |sums| share(sums.harmless, sums.count)),
];
const FALLS: [Measure; 2] =
    [("sensitivity", |sums| share(sums.both, sums.fell)), ("precision", |sums| share(sums.both, sums.told))];
const LOW_FALLS: [Measure; 2] = [
    ("sensitivity", |sums| share(sums.low_both, sums.fell)),
    ("precision", |sums| share(sums.low_both, sums.low_told)),
];

impl Evaluation {
    /// Judges the forecasts of one more person, made by the members that never saw that person.
    pub fn add(&mut self, model: &GlucoseModel, person: &LabelledPerson) {
        let (examples, refused) = examples(person);
        if refused > 0 {
            self.refused.push((person.person.clone(), refused));
        }
        if examples.is_empty() {
            return;
        }
        let (said, damping) = model.judge(&person.person, &examples);
        let mut sums = [[Sums::default(); Method::ALL.len()]; TIMES];
        for (example, said) in examples.iter().zip(&said) {
            self.judge(example, said, damping, &mut sums);
        }
        self.persons.push(Judged { groups: [person.data_set.clone(), person.status.clone()], sums });
    }

    fn judge(
        &mut self,
        example: &Example,
        said: &Changes,
        damping: [f32; TIMES],
        sums: &mut [[Sums; Method::ALL.len()]; TIMES],
    ) {
        for time in 0..TIMES {
            let (truth, last, [low, middle, high]) = (example.truth[time], example.last, said[time]);
            let trend = extrapolated(last, example.rate_per_min, HORIZONS_MIN[time], damping[time]);
            sums[time][0].add(truth, last, middle, Some([low, high]));
            sums[time][1].add(truth, last, last, None);
            sums[time][2].add(truth, last, trend, None);
            self.said.extend(SHARES.into_iter().zip(said[time]).map(|(share, line)| (share, truth <= line)));
        }
    }

    /// Persons with windows that were refused although their future is known, and how many.
    pub fn refused(&self) -> &[(String, usize)] {
        &self.refused
    }

    /// All figures, as a card holds them. The calibration is of the lines that are to leave 10, 50 and 90 % below them.
    pub fn measured(&self) -> Measured {
        let everybody: Vec<&Judged> = self.persons.iter().collect();
        let mut tables: Vec<Table> = (0..TIMES).map(|time| methods(time, &everybody)).collect();
        tables.push(falls(&everybody));
        for (index, of) in ["data set", "type of diabetes"].into_iter().enumerate() {
            tables.extend((0..TIMES).map(|time| self.groups(index, of, time)));
        }
        Measured { calibration: Calibration::of(self.said.iter().copied()), tables }
    }

    fn groups(&self, index: usize, of: &str, time: usize) -> Table {
        let mut groups: BTreeMap<&str, Vec<&Judged>> = BTreeMap::new();
        self.persons.iter().for_each(|person| groups.entry(&person.groups[index]).or_default().push(person));
        let row = |(name, persons): (&str, Vec<&Judged>)| errors_row(name, &persons, time, Method::Model);
        let title = format!("In {} minutes, by {of}", HORIZONS_MIN[time]);
        errors_table(title, groups.into_iter().map(row).collect())
    }
}

fn methods(time: usize, persons: &[&Judged]) -> Table {
    let rows = Method::ALL.map(|method| errors_row(method.name(), persons, time, method));
    errors_table(format!("In {} minutes", HORIZONS_MIN[time]), rows.to_vec())
}

fn errors_table(title: String, rows: Vec<TableRow>) -> Table {
    Table {
        title,
        counts: ["persons", "forecasts"].map(str::to_owned).to_vec(),
        measures: ERRORS.iter().map(|(name, _)| (*name).to_owned()).collect(),
        rows,
    }
}

fn errors_row(name: &str, persons: &[&Judged], time: usize, method: Method) -> TableRow {
    let sums = sums(persons, time, method);
    let count = total(&sums, None).count as usize;
    TableRow { name: name.to_owned(), counts: vec![persons.len(), count], values: cells(&sums, &ERRORS) }
}

/// Whether falling below 70 mg/dL from 70 or more is told.
fn falls(persons: &[&Judged]) -> Table {
    let mut rows = Vec::new();
    for (time, minutes) in HORIZONS_MIN.into_iter().enumerate() {
        let mut row = |name: &str, method: Method, measures: &[Measure]| {
            let sums = sums(persons, time, method);
            let all = total(&sums, None);
            let counts = vec![all.count as usize, all.fell as usize];
            rows.push(TableRow {
                name: format!("{minutes} min, {name}"),
                counts,
                values: cells(&sums, measures),
            });
        };
        row("forecast below 70", Method::Model, &FALLS);
        row("interval reaches below 70", Method::Model, &LOW_FALLS);
        row("damped trend below 70", Method::DampedTrend, &FALLS);
    }
    Table {
        title: "Falls from 70 mg/dL or more to below".to_owned(),
        counts: ["forecasts", "falls"].map(str::to_owned).to_vec(),
        measures: FALLS.iter().map(|(name, _)| (*name).to_owned()).collect(),
        rows,
    }
}

/// The sums of each person.
fn sums(persons: &[&Judged], time: usize, method: Method) -> Vec<Sums> {
    persons.iter().map(|person| person.sums[time][method as usize]).collect()
}

/// Of all persons, each as often as drawn.
fn total(sums: &[Sums], times: Option<&[usize]>) -> Sums {
    let mut total = Sums::default();
    for (index, sum) in sums.iter().enumerate() {
        total.plus(sum, times.map_or(1.0, |times| times[index] as f64));
    }
    total
}

fn cells(sums: &[Sums], measures: &[Measure]) -> Vec<Cell> {
    let whole = total(sums, None);
    let cell = |(_, of): &Measure| {
        let Some(value) = of(&whole) else { return Cell::EMPTY };
        let interval = drawn_intervals(sums.len(), &|times| of(&total(sums, Some(times))));
        Cell::with_interval(value, interval)
    };
    measures.iter().map(cell).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_give_the_figures_of_the_textbook() {
        let mut sums = Sums::default();
        sums.add(100.0, 90.0, 96.0, Some([80.0, 110.0]));
        sums.add(60.0, 80.0, 64.0, Some([62.0, 90.0]));
        sums.add(60.0, 65.0, 50.0, Some([40.0, 60.0]));
        let value = |index: usize| ERRORS[index].1(&sums).unwrap();
        assert!((value(0) - (132.0f64 / 3.0).sqrt()).abs() < 1e-9);
        assert!((value(1) - 6.0).abs() < 1e-9);
        assert!((value(2) - 18.0 / 35.0).abs() < 1e-9);
        assert!((value(3) - 2.0 / 3.0).abs() < 1e-9);
        assert!((value(4) - 26.0).abs() < 1e-9);
        assert_eq!(value(5), 1.0);
        // What was below 70 already has not fallen.
        assert_eq!((sums.fell, sums.told, sums.both, sums.low_told), (1.0, 1.0, 1.0, 1.0));
        assert_eq!(ERRORS[3].1(&Sums::default()), None);
    }
}
