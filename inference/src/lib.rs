//! What a node can read out of its own signals and numbers, on the device itself. Pure: no workspace crate, no files, no
//! clock, no randomness, and no type here has a place for who a signal belongs to.
//!
//! Research software: what it says is for a clinician to check, not a diagnosis.

pub mod analytics;
mod backend;
mod card;
mod chance;
pub mod chart;
mod dense;
pub mod ecg;
pub mod fusion;
pub mod glucose;
mod kernels;
pub mod measure;
#[cfg(feature = "bench")]
pub mod peers;
mod precision;
pub mod questionnaire;
mod residual;
pub mod risk;
pub mod text;
#[cfg(feature = "train")]
pub mod training;
pub mod triage;
pub mod xray;

pub use backend::{Backend, UnknownBackend};
pub use card::{
    About, ForeignError, LearnedFigures, MAX_ABOUT_BYTES, MAX_FIGURES_BYTES, Measured, Model, ModelCard,
    ModelError, ModelVersion, sha256,
};
pub use precision::{Precision, UnknownPrecision};
