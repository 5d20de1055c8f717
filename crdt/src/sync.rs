//! How two copies of a room become equal: a pure state machine, one session for a room and a peer's device.
//!
//! ```text
//!   A                                        B
//!   │ Heads ───────────────────────────────▶ │   both, when a stream opens; equal heads end it here
//!   │ ◀─────────────────────────────── Heads │
//!   │ Want {have} ─────────────────────────▶ │   who lacks something asks,
//!   │ ◀──────────────────── Packed {more}    │   batch after batch: 64 KiB at first, up to 1 MiB unpacked
//!   │ Changes (own, new) ──────────────────▶ │   new own edits are pushed at the next tick,
//!   │ ◀─────────────────────────────── Heads │   and their arrival is told; others' edits are told, not pushed
//! ```
//!
//! Nothing is sent to an identity that is no member in the newest known epoch. Epochs themselves are fetched by
//! another protocol: the session says when. A pack is another spelling of signed changes, each of which is checked
//! as if it had come alone; where one cannot be read or brings nothing, the same is asked for change by change. A
//! message may get lost, come twice or late: after two seconds of silence a session that is not in sync tells its
//! position again and asks for the peer's. What a peer's copy refuses for good is offered ever more rarely. All
//! lists, memories and answers are bounded.

mod belief;
mod message;
mod steps;
#[cfg(test)]
mod tests;

use std::fmt;
use std::time::Duration;

use keys::{DeviceCertificate, DeviceId, IdentityId, Signed, Timestamp};

use self::belief::{Belief, Service};
use self::message::{MAX_ALONG, MAX_LISTED, MAX_SAMPLED, MAX_WANTED, SYNC_VERSION};
pub use self::message::{MAX_SYNC_MESSAGE_BYTES, SyncMessage};
use crate::{ChangeHash, PackError, Room, RoomId, SignedChange, unpack};

/// Silence after which a session that is not in sync asks again.
pub const SILENCE: Duration = Duration::from_secs(2);

/// The longest pause between two attempts that were answered and changed nothing.
const LONGEST_PAUSE: Duration = Duration::from_secs(64);

/// How long a peer that is no member here may take to show a newer epoch in which it is.
const ADMISSION: Duration = Duration::from_secs(10);

/// How long changes are not asked for while newer epochs are on their way: without these they would only wait.
const EPOCHS_FIRST: Duration = Duration::from_secs(2);

/// An answer is not made smaller than this to fit into a message: one change always does.
const MIN_BATCH_BYTES: usize = 32 * 1024;

/// Eight changes of the largest size, with their certificates, fit into a message.
const PROOFS_IN_MESSAGE: usize = 8;

/// As many changes of a proof are shown at once.
const PROOFS_AT_ONCE: usize = 4 * PROOFS_IN_MESSAGE;

/// Own new changes up to this are pushed; more are announced, and the peer asks.
const PUSH_BYTES: usize = 64 * 1024;

/// The most heads that the first message lists; more are told by their digest, so that two equal copies
/// exchange at most 512 bytes in all.
const FIRST_LISTED: usize = 3;

/// The reason with which a session ends whose peer is no member; every other reason is a breach of the protocol.
pub const NO_MEMBER: &str = "peer is no member of this room";

/// What happens to a session.
#[derive(Clone)]
pub enum SyncInput {
    /// A stream with the peer opened.
    Start,
    /// The peer sent this.
    Message(Vec<u8>),
    /// The room has new accepted changes or epochs, or took what [`SyncEffect::Received`] gave it.
    LocalChanges,
    /// The stream is gone. Start again with a new one.
    PeerGone,
    /// Time passed: about every 50 ms while [`SyncSession::wants_tick`].
    Tick,
}

/// What the node is to do for a session, in this order.
#[derive(Clone, PartialEq, Eq)]
pub enum SyncEffect {
    /// Send these bytes to the peer.
    Send(Vec<u8>),
    /// Give these to [`Room::receive`], store what it accepts, then tell all sessions of the room
    /// [`SyncInput::LocalChanges`], this one in any case.
    Received {
        /// What the peer sent, unchecked.
        changes: Vec<SignedChange>,
        /// Certificates that came with them, unchecked.
        certificates: Vec<Signed<DeviceCertificate>>,
    },
    /// Ask the peer for the room's epochs from this number on, add them, then tell
    /// [`SyncInput::LocalChanges`].
    NeedEpochs {
        /// The first number to ask for.
        from: u64,
    },
    /// A pack of changes could not be read, and nothing of it is used: note it. The session asks for the changes one
    /// by one.
    Unreadable {
        /// Why, without content.
        reason: String,
    },
    /// Both copies are equal now. Said once each time it becomes true.
    InSync,
    /// The peer broke the protocol or is no member: close the stream.
    Refuse {
        /// Why, without content.
        reason: &'static str,
    },
}

/// The exchange of one room with one device of a member.
pub struct SyncSession {
    peer: IdentityId,
    device: DeviceId,
    state: State,
    belief: Belief,
    service: Service,
    /// The peer's position as it last told it.
    remote: Option<Remote>,
    /// The position that the peer was last told, or can tell from a push.
    announced: Option<Position>,
    /// The room may have changed since the last tick.
    marked: bool,
    /// The peer sent changes and was not told yet that they arrived.
    owes_receipt: bool,
    /// The peer has more of what was asked for.
    more: bool,
    /// A pack of the peer's could not be read: none is asked for until the stream ends.
    plain: bool,
    request: Option<Request>,
    epochs: Option<EpochRequest>,
    proof: Option<Proof>,
    last_have: Option<[u8; 32]>,
    in_sync: bool,
    /// Probes that were answered without anything having changed.
    quiet: u32,
    probing: bool,
    clock: Clock,
    heard: Duration,
    told: Duration,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Idle,
    Running { since: Duration },
    Refused,
}

/// Where a copy stands.
#[derive(Clone, PartialEq, Eq)]
struct Position {
    room: RoomId,
    epoch: u64,
    epoch_digest: [u8; 32],
    heads: Vec<ChangeHash>,
}

/// Where the peer says that its copy stands.
#[derive(Clone, PartialEq, Eq)]
struct Remote {
    epoch: u64,
    epoch_digest: [u8; 32],
    heads: Vec<ChangeHash>,
    digest: Option<[u8; 32]>,
}

/// Why a position is told.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Why {
    /// It is new to the peer.
    News,
    /// The peer should tell its own.
    Probe,
    /// The peer asked for changes and lacks none.
    Answer,
}

/// How changes are sent.
#[derive(Clone, Copy, PartialEq, Eq)]
enum How {
    /// Nobody asked: they are new here.
    Push,
    /// In answer to a request.
    Answer {
        /// There is more.
        more: bool,
        /// Whether they may be packed.
        packed: bool,
    },
}

/// A request for changes.
struct Request {
    at: Duration,
    /// The peer's heads that did not count here.
    lacking: Vec<ChangeHash>,
    /// Number of changes and newest epoch held when it was made.
    held: (usize, u64),
    answered: bool,
    /// Times that the same request stayed without effect.
    tries: u32,
}

/// A request for epochs, which the node makes.
struct EpochRequest {
    first: Duration,
    at: Duration,
    again: Duration,
    held: u64,
    tries: u32,
}

/// A proof that was shown to the peer.
struct Proof {
    /// Digest of the heads that it was shown for.
    about: [u8; 32],
    again: Duration,
    tries: u32,
}

impl SyncSession {
    /// A session with a device of `peer`, not started. `device` is the own one: what it signed is pushed, all
    /// else announced.
    pub fn new(peer: IdentityId, device: DeviceId) -> Self {
        Self {
            peer,
            device,
            state: State::Idle,
            belief: Belief::default(),
            service: Service::new(),
            remote: None,
            announced: None,
            marked: false,
            owes_receipt: false,
            more: false,
            plain: false,
            request: None,
            epochs: None,
            proof: None,
            last_have: None,
            in_sync: false,
            quiet: 0,
            probing: false,
            clock: Clock::default(),
            heard: Duration::ZERO,
            told: Duration::ZERO,
        }
    }

    /// Whether both copies were equal when last compared.
    pub const fn is_in_sync(&self) -> bool {
        self.in_sync && !self.marked
    }

    /// Whether [`SyncInput::Tick`] would do something, now or when time passes.
    pub const fn wants_tick(&self) -> bool {
        matches!(self.state, State::Running { .. }) && (self.marked || !self.in_sync)
    }

    /// Takes one input at `now`; `room` is the same room for the whole session.
    pub fn handle(&mut self, now: Timestamp, room: &Room, input: SyncInput) -> Vec<SyncEffect> {
        let mut out = Vec::new();
        self.clock.advance(now);
        match input {
            SyncInput::Start => self.start(room, &mut out),
            SyncInput::PeerGone => *self = Self::new(self.peer, self.device),
            SyncInput::LocalChanges => self.marked = self.state != State::Refused,
            SyncInput::Message(bytes) => self.message(room, &bytes, &mut out),
            SyncInput::Tick => self.tick(room, &mut out),
        }
        out
    }

    fn start(&mut self, room: &Room, out: &mut Vec<SyncEffect>) {
        let clock = self.clock;
        *self = Self::new(self.peer, self.device);
        self.clock = clock;
        (self.heard, self.told) = (clock.elapsed, clock.elapsed);
        self.service = Service::new();
        self.state = State::Running { since: clock.elapsed };
        if self.is_member(room) {
            self.tell(&Position::of(room), FIRST_LISTED, Why::News, out);
        }
    }

    fn is_member(&self, room: &Room) -> bool {
        room.epochs().role(&self.peer).is_some()
    }

    fn refuse(&mut self, reason: &'static str, out: &mut Vec<SyncEffect>) {
        let clock = self.clock;
        *self = Self::new(self.peer, self.device);
        self.clock = clock;
        self.state = State::Refused;
        out.push(SyncEffect::Refuse { reason });
    }

    fn message(&mut self, room: &Room, bytes: &[u8], out: &mut Vec<SyncEffect>) {
        match self.state {
            State::Refused => return,
            State::Idle => self.start(room, out),
            State::Running { .. } => {}
        }
        let message = match SyncMessage::decode(bytes) {
            Ok(message) => message,
            Err(keys::codec::CodecError::TooLarge { .. }) => {
                return self.refuse("message over its limit", out);
            }
            Err(_) => return self.refuse("malformed message", out),
        };
        if let Err(reason) = check(room, &message) {
            return self.refuse(reason, out);
        }
        self.heard = self.clock.elapsed;
        let member = self.is_member(room);
        match message {
            SyncMessage::Heads { epoch, epoch_digest, heads, digest, ask, answer, .. } => {
                if let Some(request) = self.request.as_mut().filter(|_| answer) {
                    request.answered = true;
                }
                let remote = Remote { epoch, epoch_digest, heads, digest };
                if member {
                    self.heads(room, remote, ask, out);
                } else if epoch > room.epochs().number() {
                    self.remote = Some(remote);
                    self.need_epochs(room, &Position::of(room), out);
                } else {
                    self.refuse(NO_MEMBER, out);
                }
            }
            // Of a stranger, only the claim of a newer epoch is looked at.
            _ if !member => {}
            SyncMessage::Want { have, packed, .. } => self.want(room, &have, packed, out),
            SyncMessage::Changes { changes, certificates, heads, more, answer } => {
                self.changes(ChangesIn { changes, certificates, heads, more, answer }, out);
            }
            SyncMessage::Packed { pack, certificates, heads, more } => match unpack(&room.id(), &pack) {
                Ok(changes) => {
                    self.changes(ChangesIn { changes, certificates, heads, more, answer: true }, out);
                }
                Err(_) if self.plain => self.refuse("a second pack that cannot be read", out),
                Err(error) => self.unreadable(&error, out),
            },
        }
    }

    fn heads(&mut self, room: &Room, remote: Remote, ask: bool, out: &mut Vec<SyncEffect>) {
        let own = Position::of(room);
        if self.remote.as_ref() != Some(&remote) {
            self.quiet = 0;
        } else if self.probing && !ask {
            self.quiet = self.quiet.saturating_add(1);
        }
        self.probing = false;
        let other = remote.digest.is_some_and(|digest| digest != digest_of(&own.heads));
        if remote.digest.is_some() && !other {
            self.belief.confirm(own.heads.iter().copied());
        }
        let unlisted = other && remote.heads.is_empty();
        self.remote = Some(remote);
        if ask {
            self.expect_losses();
        }
        let waiting = self.review(room, &own, out);
        // A request tells the peer that we are here, and most of where we stand.
        if (unlisted || (ask && !waiting)) && self.service.admit(self.clock.elapsed) {
            self.tell(&own, MAX_LISTED, if unlisted { Why::Probe } else { Why::News }, out);
        }
        self.compare(room, &own, out);
    }

    /// The same is asked for change by change, at the next tick.
    fn unreadable(&mut self, error: &PackError, out: &mut Vec<SyncEffect>) {
        (self.plain, self.request, self.in_sync) = (true, None, false);
        out.push(SyncEffect::Unreadable { reason: error.to_string() });
    }

    fn want(&mut self, room: &Room, have: &[ChangeHash], packed: bool, out: &mut Vec<SyncEffect>) {
        let elapsed = self.clock.elapsed;
        if !self.service.admit(elapsed) {
            return;
        }
        let known: Vec<ChangeHash> = have.iter().filter(|hash| room.contains(hash)).copied().collect();
        self.belief.confirm(known.iter().copied());
        let asked = digest_of(have);
        if self.last_have.replace(asked) == Some(asked) {
            self.belief.forget_certificates();
        }
        let own = Position::of(room);
        let mut limit_bytes = self.service.batch(elapsed, packed);
        loop {
            let (changes, more) = room.changes_not_ancestors_of(&known, limit_bytes);
            if changes.is_empty() {
                return self.tell(&own, MAX_LISTED, Why::Answer, out);
            }
            // Many small changes of as many authors can bring more bytes of certificates than of changes.
            let how = How::Answer { more, packed };
            if self.send_changes(room, &own, changes, how, out) || limit_bytes <= MIN_BATCH_BYTES {
                return;
            }
            limit_bytes /= 2;
        }
    }

    fn changes(&mut self, message: ChangesIn, out: &mut Vec<SyncEffect>) {
        let ChangesIn { changes, certificates, heads, more, answer } = message;
        self.belief.confirm(changes.iter().map(SignedChange::hash));
        self.belief.learn_certificates(&certificates);
        if let Some(remote) = self.remote.as_mut().filter(|_| !heads.is_empty()) {
            (remote.heads, remote.digest) = (heads, None);
        }
        if answer {
            self.more = more;
            if let Some(request) = &mut self.request {
                request.answered = true;
            }
        }
        (self.owes_receipt, self.in_sync, self.quiet) = (true, false, 0);
        out.push(SyncEffect::Received { changes, certificates });
    }

    fn tick(&mut self, room: &Room, out: &mut Vec<SyncEffect>) {
        let State::Running { since } = self.state else { return };
        if !self.is_member(room) {
            let waited = self.clock.elapsed.saturating_sub(since);
            if self.announced.is_some() || waited >= ADMISSION {
                self.refuse(NO_MEMBER, out);
            } else {
                self.need_epochs(room, &Position::of(room), out);
            }
            return;
        }
        if !self.wants_tick() {
            return;
        }
        let own = Position::of(room);
        if std::mem::take(&mut self.marked) {
            self.quiet = 0;
        }
        if self.announced.is_none() {
            self.tell(&own, FIRST_LISTED, Why::News, out);
        }
        if self.remote.is_some() {
            let waiting = self.review(room, &own, out);
            self.update(room, &own, waiting, out);
            self.compare(room, &own, out);
        }
        self.probe(&own, out);
    }
}

/// The parts of [`SyncMessage::Changes`].
struct ChangesIn {
    changes: Vec<SignedChange>,
    certificates: Vec<Signed<DeviceCertificate>>,
    heads: Vec<ChangeHash>,
    more: bool,
    answer: bool,
}

impl Position {
    fn of(room: &Room) -> Self {
        let epochs = room.epochs();
        // A copy that froze stands elsewhere than one that knows only one side of the fork.
        let epoch_digest = match epochs.proof_of_fork() {
            None => epochs.digest(),
            Some((a, b)) => {
                let (a, b) = (a.digest(), b.digest());
                let mut hasher = blake3::Hasher::new_derive_key("metaclinic 2026 frozen room");
                hasher.update(&a.min(b)).update(&a.max(b));
                *hasher.finalize().as_bytes()
            }
        };
        Self { room: room.id(), epoch: epochs.number(), epoch_digest, heads: room.heads() }
    }
}

/// One digest for a list of hashes in the order given.
fn digest_of(hashes: &[ChangeHash]) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new_derive_key("metaclinic 2026 room heads");
    for hash in hashes {
        hasher.update(hash.as_bytes());
    }
    *hasher.finalize().as_bytes()
}

/// What makes a readable message a breach of the protocol.
fn check(room: &Room, message: &SyncMessage) -> Result<(), &'static str> {
    let id = room.id();
    match message {
        SyncMessage::Heads { version, .. } if *version != SYNC_VERSION => Err("unknown protocol version"),
        SyncMessage::Heads { room, .. } if *room != id => Err("message for another room"),
        SyncMessage::Heads { heads, .. } if heads.len() > MAX_LISTED => Err("too many heads"),
        SyncMessage::Want { wanted, have, .. }
            if wanted.len() > MAX_WANTED || have.len() > MAX_LISTED + MAX_SAMPLED =>
        {
            Err("too many hashes")
        }
        SyncMessage::Changes { heads, .. } | SyncMessage::Packed { heads, .. } if heads.len() > MAX_ALONG => {
            Err("too many heads")
        }
        SyncMessage::Changes { changes, .. } if changes.is_empty() => Err("no changes"),
        SyncMessage::Changes { changes, .. } if changes.iter().any(|change| change.room() != id) => {
            Err("change for another room")
        }
        _ => Ok(()),
    }
}

/// Time that passed for this session: it never runs backwards, whatever the node's clock does.
#[derive(Clone, Copy, Default)]
struct Clock {
    last: Option<Timestamp>,
    elapsed: Duration,
}

impl Clock {
    fn advance(&mut self, now: Timestamp) {
        let last = self.last.replace(now).unwrap_or(now);
        self.elapsed = self.elapsed.saturating_add(now.since(last));
    }
}

impl fmt::Debug for SyncInput {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Start => f.write_str("Start"),
            Self::Message(bytes) => write!(f, "Message({} bytes)", bytes.len()),
            Self::LocalChanges => f.write_str("LocalChanges"),
            Self::PeerGone => f.write_str("PeerGone"),
            Self::Tick => f.write_str("Tick"),
        }
    }
}

impl fmt::Debug for SyncEffect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Send(bytes) => write!(f, "Send({} bytes)", bytes.len()),
            Self::Received { changes, .. } => write!(f, "Received({} changes)", changes.len()),
            Self::NeedEpochs { from } => write!(f, "NeedEpochs({from})"),
            Self::Unreadable { reason } => write!(f, "Unreadable({reason})"),
            Self::InSync => f.write_str("InSync"),
            Self::Refuse { reason } => write!(f, "Refuse({reason})"),
        }
    }
}
