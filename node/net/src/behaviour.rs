//! The behaviours of the Swarm, and its sockets.

use std::collections::HashMap;
use std::time::Duration;

use futures::StreamExt;
use libp2p::core::transport::ListenerId;
use libp2p::identity::Keypair;
use libp2p::multiaddr::Protocol as Part;
use libp2p::swarm::{NetworkBehaviour, SwarmEvent};
use libp2p::{Multiaddr, Swarm, SwarmBuilder, connection_limits, identify, noise, ping, tcp, yamux};
use tokio::sync::mpsc;

use crate::access::Door;
use crate::error::NetError;
use crate::gate::{self, Gate};
use crate::lan::Sighting;
use crate::protocol::{Kind, Timing};
use crate::search::Search;
use crate::streams::{Arrival, Streams};

/// Streams of one connection as Yamux counts them; it closes a connection that goes beyond. A stream holds at
/// most 256 KiB that nobody has read: with this number Yamux has promised all of its 1 GiB for a connection, and
/// lets no stream hold more, which a peer could otherwise bring about by reading and sending fast at first.
/// What is really open is bounded by the slots of each protocol and by [`NEGOTIATING_STREAMS`].
const STREAMS_PER_CONNECTION: usize = 4_096;
/// Inbound streams of one connection whose protocol is not agreed yet.
const NEGOTIATING_STREAMS: usize = 32;
/// A connection without streams is closed after this long.
const IDLE_CONNECTION: Duration = Duration::from_secs(120);
/// How long a listener may take to come up.
const LISTEN_PATIENCE: Duration = Duration::from_secs(3);
/// After the first address of a wildcard listener the others follow at once; wait this long for them.
const MORE_ADDRESSES: Duration = Duration::from_millis(50);
/// The protocol family as identify tells it.
const FAMILY: &str = "/metaclinic/1";

#[derive(NetworkBehaviour)]
pub(crate) struct Behaviour {
    // First, so that a denied connection reaches none of the others.
    pub(crate) gate: Gate,
    limits: connection_limits::Behaviour,
    identify: identify::Behaviour,
    ping: ping::Behaviour,
    pub(crate) search: Search,
    pub(crate) streams: Streams,
}

/// Builds the Swarm, and where the streams of peers arrive; nothing is opened yet.
pub(crate) fn build(
    key: Keypair,
    agent: &str,
    door: &Door,
    timing: &Timing,
    (answers, found): (bool, mpsc::Sender<Sighting>),
) -> Result<(Swarm<Behaviour>, mpsc::Receiver<Arrival>), NetError> {
    let mut muxer = yamux::Config::default();
    muxer.set_max_num_streams(STREAMS_PER_CONNECTION);
    // No cache: a peer is dialled only at an address that the caller gave.
    let identify = identify::Config::new(FAMILY.to_owned(), key.public())
        .with_agent_version(agent.to_owned())
        .with_cache_size(0);
    let protocols = Kind::all().map(Kind::stream).collect();
    let (streams, arrivals) = Streams::new(protocols, timing.connect);
    let behaviour = Behaviour {
        gate: Gate::new(door.clone()),
        limits: gate::limits(),
        identify: identify::Behaviour::new(identify),
        ping: ping::Behaviour::new(ping::Config::new().with_interval(timing.ping).with_timeout(timing.pong)),
        search: Search::new(key.public().to_peer_id(), door.clone(), answers, found),
        streams,
    };
    let swarm = SwarmBuilder::with_existing_identity(key)
        .with_tokio()
        .with_tcp(tcp::Config::default().nodelay(true), noise::Config::new, move || muxer)
        .map_err(|e| NetError::Key(e.into()))?
        .with_behaviour(|_| behaviour)
        .map_err(|e| NetError::Key(e.into()))?
        .with_swarm_config(|c| {
            c.with_idle_connection_timeout(IDLE_CONNECTION)
                .with_max_negotiating_inbound_streams(NEGOTIATING_STREAMS)
        })
        .with_connection_timeout(timing.connect)
        .build();
    Ok((swarm, arrivals))
}

/// Opens all listeners and waits until their addresses are known.
///
/// # Errors
/// [`NetError::Listen`] naming the address that failed.
pub(crate) async fn listen(swarm: &mut Swarm<Behaviour>, addresses: &[String]) -> Result<(), NetError> {
    let mut waiting: HashMap<ListenerId, String> = HashMap::new();
    for text in addresses {
        let failed = |source| NetError::Listen { address: text.clone(), source };
        let (address, _) = crate::peer::parse_address(text).map_err(|e| failed(e.into()))?;
        probe(&address).map_err(|e| failed(e.into()))?;
        waiting.insert(swarm.listen_on(address).map_err(|e| failed(e.into()))?, text.clone());
    }
    let deadline = tokio::time::Instant::now() + LISTEN_PATIENCE;
    while let Some(missing) = waiting.values().next().cloned() {
        let event = tokio::time::timeout_at(deadline, swarm.select_next_some()).await;
        match event {
            Ok(SwarmEvent::NewListenAddr { listener_id, .. }) => {
                waiting.remove(&listener_id);
            }
            Ok(SwarmEvent::ListenerClosed { listener_id, reason, .. }) => {
                let reason = reason.err().unwrap_or_else(|| std::io::ErrorKind::AddrNotAvailable.into());
                let address = waiting.remove(&listener_id).unwrap_or(missing);
                return Err(NetError::Listen { address, source: reason.into() });
            }
            Ok(SwarmEvent::ListenerError { listener_id, error }) => {
                let address = waiting.remove(&listener_id).unwrap_or(missing);
                return Err(NetError::Listen { address, source: error.into() });
            }
            Ok(_) => {}
            Err(_) => {
                let source = std::io::Error::from(std::io::ErrorKind::TimedOut).into();
                return Err(NetError::Listen { address: missing, source });
            }
        }
    }
    if !addresses.is_empty() {
        while tokio::time::timeout(MORE_ADDRESSES, swarm.select_next_some()).await.is_ok() {}
    }
    Ok(())
}

/// Finds out whether a port is free.
///
/// The TCP transport sets `SO_REUSEPORT` on its listeners, so a second node on the same port would come up and
/// take half of the connections of the first; a plain bind is refused instead.
fn probe(address: &Multiaddr) -> std::io::Result<()> {
    let mut ip: Option<std::net::IpAddr> = None;
    for part in address {
        match part {
            Part::Ip4(v4) => ip = Some(v4.into()),
            Part::Ip6(v6) => ip = Some(v6.into()),
            Part::Tcp(port) if port != 0 => {
                if let Some(ip) = ip {
                    std::net::TcpListener::bind((ip, port))?;
                }
            }
            _ => {}
        }
    }
    Ok(())
}
