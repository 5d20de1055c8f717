//! Ballast: space set aside so that a store on a full disk can still be opened, since opening writes a little. Some is
//! left for the start after that, and all of it is made again once there is space.

use std::fs;
use std::path::Path;

use getrandom::SysRng;
use rand_core::{Rng, UnwrapErr};

use crate::StoreError;
use crate::files;

const NAME: &str = "ballast";
/// Half of it, which the first start on a full disk gives free, is more than the engine writes to open a store of
/// 100,000 records.
const BALLAST_BYTES: usize = 8 << 20;

/// What is left of it is given free as a whole when it is smaller than this.
const LEAST_BYTES: u64 = 256 << 10;

/// Makes sure that there is ballast in `home`. Random bytes, because a file system may keep zeros for nothing.
pub(crate) fn keep(home: &Path) -> Result<(), StoreError> {
    if fs::metadata(home.join(NAME)).is_ok_and(|held| held.len() >= BALLAST_BYTES as u64) {
        return Ok(());
    }
    let mut bytes = vec![0; BALLAST_BYTES];
    UnwrapErr(SysRng).fill_bytes(&mut bytes);
    files::replace_all(home, &[(NAME.to_owned(), bytes)])
}

/// Gives half of what is left free, so that a start on a disk that is still full finds some as well; false when there
/// is nothing left.
pub(crate) fn release(home: &Path) -> bool {
    let path = home.join(NAME);
    let held = fs::metadata(&path).map_or(0, |held| held.len());
    if held < LEAST_BYTES {
        return fs::remove_file(path).is_ok();
    }
    fs::OpenOptions::new().write(true).open(path).and_then(|file| file.set_len(held / 2)).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_release_gives_half_of_the_rest_and_what_is_missing_is_made_again() {
        let home = tempfile::tempdir().expect("a folder");
        let held = || fs::metadata(home.path().join(NAME)).map_or(0, |held| held.len());
        keep(home.path()).expect("kept");
        for left in [4 << 20, 2 << 20, 1 << 20, 512 << 10, 256 << 10, 128 << 10, 0] {
            assert!(release(home.path()));
            assert_eq!(held(), left);
        }
        assert!(!release(home.path()), "there is none left");
        keep(home.path()).expect("kept again");
        assert!(release(home.path()));
        keep(home.path()).expect("topped up");
        assert_eq!(held(), BALLAST_BYTES as u64);
    }
}
