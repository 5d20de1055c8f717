//! The frames of a run, and the card that each side shows.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_bytes::{ByteArray, ByteBuf};

use super::PairingFailure;
use super::transcript::{Handle, NONCE_BYTES, SPAKE_BYTES, Terms};
use crate::codec;
use crate::identity::DeviceCertificate;
use crate::ids::{DeviceId, Timestamp};
use crate::signed::Signed;

/// The most bytes of one pairing frame.
pub const MAX_PAIRING_FRAME_BYTES: usize = 4096;

/// The most addresses of one kind on a card or ticket.
const MAX_ADDRESSES: usize = 8;
/// The most bytes of a multiaddress: one through a relay, with two peer ids, is about 170.
pub(super) const MAX_ADDRESS_BYTES: usize = 192;
/// The most bytes of `ip:port`: the longest IPv6 form with zone is below.
const MAX_BLOB_ADDRESS_BYTES: usize = 64;
/// A full card is 3.4 KiB; sealed it still fits a frame.
const MAX_CARD_BYTES: usize = 3800;

/// What a device shows of itself when it pairs.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceCard {
    /// Who vouches for the device.
    pub certificate: Signed<DeviceCertificate>,
    /// Where it may be reached: libp2p multiaddresses, at most 8 of at most 192 bytes.
    pub addresses: Vec<String>,
    /// Where it serves attachments: `ip:port`, at most 8 of at most 64 bytes.
    pub blob_addresses: Vec<String>,
}

impl DeviceCard {
    /// This card with only as many and as long addresses as a frame has room for, the first ones first; what is no
    /// printable ASCII is left out.
    #[must_use]
    pub fn fitted(mut self) -> Self {
        let fit = |list: &mut Vec<String>, limit: usize| {
            list.retain(|address| address_is_sound(address, limit));
            list.truncate(MAX_ADDRESSES);
        };
        fit(&mut self.addresses, MAX_ADDRESS_BYTES);
        fit(&mut self.blob_addresses, MAX_BLOB_ADDRESS_BYTES);
        self
    }

    /// Checks a card that `peer` showed, and returns what its certificate says.
    pub(super) fn examine(
        &self,
        now: Timestamp,
        peer: &DeviceId,
    ) -> Result<DeviceCertificate, PairingFailure> {
        let sound = addresses_are_sound(&self.addresses, MAX_ADDRESS_BYTES)
            && addresses_are_sound(&self.blob_addresses, MAX_BLOB_ADDRESS_BYTES);
        if !sound {
            return Err(PairingFailure::Malformed);
        }
        let certificate =
            DeviceCertificate::verify(&self.certificate, now).map_err(PairingFailure::BadCertificate)?;
        if certificate.device != *peer {
            return Err(PairingFailure::WrongDevice);
        }
        Ok(certificate)
    }
}

impl fmt::Debug for DeviceCard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (addresses, blob) = (self.addresses.len(), self.blob_addresses.len());
        write!(f, "DeviceCard({addresses} addresses, {blob} blob addresses)")
    }
}

pub(super) fn addresses_are_sound(list: &[String], limit: usize) -> bool {
    list.len() <= MAX_ADDRESSES && list.iter().all(|address| address_is_sound(address, limit))
}

fn address_is_sound(address: &str, limit: usize) -> bool {
    !address.is_empty() && address.len() <= limit && address.bytes().all(|b| b.is_ascii_graphic())
}

/// A sealed card, with the nonce that the accepting side committed to.
#[derive(Serialize, Deserialize)]
pub(super) struct Shown {
    pub(super) card: DeviceCard,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) opening: Option<ByteArray<NONCE_BYTES>>,
}

impl Shown {
    pub(super) fn encode(&self) -> Vec<u8> {
        codec::encode(self)
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Self, PairingFailure> {
        codec::decode("pairing card", bytes, MAX_CARD_BYTES).map_err(|_| PairingFailure::Malformed)
    }
}

/// One frame.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Message {
    Start(Start),
    Reply(Reply),
    Card(ByteBuf),
    Confirm(ByteArray<32>),
    Accepted(ByteBuf),
    Stop(StopReason),
}

/// The accepting side begins.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Start {
    pub(super) version: u8,
    pub(super) handle: Handle,
    pub(super) commitment: ByteArray<32>,
    pub(super) spake: ByteArray<SPAKE_BYTES>,
}

/// The offering side answers.
#[derive(Serialize, Deserialize)]
pub(super) struct Reply {
    pub(super) terms: Terms,
    pub(super) nonce: ByteArray<NONCE_BYTES>,
    pub(super) spake: ByteArray<SPAKE_BYTES>,
}

/// Why a side ends the run: a courtesy, never a reason to believe anything.
#[derive(Clone, Copy, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum StopReason {
    WrongCode,
    Expired,
    Burned,
    AlreadyUsed,
    WrongDevice,
    Malformed,
    Refused,
    BadCertificate,
    Busy,
    Late,
}

impl Message {
    pub(super) fn encode(&self) -> Vec<u8> {
        codec::encode(self)
    }

    /// Reads a frame that is written the one way this code would write it, so that no changed byte goes
    /// unseen.
    pub(super) fn decode(bytes: &[u8]) -> Result<Self, PairingFailure> {
        let message: Self = codec::decode("pairing frame", bytes, MAX_PAIRING_FRAME_BYTES)
            .map_err(|_| PairingFailure::Malformed)?;
        if message.encode() == bytes { Ok(message) } else { Err(PairingFailure::Malformed) }
    }
}

impl StopReason {
    /// What to tell the other side, if there is anyone to tell.
    pub(super) const fn of(failure: &PairingFailure) -> Option<Self> {
        Some(match failure {
            PairingFailure::WrongCode => Self::WrongCode,
            PairingFailure::Expired => Self::Expired,
            PairingFailure::Burned => Self::Burned,
            PairingFailure::AlreadyUsed => Self::AlreadyUsed,
            PairingFailure::WrongDevice => Self::WrongDevice,
            PairingFailure::Malformed => Self::Malformed,
            PairingFailure::Refused => Self::Refused,
            PairingFailure::BadCertificate(_) | PairingFailure::OurCertificate => Self::BadCertificate,
            PairingFailure::Busy => Self::Busy,
            PairingFailure::Late => Self::Late,
            PairingFailure::PeerGone => return None,
        })
    }

    /// What it means to the one who is told.
    pub(super) const fn failure(self) -> PairingFailure {
        match self {
            Self::WrongCode => PairingFailure::WrongCode,
            Self::Expired => PairingFailure::Expired,
            Self::Burned => PairingFailure::Burned,
            Self::AlreadyUsed => PairingFailure::AlreadyUsed,
            Self::WrongDevice => PairingFailure::WrongDevice,
            Self::Malformed => PairingFailure::Malformed,
            Self::Refused => PairingFailure::Refused,
            Self::BadCertificate => PairingFailure::OurCertificate,
            Self::Busy => PairingFailure::Busy,
            Self::Late => PairingFailure::Late,
        }
    }
}
