//! The asking side: page after page, each checked against the consents that came with it before anything is kept.

use std::sync::Arc;
use std::time::{Duration, Instant};

use keys::{AuditAction, DenyReason, Envelope, IdentityId, Outcome, Purpose, codec};
use net::{NetError, Network, Protocol};
use records::{Query, Source, StoredResource};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use zeroize::Zeroizing;

use super::{
    CONTEXT, ItemPart, MAX_ANSWER_BYTES, MAX_ITEM_BYTES, PAGE_COUNT, RecordsAnswer, RecordsRequest, VERSION,
};
use crate::api::types::{FetchEvent, FetchReport, FetchRequest};
use crate::service::consents::{Received, parse_purpose};
use crate::service::peers::PairedPeer;
use crate::service::problem::{Problem, Tried};
use crate::service::{Node, audit, blocking, read};

/// Answers of one fetch; at 900 KiB each this is more than [`MAX_FETCH_BYTES`].
const MAX_ANSWERS: usize = 20_000;
/// Bytes that one fetch brings, records and attachments together.
const MAX_FETCH_BYTES: u64 = 8 << 30;
/// What a resource counts for at least, for the index and the keys that it takes here.
const MIN_RESOURCE_BYTES: u64 = 1 << 10;
/// The largest attachment that is fetched.
const MAX_ATTACHMENT_BYTES: u64 = 1 << 30;
/// What stays free on the disk.
const FREE_BYTES_KEPT: u64 = 256 << 20;
/// How long in all a busy peer is asked again for one answer.
const BUSY_PATIENCE: Duration = Duration::from_secs(120);
/// The first pause; each next one is twice as long …
const BUSY_PAUSE: Duration = Duration::from_millis(250);
/// … up to this.
const BUSY_PAUSE_AT_MOST: Duration = Duration::from_secs(5);

impl Node {
    /// Fetches what a peer lets this home read, and keeps it, page by page; a failure leaves what came before it.
    ///
    /// # Errors
    /// [`Problem`]: denied by the peer, out of reach, or not to be kept. It says how much was kept.
    pub(crate) async fn fetch(
        self: &Arc<Self>,
        request: &FetchRequest,
        events: &mpsc::Sender<FetchEvent>,
    ) -> Result<FetchReport, Problem> {
        let started = Instant::now();
        let purpose = parse_purpose(&request.purpose)?;
        Query::parse(&request.query).map_err(super::super::records::query_problem)?;
        let peer = read(&self.peers).resolve(&request.peer)?.clone();
        let report = FetchReport { peer: peer.certificate.identity.to_string(), ..FetchReport::default() };
        let network = self.network().await?;
        let budget = MAX_FETCH_BYTES;
        let mut fetch = Fetch { node: self, network, peer, purpose, events, report, partial: None, budget };
        match fetch.run(request.query.clone()).await {
            Ok(()) => {
                fetch.report.seconds = started.elapsed().as_secs_f64();
                Ok(fetch.report)
            }
            Err(mut problem) => {
                fetch.note_failure().await;
                let kept = fetch.report.fetched;
                if kept > 0 {
                    problem.message =
                        format!("{}; {kept} resources that came before are kept", problem.message);
                }
                Err(problem)
            }
        }
    }
}

/// One fetch on its way.
struct Fetch<'a> {
    node: &'a Arc<Node>,
    network: Network,
    peer: PairedPeer,
    purpose: Purpose,
    events: &'a mpsc::Sender<FetchEvent>,
    report: FetchReport,
    partial: Option<Partial>,
    /// Bytes that may still come.
    budget: u64,
}

impl Fetch<'_> {
    async fn run(&mut self, query: String) -> Result<(), Problem> {
        let mut next = Some(query);
        for _ in 0..MAX_ANSWERS {
            let Some(query) = next.take() else { return Ok(()) };
            let answer = self.ask(&query).await?;
            let empty = answer.items.is_empty() && answer.part.is_none() && answer.left_out.is_empty();
            if empty && answer.next.is_some() {
                return Err(Problem::failed("the peer sends empty pages without end"));
            }
            next.clone_from(&answer.next);
            self.keep(answer).await?;
            if self.partial.is_some() && next.is_none() {
                return Err(Problem::failed("the peer sent a part of a resource and not the rest"));
            }
            self.tell().await?;
        }
        Err(Problem::failed("the peer has more than one fetch brings").next("fetch with a narrower query"))
    }

    async fn ask(&self, query: &str) -> Result<RecordsAnswer, Problem> {
        let offset = self.partial.as_ref().map_or(0, |p| p.bytes.len() as u64);
        let (version, query, purpose) = (VERSION, query.to_owned(), self.purpose);
        let asked = codec::encode(&RecordsRequest { version, query, purpose, offset });
        let device = self.peer.certificate.device;
        let mut patience = Patience::new();
        let bytes = loop {
            let addresses = self.node.addresses_of(&device);
            let answer = self.network.request(device, &addresses, Protocol::Records, asked.clone()).await;
            match answer {
                Err(NetError::Later { .. }) if patience.again(&self.node.stop).await => {}
                other => break other.map_err(no_answer)?,
            }
        };
        self.node.open_answer(&bytes)
    }

    /// Checks an answer, fetches its attachments and keeps both.
    async fn keep(&mut self, answer: RecordsAnswer) -> Result<(), Problem> {
        let RecordsAnswer { items, part, grants, left_out, .. } = answer;
        if items.len() + left_out.len() > PAGE_COUNT || (part.is_some() && !items.is_empty()) {
            return Err(Problem::failed("the peer sent more than an answer holds"));
        }
        let (node, from, purpose) = (Arc::clone(self.node), self.peer.certificate.identity, self.purpose);
        let received = blocking(move || node.check_received(&from, purpose, &grants)).await;
        let received = received.inspect_err(|_| self.refuse())?;
        let mut batch = Vec::with_capacity(items.len());
        for item in items {
            self.spend(item.stored.len() as u64)?;
            batch.push(StoredResource::decode(&item.stored).tried("read what the peer sent")?);
        }
        if let Some(part) = part {
            self.spend(part.bytes.len() as u64)?;
            batch.extend(self.join(&part)?);
        }
        for stored in &batch {
            let facts = stored.resource.facts();
            if !received.iter().any(|r| r.grant.scope.covers(&facts)) {
                self.refuse();
                return Err(Problem::failed("the peer sent a resource that no consent of its owner covers"));
            }
        }
        for attachment in batch.iter().flat_map(|s| &s.attachments) {
            self.bring(attachment).await?;
        }
        self.report.left_out.extend(left_out);
        if batch.is_empty() {
            return Ok(());
        }
        let count = batch.len() as u64;
        let types: Vec<String> = batch.iter().map(|s| s.resource.resource_type().to_owned()).collect();
        let node = Arc::clone(self.node);
        blocking(move || node.keep_fetched(&from, purpose, received, &batch)).await?;
        self.report.fetched += count;
        for name in types {
            *self.report.by_type.entry(name).or_default() += 1;
        }
        Ok(())
    }

    /// Adds a piece of a resource; gives the resource when it is whole.
    fn join(&mut self, part: &ItemPart) -> Result<Option<StoredResource>, Problem> {
        let mut partial = self.partial.take().unwrap_or_else(|| Partial::new(part));
        if !partial.add(part)? {
            self.partial = Some(partial);
            return Ok(None);
        }
        StoredResource::decode(&partial.bytes).map(Some).tried("read what the peer sent")
    }

    /// Fetches an attachment that is not here yet.
    async fn bring(&mut self, attachment: &records::Attachment) -> Result<(), Problem> {
        if attachment.bytes > MAX_ATTACHMENT_BYTES {
            return Err(Problem::failed("the peer offers an attachment larger than 1 GiB"));
        }
        if !self.node.blobs.has(&attachment.hash).await.tried("look for the attachment")? {
            self.spend(attachment.bytes)?;
            let folder = self.node.home.blobs();
            let bytes = attachment.bytes;
            blocking(move || check_room(&folder, bytes)).await?;
            let device = self.peer.certificate.device;
            let addresses = read(&self.node.peers)
                .by_device(&device)
                .map(|p| p.card.blob_addresses.clone())
                .unwrap_or_default();
            let mut patience = Patience::new();
            loop {
                let fetched = self.network.fetch_blob(attachment.hash, device, &addresses, bytes).await;
                match fetched {
                    Err(NetError::Later { .. }) if patience.again(&self.node.stop).await => {}
                    other => break other.tried("fetch an attachment")?,
                }
            }
            self.report.attachment_bytes += bytes;
        }
        self.report.attachments += 1;
        self.tell().await
    }

    fn spend(&mut self, bytes: u64) -> Result<(), Problem> {
        self.budget = self.budget.checked_sub(bytes.max(MIN_RESOURCE_BYTES)).ok_or_else(|| {
            Problem::failed("the peer offers more than the 8 GiB that one fetch brings")
                .next("fetch with a narrower query")
        })?;
        Ok(())
    }

    async fn tell(&self) -> Result<(), Problem> {
        let FetchReport { fetched, attachments, attachment_bytes, .. } = self.report;
        let progress = FetchEvent::Progress { fetched, attachments, attachment_bytes };
        self.events.send(progress).await.map_err(|_| Problem::failed("the fetch was interrupted"))
    }

    /// Notes that what the peer sent is not believed.
    fn refuse(&self) {
        self.node.note_refusal(Some(self.peer.certificate.device), DenyReason::Malformed);
    }

    async fn note_failure(&self) {
        let (from, purpose) = (self.peer.certificate.identity, Some(self.purpose));
        let event = audit::peer_event(&from, AuditAction::Fetch, purpose, None, 0, Outcome::Failed);
        let store = self.node.store.clone();
        if let Err(problem) = blocking(move || store.audit(vec![event]).tried("write the audit trail")).await
        {
            tracing::error!(%problem);
        }
    }
}

impl Node {
    fn open_answer(&self, bytes: &[u8]) -> Result<RecordsAnswer, Problem> {
        let envelope: Envelope =
            codec::decode("answer", bytes, MAX_ANSWER_BYTES).tried("read the peer's answer")?;
        let plain = envelope.open(self.keyring.seal_identity(), CONTEXT).tried("open the peer's answer")?;
        let answer: RecordsAnswer =
            codec::decode("answer", &plain, MAX_ANSWER_BYTES).tried("read the peer's answer")?;
        if answer.version != VERSION {
            return Err(Problem::failed(format!(
                "the peer answers in version {} of records/1",
                answer.version
            ))
            .next("the newer program reads what the older one writes: update this one"));
        }
        Ok(answer)
    }

    fn keep_fetched(
        &self,
        from: &IdentityId,
        purpose: Purpose,
        received: Vec<Received>,
        batch: &[StoredResource],
    ) -> Result<(), Problem> {
        self.keep_received(from, received)?;
        let count = batch.len() as u64;
        let event = audit::peer_event(from, AuditAction::Fetch, Some(purpose), None, count, Outcome::Allowed);
        self.keep(&Source::Peer(*from), batch, vec![event])
    }
}

/// A resource of which not all has come.
pub(super) struct Partial {
    digest: [u8; 32],
    total: u64,
    pub(super) bytes: Zeroizing<Vec<u8>>,
}

impl Partial {
    pub(super) fn new(part: &ItemPart) -> Self {
        Self { digest: part.digest, total: part.total, bytes: Zeroizing::default() }
    }

    /// Adds the next piece; whether it was the last one.
    pub(super) fn add(&mut self, part: &ItemPart) -> Result<bool, Problem> {
        let same = part.digest == self.digest && part.total == self.total;
        if !same || part.offset != self.bytes.len() as u64 || part.bytes.is_empty() {
            return Err(Problem::failed("a resource changed while it was on its way").next("fetch again"));
        }
        let held = self.bytes.len() + part.bytes.len();
        if self.total > MAX_ITEM_BYTES as u64 || held as u64 > self.total {
            return Err(Problem::failed("the peer sent a resource that is too large"));
        }
        self.bytes.extend_from_slice(&part.bytes);
        let whole = held as u64 == self.total;
        if whole && blake3::hash(&self.bytes).as_bytes() != &self.digest {
            return Err(
                Problem::failed("the parts that the peer sent do not fit together").next("fetch again")
            );
        }
        Ok(whole)
    }
}

/// How often a busy peer is asked again.
struct Patience {
    left: Duration,
    pause: Duration,
}

impl Patience {
    const fn new() -> Self {
        Self { left: BUSY_PATIENCE, pause: BUSY_PAUSE }
    }

    /// Waits; false when there is no patience left, or this node stops.
    async fn again(&mut self, stop: &CancellationToken) -> bool {
        let Some(left) = self.left.checked_sub(self.pause) else { return false };
        let waited = stop.run_until_cancelled(tokio::time::sleep(self.pause)).await.is_some();
        self.left = left;
        self.pause = (self.pause * 2).min(BUSY_PAUSE_AT_MOST);
        waited
    }
}

/// Whether an attachment fits on the disk.
fn check_room(folder: &std::path::Path, bytes: u64) -> Result<(), Problem> {
    let disk = rustix::fs::statvfs(folder).tried("look how much of the disk is free")?;
    if disk.f_bavail.saturating_mul(disk.f_frsize) < bytes.saturating_add(FREE_BYTES_KEPT) {
        return Err(
            Problem::failed("an attachment does not fit on the disk").next("make room, then fetch again")
        );
    }
    Ok(())
}

/// Why a peer did not answer, in words.
fn no_answer(error: NetError) -> Problem {
    match error {
        NetError::Refused { reason } => {
            Problem::denied(format!("the peer does not give these records: {reason}"))
                .next("ask its owner for a consent: metaclinic grant give … on their side")
        }
        NetError::Later { reason } => Problem::failed(format!("the peer has no time for this: {reason}"))
            .next("try again in a few minutes"),
        NetError::Failed { reason } => Problem::failed(format!("the peer could not answer: {reason}"))
            .next("ask its owner to look at their node's log"),
        error => Problem::failed("cannot reach the peer")
            .because(error)
            .next("check that its daemon runs (metaclinic run) and that this machine can reach its address"),
    }
}
