//! Which model reads: the one that a clinic approved, or the one that is built in; and the new one beside it.

use std::sync::Arc;

use inference::{Backend, Model};
use keys::IdentityId;

use super::package::Package;
use super::state::Kept;
use crate::api::types::ModelInfo;
use crate::service::problem::{Problem, Tried};
use crate::service::{Node, blocking, read};

/// A model, and where it came from.
#[derive(Clone)]
pub(crate) struct Chosen {
    pub(crate) model: Arc<Model>,
    /// Digest and author of the package it came in; none for a built-in one.
    pub(crate) package: Option<([u8; 32], IdentityId)>,
}

/// What reads.
pub(crate) struct InUse {
    pub(crate) active: Chosen,
    pub(crate) shadow: Option<Chosen>,
}

/// A network that is loaded, with its card.
pub(crate) struct Reader<M> {
    pub(crate) network: Arc<M>,
    pub(crate) chosen: Chosen,
    pub(crate) backend: Backend,
}

impl Chosen {
    /// The compiled-in model.
    ///
    /// # Errors
    /// [`Problem`] when there is none of this name.
    pub(crate) fn built_in(name: &str) -> Result<Chosen, Problem> {
        Ok(Chosen { model: Arc::new(Model::named(name).tried("read the card of the model")?), package: None })
    }

    /// Names it among all models of a process.
    pub(crate) fn digest(&self) -> [u8; 32] {
        self.package.map_or([0; 32], |(digest, _)| digest)
    }
}

impl<M> Reader<M> {
    /// What is told of it with each answer.
    pub(crate) fn info(&self) -> ModelInfo {
        let card = &self.chosen.model.card;
        ModelInfo {
            name: card.about.name.clone(),
            version: card.about.version.clone(),
            weights_sha256: card.figures.weights_sha256.clone(),
            backend: self.backend.name().to_owned(),
            source: if self.chosen.package.is_some() { "installed" } else { "built-in" }.to_owned(),
            author: self.chosen.package.map(|(_, author)| author.to_string()),
            limits: card.about.limits.clone(),
        }
    }

    /// What to do with its answers.
    pub(crate) fn advice(&self) -> String {
        self.chosen.model.card.about.safety.clone()
    }
}

impl Node {
    /// What reads here with the model of this name.
    ///
    /// # Errors
    /// [`Problem`] when the approved model does not open: another one is never used in its place unasked.
    pub(crate) async fn in_use(&self, name: &str) -> Result<InUse, Problem> {
        let state = read(&self.models).state(name);
        let active = match &state.active {
            None => Chosen::built_in(name)?,
            Some(kept) => self.open_model(kept).await.map_err(|problem| {
                Problem::failed("the model that is in use here does not open")
                    .because(problem)
                    .next(format!("go back to the one before with: metaclinic models rollback {name}"))
            })?,
        };
        let shadow = match &state.shadow {
            None => None,
            Some(kept) => match self.open_model(kept).await {
                Ok(chosen) => Some(chosen),
                Err(problem) => {
                    tracing::error!(%problem, "the model that runs beside does not open");
                    None
                }
            },
        };
        Ok(InUse { active, shadow })
    }

    /// Opens a package that lies here; its signature is checked each time it is read from the disk.
    ///
    /// # Errors
    /// [`Problem`] when it is not what was kept.
    pub(crate) async fn open_model(&self, kept: &Kept) -> Result<Chosen, Problem> {
        let package = Some((kept.digest, kept.author));
        if let Some(model) = self.opened_models.get(&kept.digest) {
            return Ok(Chosen { model, package });
        }
        let opened = self.open_package(kept).await?;
        let model = Arc::new(opened.model);
        self.opened_models.keep(kept.digest, Arc::clone(&model));
        Ok(Chosen { model, package })
    }

    /// Reads a package from the disk.
    ///
    /// # Errors
    /// [`Problem`] when it is not what was kept.
    pub(crate) async fn open_package(&self, kept: &Kept) -> Result<Package, Problem> {
        let bytes = self.open_attachment(&kept.blob).await?;
        let opened = blocking(move || Package::read(&bytes).tried("read the package of the model")).await?;
        if opened.signed.digest() != kept.digest || opened.manifest.author != kept.author {
            return Err(Problem::failed("the package of the model is another one"));
        }
        Ok(opened)
    }
}
