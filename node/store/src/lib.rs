//! Encrypted storage of a home: records, search terms, small documents, rooms and the audit trail.
//!
//! ```text
//! home/store/        sealed values under opaque keys, in the storage engine
//! home/keys/00…ff    the keys of records, sealed, rewritten as a whole so that a destroyed key is gone
//! home/audit/heads/  signed heads of the audit trail
//! home/ballast       space given free when a full disk keeps the store from opening
//! ```
//!
//! Everything blocks; call it from a thread that may. What returned `Ok` survives a crash and a power loss.

mod ballast;
mod document;
mod error;
mod files;
mod opened;
mod record;
mod rooms;
mod size_class;
mod sled;
mod storage;
mod store;
mod trail;
mod vault;
mod writer;

pub use document::DocumentKind;
pub use error::StoreError;
pub use store::{KeyedDocument, MAX_PAYLOAD_BYTES, NewRecord, Store, VerifyReport};
