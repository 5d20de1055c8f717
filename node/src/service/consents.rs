//! Consents given and received: signed grants, and the owner's growing list of revocations.

use std::collections::BTreeMap;
use std::time::Duration;

use keys::{
    Action, AuditAction, Authority, DenyReason, Grant, GrantId, GrantState, IdentityId, Outcome, Purpose,
    Revocation, Scope, Signed, codec,
};
use rand_core::Rng;
use store::{DocumentKind, Store};

use super::problem::{Problem, Tried};
use super::{Node, audit, read, write};
use crate::api::types::{GrantInfo, GrantList, GrantRequest, ScopeInfo};
use crate::clock;

/// Longest consent: two years, after which a patient is asked again.
const MAX_GRANT: Duration = Duration::from_secs(2 * 366 * 24 * 3600);
/// Largest stored signed grant or revocation list.
const MAX_DOCUMENT_BYTES: usize = 256 * 1024;
const REVOCATION_KEY: &[u8] = b"own";

/// Grants of this home's owner, and grants that others gave to it.
pub(crate) struct Consents {
    /// Decides what others may read here.
    pub authority: Authority,
    signed: BTreeMap<GrantId, Signed<Grant>>,
    received: BTreeMap<GrantId, Grant>,
    revoked: Vec<GrantId>,
}

impl Consents {
    /// Reads them from the store.
    ///
    /// # Errors
    /// [`Problem`] when the store cannot be read or a stored grant does not verify.
    pub(crate) fn load(store: &Store, owner: IdentityId) -> Result<Self, Problem> {
        let mut consents = Self {
            authority: Authority::new(owner),
            signed: BTreeMap::new(),
            received: BTreeMap::new(),
            revoked: Vec::new(),
        };
        for (_, bytes) in store.documents(DocumentKind::Grant).tried("read the consents")? {
            let signed = decode_grant(&bytes)?;
            let id = consents.authority.add_grant(&signed).tried("check a stored consent")?;
            consents.signed.insert(id, signed);
        }
        for (_, bytes) in store.documents(DocumentKind::Revocation).tried("read the revocations")? {
            let signed: Signed<Revocation> =
                codec::decode("revocation", &bytes, MAX_DOCUMENT_BYTES).tried("read the revocations")?;
            let list = signed.verify(owner.as_bytes()).tried("check the stored revocations")?;
            consents.authority.apply_revocation(&signed).tried("apply the stored revocations")?;
            consents.revoked = list.revoked;
        }
        for (_, bytes) in store.documents(DocumentKind::ReceivedGrant).tried("read received consents")? {
            let signed = decode_grant(&bytes)?;
            let grant = signed.verify(signed.signer()).tried("check a received consent")?;
            consents.received.insert(GrantId::from_bytes(signed.digest()), grant);
        }
        Ok(consents)
    }

    /// The signed form, for a peer that reads under it.
    pub(crate) fn signed(&self, id: &GrantId) -> Option<&Signed<Grant>> {
        self.signed.get(id)
    }
}

impl Node {
    /// Signs a consent for a paired peer.
    ///
    /// # Errors
    /// [`Problem`] when the peer is unknown or the request says nothing valid.
    pub(crate) fn grant_give(&self, request: &GrantRequest) -> Result<GrantInfo, Problem> {
        let purpose = parse_purpose(&request.purpose)?;
        let lasting = Duration::from_secs(request.seconds);
        if lasting.is_zero() || lasting > MAX_GRANT {
            return Err(
                Problem::wrong_use("a consent lasts from a minute to two years").next("set --for, e.g. 90d")
            );
        }
        let grantee = read(&self.peers).resolve(&request.peer)?.certificate.identity;
        let now = clock::now();
        let mut nonce = [0; 16];
        clock::rng().fill_bytes(&mut nonce);
        let grant = Grant {
            version: 1,
            issuer: self.keyring.identity().id(),
            grantee,
            scope: Scope {
                resource_types: request.resource_types.clone(),
                categories: request.categories.clone(),
                codes: request.codes.clone(),
                patient: request.patient.clone(),
            },
            actions: vec![Action::Read],
            purpose,
            not_before: now,
            not_after: now.plus(lasting),
            nonce,
        };
        let signed = self.keyring.identity().sign(&grant);
        let mut consents = write(&self.consents);
        let id = consents
            .authority
            .add_grant(&signed)
            .map_err(|e| Problem::wrong_use("cannot give this consent").because(e))?;
        let event =
            audit::peer_event(&grantee, AuditAction::GrantGive, Some(purpose), Some(id), 1, Outcome::Allowed);
        self.store
            .put_document(DocumentKind::Grant, id.as_bytes(), &codec::encode(&signed), vec![event])
            .tried("keep the consent")?;
        consents.signed.insert(id, signed);
        Ok(self.grant_info(&consents, id, &grant, "given"))
    }

    /// Revokes a consent for ever.
    ///
    /// # Errors
    /// [`Problem`] when this home gave no such consent.
    pub(crate) fn grant_revoke(&self, id: &str) -> Result<GrantInfo, Problem> {
        let mut consents = write(&self.consents);
        let mut fits = consents.signed.keys().filter(|g| id.len() >= 8 && g.to_string().starts_with(id));
        let (Some(&grant_id), None) = (fits.next(), fits.next()) else {
            return Err(Problem::not_found("this home gave no consent with that id")
                .next("list them with: metaclinic grant list"));
        };
        let known = consents.authority.grants().find(|(g, _)| *g == grant_id).map(|(_, grant)| grant.clone());
        let grant = known.ok_or_else(|| Problem::not_found("no such consent"))?;
        let mut revoked = consents.revoked.clone();
        if !revoked.contains(&grant_id) {
            revoked.push(grant_id);
        }
        let list = Revocation {
            version: 1,
            issuer: self.keyring.identity().id(),
            epoch: consents.authority.revocation_epoch() + 1,
            revoked: revoked.clone(),
        };
        let signed = self.keyring.identity().sign(&list);
        let event = audit::peer_event(
            &grant.grantee,
            AuditAction::GrantRevoke,
            Some(grant.purpose),
            Some(grant_id),
            1,
            Outcome::Allowed,
        );
        self.store
            .put_document(DocumentKind::Revocation, REVOCATION_KEY, &codec::encode(&signed), vec![event])
            .tried("keep the revocation")?;
        consents.authority.apply_revocation(&signed).tried("apply the revocation")?;
        consents.revoked = revoked;
        Ok(self.grant_info(&consents, grant_id, &grant, "given"))
    }

    /// All consents, given and received.
    pub(crate) fn grant_list(&self) -> GrantList {
        let consents = read(&self.consents);
        let given = consents.authority.grants().map(|(id, g)| self.grant_info(&consents, id, g, "given"));
        let received = consents.received.iter().map(|(id, g)| self.grant_info(&consents, *id, g, "received"));
        GrantList { grants: given.chain(received).collect() }
    }

    /// Keeps the consents under which a peer answered, as the proof of having been allowed.
    ///
    /// # Errors
    /// [`Problem`] when one is not signed by that peer or not for this home.
    pub(crate) fn keep_received(&self, issuer: &IdentityId, grants: &[Signed<Grant>]) -> Result<(), Problem> {
        for signed in grants {
            let id = GrantId::from_bytes(signed.digest());
            if read(&self.consents).received.contains_key(&id) {
                continue;
            }
            let grant = signed.verify(issuer.as_bytes()).tried("check the peer's consent")?;
            if grant.grantee != self.keyring.identity().id() {
                return Err(Problem::failed("the peer answered under a consent for somebody else"));
            }
            self.store
                .put_document(DocumentKind::ReceivedGrant, id.as_bytes(), &codec::encode(signed), Vec::new())
                .tried("keep the peer's consent")?;
            write(&self.consents).received.insert(id, grant);
        }
        Ok(())
    }

    fn grant_info(&self, consents: &Consents, id: GrantId, grant: &Grant, direction: &str) -> GrantInfo {
        let now = clock::now();
        let given = direction == "given";
        let other = if given { grant.grantee } else { grant.issuer };
        let state = match (given, now) {
            (true, _) => state_name(consents.authority.state(&id, now)),
            (false, now) if now >= grant.not_after => "expired",
            (false, _) => "active",
        };
        GrantInfo {
            grant: id.to_string(),
            direction: direction.to_owned(),
            issuer: grant.issuer.to_string(),
            grantee: grant.grantee.to_string(),
            name: read(&self.peers).by_identity(&other).map(|p| p.certificate.name.clone()),
            scope: ScopeInfo {
                resource_types: grant.scope.resource_types.clone(),
                categories: grant.scope.categories.clone(),
                codes: grant.scope.codes.clone(),
                patient: grant.scope.patient.clone(),
            },
            actions: grant
                .actions
                .iter()
                .map(|a| match a {
                    Action::Read => "read".to_owned(),
                    Action::Write => "write".to_owned(),
                })
                .collect(),
            purpose: grant.purpose.to_string(),
            not_before: clock::rfc3339(grant.not_before),
            not_after: clock::rfc3339(grant.not_after),
            state: state.to_owned(),
        }
    }
}

/// Reads a purpose of use.
///
/// # Errors
/// [`Problem`] that lists the known ones.
pub(crate) fn parse_purpose(text: &str) -> Result<Purpose, Problem> {
    text.parse().map_err(|_| {
        Problem::wrong_use("unknown purpose of use")
            .next("use one of: treatment, emergency-treatment, research, patient-request, operations")
    })
}

/// A refusal in words for the one who was refused.
pub(crate) fn denial_words(reason: DenyReason) -> String {
    format!("refused by the record's owner: {reason}")
}

fn decode_grant(bytes: &[u8]) -> Result<Signed<Grant>, Problem> {
    codec::decode("grant", bytes, MAX_DOCUMENT_BYTES).tried("read a stored consent")
}

const fn state_name(state: GrantState) -> &'static str {
    match state {
        GrantState::Active => "active",
        GrantState::Expired => "expired",
        GrantState::NotYetValid => "not-yet-valid",
        GrantState::Revoked => "revoked",
    }
}
