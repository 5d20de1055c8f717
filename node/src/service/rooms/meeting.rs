//! Meeting other members: one stream for each room and device, a sync session on it, and the rule who begins.
//!
//! The device with the smaller id opens the stream; the other does so only when nobody came for a while. Where two
//! streams cross, the one that the smaller id opened stays.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crdt::{
    Epoch, EpochError, EpochLog, RoomEvent, RoomId, SignedChange, SyncEffect, SyncInput, SyncSession,
};
use keys::{AuditAction, DenyReason, DeviceCertificate, DeviceId, IdentityId, Outcome, Signed, codec};
use net::{Decline, Protocol, RoomSender, RoomStream};
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;

use super::{Node, OpenRoom, Problem, StoredEntry, Tried, devices_of, lock, read, room_event};
use crate::clock;
use crate::service::blocking;

/// Changes wait this long for others to go with them.
const BATCH: Duration = Duration::from_millis(50);
/// A session in step is told the time this often.
const IDLE_TICK: Duration = Duration::from_secs(1);
/// How often members who should be met are looked for.
const LOOK: Duration = Duration::from_secs(1);
/// After this long connected without a stream the larger id opens one.
const PATIENCE: Duration = Duration::from_secs(4);
/// The pause between tries doubles so often, to about a minute.
const MAX_DOUBLINGS: u32 = 6;
/// How long a join waits to be in step.
const JOIN_WAIT: Duration = Duration::from_secs(5);
/// The largest question for a member list.
const MAX_ROLES_REQUEST_BYTES: usize = 1024;
/// The largest answer.
const MAX_ROLES_ANSWER_BYTES: usize = 1 << 20;
/// Entries of one answer …
const MAX_EPOCHS: usize = 1_000;
/// … and their bytes; the asker comes again for the rest.
const MAX_EPOCHS_BYTES: usize = 900 * 1024;
/// What an entry is longer than what it signs.
const ENTRY_OVERHEAD_BYTES: usize = 128;
/// The first frame of a stream: version and room.
const GREETING_VERSION: u8 = 1;

/// Who is being met, in which room.
#[derive(Default)]
pub(crate) struct Sessions {
    live: Mutex<HashMap<(RoomId, DeviceId), Live>>,
    /// Devices that are connected but not in step in a room.
    alone: Mutex<HashMap<(RoomId, DeviceId), Alone>>,
}

#[derive(Clone, Copy)]
struct Alone {
    since: Instant,
    tries: u32,
    next: Instant,
}

struct Live {
    number: u64,
    began_by: DeviceId,
    in_sync: bool,
    cancel: CancellationToken,
}

impl Sessions {
    /// Whether a device is connected in this room and holds the same.
    pub(super) fn in_sync(&self, room: &RoomId, device: &DeviceId) -> bool {
        lock(&self.live).get(&(*room, *device)).is_some_and(|l| l.in_sync)
    }

    fn has(&self, room: &RoomId, device: &DeviceId) -> bool {
        lock(&self.live).contains_key(&(*room, *device))
    }

    /// Takes the one place for this room and device; `None` when a better stream has it.
    fn enter(
        &self,
        room: RoomId,
        device: DeviceId,
        began_by: DeviceId,
        stop: &CancellationToken,
    ) -> Option<Entered> {
        let mut live = lock(&self.live);
        if let Some(there) = live.get(&(room, device)) {
            if there.began_by < began_by {
                return None;
            }
            there.cancel.cancel();
        }
        let cancel = stop.child_token();
        let number = live.get(&(room, device)).map_or(0, |l| l.number + 1);
        live.insert((room, device), Live { number, began_by, in_sync: false, cancel: cancel.clone() });
        Some(Entered { room, device, number, cancel })
    }

    /// Whether a stream should be opened now; a member who closes it again is met ever less often.
    fn may_begin(&self, room: RoomId, device: DeviceId, first: bool) -> bool {
        let now = Instant::now();
        let mut alone = lock(&self.alone);
        let alone = alone.entry((room, device)).or_insert(Alone { since: now, tries: 0, next: now });
        if now < alone.next || !(first || alone.since.elapsed() > PATIENCE) {
            return false;
        }
        alone.tries = (alone.tries + 1).min(MAX_DOUBLINGS);
        alone.next = now + LOOK * 2_u32.pow(alone.tries);
        true
    }

    fn set_in_sync(&self, entered: &Entered, in_sync: bool) {
        let mut live = lock(&self.live);
        let live = live.get_mut(&(entered.room, entered.device));
        if let Some(live) = live.filter(|l| l.number == entered.number) {
            live.in_sync = in_sync;
        }
    }

    fn leave(&self, entered: &Entered) {
        let mut live = lock(&self.live);
        if live.get(&(entered.room, entered.device)).is_some_and(|l| l.number == entered.number) {
            live.remove(&(entered.room, entered.device));
        }
    }
}

struct Entered {
    room: RoomId,
    device: DeviceId,
    number: u64,
    cancel: CancellationToken,
}

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

/// The first frame of a room stream.
#[derive(Serialize, Deserialize)]
struct Greeting {
    version: u8,
    room: RoomId,
}

impl Node {
    /// Keeps meeting the members of all rooms while the daemon runs.
    pub(crate) fn meet_members(self: &Arc<Self>) {
        let node = Arc::clone(self);
        self.tasks.spawn(async move {
            loop {
                node.look_for_members().await;
                tokio::select! {
                    () = node.stop.cancelled() => return,
                    () = tokio::time::sleep(LOOK) => {}
                }
            }
        });
    }

    async fn look_for_members(self: &Arc<Self>) {
        let Some(network) = self.network.get() else { return };
        let own = self.keyring.device().id();
        let connected = network.peers();
        lock(&self.rooms.sessions.alone).retain(|(_, device), _| connected.contains(device));
        for open in self.rooms.all() {
            for device in self.other_devices(&open).into_iter().filter(|d| connected.contains(d)) {
                if self.rooms.sessions.in_sync(&open.id, &device) {
                    lock(&self.rooms.sessions.alone).remove(&(open.id, device));
                }
                if self.rooms.sessions.has(&open.id, &device) {
                    continue;
                }
                if self.rooms.sessions.may_begin(open.id, device, own < device) {
                    let (node, open) = (Arc::clone(self), Arc::clone(&open));
                    self.tasks.spawn(async move { node.begin(&open, device).await });
                }
            }
        }
    }

    /// Devices of the other members, as far as they are paired.
    fn other_devices(&self, open: &OpenRoom) -> Vec<DeviceId> {
        let members: Vec<IdentityId> =
            open.lock().epochs().current().members.iter().map(|m| m.identity).collect();
        let own = self.keyring.device().id();
        members.iter().flat_map(|identity| devices_of(self, identity)).filter(|d| *d != own).collect()
    }

    /// Opens a stream to a member and runs the session on it as a task of its own.
    async fn begin(self: &Arc<Self>, open: &Arc<OpenRoom>, device: DeviceId) {
        let opened = async {
            let network = self.network().await?;
            let stream =
                network.open_room_sync(device, &self.addresses_of(&device)).await.tried("meet a member")?;
            let (mut sender, receiver) = stream.split();
            let greeting = codec::encode(&Greeting { version: GREETING_VERSION, room: open.id });
            sender.send(greeting).await.tried("greet a member")?;
            Ok::<_, Problem>((sender, receiver))
        };
        match opened.await {
            Ok((sender, receiver)) => self.spawn_session(Arc::clone(open), device, true, sender, receiver),
            Err(problem) => tracing::debug!(%problem, device = device.short(), "no stream to a member"),
        }
    }

    /// Another member opened a stream: its first frame names the room.
    pub(crate) async fn meet(self: Arc<Self>, stream: RoomStream) {
        let device = stream.peer();
        let (sender, mut receiver) = stream.split();
        let greeting = receiver.recv().await.ok().flatten();
        let greeting = greeting.and_then(|b| codec::decode::<Greeting>("room greeting", &b, 256).ok());
        let identity = read(&self.peers).by_device(&device).map(|p| p.certificate.identity);
        let open = greeting.filter(|g| g.version == GREETING_VERSION).and_then(|g| self.rooms.get(&g.room));
        let (Some(open), Some(identity)) = (open, identity) else {
            return;
        };
        if self.role_in(&open.lock(), &identity).is_none() {
            let node = Arc::clone(&self);
            self.tasks.spawn_blocking(move || node.refuse(identity.to_string(), DenyReason::Role));
            return;
        }
        self.spawn_session(open, device, false, sender, receiver);
    }

    fn spawn_session(
        self: &Arc<Self>,
        open: Arc<OpenRoom>,
        device: DeviceId,
        outbound: bool,
        sender: RoomSender,
        receiver: net::RoomReceiver,
    ) {
        let Some(identity) = read(&self.peers).by_device(&device).map(|p| p.certificate.identity) else {
            return;
        };
        let began_by = if outbound { self.keyring.device().id() } else { device };
        let Some(entered) = self.rooms.sessions.enter(open.id, device, began_by, &self.stop) else { return };
        let session = SyncSession::new(identity, device);
        let meeting = Meeting { node: Arc::clone(self), open, device, identity, entered, sender, session };
        self.tasks.spawn(meeting.run(receiver));
    }

    /// Joins in at once, and waits a little to be in step.
    pub(super) async fn meet_now(self: &Arc<Self>, room: &RoomId, device: &DeviceId) {
        let Some(open) = self.rooms.get(room) else { return };
        self.begin(&open, *device).await;
        let deadline = Instant::now() + JOIN_WAIT;
        while !self.rooms.sessions.in_sync(room, device) && Instant::now() < deadline {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

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
        let answer: RolesAnswer =
            codec::decode("member list", &bytes, MAX_ROLES_ANSWER_BYTES).tried("read the member list")?;
        if answer.version != 1 {
            return Err(Problem::failed(format!("the member list is of version {}, not 1", answer.version)));
        }
        if answer.entries.len() > MAX_EPOCHS {
            return Err(Problem::failed("the member list has too many entries"));
        }
        Ok(answer.entries)
    }

    /// Answers a question for a member list: for members, and for former ones up to their removal.
    pub(crate) fn answer_roles(&self, device: &DeviceId, body: &[u8]) -> Result<Vec<u8>, Decline> {
        let request: RolesRequest = codec::decode("roles request", body, MAX_ROLES_REQUEST_BYTES)
            .map_err(|e| Decline::Failed(e.to_string()))?;
        if request.version != 1 {
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
            None => Err(Decline::Refused(self.refuse(device.to_string(), DenyReason::Role))),
        }
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

/// One session on one stream.
struct Meeting {
    node: Arc<Node>,
    open: Arc<OpenRoom>,
    device: DeviceId,
    identity: IdentityId,
    entered: Entered,
    sender: RoomSender,
    session: SyncSession,
}

/// Whether a session goes on.
enum Next {
    Go,
    End,
}

impl Meeting {
    async fn run(mut self, mut receiver: net::RoomReceiver) {
        let cancel = self.entered.cancel.clone();
        let mut revision = self.open.revision.subscribe();
        let mut input = SyncInput::Start;
        loop {
            if let Next::End = self.handle(input).await {
                break;
            }
            let wait = if self.session.wants_tick() { BATCH } else { IDLE_TICK };
            input = tokio::select! {
                () = cancel.cancelled() => break,
                frame = receiver.recv() => match frame {
                    Ok(Some(bytes)) => SyncInput::Message(bytes),
                    Ok(None) | Err(_) => break,
                },
                changed = revision.changed() => match changed {
                    Ok(()) => SyncInput::LocalChanges,
                    Err(_) => break,
                },
                () = tokio::time::sleep(wait) => SyncInput::Tick,
            };
        }
        self.node.rooms.sessions.leave(&self.entered);
        let (node, open, device) = (Arc::clone(&self.node), Arc::clone(&self.open), self.device);
        if !cancel.is_cancelled() && node.network.get().is_some_and(|n| n.peers().contains(&device)) {
            // The member is still connected but ended this: perhaps this home is no member any more.
            let from = open.lock().epochs().number() + 1;
            if let Err(problem) = self.take_epochs(from).await {
                tracing::debug!(%problem, device = device.short(), "no newer member list");
            }
        }
        self.sender.close().await;
    }

    async fn handle(&mut self, input: SyncInput) -> Next {
        let mut inputs = vec![input];
        while let Some(input) = inputs.pop() {
            let effects = {
                let room = self.open.lock();
                self.session.handle(clock::now(), &room, input)
            };
            for effect in effects {
                match effect {
                    SyncEffect::Send(bytes) => {
                        if self.sender.send(bytes).await.is_err() {
                            return Next::End;
                        }
                    }
                    SyncEffect::Received { changes, certificates } => {
                        if self.take(changes, certificates).await.is_err() {
                            return Next::End;
                        }
                        inputs.push(SyncInput::LocalChanges);
                    }
                    SyncEffect::NeedEpochs { from } => {
                        if self.take_epochs(from).await.is_err() {
                            return Next::End;
                        }
                        inputs.push(SyncInput::LocalChanges);
                    }
                    SyncEffect::InSync => {}
                    SyncEffect::Refuse { reason } => {
                        tracing::warn!(
                            reason,
                            device = self.device.short(),
                            "a member's message was refused"
                        );
                        let node = Arc::clone(&self.node);
                        let who = self.identity.to_string();
                        // The refusal is in the trail before the stream ends.
                        let _ = blocking(move || Ok(node.refuse(who, DenyReason::Role))).await;
                        return Next::End;
                    }
                }
            }
        }
        self.node.rooms.sessions.set_in_sync(&self.entered, self.session.is_in_sync());
        Next::Go
    }

    /// Checks what a member sent, keeps what is right, and tells everyone else.
    async fn take(
        &self,
        changes: Vec<SignedChange>,
        certificates: Vec<Signed<DeviceCertificate>>,
    ) -> Result<(), Problem> {
        let (node, open) = (Arc::clone(&self.node), Arc::clone(&self.open));
        let identity = self.identity;
        let attached = blocking(move || node.receive(&open, &identity, changes, &certificates)).await?;
        if attached {
            let (node, open, device) = (Arc::clone(&self.node), Arc::clone(&self.open), self.device);
            self.node.tasks.spawn(async move { node.fetch_room_attachments(&open, &device).await });
        }
        Ok(())
    }

    async fn take_epochs(&self, from: u64) -> Result<(), Problem> {
        let entries = self.node.ask_epochs(&self.open.id, &self.device, from).await?;
        let (node, open, identity) = (Arc::clone(&self.node), Arc::clone(&self.open), self.identity);
        blocking(move || {
            node.receive_epochs(&open, entries)?;
            // Changes may have waited for these entries.
            node.receive(&open, &identity, Vec::new(), &[]).map(|_| ())
        })
        .await
    }
}

impl Node {
    /// Returns whether an annotation with an attachment may have come.
    fn receive(
        &self,
        open: &OpenRoom,
        from: &IdentityId,
        changes: Vec<SignedChange>,
        certificates: &[Signed<DeviceCertificate>],
    ) -> Result<bool, Problem> {
        let mut room = open.lock();
        let received = room.receive(changes, certificates, clock::now());
        let mut entries: Vec<StoredEntry> =
            received.new_certificates.into_iter().map(StoredEntry::Certificate).collect();
        let accepted = received.accepted.len();
        let kept = received.accepted.into_iter().chain(received.evidence);
        entries.extend(kept.map(StoredEntry::Change));
        let mut events = Vec::new();
        if !received.refused.is_empty() {
            let count = received.refused.len() as u64;
            tracing::warn!(count, "changes of a room were refused");
            let mut event = room_event(&open.id, from.to_string(), AuditAction::RoomRefuse, count);
            event.1.outcome = Outcome::Denied(DenyReason::Role);
            events.push(event);
        }
        if entries.is_empty() && events.is_empty() {
            return Ok(false);
        }
        if let Err(problem) = self.append(&open.id, &entries, events) {
            // What could not be kept must come again: go back to what is on disk.
            if let Ok(kept) = super::load_room(&self.store, open.id.as_bytes()) {
                *room = kept;
            }
            return Err(problem);
        }
        if accepted > 0 {
            self.own_room_attachments(&open.id, &room);
        }
        drop(room);
        let attached = received.events.iter().any(|e| matches!(e, RoomEvent::AnnotationAdded { .. }));
        if accepted > 0 {
            open.tell(received.events);
        }
        Ok(attached)
    }

    /// Takes over what holds of a member list; what does not is counted and left out, since the session asks again
    /// from further back when it still lacks something.
    fn receive_epochs(&self, open: &OpenRoom, entries: Vec<Signed<Epoch>>) -> Result<(), Problem> {
        let mut room = open.lock();
        let (mut kept, mut events, mut refused) = (Vec::new(), Vec::new(), 0);
        for entry in entries {
            match room.add_epoch(entry.clone()) {
                Ok(happened) if happened.is_empty() => {}
                Ok(happened) => {
                    kept.push(StoredEntry::Epoch(entry));
                    events.extend(happened);
                }
                Err(error) => {
                    tracing::warn!(%error, "an entry of a room's member list was refused");
                    refused += 1;
                    if matches!(error, EpochError::Fork { .. }) {
                        // Both entries together are the proof that freezes the room.
                        kept.push(StoredEntry::Epoch(entry));
                        events.push(RoomEvent::MembersChanged { epoch: room.epochs().number() });
                    }
                }
            }
        }
        let mut trail = Vec::new();
        if refused > 0 {
            let mut event = room_event(&open.id, "member".to_owned(), AuditAction::RoomRefuse, refused);
            event.1.outcome = Outcome::Denied(DenyReason::Role);
            trail.push(event);
        }
        if !kept.is_empty() || !trail.is_empty() {
            self.append(&open.id, &kept, trail)?;
        }
        drop(room);
        if !events.is_empty() {
            open.tell(events);
        }
        Ok(())
    }
}
