//! `roles/1`: asking for a room's member list, answering, and taking it over.

use std::sync::Arc;

use crdt::{Epoch, EpochError, EpochLog, RoomError, RoomEvent, RoomId};
use keys::{DenyReason, DeviceId, IdentityId, Signed, codec};
use net::{Decline, Protocol};
use serde::{Deserialize, Serialize};

use super::{Node, OpenRoom, Problem, StoredEntry, Tried, read};
use crate::service::consents::denial_words;

/// The largest question for a member list.
const MAX_ROLES_REQUEST_BYTES: usize = 1024;
/// The largest answer.
const MAX_ROLES_ANSWER_BYTES: usize = 1 << 20;
/// Entries of one answer …
const MAX_EPOCHS: usize = 1_000;
/// … and their bytes; the asker comes again for the rest.
const MAX_EPOCHS_BYTES: usize = 900 * 1024;
/// Pages of a member list; a room has at most 4,096 entries, and a page at least one.
const MAX_PAGES: usize = 5_000;
/// What an entry is longer than what it signs.
const ENTRY_OVERHEAD_BYTES: usize = 128;

/// Asks for a room's member list from entry `from` on.
#[derive(Serialize, Deserialize)]
struct RolesRequest {
    version: u8,
    room: RoomId,
    from: u64,
}

/// Entries of a room's member list.
#[derive(Serialize, Deserialize)]
struct RolesAnswer {
    version: u8,
    entries: Vec<Signed<Epoch>>,
}

impl Node {
    /// Asks a device for a room's member list.
    pub(super) async fn ask_epochs(
        self: &Arc<Self>,
        room: &RoomId,
        device: &DeviceId,
        from: u64,
    ) -> Result<Vec<Signed<Epoch>>, Problem> {
        let network = self.network().await?;
        let asked = codec::encode(&RolesRequest { version: 1, room: *room, from });
        let answer = network.request(*device, &self.addresses_of(device), Protocol::Roles, asked).await;
        let bytes = answer.map_err(|error| match error {
            net::NetError::Refused { reason } => {
                Problem::denied(format!("the room's member list is refused: {reason}"))
                    .next("ask the room's owner to invite this home: metaclinic room invite")
            }
            error => Problem::failed("cannot reach the device that the ticket names")
                .because(error)
                .next("check that its daemon runs"),
        })?;
        read_answer(&bytes).inspect_err(|_| self.note_refusal(Some(*device), DenyReason::Malformed))
    }

    /// Asks for a whole member list, page by page.
    pub(super) async fn ask_all_epochs(
        self: &Arc<Self>,
        room: &RoomId,
        device: &DeviceId,
    ) -> Result<Vec<Signed<Epoch>>, Problem> {
        let mut entries: Vec<Signed<Epoch>> = Vec::new();
        for _ in 0..MAX_PAGES {
            let page = self.ask_epochs(room, device, entries.len() as u64).await?;
            let before = entries.len();
            // A page begins with what is known when nothing is newer.
            for entry in page {
                if !entries.iter().rev().take(2).any(|known| known.digest() == entry.digest()) {
                    entries.push(entry);
                }
            }
            if entries.len() == before {
                return Ok(entries);
            }
        }
        Err(Problem::failed("the room's member list is longer than a room may have"))
    }

    /// Answers a question for a member list: for members, and for former ones up to their removal.
    pub(crate) fn answer_roles(&self, device: &DeviceId, body: &[u8]) -> Result<Vec<u8>, Decline> {
        let request: RolesRequest =
            codec::decode("roles request", body, MAX_ROLES_REQUEST_BYTES).map_err(|e| {
                self.note_refusal(Some(*device), DenyReason::Malformed);
                Decline::Failed(e.to_string())
            })?;
        if request.version != 1 {
            self.note_refusal(Some(*device), DenyReason::Malformed);
            return Err(Decline::Failed(format!(
                "this node speaks version 1 of roles/1, not {}",
                request.version
            )));
        }
        let identity = read(&self.peers).by_device(device).map(|p| p.certificate.identity);
        let entries = identity.and_then(|identity| {
            let open = self.rooms.get(&request.room)?;
            let room = open.lock();
            Some(entries_for(room.epochs(), &identity, request.from)).filter(|e| !e.is_empty())
        });
        match entries {
            Some(entries) => Ok(codec::encode(&RolesAnswer { version: 1, entries })),
            None => {
                self.note_refusal(Some(*device), DenyReason::Role);
                Err(Decline::Refused(denial_words(DenyReason::Role)))
            }
        }
    }

    /// Takes over what holds of a member list that `from` sent; what does not is noted and left out, since the session
    /// asks again from further back when it still lacks something.
    pub(super) fn receive_epochs(
        &self,
        open: &OpenRoom,
        from: &DeviceId,
        entries: Vec<Signed<Epoch>>,
    ) -> Result<(), Problem> {
        let mut room = open.lock();
        let (mut kept, mut events) = (Vec::new(), Vec::new());
        for entry in entries {
            match room.add_epoch(entry.clone()) {
                Ok(happened) if happened.is_empty() => {}
                Ok(happened) => {
                    kept.push(StoredEntry::Epoch(entry));
                    events.extend(happened);
                }
                Err(error) => {
                    tracing::warn!(%error, "an entry of a room's member list was refused");
                    self.note_refusal(Some(*from), entry_denial(&error));
                    if matches!(error, EpochError::Fork { .. }) {
                        // Both entries together are the proof that freezes the room.
                        kept.push(StoredEntry::Epoch(entry));
                        events.push(RoomEvent::MembersChanged { epoch: room.epochs().number() });
                    }
                }
            }
        }
        if !kept.is_empty()
            && let Err(problem) = self.append(&open.id, &kept, Vec::new())
        {
            self.go_back(open, &mut room);
            return Err(problem);
        }
        self.follow_attachments(&open.id, &room, &events);
        drop(room);
        if !events.is_empty() {
            open.tell(events);
        }
        Ok(())
    }
}

fn read_answer(bytes: &[u8]) -> Result<Vec<Signed<Epoch>>, Problem> {
    let answer: RolesAnswer =
        codec::decode("member list", bytes, MAX_ROLES_ANSWER_BYTES).tried("read the member list")?;
    if answer.version != 1 {
        return Err(Problem::failed(format!("the member list is of version {}, not 1", answer.version)));
    }
    if answer.entries.len() > MAX_EPOCHS {
        return Err(Problem::failed("the member list has too many entries"));
    }
    Ok(answer.entries)
}

/// How the trail names the refusal of a whole list.
pub(super) const fn denial(error: &RoomError) -> DenyReason {
    match error {
        RoomError::Epoch(error) => entry_denial(error),
        _ => DenyReason::Malformed,
    }
}

/// How the trail names the refusal of an entry: it is whole but not for this room, or it is no entry.
const fn entry_denial(error: &EpochError) -> DenyReason {
    match error {
        EpochError::Signature(_)
        | EpochError::Owner
        | EpochError::OtherRoom
        | EpochError::OtherPast { .. }
        | EpochError::Gap { .. }
        | EpochError::Fork { .. }
        | EpochError::Frozen => DenyReason::NotAllowed,
        _ => DenyReason::Malformed,
    }
}

/// The entries from `from` on that `identity` may see: all while it is a member, none if it never was one.
fn entries_for(log: &EpochLog, identity: &IdentityId, from: u64) -> Vec<Signed<Epoch>> {
    let current = log.current().n;
    let last_member = (0..=current).rev().find(|n| log.role_at(*n, identity).is_some());
    let Some(last_member) = last_member else { return Vec::new() };
    let until = if last_member == current { current } else { last_member + 1 };
    let first = from.min(until);
    let count = usize::try_from(until - first + 1).unwrap_or(MAX_EPOCHS).min(MAX_EPOCHS);
    let mut bytes = 0;
    let fits = |entry: &&Signed<Epoch>| {
        bytes += entry.body().len() + ENTRY_OVERHEAD_BYTES;
        bytes <= MAX_EPOCHS_BYTES
    };
    let mut entries: Vec<_> = log.entries_from(first).iter().take(count).take_while(fits).cloned().collect();
    // A member list with two entries of one number is shown with both, so that the freeze reaches everyone.
    entries.extend(log.proof_of_fork().map(|(_, other)| other.clone()));
    entries
}
