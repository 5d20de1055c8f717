//! What another model does differently on the same recordings.

use super::{EVEN, Evaluation, Read, sum};
use crate::ecg::evaluation::{Counts, Figures};
use crate::ecg::rhythm::BeatClass;
use crate::measure::{Case, Cases, Cell, Table, TableRow, drawn_intervals};

impl Evaluation {
    /// The figures of `other` less these, with intervals over patients who are drawn alike for both.
    pub fn differences(&self, other: &Evaluation) -> Vec<Table> {
        let pair = Pair::of(self, other);
        let mut rows = vec![pair.row("detection", &Counts::detection)];
        rows.extend(
            BeatClass::ALL.map(|class| {
                pair.row(&class.letter().to_string(), &move |counts: &Counts| counts.class(class))
            }),
        );
        let classes = Table {
            title: "Beats: the new model less the old".into(),
            counts: Vec::new(),
            measures: ["sensitivity", "precision", "F1"].map(str::to_owned).to_vec(),
            rows,
        };
        let rank = |name: &str, pick: fn(&Evaluation) -> &Vec<Case>| {
            pair.cases(0, pick).difference(&pair.cases(1, pick), name, EVEN)
        };
        let rows = vec![rank("V", |it| &it.ventricular), rank("S", |it| &it.supraventricular)];
        vec![classes, Cases::difference_table("Probabilities: the new model less the old", rows)]
    }
}

/// Two evaluations with their patients numbered alike: one may have refused what the other read.
struct Pair<'a> {
    both: [&'a Evaluation; 2],
    /// From each one's numbers to the common ones.
    numbers: [Vec<usize>; 2],
    patients: usize,
}

impl<'a> Pair<'a> {
    fn of(left: &'a Evaluation, right: &'a Evaluation) -> Pair<'a> {
        let mut all: Vec<&String> = Vec::new();
        let numbers = [left, right].map(|evaluation| {
            let number = |patient: &'a String| {
                all.iter().position(|known| *known == patient).unwrap_or_else(|| {
                    all.push(patient);
                    all.len() - 1
                })
            };
            evaluation.patients.iter().map(number).collect()
        });
        Pair { both: [left, right], numbers, patients: all.len() }
    }

    fn row(&self, name: &str, of: &dyn Fn(&Counts) -> Figures) -> TableRow {
        let gap = |times: &[usize], pick: fn(Figures) -> f64| {
            let figure = |side: usize| {
                let times = |read: &&Read| times[self.numbers[side][read.patient]];
                let drawn = self.both[side].recordings.iter();
                pick(of(&sum(drawn.flat_map(|read| std::iter::repeat_n(read, times(&read))))))
            };
            figure(1) - figure(0)
        };
        let cell = |pick: fn(Figures) -> f64| {
            let interval = drawn_intervals(self.patients, &|times| Some(gap(times, pick)));
            Cell::with_interval(gap(&vec![1; self.patients], pick), interval)
        };
        let values = vec![cell(|it| it.sensitivity), cell(|it| it.precision), cell(|it| it.f1)];
        TableRow { name: name.to_owned(), counts: Vec::new(), values }
    }

    fn cases(&self, side: usize, pick: fn(&Evaluation) -> &Vec<Case>) -> Cases {
        let numbered = |case: &Case| Case { patient: self.numbers[side][case.patient], ..*case };
        pick(self.both[side]).iter().map(numbered).collect()
    }
}
