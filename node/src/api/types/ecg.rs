//! What travels when an ECG is read.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{ModelInfo, OpinionInfo, OpinionRequest};

/// Which stored recording to read, and whether to draw it.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct EcgRequest {
    /// FHIR type, `Observation` for recordings.
    pub resource_type: String,
    /// FHIR id.
    pub id: String,
    /// `own` or the identity of a peer; without it the own one first.
    pub source: Option<String>,
    /// The backend of the model; without it the default.
    pub backend: Option<String>,
    /// The stretch to draw, if any.
    pub strip: Option<StripRequest>,
    /// What the person who looked thinks of the answer.
    #[serde(default)]
    pub opinion: Option<OpinionRequest>,
}

/// A stretch of a recording.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct StripRequest {
    /// Where it begins, in seconds; without it where there is most to see.
    pub start_s: Option<f64>,
    /// How long it is, in seconds.
    pub seconds: f64,
}

/// What the model says of a recording, and the strip if one was asked for.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct EcgAnswer {
    /// What the model says.
    pub report: EcgReport,
    /// The strip as SVG, at 25 mm/s and 10 mm/mV.
    pub svg: Option<String>,
}

/// What the model says of a recording.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct EcgReport {
    /// Why it is not read; then there are no beats and no rhythm.
    pub refused: Option<String>,
    /// Leads in the order of the file.
    pub leads: Vec<String>,
    /// The file's own rate; beats are counted in its samples.
    pub sampling_rate_hz: f64,
    /// How long the recording is.
    pub duration_s: f64,
    /// Every beat found where the recording can be read.
    pub beats: Vec<EcgBeat>,
    /// Rate, variability, pauses and burden.
    pub rhythm: Option<EcgRhythm>,
    /// How unlike the beats that were learned from, 0 to 1; above 1 a recording is refused.
    pub novelty: Option<f32>,
    /// Stretches that cannot be read.
    pub unreadable: Vec<EcgStretch>,
    /// Why each beat that is not normal was given its class.
    pub explanation: Vec<EcgExplanation>,
    /// What read it.
    pub model: ModelInfo,
    /// What to do with this.
    pub advice: String,
    /// What a person thinks of it, if anybody said so; records of a home only.
    pub opinion: Option<OpinionInfo>,
}

/// A beat.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct EcgBeat {
    /// Sample of the file, from 0.
    pub sample: usize,
    /// N, S, V, F or Q (ANSI/AAMI EC57).
    pub class: char,
    /// Probability of the class, 0 to 1.
    pub probability: f32,
}

/// Why a beat was given its class.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct EcgExplanation {
    /// Sample of the beat.
    pub sample: usize,
    /// Its class.
    pub class: char,
    /// What sets it apart from the patient's usual beats.
    pub reasons: Vec<String>,
    /// What the model rested on, the strongest first.
    pub rested_on: Vec<EcgPart>,
}

/// A part of a beat that spoke for its class.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct EcgPart {
    /// `interval before`, `P wave`, `QRS complex`, `T wave` or `interval after`.
    pub part: String,
    /// How much it weighed against the strongest part, 0 to 1.
    pub share: f32,
}

/// The rhythm in numbers.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct EcgRhythm {
    /// Beats counted.
    pub beats: usize,
    /// Beats a minute over the whole recording.
    pub mean_rate_per_min: f64,
    /// The slowest over eight intervals.
    pub min_rate_per_min: f64,
    /// The fastest over eight intervals.
    pub max_rate_per_min: f64,
    /// Standard deviation of intervals between normal beats.
    pub sdnn_ms: Option<f64>,
    /// Root mean square of their differences.
    pub rmssd_ms: Option<f64>,
    /// Share of differences above 50 ms.
    pub pnn50_percent: Option<f64>,
    /// The longest interval between two beats.
    pub longest_pause_s: f64,
    /// The sample at which it begins.
    pub longest_pause_at_sample: usize,
    /// Above about 0.1 the rhythm is irregular.
    pub irregularity: Option<f64>,
    /// Share of supraventricular beats.
    pub supraventricular_burden_percent: Option<f64>,
    /// Share of ventricular beats.
    pub ventricular_burden_percent: Option<f64>,
}

/// A stretch of the recording, in seconds.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct EcgStretch {
    /// Where it begins.
    pub from_s: f64,
    /// Where it ends.
    pub to_s: f64,
}
