//! A resource as it is kept: its text and the keys of the blobs that belong to it.

use std::fmt;

use serde::{Deserialize, Serialize};
use zeroize::{Zeroize, Zeroizing};

use crate::resource::{MAX_RESOURCE_BYTES, Resource, ResourceError};

const VERSION: u8 = 1;
/// The most attachments of one resource.
const MAX_ATTACHMENTS: usize = 1_024;
/// The most bytes [`StoredResource::decode`] reads: a resource and its attachments.
const MAX_ENCODED_BYTES: usize = MAX_RESOURCE_BYTES + (1 << 20);

/// Bytes that should be a stored resource are not.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoredError {
    /// Not the encoding of a stored resource.
    #[error("malformed stored resource")]
    Malformed(#[source] keys::codec::CodecError),
    /// Written by a newer version.
    #[error("stored resource of unknown version {version}")]
    Version {
        /// The version found.
        version: u8,
    },
    /// The text is no resource.
    #[error("the stored text is not a resource")]
    Resource(#[from] ResourceError),
    /// More than 1,024 attachments.
    #[error("the stored resource has too many attachments")]
    Attachments,
}

/// A sealed blob that belongs to a resource, and the key that opens it.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attachment {
    /// BLAKE3 hash of the sealed bytes.
    #[serde(with = "serde_bytes")]
    pub hash: [u8; 32],
    /// The key the blob is sealed with; wiped when this is dropped.
    #[serde(with = "serde_bytes")]
    pub key: [u8; 32],
    /// Size of the sealed bytes.
    pub bytes: u64,
    /// MIME type of the opened bytes.
    pub content_type: String,
    /// A name for people.
    pub title: String,
}

impl Drop for Attachment {
    fn drop(&mut self) {
        self.key.zeroize();
    }
}

impl fmt::Debug for Attachment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Attachment").field("bytes", &self.bytes).finish_non_exhaustive()
    }
}

/// A resource and its attachments.
#[derive(Clone, PartialEq, Eq)]
pub struct StoredResource {
    /// The resource.
    pub resource: Resource,
    /// The blobs it refers to.
    pub attachments: Vec<Attachment>,
}

impl fmt::Debug for StoredResource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoredResource")
            .field("type", &self.resource.resource_type())
            .field("id", &self.resource.id())
            .finish_non_exhaustive()
    }
}

#[derive(Serialize)]
struct Written<'a> {
    version: u8,
    text: &'a str,
    attachments: &'a [Attachment],
}

#[derive(Deserialize)]
struct Read {
    version: u8,
    text: String,
    #[serde(default)]
    attachments: Vec<Attachment>,
}

impl StoredResource {
    /// CBOR; holds keys, so it belongs into a sealed record at once.
    pub fn encode(&self) -> Vec<u8> {
        let written =
            Written { version: VERSION, text: self.resource.text(), attachments: &self.attachments };
        keys::codec::encode(&written)
    }

    /// Reads [`StoredResource::encode`].
    ///
    /// # Errors
    /// [`StoredError`] when the bytes are something else, of a newer version, or hold no resource.
    pub fn decode(bytes: &[u8]) -> Result<Self, StoredError> {
        let read: Read = keys::codec::decode("stored resource", bytes, MAX_ENCODED_BYTES)
            .map_err(StoredError::Malformed)?;
        let text = Zeroizing::new(read.text);
        if read.version != VERSION {
            return Err(StoredError::Version { version: read.version });
        }
        if read.attachments.len() > MAX_ATTACHMENTS {
            return Err(StoredError::Attachments);
        }
        Ok(Self { resource: Resource::parse(&text)?, attachments: read.attachments })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stored() -> StoredResource {
        let resource = Resource::parse(r#"{"resourceType":"Basic","id":"a","x":1.00}"#).unwrap();
        let attachment = Attachment {
            hash: [1; 32],
            key: [2; 32],
            bytes: 77,
            content_type: "application/octet-stream".to_owned(),
            title: "secret title".to_owned(),
        };
        StoredResource { resource, attachments: vec![attachment] }
    }

    #[test]
    fn a_stored_resource_comes_back_whole() {
        assert_eq!(StoredResource::decode(&stored().encode()).unwrap(), stored());
    }

    #[test]
    fn another_version_and_cut_bytes_are_refused() {
        let mut bytes = stored().encode();
        let at = bytes.windows(8).position(|w| w == b"gversion").unwrap() + 8;
        bytes[at] = 2;
        assert!(matches!(StoredResource::decode(&bytes), Err(StoredError::Version { version: 2 })));
        for end in 0..bytes.len() {
            assert!(StoredResource::decode(&bytes[..end]).is_err());
        }
    }

    #[test]
    fn debug_shows_no_content() {
        let text = format!("{:?} {:?}", stored(), stored().attachments);
        assert!(!text.contains("1.00") && !text.contains("secret") && !text.contains("[2, 2"));
    }
}
