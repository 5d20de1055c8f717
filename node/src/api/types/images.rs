//! What travels when a picture is read.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{ModelInfo, OpinionInfo, OpinionRequest};

/// Which stored picture to read.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct ImageRequest {
    /// FHIR type: `Binary`, `Media` or `DocumentReference`.
    pub resource_type: String,
    /// FHIR id.
    pub id: String,
    /// `own` or the identity of a peer; without it the own one first.
    pub source: Option<String>,
    /// The backend of the model; without it the default.
    pub backend: Option<String>,
    /// Whether to say what spoke for it.
    pub explain: bool,
    /// What the person who looked thinks of the answer.
    #[serde(default)]
    pub opinion: Option<OpinionRequest>,
}

/// What the model says of a picture.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct ImageAnswer {
    /// What the model says.
    pub report: ImageReport,
    /// What spoke for it drawn over the picture, as PNG in base 64.
    pub overlay: Option<String>,
}

/// What the model says of a picture.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct ImageReport {
    /// Why the picture is not read; null when it is.
    pub refused: Option<String>,
    /// What it was stored as: PNG, JPEG or DICOM.
    pub format: String,
    /// Columns.
    pub width: usize,
    /// Rows.
    pub height: usize,
    /// Frames of the file; only the first is read.
    pub frames: u32,
    /// What was looked for, each with its probability; empty when refused.
    pub findings: Vec<ImageFinding>,
    /// How unlike the images it learned from, 0 to 1; above 1 a picture is refused.
    pub novelty: Option<f32>,
    /// What spoke for it, when asked for.
    pub explanation: Option<ImageExplanation>,
    /// What read it.
    pub model: ModelInfo,
    /// What to do with this.
    pub advice: String,
    /// What a person thinks of it, if anybody said so; records of a home only.
    pub opinion: Option<OpinionInfo>,
}

/// Something that was looked for.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct ImageFinding {
    /// SNOMED CT.
    pub code: String,
    /// In words.
    pub label: String,
    /// 0 to 1, as if half of all such pictures showed it.
    pub probability: f32,
}

/// What spoke for a finding.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct ImageExplanation {
    /// How it was found out.
    pub method: String,
    /// The places that spoke most for it, the strongest first.
    pub places: Vec<ImagePlace>,
}

/// A place in the middle square of a picture.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct ImagePlace {
    /// From its left edge, 0 to 1.
    pub across: f32,
    /// From its upper edge, 0 to 1.
    pub down: f32,
    /// By how much the logit falls when the place is covered.
    pub logit: f32,
}
