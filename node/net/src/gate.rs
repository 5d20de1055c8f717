//! The gate: which connections may exist at all.
//!
//! It denies every connection, in or out, with a device that is not on the allow list, except that unknown
//! devices may knock while a pairing offer is open, and that this device may dial an unknown one to pair.
//! Denied connections reach no other behaviour. The numbers (two a peer, 256 in all, 32 pending) are kept by
//! libp2p's own connection limits beside it.

use std::collections::HashSet;
use std::convert::Infallible;
use std::task::{Context, Poll};
use std::time::Instant;

use keys::{DenyReason, DeviceId};
use libp2p::core::Endpoint;
use libp2p::core::transport::PortUse;
use libp2p::swarm::{
    ConnectionDenied, ConnectionId, FromSwarm, NetworkBehaviour, THandler, THandlerInEvent, THandlerOutEvent,
    ToSwarm, dummy,
};
use libp2p::{Multiaddr, PeerId, connection_limits};

use crate::access::Door;
use crate::limit::Buckets;
use crate::peer::device_id;
use crate::protocol::CONNECTION_RATE;

/// Established connections with one device.
const CONNECTIONS_PER_PEER: u32 = 2;
/// Established connections in all.
const CONNECTIONS: u32 = 256;
/// Connections whose handshake has not ended, in each direction.
const PENDING_CONNECTIONS: u32 = 32;
/// Connections with unknown devices while a pairing offer is open.
const STRANGERS: usize = 8;
/// Devices whose connection rate is watched.
const WATCHED_DEVICES: usize = 1_024;

/// The limits on the number of connections.
pub(crate) fn limits() -> connection_limits::Behaviour {
    connection_limits::Behaviour::new(
        connection_limits::ConnectionLimits::default()
            .with_max_pending_incoming(Some(PENDING_CONNECTIONS))
            .with_max_pending_outgoing(Some(PENDING_CONNECTIONS))
            .with_max_established(Some(CONNECTIONS))
            .with_max_established_per_peer(Some(CONNECTIONS_PER_PEER)),
    )
}

/// Why the gate denied a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Barred {
    #[error("connection of an unknown device")]
    Unknown,
    #[error("connection with a key that is not ed25519")]
    OtherKey,
    #[error("connection of another unknown device while pairing")]
    TooManyStrangers,
    #[error("connections come too often")]
    TooOften,
}

impl Barred {
    /// The refusal as the audit names it.
    pub(crate) fn what(self) -> &'static str {
        match self {
            Self::Unknown => "connection of an unknown device",
            Self::OtherKey => "connection with a key that is not ed25519",
            Self::TooManyStrangers => "connection of another unknown device while pairing",
            Self::TooOften => "connections come too often",
        }
    }

    /// The same as a reason.
    pub(crate) const fn reason(self) -> DenyReason {
        match self {
            Self::Unknown => DenyReason::UnknownPeer,
            Self::OtherKey => DenyReason::Malformed,
            Self::TooManyStrangers | Self::TooOften => DenyReason::RateLimited,
        }
    }
}

/// The behaviour that keeps the door.
pub(crate) struct Gate {
    door: Door,
    /// Dials that a person asked for in order to pair.
    pairing_dials: HashSet<ConnectionId>,
    /// Connections with devices that were unknown when they came.
    strangers: HashSet<ConnectionId>,
    known_rate: Buckets<DeviceId>,
    stranger_rate: Buckets<()>,
}

impl Gate {
    pub(crate) fn new(door: Door) -> Self {
        Self {
            door,
            pairing_dials: HashSet::new(),
            strangers: HashSet::new(),
            known_rate: Buckets::new(WATCHED_DEVICES),
            stranger_rate: Buckets::new(1),
        }
    }

    /// Lets the dial with this id reach an unknown device.
    pub(crate) fn expect_pairing(&mut self, dial: ConnectionId) {
        self.pairing_dials.insert(dial);
    }

    fn judge_inbound(&mut self, connection: ConnectionId, peer: &PeerId) -> Result<(), Barred> {
        let device = device_id(peer).ok_or(Barred::OtherKey)?;
        let now = Instant::now();
        if self.door.allows(&device) {
            return if self.known_rate.take(now, device, CONNECTION_RATE) {
                Ok(())
            } else {
                Err(Barred::TooOften)
            };
        }
        if !self.door.strangers() {
            return Err(Barred::Unknown);
        }
        if self.strangers.len() >= STRANGERS {
            return Err(Barred::TooManyStrangers);
        }
        if !self.stranger_rate.take(now, (), CONNECTION_RATE) {
            return Err(Barred::TooOften);
        }
        self.strangers.insert(connection);
        Ok(())
    }

    fn judge_outbound(&self, connection: ConnectionId, peer: Option<&PeerId>) -> Result<(), Barred> {
        if self.pairing_dials.contains(&connection) {
            // The key is not known before the handshake of a dial to an address only.
            return match peer {
                Some(peer) if device_id(peer).is_none() => Err(Barred::OtherKey),
                _ => Ok(()),
            };
        }
        let device = peer.and_then(device_id).ok_or(Barred::OtherKey)?;
        if self.door.allows(&device) { Ok(()) } else { Err(Barred::Unknown) }
    }
}

impl NetworkBehaviour for Gate {
    type ConnectionHandler = dummy::ConnectionHandler;
    type ToSwarm = Infallible;

    fn handle_established_inbound_connection(
        &mut self,
        connection: ConnectionId,
        peer: PeerId,
        _: &Multiaddr,
        _: &Multiaddr,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        self.judge_inbound(connection, &peer).map_err(ConnectionDenied::new)?;
        Ok(dummy::ConnectionHandler)
    }

    fn handle_pending_outbound_connection(
        &mut self,
        connection: ConnectionId,
        peer: Option<PeerId>,
        _: &[Multiaddr],
        _: Endpoint,
    ) -> Result<Vec<Multiaddr>, ConnectionDenied> {
        self.judge_outbound(connection, peer.as_ref()).map_err(ConnectionDenied::new)?;
        Ok(Vec::new())
    }

    fn handle_established_outbound_connection(
        &mut self,
        connection: ConnectionId,
        peer: PeerId,
        _: &Multiaddr,
        _: Endpoint,
        _: PortUse,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        self.judge_outbound(connection, Some(&peer)).map_err(ConnectionDenied::new)?;
        Ok(dummy::ConnectionHandler)
    }

    fn on_swarm_event(&mut self, event: FromSwarm<'_>) {
        match event {
            FromSwarm::ConnectionEstablished(e) => {
                self.pairing_dials.remove(&e.connection_id);
            }
            FromSwarm::DialFailure(e) => {
                self.pairing_dials.remove(&e.connection_id);
            }
            FromSwarm::ListenFailure(e) => {
                self.strangers.remove(&e.connection_id);
            }
            FromSwarm::ConnectionClosed(e) => {
                self.strangers.remove(&e.connection_id);
            }
            _ => {}
        }
    }

    fn on_connection_handler_event(&mut self, _: PeerId, _: ConnectionId, event: THandlerOutEvent<Self>) {
        match event {}
    }

    fn poll(&mut self, _: &mut Context<'_>) -> Poll<ToSwarm<Self::ToSwarm, THandlerInEvent<Self>>> {
        Poll::Pending
    }
}
