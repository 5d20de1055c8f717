//! `Envelope`: one payload that each of several devices can open.
//!
//! The payload is sealed once under a fresh [`DataKey`]; that key is wrapped for each recipient by age, which
//! costs about 100 µs and 200 bytes a recipient. age does not say who sealed: what must be believed is signed
//! *inside*. The wraps do not name their recipients, so opening tries each.

use std::fmt;
use std::io::Read;
use std::iter;

use rand_core::CryptoRng;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::identity::{SealIdentity, parse_recipient};
use crate::seal::{DataKey, SealError};

/// The most devices one envelope is for; opening tries each wrap, about 25 ms at the most.
pub const MAX_RECIPIENTS: usize = 256;

/// An age file with one X25519 stanza around 32 bytes is about 250 bytes.
const MAX_WRAP_BYTES: usize = 512;
/// age with X25519 (C2SP age). Each wrap says its own, so that a post-quantum one can stand beside it.
const ALGORITHM_AGE_X25519: u8 = 1;
const VERSION: u8 = 1;
const CONTEXT: &[u8] = b"metaclinic/envelope/1";

/// A sealed payload with its key wrapped for each recipient.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Envelope {
    version: u8,
    wraps: Vec<Wrap>,
    #[serde(with = "serde_bytes")]
    sealed: Vec<u8>,
}

#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Wrap {
    algorithm: u8,
    #[serde(with = "serde_bytes")]
    key: Vec<u8>,
}

impl Envelope {
    /// Seals `plaintext` for `recipients` (age recipients, 1 to [`MAX_RECIPIENTS`]), bound to `context`: it
    /// opens only where the same context is given.
    ///
    /// # Errors
    /// [`EnvelopeError`] when there are no or too many recipients, or one is not valid.
    pub fn seal(
        rng: &mut impl CryptoRng,
        recipients: &[String],
        context: &[u8],
        plaintext: &[u8],
    ) -> Result<Self, EnvelopeError> {
        if recipients.is_empty() || recipients.len() > MAX_RECIPIENTS {
            return Err(EnvelopeError::Recipients { count: recipients.len() });
        }
        let key = DataKey::generate(rng);
        let mut wraps = Vec::with_capacity(recipients.len());
        for (index, recipient) in recipients.iter().enumerate() {
            let recipient = parse_recipient(recipient).ok_or(EnvelopeError::Recipient { index })?;
            let wrapped = age::encrypt(&recipient, key.expose()).map_err(EnvelopeError::Wrap)?;
            wraps.push(Wrap { algorithm: ALGORITHM_AGE_X25519, key: wrapped });
        }
        let sealed = key.seal(rng, &bound(context), plaintext);
        Ok(Self { version: VERSION, wraps, sealed })
    }

    /// Opens the payload with one recipient's key.
    ///
    /// # Errors
    /// [`EnvelopeError::NotForUs`] when no wrap is for this key, [`EnvelopeError::Sealed`] when the context
    /// is another or the payload is damaged.
    pub fn open(&self, identity: &SealIdentity, context: &[u8]) -> Result<Zeroizing<Vec<u8>>, EnvelopeError> {
        if self.version != VERSION {
            return Err(EnvelopeError::Version { found: self.version });
        }
        if self.wraps.len() > MAX_RECIPIENTS {
            return Err(EnvelopeError::Recipients { count: self.wraps.len() });
        }
        let key =
            self.wraps.iter().find_map(|wrap| unwrap_key(wrap, identity)).ok_or(EnvelopeError::NotForUs)?;
        Ok(Zeroizing::new(key.open(&bound(context), &self.sealed)?))
    }

    /// The same payload for other members, under a fresh key: who is no longer a member holds nothing that
    /// opens it.
    ///
    /// # Errors
    /// [`EnvelopeError`] as of [`Envelope::open`] and [`Envelope::seal`].
    pub fn rewrap(
        &self,
        rng: &mut impl CryptoRng,
        identity: &SealIdentity,
        context: &[u8],
        recipients: &[String],
    ) -> Result<Self, EnvelopeError> {
        let plaintext = self.open(identity, context)?;
        Self::seal(rng, recipients, context, &plaintext)
    }

    /// How many devices can open it.
    pub const fn recipients(&self) -> usize {
        self.wraps.len()
    }
}

impl fmt::Debug for Envelope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Envelope({} recipients, {} bytes)", self.wraps.len(), self.sealed.len())
    }
}

fn bound(context: &[u8]) -> Vec<u8> {
    [CONTEXT, context].concat()
}

/// The data key, if this wrap is whole and for `identity`.
fn unwrap_key(wrap: &Wrap, identity: &SealIdentity) -> Option<DataKey> {
    if wrap.algorithm != ALGORITHM_AGE_X25519 || wrap.key.len() > MAX_WRAP_BYTES {
        return None;
    }
    let decryptor = age::Decryptor::new_buffered(wrap.key.as_slice()).ok()?;
    let mut reader = decryptor.decrypt(iter::once(identity.age() as _)).ok()?;
    let mut key = Zeroizing::new([0; 32]);
    reader.read_exact(&mut *key).ok()?;
    // The end belongs to what age authenticates.
    (reader.read(&mut [0]).ok()? == 0).then(|| DataKey::from_bytes(*key))
}

/// An envelope could not be sealed or opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EnvelopeError {
    /// For no one, or for too many.
    #[error("an envelope is for 1 to {MAX_RECIPIENTS} recipients, not {count}")]
    Recipients {
        /// How many were named.
        count: usize,
    },
    /// One recipient is not an age X25519 recipient.
    #[error("recipient {index} is not a valid age recipient")]
    Recipient {
        /// Its place in the list, from 0.
        index: usize,
    },
    /// age could not wrap the key.
    #[error("wrapping the key failed")]
    Wrap(#[source] age::EncryptError),
    /// Of a version that this code does not know.
    #[error("envelope of unknown version {found}")]
    Version {
        /// The version it claims.
        found: u8,
    },
    /// None of the wraps opens with this key.
    #[error("envelope is not for this device")]
    NotForUs,
    /// The key is ours, the payload does not open.
    #[error(transparent)]
    Sealed(#[from] SealError),
}

#[cfg(test)]
mod tests {
    use rand_chacha::ChaCha20Rng;
    use rand_chacha::rand_core::SeedableRng;

    use super::*;
    use crate::codec;

    fn rng() -> ChaCha20Rng {
        ChaCha20Rng::seed_from_u64(11)
    }

    #[test]
    fn opens_for_each_member_and_no_one_else() {
        let members: Vec<SealIdentity> = (0..3).map(|_| SealIdentity::generate()).collect();
        let recipients: Vec<String> = members.iter().map(SealIdentity::recipient).collect();
        let envelope = Envelope::seal(&mut rng(), &recipients, b"study 7", b"pulse 72/min").expect("seals");
        let sent: Envelope = codec::decode("envelope", &codec::encode(&envelope), 4096).expect("round trip");
        for member in &members {
            assert_eq!(*sent.open(member, b"study 7").expect("opens"), b"pulse 72/min");
            assert!(matches!(sent.open(member, b"study 8"), Err(EnvelopeError::Sealed(_))));
        }
        assert!(matches!(sent.open(&SealIdentity::generate(), b"study 7"), Err(EnvelopeError::NotForUs)));
    }

    #[test]
    fn a_changed_byte_never_opens() {
        let member = SealIdentity::generate();
        let envelope = Envelope::seal(&mut rng(), &[member.recipient()], b"c", b"secret").expect("seals");
        let bytes = codec::encode(&envelope);
        for at in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[at] ^= 1;
            let opened = codec::decode::<Envelope>("envelope", &changed, 4096).ok();
            assert!(opened.is_none_or(|e| e.open(&member, b"c").is_err()), "byte {at}");
        }
    }

    #[test]
    fn rewrapping_lets_a_new_member_in_and_an_old_one_out() {
        let (stays, leaves, joins) =
            (SealIdentity::generate(), SealIdentity::generate(), SealIdentity::generate());
        let rng = &mut rng();
        let first = Envelope::seal(rng, &[stays.recipient(), leaves.recipient()], b"c", b"x").unwrap();
        let second = first.rewrap(rng, &stays, b"c", &[stays.recipient(), joins.recipient()]).unwrap();
        assert!(second.open(&stays, b"c").is_ok());
        assert!(second.open(&joins, b"c").is_ok());
        assert!(matches!(second.open(&leaves, b"c"), Err(EnvelopeError::NotForUs)));
        let mut mixed = second.clone();
        mixed.wraps = first.wraps.clone();
        assert!(mixed.open(&leaves, b"c").is_err(), "an old wrap opens nothing new");
    }

    #[test]
    fn recipients_are_counted_and_checked() {
        let seal = |list: &[String]| Envelope::seal(&mut rng(), list, b"", b"");
        assert!(matches!(seal(&[]), Err(EnvelopeError::Recipients { count: 0 })));
        let many = vec![SealIdentity::generate().recipient(); MAX_RECIPIENTS + 1];
        assert!(matches!(seal(&many), Err(EnvelopeError::Recipients { .. })));
        let wrong = [SealIdentity::generate().recipient(), "age1x".into()];
        assert!(matches!(seal(&wrong), Err(EnvelopeError::Recipient { index: 1 })));
    }

    #[test]
    fn an_unknown_wrap_is_passed_over() {
        let member = SealIdentity::generate();
        let mut envelope = Envelope::seal(&mut rng(), &[member.recipient()], b"c", b"x").unwrap();
        envelope.wraps.insert(0, Wrap { algorithm: 9, key: vec![1; 9] });
        assert!(envelope.open(&member, b"c").is_ok());
    }

    #[test]
    fn debug_shows_only_sizes() {
        let envelope =
            Envelope::seal(&mut rng(), &[SealIdentity::generate().recipient()], b"", b"x").unwrap();
        assert_eq!(format!("{envelope:?}"), "Envelope(1 recipients, 42 bytes)");
    }
}
