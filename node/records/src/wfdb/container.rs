//! The original files of a recording in one blob, byte for byte.

use serde::{Deserialize, Serialize};

use super::{Record, WfdbError, read};

/// MIME type of the container.
pub const CONTENT_TYPE: &str = "application/vnd.metaclinic.wfdb+cbor";
const VERSION: u8 = 1;
/// The most bytes of a container.
pub(crate) const MAX_CONTAINER_BYTES: usize = 512 << 20;
/// The most files of a container: a header, one file for each signal, annotations.
const MAX_FILES: usize = super::MAX_SIGNALS + 8;

#[derive(Serialize)]
struct Written<'a> {
    version: u8,
    files: Vec<WrittenFile<'a>>,
}

#[derive(Serialize)]
struct WrittenFile<'a> {
    name: &'a str,
    #[serde(with = "serde_bytes")]
    bytes: &'a [u8],
}

#[derive(Deserialize)]
struct Container {
    version: u8,
    files: Vec<File>,
}

#[derive(Deserialize)]
struct File {
    name: String,
    #[serde(with = "serde_bytes")]
    bytes: Vec<u8>,
}

/// CBOR of the named files; the header comes first.
pub fn container(files: &[(String, Vec<u8>)]) -> Vec<u8> {
    let files = files.iter().map(|(name, bytes)| WrittenFile { name, bytes }).collect();
    keys::codec::encode(&Written { version: VERSION, files })
}

/// The named files in a container, the header first.
///
/// # Errors
/// [`WfdbError::Container`] when the bytes are something else.
pub fn container_files(bytes: &[u8]) -> Result<Vec<(String, Vec<u8>)>, WfdbError> {
    let container: Container = keys::codec::decode("recording container", bytes, MAX_CONTAINER_BYTES)
        .map_err(|_| WfdbError::Container)?;
    if container.version != VERSION || container.files.len() > MAX_FILES {
        return Err(WfdbError::Container);
    }
    Ok(container.files.into_iter().map(|file| (file.name, file.bytes)).collect())
}

/// Reads the record in a container.
///
/// # Errors
/// [`WfdbError::Container`] when the bytes are something else, otherwise as [`read`].
pub fn from_container(bytes: &[u8]) -> Result<Record, WfdbError> {
    let mut files = container_files(bytes)?;
    let header = files.iter().position(|(name, _)| name.ends_with(".hea")).ok_or(WfdbError::Container)?;
    let (name, header) = files.swap_remove(header);
    read(&name, &header, &mut |name| {
        let (_, bytes) = files.iter_mut().find(|(file, _)| file == name)?;
        Some(std::mem::take(bytes))
    })
}
