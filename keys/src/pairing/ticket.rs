//! The pairing ticket, shown as text or QR code: the code's stronger sibling, with addresses.
//!
//! `mcpair1` and the base 32 of `CBOR ‖ 4 bytes of checksum`. The checksum finds typing and copying errors;
//! an ill-willed edit passes it and then fails in the protocol, because both sides bind device, direction,
//! right and expiry into the transcript.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use serde_bytes::ByteArray;
use zeroize::Zeroizing;

use super::transcript::Terms;
use super::{Direction, Right, wire};
use crate::codec;
use crate::ids::{DeviceId, Timestamp, base32, from_base32};

/// What a pairing ticket begins with; a room invite begins with something else.
pub const TICKET_PREFIX: &str = "mcpair1";

pub(super) const SECRET_BYTES: usize = 16;
pub(super) const TICKET_ID_BYTES: usize = 16;
const CHECKSUM_BYTES: usize = 4;
/// Eight addresses of the longest kind are 2,800 characters; the densest QR code holds 4,296.
const MAX_TEXT_BYTES: usize = 4096;
const VERSION: u8 = 1;

/// An invitation to pair: who offers, where, a one-time 128-bit secret, which side is added with which right,
/// and until when. Single use.
#[derive(Clone)]
pub struct Ticket {
    pub(super) device: DeviceId,
    pub(super) addresses: Vec<String>,
    pub(super) secret: Zeroizing<[u8; SECRET_BYTES]>,
    pub(super) terms: Terms,
}

impl Ticket {
    /// The device that offers; the only one this ticket pairs with.
    pub const fn device(&self) -> DeviceId {
        self.device
    }

    /// Where it may be reached: libp2p multiaddresses, at most 8.
    pub fn addresses(&self) -> &[String] {
        &self.addresses
    }

    /// From this moment it is worth nothing.
    pub const fn expires(&self) -> Timestamp {
        self.terms.expires
    }

    /// What the added side gets.
    pub const fn right(&self) -> Right {
        self.terms.right
    }

    /// Which side is added.
    pub const fn direction(&self) -> Direction {
        self.terms.direction
    }

    pub(super) fn id(&self) -> [u8; TICKET_ID_BYTES] {
        id_of(&self.secret)
    }

    pub(super) fn password(&self) -> Zeroizing<[u8; 32]> {
        password_of(&self.secret)
    }
}

/// The public name of a ticket, which tells nothing of its 128-bit secret.
pub(super) fn id_of(secret: &[u8; SECRET_BYTES]) -> [u8; TICKET_ID_BYTES] {
    let hash = blake3::derive_key("metaclinic 2026 pairing ticket id", secret);
    *hash.first_chunk().expect("a hash is longer than a ticket id")
}

/// What goes into the PAKE.
pub(super) fn password_of(secret: &[u8; SECRET_BYTES]) -> Zeroizing<[u8; 32]> {
    Zeroizing::new(blake3::derive_key("metaclinic 2026 pairing ticket", secret))
}

/// Field names are one letter: the whole must fit a QR code.
#[derive(Serialize, Deserialize)]
struct Body {
    #[serde(rename = "v")]
    version: u8,
    #[serde(rename = "d")]
    device: DeviceId,
    #[serde(rename = "a")]
    addresses: Vec<String>,
    #[serde(rename = "s")]
    secret: ByteArray<SECRET_BYTES>,
    #[serde(rename = "t")]
    direction: Direction,
    #[serde(rename = "r")]
    right: Right,
    #[serde(rename = "e")]
    expires: Timestamp,
}

/// The whole ticket, secret included: for the one screen or channel that it is meant for.
impl fmt::Display for Ticket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let body = Body {
            version: VERSION,
            device: self.device,
            addresses: self.addresses.clone(),
            secret: ByteArray::new(*self.secret),
            direction: self.terms.direction,
            right: self.terms.right,
            expires: self.terms.expires,
        };
        let mut bytes = Zeroizing::new(codec::encode(&body));
        let sum = checksum(&bytes);
        bytes.extend_from_slice(&sum);
        write!(f, "{TICKET_PREFIX}{}", base32(&bytes))
    }
}

impl fmt::Debug for Ticket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Ticket({:?}, {} addresses)", self.device, self.addresses.len())
    }
}

impl FromStr for Ticket {
    type Err = TicketError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let text = text.trim();
        if text.len() > MAX_TEXT_BYTES {
            return Err(TicketError::TooLong);
        }
        let prefix = text.get(..TICKET_PREFIX.len()).filter(|p| p.eq_ignore_ascii_case(TICKET_PREFIX));
        let rest = &text[prefix.ok_or(TicketError::OtherKind)?.len()..];
        let bytes = Zeroizing::new(from_base32(rest).ok_or(TicketError::Damaged)?);
        let (body, sum) = bytes.split_last_chunk::<CHECKSUM_BYTES>().ok_or(TicketError::Damaged)?;
        if checksum(body) != *sum {
            return Err(TicketError::Damaged);
        }
        let body: Body =
            codec::decode("pairing ticket", body, MAX_TEXT_BYTES).map_err(|_| TicketError::Damaged)?;
        if body.version != VERSION {
            return Err(TicketError::Version { found: body.version });
        }
        if !wire::addresses_are_sound(&body.addresses, wire::MAX_ADDRESS_BYTES) {
            return Err(TicketError::Damaged);
        }
        let terms = Terms { direction: body.direction, right: body.right, expires: body.expires };
        let secret = Zeroizing::new(body.secret.into_array());
        Ok(Self { device: body.device, addresses: body.addresses, secret, terms })
    }
}

fn checksum(body: &[u8]) -> [u8; CHECKSUM_BYTES] {
    let hash = blake3::derive_key("metaclinic 2026 pairing ticket checksum", body);
    *hash.first_chunk().expect("a hash is longer than a checksum")
}

/// A text is no pairing ticket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TicketError {
    /// It does not begin as a pairing ticket does.
    #[error("not a pairing ticket: expected a text that begins with {TICKET_PREFIX}")]
    OtherKind,
    /// Longer than any ticket.
    #[error("pairing ticket is longer than {MAX_TEXT_BYTES} characters")]
    TooLong,
    /// Its checksum does not fit.
    #[error("pairing ticket is damaged: copy it again, as a whole")]
    Damaged,
    /// Of a version that this code does not know.
    #[error("pairing ticket of unknown version {found}")]
    Version {
        /// The version it claims.
        found: u8,
    },
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn ticket() -> Ticket {
        Ticket {
            device: DeviceId::from_bytes([7; 32]),
            addresses: vec!["/ip4/192.0.2.7/tcp/4001".into()],
            secret: Zeroizing::new([0xa5; SECRET_BYTES]),
            terms: Terms {
                direction: Direction::AddsAccepting,
                right: Right::Contact,
                expires: Timestamp::from_millis(1_750_000_600_000),
            },
        }
    }

    #[test]
    fn tickets_read_back_what_they_print() {
        let text = ticket().to_string();
        for spelt in [text.clone(), text.to_ascii_uppercase(), format!(" {text}\n")] {
            let again: Ticket = spelt.parse().expect("reads back");
            assert_eq!(again.to_string(), text);
            assert_eq!((again.device(), again.addresses()), (ticket().device(), ticket().addresses()));
            assert_eq!((again.expires(), again.right()), (ticket().expires(), Right::Contact));
        }
    }

    #[test]
    fn the_text_of_a_ticket_is_fixed() {
        insta::assert_snapshot!(ticket().to_string(), @"mcpair1u5qxmalbmrmcabyha4dqobyha4dqobyha4dqobyha4dqobyha4dqobyha4dqobyhmfqyc5zpnfydilzrhezc4mbogixdol3umnyc6nbqgaywc42quws2ljnfuws2ljnfuws2ljnfuvqxi3tbmrshgllbmnrwk4dunfxgoylsm5rw63tumfrxiylfdmaaaamxoqvahqei5wurk");
    }

    #[test]
    fn a_mistyped_or_foreign_text_is_no_ticket() {
        let text = ticket().to_string();
        for at in TICKET_PREFIX.len()..text.len() {
            let mut bytes = text.clone().into_bytes();
            bytes[at] = if bytes[at] == b'a' { b'b' } else { b'a' };
            let mistyped = String::from_utf8(bytes).expect("ascii");
            assert!(matches!(mistyped.parse::<Ticket>(), Err(TicketError::Damaged)), "character {at}");
        }
        assert!(matches!("mcroom1abc".parse::<Ticket>(), Err(TicketError::OtherKind)));
        assert!(matches!("17-orbit-velvet".parse::<Ticket>(), Err(TicketError::OtherKind)));
        assert!(matches!("mcpair1".parse::<Ticket>(), Err(TicketError::Damaged)));
        let long = format!("mcpair1{}", "a".repeat(MAX_TEXT_BYTES));
        assert!(matches!(long.parse::<Ticket>(), Err(TicketError::TooLong)));
    }

    #[test]
    fn hostile_addresses_make_no_ticket() {
        for addresses in
            [vec!["/ip4/1".to_owned(); 9], vec!["a".repeat(193)], vec!["/ip4/\u{1b}[2J".to_owned()]]
        {
            let hostile = Ticket { addresses, ..ticket() }.to_string();
            assert!(matches!(hostile.parse::<Ticket>(), Err(TicketError::Damaged | TicketError::TooLong)));
        }
    }

    #[test]
    fn debug_shows_no_secret() {
        let text = format!("{:?}", ticket());
        assert!(!text.contains("165") && !text.contains("a5") && !text.contains("192.0"), "{text}");
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "(mcpair1)?.{0,200}") {
            let _ = text.parse::<Ticket>();
        }
    }
}
