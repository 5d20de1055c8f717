//! Pairing: two devices that never met learn to trust each other by a short code or a ticket.
//!
//! A pure state machine for either side; streams, clocks and people are outside. *A* accepts and begins the
//! run, *B* offered. Both ends of the stream are already authenticated by Noise, so each knows the other's
//! device key.
//!
//! ```text
//!   A                                          B
//!   Start    version, handle, commitment, spake →       a try is counted when the stream opens
//!          ← terms, nonce, spake              Reply
//!          ← sealed card                      Card     A: does it open? else the code was wrong
//!   Card     sealed card, opening            →
//!   Confirm  mac over transcript and cards   →
//!          ← mac over transcript and cards    Confirm
//!            both show the six-digit check             B: asks its person
//!          ← sealed                           Accepted  both have paired
//!            either may say Stop and a reason instead
//! ```
//!
//! The transcript (version, both device keys, direction, right, expiry, nameplate or ticket id, commitment,
//! nonce, both SPAKE2 messages) is in every key, sealing context and MAC. Three failed runs burn an offer, a
//! success uses it up, ten minutes end it.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use rand_core::CryptoRng;
use serde::{Deserialize, Serialize};

use crate::identity::{CertificateError, DeviceCertificate};
use crate::ids::{DeviceId, Timestamp};

mod accept;
mod code;
mod offer;
mod ticket;
mod transcript;
mod wire;

use accept::Accepting;
pub use code::{PairingCode, ParseCodeError};
use offer::Offering;
pub use ticket::{TICKET_PREFIX, Ticket, TicketError};
pub use wire::{DeviceCard, MAX_PAIRING_FRAME_BYTES};
use wire::{Message, StopReason};

/// How long an offer should last: long enough to read a code over the telephone, and no longer.
pub const OFFER_LIFETIME: Duration = Duration::from_secs(600);
/// How many runs an offer allows before it is burned.
pub const MAX_TRIES: u8 = 3;
/// How long the machines of both sides may take before the check is shown.
const RUN_LIMIT: Duration = Duration::from_secs(30);

/// What the added side gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Right {
    /// To be known here. Reading records needs a grant besides.
    Contact,
}

impl Right {
    const fn byte(self) -> u8 {
        match self {
            Self::Contact => 1,
        }
    }
}

impl fmt::Display for Right {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Contact => "contact",
        })
    }
}

/// Which side is being added.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Direction {
    /// The side that accepts is added by the side that offers.
    AddsAccepting,
}

impl Direction {
    const fn byte(self) -> u8 {
        match self {
            Self::AddsAccepting => 1,
        }
    }
}

/// What an offer is made of.
#[derive(Debug)]
pub struct OfferTerms {
    /// The code to read out; the ticket's secret is drawn besides.
    pub code: PairingCode,
    /// What the accepting side gets.
    pub right: Right,
    /// The offering device.
    pub device: DeviceId,
    /// What it shows of itself; addresses that do not fit a frame are left out.
    pub card: DeviceCard,
    /// When the offer ends, usually [`OFFER_LIFETIME`] from now.
    pub expires: Timestamp,
}

/// What the accepting person was given.
#[derive(Clone, Debug)]
pub enum Secret {
    /// A code, read out.
    Code(PairingCode),
    /// A ticket, copied or scanned.
    Ticket(Ticket),
}

impl FromStr for Secret {
    type Err = ParseSecretError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.parse::<Ticket>() {
            Ok(ticket) => Ok(Self::Ticket(ticket)),
            Err(TicketError::OtherKind) => Ok(Self::Code(text.parse()?)),
            Err(error) => Err(error.into()),
        }
    }
}

/// A text is neither a pairing code nor a pairing ticket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(transparent)]
#[non_exhaustive]
pub enum ParseSecretError {
    /// It looks most like a code.
    Code(#[from] ParseCodeError),
    /// It looks like a ticket.
    Ticket(#[from] TicketError),
}

/// One side of a pairing.
pub struct Pairing(Role);

enum Role {
    Offering(Box<Offering>),
    Accepting(Box<Accepting>),
}

impl Pairing {
    /// Offers to pair, by code or ticket, until it succeeds, expires or is burned.
    pub fn offer(rng: &mut impl CryptoRng, terms: OfferTerms) -> Self {
        Self(Role::Offering(Box::new(Offering::new(rng, terms))))
    }

    /// Accepts an offer in one run.
    pub fn accept(secret: Secret, device: DeviceId, card: DeviceCard) -> Self {
        Self(Role::Accepting(Box::new(Accepting::new(secret, device, card))))
    }

    /// The ticket of this offer; none on the accepting side.
    pub fn ticket(&self) -> Option<Ticket> {
        match &self.0 {
            Role::Offering(offering) => Some(offering.ticket()),
            Role::Accepting(_) => None,
        }
    }

    /// The code of this offer; none on the accepting side.
    pub fn code(&self) -> Option<&PairingCode> {
        match &self.0 {
            Role::Offering(offering) => Some(offering.code()),
            Role::Accepting(_) => None,
        }
    }

    /// Whether nothing more can come of it: paired, expired, burned, or failed on the accepting side.
    pub fn is_over(&self) -> bool {
        match &self.0 {
            Role::Offering(offering) => offering.is_over(),
            Role::Accepting(accepting) => accepting.is_over(),
        }
    }

    /// Takes one input and says what to do about it, in this order. Never panics, whatever the peer sends; an
    /// input that does not belong to the moment is ignored.
    pub fn handle(
        &mut self,
        now: Timestamp,
        rng: &mut impl CryptoRng,
        input: PairingInput,
    ) -> Vec<PairingEffect> {
        match &mut self.0 {
            Role::Offering(offering) => offering.handle(now, rng, input),
            Role::Accepting(accepting) => accepting.handle(now, rng, input),
        }
    }
}

impl fmt::Debug for Pairing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            Role::Offering(_) => "Pairing(offering)",
            Role::Accepting(_) => "Pairing(accepting)",
        })
    }
}

/// What happens to a pairing.
pub enum PairingInput {
    /// A stream with this Noise-authenticated peer opened. The offering side counts a try.
    Started {
        /// The peer's device key.
        peer: DeviceId,
    },
    /// A frame arrived.
    Message(Vec<u8>),
    /// The person at the offering side answered [`PairingEffect::AskConfirm`].
    Confirm(bool),
    /// The stream ended.
    PeerGone,
    /// Time passed; once a second is enough.
    Tick,
}

impl fmt::Debug for PairingInput {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Started { peer } => write!(f, "Started({peer:?})"),
            Self::Message(bytes) => write!(f, "Message({} bytes)", bytes.len()),
            Self::Confirm(yes) => write!(f, "Confirm({yes})"),
            Self::PeerGone => f.write_str("PeerGone"),
            Self::Tick => f.write_str("Tick"),
        }
    }
}

/// What a pairing asks for.
#[derive(Clone, PartialEq, Eq)]
pub enum PairingEffect {
    /// Send this frame to the peer of the current run.
    Send(Vec<u8>),
    /// Show the check and the peer's name; both sides must show the same digits.
    ShowCheck {
        /// Six digits.
        check: String,
        /// Who the peer is.
        peer: DeviceCertificate,
    },
    /// Ask the person here whether this is the device that they mean.
    AskConfirm,
    /// Done: keep the peer.
    Paired {
        /// What the peer showed.
        card: DeviceCard,
        /// What its certificate says, verified.
        certificate: DeviceCertificate,
        /// What the accepting side got.
        right: Right,
    },
    /// A run failed, or was not allowed to begin. After [`PairingFailure::Busy`] the run before goes on.
    Failed {
        /// Why.
        reason: PairingFailure,
        /// Whether the offer is spent, so that a new one is needed.
        burned: bool,
    },
}

impl fmt::Debug for PairingEffect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Send(bytes) => write!(f, "Send({} bytes)", bytes.len()),
            Self::ShowCheck { peer, .. } => write!(f, "ShowCheck({peer:?})"),
            Self::AskConfirm => f.write_str("AskConfirm"),
            Self::Paired { certificate, right, .. } => write!(f, "Paired({certificate:?}, {right})"),
            Self::Failed { reason, burned } => write!(f, "Failed({reason:?}, burned: {burned})"),
        }
    }
}

/// Why a pairing failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PairingFailure {
    /// The two sides do not hold the same secret and terms.
    #[error("the pairing code or ticket does not match")]
    WrongCode,
    /// The offer's time is over.
    #[error("the pairing offer has expired")]
    Expired,
    /// Too many failed runs, or its person said no.
    #[error("the pairing code is burned: make a new one")]
    Burned,
    /// Someone already paired with it.
    #[error("the pairing code or ticket was already used")]
    AlreadyUsed,
    /// Another device than the one named by ticket or certificate.
    #[error("the peer is another device than expected")]
    WrongDevice,
    /// A frame that does not belong here.
    #[error("the peer sent something that does not belong to pairing")]
    Malformed,
    /// The person at the offering side said no.
    #[error("the pairing was refused")]
    Refused,
    /// The stream ended.
    #[error("the peer went away during pairing")]
    PeerGone,
    /// The peer took too long.
    #[error("the peer took too long to pair")]
    Late,
    /// The peer's certificate is not to be believed.
    #[error("the peer's device certificate is not valid")]
    BadCertificate(#[source] CertificateError),
    /// The peer does not believe our certificate.
    #[error("the peer did not accept this device's certificate")]
    OurCertificate,
    /// Another run is going on.
    #[error("another pairing is in progress")]
    Busy,
}

impl PairingFailure {
    /// Whether the offer is spent by this alone.
    const fn spends(&self) -> bool {
        matches!(self, Self::Expired | Self::Burned | Self::AlreadyUsed | Self::Refused)
    }
}

/// The effects of a failure: tell the peer if it is still there, and the caller.
fn failed(reason: PairingFailure, tell: bool, burned: bool) -> Vec<PairingEffect> {
    let stop = StopReason::of(&reason).filter(|_| tell);
    let stop = stop.map(|stop| PairingEffect::Send(Message::Stop(stop).encode()));
    stop.into_iter().chain([PairingEffect::Failed { reason, burned }]).collect()
}

/// How a step of a run ends early.
enum Halt {
    /// We found a reason; the peer is told.
    Here(PairingFailure),
    /// The peer told us.
    There(PairingFailure),
}

impl From<PairingFailure> for Halt {
    fn from(failure: PairingFailure) -> Self {
        Self::Here(failure)
    }
}

impl Halt {
    fn effects(self, burned: impl FnOnce(&PairingFailure) -> bool) -> Vec<PairingEffect> {
        let (reason, tell) = match self {
            Self::Here(reason) => (reason, true),
            Self::There(reason) => (reason, false),
        };
        let burned = burned(&reason);
        failed(reason, tell, burned)
    }
}

/// Reads a frame; a `Stop` ends the run here too.
fn read(bytes: &[u8]) -> Result<Message, Halt> {
    match Message::decode(bytes)? {
        Message::Stop(reason) => Err(Halt::There(reason.failure())),
        message => Ok(message),
    }
}

#[cfg(test)]
mod tests;
