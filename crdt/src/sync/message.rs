//! What two copies of a room say to each other: CBOR, at most 1 MiB a message, every list bounded.

use std::fmt;

use keys::codec::{self, CodecError};
use keys::{DeviceCertificate, Signed};
use serde::{Deserialize, Serialize};

use crate::{ChangeHash, RoomId, SignedChange};

/// The version of these messages, 1.
pub(crate) const SYNC_VERSION: u8 = 1;

/// The most bytes of one message: the frame limit of the `room-sync/1` protocol.
pub const MAX_SYNC_MESSAGE_BYTES: usize = 1024 * 1024;

/// The most hashes in one list: sixteen for each member that a room may have. A copy with more heads tells them by
/// their digest and this many of them.
pub(crate) const MAX_LISTED: usize = 4_096;

/// The most missing changes that one request names; the answer does not depend on naming all.
pub(crate) const MAX_WANTED: usize = 1024;

/// Up to as many heads are told along with changes.
pub(crate) const MAX_ALONG: usize = 64;

/// The most ancestors that a request samples beside the heads.
pub(crate) const MAX_SAMPLED: usize = 64;

/// One message of the `room-sync/1` protocol.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SyncMessage {
    /// Where the sender's copy stands.
    Heads {
        /// The version of this protocol, 1.
        version: u8,
        /// The room.
        room: RoomId,
        /// The newest member epoch that the sender knows.
        epoch: u64,
        /// The digest of that signed epoch.
        #[serde(with = "serde_bytes")]
        epoch_digest: [u8; 32],
        /// The sender's heads, sorted; incomplete when `digest` is given.
        heads: Vec<ChangeHash>,
        /// BLAKE3 over all heads in order, when `heads` does not list them.
        #[serde(with = "serde_bytes", default, skip_serializing_if = "Option::is_none")]
        digest: Option<[u8; 32]>,
        /// Whether the receiver should answer with its own position in any case.
        #[serde(default, skip_serializing_if = "is_false")]
        ask: bool,
        /// Whether this answers a `Want`: the sender has nothing that the receiver lacks.
        #[serde(default, skip_serializing_if = "is_false")]
        answer: bool,
    },
    /// The sender lacks changes.
    Want {
        /// Some of the changes it knows to be missing.
        wanted: Vec<ChangeHash>,
        /// Its heads, and ancestors of them at growing distance: whoever knows one of them need not send what
        /// lies before it.
        have: Vec<ChangeHash>,
        /// Whether the answer may be packed. One who got a pack that did not help asks without.
        #[serde(default, skip_serializing_if = "is_false")]
        packed: bool,
    },
    /// Signed changes, each after those that it depends on.
    Changes {
        /// The changes.
        changes: Vec<SignedChange>,
        /// Certificates of their authors that the receiver may not have yet.
        certificates: Vec<Signed<DeviceCertificate>>,
        /// The sender's heads; empty when they are too many to be told each time.
        heads: Vec<ChangeHash>,
        /// Whether the sender has further changes for the receiver, who asks for them when it has taken these.
        #[serde(default, skip_serializing_if = "is_false")]
        more: bool,
        /// Whether this answers a `Want`.
        #[serde(default, skip_serializing_if = "is_false")]
        answer: bool,
    },
    /// The same in few bytes, in answer to a `Want` that permits it.
    Packed {
        /// What [`crate::pack`] made of the changes. Read apart from the rest, so that one that cannot be read does
        /// not end the exchange.
        #[serde(with = "serde_bytes")]
        pack: Vec<u8>,
        /// As in `Changes`.
        certificates: Vec<Signed<DeviceCertificate>>,
        /// As in `Changes`.
        heads: Vec<ChangeHash>,
        /// As in `Changes`.
        #[serde(default, skip_serializing_if = "is_false")]
        more: bool,
    },
}

impl SyncMessage {
    /// The bytes to send.
    pub fn encode(&self) -> Vec<u8> {
        codec::encode(self)
    }

    /// Reads a message of at most [`MAX_SYNC_MESSAGE_BYTES`].
    ///
    /// # Errors
    /// [`CodecError`] when it is too large, or is no such message.
    pub fn decode(bytes: &[u8]) -> Result<Self, CodecError> {
        codec::decode("room sync message", bytes, MAX_SYNC_MESSAGE_BYTES)
    }
}

impl fmt::Debug for SyncMessage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Heads { epoch, heads, ask, .. } => {
                write!(f, "Heads(epoch {epoch}, {} heads, ask {ask})", heads.len())
            }
            Self::Want { wanted, have, .. } => write!(f, "Want({} of {} known)", wanted.len(), have.len()),
            Self::Changes { changes, certificates, more, .. } => {
                write!(f, "Changes({}, {} certificates, more {more})", changes.len(), certificates.len())
            }
            Self::Packed { pack, certificates, more, .. } => {
                write!(f, "Packed({} bytes, {} certificates, more {more})", pack.len(), certificates.len())
            }
        }
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes fields by reference")]
fn is_false(value: &bool) -> bool {
    !value
}
