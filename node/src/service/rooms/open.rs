//! Rooms in memory, as the store has them.

use std::collections::HashMap;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, MutexGuard, RwLock};

use crdt::{Epoch, Room, RoomEvent, RoomId, SignedChange, Trust};
use keys::{DeviceCertificate, Signed, codec};
use serde::{Deserialize, Serialize};
use store::Store;
use tokio::sync::{broadcast, watch};

use super::super::problem::{Problem, Tried};
use super::super::read;
use super::meeting::Sessions;
use super::steps::Steps;
use crate::clock;

/// Largest stored entry: a signed epoch is the largest thing.
const MAX_ENTRY_BYTES: usize = 128 * 1024;
/// Events waiting for a slow watcher; one that falls further behind is told so.
const WATCHER_EVENTS: usize = 256;

/// What a room is made of on disk, in the order of arrival.
#[derive(Serialize, Deserialize)]
pub(super) enum StoredEntry {
    #[serde(rename = "e")]
    Epoch(Signed<Epoch>),
    #[serde(rename = "c")]
    Certificate(Signed<DeviceCertificate>),
    #[serde(rename = "x")]
    Change(SignedChange),
}

/// All rooms, and who is being met in them.
pub(crate) struct Rooms {
    pub(super) open: RwLock<HashMap<RoomId, Arc<OpenRoom>>>,
    /// One room is made or joined at a time, so that none is there twice.
    pub(super) making: Mutex<()>,
    /// Something of a room could not be read, so nobody may conclude from what is missing.
    partial: bool,
    pub(crate) sessions: Sessions,
    /// How far members were when they last held the same.
    pub(super) steps: Steps,
}

/// A room in memory.
pub(crate) struct OpenRoom {
    pub(super) id: RoomId,
    /// Never changes, so that looking for a room locks none.
    pub(super) name: String,
    room: Mutex<Room>,
    store: Store,
    /// Whether this device's present certificate is stored with the room: changes that name it open again only then.
    pub(super) certified: AtomicBool,
    /// The trail says that there was no room for changes.
    pub(super) full_noted: AtomicBool,
    /// Tells watchers what happened.
    events: broadcast::Sender<RoomEvent>,
    /// Counts changes, so that sessions see that there is something to send.
    pub(super) revision: watch::Sender<u64>,
    /// Distinguishes what this process writes from what an earlier one of the same device wrote.
    pub(super) session: u64,
}

impl OpenRoom {
    pub(super) fn new(room: Room, certified: bool, store: Store) -> Arc<Self> {
        // Session numbers rise for each device, and no two openings share one.
        let session = u64::try_from(clock::now().as_millis()).unwrap_or(0);
        Arc::new(Self {
            id: room.id(),
            name: room.charter().name.clone(),
            room: Mutex::new(room),
            store,
            certified: AtomicBool::new(certified),
            full_noted: AtomicBool::new(false),
            events: broadcast::Sender::new(WATCHER_EVENTS),
            revision: watch::Sender::new(0),
            session,
        })
    }

    /// The room. Where a task stopped while it changed the room, what it left may be half a change, which nobody may
    /// see or build on: the room is read again from the store.
    pub(super) fn lock(&self) -> MutexGuard<'_, Room> {
        let poisoned = match self.room.lock() {
            Ok(room) => return room,
            Err(poisoned) => poisoned,
        };
        let mut room = poisoned.into_inner();
        match load_room(&self.store, self.id.as_bytes()) {
            Ok(kept) => {
                tracing::error!("a task stopped while it changed a room: the room is read again");
                *room = kept.room;
                self.room.clear_poison();
            }
            // A store that cannot be read takes nothing either, so nothing is built on what is left here.
            Err(problem) => tracing::error!(%problem, "a room that was left half changed does not open"),
        }
        room
    }

    /// What happens from now on.
    pub(crate) fn watch(&self) -> broadcast::Receiver<RoomEvent> {
        self.events.subscribe()
    }

    /// Tells watchers and sessions what happened.
    pub(super) fn tell(&self, events: Vec<RoomEvent>) {
        for event in events {
            // Nobody may be watching.
            let _ = self.events.send(event);
        }
        self.revision.send_modify(|r| *r += 1);
    }
}

impl Rooms {
    /// Reads them from the store.
    ///
    /// # Errors
    /// [`Problem`] when the store cannot be read; a room that does not open is left out with an error in the log.
    pub(crate) fn load(store: &Store, certificate: &[u8; 32]) -> Result<Self, Problem> {
        let mut open = HashMap::new();
        let mut partial = false;
        for id in store.rooms().tried("list the rooms")? {
            match load_room(store, &id) {
                Ok(loaded) => {
                    partial |= !loaded.whole;
                    let certified = loaded.certificates.contains(certificate);
                    open.insert(loaded.room.id(), OpenRoom::new(loaded.room, certified, store.clone()));
                }
                Err(problem) => {
                    partial = true;
                    tracing::error!(%problem, "a room does not open");
                }
            }
        }
        let (open, making, sessions) = (RwLock::new(open), Mutex::new(()), Sessions::default());
        Ok(Self { open, making, partial, sessions, steps: Steps::load(store)? })
    }

    /// Whether everything stored of all rooms was read and counts.
    pub(crate) fn are_whole(&self) -> bool {
        !self.partial
    }

    /// All of them, in the order of their ids.
    pub(super) fn all(&self) -> Vec<Arc<OpenRoom>> {
        let mut all: Vec<_> = read(&self.open).values().cloned().collect();
        all.sort_by_key(|r| r.id);
        all
    }

    /// The room of this id.
    pub(super) fn get(&self, id: &RoomId) -> Option<Arc<OpenRoom>> {
        read(&self.open).get(id).cloned()
    }

    /// Finds the one room that `which` names: its id, the beginning of it, or its name.
    ///
    /// # Errors
    /// [`Problem`] when none or more than one fits.
    pub(crate) fn resolve(&self, which: &str) -> Result<Arc<OpenRoom>, Problem> {
        let fits =
            |r: &Arc<OpenRoom>| (which.len() >= 8 && r.id.to_string().starts_with(which)) || r.name == which;
        let mut found = self.all().into_iter().filter(fits);
        match (found.next(), found.next()) {
            (Some(room), None) => Ok(room),
            (None, _) => Err(Problem::not_found("no room here goes by that name or id")
                .next("list them with: metaclinic room list")),
            (Some(_), Some(_)) => Err(Problem::wrong_use("more than one room goes by that name")
                .next("use the id that `metaclinic room list` shows")),
        }
    }
}

/// A room from the store.
pub(super) struct Loaded {
    pub(super) room: Room,
    /// Digests of the stored certificates.
    certificates: Vec<[u8; 32]>,
    /// Whether everything stored was read and counts.
    whole: bool,
}

/// Reads a room from the store.
///
/// # Errors
/// [`Problem`] when the store cannot be read or the member list is not to be believed.
pub(super) fn load_room(store: &Store, id: &[u8; 32]) -> Result<Loaded, Problem> {
    let (mut epochs, mut certificates, mut changes) = (Vec::new(), Vec::new(), Vec::new());
    let mut unreadable = 0_u64;
    store
        .room_entries(id, &mut |bytes| match codec::decode("room entry", &bytes, MAX_ENTRY_BYTES) {
            Ok(StoredEntry::Epoch(epoch)) => epochs.push(epoch),
            Ok(StoredEntry::Certificate(certificate)) => certificates.push(certificate),
            Ok(StoredEntry::Change(change)) => changes.push(change),
            Err(_) => unreadable += 1,
        })
        .tried("read a room")?;
    let (stored, digests) = (changes.len(), certificates.iter().map(Signed::digest).collect());
    let room = Room::open(&epochs, certificates, changes.into_iter(), Trust::Checked).tried("open a room")?;
    let idle = stored.saturating_sub(room.len());
    if unreadable > 0 {
        tracing::warn!(unreadable, "entries of a room cannot be read");
    }
    Ok(Loaded { room, certificates: digests, whole: unreadable == 0 && idle == 0 })
}
