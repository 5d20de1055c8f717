//! How far each member of a room is, as far as this home knows.
//!
//! A session notes how many changes both copies held when they were last equal. What came since then the member may
//! lack; another member can have brought it meanwhile, so the number is the most that it lacks.

use std::collections::HashMap;
use std::sync::Mutex;

use crdt::RoomId;
use keys::{DeviceId, Timestamp, codec};
use serde::{Deserialize, Serialize};
use store::{DocumentKind, Store};

use super::{Node, OpenRoom, Problem, Tried, devices_of, lock, read};
use crate::api::types::{MemberLag, RoomLag};
use crate::clock;

const STEP_VERSION: u8 = 1;
/// The largest stored step.
const MAX_STEP_BYTES: usize = 256;

/// The last time that a device held the same as this home.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Step {
    /// When that was.
    pub(super) at: Timestamp,
    /// How many changes both held.
    pub(super) changes: u64,
}

#[derive(Serialize, Deserialize)]
struct StepDocument {
    version: u8,
    at: Timestamp,
    changes: u64,
}

/// The last step of every device in every room.
#[derive(Default)]
pub(crate) struct Steps {
    last: Mutex<HashMap<(RoomId, DeviceId), Step>>,
}

impl Steps {
    /// Reads them from the store. They only inform, so one that cannot be read is left out.
    ///
    /// # Errors
    /// [`Problem`] when the store cannot be read.
    pub(super) fn load(store: &Store) -> Result<Self, Problem> {
        let mut last = HashMap::new();
        for (key, bytes) in store.documents(DocumentKind::RoomStep).tried("read how far members are")? {
            let document = codec::decode::<StepDocument>("step", &bytes, MAX_STEP_BYTES).ok();
            let document = document.filter(|d| d.version == STEP_VERSION);
            if let (Some(place), Some(StepDocument { at, changes, .. })) = (parse_key(&key), document) {
                last.insert(place, Step { at, changes });
            }
        }
        Ok(Self { last: Mutex::new(last) })
    }

    pub(super) fn note(&self, room: RoomId, device: DeviceId, step: Step) {
        lock(&self.last).insert((room, device), step);
    }

    pub(super) fn get(&self, room: &RoomId, device: &DeviceId) -> Option<Step> {
        lock(&self.last).get(&(*room, *device)).copied()
    }
}

impl Node {
    /// Puts the last step of a device on disk.
    pub(super) fn keep_step(&self, room: &RoomId, device: &DeviceId) {
        let Some(Step { at, changes }) = self.rooms.steps.get(room, device) else { return };
        let bytes = codec::encode(&StepDocument { version: STEP_VERSION, at, changes });
        let kept = self.store.put_document(DocumentKind::RoomStep, &key(room, device), &bytes, Vec::new());
        if let Err(error) = kept {
            tracing::warn!(%error, "how far a member is was not kept");
        }
    }

    /// How far the other members of all rooms are.
    pub(crate) fn room_lags(&self) -> Vec<RoomLag> {
        self.rooms.all().iter().map(|open| self.room_lag(open)).collect()
    }

    fn room_lag(&self, open: &OpenRoom) -> RoomLag {
        let (members, held) = {
            let room = open.lock();
            (room.epochs().current().members.clone(), room.len() as u64)
        };
        let own = self.keyring.identity().id();
        let mut lags = Vec::new();
        for identity in members.iter().map(|m| m.identity).filter(|identity| *identity != own) {
            let name = read(&self.peers).by_identity(&identity).map(|p| p.certificate.name.clone());
            let devices = devices_of(self, &identity);
            let nowhere = devices.is_empty().then_some(None);
            for device in devices.into_iter().map(Some).chain(nowhere) {
                let in_step = device.is_some_and(|d| self.rooms.sessions.in_sync(&open.id, &d));
                let step = device.and_then(|d| self.rooms.steps.get(&open.id, &d));
                let lacks = match (in_step, step) {
                    (true, _) => 0,
                    (false, step) => held.saturating_sub(step.map_or(0, |s| s.changes)),
                };
                let last = if in_step { Some(clock::now()) } else { step.map(|s| s.at) };
                lags.push(MemberLag {
                    identity: identity.to_string(),
                    name: name.clone(),
                    device: device.map(|d| d.to_string()),
                    in_step,
                    lacks: device.map(|_| lacks),
                    last_in_step: last.map(clock::rfc3339),
                });
            }
        }
        RoomLag { room: open.id.to_string(), name: open.name.clone(), members: lags }
    }
}

fn key(room: &RoomId, device: &DeviceId) -> Vec<u8> {
    [room.as_bytes().as_slice(), device.as_bytes()].concat()
}

fn parse_key(key: &[u8]) -> Option<(RoomId, DeviceId)> {
    let (room, device) = key.split_first_chunk::<32>()?;
    Some((RoomId::from_bytes(*room), DeviceId::from_bytes(device.try_into().ok()?)))
}
