//! What a DICOM file claims, held against what it has, before anything of it is read into memory: a value cannot be
//! longer than the rest of the file, and sequences do not lie in each other without end.

use std::io::Cursor;

use dicom_parser::StatefulDecode;
use dicom_parser::dataset::LazyDataToken;
use dicom_parser::dataset::lazy_read::LazyDataSetReader;
use dicom_transfer_syntax_registry::{TransferSyntaxIndex, TransferSyntaxRegistry};

use super::MALFORMED;
use crate::image::ImageError;

/// Sequences within sequences; enhanced multi-frame headers have four or five levels.
const MAX_DEPTH: usize = 16;
/// Elements, items and ends of either: far above what a header of a thousand frames has.
const MAX_TOKENS: usize = 2_000_000;
/// Where the meta group starts: after 128 bytes of preamble and "DICM" (PS3.10 7.1).
const META_START: usize = 132;
/// The whole data set is deflated: it cannot be bounded without inflating it.
const DEFLATED: &str = "1.2.840.10008.1.2.1.99";

/// Walks the whole file without keeping anything.
pub(super) fn check(bytes: &[u8]) -> Result<(), ImageError> {
    let (syntax, start) = meta(bytes).ok_or(MALFORMED)?;
    if syntax == DEFLATED {
        return Err(ImageError::Unsupported("a deflated DICOM file"));
    }
    let syntax =
        TransferSyntaxRegistry.get(&syntax).ok_or(ImageError::Unsupported("this transfer syntax"))?;
    let mut source = Cursor::new(bytes);
    source.set_position(start as u64);
    let mut reader = LazyDataSetReader::new_with_ts(source, syntax).map_err(|_| MALFORMED)?;
    let mut depth = 0usize;
    for _ in 0..MAX_TOKENS {
        let Some(token) = reader.advance() else { return Ok(()) };
        let token = token.map_err(|_| MALFORMED)?;
        match &token {
            LazyDataToken::SequenceStart { .. } | LazyDataToken::PixelSequenceStart => depth += 1,
            LazyDataToken::SequenceEnd => depth = depth.saturating_sub(1),
            LazyDataToken::LazyValue { header, decoder } => {
                within(header.len.get(), decoder.position(), bytes.len())?;
            }
            LazyDataToken::LazyItemValue { len, decoder } => {
                within(Some(*len), decoder.position(), bytes.len())?;
            }
            _ => {}
        }
        if depth > MAX_DEPTH {
            return Err(MALFORMED);
        }
        token.skip().map_err(|_| MALFORMED)?;
    }
    Err(MALFORMED)
}

fn within(length: Option<u32>, position: u64, total: usize) -> Result<(), ImageError> {
    let end = position.saturating_add(u64::from(length.ok_or(MALFORMED)?));
    if end <= total as u64 { Ok(()) } else { Err(MALFORMED) }
}

/// The transfer syntax, and where the data set starts (PS3.10 7.1; the meta group is always explicit, little endian).
fn meta(bytes: &[u8]) -> Option<(String, usize)> {
    /// Value representations whose length has 32 bits (PS3.5 7.1.2).
    const LONG: [&[u8]; 13] =
        [b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"SV", b"UC", b"UN", b"UR", b"UT", b"UV"];
    let mut at = META_START;
    let mut syntax = None;
    // The group ends where another begins; its stated length must end there too, or its reader would go on.
    let stated = match bytes.get(at..at + 8)? {
        [2, 0, 0, 0, b'U', b'L', 4, 0] => {
            let length = u32::from_le_bytes(bytes.get(at + 8..at + 12)?.try_into().ok()?);
            at + 12 + usize::try_from(length).ok()?
        }
        _ => return None,
    };
    while at < stated {
        let header = bytes.get(at..at + 8)?;
        if header[..2] != [2, 0] {
            return None;
        }
        let (length, start) = if LONG.contains(&&header[4..6]) {
            (u32::from_le_bytes(bytes.get(at + 8..at + 12)?.try_into().ok()?) as usize, at + 12)
        } else {
            (usize::from(u16::from_le_bytes([header[6], header[7]])), at + 8)
        };
        let value = bytes.get(start..start.checked_add(length)?)?;
        if header[2..4] == [0x10, 0] {
            syntax = Some(std::str::from_utf8(value).ok()?.trim_end_matches(['\0', ' ']).to_owned());
        }
        at = start + length;
    }
    Some((syntax?, at))
}
