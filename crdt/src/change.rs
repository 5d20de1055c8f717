//! One signed step of a document: the bytes of an automerge change, and who vouches for them in which room and
//! epoch.

mod pack;
mod parts;
mod raw;
mod refusal;

use std::fmt;
use std::sync::Arc;

use keys::codec::{self, CodecError};
use keys::{DeviceCertificate, DeviceId, DeviceKey, Signable, Signed};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

pub use pack::{MAX_UNPACKED_BYTES, PackError, pack, unpack};
pub(crate) use raw::{MAX_REFERENCES, check_shape, chunk_hash};
pub use refusal::Refusal;

use crate::ids::{Actor, ChangeHash, RoomId};
use crate::room::Amount;

/// The most bytes of a raw change: seven texts of the largest size.
pub const MAX_CHANGE_BYTES: usize = 60 * 1024;

/// The most bytes of an encoded [`SignedChange`].
pub const MAX_SIGNED_CHANGE_BYTES: usize = 64 * 1024;

/// The most operations in one change; a command makes at most six.
pub const MAX_OPERATIONS: usize = 1_000;

/// Who writes: a device key and its identity's word for it.
#[derive(Clone, Copy, Debug)]
pub struct Author<'a> {
    /// The key that signs changes.
    pub device: &'a DeviceKey,
    /// That device's certificate.
    pub certificate: &'a Signed<DeviceCertificate>,
}

/// What a device signs.
#[derive(Serialize, Deserialize)]
struct Body {
    version: u8,
    room: RoomId,
    epoch: u64,
    #[serde(with = "serde_bytes")]
    certificate: [u8; 32],
    session: u64,
    #[serde(with = "serde_bytes")]
    change: Vec<u8>,
}

impl Signable for Body {
    const DOMAIN: &'static str = "metaclinic/room-change/1";
    const MAX_BYTES: usize = MAX_SIGNED_CHANGE_BYTES - SIGNATURE_OVERHEAD_BYTES;
}

/// What [`Signed`] adds to a body: signer, signature and field names.
const SIGNATURE_OVERHEAD_BYTES: usize = 160;

/// The version of [`Body`] that this code writes and reads.
const VERSION: u8 = 1;

/// Bytes that are no signed change.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ChangeError {
    /// Too large, or not such a message.
    #[error(transparent)]
    Codec(#[from] CodecError),
    /// Of a version that this code does not know.
    #[error("signed change of unknown version {found}")]
    Version {
        /// The version it claims.
        found: u8,
    },
    /// What it carries is not one automerge chunk.
    #[error("signed change carries no automerge change")]
    NoChange,
}

struct Inner {
    signed: Signed<Body>,
    body: Body,
    hash: ChangeHash,
}

/// A change of a room with its device's signature, over the domain `metaclinic/room-change/1`. Cheap to clone.
/// That it decodes says nothing yet about whether it is to be believed: [`crate::Room::receive`] decides that.
#[derive(Clone)]
pub struct SignedChange(Arc<Inner>);

impl SignedChange {
    pub(crate) fn sign(
        room: RoomId,
        epoch: u64,
        session: u64,
        author: &Author<'_>,
        change: Vec<u8>,
    ) -> Result<Self, ChangeError> {
        if change.len() > MAX_CHANGE_BYTES {
            return Err(CodecError::TooLarge {
                what: "change",
                bytes: change.len(),
                limit: MAX_CHANGE_BYTES,
            }
            .into());
        }
        let certificate = author.certificate.digest();
        let body = Body { version: VERSION, room, epoch, certificate, session, change };
        Self::new(author.device.sign(&body), body)
    }

    fn new(signed: Signed<Body>, body: Body) -> Result<Self, ChangeError> {
        if body.version != VERSION {
            return Err(ChangeError::Version { found: body.version });
        }
        if body.change.len() > MAX_CHANGE_BYTES {
            let bytes = body.change.len();
            return Err(CodecError::TooLarge { what: "change", bytes, limit: MAX_CHANGE_BYTES }.into());
        }
        let hash = chunk_hash(&body.change).ok_or(ChangeError::NoChange)?;
        Ok(Self(Arc::new(Inner { signed, body, hash })))
    }

    /// Reads what [`SignedChange::to_bytes`] wrote.
    ///
    /// # Errors
    /// [`ChangeError`] when the bytes are too many or are no signed change.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, ChangeError> {
        let signed: Signed<Body> = codec::decode("signed change", bytes, MAX_SIGNED_CHANGE_BYTES)?;
        Self::open(signed)
    }

    fn open(signed: Signed<Body>) -> Result<Self, ChangeError> {
        let body = codec::decode(Body::DOMAIN, signed.body(), Body::MAX_BYTES)?;
        Self::new(signed, body)
    }

    /// To store or to send.
    pub fn to_bytes(&self) -> Vec<u8> {
        codec::encode(&self.0.signed)
    }

    /// About how many bytes [`SignedChange::to_bytes`] gives, and never fewer.
    pub fn encoded_len(&self) -> usize {
        self.0.signed.body().len() + SIGNATURE_OVERHEAD_BYTES
    }

    /// What it takes of a room.
    pub(crate) fn amount(&self) -> Amount {
        Amount { changes: 1, bytes: self.encoded_len() }
    }

    /// Its name, by which other changes build on it.
    pub fn hash(&self) -> ChangeHash {
        self.0.hash
    }

    /// The room it was signed for.
    pub fn room(&self) -> RoomId {
        self.0.body.room
    }

    /// The last epoch its author knew.
    pub fn epoch(&self) -> u64 {
        self.0.body.epoch
    }

    /// Digest of the certificate of the device that signed.
    pub fn certificate(&self) -> &[u8; 32] {
        &self.0.body.certificate
    }

    /// The author's session.
    pub fn session(&self) -> u64 {
        self.0.body.session
    }

    /// The device that claims to have signed.
    pub fn device(&self) -> DeviceId {
        DeviceId::from_bytes(*self.0.signed.signer())
    }

    /// The raw automerge change.
    pub fn change(&self) -> &[u8] {
        &self.0.body.change
    }

    /// Whether the device's signature is right.
    pub(crate) fn is_authentic(&self) -> bool {
        self.0.signed.verify(self.0.signed.signer()).is_ok()
    }

    /// What its automerge message has to be.
    pub(crate) fn terms(&self) -> String {
        terms(&self.room(), self.epoch(), self.certificate(), self.session())
    }

    /// The automerge actor under which this device writes in this room and session.
    pub(crate) fn actor(&self) -> Actor {
        actor(&self.device(), &self.room(), self.session())
    }
}

/// What a change carries as its automerge message: it binds the change's name to the room, epoch, certificate and
/// session for which it was signed, so that no author can sign one change for two.
pub(crate) fn terms(room: &RoomId, epoch: u64, certificate: &[u8; 32], session: u64) -> String {
    let mut hasher = blake3::Hasher::new();
    hasher.update(b"metaclinic/room-terms/1").update(room.as_bytes()).update(&epoch.to_le_bytes());
    hasher.update(certificate).update(&session.to_le_bytes());
    let mut terms = [0; 16];
    hasher.finalize_xof().fill(&mut terms);
    keys::base32(&terms)
}

/// The automerge actor of a device in a room during a session: no device can claim another's.
pub(crate) fn actor(device: &DeviceId, room: &RoomId, session: u64) -> Actor {
    let mut hasher = blake3::Hasher::new();
    hasher.update(b"metaclinic/actor/1").update(device.as_bytes()).update(room.as_bytes());
    hasher.update(&session.to_le_bytes());
    let mut actor = [0; 16];
    hasher.finalize_xof().fill(&mut actor);
    actor
}

impl PartialEq for SignedChange {
    fn eq(&self, other: &Self) -> bool {
        self.0.hash == other.0.hash && self.0.signed == other.0.signed
    }
}

impl Eq for SignedChange {}

impl fmt::Debug for SignedChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SignedChange({:?} by {:?}, epoch {})", self.hash(), self.device(), self.epoch())
    }
}

impl Serialize for SignedChange {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.signed.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for SignedChange {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::open(Signed::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests;
