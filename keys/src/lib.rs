//! Who may do what, and proof of it. Pure: time and randomness are arguments, nothing is read or written.
//! (age alone draws its own randomness, for passphrase salts and wraps.)

mod audit;
mod authority;
pub mod codec;
mod envelope;
mod grant;
mod identity;
mod ids;
mod keyring;
mod model;
mod pairing;
mod seal;
mod signed;

pub use audit::{
    AuditAction, AuditEntry, AuditError, AuditEvent, AuditLog, AuditReport, Checkpoint,
    MAX_AUDIT_ENTRY_BYTES, Outcome, verify_audit,
};
pub use authority::{Authority, Denied, DenyReason, GrantState, Permit};
pub use envelope::{Envelope, EnvelopeError, MAX_RECIPIENTS};
pub use grant::{
    Action, Grant, GrantError, MAX_SCOPE_ENTRIES, MAX_SCOPE_ENTRY_BYTES, ParseActionError, ParsePurposeError,
    Purpose, ResourceFacts, Revocation, Scope,
};
pub use identity::{
    CertificateError, DeviceCertificate, DeviceKey, IdentityKey, IdentityKind, MAX_NAME_BYTES,
    ParseKindError, SealIdentity, safety_number,
};
pub use ids::{
    DeviceId, GrantId, IdentityId, ParseIdError, Pseudonym, RecordId, Timestamp, base32, from_base32,
};
pub use keyring::{CERTIFICATE_LIFETIME, Keyring, KeyringError, MAX_WORK_FACTOR_LOG2};
pub use model::{ManifestError, ModelAnswer, ModelManifest, ModelOpinion};
pub use pairing::{
    DeviceCard, Direction, MAX_PAIRING_FRAME_BYTES, MAX_TRIES, OFFER_LIFETIME, OfferTerms, Pairing,
    PairingCode, PairingEffect, PairingFailure, PairingInput, ParseCodeError, ParseSecretError, Right,
    Secret, TICKET_PREFIX, Ticket, TicketError,
};
pub use seal::{DataKey, SEAL_OVERHEAD_BYTES, SealError};
pub use signed::{Signable, SignatureError, Signed};
