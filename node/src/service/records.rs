//! Own and fetched records: import, search, read, check.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::panic::AssertUnwindSafe;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use keys::{AuditAction, AuditEvent, RecordId, Timestamp};
use records::{
    Attachment, ImportOptions, Imported, Page, Query, QueryError, Rejection, Resource, Source,
    StoredResource, Terms,
};
use store::{DocumentKind, NewRecord};
use tokio::sync::mpsc;

use super::problem::{Problem, Tried};
use super::{Node, audit, blocking, lock, source_prefix, write};
use crate::api::types::{
    ImportEvent, ImportReport, ImportRequest, RejectedItem, SaveReport, SaveRequest, VerifyRecordsReport,
};
use crate::clock;

/// Resources made durable together while importing.
const IMPORT_BATCH: usize = 512;
/// … or when their text reaches this.
const IMPORT_BATCH_BYTES: usize = 4 << 20;
/// Rejections that a report lists; the rest are counted.
const MAX_LISTED_REJECTIONS: usize = 1_000;
/// The largest file that is read.
const MAX_FILE_BYTES: u64 = 2 << 30;
/// How deep folders are searched.
const MAX_FOLDER_DEPTH: usize = 16;
/// File endings that are looked for in folders; a file named outright is always tried.
const KNOWN_ENDINGS: &[&str] = &[".json", ".ndjson", ".jsonl", ".hea"];

impl Node {
    /// Rebuilds the search index and the list of attachments from the sealed store.
    pub(crate) fn load_index(&self) -> Result<(), Problem> {
        let mut index = write(&self.index);
        let mut unreadable = 0_u64;
        self.store
            .terms(&mut |id, bytes| match decode_terms(&bytes) {
                Some((source, terms)) => index.insert(id, source, terms),
                None => unreadable += 1,
            })
            .tried("read the search index")?;
        if unreadable > 0 {
            tracing::warn!(unreadable, "some index entries cannot be read; run `metaclinic records verify`");
        }
        let mut attachments = write(&self.attachments);
        for (hash, owners) in self.store.documents(DocumentKind::Attachment).tried("read the attachments")? {
            if let Ok(hash) = <[u8; 32]>::try_from(hash.as_slice()) {
                attachments.insert(hash, decode_owners(&owners));
            }
        }
        Ok(())
    }

    /// Keeps resources of `source`: durable and searchable when it returns.
    ///
    /// # Errors
    /// [`Problem`] when the store cannot keep them; then none of them is kept.
    pub(crate) fn keep(
        &self,
        source: &Source,
        batch: &[StoredResource],
        events: Vec<(Timestamp, AuditEvent)>,
    ) -> Result<(), Problem> {
        let mut new = Vec::with_capacity(batch.len());
        let mut indexed = Vec::with_capacity(batch.len());
        let mut owned = Vec::new();
        for stored in batch {
            let resource = &stored.resource;
            let id = self.record_id(source, resource.resource_type(), resource.id());
            let terms = Terms::of(resource);
            new.push(NewRecord {
                id,
                subject: self.pseudonym(source, resource.patient()),
                payload: stored.encode(),
                terms: encode_terms(source, &terms),
            });
            owned.extend(stored.attachments.iter().map(|a| (a.hash, id)));
            indexed.push((id, terms));
        }
        let _order = lock(&self.writes);
        for (hash, id) in owned {
            self.own_attachment(hash, id)?;
        }
        self.store.put(new, events).tried("keep the records")?;
        let mut index = write(&self.index);
        for (id, terms) in indexed {
            index.insert(id, *source, terms);
        }
        Ok(())
    }

    fn own_attachment(&self, hash: [u8; 32], id: RecordId) -> Result<(), Problem> {
        let mut attachments = write(&self.attachments);
        let owners = attachments.entry(hash).or_default();
        if !owners.contains(&id) {
            owners.push(id);
            let bytes: Vec<u8> = owners.iter().flat_map(|o| *o.as_bytes()).collect();
            self.store
                .put_document(DocumentKind::Attachment, &hash, &bytes, Vec::new())
                .tried("keep the attachment's owner")?;
        }
        Ok(())
    }

    /// Reads a stored record and its attachments' keys.
    pub(crate) fn stored(&self, id: &RecordId) -> Result<Option<StoredResource>, Problem> {
        let Some(bytes) = self.store.get(id).map_err(damaged)? else { return Ok(None) };
        StoredResource::decode(&bytes).map(Some).tried("read a stored record")
    }

    /// One resource as it was imported: the own one, else a peer's.
    ///
    /// # Errors
    /// [`Problem`] when there is none or it is damaged.
    pub(crate) fn record_get(&self, resource_type: &str, id: &str) -> Result<String, Problem> {
        let record = self.find(resource_type, id).ok_or_else(no_such_resource)?;
        let stored = self.stored(&record)?.ok_or_else(no_such_resource)?;
        let mut event = audit::event(clock::now(), AuditAction::Read, 1);
        event.1.object = Some(*record.as_bytes());
        self.store.audit(vec![event]).tried("write the audit trail")?;
        Ok(stored.resource.text().to_owned())
    }

    /// Looks a resource up, own first.
    pub(crate) fn find(&self, resource_type: &str, id: &str) -> Option<RecordId> {
        let peers: Vec<_> = super::read(&self.peers).all().map(|p| p.certificate.identity).collect();
        let index = self.read_index();
        let sources = std::iter::once(Source::Own).chain(peers.into_iter().map(Source::Peer));
        sources.into_iter().find_map(|source| index.find(source, resource_type, id))
    }

    /// A page of resources as a FHIR searchset Bundle.
    ///
    /// # Errors
    /// [`Problem`] when the query is not understood or a record is damaged.
    pub(crate) fn search(&self, base: &str, query: &str) -> Result<String, Problem> {
        let query = Query::parse(query).map_err(query_problem)?;
        let page: Page = self.read_index().search(&query).map_err(query_problem)?;
        let mut texts = Vec::with_capacity(page.ids.len());
        for id in &page.ids {
            if let Some(stored) = self.stored(id)? {
                texts.push(stored.resource.text().to_owned());
            }
        }
        let event = audit::event(clock::now(), AuditAction::Search, texts.len() as u64);
        self.store.audit(vec![event]).tried("write the audit trail")?;
        Ok(records::searchset(base, &query, &page, &texts))
    }

    /// Opens and checks every stored record.
    ///
    /// # Errors
    /// [`Problem`] when the store cannot be read.
    pub(crate) fn verify_records(&self) -> Result<VerifyRecordsReport, Problem> {
        let report = self.store.verify(&mut |_| {}).tried("check the records")?;
        let event = audit::event(clock::now(), AuditAction::Verify, report.checked);
        self.store.audit(vec![event]).tried("write the audit trail")?;
        Ok(VerifyRecordsReport {
            checked: report.checked,
            damaged: report.damaged.iter().map(ToString::to_string).collect(),
            missing: report.missing,
            rolled_back: report.rolled_back,
        })
    }

    /// Imports files and folders; reports through `events` and stops when nobody listens any more.
    /// Each progress event counts resources that are durable and searchable.
    ///
    /// # Errors
    /// [`Problem`] when nothing named can be read or the store cannot keep them; what was acknowledged is kept.
    pub(crate) fn import(
        &self,
        request: &ImportRequest,
        runtime: &tokio::runtime::Handle,
        events: &mpsc::Sender<ImportEvent>,
    ) -> Result<ImportReport, Problem> {
        let started = Instant::now();
        let files = list_files(&request.paths)?;
        let bytes_total = files.iter().map(|f| f.bytes).sum();
        let options = ImportOptions { patient: request.patient.clone(), now: clock::now() };
        let mut import = Import {
            node: self,
            runtime,
            events,
            batch: Vec::new(),
            batch_bytes: 0,
            bytes_done: 0,
            bytes_total,
            report: ImportReport::default(),
            failed: None,
        };
        for file in files {
            import.file(&file, &options);
            if let Some(problem) = import.failed.take() {
                return Err(problem);
            }
            import.bytes_done += file.bytes;
        }
        import.flush();
        if let Some(problem) = import.failed.take() {
            return Err(problem);
        }
        let mut report = import.report;
        report.seconds = started.elapsed().as_secs_f64();
        Ok(report)
    }
}

struct Import<'a> {
    node: &'a Node,
    runtime: &'a tokio::runtime::Handle,
    events: &'a mpsc::Sender<ImportEvent>,
    batch: Vec<StoredResource>,
    batch_bytes: usize,
    bytes_done: u64,
    bytes_total: u64,
    report: ImportReport,
    failed: Option<Problem>,
}

impl Import<'_> {
    fn file(&mut self, file: &FoundFile, options: &ImportOptions) {
        let name = file.path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
        let bytes = if file.bytes > MAX_FILE_BYTES {
            Err(format!("larger than {} GiB", MAX_FILE_BYTES >> 30))
        } else {
            std::fs::read(&file.path).map_err(|e| format!("cannot be read: {e}"))
        };
        let bytes = match bytes {
            Ok(bytes) => bytes,
            Err(reason) => return self.reject(Rejection { source: name, line: 0, reason }),
        };
        let folder = file.path.parent().map(Path::to_path_buf).unwrap_or_default();
        let mut sibling = |wanted: &str| read_sibling(&folder, wanted);
        // Decoders of packed and compressed files are others' code: one that panics on a hostile file must cost that
        // file, not the daemon.
        let read = std::panic::catch_unwind(AssertUnwindSafe(|| {
            records::import_file(&name, bytes, &mut sibling, options, &mut |item| {
                if self.failed.is_some() {
                    return;
                }
                match item {
                    Ok(Imported::Resource(resource)) => self.add(resource, Vec::new()),
                    Ok(Imported::Signal(signal)) => self.add_signal(&signal),
                    Err(rejection) => self.reject(rejection),
                }
            });
        }));
        if read.is_err() {
            self.reject(Rejection { source: name, line: 0, reason: "breaks its decoder".to_owned() });
        }
    }

    fn add(&mut self, resource: Resource, attachments: Vec<Attachment>) {
        self.batch_bytes += resource.text().len();
        self.batch.push(StoredResource { resource, attachments });
        if self.batch.len() >= IMPORT_BATCH || self.batch_bytes >= IMPORT_BATCH_BYTES {
            self.flush();
        }
    }

    fn add_signal(&mut self, signal: &records::SignalImport) {
        match self.node.seal_attachment(self.runtime, &signal.blob, "application/vnd.metaclinic.wfdb+cbor") {
            Ok(attachment) => {
                let resource = signal.resource(&attachment.hash, attachment.bytes);
                self.add(resource, vec![attachment]);
            }
            Err(problem) => self.failed = Some(problem),
        }
    }

    fn reject(&mut self, rejection: Rejection) {
        self.report.rejected_total += 1;
        if self.report.rejected.len() < MAX_LISTED_REJECTIONS {
            let Rejection { source, line, reason } = rejection;
            self.report.rejected.push(RejectedItem { source, line, reason });
        }
    }

    fn flush(&mut self) {
        if self.batch.is_empty() || self.failed.is_some() {
            return;
        }
        let batch = std::mem::take(&mut self.batch);
        self.batch_bytes = 0;
        let count = batch.len() as u64;
        let mut types: BTreeMap<String, u64> = BTreeMap::new();
        for stored in &batch {
            *types.entry(stored.resource.resource_type().to_owned()).or_default() += 1;
        }
        let event = audit::event(clock::now(), AuditAction::Import, count);
        if let Err(problem) = self.node.keep(&Source::Own, &batch, vec![event]) {
            self.failed = Some(problem);
            return;
        }
        self.report.imported += count;
        for (name, number) in types {
            *self.report.by_type.entry(name).or_default() += number;
        }
        let progress = ImportEvent::Progress {
            bytes_done: self.bytes_done,
            bytes_total: self.bytes_total,
            acknowledged: self.report.imported,
        };
        if self.events.blocking_send(progress).is_err() {
            self.failed = Some(Problem::failed("the import was interrupted; what was acknowledged is kept"));
        }
    }
}

impl Node {
    /// Seals bytes under a key of their own, then hashes and keeps them: a hash of plaintext would confirm guesses.
    fn seal_attachment(
        &self,
        runtime: &tokio::runtime::Handle,
        plaintext: &[u8],
        content_type: &str,
    ) -> Result<Attachment, Problem> {
        let mut rng = clock::rng();
        let key = keys::DataKey::generate(&mut rng);
        let sealed = key.seal(&mut rng, ATTACHMENT_CONTEXT, plaintext);
        let bytes = sealed.len() as u64;
        let hash = runtime.block_on(self.blobs.add(sealed)).tried("keep the attachment")?;
        Ok(Attachment {
            hash,
            key: *key.expose(),
            bytes,
            content_type: content_type.to_owned(),
            title: "signal".to_owned(),
        })
    }

    /// Writes the original files of a resource's attachments into `folder`; nothing there is overwritten.
    ///
    /// # Errors
    /// [`Problem`] when there are none, one does not open, or a file cannot be written.
    pub(crate) async fn save_attachments(
        self: &Arc<Self>,
        request: &SaveRequest,
    ) -> Result<SaveReport, Problem> {
        let folder = PathBuf::from(&request.folder);
        let record = self.find(&request.resource_type, &request.id).ok_or_else(no_such_resource)?;
        let node = Arc::clone(self);
        let stored = blocking(move || node.stored(&record)).await?.ok_or_else(no_such_resource)?;
        if stored.attachments.is_empty() {
            return Err(Problem::not_found("this resource has no attachment"));
        }
        let mut report = SaveReport { files: Vec::new() };
        for attachment in &stored.attachments {
            let bytes = self.open_attachment(attachment).await?;
            let folder = folder.clone();
            report.files.extend(blocking(move || write_files(&folder, &bytes)).await?);
        }
        let mut event = audit::event(clock::now(), AuditAction::Export, report.files.len() as u64);
        event.1.object = Some(*record.as_bytes());
        self.store.audit(vec![event]).tried("write the audit trail")?;
        Ok(report)
    }

    async fn open_attachment(&self, attachment: &Attachment) -> Result<Vec<u8>, Problem> {
        let sealed = self
            .blobs
            .get(&attachment.hash, attachment.bytes)
            .await
            .tried("read the attachment")?
            .ok_or_else(|| Problem::not_found("the attachment is not on this device"))?;
        keys::DataKey::from_bytes(attachment.key)
            .open(ATTACHMENT_CONTEXT, &sealed)
            .tried("open the attachment")
    }
}

fn write_files(folder: &Path, container: &[u8]) -> Result<Vec<String>, Problem> {
    let mut written = Vec::new();
    for (name, bytes) in records::wfdb::container_files(container).tried("read the attachment")? {
        // The name comes from whoever made the record: it must not lead out of the folder.
        if Path::new(&name).file_name().is_none_or(|n| n != name.as_str()) {
            return Err(Problem::failed("the attachment names a file outside the folder"));
        }
        let path = folder.join(&name);
        let shown = path.display().to_string();
        let file = File::options().write(true).create_new(true).mode(0o600).open(&path);
        file.and_then(|mut f| f.write_all(&bytes).and_then(|()| f.sync_all())).map_err(|e| {
            Problem::failed(format!("cannot write {shown}"))
                .because(e)
                .next("choose an existing folder without files of these names")
        })?;
        written.push(shown);
    }
    Ok(written)
}

fn no_such_resource() -> Problem {
    Problem::not_found("no such resource here").next("search with: metaclinic records search TYPE")
}

const ATTACHMENT_CONTEXT: &[u8] = b"metaclinic/attachment/1";

struct FoundFile {
    path: PathBuf,
    bytes: u64,
}

fn list_files(paths: &[String]) -> Result<Vec<FoundFile>, Problem> {
    let mut files = Vec::new();
    for path in paths {
        let path = Path::new(path);
        if !path.is_absolute() {
            return Err(Problem::wrong_use("the local API takes absolute paths only"));
        }
        let named = |e: std::io::Error| {
            Problem::failed(format!("cannot read {}", path.display())).because(e).next("check the path")
        };
        let meta = std::fs::metadata(path).map_err(named)?;
        if meta.is_dir() {
            let before = files.len();
            walk(path, 0, &mut files).map_err(named)?;
            if files.len() == before {
                return Err(Problem::failed(format!("nothing to import in {}", path.display()))
                    .next("folders are searched for .json, .ndjson and .hea files, also .gz and .xz"));
            }
        } else {
            files.push(FoundFile { path: path.to_path_buf(), bytes: meta.len() });
        }
    }
    Ok(files)
}

fn walk(folder: &Path, depth: usize, files: &mut Vec<FoundFile>) -> std::io::Result<()> {
    let mut entries = std::fs::read_dir(folder)?.collect::<Result<Vec<_>, _>>()?;
    entries.sort_by_key(std::fs::DirEntry::file_name);
    for entry in entries {
        let kind = entry.file_type()?;
        if kind.is_dir() && depth < MAX_FOLDER_DEPTH {
            walk(&entry.path(), depth + 1, files)?;
        } else if kind.is_file() {
            let name = entry.file_name().to_string_lossy().to_ascii_lowercase();
            let bare = name.trim_end_matches(".gz").trim_end_matches(".xz");
            if KNOWN_ENDINGS.iter().any(|e| bare.ends_with(e)) {
                files.push(FoundFile { path: entry.path(), bytes: entry.metadata()?.len() });
            }
        }
    }
    Ok(())
}

/// A file that a header names must lie beside it: a name with a folder in it is not followed.
fn read_sibling(folder: &Path, name: &str) -> Option<Vec<u8>> {
    let plain = Path::new(name).file_name().is_some_and(|n| n == name);
    let path = folder.join(name);
    let small = std::fs::metadata(&path).is_ok_and(|m| m.is_file() && m.len() <= MAX_FILE_BYTES);
    (plain && small).then(|| std::fs::read(path).ok()).flatten()
}

fn encode_terms(source: &Source, terms: &Terms) -> Vec<u8> {
    let mut bytes = source_prefix(source);
    bytes.extend_from_slice(&terms.encode());
    bytes
}

fn decode_terms(bytes: &[u8]) -> Option<(Source, Terms)> {
    let (&kind, rest) = bytes.split_first()?;
    let (source, rest) = match kind {
        0 => (Source::Own, rest),
        1 => {
            let (identity, rest) = rest.split_first_chunk::<32>()?;
            (Source::Peer(keys::IdentityId::from_bytes(*identity)), rest)
        }
        _ => return None,
    };
    Some((source, Terms::decode(rest).ok()?))
}

fn decode_owners(bytes: &[u8]) -> Vec<RecordId> {
    bytes.as_chunks::<32>().0.iter().map(|c| RecordId::from_bytes(*c)).collect()
}

fn damaged(error: store::StoreError) -> Problem {
    Problem::failed("a stored record does not open")
        .because(error)
        .next("list the damaged ones with: metaclinic records verify")
}

/// What is wrong with a query, in words.
pub(crate) fn query_problem(error: QueryError) -> Problem {
    Problem::wrong_use("cannot search")
        .because(error)
        .next("write TYPE?param=value, e.g. \"Observation?code=8867-4&date=ge2020\"")
}
