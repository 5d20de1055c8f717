//! What travels when readings of one patient are put together.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Whose readings to put together.
#[derive(Clone, Serialize, Deserialize, ToSchema)]
pub(crate) struct TogetherRequest {
    /// FHIR id of the Patient.
    pub patient: String,
    /// `own` or the identity of a peer; without it the own one first.
    pub source: Option<String>,
    /// The patient's words, for a self-check; they are not kept.
    pub text: Option<String>,
    /// Values for the model of heart disease that the records do not hold, by its names; they go before stored ones.
    #[serde(default)]
    pub set: BTreeMap<String, String>,
    /// Whether to draw it.
    pub chart: bool,
}

/// The panel, and the drawing if one was asked for.
#[derive(Clone, Serialize, Deserialize, ToSchema)]
pub(crate) struct TogetherAnswer {
    /// The panel.
    pub report: TogetherReport,
    /// Shares and concerns as SVG.
    pub svg: Option<String>,
}

/// Readings of one patient together.
#[derive(Clone, Serialize, Deserialize, ToSchema)]
pub(crate) struct TogetherReport {
    /// Why nothing is said; null when something is.
    pub refused: Option<String>,
    /// Who enabled it in this home.
    pub enabled_by: String,
    /// When, RFC 3339.
    pub enabled_at: String,
    /// `now`, `soon` or `nothing_stands_out`; null when refused.
    pub level: Option<String>,
    /// The readings that ask for this level.
    pub level_from: Vec<String>,
    /// The pooled concern, 0 to 1; no probability of any disease.
    pub concern: Option<f64>,
    /// The pool of all lower and of all upper ends.
    pub range: Option<[f64; 2]>,
    /// Each reading, the weightiest first.
    pub sources: Vec<TogetherSource>,
    /// What there is nothing of, and why.
    pub missing: Vec<TogetherMissing>,
    /// Who contradicts whom.
    pub contradictions: Vec<String>,
    /// How it is made.
    pub method: String,
    /// What to do with this.
    pub advice: String,
    /// What it is not.
    pub limits: Vec<String>,
}

/// One reading.
#[derive(Clone, Serialize, Deserialize, ToSchema)]
pub(crate) struct TogetherSource {
    /// `ecg`, `image`, `risk`, `glucose`, `self_check` or `vitals`.
    pub kind: String,
    /// Records it is from, or `given`.
    pub from: String,
    /// When it was taken, as far as known.
    pub date: Option<String>,
    /// Hours since.
    pub age_h: Option<f64>,
    /// 0 to 1.
    pub concern: f64,
    /// Between which values the concern lies.
    pub interval: [f64; 2],
    /// 0 to 1: 2·AUROC − 1 of the model's card; 1 for rules.
    pub reliability: f64,
    /// 1 when new, halved with each half-life.
    pub freshness: f64,
    /// Share of all weight.
    pub share: f64,
    /// The pooled concern without it; null when it is the only one.
    pub without: Option<f64>,
    /// The level that it alone asks for.
    pub level: String,
    /// What it says.
    pub words: String,
    /// Name and version of the model; null for rules.
    pub model: Option<String>,
}

/// A reading that there is not.
#[derive(Clone, Serialize, Deserialize, ToSchema)]
pub(crate) struct TogetherMissing {
    /// As in the readings.
    pub kind: String,
    /// Why there is none.
    pub why: String,
    /// What would bring it.
    pub bring: String,
}

/// Whether readings are put together in this home.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct TogetherSwitch {
    /// On or off.
    pub enable: bool,
    /// The clinician who answers for it; needed to enable.
    pub by: Option<String>,
}

/// How it is switched now.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct TogetherSwitched {
    /// On or off.
    pub enabled: bool,
    /// Who enabled it.
    pub enabled_by: Option<String>,
}
