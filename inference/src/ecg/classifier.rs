//! The model: its weights, its card, and what it says of a recording.

use std::fmt;

use burn::tensor::Device;

use super::decision::Decision;
use super::detection::{Beat, detect};
use super::evaluation::{Counts, LabelledRecording};
use super::explanation::{PartShares, shares};
use super::features::{features, self_test_rows};
use super::filter::median;
use super::network::{Network, Question};
use super::pacing::paced;
use super::quality::{Quality, Refusal, assess, plausible};
use super::reasons::{Reason, reasons};
use super::rhythm::{BeatClass, RhythmSummary, rhythm};
use super::signal::EcgSignal;
use crate::{Backend, Model, ModelError, Precision};

/// The name of the model in the list of models.
pub const ECG_MODEL: &str = "ecg-beats";

/// A beat with its class.
#[derive(Clone, Debug, PartialEq)]
pub struct ClassifiedBeat {
    /// Where it is.
    pub beat: Beat,
    /// Its class.
    pub class: BeatClass,
    /// The probability of that class, 0 to 1, calibrated on patients that the weights never saw.
    pub probability: f32,
    /// The probability that it is ventricular, 0 to 1, whatever its class.
    pub ventricular: f32,
    /// The probability that it is supraventricular, 0 to 1, whatever its class.
    pub supraventricular: f32,
    /// What its class rested on, for ventricular and supraventricular beats.
    pub parts: Option<PartShares>,
    /// Why it is no ordinary beat; empty for normal ones.
    pub reasons: Vec<Reason>,
}

/// What the model says of a recording.
#[derive(Clone, PartialEq)]
pub struct EcgFinding {
    /// How well each stretch can be read.
    pub quality: Quality,
    /// The beats, without those in stretches that cannot be read.
    pub beats: Vec<ClassifiedBeat>,
    /// Rate, variability, pauses and the burden of ectopic beats.
    pub rhythm: RhythmSummary,
    /// How unlike the beats that were learned from, 0 to 1; above 1 the recording is refused. None where the model
    /// was given no limit.
    pub novelty: Option<f32>,
}

impl fmt::Debug for EcgFinding {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "EcgFinding({} beats)", self.beats.len())
    }
}

/// The model of beats, ready to work.
pub struct EcgModel {
    pub(super) network: Network,
    pub(super) decision: Decision,
    device: Device,
}

impl fmt::Debug for EcgModel {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "EcgModel({} members)", self.decision.patients.len())
    }
}

impl EcgModel {
    /// The model that is compiled in.
    pub fn built_in(backend: Backend) -> Result<EcgModel, ModelError> {
        EcgModel::load(&Model::named(ECG_MODEL)?, backend)
    }

    /// Reads a model: its weights must have the hash that its card names.
    pub fn load(model: &Model, backend: Backend) -> Result<EcgModel, ModelError> {
        model.verify()?;
        let decision: Decision =
            model.card.figures.decision.clone().try_into().map_err(|_| ModelError::Card)?;
        if !decision.is_possible() {
            return Err(ModelError::Card);
        }
        let device = backend.device();
        let network =
            Network::read(&model.weights, decision.patients.len(), &device).ok_or(ModelError::Weights)?;
        Ok(EcgModel { network, decision, device })
    }

    /// Its weights, stored with this many bits. `None` when they do not fit.
    pub fn weights(self, precision: Precision) -> Option<Vec<u8>> {
        self.network.write(precision)
    }

    /// What training found.
    #[cfg(feature = "train")]
    pub(super) fn of(network: Network, decision: Decision) -> EcgModel {
        EcgModel { network, decision, device: Backend::default().device() }
    }

    /// The number of learned values.
    pub fn parameters(&self) -> usize {
        self.network.parameters()
    }

    /// Whether it gives probabilities for the usual beat and for the farthest that features can describe.
    pub(crate) fn self_test(&self) -> Result<(), ModelError> {
        let rows = self_test_rows();
        let logits = self.network.logits(&rows, &self.everyone(), &self.device);
        let distances = self.network.distances(&rows, &self.everyone());
        let probable = |index: usize| {
            let answers = Question::ALL.map(|question| logits[question as usize][index]);
            let given = self.decision.class(answers, false).map_or(0.0, |(_, probability)| probability);
            answers.iter().chain(&self.decision.ectopic(answers)).all(|value| value.is_finite())
                && (0.0..=1.0).contains(&given)
        };
        let works = (0..rows.len()).all(probable) && distances.iter().all(|distance| distance.is_finite());
        if works { Ok(()) } else { Err(ModelError::Answers) }
    }

    /// How far a recording lies from those that were learned from: the median over its beats of the mean squared
    /// deviation of their features, in standard deviations; about 1 is usual. A patient whom the model learned from
    /// is compared with the others only.
    pub fn distance_unseen(&self, recording: &LabelledRecording) -> f32 {
        let beats = detect(&recording.signal);
        self.distance(&features(&recording.signal, &beats).rows, &self.unseen(recording))
    }

    fn distance(&self, rows: &[Vec<f32>], members: &[usize]) -> f32 {
        let mut distances = self.network.distances(rows, members);
        if distances.is_empty() { 0.0 } else { median(&mut distances) }
    }

    /// Beats, rhythm and reasons of a recording, or why it is refused.
    pub fn read(&self, signal: &EcgSignal) -> Result<EcgFinding, Refusal> {
        self.read_with(signal, &self.everyone(), &|| true).expect("wanted to its end")
    }

    /// As [`EcgModel::read`], for as long as somebody wants it: a day of ECG takes a while. `None` when it was ended.
    pub fn read_while(
        &self,
        signal: &EcgSignal,
        wanted: &dyn Fn() -> bool,
    ) -> Option<Result<EcgFinding, Refusal>> {
        self.read_with(signal, &self.everyone(), wanted)
    }

    /// How well a marked recording is read. A patient whom the model learned from is judged only by the members
    /// that never saw that patient.
    pub fn evaluate(&self, recording: &LabelledRecording) -> Result<Counts, Refusal> {
        let finding = self.read_unseen(recording)?;
        let found: Vec<(Beat, BeatClass)> =
            finding.beats.iter().map(|beat| (beat.beat, beat.class)).collect();
        Ok(Counts::of(recording, &found))
    }

    /// As [`EcgModel::evaluate`], but what is said of each beat.
    pub fn read_unseen(&self, recording: &LabelledRecording) -> Result<EcgFinding, Refusal> {
        self.read_with(&recording.signal, &self.unseen(recording), &|| true).expect("wanted to its end")
    }

    /// The members that never saw a patient.
    fn unseen(&self, recording: &LabelledRecording) -> Vec<usize> {
        let patients = self.decision.patients.iter().enumerate();
        let unseen: Vec<usize> = patients
            .filter(|(_, patient)| **patient == recording.patient)
            .map(|(member, _)| member)
            .collect();
        if unseen.is_empty() { self.everyone() } else { unseen }
    }

    fn everyone(&self) -> Vec<usize> {
        (0..self.decision.patients.len()).collect()
    }

    fn read_with(
        &self,
        signal: &EcgSignal,
        members: &[usize],
        wanted: &dyn Fn() -> bool,
    ) -> Option<Result<EcgFinding, Refusal>> {
        let quality = assess(signal);
        if let Some(refusal) = quality.refusal() {
            return Some(Err(refusal));
        }
        let going_on = || wanted().then_some(());
        going_on()?;
        let found = detect(signal);
        going_on()?;
        let described = features(signal, &found);
        going_on()?;
        let novelty =
            self.decision.novelty_limit.map(|limit| self.distance(&described.rows, members) / limit);
        let beats = self.classify(signal, &found, &described.rows, members);
        Some(summarise(quality, beats, signal.sampling_rate_hz(), novelty))
    }

    fn classify(
        &self,
        signal: &EcgSignal,
        beats: &[Beat],
        rows: &[Vec<f32>],
        members: &[usize],
    ) -> Vec<ClassifiedBeat> {
        let logits = self.network.logits(rows, members, &self.device);
        let paced = paced(signal, beats);
        let answers = |index: usize| Question::ALL.map(|question| logits[question as usize][index]);
        let given: Vec<Option<(BeatClass, f32)>> =
            (0..beats.len()).map(|index| self.decision.class(answers(index), paced[index])).collect();
        // What is no beat is as usual here: nothing of it is explained.
        let classes: Vec<BeatClass> =
            given.iter().map(|given| given.map_or(BeatClass::Unknown, |(class, _)| class)).collect();
        let parts = shares(&self.network, members, rows, &classes, &self.device);
        let beat = |(index, beat): (usize, &Beat)| {
            let (class, probability) = given[index]?;
            let [ventricular, supraventricular] = self.decision.ectopic(answers(index));
            let reasons = reasons(class, &rows[index]);
            let parts = parts[index];
            let beat = *beat;
            Some(ClassifiedBeat { beat, class, probability, ventricular, supraventricular, parts, reasons })
        };
        beats.iter().enumerate().filter_map(beat).collect()
    }
}

/// Leaves out beats in stretches that cannot be read, and adds the rhythm of the others.
fn summarise(
    quality: Quality,
    mut beats: Vec<ClassifiedBeat>,
    sampling_rate_hz: f64,
    novelty: Option<f32>,
) -> Result<EcgFinding, Refusal> {
    let unreadable = quality.unreadable();
    beats.retain(|beat| !unreadable.iter().any(|stretch| stretch.contains(&beat.beat.sample)));
    let places: Vec<Beat> = beats.iter().map(|beat| beat.beat).collect();
    let classes: Vec<BeatClass> = beats.iter().map(|beat| beat.class).collect();
    let rhythm = plausible(rhythm(&places, sampling_rate_hz, &classes, &unreadable))?;
    // After the rate: what a wrong sampling rate makes unusual is better told by that.
    if novelty.is_some_and(|novelty| novelty > 1.0) {
        return Err(Refusal::Unfamiliar);
    }
    Ok(EcgFinding { quality, beats, rhythm, novelty })
}

#[cfg(feature = "bench")]
impl EcgModel {
    /// The network, and all its members.
    pub(crate) fn into_network(self) -> (Network, Vec<usize>) {
        let members = self.everyone();
        (self.network, members)
    }
}
