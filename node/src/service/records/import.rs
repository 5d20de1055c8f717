//! Import of files and folders of this machine.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::panic::AssertUnwindSafe;
use std::path::{Path, PathBuf};
use std::time::Instant;

use keys::AuditAction;
use records::{
    Attachment, ImportOptions, Imported, MAX_RESOURCE_BYTES, Rejection, Resource, SignalImport, Source,
    StoredResource,
};
use tokio::sync::mpsc;

use super::super::problem::Problem;
use super::super::{Node, audit};
use crate::api::types::{ImportEvent, ImportReport, ImportRequest, RejectedItem};
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

// Whatever is a resource can be kept: its text, and a mebibyte for what stands around it.
const _: () = assert!(MAX_RESOURCE_BYTES + (1 << 20) <= store::MAX_PAYLOAD_BYTES);

impl Node {
    /// Imports files and folders; reports through `events` and stops when nobody listens any more or the node
    /// stops.
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
            import.end()?;
            import.bytes_done += file.bytes;
        }
        import.flush();
        import.end()?;
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
        let name = &file.name;
        if self.ended() {
            return;
        }
        let bytes = if file.bytes > MAX_FILE_BYTES {
            Err(format!("larger than {} GiB", MAX_FILE_BYTES >> 30))
        } else {
            std::fs::read(&file.path).map_err(|e| format!("cannot be read: {e}"))
        };
        let bytes = match bytes {
            Ok(bytes) => bytes,
            Err(reason) => return self.reject(Rejection { source: name.clone(), line: 0, reason }),
        };
        let folder = file.path.parent().map(Path::to_path_buf).unwrap_or_default();
        let mut sibling = |wanted: &str| read_sibling(&folder, wanted);
        // Decoders of packed and compressed files are others' code: one that panics on a hostile file must cost that
        // file, not the daemon.
        let read = std::panic::catch_unwind(AssertUnwindSafe(|| {
            records::import_file(name, bytes, &mut sibling, options, &mut |item| {
                if self.ended() {
                    return ControlFlow::Break(());
                }
                match item {
                    Ok(Imported::Resource(resource)) => self.add(resource, Vec::new()),
                    Ok(Imported::Signal(signal)) => self.add_signal(&signal),
                    Err(rejection) => self.reject(rejection),
                }
                ControlFlow::Continue(())
            });
        }));
        if read.is_err() {
            self.reject(Rejection { source: name.clone(), line: 0, reason: "breaks its decoder".to_owned() });
        }
    }

    /// Why it ended early, with how much of it is kept all the same.
    fn end(&mut self) -> Result<(), Problem> {
        let Some(mut problem) = self.failed.take() else { return Ok(()) };
        let kept = self.report.imported;
        if kept > 0 {
            problem.message = format!("{}; {kept} resources that came before are kept", problem.message);
        }
        Err(problem)
    }

    /// Whether nothing more is to be read; notes why.
    fn ended(&mut self) -> bool {
        if self.failed.is_none() && self.node.stop.is_cancelled() {
            let problem = Problem::failed("the import broke off because the node stops");
            self.failed = Some(problem.next("import again: what is there already is replaced, not doubled"));
        }
        self.failed.is_some()
    }

    fn add(&mut self, resource: Resource, attachments: Vec<Attachment>) {
        self.batch_bytes += resource.text().len();
        self.batch.push(StoredResource { resource, attachments });
        if self.batch.len() >= IMPORT_BATCH || self.batch_bytes >= IMPORT_BATCH_BYTES {
            self.flush();
        }
    }

    fn add_signal(&mut self, signal: &SignalImport) {
        let attachment = self.node.known_attachment(self.runtime, signal).and_then(|known| match known {
            Some(attachment) => Ok(attachment),
            None => self.node.seal_attachment(self.runtime, &signal.blob, signal.content_type()),
        });
        match attachment {
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
            self.failed = Some(Problem::failed("the import was interrupted"));
        }
    }
}

struct FoundFile {
    path: PathBuf,
    /// How reports name it: below the one folder that was named, else its whole path when several things were named.
    name: String,
    bytes: u64,
}

fn list_files(paths: &[String]) -> Result<Vec<FoundFile>, Problem> {
    let mut files: Vec<FoundFile> = Vec::new();
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
            files.push(FoundFile { path: path.to_path_buf(), name: String::new(), bytes: meta.len() });
        }
        let base = if meta.is_dir() { Some(path) } else { path.parent() };
        for file in files.iter_mut().filter(|file| file.name.is_empty()) {
            let below = base.filter(|_| paths.len() == 1).and_then(|base| file.path.strip_prefix(base).ok());
            file.name = below.unwrap_or(&file.path).display().to_string();
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
                let bytes = entry.metadata()?.len();
                files.push(FoundFile { path: entry.path(), name: String::new(), bytes });
            }
        }
    }
    Ok(())
}

/// A file that a header names must lie beside it: a name with a folder in it is not followed.
pub(crate) fn read_sibling(folder: &Path, name: &str) -> Option<Vec<u8>> {
    let plain = Path::new(name).file_name().is_some_and(|n| n == name);
    let path = folder.join(name);
    let small = std::fs::metadata(&path).is_ok_and(|m| m.is_file() && m.len() <= MAX_FILE_BYTES);
    (plain && small).then(|| std::fs::read(path).ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_named_below_the_folder_that_was_named() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        std::fs::create_dir(dir.path().join("a")).expect("made");
        for name in ["a/x.json", "x.json"] {
            std::fs::write(dir.path().join(name), "{}").expect("written");
        }
        let named = |paths: &[PathBuf]| -> Vec<String> {
            let paths: Vec<String> = paths.iter().map(|path| path.display().to_string()).collect();
            list_files(&paths).expect("listed").into_iter().map(|file| file.name).collect()
        };
        let file = dir.path().join("a/x.json");
        assert_eq!(named(&[dir.path().to_path_buf()]), ["a/x.json", "x.json"]);
        assert_eq!(named(std::slice::from_ref(&file)), ["x.json"]);
        let both = [file, dir.path().join("x.json")];
        assert_eq!(named(&both), both.map(|path| path.display().to_string()));
    }
}
