//! The stored form of a record and of its search terms.
//!
//! ```text
//! record  version ‖ subject ‖ segment ‖ data key sealed by the segment key ‖ padded payload sealed by the data key
//! terms   version ‖ subject ‖ segment ‖ padded terms sealed by the segment's terms key
//! ```
//!
//! Every seal is bound to what it is, the record's id, subject and segment and the version, so that no stored
//! value opens anywhere but where it was put.

use getrandom::SysRng;
use keys::{DataKey, Pseudonym, RecordId, SEAL_OVERHEAD_BYTES};
use rand_core::UnwrapErr;
use zeroize::Zeroizing;

use crate::size_class::{pad, unpad};
use crate::vault::{Segment, Vault};

const VERSION: u8 = 1;
/// Version, subject and segment number.
const HEADER_BYTES: usize = 1 + 32 + 4;
const WRAPPED_KEY_BYTES: usize = 32 + SEAL_OVERHEAD_BYTES;

/// What a seal is for: part of what it is bound to.
#[derive(Clone, Copy)]
enum Part {
    Key,
    Record,
    Terms,
}

impl Part {
    const fn name(self) -> &'static str {
        match self {
            Self::Key => "key",
            Self::Record => "record",
            Self::Terms => "terms",
        }
    }
}

/// Where a record belongs.
struct Place<'a> {
    id: &'a RecordId,
    subject: Pseudonym,
    segment: u32,
}

impl Place<'_> {
    fn context(&self, part: Part) -> Vec<u8> {
        let mut context = Vec::with_capacity(120);
        context.extend_from_slice(b"metaclinic/store/");
        context.extend_from_slice(part.name().as_bytes());
        context.extend_from_slice(&[b'/', VERSION]);
        context.extend_from_slice(self.id.as_bytes());
        context.extend_from_slice(self.subject.as_bytes());
        context.extend_from_slice(&self.segment.to_be_bytes());
        context
    }

    fn header(&self) -> Vec<u8> {
        let mut header = Vec::with_capacity(HEADER_BYTES);
        header.push(VERSION);
        header.extend_from_slice(self.subject.as_bytes());
        header.extend_from_slice(&self.segment.to_be_bytes());
        header
    }

    /// The place that `stored` names, and the rest of it.
    fn read<'a, 'b>(id: &'a RecordId, stored: &'b [u8]) -> Option<(Place<'a>, &'b [u8])> {
        let (&version, rest) = stored.split_first()?;
        let (subject, rest) = rest.split_first_chunk::<32>()?;
        let (segment, rest) = rest.split_first_chunk::<4>()?;
        let place =
            Place { id, subject: Pseudonym::from_bytes(*subject), segment: u32::from_be_bytes(*segment) };
        (version == VERSION).then_some((place, rest))
    }
}

/// Seals one record in `segment` of `subject`: its stored record and its stored terms.
pub(crate) fn seal(
    segment: &Segment,
    subject: &Pseudonym,
    id: &RecordId,
    payload: &[u8],
    terms: &[u8],
) -> (Vec<u8>, Vec<u8>) {
    let mut rng = UnwrapErr(SysRng);
    let place = Place { id, subject: *subject, segment: segment.id };
    let key = DataKey::generate(&mut rng);
    let mut record = place.header();
    record.extend_from_slice(&segment.key.seal(&mut rng, &place.context(Part::Key), key.expose()));
    record.extend_from_slice(&key.seal(&mut rng, &place.context(Part::Record), &pad(payload)));
    let mut index = place.header();
    index.extend_from_slice(&segment.terms.seal(&mut rng, &place.context(Part::Terms), &pad(terms)));
    (record, index)
}

/// Opens a stored record; `None` when it was changed or moved, or its key is gone.
pub(crate) fn open(vault: &Vault, id: &RecordId, stored: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let (place, rest) = Place::read(id, stored)?;
    let (wrapped, sealed) = rest.split_first_chunk::<WRAPPED_KEY_BYTES>()?;
    let segment = vault.segment(&place.subject, place.segment)?;
    let key = Zeroizing::new(segment.key.open(&place.context(Part::Key), wrapped).ok()?);
    let key = DataKey::from_bytes(key.as_slice().try_into().ok()?);
    let padded = key.open(&place.context(Part::Record), sealed).ok()?;
    unpad(Zeroizing::new(padded))
}

/// Opens stored search terms; `None` as in [`open`].
pub(crate) fn open_terms(vault: &Vault, id: &RecordId, stored: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let (place, sealed) = Place::read(id, stored)?;
    let segment = vault.segment(&place.subject, place.segment)?;
    let padded = segment.terms.open(&place.context(Part::Terms), sealed).ok()?;
    unpad(Zeroizing::new(padded))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stored_value_opens_only_where_it_was_put() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let vault = Vault::open(folder.path(), &DataKey::from_bytes([1; 32])).expect("opens");
        let subject = Pseudonym::from_bytes([2; 32]);
        let (id, other) = (RecordId::from_bytes([3; 32]), RecordId::from_bytes([4; 32]));
        let (record, terms) = seal(&vault.reserve(&subject), &subject, &id, b"payload", b"terms");
        assert_eq!(open(&vault, &id, &record).expect("opens").to_vec(), b"payload");
        assert_eq!(open_terms(&vault, &id, &terms).expect("opens").to_vec(), b"terms");
        assert!(open(&vault, &other, &record).is_none());
        assert!(open_terms(&vault, &id, &record).is_none());
        assert!(open(&vault, &id, &terms).is_none());
        for i in 0..record.len() {
            let mut changed = record.clone();
            changed[i] ^= 1;
            assert!(open(&vault, &id, &changed).is_none(), "byte {i}");
            assert!(open(&vault, &id, &record[..i]).is_none(), "cut at {i}");
        }
    }
}
