//! CBOR (RFC 8949) for everything that is signed, sealed or sent.
//!
//! Self-describing, so a newer version's unknown fields are skipped by an older reader, and what was
//! signed is always kept as the bytes that were signed: nothing is ever re-encoded to be verified.

use serde::Serialize;
use serde::de::DeserializeOwned;

/// Bytes that should hold a known message do not.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CodecError {
    /// More bytes than this message may have.
    #[error("{what} of {bytes} bytes is over its limit of {limit}")]
    TooLarge {
        /// The kind of message.
        what: &'static str,
        /// Its size.
        bytes: usize,
        /// The most it may have.
        limit: usize,
    },
    /// Not CBOR, not this message, or followed by something else.
    #[error("malformed {what}")]
    Malformed {
        /// The kind of message.
        what: &'static str,
    },
}

/// Encodes `value`.
///
/// # Panics
/// Never for the workspace's own message types: their keys are strings and writing to memory cannot fail.
pub fn encode<T: Serialize>(value: &T) -> Vec<u8> {
    let mut bytes = Vec::new();
    ciborium::into_writer(value, &mut bytes).expect("plain data types always encode into memory");
    bytes
}

/// Decodes one `what` of at most `limit` bytes and nothing after it.
///
/// # Errors
/// [`CodecError`] when the bytes are too many or are not such a message.
pub fn decode<T: DeserializeOwned>(what: &'static str, bytes: &[u8], limit: usize) -> Result<T, CodecError> {
    if bytes.len() > limit {
        return Err(CodecError::TooLarge { what, bytes: bytes.len(), limit });
    }
    let mut rest = bytes;
    let value = ciborium::de::from_reader_with_recursion_limit(&mut rest, MAX_DEPTH);
    match value {
        Ok(value) if rest.is_empty() => Ok(value),
        _ => Err(CodecError::Malformed { what }),
    }
}

/// Nesting beyond this is hostile: our own messages are at most eight levels deep.
const MAX_DEPTH: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trailing_bytes_and_oversize_are_refused() {
        let mut bytes = encode(&("a", 1));
        assert!(decode::<(String, u8)>("pair", &bytes, 64).is_ok());
        assert!(matches!(decode::<(String, u8)>("pair", &bytes, 2), Err(CodecError::TooLarge { .. })));
        bytes.push(0);
        assert!(matches!(decode::<(String, u8)>("pair", &bytes, 64), Err(CodecError::Malformed { .. })));
    }

    #[test]
    fn a_claimed_gigabyte_allocates_nothing() {
        // Byte string that claims 2^30 bytes and has none.
        let bytes = [0x5a, 0x40, 0, 0, 0];
        assert!(decode::<serde_bytes::ByteBuf>("bytes", &bytes, 64).is_err());
    }
}
