//! Peers and bytes: libp2p (TCP, Noise, Yamux) carries control messages, iroh (QUIC) carries blobs.
//!
//! Both use the one Ed25519 key of the device, so a [`keys::DeviceId`] names a peer on either. No server is
//! ever contacted: there is no relay and no name resolution. A connection is made to an address that the caller
//! gave, or that was found for a device on the allow list.
//!
//! ```text
//!  Network (handle) ── commands ──▶ swarm task (owns the Swarm, the gate and the dials)
//!        │                                │ streams
//!        │                                ▼
//!        │                      accept loops ── NetEvent ──▶ the node
//!        └── Blobs (FsStore) ◀── blob server (iroh) ──┘  asks before each blob
//! ```
//!
//! Everything that arrives is bounded before memory is taken for it: connections by the gate, streams by
//! slots, frames by the limit of their protocol, requests by a token bucket for each peer, room streams by one
//! for each stream.

mod accept;
mod access;
mod behaviour;
mod blobs;
mod book;
mod error;
mod fetch;
mod finder;
mod frame;
mod framed;
mod gate;
mod lan;
mod limit;
mod network;
mod pair;
mod peer;
mod protocol;
mod request;
mod room;
mod search;
mod serve;
mod streams;
mod swarm;
#[cfg(test)]
mod tests;

pub use blobs::Blobs;
pub use error::NetError;
pub use network::{Candidate, Link, NetEvent, Network, NetworkConfig};
pub use pair::PairStream;
pub use protocol::Protocol;
pub use request::{Decline, IncomingRequest};
pub use room::{RoomReceiver, RoomSender, RoomStream};
