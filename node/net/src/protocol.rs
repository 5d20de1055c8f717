//! The table of protocols: name, largest frame, rate, and how long each side waits.

use std::time::Duration;

use libp2p::StreamProtocol;

use crate::limit::Rate;

/// Name of the pairing protocol; the only one that an unknown device may open.
pub(crate) const PAIR: StreamProtocol = StreamProtocol::new("/metaclinic/pair/1");
/// Largest pairing frame in bytes.
pub(crate) const PAIR_FRAME_BYTES: usize = 4 * 1024;
/// Blob requests of one device.
pub(crate) const BLOB_RATE: Rate = Rate { per_minute: 240, burst: 240 };
/// Pairing streams opened by one device: three tries of a code, and some to spare.
pub(crate) const PAIR_RATE: Rate = Rate { per_minute: 6, burst: 6 };
/// New connections of one device.
pub(crate) const CONNECTION_RATE: Rate = Rate { per_minute: 30, burst: 30 };
/// Refusals told to the node, of all devices together, so that a flood cannot fill the audit trail.
pub(crate) const REFUSAL_RATE: Rate = Rate { per_minute: 60, burst: 60 };

/// A protocol of one request and one answer on a stream of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Protocol {
    /// Certificates, epochs and clocks: `/metaclinic/hello/1`, frames of 16 KiB, 10 a minute.
    Hello,
    /// Consented record queries: `/metaclinic/records/1`, frames of 1 MiB, 30 a minute.
    Records,
}

impl Protocol {
    /// All request protocols.
    pub const ALL: [Self; 2] = [Self::Hello, Self::Records];

    /// The name that both sides agree on when a stream opens.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Hello => "/metaclinic/hello/1",
            Self::Records => "/metaclinic/records/1",
        }
    }

    /// Largest request body and largest answer body, in bytes.
    pub const fn frame_limit(self) -> usize {
        match self {
            Self::Hello => 16 * 1024,
            Self::Records => 1024 * 1024,
        }
    }

    pub(crate) const fn rate(self) -> Rate {
        match self {
            Self::Hello => Rate { per_minute: 10, burst: 10 },
            Self::Records => Rate { per_minute: 30, burst: 30 },
        }
    }

    pub(crate) const fn stream(self) -> StreamProtocol {
        StreamProtocol::new(self.name())
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
        }
    }
}
