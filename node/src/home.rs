//! The home: one folder that holds everything a node keeps, with its lock.
//!
//! ```text
//! config.toml   keyring.age   keys/   store/   blobs/   audit/   run/{lock,api.sock,token}
//! ```

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// A home cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum HomeError {
    /// There is no home in this folder.
    #[error("no home in {}", .0.display())]
    Missing(PathBuf),
    /// There is one already.
    #[error("{} already holds a home", .0.display())]
    Exists(PathBuf),
    /// The folder holds something else.
    #[error("{} is not empty", .0.display())]
    NotEmpty(PathBuf),
    /// Another process has it open.
    #[error("{} is in use by another metaclinic process", .0.display())]
    InUse(PathBuf),
    /// A file or folder of it cannot be reached.
    #[error("cannot {action} {}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// On which path.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// Paths of a home. Nothing is opened by making one.
#[derive(Clone, Debug)]
pub(crate) struct Home {
    root: PathBuf,
}

/// Held while a process has the home open; the operating system releases it however the process ends.
#[derive(Debug)]
pub(crate) struct HomeLock {
    _file: File,
}

impl Home {
    /// The home in `root`, which need not exist yet.
    pub(crate) fn at(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// Where the platform keeps such data when nobody says otherwise.
    pub(crate) fn default_root() -> Option<PathBuf> {
        let set = |name: &str| std::env::var_os(name).filter(|v| !v.is_empty()).map(PathBuf::from);
        set("XDG_DATA_HOME")
            .or_else(|| set("HOME").map(|h| h.join(".local/share")))
            .map(|d| d.join("metaclinic"))
    }

    /// Makes the folders of a new home.
    ///
    /// # Errors
    /// [`HomeError::Exists`] when it holds a keyring already, [`HomeError::Io`] when a folder cannot be made.
    pub(crate) fn create(&self) -> Result<(), HomeError> {
        if self.is_made()? {
            return Err(HomeError::Exists(self.root.clone()));
        }
        self.refuse_foreign_folder()?;
        for folder in [self.root.clone(), self.run_dir()] {
            DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(&folder)
                .map_err(|source| HomeError::Io { action: "create", path: folder.clone(), source })?;
            fs::set_permissions(&folder, Permissions::from_mode(0o700)).map_err(|source| HomeError::Io {
                action: "protect",
                path: folder.clone(),
                source,
            })?;
        }
        Ok(())
    }

    /// Whether a home is here. One that belongs to somebody else is not one that is missing.
    ///
    /// # Errors
    /// [`HomeError::Io`] when that cannot be seen.
    pub(crate) fn is_made(&self) -> Result<bool, HomeError> {
        let seen = self.keyring().try_exists();
        seen.map_err(|source| HomeError::Io { action: "look into", path: self.root.clone(), source })
    }

    /// A folder with other things in it is not taken over: its mode would change and keys would lie among them.
    fn refuse_foreign_folder(&self) -> Result<(), HomeError> {
        let entries = match fs::read_dir(&self.root) {
            Ok(entries) => entries,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(source) => {
                return Err(HomeError::Io { action: "look into", path: self.root.clone(), source });
            }
        };
        // What an `init` that was interrupted may have left.
        let own = ["run", "config.toml", "config.new", "keyring.new"];
        let foreign = entries.flatten().any(|e| !own.iter().any(|name| e.file_name() == *name));
        if foreign { Err(HomeError::NotEmpty(self.root.clone())) } else { Ok(()) }
    }

    /// Takes the lock of a home that exists.
    ///
    /// # Errors
    /// [`HomeError::InUse`] when another process holds it, [`HomeError::Missing`] when there is no home.
    pub(crate) fn lock(&self) -> Result<HomeLock, HomeError> {
        if !self.is_made()? {
            return Err(HomeError::Missing(self.root.clone()));
        }
        self.lock_new()
    }

    /// Takes the lock of a home that is being made.
    ///
    /// # Errors
    /// [`HomeError::InUse`] when another process holds it.
    pub(crate) fn lock_new(&self) -> Result<HomeLock, HomeError> {
        let path = self.run_dir().join("lock");
        let io = |source| HomeError::Io { action: "open", path: path.clone(), source };
        fs::create_dir_all(self.run_dir()).map_err(io)?;
        let file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&path)
            .map_err(io)?;
        match file.try_lock() {
            Ok(()) => Ok(HomeLock { _file: file }),
            Err(fs::TryLockError::WouldBlock) => Err(HomeError::InUse(self.root.clone())),
            Err(fs::TryLockError::Error(source)) => Err(io(source)),
        }
    }

    /// The folder itself.
    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// `config.toml`.
    pub(crate) fn config(&self) -> PathBuf {
        self.root.join("config.toml")
    }

    /// `keyring.age`: identity and device keys, sealed by the passphrase.
    pub(crate) fn keyring(&self) -> PathBuf {
        self.root.join("keyring.age")
    }

    /// `blobs/`: sealed attachments.
    pub(crate) fn blobs(&self) -> PathBuf {
        self.root.join("blobs")
    }

    /// `run/`: what lives only while a daemon runs.
    pub(crate) fn run_dir(&self) -> PathBuf {
        self.root.join("run")
    }

    /// `run/api.sock`: the local API for this user's own processes.
    pub(crate) fn socket(&self) -> PathBuf {
        self.run_dir().join("api.sock")
    }

    /// `run/token`: the bearer token of the loopback HTTP listener.
    pub(crate) fn token(&self) -> PathBuf {
        self.run_dir().join("token")
    }
}

/// Writes a file so that a crash leaves the old or the new one: temporary file, sync, rename, sync of the folder.
///
/// # Errors
/// [`HomeError::Io`] naming the step that failed.
pub(crate) fn write_private(path: &Path, bytes: &[u8]) -> Result<(), HomeError> {
    let temporary = path.with_extension("new");
    let io = |action| move |source| HomeError::Io { action, path: path.to_path_buf(), source };
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&temporary)
        .map_err(io("create"))?;
    file.write_all(bytes).and_then(|()| file.sync_all()).map_err(io("write"))?;
    fs::rename(&temporary, path).map_err(io("replace"))?;
    if let Some(folder) = path.parent() {
        File::open(folder).and_then(|f| f.sync_all()).map_err(io("sync the folder of"))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_lock_is_refused_until_the_first_is_gone() {
        let dir = tempfile::tempdir().expect("temporary folder");
        let home = Home::at(dir.path().join("clinic"));
        assert!(matches!(home.lock(), Err(HomeError::Missing(_))));
        home.create().expect("created");
        write_private(&home.keyring(), b"sealed").expect("written");
        assert!(matches!(home.create(), Err(HomeError::Exists(_))));
        let first = home.lock().expect("locked");
        assert!(matches!(home.lock(), Err(HomeError::InUse(_))));
        drop(first);
        home.lock().expect("free again");
    }

    #[test]
    fn files_are_for_their_owner_only() {
        let dir = tempfile::tempdir().expect("temporary folder");
        let home = Home::at(dir.path().join("clinic"));
        home.create().expect("created");
        write_private(&home.keyring(), b"sealed").expect("written");
        let mode = |p: &Path| fs::metadata(p).expect("exists").permissions().mode() & 0o777;
        assert_eq!(mode(home.root()), 0o700);
        assert_eq!(mode(&home.keyring()), 0o600);
    }
}
