//! Forecasting glucose in tissue from the readings of a continuous monitor: 30 and 60 minutes ahead, with the interval
//! that is to hold four readings of five.
//!
//! ```text
//! [GlucoseReading] ─ GlucoseSeries ─ Window ─▶ Refusal, or what the network sees
//!                                      └─────▶ GlucoseModel ─▶ GlucoseForecast ─▶ Advice
//! ```
//!
//! Times are seconds on any even scale; the network is not told the time of day.

mod advice;
mod baseline;
mod clarke;
mod drawing;
mod figures;
mod forecaster;
mod labelled;
mod network;
mod series;
#[cfg(feature = "train")]
mod training;

pub use advice::{Advice, BELOW_MG_DL, HIGH_MG_DL, VERY_LOW_MG_DL};
pub use baseline::damped_trend;
pub use clarke::{Zone, zone};
pub use drawing::chart;
pub use figures::Evaluation;
pub use forecaster::{Forecast, GLUCOSE_MODEL, GlucoseForecast, GlucoseModel, LEVEL, Part};
pub use labelled::LabelledPerson;
pub use series::{
    GlucoseReading, GlucoseSeries, HIGHEST_MG_DL, LOWEST_MG_DL, MAX_AGE_S, MG_DL_PER_MMOL_L, Refusal, Window,
};
#[cfg(feature = "train")]
pub use training::{TrainError, train};

/// How far ahead is looked, in minutes.
pub const HORIZONS_MIN: [u32; 2] = [30, 60];
