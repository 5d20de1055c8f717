//! The handle of the network, and what it tells the node.

use std::collections::{HashMap, HashSet};
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use iroh::Endpoint;
use keys::{DenyReason, DeviceId};
use libp2p::PeerId;
use libp2p::identity::Keypair;
use libp2p::multiaddr::Protocol as Part;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use zeroize::Zeroizing;

use crate::accept::Acceptor;
use crate::access::{Access, Door};
use crate::blobs::Blobs;
use crate::book::SharedBook;
use crate::error::NetError;
use crate::finder::Finder;
use crate::lan::{self, Tell};
use crate::limit::Slots;
use crate::pair::PairStream;
use crate::peer;
use crate::protocol::{PAIR, Protocol, ROOM_SYNC, Timing};
use crate::request::{self, IncomingRequest};
use crate::room::{self, RoomStream};
use crate::streams::Line;
use crate::swarm::{Command, Reached, SharedView, SwarmTask};
use crate::{behaviour, fetch, serve};

/// Commands that wait for the swarm task.
const QUEUED_COMMANDS: usize = 64;
/// Events that wait for the node. Half is more than requests (64), blobs (64) and a pairing together can be; room
/// streams may take no more than the other half.
const QUEUED_EVENTS: usize = 512;
/// Devices and addresses of a LAN that are looked at in one search for an offer.
const CANDIDATES: usize = 64;
/// Shutdown takes no longer than this.
const SHUTDOWN: Duration = Duration::from_millis(2_800);

/// How a device takes part in the network.
pub struct NetworkConfig {
    /// Secret Ed25519 seed of the device, for libp2p and iroh alike.
    pub seed: Zeroizing<[u8; 32]>,
    /// TCP multiaddresses to listen on, such as `/ip4/0.0.0.0/tcp/7465`; empty to dial only.
    pub listen: Vec<String>,
    /// UDP socket for blobs; none means a free port on 127.0.0.1.
    pub blob_bind: Option<SocketAddr>,
    /// Name and version of the program, told to connected peers.
    pub agent: String,
    /// Whether this device tells its LAN who and where it is, and looks for allowed devices there.
    pub mdns: bool,
    /// Whether it answers allowed devices that ask where another one is.
    pub answers_searches: bool,
}

impl std::fmt::Debug for NetworkConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NetworkConfig").field("listen", &self.listen).finish_non_exhaustive()
    }
}

/// A connection with an allowed device, as it is now.
#[derive(Clone, Copy, Debug)]
pub struct Link {
    /// The device at the other end.
    pub device: DeviceId,
    /// How long it has been connected.
    pub connected_for: Duration,
    /// What the last ping took there and back; none before the first answer.
    pub round_trip: Option<Duration>,
}

/// A device that says on the LAN that it is there. Nobody has proved it.
#[derive(Clone, Debug)]
pub struct Candidate {
    /// Who it says that it is.
    pub device: DeviceId,
    /// Where it says that it is, as a TCP multiaddress.
    pub address: String,
}

/// What the network tells the node.
#[derive(Debug)]
pub enum NetEvent {
    /// An allowed device asks something; at most 64 wait at once.
    Request(IncomingRequest),
    /// A device opened a pairing stream while strangers are welcome; one at a time.
    Pairing(PairStream),
    /// An allowed device opened a room stream; dropping it closes it. Which room it is about is in its frames.
    RoomSync(RoomStream),
    /// An allowed device wants a blob; no answer within 5 s is a no.
    Blob {
        /// Who asks, as the TLS handshake proved it.
        peer: DeviceId,
        /// BLAKE3 hash of the blob.
        hash: [u8; 32],
        /// Whether it may have it.
        answer: oneshot::Sender<bool>,
    },
    /// An allowed device is connected.
    Connected(DeviceId),
    /// An allowed device has no connection any more.
    Disconnected(DeviceId),
    /// A new address of an allowed device without a connection was found: it is worth dialling now.
    Found(DeviceId),
    /// Something was refused; for the audit. A flood of refusals is told in part.
    Refused {
        /// The device, when its handshake got that far.
        peer: Option<DeviceId>,
        /// Why.
        reason: DenyReason,
        /// What was refused.
        what: &'static str,
    },
}

/// A running network; cheap to clone. It stops at [`Network::shutdown`] or when the last clone is dropped.
#[derive(Clone)]
pub struct Network {
    inner: Arc<Inner>,
}

struct Inner {
    device: DeviceId,
    local: PeerId,
    commands: mpsc::Sender<Command>,
    access: watch::Sender<Access>,
    door: Door,
    view: SharedView,
    endpoint: Endpoint,
    blob_sockets: Vec<SocketAddr>,
    blobs: Blobs,
    rooms: Slots,
    book: SharedBook,
    tasks: TaskTracker,
    cancel: CancellationToken,
    timing: Timing,
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.cancel.cancel();
    }
}

impl Network {
    /// Opens the sockets and starts to serve; addresses are complete when it returns.
    ///
    /// # Errors
    /// [`NetError::Listen`] and [`NetError::BlobBind`] name the address that cannot be used.
    pub async fn start(
        config: NetworkConfig,
        blobs: Blobs,
    ) -> Result<(Self, mpsc::Receiver<NetEvent>), NetError> {
        Self::start_with(config, blobs, Timing::default()).await
    }

    pub(crate) async fn start_with(
        config: NetworkConfig,
        blobs: Blobs,
        timing: Timing,
    ) -> Result<(Self, mpsc::Receiver<NetEvent>), NetError> {
        let key = Keypair::ed25519_from_bytes(config.seed.to_vec()).map_err(|e| NetError::Key(e.into()))?;
        let local = key.public().to_peer_id();
        let device = peer::device_id(&local).expect("the key was made as ed25519");
        let (access, watched) = watch::channel(Access::default());
        let (events, received) = mpsc::channel(QUEUED_EVENTS);
        let door = Door::new(watched, events);

        let (found, told_of) = lan::queue();
        let (mut swarm, arrivals) =
            behaviour::build(key, &config.agent, &door, &timing, (config.answers_searches, found))?;
        behaviour::listen(&mut swarm, &config.listen).await?;
        let endpoint = serve::bind(&config.seed, config.blob_bind).await?;
        let blob_sockets = endpoint.bound_sockets();

        let (tasks, cancel) = (TaskTracker::new(), CancellationToken::new());
        let view = SharedView::default();
        let (commands, asked) = mpsc::channel(QUEUED_COMMANDS);
        serve::spawn(endpoint.clone(), &blobs, &door, timing, (&tasks, &cancel));
        let (rooms, common) = (room::places(), (&tasks, &cancel));
        Acceptor::new(door.clone(), commands.downgrade(), rooms.clone(), timing, common).spawn(arrivals);
        let (tell, told) = watch::channel(Vec::new());
        let task = SwarmTask::new(swarm, door.clone(), asked, cancel.clone(), (view.clone(), tell), timing);
        tasks.spawn(task.run());

        let book = SharedBook::default();
        let finder = Finder { door: door.clone(), view: view.clone(), book: book.clone() };
        tasks.spawn(cancel.clone().run_until_cancelled_owned(finder.clone().note_all(told_of)));
        if config.mdns {
            finder.watch_lan(local, told, &tasks, &cancel);
        }

        let inner = Inner {
            device,
            local,
            commands,
            access,
            door,
            view,
            endpoint,
            blob_sockets,
            blobs,
            rooms,
            book,
            tasks,
            cancel,
            timing,
        };
        Ok((Self { inner: Arc::new(inner) }, received))
    }

    /// This device.
    pub fn device(&self) -> DeviceId {
        self.inner.device
    }

    /// Listen addresses as multiaddresses that end in this device's `/p2p/…`.
    pub fn addresses(&self) -> Vec<String> {
        let view = self.inner.view.lock().unwrap_or_else(PoisonError::into_inner);
        view.listening.iter().map(|a| a.clone().with(Part::P2p(self.inner.local)).to_string()).collect()
    }

    /// Where this device serves blobs, as `ip:port`. A wildcard socket is told as the addresses of the
    /// interfaces on which the control network listens.
    pub fn blob_addresses(&self) -> Vec<String> {
        let view = self.inner.view.lock().unwrap_or_else(PoisonError::into_inner);
        let mut addresses = Vec::new();
        for socket in &self.inner.blob_sockets {
            if !socket.ip().is_unspecified() {
                addresses.push(*socket);
                continue;
            }
            let ips = view.listening.iter().filter_map(|a| match a.iter().next() {
                Some(Part::Ip4(ip)) if socket.is_ipv4() => Some(IpAddr::from(ip)),
                Some(Part::Ip6(ip)) if socket.is_ipv6() => Some(IpAddr::from(ip)),
                _ => None,
            });
            addresses.extend(ips.map(|ip| SocketAddr::new(ip, socket.port())));
        }
        addresses.sort_unstable();
        addresses.dedup();
        addresses.iter().map(ToString::to_string).collect()
    }

    /// Replaces the allow list; devices that are no longer on it lose their connections.
    pub fn allow(&self, devices: HashSet<DeviceId>) {
        self.inner.access.send_modify(|access| access.allowed = Arc::new(devices));
    }

    /// Of which allowed devices, and where, allowed ones may be told that ask for them. Only those are asked, too.
    pub fn tell_of(&self, places: HashMap<DeviceId, Vec<String>>) {
        let read = |addresses: Vec<String>| {
            addresses.iter().filter_map(|a| peer::parse_address(a).ok()).map(|(address, _)| address).collect()
        };
        let places = places.into_iter().map(|(device, addresses)| (device, read(addresses))).collect();
        self.inner.access.send_modify(|access| access.places = Arc::new(places));
    }

    /// Asks connected acquaintances where an allowed device is. What they say becomes [`NetEvent::Found`].
    ///
    /// # Errors
    /// [`NetError::NotAllowed`] and [`NetError::Stopped`].
    pub async fn search(&self, device: DeviceId) -> Result<(), NetError> {
        if !self.inner.door.allows(&device) {
            return Err(NetError::NotAllowed(device));
        }
        self.inner.commands.send(Command::Search { device }).await.map_err(|_| NetError::Stopped)
    }

    /// Whether unknown devices may connect to pair: only while a pairing offer is open.
    pub fn open_to_strangers(&self, open: bool) {
        self.inner.access.send_modify(|access| access.strangers = open);
    }

    /// Allowed devices that are connected now.
    pub fn peers(&self) -> Vec<DeviceId> {
        let view = self.inner.view.lock().unwrap_or_else(PoisonError::into_inner);
        view.connected.keys().copied().collect()
    }

    /// The same devices, with how long each has been connected and how far away it is.
    pub fn links(&self) -> Vec<Link> {
        let view = self.inner.view.lock().unwrap_or_else(PoisonError::into_inner);
        let link = |(device, reached): (&DeviceId, &Reached)| Link {
            device: *device,
            connected_for: reached.since.elapsed(),
            round_trip: reached.round_trip,
        };
        view.connected.iter().map(link).collect()
    }

    /// Asks an allowed device and gives its answer; dials one of the addresses when not connected.
    ///
    /// # Errors
    /// [`NetError::Refused`], [`NetError::Later`] and [`NetError::Failed`] with the peer's reason; [`NetError::NotAllowed`] when the peer is not on the allow
    /// list here; [`NetError::TooLarge`] before anything is sent; the rest when it cannot be reached.
    pub async fn request(
        &self,
        peer: DeviceId,
        addresses: &[String],
        protocol: Protocol,
        body: Vec<u8>,
    ) -> Result<Vec<u8>, NetError> {
        let limit = protocol.request_limit();
        if body.len() > limit {
            let size = body.len() as u64;
            return Err(NetError::TooLarge { what: "a request", size, limit: limit as u64 });
        }
        if !self.inner.door.allows(&peer) {
            return Err(NetError::NotAllowed(peer));
        }
        let id = peer::peer_id(&peer)?;
        self.until_stopped(async {
            let line = self.open(id, addresses, protocol.stream()).await?;
            request::exchange(line.stream, protocol, &body, self.inner.timing).await
        })
        .await
    }

    /// Opens a pairing stream with a device that need not be known.
    ///
    /// # Errors
    /// [`NetError::Address`], [`NetError::OtherDevice`] when not the expected device answers,
    /// [`NetError::Unreachable`] and [`NetError::Lost`], also when the other side has no offer open. That the
    /// other side is busy with another pairing shows only as the end of the stream.
    pub async fn pair_with(&self, address: &str, expected: Option<DeviceId>) -> Result<PairStream, NetError> {
        let (address, named) = peer::parse_address(address)?;
        let expected = expected.as_ref().map(peer::peer_id).transpose()?;
        let peer = match (expected, named) {
            (Some(expected), Some(named)) if expected != named => return Err(NetError::OtherDevice),
            (expected, named) => expected.or(named),
        };
        self.until_stopped(async {
            match self.open_pairing(peer, address.clone()).await {
                // The connection of an earlier try may be closing at this moment.
                Err(NetError::Lost(_)) => self.open_pairing(peer, address).await,
                other => other,
            }
        })
        .await
    }

    /// Looks for devices on this LAN, whoever they are, until the receiver is dropped; this device tells nothing of
    /// itself meanwhile. Each is told once, and no more than 64 in all.
    pub fn candidates(&self) -> mpsc::Receiver<Candidate> {
        let (sender, receiver) = mpsc::channel(CANDIDATES);
        let (heard, mut sightings) = lan::queue();
        let (local, cancel) = (self.inner.local, self.inner.cancel.child_token());
        let looking = cancel.clone();
        self.inner.tasks.spawn_blocking(move || lan::look(local, Tell::Nothing, &heard, &looking));
        self.inner.tasks.spawn(async move {
            let _looking = cancel.clone().drop_guard();
            let mut seen = HashSet::new();
            let pass_on = async {
                while let Some(lan::Sighting { device, address }) = sightings.recv().await {
                    if seen.len() >= CANDIDATES || !seen.insert((device, address.clone())) {
                        continue;
                    }
                    if sender.send(Candidate { device, address: address.to_string() }).await.is_err() {
                        return;
                    }
                }
            };
            tokio::select! {
                () = cancel.cancelled() => {}
                () = sender.closed() => {}
                () = pass_on => {}
            }
        });
        receiver
    }

    /// Opens a room stream with an allowed device; dials one of the addresses when not connected. Each side is to
    /// send its first frame at once.
    ///
    /// # Errors
    /// [`NetError::NotAllowed`] when the peer is not on the allow list here; [`NetError::TooMany`] when 64 room
    /// streams with it are open; the rest when it cannot be reached. That the other side does not take the stream
    /// shows only as its end.
    pub async fn open_room_sync(&self, peer: DeviceId, addresses: &[String]) -> Result<RoomStream, NetError> {
        let Inner { door, rooms, tasks, cancel, timing, .. } = &*self.inner;
        if !door.allows(&peer) {
            return Err(NetError::NotAllowed(peer));
        }
        let place = rooms.take(peer).ok_or(NetError::TooMany("room streams"))?;
        let id = peer::peer_id(&peer)?;
        self.until_stopped(async {
            let line = self.open(id, addresses, ROOM_SYNC).await?;
            let timing = (timing.idle, *timing);
            Ok(RoomStream::new(line, (peer, place), door.clone(), timing, (tasks, cancel)))
        })
        .await
    }

    /// Fetches a blob of an allowed device into the store, verified against its hash while it arrives, and pins
    /// it. What an interrupted fetch brought is kept and not asked for again.
    ///
    /// # Errors
    /// [`NetError::TooLarge`] before content arrives when the blob is above `max_bytes`; [`NetError::Refused`],
    /// [`NetError::Later`], [`NetError::BlobMissing`], [`NetError::BlobDamaged`]; the rest when the peer cannot be reached.
    pub async fn fetch_blob(
        &self,
        hash: [u8; 32],
        peer: DeviceId,
        addresses: &[String],
        max_bytes: u64,
    ) -> Result<(), NetError> {
        if !self.inner.door.allows(&peer) {
            return Err(NetError::NotAllowed(peer));
        }
        let Inner { endpoint, blobs, timing, .. } = &*self.inner;
        let from = fetch::From { endpoint, peer, addresses, timing: *timing };
        self.until_stopped(fetch::fetch(blobs, hash, from, max_bytes)).await
    }

    /// Closes all connections and ends all tasks, within 3 s. The blob store stays open; the UDP port is free
    /// when the last handle is dropped.
    pub async fn shutdown(&self) {
        self.inner.cancel.cancel();
        self.inner.tasks.close();
        if timeout(SHUTDOWN, self.inner.tasks.wait()).await.is_err() {
            tracing::warn!("some network tasks did not end in time");
        }
    }

    async fn until_stopped<T>(&self, work: impl Future<Output = Result<T, NetError>>) -> Result<T, NetError> {
        self.inner.cancel.run_until_cancelled(work).await.unwrap_or(Err(NetError::Stopped))
    }

    async fn open_pairing(
        &self,
        peer: Option<PeerId>,
        address: libp2p::Multiaddr,
    ) -> Result<PairStream, NetError> {
        let (held, until) = oneshot::channel();
        let peer = self.dial(peer, vec![address], Some(until)).await?;
        let device = peer::device_id(&peer).ok_or(NetError::Malformed("its key is not ed25519"))?;
        let line = self.open_stream(peer, PAIR).await?;
        let Inner { tasks, cancel, timing, .. } = &*self.inner;
        Ok(PairStream::new(device, line, held, None, *timing, (tasks, cancel)))
    }

    /// Opens a stream, on a connection that is made when there is none.
    async fn open(
        &self,
        peer: PeerId,
        addresses: &[String],
        protocol: libp2p::StreamProtocol,
    ) -> Result<Line, NetError> {
        match self.try_open(peer, addresses, protocol.clone()).await {
            // A connection that died unseen is found out only now; a second try makes a new one.
            Err(NetError::Lost(_)) => self.try_open(peer, addresses, protocol).await,
            other => other,
        }
    }

    async fn try_open(
        &self,
        peer: PeerId,
        addresses: &[String],
        protocol: libp2p::StreamProtocol,
    ) -> Result<Line, NetError> {
        let connected = {
            let view = self.inner.view.lock().unwrap_or_else(PoisonError::into_inner);
            peer::device_id(&peer).is_some_and(|device| view.connected.contains_key(&device))
        };
        if !connected {
            let addresses = peer::parse_addresses(&peer, &self.with_found(&peer, addresses))?;
            self.dial(Some(peer), addresses, None).await?;
        }
        self.open_stream(peer, protocol).await
    }

    /// What was found comes first: it is newer than what was told at the last meeting.
    fn with_found(&self, peer: &PeerId, given: &[String]) -> Vec<String> {
        let book = self.inner.book.lock().unwrap_or_else(PoisonError::into_inner);
        let device = peer::device_id(peer);
        let found = device.map(|device| book.addresses(Instant::now(), &device)).unwrap_or_default();
        found.into_iter().chain(given.iter().cloned()).collect()
    }

    async fn dial(
        &self,
        peer: Option<PeerId>,
        addresses: Vec<libp2p::Multiaddr>,
        pairing: Option<oneshot::Receiver<()>>,
    ) -> Result<PeerId, NetError> {
        let (reply, answer) = oneshot::channel();
        let command = Command::Dial { peer, addresses, pairing, reply };
        self.inner.commands.send(command).await.map_err(|_| NetError::Stopped)?;
        let answer = timeout(self.inner.timing.connect, answer).await;
        answer.map_err(|_| NetError::Timeout("connecting"))?.map_err(|_| NetError::Stopped)?
    }

    async fn open_stream(&self, peer: PeerId, protocol: libp2p::StreamProtocol) -> Result<Line, NetError> {
        let (reply, answer) = oneshot::channel();
        let command = Command::Open { peer, protocol, reply };
        self.inner.commands.send(command).await.map_err(|_| NetError::Stopped)?;
        let opened = timeout(self.inner.timing.connect, answer).await;
        let opened = opened.map_err(|_| NetError::Timeout("opening a stream"))?;
        opened.unwrap_or_else(|_| Err(crate::frame::lost(std::io::ErrorKind::NotConnected.into())))
    }
}

impl std::fmt::Debug for Network {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Network").field("device", &self.inner.device).finish_non_exhaustive()
    }
}
