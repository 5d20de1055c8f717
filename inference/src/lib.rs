//! What a node can read out of its own signals, on the device itself. Pure: no workspace crate, no files, no
//! clock, no randomness, and no type here has a place for who a signal belongs to.
//!
//! Research software: what it says is for a clinician to check, not a diagnosis.

mod backend;
mod card;
pub mod ecg;
pub mod questionnaire;
pub mod text;
pub mod triage;

pub use backend::{Backend, UnknownBackend};
pub use card::{About, LearnedFigures, Model, ModelCard, ModelError, RecordingRow, Row, sha256};
