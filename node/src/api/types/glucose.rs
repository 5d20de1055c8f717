//! What travels when glucose is forecast.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{ModelInfo, OpinionInfo, OpinionRequest};

/// Whose stored readings to forecast from.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct GlucoseRequest {
    /// Id of the Patient.
    pub patient: String,
    /// `own` or the identity of a peer; without it the own one first.
    pub source: Option<String>,
    /// Forecast as if it were then: `YYYY-MM-DD hh:mm`; without it from the last reading.
    pub at: Option<String>,
    /// The backend of the model; without it the default.
    pub backend: Option<String>,
    /// Whether to draw it.
    pub chart: bool,
    /// What the person who looked thinks of the answer.
    #[serde(default)]
    pub opinion: Option<OpinionRequest>,
}

/// What the model says of readings.
#[derive(Clone, Serialize, Deserialize, ToSchema)]
pub(crate) struct GlucoseAnswer {
    /// What the model says.
    pub report: GlucoseReport,
    /// Readings and forecast as SVG.
    pub svg: Option<String>,
}

/// What the model says of readings.
#[derive(Clone, Serialize, Deserialize, ToSchema)]
pub(crate) struct GlucoseReport {
    /// Why there is no forecast; null when there is one.
    pub refused: Option<String>,
    /// Readings that were found.
    pub readings: usize,
    /// The unit that they were in, mg/dL or mmol/L; null when nobody said so, and mg/dL was assumed.
    pub unit: Option<String>,
    /// The reading that everything is counted from.
    pub last: Option<GlucoseLast>,
    /// What comes, for each time.
    pub forecasts: Vec<GlucoseForecastAt>,
    /// What is said without a model, for each time.
    pub baseline: Vec<GlucoseBaseline>,
    /// What the forecasts are made of.
    pub explanation: Option<GlucoseExplanation>,
    /// very-low, low, may-fall, high or usual; null when refused.
    pub urgency: Option<String>,
    /// What forecast it.
    pub model: ModelInfo,
    /// What to do with this.
    pub advice: String,
    /// What a person thinks of it, if anybody said so; records of a home only.
    pub opinion: Option<OpinionInfo>,
}

/// A reading.
#[derive(Clone, Serialize, Deserialize, ToSchema)]
pub(crate) struct GlucoseLast {
    /// When, with Z where the zone is known.
    pub at: String,
    /// Glucose.
    pub mg_per_dl: f32,
    /// The change of the 15 minutes before.
    pub mg_per_dl_per_min: f32,
}

/// A forecast of one time.
#[derive(Clone, Serialize, Deserialize, ToSchema)]
pub(crate) struct GlucoseForecastAt {
    /// After the last reading.
    pub minutes: u32,
    /// As often less as more comes.
    pub mg_per_dl: f32,
    /// Low end of the interval, mg/dL.
    pub low: f32,
    /// High end of the interval, mg/dL.
    pub high: f32,
    /// The share of readings that the interval is to hold, 0 to 1.
    pub level: f64,
}

/// What is said without a model.
#[derive(Clone, Serialize, Deserialize, ToSchema)]
pub(crate) struct GlucoseBaseline {
    /// After the last reading.
    pub minutes: u32,
    /// The last reading, mg/dL.
    pub last_value: f32,
    /// A trend that dies away, mg/dL.
    pub damped_trend: f32,
}

/// What forecasts are made of.
#[derive(Clone, Serialize, Deserialize, ToSchema)]
pub(crate) struct GlucoseExplanation {
    /// How it was found out.
    pub method: String,
    /// For each time.
    pub parts: Vec<GlucosePart>,
}

/// What a forecast is made of.
#[derive(Clone, Serialize, Deserialize, ToSchema)]
pub(crate) struct GlucosePart {
    /// After the last reading.
    pub minutes: u32,
    /// The change from the level alone, mg/dL.
    pub level: f32,
    /// The change from the course of the last hours, mg/dL.
    pub course: f32,
}
