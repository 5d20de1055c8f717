//! The figures of a data set: gross, per recording, with intervals over patients, and whether probabilities can
//! be believed.

use std::collections::BTreeMap;

use super::chance::Chance;
use super::classifier::EcgModel;
use super::evaluation::{Counts, Figures, LabelledRecording, match_beats};
use super::quality::Refusal;
use super::rhythm::BeatClass;
use crate::card::{RecordingRow, Row};

/// Draws of patients for the intervals.
const DRAWS: usize = 1_000;
/// Their seed: the same figures give the same intervals.
const SEED: u64 = 1;
/// Bins of the calibration error.
const BINS: usize = 10;

/// How well the model reads a data set.
#[derive(Clone, Debug, Default)]
pub struct Evaluation {
    recordings: Vec<(String, String, Counts)>,
    refused: Vec<(String, Refusal)>,
    bins: [(usize, usize, f64); BINS],
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
        self.recordings.push((recording.name.clone(), recording.patient.clone(), counts));
        let marked: Vec<usize> = recording.beats.iter().map(|(sample, _)| *sample).collect();
        let places: Vec<usize> = found.iter().map(|(beat, _)| beat.sample).collect();
        for (marked, found) in match_beats(&marked, &places, recording.tolerance()).pairs {
            let beat = &finding.beats[found];
            let bin = ((beat.probability * BINS as f32) as usize).min(BINS - 1);
            let (count, right, sum) = &mut self.bins[bin];
            *count += 1;
            *right += usize::from(beat.class == recording.beats[marked].1);
            *sum += f64::from(beat.probability);
        }
    }

    /// Recordings that were refused, and why.
    pub fn refused(&self) -> &[(String, Refusal)] {
        &self.refused
    }

    /// All recordings as if they were one: the gross statistics of EC57.
    pub fn gross(&self) -> Counts {
        let mut sum = Counts::default();
        self.recordings.iter().for_each(|(_, _, counts)| sum.add(counts));
        sum
    }

    /// Gross figures: detection, then each class.
    pub fn rows(&self) -> Vec<Row> {
        let gross = self.gross();
        let everything: usize = BeatClass::ALL.iter().map(|class| gross.marked(*class)).sum();
        let row = |name: String, beats: usize, of: &dyn Fn(&Counts) -> Figures| Row {
            name,
            beats,
            figures: triple(of(&gross)),
            f1_interval: self.interval(of),
        };
        let mut rows = vec![row("detection".into(), everything, &Counts::detection)];
        for class in BeatClass::ALL {
            rows.push(row(class.letter().into(), gross.marked(class), &move |counts| counts.class(class)));
        }
        rows
    }

    /// The figures of each recording.
    pub fn recording_rows(&self) -> Vec<RecordingRow> {
        let row = |(name, _, counts): &(String, String, Counts)| RecordingRow {
            name: name.clone(),
            beats: BeatClass::ALL.map(|class| counts.marked(class)),
            detection: triple(counts.detection()),
            supraventricular: triple(counts.class(BeatClass::Supraventricular)),
            ventricular: triple(counts.class(BeatClass::Ventricular)),
        };
        self.recordings.iter().map(row).collect()
    }

    /// Expected calibration error of the probability given for the class of a beat, 0 to 1.
    pub fn calibration_error(&self) -> f64 {
        let all: usize = self.bins.iter().map(|(count, ..)| count).sum();
        let gap = |(_, right, sum): &(usize, usize, f64)| (*right as f64 - sum).abs() / all.max(1) as f64;
        rounded(self.bins.iter().map(gap).sum())
    }

    /// 95 % of the F1 of draws of as many patients, with replacement (Efron and Tibshirani 1993).
    fn interval(&self, of: &dyn Fn(&Counts) -> Figures) -> [f64; 2] {
        let mut patients: BTreeMap<&str, Counts> = BTreeMap::new();
        for (_, patient, counts) in &self.recordings {
            patients.entry(patient).or_default().add(counts);
        }
        let patients: Vec<&Counts> = patients.values().collect();
        if patients.is_empty() {
            return [0.0, 1.0];
        }
        let mut chance = Chance::new(SEED, 0);
        let mut drawn: Vec<f64> = (0..DRAWS)
            .map(|_| {
                let mut sum = Counts::default();
                (0..patients.len()).for_each(|_| sum.add(patients[chance.below(patients.len())]));
                of(&sum).f1
            })
            .collect();
        drawn.sort_by(f64::total_cmp);
        [rounded(drawn[DRAWS / 40]), rounded(drawn[DRAWS - 1 - DRAWS / 40])]
    }
}

fn triple(figures: Figures) -> [f64; 3] {
    [figures.sensitivity, figures.precision, figures.f1].map(rounded)
}

/// To four places, as they are reported.
fn rounded(value: f64) -> f64 {
    (value * 1e4).round() / 1e4
}
