//! `Authority`: decides for one owner of records who may do what, from signed grants and revocations alone.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::grant::{Action, Grant, GrantError, Purpose, ResourceFacts, Revocation};
use crate::ids::{GrantId, IdentityId, Timestamp};
use crate::signed::Signed;

/// The most grants one authority keeps.
const MAX_GRANTS: usize = 10_000;
/// The most revoked grants one authority remembers: it never forgets one, so this outlives many full lists.
const MAX_REVOKED: usize = 100_000;

/// The grants and revocations of one owner. What is not granted is denied.
#[derive(Clone)]
pub struct Authority {
    owner: IdentityId,
    grants: BTreeMap<GrantId, Grant>,
    by_grantee: BTreeMap<IdentityId, BTreeSet<GrantId>>,
    revoked: BTreeSet<GrantId>,
    epoch: u64,
    /// Digest of the revocation that holds; a second one of the same epoch must be the same.
    latest: Option<[u8; 32]>,
}

impl Authority {
    /// An authority for `owner`, under which nothing is granted yet.
    pub const fn new(owner: IdentityId) -> Self {
        Self {
            owner,
            grants: BTreeMap::new(),
            by_grantee: BTreeMap::new(),
            revoked: BTreeSet::new(),
            epoch: 0,
            latest: None,
        }
    }

    /// Whose records this decides on.
    pub const fn owner(&self) -> &IdentityId {
        &self.owner
    }

    /// Adds a grant; adding it again changes nothing, and a revoked one stays revoked.
    ///
    /// # Errors
    /// [`GrantError`] when the owner did not sign it, it could never hold, or there is no more room.
    pub fn add_grant(&mut self, signed: &Signed<Grant>) -> Result<GrantId, GrantError> {
        let grant = Grant::verify(signed, &self.owner)?;
        let id = signed.id();
        if self.grants.len() >= MAX_GRANTS && !self.grants.contains_key(&id) {
            return Err(GrantError::Full);
        }
        self.by_grantee.entry(grant.grantee).or_default().insert(id);
        self.grants.insert(id, grant);
        Ok(id)
    }

    /// Applies a revocation of a higher epoch, also of grants not seen yet. A later list that leaves a grant
    /// out does not bring it back. The revocation that holds may be applied again.
    ///
    /// # Errors
    /// [`GrantError`] when the owner did not sign it, its epoch is older, or it differs within the same
    /// epoch.
    pub fn apply_revocation(&mut self, signed: &Signed<Revocation>) -> Result<(), GrantError> {
        let revocation = Revocation::verify(signed, &self.owner)?;
        let digest = signed.digest();
        if revocation.epoch == self.epoch && self.latest == Some(digest) {
            return Ok(());
        }
        if revocation.epoch <= self.epoch {
            return Err(GrantError::StaleEpoch { held: self.epoch, offered: revocation.epoch });
        }
        let unseen: BTreeSet<GrantId> = revocation.revoked.into_iter().collect();
        if self.revoked.union(&unseen).count() > MAX_REVOKED {
            return Err(GrantError::Full);
        }
        self.revoked.extend(unseen);
        self.epoch = revocation.epoch;
        self.latest = Some(digest);
        Ok(())
    }

    /// The epoch of the revocation that holds; 0 before the first.
    pub const fn revocation_epoch(&self) -> u64 {
        self.epoch
    }

    /// Every grant, whatever its state.
    pub fn grants(&self) -> impl Iterator<Item = (GrantId, &Grant)> {
        self.grants.iter().map(|(id, grant)| (*id, grant))
    }

    /// Every revoked grant, for the next, cumulative revocation.
    pub fn revoked(&self) -> impl Iterator<Item = &GrantId> {
        self.revoked.iter()
    }

    /// Treats every grant that was added so far as taken back: for an owner whose list of revocations cannot be
    /// read any more. Each later list has to carry them on.
    pub fn revoke_all(&mut self) {
        self.revoked.extend(self.grants.keys());
    }

    /// Whether this grant was taken back.
    pub fn is_revoked(&self, id: &GrantId) -> bool {
        self.revoked.contains(id)
    }

    /// The state of a grant at `now`. One that was never added is [`GrantState::Revoked`] if it was taken
    /// back, else [`GrantState::Expired`]: it permits nothing either way.
    pub fn state(&self, id: &GrantId, now: Timestamp) -> GrantState {
        if self.is_revoked(id) {
            return GrantState::Revoked;
        }
        match self.grants.get(id) {
            Some(grant) if now < grant.not_before => GrantState::NotYetValid,
            Some(grant) if now < grant.not_after => GrantState::Active,
            _ => GrantState::Expired,
        }
    }

    /// Whether `grantee` may ask at all: some active grant covers action and purpose. Each resource is then
    /// decided by [`Authority::permit`].
    ///
    /// # Errors
    /// [`Denied`] with the reason of the grant that came nearest.
    pub fn may_ask(
        &self,
        now: Timestamp,
        grantee: &IdentityId,
        action: Action,
        purpose: Purpose,
    ) -> Result<(), Denied> {
        self.decide(now, grantee, action, purpose, None).map(|_| ())
    }

    /// Whether `grantee` may do this with the resource of these facts, and by which grant.
    ///
    /// # Errors
    /// [`Denied`] with the reason of the grant that came nearest.
    pub fn permit(
        &self,
        now: Timestamp,
        grantee: &IdentityId,
        action: Action,
        purpose: Purpose,
        facts: &ResourceFacts,
    ) -> Result<Permit, Denied> {
        self.decide(now, grantee, action, purpose, Some(facts)).map(|grant| Permit { grant })
    }

    /// The first grant that fits. If none does, the reason comes from the grant with the fewest obstacles,
    /// and among its obstacles (and among equally near grants) the first of: revoked, expired, not yet valid,
    /// other purpose, out of scope (which includes another action).
    fn decide(
        &self,
        now: Timestamp,
        grantee: &IdentityId,
        action: Action,
        purpose: Purpose,
        facts: Option<&ResourceFacts>,
    ) -> Result<GrantId, Denied> {
        let mut nearest: Option<(usize, DenyReason)> = None;
        for id in self.by_grantee.get(grantee).into_iter().flatten() {
            let grant = self.grants.get(id).expect("both maps are filled together");
            let obstacles = [
                match self.state(id, now) {
                    GrantState::Active => None,
                    GrantState::Revoked => Some(DenyReason::Revoked),
                    GrantState::Expired => Some(DenyReason::Expired),
                    GrantState::NotYetValid => Some(DenyReason::NotYetValid),
                },
                (grant.purpose != purpose).then_some(DenyReason::OtherPurpose),
                (!grant.actions.contains(&action)).then_some(DenyReason::OutOfScope),
                facts.is_some_and(|facts| !grant.scope.covers(facts)).then_some(DenyReason::OutOfScope),
            ];
            let Some(first) = obstacles.into_iter().flatten().next() else { return Ok(*id) };
            let miss = (obstacles.iter().flatten().count(), first);
            if nearest.is_none_or(|best| (miss.0, rank(miss.1)) < (best.0, rank(best.1))) {
                nearest = Some(miss);
            }
        }
        Err(Denied { reason: nearest.map_or(DenyReason::NoGrant, |(_, reason)| reason) })
    }
}

/// Low is most informative to the one who is denied.
const fn rank(reason: DenyReason) -> u8 {
    match reason {
        DenyReason::Revoked => 0,
        DenyReason::Expired => 1,
        DenyReason::NotYetValid => 2,
        DenyReason::OtherPurpose => 3,
        DenyReason::OutOfScope => 4,
        DenyReason::NoGrant
        | DenyReason::UnknownPeer
        | DenyReason::Role
        | DenyReason::RateLimited
        | DenyReason::Malformed
        | DenyReason::WrongCode
        | DenyReason::Declined
        | DenyReason::NotAllowed
        | DenyReason::OfferOver => 5,
    }
}

impl fmt::Debug for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Authority({:?}, {} grants, epoch {})", self.owner, self.grants.len(), self.epoch)
    }
}

/// Whether a grant permits anything at a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum GrantState {
    /// It holds.
    Active,
    /// Its time is over.
    Expired,
    /// Its time has not begun.
    NotYetValid,
    /// Its issuer took it back.
    Revoked,
}

impl fmt::Display for GrantState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Active => "active",
            Self::Expired => "expired",
            Self::NotYetValid => "not-yet-valid",
            Self::Revoked => "revoked",
        })
    }
}

/// Permission for one action on one resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Permit {
    /// The grant it rests on, for the audit trail.
    pub grant: GrantId,
}

/// No permission.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("denied: {reason}")]
pub struct Denied {
    /// Why.
    pub reason: DenyReason,
}

/// Why something was denied.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DenyReason {
    /// Nothing was ever granted to this identity.
    NoGrant,
    /// The grant's time is over.
    Expired,
    /// The grant's time has not begun.
    NotYetValid,
    /// The grant was taken back.
    Revoked,
    /// The grant does not cover this resource or action.
    OutOfScope,
    /// The grant is for another purpose.
    OtherPurpose,
    /// The peer is not known here.
    UnknownPeer,
    /// The peer is no member of the room, or its role there does not permit it.
    Role,
    /// The peer asks too often, or for too much at once.
    RateLimited,
    /// What the peer sent is too large, of another version, or not what the protocol allows.
    Malformed,
    /// A pairing was tried with a wrong code.
    WrongCode,
    /// The person here said no.
    Declined,
    /// The peer is known, but this is not open to it.
    NotAllowed,
    /// The pairing offer was used, burned or ended, or its ticket's time is over.
    OfferOver,
}

impl fmt::Display for DenyReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::NoGrant => "no grant",
            Self::Expired => "the grant has expired",
            Self::NotYetValid => "the grant is not valid yet",
            Self::Revoked => "the grant was revoked",
            Self::OutOfScope => "outside the scope of the grant",
            Self::OtherPurpose => "the grant is for another purpose",
            Self::UnknownPeer => "unknown peer",
            Self::Role => "no member, or the role does not permit it",
            Self::RateLimited => "too often or too much at once",
            Self::Malformed => "malformed, too large or of another version",
            Self::WrongCode => "wrong code",
            Self::Declined => "declined by the person",
            Self::NotAllowed => "not open to this peer",
            Self::OfferOver => "the pairing offer is over",
        })
    }
}

#[cfg(test)]
mod tests;
