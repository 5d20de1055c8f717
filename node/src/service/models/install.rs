//! A clinic decides: what is fetched or lies in a file is shown beside what is in use, approved, run beside it, put in
//! use, and taken back. Nothing is put in use without the word of the person at this home.

use std::path::Path;
use std::sync::Arc;

use inference::ModelVersion;
use keys::{AuditAction, AuditEvent, DenyReason, IdentityId, Outcome, Timestamp};
use serde_json::json;
use tokio::runtime::Handle;

use super::in_use::Chosen;
use super::offers::{full_name, may_author};
use super::package::{Package, refused};
use super::state::{Kept, ModelState};
use crate::api::types::{
    CandidateInfo, CandidateRequest, InstallRequest, KeptModel, ModelHere, ModelList, ModelStateInfo,
};
use crate::clock;
use crate::service::problem::Problem;
use crate::service::{Node, audit, blocking, read};

impl Node {
    /// Takes a package as a candidate, or the one that was fetched, and shows it beside what is in use.
    ///
    /// # Errors
    /// [`Problem`] when it is not what its author signed, of an author who is not trusted, or does not work.
    pub(crate) async fn model_candidate(
        self: &Arc<Self>,
        request: CandidateRequest,
    ) -> Result<CandidateInfo, Problem> {
        let name = full_name(&request.name)?;
        if let Some(file) = request.file.clone() {
            let (node, runtime, request, name) =
                (Arc::clone(self), Handle::current(), request.clone(), name.clone());
            blocking(move || node.take_file(&runtime, Path::new(&file), &name, &request)).await?;
        }
        let state = read(&self.models).state(&name);
        let kept = state.candidate.as_ref().ok_or_else(|| {
            Problem::not_found("there is no new model to install").next(format!(
                "fetch one with: metaclinic models fetch {name} --from PEER, or name a file with --file FILE"
            ))
        })?;
        self.check_author(kept, request.author.as_deref())?;
        self.check_version(&name, kept, request.allow_older)?;
        let new = self.open_package(kept).await?;
        let old = self.in_use(&name).await?.active;
        Ok(self.candidate_info(&name, kept, &new, &old))
    }

    fn take_file(
        &self,
        runtime: &Handle,
        file: &Path,
        name: &str,
        request: &CandidateRequest,
    ) -> Result<(), Problem> {
        let taken = Package::read_file(file).and_then(|package| package.self_test().map(|()| package));
        let package = taken.map_err(|error| {
            if let Err(problem) = self.note(vec![refusal(DenyReason::Malformed)]) {
                tracing::error!(%problem, "a refused model is not in the trail");
            }
            refused(error)
        })?;
        if package.manifest.name != name {
            return Err(Problem::wrong_use(format!("the file holds the model {}", package.manifest.name)));
        }
        self.trusts(&package.manifest.author, request.author.as_deref())?;
        // Sealed before it is named: a crash in between leaves bytes that the next start clears away.
        let kept = self.seal_package(runtime, &package, &package.bytes())?;
        self.check_version(name, &kept, request.allow_older)?;
        self.change_model(name, Vec::new(), |state| {
            state.candidate = Some(kept);
            Ok(())
        })
    }

    /// Whether this home believes an author: itself, a paired clinic or researcher, or one whom the person names.
    fn trusts(&self, author: &IdentityId, named: Option<&str>) -> Result<(), Problem> {
        let own = *author == self.keyring.identity().id();
        let paired = read(&self.peers).by_identity(author).is_some_and(may_author);
        if own || paired || named == Some(author.to_string().as_str()) {
            return Ok(());
        }
        self.note(vec![refusal(DenyReason::UnknownPeer)])?;
        Err(Problem::denied(format!("the model is signed by {author}, with whom this home is not paired"))
            .next("pair with its author; or compare the key with them in person and say --author KEY"))
    }

    fn check_author(&self, kept: &Kept, named: Option<&str>) -> Result<(), Problem> {
        self.trusts(&kept.author, named)
    }

    fn check_version(&self, name: &str, kept: &Kept, allow_older: bool) -> Result<(), Problem> {
        let here = self.version_in_use(name);
        let newer = ModelVersion::parse(&kept.model_version) > ModelVersion::parse(&here);
        if newer || allow_older {
            return Ok(());
        }
        Err(Problem::denied(format!(
            "version {} is not newer than version {here}, which is in use",
            kept.model_version
        ))
        .next("an old package that is brought again may be an attack; if you mean it, say --allow-older"))
    }

    fn candidate_info(&self, name: &str, kept: &Kept, new: &Package, old: &Chosen) -> CandidateInfo {
        let card =
            |model: &inference::Model| json!({ "about": model.card.about, "figures": model.card.figures });
        CandidateInfo {
            model: name.to_owned(),
            package: keys::base32(&kept.digest),
            author: kept.author.to_string(),
            author_name: self.name_of(&kept.author),
            signed: clock::rfc3339(new.manifest.time),
            version: kept.model_version.clone(),
            in_use: old.model.card.about.version.clone(),
            card: card(&new.model),
            card_in_use: card(&old.model),
        }
    }

    fn name_of(&self, author: &IdentityId) -> Option<String> {
        if *author == self.keyring.identity().id() {
            return Some(self.keyring.name().to_owned());
        }
        read(&self.peers).by_identity(author).map(|peer| peer.certificate.name.clone())
    }

    /// Approves the candidate that was shown: beside what is in use, or at once in its place.
    ///
    /// # Errors
    /// [`Problem`] when another candidate came meanwhile, or it may not be installed.
    pub(crate) fn install_model(&self, request: &InstallRequest) -> Result<ModelHere, Problem> {
        let name = full_name(&request.name)?;
        let shown = read(&self.models).state(&name).candidate;
        let shown = shown.filter(|kept| keys::base32(&kept.digest) == request.package).ok_or_else(|| {
            Problem::failed("the model to be installed is not the one that was shown")
                .next("look at it again with: metaclinic models install NAME")
        })?;
        self.check_author(&shown, request.author.as_deref())?;
        self.check_version(&name, &shown, request.allow_older)?;
        let now = clock::now();
        let mut events = vec![model_event(now, AuditAction::ModelInstall, &shown)];
        if request.now {
            events.push(model_event(now, AuditAction::ModelActivate, &shown));
        }
        self.change_model(&name, events, |state| {
            let taken = state.candidate.take().filter(|kept| kept.digest == shown.digest);
            let mut kept = taken.ok_or_else(|| Problem::failed("another candidate came meanwhile"))?;
            kept.since = now;
            if request.now {
                state.activate(kept, now);
            } else {
                state.shadow = Some(kept);
                state.counts = super::shadow::ShadowCounts::default();
            }
            Ok(())
        })?;
        Ok(self.model_here(&name))
    }

    /// Puts the model that ran beside in use.
    ///
    /// # Errors
    /// [`Problem`] when none does.
    pub(crate) async fn activate_model(self: &Arc<Self>, name: &str) -> Result<ModelHere, Problem> {
        let name = full_name(name)?;
        let shadow = read(&self.models).state(&name).shadow.ok_or_else(|| nothing_beside(&name))?;
        // One that does not open any more must not take the place of one that works.
        self.open_package(&shadow).await?;
        let node = Arc::clone(self);
        blocking(move || {
            let now = clock::now();
            let events = vec![model_event(now, AuditAction::ModelActivate, &shadow)];
            node.change_model(&name, events, |state| {
                let same = state.shadow.take().filter(|kept| kept.digest == shadow.digest);
                state.activate(same.ok_or_else(|| nothing_beside(&name))?, now);
                Ok(())
            })?;
            Ok(node.model_here(&name))
        })
        .await
    }

    /// Back to what was in use before; ends what runs beside.
    ///
    /// # Errors
    /// [`Problem`] when only the built-in model is in use.
    pub(crate) fn roll_back_model(&self, name: &str) -> Result<ModelHere, Problem> {
        let name = full_name(name)?;
        let event = audit::event(clock::now(), AuditAction::ModelRollback, 1);
        self.change_model(&name, vec![event], |state| {
            if state.roll_back() {
                return Ok(());
            }
            Err(Problem::wrong_use("the built-in model is in use and nothing runs beside it")
                .next("see what is here with: metaclinic models list"))
        })?;
        Ok(self.model_here(&name))
    }

    /// What is in use and what else lies here.
    pub(crate) fn model_list(&self) -> ModelList {
        let built_in = inference::Model::all().unwrap_or_default();
        let names = built_in.iter().map(|model| model.card.about.name.clone());
        ModelList { models: names.map(|name| self.model_here(&name)).collect() }
    }

    pub(crate) fn model_here(&self, name: &str) -> ModelHere {
        let state = read(&self.models).state(name);
        let row = |(state, kept): (&str, &Kept)| KeptModel {
            state: state.to_owned(),
            version: kept.model_version.clone(),
            author: kept.author.to_string(),
            author_name: self.name_of(&kept.author),
            weights_sha256: kept.weights_sha256.clone(),
            since: clock::rfc3339(kept.since),
        };
        ModelHere {
            name: name.to_owned(),
            version: self.version_in_use(name),
            source: if state.active.is_some() { "installed" } else { "built-in" }.to_owned(),
            packages: state.all().map(row).collect(),
        }
    }

    /// The card of the model in use.
    ///
    /// # Errors
    /// [`Problem`] when there is none of this name, or it does not open.
    pub(crate) async fn model_card(&self, name: &str) -> Result<serde_json::Value, Problem> {
        let card = self.in_use(&full_name(name)?).await?.active.model.card.clone();
        Ok(json!({ "about": card.about, "figures": card.figures }))
    }

    /// Opens every package that lies here and checks it, and the built-in models too.
    ///
    /// # Errors
    /// [`Problem`] when that cannot be done at all.
    pub(crate) async fn verify_models(&self) -> Result<Vec<ModelStateInfo>, Problem> {
        let states: Vec<(String, ModelState)> = {
            let models = read(&self.models);
            if models.damaged {
                return Err(Problem::failed("what is stored about models cannot be read")
                    .next("check the home with: metaclinic records verify"));
            }
            models.names().map(|name| (name.clone(), models.state(name))).collect()
        };
        let mut checked = Vec::new();
        for (name, state) in states {
            for (place, kept) in state.all() {
                let opened = self.open_package(kept).await;
                checked.push(ModelStateInfo {
                    name: name.clone(),
                    state: place.to_owned(),
                    version: kept.model_version.clone(),
                    weights_sha256: kept.weights_sha256.clone(),
                    ok: opened.is_ok_and(|package| package.self_test().is_ok()),
                });
            }
        }
        Ok(checked)
    }
}

fn nothing_beside(name: &str) -> Problem {
    Problem::not_found("no new model runs beside the one in use")
        .next(format!("install one first with: metaclinic models install {name}"))
}

/// What was done with a package, by its name.
fn model_event(now: Timestamp, action: AuditAction, kept: &Kept) -> (Timestamp, AuditEvent) {
    let mut event = audit::event(now, action, 1);
    event.1.object = Some(kept.digest);
    event
}

/// A package that was refused.
fn refusal(reason: DenyReason) -> (Timestamp, AuditEvent) {
    let mut event = audit::event(clock::now(), AuditAction::ModelInstall, 0);
    event.1.outcome = Outcome::Denied(reason);
    event
}
