//! One key, three names: [`DeviceId`], libp2p's `PeerId` and iroh's `EndpointId` are the same Ed25519 key.

use iroh::EndpointId;
use keys::DeviceId;
use libp2p::identity::{PublicKey, ed25519};
use libp2p::multiaddr::Protocol as Part;
use libp2p::{Multiaddr, PeerId};

use crate::error::NetError;

/// Most addresses of one peer that are tried.
const MAX_ADDRESSES: usize = 16;
/// Longest text of one address, in bytes; a TCP address over IPv6 with a peer id needs 110.
const MAX_ADDRESS_BYTES: usize = 256;

/// The libp2p name of a device.
pub(crate) fn peer_id(device: &DeviceId) -> Result<PeerId, NetError> {
    let key = ed25519::PublicKey::try_from_bytes(device.as_bytes()).map_err(|e| NetError::Key(e.into()))?;
    Ok(PublicKey::from(key).to_peer_id())
}

/// The device behind a libp2p name; none when its key is not Ed25519.
pub(crate) fn device_id(peer: &PeerId) -> Option<DeviceId> {
    let bytes = peer.to_bytes();
    // A multihash with code 0 ("identity") holds the key itself: 0x00, length, protobuf.
    let [0, _, key @ ..] = bytes.as_slice() else { return None };
    let key = PublicKey::try_decode_protobuf(key).ok()?.try_into_ed25519().ok()?;
    Some(DeviceId::from_bytes(key.to_bytes()))
}

/// The iroh name of a device.
pub(crate) fn endpoint_id(device: &DeviceId) -> Result<EndpointId, NetError> {
    EndpointId::from_bytes(device.as_bytes()).map_err(|e| NetError::Key(e.into()))
}

/// Reads one TCP multiaddress; gives the address without and the peer id from its `/p2p` end.
pub(crate) fn parse_address(text: &str) -> Result<(Multiaddr, Option<PeerId>), NetError> {
    let wrong = || NetError::Address { address: text.chars().take(MAX_ADDRESS_BYTES).collect() };
    if text.len() > MAX_ADDRESS_BYTES {
        return Err(wrong());
    }
    let mut address: Multiaddr = text.parse().map_err(|_| wrong())?;
    let mut peer = None;
    if let Some(Part::P2p(id)) = address.iter().last() {
        peer = Some(id);
        address.pop();
    }
    let parts: Vec<Part<'_>> = address.iter().collect();
    match parts.as_slice() {
        [Part::Ip4(_) | Part::Ip6(_), Part::Tcp(_)] => Ok((address, peer)),
        _ => Err(wrong()),
    }
}

/// Reads the addresses of one peer: those that cannot be read or name another peer are left out.
pub(crate) fn parse_addresses(peer: &PeerId, addresses: &[String]) -> Result<Vec<Multiaddr>, NetError> {
    let mut known = Vec::new();
    for text in addresses.iter().take(MAX_ADDRESSES) {
        match parse_address(text) {
            Ok((address, named)) if named.is_none_or(|p| p == *peer) => {
                known.push(address.with(Part::P2p(*peer)));
            }
            Ok(_) | Err(_) => tracing::debug!(%peer, "an address of the peer is left out"),
        }
    }
    if known.is_empty() {
        let address = addresses.first().map_or("none given", String::as_str);
        return Err(NetError::Address { address: address.chars().take(MAX_ADDRESS_BYTES).collect() });
    }
    Ok(known)
}

/// Reads `ip:port` texts, at most sixteen.
pub(crate) fn parse_sockets(addresses: &[String]) -> Result<Vec<std::net::SocketAddr>, NetError> {
    let known: Vec<_> = addresses.iter().take(MAX_ADDRESSES).filter_map(|a| a.parse().ok()).collect();
    if known.is_empty() {
        let address = addresses.first().map_or("none given", String::as_str);
        return Err(NetError::Address { address: address.chars().take(MAX_ADDRESS_BYTES).collect() });
    }
    Ok(known)
}

#[cfg(test)]
mod tests {
    use libp2p::identity::Keypair;

    use super::*;

    #[test]
    fn one_seed_gives_one_device_on_both_transports() {
        let seed = [7u8; 32];
        let peer = Keypair::ed25519_from_bytes(seed).unwrap().public().to_peer_id();
        let device = device_id(&peer).unwrap();
        assert_eq!(peer_id(&device).unwrap(), peer);
        assert_eq!(endpoint_id(&device).unwrap(), iroh::SecretKey::from_bytes(&seed).public());
    }

    #[test]
    fn peer_id_without_an_ed25519_key_is_no_device() {
        assert_eq!(device_id(&PeerId::random()), None);
    }

    #[test]
    fn only_tcp_addresses_are_read() {
        assert!(parse_address("/ip4/127.0.0.1/tcp/4001").is_ok());
        for bad in ["", "/ip4/127.0.0.1", "/dns/example.org/tcp/1", "/ip4/1.2.3.4/udp/1/quic-v1", "nonsense"]
        {
            assert!(parse_address(bad).is_err(), "{bad}");
        }
        assert!(parse_address(&"/ip4/127.0.0.1/tcp/1".repeat(100)).is_err());
    }

    #[test]
    fn address_naming_another_peer_is_left_out() {
        let peer = Keypair::ed25519_from_bytes([1; 32]).unwrap().public().to_peer_id();
        let other = Keypair::ed25519_from_bytes([2; 32]).unwrap().public().to_peer_id();
        let good = "/ip4/127.0.0.1/tcp/1".to_owned();
        let bad = format!("/ip4/127.0.0.1/tcp/2/p2p/{other}");
        assert_eq!(parse_addresses(&peer, &[good, bad.clone()]).unwrap().len(), 1);
        assert!(parse_addresses(&peer, &[bad]).is_err());
    }
}
