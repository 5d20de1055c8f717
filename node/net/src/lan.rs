//! mDNS: who else of this kind is on the LAN.
//!
//! libp2p's mDNS keeps all that it hears for as long as the sender says, and its sockets outlive it in the runtime that
//! it was made in. So it runs on a thread with a runtime of its own, outside the Swarm, and is thrown away with
//! everything that it opened after five minutes, or at once when it holds too much. Beginning anew also finds again
//! who is still there.

use std::future::poll_fn;
use std::net::IpAddr;
use std::time::Duration;

use futures::StreamExt;
use if_watch::tokio::IfWatcher;
use keys::DeviceId;
use libp2p::core::transport::ListenerId;
use libp2p::mdns;
use libp2p::multiaddr::Protocol as Part;
use libp2p::swarm::behaviour::NewListenAddr;
use libp2p::swarm::{FromSwarm, NetworkBehaviour, ToSwarm};
use libp2p::{Multiaddr, PeerId};
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use crate::access::Access;
use crate::peer::{device_id, parse_address};

/// How long others may remember what this device says: two browses.
const TELL_FOR: Duration = Duration::from_secs(120);
/// How often it is asked who is there, after the quick questions of the beginning.
const ASK_EVERY: Duration = Duration::from_secs(60);
/// A browse begins anew after this long.
const BROWSE: Duration = Duration::from_secs(5 * 60);
/// More than any LAN of clinics has; beyond it somebody invents them.
const ENTRIES: usize = 1_024;
/// After a flood nothing is heard for so long.
const AFTER_FLOOD: Duration = Duration::from_secs(30);
/// After a browse that could not begin.
const AFTER_FAILURE: Duration = Duration::from_secs(30);
/// What was heard and nobody has taken yet; more is dropped, and found again by the next browse.
const QUEUED: usize = 64;

/// A device that says that it is on this LAN. Nobody has proved it.
#[derive(Debug)]
pub(crate) struct Sighting {
    pub(crate) device: DeviceId,
    /// TCP address on one of this machine's networks, without `/p2p`.
    pub(crate) address: Multiaddr,
}

/// What is told to others while looking.
pub(crate) enum Tell {
    /// These addresses, with the peer id. A change of the allow list begins anew too: of who was not on it nothing was
    /// kept, and mDNS tells of everybody only once.
    Addresses(watch::Receiver<Vec<Multiaddr>>, watch::Receiver<Access>),
    /// Nothing: the peer id is in no packet.
    Nothing,
}

/// Why a browse ended.
enum End {
    Stop,
    Anew,
    After(Duration),
}

/// Looks until `cancel`, or until nobody listens, on a thread that may block.
pub(crate) fn look(local: PeerId, mut tell: Tell, out: &mpsc::Sender<Sighting>, cancel: &CancellationToken) {
    loop {
        let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
            Ok(runtime) => runtime,
            Err(error) => return tracing::warn!(%error, "no runtime for mDNS: nobody is found on this LAN"),
        };
        let end = runtime.block_on(async {
            match browse(local, &mut tell, out, cancel).await {
                End::After(pause) => {
                    let stopped = cancel.run_until_cancelled(tokio::time::sleep(pause)).await.is_none();
                    if stopped || out.is_closed() { End::Stop } else { End::Anew }
                }
                end => end,
            }
        });
        // With the runtime go all sockets and tasks of this browse.
        drop(runtime);
        if matches!(end, End::Stop) {
            return;
        }
    }
}

/// A queue for [`look`].
pub(crate) fn queue() -> (mpsc::Sender<Sighting>, mpsc::Receiver<Sighting>) {
    mpsc::channel(QUEUED)
}

async fn browse(
    local: PeerId,
    tell: &mut Tell,
    out: &mpsc::Sender<Sighting>,
    cancel: &CancellationToken,
) -> End {
    let config = mdns::Config { ttl: TELL_FOR, query_interval: ASK_EVERY, enable_ipv6: false };
    let begun = mdns::tokio::Behaviour::new(config, local).and_then(|m| IfWatcher::new().map(|w| (m, w)));
    let (mut mdns, mut networks) = match begun {
        Ok(begun) => begun,
        Err(error) => {
            tracing::warn!(%error, "mDNS cannot begin; it is tried again");
            return End::After(AFTER_FAILURE);
        }
    };
    if let Tell::Addresses(addresses, access) = tell {
        access.mark_unchanged();
        for addr in addresses.borrow_and_update().iter() {
            let listener_id = ListenerId::next();
            mdns.on_swarm_event(FromSwarm::NewListenAddr(NewListenAddr { listener_id, addr }));
        }
    }
    let over = tokio::time::sleep(BROWSE);
    tokio::pin!(over);
    loop {
        let moved = async {
            match tell {
                Tell::Addresses(addresses, access) => tokio::select! {
                    _ = addresses.changed() => {}
                    _ = access.changed() => {}
                },
                Tell::Nothing => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            () = cancel.cancelled() => return End::Stop,
            () = out.closed() => return End::Stop,
            () = &mut over => return End::Anew,
            () = moved => return End::Anew,
            // Polling it keeps its list of networks true.
            _ = networks.select_next_some() => {}
            heard = poll_fn(|context| mdns.poll(context)) => {
                if let ToSwarm::GenerateEvent(mdns::Event::Discovered(heard)) = heard {
                    let near = |ip: &IpAddr| networks.iter().any(|network| network.contains(ip));
                    heard.into_iter().filter_map(|heard| sighting(heard, near)).for_each(|s| pass_on(out, s));
                }
            }
        }
        if mdns.discovered_nodes().len() > ENTRIES {
            tracing::warn!(limit = ENTRIES, "mDNS is flooded: all that was heard is forgotten");
            return End::After(AFTER_FLOOD);
        }
    }
}

/// What was heard, if it is a device of ours at a TCP address that this LAN can have.
fn sighting((peer, address): (PeerId, Multiaddr), near: impl Fn(&IpAddr) -> bool) -> Option<Sighting> {
    let (address, named) = parse_address(&address.to_string()).ok()?;
    let ip = match address.iter().next()? {
        Part::Ip4(ip) => ip.into(),
        Part::Ip6(ip) => ip.into(),
        _ => return None,
    };
    let device = device_id(&peer).filter(|_| named.is_none_or(|named| named == peer))?;
    near(&ip).then_some(Sighting { device, address })
}

fn pass_on(out: &mpsc::Sender<Sighting>, sighting: Sighting) {
    if out.try_send(sighting).is_err() {
        tracing::debug!("more is heard than can be looked at");
    }
}

#[cfg(test)]
mod tests {
    use libp2p::identity::Keypair;

    use super::*;

    #[test]
    fn only_devices_at_tcp_addresses_of_this_lan_are_heard() {
        let peer = Keypair::ed25519_from_bytes([1; 32]).unwrap().public().to_peer_id();
        let other = Keypair::ed25519_from_bytes([2; 32]).unwrap().public().to_peer_id();
        let near = |ip: &IpAddr| ip.to_string().starts_with("192.168.1.");
        let heard = |peer: PeerId, address: String| sighting((peer, address.parse().unwrap()), near);
        assert!(heard(peer, format!("/ip4/192.168.1.7/tcp/4001/p2p/{peer}")).is_some());
        for wrong in [
            format!("/ip4/192.168.1.7/tcp/4001/p2p/{other}"),
            format!("/ip4/203.0.113.5/tcp/4001/p2p/{peer}"),
            format!("/ip4/192.168.1.7/udp/4001/quic-v1/p2p/{peer}"),
            "/dns/example.org/tcp/80".to_owned(),
        ] {
            assert!(heard(peer, wrong.clone()).is_none(), "{wrong}");
        }
        assert!(heard(PeerId::random(), "/ip4/192.168.1.7/tcp/4001".to_owned()).is_none());
    }
}
