//! `StoreError`: why storage failed, cheap to copy so that everyone who waited for one group is told.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The store cannot do what was asked.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// No space is left. Nothing more is written until space is freed and the store is opened again; until then
    /// most reads go on, but those for which the engine has to write first fail in the same way.
    #[error("the disk is full: free some space and open the store again")]
    DiskFull,
    /// An earlier write failed, so nothing more is written until the store is opened again. Reads go on as far
    /// as the engine can.
    #[error("the store is read-only since a write failed")]
    ReadOnly {
        /// What failed first.
        #[source]
        source: Box<StoreError>,
    },
    /// The root key opens nothing here.
    #[error("this key does not belong to this store")]
    WrongKey,
    /// Another process has it open.
    #[error("the store is in use by another process")]
    InUse,
    /// [`Store::close`](crate::Store::close) was called.
    #[error("the store is closed")]
    Closed,
    /// A newer program wrote it.
    #[error("the store has format {found}, newer than this program knows")]
    NewerFormat {
        /// The format number found.
        found: u8,
    },
    /// Something stored is not what was written: changed, moved, cut, or its key is gone.
    #[error("damaged {what}")]
    Damaged {
        /// The kind of thing.
        what: &'static str,
    },
    /// More than the store takes in one piece.
    #[error("{what} of {size} is over the limit of {limit}")]
    TooLarge {
        /// The kind of thing.
        what: &'static str,
        /// Its size (bytes, or a number of entries).
        size: usize,
        /// The most it may have.
        limit: usize,
    },
    /// The audit trail is shorter than it is known to have been: cut off, or an older copy was put back.
    #[error("the audit trail has {found} entries where {known} are known: cut off or rolled back")]
    TrailCut {
        /// Entries found.
        found: u64,
        /// Entries that were there.
        known: u64,
    },
    /// The audit trail grew again after it was cut off or an older copy was put back: its signed heads tell of two
    /// trails.
    #[error(
        "signed heads of the audit trail disagree at entry {entry}: it was cut off or rolled back, then grew again"
    )]
    TrailForked {
        /// The number of entries about which they disagree.
        entry: u64,
    },
    /// The audit trail does not verify.
    #[error("the audit trail does not verify")]
    Trail(#[from] keys::AuditError),
    /// A file or folder of the home cannot be reached.
    #[error("cannot {action} {}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// On which path.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: Arc<io::Error>,
    },
    /// The storage engine failed.
    #[error("the storage engine failed to {action}: {detail}")]
    Engine {
        /// What was tried.
        action: &'static str,
        /// What it said; never a stored value, for it knows only sealed ones.
        detail: String,
    },
}

impl StoreError {
    /// For `map_err` after a file operation; a full disk gets its own variant.
    pub(crate) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_path_buf();
        move |source| {
            if is_full(&source) {
                Self::DiskFull
            } else {
                Self::Io { action, path, source: Arc::new(source) }
            }
        }
    }

    /// What later writers are told after this failure.
    pub(crate) fn as_read_only(&self) -> Self {
        match self {
            Self::DiskFull => Self::DiskFull,
            other => Self::ReadOnly { source: Box::new(other.clone()) },
        }
    }
}

/// Whether the system refused for want of space.
pub(crate) fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}
