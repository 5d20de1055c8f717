//! A long room as a new member comes by it, and a member who packs what it may not write.

use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use crdt::{Author, Epoch, Room, RoomCommand, RoomId, SignedChange, SyncMessage, Trust, pack};
use keys::{DeviceId, Keyring, Signed, Timestamp, codec, from_base32};
use metaclinic_tests::harness::{self, Daemon};
use net::{Blobs, Network, NetworkConfig, Protocol};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::api::ask;
use crate::homes;
use crate::rooms::{ROOM, join, met, room, same};

/// So many changes has the long room.
const CHANGES: usize = 2_000;
/// How many write it at once.
const WRITERS: usize = 4;
/// How long a loaded machine may take to bring a long room over.
const PATIENCE: Duration = Duration::from_secs(90);
/// What only the observer writes.
const MARK: &str = "not mine to write";

/// Says so many lines through the daemon's API.
fn say_much(home: &Path, daemon: &Daemon) {
    let id = room(home, &["list"])["rooms"][0]["room"].as_str().expect("a room").to_owned();
    let token = std::fs::read_to_string(daemon.told("token_file")).expect("the token file");
    let bearer = format!("Bearer {}", token.trim());
    let headers = [("Authorization", bearer.as_str()), ("Content-Type", "application/json")];
    let path = format!("/api/v1/rooms/{id}/changes");
    std::thread::scope(|scope| {
        for writer in 0..WRITERS {
            let (path, headers) = (&path, &headers);
            scope.spawn(move || {
                for line in 0..CHANGES / WRITERS {
                    let body = json!({ "do": "say", "text": format!("line {line} of writer {writer}") });
                    let answer = ask(daemon, "POST", path, headers, &body.to_string());
                    assert_eq!(answer.status, 200, "{}", answer.body);
                }
            });
        }
    });
}

fn changes(home: &Path) -> u64 {
    room(home, &["show", ROOM])["size"]["changes"].as_u64().expect("a number")
}

/// The joining home is killed while the room comes in; what it showed as kept is there, and joining again brings the
/// rest.
#[test]
fn a_new_member_of_a_long_room_holds_the_same_though_it_is_killed_on_the_way() {
    let dir = harness::temp_dir();
    let mut met = met(dir.path(), &[("clinic", "clinic"), ("patient", "patient")]);
    let [clinic, patient] = [met.homes[0].clone(), met.homes[1].clone()];
    room(&clinic, &["create", ROOM]);
    say_much(&clinic, met.daemons[0].as_ref().expect("running"));
    assert_eq!(changes(&clinic), CHANGES as u64);

    let invited = room(&clinic, &["invite", ROOM, "patient", "--role", "patient"]);
    let ticket = invited["ticket"].as_str().expect("a ticket").to_owned();
    let mut joining = harness::command(&patient, &["room", "join", &ticket])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("starts");
    let deadline = Instant::now() + PATIENCE;
    let kept = loop {
        let shown = harness::run_cli(&patient, &["--json", "room", "show", ROOM]);
        let shown: Value = serde_json::from_slice(&shown.stdout).unwrap_or_default();
        match shown["size"]["changes"].as_u64() {
            Some(kept @ 1..) => break kept,
            _ => assert!(Instant::now() < deadline, "nothing comes"),
        }
    };
    met.daemons[1].take().expect("running").kill_hard();
    let _ = joining.wait();
    assert!(changes(&patient) >= kept, "what was shown is kept");

    met.daemons[1] = Some(homes::daemon(&patient));
    room(&patient, &["join", &ticket]);
    let together = same(&[&clinic, &patient], PATIENCE);
    assert_eq!(together["size"]["changes"], CHANGES);
    for home in [&clinic, &patient] {
        assert_eq!(harness::run_json(home, &["audit", "verify"])["verified"], true);
        assert_eq!(harness::run_json(home, &["records", "verify"])["rooms_damaged"], 0);
    }
    let trail = harness::run_json(&patient, &["audit", "show", "--limit", "1000"]);
    let entries = trail["entries"].as_array().expect("entries");
    assert!(entries.iter().all(|entry| entry["action"] != "refuse"), "nothing of it is refused");
}

/// A member who may only read, with a program of its own.
struct Intruder {
    keyring: Keyring,
    network: Network,
    clinic: DeviceId,
    addresses: Vec<String>,
    room: RoomId,
}

#[derive(Serialize, Deserialize)]
struct RolesRequest {
    version: u8,
    room: RoomId,
    from: u64,
}

#[derive(Serialize, Deserialize)]
struct RolesAnswer {
    version: u8,
    entries: Vec<Signed<Epoch>>,
}

#[derive(Serialize, Deserialize)]
struct Greeting {
    version: u8,
    room: RoomId,
}

impl Intruder {
    /// Takes part in the network under the keys of a home whose daemon does not run.
    async fn start(home: &Path, folder: &Path, clinic: &Daemon, ticket: &str) -> Self {
        let sealed = std::fs::read(home.join("keyring.age")).expect("readable");
        let keyring = Keyring::open(&sealed, &harness::PASSPHRASE.to_owned().into()).expect("opens");
        // A room ticket is room, device and a checksum.
        let ticket = from_base32(ticket.strip_prefix("mcroom1").expect("a room ticket")).expect("base 32");
        let part = |from: usize| ticket[from..from + 32].try_into().expect("32 bytes");
        let (room, clinic_device) = (RoomId::from_bytes(part(0)), DeviceId::from_bytes(part(32)));
        let blobs = Blobs::open(&folder.join("intruder")).await.expect("a folder for attachments");
        let config = NetworkConfig {
            seed: keyring.device().seed(),
            listen: Vec::new(),
            blob_bind: None,
            agent: "intruder".into(),
            mdns: false,
            answers_searches: false,
        };
        let (network, mut events) = Network::start(config, blobs).await.expect("starts");
        tokio::spawn(async move { while events.recv().await.is_some() {} });
        network.allow([clinic_device].into());
        Self { keyring, network, clinic: clinic_device, addresses: clinic.listen(), room }
    }

    /// Notes in the name of an epoch in which this device could still write them.
    async fn late_notes(&self) -> Vec<SignedChange> {
        let request = codec::encode(&RolesRequest { version: 1, room: self.room, from: 0 });
        let asked = self.network.request(self.clinic, &self.addresses, Protocol::Roles, request);
        let answer = asked.await.expect("a member is told");
        let answer: RolesAnswer = codec::decode("roles", &answer, answer.len()).expect("as specified");
        let before = &answer.entries[..answer.entries.len() - 1];
        let mut room = Room::open(before, Vec::new(), std::iter::empty(), Trust::Nothing).expect("opens");
        let author = Author { device: self.keyring.device(), certificate: self.keyring.certificate() };
        let note = |n: u64| RoomCommand::AddNote { text: format!("{MARK} {n}") };
        let now = Timestamp::from_millis(1_800_000_000_000);
        (0..3).map(|n| room.apply(note(n), &author, 7, now).expect("it could write then").0).collect()
    }

    /// Sends a pack of these, and waits until the other side has seen to it.
    async fn send(&self, changes: &[SignedChange]) {
        let stream =
            self.network.open_room_sync(self.clinic, &self.addresses).await.expect("a member is met");
        let (mut sender, mut receiver) = stream.split();
        sender.send(codec::encode(&Greeting { version: 1, room: self.room })).await.expect("greeted");
        let message = SyncMessage::Packed {
            pack: pack(changes).expect("packs"),
            certificates: vec![self.keyring.certificate().clone()],
            heads: Vec::new(),
            more: false,
        };
        sender.send(message.encode()).await.expect("sent");
        // It tells where it stands when the stream opens, and again once it has taken what came.
        for _ in 0..2 {
            let told = tokio::time::timeout(Duration::from_secs(30), receiver.recv()).await;
            told.expect("in time").expect("the stream stays").expect("it answers");
        }
        sender.close().await;
    }
}

#[test]
fn what_an_observer_writes_is_refused_in_a_pack_too() {
    let dir = harness::temp_dir();
    let mut met = met(dir.path(), &[("clinic", "clinic"), ("watcher", "researcher")]);
    let [clinic, watcher] = [met.homes[0].clone(), met.homes[1].clone()];
    room(&clinic, &["create", ROOM]);
    join(&clinic, &watcher, "watcher", "clinician");
    room(&clinic, &["note", ROOM, "the clinic's own"]);
    same(&[&clinic, &watcher], Duration::from_secs(20));
    let demoted = room(&clinic, &["invite", ROOM, "watcher", "--role", "observer"]);
    let ticket = demoted["ticket"].as_str().expect("a ticket").to_owned();
    assert!(met.daemons[1].take().expect("running").stop().success());

    let runtime = tokio::runtime::Runtime::new().expect("threads");
    let clinics = met.daemons[0].take().expect("running");
    let device = runtime.block_on(async {
        let intruder = Intruder::start(&watcher, dir.path(), &clinics, &ticket).await;
        let late = intruder.late_notes().await;
        intruder.send(&late).await;
        intruder.network.shutdown().await;
        intruder.keyring.device().id().to_string()
    });
    let shown = room(&clinic, &["show", ROOM]);
    assert_eq!(shown["notes"].as_array().map(Vec::len), Some(1), "{shown}");
    assert!(!shown.to_string().contains(MARK));

    assert!(clinics.stop().success(), "what was refused is written to the trail at the latest now");
    let trail = harness::run_json(&clinic, &["audit", "show", "--limit", "1000"]);
    let refused = trail["entries"].as_array().expect("entries").iter();
    let refused: Vec<&Value> =
        refused.filter(|entry| entry["action"] == "refuse" && entry["who"] == device.as_str()).collect();
    assert!(refused.iter().any(|entry| entry["count"] == 3), "{refused:?}");
}
