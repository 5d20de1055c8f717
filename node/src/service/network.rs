//! Being on the network: greeting peers, and giving each thing that arrives to the service that knows it.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use keys::{DenyReason, DeviceCard, DeviceId, Timestamp, codec};
use net::{IncomingRequest, NetEvent, Network, NetworkConfig, Protocol};
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;

use super::problem::{Problem, Tried};
use super::{Node, blocking, read};
use crate::clock;

/// The largest greeting.
const MAX_HELLO_BYTES: usize = 16 * 1024;
/// How often peers that are out of reach are greeted again.
const HELLO_INTERVAL: Duration = Duration::from_secs(30);
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

/// What the daemon listens on.
pub(crate) struct Listen {
    /// TCP multiaddresses.
    pub addresses: Vec<String>,
    /// UDP address for attachments.
    pub blobs: Option<SocketAddr>,
}

impl Node {
    /// The network, started to dial out if no daemon has started it to listen.
    ///
    /// # Errors
    /// [`Problem`] when no socket can be opened.
    pub(crate) async fn network(self: &Arc<Self>) -> Result<Network, Problem> {
        self.join_network(Listen { addresses: Vec::new(), blobs: None }).await
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
                    agent: concat!("metaclinic/", env!("CARGO_PKG_VERSION")).to_owned(),
                };
                let (network, events) = Network::start(config, self.blobs.clone()).await.map_err(|e| {
                    Problem::failed("cannot join the network")
                        .because(e)
                        .next("another program may use the port: choose another with --listen, or port 0 for a free one")
                })?;
                network.allow(read(&self.peers).devices());
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
            let mut greeted = HashSet::new();
            loop {
                node.greet_round(&mut greeted).await;
                tokio::select! {
                    () = node.stop.cancelled() => return,
                    () = tokio::time::sleep(HELLO_INTERVAL) => {}
                }
            }
        });
    }

    async fn greet_round(self: &Arc<Self>, greeted: &mut HashSet<DeviceId>) {
        let Some(network) = self.network.get() else { return };
        let connected = network.peers();
        greeted.retain(|d| connected.contains(d));
        let missing: Vec<DeviceId> =
            read(&self.peers).devices().into_iter().filter(|d| !greeted.contains(d)).collect();
        for group in missing.chunks(HELLO_PARALLEL) {
            let mut round = tokio::task::JoinSet::new();
            for &device in group {
                let node = Arc::clone(self);
                round.spawn(async move { node.greet(device).await.ok().map(|()| device) });
            }
            while let Some(done) = tokio::select! {
                () = self.stop.cancelled() => None,
                done = round.join_next() => done,
            } {
                greeted.extend(done.ok().flatten());
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
            node.refresh_peer(&device, hello.card)
        })
        .await
    }

    fn hello(&self) -> Hello {
        Hello {
            version: 1,
            card: self.own_card(),
            revocations: read(&self.consents).authority.revocation_epoch(),
            features: vec!["records/1".to_owned()],
            clock: clock::now(),
        }
    }

    pub(crate) fn addresses_of(&self, device: &DeviceId) -> Vec<String> {
        read(&self.peers).by_device(device).map(|p| p.card.addresses.clone()).unwrap_or_default()
    }

    /// One loop owns what arrives; each piece of work runs as a task of its own, bounded by the network's limits.
    async fn serve(self: Arc<Self>, mut events: mpsc::Receiver<NetEvent>) {
        loop {
            let event = tokio::select! {
                () = self.stop.cancelled() => return,
                event = events.recv() => event,
            };
            let Some(event) = event else { return };
            self.apply(event);
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
            NetEvent::Blob { peer, hash, answer } => {
                self.tasks.spawn(async move {
                    let allowed =
                        blocking(move || Ok(node.may_fetch_blob(&peer, &hash))).await.unwrap_or(false);
                    // The peer may have gone meanwhile; then nobody waits for the answer.
                    let _ = answer.send(allowed);
                });
            }
            NetEvent::Connected(device) => tracing::info!(device = device.short(), "peer connected"),
            NetEvent::Disconnected(device) => tracing::info!(device = device.short(), "peer disconnected"),
            NetEvent::Refused { peer, what } => {
                let who = peer.map_or_else(|| "unknown".to_owned(), |p| p.to_string());
                tracing::info!(what, "a connection or a frame was refused");
                self.tasks.spawn_blocking(move || node.refuse(who, DenyReason::UnknownPeer));
            }
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
                    Err(problem) => request.refuse(&problem.message),
                }
            }
            Protocol::Records => {
                let body = request.body.clone();
                let answer = blocking(move || Ok(node.answer_records(&peer, &body))).await;
                match answer {
                    Ok(Ok(bytes)) => request.answer(bytes),
                    Ok(Err(reason)) => request.refuse(&reason),
                    Err(_) => request.refuse("the peer could not answer"),
                }
            }
        }
    }
}
