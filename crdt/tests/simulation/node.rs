//! A node without sockets and disks: a room, what was stored of it, and a session with each other node.

use std::collections::BTreeMap;

use keys::{DeviceCertificate, Signed, Timestamp};
use metaclinic_crdt::{
    Epoch, EpochError, Pose, Received, Role, Room, RoomCommand, SignedChange, SyncEffect, SyncInput,
    SyncSession, Trust,
};
use rand_chacha::ChaCha8Rng;
use rand_core::Rng;

use super::people::Person;

/// What outlives a restart.
#[derive(Default)]
pub(crate) struct Stored {
    pub(crate) epochs: Vec<Signed<Epoch>>,
    pub(crate) certificates: Vec<Signed<DeviceCertificate>>,
    pub(crate) changes: Vec<SignedChange>,
}

/// One member's node.
pub(crate) struct Node {
    pub(crate) person: Person,
    pub(crate) room: Room,
    pub(crate) stored: Stored,
    pub(crate) sessions: BTreeMap<usize, SyncSession>,
    /// Counts starts, so that no two runs of the device write under one actor.
    pub(crate) run: u64,
    /// Whether it is still compared with the others.
    pub(crate) counts: bool,
    /// Packs that it could not read.
    pub(crate) unreadable: u64,
}

/// What a node wants the world to do.
pub(crate) enum Demand {
    Send { to: usize, bytes: Vec<u8> },
    Epochs { of: usize, from: u64 },
    Close { with: usize, reason: &'static str },
}

impl Node {
    pub(crate) fn new(person: Person, epochs: &[Signed<Epoch>]) -> Self {
        let room = Room::open(epochs, Vec::new(), std::iter::empty(), Trust::Nothing).unwrap();
        let stored = Stored { epochs: epochs.to_vec(), ..Stored::default() };
        Self { person, room, stored, sessions: BTreeMap::new(), run: 1, counts: true, unreadable: 0 }
    }

    /// The room as it follows from what was stored.
    pub(crate) fn reopened(&self) -> Room {
        let Stored { epochs, certificates, changes } = &self.stored;
        Room::open(epochs, certificates.clone(), changes.iter().cloned(), Trust::Checked).unwrap()
    }

    /// Loses everything that was not stored.
    pub(crate) fn restart(&mut self) {
        self.room = self.reopened();
        self.sessions.clear();
        self.run += 1;
    }

    /// Feeds one session, carries out what it asks of the room, and returns what it asks of the world.
    pub(crate) fn handle(&mut self, now: Timestamp, peer: usize, input: SyncInput) -> Vec<Demand> {
        let mut demands = Vec::new();
        let Some(session) = self.sessions.get_mut(&peer) else { return demands };
        for effect in session.handle(now, &self.room, input) {
            match effect {
                SyncEffect::Send(bytes) => demands.push(Demand::Send { to: peer, bytes }),
                SyncEffect::NeedEpochs { from } => demands.push(Demand::Epochs { of: peer, from }),
                SyncEffect::Refuse { reason } => demands.push(Demand::Close { with: peer, reason }),
                SyncEffect::Unreadable { .. } => self.unreadable += 1,
                SyncEffect::InSync => {}
                SyncEffect::Received { changes, certificates } => {
                    self.take(now, changes, &certificates);
                }
            }
        }
        if demands.iter().any(|demand| matches!(demand, Demand::Close { .. })) {
            self.sessions.remove(&peer);
        }
        demands
    }

    /// Gives the room what a peer sent, and stores what counts.
    pub(crate) fn take(
        &mut self,
        now: Timestamp,
        changes: Vec<SignedChange>,
        certificates: &[Signed<DeviceCertificate>],
    ) {
        let received = self.room.receive(changes, certificates, now);
        self.store(now, received);
    }

    fn store(&mut self, now: Timestamp, received: Received) {
        self.stored.certificates.extend(received.new_certificates);
        self.stored.changes.extend(received.accepted);
        self.stored.changes.extend(received.evidence);
        self.mark(now);
    }

    /// Tells every session that the room may have changed.
    pub(crate) fn mark(&mut self, now: Timestamp) {
        for session in self.sessions.values_mut() {
            session.handle(now, &self.room, SyncInput::LocalChanges);
        }
    }

    /// Takes what a peer answered to a request for epochs.
    pub(crate) fn add_epochs(&mut self, now: Timestamp, entries: &[Signed<Epoch>]) {
        for entry in entries {
            match self.room.add_epoch(entry.clone()) {
                Ok(_) | Err(EpochError::Fork { .. }) if !self.stored.epochs.contains(entry) => {
                    self.stored.epochs.push(entry.clone());
                }
                // What does not fit belongs to the other side of a fork, whose beginning is asked for next.
                Ok(_) | Err(_) => {}
            }
        }
        let received = self.room.receive(Vec::new(), &[], now);
        self.store(now, received);
    }

    /// What it answers to a request for epochs from `from` on.
    pub(crate) fn epochs_from(&self, from: u64) -> Vec<Signed<Epoch>> {
        let mut entries = self.room.epochs().entries_from(from).to_vec();
        entries.extend(self.room.epochs().proof_of_fork().map(|(_, other)| other.clone()));
        entries
    }

    /// Does something that its role allows, or nothing.
    pub(crate) fn edit(&mut self, now: Timestamp, rng: &mut ChaCha8Rng) {
        let Some(role) = self.room.role(&self.person.id()).filter(|role| role.may_write()) else { return };
        let command = self.choose(role, rng);
        self.command(now, command);
    }

    /// Carries out a command, unless the room changed so that it is no longer possible.
    pub(crate) fn command(&mut self, now: Timestamp, command: RoomCommand) {
        let certificate = &self.person.certificate;
        if !self.stored.certificates.contains(certificate) {
            self.stored.certificates.push(certificate.clone());
        }
        let Ok((change, _)) = self.room.apply(command, &self.person.author(), self.run, now) else { return };
        self.stored.changes.push(change);
        self.mark(now);
    }

    fn choose(&self, role: Role, rng: &mut ChaCha8Rng) -> RoomCommand {
        let view = self.room.view();
        let mut annotations = view.annotations.iter();
        if role == Role::Patient {
            // A patient changes only what they wrote.
            let own: Vec<_> = annotations.filter(|a| a.author == self.person.id()).collect();
            return match own.get(rng.next_u32() as usize % own.len().max(1)) {
                Some(annotation) if rng.next_u32().is_multiple_of(2) => {
                    RoomCommand::MoveAnnotation { id: annotation.id, pose: pose(rng) }
                }
                _ => add_or_say(rng),
            };
        }
        let text = format!("text {}", rng.next_u32());
        let annotation = annotations.nth(rng.next_u32() as usize % view.annotations.len().max(1));
        let note = view.notes.get(rng.next_u32() as usize % view.notes.len().max(1));
        match (rng.next_u32() % 7, annotation, note) {
            (0 | 1, Some(annotation), _) => {
                RoomCommand::MoveAnnotation { id: annotation.id, pose: pose(rng) }
            }
            (2, Some(annotation), _) => RoomCommand::EditAnnotation { id: annotation.id, text },
            (3, Some(annotation), _) => RoomCommand::RemoveAnnotation { id: annotation.id },
            (4, _, Some(note)) => RoomCommand::EditNote { id: note.id, text },
            (5, ..) => RoomCommand::AddNote { text },
            _ => add_or_say(rng),
        }
    }
}

fn add_or_say(rng: &mut ChaCha8Rng) -> RoomCommand {
    let text = format!("text {}", rng.next_u32());
    if rng.next_u32().is_multiple_of(3) {
        return RoomCommand::Say { text };
    }
    RoomCommand::AddAnnotation { text, pose: pose(rng), anchor: None, attachment: None }
}

fn pose(rng: &mut ChaCha8Rng) -> Pose {
    let mut metres = || (rng.next_u32() % 1_000) as f32 / 100.0;
    Pose::at(metres(), metres(), metres()).unwrap()
}
