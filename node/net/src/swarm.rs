//! The task that owns the Swarm: it dials, watches connections, and closes those that may not stay.
//!
//! `select` waits and returns one [`Happening`]; `apply` acts on it.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use futures::{FutureExt, StreamExt};
use keys::{DenyReason, DeviceId};
use libp2p::swarm::dial_opts::{DialOpts, PeerCondition};
use libp2p::swarm::{ConnectionId, DialError, ListenError, SwarmEvent};
use libp2p::{Multiaddr, PeerId, StreamProtocol, Swarm, ping};
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;

use crate::access::Door;
use crate::behaviour::{Behaviour, BehaviourEvent};
use crate::error::NetError;
use crate::gate::Barred;
use crate::network::NetEvent;
use crate::peer::device_id;
use crate::protocol::Timing;
use crate::streams::OpenReply;

/// How often connections of unknown devices are looked at.
const SWEEP_INTERVAL: Duration = Duration::from_secs(1);
/// A pairing that ended keeps its connection for this long: closing a socket with unread bytes in it resets it,
/// and the peer would lose the last frame on its way.
const PARTING: Duration = Duration::from_millis(500);
/// How long open connections get to say goodbye at shutdown.
const GOODBYE: Duration = Duration::from_millis(500);

/// What the handle may read without asking the task.
#[derive(Default)]
pub(crate) struct View {
    /// Listen addresses, without `/p2p`.
    pub(crate) listening: Vec<Multiaddr>,
    /// Allowed devices with a connection.
    pub(crate) connected: HashMap<DeviceId, Reached>,
}

/// A connected device.
pub(crate) struct Reached {
    /// When it was first connected and allowed.
    pub(crate) since: Instant,
    /// What the last ping took; none before the first answer.
    pub(crate) round_trip: Option<Duration>,
}

/// A [`View`] shared with the handle.
pub(crate) type SharedView = Arc<Mutex<View>>;

/// What the handle may ask of the task.
pub(crate) enum Command {
    /// Be connected to a peer: at once when it already is.
    Dial {
        /// None when only the address is known.
        peer: Option<PeerId>,
        addresses: Vec<Multiaddr>,
        /// Present when the dial is for a pairing: the peer may be unknown until the sender is dropped.
        pairing: Option<oneshot::Receiver<()>>,
        reply: oneshot::Sender<Result<PeerId, NetError>>,
    },
    /// Open a stream on an existing connection; without one the reply is dropped.
    Open { peer: PeerId, protocol: StreamProtocol, reply: OpenReply },
    /// An unknown peer opened a pairing stream: let it stay until the sender is dropped.
    Hold { peer: PeerId, until: oneshot::Receiver<()> },
    /// Ask acquaintances where this device is; what they say is news for the node.
    Search { device: DeviceId },
}

enum Happening {
    Asked(Command),
    Swarm(Box<SwarmEvent<BehaviourEvent>>),
    PairingEnded(PeerId),
    Sweep,
    Stop,
}

/// A dial in progress and all who wait for it.
struct Dial {
    peer: Option<PeerId>,
    pairings: Vec<oneshot::Receiver<()>>,
    replies: Vec<oneshot::Sender<Result<PeerId, NetError>>>,
}

impl Dial {
    fn fail(self, error: NetError) {
        let text = error.to_string();
        let mut replies = self.replies.into_iter();
        // The caller of each may have given up.
        if let Some(first) = replies.next() {
            let _ = first.send(Err(error));
        }
        for reply in replies {
            let _ = reply.send(Err(NetError::Unreachable(text.clone().into())));
        }
    }
}

/// The state of the task.
pub(crate) struct SwarmTask {
    swarm: Swarm<Behaviour>,
    door: Door,
    commands: mpsc::Receiver<Command>,
    cancel: CancellationToken,
    view: SharedView,
    /// The same listen addresses, for who tells them to the LAN.
    tell: watch::Sender<Vec<Multiaddr>>,
    timing: Timing,
    /// Dials in progress.
    dials: HashMap<ConnectionId, Dial>,
    /// When each connected peer came.
    connected: HashMap<PeerId, Instant>,
    /// Peers whose pairing goes on, and how many times.
    held: HashMap<PeerId, usize>,
    pairings: FuturesUnordered<BoxFuture<'static, PeerId>>,
}

impl SwarmTask {
    pub(crate) fn new(
        swarm: Swarm<Behaviour>,
        door: Door,
        commands: mpsc::Receiver<Command>,
        cancel: CancellationToken,
        (view, tell): (SharedView, watch::Sender<Vec<Multiaddr>>),
        timing: Timing,
    ) -> Self {
        let task = Self {
            swarm,
            door,
            commands,
            cancel,
            view,
            tell,
            timing,
            dials: HashMap::new(),
            connected: HashMap::new(),
            held: HashMap::new(),
            pairings: FuturesUnordered::new(),
        };
        task.publish_addresses();
        task
    }

    /// Runs until the network is shut down, then closes all connections.
    pub(crate) async fn run(mut self) {
        let mut tick = tokio::time::interval(SWEEP_INTERVAL);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            match self.select(&mut tick).await {
                Happening::Stop => break,
                happening => self.apply(happening),
            }
        }
        let peers: Vec<PeerId> = self.swarm.connected_peers().copied().collect();
        for peer in peers {
            // An error means that it is gone already.
            let _ = self.swarm.disconnect_peer_id(peer);
        }
        let goodbye = async {
            while self.swarm.connected_peers().next().is_some() {
                self.swarm.select_next_some().await;
            }
        };
        if tokio::time::timeout(GOODBYE, goodbye).await.is_err() {
            tracing::debug!("some connections did not close in time");
        }
        self.view.lock().unwrap_or_else(PoisonError::into_inner).connected.clear();
    }

    async fn select(&mut self, tick: &mut tokio::time::Interval) -> Happening {
        tokio::select! {
            () = self.cancel.cancelled() => Happening::Stop,
            command = self.commands.recv() => command.map_or(Happening::Stop, Happening::Asked),
            changed = self.door.access.changed() => if changed.is_ok() { Happening::Sweep } else { Happening::Stop },
            Some(peer) = self.pairings.next(), if !self.pairings.is_empty() => Happening::PairingEnded(peer),
            _ = tick.tick() => Happening::Sweep,
            event = self.swarm.select_next_some() => Happening::Swarm(Box::new(event)),
        }
    }

    fn apply(&mut self, happening: Happening) {
        match happening {
            Happening::Asked(Command::Dial { peer, addresses, pairing, reply }) => {
                let pairings = pairing.into_iter().collect();
                self.dial(addresses, Dial { peer, pairings, replies: vec![reply] });
            }
            Happening::Asked(Command::Open { peer, protocol, reply }) => {
                self.swarm.behaviour_mut().streams.open(peer, protocol, reply);
            }
            Happening::Asked(Command::Hold { peer, until }) => self.hold(peer, until),
            Happening::Asked(Command::Search { device }) => self.swarm.behaviour_mut().search.begin(device),
            Happening::Swarm(event) => self.on_swarm_event(*event),
            Happening::PairingEnded(peer) => {
                if let Some(count) = self.held.get_mut(&peer) {
                    *count -= 1;
                    if *count == 0 {
                        self.held.remove(&peer);
                        self.settle(peer, false);
                    }
                }
            }
            Happening::Sweep => {
                let peers: Vec<PeerId> = self.connected.keys().copied().collect();
                peers.into_iter().for_each(|peer| self.settle(peer, true));
            }
            Happening::Stop => {}
        }
    }

    fn dial(&mut self, addresses: Vec<Multiaddr>, mut dial: Dial) {
        if let Some(peer) = dial.peer.filter(|p| self.connected.contains_key(p)) {
            return self.dialled(peer, dial);
        }
        let options = match dial.peer {
            Some(peer) => {
                let same =
                    |d: &&mut Dial| d.peer == Some(peer) && d.pairings.is_empty() == dial.pairings.is_empty();
                if let Some(going_on) = self.dials.values_mut().find(same) {
                    going_on.pairings.append(&mut dial.pairings);
                    going_on.replies.append(&mut dial.replies);
                    return;
                }
                DialOpts::peer_id(peer)
                    .condition(PeerCondition::Always)
                    .addresses(addresses)
                    .allocate_new_port()
                    .build()
            }
            None => {
                let Some(address) = addresses.into_iter().next() else {
                    return dial.fail(NetError::Address { address: "none given".to_owned() });
                };
                DialOpts::unknown_peer_id().address(address).allocate_new_port().build()
            }
        };
        let connection = options.connection_id();
        if !dial.pairings.is_empty() {
            self.swarm.behaviour_mut().gate.expect_pairing(connection);
        }
        match self.swarm.dial(options) {
            Ok(()) => {
                self.dials.insert(connection, dial);
            }
            Err(error) => {
                let error = dial_error(dial.peer, error);
                dial.fail(error);
            }
        }
    }

    fn dialled(&mut self, peer: PeerId, dial: Dial) {
        dial.pairings.into_iter().for_each(|until| self.hold(peer, until));
        for reply in dial.replies {
            // The caller may have given up.
            let _ = reply.send(Ok(peer));
        }
    }

    fn hold(&mut self, peer: PeerId, until: oneshot::Receiver<()>) {
        *self.held.entry(peer).or_insert(0) += 1;
        let ended = until.then(|_| tokio::time::sleep(PARTING)).map(move |()| peer);
        self.pairings.push(ended.boxed());
    }

    fn on_swarm_event(&mut self, event: SwarmEvent<BehaviourEvent>) {
        match event {
            SwarmEvent::ConnectionEstablished { peer_id, connection_id, .. } => {
                self.connected.entry(peer_id).or_insert_with(Instant::now);
                if let Some(dial) = self.dials.remove(&connection_id) {
                    self.dialled(peer_id, dial);
                }
                self.settle(peer_id, true);
            }
            SwarmEvent::ConnectionClosed { peer_id, num_established: 0, .. } => {
                self.connected.remove(&peer_id);
                if let Some(device) = device_id(&peer_id) {
                    let was = self.view_mut(|view| view.connected.remove(&device));
                    if was.is_some() {
                        self.tell(NetEvent::Disconnected(device));
                    }
                }
            }
            SwarmEvent::OutgoingConnectionError { connection_id, error, .. } => {
                if let Some(dial) = self.dials.remove(&connection_id) {
                    match dial.peer.filter(|p| self.connected.contains_key(p)) {
                        // The peer dialled us meanwhile, so a connection exists all the same.
                        Some(peer) => self.dialled(peer, dial),
                        None => {
                            let error = dial_error(dial.peer, error);
                            dial.fail(error);
                        }
                    }
                }
            }
            SwarmEvent::IncomingConnectionError { peer_id, error: ListenError::Denied { cause }, .. } => {
                let barred = cause.downcast_ref::<Barred>().map(|b| (b.reason(), b.what()));
                let (reason, what) = barred.unwrap_or((DenyReason::RateLimited, "too many connections"));
                self.door.refused(peer_id.as_ref().and_then(device_id), reason, what);
            }
            // A room stream may be silent for hours, so a peer that vanished must show in another way. The first
            // failure is not told; the second comes a minute after the peer was last heard.
            SwarmEvent::Behaviour(BehaviourEvent::Ping(ping::Event {
                connection,
                result: Err(ping::Failure::Timeout | ping::Failure::Other { .. }),
                ..
            })) => {
                self.swarm.close_connection(connection);
            }
            SwarmEvent::Behaviour(BehaviourEvent::Ping(ping::Event { peer, result: Ok(took), .. })) => {
                let device = device_id(&peer);
                self.view_mut(|view| {
                    if let Some(reached) = device.and_then(|device| view.connected.get_mut(&device)) {
                        reached.round_trip = Some(took);
                    }
                });
            }
            SwarmEvent::NewListenAddr { .. }
            | SwarmEvent::ExpiredListenAddr { .. }
            | SwarmEvent::ListenerClosed { .. } => self.publish_addresses(),
            _ => {}
        }
    }

    /// Decides whether a connected peer may stay, and announces an allowed one once.
    ///
    /// With `grace` an unknown peer may have just come and not opened its pairing stream yet.
    fn settle(&mut self, peer: PeerId, grace: bool) {
        let Some(came) = self.connected.get(&peer).copied() else { return };
        let Some(device) = device_id(&peer) else { return };
        if self.door.allows(&device) {
            let new = self.view_mut(|view| match view.connected.entry(device) {
                Entry::Vacant(place) => {
                    place.insert(Reached { since: came, round_trip: None });
                    true
                }
                Entry::Occupied(_) => false,
            });
            if new {
                self.tell(NetEvent::Connected(device));
            }
            return;
        }
        let knocking = grace && self.door.strangers() && came.elapsed() < self.timing.stranger;
        if self.held.contains_key(&peer) || knocking {
            return;
        }
        tracing::debug!(?device, "closing the connection of a device that is not allowed");
        // An error means that it is gone already.
        let _ = self.swarm.disconnect_peer_id(peer);
    }

    fn publish_addresses(&self) {
        let listening: Vec<Multiaddr> = self.swarm.listeners().cloned().collect();
        self.tell.send_if_modified(|told| {
            let changed = *told != listening;
            told.clone_from(&listening);
            changed
        });
        self.view_mut(|view| view.listening = listening);
    }

    fn view_mut<T>(&self, change: impl FnOnce(&mut View) -> T) -> T {
        change(&mut self.view.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn tell(&self, event: NetEvent) {
        if !self.door.tell(event) {
            tracing::warn!("the node lags behind: a connection event is lost");
        }
    }
}

fn dial_error(peer: Option<PeerId>, error: DialError) -> NetError {
    match error {
        DialError::WrongPeerId { .. } | DialError::LocalPeerId { .. } => NetError::OtherDevice,
        DialError::Denied { cause } if cause.downcast_ref::<Barred>() == Some(&Barred::Unknown) => {
            match peer.as_ref().and_then(device_id) {
                Some(device) => NetError::NotAllowed(device),
                None => NetError::Unreachable(cause.into()),
            }
        }
        other => NetError::Unreachable(other.into()),
    }
}
