//! What travels about rooms.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Asks to make a room.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct CreateRoomRequest {
    /// Name that members see.
    pub name: String,
    /// Environment, e.g. `consulting-room`.
    pub scene: String,
}

/// A room by its id and the ticket that invited members join with.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct RoomTicket {
    /// The room.
    pub room: String,
    /// Its name.
    pub name: String,
    /// What an invited member gives to `room join`. It holds no secret: membership is by identity.
    pub ticket: String,
}

/// Asks to add a member.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct InviteRequest {
    /// Identity, device or name of a paired peer.
    pub peer: String,
    /// `clinician`, `patient`, `observer`.
    pub role: String,
}

/// Asks to join a room.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct JoinRequest {
    /// The ticket.
    pub ticket: String,
}

/// A line of a list of rooms.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct RoomSummary {
    /// The room.
    pub room: String,
    /// Its name.
    pub name: String,
    /// Its environment.
    pub scene: String,
    /// This home's role in it; none after removal.
    pub role: Option<String>,
    /// How many members.
    pub members: u64,
    /// Members who are connected and in step now.
    pub in_sync: u64,
    /// How many changes it holds.
    pub changes: u64,
}

/// All rooms of this home.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct RoomList {
    /// The rooms.
    pub rooms: Vec<RoomSummary>,
}

/// How far the other members of a room are.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct RoomLag {
    /// The room.
    pub room: String,
    /// Its name.
    pub name: String,
    /// One entry for each paired device of each other member, and one for a member that is not paired with this home.
    pub members: Vec<MemberLag>,
}

/// How far a member's device is.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct MemberLag {
    /// The member.
    pub identity: String,
    /// Its name, if it is paired with this home.
    pub name: Option<String>,
    /// Its device, if it is paired with this home.
    pub device: Option<String>,
    /// Connected, and its copy equals this one.
    pub in_step: bool,
    /// The most changes of this copy that it lacks, as far as this home knows; none for a member that is not paired
    /// with this home.
    pub lacks: Option<u64>,
    /// When both copies were last known to be equal (RFC 3339, UTC).
    pub last_in_step: Option<String>,
}

/// A room as it stands on this device.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct RoomState {
    /// The room.
    pub room: String,
    /// Its name.
    pub name: String,
    /// Its environment.
    pub scene: String,
    /// This home's role in it.
    pub role: Option<String>,
    /// Number of the member list.
    pub epoch: u64,
    /// Its owner signed two different member lists of this number: for good everyone may only what both allow.
    pub frozen: bool,
    /// How much it holds and may hold.
    pub size: RoomSize,
    /// Who is in it.
    pub members: Vec<RoomMember>,
    /// What is fixed in space.
    pub annotations: Vec<RoomAnnotation>,
    /// Care notes.
    pub notes: Vec<RoomText>,
    /// Conversation.
    pub chat: Vec<RoomText>,
    /// Hashes of the newest changes; equal heads mean equal rooms.
    pub heads: Vec<String>,
}

/// How much a room holds and may hold.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct RoomSize {
    /// Changes, of which none is ever removed.
    pub changes: u64,
    /// Bytes of these changes.
    pub bytes: u64,
    /// The most changes; one member writes half of them at most.
    pub max_changes: u64,
    /// The most bytes; one member writes half of them at most.
    pub max_bytes: u64,
    /// Why this home can write nothing more, whatever its role; none while there is room.
    pub full: Option<String>,
}

/// A member.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct RoomMember {
    /// Its identity.
    pub identity: String,
    /// Its name, when paired.
    pub name: Option<String>,
    /// Its role.
    pub role: String,
    /// Whether it is connected and in step now.
    pub in_sync: bool,
    /// Whether there is no room left for what it writes.
    pub full: bool,
}

/// An annotation.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct RoomAnnotation {
    /// Its id.
    pub annotation: String,
    /// Who made it.
    pub author: String,
    /// When, as its author says (RFC 3339, UTC).
    pub created: String,
    /// What it says.
    pub text: String,
    /// Who wrote what it says now.
    pub text_author: String,
    /// What others wrote at the same time; a conflict until somebody writes again.
    pub text_conflicts: Vec<ConflictingText>,
    /// Metres, x right, y up, z towards the viewer.
    pub position_m: [f32; 3],
    /// Unit quaternion x, y, z, w.
    pub orientation: [f32; 4],
    /// Who put it where it is now.
    pub position_author: String,
    /// Where others moved it at the same time.
    pub position_conflicts: Vec<ConflictingPosition>,
    /// The named place it was put at.
    pub anchor: Option<String>,
    /// The named place that is nearest now, and its distance in metres.
    pub nearest: Option<NearestAnchor>,
    /// What is attached.
    pub attachment: Option<RoomAttachment>,
}

/// A named place and how far it is.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct NearestAnchor {
    /// Its name.
    pub anchor: String,
    /// Metres.
    pub distance_m: f32,
}

/// A concurrent text.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct ConflictingText {
    /// The other text.
    pub text: String,
    /// Who wrote it.
    pub author: String,
}

/// A concurrent position.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct ConflictingPosition {
    /// Metres.
    pub position_m: [f32; 3],
    /// Who moved it there.
    pub author: String,
}

/// A note or a line of the conversation.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct RoomText {
    /// Its id.
    pub id: String,
    /// Who wrote it first.
    pub author: String,
    /// When, as its author says (RFC 3339, UTC).
    pub created: String,
    /// What it says.
    pub text: String,
    /// Who wrote what it says now.
    pub text_author: String,
    /// What others wrote at the same time.
    pub conflicts: Vec<ConflictingText>,
}

/// A sealed file attached to an annotation.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct RoomAttachment {
    /// File name.
    pub name: String,
    /// Media type.
    pub content_type: String,
    /// Sealed size.
    pub bytes: u64,
    /// Whether it is on this device.
    pub here: bool,
}

/// Asks to change a room.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(tag = "do", rename_all = "kebab-case")]
pub(crate) enum RoomRequest {
    /// Adds an annotation.
    Annotate {
        /// What it says.
        text: String,
        /// Where.
        place: Place,
        /// Absolute path of a file to attach.
        attach: Option<String>,
    },
    /// Moves an annotation.
    Move {
        /// Which.
        annotation: String,
        /// Where to.
        place: Place,
    },
    /// Writes an annotation or a note anew.
    Edit {
        /// Which.
        id: String,
        /// What it shall say.
        text: String,
    },
    /// Removes an annotation.
    Remove {
        /// Which.
        annotation: String,
    },
    /// Adds a care note.
    Note {
        /// What it says.
        text: String,
    },
    /// Says something.
    Say {
        /// What.
        text: String,
    },
}

/// A point of the room or a named place in it.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Place {
    /// Metres, x right, y up, z towards the viewer.
    At([f32; 3]),
    /// A named place, e.g. `bed`.
    Anchor(String),
}

/// What a change made or touched.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct RoomChanged {
    /// The room.
    pub room: String,
    /// The annotation, note or line; the same under the name of its kind.
    pub id: String,
    /// Set for annotations.
    pub annotation: Option<String>,
    /// Hashes of the newest changes.
    pub heads: Vec<String>,
}

/// Asks to write an annotation's attachment into a folder.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct SaveAttachmentRequest {
    /// Which annotation.
    pub annotation: String,
    /// Absolute path of an existing folder.
    pub folder: String,
}
