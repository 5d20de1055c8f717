//! What both sides must agree on, byte by byte, and the keys that follow from it.

use rand_core::CryptoRng;
use serde::{Deserialize, Serialize};
use serde_bytes::ByteArray;
use spake2::{Ed25519Group, Identity, Password, Spake2};
use subtle::ConstantTimeEq;
use zeroize::{Zeroize, Zeroizing};

use super::ticket::TICKET_ID_BYTES;
use super::{Direction, PairingFailure, Right};
use crate::ids::{DeviceId, Timestamp};
use crate::seal::DataKey;

/// The version of the pairing protocol.
pub(super) const VERSION: u8 = 1;
/// Side byte and a compressed Edwards point.
pub(super) const SPAKE_BYTES: usize = 33;
pub(super) const NONCE_BYTES: usize = 16;

/// What the run is about.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Terms {
    pub(super) direction: Direction,
    pub(super) right: Right,
    pub(super) expires: Timestamp,
}

/// Which secret a run starts with, said openly.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Handle {
    /// The number of a code.
    Nameplate(u8),
    /// The id of a ticket.
    Ticket(ByteArray<TICKET_ID_BYTES>),
}

/// Who speaks: *A* is the accepting side, which begins the run, *B* the offering side.
#[derive(Clone, Copy)]
pub(super) enum Side {
    Accepting,
    Offering,
}

/// Begins a SPAKE2 run (Ed25519 group) and returns the message for the other side.
pub(super) fn spake(
    side: Side,
    password: &[u8; 32],
    rng: &mut impl CryptoRng,
) -> (Spake2<Ed25519Group>, ByteArray<SPAKE_BYTES>) {
    let password = Password::new(password);
    let (a, b) = (Identity::new(b"metaclinic-pair-accept"), Identity::new(b"metaclinic-pair-offer"));
    let (state, message) = match side {
        Side::Accepting => Spake2::start_a_with_rng(&password, &a, &b, OlderRng(rng)),
        Side::Offering => Spake2::start_b_with_rng(&password, &a, &b, OlderRng(rng)),
    };
    let message =
        <[u8; SPAKE_BYTES]>::try_from(message).expect("the Ed25519 group's messages have this size");
    (state, ByteArray::new(message))
}

/// Everything said in the open before the first key.
pub(super) struct Transcript<'a> {
    pub(super) accepting: DeviceId,
    pub(super) offering: DeviceId,
    pub(super) terms: Terms,
    pub(super) handle: Handle,
    pub(super) commitment: &'a [u8; 32],
    pub(super) nonce: &'a [u8; NONCE_BYTES],
    pub(super) spake_accepting: &'a [u8; SPAKE_BYTES],
    pub(super) spake_offering: &'a [u8; SPAKE_BYTES],
}

impl Transcript<'_> {
    /// All fields have fixed sizes, so their concatenation has one reading only.
    fn hash(&self) -> [u8; 32] {
        let (kind, handle) = match self.handle {
            Handle::Nameplate(number) => (0, std::array::from_fn(|at| if at == 0 { number } else { 0 })),
            Handle::Ticket(id) => (1, id.into_array()),
        };
        let mut hasher = blake3::Hasher::new_derive_key("metaclinic 2026 pairing transcript");
        hasher
            .update(&[VERSION, self.terms.direction.byte(), self.terms.right.byte()])
            .update(&self.terms.expires.as_millis().to_le_bytes())
            .update(self.accepting.as_bytes())
            .update(self.offering.as_bytes())
            .update(&[kind])
            .update(&handle)
            .update(self.commitment)
            .update(self.nonce)
            .update(self.spake_accepting)
            .update(self.spake_offering);
        *hasher.finalize().as_bytes()
    }
}

/// The keys of one run. Equal on both sides only if the secret and the whole transcript are.
pub(super) struct Session {
    root: DataKey,
    transcript: [u8; 32],
}

impl Session {
    /// Finishes SPAKE2 with the other side's message.
    pub(super) fn new(
        state: Spake2<Ed25519Group>,
        other: &[u8; SPAKE_BYTES],
        transcript: &Transcript<'_>,
    ) -> Result<Self, PairingFailure> {
        let key = Zeroizing::new(state.finish(other).map_err(|_| PairingFailure::Malformed)?);
        let transcript = transcript.hash();
        let mut hasher = blake3::Hasher::new_derive_key("metaclinic 2026 pairing session");
        let root = DataKey::from_bytes(*hasher.update(&key).update(&transcript).finalize().as_bytes());
        hasher.zeroize();
        Ok(Self { root, transcript })
    }

    /// Seals a side's card.
    pub(super) fn seal_card(&self, from: Side, rng: &mut impl CryptoRng, card: &[u8]) -> Vec<u8> {
        self.card_key(from).seal(rng, &self.transcript, card)
    }

    /// Opens a side's card; that it does is the first proof that the other side knows the secret.
    pub(super) fn open_card(&self, from: Side, sealed: &[u8]) -> Result<Vec<u8>, PairingFailure> {
        self.card_key(from).open(&self.transcript, sealed).map_err(|_| PairingFailure::WrongCode)
    }

    /// A side's confirmation: it has seen this transcript and both cards.
    pub(super) fn confirmation(&self, from: Side, cards: &Cards) -> [u8; 32] {
        let key = self.root.derive(match from {
            Side::Accepting => "metaclinic 2026 pairing confirmation of the accepting side",
            Side::Offering => "metaclinic 2026 pairing confirmation of the offering side",
        });
        key.keyed_hash(&[self.transcript.as_slice(), &cards.accepting, &cards.offering].concat())
    }

    /// Checks a side's confirmation in constant time.
    pub(super) fn confirm(&self, from: Side, cards: &Cards, mac: &[u8; 32]) -> Result<(), PairingFailure> {
        let equal = self.confirmation(from, cards).ct_eq(mac);
        if bool::from(equal) { Ok(()) } else { Err(PairingFailure::WrongCode) }
    }

    /// The six digits that both people compare. The accepting side committed to `opening` before it saw the
    /// offering side's nonce, so someone in the middle who knows the code still has to guess them.
    pub(super) fn check(&self, opening: &[u8; NONCE_BYTES]) -> String {
        let hash = self.root.derive("metaclinic 2026 pairing check").keyed_hash(opening);
        let number = u64::from_le_bytes(*hash.first_chunk().expect("a hash is longer than eight bytes"));
        format!("{:06}", number % 1_000_000)
    }

    /// The offering side's last word: its person agreed.
    pub(super) fn seal_acceptance(&self, rng: &mut impl CryptoRng, cards: &Cards) -> Vec<u8> {
        self.acceptance_key().seal(rng, &self.acceptance_context(cards), ACCEPTED)
    }

    /// Checks the offering side's last word.
    pub(super) fn open_acceptance(&self, sealed: &[u8], cards: &Cards) -> Result<(), PairingFailure> {
        match self.acceptance_key().open(&self.acceptance_context(cards), sealed) {
            Ok(word) if word == ACCEPTED => Ok(()),
            _ => Err(PairingFailure::Malformed),
        }
    }

    fn card_key(&self, from: Side) -> DataKey {
        self.root.derive(match from {
            Side::Accepting => "metaclinic 2026 pairing card of the accepting side",
            Side::Offering => "metaclinic 2026 pairing card of the offering side",
        })
    }

    fn acceptance_key(&self) -> DataKey {
        self.root.derive("metaclinic 2026 pairing acceptance")
    }

    fn acceptance_context(&self, cards: &Cards) -> Vec<u8> {
        [self.transcript.as_slice(), &cards.accepting, &cards.offering].concat()
    }
}

const ACCEPTED: &[u8] = b"accepted";

/// The hashes of both cards, as they were sealed.
pub(super) struct Cards {
    pub(super) accepting: [u8; 32],
    pub(super) offering: [u8; 32],
}

/// What the accepting side says at the start about the nonce that it shows later.
pub(super) fn commit(opening: &[u8; NONCE_BYTES]) -> [u8; 32] {
    blake3::derive_key("metaclinic 2026 pairing commitment", opening)
}

/// spake2 0.4 asks for the generator traits of rand_core 0.6.
struct OlderRng<'a, R>(&'a mut R);

impl<R: CryptoRng> rand_core_06::RngCore for OlderRng<'_, R> {
    fn next_u32(&mut self) -> u32 {
        self.0.next_u32()
    }

    fn next_u64(&mut self) -> u64 {
        self.0.next_u64()
    }

    fn fill_bytes(&mut self, dest: &mut [u8]) {
        self.0.fill_bytes(dest);
    }

    fn try_fill_bytes(&mut self, dest: &mut [u8]) -> Result<(), rand_core_06::Error> {
        self.0.fill_bytes(dest);
        Ok(())
    }
}

impl<R: CryptoRng> rand_core_06::CryptoRng for OlderRng<'_, R> {}
