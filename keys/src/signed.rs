//! `Signed<T>`: a message, who signed it, and the exact bytes that were signed.
//!
//! One key signs in several protocols, so each message type has a domain string of its own that is part of
//! what is signed: a signature made for one purpose is worth nothing for another.

use std::fmt;
use std::marker::PhantomData;

use ed25519_dalek::{Signature, Signer, SigningKey, VerifyingKey};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::codec::{self, CodecError};

/// A message type that may be signed.
pub trait Signable: Serialize + DeserializeOwned {
    /// Names the purpose, for instance `metaclinic/grant/1`; never reused for another type.
    const DOMAIN: &'static str;
    /// The most bytes its encoding may have.
    const MAX_BYTES: usize;
}

/// A signed message is not to be believed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SignatureError {
    /// The signature does not belong to these bytes, this signer and this domain.
    #[error("signature over {domain} does not verify")]
    Wrong {
        /// The domain it was checked for.
        domain: &'static str,
    },
    /// Signed, but not by the key that had to sign it.
    #[error("{domain} is signed by another key than expected")]
    OtherSigner {
        /// The domain it was checked for.
        domain: &'static str,
    },
    /// Correctly signed bytes that are not such a message.
    #[error(transparent)]
    Codec(#[from] CodecError),
}

/// A message with its signature (Ed25519, RFC 8032, strict verification) and its signer's public key.
/// Its content is reached only through [`Signed::verify`].
pub struct Signed<T> {
    body: Vec<u8>,
    signer: [u8; 32],
    signature: [u8; 64],
    message: PhantomData<fn() -> T>,
}

impl<T: Signable> Signed<T> {
    /// Signs `message` with `key`.
    pub fn sign(message: &T, key: &SigningKey) -> Self {
        let body = codec::encode(message);
        let signature = key.sign(&signing_input(T::DOMAIN, &body)).to_bytes();
        Self { body, signer: key.verifying_key().to_bytes(), signature, message: PhantomData }
    }

    /// Checks that `signer` signed this, and returns what it says.
    ///
    /// # Errors
    /// [`SignatureError`] when another key signed it, the signature is wrong, or it is not a `T`.
    pub fn verify(&self, signer: &[u8; 32]) -> Result<T, SignatureError> {
        if self.signer != *signer {
            return Err(SignatureError::OtherSigner { domain: T::DOMAIN });
        }
        let wrong = || SignatureError::Wrong { domain: T::DOMAIN };
        let key = VerifyingKey::from_bytes(&self.signer).map_err(|_| wrong())?;
        key.verify_strict(&signing_input(T::DOMAIN, &self.body), &Signature::from_bytes(&self.signature))
            .map_err(|_| wrong())?;
        Ok(codec::decode(T::DOMAIN, &self.body, T::MAX_BYTES)?)
    }

    /// BLAKE3 over domain and signed bytes: the name of this message.
    pub fn digest(&self) -> [u8; 32] {
        *blake3::hash(&signing_input(T::DOMAIN, &self.body)).as_bytes()
    }
}

impl<T> Signed<T> {
    /// The public key that claims to have signed.
    pub const fn signer(&self) -> &[u8; 32] {
        &self.signer
    }

    /// The bytes that were signed.
    pub fn body(&self) -> &[u8] {
        &self.body
    }

    /// The signature over them.
    pub const fn signature(&self) -> &[u8; 64] {
        &self.signature
    }

    /// A message put together from what travelled apart. Whether it is signed at all is seen by [`Signed::verify`].
    pub const fn from_parts(body: Vec<u8>, signer: [u8; 32], signature: [u8; 64]) -> Self {
        Self { body, signer, signature, message: PhantomData }
    }
}

fn signing_input(domain: &str, body: &[u8]) -> Vec<u8> {
    let mut input = Vec::with_capacity(domain.len() + 9 + body.len());
    input.extend_from_slice(&(domain.len() as u64).to_le_bytes());
    input.extend_from_slice(domain.as_bytes());
    input.extend_from_slice(body);
    input
}

impl<T> Clone for Signed<T> {
    fn clone(&self) -> Self {
        Self { body: self.body.clone(), signer: self.signer, signature: self.signature, message: PhantomData }
    }
}

impl<T> PartialEq for Signed<T> {
    fn eq(&self, other: &Self) -> bool {
        self.body == other.body && self.signer == other.signer && self.signature == other.signature
    }
}

impl<T> Eq for Signed<T> {}

impl<T> fmt::Debug for Signed<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Signed({} bytes)", self.body.len())
    }
}

/// The wire form: `{body, signer, signature}` as byte strings.
#[derive(Serialize, Deserialize)]
struct Wire {
    #[serde(with = "serde_bytes")]
    body: Vec<u8>,
    signer: serde_bytes::ByteArray<32>,
    signature: serde_bytes::ByteArray<64>,
}

impl<T> Serialize for Signed<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let wire = Wire {
            body: self.body.clone(),
            signer: serde_bytes::ByteArray::new(self.signer),
            signature: serde_bytes::ByteArray::new(self.signature),
        };
        wire.serialize(serializer)
    }
}

impl<'de, T> Deserialize<'de> for Signed<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let wire = Wire::deserialize(deserializer)?;
        Ok(Self {
            body: wire.body,
            signer: wire.signer.into_array(),
            signature: wire.signature.into_array(),
            message: PhantomData,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Serialize, Deserialize, Debug, PartialEq)]
    struct Letter {
        version: u8,
        text: String,
    }
    impl Signable for Letter {
        const DOMAIN: &'static str = "metaclinic/test-letter/1";
        const MAX_BYTES: usize = 1024;
    }

    #[derive(Serialize, Deserialize, Debug)]
    struct Order {
        version: u8,
        text: String,
    }
    impl Signable for Order {
        const DOMAIN: &'static str = "metaclinic/test-order/1";
        const MAX_BYTES: usize = 1024;
    }

    fn key(seed: u8) -> SigningKey {
        SigningKey::from_bytes(&[seed; 32])
    }

    #[test]
    fn verifies_for_its_signer_and_reads_back() {
        let letter = Letter { version: 1, text: "see you at nine".into() };
        let signed = Signed::sign(&letter, &key(1));
        let again: Signed<Letter> =
            codec::decode("signed", &codec::encode(&signed), 4096).expect("round trip");
        assert_eq!(again.verify(&key(1).verifying_key().to_bytes()).expect("verifies"), letter);
        assert!(again.verify(&key(2).verifying_key().to_bytes()).is_err());
    }

    #[test]
    fn a_changed_byte_or_another_domain_is_refused() {
        let signer = key(1).verifying_key().to_bytes();
        let signed = Signed::sign(&Letter { version: 1, text: "a".into() }, &key(1));
        let mut changed = signed.clone();
        changed.body[3] ^= 1;
        assert!(changed.verify(&signer).is_err());
        let as_order: Signed<Order> =
            codec::decode("signed", &codec::encode(&signed), 4096).expect("same wire form");
        assert!(matches!(as_order.verify(&signer), Err(SignatureError::Wrong { .. })));
    }
}
