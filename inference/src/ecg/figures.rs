//! The figures of a data set: over all recordings, for each of them and for groups of patients, with intervals over
//! patients, and whether probabilities can be believed.

mod comparison;

use std::collections::BTreeMap;

use super::classifier::{ClassifiedBeat, EcgModel};
use super::evaluation::{Counts, Figures, LabelledRecording, match_beats};
use super::quality::Refusal;
use super::rhythm::BeatClass;
use crate::card::Measured;
use crate::measure::{Calibration, Case, Cases, Cell, Table, TableRow, drawn_intervals};

/// A beat is called supraventricular or ventricular in the table of ranks from this probability on; the classes themselves
/// follow the model's own rules.
const EVEN: f32 = 0.5;

/// How well the model reads a data set.
#[derive(Clone, Debug, Default)]
pub struct Evaluation {
    recordings: Vec<Read>,
    refused: Vec<(String, Refusal)>,
    /// The probability of the class that was given, and whether it is the marked one.
    said: Vec<(f32, bool)>,
    ventricular: Vec<Case>,
    supraventricular: Vec<Case>,
    patients: Vec<String>,
}

/// One recording that was read.
#[derive(Clone, Debug)]
struct Read {
    name: String,
    patient: usize,
    groups: Vec<String>,
    counts: Counts,
}

impl Evaluation {
    /// Reads one more recording with the members that never saw its patient.
    pub fn add(&mut self, model: &EcgModel, recording: &LabelledRecording) {
        let finding = match model.read_unseen(recording) {
            Ok(finding) => finding,
            Err(refusal) => return self.refused.push((recording.name.clone(), refusal)),
        };
        let found: Vec<_> = finding.beats.iter().map(|beat| (beat.beat, beat.class)).collect();
        let counts = Counts::of(recording, &found);
        let patient = self.number(&recording.patient);
        let (name, groups) = (recording.name.clone(), recording.groups.clone());
        self.recordings.push(Read { name, patient, groups, counts });
        let marked: Vec<usize> = recording.beats.iter().map(|(sample, _)| *sample).collect();
        let places: Vec<usize> = found.iter().map(|(beat, _)| beat.sample).collect();
        for (marked, found) in match_beats(&marked, &places, recording.tolerance()).pairs {
            self.judge(patient, &finding.beats[found], recording.beats[marked].1);
        }
    }

    fn number(&mut self, patient: &str) -> usize {
        self.patients.iter().position(|known| known == patient).unwrap_or_else(|| {
            self.patients.push(patient.to_owned());
            self.patients.len() - 1
        })
    }

    fn judge(&mut self, patient: usize, beat: &ClassifiedBeat, marked: BeatClass) {
        self.said.push((beat.probability, beat.class == marked));
        let case = |truth: BeatClass, probability| Case { patient, truth: marked == truth, probability };
        if !matches!(marked, BeatClass::Fusion | BeatClass::Unknown) {
            self.ventricular.push(case(BeatClass::Ventricular, beat.ventricular));
            self.supraventricular.push(case(BeatClass::Supraventricular, beat.supraventricular));
        }
    }

    /// Recordings that were refused, and why.
    pub fn refused(&self) -> &[(String, Refusal)] {
        &self.refused
    }

    /// All recordings as if they were one: the gross statistics of EC57.
    pub fn gross(&self) -> Counts {
        sum(self.recordings.iter())
    }

    /// All figures, as a card holds them.
    pub fn measured(&self) -> Measured {
        Measured {
            calibration: Calibration::of(self.said.iter().copied()),
            tables: vec![self.classes(), self.ranks(), self.groups(), self.each()],
        }
    }

    fn classes(&self) -> Table {
        let gross = self.gross();
        let everything: usize = BeatClass::ALL.iter().map(|class| gross.marked(*class)).sum();
        let detection = self.row("detection".into(), everything, &Counts::detection);
        let class = |class: BeatClass| {
            self.row(class.letter().into(), gross.marked(class), &move |counts| counts.class(class))
        };
        Table {
            title: "Beats".into(),
            counts: vec!["beats".into()],
            measures: ["sensitivity", "precision", "F1"].map(str::to_owned).to_vec(),
            rows: std::iter::once(detection).chain(BeatClass::ALL.map(class)).collect(),
        }
    }

    fn row(&self, name: String, count: usize, of: &dyn Fn(&Counts) -> Figures) -> TableRow {
        let whole = of(&self.gross());
        let cell = |pick: fn(Figures) -> f64| {
            let interval = drawn_intervals(self.patients.len(), &|times| {
                let drawn = self.recordings.iter();
                let drawn = drawn.flat_map(|read| std::iter::repeat_n(read, times[read.patient]));
                Some(pick(of(&sum(drawn))))
            });
            Cell::with_interval(pick(whole), interval)
        };
        let values = vec![cell(|it| it.sensitivity), cell(|it| it.precision), cell(|it| it.f1)];
        TableRow { name, counts: vec![count], values }
    }

    /// How well probabilities rank beats of all patients together, whatever the thresholds.
    fn ranks(&self) -> Table {
        let row = |name: &str, cases: &[Case]| cases.iter().copied().collect::<Cases>().row(name, EVEN);
        let rows = vec![row("V", &self.ventricular), row("S", &self.supraventricular)];
        Cases::table("Probabilities, called from 0.5 on, fusion beats apart", rows)
    }

    fn groups(&self) -> Table {
        let mut groups: BTreeMap<&str, Vec<&Read>> = BTreeMap::new();
        for read in &self.recordings {
            read.groups.iter().for_each(|group| groups.entry(group).or_default().push(read));
        }
        let row = |(name, reads): (&str, Vec<&Read>)| figures_row(name, &sum(reads.into_iter()));
        figures_table("Groups of patients", groups.into_iter().map(row).collect())
    }

    fn each(&self) -> Table {
        let rows = self.recordings.iter().map(|read| figures_row(&read.name, &read.counts));
        figures_table("Each recording", rows.collect())
    }
}

fn sum<'a>(reads: impl Iterator<Item = &'a Read>) -> Counts {
    let mut sum = Counts::default();
    reads.for_each(|read| sum.add(&read.counts));
    sum
}

fn figures_table(title: &str, rows: Vec<TableRow>) -> Table {
    let of = |what: &str| ["sensitivity", "precision"].map(|measure| format!("{what} {measure}"));
    Table {
        title: title.into(),
        counts: BeatClass::ALL.map(|class| class.letter().to_string()).to_vec(),
        measures: ["detection", "S", "V"].into_iter().flat_map(of).collect(),
        rows,
    }
}

fn figures_row(name: &str, counts: &Counts) -> TableRow {
    let of = |any: bool, figures: Figures| {
        let sensitivity = if any { Cell::of(figures.sensitivity) } else { Cell::EMPTY };
        [sensitivity, Cell::of(figures.precision)]
    };
    let class = |class| of(counts.marked(class) > 0, counts.class(class));
    let all =
        [of(true, counts.detection()), class(BeatClass::Supraventricular), class(BeatClass::Ventricular)];
    TableRow {
        name: name.into(),
        counts: BeatClass::ALL.map(|class| counts.marked(class)).to_vec(),
        values: all.into_iter().flatten().collect(),
    }
}
