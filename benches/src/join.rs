//! What it costs, in bytes and time, to bring a new member into a room, and two equal copies together again: two
//! real sessions with nothing but memory between them, so that only the messages count.

use std::time::{Duration, Instant};

use crdt::{Author, Charter, Member, Role, Room, RoomCommand, SyncEffect, SyncInput, SyncSession, Trust};
use keys::{DeviceCertificate, DeviceKey, IdentityKey, IdentityKind, Signed, Timestamp};

use crate::report::Measured;

/// Lines of a room that a member joins.
const LINES: [usize; 3] = [300, 2_000, 10_000];
/// When it all happens: a moment of 2026.
const NOW: Timestamp = Timestamp::from_millis(1_770_000_000_000);
/// Any valid age recipient: nothing is sealed here (the example of the age documentation).
const RECIPIENT: &str = "age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p";

struct Side {
    device: DeviceKey,
    certificate: Signed<DeviceCertificate>,
    identity: IdentityKey,
    room: Room,
    session: SyncSession,
}

struct Person(IdentityKey, DeviceKey, Signed<DeviceCertificate>);

fn person(number: u8) -> Person {
    let (identity, device) = (IdentityKey::from_seed([number; 32]), DeviceKey::from_seed([!number; 32]));
    let certificate = identity.sign(&DeviceCertificate {
        version: DeviceCertificate::VERSION,
        identity: identity.id(),
        kind: IdentityKind::Clinic,
        name: format!("person {number}"),
        device: device.id(),
        device_name: "desk".into(),
        recipient: RECIPIENT.into(),
        epoch: 1,
        issued: Timestamp::from_millis(0),
        not_after: Timestamp::from_millis(i64::MAX),
    });
    Person(identity, device, certificate)
}

/// The owner's copy with `lines` lines, and an empty one of a member.
fn sides(lines: usize) -> Result<[Side; 2], String> {
    let people = [person(1), person(2)];
    let charter = Charter { name: "bench".into(), scene: "consulting-room".into(), nonce: [1; 16] };
    let member = Member { identity: people[1].0.id(), role: Role::Clinician };
    let founded =
        Room::create(&people[0].0, charter, vec![member], NOW).map_err(|error| error.to_string())?;
    let epochs = founded.epochs().entries_from(0).to_vec();
    let ids = [people[0].0.id(), people[1].0.id()];
    let mut peers = ids.into_iter().rev();
    let sides: Result<Vec<Side>, String> = people
        .into_iter()
        .map(|Person(identity, device, certificate)| {
            let room = Room::open(&epochs, Vec::new(), std::iter::empty(), Trust::Nothing)
                .map_err(|error| error.to_string())?;
            let peer = peers.next().ok_or("two people")?;
            let session = SyncSession::new(peer, device.id());
            Ok(Side { device, certificate, identity, room, session })
        })
        .collect();
    let mut sides: [Side; 2] = sides?.try_into().map_err(|_| "two people")?;
    let owner = &mut sides[0];
    for line in 0..lines {
        let author = Author { device: &owner.device, certificate: &owner.certificate };
        let say = RoomCommand::Say { text: format!("{line:>60}") };
        owner.room.apply(say, &author, 1, NOW).map_err(|error| error.to_string())?;
    }
    Ok(sides)
}

/// What is on its way to each side, and all that ever was.
#[derive(Default)]
struct Line {
    waiting: [Vec<Vec<u8>>; 2],
    bytes: usize,
}

impl Line {
    fn carry(&mut self, to: usize, messages: Vec<Vec<u8>>) {
        self.bytes += messages.iter().map(Vec::len).sum::<usize>();
        self.waiting[to].extend(messages);
    }
}

/// Opens a session at both sides and carries messages until nobody says more; how many bytes that were.
fn meet(sides: &mut [Side; 2]) -> Result<usize, String> {
    let ids = [sides[0].identity.id(), sides[1].identity.id()];
    let mut line = Line::default();
    for (index, side) in sides.iter_mut().enumerate() {
        side.session = SyncSession::new(ids[1 - index], side.device.id());
        line.carry(1 - index, feed(side, NOW, SyncInput::Start)?);
    }
    let mut now = NOW;
    while line.waiting.iter().any(|waiting| !waiting.is_empty())
        || sides.iter().any(|side| side.session.wants_tick())
    {
        for (index, side) in sides.iter_mut().enumerate() {
            for message in std::mem::take(&mut line.waiting[index]) {
                line.carry(1 - index, feed(side, now, SyncInput::Message(message))?);
            }
            if side.session.wants_tick() {
                line.carry(1 - index, feed(side, now, SyncInput::Tick)?);
            }
        }
        now = now.plus(Duration::from_millis(50));
    }
    Ok(line.bytes)
}

fn feed(side: &mut Side, now: Timestamp, input: SyncInput) -> Result<Vec<Vec<u8>>, String> {
    let mut inputs = vec![input];
    let mut sent = Vec::new();
    while let Some(input) = inputs.pop() {
        for effect in side.session.handle(now, &side.room, input) {
            match effect {
                SyncEffect::Send(bytes) => sent.push(bytes),
                SyncEffect::Received { changes, certificates } => {
                    side.room.receive(changes, &certificates, now);
                    inputs.push(SyncInput::LocalChanges);
                }
                SyncEffect::InSync => {}
                _ => return Err("the two sessions do not understand each other".to_owned()),
            }
        }
    }
    Ok(sent)
}

/// Joins rooms of several sizes, and reconnects equal ones.
pub(crate) fn join() -> Result<Measured, String> {
    let mut measured = Measured::new(
        "join",
        "all bytes of both sides until a new member holds the room (lines of 60 letters), then of a meeting of equal copies",
    );
    for lines in LINES {
        let mut sides = sides(lines)?;
        let started = Instant::now();
        let bytes = meet(&mut sides)?;
        let seconds = started.elapsed().as_secs_f64();
        if sides[1].room.len() != lines {
            return Err("the member does not hold the room".to_owned());
        }
        measured.figure(format!("{lines} changes, bytes"), bytes as f64);
        measured.figure(format!("{lines} changes, bytes a change"), bytes as f64 / lines as f64);
        measured.figure(format!("{lines} changes, ms"), seconds * 1e3);
        measured.at_most(
            format!("{lines} changes, equal copies meet, bytes"),
            meet(&mut sides)? as f64,
            512.0,
        );
    }
    Ok(measured)
}
