//! Two models on the same cases, and two rates: is the difference more than chance?

use super::{Cases, Cell, DRAWS, Measure, SEED, Sums, Table, TableRow, interval};
use crate::chance::Chance;

/// A rate is clearly above another from so many standard errors on: the three sigma of control charts (Shewhart 1931;
/// the p-chart of ISO 7870-2), which chance alone passes once in 740 looks.
pub const CLEARLY_ABOVE_SIGMA: f64 = 3.0;
/// With fewer cases on either side nothing is said: the normal approximation does not hold.
pub const LEAST_CASES: u64 = 30;

impl Cases {
    /// Every measure of `other` less that of these, with the interval that holds 95 % of draws of patients; each draw is
    /// the same for both. Patients must be numbered alike.
    pub fn difference(&self, other: &Cases, name: impl Into<String>, threshold: f32) -> TableRow {
        let patients = self.patients.max(other.patients);
        let both = |weights: &[f64]| (self.sums(threshold, weights), other.sums(threshold, weights));
        let gap = |measure: Measure, (left, right): &(Sums, Sums)| {
            Some(right.value(measure)? - left.value(measure)?)
        };
        let whole = both(&vec![1.0; patients]);
        let mut chance = Chance::new(SEED, 0);
        let draws: Vec<(Sums, Sums)> = (0..if patients == 0 { 0 } else { DRAWS })
            .map(|_| {
                let mut weights = vec![0.0; patients];
                (0..patients).for_each(|_| weights[chance.below(patients)] += 1.0);
                both(&weights)
            })
            .collect();
        let cell = |measure: Measure| {
            let Some(value) = gap(measure, &whole) else { return Cell::EMPTY };
            let drawn: Vec<f64> = draws.iter().filter_map(|sums| gap(measure, sums)).collect();
            Cell::with_interval(value, interval(drawn))
        };
        TableRow {
            name: name.into(),
            counts: vec![self.len(), other.len()],
            values: Measure::ALL.map(cell).to_vec(),
        }
    }

    /// A table of differences, a row for each group of cases.
    pub fn difference_table(title: impl Into<String>, rows: Vec<TableRow>) -> Table {
        Table {
            title: title.into(),
            counts: ["cases of the one", "of the other"].map(str::to_owned).to_vec(),
            measures: Measure::ALL.map(|measure| measure.name().to_owned()).to_vec(),
            rows,
        }
    }
}

/// By how many standard errors the first rate is above the second (test of two proportions with a pooled variance);
/// each is hits of cases. `None` with too few cases, or where nothing differs.
pub fn rate_above([hits, cases]: [u64; 2], [before, of]: [u64; 2]) -> Option<f64> {
    if cases < LEAST_CASES || of < LEAST_CASES {
        return None;
    }
    let (cases, of) = (cases as f64, of as f64);
    let pooled = (hits + before) as f64 / (cases + of);
    let error = (pooled * (1.0 - pooled) * (1.0 / cases + 1.0 / of)).sqrt();
    (error > 0.0).then(|| (hits as f64 / cases - before as f64 / of) / error)
}

#[cfg(test)]
mod tests {
    use super::super::Case;
    use super::*;

    fn cases(sure: f32) -> Cases {
        let case = |index: usize| {
            let truth = index.is_multiple_of(2);
            Case { patient: index / 4, truth, probability: if truth { sure } else { 1.0 - sure } }
        };
        (0..80).map(case).collect()
    }

    #[test]
    fn equal_answers_differ_by_nothing_and_worse_ones_by_less() {
        let same = cases(0.9).difference(&cases(0.9), "all", 0.5);
        assert!(same.values.iter().all(|cell| cell.value() == Some(0.0)), "{same:?}");
        let worse = cases(0.9).difference(&cases(0.3), "all", 0.5);
        let of = |measure: Measure| {
            let at = Measure::ALL.iter().position(|other| *other == measure).unwrap();
            worse.values[at]
        };
        assert_eq!(of(Measure::Accuracy).value(), Some(-1.0));
        assert!(of(Measure::Brier).value().unwrap() > 0.0 && of(Measure::Brier).interval().unwrap()[0] > 0.0);
        assert_eq!(cases(0.9).difference(&Cases::default(), "none", 0.5).values[0], Cell::EMPTY);
        assert_eq!(Cases::default().difference(&Cases::default(), "none", 0.5).counts, [0, 0]);
    }

    #[test]
    fn a_rate_is_clearly_above_only_with_enough_cases() {
        assert_eq!(rate_above([5, 29], [1, 1_000]), None);
        assert_eq!(rate_above([0, 100], [0, 100]), None);
        let doubled = rate_above([30, 100], [5, 100]).unwrap();
        // (0.30 - 0.05) / sqrt(0.175 · 0.825 · 0.02)
        assert!((doubled - 4.652).abs() < 0.001, "{doubled}");
        assert!(rate_above([6, 100], [5, 100]).unwrap() < CLEARLY_ABOVE_SIGMA);
        assert!(rate_above([0, 100], [20, 100]).unwrap() < 0.0);
    }
}
