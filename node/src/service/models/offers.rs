//! `models/1`: models that this home gives to paired devices, and asking peers for theirs. The manifest comes over the
//! control connection and is checked before a byte of the package is taken; the package comes as an attachment.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use inference::{MAX_ABOUT_BYTES, MAX_FIGURES_BYTES, Model, ModelVersion};
use keys::{AuditAction, DenyReason, DeviceId, IdentityKind, ModelManifest, Outcome, Signed, codec};
use net::{Decline, NetError, Protocol};
use records::Attachment;
use serde::{Deserialize, Serialize};
use tokio::runtime::Handle;

use super::package::{MAX_PACKAGE_BYTES, Package, refused};
use super::state::Kept;
use crate::api::types::{
    FetchModelRequest, ModelOffer, PeerOffers, PublishReport, PublishRequest, UpdatesReport, UpdatesRequest,
};
use crate::clock;
use crate::service::peers::PairedPeer;
use crate::service::problem::{Problem, Tried};
use crate::service::{Node, audit, blocking, read};

const VERSION: u8 = 1;
const MAX_REQUEST_BYTES: usize = 4 * 1024;
const MAX_ANSWER_BYTES: usize = 256 * 1024;
/// A sealed package is a little longer than the package.
const MAX_SEALED_BYTES: u64 = MAX_PACKAGE_BYTES as u64 + 1024;
/// Models that one home offers: more than this program has.
const MAX_OFFERS: usize = 32;
/// Peers that are asked for what they offer.
const MAX_ASKED: usize = 64;
/// The media type of a package.
const CONTENT_TYPE: &str = "application/vnd.metaclinic.model";

/// Asks for all offers, or for one model.
#[derive(Serialize, Deserialize)]
struct ModelsRequest {
    version: u8,
    /// Without a name: what is there.
    name: Option<String>,
}

#[derive(Serialize, Deserialize)]
struct ModelsAnswer {
    version: u8,
    /// What is there, when no name was asked for.
    offers: Vec<OfferLine>,
    /// The model that was asked for.
    offer: Option<FullOffer>,
}

#[derive(Serialize, Deserialize)]
struct OfferLine {
    name: String,
    model_version: String,
    weights_sha256: String,
    bytes: u64,
}

#[derive(Serialize, Deserialize)]
struct FullOffer {
    manifest: Signed<ModelManifest>,
    package: Attachment,
}

impl Node {
    /// Signs a model and gives it to paired devices, or writes it to a file.
    ///
    /// # Errors
    /// [`Problem`] when the folder holds no model that works, or this home is a patient's.
    pub(crate) fn publish_model(
        &self,
        runtime: &Handle,
        request: &PublishRequest,
    ) -> Result<PublishReport, Problem> {
        if self.keyring.kind() == IdentityKind::Patient {
            return Err(Problem::denied("a patient's home signs no models for others")
                .next("publish from the home of a clinic or a researcher"));
        }
        let (card, weights) = read_folder(Path::new(&request.folder), request.version.as_deref())?;
        let package = Package::make(self.keyring.identity(), clock::now(), card, weights).map_err(refused)?;
        if package.manifest.name
            != Model::named(&request.name).map_err(unknown(&request.name))?.card.about.name
        {
            return Err(Problem::wrong_use("the folder holds another model")
                .next("name the model that the folder's about.toml names"));
        }
        package.self_test().map_err(refused)?;
        let bytes = package.bytes();
        let report = PublishReport {
            model: package.manifest.name.clone(),
            version: package.manifest.model_version.clone(),
            package: keys::base32(&package.signed.digest()),
            bytes: bytes.len() as u64,
            file: request.file.clone(),
        };
        let event = audit::event(clock::now(), AuditAction::ModelPublish, 1);
        if let Some(file) = &request.file {
            self.note(vec![event])?;
            write_new(Path::new(file), &bytes)?;
            return Ok(report);
        }
        let kept = self.seal_package(runtime, &package, &bytes)?;
        self.change_model(&package.manifest.name, vec![event], |state| {
            state.published = Some(kept);
            Ok(())
        })?;
        Ok(report)
    }

    /// Gives a model to nobody any more; who has it keeps it.
    ///
    /// # Errors
    /// [`Problem`] when it is not given to anybody.
    pub(crate) fn withdraw_model(&self, name: &str) -> Result<(), Problem> {
        let name = full_name(name)?;
        let event = audit::event(clock::now(), AuditAction::ModelPublish, 0);
        self.change_model(&name, vec![event], |state| match state.published.take() {
            Some(_) => Ok(()),
            None => Err(Problem::not_found("this model is not offered from here")),
        })
    }

    /// Seals a package under a key of its own and keeps it.
    pub(super) fn seal_package(
        &self,
        runtime: &Handle,
        package: &Package,
        bytes: &[u8],
    ) -> Result<Kept, Problem> {
        let blob = self.seal_attachment(runtime, bytes, CONTENT_TYPE)?;
        Ok(kept(package, blob))
    }

    /// Answers a peer that asks for models: paired devices only, and only what was published here.
    ///
    /// # Errors
    /// What the peer is told.
    pub(crate) fn answer_models(&self, device: &DeviceId, body: &[u8]) -> Result<Vec<u8>, Decline> {
        let known = read(&self.peers).by_device(device).map(|p| p.certificate.not_after);
        let Some(not_after) = known else {
            return Err(self.refuse(device.to_string(), DenyReason::UnknownPeer).into());
        };
        if clock::now() >= not_after {
            return Err(self.refuse(device.to_string(), DenyReason::Expired).into());
        }
        let request: ModelsRequest =
            codec::decode("models request", body, MAX_REQUEST_BYTES).map_err(|error| {
                self.note_refusal(Some(*device), DenyReason::Malformed);
                Decline::Failed(error.to_string())
            })?;
        if request.version != VERSION {
            return Err(Decline::Failed(format!("this node speaks version {VERSION} of models/1")));
        }
        let mut answer = ModelsAnswer { version: VERSION, offers: Vec::new(), offer: None };
        match &request.name {
            None => answer.offers = read(&self.models).published().map(line).collect(),
            Some(name) => {
                let kept = read(&self.models).published_of(name).cloned();
                let kept =
                    kept.ok_or_else(|| Decline::Refused("this model is not offered here".to_owned()))?;
                let package = Handle::current().block_on(self.open_package(&kept)).map_err(|problem| {
                    tracing::error!(%problem, "an offered model does not open");
                    Decline::Failed("the model does not open there".to_owned())
                })?;
                answer.offer = Some(FullOffer { manifest: package.signed, package: kept.blob });
            }
        }
        Ok(codec::encode(&answer))
    }

    /// Whether a sealed package may go to a device that asks for it.
    pub(crate) fn may_fetch_model(&self, hash: &[u8; 32]) -> bool {
        read(&self.models).publishes(hash)
    }

    /// What paired clinics and researchers offer.
    ///
    /// # Errors
    /// [`Problem`] when the peer that was named is not paired; one out of reach is a result.
    pub(crate) async fn model_updates(
        self: &Arc<Self>,
        request: &UpdatesRequest,
    ) -> Result<UpdatesReport, Problem> {
        let peers: Vec<PairedPeer> = {
            let known = read(&self.peers);
            match &request.peer {
                Some(peer) => vec![known.resolve(peer)?.clone()],
                None => known.all().filter(|peer| may_author(peer)).take(MAX_ASKED).cloned().collect(),
            }
        };
        let asked = peers.iter().map(|peer| async {
            let (offers, problem) = match self.ask_models(peer, None).await {
                Ok(answer) => (self.tell(answer.offers), None),
                Err(problem) => (Vec::new(), Some(problem.message)),
            };
            let (identity, name) = (peer.certificate.identity.to_string(), peer.certificate.name.clone());
            PeerOffers { peer: identity, name, offers, problem }
        });
        Ok(UpdatesReport { peers: futures::future::join_all(asked).await })
    }

    fn tell(&self, offers: Vec<OfferLine>) -> Vec<ModelOffer> {
        let told = |line: OfferLine| {
            // What this program does not know it cannot use; a name that it knows holds nothing that deceives.
            let name = full_name(&line.name).ok()?;
            let version = ModelVersion::parse(&line.model_version)?;
            let here = self.version_in_use(&name);
            let newer = ModelVersion::parse(&here).is_none_or(|here| version > here);
            let hexadecimal = line.weights_sha256.len() == 64
                && line.weights_sha256.bytes().all(|byte| byte.is_ascii_hexdigit());
            hexadecimal.then_some(ModelOffer {
                name,
                version: line.model_version,
                weights_sha256: line.weights_sha256,
                bytes: line.bytes,
                in_use: here,
                newer,
            })
        };
        offers.into_iter().take(MAX_OFFERS).filter_map(told).collect()
    }

    /// The version of the model that answers here.
    pub(super) fn version_in_use(&self, name: &str) -> String {
        let active = read(&self.models).state(name).active.map(|kept| kept.model_version);
        active.or_else(|| Some(inference::About::named(name).ok()?.version)).unwrap_or_default()
    }

    async fn ask_models(
        self: &Arc<Self>,
        peer: &PairedPeer,
        name: Option<String>,
    ) -> Result<ModelsAnswer, Problem> {
        let network = self.network().await?;
        let device = peer.certificate.device;
        let asked = codec::encode(&ModelsRequest { version: VERSION, name });
        let answer = network.request(device, &self.addresses_of(&device), Protocol::Models, asked).await;
        let answer = answer.map_err(no_answer)?;
        let answer: ModelsAnswer =
            codec::decode("models answer", &answer, MAX_ANSWER_BYTES).map_err(|error| {
                self.note_refusal(Some(device), DenyReason::Malformed);
                Problem::failed("cannot read what the peer offers").because(error)
            })?;
        if answer.version != VERSION {
            return Err(Problem::failed("the peer answers in another version of models/1"));
        }
        Ok(answer)
    }

    /// Fetches a model that a paired peer offers; it is kept, not used.
    ///
    /// # Errors
    /// [`Problem`]: out of reach, not offered, or not what its author signed.
    pub(crate) async fn fetch_model(
        self: &Arc<Self>,
        request: &FetchModelRequest,
    ) -> Result<ModelOffer, Problem> {
        let name = full_name(&request.name)?;
        let peer = read(&self.peers).resolve(&request.peer)?.clone();
        let offer = self.ask_models(&peer, Some(name.clone())).await?.offer;
        let offer = offer.ok_or_else(|| Problem::not_found("the peer does not offer this model"))?;
        match self.take_offer(&peer, &name, offer).await {
            Ok(offer) => Ok(offer),
            Err(problem) => {
                self.note_refusal(Some(peer.certificate.device), DenyReason::Malformed);
                let who = peer.certificate.identity;
                let event = audit::peer_event(&who, AuditAction::ModelFetch, None, None, 0, Outcome::Failed);
                self.note(vec![event])?;
                Err(problem)
            }
        }
    }

    async fn take_offer(
        self: &Arc<Self>,
        peer: &PairedPeer,
        name: &str,
        offer: FullOffer,
    ) -> Result<ModelOffer, Problem> {
        let certificate = &peer.certificate;
        let manifest = ModelManifest::authentic(&offer.manifest).map_err(|error| refused(error.into()))?;
        if manifest.author != certificate.identity {
            return Err(Problem::failed("the peer offers a model that somebody else signed")
                .next("pair with its author, or install it from a file and name the author"));
        }
        if manifest.name != name {
            return Err(Problem::failed("the peer offers another model than was asked for"));
        }
        let blob = offer.package;
        if blob.bytes > MAX_SEALED_BYTES || manifest.weights_bytes > MAX_PACKAGE_BYTES as u64 {
            return Err(Problem::failed("the peer offers a model larger than 16 MiB"));
        }
        if !self.blobs.has(&blob.hash).await.tried("look for the model")? {
            let device = certificate.device;
            let addresses = read(&self.peers)
                .by_device(&device)
                .map(|p| p.card.blob_addresses.clone())
                .unwrap_or_default();
            let network = self.network().await?;
            let fetched = network.fetch_blob(blob.hash, device, &addresses, blob.bytes).await;
            fetched.tried("fetch the model")?;
        }
        let bytes = self.open_attachment(&blob).await?;
        let digest = offer.manifest.digest();
        let package = blocking(move || {
            let package = Package::read(&bytes).map_err(refused)?;
            package.self_test().map_err(refused)?;
            Ok(package)
        })
        .await?;
        if package.signed.digest() != digest {
            return Err(Problem::failed("the package is not the one that the peer's manifest tells of"));
        }
        let told = ModelOffer {
            name: name.to_owned(),
            version: manifest.model_version.clone(),
            weights_sha256: package.model.card.figures.weights_sha256.clone(),
            bytes: blob.bytes,
            in_use: self.version_in_use(name),
            newer: ModelVersion::parse(&manifest.model_version)
                > ModelVersion::parse(&self.version_in_use(name)),
        };
        let (who, allowed) = (certificate.identity, Outcome::Allowed);
        let event = audit::peer_event(&who, AuditAction::ModelFetch, None, None, 1, allowed);
        let (node, name, kept) = (Arc::clone(self), name.to_owned(), kept(&package, blob));
        blocking(move || {
            node.change_model(&name, vec![event], |state| {
                state.candidate = Some(kept);
                Ok(())
            })
        })
        .await?;
        Ok(told)
    }
}

/// Whether a paired peer is one that signs models: a person's home is none.
pub(super) fn may_author(peer: &PairedPeer) -> bool {
    peer.certificate.kind != IdentityKind::Patient
}

fn kept(package: &Package, blob: Attachment) -> Kept {
    Kept {
        blob,
        digest: package.signed.digest(),
        author: package.manifest.author,
        model_version: package.manifest.model_version.clone(),
        weights_sha256: package.model.card.figures.weights_sha256.clone(),
        since: clock::now(),
    }
}

fn line((name, kept): (&String, &Kept)) -> OfferLine {
    OfferLine {
        name: name.clone(),
        model_version: kept.model_version.clone(),
        weights_sha256: kept.weights_sha256.clone(),
        bytes: kept.blob.bytes,
    }
}

/// The full name of a model of this program.
///
/// # Errors
/// [`Problem`] when it has none of this name.
pub(crate) fn full_name(name: &str) -> Result<String, Problem> {
    inference::About::named(name).map(|about| about.name).map_err(unknown(name))
}

fn unknown(name: &str) -> impl Fn(inference::ModelError) -> Problem {
    let shown = name.escape_debug().to_string();
    move |error| {
        Problem::not_found(format!("cannot use the model {shown}"))
            .because(error)
            .next("list them with: metaclinic models list")
    }
}

/// Card and weights as `models train` writes them.
type Files = ((String, String), Vec<u8>);

/// Reads `about.toml`, `figures.toml` and `weights.bpk`; with another version on the card, if one is given.
fn read_folder(folder: &Path, version: Option<&str>) -> Result<Files, Problem> {
    let file = |name: &str, limit: usize| -> Result<Vec<u8>, Problem> {
        let path: PathBuf = folder.join(name);
        let shown = path.display();
        let failed = |error: std::io::Error| {
            Problem::failed(format!("cannot read {shown}")).because(error).next(
                "name a folder with about.toml, figures.toml and weights.bpk, as `models train` writes it",
            )
        };
        if std::fs::metadata(&path).map_err(failed)?.len() > limit as u64 {
            return Err(Problem::failed(format!("{shown} is larger than that of a model")));
        }
        std::fs::read(&path).map_err(failed)
    };
    let text = |name: &str, limit: usize| -> Result<String, Problem> {
        String::from_utf8(file(name, limit)?).tried("read the card of the model")
    };
    let mut about = text("about.toml", MAX_ABOUT_BYTES)?;
    if let Some(version) = version {
        ModelVersion::parse(version).ok_or_else(|| {
            Problem::wrong_use("a version is numbers with dots").next("e.g. --as-version 2, or 2.1")
        })?;
        let mut read: inference::About = toml::from_str(&about).tried("read about.toml")?;
        version.clone_into(&mut read.version);
        about = toml::to_string(&read).tried("write the card")?;
    }
    Ok(((about, text("figures.toml", MAX_FIGURES_BYTES)?), file("weights.bpk", MAX_PACKAGE_BYTES)?))
}

/// Writes a file that must not be there yet.
fn write_new(path: &Path, bytes: &[u8]) -> Result<(), Problem> {
    use std::io::Write;
    let file = std::fs::File::options().write(true).create_new(true).open(path);
    file.and_then(|mut file| file.write_all(bytes).and_then(|()| file.sync_all())).map_err(|error| {
        Problem::failed(format!("cannot write {}", path.display()))
            .because(error)
            .next("choose a name that is not there yet, in a folder that is yours")
    })
}

/// Why a peer did not answer, in words.
fn no_answer(error: NetError) -> Problem {
    match error {
        NetError::Refused { reason } => Problem::denied(format!("the peer gives no model: {reason}"))
            .next("ask its owner to publish it: metaclinic models publish … on their side"),
        NetError::Later { reason } => {
            Problem::failed(format!("the peer has no time for this: {reason}")).next("try again in a minute")
        }
        NetError::Failed { reason } => Problem::failed(format!("the peer could not answer: {reason}")),
        error => Problem::failed("cannot ask the peer for models")
            .because(error)
            .next("check that its daemon runs, in a version that knows models (metaclinic run)"),
    }
}
