//! The keyring: every secret of one home, sealed at rest by a passphrase.
//!
//! The file is `MAGIC ‖ BLAKE3 of the rest ‖ age file`; the age file (C2SP age, scrypt recipient) holds the
//! secrets as CBOR. The checksum is no protection, it only tells a damaged file from a wrong passphrase.

use std::fmt;
use std::io::Read;
use std::iter;

use age::DecryptError;
use rand_core::CryptoRng;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use serde_bytes::ByteArray;
use zeroize::{Zeroize, Zeroizing};

use crate::codec;
use crate::identity::{
    CertificateError, DeviceCertificate, DeviceKey, IdentityKey, IdentityKind, SealIdentity,
};
use crate::ids::Timestamp;
use crate::seal::DataKey;
use crate::signed::Signed;

/// How long a fresh device certificate lasts: 825 days, the most that the CA/Browser Forum's S/MIME baseline
/// requirements (6.3.2) allow a strict certificate.
pub const CERTIFICATE_LIFETIME: std::time::Duration = std::time::Duration::from_secs(825 * 86_400);

/// The scrypt work factor, as a power of two, above which a keyring is neither written nor opened: 2^22 takes
/// 4 GiB of memory.
pub const MAX_WORK_FACTOR_LOG2: u8 = 22;

const MAGIC: &[u8; 20] = b"metaclinic-keyring1\n";
const CHECKSUM_BYTES: usize = 32;
/// A keyring is about 1.5 KiB; nothing larger is even read.
const MAX_FILE_BYTES: usize = 16 * 1024;
const VERSION: u8 = 1;

/// All secrets of one home. Made once, opened by passphrase, wiped when dropped.
pub struct Keyring {
    identity: IdentityKey,
    device: DeviceKey,
    seal: SealIdentity,
    home: DataKey,
    certificate: Signed<DeviceCertificate>,
    claims: DeviceCertificate,
}

impl Keyring {
    /// Draws all keys and signs the certificate of this first device.
    ///
    /// # Errors
    /// [`KeyringError::Certificate`] when a name is empty, too long or holds control characters.
    pub fn create(
        rng: &mut impl CryptoRng,
        kind: IdentityKind,
        name: &str,
        device_name: &str,
        now: Timestamp,
    ) -> Result<Self, KeyringError> {
        let (identity, device) = (IdentityKey::generate(rng), DeviceKey::generate(rng));
        let (seal, home) = (SealIdentity::generate(), DataKey::generate(rng));
        let claims = DeviceCertificate {
            version: DeviceCertificate::VERSION,
            identity: identity.id(),
            kind,
            name: name.to_owned(),
            device: device.id(),
            device_name: device_name.to_owned(),
            recipient: seal.recipient(),
            epoch: 1,
            issued: now,
            not_after: now.plus(CERTIFICATE_LIFETIME),
        };
        claims.check()?;
        let certificate = identity.sign(&claims);
        Ok(Self { identity, device, seal, home, certificate, claims })
    }

    /// Signs a fresh certificate of the next epoch; the caller then seals and stores the keyring again.
    pub fn renew_certificate(&mut self, now: Timestamp) {
        self.claims.epoch = self.claims.epoch.saturating_add(1);
        self.claims.issued = now;
        self.claims.not_after = now.plus(CERTIFICATE_LIFETIME);
        self.certificate = self.identity.sign(&self.claims);
    }

    /// Seals everything under `passphrase`, also to change it. scrypt works with N = 2^`work_factor_log2`
    /// (1 to [`MAX_WORK_FACTOR_LOG2`]; 18 is about a second); age draws its own salt and file key.
    ///
    /// # Errors
    /// [`KeyringError`] when the work factor is out of range or sealing fails.
    pub fn seal(&self, passphrase: &SecretString, work_factor_log2: u8) -> Result<Vec<u8>, KeyringError> {
        if !(1..=MAX_WORK_FACTOR_LOG2).contains(&work_factor_log2) {
            return Err(KeyringError::WorkFactor);
        }
        let stored = Stored {
            version: VERSION,
            identity: ByteArray::new(*self.identity.seed()),
            device: ByteArray::new(*self.device.seed()),
            seal: self.seal.secret().expose_secret().to_owned(),
            home: ByteArray::new(*self.home.expose()),
            certificate: self.certificate.clone(),
        };
        // Room for everything from the start: a buffer that grew would leave copies behind.
        let mut plain = Zeroizing::new(Vec::with_capacity(MAX_FILE_BYTES));
        ciborium::into_writer(&stored, &mut *plain).expect("plain data types always encode into memory");
        let mut recipient = age::scrypt::Recipient::new(passphrase.clone());
        recipient.set_work_factor(work_factor_log2);
        let sealed = age::encrypt(&recipient, &plain).map_err(KeyringError::Seal)?;
        let checksum = blake3::hash(&sealed);
        Ok([MAGIC.as_slice(), checksum.as_bytes(), &sealed].concat())
    }

    /// Opens what [`Keyring::seal`] made.
    ///
    /// # Errors
    /// [`KeyringError::WrongPassphrase`] when only the passphrase is wrong, [`KeyringError::Malformed`] when
    /// the bytes are damaged or no keyring.
    pub fn open(sealed: &[u8], passphrase: &SecretString) -> Result<Self, KeyringError> {
        let stored: Stored = codec::decode("keyring", &unseal(sealed, passphrase)?, MAX_FILE_BYTES)
            .map_err(|_| KeyringError::Malformed)?;
        if stored.version != VERSION {
            return Err(KeyringError::Version { found: stored.version });
        }
        let identity = IdentityKey::from_seed(*stored.identity);
        let device = DeviceKey::from_seed(*stored.device);
        let seal = SealIdentity::from_secret(&stored.seal).ok_or(KeyringError::Malformed)?;
        let home = DataKey::from_bytes(*stored.home);
        let claims = DeviceCertificate::authentic(&stored.certificate)?;
        let ours = claims.identity == identity.id()
            && claims.device == device.id()
            && claims.recipient == seal.recipient();
        if !ours {
            return Err(KeyringError::Malformed);
        }
        Ok(Self { identity, device, seal, home, certificate: stored.certificate.clone(), claims })
    }

    /// The identity's signing key.
    pub const fn identity(&self) -> &IdentityKey {
        &self.identity
    }

    /// This device's signing and transport key.
    pub const fn device(&self) -> &DeviceKey {
        &self.device
    }

    /// The key that opens what others sealed to this device.
    pub const fn seal_identity(&self) -> &SealIdentity {
        &self.seal
    }

    /// The random root of everything sealed at rest in this home.
    pub const fn home_key(&self) -> &DataKey {
        &self.home
    }

    /// This device's certificate as peers see it.
    pub const fn certificate(&self) -> &Signed<DeviceCertificate> {
        &self.certificate
    }

    /// What the certificate says.
    pub const fn claims(&self) -> &DeviceCertificate {
        &self.claims
    }

    /// What this identity is.
    pub const fn kind(&self) -> IdentityKind {
        self.claims.kind
    }

    /// The identity's name.
    pub fn name(&self) -> &str {
        &self.claims.name
    }
}

impl fmt::Debug for Keyring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Keyring({:?}, {:?})", self.identity, self.device)
    }
}

fn unseal(sealed: &[u8], passphrase: &SecretString) -> Result<Zeroizing<Vec<u8>>, KeyringError> {
    if sealed.len() > MAX_FILE_BYTES {
        return Err(KeyringError::Malformed);
    }
    let rest = sealed.strip_prefix(MAGIC.as_slice()).ok_or(KeyringError::Malformed)?;
    let (checksum, file) = rest.split_first_chunk::<CHECKSUM_BYTES>().ok_or(KeyringError::Malformed)?;
    if blake3::hash(file) != *checksum {
        return Err(KeyringError::Malformed);
    }
    let decryptor = age::Decryptor::new_buffered(file).map_err(|_| KeyringError::Malformed)?;
    if !decryptor.is_scrypt() {
        return Err(KeyringError::Malformed);
    }
    let mut identity = age::scrypt::Identity::new(passphrase.clone());
    identity.set_max_work_factor(MAX_WORK_FACTOR_LOG2);
    let mut reader = decryptor.decrypt(iter::once(&identity as _)).map_err(|error| match error {
        DecryptError::DecryptionFailed | DecryptError::KeyDecryptionFailed | DecryptError::NoMatchingKeys => {
            KeyringError::WrongPassphrase
        }
        DecryptError::ExcessiveWork { .. } => KeyringError::WorkFactor,
        _ => KeyringError::Malformed,
    })?;
    let mut plain = Zeroizing::new(Vec::with_capacity(MAX_FILE_BYTES));
    reader.read_to_end(&mut plain).map_err(|_| KeyringError::Malformed)?;
    Ok(plain)
}

/// The secrets as they are sealed.
#[derive(Serialize, Deserialize)]
struct Stored {
    version: u8,
    identity: ByteArray<32>,
    device: ByteArray<32>,
    seal: String,
    home: ByteArray<32>,
    certificate: Signed<DeviceCertificate>,
}

impl Drop for Stored {
    fn drop(&mut self) {
        self.identity.zeroize();
        self.device.zeroize();
        self.seal.zeroize();
        self.home.zeroize();
    }
}

/// A keyring could not be made, sealed or opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeyringError {
    /// The file is whole, the passphrase is not its own.
    #[error("wrong passphrase")]
    WrongPassphrase,
    /// The bytes are damaged or were never a keyring.
    #[error("keyring is damaged or not a keyring")]
    Malformed,
    /// A keyring of a version that this code does not know.
    #[error("keyring of unknown version {found}")]
    Version {
        /// The version it claims.
        found: u8,
    },
    /// The scrypt work factor is zero or would take more than 4 GiB.
    #[error("work factor of the keyring must be from 1 to {MAX_WORK_FACTOR_LOG2}")]
    WorkFactor,
    /// The device certificate inside, or the names for it, are not valid.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    /// age could not seal.
    #[error("sealing the keyring failed")]
    Seal(#[source] age::EncryptError),
}

#[cfg(test)]
mod tests {
    use rand_chacha::ChaCha20Rng;
    use rand_chacha::rand_core::SeedableRng;

    use super::*;

    const NOW: Timestamp = Timestamp::from_millis(1_750_000_000_000);
    /// As fast as scrypt still is scrypt.
    const WORK: u8 = 10;

    fn keyring() -> Keyring {
        let mut rng = ChaCha20Rng::seed_from_u64(5);
        Keyring::create(&mut rng, IdentityKind::Patient, "Ada Example", "laptop", NOW).expect("valid names")
    }

    fn secret(text: &str) -> SecretString {
        SecretString::from(text.to_owned())
    }

    #[test]
    fn opens_with_its_passphrase_and_holds_the_same_keys() {
        let keyring = keyring();
        let again =
            Keyring::open(&keyring.seal(&secret("open sesame"), WORK).unwrap(), &secret("open sesame"));
        let again = again.expect("opens");
        assert_eq!(again.identity().id(), keyring.identity().id());
        assert_eq!(again.device().seed(), keyring.device().seed());
        assert_eq!(again.seal_identity().recipient(), keyring.seal_identity().recipient());
        assert_eq!(again.home_key().expose(), keyring.home_key().expose());
        assert_eq!(again.certificate(), keyring.certificate());
        assert_eq!((again.kind(), again.name()), (IdentityKind::Patient, "Ada Example"));
    }

    #[test]
    fn a_wrong_passphrase_is_told_from_damage() {
        let sealed = keyring().seal(&secret("right"), WORK).unwrap();
        let open = |bytes: &[u8]| Keyring::open(bytes, &secret("right"));
        assert!(matches!(Keyring::open(&sealed, &secret("wrong")), Err(KeyringError::WrongPassphrase)));
        assert!(matches!(Keyring::open(&sealed, &secret("")), Err(KeyringError::WrongPassphrase)));
        for at in 0..sealed.len() {
            let mut damaged = sealed.clone();
            damaged[at] ^= 0x20;
            assert!(matches!(open(&damaged), Err(KeyringError::Malformed)), "byte {at}");
            assert!(matches!(open(&sealed[..at]), Err(KeyringError::Malformed)), "cut at {at}");
        }
        assert!(matches!(open(&[sealed, vec![0]].concat()), Err(KeyringError::Malformed)));
        assert!(matches!(open(&vec![0; MAX_FILE_BYTES + 1]), Err(KeyringError::Malformed)));
    }

    #[test]
    fn sealing_again_changes_the_passphrase() {
        let first = keyring().seal(&secret("old"), WORK).unwrap();
        let second = Keyring::open(&first, &secret("old")).unwrap().seal(&secret("new"), WORK).unwrap();
        assert!(matches!(Keyring::open(&second, &secret("old")), Err(KeyringError::WrongPassphrase)));
        assert!(Keyring::open(&second, &secret("new")).is_ok());
    }

    #[test]
    fn a_hostile_work_factor_is_refused_before_any_work() {
        let sealed = keyring().seal(&secret("p"), WORK).unwrap();
        let file = &sealed[MAGIC.len() + CHECKSUM_BYTES..];
        let at = file.windows(4).position(|w| w == b" 10\n").expect("the work factor is in the header");
        for factor in [&b" 23\n"[..], b" 63\n", b" 255\n", b" 0\n"] {
            let hostile = [&file[..at], factor, &file[at + 4..]].concat();
            let bytes = [MAGIC.as_slice(), blake3::hash(&hostile).as_bytes(), &hostile].concat();
            let refused = Keyring::open(&bytes, &secret("p")).expect_err("too much work");
            assert!(matches!(refused, KeyringError::WorkFactor | KeyringError::Malformed), "{refused}");
        }
        assert!(matches!(keyring().seal(&secret("p"), 0), Err(KeyringError::WorkFactor)));
        assert!(matches!(keyring().seal(&secret("p"), 23), Err(KeyringError::WorkFactor)));
    }

    #[test]
    fn a_renewed_certificate_has_a_higher_epoch_and_is_valid_longer() {
        let mut keyring = keyring();
        let later = NOW.plus(CERTIFICATE_LIFETIME);
        assert_eq!(DeviceCertificate::verify(keyring.certificate(), later), Err(CertificateError::Expired));
        keyring.renew_certificate(later);
        assert_eq!(DeviceCertificate::verify(keyring.certificate(), later).expect("valid again").epoch, 2);
    }

    #[test]
    fn an_empty_name_makes_no_keyring() {
        let mut rng = ChaCha20Rng::seed_from_u64(5);
        let made = Keyring::create(&mut rng, IdentityKind::Clinic, "", "desk", NOW);
        assert!(matches!(made, Err(KeyringError::Certificate(CertificateError::Name { .. }))));
    }

    #[test]
    fn debug_shows_no_secret_and_no_name() {
        let text = format!("{:?}", keyring());
        assert!(!text.contains("Ada") && !text.contains("SECRET") && text.len() < 80, "{text}");
    }
}
