//! Model cards: what a model is for, what it was learned from, how well it does on patients it never saw, and
//! where it fails (Mitchell et al., "Model cards for model reporting", FAT* 2019; TRIPOD+AI, BMJ 2024).

mod foreign;

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::measure::{Calibration, Table};

pub use foreign::{ForeignError, MAX_ABOUT_BYTES, MAX_FIGURES_BYTES, ModelVersion};

/// What people wrote about a model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct About {
    /// Its name on the command line.
    pub name: String,
    /// What it may be called for short: the word of the command that uses it.
    pub short_name: String,
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
    /// How answers become classes: each model reads its own.
    pub decision: toml::Table,
    /// Figures on patients that the weights in question never saw.
    pub measured: Measured,
    /// The same weights with fewer bits, as `models compress` found them: size, and what it costs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub compressed: Option<Table>,
}

/// What is measured of a model on a data set; a card holds it, and `evaluate` gives it again.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Measured {
    /// Whether the probabilities can be believed.
    pub calibration: Calibration,
    /// The tables, the most important first.
    pub tables: Vec<Table>,
}

impl Measured {
    /// Builds round differently, which moves a few cases in fifty thousand: figures within this are the same.
    pub const ROUNDING: f64 = 0.002;

    /// Whether all figures of a card came out again, but for rounding. More may have been measured than the card tells.
    pub fn holds(&self, card: &Measured) -> bool {
        let table = |told: &Table| {
            let same = self.tables.iter().find(|measured| measured.title == told.title);
            same.is_some_and(|measured| measured.agrees(told, Measured::ROUNDING))
        };
        (self.calibration.error - card.calibration.error).abs() <= Measured::ROUNDING
            && card.tables.iter().all(table)
    }

    /// The figure of a row of the first table.
    pub fn value(&self, row: &str, measure: &str) -> Option<f64> {
        self.tables.first()?.value(row, measure)
    }
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
    /// The network gives answers that are no numbers.
    #[error("the network gives answers that are no numbers")]
    Answers,
}

struct BuiltIn {
    about: &'static str,
    figures: &'static str,
    weights: &'static [u8],
}

const BUILT_IN: &[BuiltIn] = &[
    BuiltIn {
        about: include_str!("../models/ecg-beats/about.toml"),
        figures: include_str!("../models/ecg-beats/figures.toml"),
        weights: include_bytes!("../models/ecg-beats/weights.bpk"),
    },
    BuiltIn {
        about: include_str!("../models/chest-xray/about.toml"),
        figures: include_str!("../models/chest-xray/figures.toml"),
        weights: include_bytes!("../models/chest-xray/weights.bpk"),
    },
    BuiltIn {
        about: include_str!("../models/heart-disease/about.toml"),
        figures: include_str!("../models/heart-disease/figures.toml"),
        weights: include_bytes!("../models/heart-disease/weights.bpk"),
    },
    BuiltIn {
        about: include_str!("../models/readmission-30d/about.toml"),
        figures: include_str!("../models/readmission-30d/figures.toml"),
        weights: include_bytes!("../models/readmission-30d/weights.bpk"),
    },
    BuiltIn {
        about: include_str!("../models/breast-mass/about.toml"),
        figures: include_str!("../models/breast-mass/figures.toml"),
        weights: include_bytes!("../models/breast-mass/weights.bpk"),
    },
    BuiltIn {
        about: include_str!("../models/glucose-forecast/about.toml"),
        figures: include_str!("../models/glucose-forecast/figures.toml"),
        weights: include_bytes!("../models/glucose-forecast/weights.bpk"),
    },
];

impl About {
    fn is_called(&self, name: &str) -> bool {
        self.name == name || self.short_name == name
    }

    /// What people wrote about the compiled-in model of this name.
    pub fn named(name: &str) -> Result<About, ModelError> {
        let all = BUILT_IN.iter().map(|it| toml::from_str::<About>(it.about).map_err(|_| ModelError::Card));
        let all: Vec<About> = all.collect::<Result<_, _>>()?;
        all.into_iter().find(|about| about.is_called(name)).ok_or(ModelError::Unknown)
    }
}

impl Model {
    /// The models that are compiled in.
    pub fn all() -> Result<Vec<Model>, ModelError> {
        BUILT_IN.iter().map(|it| Model::of(it.about, it.figures, Cow::Borrowed(it.weights))).collect()
    }

    /// The compiled-in model of this name.
    pub fn named(name: &str) -> Result<Model, ModelError> {
        Model::all()?.into_iter().find(|model| model.card.about.is_called(name)).ok_or(ModelError::Unknown)
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
