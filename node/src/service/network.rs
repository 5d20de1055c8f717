//! Being on the network: greeting peers, and giving each thing that arrives to the service that knows it.

use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use keys::{DenyReason, DeviceCard, DeviceId, IdentityKind, Timestamp, codec};
use net::{Decline, IncomingRequest, NetEvent, Network, NetworkConfig, Protocol};
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;

use super::problem::{Problem, Tried};
use super::{Node, blocking, lock, read};
use crate::clock;

const HELLO_VERSION: u8 = 1;
/// The largest greeting.
const MAX_HELLO_BYTES: usize = 16 * 1024;
/// How often it is looked who should be greeted.
const HELLO_LOOK: Duration = Duration::from_secs(1);
/// A peer that is out of reach is greeted again after this, then after twice that, and so on …
const HELLO_AGAIN: Duration = Duration::from_secs(2);
/// … up to this: under the ten greetings a minute that a peer takes.
const HELLO_AGAIN_AT_MOST: Duration = Duration::from_secs(30);
/// Peers greeted at the same time.
const HELLO_PARALLEL: usize = 8;

/// `hello/1`: who I am, where I am, what I can, what time I have.
#[derive(Serialize, Deserialize)]
struct Hello {
    version: u8,
    card: DeviceCard,
    /// Epoch of the sender's revocations.
    revocations: u64,
    /// Protocols that the sender speaks.
    features: Vec<String>,
    /// The sender's clock.
    clock: Timestamp,
}

/// Who was greeted, and when the others are tried again.
#[derive(Default)]
struct Greetings {
    met: HashSet<DeviceId>,
    waiting: HashMap<DeviceId, (Instant, Duration)>,
}

impl Greetings {
    fn due(&mut self, peers: &HashSet<DeviceId>, connected: &[DeviceId], now: Instant) -> Vec<DeviceId> {
        self.met.retain(|d| connected.contains(d));
        self.waiting.retain(|d, _| peers.contains(d));
        let due =
            |d: &&DeviceId| !self.met.contains(d) && self.waiting.get(d).is_none_or(|(at, _)| *at <= now);
        peers.iter().filter(due).copied().collect()
    }

    fn note(&mut self, device: DeviceId, met: bool, now: Instant) {
        if met {
            self.waiting.remove(&device);
            self.met.insert(device);
        } else {
            let last = self.waiting.get(&device).map_or(HELLO_AGAIN / 2, |(_, pause)| *pause);
            let pause = (last * 2).min(HELLO_AGAIN_AT_MOST);
            self.waiting.insert(device, (now + pause, pause));
        }
    }
}

/// Refusals of the network, gathered so that a stranger cannot make the trail grow: one entry for each device and
/// reason (and one for all without a name) a minute, with a count.
#[derive(Default)]
pub(crate) struct Refusals {
    counts: HashMap<(Option<DeviceId>, DenyReason), u64>,
}

/// How long refusals are gathered.
const REFUSALS_GATHERED: Duration = Duration::from_secs(60);
/// Beyond so many entries in one minute devices are counted as nameless.
const MAX_REFUSAL_ENTRIES: usize = 32;

impl Refusals {
    fn add(&mut self, peer: Option<DeviceId>, reason: DenyReason) {
        let room = self.counts.len() < MAX_REFUSAL_ENTRIES || self.counts.contains_key(&(peer, reason));
        *self.counts.entry((peer.filter(|_| room), reason)).or_default() += 1;
    }

    fn take(&mut self) -> Vec<(String, DenyReason, u64)> {
        let name = |peer: Option<DeviceId>| peer.map_or_else(|| "unknown".to_owned(), |p| p.to_string());
        std::mem::take(&mut self.counts)
            .into_iter()
            .map(|((peer, reason), count)| (name(peer), reason, count))
            .collect()
    }
}

/// What the daemon listens on.
pub(crate) struct Listen {
    /// TCP multiaddresses.
    pub addresses: Vec<String>,
    /// UDP address for attachments.
    pub blobs: Option<SocketAddr>,
    /// Whether the LAN is told, and peers are looked for there.
    pub mdns: bool,
}

impl Node {
    /// The network, started to dial out if no daemon has started it to listen.
    ///
    /// # Errors
    /// [`Problem`] when no socket can be opened.
    pub(crate) async fn network(self: &Arc<Self>) -> Result<Network, Problem> {
        self.join_network(Listen { addresses: Vec::new(), blobs: None, mdns: false }).await
    }

    /// Starts the network once.
    ///
    /// # Errors
    /// [`Problem`] when it cannot listen where it should.
    pub(crate) async fn join_network(self: &Arc<Self>, listen: Listen) -> Result<Network, Problem> {
        let network = self
            .network
            .get_or_try_init(|| async {
                let config = NetworkConfig {
                    seed: self.keyring.device().seed(),
                    listen: listen.addresses,
                    blob_bind: listen.blobs,
                    mdns: listen.mdns,
                    answers_searches: self.keyring.kind() == IdentityKind::Clinic,
                    agent: concat!("metaclinic/", env!("CARGO_PKG_VERSION")).to_owned(),
                };
                let (network, events) = Network::start(config, self.blobs.clone()).await.map_err(|e| {
                    Problem::failed("cannot join the network")
                        .because(e)
                        .next("another program may use the port: choose another with --listen, or port 0 for a free one")
                })?;
                read(&self.peers).admit(&network);
                let node = Arc::clone(self);
                self.tasks.spawn(async move { node.serve(events).await });
                Ok::<_, Problem>(network)
            })
            .await?;
        Ok(network.clone())
    }

    /// Greets peers at the start and again while they are out of reach, so that they meet by themselves.
    pub(crate) fn greet_peers(self: &Arc<Self>) {
        let node = Arc::clone(self);
        self.tasks.spawn(async move {
            let mut greetings = Greetings::default();
            loop {
                node.greet_round(&mut greetings).await;
                tokio::select! {
                    () = node.stop.cancelled() => return,
                    () = tokio::time::sleep(HELLO_LOOK) => {}
                }
            }
        });
    }

    async fn greet_round(self: &Arc<Self>, greetings: &mut Greetings) {
        let Some(network) = self.network.get() else { return };
        let due = greetings.due(&read(&self.peers).devices(), &network.peers(), Instant::now());
        for group in due.chunks(HELLO_PARALLEL) {
            let mut round = tokio::task::JoinSet::new();
            for &device in group {
                let node = Arc::clone(self);
                round.spawn(async move { (device, node.greet(device).await.is_ok()) });
            }
            while let Some(done) = tokio::select! {
                () = self.stop.cancelled() => None,
                done = round.join_next() => done,
            } {
                if let Ok((device, met)) = done {
                    greetings.note(device, met, Instant::now());
                    if !met && read(&self.peers).may_be_told_of(&device) {
                        // It fails only when the network stops.
                        let _ = network.search(device).await;
                    }
                }
            }
        }
    }

    /// Exchanges greetings with one peer.
    async fn greet(self: &Arc<Self>, device: DeviceId) -> Result<(), Problem> {
        let network = self.network().await?;
        let addresses = self.addresses_of(&device);
        let answer = network
            .request(device, &addresses, Protocol::Hello, codec::encode(&self.hello()))
            .await
            .tried("greet a peer")?;
        self.take_hello(device, answer).await
    }

    async fn take_hello(self: &Arc<Self>, device: DeviceId, bytes: Vec<u8>) -> Result<(), Problem> {
        let node = Arc::clone(self);
        blocking(move || {
            let hello: Hello = codec::decode("hello", &bytes, MAX_HELLO_BYTES).tried("read a greeting")?;
            if hello.version != HELLO_VERSION {
                let (theirs, ours) = (hello.version, HELLO_VERSION);
                return Err(Problem::failed(format!(
                    "greeted in version {theirs} of hello, this node speaks {ours}"
                )));
            }
            node.refresh_peer(&device, hello.card)
        })
        .await
    }

    fn hello(&self) -> Hello {
        Hello {
            version: HELLO_VERSION,
            card: self.own_card(),
            revocations: read(&self.consents).authority.revocation_epoch(),
            features: ["records/1", "roles/1", "room-sync/1", "models/1"].map(str::to_owned).to_vec(),
            clock: clock::now(),
        }
    }

    pub(crate) fn addresses_of(&self, device: &DeviceId) -> Vec<String> {
        read(&self.peers).by_device(device).map(|p| p.card.addresses.clone()).unwrap_or_default()
    }

    /// One loop owns what arrives; each piece of work runs as a task of its own, bounded by the network's limits.
    async fn serve(self: Arc<Self>, mut events: mpsc::Receiver<NetEvent>) {
        let mut ripe = tokio::time::interval(REFUSALS_GATHERED);
        loop {
            let event = tokio::select! {
                () = self.stop.cancelled() => return,
                event = events.recv() => event,
                _ = ripe.tick() => {
                    let node = Arc::clone(&self);
                    self.tasks.spawn_blocking(move || node.write_refusals());
                    continue;
                }
            };
            match event {
                Some(NetEvent::Refused { peer, what, reason }) => {
                    tracing::info!(what, "a connection or a frame was refused");
                    self.note_refusal(peer, reason);
                }
                Some(event) => self.apply(event),
                None => return,
            }
        }
    }

    /// Notes a refusal for the trail.
    pub(crate) fn note_refusal(&self, peer: Option<DeviceId>, reason: DenyReason) {
        lock(&self.refusals).add(peer, reason);
    }

    /// Writes what was noted; every minute, and before the home is closed.
    pub(crate) fn write_refusals(&self) {
        let noted = lock(&self.refusals).take();
        for (who, reason, count) in noted {
            self.refuse_many(who, reason, count);
        }
    }

    fn apply(self: &Arc<Self>, event: NetEvent) {
        let node = Arc::clone(self);
        match event {
            NetEvent::Request(request) => {
                self.tasks.spawn(async move { node.answer_request(request).await });
            }
            NetEvent::Pairing(stream) => {
                self.tasks.spawn(async move { node.run_offer(stream).await });
            }
            NetEvent::RoomSync(stream) => {
                self.tasks.spawn(async move { node.meet(stream).await });
            }
            NetEvent::Blob { peer, hash, answer } => {
                self.tasks.spawn(async move {
                    let allowed =
                        blocking(move || Ok(node.may_fetch_blob(&peer, &hash))).await.unwrap_or(false);
                    // The peer may have gone meanwhile; then nobody waits for the answer.
                    let _ = answer.send(allowed);
                });
            }
            NetEvent::Connected(device) => {
                tracing::info!(device = device.short(), "peer connected");
                self.tasks.spawn_blocking(move || node.note_seen(&device));
            }
            NetEvent::Disconnected(device) => {
                tracing::info!(device = device.short(), "peer disconnected");
                self.tasks.spawn_blocking(move || node.note_seen(&device));
            }
            NetEvent::Found(device) => {
                tracing::info!(device = device.short(), "a peer was found");
                self.tasks.spawn(async move {
                    if let Err(problem) = node.greet(device).await {
                        tracing::debug!(%problem, device = device.short(), "a found peer does not answer");
                    }
                });
            }
            NetEvent::Refused { .. } => {}
        }
    }

    async fn answer_request(self: Arc<Self>, request: IncomingRequest) {
        let node = Arc::clone(&self);
        let peer = request.peer;
        match request.protocol {
            Protocol::Hello => {
                let body = request.body.clone();
                match self.take_hello(peer, body).await {
                    Ok(()) => request.answer(codec::encode(&self.hello())),
                    Err(problem) => {
                        self.note_refusal(Some(peer), DenyReason::Malformed);
                        request.decline(Decline::Failed(problem.message));
                    }
                }
            }
            Protocol::Records => reply(request, move |body| node.answer_records(&peer, body)).await,
            Protocol::Roles => reply(request, move |body| node.answer_roles(&peer, body)).await,
            Protocol::Models => reply(request, move |body| node.answer_models(&peer, body)).await,
        }
    }
}

/// Answers with what `work` makes of the request's body, off the reactor.
async fn reply(
    request: IncomingRequest,
    work: impl FnOnce(&[u8]) -> Result<Vec<u8>, Decline> + Send + 'static,
) {
    let body = request.body.clone();
    match blocking(move || Ok(work(&body))).await {
        Ok(Ok(bytes)) => request.answer(bytes),
        Ok(Err(decline)) => request.decline(decline),
        Err(_) => request.decline(Decline::Failed("the peer could not answer".to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_of_refusals_becomes_a_few_entries_with_counts() {
        let mut refusals = Refusals::default();
        for i in 0..1_000_u32 {
            let mut device = [0; 32];
            device[..4].copy_from_slice(&(i % 100).to_be_bytes());
            refusals.add(Some(DeviceId::from_bytes(device)), DenyReason::UnknownPeer);
            refusals.add(None, DenyReason::UnknownPeer);
        }
        let entries = refusals.take();
        assert!(entries.len() <= MAX_REFUSAL_ENTRIES + 1, "{}", entries.len());
        assert_eq!(entries.iter().map(|(_, _, count)| count).sum::<u64>(), 2_000);
        assert!(refusals.take().is_empty());
    }

    #[test]
    fn an_absent_peer_is_greeted_ever_less_often_and_at_once_when_it_was_lost() {
        let peer = DeviceId::from_bytes([1; 32]);
        let peers = HashSet::from([peer]);
        let mut greetings = Greetings::default();
        let start = Instant::now();
        assert_eq!(greetings.due(&peers, &[], start), [peer]);
        let mut pauses = Vec::new();
        let mut now = start;
        for _ in 0..6 {
            greetings.note(peer, false, now);
            let mut after = now;
            while greetings.due(&peers, &[], after).is_empty() {
                after += Duration::from_secs(1);
            }
            pauses.push((after - now).as_secs());
            now = after;
        }
        assert_eq!(pauses, [2, 4, 8, 16, 30, 30]);
        greetings.note(peer, true, now);
        assert!(greetings.due(&peers, &[peer], now).is_empty());
        assert_eq!(greetings.due(&peers, &[], now), [peer], "a lost connection is made again at once");
    }
}
