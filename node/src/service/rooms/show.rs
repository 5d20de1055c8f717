//! Rooms as the API shows them.

use std::collections::HashSet;

use crdt::{Annotation, Field, MAX_ROOM, Room, RoomView};
use keys::IdentityId;

use super::{Node, OpenRoom, Problem, devices_of, read};
use crate::api::types::{
    ConflictingPosition, ConflictingText, NearestAnchor, RoomAnnotation, RoomAttachment, RoomList,
    RoomMember, RoomSize, RoomState, RoomSummary, RoomText,
};
use crate::clock;

impl Node {
    /// All rooms.
    pub(crate) fn room_list(&self) -> RoomList {
        RoomList { rooms: self.rooms.all().iter().map(|open| self.summary(open)).collect() }
    }

    fn summary(&self, open: &OpenRoom) -> RoomSummary {
        let room = open.lock();
        let current = room.epochs().current();
        RoomSummary {
            room: room.id().to_string(),
            name: room.charter().name.clone(),
            scene: room.charter().scene.clone(),
            role: self.role_in(&room, &self.keyring.identity().id()).map(|r| r.to_string()),
            members: current.members.len() as u64,
            in_sync: current.members.iter().filter(|m| self.in_sync(open, &m.identity)).count() as u64,
            changes: room.len() as u64,
        }
    }

    /// A room as it stands on this device.
    ///
    /// # Errors
    /// [`Problem`] when there is no such room.
    pub(crate) async fn room_show(&self, which: &str) -> Result<RoomState, Problem> {
        let open = self.rooms.resolve(which)?;
        let own = self.keyring.identity().id();
        let (view, role, size, full, frozen) = {
            let room = open.lock();
            let members = room.epochs().members().into_iter().map(|m| m.identity);
            let full: HashSet<_> = members.filter(|m| room.fullness(m).is_some()).collect();
            let frozen = room.epochs().is_frozen();
            (room.view(), self.role_in(&room, &own), shown_size(&room, &own), full, frozen)
        };
        let mut annotations = Vec::with_capacity(view.annotations.len());
        for (annotation, placed) in view.annotations.iter().zip(scenes::AnnotationView::of_room(&view)) {
            let mut shown = shown_annotation(annotation);
            shown.nearest = placed
                .nearest
                .map(|n| NearestAnchor { anchor: n.anchor.name.clone(), distance_m: n.distance_m });
            if let (Some(shown), Some(attachment)) = (&mut shown.attachment, &annotation.attachment) {
                shown.here = self.blobs.has(&attachment.hash).await.unwrap_or(false);
            }
            annotations.push(shown);
        }
        Ok(RoomState {
            room: view.id.to_string(),
            name: view.name.clone(),
            scene: view.scene.clone(),
            role: role.map(|r| r.to_string()),
            epoch: view.epoch,
            frozen,
            size,
            members: self.members(&open, &view, &full),
            annotations,
            notes: view
                .notes
                .iter()
                .map(|n| RoomText {
                    id: n.id.to_string(),
                    author: n.author.to_string(),
                    created: clock::rfc3339(n.created),
                    text: n.text.value.clone(),
                    text_author: n.text.author.to_string(),
                    conflicts: text_conflicts(&n.text),
                })
                .collect(),
            chat: view
                .chat
                .iter()
                .map(|c| RoomText {
                    id: c.id.to_string(),
                    author: c.author.to_string(),
                    created: clock::rfc3339(c.created),
                    text: c.text.clone(),
                    text_author: c.author.to_string(),
                    conflicts: Vec::new(),
                })
                .collect(),
            heads: view.heads.iter().map(ToString::to_string).collect(),
        })
    }

    fn members(&self, open: &OpenRoom, view: &RoomView, full: &HashSet<IdentityId>) -> Vec<RoomMember> {
        let own = self.keyring.identity().id();
        let name = |identity: &IdentityId| {
            if *identity == own {
                return Some(self.keyring.name().to_owned());
            }
            read(&self.peers).by_identity(identity).map(|p| p.certificate.name.clone())
        };
        view.members
            .iter()
            .map(|m| RoomMember {
                identity: m.identity.to_string(),
                name: name(&m.identity),
                role: m.role.to_string(),
                in_sync: self.in_sync(open, &m.identity),
                full: full.contains(&m.identity),
            })
            .collect()
    }

    /// Whether a member is this home itself, or one of its devices is connected and in step.
    fn in_sync(&self, open: &OpenRoom, identity: &IdentityId) -> bool {
        *identity == self.keyring.identity().id()
            || devices_of(self, identity).iter().any(|d| self.rooms.sessions.in_sync(&open.id, d))
    }
}

fn shown_size(room: &Room, own: &IdentityId) -> RoomSize {
    let amount = room.amount();
    RoomSize {
        changes: amount.changes as u64,
        bytes: amount.bytes as u64,
        max_changes: MAX_ROOM.changes as u64,
        max_bytes: MAX_ROOM.bytes as u64,
        full: room.fullness(own).map(|refusal| refusal.to_string()),
    }
}

fn shown_annotation(annotation: &Annotation) -> RoomAnnotation {
    RoomAnnotation {
        annotation: annotation.id.to_string(),
        author: annotation.author.to_string(),
        created: clock::rfc3339(annotation.created),
        text: annotation.text.value.clone(),
        text_author: annotation.text.author.to_string(),
        text_conflicts: text_conflicts(&annotation.text),
        position_m: annotation.pose.value.position_m,
        orientation: annotation.pose.value.orientation,
        position_author: annotation.pose.author.to_string(),
        position_conflicts: annotation
            .pose
            .alternatives
            .iter()
            .map(|a| ConflictingPosition { position_m: a.value.position_m, author: a.author.to_string() })
            .collect(),
        anchor: annotation.anchor.clone(),
        nearest: None,
        attachment: annotation.attachment.as_ref().map(|a| RoomAttachment {
            name: a.name.clone(),
            content_type: a.content_type.clone(),
            bytes: a.bytes,
            here: false,
        }),
    }
}

fn text_conflicts(field: &Field<String>) -> Vec<ConflictingText> {
    let conflict = |a: &crdt::Alternative<String>| ConflictingText {
        text: a.value.clone(),
        author: a.author.to_string(),
    };
    field.alternatives.iter().map(conflict).collect()
}
