//! What travels of models.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The model that read something.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct ModelInfo {
    /// Its name; the card is shown by `metaclinic models show NAME`.
    pub name: String,
    /// Its version.
    pub version: String,
    /// SHA-256 of its weights.
    pub weights_sha256: String,
    /// The backend it ran on.
    pub backend: String,
    /// `built-in` or `installed`.
    pub source: String,
    /// Who signed it, when it was installed.
    pub author: Option<String>,
    /// Where it fails.
    pub limits: Vec<String>,
}

/// What the person who looked thinks of an answer.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct OpinionRequest {
    /// Whether they agree.
    pub agree: bool,
    /// Why not: `missed-finding`, `false-finding`, `wrong-class`, `poor-input` or `other`.
    pub because: Option<String>,
}

/// An opinion that is kept, signed by the device of this home.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct OpinionInfo {
    /// Whether the person agrees.
    pub agree: bool,
    /// Why not.
    pub because: Option<String>,
    /// When it was said (RFC 3339, UTC).
    pub time: String,
    /// Digest of the signed answer that it is about.
    pub answer: String,
}

/// Which model a call is about.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct ModelName {
    /// Its name, or what it is called for short.
    pub name: String,
}

/// Signs a model of a folder of this machine.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct PublishRequest {
    /// Its name.
    pub name: String,
    /// Absolute path of a folder with `about.toml`, `figures.toml` and `weights.bpk`.
    pub folder: String,
    /// Another version than the card tells.
    pub version: Option<String>,
    /// Absolute path of a file to write instead of offering it to paired devices.
    pub file: Option<String>,
}

/// A model that was signed.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct PublishReport {
    /// Its name.
    pub model: String,
    /// Its version.
    pub version: String,
    /// Digest of what was signed.
    pub package: String,
    /// Size of the package.
    pub bytes: u64,
    /// The file it was written to; none when it is offered to paired devices.
    pub file: Option<String>,
}

/// Asks what paired clinics and researchers offer.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct UpdatesRequest {
    /// Only this peer.
    pub peer: Option<String>,
}

/// What each of them offers.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct UpdatesReport {
    /// A line for each peer that was asked.
    pub peers: Vec<PeerOffers>,
}

/// What one peer offers.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct PeerOffers {
    /// Its identity.
    pub peer: String,
    /// Its name.
    pub name: String,
    /// Models that this program knows.
    pub offers: Vec<ModelOffer>,
    /// Why it did not answer.
    pub problem: Option<String>,
}

/// A model that is offered.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct ModelOffer {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// SHA-256 of its weights.
    pub weights_sha256: String,
    /// Size of the sealed package.
    pub bytes: u64,
    /// The version in use here.
    pub in_use: String,
    /// Whether the offered one is newer.
    pub newer: bool,
}

/// Fetches an offered model.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct FetchModelRequest {
    /// Its name.
    pub name: String,
    /// Identity, device or name of the peer.
    pub peer: String,
}

/// Looks at a new model beside the one in use.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct CandidateRequest {
    /// Its name.
    pub name: String,
    /// Absolute path of a package; without it the one that was fetched.
    pub file: Option<String>,
    /// The identity of an author with whom this home is not paired.
    pub author: Option<String>,
    /// Whether a version that is not newer may be taken.
    #[serde(default)]
    pub allow_older: bool,
}

/// A new model beside the one in use.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct CandidateInfo {
    /// Its name.
    pub model: String,
    /// Digest of what its author signed.
    pub package: String,
    /// Who signed it.
    pub author: String,
    /// Their name, when paired.
    pub author_name: Option<String>,
    /// When it was signed, as its author says.
    pub signed: String,
    /// Its version.
    pub version: String,
    /// The version in use.
    pub in_use: String,
    /// The new card: `about` and `figures`.
    #[schema(value_type = Object)]
    pub card: serde_json::Value,
    /// The card of the model in use.
    #[schema(value_type = Object)]
    pub card_in_use: serde_json::Value,
}

/// Approves a new model that was shown.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct InstallRequest {
    /// Its name.
    pub name: String,
    /// Digest of the package that was shown.
    pub package: String,
    /// The identity of an author with whom this home is not paired.
    pub author: Option<String>,
    /// Whether a version that is not newer may be taken.
    #[serde(default)]
    pub allow_older: bool,
    /// In use at once, not beside the old one first.
    #[serde(default)]
    pub now: bool,
}

/// All models, with what lies in the home of each.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct ModelList {
    /// Each model of the program.
    pub models: Vec<ModelHere>,
}

/// What a home holds of a model.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct ModelHere {
    /// Its name.
    pub name: String,
    /// The version in use.
    pub version: String,
    /// `built-in` or `installed`.
    pub source: String,
    /// Packages that lie here.
    pub packages: Vec<KeptModel>,
}

/// A package that lies in a home.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct KeptModel {
    /// `active`, `shadow`, `candidate`, `previous` or `published`.
    pub state: String,
    /// Its version.
    pub version: String,
    /// Who signed it.
    pub author: String,
    /// Their name, when paired.
    pub author_name: Option<String>,
    /// SHA-256 of its weights.
    pub weights_sha256: String,
    /// Since when it is in this state (RFC 3339, UTC).
    pub since: String,
}

/// A package that was checked.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct ModelStateInfo {
    /// Name of the model.
    pub name: String,
    /// What it is here.
    pub state: String,
    /// Its version.
    pub version: String,
    /// SHA-256 of its weights.
    pub weights_sha256: String,
    /// Whether signature, hash and network are as they were approved.
    pub ok: bool,
}

/// Compares the new model with the one in use.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct CompareRequest {
    /// Its name.
    pub name: String,
    /// Absolute path of a folder with labelled data.
    pub data: Option<String>,
}

/// How the new model does beside the one in use.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct ComparisonReport {
    /// Name of the model.
    pub model: String,
    /// The version in use.
    pub in_use: String,
    /// The new version.
    pub version: String,
    /// What came of running both; none before it was approved.
    pub shadow: Option<ShadowReport>,
    /// Figures of both on labelled data.
    pub data: Option<DataComparison>,
}

/// What came of running both, as counts.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct ShadowReport {
    /// Recordings, pictures, people or series of readings that both were given.
    pub runs: u64,
    /// Runs in which the new one broke.
    pub failed: u64,
    /// Refused by both.
    pub refused_by_both: u64,
    /// Refused by the one in use alone.
    pub refused_by_active: u64,
    /// Refused by the new one alone.
    pub refused_by_shadow: u64,
    /// By the class that the one in use gave.
    pub classes: Vec<ShadowClass>,
    /// What only one of them took for a beat.
    pub unmatched: u64,
    /// Of what both said.
    pub mean_absolute_difference: Option<f64>,
    /// What that is told in: `probability` (0 to 1) or `mg/dL`.
    pub difference_in: String,
    /// Time of the new one over that of the one in use.
    pub time_ratio: Option<f64>,
}

/// How often both gave the same class.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct ShadowClass {
    /// The class that the one in use gave.
    pub class: String,
    /// The new one gave the same.
    pub same: u64,
    /// The new one gave another.
    pub other: u64,
}

/// Figures of both on labelled data, shaped as on a card.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct DataComparison {
    /// Of the one in use.
    #[schema(value_type = Object)]
    pub in_use: serde_json::Value,
    /// Of the new one.
    #[schema(value_type = Object)]
    pub new: serde_json::Value,
    /// Tables of the new one less the one in use, with intervals over patients.
    #[schema(value_type = Object)]
    pub differences: serde_json::Value,
}

/// What a model did here, and what is clearly worse than before.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct DriftReport {
    /// Name of the model.
    pub model: String,
    /// The last thirty days.
    pub recent: DriftSpan,
    /// All days before that are kept.
    pub earlier: DriftSpan,
    /// What is clearly worse, in words.
    pub warnings: Vec<String>,
    /// Each day with anything, the oldest first.
    pub days: Vec<DriftDay>,
}

/// Counts over some days.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct DriftSpan {
    /// Recordings or pictures that were given.
    pub runs: u64,
    /// Refused, by reason.
    pub refused: BTreeMap<String, u64>,
    /// Refused of all, 0 to 1.
    pub refused_share: Option<f64>,
    /// Refused because they are unlike what was learned from, 0 to 1.
    pub unfamiliar_share: Option<f64>,
    /// How unlike what was learned from, of what was read, 0 to 1.
    pub mean_novelty: Option<f64>,
    /// Answers that a person agreed with.
    pub agreed: u64,
    /// Answers that a person disagreed with.
    pub disagreed: u64,
    /// Disagreed with of all that were judged, 0 to 1.
    pub disagreed_share: Option<f64>,
}

/// Counts of a day.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct DriftDay {
    /// YYYY-MM-DD, UTC.
    pub date: String,
    /// Recordings or pictures that were given.
    pub runs: u64,
    /// Refused, by reason.
    pub refused: BTreeMap<String, u64>,
    /// How unlike what was learned from, of what was read, 0 to 1.
    pub mean_novelty: Option<f64>,
    /// Answers that a person agreed with.
    pub agreed: u64,
    /// Answers that a person disagreed with.
    pub disagreed: u64,
}
