//! Files attached to annotations: sealed, fetched from whichever member has them, and given to members only.

use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::sync::Arc;

use crdt::{Attachment, Room, RoomEvent, RoomId};
use keys::DeviceId;
use tokio::runtime::Handle;

use super::{Node, OpenRoom, Problem, Tried, attached, devices_of, read, write};
use crate::api::types::{SaveAttachmentRequest, SaveReport};
use crate::service::blocking;
use crate::service::records::write_new_file;

/// The largest file that may be attached.
const MAX_FILE_BYTES: u64 = 256 << 20;
/// Larger ones are fetched only when somebody saves them.
const MAX_AUTOMATIC_BYTES: u64 = 64 << 20;

/// Attachments that are fetched without being asked for in one meeting.
const MAX_AUTOMATIC_FETCHES: usize = 256;

impl Node {
    /// Seals a file of this machine for an annotation.
    pub(super) fn attach_file(&self, runtime: &Handle, path: &Path) -> Result<Attachment, Problem> {
        let named = |e: std::io::Error| {
            Problem::failed(format!("cannot read {}", path.display())).because(e).next("check the path")
        };
        if !path.is_absolute() {
            return Err(Problem::wrong_use("the local API takes absolute paths only"));
        }
        let meta = std::fs::metadata(path).map_err(named)?;
        if !meta.is_file() || meta.len() > MAX_FILE_BYTES {
            return Err(Problem::wrong_use("only files of at most 256 MiB can be attached"));
        }
        let bytes = std::fs::read(path).map_err(named)?;
        let name = path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
        self.attach_bytes(runtime, &bytes, name)
    }

    /// Seals bytes for an annotation.
    pub(crate) fn attach_bytes(
        &self,
        runtime: &Handle,
        bytes: &[u8],
        name: String,
    ) -> Result<Attachment, Problem> {
        let content_type = content_type(&name);
        let sealed = self.seal_attachment(runtime, bytes, content_type)?;
        Ok(attached(&sealed, name, content_type.to_owned()))
    }

    /// Notes which files a room holds, so that its members may fetch these and no others.
    fn own_room_attachments(&self, id: &RoomId, room: &Room) {
        let attachments = room.attachments();
        let mut owners = write(&self.room_attachments);
        owners.retain(|_, rooms| {
            rooms.retain(|room| room != id);
            !rooms.is_empty()
        });
        for attachment in attachments {
            own(&mut owners, id, attachment.hash);
        }
    }

    /// Follows what happened in a room: a file is given to members as long as an annotation with it is there. Call it
    /// under the lock of the room, so that it follows in the order in which things happened.
    pub(super) fn follow_attachments(&self, id: &RoomId, room: &Room, events: &[RoomEvent]) {
        for event in events {
            match event {
                RoomEvent::AnnotationAdded { id: annotation, .. } => {
                    if let Some(attachment) = room.attachment(annotation) {
                        own(&mut write(&self.room_attachments), id, attachment.hash);
                    }
                }
                // Another annotation may hold the same file, so all are looked at.
                RoomEvent::AnnotationRemoved { .. } | RoomEvent::Withdrawn { .. } => {
                    return self.own_room_attachments(id, room);
                }
                _ => {}
            }
        }
    }

    /// Notes it for all rooms, at unlock.
    pub(crate) fn load_room_attachments(&self) {
        for open in self.rooms.all() {
            self.own_room_attachments(&open.id, &open.lock());
        }
    }

    /// Whether a device's person is in a room that holds this attachment. What belongs to a record is never given
    /// because somebody named it in a room: that needs the consent of the record's owner.
    pub(crate) fn room_attachment_allowed(&self, device: &DeviceId, hash: &[u8; 32]) -> bool {
        if read(&self.attachments).contains_key(hash) {
            return false;
        }
        let Some(identity) = read(&self.peers).by_device(device).map(|p| p.certificate.identity) else {
            return false;
        };
        let rooms = read(&self.room_attachments).get(hash).cloned().unwrap_or_default();
        rooms
            .iter()
            .filter_map(|id| self.rooms.get(id))
            .any(|open| self.role_in(&open.lock(), &identity).is_some())
    }

    /// Fetches attachments of a room that are not here yet from `device`, each tried once in a meeting: what does not
    /// come now comes at the next one, or from another member.
    pub(super) async fn fetch_room_attachments(
        self: &Arc<Self>,
        open: &Arc<OpenRoom>,
        device: &DeviceId,
        tried: &mut HashSet<[u8; 32]>,
    ) {
        let wanted = open.lock().attachments();
        for attachment in wanted.into_iter().filter(|a| a.bytes <= MAX_AUTOMATIC_BYTES) {
            if tried.len() >= MAX_AUTOMATIC_FETCHES || !tried.insert(attachment.hash) {
                continue;
            }
            if let Err(problem) = self.fetch_attachment(device, &attachment).await {
                tracing::debug!(%problem, "an attachment of a room did not come");
            }
        }
    }

    async fn fetch_attachment(
        self: &Arc<Self>,
        device: &DeviceId,
        wanted: &Attachment,
    ) -> Result<(), Problem> {
        if self.blobs.has(&wanted.hash).await.tried("look for the attachment")? {
            return Ok(());
        }
        let addresses =
            read(&self.peers).by_device(device).map(|p| p.card.blob_addresses.clone()).unwrap_or_default();
        let network = self.network().await?;
        network.fetch_blob(wanted.hash, *device, &addresses, wanted.bytes).await.tried("fetch the attachment")
    }

    /// Writes an annotation's attachment into a folder; fetches it first when it is not here.
    ///
    /// # Errors
    /// [`Problem`] when there is none, nobody who has it is in reach, or the file cannot be written.
    pub(crate) async fn room_save(
        self: &Arc<Self>,
        which: &str,
        request: &SaveAttachmentRequest,
    ) -> Result<SaveReport, Problem> {
        let open = self.rooms.resolve(which)?;
        let (id, _) = super::find_entry(&open, &request.annotation)?;
        let (attachment, members) = {
            let room = open.lock();
            (room.attachment(&id), room.epochs().members())
        };
        let attachment = attachment.ok_or_else(|| Problem::not_found("this annotation has no attachment"))?;
        let members: Vec<DeviceId> = members.iter().flat_map(|m| devices_of(self, &m.identity)).collect();
        for device in members {
            if self.blobs.has(&attachment.hash).await.tried("look for the attachment")? {
                break;
            }
            if let Err(problem) = self.fetch_attachment(&device, &attachment).await {
                tracing::debug!(%problem, "a member does not give the attachment");
            }
        }
        let name = attachment.name.clone();
        let sealed = records::Attachment {
            hash: attachment.hash,
            key: attachment.key,
            bytes: attachment.bytes,
            content_type: attachment.content_type.clone(),
            title: name.clone(),
        };
        let bytes = self.open_attachment(&sealed).await?;
        let folder = std::path::PathBuf::from(&request.folder);
        let written = blocking(move || write_new_file(&folder, &name, &bytes)).await?;
        Ok(SaveReport { files: vec![written] })
    }
}

/// Notes that a room holds a file.
fn own(owners: &mut HashMap<[u8; 32], Vec<RoomId>>, id: &RoomId, hash: [u8; 32]) {
    let rooms = owners.entry(hash).or_default();
    if !rooms.contains(id) {
        rooms.push(*id);
    }
}

/// The media type by the ending of a file name.
fn content_type(name: &str) -> &'static str {
    let ending = name.rsplit('.').next().unwrap_or_default().to_ascii_lowercase();
    match ending.as_str() {
        "png" => "image/png",
        "jpg" | "jpeg" => "image/jpeg",
        "svg" => "image/svg+xml",
        "pdf" => "application/pdf",
        "json" => "application/json",
        "txt" => "text/plain",
        "dcm" => "application/dicom",
        "glb" => "model/gltf-binary",
        "mp4" => "video/mp4",
        _ => "application/octet-stream",
    }
}
