//! gzip and xz, with a bound on what they may grow to.

use std::io::Read;

/// The most bytes one file may unpack to.
const MAX_UNPACKED_BYTES: u64 = 1 << 30;
/// A small file may always unpack to this much.
const ALWAYS_ALLOWED_BYTES: u64 = 64 << 20;
/// Beyond that, the most an input may grow: JSON and signals stay below 60, bombs reach 1,000 and more.
const MAX_GROWTH: u64 = 200;

const GZIP_MAGIC: &[u8] = &[0x1f, 0x8b];
const XZ_MAGIC: &[u8] = &[0xfd, b'7', b'z', b'X', b'Z', 0];
const XZ_HEADER_BYTES: usize = 12;
const XZ_FOOTER_BYTES: usize = 12;

/// Why a compressed file was not unpacked.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[non_exhaustive]
pub(crate) enum UnpackError {
    #[error("the file has or would unpack to more bytes than are allowed")]
    TooLarge,
    #[error("the gzip file is damaged")]
    Gzip,
    #[error("the xz file is damaged or uses a filter that is not supported")]
    Xz,
}

/// The content of a gzip or xz file; other bytes as they are, if they are not too many.
pub(crate) fn unpack(bytes: Vec<u8>) -> Result<Vec<u8>, UnpackError> {
    if bytes.starts_with(GZIP_MAGIC) {
        gunzip(&bytes)
    } else if bytes.starts_with(XZ_MAGIC) {
        unxz(&bytes)
    } else if bytes.len() as u64 > MAX_UNPACKED_BYTES {
        Err(UnpackError::TooLarge)
    } else {
        Ok(bytes)
    }
}

/// The name without `.gz` or `.xz`.
pub(crate) fn plain_name(name: &str) -> &str {
    let packed = [".gz", ".xz", ".GZ", ".XZ"];
    packed.iter().find_map(|ending| name.strip_suffix(ending)).unwrap_or(name)
}

fn limit(packed: usize) -> u64 {
    (packed as u64).saturating_mul(MAX_GROWTH).clamp(ALWAYS_ALLOWED_BYTES, MAX_UNPACKED_BYTES)
}

fn gunzip(packed: &[u8]) -> Result<Vec<u8>, UnpackError> {
    let limit = limit(packed.len());
    let mut bytes = Vec::new();
    let mut reader = flate2::bufread::MultiGzDecoder::new(packed).take(limit + 1);
    reader.read_to_end(&mut bytes).map_err(|_| UnpackError::Gzip)?;
    if bytes.len() as u64 > limit { Err(UnpackError::TooLarge) } else { Ok(bytes) }
}

fn unxz(packed: &[u8]) -> Result<Vec<u8>, UnpackError> {
    // The decoder collects a whole block before it hands out a byte, so the sizes are added up beforehand.
    let size = xz_unpacked_bytes(packed).ok_or(UnpackError::Xz)?;
    if size > limit(packed.len()) {
        return Err(UnpackError::TooLarge);
    }
    let mut bytes = Vec::new();
    lzma_rs::xz_decompress(&mut &packed[..], &mut bytes).map_err(|_| UnpackError::Xz)?;
    Ok(bytes)
}

/// Walks over the blocks of an xz file and the LZMA2 chunks in them, each of which tells its size, without
/// decoding anything (The .xz File Format 1.2.1, clauses 2 to 4). Also turns away what the decoder would
/// not check: more than one filter, and a backward size that overflows.
fn xz_unpacked_bytes(packed: &[u8]) -> Option<u64> {
    let body = packed.len().checked_sub(XZ_FOOTER_BYTES)?;
    let backward = packed.get(body + 4..body + 8)?;
    if u32::from_le_bytes(backward.try_into().ok()?) >= u32::MAX >> 2 {
        return None;
    }
    let check_bytes = match packed.get(7)? & 0x0f {
        0 => 0,
        1 => 4,
        4 => 8,
        _ => return None,
    };
    let (mut at, mut total) = (XZ_HEADER_BYTES, 0_u64);
    loop {
        let header = usize::from(*packed.get(at)?);
        if header == 0 {
            return Some(total);
        }
        let filters = (packed.get(at + 1)? & 3) + 1;
        if filters != 1 {
            return None;
        }
        let start = at;
        at += (header + 1) * 4;
        loop {
            let control = *packed.get(at)?;
            let word = |at: usize| Some(u64::from(*packed.get(at)?) << 8 | u64::from(*packed.get(at + 1)?));
            match control {
                0 => break,
                1 | 2 => {
                    let size = word(at + 1)? + 1;
                    total += size;
                    at += 3 + usize::try_from(size).ok()?;
                }
                3..0x80 => return None,
                0x80.. => {
                    total += (u64::from(control & 0x1f) << 16 | word(at + 1)?) + 1;
                    let properties = usize::from(control >= 0xc0);
                    at += 5 + properties + usize::try_from(word(at + 3)?).ok()? + 1;
                }
            }
        }
        at += 1;
        at += (4 - (at - start) % 4) % 4 + check_bytes;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        use std::io::Write;
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn xz(bytes: &[u8]) -> Vec<u8> {
        let mut packed = Vec::new();
        lzma_rs::xz_compress(&mut &bytes[..], &mut packed).unwrap();
        packed
    }

    #[test]
    fn packed_bytes_come_back() {
        let bytes: Vec<u8> = (0..100_000_u32).flat_map(u32::to_le_bytes).collect();
        assert_eq!(unpack(gzip(&bytes)), Ok(bytes.clone()));
        assert_eq!(unpack(xz(&bytes)), Ok(bytes.clone()));
        assert_eq!(xz_unpacked_bytes(&xz(&bytes)), Some(bytes.len() as u64));
        assert_eq!(unpack(bytes.clone()), Ok(bytes));
    }

    #[test]
    fn a_bomb_stops_at_the_limit() {
        let zeros = vec![0; usize::try_from(ALWAYS_ALLOWED_BYTES).unwrap() + 1];
        assert_eq!(unpack(gzip(&zeros)), Err(UnpackError::TooLarge));
        assert!(unpack(gzip(&zeros[1..])).is_ok());
    }

    #[test]
    fn damaged_files_are_errors() {
        for packed in [gzip(b"some text"), xz(b"some text")] {
            for end in 2..packed.len() {
                if packed[..end].starts_with(XZ_MAGIC) || packed.starts_with(GZIP_MAGIC) {
                    assert!(unpack(packed[..end].to_vec()).is_err(), "cut at {end}");
                }
            }
            for at in 6..packed.len() {
                let mut damaged = packed.clone();
                damaged[at] ^= 0x55;
                let _ = unpack(damaged);
            }
        }
    }

    #[test]
    fn a_claimed_gigabyte_is_refused_before_decoding() {
        // A block of chunks that each claim two megabytes and hold one byte.
        let mut packed = Vec::from(XZ_MAGIC);
        packed.extend([0, 4, 0, 0, 0, 0]);
        packed.extend([2, 0, 0x21, 1, 0x16, 0, 0, 0, 0, 0, 0, 0]);
        for _ in 0..600 {
            packed.extend([0xff, 0xff, 0xff, 0, 0, 0x5d, 0]);
        }
        packed.extend([0; 32]);
        assert_eq!(unpack(packed), Err(UnpackError::TooLarge));
    }
}
