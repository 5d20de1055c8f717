//! Size classes: stored lengths tell little about what is stored.
//!
//! Padmé (Nikitin et al., "Reducing Metadata Leakage from Encrypted Files and Communication with PURBs",
//! PoPETs 2019, section 4): at most 12 % longer, O(log log n) bits told. The smallest class is 256 bytes.

use zeroize::Zeroizing;

/// The smallest class, in bytes.
const SMALLEST_CLASS_BYTES: usize = 256;
/// Bytes of the length that stands before the content.
const LENGTH_BYTES: usize = 4;

/// `content` with its length in front and zeros behind, as long as its class.
///
/// Content is below 4 GiB: callers have checked a much smaller limit.
pub(crate) fn pad(content: &[u8]) -> Zeroizing<Vec<u8>> {
    let length = u32::try_from(content.len()).expect("limits were checked before");
    let class = class_of(LENGTH_BYTES + content.len());
    let mut padded = Zeroizing::new(Vec::with_capacity(class));
    padded.extend_from_slice(&length.to_be_bytes());
    padded.extend_from_slice(content);
    padded.resize(class, 0);
    padded
}

/// The content of what [`pad`] made; `None` when it is not padded so.
pub(crate) fn unpad(mut padded: Zeroizing<Vec<u8>>) -> Option<Zeroizing<Vec<u8>>> {
    let (length, rest) = padded.split_first_chunk::<LENGTH_BYTES>()?;
    let length = usize::try_from(u32::from_be_bytes(*length)).ok()?;
    if length > rest.len() {
        return None;
    }
    padded.drain(..LENGTH_BYTES);
    padded.truncate(length);
    Some(padded)
}

fn class_of(bytes: usize) -> usize {
    if bytes <= SMALLEST_CLASS_BYTES {
        return SMALLEST_CLASS_BYTES;
    }
    let exponent = bytes.ilog2();
    let kept_bits = exponent.ilog2() + 1;
    let mask = (1usize << (exponent - kept_bits)) - 1;
    (bytes + mask) & !mask
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn padding_comes_off_again(content in prop::collection::vec(any::<u8>(), 0..5_000)) {
            let padded = pad(&content);
            prop_assert_eq!(padded.len(), class_of(content.len() + LENGTH_BYTES));
            prop_assert_eq!(unpad(padded).expect("unpads").to_vec(), content);
        }

        #[test]
        fn classes_cost_at_most_twelve_percent(bytes in SMALLEST_CLASS_BYTES..100_000_000) {
            let class = class_of(bytes);
            prop_assert!(class >= bytes && (class - bytes) * 100 <= bytes * 12);
            prop_assert_eq!(class_of(class), class);
        }
    }

    #[test]
    fn hostile_padding_is_refused() {
        assert!(unpad(Zeroizing::new(vec![0, 0, 0])).is_none());
        assert!(unpad(Zeroizing::new(vec![0xff, 0xff, 0xff, 0xff, 1])).is_none());
        assert_eq!(unpad(Zeroizing::new(vec![0, 0, 0, 1, 9, 0])).expect("unpads").to_vec(), [9]);
    }

    #[test]
    fn there_are_few_classes() {
        let classes: std::collections::BTreeSet<usize> = (1..65_536).map(class_of).collect();
        assert!(classes.len() < 140, "{}", classes.len());
    }
}
