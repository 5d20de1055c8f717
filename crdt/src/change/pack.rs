//! Many signed changes in few bytes: what they share is said once, and what follows from the rest is left out.
//!
//! Of each change a pack holds its operations, its signature and a few small numbers; magic, checksum, actor, terms,
//! room, certificate and the names of what it builds on are put back by the reader, bit for bit, so that the
//! signature is checked over the very bytes that were signed. A pack is no more than another spelling: it claims
//! nothing, needs no trust, and what comes out goes through the same checks as changes that came one by one.
//! Its size and what becomes of it are both limited, and it is read without any of automerge.

use std::collections::HashMap;

use keys::codec::{self, CodecError};
use keys::{DeviceId, Signed};
use serde::{Deserialize, Serialize};
use serde_bytes::ByteArray;

use super::parts::Parts;
use super::{Body, ChangeError, MAX_CHANGE_BYTES, SignedChange, VERSION, actor, terms};
use crate::ids::{Actor, ChangeHash, RoomId};

/// The most bytes of changes, as [`SignedChange::encoded_len`] counts them, that one pack becomes: what a reader
/// is asked to hold, whatever the pack claims. About 2,000 changes of a line of text.
pub const MAX_UNPACKED_BYTES: usize = 1024 * 1024;

/// A pack is at most as large as the frame that it comes in.
const MAX_PACK_BYTES: usize = 1024 * 1024;

/// The version of [`Pack`] that this code writes and reads.
const PACK_VERSION: u8 = 1;

/// What a reference to a change becomes: its hash.
const DEP_BYTES: usize = 32;

/// What a reference to an actor becomes: a length and the actor.
const OTHER_BYTES: usize = 17;

/// Bytes that are no pack.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PackError {
    /// Too large, or not such a message.
    #[error(transparent)]
    Codec(#[from] CodecError),
    /// Of a version that this code does not know.
    #[error("pack of unknown version {found}")]
    Version {
        /// The version it claims.
        found: u8,
    },
    /// Holds no change: nobody sends such a pack.
    #[error("pack of nothing")]
    Empty,
    /// Refers to a change, an actor or an author that it does not hold.
    #[error("pack refers to what it does not hold")]
    Reference,
    /// What comes out of it is no signed change.
    #[error(transparent)]
    Change(#[from] ChangeError),
    /// Would become more than [`MAX_UNPACKED_BYTES`], or one of its changes more than a change may have.
    #[error("pack becomes more than {MAX_UNPACKED_BYTES} bytes")]
    TooMuch,
}

/// The wire form.
#[derive(Serialize, Deserialize)]
struct Pack {
    version: u8,
    /// Who wrote; rows refer to them.
    hands: Vec<Hand>,
    /// What rows build on and is no row.
    before: Vec<ChangeHash>,
    /// Actors that rows name and that are no hand's.
    actors: Vec<ByteArray<16>>,
    rows: Vec<Row>,
}

/// Who wrote in which epoch and session: device, digest of its certificate, epoch, session.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
struct Hand(#[serde(with = "serde_bytes")] [u8; 32], #[serde(with = "serde_bytes")] [u8; 32], u64, u64);

impl Hand {
    fn of(change: &SignedChange) -> Self {
        Self(*change.device().as_bytes(), *change.certificate(), change.epoch(), change.session())
    }

    fn actor(&self, room: &RoomId) -> Actor {
        actor(&DeviceId::from_bytes(self.0), room, self.3)
    }

    fn terms(&self, room: &RoomId) -> String {
        terms(room, self.2, &self.1, self.3)
    }
}

/// One change, as an array. A reference is a number from 0 on into what the pack has anyway, or one from -1 down into
/// a list of its own.
#[derive(Serialize, Deserialize)]
struct Row(
    /// Its hand.
    u64,
    /// What it builds on: how many rows lie between, or in `before`.
    Vec<i64>,
    /// Its number among the changes of its actor, from 1.
    u64,
    /// Counter of its first operation.
    u64,
    /// Milliseconds since the row above, or since 1970.
    i64,
    /// The other actors that it names: of a hand, or in `actors`.
    Vec<i64>,
    /// Its operations, as [`Parts::columns`].
    #[serde(with = "serde_bytes")]
    Vec<u8>,
    /// The device's signature.
    #[serde(with = "serde_bytes")]
    [u8; 64],
);

/// Packs changes of one room, each after what it builds on. None where a reader would not get back bit for bit the
/// same: an author can write a change in more bytes than needed, or sign more than its fields. Then they travel one by
/// one.
pub fn pack(changes: &[SignedChange]) -> Option<Vec<u8>> {
    let room = changes.first()?.room();
    let mut packer = Packer::default();
    for change in changes {
        packer.add(&room, change)?;
    }
    let Packer { hands, before, actors, rows, .. } = packer;
    let pack = Pack { version: PACK_VERSION, hands, before, actors, rows };
    let bytes = codec::encode(&pack);
    let read = unpack(&room, &bytes).ok()?;
    (read == changes).then_some(bytes)
}

/// The changes of `room` that a pack holds. Nothing of them is believed yet: their signatures are not even looked at.
///
/// # Errors
/// [`PackError`] when the bytes are no pack, or become too much. Then nothing of it is used.
pub fn unpack(room: &RoomId, bytes: &[u8]) -> Result<Vec<SignedChange>, PackError> {
    let pack: Pack = codec::decode("pack of changes", bytes, MAX_PACK_BYTES)?;
    if pack.version != PACK_VERSION {
        return Err(PackError::Version { found: pack.version });
    }
    if pack.rows.is_empty() {
        return Err(PackError::Empty);
    }
    let writers = pack.hands.iter().map(|hand| (*hand, hand.actor(room), hand.terms(room))).collect();
    let Pack { before, actors, rows, .. } = pack;
    let mut unpacker = Unpacker { room: *room, writers, before, actors, changes: Vec::new(), time_ms: 0 };
    let mut left = MAX_UNPACKED_BYTES;
    for row in rows {
        let change = unpacker.change(row)?;
        left = left.checked_sub(change.encoded_len()).ok_or(PackError::TooMuch)?;
        unpacker.changes.push(change);
    }
    Ok(unpacker.changes)
}

/// A pack that is being made.
#[derive(Default)]
struct Packer {
    hands: Vec<Hand>,
    before: Vec<ChangeHash>,
    actors: Vec<ByteArray<16>>,
    rows: Vec<Row>,
    hand_at: HashMap<Hand, u64>,
    row_at: HashMap<ChangeHash, i64>,
    before_at: HashMap<ChangeHash, i64>,
    actor_at: HashMap<Actor, i64>,
    time_ms: i64,
}

impl Packer {
    fn add(&mut self, room: &RoomId, change: &SignedChange) -> Option<()> {
        let parts = Parts::of(change.change())?;
        let hand = self.hand(room, Hand::of(change));
        let row = self.rows.len() as i64;
        let deps = parts.deps.iter().map(|dep| match self.row_at.get(dep) {
            Some(earlier) => row - earlier - 1,
            None => *self.before_at.entry(*dep).or_insert_with(|| {
                self.before.push(*dep);
                -(self.before.len() as i64)
            }),
        });
        let deps = deps.collect();
        let others = parts.others.iter().map(|other| {
            *self.actor_at.entry(*other).or_insert_with(|| {
                self.actors.push(ByteArray::new(*other));
                -(self.actors.len() as i64)
            })
        });
        let others = others.collect();
        let later_ms = parts.time_ms.checked_sub(std::mem::replace(&mut self.time_ms, parts.time_ms))?;
        let (columns, signature) = (parts.columns.to_vec(), *change.0.signed.signature());
        self.rows.push(Row(hand, deps, parts.seq, parts.start, later_ms, others, columns, signature));
        self.row_at.insert(change.hash(), row);
        Some(())
    }

    fn hand(&mut self, room: &RoomId, hand: Hand) -> u64 {
        let next = self.hands.len() as u64;
        let at = *self.hand_at.entry(hand).or_insert(next);
        if at == next {
            self.hands.push(hand);
            // An actor that was written out before is found where it was written.
            self.actor_at.entry(hand.actor(room)).or_insert(next as i64);
        }
        at
    }
}

/// A pack that is being read.
struct Unpacker {
    room: RoomId,
    /// Each hand, its actor and its terms.
    writers: Vec<(Hand, Actor, String)>,
    before: Vec<ChangeHash>,
    actors: Vec<ByteArray<16>>,
    changes: Vec<SignedChange>,
    time_ms: i64,
}

impl Unpacker {
    fn change(&mut self, row: Row) -> Result<SignedChange, PackError> {
        let Row(hand, deps, seq, start, later_ms, others, columns, signature) = row;
        let bytes = deps.len() * DEP_BYTES + others.len() * OTHER_BYTES + columns.len();
        if bytes > MAX_CHANGE_BYTES {
            return Err(PackError::TooMuch);
        }
        let deps = deps.iter().map(|dep| self.dep(*dep)).collect::<Option<_>>();
        let others = others.iter().map(|other| self.other(*other)).collect::<Option<_>>();
        let writer = usize::try_from(hand).ok().and_then(|hand| self.writers.get(hand));
        let (Some(deps), Some(others), Some((hand, actor, terms))) = (deps, others, writer) else {
            return Err(PackError::Reference);
        };
        self.time_ms = self.time_ms.wrapping_add(later_ms);
        let (time_ms, terms) = (self.time_ms, terms.as_bytes());
        let parts = Parts { deps, actor: *actor, seq, start, time_ms, terms, others, columns: &columns };
        let Hand(device, certificate, epoch, session) = *hand;
        let (version, room, change) = (VERSION, self.room, parts.join());
        let body = Body { version, room, epoch, certificate, session, change };
        let signed = Signed::from_parts(codec::encode(&body), device, signature);
        Ok(SignedChange::new(signed, body)?)
    }

    fn dep(&self, reference: i64) -> Option<ChangeHash> {
        match usize::try_from(reference) {
            Ok(between) => {
                let row = self.changes.len().checked_sub(between.checked_add(1)?)?;
                self.changes.get(row).map(SignedChange::hash)
            }
            Err(_) => self.before.get(listed(reference)?).copied(),
        }
    }

    fn other(&self, reference: i64) -> Option<Actor> {
        match usize::try_from(reference) {
            Ok(hand) => self.writers.get(hand).map(|(_, actor, _)| *actor),
            Err(_) => self.actors.get(listed(reference)?).map(|actor| **actor),
        }
    }
}

/// The index that a reference from -1 down means.
fn listed(reference: i64) -> Option<usize> {
    usize::try_from(-1 - reference).ok()
}

#[cfg(test)]
mod tests;
