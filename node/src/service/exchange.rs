//! `records/1`: asking a peer for records, and answering one. An answer holds only what a consent covers, sealed to
//! the asking device; what is fetched is sealed again under this home's own keys and marked with where it came from.

mod answering;
mod asking;
#[cfg(test)]
mod tests;

use keys::{Grant, Purpose, Signed};
use serde::{Deserialize, Serialize};

/// The version of both messages.
const VERSION: u8 = 1;
/// The largest answer, as the frame limit of `records/1` has it.
const MAX_ANSWER_BYTES: usize = 1 << 20;
/// The same, less the envelope and the consents. A resource above this travels in parts.
const MAX_ANSWER_PLAIN_BYTES: usize = 900 * 1024;
/// Resources in one answer.
const PAGE_COUNT: usize = 500;
/// The largest resource with its attachments' keys, whole.
const MAX_ITEM_BYTES: usize = records::MAX_RESOURCE_BYTES + (1 << 20);
const CONTEXT: &[u8] = b"metaclinic/records/1";

/// What a peer asks.
#[derive(Serialize, Deserialize)]
struct RecordsRequest {
    version: u8,
    /// `TYPE?query`.
    query: String,
    purpose: Purpose,
    /// Bytes of the first resource that the asking side already has, while it comes in parts.
    #[serde(default)]
    offset: u64,
}

/// What it gets, sealed in an [`keys::Envelope`] to the device that asked.
#[derive(Serialize, Deserialize)]
struct RecordsAnswer {
    version: u8,
    items: Vec<AnsweredItem>,
    /// A piece of one resource that is too large for an answer; then there are no items.
    #[serde(default)]
    part: Option<ItemPart>,
    /// The query of the next page; the same one while a resource comes in parts.
    next: Option<String>,
    /// The consents under which these were given.
    grants: Vec<Signed<Grant>>,
    /// `TYPE/ID` of what is consented to and cannot be read there any more.
    #[serde(default)]
    left_out: Vec<String>,
}

#[derive(Serialize, Deserialize)]
struct AnsweredItem {
    /// A [`records::StoredResource`]: the resource's text and the keys of its attachments.
    #[serde(with = "serde_bytes")]
    stored: Vec<u8>,
}

/// Consecutive bytes of an encoded [`records::StoredResource`].
#[derive(Serialize, Deserialize)]
struct ItemPart {
    /// BLAKE3 of the whole.
    #[serde(with = "serde_bytes")]
    digest: [u8; 32],
    /// Bytes of the whole.
    total: u64,
    /// Where this piece begins.
    offset: u64,
    #[serde(with = "serde_bytes")]
    bytes: Vec<u8>,
}

/// Read before the rest, so that a newer message is named as such.
#[derive(Deserialize)]
struct Versioned {
    version: u8,
}
