//! Messages of a room as a program writes them that was tampered with.

use crdt::{Author, Epoch, Room, RoomCommand, RoomId, SignedChange, SyncMessage, Trust};
use keys::{DeviceCertificate, Keyring, Signable, Signed, Timestamp, codec};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::hostile::{Hostile, ROLES, ROOM_SYNC, frame};

/// A number that no honest session has used.
const SESSION: u64 = 1 << 40;
/// A chunk's checksum, between its first bytes and what it covers.
const CHECKSUM: std::ops::Range<usize> = 4..8;

/// What a device signs, as the wire format says.
#[derive(Clone, Serialize, Deserialize)]
struct Body {
    version: u8,
    room: RoomId,
    epoch: u64,
    #[serde(with = "serde_bytes")]
    certificate: [u8; 32],
    session: u64,
    #[serde(with = "serde_bytes")]
    change: Vec<u8>,
}

impl Signable for Body {
    const DOMAIN: &'static str = "metaclinic/room-change/1";
    const MAX_BYTES: usize = 1 << 20;
}

/// The first frame of a room stream.
pub(crate) fn greeting(room: &RoomId) -> Vec<u8> {
    #[derive(Serialize)]
    struct Greeting<'a> {
        version: u8,
        room: &'a RoomId,
    }
    codec::encode(&Greeting { version: 1, room })
}

/// `roles/1`: the member list from its beginning.
pub(crate) fn roles_request(room: &RoomId) -> Vec<u8> {
    #[derive(Serialize)]
    struct Request<'a> {
        version: u8,
        room: &'a RoomId,
        from: u64,
    }
    codec::encode(&Request { version: 1, room, from: 0 })
}

/// The member list as the daemon tells it to a member.
pub(crate) fn epochs(peer: &Hostile, room: &RoomId) -> Vec<Signed<Epoch>> {
    #[derive(Deserialize)]
    struct Answer {
        entries: Vec<Signed<Epoch>>,
    }
    let (status, body) = peer.request(ROLES, &roles_request(room));
    assert_eq!(status, 0, "{}", String::from_utf8_lossy(&body));
    let answer: Answer = codec::decode("member list", &body, 1 << 20).expect("a member list");
    answer.entries
}

/// The answer to it.
pub(crate) fn roles_answer(entries: &[Signed<Epoch>]) -> Vec<u8> {
    #[derive(Serialize)]
    struct Answer<'a> {
        version: u8,
        entries: &'a [Signed<Epoch>],
    }
    codec::encode(&Answer { version: 1, entries })
}

/// An empty copy of the room as of these epochs.
pub(crate) fn room(epochs: &[Signed<Epoch>]) -> Room {
    Room::open(epochs, Vec::new(), std::iter::empty(), Trust::Checked).expect("the owner's own list")
}

/// What `who` says in its copy of the room.
pub(crate) fn say(room: &mut Room, who: &Keyring, text: &str) -> SignedChange {
    let author = Author { device: who.device(), certificate: who.certificate() };
    let command = RoomCommand::Say { text: text.to_owned() };
    room.apply(command, &author, SESSION, Timestamp::from_millis(1)).expect("may speak in this copy").0
}

/// The same change as if it had been written under `epoch`: terms, checksum and signature are all right.
pub(crate) fn under_epoch(change: &SignedChange, who: &Keyring, epoch: u64) -> SignedChange {
    let terms = |epoch| terms(&change.room(), epoch, change.certificate(), change.session());
    let (old, new) = (terms(change.epoch()), terms(epoch));
    let mut raw = change.change().to_vec();
    let at =
        raw.windows(old.len()).position(|part| part == old.as_bytes()).expect("a change names its terms");
    raw[at..at + new.len()].copy_from_slice(new.as_bytes());
    let sum = Sha256::digest(&raw[CHECKSUM.end..]);
    raw[CHECKSUM].copy_from_slice(&sum[..CHECKSUM.len()]);
    let body = Body {
        version: 1,
        room: change.room(),
        epoch,
        certificate: *change.certificate(),
        session: change.session(),
        change: raw,
    };
    SignedChange::from_bytes(&codec::encode(&who.device().sign(&body))).expect("a change")
}

/// A correctly signed message around any bytes, which need be no change at all.
pub(crate) fn signed_bytes(room: &RoomId, who: &Keyring, change: Vec<u8>) -> Vec<u8> {
    let certificate = who.certificate().digest();
    codec::encode(&who.device().sign(&Body {
        version: 1,
        room: *room,
        epoch: 1,
        certificate,
        session: 9,
        change,
    }))
}

/// A message of changes that are already encoded.
pub(crate) fn changes_message(changes: &[Vec<u8>], certificates: &[&Signed<DeviceCertificate>]) -> Vec<u8> {
    #[derive(Serialize)]
    struct Changes<'a> {
        changes: Vec<Signed<Body>>,
        certificates: &'a [&'a Signed<DeviceCertificate>],
        heads: [u8; 0],
    }
    #[derive(Serialize)]
    struct Message<'a> {
        changes: Changes<'a>,
    }
    let decoded = |bytes: &Vec<u8>| codec::decode("signed bytes", bytes, 1 << 20).expect("signed bytes");
    let changes = changes.iter().map(decoded).collect();
    codec::encode(&Message { changes: Changes { changes, certificates, heads: [] } })
}

fn terms(room: &RoomId, epoch: u64, certificate: &[u8; 32], session: u64) -> String {
    let mut hasher = blake3::Hasher::new();
    hasher.update(b"metaclinic/room-terms/1").update(room.as_bytes()).update(&epoch.to_le_bytes());
    hasher.update(certificate).update(&session.to_le_bytes());
    let mut terms = [0; 16];
    hasher.finalize_xof().fill(&mut terms);
    keys::base32(&terms)
}

/// Opens a stream in the room, says where the copy stands, then sends these frames.
pub(crate) fn meet(peer: &Hostile, room: &Room, frames: &[Vec<u8>]) {
    let epoch = (room.epochs().number(), room.epochs().digest());
    let mut bytes = [frame(&greeting(&room.id())), frame(&heads(room, epoch))].concat();
    bytes.extend(frames.iter().flat_map(|body| frame(body)));
    peer.send(ROOM_SYNC, &bytes);
}

/// Opens a stream in the room and says that there is an epoch after the last one, so that the daemon asks for it.
pub(crate) fn claim_a_later_epoch(peer: &Hostile, room: &Room) {
    let heads = heads(room, (room.epochs().number() + 1, [7; 32]));
    peer.send(ROOM_SYNC, &[frame(&greeting(&room.id())), frame(&heads)].concat());
}

/// Where a copy stands, in an epoch of this number and digest.
fn heads(room: &Room, (epoch, epoch_digest): (u64, [u8; 32])) -> Vec<u8> {
    let heads = SyncMessage::Heads {
        version: 1,
        room: room.id(),
        epoch,
        epoch_digest,
        heads: room.heads(),
        digest: None,
        ask: false,
        answer: false,
    };
    heads.encode()
}

/// Sends changes, with the certificates of those who signed them.
pub(crate) fn deliver(peer: &Hostile, room: &Room, changes: &[&SignedChange], authors: &[&Keyring]) {
    let message = SyncMessage::Changes {
        changes: changes.iter().map(|change| (*change).clone()).collect(),
        certificates: authors.iter().map(|author| author.certificate().clone()).collect(),
        heads: Vec::new(),
        more: false,
        answer: false,
    };
    meet(peer, room, &[message.encode()]);
}
