//! The people of the tests, their rooms, and what a dishonest one would send.

use std::sync::OnceLock;

use keys::{
    DeviceCertificate, DeviceKey, IdentityId, IdentityKey, IdentityKind, SealIdentity, Signed, Timestamp,
};

use crate::{
    Author, Charter, Member, Pose, Received, Role, Room, RoomCommand, RoomEvent, SignedChange, Trust,
};

pub(crate) struct Person {
    pub(crate) identity: IdentityKey,
    pub(crate) device: DeviceKey,
    pub(crate) certificate: Signed<DeviceCertificate>,
}

impl Person {
    pub(crate) fn new(seed: u8) -> Self {
        Self::with_device(seed, seed | 0x80)
    }

    pub(crate) fn with_device(seed: u8, device: u8) -> Self {
        let (identity, device) = (IdentityKey::from_seed([seed; 32]), DeviceKey::from_seed([device; 32]));
        let certificate = identity.sign(&DeviceCertificate {
            version: 1,
            identity: identity.id(),
            kind: IdentityKind::Clinic,
            name: format!("person {seed}"),
            device: device.id(),
            device_name: "desk".into(),
            recipient: recipient(),
            epoch: 1,
            issued: at(0),
            not_after: at(1_000_000_000),
        });
        Self { identity, device, certificate }
    }

    pub(crate) fn id(&self) -> IdentityId {
        self.identity.id()
    }

    pub(crate) fn author(&self) -> Author<'_> {
        Author { device: &self.device, certificate: &self.certificate }
    }

    pub(crate) fn member(&self, role: Role) -> Member {
        Member { identity: self.id(), role }
    }

    /// Carries out a command on this person's copy in session 1.
    pub(crate) fn does(&self, room: &mut Room, command: RoomCommand) -> SignedChange {
        self.does_with_events(room, command).0
    }

    pub(crate) fn does_with_events(
        &self,
        room: &mut Room,
        command: RoomCommand,
    ) -> (SignedChange, Vec<RoomEvent>) {
        room.apply(command, &self.author(), 1, at(5_000)).unwrap()
    }
}

fn recipient() -> String {
    static ANY: OnceLock<String> = OnceLock::new();
    ANY.get_or_init(|| SealIdentity::generate().recipient()).clone()
}

pub(crate) fn at(unix_ms: i64) -> Timestamp {
    Timestamp::from_millis(unix_ms)
}

pub(crate) fn charter() -> Charter {
    Charter { name: "Ward round".into(), scene: "consulting-room".into(), nonce: [9; 16] }
}

/// Four people and a room of theirs.
pub(crate) struct Cast {
    pub(crate) owner: Person,
    pub(crate) doctor: Person,
    pub(crate) patient: Person,
    pub(crate) visitor: Person,
    pub(crate) room: Room,
}

pub(crate) fn cast() -> Cast {
    let (owner, doctor, patient, visitor) = (Person::new(1), Person::new(2), Person::new(3), Person::new(4));
    let members =
        vec![doctor.member(Role::Clinician), patient.member(Role::Patient), visitor.member(Role::Observer)];
    let room = Room::create(&owner.identity, charter(), members, at(1_000)).unwrap();
    Cast { owner, doctor, patient, visitor, room }
}

/// Another copy of the room as it is.
pub(crate) fn copy(room: &Room) -> Room {
    let (changes, _) = room.changes_not_ancestors_of(&[], usize::MAX);
    let epochs = room.epochs().entries_from(0);
    Room::open(epochs, room.certificates(), changes.into_iter(), Trust::Checked).unwrap()
}

/// Gives `to` everything that `from` has.
pub(crate) fn pull(to: &mut Room, from: &Room) -> Received {
    for epoch in from.epochs().entries_from(to.epochs().number() + 1) {
        to.add_epoch(epoch.clone()).unwrap();
    }
    let (changes, more) = from.changes_not_ancestors_of(&to.heads(), usize::MAX);
    assert!(!more);
    to.receive(changes.clone(), &from.certificates_for(&changes), at(9_000))
}

pub(crate) fn say(text: &str) -> RoomCommand {
    RoomCommand::Say { text: text.into() }
}

pub(crate) fn note(text: &str) -> RoomCommand {
    RoomCommand::AddNote { text: text.into() }
}

pub(crate) fn pin(text: &str) -> RoomCommand {
    RoomCommand::AddAnnotation {
        text: text.into(),
        pose: Pose::at(1.0, 1.2, -0.5).unwrap(),
        anchor: None,
        attachment: None,
    }
}
