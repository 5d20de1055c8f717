//! Ballast: space set aside so that a store on a full disk can still be opened, since opening writes a little.

use std::fs;
use std::path::Path;

use getrandom::SysRng;
use rand_core::{Rng, UnwrapErr};

use crate::StoreError;
use crate::files;

const NAME: &str = "ballast";
/// More than the engine writes to open a store of 100,000 records.
const BALLAST_BYTES: usize = 4 << 20;

/// Makes sure that there is ballast in `home`. Random bytes, because a file system may keep zeros for nothing.
pub(crate) fn keep(home: &Path) -> Result<(), StoreError> {
    if home.join(NAME).exists() {
        return Ok(());
    }
    let mut bytes = vec![0; BALLAST_BYTES];
    UnwrapErr(SysRng).fill_bytes(&mut bytes);
    files::replace_all(home, &[(NAME.to_owned(), bytes)])
}

/// Gives the space free; false when there is no ballast.
pub(crate) fn release(home: &Path) -> bool {
    fs::remove_file(home.join(NAME)).is_ok()
}
