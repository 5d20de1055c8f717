//! What travels of a model.

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
    /// Where it fails.
    pub limits: Vec<String>,
}
