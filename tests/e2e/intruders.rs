//! Members and peers who went bad, on real sockets: what they send is refused, with a reason, and is in the trail.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crdt::{RoomId, SignedChange};
use keys::{DeviceId, Keyring};
use metaclinic_tests::harness::{self, Daemon};
use serde_json::Value;

use crate::exchange::pair;
use crate::forged::{deliver, epochs, greeting, meet, roles_request, room, say, under_epoch};
use crate::homes;
use crate::hostile::{HELLO, Hostile, RECORDS, ROLES, ROOM_SYNC, claim, frame, records_request};

pub(crate) const MALFORMED: &str = "denied: malformed, too large or of another version";
pub(crate) const NOT_PERMITTED: &str = "denied: no member, or the role does not permit it";
pub(crate) const NO_GRANT: &str = "denied: no grant";

/// A home whose daemon is attacked.
pub(crate) struct Victim {
    pub(crate) home: PathBuf,
    pub(crate) daemon: Daemon,
    pub(crate) device: DeviceId,
}

impl Victim {
    pub(crate) fn new(folder: &Path, name: &str, role: &str) -> Self {
        let home = homes::quick(folder, name, role);
        let daemon = homes::daemon(&home);
        let device = homes::keyring(&home).device().id();
        Self { home, daemon, device }
    }

    /// A new home, paired with this one, whose owner goes bad: its keys.
    pub(crate) fn paired(&self, folder: &Path, name: &str) -> (PathBuf, Keyring) {
        let home = homes::quick(folder, name, "clinic");
        pair(&self.home, &home);
        let keyring = homes::keyring(&home);
        (home, keyring)
    }

    pub(crate) fn attacked_by(&self, keyring: &Keyring) -> Hostile {
        Hostile::connect(keyring, &self.daemon, &self.device)
    }

    pub(crate) fn room(&self, args: &[&str]) -> Value {
        harness::run_json(&self.home, &[&["room"], args].concat())
    }

    /// Stops the daemon; how often it refused `who` something for this reason.
    pub(crate) fn end(self) -> Refusals {
        assert!(!self.daemon.log().contains("panicked"), "{}", self.daemon.log());
        assert!(self.daemon.stop().success());
        let shown = harness::run_json(&self.home, &["audit", "show"]);
        assert_eq!(harness::run_json(&self.home, &["audit", "verify"])["verified"], true);
        Refusals(shown["entries"].as_array().expect("entries").clone())
    }
}

/// A trail.
pub(crate) struct Refusals(pub(crate) Vec<Value>);

impl Refusals {
    pub(crate) fn count(&self, who: &str, outcome: &str) -> u64 {
        let refusal = |e: &&Value| e["action"] == "refuse" && e["who"] == who && e["outcome"] == outcome;
        self.0.iter().filter(refusal).filter_map(|e| e["count"].as_u64()).sum()
    }

    pub(crate) fn of(&self, keyring: &Keyring, outcome: &str) -> u64 {
        self.count(&keyring.device().id().to_string(), outcome)
    }
}

pub(crate) fn room_id(shown: &Value) -> RoomId {
    shown["room"].as_str().expect("an id").parse().expect("an id")
}

/// What was said in the victim's copy of the room.
fn heard(victim: &Victim) -> Vec<String> {
    let shown = victim.room(&["show", "ward"]);
    let lines = shown["chat"].as_array().expect("a list");
    lines.iter().map(|line| line["text"].as_str().expect("words").to_owned()).collect()
}

#[test]
fn a_readers_write_is_refused_by_every_node_however_it_arrives() {
    let dir = harness::temp_dir();
    let clinic = Victim::new(dir.path(), "clinic", "clinic");
    let patient = Victim::new(dir.path(), "patient", "patient");
    pair(&clinic.home, &patient.home);
    let (relay_home, relay) = clinic.paired(dir.path(), "relay");
    let (reader_home, reader) = clinic.paired(dir.path(), "reader");
    pair(&patient.home, &relay_home);
    pair(&patient.home, &reader_home);
    let id = room_id(&clinic.room(&["create", "ward"]));
    let invited = clinic.room(&["invite", "ward", "patient", "--role", "patient"]);
    patient.room(&["join", invited["ticket"].as_str().expect("a ticket")]);
    for (name, role) in [("relay", "clinician"), ("reader", "patient"), ("reader", "observer")] {
        clinic.room(&["invite", "ward", name, "--role", role]);
    }
    let deadline = Instant::now() + Duration::from_secs(15);
    while patient.room(&["show", "ward"])["epoch"] != 4 {
        assert!(Instant::now() < deadline, "the patient does not learn of the reader's role");
        std::thread::sleep(Duration::from_millis(50));
    }

    let list = epochs(&clinic.attacked_by(&reader), &id);
    assert_eq!(list.len(), 5);
    // Before it became a reader it might write: under that epoch, and the same as if it still could.
    let late = say(&mut room(&list[..4]), &reader, "late");
    let denied = under_epoch(&late, &reader, 4);
    let mut now = room(&list);
    let honest = say(&mut now, &relay, "an honest word");
    let copy = room(&list);
    for victim in [&clinic, &patient] {
        deliver(&victim.attacked_by(&reader), &copy, &[&denied], &[&reader]);
        deliver(&victim.attacked_by(&reader), &copy, &[&late], &[&reader]);
        let relayed = victim.attacked_by(&relay);
        deliver(&relayed, &copy, &[&denied], &[&reader]);
        assert!(heard(victim).iter().all(|text| text != "late"), "the reader's words are nowhere");
        deliver(&relayed, &copy, &[&honest], &[&relay]);
        assert_eq!(heard(victim), ["an honest word"], "a member who may write is heard by the same way");
    }
    for victim in [clinic, patient] {
        assert_eq!(heard(&victim), ["an honest word"]);
        let trail = victim.end();
        assert!(trail.of(&reader, NOT_PERMITTED) >= 2, "directly: {:?}", trail.0);
        assert!(trail.of(&relay, NOT_PERMITTED) >= 1, "relayed: {:?}", trail.0);
    }
}

/// The bytes of a change with one of them flipped, counted from the end.
fn flipped(change: &SignedChange, from_end: usize) -> Vec<u8> {
    let mut bytes = change.to_bytes();
    let at = bytes.len() - from_end;
    bytes[at] ^= 1;
    bytes
}

#[test]
fn room_messages_that_are_edited_forged_or_of_another_room_are_refused() {
    let dir = harness::temp_dir();
    let clinic = Victim::new(dir.path(), "clinic", "clinic");
    let (_, villain) = clinic.paired(dir.path(), "villain");
    let (_, outsider) = clinic.paired(dir.path(), "outsider");
    let ids = ["ward", "other"].map(|name| {
        let id = room_id(&clinic.room(&["create", name]));
        clinic.room(&["invite", name, "villain", "--role", "clinician"]);
        id
    });
    let peer = clinic.attacked_by(&villain);
    let [copy, other] = ids.map(|id| room(&epochs(&peer, &id)));
    let honest = say(&mut room(&epochs(&peer, &ids[0])), &villain, "a word");

    let forged = SignedChange::from_bytes(&flipped(&honest, 1)).expect("a change with a wrong signature");
    deliver(&peer, &copy, &[&forged], &[&villain]);
    let elsewhere = say(&mut room(&epochs(&peer, &ids[1])), &villain, "elsewhere");
    deliver(&peer, &copy, &[&elsewhere], &[&villain]);
    deliver(&peer, &other, &[&honest], &[&villain]);
    let whole = crdt::SyncMessage::Changes {
        changes: vec![honest.clone()],
        certificates: Vec::new(),
        heads: Vec::new(),
        more: false,
        answer: false,
    };
    meet(&peer, &copy, &[whole.encode()[..60].to_vec()]);
    meet(&peer, &copy, &[b"no message at all".to_vec()]);
    peer.send(ROOM_SYNC, &frame(b"no greeting"));
    peer.linger(ROOM_SYNC, &[frame(&greeting(&ids[0])), claim(1 << 30)].concat());
    assert_eq!(heard(&clinic), [""; 0]);
    deliver(&peer, &copy, &[&honest], &[&villain]);
    deliver(&peer, &copy, &[&honest], &[&villain]);
    assert_eq!(heard(&clinic), ["a word"], "what is right is heard, and the same again changes nothing");

    let stranger = clinic.attacked_by(&outsider);
    stranger.send(ROOM_SYNC, &frame(&greeting(&ids[0])));
    stranger.send(ROOM_SYNC, &frame(&greeting(&RoomId::from_bytes([7; 32]))));
    assert!(stranger.refused(ROLES, &roles_request(&ids[0])).contains("no member"));

    let trail = clinic.end();
    assert_eq!(trail.of(&villain, MALFORMED), 7, "{:?}", trail.0);
    assert_eq!(trail.of(&outsider, NOT_PERMITTED), 3, "{:?}", trail.0);
}

#[test]
fn requests_that_are_garbage_cut_or_replayed_are_refused_with_a_reason() {
    let dir = harness::temp_dir();
    let patient = Victim::new(dir.path(), "patient", "patient");
    let bundle = homes::write_bundle(dir.path(), 3);
    let _ = harness::run_json(&patient.home, &["records", "import", bundle.to_str().expect("plain path")]);
    let (_, trusted) = patient.paired(dir.path(), "trusted");
    let (_, villain) = patient.paired(dir.path(), "villain");
    let _ = harness::run_json(&patient.home, &["grant", "give", "trusted", "--type", "Observation"]);
    let request = records_request("Observation");
    let grantee = patient.attacked_by(&trusted);
    assert_eq!(grantee.request(RECORDS, &request).0, 0, "the one who was given a consent");

    let peer = patient.attacked_by(&villain);
    let reason = peer.refused(RECORDS, &request);
    assert!(reason.contains("no grant"), "the same bytes on another connection: {reason}");
    for protocol in [HELLO, RECORDS, ROLES] {
        assert!(!peer.refused(protocol, b"garbage").is_empty(), "{protocol}");
        let answer = peer.linger(protocol, &claim(1 << 30));
        assert!(answer.ends_with(b"request too large"), "{protocol}");
        // A frame that stops half way is a line that broke: nobody is there to hear a reason.
        let torn = frame(&request);
        assert!(peer.send(protocol, &torn[..torn.len() - 3]).is_empty(), "{protocol}");
    }
    for cut in [0, 1, request.len() / 2, request.len() - 1] {
        assert!(!peer.refused(RECORDS, &request[..cut]).is_empty(), "cut at {cut}");
    }
    assert!(!peer.refused(RECORDS, &[&request[..], b"more"].concat()).is_empty());
    assert_eq!(grantee.request(RECORDS, &request).0, 0, "others are served as before");

    let identity = villain.identity().id().to_string();
    let trail = patient.end();
    assert_eq!(trail.count(&identity, NO_GRANT), 1, "{:?}", trail.0);
    let malformed = trail.count(&identity, MALFORMED) + trail.of(&villain, MALFORMED);
    assert_eq!(malformed, 3 + 3 + 5, "garbage, a gigabyte, cuts and too much: {:?}", trail.0);
}
