//! The blob store on this disk: bytes under their BLAKE3 hash, usable with no network.
//!
//! What is put here is already sealed by the caller. iroh-blobs calls itself not yet production quality, so
//! nothing here may be the only copy.

use std::path::Path;

use iroh_blobs::Hash;
use iroh_blobs::api::blobs::BlobStatus;
use iroh_blobs::store::fs::FsStore;

use crate::error::{NetError, Source};

/// An open blob store; cheap to clone.
#[derive(Clone)]
pub struct Blobs {
    pub(crate) store: FsStore,
}

impl Blobs {
    /// Opens the store in a directory, which is created when missing.
    ///
    /// # Errors
    /// [`NetError::BlobStore`] when the directory cannot be used or another process has the store open.
    pub async fn open(dir: &Path) -> Result<Self, NetError> {
        let store = FsStore::load(dir).await.map_err(failed)?;
        Ok(Self { store })
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
