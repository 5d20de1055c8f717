//! Identities, devices, and the certificate by which an identity vouches for a device.
//!
//! An identity key belongs to a person or an organisation and signs rarely; a device key never leaves its
//! device and is at the same time its libp2p peer id and its iroh endpoint id. What is sealed *to* a device
//! uses a third, X25519 key: a signing key is never converted.

use std::fmt;
use std::str::FromStr;

use ed25519_dalek::SigningKey;
use rand_core::CryptoRng;
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::ids::{DeviceId, IdentityId, Timestamp};
use crate::signed::{Signable, SignatureError, Signed};

/// The most bytes (UTF-8) a person's, organisation's or device's name may have.
pub const MAX_NAME_BYTES: usize = 128;

/// The most bytes an age X25519 recipient has: `age1` and 58 Bech32 characters (C2SP age).
const MAX_RECIPIENT_BYTES: usize = 64;

/// What an identity is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum IdentityKind {
    /// A clinic, practice or hospital.
    Clinic,
    /// A person whose records are kept.
    Patient,
    /// A person or group who studies records under consent.
    Researcher,
}

impl IdentityKind {
    const ALL: [Self; 3] = [Self::Clinic, Self::Patient, Self::Researcher];

    const fn word(self) -> &'static str {
        match self {
            Self::Clinic => "clinic",
            Self::Patient => "patient",
            Self::Researcher => "researcher",
        }
    }
}

impl fmt::Display for IdentityKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.word())
    }
}

impl FromStr for IdentityKind {
    type Err = ParseKindError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let word = text.trim();
        Self::ALL.into_iter().find(|kind| kind.word().eq_ignore_ascii_case(word)).ok_or(ParseKindError)
    }
}

/// A text names no [`IdentityKind`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a kind of identity: expected clinic, patient or researcher")]
pub struct ParseKindError;

/// The signing key of a person or an organisation (Ed25519, RFC 8032). Wiped when dropped.
pub struct IdentityKey(SigningKey);

impl IdentityKey {
    /// Draws a fresh key.
    pub fn generate(rng: &mut impl CryptoRng) -> Self {
        Self(draw(rng))
    }

    /// The key of this secret seed.
    pub fn from_seed(seed: [u8; 32]) -> Self {
        Self(from_seed(seed))
    }

    /// The public name of this key.
    pub fn id(&self) -> IdentityId {
        IdentityId::from_bytes(self.0.verifying_key().to_bytes())
    }

    /// Signs `message` as this identity.
    pub fn sign<T: Signable>(&self, message: &T) -> Signed<T> {
        Signed::sign(message, &self.0)
    }

    pub(crate) fn seed(&self) -> Zeroizing<[u8; 32]> {
        Zeroizing::new(self.0.to_bytes())
    }
}

impl fmt::Debug for IdentityKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "IdentityKey({}…)", self.id().short())
    }
}

/// The signing key of one device (Ed25519, RFC 8032), also its transport key. Wiped when dropped.
pub struct DeviceKey(SigningKey);

impl DeviceKey {
    /// Draws a fresh key.
    pub fn generate(rng: &mut impl CryptoRng) -> Self {
        Self(draw(rng))
    }

    /// The key of this secret seed.
    pub fn from_seed(seed: [u8; 32]) -> Self {
        Self(from_seed(seed))
    }

    /// The public name of this key.
    pub fn id(&self) -> DeviceId {
        DeviceId::from_bytes(self.0.verifying_key().to_bytes())
    }

    /// Signs `message` as this device.
    pub fn sign<T: Signable>(&self, message: &T) -> Signed<T> {
        Signed::sign(message, &self.0)
    }

    /// The secret seed, for the transports that authenticate with this same key.
    pub fn seed(&self) -> Zeroizing<[u8; 32]> {
        Zeroizing::new(self.0.to_bytes())
    }
}

impl fmt::Debug for DeviceKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DeviceKey({}…)", self.id().short())
    }
}

fn draw(rng: &mut impl CryptoRng) -> SigningKey {
    let mut seed = Zeroizing::new([0; 32]);
    rng.fill_bytes(&mut *seed);
    SigningKey::from_bytes(&seed)
}

fn from_seed(seed: [u8; 32]) -> SigningKey {
    SigningKey::from_bytes(&Zeroizing::new(seed))
}

/// The key that opens what is sealed to one device (age X25519, C2SP age).
pub struct SealIdentity(age::x25519::Identity);

impl SealIdentity {
    /// Draws a fresh key; age takes the randomness from the operating system itself.
    pub fn generate() -> Self {
        Self(age::x25519::Identity::generate())
    }

    /// The public half, `age1…`, to which others seal.
    pub fn recipient(&self) -> String {
        self.0.to_public().to_string()
    }

    /// The secret half as age writes it, for the keyring only.
    pub(crate) fn secret(&self) -> SecretString {
        self.0.to_string()
    }

    /// Reads [`SealIdentity::secret`].
    pub(crate) fn from_secret(text: &str) -> Option<Self> {
        text.parse().ok().map(Self)
    }

    pub(crate) const fn age(&self) -> &age::x25519::Identity {
        &self.0
    }
}

impl fmt::Debug for SealIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SealIdentity({})", self.recipient())
    }
}

/// Reads an age recipient of bounded length.
pub(crate) fn parse_recipient(text: &str) -> Option<age::x25519::Recipient> {
    (text.len() <= MAX_RECIPIENT_BYTES).then(|| text.parse().ok()).flatten()
}

/// An identity's word that a device is its own: what a peer shows before it is believed.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceCertificate {
    /// The version of this message, 1.
    pub version: u8,
    /// Who vouches, and signs.
    pub identity: IdentityId,
    /// What that identity is.
    pub kind: IdentityKind,
    /// The identity's own name, 1 to [`MAX_NAME_BYTES`] bytes on one line. Claimed, not proven.
    pub name: String,
    /// The device's key.
    pub device: DeviceId,
    /// What its owner calls the device, 1 to [`MAX_NAME_BYTES`] bytes on one line.
    pub device_name: String,
    /// Where to seal for this device: an age recipient, `age1…`.
    pub recipient: String,
    /// Rises with each renewal; a peer keeps the highest it has seen.
    pub epoch: u64,
    /// When it was signed.
    pub issued: Timestamp,
    /// From this moment it opens no connection any more.
    pub not_after: Timestamp,
}

impl Signable for DeviceCertificate {
    const DOMAIN: &'static str = "metaclinic/device-certificate/1";
    const MAX_BYTES: usize = 1024;
}

impl DeviceCertificate {
    /// The version this code writes and reads.
    pub const VERSION: u8 = 1;

    /// Checks that the identity named inside signed it, that its fields are within their limits, and that it
    /// has not expired at `now`.
    ///
    /// # Errors
    /// [`CertificateError`] names the first check that fails.
    pub fn verify(signed: &Signed<Self>, now: Timestamp) -> Result<Self, CertificateError> {
        let certificate = Self::authentic(signed)?;
        if now >= certificate.not_after {
            return Err(CertificateError::Expired);
        }
        Ok(certificate)
    }

    /// [`DeviceCertificate::verify`] without the expiry, for history: what was signed stays signed.
    ///
    /// # Errors
    /// [`CertificateError`] names the first check that fails.
    pub fn authentic(signed: &Signed<Self>) -> Result<Self, CertificateError> {
        let certificate = signed.verify(signed.signer())?;
        if certificate.identity.as_bytes() != signed.signer() {
            return Err(CertificateError::OtherIdentity);
        }
        certificate.check()?;
        Ok(certificate)
    }

    /// Checks the fields, as a reader will.
    pub(crate) fn check(&self) -> Result<(), CertificateError> {
        if self.version != Self::VERSION {
            return Err(CertificateError::Version { found: self.version });
        }
        check_name("name", &self.name)?;
        check_name("device name", &self.device_name)?;
        if parse_recipient(&self.recipient).is_none() {
            return Err(CertificateError::Recipient);
        }
        if self.not_after <= self.issued {
            return Err(CertificateError::NeverValid);
        }
        Ok(())
    }
}

impl fmt::Debug for DeviceCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "DeviceCertificate({} {:?}, {:?}, epoch {})",
            self.kind, self.identity, self.device, self.epoch
        )
    }
}

/// A device certificate is not to be believed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CertificateError {
    /// Its signature does not verify, or it is no certificate.
    #[error(transparent)]
    Signature(#[from] SignatureError),
    /// Signed by another key than the identity it names.
    #[error("device certificate is signed by another identity than it names")]
    OtherIdentity,
    /// Of a version that this code does not know.
    #[error("device certificate of unknown version {found}")]
    Version {
        /// The version it claims.
        found: u8,
    },
    /// A name is empty, too long, or holds characters that could deceive on a screen.
    #[error(
        "{field} in device certificate must be 1 to {MAX_NAME_BYTES} bytes on one line without control characters"
    )]
    Name {
        /// Which name.
        field: &'static str,
    },
    /// What others should seal to is not an age recipient.
    #[error("device certificate names no valid recipient")]
    Recipient,
    /// It ends before it begins.
    #[error("device certificate ends before it begins")]
    NeverValid,
    /// Its time is over.
    #[error("device certificate has expired")]
    Expired,
}

fn check_name(field: &'static str, name: &str) -> Result<(), CertificateError> {
    // Bidirectional controls (Unicode UAX #9) can make one name look like another.
    let deceives = |c: char| c.is_control() || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    if name.trim().is_empty() || name.len() > MAX_NAME_BYTES || name.chars().any(deceives) {
        return Err(CertificateError::Name { field });
    }
    Ok(())
}

/// The number two people read to each other to know that no one stands between them: 60 digits in groups of
/// five (199 bits), the same whichever side computes it.
pub fn safety_number(a: &IdentityId, b: &IdentityId) -> String {
    let (first, second) = if a <= b { (a, b) } else { (b, a) };
    let mut hasher = blake3::Hasher::new_derive_key("metaclinic 2026 safety number");
    hasher.update(first.as_bytes()).update(second.as_bytes());
    let mut digest = [0; 8 * SAFETY_GROUPS];
    hasher.finalize_xof().fill(&mut digest);
    let groups = digest.as_chunks::<8>().0.iter();
    let groups: Vec<String> = groups.map(|b| format!("{:05}", u64::from_le_bytes(*b) % 100_000)).collect();
    groups.join(" ")
}

/// Twelve groups of five digits, the length people know from other messengers.
const SAFETY_GROUPS: usize = 12;

#[cfg(test)]
mod tests {
    use rand_chacha::ChaCha20Rng;
    use rand_chacha::rand_core::SeedableRng;

    use super::*;

    fn certificate(identity: &IdentityKey, device: &DeviceKey) -> DeviceCertificate {
        DeviceCertificate {
            version: 1,
            identity: identity.id(),
            kind: IdentityKind::Clinic,
            name: "Praxis am Fluss".into(),
            device: device.id(),
            device_name: "front desk".into(),
            recipient: SealIdentity::generate().recipient(),
            epoch: 1,
            issued: Timestamp::from_millis(1_000),
            not_after: Timestamp::from_millis(9_000),
        }
    }

    fn check(change: impl FnOnce(&mut DeviceCertificate)) -> Result<DeviceCertificate, CertificateError> {
        let mut rng = ChaCha20Rng::seed_from_u64(3);
        let (identity, device) = (IdentityKey::generate(&mut rng), DeviceKey::generate(&mut rng));
        let mut certificate = certificate(&identity, &device);
        change(&mut certificate);
        DeviceCertificate::verify(&identity.sign(&certificate), Timestamp::from_millis(2_000))
    }

    #[test]
    fn a_certificate_is_believed_only_within_its_limits() {
        assert!(check(|_| ()).is_ok());
        assert!(check(|c| c.name = "n".repeat(MAX_NAME_BYTES)).is_ok());
        let name = |text: &str| check(|c| c.name = text.into());
        assert_eq!(name(&"n".repeat(MAX_NAME_BYTES + 1)), Err(CertificateError::Name { field: "name" }));
        assert_eq!(name("  "), Err(CertificateError::Name { field: "name" }));
        assert_eq!(name("a\nb"), Err(CertificateError::Name { field: "name" }));
        assert_eq!(name("a\u{202e}b"), Err(CertificateError::Name { field: "name" }));
        assert_eq!(
            check(|c| c.device_name = "\u{1b}[2J".into()),
            Err(CertificateError::Name { field: "device name" })
        );
        assert_eq!(check(|c| c.recipient = "age1nobody".into()), Err(CertificateError::Recipient));
        assert_eq!(check(|c| c.version = 2), Err(CertificateError::Version { found: 2 }));
        assert_eq!(check(|c| c.not_after = c.issued), Err(CertificateError::NeverValid));
        assert_eq!(check(|c| c.not_after = Timestamp::from_millis(2_000)), Err(CertificateError::Expired));
        assert_eq!(
            check(|c| c.identity = IdentityId::from_bytes([1; 32])),
            Err(CertificateError::OtherIdentity)
        );
        assert!(matches!(check(|c| c.name = "n".repeat(2_000)), Err(CertificateError::Signature(_))));
    }

    #[test]
    fn safety_number_is_the_same_from_both_sides() {
        let (a, b, c) = (
            IdentityId::from_bytes([1; 32]),
            IdentityId::from_bytes([2; 32]),
            IdentityId::from_bytes([3; 32]),
        );
        let number = safety_number(&a, &b);
        assert_eq!(number, safety_number(&b, &a));
        assert_ne!(number, safety_number(&a, &c));
        assert_eq!(number.split(' ').count(), 12);
        assert_eq!(number.chars().filter(char::is_ascii_digit).count(), 60);
        assert!(number.split(' ').all(|group| group.len() == 5));
    }

    #[test]
    fn kinds_read_back_what_they_print() {
        for kind in IdentityKind::ALL {
            assert_eq!(kind.to_string().parse(), Ok(kind));
            assert_eq!(kind.to_string().to_ascii_uppercase().parse(), Ok(kind));
        }
        assert_eq!("hospital".parse::<IdentityKind>(), Err(ParseKindError));
    }

    #[test]
    fn debug_shows_neither_secrets_nor_names() {
        let (identity, device) = (IdentityKey::from_seed([0xab; 32]), DeviceKey::from_seed([0xcd; 32]));
        let seal = SealIdentity::generate();
        let text = format!("{identity:?} {device:?} {seal:?} {:?}", certificate(&identity, &device));
        for hidden in ["171", "205", "abab", "cdcd", "SECRET", "Praxis", "front desk"] {
            assert!(!text.contains(hidden), "{text}");
        }
    }
}
