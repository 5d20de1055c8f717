//! Meeting other members: one stream for each room and device, a sync session on it, and the rule who begins.
//!
//! The device with the smaller id opens the stream; the other does so only when nobody came for a while. Where two
//! streams cross, the one that the smaller id opened stays.

#[cfg(test)]
mod tests;

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crdt::{ChangeHash, Refusal, RoomId, SignedChange, SyncEffect, SyncInput, SyncSession};
use keys::{
    AuditAction, AuditEvent, DenyReason, DeviceCertificate, DeviceId, IdentityId, Outcome, Signed, Timestamp,
    codec,
};
use net::{NetError, RoomSender, RoomStream};
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;

use super::steps::Step;
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
/// The first frame of a stream: version and room.
const GREETING_VERSION: u8 = 1;

/// Who is being met, in which room.
#[derive(Default)]
pub(crate) struct Sessions {
    live: Mutex<HashMap<(RoomId, DeviceId), Live>>,
    /// Counts all sessions ever, so that a late end of an old one is not taken for the end of a new one.
    number: AtomicU64,
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
        let number = self.number.fetch_add(1, Ordering::Relaxed);
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

    /// Ends all sessions of a room.
    pub(super) fn end(&self, room: &RoomId) {
        lock(&self.live).iter().filter(|((r, _), _)| r == room).for_each(|(_, live)| live.cancel.cancel());
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
        let me = self.keyring.identity().id();
        for open in self.rooms.all() {
            // Who was removed does not knock for ever.
            if open.lock().role(&me).is_none() {
                continue;
            }
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
        let greeting = match receiver.recv().await {
            Ok(Some(bytes)) => codec::decode::<Greeting>("room greeting", &bytes, 256),
            Ok(None) => return,
            Err(error) => return self.note_broken(&device, &error),
        };
        let Some(greeting) = greeting.ok().filter(|g| g.version == GREETING_VERSION) else {
            return self.note_refusal(Some(device), DenyReason::Malformed);
        };
        let identity = read(&self.peers).by_device(&device).map(|p| p.certificate.identity);
        let open = self.rooms.get(&greeting.room);
        let member =
            |(open, identity): &(Arc<OpenRoom>, IdentityId)| self.role_in(&open.lock(), identity).is_some();
        let Some((open, _)) = open.zip(identity).filter(member) else {
            // A room that is not here and one that is closed to the peer look alike.
            return self.note_refusal(Some(device), DenyReason::Role);
        };
        self.spawn_session(open, device, false, sender, receiver);
    }

    /// Notes a stream that ended because of what came on it; one that was only lost is no breach.
    fn note_broken(&self, device: &DeviceId, error: &NetError) {
        if matches!(error, NetError::TooLarge { .. } | NetError::Malformed(_)) {
            self.note_refusal(Some(*device), DenyReason::Malformed);
        }
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
        let (node, tried) = (Arc::clone(self), Arc::default());
        let meeting = Meeting { node, open, device, entered, sender, session, tried, step_kept: false };
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
}

/// One session on one stream.
struct Meeting {
    node: Arc<Node>,
    open: Arc<OpenRoom>,
    device: DeviceId,
    entered: Entered,
    sender: RoomSender,
    session: SyncSession,
    /// Attachments that were asked for in this meeting.
    tried: Arc<tokio::sync::Mutex<HashSet<[u8; 32]>>>,
    /// Whether it is on disk that both were in step: once at first, for the case that the power fails, and at the end.
    step_kept: bool,
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
                    Ok(None) => break,
                    Err(error) => {
                        self.node.note_broken(&self.device, &error);
                        break;
                    }
                },
                changed = revision.changed() => match changed {
                    Ok(()) => SyncInput::LocalChanges,
                    Err(_) => break,
                },
                () = tokio::time::sleep(wait) => SyncInput::Tick,
            };
        }
        self.end_in_step().await;
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
            let (effects, held) = {
                let room = self.open.lock();
                (self.session.handle(clock::now(), &room, input), room.len() as u64)
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
                    SyncEffect::Unreadable { reason } => {
                        tracing::warn!(reason, device = self.device.short(), "a member's pack was refused");
                        self.node.note_refusal(Some(self.device), DenyReason::Malformed);
                    }
                    SyncEffect::InSync => {
                        self.note_step(held);
                        self.fetch_attachments();
                    }
                    SyncEffect::Refuse { reason } => {
                        tracing::warn!(
                            reason,
                            device = self.device.short(),
                            "a member's message was refused"
                        );
                        let no_member = reason == crdt::NO_MEMBER;
                        let why = if no_member { DenyReason::Role } else { DenyReason::Malformed };
                        self.node.note_refusal(Some(self.device), why);
                        return Next::End;
                    }
                }
            }
        }
        self.node.rooms.sessions.set_in_sync(&self.entered, self.session.is_in_sync());
        Next::Go
    }

    /// Both copies are equal now and hold so many changes.
    fn note_step(&mut self, changes: u64) {
        let (room, device) = (self.open.id, self.device);
        self.node.rooms.steps.note(room, device, Step { at: clock::now(), changes });
        if !std::mem::replace(&mut self.step_kept, true) {
            let node = Arc::clone(&self.node);
            self.node.tasks.spawn_blocking(move || node.keep_step(&room, &device));
        }
    }

    /// Keeps how far the member is for the time apart.
    async fn end_in_step(&self) {
        if !self.step_kept {
            return;
        }
        let (node, room, device) = (Arc::clone(&self.node), self.open.id, self.device);
        if node.rooms.sessions.in_sync(&room, &device)
            && let Some(step) = node.rooms.steps.get(&room, &device)
        {
            node.rooms.steps.note(room, device, Step { at: clock::now(), ..step });
        }
        // A failure is in the log already, and nothing here depends on it.
        let _ = blocking(move || {
            node.keep_step(&room, &device);
            Ok(())
        })
        .await;
    }

    /// Checks what a member sent, keeps what is right, and tells everyone else.
    async fn take(
        &self,
        changes: Vec<SignedChange>,
        certificates: Vec<Signed<DeviceCertificate>>,
    ) -> Result<(), Problem> {
        let (node, open) = (Arc::clone(&self.node), Arc::clone(&self.open));
        let device = self.device;
        blocking(move || node.receive(&open, &device, changes, &certificates)).await
    }

    /// Fetches what the room names and is not here, one run at a time, each attachment once in a meeting.
    fn fetch_attachments(&self) {
        let Ok(mut tried) = Arc::clone(&self.tried).try_lock_owned() else { return };
        let (node, open, device) = (Arc::clone(&self.node), Arc::clone(&self.open), self.device);
        self.node.tasks.spawn(async move {
            let stop = node.stop.clone();
            tokio::select! {
                () = stop.cancelled() => {}
                () = node.fetch_room_attachments(&open, &device, &mut tried) => {}
            }
        });
    }

    async fn take_epochs(&self, from: u64) -> Result<(), Problem> {
        let entries = self.node.ask_epochs(&self.open.id, &self.device, from).await?;
        let (node, open, device) = (Arc::clone(&self.node), Arc::clone(&self.open), self.device);
        blocking(move || {
            node.receive_epochs(&open, &device, entries)?;
            // Changes may have waited for these entries.
            node.receive(&open, &device, Vec::new(), &[])
        })
        .await
    }
}

impl Node {
    /// Checks changes that `from` delivered, keeps what counts, and tells everyone.
    fn receive(
        &self,
        open: &OpenRoom,
        from: &DeviceId,
        changes: Vec<SignedChange>,
        certificates: &[Signed<DeviceCertificate>],
    ) -> Result<(), Problem> {
        let mut room = open.lock();
        let received = room.receive(changes, certificates, clock::now());
        let trail = self.note_refused(open, from, &received.refused);
        let mut entries: Vec<StoredEntry> =
            received.new_certificates.into_iter().map(StoredEntry::Certificate).collect();
        let kept = received.accepted.into_iter().chain(received.evidence);
        entries.extend(kept.map(StoredEntry::Change));
        if entries.is_empty() && trail.is_empty() {
            return Ok(());
        }
        if let Err(problem) = self.append(&open.id, &entries, trail) {
            // What could not be kept must come again.
            self.go_back(open, &mut room);
            return Err(problem);
        }
        self.follow_attachments(&open.id, &room, &received.events);
        drop(room);
        open.tell(received.events);
        Ok(())
    }
}

impl Node {
    /// Notes refused changes. What there is no room for comes again and again, from everyone who holds it: of that
    /// the trail says once between two starts that it began, with the entry that is returned.
    fn note_refused(
        &self,
        open: &OpenRoom,
        from: &DeviceId,
        refused: &[(ChangeHash, Refusal)],
    ) -> Vec<(Timestamp, AuditEvent)> {
        let mut without_room = 0;
        for (_, refusal) in refused {
            tracing::debug!(%refusal, "a change of a room was refused");
            if refusal.is_for_want_of_room() {
                without_room += 1;
            } else {
                self.note_refusal(Some(*from), denial(refusal));
            }
        }
        if without_room == 0 || open.full_noted.swap(true, Ordering::Relaxed) {
            return Vec::new();
        }
        tracing::warn!(changes = without_room, "a room takes no more changes of a member");
        let mut event = room_event(&open.id, from.to_string(), AuditAction::RoomRefuse, without_room);
        event.1.outcome = Outcome::Denied(DenyReason::RateLimited);
        vec![event]
    }
}

/// How the trail names the refusal of a change.
const fn denial(refusal: &Refusal) -> DenyReason {
    match refusal {
        Refusal::NotAMember | Refusal::ReadOnly | Refusal::Section | Refusal::NotOwn | Refusal::Closed => {
            DenyReason::Role
        }
        Refusal::OlderEpoch | Refusal::UnknownEpoch | Refusal::Equivocation | Refusal::WrongRoom => {
            DenyReason::NotAllowed
        }
        _ => DenyReason::Malformed,
    }
}
