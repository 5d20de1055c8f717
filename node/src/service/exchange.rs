//! `records/1`: asking a peer for records, and answering one. An answer holds only what a consent covers, sealed to
//! the asking device; what is fetched is sealed again under this home's own keys and marked with where it came from.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use keys::{
    Action, AuditAction, Authority, DenyReason, DeviceCertificate, DeviceId, Envelope, Grant, GrantId,
    IdentityId, Outcome, Purpose, RecordId, Signed, codec,
};
use net::{NetError, Protocol};
use records::{Query, Source, StoredResource};
use serde::{Deserialize, Serialize};

use super::consents::{denial_words, parse_purpose};
use super::problem::{Problem, Tried};
use super::{Node, audit, read};
use crate::api::types::{FetchReport, FetchRequest};
use crate::clock;

/// The largest request: a query text and a cursor.
const MAX_REQUEST_BYTES: usize = 16 * 1024;
/// The largest answer, as the frame limit of `records/1` has it, less the envelope.
const MAX_ANSWER_BYTES: usize = 1 << 20;
const MAX_ANSWER_PLAIN_BYTES: usize = 900 * 1024;
/// Resources looked at for one answer.
const PAGE_COUNT: usize = 500;
/// Pages of one fetch; with [`PAGE_COUNT`] this bounds what one command can bring.
const MAX_PAGES: usize = 400;
/// The largest attachment that is fetched.
const MAX_ATTACHMENT_BYTES: u64 = 1 << 30;
const CONTEXT: &[u8] = b"metaclinic/records/1";

/// What a peer asks.
#[derive(Serialize, Deserialize)]
struct RecordsRequest {
    version: u8,
    /// `TYPE?query`.
    query: String,
    purpose: Purpose,
}

/// What it gets, sealed in an [`Envelope`] to the device that asked.
#[derive(Serialize, Deserialize)]
struct RecordsAnswer {
    version: u8,
    items: Vec<AnsweredItem>,
    /// The query of the next page.
    next: Option<String>,
    /// The consents under which these were given.
    grants: Vec<Signed<Grant>>,
}

#[derive(Serialize, Deserialize)]
struct AnsweredItem {
    /// A [`StoredResource`]: the resource's text and the keys of its attachments.
    #[serde(with = "serde_bytes")]
    stored: Vec<u8>,
}

impl Node {
    /// Fetches what a peer lets this home read, and keeps it.
    ///
    /// # Errors
    /// [`Problem`]: denied by the peer, out of reach, or not to be kept.
    pub(crate) async fn fetch(
        self: &std::sync::Arc<Self>,
        request: &FetchRequest,
    ) -> Result<FetchReport, Problem> {
        let started = Instant::now();
        let purpose = parse_purpose(&request.purpose)?;
        Query::parse(&request.query).map_err(super::records::query_problem)?;
        let peer = read(&self.peers).resolve(&request.peer)?.clone();
        let from = peer.certificate.identity;
        let network = self.network().await?;
        let mut report = FetchReport {
            peer: from.to_string(),
            fetched: 0,
            by_type: BTreeMap::new(),
            attachments: 0,
            attachment_bytes: 0,
            seconds: 0.0,
        };
        let mut query = Some(request.query.clone());
        for _ in 0..MAX_PAGES {
            let Some(text) = query.take() else { break };
            let asked = RecordsRequest { version: 1, query: text, purpose };
            let addresses = self.addresses_of(&peer.certificate.device);
            let answer = network
                .request(peer.certificate.device, &addresses, Protocol::Records, codec::encode(&asked))
                .await;
            let bytes = match answer {
                Ok(bytes) => bytes,
                Err(error) => return Err(self.fetch_failed(&from, purpose, error)),
            };
            let answer = self.open_answer(&bytes)?;
            query.clone_from(&answer.next);
            self.keep_answer(&peer, purpose, answer, &mut report).await?;
        }
        if query.is_some() {
            tracing::warn!(pages = MAX_PAGES, "the peer has more than one fetch brings");
        }
        report.seconds = started.elapsed().as_secs_f64();
        Ok(report)
    }

    async fn keep_answer(
        self: &std::sync::Arc<Self>,
        peer: &super::peers::PairedPeer,
        purpose: Purpose,
        answer: RecordsAnswer,
        report: &mut FetchReport,
    ) -> Result<(), Problem> {
        let from = peer.certificate.identity;
        let mut batch = Vec::with_capacity(answer.items.len());
        for item in answer.items {
            batch.push(StoredResource::decode(&item.stored).tried("read what the peer sent")?);
        }
        let network = self.network().await?;
        for attachment in batch.iter().flat_map(|s| &s.attachments) {
            if attachment.bytes > MAX_ATTACHMENT_BYTES {
                return Err(Problem::failed("the peer offers an attachment larger than 1 GiB"));
            }
            if !self.blobs.has(&attachment.hash).await.tried("look for the attachment")? {
                let addresses = read(&self.peers)
                    .by_device(&peer.certificate.device)
                    .map(|p| p.card.blob_addresses.clone())
                    .unwrap_or_default();
                network
                    .fetch_blob(attachment.hash, peer.certificate.device, &addresses, attachment.bytes)
                    .await
                    .tried("fetch an attachment")?;
                report.attachment_bytes += attachment.bytes;
            }
            report.attachments += 1;
        }
        report.fetched += batch.len() as u64;
        for stored in &batch {
            *report.by_type.entry(stored.resource.resource_type().to_owned()).or_default() += 1;
        }
        let node = std::sync::Arc::clone(self);
        super::blocking(move || {
            node.keep_received(&from, &answer.grants)?;
            let count = batch.len() as u64;
            let event =
                audit::peer_event(&from, AuditAction::Fetch, Some(purpose), None, count, Outcome::Allowed);
            node.keep(&Source::Peer(from), &batch, vec![event])
        })
        .await
    }

    fn fetch_failed(&self, from: &IdentityId, purpose: Purpose, error: NetError) -> Problem {
        let event = audit::peer_event(from, AuditAction::Fetch, Some(purpose), None, 0, Outcome::Failed);
        if let Err(error) = self.store.audit(vec![event]) {
            tracing::error!(%error, "cannot write the audit trail");
        }
        match error {
            NetError::Refused { reason } => {
                Problem::denied(format!("the peer does not give these records: {reason}"))
                    .next("ask its owner for a consent: metaclinic grant give … on their side")
            }
            error => Problem::failed("cannot reach the peer").because(error).next(
                "check that its daemon runs (metaclinic run) and that this machine can reach its address",
            ),
        }
    }

    fn open_answer(&self, bytes: &[u8]) -> Result<RecordsAnswer, Problem> {
        let envelope: Envelope =
            codec::decode("answer", bytes, MAX_ANSWER_BYTES).tried("read the peer's answer")?;
        let plain = envelope.open(self.keyring.seal_identity(), CONTEXT).tried("open the peer's answer")?;
        codec::decode("answer", &plain, MAX_ANSWER_BYTES).tried("read the peer's answer")
    }

    /// Answers a peer's request; `Err` is the reason that it is told.
    pub(crate) fn answer_records(&self, device: &DeviceId, body: &[u8]) -> Result<Vec<u8>, String> {
        let Some(peer) = read(&self.peers).by_device(device).map(|p| p.certificate.clone()) else {
            return Err(self.refuse(device.to_string(), DenyReason::UnknownPeer));
        };
        // A certificate judges who may ask now; what it signed before it ended stays valid.
        if clock::now() >= peer.not_after {
            return Err(self.refuse(peer.identity.to_string(), DenyReason::Expired));
        }
        let request: RecordsRequest =
            codec::decode("records request", body, MAX_REQUEST_BYTES).map_err(|e| e.to_string())?;
        let query = Query::parse(&request.query).map_err(|_| "the query is not understood".to_owned())?;
        let now = clock::now();
        let allowed =
            read(&self.consents).authority.may_ask(now, &peer.identity, Action::Read, request.purpose);
        if let Err(denied) = allowed {
            return Err(self.refuse(peer.identity.to_string(), denied.reason));
        }
        self.answer(&peer, &query, request.purpose).map_err(|problem| {
            tracing::error!(%problem, "cannot answer a records request");
            "the peer could not read its records".to_owned()
        })?
    }

    fn answer(
        &self,
        peer: &DeviceCertificate,
        query: &Query,
        purpose: Purpose,
    ) -> Result<Result<Vec<u8>, String>, Problem> {
        let now = clock::now();
        let query = query.with_count(PAGE_COUNT);
        let page = self.read_index().search(&query).map_err(super::records::query_problem)?;
        let consents = read(&self.consents);
        let mut given = Given::default();
        let mut denied = None;
        let mut next =
            page.next.as_deref().map(|cursor| query.with_cursor(Some(cursor.to_owned())).to_string());
        for (position, id) in page.ids.iter().enumerate() {
            match self.permitted(&consents.authority, now, &peer.identity, purpose, id) {
                Some(Ok(grant)) => {
                    let Some(stored) = self.stored(id)? else { continue };
                    let bytes = stored.encode();
                    if given.bytes + bytes.len() > MAX_ANSWER_PLAIN_BYTES && !given.items.is_empty() {
                        next = Some(self.resume_at(&query, &page.ids, position)?);
                        break;
                    }
                    given.add(bytes, grant);
                }
                Some(Err(reason)) => denied = Some(reason),
                None => {}
            }
        }
        if let (true, None, Some(reason)) = (given.items.is_empty(), &next, denied) {
            return Ok(Err(self.refuse(peer.identity.to_string(), reason)));
        }
        let count = given.items.len() as u64;
        let grants = given.grants.iter().filter_map(|g| consents.signed(g).cloned()).collect();
        let grant = given.grants.first().copied();
        let answer = RecordsAnswer { version: 1, items: given.items, next, grants };
        let envelope = Envelope::seal(
            &mut clock::rng(),
            std::slice::from_ref(&peer.recipient),
            CONTEXT,
            &codec::encode(&answer),
        )
        .tried("seal the answer")?;
        let event = audit::peer_event(
            &peer.identity,
            AuditAction::Disclose,
            Some(purpose),
            grant,
            count,
            Outcome::Allowed,
        );
        self.store.audit(vec![event]).tried("write the audit trail")?;
        Ok(Ok(codec::encode(&envelope)))
    }

    /// Whether a record may go out: `None` for what was itself fetched from somebody else.
    fn permitted(
        &self,
        authority: &Authority,
        now: keys::Timestamp,
        peer: &IdentityId,
        purpose: Purpose,
        id: &RecordId,
    ) -> Option<Result<GrantId, DenyReason>> {
        let index = self.read_index();
        if index.source(id) != Some(Source::Own) {
            return None;
        }
        let facts = index.facts(id)?;
        let permit = authority.permit(now, peer, Action::Read, purpose, &facts);
        Some(permit.map(|p| p.grant).map_err(|d| d.reason))
    }

    fn resume_at(&self, query: &Query, ids: &[RecordId], position: usize) -> Result<String, Problem> {
        // Ask the index for a page that ends just before this position: its cursor is where the next one begins.
        let short = query.with_count(position);
        let page = self.read_index().search(&short).map_err(super::records::query_problem)?;
        debug_assert_eq!(page.ids.as_slice(), ids.get(..position).unwrap_or_default());
        let cursor = page.next.ok_or_else(|| Problem::failed("the next page cannot be named"))?;
        Ok(query.with_cursor(Some(cursor)).to_string())
    }

    /// Whether a peer may fetch a sealed attachment: it belongs to an own record that a consent covers, for any
    /// purpose that the consent names.
    pub(crate) fn may_fetch_blob(&self, device: &DeviceId, hash: &[u8; 32]) -> bool {
        let Some(identity) = read(&self.peers).by_device(device).map(|p| p.certificate.identity) else {
            self.refuse(device.to_string(), DenyReason::UnknownPeer);
            return false;
        };
        let owners = read(&self.attachments).get(hash).cloned().unwrap_or_default();
        let consents = read(&self.consents);
        let purposes: BTreeSet<Purpose> = consents
            .authority
            .grants()
            .filter(|(_, g)| g.grantee == identity)
            .map(|(_, g)| g.purpose)
            .collect();
        let mut reason = DenyReason::NoGrant;
        for owner in &owners {
            for purpose in &purposes {
                match self.permitted(&consents.authority, clock::now(), &identity, *purpose, owner) {
                    Some(Ok(grant)) => {
                        let mut event = audit::peer_event(
                            &identity,
                            AuditAction::BlobServe,
                            Some(*purpose),
                            Some(grant),
                            1,
                            Outcome::Allowed,
                        );
                        event.1.object = Some(*owner.as_bytes());
                        return self.store.audit(vec![event]).is_ok();
                    }
                    Some(Err(why)) => reason = why,
                    None => {}
                }
            }
        }
        self.refuse(identity.to_string(), reason);
        false
    }

    /// Writes a refusal to the trail and returns it in words.
    pub(crate) fn refuse(&self, who: String, reason: DenyReason) -> String {
        if let Err(error) = self.store.audit(vec![audit::refusal(who, reason)]) {
            tracing::error!(%error, "cannot write the audit trail");
        }
        denial_words(reason)
    }
}

#[derive(Default)]
struct Given {
    items: Vec<AnsweredItem>,
    bytes: usize,
    grants: Vec<GrantId>,
}

impl Given {
    fn add(&mut self, stored: Vec<u8>, grant: GrantId) {
        self.bytes += stored.len();
        self.items.push(AnsweredItem { stored });
        if !self.grants.contains(&grant) {
            self.grants.push(grant);
        }
    }
}
