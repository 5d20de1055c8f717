//! Consents given and received: signed grants, and the owner's growing list of revocations.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use keys::{
    Action, AuditAction, Authority, DenyReason, Grant, GrantId, GrantState, IdentityId, Outcome, Purpose,
    Revocation, Scope, Signable, Signed, Timestamp, codec,
};
use rand_core::Rng;
use store::{DocumentKind, Store};

use super::problem::{Problem, Tried};
use super::{Node, audit, read, write};
use crate::api::types::{GrantInfo, GrantList, GrantRequest, RevokeReport, ScopeInfo};
use crate::clock;

/// Longest consent: two years, after which a patient is asked again.
const MAX_GRANT: Duration = Duration::from_secs(2 * 366 * 24 * 3600);
/// Shortest consent.
const MIN_GRANT: Duration = Duration::from_secs(1);
/// Largest stored signed grant.
const MAX_GRANT_BYTES: usize = Grant::MAX_BYTES + SIGNED_OVERHEAD_BYTES;
/// Largest stored signed revocation list.
const MAX_REVOCATION_BYTES: usize = Revocation::MAX_BYTES + SIGNED_OVERHEAD_BYTES;
/// Signature, signer and field names around what was signed.
const SIGNED_OVERHEAD_BYTES: usize = 1024;
/// A revoked consent leaves the list this long after its end: it cannot come back then, even when the clock of this
/// machine is set back somewhat.
const REVOKED_KEPT_AFTER_END: Duration = Duration::from_secs(30 * 24 * 3600);
/// Received consents that are kept of one peer; the one that ends first makes room.
const MAX_RECEIVED_OF_PEER: usize = 1_000;
/// Consents under which one answer may be given: one for each of its resources.
const MAX_RECEIVED_AT_ONCE: usize = 500;
/// How far the clocks of two nodes may be apart.
const CLOCKS_APART: Duration = Duration::from_secs(5 * 60);
const REVOCATION_KEY: &[u8] = b"own";

/// Grants of this home's owner, and grants that others gave to it.
pub(crate) struct Consents {
    /// Decides what others may read here.
    pub authority: Authority,
    signed: BTreeMap<GrantId, Signed<Grant>>,
    received: BTreeMap<GrantId, Grant>,
}

/// A consent that came with an answer and was checked.
pub(crate) struct Received {
    /// What it says.
    pub grant: Grant,
    id: GrantId,
    signed: Signed<Grant>,
}

impl Consents {
    /// Reads them from the store. One that cannot be read never keeps the home closed: a consent that is not whole
    /// is not given, and without the list of revocations every consent counts as revoked.
    pub(crate) fn load(store: &Store, owner: IdentityId) -> Self {
        let mut consents =
            Self { authority: Authority::new(owner), signed: BTreeMap::new(), received: BTreeMap::new() };
        for (_, bytes) in documents(store, DocumentKind::Grant).unwrap_or_default() {
            let added = decode_grant(&bytes).and_then(|signed| {
                let id = consents.authority.add_grant(&signed).tried("check a stored consent")?;
                Ok((id, signed))
            });
            match added {
                Ok((id, signed)) => drop(consents.signed.insert(id, signed)),
                Err(problem) => tracing::error!(%problem, "this consent does not hold"),
            }
        }
        if let Err(problem) = consents.load_revocations(store) {
            tracing::error!(%problem, "the revocations cannot be read: every consent given so far counts as revoked");
            consents.authority.revoke_all();
        }
        for (_, bytes) in documents(store, DocumentKind::ReceivedGrant).unwrap_or_default() {
            let checked = decode_grant(&bytes).and_then(|signed| {
                let issuer = IdentityId::from_bytes(*signed.signer());
                Ok((signed.id(), Grant::verify(&signed, &issuer).tried("check a received consent")?))
            });
            match checked {
                Ok((id, grant)) => drop(consents.received.insert(id, grant)),
                Err(problem) => tracing::error!(%problem, "this received consent is left out"),
            }
        }
        consents
    }

    fn load_revocations(&mut self, store: &Store) -> Result<(), Problem> {
        for (_, bytes) in documents(store, DocumentKind::Revocation)? {
            let signed: Signed<Revocation> =
                codec::decode("revocation", &bytes, MAX_REVOCATION_BYTES).tried("read the revocations")?;
            self.authority.apply_revocation(&signed).tried("apply the stored revocations")?;
        }
        Ok(())
    }

    /// Everything revoked that could come back if it were not listed.
    fn still_revoked(&self, now: Timestamp) -> Vec<GrantId> {
        let over: BTreeSet<GrantId> = self
            .authority
            .grants()
            .filter(|(_, grant)| grant.not_after.plus(REVOKED_KEPT_AFTER_END) <= now)
            .map(|(id, _)| id)
            .collect();
        self.authority.revoked().filter(|id| !over.contains(id)).copied().collect()
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
        if lasting < MIN_GRANT || lasting > MAX_GRANT {
            return Err(
                Problem::wrong_use("a consent lasts from a second to two years").next("set --for, e.g. 90d")
            );
        }
        let scope = scope_of(request)?;
        let grantee = read(&self.peers).resolve(&request.peer)?.certificate.identity;
        let now = clock::now();
        let mut nonce = [0; 16];
        clock::rng().fill_bytes(&mut nonce);
        let grant = Grant {
            version: 1,
            issuer: self.keyring.identity().id(),
            grantee,
            scope,
            actions: vec![Action::Read],
            purpose,
            not_before: now,
            not_after: now.plus(lasting),
            nonce,
        };
        let signed = self.keyring.identity().sign(&grant);
        let mut consents = write(&self.consents);
        // It holds once it is stored, not before.
        let mut authority = consents.authority.clone();
        let id = authority
            .add_grant(&signed)
            .map_err(|e| Problem::wrong_use("cannot give this consent").because(e))?;
        let event =
            audit::peer_event(&grantee, AuditAction::GrantGive, Some(purpose), Some(id), 1, Outcome::Allowed);
        self.store
            .put_document(DocumentKind::Grant, id.as_bytes(), &codec::encode(&signed), vec![event])
            .tried("keep the consent")?;
        consents.authority = authority;
        consents.signed.insert(id, signed);
        Ok(self.grant_info(&consents, id, &grant, "given"))
    }

    /// Revokes a consent for ever.
    ///
    /// # Errors
    /// [`Problem`] when this home gave no such consent.
    pub(crate) fn grant_revoke(&self, id: &str) -> Result<RevokeReport, Problem> {
        let mut consents = write(&self.consents);
        let mut fits = consents.signed.keys().filter(|g| id.len() >= 8 && g.to_string().starts_with(id));
        let (Some(&grant_id), None) = (fits.next(), fits.next()) else {
            return Err(Problem::not_found("this home gave no consent with that id")
                .next("list them with: metaclinic grant list"));
        };
        let known = consents.authority.grants().find(|(g, _)| *g == grant_id).map(|(_, grant)| grant.clone());
        let grant = known.ok_or_else(|| Problem::not_found("no such consent"))?;
        let now = clock::now();
        let mut revoked = consents.still_revoked(now);
        if !revoked.contains(&grant_id) {
            revoked.push(grant_id);
        }
        let list = Revocation {
            version: Revocation::VERSION,
            issuer: self.keyring.identity().id(),
            epoch: consents.authority.revocation_epoch() + 1,
            revoked,
        };
        let signed = self.keyring.identity().sign(&list);
        // A list that would not be applied must not be stored: without a list that can be read nothing is consented.
        let mut authority = consents.authority.clone();
        authority.apply_revocation(&signed).map_err(|e| {
            Problem::failed("cannot revoke this consent")
                .because(e)
                .next("remove the peer, or wait until consents end")
        })?;
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
        consents.authority = authority;
        let holds = |(id, other): &(GrantId, &Grant)| {
            other.grantee == grant.grantee && consents.authority.state(id, now) == GrantState::Active
        };
        let holding = consents.authority.grants().filter(holds);
        let holding = holding.map(|(id, g)| self.grant_info(&consents, id, g, "given")).collect();
        Ok(RevokeReport { revoked: self.grant_info(&consents, grant_id, &grant, "given"), holding })
    }

    /// All consents, given and received.
    pub(crate) fn grant_list(&self) -> GrantList {
        let consents = read(&self.consents);
        let given = consents.authority.grants().map(|(id, g)| self.grant_info(&consents, id, g, "given"));
        let received = consents.received.iter().map(|(id, g)| self.grant_info(&consents, *id, g, "received"));
        GrantList { grants: given.chain(received).collect() }
    }

    /// Checks the consents under which a peer answers, before anything of the answer is believed.
    ///
    /// # Errors
    /// [`Problem`] when one is not signed by that peer, malformed, not for this home, not for this purpose, or not of
    /// this time.
    pub(crate) fn check_received(
        &self,
        issuer: &IdentityId,
        purpose: Purpose,
        grants: &[Signed<Grant>],
    ) -> Result<Vec<Received>, Problem> {
        if grants.len() > MAX_RECEIVED_AT_ONCE {
            return Err(Problem::failed("the peer sent more consents than an answer rests on"));
        }
        let (own, now) = (self.keyring.identity().id(), clock::now());
        let check = |signed: &Signed<Grant>| {
            let grant = Grant::verify(signed, issuer).tried("check the peer's consent")?;
            if grant.grantee != own || grant.purpose != purpose || !grant.actions.contains(&Action::Read) {
                return Err(Problem::failed("the peer answered under a consent for something else"));
            }
            // What is kept as the proof of having been allowed must have held when the answer came.
            if grant.not_after.plus(CLOCKS_APART) <= now || now.plus(CLOCKS_APART) < grant.not_before {
                return Err(Problem::failed("the peer answered under a consent that does not hold now"));
            }
            Ok(Received { grant, id: signed.id(), signed: signed.clone() })
        };
        grants.iter().map(check).collect()
    }

    /// Keeps the consents under which a peer answered, as the proof of having been allowed.
    ///
    /// # Errors
    /// [`Problem`] when they cannot be stored.
    pub(crate) fn keep_received(&self, issuer: &IdentityId, grants: Vec<Received>) -> Result<(), Problem> {
        for Received { grant, id, signed } in grants {
            let mut consents = write(&self.consents);
            if consents.received.contains_key(&id) {
                continue;
            }
            let of_peer = || consents.received.iter().filter(|(_, g)| g.issuer == *issuer);
            let first = of_peer().min_by_key(|(_, g)| g.not_after).map(|(id, _)| *id);
            if let (true, Some(first)) = (of_peer().count() >= MAX_RECEIVED_OF_PEER, first) {
                self.store
                    .remove_document(DocumentKind::ReceivedGrant, first.as_bytes(), Vec::new())
                    .tried("make room for the peer's consent")?;
                consents.received.remove(&first);
            }
            self.store
                .put_document(DocumentKind::ReceivedGrant, id.as_bytes(), &codec::encode(&signed), Vec::new())
                .tried("keep the peer's consent")?;
            consents.received.insert(id, grant);
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
            // Its owner may have revoked it meanwhile; that shows at the next fetch, not here.
            (false, _) => "as-given",
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

/// What a consent is to cover: something named, or everything said outright.
fn scope_of(request: &GrantRequest) -> Result<Scope, Problem> {
    let scope = Scope {
        resource_types: request.resource_types.clone(),
        categories: request.categories.clone(),
        codes: request.codes.clone(),
        patient: request.patient.clone(),
    };
    if request.all != (scope == Scope::default()) {
        let said = if request.all { "everything, and only a part of it" } else { "nothing" };
        return Err(Problem::wrong_use(format!("the consent would cover {said}"))
            .next("name what it covers with --type, --category, --code or --patient; or say --all"));
    }
    if let Some(unknown) = scope.resource_types.iter().find(|name| !records::is_resource_type(name)) {
        return Err(Problem::wrong_use(format!("FHIR R4 has no resource type {}", unknown.escape_debug()))
            .next("names are written as in Observation or MedicationRequest"));
    }
    Ok(scope)
}

fn documents(store: &Store, kind: DocumentKind) -> Result<Vec<store::KeyedDocument>, Problem> {
    let found = store.documents(kind).tried("read the stored consents");
    if let Err(problem) = &found {
        tracing::error!(%problem, ?kind, "documents are damaged");
    }
    found
}

fn decode_grant(bytes: &[u8]) -> Result<Signed<Grant>, Problem> {
    codec::decode("grant", bytes, MAX_GRANT_BYTES).tried("read a stored consent")
}

const fn state_name(state: GrantState) -> &'static str {
    match state {
        GrantState::Active => "active",
        GrantState::Expired => "expired",
        GrantState::NotYetValid => "not-yet-valid",
        GrantState::Revoked => "revoked",
    }
}

#[cfg(test)]
mod tests;
