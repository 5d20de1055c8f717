//! What travels when a risk is read.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{ModelInfo, OpinionInfo, OpinionRequest};

/// Whose risk to read, out of stored records.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct RiskRequest {
    /// FHIR id of the Patient.
    pub patient: String,
    /// `own` or the identity of a peer; without it the own one first.
    pub source: Option<String>,
    /// Name of the model: `heart`, `readmission` or `breast`.
    pub model: String,
    /// Values that are given by hand; they go before stored ones.
    pub set: BTreeMap<String, String>,
    /// Whether to draw what each value added.
    pub chart: bool,
    /// Whether it is meant to be confirmed: then whoever may not is told at once.
    pub to_confirm: bool,
    /// What the person who looked thinks of the answer.
    #[serde(default)]
    pub opinion: Option<OpinionRequest>,
}

/// What the model says of a person.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct RiskAnswer {
    /// What the model says.
    pub report: RiskReport,
    /// What each value added, as SVG.
    pub svg: Option<String>,
}

/// A clinician's word that a reading is to be kept.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct RiskConfirmRequest {
    /// What was read.
    pub request: RiskRequest,
    /// `digest` of the report that the clinician saw.
    pub digest: String,
    /// Who confirms: a name, or `Practitioner/ID` of an own record.
    pub by: String,
}

/// What was kept.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct RiskConfirmed {
    /// `RiskAssessment/ID`.
    pub reference: String,
}

/// What a model says of a person.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct RiskReport {
    /// Why nothing is said; null when something is.
    pub refused: Option<String>,
    /// What there is a risk of; empty when refused.
    pub risks: Vec<Risk>,
    /// The probability of the first risk, 0 to 1; null when refused.
    pub probability: Option<f64>,
    /// What each value had to do with it; null when refused.
    pub explanation: Option<RiskExplanation>,
    /// What is not known, and what it was counted as.
    pub missing: Vec<RiskMissing>,
    /// What was known, and where from.
    pub values: Vec<RiskValue>,
    /// Stored values that were not used, and why.
    pub set_aside: Vec<RiskSetAside>,
    /// Names that the model does not ask for.
    pub ignored: Vec<String>,
    /// What read it.
    pub model: ModelInfo,
    /// What to do with this.
    pub advice: String,
    /// SHA-256 over model, values and answer: what a clinician confirms.
    pub digest: String,
    /// What a person thinks of it, if anybody said so; records of a home only.
    pub opinion: Option<OpinionInfo>,
}

/// A risk.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct Risk {
    /// SNOMED CT, where a concept means just this.
    pub code: Option<String>,
    /// In words.
    pub label: String,
    /// By when.
    pub when: String,
    /// 0 to 1.
    pub probability: f64,
    /// Where nine of ten members of the model lie.
    pub interval: [f64; 2],
    /// The share that was so among those the model learned from.
    pub share_learned_from: f64,
}

/// What each value had to do with it.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct RiskExplanation {
    /// How it was found out.
    pub method: String,
    /// The log-odds of the average person: the parts add up from here.
    pub base_log_odds: f64,
    /// The log-odds of the probability.
    pub log_odds: f64,
    /// What each value added, the strongest first.
    pub parts: Vec<RiskPart>,
}

/// What a value added.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct RiskPart {
    /// Name of the field.
    pub name: String,
    /// In words.
    pub label: String,
    /// The value with its unit; null when it is not known.
    pub value: Option<String>,
    /// Above 0 it spoke for the outcome, below against it.
    pub log_odds: f64,
}

/// A value that is not known.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct RiskMissing {
    /// Name of the field.
    pub name: String,
    /// In words.
    pub label: String,
    /// What it was counted as, in words.
    pub counted_as: String,
}

/// A value that was known.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct RiskValue {
    /// Name of the field.
    pub name: String,
    /// In words.
    pub label: String,
    /// With its unit.
    pub value: String,
    /// `given`, or the record.
    pub source: String,
    /// The day of a stored value.
    pub date: Option<String>,
    /// How old a stored value is.
    pub days_old: Option<i64>,
    /// Where it lies outside of what the model learned from: lowest and highest there.
    pub outside_of: Option<[f64; 2]>,
}

/// A stored value that was not used.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct RiskSetAside {
    /// Name of the field.
    pub name: String,
    /// The record.
    pub source: String,
    /// Why.
    pub reason: String,
}
