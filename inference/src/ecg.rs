//! Reading an electrocardiogram: is it readable, where are the beats, what is the rhythm, and what describes
//! each beat.
//!
//! ```text
//! EcgSignal ─ assess ─▶ Quality ─▶ Refusal, or stretches that cannot be read
//!     └────── detect ─▶ [Beat]  ─▶ features ─▶ EcgModel ─▶ classes with reasons ─▶ rhythm
//! ```
//!
//! [`Strip`] draws a stretch with what was read of it, for the person who must check.
//!
//! Beats are numbered in the samples of the file they came from, whatever rate the work is done at.

mod classifier;
mod conditioning;
mod decision;
mod detection;
mod evaluation;
mod explanation;
mod features;
mod figures;
mod filter;
mod network;
mod novelty;
mod pacing;
mod quality;
mod reasons;
mod rhythm;
mod signal;
mod stream;
mod strip;
#[cfg(feature = "train")]
mod training;

pub use classifier::{ClassifiedBeat, ECG_MODEL, EcgFinding, EcgModel};
pub use decision::{Decision, Rule};
pub use detection::{Beat, detect};
pub use evaluation::{Counts, Figures, LabelledRecording, MatchedBeats, TOLERANCE_S, match_beats};
pub use explanation::{LEAST_SHARE, Part, PartShares, explained_stretches};
#[cfg(feature = "bench")]
pub(crate) use features::names as feature_names;
pub use features::{Features, features, first_lead};
pub use figures::Evaluation;
pub use novelty::{NOVELTY_MARGIN, Novelty};
pub use quality::{Problem, Quality, QualityWindow, Refusal, assess};
pub use reasons::Reason;
pub use rhythm::{BeatClass, RhythmSummary, rhythm};
pub use signal::{
    EcgSignal, Lead, MAX_DURATION_S, MAX_LEADS, MAX_RATE_HZ, MIN_DURATION_S, MIN_RATE_HZ, SignalError,
};
pub use stream::{EcgStream, StreamEvent};
pub use strip::{
    CLIP_MV, Explanation, Filter, GAIN_MM_PER_MV, MAX_DRAWN_LEADS, MAX_FOOTER_LINES, MAX_MARKS,
    MAX_STRETCHES, MAX_STRIP_S, MAX_SVG_BYTES, Mark, SPEED_MM_PER_S, Strip, StripError,
};
#[cfg(feature = "train")]
pub use training::{TrainError, train};
