//! What travels over the local API, shared by `api` (which answers) and `cli` (which asks).

mod analysis;
mod ecg;
mod glucose;
mod images;
mod models;
mod risk;
mod rooms;
mod together;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

pub(crate) use analysis::*;
pub(crate) use ecg::*;
pub(crate) use glucose::*;
pub(crate) use images::*;
pub(crate) use models::*;
pub(crate) use risk::*;
pub(crate) use rooms::*;
pub(crate) use together::*;

/// Why a call was not answered. The CLI turns `kind` into its exit code and prints the rest.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct ProblemBody {
    /// `failed`, `wrong-use`, `not-found`, `denied`.
    pub kind: String,
    /// What was tried and why it failed; never health data.
    pub message: String,
    /// What to do next.
    pub next: Option<String>,
}

/// Health of the node.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct Status {
    /// Identity of this home.
    pub identity: String,
    /// Device of this home.
    pub device: String,
    /// `clinic`, `patient` or `researcher`.
    pub role: String,
    /// Name on the identity.
    pub name: String,
    /// Folder of the home.
    pub home: String,
    /// True when a daemon answered, false when the home was opened for this one call.
    pub daemon: bool,
    /// Version of the program.
    pub version: String,
    /// Paired peers.
    pub peers: Vec<Peer>,
    /// Resources held, own and fetched.
    pub records: u64,
    /// Rooms.
    pub rooms: Vec<RoomSummary>,
    /// How far the other members of each room are.
    pub lag: Vec<RoomLag>,
    /// Entries in the audit trail.
    pub audit_entries: u64,
    /// Where other nodes reach this one; empty without a daemon.
    pub listen: Vec<String>,
    /// What is wrong with the store, in words; nothing when it is well.
    pub trouble: Vec<String>,
    /// Seconds since the daemon was ready.
    pub uptime_s: u64,
}

/// A paired peer.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct Peer {
    /// Its identity.
    pub identity: String,
    /// Its device.
    pub device: String,
    /// `clinic`, `patient` or `researcher`.
    pub role: String,
    /// Name on its certificate.
    pub name: String,
    /// Name of the device.
    pub device_name: String,
    /// When it was paired (RFC 3339, UTC).
    pub paired: String,
    /// Whether a connection is open now.
    pub connected: bool,
    /// Since when it is (RFC 3339, UTC).
    pub connected_since: Option<String>,
    /// When it was last connected; now while it is.
    pub last_seen: Option<String>,
    /// Milliseconds that a ping took there and back; none before the first answer.
    pub round_trip_ms: Option<f64>,
}

/// This home's identity and devices.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct IdentityInfo {
    /// Identity of this home.
    pub identity: String,
    /// Device of this home.
    pub device: String,
    /// `clinic`, `patient` or `researcher`.
    pub role: String,
    /// Name on the identity.
    pub name: String,
    /// Devices that this identity vouches for.
    pub devices: Vec<DeviceInfo>,
}

/// A device of an identity.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct DeviceInfo {
    /// The device.
    pub device: String,
    /// Its name.
    pub name: String,
    /// Certificate epoch.
    pub epoch: u64,
    /// End of its certificate (RFC 3339, UTC).
    pub not_after: String,
    /// True for the device that answers.
    pub this: bool,
}

/// A number that two people compare by voice to be sure of each other.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct SafetyNumber {
    /// The other identity.
    pub identity: String,
    /// 60 digits in groups of five; the same on both sides.
    pub safety_number: String,
}

/// Asks to open a pairing offer.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct OfferRequest {
    /// What the added side gets; `contact` is the only right so far.
    pub right: String,
    /// How long the offer stands, 1 to 10 minutes; 10 when it is left out.
    #[serde(default = "longest_offer")]
    pub minutes: u8,
}

/// The longest that an offer stands, in minutes: long enough to read a code over the telephone.
pub(crate) const LONGEST_OFFER_MINUTES: u8 = (keys::OFFER_LIFETIME.as_secs() / 60) as u8;

const fn longest_offer() -> u8 {
    LONGEST_OFFER_MINUTES
}

/// What an open offer reports, one object a line.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub(crate) enum OfferEvent {
    /// The offer is open.
    Offer {
        /// For people: `NN-word-word`.
        code: String,
        /// For machines: addresses and a one-time secret.
        ticket: String,
        /// Where this node listens, for `--at`.
        addresses: Vec<String>,
        /// End of the offer (RFC 3339, UTC).
        expires: String,
    },
    /// Both screens show the same digits now; the person here has to confirm.
    Check {
        /// Six digits.
        check: String,
        /// Name on the other certificate.
        name: String,
        /// Name of the other device.
        device_name: String,
        /// The other identity.
        peer: String,
    },
    /// A run failed; the offer stays open while tries are left.
    Try {
        /// Why.
        reason: String,
    },
    /// Paired.
    Paired {
        /// The other identity.
        peer: String,
        /// Name on its certificate.
        name: String,
        /// The digits that both sides saw.
        check: String,
    },
    /// The offer is over without a pairing.
    Failed {
        /// Why.
        reason: String,
    },
}

/// The answer of the person at the offering side.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct ConfirmRequest {
    /// True to pair.
    pub accept: bool,
}

/// Asks to accept an offer.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct AcceptRequest {
    /// A code `NN-word-word` or a ticket.
    pub secret: String,
    /// Multiaddress of the offering node, needed with a code.
    pub at: Option<String>,
}

/// What an accepted offer reports, one object a line.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub(crate) enum AcceptEvent {
    /// Both screens show the same digits now.
    Check {
        /// Six digits.
        check: String,
        /// Name on the other certificate.
        name: String,
    },
    /// Paired.
    Paired {
        /// The other identity.
        peer: String,
        /// Name on its certificate.
        name: String,
        /// The digits that both sides saw.
        check: String,
    },
    /// Not paired.
    Failed(ProblemBody),
}

/// Asks to import files of this machine.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct ImportRequest {
    /// Absolute paths of files or folders.
    pub paths: Vec<String>,
    /// FHIR id of the patient that signals without one belong to.
    pub patient: Option<String>,
}

/// What an import reports, one object a line.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub(crate) enum ImportEvent {
    /// So far.
    Progress {
        /// Bytes read of the files named.
        bytes_done: u64,
        /// Bytes of all files named.
        bytes_total: u64,
        /// Resources that are durable and searchable.
        acknowledged: u64,
    },
    /// All of it is durable and searchable.
    Done(ImportReport),
    /// It stopped; what was acknowledged is kept.
    Failed(ProblemBody),
}

/// What an import did.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
pub(crate) struct ImportReport {
    /// Resources imported.
    pub imported: u64,
    /// The same by resource type.
    pub by_type: BTreeMap<String, u64>,
    /// What was left out and why; the first 1,000.
    pub rejected: Vec<RejectedItem>,
    /// How many were left out in all.
    pub rejected_total: u64,
    /// Wall time in seconds.
    pub seconds: f64,
}

/// One thing an import left out.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct RejectedItem {
    /// The file: below the folder that was named, or the whole path when several things were named.
    pub source: String,
    /// Line, counted from 1; 0 when the whole file is meant.
    pub line: u64,
    /// Why; never content of the file.
    pub reason: String,
}

/// Asks to write the original files of a resource's attachments.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct SaveRequest {
    /// Resource type.
    pub resource_type: String,
    /// FHIR id.
    pub id: String,
    /// `own` or the identity of the peer it is from; the own one first when left out.
    #[serde(default)]
    pub source: Option<String>,
    /// Absolute path of an existing folder.
    pub folder: String,
}

/// What was written.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct SaveReport {
    /// Paths of the files.
    pub files: Vec<String>,
}

/// Asks a peer for records.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct FetchRequest {
    /// Identity, device or name of the peer.
    pub peer: String,
    /// `TYPE?query`.
    pub query: String,
    /// HL7 v3 PurposeOfUse code, for instance `TREAT`.
    pub purpose: String,
}

/// What a fetch reports, one object a line.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub(crate) enum FetchEvent {
    /// So far; all of it is kept.
    Progress {
        /// Resources now held here.
        fetched: u64,
        /// Attachments fetched with them.
        attachments: u64,
        /// Bytes of those attachments.
        attachment_bytes: u64,
    },
    /// Everything came.
    Done(FetchReport),
    /// It stopped; what came before is kept.
    Failed(ProblemBody),
}

/// What a fetch brought.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
pub(crate) struct FetchReport {
    /// The peer's identity.
    pub peer: String,
    /// Resources now held here.
    pub fetched: u64,
    /// The same by resource type.
    pub by_type: BTreeMap<String, u64>,
    /// Attachments fetched with them.
    pub attachments: u64,
    /// Bytes of those attachments.
    pub attachment_bytes: u64,
    /// `TYPE/ID` of what the peer consents to and cannot read any more itself.
    pub left_out: Vec<String>,
    /// Wall time in seconds.
    pub seconds: f64,
}

/// Every stored value opened and checked.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct VerifyRecordsReport {
    /// Records checked.
    pub checked: u64,
    /// Opaque ids of those that do not open.
    pub damaged: Vec<String>,
    /// Records that were stored and of which not even the name can be read any more.
    pub missing: u64,
    /// Attachments of records checked.
    pub attachments: u64,
    /// Those that are not here.
    pub attachments_missing: u64,
    /// Those that are not what they were.
    pub attachments_damaged: u64,
    /// Rooms checked.
    pub rooms: u64,
    /// Those of which anything does not open.
    pub rooms_damaged: u64,
    /// The store is older than its own signed audit heads: cut off, or an old copy was put back.
    pub rolled_back: bool,
}

/// Asks to give a consent.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct GrantRequest {
    /// Identity, device or name of the peer.
    pub peer: String,
    /// Resource types; empty for all.
    pub resource_types: Vec<String>,
    /// Category codes; empty for all.
    pub categories: Vec<String>,
    /// Codes; empty for all.
    pub codes: Vec<String>,
    /// `Patient/ID` when only one patient's records are meant.
    pub patient: Option<String>,
    /// Everything is meant; needed when nothing above narrows it.
    #[serde(default)]
    pub all: bool,
    /// HL7 v3 PurposeOfUse code or its name.
    pub purpose: String,
    /// How long it lasts, in seconds.
    pub seconds: u64,
}

/// A consent.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct GrantInfo {
    /// Its id.
    pub grant: String,
    /// `given` or `received`.
    pub direction: String,
    /// Who gave it.
    pub issuer: String,
    /// Who may use it.
    pub grantee: String,
    /// Name of the other side, when paired.
    pub name: Option<String>,
    /// What it covers.
    pub scope: ScopeInfo,
    /// `read`, `write`.
    pub actions: Vec<String>,
    /// HL7 v3 PurposeOfUse code.
    pub purpose: String,
    /// Start (RFC 3339, UTC).
    pub not_before: String,
    /// End (RFC 3339, UTC).
    pub not_after: String,
    /// Of one given: `active`, `expired`, `not-yet-valid`, `revoked`. Of one received: `as-given`, since its owner may
    /// have revoked it, or `expired`.
    pub state: String,
}

/// What a consent covers; an empty list means any.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct ScopeInfo {
    /// Resource types.
    pub resource_types: Vec<String>,
    /// Category codes.
    pub categories: Vec<String>,
    /// Codes.
    pub codes: Vec<String>,
    /// One patient.
    pub patient: Option<String>,
}

/// All consents of this home.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct GrantList {
    /// Given and received.
    pub grants: Vec<GrantInfo>,
}

/// A consent that was revoked.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct RevokeReport {
    /// It.
    #[serde(flatten)]
    pub revoked: GrantInfo,
    /// Other consents of the same peer that still hold.
    pub holding: Vec<GrantInfo>,
}

/// Part of the audit trail.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct AuditPage {
    /// Entries in order.
    pub entries: Vec<AuditLine>,
    /// How many there are in all.
    pub total: u64,
}

/// One entry of the trail.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct AuditLine {
    /// Its number, from 0.
    pub seq: u64,
    /// When (RFC 3339, UTC).
    pub time: String,
    /// Who: `local`, an identity or a device.
    pub who: String,
    /// Its name, when paired.
    pub name: Option<String>,
    /// What.
    pub action: String,
    /// Keyed pseudonym of what it was done to.
    pub object: Option<String>,
    /// HL7 v3 PurposeOfUse code.
    pub purpose: Option<String>,
    /// The consent it rests on.
    pub grant: Option<String>,
    /// How many resources.
    pub count: u64,
    /// `allowed`, `failed` or `denied: reason`.
    pub outcome: String,
}

/// Result of checking the trail.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct AuditVerification {
    /// Entries checked.
    pub entries: u64,
    /// True when chain and signed heads agree.
    pub verified: bool,
    /// Last chain hash.
    pub head: String,
    /// Signed heads checked.
    pub checkpoints: u64,
    /// What is wrong, when something is.
    pub reason: Option<String>,
}
