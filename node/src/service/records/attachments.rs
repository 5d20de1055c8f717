//! Attachments: sealed, found again, checked, and cleared away when nothing refers to them any more.

use std::collections::HashSet;
use std::fs::File;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use keys::AuditAction;
use records::{Attachment, SignalImport, Source};

use super::super::problem::{Problem, Tried};
use super::super::{Node, audit, blocking, read};
use super::{no_such_resource, parse_source};
use crate::api::types::{SaveReport, SaveRequest};
use crate::clock;

const ATTACHMENT_CONTEXT: &[u8] = b"metaclinic/attachment/1";

impl Node {
    /// Seals bytes under a key of their own, then hashes and keeps them: a hash of plaintext would confirm guesses.
    pub(crate) fn seal_attachment(
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

    /// The attachment of a recording that was imported before and is still here.
    pub(super) fn known_attachment(
        &self,
        runtime: &tokio::runtime::Handle,
        signal: &SignalImport,
    ) -> Result<Option<Attachment>, Problem> {
        // The id is made of the content, so the same id has the same files.
        let id = self.record_id(&Source::Own, "Observation", &signal.id);
        if !self.store.contains(&id).tried("look for the recording")? {
            return Ok(None);
        }
        // A damaged record is what importing again mends.
        let Ok(Some(stored)) = self.stored(&id) else { return Ok(None) };
        let [attachment] = stored.attachments.as_slice() else { return Ok(None) };
        let whole = runtime.block_on(self.blobs.check(&attachment.hash)).tried("look for the attachment")?;
        Ok((whole == Some(true)).then(|| attachment.clone()))
    }

    /// Reads every attachment of a record through.
    pub(super) fn check_attachments(&self, runtime: &tokio::runtime::Handle) -> Result<Checked, Problem> {
        let hashes: Vec<[u8; 32]> = read(&self.attachments).keys().copied().collect();
        let mut checked = Checked { checked: hashes.len() as u64, ..Checked::default() };
        for hash in hashes {
            match runtime.block_on(self.blobs.check(&hash)).tried("check an attachment")? {
                Some(true) => {}
                Some(false) => checked.damaged += 1,
                None => checked.missing += 1,
            }
        }
        Ok(checked)
    }

    /// Removes attachments that no record and no room refers to: left by replaced records and broken-off imports.
    /// For unlocking only, once records and rooms are loaded and before anything is fetched.
    pub(crate) async fn clear_attachments(&self, unreadable_records: u64) -> Result<(), Problem> {
        if unreadable_records > 0 || !self.rooms.are_whole() {
            tracing::warn!("attachments are left as they are: what refers to them cannot all be read");
            return Ok(());
        }
        let mut wanted: HashSet<[u8; 32]> = read(&self.attachments).keys().copied().collect();
        wanted.extend(read(&self.room_attachments).keys());
        {
            let models = read(&self.models);
            if models.damaged {
                tracing::warn!(
                    "attachments are left as they are: what is stored about models cannot be read"
                );
                return Ok(());
            }
            wanted.extend(models.blobs());
        }
        let removed = self.blobs.keep_only(&wanted).await.tried("clear the attachments")?;
        if removed > 0 {
            tracing::info!(removed, "attachments that nothing refers to are removed");
        }
        Ok(())
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
        let source = request.source.as_deref().map(parse_source).transpose()?;
        let record = self.find(&request.resource_type, &request.id, source)?;
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
        self.note(vec![event])?;
        Ok(report)
    }

    pub(crate) async fn open_attachment(&self, attachment: &Attachment) -> Result<Vec<u8>, Problem> {
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

/// What a check of the attachments found.
#[derive(Default)]
pub(super) struct Checked {
    pub(super) checked: u64,
    pub(super) missing: u64,
    pub(super) damaged: u64,
}

fn write_files(folder: &Path, container: &[u8]) -> Result<Vec<String>, Problem> {
    let files = records::wfdb::container_files(container).tried("read the attachment")?;
    files.iter().map(|(name, bytes)| write_new_file(folder, name, bytes)).collect()
}

/// Writes a file that must not be there yet; returns its path.
///
/// # Errors
/// [`Problem`] when the name leads out of the folder, or the file exists or cannot be written.
pub(crate) fn write_new_file(folder: &Path, name: &str, bytes: &[u8]) -> Result<String, Problem> {
    // The name comes from whoever made the attachment: it must not lead out of the folder.
    if Path::new(name).file_name().is_none_or(|n| n != name) {
        return Err(Problem::failed("the attachment names a file outside the folder"));
    }
    let path = folder.join(name);
    let shown = path.display().to_string();
    let file = File::options().write(true).create_new(true).mode(0o600).open(&path);
    file.and_then(|mut f| f.write_all(bytes).and_then(|()| f.sync_all())).map_err(|e| {
        Problem::failed(format!("cannot write {shown}"))
            .because(e)
            .next("choose an existing folder without files of these names")
    })?;
    Ok(shown)
}
