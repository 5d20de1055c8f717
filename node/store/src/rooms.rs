//! The stored form of rooms: for each room a head and its entries in order, sealed under the home key.
//!
//! ```text
//! head   under  name            number of entries ‖ room
//! entry  under  name ‖ number   room ‖ entry
//! ```
//!
//! The name is a keyed hash of the room, so two homes keep the same room under names that have nothing in common.
//! The head changes in the same batch as the entries it counts: entries that were cut off or removed show.

use getrandom::SysRng;
use keys::DataKey;
use rand_core::UnwrapErr;
use zeroize::Zeroizing;

use crate::size_class::{pad, unpad};

/// A room's id, as the store sees it: opaque.
pub(crate) type RoomKey = [u8; 32];
/// Under what a room is kept.
pub(crate) type Name = [u8; 32];

/// What a seal is for: part of what it is bound to.
#[derive(Clone, Copy)]
enum Part {
    Head,
    Entry(u64),
}

/// The keys of all rooms.
pub(crate) struct Rooms {
    names: DataKey,
    contents: DataKey,
}

impl Rooms {
    pub(crate) fn new(root: &DataKey) -> Self {
        Self {
            names: root.derive("metaclinic 2026-01 store room names"),
            contents: root.derive("metaclinic 2026-01 store room contents"),
        }
    }

    /// The name under which a room is kept.
    pub(crate) fn name(&self, room: &RoomKey) -> Name {
        self.names.keyed_hash(room)
    }

    /// The stored head of a room with `count` entries.
    pub(crate) fn seal_head(&self, room: &RoomKey, count: u64) -> Vec<u8> {
        self.seal(&self.name(room), Part::Head, &[&count.to_be_bytes(), room])
    }

    /// The room kept under `name` and how many entries it has; `None` when the head was changed or moved.
    pub(crate) fn open_head(&self, name: &[u8], sealed: &[u8]) -> Option<(RoomKey, u64)> {
        let plain = self.open(name, Part::Head, sealed)?;
        let (count, room) = plain.split_first_chunk::<8>()?;
        let room = RoomKey::try_from(room).ok()?;
        (self.name(&room) == name).then_some((room, u64::from_be_bytes(*count)))
    }

    /// The stored form of entry number `seq`.
    pub(crate) fn seal_entry(&self, room: &RoomKey, seq: u64, entry: &[u8]) -> Vec<u8> {
        self.seal(&self.name(room), Part::Entry(seq), &[room, entry])
    }

    /// Entry number `seq` of `room`; `None` when it was changed or moved.
    pub(crate) fn open_entry(&self, room: &RoomKey, seq: u64, sealed: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
        let mut plain = self.open(&self.name(room), Part::Entry(seq), sealed)?;
        if !plain.starts_with(room) {
            return None;
        }
        plain.drain(..room.len());
        Some(plain)
    }

    fn seal(&self, name: &[u8], part: Part, parts: &[&[u8]]) -> Vec<u8> {
        let plain = Zeroizing::new(parts.concat());
        self.contents.seal(&mut UnwrapErr(SysRng), &context(name, part), &pad(&plain))
    }

    fn open(&self, name: &[u8], part: Part, sealed: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
        unpad(Zeroizing::new(self.contents.open(&context(name, part), sealed).ok()?))
    }
}

/// The engine's key of entry number `seq` of the room kept under `name`.
pub(crate) fn entry_key(name: &Name, seq: u64) -> [u8; 40] {
    let mut key = [0; 40];
    key[..32].copy_from_slice(name);
    key[32..].copy_from_slice(&seq.to_be_bytes());
    key
}

fn context(name: &[u8], part: Part) -> Vec<u8> {
    match part {
        Part::Head => [b"metaclinic/store/room-head/1/".as_slice(), name].concat(),
        Part::Entry(seq) => [b"metaclinic/store/room-entry/1/".as_slice(), name, &seq.to_be_bytes()].concat(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROOM: RoomKey = [3; 32];

    fn rooms() -> Rooms {
        Rooms::new(&DataKey::from_bytes([1; 32]))
    }

    #[test]
    fn an_entry_opens_only_at_its_room_and_number() {
        let rooms = rooms();
        let sealed = rooms.seal_entry(&ROOM, 5, b"entry");
        assert_eq!(rooms.open_entry(&ROOM, 5, &sealed).expect("opens").as_slice(), b"entry");
        assert!(rooms.open_entry(&ROOM, 6, &sealed).is_none());
        assert!(rooms.open_entry(&[4; 32], 5, &sealed).is_none());
        for i in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[i] ^= 1;
            assert!(rooms.open_entry(&ROOM, 5, &changed).is_none(), "byte {i}");
            assert!(rooms.open_entry(&ROOM, 5, &sealed[..i]).is_none(), "cut at {i}");
        }
    }

    #[test]
    fn a_head_names_its_room_and_count() {
        let rooms = rooms();
        let (name, sealed) = (rooms.name(&ROOM), rooms.seal_head(&ROOM, 7));
        assert_eq!(rooms.open_head(&name, &sealed), Some((ROOM, 7)));
        assert_eq!(rooms.open_head(&rooms.name(&[4; 32]), &sealed), None);
        assert_eq!(rooms.open_head(&name, &rooms.seal_entry(&ROOM, 0, &[0; 8])), None);
    }

    #[test]
    fn two_homes_keep_a_room_under_different_names() {
        let other = Rooms::new(&DataKey::from_bytes([2; 32]));
        assert_ne!(rooms().name(&ROOM), other.name(&ROOM));
    }
}
