//! Homes for the tests of rooms: opened in this process on loopback, closed, and opened again.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crdt::{RoomCommand, RoomView};
use keys::{DeviceId, IdentityId, IdentityKind, Keyring};
use secrecy::SecretString;
use tempfile::TempDir;
use tokio::runtime::Handle;

use super::super::{Author, Node, OpenRoom, StoredEntry};
use crate::api::types::{CreateRoomRequest, InviteRequest, RoomChanged, RoomRequest};
use crate::clock;
use crate::home::{Home, write_private};
use crate::service::network::Listen;
use crate::service::{blocking, problem::Problem};

/// The room of the tests.
pub(in crate::service::rooms) const ROOM: &str = "ward 3";
/// The least work that scrypt takes: these keyrings guard nothing.
const WORK_FACTOR_LOG2: u8 = 1;
/// How long two homes may take to do what they should do at once, on a loaded machine.
const PATIENCE: Duration = Duration::from_secs(20);

/// A home of this process.
pub(in crate::service::rooms) struct TestHome {
    folder: TempDir,
    /// None only while it is opened again.
    node: Option<Arc<Node>>,
}

impl TestHome {
    /// A new home that listens on loopback.
    pub(in crate::service::rooms) async fn new(name: &str, kind: IdentityKind) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let home = Home::at(folder.path());
        home.create().expect("an empty folder becomes a home");
        let keyring =
            Keyring::create(&mut clock::rng(), kind, name, "desk", clock::now()).expect("a valid name");
        write_private(&home.config(), crate::config::EXAMPLE.as_bytes()).expect("writable");
        write_keyring(&home, &keyring);
        let node = Some(opened(&home).await);
        Self { folder, node }
    }

    /// The open home.
    pub(in crate::service::rooms) fn node(&self) -> &Arc<Node> {
        self.node.as_ref().expect("open")
    }

    /// Closes the home and opens it again, as a restart does; `between` may change its files.
    pub(in crate::service::rooms) async fn restart(&mut self, between: impl FnOnce(&Home)) {
        let node = self.node.take().expect("open");
        node.close().await;
        // A task that has just ended may still hold it, and with it the lock.
        until("nobody holds the closed home", || Arc::strong_count(&node) == 1).await;
        drop(node);
        let home = Home::at(self.folder.path());
        between(&home);
        self.node = Some(opened(&home).await);
    }

    /// Makes a write of the store fail, as a disk does that takes no more: from then on it is read only until the
    /// home is opened again.
    pub(in crate::service::rooms) fn break_disk(&self) {
        let (heads, away) = (self.folder.path().join("audit"), self.folder.path().join("away"));
        std::fs::rename(&heads, &away).expect("moved");
        assert!(self.node().store.checkpoint(clock::now()).is_err(), "there is nowhere to write to");
        std::fs::rename(&away, &heads).expect("moved back");
        assert!(self.node().store.write_failure().is_some());
    }

    pub(in crate::service::rooms) fn path(&self) -> &Path {
        self.folder.path()
    }

    pub(in crate::service::rooms) fn identity(&self) -> IdentityId {
        self.node().keyring.identity().id()
    }

    pub(in crate::service::rooms) fn device(&self) -> DeviceId {
        self.node().keyring.device().id()
    }

    /// The room of the tests.
    pub(in crate::service::rooms) fn room(&self) -> Arc<OpenRoom> {
        self.node().rooms.resolve(ROOM).expect("the room is here")
    }

    /// What is in it.
    pub(in crate::service::rooms) fn view(&self) -> RoomView {
        self.room().lock().view()
    }

    /// What was said in it.
    pub(in crate::service::rooms) fn said(&self) -> Vec<String> {
        self.view().chat.into_iter().map(|line| line.text).collect()
    }

    /// Changes the room as the API does.
    pub(in crate::service::rooms) async fn change(
        &self,
        request: RoomRequest,
    ) -> Result<RoomChanged, Problem> {
        let node = Arc::clone(self.node());
        blocking(move || node.room_change(&Handle::current(), ROOM, request)).await
    }

    /// Says something.
    pub(in crate::service::rooms) async fn say(&self, text: &str) {
        self.change(RoomRequest::Say { text: text.to_owned() }).await.expect("may speak");
    }

    /// Writes what the API would not: commands of a program that was tampered with.
    pub(in crate::service::rooms) fn command(&self, command: RoomCommand) {
        let (node, open) = (self.node(), self.room());
        let author = Author { device: node.keyring.device(), certificate: node.keyring.certificate() };
        let mut room = open.lock();
        let (change, events) =
            room.apply(command, &author, open.session, clock::now()).expect("the command is valid");
        node.append(&open.id, &[StoredEntry::Change(change)], Vec::new()).expect("kept");
        drop(room);
        open.tell(events);
    }
}

/// Puts `keyring` into a home.
pub(in crate::service::rooms) fn write_keyring(home: &Home, keyring: &Keyring) {
    let sealed = keyring.seal(&passphrase(), WORK_FACTOR_LOG2).expect("seals");
    write_private(&home.keyring(), &sealed).expect("writable");
}

/// The keyring of a closed home.
pub(in crate::service::rooms) fn read_keyring(home: &Home) -> Keyring {
    let sealed = std::fs::read(home.keyring()).expect("readable");
    Keyring::open(&sealed, &passphrase()).expect("the right passphrase")
}

/// Two homes that know each other, and a room of the first in which the second is a patient.
pub(in crate::service::rooms) async fn met() -> (TestHome, TestHome) {
    let clinic = TestHome::new("clinic", IdentityKind::Clinic).await;
    let patient = TestHome::new("patient", IdentityKind::Patient).await;
    introduce(&clinic, &patient);
    let request = CreateRoomRequest { name: ROOM.to_owned(), scene: "consulting-room".to_owned() };
    clinic.node().room_create(&request).expect("made");
    let ticket = invite(&clinic).expect("invited");
    patient.node().room_join(&ticket).await.expect("joined");
    (clinic, patient)
}

/// Invites the patient; gives the ticket.
pub(in crate::service::rooms) fn invite(clinic: &TestHome) -> Result<String, Problem> {
    let request = InviteRequest { peer: "patient".to_owned(), role: "patient".to_owned() };
    clinic.node().room_invite(ROOM, &request).map(|info| info.ticket)
}

/// Tells two homes of each other and where they are now, as pairing and greeting do.
pub(in crate::service::rooms) fn introduce(a: &TestHome, b: &TestHome) {
    for (one, other) in [(a.node(), b.node()), (b.node(), a.node())] {
        one.add_peer(other.own_card(), other.keyring.claims().clone()).expect("kept");
    }
}

/// Lets `a` open a stream to `b` in the room.
pub(in crate::service::rooms) async fn meet(a: &TestHome, b: &TestHome) {
    a.node().meet_now(&a.room().id, &b.device()).await;
}

/// Waits until `happened`.
pub(in crate::service::rooms) async fn until(what: &str, happened: impl Fn() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !happened() {
        assert!(Instant::now() < deadline, "not in time: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

async fn opened(home: &Home) -> Arc<Node> {
    let node = Node::open(home.clone(), passphrase(), true).await.expect("opens");
    let listen = Listen {
        addresses: vec!["/ip4/127.0.0.1/tcp/0".to_owned()],
        blobs: Some("127.0.0.1:0".parse().expect("an address")),
        mdns: false,
    };
    node.join_network(listen).await.expect("loopback has free ports");
    node
}

fn passphrase() -> SecretString {
    SecretString::from("of the tests")
}
