//! One node: everything a home can do, whoever asks. The API calls these services; nothing else does.
//!
//! Services block (sled, age and parsing are ordinary code), so callers on the reactor go through
//! `spawn_blocking`; what talks to peers is async.

pub(crate) mod analysis;
pub(crate) mod audit;
pub(crate) mod consents;
pub(crate) mod corpus;
pub(crate) mod ecg;
pub(crate) mod exchange;
pub(crate) mod glucose;
pub(crate) mod identity;
pub(crate) mod models;
pub(crate) mod network;
pub(crate) mod pairing;
pub(crate) mod peers;
pub(crate) mod problem;
pub(crate) mod records;
pub(crate) mod risk;
pub(crate) mod rooms;
pub(crate) mod suggestions;
pub(crate) mod together;
mod vectors;
pub(crate) mod xray;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::Instant;

use ::records::Index;
use keys::{DataKey, IdentityId, IdentityKind, Keyring, Pseudonym, RecordId};
use net::{Blobs, Network};
use secrecy::SecretString;
use store::Store;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::clock;
use crate::config::Config;
use crate::home::{self, Home, HomeError, HomeLock};
use consents::Consents;
use peers::Peers;
use problem::{Problem, Tried};

/// log2 of scrypt's work factor for new keyrings: about a second on a small machine, as age itself chooses.
pub(crate) const SCRYPT_WORK_FACTOR_LOG2: u8 = 18;

/// How long tasks may finish their unit of work after a stop; leaving the network takes at most 2.8 s beside it.
const TASKS_STOP: std::time::Duration = std::time::Duration::from_secs(3);

/// An unlocked home.
pub(crate) struct Node {
    pub(crate) home: Home,
    pub(crate) config: Config,
    pub(crate) keyring: Keyring,
    pub(crate) store: Store,
    pub(crate) blobs: Blobs,
    pub(crate) index: RwLock<Index>,
    pub(crate) consents: RwLock<Consents>,
    pub(crate) peers: RwLock<Peers>,
    /// Which own or fetched records a sealed attachment belongs to.
    pub(crate) attachments: RwLock<HashMap<[u8; 32], Vec<RecordId>>>,
    pub(crate) refusals: Mutex<network::Refusals>,
    pub(crate) rooms: rooms::Rooms,
    /// Which models were approved here, and what they did.
    pub(crate) models: RwLock<models::Models>,
    pub(crate) opened_models: models::Opened,
    /// Which rooms a sealed attachment belongs to.
    pub(crate) room_attachments: RwLock<HashMap<[u8; 32], Vec<crdt::RoomId>>>,
    /// Keeps store and index in the same order when the same resource is written twice at once.
    pub(crate) writes: Mutex<()>,
    pub(crate) network: tokio::sync::OnceCell<Network>,
    pub(crate) offer: Mutex<Option<pairing::OpenOffer>>,
    pub(crate) stop: CancellationToken,
    pub(crate) tasks: TaskTracker,
    pub(crate) daemon: bool,
    pub(crate) opened: Instant,
    record_ids: DataKey,
    pseudonyms: DataKey,
    _lock: HomeLock,
}

/// What `init` made.
pub(crate) struct Initialised {
    /// The new identity.
    pub identity: IdentityId,
    /// The device of this home.
    pub device: keys::DeviceId,
}

/// Makes a home: keys, configuration, empty stores.
///
/// # Errors
/// [`Problem`] when there is a home already or the folder cannot be written.
pub(crate) fn init(
    home: &Home,
    kind: IdentityKind,
    name: &str,
    device_name: &str,
    passphrase: &SecretString,
) -> Result<Initialised, Problem> {
    home.create().map_err(home_problem)?;
    let _lock = home.lock_new().map_err(home_problem)?;
    if home.is_made().map_err(home_problem)? {
        return Err(home_problem(HomeError::Exists(home.root().to_path_buf())));
    }
    let keyring = Keyring::create(&mut clock::rng(), kind, name, device_name, clock::now())
        .map_err(|e| Problem::wrong_use("cannot make an identity").because(e))?;
    let sealed = keyring.seal(passphrase, SCRYPT_WORK_FACTOR_LOG2).tried("seal the keyring")?;
    home::write_private(&home.config(), crate::config::example(kind).as_bytes()).map_err(home_problem)?;
    // The keyring comes last: a home without one is not a home yet, so a crash before this leaves nothing half made.
    home::write_private(&home.keyring(), &sealed).map_err(home_problem)?;
    let store = Store::open(home.root(), keyring.home_key(), keyring.device()).tried("make the store")?;
    store
        .audit(vec![audit::event(clock::now(), keys::AuditAction::Init, 1)])
        .tried("begin the audit trail")?;
    store.close().tried("close the store")?;
    Ok(Initialised { identity: keyring.identity().id(), device: keyring.device().id() })
}

impl Node {
    /// Unlocks `home` for a daemon or for one command.
    ///
    /// # Errors
    /// [`Problem`] when another process has it, the passphrase is wrong or the store does not open.
    pub(crate) async fn open(
        home: Home,
        passphrase: SecretString,
        daemon: bool,
    ) -> Result<Arc<Self>, Problem> {
        let config = Config::load(&home).map_err(|e| {
            Problem::wrong_use("cannot read the configuration").because(e).next("correct config.toml")
        })?;
        let blobs_dir = home.blobs();
        let (home, lock, keyring, store) = tokio::task::spawn_blocking(move || {
            let lock = home.lock().map_err(home_problem)?;
            let keyring = open_keyring(&home, &passphrase)?;
            let store = Store::open(home.root(), keyring.home_key(), keyring.device())
                .map_err(|e| Problem::failed("cannot open the store").because(e))?;
            Ok::<_, Problem>((home, lock, keyring, store))
        })
        .await
        .tried("open the home")??;
        let blobs = Blobs::open(&blobs_dir).await.tried("open the attachments")?;
        let node = Self {
            consents: RwLock::new(Consents::load(&store, keyring.identity().id())),
            peers: RwLock::new(Peers::load(&store)?),
            refusals: Mutex::default(),
            rooms: rooms::Rooms::load(&store, &keyring.certificate().digest())?,
            models: RwLock::new(models::Models::load(&store)),
            opened_models: models::Opened::default(),
            room_attachments: RwLock::new(HashMap::new()),
            index: RwLock::new(Index::new()),
            attachments: RwLock::new(HashMap::new()),
            record_ids: keyring.home_key().derive("metaclinic 2026 record ids"),
            pseudonyms: keyring.home_key().derive("metaclinic 2026 pseudonyms"),
            writes: Mutex::new(()),
            network: tokio::sync::OnceCell::new(),
            offer: Mutex::new(None),
            stop: CancellationToken::new(),
            tasks: TaskTracker::new(),
            opened: Instant::now(),
            home,
            config,
            keyring,
            store,
            blobs,
            daemon,
            _lock: lock,
        };
        if let Some(error) = node.store.rollback() {
            tracing::error!(%error, "run `metaclinic records verify` and `metaclinic audit verify`");
        }
        let node = Arc::new(node);
        let loading = Arc::clone(&node);
        let unreadable = blocking(move || {
            loading.load_room_attachments();
            loading.load_index()
        })
        .await?;
        if let Err(problem) = node.clear_attachments(unreadable).await {
            tracing::error!(%problem, "attachments that nothing refers to stay");
        }
        Ok(node)
    }

    /// Stops what runs, makes everything durable and releases the home. Ends within four seconds.
    pub(crate) async fn close(&self) {
        let connected = self.network.get().map(Network::peers).unwrap_or_default();
        self.stop.cancel();
        self.tasks.close();
        let leave = async {
            if let Some(network) = self.network.get() {
                network.shutdown().await;
            }
        };
        let (waited, ()) = tokio::join!(tokio::time::timeout(TASKS_STOP, self.tasks.wait()), leave);
        if waited.is_err() {
            tracing::warn!("some tasks did not stop in time");
        }
        self.write_refusals();
        connected.iter().for_each(|device| self.note_seen(device));
        let store = self.store.clone();
        match tokio::task::spawn_blocking(move || store.close()).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::error!(%error, "the store did not close cleanly"),
            Err(_) => tracing::error!("closing the store panicked"),
        }
        if let Err(error) = self.blobs.shutdown().await {
            tracing::error!(%error, "the attachments did not close cleanly");
        }
    }

    /// The opaque id under which a resource of `source` is kept.
    pub(crate) fn record_id(&self, source: &::records::Source, resource_type: &str, id: &str) -> RecordId {
        let mut name = source_prefix(source);
        name.extend_from_slice(resource_type.as_bytes());
        name.push(b'/');
        name.extend_from_slice(id.as_bytes());
        RecordId::from_bytes(self.record_ids.keyed_hash(&name))
    }

    /// The pseudonym whose keys seal the records of `patient`, or those of nobody in particular.
    pub(crate) fn pseudonym(&self, source: &::records::Source, patient: Option<&str>) -> Pseudonym {
        let mut name = source_prefix(source);
        name.extend_from_slice(patient.unwrap_or("").as_bytes());
        Pseudonym::from_bytes(self.pseudonyms.keyed_hash(&name))
    }

    pub(crate) fn read_index(&self) -> RwLockReadGuard<'_, Index> {
        read(&self.index)
    }
}

/// `0` for own resources, `1` and the identity for a peer's: a fetched resource never replaces a local one.
pub(crate) fn source_prefix(source: &::records::Source) -> Vec<u8> {
    match source {
        ::records::Source::Own => vec![0],
        ::records::Source::Peer(identity) => {
            let mut bytes = vec![1];
            bytes.extend_from_slice(identity.as_bytes());
            bytes
        }
    }
}

/// Runs blocking work off the reactor.
///
/// # Errors
/// What `work` returns, or a failure when it panicked.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Problem> + Send + 'static,
) -> Result<T, Problem> {
    tokio::task::spawn_blocking(work)
        .await
        .unwrap_or_else(|_| Err(Problem::failed("an internal task stopped early")))
}

// A poisoned lock means another thread panicked while holding it; every guarded value here is replaced whole or
// only appended to, so what it holds is still consistent.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

pub(crate) fn read<T>(lock: &RwLock<T>) -> RwLockReadGuard<'_, T> {
    lock.read().unwrap_or_else(PoisonError::into_inner)
}

pub(crate) fn write<T>(lock: &RwLock<T>) -> RwLockWriteGuard<'_, T> {
    lock.write().unwrap_or_else(PoisonError::into_inner)
}

fn open_keyring(home: &Home, passphrase: &SecretString) -> Result<Keyring, Problem> {
    let bytes = std::fs::read(home.keyring()).map_err(|e| {
        Problem::failed("cannot read the keyring")
            .because(e)
            .next("check that the folder is yours and readable")
    })?;
    let mut keyring = Keyring::open(&bytes, passphrase).map_err(|e| match e {
        keys::KeyringError::WrongPassphrase => Problem::denied("cannot unlock the home: wrong passphrase")
            .next("try again, or name the right file with --passphrase-file"),
        other => Problem::failed("cannot unlock the home")
            .because(other)
            .next("put keyring.age back from a backup; without it nothing in the home can be opened"),
    })?;
    let now = clock::now();
    let left = keyring.claims().not_after.since(now);
    if left < keys::CERTIFICATE_LIFETIME / 3 {
        // Peers learn the new one at the next greeting; what the old one signed stays valid.
        keyring.renew_certificate(now);
        let sealed = keyring.seal(passphrase, SCRYPT_WORK_FACTOR_LOG2).tried("seal the keyring")?;
        home::write_private(&home.keyring(), &sealed).map_err(home_problem)?;
        tracing::info!(epoch = keyring.claims().epoch, "this device's certificate was renewed");
    }
    Ok(keyring)
}

/// A home's failure in words with the next step.
pub(crate) fn home_problem(error: HomeError) -> Problem {
    let next = match &error {
        HomeError::Missing(_) => {
            "make one with: metaclinic init --role clinic|patient|researcher --name NAME"
        }
        HomeError::Exists(_) => "use it as it is, or choose another folder with --home",
        HomeError::NotEmpty(_) => "choose a folder that does not exist yet, or an empty one",
        HomeError::InUse(_) => {
            "stop the other process, or give it a moment to finish; one process opens a home at a time"
        }
        HomeError::Io { .. } => "check that the folder is yours, writable, and on a disk with free space",
    };
    Problem::failed("cannot use the home").because(error).next(next)
}
