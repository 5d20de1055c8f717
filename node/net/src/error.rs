//! What can go wrong between two devices, as the caller needs to tell it apart.

use std::net::SocketAddr;

use keys::DeviceId;

/// An error of a library below, kept as the source of a [`NetError`].
pub(crate) type Source = Box<dyn std::error::Error + Send + Sync + 'static>;

/// A network or blob operation failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NetError {
    /// The device seed is not usable as a key of the transport.
    #[error("the device key cannot be used for the network")]
    Key(#[source] Source),
    /// A listen address cannot be used: malformed, not of this machine, or the port is taken.
    #[error("cannot listen on {address}")]
    Listen {
        /// The multiaddress as configured.
        address: String,
        /// What the operating system or the transport said.
        #[source]
        source: Source,
    },
    /// The UDP socket for blobs cannot be opened.
    #[error("cannot open the blob socket on {address}")]
    BlobBind {
        /// The socket address as configured.
        address: SocketAddr,
        /// What the operating system or the transport said.
        #[source]
        source: Source,
    },
    /// A peer's address cannot be read, or there is none, or there are too many.
    #[error("not a usable peer address: {address}")]
    Address {
        /// The address, shortened when very long.
        address: String,
    },
    /// The other device is not on the allow list of this one.
    #[error("device {0} is not on the allow list")]
    NotAllowed(DeviceId),
    /// No connection could be made.
    #[error("cannot reach the peer")]
    Unreachable(#[source] Source),
    /// Another device than the expected one answered.
    #[error("another device answered at this address")]
    OtherDevice,
    /// The peer did not answer in time.
    #[error("timed out: {0}")]
    Timeout(&'static str),
    /// The peer said no.
    #[error("the peer refused: {reason}")]
    Refused {
        /// The peer's words, at most 200 bytes, without control characters.
        reason: String,
    },
    /// The peer cannot do it now: asked too often, or too much at once. It may a little later.
    #[error("the peer is busy: {reason}")]
    Later {
        /// As of [`NetError::Refused`].
        reason: String,
    },
    /// The peer tried and could not.
    #[error("the peer could not answer: {reason}")]
    Failed {
        /// As of [`NetError::Refused`].
        reason: String,
    },
    /// Something is larger than its limit.
    #[error("{what} of {size} bytes is above the limit of {limit} bytes")]
    TooLarge {
        /// What is too large.
        what: &'static str,
        /// Its claimed or real size in bytes.
        size: u64,
        /// The limit in bytes.
        limit: u64,
    },
    /// The peer sent bytes that the protocol does not allow.
    #[error("the peer broke the protocol: {0}")]
    Malformed(&'static str),
    /// The connection or the stream ended early.
    #[error("the connection was lost")]
    Lost(#[source] Source),
    /// The peer does not hold the blob.
    #[error("the peer does not hold the blob")]
    BlobMissing,
    /// The bytes that arrived are not those that the hash names.
    #[error("the blob from the peer does not match its hash")]
    BlobDamaged(#[source] Source),
    /// The blob store on this disk failed.
    #[error("the blob store failed")]
    BlobStore(#[source] Source),
    /// All places are taken; some are free when others are done.
    #[error("too many {0} at once")]
    TooMany(&'static str),
    /// The network was shut down.
    #[error("the network is stopped")]
    Stopped,
}
