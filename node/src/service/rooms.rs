//! Rooms of this home: kept sealed, changed by commands, brought in step with other members by [`meeting`].
//!
//! Every change is durable here before anyone hears of it.

mod attachments;
mod meeting;
mod member_list;
mod open;
mod show;
mod steps;
#[cfg(test)]
mod tests;
mod ticket;

use std::sync::Arc;
use std::sync::atomic::Ordering;

use crdt::{
    Attachment, Author, Charter, EntryId, EntryKind, Epoch, Member, Pose, Role, Room, RoomCommand, RoomEvent,
    RoomId, Trust,
};
use keys::{AuditAction, AuditEvent, DenyReason, DeviceId, IdentityId, Signed, Timestamp, codec};
use rand_core::Rng;
use tokio::sync::broadcast;

use super::problem::{Problem, Tried};
use super::{Node, audit, blocking, lock, read, write};
use crate::api::types::{
    CreateRoomRequest, InviteRequest, Place, RoomChanged, RoomRequest, RoomTicket as TicketInfo,
};
use crate::clock;
pub(crate) use open::Rooms;
use open::{OpenRoom, StoredEntry, load_room};
use ticket::RoomTicket;

/// The most rooms of a home.
const MAX_ROOMS: usize = 1_000;

impl Node {
    /// Makes a room with this home as its owner.
    ///
    /// # Errors
    /// [`Problem`] when the scene is unknown, the name is taken or not valid, or it cannot be kept.
    pub(crate) fn room_create(&self, request: &CreateRoomRequest) -> Result<TicketInfo, Problem> {
        if scenes::environment(&request.scene).is_none() {
            return Err(unknown_scene());
        }
        let _making = lock(&self.rooms.making);
        if self.rooms.all().iter().any(|r| r.name == request.name) {
            return Err(Problem::wrong_use("a room of that name is here already").next("choose another name"));
        }
        self.room_for_one_more()?;
        let mut nonce = [0; 16];
        clock::rng().fill_bytes(&mut nonce);
        let charter = Charter { name: request.name.clone(), scene: request.scene.clone(), nonce };
        let room = Room::create(self.keyring.identity(), charter, Vec::new(), clock::now())
            .map_err(|e| Problem::wrong_use("cannot make the room").because(e))?;
        self.keep_new_room(room, AuditAction::RoomCreate)
    }

    fn room_for_one_more(&self) -> Result<(), Problem> {
        if read(&self.rooms.open).len() >= MAX_ROOMS {
            return Err(Problem::failed(format!("a home holds at most {MAX_ROOMS} rooms")));
        }
        Ok(())
    }

    fn keep_new_room(&self, room: Room, action: AuditAction) -> Result<TicketInfo, Problem> {
        let mut entries: Vec<StoredEntry> =
            room.epochs().entries_from(0).iter().cloned().map(StoredEntry::Epoch).collect();
        entries.push(StoredEntry::Certificate(self.keyring.certificate().clone()));
        self.append(&room.id(), &entries, vec![room_event(&room.id(), "local".to_owned(), action, 1)])?;
        let info = self.ticket_for(&room);
        write(&self.rooms.open).insert(room.id(), OpenRoom::new(room, true, self.store.clone()));
        Ok(info)
    }

    /// After something could not be kept: back to what is on disk, since nobody may see or build on the rest.
    fn go_back(&self, open: &OpenRoom, room: &mut Room) {
        match load_room(&self.store, open.id.as_bytes()) {
            Ok(kept) => *room = kept.room,
            Err(problem) => {
                tracing::error!(%problem, "a room is closed until the next start");
                write(&self.rooms.open).remove(&open.id);
                self.rooms.sessions.end(&open.id);
            }
        }
    }

    fn ticket_for(&self, room: &Room) -> TicketInfo {
        TicketInfo {
            room: room.id().to_string(),
            name: room.charter().name.clone(),
            ticket: RoomTicket { room: room.id(), device: self.keyring.device().id() }.to_string(),
        }
    }

    /// The ticket that members join with.
    ///
    /// # Errors
    /// [`Problem`] when there is no such room.
    pub(crate) fn room_ticket(&self, which: &str) -> Result<TicketInfo, Problem> {
        let open = self.rooms.resolve(which)?;
        let room = open.lock();
        Ok(self.ticket_for(&room))
    }

    /// Adds a member, or changes its role; only the owner can.
    ///
    /// # Errors
    /// [`Problem`] when this home is not the owner, or the peer or the role is unknown.
    pub(crate) fn room_invite(&self, which: &str, request: &InviteRequest) -> Result<TicketInfo, Problem> {
        let role: Role = request.role.parse().map_err(|_| {
            Problem::wrong_use("unknown role").next("use one of: clinician, patient, observer")
        })?;
        let identity = read(&self.peers).resolve(&request.peer)?.certificate.identity;
        let open = self.rooms.resolve(which)?;
        let mut room = open.lock();
        let epoch = room
            .invite(self.keyring.identity(), Member { identity, role }, clock::now())
            .map_err(|e| room_problem("invite to the room", e))?;
        self.keep_epoch(&open, &mut room, epoch)?;
        Ok(self.ticket_for(&room))
    }

    /// Takes a member out; what it wrote stays, what it writes from now on is refused everywhere.
    ///
    /// # Errors
    /// [`Problem`] when this home is not the owner or there is no such member.
    pub(crate) fn room_remove(&self, which: &str, peer: &str) -> Result<TicketInfo, Problem> {
        let identity = match peer.parse() {
            Ok(identity) => identity,
            Err(_) => read(&self.peers).resolve(peer)?.certificate.identity,
        };
        let open = self.rooms.resolve(which)?;
        let mut room = open.lock();
        let epoch = room
            .remove(self.keyring.identity(), &identity, clock::now())
            .map_err(|e| room_problem("remove from the room", e))?;
        self.keep_epoch(&open, &mut room, epoch)?;
        Ok(self.ticket_for(&room))
    }

    fn keep_epoch(&self, open: &OpenRoom, room: &mut Room, epoch: Signed<Epoch>) -> Result<(), Problem> {
        let number = room.epochs().current().n;
        let event = room_event(&open.id, "local".to_owned(), AuditAction::RoomMembers, 1);
        if let Err(problem) = self.append(&open.id, &[StoredEntry::Epoch(epoch)], vec![event]) {
            // A second entry of this number, signed after a restart, would freeze the room for ever.
            self.go_back(open, room);
            return Err(problem);
        }
        open.tell(vec![RoomEvent::MembersChanged { epoch: number }]);
        Ok(())
    }

    /// Changes a room: durable when it returns, and on its way to whoever is connected.
    ///
    /// # Errors
    /// [`Problem`] when the role does not permit it, or an id, a place or a file is wrong.
    pub(crate) fn room_change(
        &self,
        runtime: &tokio::runtime::Handle,
        which: &str,
        request: RoomRequest,
    ) -> Result<RoomChanged, Problem> {
        let open = self.rooms.resolve(which)?;
        let command = self.command(runtime, &open, request)?;
        let mut room = open.lock();
        let author = Author { device: self.keyring.device(), certificate: self.keyring.certificate() };
        let (change, events) = room
            .apply(command, &author, open.session, clock::now())
            .map_err(|e| room_problem("change the room", e))?;
        let mut entries = Vec::new();
        if !open.certified.load(Ordering::Acquire) {
            entries.push(StoredEntry::Certificate(self.keyring.certificate().clone()));
        }
        entries.push(StoredEntry::Change(change));
        if let Err(problem) = self.append(&open.id, &entries, Vec::new()) {
            // What could not be kept must not be seen by anyone.
            self.go_back(&open, &mut room);
            return Err(problem);
        }
        open.certified.store(true, Ordering::Release);
        let (id, annotation) = touched(&events);
        let heads = room.heads().iter().map(ToString::to_string).collect();
        self.follow_attachments(&open.id, &room, &events);
        drop(room);
        open.tell(events);
        Ok(RoomChanged { room: open.id.to_string(), id, annotation, heads })
    }

    fn command(
        &self,
        runtime: &tokio::runtime::Handle,
        open: &OpenRoom,
        request: RoomRequest,
    ) -> Result<RoomCommand, Problem> {
        Ok(match request {
            RoomRequest::Annotate { text, place, attach } => {
                let (pose, anchor) = self.place(open, place)?;
                let attachment =
                    attach.map(|path| self.attach_file(runtime, std::path::Path::new(&path))).transpose()?;
                RoomCommand::AddAnnotation { text, pose, anchor, attachment }
            }
            RoomRequest::Move { annotation, place } => {
                let (pose, _) = self.place(open, place)?;
                RoomCommand::MoveAnnotation { id: find_entry(open, &annotation)?.0, pose }
            }
            RoomRequest::Edit { id, text } => match find_entry(open, &id)? {
                (id, EntryKind::Note) => RoomCommand::EditNote { id, text },
                (id, _) => RoomCommand::EditAnnotation { id, text },
            },
            RoomRequest::Remove { annotation } => {
                RoomCommand::RemoveAnnotation { id: find_entry(open, &annotation)?.0 }
            }
            RoomRequest::Note { text } => RoomCommand::AddNote { text },
            RoomRequest::Say { text } => RoomCommand::Say { text },
        })
    }

    fn place(&self, open: &OpenRoom, place: Place) -> Result<(Pose, Option<String>), Problem> {
        let scene = open.lock().charter().scene.clone();
        let environment = scenes::environment(&scene);
        match place {
            Place::At([x, y, z]) => {
                let pose =
                    Pose::at(x, y, z).map_err(|e| Problem::wrong_use("this is no place").because(e))?;
                if environment.is_some_and(|e| !e.contains([x, y, z])) {
                    return Err(Problem::wrong_use("that point lies outside the room")
                        .next("list the room's size and places with: metaclinic scene list"));
                }
                Ok((pose, None))
            }
            Place::Anchor(name) => {
                let anchor = environment.and_then(|e| e.anchor(&name)).ok_or_else(|| {
                    Problem::wrong_use("the room has no place of that name")
                        .next("list its places with: metaclinic scene list")
                })?;
                Ok((anchor.pose, Some(name)))
            }
        }
    }

    /// Keeps entries of a room; durable when it returns.
    fn append(
        &self,
        room: &RoomId,
        entries: &[StoredEntry],
        events: Vec<(Timestamp, AuditEvent)>,
    ) -> Result<(), Problem> {
        let bytes = entries.iter().map(codec::encode).collect();
        self.store.append_room(room.as_bytes(), bytes, events).tried("keep the change of the room")
    }

    /// Joins the room of a ticket: asks the inviting device for the member list and checks that it names this home.
    ///
    /// # Errors
    /// [`Problem`] when the ticket is wrong, its maker is not paired or out of reach, or this home is no member.
    pub(crate) async fn room_join(self: &Arc<Self>, ticket: &str) -> Result<TicketInfo, Problem> {
        let ticket: RoomTicket = ticket.parse().map_err(|e| {
            Problem::wrong_use("cannot read the room ticket").because(e).next("copy the whole ticket again")
        })?;
        if let Some(open) = self.rooms.get(&ticket.room) {
            return self.join_again(&open, &ticket.device).await;
        }
        self.room_for_one_more()?;
        if read(&self.peers).by_device(&ticket.device).is_none() {
            return Err(Problem::denied("the ticket is from a device that is not paired with this home")
                .next("pair with it first: metaclinic pair accept"));
        }
        let epochs = self.ask_all_epochs(&ticket.room, &ticket.device).await?;
        let node = Arc::clone(self);
        let info = blocking(move || {
            let certificate = node.keyring.certificate().clone();
            let room = Room::open(&epochs, vec![certificate], std::iter::empty(), Trust::Nothing)
                .inspect_err(|error| node.note_refusal(Some(ticket.device), member_list::denial(error)))
                .tried("check the room's member list")?;
            let me = node.keyring.identity().id();
            if room.id() != ticket.room {
                node.note_refusal(Some(ticket.device), DenyReason::NotAllowed);
                return Err(Problem::denied("the device answered with the member list of another room")
                    .next("ask its owner for a new ticket: metaclinic room show"));
            }
            if room.epochs().role_at(room.epochs().current().n, &me).is_none() {
                return Err(Problem::denied("this home is no member of that room")
                    .next("ask its owner to invite it: metaclinic room invite"));
            }
            let _making = lock(&node.rooms.making);
            match node.rooms.get(&ticket.room) {
                Some(open) => Ok(node.ticket_for(&open.lock())),
                None => node.keep_new_room(room, AuditAction::RoomJoin),
            }
        })
        .await?;
        self.meet_now(&ticket.room, &ticket.device).await;
        Ok(info)
    }

    /// A room that is here already: whoever was removed meanwhile is told so.
    async fn join_again(
        self: &Arc<Self>,
        open: &Arc<OpenRoom>,
        device: &DeviceId,
    ) -> Result<TicketInfo, Problem> {
        let me = self.keyring.identity().id();
        if open.lock().role(&me).is_none() {
            let from = open.lock().epochs().number() + 1;
            let entries = self.ask_epochs(&open.id, device, from).await?;
            let (node, open, device) = (Arc::clone(self), Arc::clone(open), *device);
            blocking(move || node.receive_epochs(&open, &device, entries)).await?;
        }
        let room = open.lock();
        match room.role(&me) {
            Some(_) => Ok(self.ticket_for(&room)),
            None => Err(Problem::denied("this home was removed from that room")
                .next("ask its owner to invite it again: metaclinic room invite")),
        }
    }

    /// What happens in a room from now on.
    ///
    /// # Errors
    /// [`Problem`] when there is no such room.
    pub(crate) fn room_watch(&self, which: &str) -> Result<broadcast::Receiver<RoomEvent>, Problem> {
        Ok(self.rooms.resolve(which)?.watch())
    }

    fn role_in(&self, room: &Room, identity: &IdentityId) -> Option<Role> {
        room.epochs().role_at(room.epochs().current().n, identity)
    }
}

/// The fewest letters of an id that name an entry.
const MIN_ENTRY_LETTERS: usize = 4;

/// Finds an annotation or a note by its id or the beginning of it.
fn find_entry(open: &OpenRoom, which: &str) -> Result<(EntryId, EntryKind), Problem> {
    let beginning = Some(which).filter(|which| which.len() >= MIN_ENTRY_LETTERS);
    let room = open.lock();
    let named = beginning.into_iter().flat_map(|beginning| room.find(beginning));
    let mut found = named.filter(|(_, kind)| matches!(kind, EntryKind::Annotation | EntryKind::Note));
    match (found.next(), found.next()) {
        (Some(entry), None) => Ok(entry),
        (None, _) => Err(Problem::not_found("nothing in the room has that id")
            .next("see the ids with: metaclinic room show ROOM")),
        (Some(_), Some(_)) => {
            Err(Problem::wrong_use("more than one id begins like that").next("give more of it"))
        }
    }
}

fn touched(events: &[RoomEvent]) -> (String, Option<String>) {
    let named = events.iter().find_map(|event| match event {
        RoomEvent::AnnotationAdded { id, .. }
        | RoomEvent::AnnotationMoved { id, .. }
        | RoomEvent::AnnotationEdited { id, .. }
        | RoomEvent::AnnotationRemoved { id, .. } => Some((id.to_string(), true)),
        RoomEvent::NoteAdded { id, .. } | RoomEvent::NoteEdited { id, .. } | RoomEvent::Said { id, .. } => {
            Some((id.to_string(), false))
        }
        _ => None,
    });
    named.map(|(id, annotation)| (id.clone(), annotation.then_some(id))).unwrap_or_default()
}

/// An entry of the trail about a room.
fn room_event(room: &RoomId, who: String, action: AuditAction, count: u64) -> (Timestamp, AuditEvent) {
    let mut event = audit::event(clock::now(), action, count);
    event.1.who = who;
    event.1.object = Some(*blake3::hash(room.as_bytes()).as_bytes());
    event
}

fn room_problem(action: &str, error: crdt::RoomError) -> Problem {
    match error {
        crdt::RoomError::NotTheOwner => Problem::denied(format!("cannot {action}")).because(error),
        crdt::RoomError::Refused(reason) if reason.is_for_want_of_room() => {
            Problem::failed(format!("cannot {action}: {reason}"))
                .next("go on in a new room: metaclinic room create NAME")
        }
        crdt::RoomError::Refused(reason) => Problem::denied(format!("cannot {action}: {reason}"))
            .next("see your role with: metaclinic room show ROOM"),
        other => Problem::wrong_use(format!("cannot {action}")).because(other),
    }
}

fn unknown_scene() -> Problem {
    let names: Vec<&str> = scenes::environments().iter().map(|e| e.name.as_str()).collect();
    Problem::wrong_use("unknown scene").next(format!("use one of: {}", names.join(", ")))
}

/// The parts of a stored attachment that a room document carries.
fn attached(sealed: &records::Attachment, name: String, content_type: String) -> Attachment {
    Attachment { hash: sealed.hash, key: sealed.key, bytes: sealed.bytes, content_type, name }
}

/// A device that is a member's, by its identity.
fn devices_of(node: &Node, identity: &IdentityId) -> Vec<DeviceId> {
    let peers = read(&node.peers);
    peers.all().filter(|p| p.certificate.identity == *identity).map(|p| p.certificate.device).collect()
}
