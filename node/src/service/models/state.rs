//! Which packages of a model lie in a home, and which is in use. One small document for each model, written as a
//! whole together with its entry in the trail: after a crash it is the old one or the new one.
//!
//! ```text
//! fetch, file ─▶ candidate ─ approved ─▶ shadow ─ activate ─▶ active ─ rollback ─▶ what was before, or the built-in
//!                                └────── approved at once ───────▶┘
//! ```

use std::collections::{BTreeMap, HashSet};
use std::sync::{Arc, Mutex};

use inference::Model;
use keys::{AuditEvent, IdentityId, Timestamp, codec};
use records::Attachment;
use serde::{Deserialize, Serialize};
use store::{DocumentKind, Store};

use super::drift::Days;
use super::shadow::ShadowCounts;
use crate::service::problem::{Problem, Tried};
use crate::service::{Node, audit, lock, write};

const VERSION: u8 = 1;
/// The largest stored state.
const MAX_STATE_BYTES: usize = 1 << 20;
/// Steps that can be taken back.
const MAX_BEFORE: usize = 4;
/// Opened packages kept in memory: of each of six models the one in use and the one beside it.
const MAX_OPENED: usize = 12;

/// A package that lies here, sealed.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Kept {
    /// Where it lies, and its key.
    pub(crate) blob: Attachment,
    /// Digest of the signed manifest: the name of the package.
    #[serde(with = "serde_bytes")]
    pub(crate) digest: [u8; 32],
    pub(crate) author: IdentityId,
    pub(crate) model_version: String,
    pub(crate) weights_sha256: String,
    /// When it got into this state.
    pub(crate) since: Timestamp,
}

/// All that a home holds of one model. Without an active package the built-in one is in use.
#[derive(Clone, Default, Serialize, Deserialize)]
pub(crate) struct ModelState {
    version: u8,
    /// What this home gives to paired devices.
    pub(crate) published: Option<Kept>,
    /// Not approved yet.
    pub(crate) candidate: Option<Kept>,
    /// Approved to run beside the active one.
    pub(crate) shadow: Option<Kept>,
    /// What came of that.
    pub(crate) counts: ShadowCounts,
    pub(crate) active: Option<Kept>,
    /// What was active before, the latest last; none stands for the built-in one.
    pub(crate) before: Vec<Option<Kept>>,
}

impl ModelState {
    /// Puts a package in use.
    pub(crate) fn activate(&mut self, mut kept: Kept, now: Timestamp) {
        kept.since = now;
        self.before.push(self.active.replace(kept));
        let surplus = self.before.len().saturating_sub(MAX_BEFORE);
        self.before.drain(..surplus);
        self.shadow = None;
        self.counts = ShadowCounts::default();
    }

    /// Puts what was in use before back in use, and ends what runs beside it; whether there was anything to end.
    pub(crate) fn roll_back(&mut self) -> bool {
        let something = self.active.is_some() || self.shadow.is_some();
        // A package beside the active one was never in use: ending it is the whole step.
        if self.shadow.take().is_none() {
            self.active = self.before.pop().flatten();
        }
        self.counts = ShadowCounts::default();
        something
    }

    /// Every package, with what it is here.
    pub(crate) fn all(&self) -> impl Iterator<Item = (&'static str, &Kept)> {
        let named = [
            ("active", &self.active),
            ("shadow", &self.shadow),
            ("candidate", &self.candidate),
            ("published", &self.published),
        ];
        let named = named.into_iter().filter_map(|(state, kept)| Some((state, kept.as_ref()?)));
        named.chain(self.before.iter().rev().flatten().map(|kept| ("previous", kept)))
    }
}

/// The models of an open home.
#[derive(Default)]
pub(crate) struct Models {
    states: BTreeMap<String, ModelState>,
    /// Whether what was stored could not be read; then the built-in models are in use and nothing is overwritten.
    pub(crate) damaged: bool,
    pub(crate) days: Days,
}

impl Models {
    /// Reads them. A home whose models cannot be read opens all the same: records matter more.
    pub(crate) fn load(store: &Store) -> Models {
        let read = || -> Result<BTreeMap<String, ModelState>, Problem> {
            let mut states = BTreeMap::new();
            for (key, bytes) in store.documents(DocumentKind::Model).tried("read the models")? {
                let name = String::from_utf8(key).tried("read the name of a model")?;
                let state: ModelState =
                    codec::decode("model", &bytes, MAX_STATE_BYTES).tried("read a stored model")?;
                if state.version != VERSION {
                    return Err(Problem::failed("a stored model is of a newer program"));
                }
                states.insert(name, state);
            }
            Ok(states)
        };
        let days = Days::load(store);
        match read() {
            Ok(states) => Models { states, damaged: false, days },
            Err(problem) => {
                tracing::error!(%problem, "the built-in models are used");
                Models { states: BTreeMap::new(), damaged: true, days }
            }
        }
    }

    /// What is here of a model.
    pub(crate) fn state(&self, name: &str) -> ModelState {
        self.states.get(name).cloned().unwrap_or_default()
    }

    /// The sealed packages that are still needed.
    pub(crate) fn blobs(&self) -> HashSet<[u8; 32]> {
        self.states.values().flat_map(ModelState::all).map(|(_, kept)| kept.blob.hash).collect()
    }

    /// Whether a sealed package is one that this home gives to paired devices.
    pub(crate) fn publishes(&self, hash: &[u8; 32]) -> bool {
        self.published().any(|(_, kept)| kept.blob.hash == *hash)
    }

    /// What this home gives to paired devices.
    pub(crate) fn published(&self) -> impl Iterator<Item = (&String, &Kept)> {
        self.states.iter().filter_map(|(name, state)| Some((name, state.published.as_ref()?)))
    }

    /// The same of one model.
    pub(crate) fn published_of(&self, name: &str) -> Option<&Kept> {
        self.states.get(name)?.published.as_ref()
    }

    /// The names of models of which something is here.
    pub(crate) fn names(&self) -> impl Iterator<Item = &String> {
        self.states.keys()
    }
}

/// Opened packages, by their digests.
#[derive(Default)]
pub(crate) struct Opened(Mutex<Vec<([u8; 32], Arc<Model>)>>);

impl Opened {
    pub(crate) fn get(&self, digest: &[u8; 32]) -> Option<Arc<Model>> {
        lock(&self.0).iter().find(|(other, _)| other == digest).map(|(_, model)| Arc::clone(model))
    }

    pub(crate) fn keep(&self, digest: [u8; 32], model: Arc<Model>) {
        let mut opened = lock(&self.0);
        if opened.len() >= MAX_OPENED {
            opened.remove(0);
        }
        opened.push((digest, model));
    }
}

impl Node {
    /// Changes what a home holds of a model: durable, and in the trail, when it returns; else unchanged.
    ///
    /// # Errors
    /// What `change` returns, or that the store writes no more.
    pub(crate) fn change_model<T>(
        &self,
        name: &str,
        events: Vec<(Timestamp, AuditEvent)>,
        change: impl FnOnce(&mut ModelState) -> Result<T, Problem>,
    ) -> Result<T, Problem> {
        let mut models = write(&self.models);
        if models.damaged {
            return Err(Problem::failed("what is stored about models cannot be read")
                .next("check the home with: metaclinic records verify"));
        }
        let mut state = models.state(name);
        let done = change(&mut state)?;
        state.version = VERSION;
        let bytes = codec::encode(&state);
        let kept = self.store.put_document(DocumentKind::Model, name.as_bytes(), &bytes, events);
        kept.map_err(|error| {
            Problem::failed("cannot keep what was changed").because(error).next(audit::RESTART)
        })?;
        models.states.insert(name.to_owned(), state);
        Ok(done)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(version: &str) -> Kept {
        let blob = Attachment {
            hash: [1; 32],
            key: [2; 32],
            bytes: 3,
            content_type: String::new(),
            title: String::new(),
        };
        let author = IdentityId::from_bytes([4; 32]);
        Kept {
            blob,
            digest: [5; 32],
            author,
            model_version: version.into(),
            weights_sha256: String::new(),
            since: Timestamp::from_millis(0),
        }
    }

    fn in_use(state: &ModelState) -> Option<&str> {
        state.active.as_ref().map(|kept| kept.model_version.as_str())
    }

    #[test]
    fn rollback_ends_at_the_built_in_model_and_never_at_none() {
        let mut state = ModelState::default();
        let now = Timestamp::from_millis(1);
        for version in ["2", "3"] {
            state.activate(kept(version), now);
        }
        assert_eq!(in_use(&state), Some("3"));
        state.shadow = Some(kept("4"));
        assert!(state.roll_back());
        assert_eq!(in_use(&state), Some("3"), "what ran beside was ended, not what was in use");
        assert!(state.roll_back());
        assert_eq!(in_use(&state), Some("2"));
        assert!(state.roll_back());
        assert_eq!(in_use(&state), None);
        assert!(!state.roll_back());
        for version in 2..20 {
            state.activate(kept(&version.to_string()), now);
        }
        assert_eq!(state.before.len(), MAX_BEFORE);
        while state.roll_back() {}
        assert_eq!(in_use(&state), None);
    }

    #[test]
    fn a_state_reads_back() {
        let mut state = ModelState::default();
        state.activate(kept("2"), Timestamp::from_millis(1));
        state.counts.runs = 3;
        let again: ModelState =
            codec::decode("model", &codec::encode(&state), MAX_STATE_BYTES).expect("reads back");
        assert_eq!((in_use(&again), again.before.len(), again.counts.runs), (Some("2"), 1, 3));
    }
}
