//! Small files that a crash leaves either old or new: temporary file, sync, rename, sync of the folder.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

use crate::StoreError;

/// Ending of a file that is being written.
const TEMPORARY: &str = "new";

/// Makes `folder`, readable by its owner only, and makes its existence durable.
pub(crate) fn create_folder(folder: &Path) -> Result<(), StoreError> {
    DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(StoreError::io("create", folder))?;
    folder.parent().map_or(Ok(()), sync_folder)
}

/// Removes what a crash left half written in `folder`: it may hold keys that are destroyed elsewhere.
pub(crate) fn clear_temporaries(folder: &Path) -> Result<(), StoreError> {
    let entries = fs::read_dir(folder).map_err(StoreError::io("list", folder))?;
    for path in entries.flatten().map(|entry| entry.path()) {
        if path.extension().is_some_and(|extension| extension == TEMPORARY) {
            fs::remove_file(&path).map_err(StoreError::io("remove", &path))?;
        }
    }
    Ok(())
}

/// Replaces several files of one folder. Each is old or new after a crash; all are new once this returns.
/// All are written before the first is synced, so that the file system can commit them together.
pub(crate) fn replace_all(folder: &Path, files: &[(String, Vec<u8>)]) -> Result<(), StoreError> {
    try_replace_all(folder, files).inspect_err(|_| {
        // Half-written files would take space where there may be none; clearing them is tried again on opening.
        for (name, _) in files {
            let _ = fs::remove_file(folder.join(name).with_extension(TEMPORARY));
        }
    })
}

fn try_replace_all(folder: &Path, files: &[(String, Vec<u8>)]) -> Result<(), StoreError> {
    let mut written = Vec::with_capacity(files.len());
    for (name, bytes) in files {
        let path = folder.join(name);
        let temporary = path.with_extension(TEMPORARY);
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(true).mode(0o600);
        let mut file = options.open(&temporary).map_err(StoreError::io("create", &temporary))?;
        file.write_all(bytes).map_err(StoreError::io("write", &temporary))?;
        written.push((file, temporary, path));
    }
    for (file, temporary, _) in &written {
        file.sync_all().map_err(StoreError::io("sync", temporary))?;
    }
    for (_, temporary, path) in &written {
        fs::rename(temporary, path).map_err(StoreError::io("replace", path))?;
    }
    if written.is_empty() { Ok(()) } else { sync_folder(folder) }
}

/// Makes the content of the file `path` durable; nothing happens when it is gone.
pub(crate) fn sync_file(path: &Path) -> Result<(), StoreError> {
    match File::open(path).and_then(|file| file.sync_all()) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(StoreError::io("sync", path)(e)),
        _ => Ok(()),
    }
}

/// The whole file, `None` when there is none.
pub(crate) fn read(path: &Path, limit: u64) -> Result<Option<Vec<u8>>, StoreError> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(StoreError::io("open", path)(e)),
    };
    let mut bytes = Vec::new();
    file.take(limit + 1).read_to_end(&mut bytes).map_err(StoreError::io("read", path))?;
    if bytes.len() as u64 > limit {
        return Err(StoreError::Damaged { what: "file of the home: it is too long" });
    }
    Ok(Some(bytes))
}

/// Makes the names in `folder` durable.
pub(crate) fn sync_folder(folder: &Path) -> Result<(), StoreError> {
    File::open(folder).and_then(|f| f.sync_all()).map_err(StoreError::io("sync", folder))
}
