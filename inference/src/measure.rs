//! How well a model does: the measures of every card, with intervals over patients, never over single cases, because
//! cases of one patient resemble each other.

mod calibration;
mod difference;
mod table;

pub use calibration::{Calibration, CalibrationBin};
pub use difference::{CLEARLY_ABOVE_SIGMA, LEAST_CASES, rate_above};
pub use table::{Cell, Table, TableRow};

use crate::chance::Chance;

/// Draws of patients for an interval.
const DRAWS: usize = 1_000;
/// Their seed: the same cases give the same intervals.
const SEED: u64 = 1;

/// One judged case: a beat, a picture, a person.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Case {
    /// Whose it is, as a number: cases of one patient are drawn together.
    pub patient: usize,
    /// What is so.
    pub truth: bool,
    /// The probability that the model gave for it, 0 to 1.
    pub probability: f32,
}

/// A measure of how well yes and no are told apart, 0 to 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Measure {
    /// The area under the receiver operating characteristic: the probability that a case that is so is given
    /// more than one that is not (Hanley and McNeil, Radiology 1982).
    Auroc,
    /// The share of what is so that is called so.
    Sensitivity,
    /// The share of what is not so that is not called so.
    Specificity,
    /// The share of what is called so that is so (positive predictive value).
    Precision,
    /// The harmonic mean of sensitivity and precision.
    F1,
    /// The share of cases called rightly.
    Accuracy,
    /// The mean square of probability minus truth; 0 is best (Brier, Monthly Weather Review 1950).
    Brier,
}

impl Measure {
    /// In the order of a card.
    pub const ALL: [Measure; 7] = [
        Measure::Auroc,
        Measure::Sensitivity,
        Measure::Specificity,
        Measure::Precision,
        Measure::F1,
        Measure::Accuracy,
        Measure::Brier,
    ];

    /// Its name on a card.
    pub const fn name(self) -> &'static str {
        match self {
            Measure::Auroc => "AUROC",
            Measure::Sensitivity => "sensitivity",
            Measure::Specificity => "specificity",
            Measure::Precision => "precision",
            Measure::F1 => "F1",
            Measure::Accuracy => "accuracy",
            Measure::Brier => "Brier score",
        }
    }
}

/// Judged cases, ready to be measured.
#[derive(Clone, Default)]
pub struct Cases {
    /// By falling probability.
    sorted: Vec<Case>,
    patients: usize,
}

impl std::fmt::Debug for Cases {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "Cases({} of {} patients)", self.sorted.len(), self.patients)
    }
}

impl FromIterator<Case> for Cases {
    fn from_iter<I: IntoIterator<Item = Case>>(cases: I) -> Cases {
        let mut sorted: Vec<Case> = cases.into_iter().collect();
        sorted.sort_by(|left, right| right.probability.total_cmp(&left.probability));
        let patients = sorted.iter().map(|case| case.patient + 1).max().unwrap_or(0);
        Cases { sorted, patients }
    }
}

impl Cases {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.sorted.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.sorted.is_empty()
    }

    /// How many are so.
    pub fn positives(&self) -> usize {
        self.sorted.iter().filter(|case| case.truth).count()
    }

    /// One measure; what is given at least `threshold` is called so. `None` where it has no meaning, as the
    /// sensitivity without a case that is so.
    pub fn value(&self, measure: Measure, threshold: f32) -> Option<f64> {
        self.sums(threshold, &vec![1.0; self.patients]).value(measure)
    }

    /// A row of a table: every measure, with the interval that holds 95 % of draws of as many patients with
    /// replacement (Efron and Tibshirani 1993).
    pub fn row(&self, name: impl Into<String>, threshold: f32) -> TableRow {
        let whole = self.sums(threshold, &vec![1.0; self.patients]);
        let draws = self.draws(threshold);
        let cell = |measure: Measure| {
            let Some(value) = whole.value(measure) else { return Cell::EMPTY };
            let drawn: Vec<f64> = draws.iter().filter_map(|sums| sums.value(measure)).collect();
            Cell::with_interval(value, interval(drawn))
        };
        TableRow {
            name: name.into(),
            counts: vec![self.len(), self.positives()],
            values: Measure::ALL.map(cell).to_vec(),
        }
    }

    /// A table of all measures, a row for each group of cases.
    pub fn table(title: impl Into<String>, rows: Vec<TableRow>) -> Table {
        Table {
            title: title.into(),
            counts: vec!["cases".into(), "so".into()],
            measures: Measure::ALL.map(|measure| measure.name().to_owned()).to_vec(),
            rows,
        }
    }

    /// Whether its probabilities can be believed.
    pub fn calibration(&self) -> Calibration {
        Calibration::of(self.sorted.iter().map(|case| (case.probability, case.truth)))
    }

    fn draws(&self, threshold: f32) -> Vec<Sums> {
        if self.patients == 0 {
            return Vec::new();
        }
        let mut chance = Chance::new(SEED, 0);
        (0..DRAWS)
            .map(|_| {
                let mut weights = vec![0.0; self.patients];
                (0..self.patients).for_each(|_| weights[chance.below(self.patients)] += 1.0);
                self.sums(threshold, &weights)
            })
            .collect()
    }

    /// Sums over the cases, each counted as often as its patient was drawn.
    fn sums(&self, threshold: f32, weights: &[f64]) -> Sums {
        let mut sums = Sums::default();
        let mut at = 0;
        while at < self.sorted.len() {
            // Equal probabilities are one step of the curve: half of their pairs count.
            let probability = self.sorted[at].probability;
            let (mut yes, mut no) = (0.0, 0.0);
            while let Some(case) = self.sorted.get(at).filter(|case| case.probability == probability) {
                *if case.truth { &mut yes } else { &mut no } += weights[case.patient];
                at += 1;
            }
            sums.ordered += no * (sums.yes + yes / 2.0);
            sums.yes += yes;
            sums.no += no;
            if probability >= threshold {
                sums.hits += yes;
                sums.called += yes + no;
            }
            let p = f64::from(probability);
            sums.square += yes * (1.0 - p).powi(2) + no * p.powi(2);
        }
        sums
    }
}

/// The range that holds 95 % of the values.
pub(crate) fn interval(mut values: Vec<f64>) -> Option<[f64; 2]> {
    values.sort_by(f64::total_cmp);
    let tail = values.len() / 40;
    Some([*values.get(tail)?, *values.get(values.len().checked_sub(1 + tail)?)?])
}

/// Weighted draws of groups: calls `of` with how often each of `groups` groups was drawn.
pub(crate) fn drawn_intervals(groups: usize, of: &dyn Fn(&[usize]) -> Option<f64>) -> Option<[f64; 2]> {
    if groups == 0 {
        return None;
    }
    let mut chance = Chance::new(SEED, 0);
    let draw = |_| {
        let mut times = vec![0; groups];
        (0..groups).for_each(|_| times[chance.below(groups)] += 1);
        of(&times)
    };
    interval((0..DRAWS).filter_map(draw).collect())
}

/// What every measure is made of.
#[derive(Clone, Copy, Debug, Default)]
struct Sums {
    yes: f64,
    no: f64,
    hits: f64,
    called: f64,
    /// Pairs of one that is so and one that is not in the right order.
    ordered: f64,
    square: f64,
}

impl Sums {
    fn value(&self, measure: Measure) -> Option<f64> {
        let share = |part: f64, whole: f64| (whole > 0.0).then(|| part / whole);
        let all = self.yes + self.no;
        match measure {
            Measure::Auroc => share(self.ordered, self.yes * self.no),
            Measure::Sensitivity => share(self.hits, self.yes),
            Measure::Specificity => share(self.no - (self.called - self.hits), self.no),
            Measure::Precision => share(self.hits, self.called),
            Measure::F1 => share(2.0 * self.hits, self.called + self.yes),
            Measure::Accuracy => share(self.no - self.called + 2.0 * self.hits, all),
            Measure::Brier => share(self.square, all),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn cases(of: &[(usize, bool, f32)]) -> Cases {
        of.iter().map(|&(patient, truth, probability)| Case { patient, truth, probability }).collect()
    }

    #[test]
    fn measures_of_a_small_table_are_those_of_the_textbook() {
        let cases =
            cases(&[(0, true, 0.9), (1, true, 0.4), (2, false, 0.6), (3, false, 0.1), (4, false, 0.4)]);
        let value = |measure| cases.value(measure, 0.5).unwrap();
        assert!((value(Measure::Auroc) - 4.5 / 6.0).abs() < 1e-12);
        assert_eq!(value(Measure::Sensitivity), 0.5);
        assert!((value(Measure::Specificity) - 2.0 / 3.0).abs() < 1e-12);
        assert_eq!(value(Measure::Precision), 0.5);
        assert_eq!(value(Measure::F1), 0.5);
        assert!((value(Measure::Accuracy) - 0.6).abs() < 1e-12);
        let brier = (0.01 + 0.36 + 0.36 + 0.01 + 0.16) / 5.0;
        assert!((value(Measure::Brier) - brier).abs() < 1e-7);
    }

    #[test]
    fn what_has_no_meaning_has_no_value() {
        let cases = cases(&[(0, false, 0.2)]);
        assert_eq!(cases.value(Measure::Auroc, 0.5), None);
        assert_eq!(cases.value(Measure::Sensitivity, 0.5), None);
        assert_eq!(cases.value(Measure::Specificity, 0.5), Some(1.0));
        assert_eq!(cases.value(Measure::Precision, 0.5), None);
        assert_eq!(Cases::default().value(Measure::Accuracy, 0.5), None);
        assert_eq!(Cases::default().row("none", 0.5).values, vec![Cell::EMPTY; 7]);
    }

    #[test]
    fn intervals_are_over_patients() {
        // One patient with a hundred cases, all wrong, beside nine that are right: draws of cases would be sure of
        // a bad model, draws of patients are not.
        let mut many: Vec<(usize, bool, f32)> = (0..100).map(|_| (0, true, 0.1)).collect();
        many.extend((1..10).map(|patient| (patient, true, 0.9)));
        let row = cases(&many).row("all", 0.5);
        let sensitivity = row.values[Measure::ALL.iter().position(|m| *m == Measure::Sensitivity).unwrap()];
        let [low, high] = sensitivity.interval().unwrap();
        assert!(low < 0.05 && high == 1.0, "{low} to {high}");
    }

    proptest! {
        #[test]
        fn area_counts_pairs(of in prop::collection::vec((any::<bool>(), 0u8..8), 1..60)) {
            let cases: Cases = of.iter().enumerate().map(|(patient, (truth, level))| {
                Case { patient, truth: *truth, probability: f32::from(*level) / 8.0 }
            }).collect();
            let (mut ordered, mut pairs) = (0.0, 0.0);
            for (_, yes) in of.iter().filter(|(truth, _)| *truth) {
                for (_, no) in of.iter().filter(|(truth, _)| !*truth) {
                    ordered += if yes > no { 1.0 } else if yes == no { 0.5 } else { 0.0 };
                    pairs += 1.0;
                }
            }
            match cases.value(Measure::Auroc, 0.5) {
                None => prop_assert_eq!(pairs, 0.0),
                Some(area) => prop_assert!((area - ordered / pairs).abs() < 1e-9),
            }
        }
    }
}
