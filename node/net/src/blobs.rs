//! The blob store on this disk: bytes under their BLAKE3 hash, usable with no network.
//!
//! What is put here is already sealed by the caller. iroh-blobs calls itself not yet production quality, so
//! nothing here may be the only copy.

use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use iroh_blobs::Hash;
use iroh_blobs::api::blobs::{BlobStatus, EncodedItem};
use iroh_blobs::protocol::ChunkRanges;
use iroh_blobs::store::fs::FsStore;
use iroh_blobs::store::fs::options::Options;
use iroh_blobs::store::{GcConfig, ProtectCb, ProtectOutcome};
use tokio::sync::{Mutex, mpsc, oneshot};

use crate::error::{NetError, Source};

/// Between two clean-ups. Each is asked for, so this only has to be short.
const CLEAN_UP_PAUSE: Duration = Duration::from_millis(1);

/// An open blob store; cheap to clone.
#[derive(Clone)]
pub struct Blobs {
    pub(crate) store: FsStore,
    clean_ups: mpsc::Sender<oneshot::Sender<()>>,
}

impl Blobs {
    /// Opens the store in a directory, which is created when missing.
    ///
    /// # Errors
    /// [`NetError::BlobStore`] when the directory cannot be used or another process has the store open.
    pub async fn open(dir: &Path) -> Result<Self, NetError> {
        let (clean_ups, asked) = mpsc::channel(1);
        let mut options = Options::new(dir);
        options.gc = Some(GcConfig { interval: CLEAN_UP_PAUSE, add_protected: Some(when_asked(asked)) });
        let store = FsStore::load_with_opts(dir.join("blobs.db"), options).await.map_err(failed)?;
        Ok(Self { store, clean_ups })
    }

    /// Keeps bytes and gives their hash; durable when it returns.
    ///
    /// # Errors
    /// [`NetError::BlobStore`].
    pub async fn add(&self, bytes: impl Into<Vec<u8>>) -> Result<[u8; 32], NetError> {
        let added = self.store.blobs().add_bytes(bytes.into()).temp_tag().await.map_err(failed)?;
        let hash = added.hash();
        self.pin(hash).await?;
        Ok(*hash.as_bytes())
    }

    /// The bytes of a blob, checked against its hash; none when it is not here completely.
    ///
    /// # Errors
    /// [`NetError::TooLarge`] before anything is read; [`NetError::BlobStore`], also when the disk damaged it.
    pub async fn get(&self, hash: &[u8; 32], max_bytes: u64) -> Result<Option<Vec<u8>>, NetError> {
        let hash = Hash::from_bytes(*hash);
        let Some(size) = self.size(hash).await? else { return Ok(None) };
        if size > max_bytes {
            return Err(NetError::TooLarge { what: "a blob", size, limit: max_bytes });
        }
        let bytes = self.store.blobs().get_bytes(hash).await.map_err(failed)?;
        Ok(Some(bytes.into()))
    }

    /// Whether the blob is here completely.
    ///
    /// # Errors
    /// [`NetError::BlobStore`].
    pub async fn has(&self, hash: &[u8; 32]) -> Result<bool, NetError> {
        Ok(self.size(Hash::from_bytes(*hash)).await?.is_some())
    }

    /// Reads a blob through and compares it with its hash: `None` when it is not here completely, else whether it is
    /// what it was.
    ///
    /// # Errors
    /// [`NetError::BlobStore`] when the store cannot be asked.
    pub async fn check(&self, hash: &[u8; 32]) -> Result<Option<bool>, NetError> {
        let hash = Hash::from_bytes(*hash);
        let Some(size) = self.size(hash).await? else { return Ok(None) };
        if size == 0 {
            return Ok(Some(hash == Hash::EMPTY));
        }
        // Every piece is verified against the hash on its way out, and one that is cut short ends with an error.
        let all = self.store.blobs().export_bao(hash, ChunkRanges::all());
        let mut pieces = std::pin::pin!(all.stream());
        while let Some(piece) = pieces.next().await {
            if matches!(piece, EncodedItem::Error(_)) {
                return Ok(Some(false));
            }
        }
        Ok(Some(true))
    }

    /// Removes every blob that is not in `wanted`, unfinished ones too; how many pinned ones that were. Nothing may
    /// be added or fetched meanwhile.
    ///
    /// # Errors
    /// [`NetError::BlobStore`]; then some may be left.
    pub async fn keep_only(&self, wanted: &HashSet<[u8; 32]>) -> Result<u64, NetError> {
        let mut tags = std::pin::pin!(self.store.tags().list().await.map_err(failed)?);
        let (mut pinned, mut unwanted) = (HashSet::new(), Vec::new());
        while let Some(tag) = tags.next().await {
            let tag = tag.map_err(failed)?;
            if wanted.contains(tag.hash.as_bytes()) {
                pinned.insert(tag.hash);
            } else {
                unwanted.push(tag.name);
            }
        }
        let blobs = self.store.blobs().list().hashes().await.map_err(failed)?;
        for name in &unwanted {
            self.store.tags().delete(name).await.map_err(failed)?;
        }
        if !unwanted.is_empty() || blobs.iter().any(|hash| !pinned.contains(hash)) {
            self.clean_up().await?;
        }
        Ok(unwanted.len() as u64)
    }

    /// Has the store drop what no tag names, and waits for it.
    async fn clean_up(&self) -> Result<(), NetError> {
        let ended = || failed(std::io::Error::other("the clean-up of the blob store has ended"));
        let (done, finished) = oneshot::channel();
        self.clean_ups.send(done).await.map_err(|_| ended())?;
        finished.await.map_err(|_| ended())
    }

    /// Writes everything to the disk and releases the lock; the store cannot be used afterwards.
    ///
    /// # Errors
    /// [`NetError::BlobStore`].
    pub async fn shutdown(&self) -> Result<(), NetError> {
        self.store.shutdown().await.map_err(failed)
    }

    /// Size in bytes of a complete blob.
    pub(crate) async fn size(&self, hash: Hash) -> Result<Option<u64>, NetError> {
        match self.store.blobs().status(hash).await.map_err(failed)? {
            BlobStatus::Complete { size } => Ok(Some(size)),
            BlobStatus::NotFound | BlobStatus::Partial { .. } => Ok(None),
        }
    }

    /// Names the blob by its hash in hexadecimal, so that no clean-up takes it, and writes that to the disk.
    pub(crate) async fn pin(&self, hash: Hash) -> Result<(), NetError> {
        self.store.tags().set(hash.to_hex(), hash).await.map_err(failed)?;
        self.store.sync_db().await.map_err(failed)
    }
}

impl std::fmt::Debug for Blobs {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Blobs")
    }
}

/// Lets the store's clean-up run once for each request, and tells the asker when the run is over.
fn when_asked(asked: mpsc::Receiver<oneshot::Sender<()>>) -> ProtectCb {
    let state = Arc::new(Mutex::new((asked, None::<oneshot::Sender<()>>)));
    Arc::new(move |_| {
        let state = Arc::clone(&state);
        Box::pin(async move {
            let mut state = state.lock().await;
            // Being called again means that the run before is over.
            if let Some(done) = state.1.take() {
                let _ = done.send(());
            }
            match state.0.recv().await {
                Some(done) => state.1 = Some(done),
                None => std::future::pending().await,
            }
            ProtectOutcome::Continue
        })
    })
}

pub(crate) fn failed(error: impl Into<Source>) -> NetError {
    NetError::BlobStore(error.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn blobs_survive_a_restart_without_a_network() {
        let dir = tempfile::tempdir().unwrap();
        let blobs = Blobs::open(dir.path()).await.unwrap();
        let small = blobs.add(b"sealed".to_vec()).await.unwrap();
        let large = blobs.add(vec![5u8; 200_000]).await.unwrap();
        let empty = blobs.add(Vec::new()).await.unwrap();
        blobs.shutdown().await.unwrap();

        let blobs = Blobs::open(dir.path()).await.unwrap();
        assert_eq!(blobs.get(&small, 100).await.unwrap().unwrap(), b"sealed");
        assert_eq!(blobs.get(&large, 200_000).await.unwrap().unwrap(), vec![5u8; 200_000]);
        assert_eq!(blobs.get(&empty, 0).await.unwrap(), Some(Vec::new()));
        assert!(blobs.has(&large).await.unwrap());
        assert!(!blobs.has(&[9; 32]).await.unwrap());
        assert_eq!(blobs.get(&[9; 32], 100).await.unwrap(), None);
        blobs.shutdown().await.unwrap();
    }

    #[tokio::test]
    async fn only_wanted_blobs_stay() {
        let dir = tempfile::tempdir().unwrap();
        let blobs = Blobs::open(dir.path()).await.unwrap();
        let large = blobs.add(vec![5u8; 200_000]).await.unwrap();
        let small = blobs.add(b"sealed".to_vec()).await.unwrap();
        let gone = blobs.add(vec![6u8; 200_000]).await.unwrap();
        let wanted = HashSet::from([large, small]);
        assert_eq!(blobs.keep_only(&wanted).await.unwrap(), 1);
        assert_eq!(blobs.keep_only(&wanted).await.unwrap(), 0);
        assert!(blobs.has(&large).await.unwrap() && blobs.has(&small).await.unwrap());
        assert!(!blobs.has(&gone).await.unwrap());
        blobs.shutdown().await.unwrap();
        let bytes: u64 = std::fs::read_dir(dir.path().join("data"))
            .unwrap()
            .map(|file| file.unwrap().metadata().unwrap().len())
            .sum();
        assert!(bytes < 300_000, "{bytes} bytes are left");
        let blobs = Blobs::open(dir.path()).await.unwrap();
        assert_eq!(blobs.get(&large, 200_000).await.unwrap().unwrap(), vec![5u8; 200_000]);
        assert_eq!(blobs.keep_only(&HashSet::new()).await.unwrap(), 2);
        blobs.shutdown().await.unwrap();
    }

    #[tokio::test]
    async fn a_changed_blob_does_not_pass_its_check() {
        let dir = tempfile::tempdir().unwrap();
        let blobs = Blobs::open(dir.path()).await.unwrap();
        let large = blobs.add(vec![5u8; 200_000]).await.unwrap();
        let small = blobs.add(b"sealed".to_vec()).await.unwrap();
        let empty = blobs.add(Vec::new()).await.unwrap();
        for hash in [large, small, empty] {
            assert_eq!(blobs.check(&hash).await.unwrap(), Some(true));
        }
        assert_eq!(blobs.check(&[9; 32]).await.unwrap(), None);
        blobs.shutdown().await.unwrap();
        let file = dir.path().join("data").join(format!("{}.data", Hash::from_bytes(large).to_hex()));
        let mut bytes = std::fs::read(&file).unwrap();
        bytes[150_000] ^= 1;
        std::fs::write(&file, bytes).unwrap();
        let blobs = Blobs::open(dir.path()).await.unwrap();
        assert_eq!(blobs.check(&large).await.unwrap(), Some(false));
        assert_eq!(blobs.check(&small).await.unwrap(), Some(true));
        blobs.shutdown().await.unwrap();
    }

    #[tokio::test]
    async fn blob_above_the_limit_is_not_read() {
        let dir = tempfile::tempdir().unwrap();
        let blobs = Blobs::open(dir.path()).await.unwrap();
        let hash = blobs.add(vec![0u8; 100_000]).await.unwrap();
        let error = blobs.get(&hash, 99_999).await.unwrap_err();
        assert!(matches!(error, NetError::TooLarge { size: 100_000, limit: 99_999, .. }), "{error}");
        blobs.shutdown().await.unwrap();
    }

    #[tokio::test]
    async fn store_that_is_open_cannot_be_opened_twice() {
        let dir = tempfile::tempdir().unwrap();
        let blobs = Blobs::open(dir.path()).await.unwrap();
        assert!(matches!(Blobs::open(dir.path()).await, Err(NetError::BlobStore(_))));
        blobs.shutdown().await.unwrap();
    }
}
