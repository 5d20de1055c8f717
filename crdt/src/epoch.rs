//! Who may do what in a room: a line of epochs, each naming the one before, all signed by the owner's identity.
//!
//! Membership is not part of the document: a room has a natural arbiter, and a line that one key signs cannot
//! end up different on two copies, unless the owner signs two different epochs that follow the same one.
//!
//! Then both are kept as proof and the room is frozen, for good and on every copy alike, however far a copy had
//! gone on along one side: the line ends at their number `n`; what was known of later epochs is dropped, with the
//! rights they gave and took; a member may from `n` on what both epochs allow; and a change that names a later
//! epoch is judged as if it named `n`, so that work done in good faith still counts. Of several such pairs the one
//! of the lowest number holds, and of more than two epochs of that number the two with the smallest digests: what
//! holds follows from the set of known epochs, not from the order in which they came.

use std::fmt;

use keys::{IdentityId, Signable, SignatureError, Signed, Timestamp};
use serde::{Deserialize, Serialize};

use crate::ids::{ChangeHash, RoomId};
use crate::role::{Rights, Role};

/// The most members a room may have.
pub const MAX_MEMBERS: usize = 256;

/// The most bytes (UTF-8) of a room's name.
pub const MAX_ROOM_NAME_BYTES: usize = 128;

/// The most bytes of a scene's name.
pub const MAX_SCENE_BYTES: usize = 64;

/// The most heads an epoch may close: one for each member who writes at the same moment.
pub const MAX_CLOSED_HEADS: usize = MAX_MEMBERS;

/// The most epochs of a room: a membership that changes daily for eleven years.
pub const MAX_EPOCHS: usize = 4_096;

/// Someone in a room.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Member {
    /// Who.
    pub identity: IdentityId,
    /// As what.
    pub role: Role,
}

/// What a room is from the start and for ever.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Charter {
    /// What people call it, 1 to [`MAX_ROOM_NAME_BYTES`] bytes on one line.
    pub name: String,
    /// The place it looks like: 1 to [`MAX_SCENE_BYTES`] bytes of `a-z`, `0-9` and `-`.
    pub scene: String,
    /// Random, so that two equal rooms are two.
    #[serde(with = "serde_bytes")]
    pub nonce: [u8; 16],
}

impl fmt::Debug for Charter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Charter({})", self.scene)
    }
}

impl Charter {
    fn check(&self) -> Result<(), EpochError> {
        // Bidirectional controls (Unicode UAX #9) can make one name look like another.
        let deceives =
            |c: char| c.is_control() || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
        if self.name.trim().is_empty()
            || self.name.len() > MAX_ROOM_NAME_BYTES
            || self.name.chars().any(deceives)
        {
            return Err(EpochError::Name);
        }
        let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        if self.scene.is_empty() || self.scene.len() > MAX_SCENE_BYTES || !self.scene.bytes().all(plain) {
            return Err(EpochError::Scene);
        }
        Ok(())
    }
}

/// The members of a room from one moment on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Epoch {
    /// The version of this message, 1.
    pub version: u8,
    /// Of which room; none in the first, whose digest is the room's name.
    pub room: Option<RoomId>,
    /// From 0, without gaps.
    pub n: u64,
    /// Digest of the signed epoch before; zero in the first.
    #[serde(with = "serde_bytes")]
    pub prev: [u8; 32],
    /// In the first epoch only.
    pub charter: Option<Charter>,
    /// 1 to [`MAX_MEMBERS`], each once, exactly one owner who never changes.
    pub members: Vec<Member>,
    /// The document as the owner saw it; needed when someone loses a right. What such a member wrote and what is
    /// neither below these heads nor below a change of a member who kept their rights does not count.
    pub closed_heads: Option<Vec<ChangeHash>>,
    /// When it was signed, by the owner's clock.
    pub time: Timestamp,
}

impl Signable for Epoch {
    const DOMAIN: &'static str = "metaclinic/epoch/1";
    const MAX_BYTES: usize = 64 * 1024;
}

impl Epoch {
    /// The version this code writes and reads.
    pub const VERSION: u8 = 1;

    /// The role of `identity`, if it is a member.
    pub fn role(&self, identity: &IdentityId) -> Option<Role> {
        self.members.iter().find(|member| member.identity == *identity).map(|member| member.role)
    }

    /// The member who signs.
    pub fn owner(&self) -> Option<IdentityId> {
        self.members.iter().find(|member| member.role == Role::Owner).map(|member| member.identity)
    }

    fn check(&self, owner: &IdentityId) -> Result<(), EpochError> {
        if self.version != Self::VERSION {
            return Err(EpochError::Version { found: self.version });
        }
        if self.members.len() > MAX_MEMBERS {
            return Err(EpochError::TooManyMembers);
        }
        let mut seen = std::collections::HashSet::new();
        if !self.members.iter().all(|member| seen.insert(member.identity)) {
            return Err(EpochError::MemberTwice);
        }
        let mut owners = self.members.iter().filter(|member| member.role == Role::Owner);
        if owners.next().map(|member| member.identity) != Some(*owner) || owners.next().is_some() {
            return Err(EpochError::Owner);
        }
        if self.closed_heads.as_ref().is_some_and(|heads| heads.len() > MAX_CLOSED_HEADS) {
            return Err(EpochError::ClosedHeads);
        }
        Ok(())
    }

    fn check_first(&self, signer: &IdentityId) -> Result<(), EpochError> {
        self.check(signer)?;
        let Some(charter) = &self.charter else { return Err(EpochError::First) };
        if self.n != 0 || self.room.is_some() || self.prev != [0; 32] || self.closed_heads.is_some() {
            return Err(EpochError::First);
        }
        charter.check()
    }

    fn check_later(&self, owner: &IdentityId, room: RoomId, before: &Self) -> Result<(), EpochError> {
        if self.room != Some(room) {
            return Err(EpochError::OtherRoom);
        }
        self.check(owner)?;
        if self.charter.is_some() {
            return Err(EpochError::First);
        }
        let lowers = before.members.iter().any(|m| lowered(Some(m.role), self.role(&m.identity)));
        if lowers && self.closed_heads.is_none() {
            return Err(EpochError::ClosedHeads);
        }
        Ok(())
    }
}

/// Whether someone may do less than before.
pub(crate) fn lowered(before: Option<Role>, after: Option<Role>) -> bool {
    let rights = |role: Option<Role>| role.map_or(Rights::NONE, Role::rights);
    !rights(after).covers(rights(before)) || (before.is_some() && after.is_none())
}

/// What became of an epoch that was offered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Appended {
    /// It holds from now on.
    New,
    /// It was known.
    Known,
}

/// An epoch is not to be believed, or not yet.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EpochError {
    /// Its signature does not verify, or it is no epoch.
    #[error(transparent)]
    Signature(#[from] SignatureError),
    /// No epoch at all was given.
    #[error("a room needs at least its first epoch")]
    Empty,
    /// Of a version that this code does not know.
    #[error("epoch of unknown version {found}")]
    Version {
        /// The version it claims.
        found: u8,
    },
    /// The first epoch lacks what only it has, or a later one has it.
    #[error("the first epoch, and only the first, founds a room")]
    First,
    /// The room's name is empty, too long, or holds characters that could deceive on a screen.
    #[error("name of a room must be 1 to {MAX_ROOM_NAME_BYTES} bytes on one line without control characters")]
    Name,
    /// The scene's name is empty, too long, or has other characters.
    #[error("scene must be 1 to {MAX_SCENE_BYTES} letters a-z, digits or hyphens")]
    Scene,
    /// Of another room.
    #[error("epoch of another room")]
    OtherRoom,
    /// Not signed by the owner, no owner or two, or another one.
    #[error("a room has exactly one owner, who signs its epochs and never changes")]
    Owner,
    /// More than [`MAX_MEMBERS`].
    #[error("a room has at most {MAX_MEMBERS} members")]
    TooManyMembers,
    /// A member is listed twice.
    #[error("a member is listed twice")]
    MemberTwice,
    /// Someone loses a right and no closed heads are named, or too many are.
    #[error("an epoch that takes a right away names 1 to {MAX_CLOSED_HEADS} closed heads")]
    ClosedHeads,
    /// Epochs between it and the last known one are missing.
    #[error("epoch {offered} does not follow epoch {held}")]
    Gap {
        /// The last known one.
        held: u64,
        /// The one that was offered.
        offered: u64,
    },
    /// It names another epoch before it than the one that holds.
    #[error("epoch {n} does not build on the one before it")]
    OtherPast {
        /// Its number.
        n: u64,
    },
    /// The owner signed two different epochs of this number. Both are kept as proof; the room is frozen, or frozen
    /// by another pair than before.
    #[error("the owner signed two different epochs {n}; the room is frozen")]
    Fork {
        /// Their number.
        n: u64,
    },
    /// After a [`EpochError::Fork`] no epoch is accepted but for one that proves an earlier fork.
    #[error("the room is frozen: its owner signed two different epochs of one number")]
    Frozen,
    /// The room has [`MAX_EPOCHS`] epochs.
    #[error("a room has at most {MAX_EPOCHS} epochs")]
    Full,
}

struct Entry {
    signed: Signed<Epoch>,
    epoch: Epoch,
}

/// The epochs of one room, verified, in order.
pub struct EpochLog {
    room: RoomId,
    owner: IdentityId,
    charter: Charter,
    signed: Vec<Signed<Epoch>>,
    epochs: Vec<Epoch>,
    fork: Option<Box<Entry>>,
}

impl EpochLog {
    /// Verifies a whole line, first epoch first. A proven fork in it freezes the log and is no error.
    ///
    /// # Errors
    /// [`EpochError`] of the first entry that is not to be believed.
    pub fn from_entries(entries: &[Signed<Epoch>]) -> Result<Self, EpochError> {
        let (first, rest) = entries.split_first().ok_or(EpochError::Empty)?;
        let mut log = Self::found(first)?;
        for entry in rest {
            match log.append(entry.clone()) {
                Ok(_) | Err(EpochError::Fork { .. } | EpochError::Frozen) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(log)
    }

    fn found(first: &Signed<Epoch>) -> Result<Self, EpochError> {
        let epoch = first.verify(first.signer())?;
        let owner = IdentityId::from_bytes(*first.signer());
        epoch.check_first(&owner)?;
        let charter = epoch.charter.clone().ok_or(EpochError::First)?;
        let room = RoomId::from_bytes(first.digest());
        Ok(Self { room, owner, charter, signed: vec![first.clone()], epochs: vec![epoch], fork: None })
    }

    /// Adds the next epoch.
    ///
    /// # Errors
    /// [`EpochError`] names the first check that fails; [`EpochError::Fork`] has frozen the log.
    pub fn append(&mut self, signed: Signed<Epoch>) -> Result<Appended, EpochError> {
        let held = self.signed.iter().chain(self.fork.as_ref().map(|fork| &fork.signed));
        if held.into_iter().any(|known| known.body() == signed.body()) {
            return Ok(Appended::Known);
        }
        if signed.signer() != self.owner.as_bytes() {
            return Err(EpochError::Owner);
        }
        let epoch = signed.verify(self.owner.as_bytes())?;
        if epoch.room != Some(self.room) {
            return Err(EpochError::OtherRoom);
        }
        let n = epoch.n;
        let place = usize::try_from(n).unwrap_or(usize::MAX);
        if self.fork.as_ref().is_some_and(|fork| n > fork.epoch.n) {
            return Err(EpochError::Frozen);
        }
        if n > self.number() + 1 {
            return Err(EpochError::Gap { held: self.number(), offered: n });
        }
        let before = place.checked_sub(1).and_then(|p| self.epochs.get(p)).ok_or(EpochError::First)?;
        epoch.check_later(&self.owner, self.room, before)?;
        if epoch.prev != self.signed[place - 1].digest() {
            return Err(EpochError::OtherPast { n });
        }
        if place < self.epochs.len() {
            return Err(self.freeze(place, Entry { signed, epoch }));
        }
        if self.epochs.len() >= MAX_EPOCHS {
            return Err(EpochError::Full);
        }
        self.signed.push(signed);
        self.epochs.push(epoch);
        Ok(Appended::New)
    }

    /// Ends the line at `place`, where `other` is as good as what is there.
    fn freeze(&mut self, place: usize, mut other: Entry) -> EpochError {
        let n = other.epoch.n;
        let digest = other.signed.digest();
        if self.fork.as_ref().is_some_and(|fork| fork.epoch.n == n && fork.signed.digest() <= digest) {
            return EpochError::Frozen;
        }
        self.signed.truncate(place + 1);
        self.epochs.truncate(place + 1);
        if digest < self.signed[place].digest() {
            std::mem::swap(&mut self.signed[place], &mut other.signed);
            std::mem::swap(&mut self.epochs[place], &mut other.epoch);
        }
        self.fork = Some(Box::new(other));
        EpochError::Fork { n }
    }

    /// The epoch as which one that a change names is taken: in a frozen room none is later than the fork.
    pub(crate) fn judged_as(&self, n: u64) -> u64 {
        self.fork.as_ref().map_or(n, |fork| n.min(fork.epoch.n))
    }

    /// The room.
    pub const fn room(&self) -> RoomId {
        self.room
    }

    /// Who signs the epochs.
    pub const fn owner(&self) -> IdentityId {
        self.owner
    }

    /// What the room is.
    pub const fn charter(&self) -> &Charter {
        &self.charter
    }

    /// The last epoch.
    ///
    /// # Panics
    /// Never: a log begins with its first epoch.
    pub fn current(&self) -> &Epoch {
        self.epochs.last().expect("a log begins with its first epoch")
    }

    /// The last epoch's number.
    pub fn number(&self) -> u64 {
        self.current().n
    }

    /// The digest of the last signed epoch.
    pub fn digest(&self) -> [u8; 32] {
        self.signed.last().map_or([0; 32], Signed::digest)
    }

    /// Epoch `n`.
    pub fn get(&self, n: u64) -> Option<&Epoch> {
        self.epochs.get(usize::try_from(n).ok()?)
    }

    /// The members who count: of the last epoch, and once frozen only what both epochs allow.
    pub fn members(&self) -> Vec<Member> {
        let n = self.number();
        let members = self.current().members.iter();
        members.filter_map(|m| Some(Member { role: self.role_at(n, &m.identity)?, ..*m })).collect()
    }

    /// The role of `identity` in epoch `n`; in a frozen room the stricter of the two.
    pub fn role_at(&self, n: u64, identity: &IdentityId) -> Option<Role> {
        let role = self.get(n)?.role(identity)?;
        match &self.fork {
            Some(fork) if n >= fork.epoch.n => Some(role.stricter(fork.epoch.role(identity)?)),
            _ => Some(role),
        }
    }

    /// The role of `identity` now.
    pub fn role(&self, identity: &IdentityId) -> Option<Role> {
        self.role_at(self.number(), identity)
    }

    /// Whether `identity` was a member in any epoch; of a fork, in both.
    pub fn was_member(&self, identity: &IdentityId) -> bool {
        (0..=self.number()).any(|n| self.role_at(n, identity).is_some())
    }

    /// The signed epochs from number `n` on, to send to someone who has those before.
    pub fn entries_from(&self, n: u64) -> &[Signed<Epoch>] {
        let from = usize::try_from(n).unwrap_or(usize::MAX).min(self.signed.len());
        &self.signed[from..]
    }

    /// Whether the owner signed two different epochs of one number.
    pub const fn is_frozen(&self) -> bool {
        self.fork.is_some()
    }

    /// The two epochs of one number, when frozen, the one of the smaller digest first: to keep and to show to
    /// others.
    pub fn proof_of_fork(&self) -> Option<(&Signed<Epoch>, &Signed<Epoch>)> {
        let fork = self.fork.as_ref()?;
        let place = usize::try_from(fork.epoch.n).ok()?;
        Some((self.signed.get(place)?, &fork.signed))
    }

    /// What closed after epoch `n` for `identity`: for each time it lost a right, the heads that still counted.
    pub(crate) fn closed_after(&self, n: u64, identity: &IdentityId) -> impl Iterator<Item = &[ChangeHash]> {
        let later = self.steps().filter(move |(_, after)| after.n > n);
        later.filter_map(move |(before, after)| {
            let lost = lowered(before.role(identity), after.role(identity));
            lost.then(|| after.closed_heads.as_deref().unwrap_or_default())
        })
    }

    /// Each epoch with the one before it; in a frozen room both that follow the same one.
    pub(crate) fn steps(&self) -> impl Iterator<Item = (&Epoch, &Epoch)> {
        let later = self.epochs.iter().skip(1).chain(self.fork.iter().map(|fork| &fork.epoch));
        later.filter_map(|epoch| Some((self.get(epoch.n.checked_sub(1)?)?, epoch)))
    }
}

impl fmt::Debug for EpochLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = if self.is_frozen() { ", frozen" } else { "" };
        write!(f, "EpochLog({:?}, epoch {}{state})", self.room, self.number())
    }
}

#[cfg(test)]
mod tests;
