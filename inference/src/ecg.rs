//! Reading an electrocardiogram: is it readable, where are the beats, what is the rhythm, and what describes
//! each beat.
//!
//! ```text
//! EcgSignal ─ assess ─▶ Quality ─▶ Refusal, or stretches that cannot be read
//!     └────── detect ─▶ [Beat]  ─▶ rhythm, features ─▶ (a classifier)
//! ```
//!
//! Beats are numbered in the samples of the file they came from, whatever rate the work is done at.

mod conditioning;
mod detection;
mod evaluation;
mod features;
mod filter;
mod quality;
mod rhythm;
mod signal;

pub use detection::{Beat, detect};
pub use evaluation::{MatchedBeats, RecordRow, RecordTable, TOLERANCE_S, match_beats};
pub use features::{Features, MORPHOLOGY_POINTS, features};
pub use quality::{Problem, Quality, QualityWindow, Reading, Refusal, assess, read};
pub use rhythm::{BeatClass, RhythmSummary, rhythm};
pub use signal::{
    EcgSignal, Lead, MAX_DURATION_S, MAX_LEADS, MAX_RATE_HZ, MIN_DURATION_S, MIN_RATE_HZ, SignalError,
};
