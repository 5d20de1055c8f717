//! Names of rooms, changes and entries: fixed-size values that cannot be wrong once they exist.

use std::fmt;
use std::ops::RangeInclusive;
use std::str::FromStr;

use keys::{base32, from_base32};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A text that should have named a room, a change or an entry names none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a valid {kind}: expected {prefix}{letters} letters or digits")]
pub struct ParseRoomIdError {
    kind: &'static str,
    prefix: &'static str,
    letters: usize,
}

macro_rules! id {
    ($(#[$doc:meta])* $name:ident, $bytes:literal, $kind:literal, $prefix:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name([u8; $bytes]);

        impl $name {
            /// Wraps raw bytes.
            pub const fn from_bytes(bytes: [u8; $bytes]) -> Self {
                Self(bytes)
            }

            /// The raw bytes.
            pub const fn as_bytes(&self) -> &[u8; $bytes] {
                &self.0
            }

            /// The first eight characters after the prefix, enough for a person to tell two apart.
            pub fn short(&self) -> String {
                self.to_string().chars().take($prefix.len() + 8).collect()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&format!("{}{}", $prefix, base32(&self.0)))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.short())
            }
        }

        impl FromStr for $name {
            type Err = ParseRoomIdError;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                let letters = usize::div_ceil($bytes * 8, 5);
                let wrong = ParseRoomIdError { kind: $kind, prefix: $prefix, letters };
                let body = text.trim().strip_prefix($prefix).filter(|body| body.len() == letters).ok_or(wrong)?;
                from_base32(body).and_then(|bytes| bytes.try_into().ok()).map(Self).ok_or(wrong)
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
                    serde_bytes::ByteArray::<$bytes>::deserialize(deserializer).map(|b| Self(b.into_array()))
                }
            }
        }
    };
}

id! {
    /// A room: the BLAKE3 digest of its signed first epoch, so that the name proves who founded it and how.
    RoomId, 32, "room", "mcm1"
}
id! {
    /// A change: the SHA-256 hash by which automerge names it and by which other changes build on it.
    ChangeHash, 32, "change", "mcx1"
}
id! {
    /// An annotation, note or chat line: the same on every copy of the room.
    EntryId, 16, "entry", ""
}

/// The automerge actor under which one device writes in one room during one session.
pub(crate) type Actor = [u8; 16];

impl EntryId {
    /// The entry that `actor` made with its operation `counter`: nobody else can claim it.
    pub(crate) fn of(actor: &Actor, counter: u64) -> Self {
        let mut hasher = blake3::Hasher::new();
        hasher.update(b"metaclinic/entry/1").update(actor).update(&counter.to_le_bytes());
        let mut id = [0; 16];
        hasher.finalize_xof().fill(&mut id);
        Self(id)
    }

    /// All names that are written beginning with `text`; none when no name is.
    pub(crate) fn beginning_with(text: &str) -> Option<RangeInclusive<Self>> {
        let missing = ENTRY_LETTERS.checked_sub(text.len())?;
        let first = format!("{text}{}", "a".repeat(missing)).parse().ok()?;
        let last = match missing.checked_sub(1) {
            // 26 letters hold two bits more than a name has, so the last letter is never above "4".
            Some(sevens) => format!("{text}{}4", "7".repeat(sevens)).parse().ok()?,
            None => first,
        };
        Some(first..=last)
    }
}

/// Letters of an entry's name.
const ENTRY_LETTERS: usize = 26;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identifiers_read_back_what_they_print() {
        let room = RoomId::from_bytes([7; 32]);
        assert_eq!(room.to_string().parse(), Ok(room));
        assert!(room.to_string().starts_with("mcm1"));
        assert!(room.to_string().parse::<ChangeHash>().is_err());
        let entry = EntryId::of(&[1; 16], 2);
        assert_eq!(entry.to_string().parse(), Ok(entry));
        assert_eq!(entry.to_string().len(), 26);
        assert!("".parse::<EntryId>().is_err());
        assert!("mcm1".parse::<RoomId>().is_err());
        assert!("é".repeat(13).parse::<EntryId>().is_err());
    }

    #[test]
    fn an_entry_is_named_by_its_actor_and_operation() {
        assert_ne!(EntryId::of(&[1; 16], 2), EntryId::of(&[1; 16], 3));
        assert_ne!(EntryId::of(&[1; 16], 2), EntryId::of(&[2; 16], 2));
        assert_ne!(EntryId::of(&[1; 16], 2).short(), EntryId::of(&[1; 16], 3).short());
    }

    #[test]
    fn an_entry_is_found_by_the_beginning_of_its_name() {
        let ids: Vec<EntryId> = (0..40).map(|n| EntryId::of(&[n; 16], u64::from(n))).collect();
        let edges = [EntryId::from_bytes([0; 16]), EntryId::from_bytes([0xff; 16])];
        for id in ids.iter().chain(&edges) {
            let text = id.to_string();
            for letters in 0..=text.len() {
                let names = EntryId::beginning_with(&text[..letters]).unwrap();
                let begins = |other: &&EntryId| other.to_string().starts_with(&text[..letters]);
                assert!(names.contains(id));
                assert!(ids.iter().filter(begins).eq(ids.iter().filter(|other| names.contains(other))));
            }
        }
        for wrong in ["0", "aaé", " aaaa", &"a".repeat(27)] {
            assert_eq!(EntryId::beginning_with(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn identifiers_travel_as_bytes() {
        let hash = ChangeHash::from_bytes([9; 32]);
        let bytes = keys::codec::encode(&hash);
        assert_eq!(bytes.len(), 34);
        assert_eq!(keys::codec::decode::<ChangeHash>("hash", &bytes, 64), Ok(hash));
    }
}
