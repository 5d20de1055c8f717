//! What every report says of the model it came from.

use inference::{Backend, ModelCard};

use crate::api::types::ModelInfo;

/// Name, version, weights and limits of a model, and what it was computed with.
pub(super) fn model_info(card: &ModelCard, backend: Backend) -> ModelInfo {
    ModelInfo {
        name: card.about.name.clone(),
        version: card.about.version.clone(),
        weights_sha256: card.figures.weights_sha256.clone(),
        backend: backend.name().to_owned(),
        source: "built-in".to_owned(),
        author: None,
        limits: card.about.limits.clone(),
    }
}
