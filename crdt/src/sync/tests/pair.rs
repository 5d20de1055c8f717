//! Two copies of a room with a session each, and a line between them that loses nothing.

use std::collections::VecDeque;
use std::time::Duration;

use keys::{DeviceCertificate, DeviceKey, IdentityId, IdentityKey, IdentityKind, Signed, Timestamp};

use super::super::{Position, SyncEffect, SyncInput, SyncSession};
use crate::{Author, Charter, Epoch, Member, Role, Room, RoomCommand, SignedChange, Trust};

/// Any valid age recipient: nothing is sealed here (the example of the age documentation).
const RECIPIENT: &str = "age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p";

const NOW: Timestamp = Timestamp::from_millis(1_770_000_000_000);

pub(super) struct Person {
    pub(super) identity: IdentityKey,
    pub(super) device: DeviceKey,
    pub(super) certificate: Signed<DeviceCertificate>,
}

impl Person {
    pub(super) fn new(number: u8) -> Self {
        let (identity, device) = (IdentityKey::from_seed([number; 32]), DeviceKey::from_seed([!number; 32]));
        let certificate = identity.sign(&DeviceCertificate {
            version: DeviceCertificate::VERSION,
            identity: identity.id(),
            kind: IdentityKind::Clinic,
            name: format!("Person {number}"),
            device: device.id(),
            device_name: "desk".into(),
            recipient: RECIPIENT.into(),
            epoch: 1,
            issued: Timestamp::from_millis(0),
            not_after: Timestamp::from_millis(i64::MAX),
        });
        Self { identity, device, certificate }
    }
}

/// A room of its founder (person 1) and these clinicians.
pub(super) fn found(name: &str, others: &[&Person]) -> (Room, Person) {
    let owner = Person::new(1);
    let member = |person: &&Person| Member { identity: person.identity.id(), role: Role::Clinician };
    let charter = Charter { name: name.into(), scene: "consulting-room".into(), nonce: [1; 16] };
    let room = Room::create(&owner.identity, charter, others.iter().map(member).collect(), NOW).unwrap();
    (room, owner)
}

pub(super) struct Side {
    pub(super) person: Person,
    pub(super) room: Room,
    pub(super) session: SyncSession,
    pub(super) now: Timestamp,
    pub(super) refused: Option<&'static str>,
    pub(super) epochs_needed: Option<u64>,
    pub(super) unreadable: usize,
    sent: Vec<usize>,
}

impl Side {
    pub(super) fn new(person: Person, epochs: &[Signed<Epoch>], peer: IdentityId) -> Self {
        let room = Room::open(epochs, Vec::new(), std::iter::empty(), Trust::Nothing).unwrap();
        let session = SyncSession::new(peer, person.device.id());
        Self {
            person,
            room,
            session,
            now: NOW,
            refused: None,
            epochs_needed: None,
            unreadable: 0,
            sent: Vec::new(),
        }
    }

    /// Feeds the session, carries out what it asks of the room, and returns what it sends.
    pub(super) fn feed(&mut self, input: SyncInput) -> Vec<Vec<u8>> {
        let mut sent = Vec::new();
        for effect in self.session.handle(self.now, &self.room, input) {
            match effect {
                SyncEffect::Send(bytes) => sent.push(bytes),
                SyncEffect::Received { changes, certificates } => {
                    self.take(changes, &certificates);
                    self.session.handle(self.now, &self.room, SyncInput::LocalChanges);
                }
                SyncEffect::NeedEpochs { from } => self.epochs_needed = Some(from),
                SyncEffect::Refuse { reason } => self.refused = Some(reason),
                SyncEffect::Unreadable { .. } => self.unreadable += 1,
                SyncEffect::InSync => {}
            }
        }
        self.sent.extend(sent.iter().map(Vec::len));
        sent
    }

    pub(super) fn take(&mut self, changes: Vec<SignedChange>, certificates: &[Signed<DeviceCertificate>]) {
        self.room.receive(changes, certificates, self.now);
    }

    pub(super) fn write(&mut self, command: RoomCommand) -> SignedChange {
        self.write_in(command, 1)
    }

    /// Writes in a session of its own, as after a restart.
    pub(super) fn write_in(&mut self, command: RoomCommand, session: u64) -> SignedChange {
        let author = Author { device: &self.person.device, certificate: &self.person.certificate };
        self.room.apply(command, &author, session, self.now).unwrap().0
    }

    pub(super) fn position(&self) -> Position {
        Position::of(&self.room)
    }

    /// What this side would open a session with.
    pub(super) fn heads_message(&self) -> Vec<u8> {
        let mut session = SyncSession::new(self.session.peer, self.person.device.id());
        match session.handle(self.now, &self.room, SyncInput::Start).pop() {
            Some(SyncEffect::Send(bytes)) => bytes,
            other => panic!("a session opens with its heads, not {other:?}"),
        }
    }
}

pub(super) struct Pair {
    pub(super) a: Side,
    pub(super) b: Side,
    third: Side,
    to_a: VecDeque<Vec<u8>>,
    to_b: VecDeque<Vec<u8>>,
}

impl Pair {
    /// Two empty copies, not connected.
    pub(super) fn new() -> Self {
        Self::founded("Ward 3")
    }

    pub(super) fn founded(name: &str) -> Self {
        let (other, third) = (Person::new(2), Person::new(3));
        let (room, owner) = found(name, &[&other, &third]);
        let epochs = room.epochs().entries_from(0);
        let (a, b) = (owner.identity.id(), other.identity.id());
        Self {
            a: Side::new(owner, epochs, b),
            b: Side::new(other, epochs, a),
            third: Side::new(third, epochs, a),
            to_a: VecDeque::new(),
            to_b: VecDeque::new(),
        }
    }

    /// Two empty copies, connected and in sync.
    pub(super) fn fresh() -> Self {
        Self::with_shared_history(0)
    }

    /// Two connected copies in sync; nothing is counted yet.
    pub(super) fn with_shared_history(count: usize) -> Self {
        let mut pair = Self::new();
        for number in 0..count {
            let side = if number % 2 == 0 { &mut pair.a } else { &mut pair.b };
            let change = side.write(RoomCommand::Say { text: format!("shared {number}") });
            let (author, reader) =
                if number % 2 == 0 { (&pair.a, &mut pair.b) } else { (&pair.b, &mut pair.a) };
            reader.room.receive(vec![change], std::slice::from_ref(&author.person.certificate), NOW);
        }
        pair.reconnect();
        pair.run();
        assert!(pair.in_sync());
        pair.forget_traffic();
        pair
    }

    /// A change of a third member, which neither side has.
    pub(super) fn write_elsewhere(&mut self, text: &str) -> (SignedChange, Signed<DeviceCertificate>) {
        let change = self.third.write(RoomCommand::Say { text: text.into() });
        (change, self.third.person.certificate.clone())
    }

    /// Leaves both copies with `count` concurrent heads.
    pub(super) fn write_concurrently(&mut self, count: usize) {
        let (changes, _) = self.a.room.changes_not_ancestors_of(&[], usize::MAX);
        let epochs = self.a.room.epochs().entries_from(0).to_vec();
        let certificates = self.a.room.certificates_for(&changes);
        for number in 0..count {
            let mut copy = Side::new(Person::new(3), &epochs, self.a.person.identity.id());
            copy.take(changes.clone(), &certificates);
            let change = copy.write_in(RoomCommand::Say { text: format!("at once {number}") }, number as u64);
            for side in [&mut self.a, &mut self.b] {
                let certificate = std::slice::from_ref(&copy.person.certificate);
                let received = side.room.receive(vec![change.clone()], certificate, NOW);
                assert_eq!(received.refused, []);
            }
        }
        self.a.session.handle(self.a.now, &self.a.room, SyncInput::LocalChanges);
        self.b.session.handle(self.b.now, &self.b.room, SyncInput::LocalChanges);
    }

    /// Both sides write while apart: (kind, text length) for each step.
    pub(super) fn write_apart(&mut self, at_a: &[(usize, usize)], at_b: &[(usize, usize)]) {
        for (side, steps) in [(&mut self.a, at_a), (&mut self.b, at_b)] {
            for (number, (kind, length)) in steps.iter().enumerate() {
                // An edit that changes nothing is refused.
                let text = format!("{number} {}", "x".repeat(*length));
                let note = side.room.view().notes.first().map(|note| note.id);
                side.write(match (kind, note) {
                    (0, Some(id)) => RoomCommand::EditNote { id, text },
                    (0 | 1, _) => RoomCommand::AddNote { text },
                    _ => RoomCommand::Say { text },
                });
            }
        }
    }

    /// A new stream: both sides start.
    pub(super) fn reconnect(&mut self) {
        self.forget_traffic();
        for side in [&mut self.a, &mut self.b] {
            side.feed(SyncInput::PeerGone);
        }
        self.to_b.extend(self.a.feed(SyncInput::Start));
        self.to_a.extend(self.b.feed(SyncInput::Start));
    }

    pub(super) fn deliver_to_b(&mut self, messages: Vec<Vec<u8>>) {
        self.to_b.extend(messages);
    }

    pub(super) fn advance(&mut self, milliseconds: u64) {
        for side in [&mut self.a, &mut self.b] {
            side.now = side.now.plus(Duration::from_millis(milliseconds));
        }
    }

    pub(super) fn copy_epochs_to_b(&mut self) {
        for epoch in self.a.room.epochs().entries_from(1) {
            self.b.room.add_epoch(epoch.clone()).unwrap();
        }
        self.b.room.receive(Vec::new(), &[], self.b.now);
        self.b.session.handle(self.b.now, &self.b.room, SyncInput::LocalChanges);
    }

    /// Delivers and ticks until both sides rest; a minute must do.
    pub(super) fn run(&mut self) {
        for _ in 0..1_200 {
            while !self.to_a.is_empty() || !self.to_b.is_empty() {
                if let Some(bytes) = self.to_b.pop_front() {
                    self.to_a.extend(self.b.feed(SyncInput::Message(bytes)));
                }
                if let Some(bytes) = self.to_a.pop_front() {
                    self.to_b.extend(self.a.feed(SyncInput::Message(bytes)));
                }
            }
            if !self.a.session.wants_tick() && !self.b.session.wants_tick() {
                return;
            }
            self.advance(50);
            self.to_b.extend(self.a.feed(SyncInput::Tick));
            self.to_a.extend(self.b.feed(SyncInput::Tick));
        }
        panic!("the sessions do not come to rest");
    }

    pub(super) fn in_sync(&self) -> bool {
        self.a.session.is_in_sync() && self.b.session.is_in_sync()
    }

    /// Bytes and messages since the last connection.
    pub(super) fn traffic(&self) -> (usize, usize) {
        let all = || self.a.sent.iter().chain(&self.b.sent);
        (all().sum(), all().count())
    }

    pub(super) fn largest(&self) -> usize {
        self.a.sent.iter().chain(&self.b.sent).copied().max().unwrap_or_default()
    }

    fn forget_traffic(&mut self) {
        self.a.sent.clear();
        self.b.sent.clear();
    }
}
