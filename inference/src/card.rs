//! Model cards: what a model is for, what it was learned from, how well it does on patients it never saw, and
//! where it fails (Mitchell et al., "Model cards for model reporting", FAT* 2019; TRIPOD+AI, BMJ 2024).

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::ecg::Decision;

/// What people wrote about a model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct About {
    /// Its name on the command line.
    pub name: String,
    /// Rises with each training that is shipped.
    pub version: String,
    /// What it does, in a sentence.
    pub summary: String,
    /// What it is for.
    pub intended_use: String,
    /// What it must not be used for.
    pub not_intended_use: String,
    /// What it was learned from, with source and licence.
    pub data: String,
    /// How patients were kept apart.
    pub split: String,
    /// How it works.
    pub method: String,
    /// Where it fails, one sentence each.
    pub limits: Vec<String>,
    /// When a person must look, or call for help.
    pub safety: String,
}

/// What training wrote about a model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LearnedFigures {
    /// SHA-256 of the weights, in hexadecimal.
    pub weights_sha256: String,
    /// Size of the weights.
    pub weights_bytes: usize,
    /// Learned values.
    pub parameters: usize,
    /// The command that gives the figures.
    pub command: String,
    /// The seed of training.
    pub seed: u64,
    /// The day of training.
    pub date: String,
    /// The machine of training.
    pub machine: String,
    /// How long training took, in seconds.
    pub seconds: f64,
    /// Figures on patients that the weights in question never saw, over all recordings.
    pub gross: Vec<Row>,
    /// How far the probability given for the class of a beat lies from how often it is right, on average over
    /// ten bins (expected calibration error), 0 to 1.
    pub calibration_error: f64,
    /// The figures of each recording.
    pub recordings: Vec<RecordingRow>,
    /// The patient whom each member never saw.
    pub patients: Vec<String>,
    /// How answers become classes.
    pub decision: Option<Decision>,
}

/// The figures of a class, or of the detection of beats.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Row {
    /// `detection`, or the letter of a class.
    pub name: String,
    /// Marked beats.
    pub beats: usize,
    /// Sensitivity, precision and F1, each 0 to 1.
    pub figures: [f64; 3],
    /// The interval that holds the F1 of 95 % of draws of as many patients.
    pub f1_interval: [f64; 2],
}

/// The figures of a recording: sensitivity, precision and F1, each 0 to 1.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RecordingRow {
    /// Its name in the data set.
    pub name: String,
    /// Marked beats of the classes N, S, V, F and Q.
    pub beats: [usize; 5],
    /// Of the detection of beats.
    pub detection: [f64; 3],
    /// Of supraventricular beats.
    pub supraventricular: [f64; 3],
    /// Of ventricular beats.
    pub ventricular: [f64; 3],
}

/// A card: what people wrote, and what training wrote.
#[derive(Clone, Debug, PartialEq)]
pub struct ModelCard {
    /// What people wrote.
    pub about: About,
    /// What training wrote.
    pub figures: LearnedFigures,
}

/// A card with its weights.
#[derive(Clone)]
pub struct Model {
    /// The card.
    pub card: ModelCard,
    /// The weights, in burn's own format.
    pub weights: Cow<'static, [u8]>,
}

impl std::fmt::Debug for Model {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "Model({}, {} bytes)", self.card.about.name, self.weights.len())
    }
}

/// Why a model is not used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ModelError {
    /// No model has this name.
    #[error("there is no model of this name")]
    Unknown,
    /// The card cannot be read.
    #[error("the card of the model cannot be read")]
    Card,
    /// The weights are not those that the card names.
    #[error("the weights are not those that the card names")]
    Hash,
    /// The weights do not fit the network.
    #[error("the weights do not fit the network")]
    Weights,
}

struct BuiltIn {
    about: &'static str,
    figures: &'static str,
    weights: &'static [u8],
}

const BUILT_IN: &[BuiltIn] = &[BuiltIn {
    about: include_str!("../models/ecg-beats/about.toml"),
    figures: include_str!("../models/ecg-beats/figures.toml"),
    weights: include_bytes!("../models/ecg-beats/weights.bpk"),
}];

impl About {
    /// What people wrote about the compiled-in model of this name.
    pub fn named(name: &str) -> Result<About, ModelError> {
        let all = BUILT_IN.iter().map(|it| toml::from_str::<About>(it.about).map_err(|_| ModelError::Card));
        let all: Vec<About> = all.collect::<Result<_, _>>()?;
        all.into_iter().find(|about| about.name == name).ok_or(ModelError::Unknown)
    }
}

impl Model {
    /// The models that are compiled in.
    pub fn all() -> Result<Vec<Model>, ModelError> {
        BUILT_IN.iter().map(|it| Model::of(it.about, it.figures, Cow::Borrowed(it.weights))).collect()
    }

    /// The compiled-in model of this name.
    pub fn named(name: &str) -> Result<Model, ModelError> {
        Model::all()?.into_iter().find(|model| model.card.about.name == name).ok_or(ModelError::Unknown)
    }

    /// A model from the texts of its card and its weights.
    pub fn of(about: &str, figures: &str, weights: Cow<'static, [u8]>) -> Result<Model, ModelError> {
        let about = toml::from_str(about).map_err(|_| ModelError::Card)?;
        let figures = toml::from_str(figures).map_err(|_| ModelError::Card)?;
        Ok(Model { card: ModelCard { about, figures }, weights })
    }

    /// Whether the weights are those that the card names.
    pub fn verify(&self) -> Result<(), ModelError> {
        let same = self.card.figures.weights_sha256 == sha256(&self.weights);
        if same && self.weights.len() == self.card.figures.weights_bytes {
            Ok(())
        } else {
            Err(ModelError::Hash)
        }
    }
}

/// SHA-256 in hexadecimal.
pub fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_model_has_a_card_and_its_own_weights() {
        for model in Model::all().unwrap() {
            model.verify().unwrap();
            assert!(!model.card.about.limits.is_empty());
            assert!(model.card.about.safety.contains("emergency"));
        }
    }

    #[test]
    fn changed_weights_are_refused() {
        for model in Model::all().unwrap() {
            let mut changed = model.clone();
            changed.weights.to_mut()[100] ^= 1;
            assert_eq!(changed.verify(), Err(ModelError::Hash));
            changed.weights = model.weights[..model.weights.len() - 1].to_vec().into();
            assert_eq!(changed.verify(), Err(ModelError::Hash));
        }
    }

    #[test]
    fn unknown_model_is_refused() {
        assert_eq!(Model::named("crystal-ball").unwrap_err(), ModelError::Unknown);
    }
}
