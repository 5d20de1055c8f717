//! The table of protocols: name, largest frame, rate, and how long each side waits.

use std::time::Duration;

use libp2p::StreamProtocol;

use crate::limit::{Flow, Rate};

/// Name of the pairing protocol; the only one that an unknown device may open.
pub(crate) const PAIR: StreamProtocol = StreamProtocol::new("/metaclinic/pair/1");
/// Largest pairing frame in bytes.
pub(crate) const PAIR_FRAME_BYTES: usize = 4 * 1024;
/// Name of the protocol that keeps the copies of a room equal.
pub(crate) const ROOM_SYNC: StreamProtocol = StreamProtocol::new("/metaclinic/room-sync/1");
/// Largest room frame in bytes.
pub(crate) const ROOM_FRAME_BYTES: usize = 1024 * 1024;
/// Bytes taken of one room stream.
pub(crate) const ROOM_BYTES: Flow = Flow { per_second: 4 << 20, burst: 8 << 20 };
/// Frames taken of one room stream.
pub(crate) const ROOM_FRAMES: Flow = Flow { per_second: 400, burst: 400 };
/// Room streams opened by one device: all it may have at once, twice, and four a second.
pub(crate) const ROOM_RATE: Rate = Rate { per_minute: 240, burst: 128 };
/// Blob requests of one device.
pub(crate) const BLOB_RATE: Rate = Rate { per_minute: 240, burst: 240 };
/// Pairing streams opened by one device: three tries of a code, and some to spare.
pub(crate) const PAIR_RATE: Rate = Rate { per_minute: 6, burst: 6 };
/// New connections of one device.
pub(crate) const CONNECTION_RATE: Rate = Rate { per_minute: 30, burst: 30 };
/// Refusals told to the node, of all devices together, so that a flood cannot fill the audit trail.
pub(crate) const REFUSAL_RATE: Rate = Rate { per_minute: 60, burst: 60 };

/// Name of the protocol that asks acquaintances where a device is; Kademlia with its own name, so that no other network
/// of libp2p nodes ever joins this one.
pub(crate) const KAD: StreamProtocol = StreamProtocol::new("/metaclinic/kad/1");
/// Searches answered of one device.
pub(crate) const SEARCH_RATE: Rate = Rate { per_minute: 30, burst: 30 };
/// Searches begun by this device: fewer than an acquaintance answers.
pub(crate) const OWN_SEARCH_RATE: Rate = Rate { per_minute: 20, burst: 20 };
/// New addresses of known devices that the node is told, of all together: each is a reason to dial, which a liar on the
/// LAN must not be able to make without end.
pub(crate) const FOUND_RATE: Rate = Rate { per_minute: 30, burst: 30 };

/// A protocol of one request and one answer on a stream of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Protocol {
    /// Certificates, epochs and clocks: `/metaclinic/hello/1`, frames of 16 KiB, 10 a minute.
    Hello,
    /// Consented record queries: `/metaclinic/records/1`, frames of 1 MiB, 240 a minute.
    Records,
    /// Membership of rooms: `/metaclinic/roles/1`, requests of 64 KiB, answers of 1 MiB, 120 a minute.
    Roles,
    /// What models a peer offers: `/metaclinic/models/1`, requests of 4 KiB, answers of 256 KiB, 30 a minute.
    Models,
}

impl Protocol {
    /// All request protocols.
    pub const ALL: [Self; 4] = [Self::Hello, Self::Records, Self::Roles, Self::Models];

    /// The name that both sides agree on when a stream opens.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Hello => "/metaclinic/hello/1",
            Self::Records => "/metaclinic/records/1",
            Self::Roles => "/metaclinic/roles/1",
            Self::Models => "/metaclinic/models/1",
        }
    }

    /// Largest request body in bytes.
    pub const fn request_limit(self) -> usize {
        match self {
            Self::Hello => 16 * 1024,
            Self::Records => 1024 * 1024,
            Self::Roles => 64 * 1024,
            Self::Models => 4 * 1024,
        }
    }

    /// Largest answer body in bytes.
    pub const fn answer_limit(self) -> usize {
        match self {
            Self::Hello => 16 * 1024,
            Self::Records | Self::Roles => 1024 * 1024,
            Self::Models => 256 * 1024,
        }
    }

    pub(crate) const fn rate(self) -> Rate {
        match self {
            Self::Hello => Rate { per_minute: 10, burst: 10 },
            Self::Records => Rate { per_minute: 240, burst: 120 },
            Self::Roles => Rate { per_minute: 120, burst: 30 },
            Self::Models => Rate { per_minute: 30, burst: 10 },
        }
    }

    pub(crate) const fn stream(self) -> StreamProtocol {
        StreamProtocol::new(self.name())
    }
}

/// What a stream that arrives is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Kind {
    /// One request and its answer.
    Request(Protocol),
    /// A pairing run.
    Pair,
    /// The sync of one room.
    RoomSync,
}

impl Kind {
    /// Everything that a peer may open.
    pub(crate) fn all() -> impl Iterator<Item = Self> {
        Protocol::ALL.into_iter().map(Self::Request).chain([Self::Pair, Self::RoomSync])
    }

    pub(crate) const fn stream(self) -> StreamProtocol {
        match self {
            Self::Request(protocol) => protocol.stream(),
            Self::Pair => PAIR,
            Self::RoomSync => ROOM_SYNC,
        }
    }

    /// How often one device may open it.
    pub(crate) const fn rate(self) -> Rate {
        match self {
            Self::Request(protocol) => protocol.rate(),
            Self::Pair => PAIR_RATE,
            Self::RoomSync => ROOM_RATE,
        }
    }
}

/// How long each wait may last.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Timing {
    /// A connection with its handshakes, and opening a stream on it.
    pub(crate) connect: Duration,
    /// The first byte of a stream that a peer opened.
    pub(crate) first_byte: Duration,
    /// Two bytes of one frame, or a request and its answer.
    pub(crate) idle: Duration,
    /// A whole frame, so that a trickle cannot hold a slot.
    pub(crate) frame: Duration,
    /// A whole pairing, which includes a person reading a check aloud.
    pub(crate) pairing: Duration,
    /// The node's decision about one blob.
    pub(crate) blob_answer: Duration,
    /// An unknown device that opened no pairing stream.
    pub(crate) stranger: Duration,
    /// Between two pings of a connection.
    pub(crate) ping: Duration,
    /// The answer to a ping; after two without one the connection is closed.
    pub(crate) pong: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(10),
            first_byte: Duration::from_secs(10),
            idle: Duration::from_secs(30),
            frame: Duration::from_secs(120),
            pairing: Duration::from_secs(600),
            blob_answer: Duration::from_secs(5),
            stranger: Duration::from_secs(10),
            ping: Duration::from_secs(15),
            pong: Duration::from_secs(20),
        }
    }
}
