//! `DataKey`: authenticated encryption of one payload, bound to where it belongs.

use std::fmt;

use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use rand_core::CryptoRng;
use zeroize::{Zeroize, ZeroizeOnDrop};

/// Bytes that a sealed value is longer than its plaintext: algorithm id, nonce, tag.
pub const SEAL_OVERHEAD_BYTES: usize = 1 + NONCE_BYTES + 16;

const NONCE_BYTES: usize = 24;
/// Written first, so that another algorithm can follow without guessing.
const ALGORITHM_XCHACHA20_POLY1305: u8 = 1;

/// A sealed value does not open: wrong key, wrong place, or changed bytes.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("sealed value does not open: wrong key, moved from its place, or damaged")]
pub struct SealError;

/// A 256-bit key for one purpose. Sealing is XChaCha20-Poly1305 (draft-irtf-cfrg-xchacha-03) with a random
/// 192-bit nonce; the `context` is authenticated but not stored, so a sealed value opens only in its place.
#[derive(Zeroize, ZeroizeOnDrop)]
pub struct DataKey([u8; 32]);

impl DataKey {
    /// Draws a fresh key.
    pub fn generate(rng: &mut impl CryptoRng) -> Self {
        let mut bytes = [0; 32];
        rng.fill_bytes(&mut bytes);
        Self(bytes)
    }

    /// Takes over 32 secret bytes.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The secret bytes, for wrapping under another key.
    pub const fn expose(&self) -> &[u8; 32] {
        &self.0
    }

    /// A key for another purpose (BLAKE3 `derive_key`); `purpose` is a constant such as `metaclinic 2026
    /// index`.
    #[must_use]
    pub fn derive(&self, purpose: &str) -> Self {
        Self(blake3::derive_key(purpose, &self.0))
    }

    /// A keyed hash (BLAKE3) of `message`: equal for equal inputs, meaningless without the key.
    pub fn keyed_hash(&self, message: &[u8]) -> [u8; 32] {
        *blake3::keyed_hash(&self.0, message).as_bytes()
    }

    /// Seals `plaintext`, bound to `context`.
    pub fn seal(&self, rng: &mut impl CryptoRng, context: &[u8], plaintext: &[u8]) -> Vec<u8> {
        let mut nonce = [0; NONCE_BYTES];
        rng.fill_bytes(&mut nonce);
        let body = self
            .cipher()
            .encrypt(&XNonce::from(nonce), Payload { msg: plaintext, aad: context })
            .expect("XChaCha20-Poly1305 seals any payload below 256 GiB");
        let mut sealed = Vec::with_capacity(1 + NONCE_BYTES + body.len());
        sealed.push(ALGORITHM_XCHACHA20_POLY1305);
        sealed.extend_from_slice(&nonce);
        sealed.extend_from_slice(&body);
        sealed
    }

    /// Opens what [`DataKey::seal`] made with the same key and `context`.
    ///
    /// # Errors
    /// [`SealError`] when key, context or bytes differ.
    pub fn open(&self, context: &[u8], sealed: &[u8]) -> Result<Vec<u8>, SealError> {
        let (&algorithm, rest) = sealed.split_first().ok_or(SealError)?;
        if algorithm != ALGORITHM_XCHACHA20_POLY1305 {
            return Err(SealError);
        }
        let (nonce, body) = rest.split_first_chunk::<NONCE_BYTES>().ok_or(SealError)?;
        self.cipher()
            .decrypt(&XNonce::from(*nonce), Payload { msg: body, aad: context })
            .map_err(|_| SealError)
    }

    fn cipher(&self) -> XChaCha20Poly1305 {
        XChaCha20Poly1305::new(&self.0.into())
    }
}

impl fmt::Debug for DataKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DataKey(…)")
    }
}

#[cfg(test)]
mod tests {
    use rand_chacha::ChaCha20Rng;
    use rand_chacha::rand_core::SeedableRng;

    use super::*;

    #[test]
    fn opens_only_in_its_place_and_unchanged() {
        let mut rng = ChaCha20Rng::seed_from_u64(1);
        let key = DataKey::generate(&mut rng);
        let sealed = key.seal(&mut rng, b"record 1", b"pulse 72/min");
        assert_eq!(sealed.len(), 12 + SEAL_OVERHEAD_BYTES);
        assert_eq!(key.open(b"record 1", &sealed), Ok(b"pulse 72/min".to_vec()));
        assert_eq!(key.open(b"record 2", &sealed), Err(SealError));
        for i in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[i] ^= 1;
            assert_eq!(key.open(b"record 1", &changed), Err(SealError), "byte {i}");
            assert_eq!(key.open(b"record 1", &sealed[..i]), Err(SealError), "cut at {i}");
        }
    }

    #[test]
    fn debug_shows_no_secret() {
        assert_eq!(format!("{:?}", DataKey::from_bytes([9; 32])), "DataKey(…)");
    }
}
