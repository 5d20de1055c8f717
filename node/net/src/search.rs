//! Asking common acquaintances where a device is now: libp2p's Kademlia, cut down to that one question.
//!
//! Kademlia answers any question with the nearest of all that it knows, so whoever asks at random learns who knows
//! whom. Here its engine and its wire format stay, and this behaviour stands between them and the network:
//!
//! - A device is asked for by a hash of who asks and who is meant. It tells something only to those who know both.
//! - Answered is the device that was meant and no other, and only when it may be told of: clinics, not patients.
//! - What is answered goes to the book of found addresses. No device is asked that is not connected already.
//! - Records and providers are refused, and so is everything that an unknown device asks.

use std::collections::{HashMap, VecDeque};
use std::convert::Infallible;
use std::num::NonZeroUsize;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use keys::{DenyReason, DeviceId};
use libp2p::core::Endpoint;
use libp2p::core::transport::PortUse;
use libp2p::kad::store::{MemoryStore, MemoryStoreConfig};
use libp2p::kad::{self, ConnectionType, KadPeer, QueryId};
use libp2p::swarm::{
    ConnectionDenied, ConnectionId, FromSwarm, NetworkBehaviour, NotifyHandler, THandler, THandlerInEvent,
    THandlerOutEvent, ToSwarm,
};
use libp2p::{Multiaddr, PeerId};
use tokio::sync::mpsc;

use crate::access::Door;
use crate::book::EACH;
use crate::lan::Sighting;
use crate::limit::Buckets;
use crate::peer::{device_id, parse_address, peer_id};
use crate::protocol::{KAD, OWN_SEARCH_RATE, SEARCH_RATE};

/// A message of either side: a question is 40 bytes, an answer a peer with a few addresses.
const MESSAGE_BYTES: usize = 4 * 1024;
/// A search that has not ended by then has found nothing.
const SEARCH_LASTS: Duration = Duration::from_secs(10);
/// Acquaintances asked at once.
const PARALLEL: NonZeroUsize = NonZeroUsize::new(3).expect("three is not zero");
/// Searches going on at once.
const SEARCHES: usize = 16;
/// Devices whose rate of questions is watched.
const WATCHED_DEVICES: usize = 1_024;

type Kad = kad::Behaviour<MemoryStore>;
type ToHandler = THandlerInEvent<Kad>;
type FromHandler = THandlerOutEvent<Kad>;

/// The behaviour.
pub(crate) struct Search {
    kad: Kad,
    own: PeerId,
    door: Door,
    found: mpsc::Sender<Sighting>,
    searches: HashMap<QueryId, DeviceId>,
    connected: HashMap<PeerId, Multiaddr>,
    asked: Buckets<DeviceId>,
    asking: Buckets<()>,
    queued: VecDeque<ToSwarm<Infallible, ToHandler>>,
}

impl Search {
    /// `answers` says whether this device answers others; what it finds itself goes to `found`.
    pub(crate) fn new(own: PeerId, door: Door, answers: bool, found: mpsc::Sender<Sighting>) -> Self {
        let mut config = kad::Config::new(KAD);
        config
            .set_query_timeout(SEARCH_LASTS)
            .set_parallelism(PARALLEL)
            .set_max_packet_size(MESSAGE_BYTES)
            .set_kbucket_inserts(kad::BucketInserts::Manual)
            .set_record_filtering(kad::StoreInserts::FilterBoth)
            .set_caching(kad::Caching::Disabled)
            .set_replication_interval(None)
            .set_publication_interval(None)
            .set_provider_publication_interval(None)
            .set_periodic_bootstrap_interval(None);
        let nothing = MemoryStoreConfig {
            max_records: 0,
            max_value_bytes: 0,
            max_providers_per_key: 0,
            max_provided_keys: 0,
        };
        let mut kad = Kad::with_config(own, MemoryStore::with_config(own, nothing), config);
        kad.set_mode(Some(if answers { kad::Mode::Server } else { kad::Mode::Client }));
        Self {
            kad,
            own,
            door,
            found,
            searches: HashMap::new(),
            connected: HashMap::new(),
            asked: Buckets::new(WATCHED_DEVICES),
            asking: Buckets::new(1),
            queued: VecDeque::new(),
        }
    }

    /// Asks those connected clinics that are paired with this device where `target` is; too many searches at once or
    /// in a minute are left out.
    pub(crate) fn begin(&mut self, target: DeviceId) {
        let Some(own) = device_id(&self.own) else { return };
        let going_on = self.searches.len() >= SEARCHES || self.searches.values().any(|t| *t == target);
        if going_on || !self.asking.take(Instant::now(), (), OWN_SEARCH_RATE) {
            return;
        }
        let mut helpers = 0;
        for (peer, address) in &self.connected {
            let device = device_id(peer).filter(|d| *d != target && self.door.allows(d));
            if device.is_some_and(|d| self.door.access.borrow().places.contains_key(&d)) {
                self.kad.add_address(peer, address.clone());
                helpers += 1;
            } else {
                self.kad.remove_peer(peer);
            }
        }
        if helpers > 0 {
            let query = self.kad.get_closest_peers(question(&own, &target).to_vec());
            self.searches.insert(query, target);
        }
    }

    /// What a device that asks `key` is told.
    fn answer(&mut self, asker: &DeviceId, key: &[u8]) -> Result<Vec<KadPeer>, (DenyReason, &'static str)> {
        if !self.door.allows(asker) {
            return Err((DenyReason::UnknownPeer, "search of an unknown device"));
        }
        if !self.asked.take(Instant::now(), *asker, SEARCH_RATE) {
            return Err((DenyReason::RateLimited, "searches come too often"));
        }
        let access = self.door.access.borrow();
        let meant = access.places.iter().find(|(device, _)| question(asker, device).as_slice() == key);
        let told = meant.filter(|(device, _)| access.allows(device)).and_then(|(device, addresses)| {
            let multiaddrs = addresses.iter().take(EACH).cloned().collect();
            Some(KadPeer {
                node_id: peer_id(device).ok()?,
                multiaddrs,
                connection_ty: ConnectionType::NotConnected,
            })
        });
        Ok(told.into_iter().collect())
    }

    /// Takes what was found of the device that was meant, and nothing else of an answer.
    fn learn(&self, target: DeviceId, answer: &[KadPeer]) {
        let meant = answer.iter().filter(|peer| device_id(&peer.node_id) == Some(target));
        for address in meant.flat_map(|peer| &peer.multiaddrs).take(EACH) {
            let Ok((address, _)) = parse_address(&address.to_string()) else { continue };
            if self.found.try_send(Sighting { device: target, address }).is_err() {
                tracing::debug!("more is found than can be looked at");
            }
        }
    }

    fn refuse(&self, peer: PeerId, reason: DenyReason, what: &'static str) {
        self.door.refused(device_id(&peer), reason, what);
    }
}

/// How a device is asked for: who does not know it cannot tell which one is meant, and two who are asked by different
/// devices cannot tell that the same one is.
pub(crate) fn question(asker: &DeviceId, target: &DeviceId) -> [u8; 32] {
    let mut hash = blake3::Hasher::new_derive_key("metaclinic 2026 search for a device");
    hash.update(asker.as_bytes()).update(target.as_bytes());
    *hash.finalize().as_bytes()
}

impl NetworkBehaviour for Search {
    type ConnectionHandler = THandler<Kad>;
    type ToSwarm = Infallible;

    fn handle_established_inbound_connection(
        &mut self,
        connection: ConnectionId,
        peer: PeerId,
        local: &Multiaddr,
        remote: &Multiaddr,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        self.kad.handle_established_inbound_connection(connection, peer, local, remote)
    }

    // Kademlia would add addresses to every dial; here only the caller and the book say where to.
    fn handle_established_outbound_connection(
        &mut self,
        connection: ConnectionId,
        peer: PeerId,
        address: &Multiaddr,
        role: Endpoint,
        port: PortUse,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        self.kad.handle_established_outbound_connection(connection, peer, address, role, port)
    }

    fn on_swarm_event(&mut self, event: FromSwarm<'_>) {
        match &event {
            FromSwarm::ConnectionEstablished(e) => {
                self.connected.insert(e.peer_id, e.endpoint.get_remote_address().clone());
            }
            FromSwarm::ConnectionClosed(e) if e.remaining_established == 0 => {
                self.connected.remove(&e.peer_id);
                self.kad.remove_peer(&e.peer_id);
            }
            _ => {}
        }
        self.kad.on_swarm_event(event);
    }

    fn on_connection_handler_event(&mut self, peer: PeerId, connection: ConnectionId, event: FromHandler) {
        let event = match event {
            FromHandler::FindNodeReq { key, request_id } => {
                let asker = device_id(&peer).ok_or((DenyReason::Malformed, "search with an unusable key"));
                // A refusal looks like ignorance, and is told at once: the engine closes a reset stream only later.
                let closer_peers =
                    asker.and_then(|asker| self.answer(&asker, &key)).unwrap_or_else(|(reason, what)| {
                        self.refuse(peer, reason, what);
                        Vec::new()
                    });
                let event = ToHandler::FindNodeRes { closer_peers, request_id };
                let handler = NotifyHandler::One(connection);
                return self.queued.push_back(ToSwarm::NotifyHandler { peer_id: peer, handler, event });
            }
            FromHandler::FindNodeRes { closer_peers, query_id } => {
                if let Some(target) = self.searches.get(&query_id) {
                    self.learn(*target, &closer_peers);
                }
                // The engine hears that the peer answered, and of nobody whom it could dial or ask next.
                FromHandler::FindNodeRes { closer_peers: Vec::new(), query_id }
            }
            FromHandler::GetProvidersReq { request_id, .. }
            | FromHandler::GetRecord { request_id, .. }
            | FromHandler::PutRecord { request_id, .. } => {
                self.refuse(peer, DenyReason::NotAllowed, "records in a search");
                let (handler, event) = (NotifyHandler::One(connection), ToHandler::Reset(request_id));
                return self.queued.push_back(ToSwarm::NotifyHandler { peer_id: peer, handler, event });
            }
            FromHandler::AddProvider { .. } => {
                return self.refuse(peer, DenyReason::NotAllowed, "records in a search");
            }
            other => other,
        };
        self.kad.on_connection_handler_event(peer, connection, event);
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<ToSwarm<Infallible, ToHandler>> {
        loop {
            if let Some(event) = self.queued.pop_front() {
                return Poll::Ready(event);
            }
            match std::task::ready!(self.kad.poll(context)) {
                ToSwarm::GenerateEvent(kad::Event::OutboundQueryProgressed { id, step, .. }) if step.last => {
                    self.searches.remove(&id);
                }
                // The engine would also look around by itself; only searches that were asked for leave this device.
                ToSwarm::NotifyHandler { event: ToHandler::FindNodeReq { query_id, .. }, .. }
                    if !self.searches.contains_key(&query_id) => {}
                ToSwarm::NotifyHandler { peer_id, handler, event } => {
                    return Poll::Ready(ToSwarm::NotifyHandler { peer_id, handler, event });
                }
                // It dials nobody, and what it makes of addresses is nobody's business.
                _ => {}
            }
        }
    }
}
