//! Where training stands after an epoch, as bytes: it goes on from there as if it had never stopped. Chance needs
//! no state, since each epoch of each member has a stream of its own.
//!
//! ```text
//! magic ─ SHA-256 of what follows ─ length, TOML: seed, data, curve ─ for each member: length, weights ─ length, optimiser
//! ```

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::{XrayEpoch, XrayTrainError};

const MAGIC: &[u8; 8] = b"mcxray01";
const HASH: usize = 32;

/// The part that people can read.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Head {
    pub(crate) seed: u64,
    /// SHA-256 of images, labels and recipe, in hexadecimal: another data set is another training.
    pub(crate) data: String,
    pub(crate) curve: Vec<XrayEpoch>,
}

/// Weights and state of the optimiser of a member, both in burn's own format.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Kept {
    pub(crate) weights: Vec<u8>,
    pub(crate) optimiser: Vec<u8>,
}

pub(crate) fn write(head: &Head, members: &[Kept]) -> Result<Vec<u8>, XrayTrainError> {
    let head = toml::to_string(head).map_err(|_| XrayTrainError::Weights)?;
    let mut body = Vec::new();
    let parts = members.iter().flat_map(|kept| [kept.weights.as_slice(), kept.optimiser.as_slice()]);
    for part in std::iter::once(head.as_bytes()).chain(parts) {
        body.extend((part.len() as u64).to_le_bytes());
        body.extend(part);
    }
    let mut bytes = MAGIC.to_vec();
    bytes.extend(Sha256::digest(&body));
    bytes.extend(body);
    Ok(bytes)
}

pub(crate) fn read(bytes: &[u8]) -> Result<(Head, Vec<Kept>), XrayTrainError> {
    let damaged = || XrayTrainError::Checkpoint;
    let rest = bytes.strip_prefix(MAGIC).ok_or_else(damaged)?;
    let (hash, body) = rest.split_at_checked(HASH).ok_or_else(damaged)?;
    if Sha256::digest(body).as_slice() != hash {
        return Err(damaged());
    }
    let mut parts = Vec::new();
    let mut rest = body;
    while !rest.is_empty() {
        let (length, after) = rest.split_first_chunk::<8>().ok_or_else(damaged)?;
        let length = usize::try_from(u64::from_le_bytes(*length)).map_err(|_| damaged())?;
        let (part, after) = after.split_at_checked(length).ok_or_else(damaged)?;
        parts.push(part);
        rest = after;
    }
    let (head, members) = parts.split_first().ok_or_else(damaged)?;
    let head =
        std::str::from_utf8(head).ok().and_then(|text| toml::from_str(text).ok()).ok_or_else(damaged)?;
    let (pairs, left) = members.as_chunks::<2>();
    if !left.is_empty() {
        return Err(damaged());
    }
    let kept =
        |[weights, optimiser]: &[&[u8]; 2]| Kept { weights: weights.to_vec(), optimiser: optimiser.to_vec() };
    Ok((head, pairs.iter().map(kept).collect()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_checkpoint_round_trips_and_a_damaged_one_is_refused() {
        let epoch = XrayEpoch { epoch: 1, epochs: 9, train_loss: 0.5, validation_loss: 0.25 };
        let head = Head { seed: 7, data: "ab".to_owned(), curve: vec![epoch] };
        let members = [Kept { weights: vec![1, 2, 3], optimiser: vec![] }];
        let bytes = write(&head, &members).unwrap();
        let (again, kept) = read(&bytes).unwrap();
        assert_eq!(again, head);
        assert!(kept == members);
        for at in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[at] ^= 1;
            assert!(read(&changed).is_err(), "byte {at}");
            assert!(read(&bytes[..at]).is_err(), "cut at {at}");
        }
    }
}
