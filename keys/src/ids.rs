//! Names of people, devices and moments: fixed-size values that cannot be wrong once they exist.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use data_encoding::{BASE32_NOPAD, Specification};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A text that should have been an identifier is not one.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("not a valid {kind}: expected {prefix} followed by 52 letters or digits")]
pub struct ParseIdError {
    kind: &'static str,
    prefix: &'static str,
}

macro_rules! id {
    ($(#[$doc:meta])* $name:ident, $kind:literal, $prefix:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name([u8; 32]);

        impl $name {
            /// Wraps 32 raw bytes.
            pub const fn from_bytes(bytes: [u8; 32]) -> Self {
                Self(bytes)
            }

            /// The 32 raw bytes.
            pub const fn as_bytes(&self) -> &[u8; 32] {
                &self.0
            }

            /// The first eight characters after the prefix, enough for a person to tell two apart.
            pub fn short(&self) -> String {
                let text = self.to_string();
                text.chars().take($prefix.len() + 8).collect()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}{}", $prefix, BASE32_NOPAD.encode(&self.0).to_ascii_lowercase())
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}", self.short())
            }
        }

        impl FromStr for $name {
            type Err = ParseIdError;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                let wrong = ParseIdError { kind: $kind, prefix: $prefix };
                let body = text.trim().strip_prefix($prefix).ok_or(ParseIdError { ..wrong })?;
                let bytes = BASE32_NOPAD.decode(body.to_ascii_uppercase().as_bytes());
                bytes.ok().and_then(|b| b.try_into().ok()).map(Self).ok_or(wrong)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                if serializer.is_human_readable() {
                    serializer.collect_str(self)
                } else {
                    serde_bytes::Bytes::new(&self.0).serialize(serializer)
                }
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                if deserializer.is_human_readable() {
                    String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
                } else {
                    serde_bytes::ByteArray::<32>::deserialize(deserializer).map(|b| Self(b.into_array()))
                }
            }
        }
    };
}

id! {
    /// A person or an organisation: the Ed25519 public key (RFC 8032) that vouches for its devices.
    IdentityId, "identity", "mci1"
}
id! {
    /// A device: its Ed25519 public key, which is also its libp2p peer id and its iroh endpoint id.
    DeviceId, "device", "mcd1"
}
id! {
    /// A consent: the BLAKE3 hash of the signed grant's bytes.
    GrantId, "grant", "mcg1"
}
id! {
    /// A stored resource under a keyed hash, so that nothing on disk or in the trail names what it is.
    RecordId, "record", "mcr1"
}
id! {
    /// A person whose records are kept, under a keyed hash that only this home can make.
    Pseudonym, "pseudonym", "mcp1"
}

/// Milliseconds since 1970-01-01T00:00:00Z. Pure crates are told the time; they read no clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Timestamp(i64);

impl Timestamp {
    /// From milliseconds since the Unix epoch.
    pub const fn from_millis(unix_ms: i64) -> Self {
        Self(unix_ms)
    }

    /// Milliseconds since the Unix epoch.
    pub const fn as_millis(self) -> i64 {
        self.0
    }

    /// This moment plus `after`, saturating at the end of time.
    #[must_use]
    pub fn plus(self, after: Duration) -> Self {
        Self(self.0.saturating_add(i64::try_from(after.as_millis()).unwrap_or(i64::MAX)))
    }

    /// How long ago `earlier` was; zero when it lies in the future.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }
}

/// Lower-case RFC 4648 base 32 without padding, for tickets and file names.
pub fn base32(bytes: &[u8]) -> String {
    BASE32_NOPAD.encode(bytes).to_ascii_lowercase()
}

/// Reads [`base32`]; upper and lower case are the same.
pub fn from_base32(text: &str) -> Option<Vec<u8>> {
    let mut lenient = Specification::new();
    lenient.symbols.push_str("abcdefghijklmnopqrstuvwxyz234567");
    let encoding = lenient.encoding().ok()?;
    encoding.decode(text.to_ascii_lowercase().as_bytes()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identifiers_read_back_what_they_print() {
        let id = DeviceId::from_bytes([7; 32]);
        assert_eq!(id.to_string().parse(), Ok(id));
        assert_eq!(id.to_string().to_ascii_lowercase().parse(), Ok(id));
        assert!(id.to_string().parse::<IdentityId>().is_err());
        assert!("mcd1short".parse::<DeviceId>().is_err());
    }

    #[test]
    fn base32_reads_either_case() {
        assert_eq!(from_base32(&base32(b"room").to_ascii_uppercase()), Some(b"room".to_vec()));
        assert_eq!(from_base32("!!"), None);
    }
}
