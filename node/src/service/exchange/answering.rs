//! The answering side: what a consent covers goes out, everything else looks as if it were not there.

use std::collections::{BTreeMap, BTreeSet};

use keys::{
    Action, AuditAction, AuditEvent, Authority, DenyReason, DeviceCertificate, DeviceId, Envelope, GrantId,
    IdentityId, Outcome, Purpose, RecordId, Timestamp, codec,
};
use net::Decline;
use records::{Index, Query, Source};

use super::{
    AnsweredItem, CONTEXT, ItemPart, MAX_ANSWER_BYTES, MAX_ANSWER_PLAIN_BYTES, PAGE_COUNT, RecordsAnswer,
    RecordsRequest, VERSION, Versioned,
};
use crate::clock;
use crate::service::consents::Consents;
use crate::service::problem::{Problem, Tried};
use crate::service::{Node, audit, read};

/// The largest request: a query text and a cursor.
const MAX_REQUEST_BYTES: usize = 16 * 1024;
/// What a signed consent takes in an answer beyond what was signed.
const SIGNED_OVERHEAD_BYTES: usize = 256;

/// One page of what a peer may have.
struct Allowed {
    records: Vec<(RecordId, GrantId)>,
    /// Whether more follow.
    more: bool,
    /// Matches on all pages that no consent covers.
    denied: BTreeMap<DenyReason, u64>,
}

impl Node {
    /// Answers a peer's request.
    ///
    /// # Errors
    /// What the peer is told.
    pub(crate) fn answer_records(&self, device: &DeviceId, body: &[u8]) -> Result<Vec<u8>, Decline> {
        let Some(peer) = read(&self.peers).by_device(device).map(|p| p.certificate.clone()) else {
            return Err(self.refuse(device.to_string(), DenyReason::UnknownPeer).into());
        };
        let who = peer.identity.to_string();
        // A certificate judges who may ask now; what it signed before it ended stays valid.
        if clock::now() >= peer.not_after {
            return Err(self.refuse(who, DenyReason::Expired).into());
        }
        let (request, query) = read_request(body).map_err(|reason| {
            self.refuse(who.clone(), DenyReason::Malformed);
            Decline::Failed(reason)
        })?;
        let allowed = read(&self.consents).authority.may_ask(
            clock::now(),
            &peer.identity,
            Action::Read,
            request.purpose,
        );
        if let Err(denied) = allowed {
            return Err(self.refuse(who, denied.reason).into());
        }
        self.answer(&peer, &request, &query).map_err(|problem| {
            tracing::error!(%problem, "cannot answer a records request");
            Decline::Failed("its owner's node could not read its records".to_owned())
        })
    }

    fn answer(
        &self,
        peer: &DeviceCertificate,
        request: &RecordsRequest,
        query: &Query,
    ) -> Result<Vec<u8>, Problem> {
        let allowed = self.allowed(peer, request.purpose, query)?;
        let mut given = Given::default();
        let mut before = None;
        let mut cut = false;
        for (id, grant) in &allowed.records {
            let stored = match self.stored(id) {
                Ok(stored) => stored.map(|s| s.encode()),
                Err(problem) => {
                    tracing::error!(%problem, "a record that a peer may have does not open");
                    given.leave_out(&self.read_index(), id);
                    None
                }
            };
            if let Some(bytes) = stored {
                let needed = bytes.len() + self.grant_bytes(&given, grant);
                if given.items.is_empty() && bytes.len() > MAX_ANSWER_PLAIN_BYTES {
                    cut = given.add_part(*id, &bytes, *grant, request.offset)?;
                    before = if cut { before } else { Some(*id) };
                    cut |= allowed.records.last().is_some_and(|(last, _)| last != id);
                    break;
                }
                if given.bytes + needed > MAX_ANSWER_PLAIN_BYTES && !given.items.is_empty() {
                    cut = true;
                    break;
                }
                given.add(*id, bytes, *grant, needed);
            }
            before = Some(*id);
        }
        if request.offset > 0 && given.part.is_none() {
            return Err(Problem::failed("the resource that was on its way is another one now"));
        }
        let next = (cut || allowed.more).then(|| self.next(query, before.as_ref())).transpose()?;
        let consents = read(&self.consents);
        let grants = given.by_grant.keys().filter_map(|g| consents.signed(g).cloned()).collect();
        drop(consents);
        // Denials are the same on every page.
        let denied = if request.is_first(query) { allowed.denied } else { BTreeMap::new() };
        let events = given.events(&peer.identity, request, &denied);
        let Given { items, part, left_out, .. } = given;
        let answer = RecordsAnswer { version: VERSION, items, part, next, grants, left_out };
        let bytes = seal(peer, &answer)?;
        self.note(events)?;
        Ok(bytes)
    }

    /// Filters by consent before it counts and cuts pages: neither shows what the peer may not have.
    fn allowed(&self, peer: &DeviceCertificate, purpose: Purpose, query: &Query) -> Result<Allowed, Problem> {
        let now = clock::now();
        let index = self.read_index();
        let consents = read(&self.consents);
        let may = |id: &RecordId| permitted(&index, &consents.authority, now, &peer.identity, purpose, id);
        let mut denied = BTreeMap::new();
        let mut keep = |id: &RecordId| match may(id) {
            Some(Ok(_)) => true,
            Some(Err(reason)) => {
                *denied.entry(reason).or_default() += 1;
                false
            }
            None => false,
        };
        let page = index.search_where(query, &mut keep).map_err(super::super::records::query_problem)?;
        let with_grant = |id: RecordId| Some((id, may(&id)?.ok()?));
        let records = page.ids.into_iter().filter_map(with_grant).collect();
        Ok(Allowed { records, more: page.next.is_some(), denied })
    }

    /// The text of the query that goes on after `before`, or with the same first resource.
    fn next(&self, query: &Query, before: Option<&RecordId>) -> Result<String, Problem> {
        let Some(before) = before else { return Ok(query.to_string()) };
        let cursor = self.read_index().cursor_after(query, before);
        let cursor = cursor.ok_or_else(|| Problem::failed("the next page cannot be named"))?;
        Ok(query.with_cursor(Some(cursor)).to_string())
    }

    fn grant_bytes(&self, given: &Given, grant: &GrantId) -> usize {
        if given.by_grant.contains_key(grant) {
            return 0;
        }
        read(&self.consents).signed(grant).map_or(0, |g| g.body().len() + SIGNED_OVERHEAD_BYTES)
    }

    /// Whether a peer may fetch a sealed attachment: it belongs to an own record that a consent covers, for any
    /// purpose that the consent names.
    pub(crate) fn may_fetch_blob(&self, device: &DeviceId, hash: &[u8; 32]) -> bool {
        let known =
            read(&self.peers).by_device(device).map(|p| (p.certificate.identity, p.certificate.not_after));
        let Some((identity, not_after)) = known else {
            self.note_refusal(Some(*device), DenyReason::UnknownPeer);
            return false;
        };
        let now = clock::now();
        if now >= not_after {
            self.note_refusal(Some(*device), DenyReason::Expired);
            return false;
        }
        if self.room_attachment_allowed(device, hash) || self.may_fetch_model(hash) {
            let event = audit::peer_event(&identity, AuditAction::BlobServe, None, None, 1, Outcome::Allowed);
            return self.store.audit(vec![event]).is_ok();
        }
        let owners = read(&self.attachments).get(hash).cloned().unwrap_or_default();
        match self.blob_grant(&identity, now, &owners) {
            Ok((owner, purpose, grant)) => {
                let (action, purpose, grant) = (AuditAction::BlobServe, Some(purpose), Some(grant));
                let mut event = audit::peer_event(&identity, action, purpose, grant, 1, Outcome::Allowed);
                event.1.object = Some(*owner.as_bytes());
                self.store.audit(vec![event]).is_ok()
            }
            Err(reason) => {
                // Asking costs a peer nothing, so that one entry for each would let it fill the trail.
                self.note_refusal(Some(*device), reason);
                false
            }
        }
    }

    fn blob_grant(
        &self,
        peer: &IdentityId,
        now: Timestamp,
        owners: &[RecordId],
    ) -> Result<(RecordId, Purpose, GrantId), DenyReason> {
        let index = self.read_index();
        let consents = read(&self.consents);
        let purposes = purposes_of(&consents, peer);
        let mut reason = DenyReason::NoGrant;
        for owner in owners {
            for purpose in &purposes {
                match permitted(&index, &consents.authority, now, peer, *purpose, owner) {
                    Some(Ok(grant)) => return Ok((*owner, *purpose, grant)),
                    Some(Err(why)) => reason = why,
                    None => {}
                }
            }
        }
        Err(reason)
    }
}

impl RecordsRequest {
    fn is_first(&self, query: &Query) -> bool {
        self.offset == 0 && query.with_cursor(None) == *query
    }
}

fn read_request(body: &[u8]) -> Result<(RecordsRequest, Query), String> {
    let malformed = |e: codec::CodecError| e.to_string();
    let Versioned { version } =
        codec::decode("records request", body, MAX_REQUEST_BYTES).map_err(malformed)?;
    if version != VERSION {
        return Err(format!("this node speaks version {VERSION} of records/1, not {version}"));
    }
    let request: RecordsRequest =
        codec::decode("records request", body, MAX_REQUEST_BYTES).map_err(malformed)?;
    let query = Query::parse(&request.query).map_err(|_| "the query is not understood there".to_owned())?;
    Ok((request, query.with_count(PAGE_COUNT).with_source(Some(Source::Own))))
}

fn purposes_of(consents: &Consents, grantee: &IdentityId) -> BTreeSet<Purpose> {
    consents.authority.grants().filter(|(_, g)| g.grantee == *grantee).map(|(_, g)| g.purpose).collect()
}

/// Whether a record may go out: `None` for what was itself fetched from somebody else.
fn permitted(
    index: &Index,
    authority: &Authority,
    now: Timestamp,
    peer: &IdentityId,
    purpose: Purpose,
    id: &RecordId,
) -> Option<Result<GrantId, DenyReason>> {
    if index.source(id) != Some(Source::Own) {
        return None;
    }
    let facts = index.facts(id)?;
    let permit = authority.permit(now, peer, Action::Read, purpose, &facts);
    Some(permit.map(|p| p.grant).map_err(|d| d.reason))
}

/// Seals an answer to the device that asked; nothing has gone out when it fails.
fn seal(peer: &DeviceCertificate, answer: &RecordsAnswer) -> Result<Vec<u8>, Problem> {
    let recipients = std::slice::from_ref(&peer.recipient);
    let plain = codec::encode(answer);
    let envelope = Envelope::seal(&mut clock::rng(), recipients, CONTEXT, &plain).tried("seal the answer")?;
    let bytes = codec::encode(&envelope);
    if bytes.len() > MAX_ANSWER_BYTES {
        return Err(Problem::failed(format!("an answer of {} bytes is too large", bytes.len())));
    }
    Ok(bytes)
}

/// What goes out in one answer.
#[derive(Default)]
struct Given {
    items: Vec<AnsweredItem>,
    part: Option<ItemPart>,
    left_out: Vec<String>,
    bytes: usize,
    /// How many resources under each consent, and one of them.
    by_grant: BTreeMap<GrantId, (u64, RecordId)>,
}

impl Given {
    fn add(&mut self, id: RecordId, stored: Vec<u8>, grant: GrantId, bytes: usize) {
        self.bytes += bytes;
        self.items.push(AnsweredItem { stored });
        self.by_grant.entry(grant).or_insert((0, id)).0 += 1;
    }

    /// Adds the piece at `offset`; returns whether more of the same follow.
    fn add_part(
        &mut self,
        id: RecordId,
        stored: &[u8],
        grant: GrantId,
        offset: u64,
    ) -> Result<bool, Problem> {
        let from = usize::try_from(offset).unwrap_or(usize::MAX);
        let rest = stored.get(from..).filter(|rest| !rest.is_empty());
        let rest =
            rest.ok_or_else(|| Problem::failed("a part behind the end of a resource was asked for"))?;
        let bytes = rest.get(..MAX_ANSWER_PLAIN_BYTES).unwrap_or(rest).to_vec();
        let more = bytes.len() < rest.len();
        let (digest, total) = (*blake3::hash(stored).as_bytes(), stored.len() as u64);
        self.part = Some(ItemPart { digest, total, offset, bytes });
        // A resource in parts is one disclosure, written with its first.
        self.by_grant.insert(grant, (u64::from(offset == 0), id));
        Ok(more)
    }

    fn leave_out(&mut self, index: &Index, id: &RecordId) {
        let name = index.facts(id).map(|facts| format!("{}/{}", facts.resource_type, facts.id));
        self.left_out.extend(name);
    }

    /// One entry for each consent, and one for each reason why something stayed here.
    fn events(
        &self,
        peer: &IdentityId,
        request: &RecordsRequest,
        denied: &BTreeMap<DenyReason, u64>,
    ) -> Vec<(Timestamp, AuditEvent)> {
        let purpose = Some(request.purpose);
        let entry =
            |action, grant, count, outcome| audit::peer_event(peer, action, purpose, grant, count, outcome);
        let mut events = Vec::new();
        for (grant, (count, id)) in self.by_grant.iter().filter(|(_, (count, _))| *count > 0) {
            let mut event = entry(AuditAction::Disclose, Some(*grant), *count, Outcome::Allowed);
            event.1.object = (*count == 1).then(|| *id.as_bytes());
            events.push(event);
        }
        for (reason, count) in denied {
            events.push(entry(AuditAction::Refuse, None, *count, Outcome::Denied(*reason)));
        }
        if events.is_empty() && self.part.is_none() {
            events.push(entry(AuditAction::Disclose, None, 0, Outcome::Allowed));
        }
        events
    }
}
