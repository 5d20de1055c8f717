//! Still pictures as grey values: PNG, JPEG, and the first frame of a DICOM file. Bytes in, numbers out; of what a
//! DICOM file says, only the kind of examination is passed on, never a person.

mod dicom;
mod photo;

use std::fmt;
use std::panic::AssertUnwindSafe;

/// The largest file that is read: a mammogram of 16 bits, uncompressed, with room.
pub const MAX_FILE_BYTES: usize = 256 << 20;
/// The most pixels: the largest flat-panel detectors have 15 million.
pub const MAX_PIXELS: u64 = 64 << 20;
/// Red, green and blue that differ by more than this of the full range are a colour that can be seen; scanners and
/// compression tint grey by less.
const VISIBLE_TINT: f32 = 0.1;
/// A picture is in colour when more of its pixels are; a small coloured label is not enough.
const COLOURED_SHARE: f64 = 0.01;

/// What a picture was stored as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SourceFormat {
    /// Portable Network Graphics.
    Png,
    /// JPEG, as cameras and web pages have it.
    Jpeg,
    /// DICOM.
    Dicom,
}

impl fmt::Display for SourceFormat {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            SourceFormat::Png => "PNG",
            SourceFormat::Jpeg => "JPEG",
            SourceFormat::Dicom => "DICOM",
        })
    }
}

/// A picture.
#[derive(Clone, PartialEq)]
pub struct ImageRead {
    /// Columns.
    pub width: usize,
    /// Rows.
    pub height: usize,
    /// From 0, dark, to 1, bright, row by row; inverted already where the file stores negatives.
    pub luminance: Vec<f32>,
    /// Whether it has colours that can be seen.
    pub colour: bool,
    /// How many frames the file has; only the first was read.
    pub frames: u32,
    /// DICOM modality (0008,0060), as far as said.
    pub modality: Option<String>,
    /// DICOM body part examined (0018,0015).
    pub body_part: Option<String>,
    /// DICOM view position (0018,5101).
    pub view: Option<String>,
    /// What it was stored as.
    pub format: SourceFormat,
}

impl fmt::Debug for ImageRead {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "ImageRead({} × {}, {})", self.width, self.height, self.format)
    }
}

/// Why a picture cannot be read. Holds no content of the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ImageError {
    /// Not one of the three formats.
    #[error("the file is neither PNG nor JPEG nor DICOM with its preamble")]
    Unknown,
    /// Larger than is read.
    #[error("the file has more than {} MiB", MAX_FILE_BYTES >> 20)]
    FileTooLarge,
    /// More pixels than are read, or none.
    #[error("the picture has no pixels, or more than {MAX_PIXELS}")]
    Size,
    /// A DICOM file of something else.
    #[error("the DICOM file holds no picture")]
    NoPicture,
    /// Something that the standard allows and this reader does not know.
    #[error("{0} is not supported")]
    Unsupported(&'static str),
    /// Damaged or cut off.
    #[error("the {0} file is malformed or cut off")]
    Malformed(SourceFormat),
}

/// Reads a picture; which format it is, its first bytes say.
///
/// # Errors
/// [`ImageError`] for everything that is malformed, too large or not supported; decoders that fail in any other way
/// are caught.
pub fn read(bytes: &[u8]) -> Result<ImageRead, ImageError> {
    if bytes.len() > MAX_FILE_BYTES {
        return Err(ImageError::FileTooLarge);
    }
    let format = format_of(bytes).ok_or(ImageError::Unknown)?;
    // Decoders are others' code: one that panics on a hostile file must not end the program.
    let read = std::panic::catch_unwind(AssertUnwindSafe(|| match format {
        SourceFormat::Png | SourceFormat::Jpeg => photo::read(bytes, format),
        SourceFormat::Dicom => dicom::read(bytes),
    }));
    read.unwrap_or(Err(ImageError::Malformed(format)))
}

fn format_of(bytes: &[u8]) -> Option<SourceFormat> {
    if bytes.starts_with(b"\x89PNG\r\n\x1a\n") {
        Some(SourceFormat::Png)
    } else if bytes.starts_with(&[0xff, 0xd8, 0xff]) {
        Some(SourceFormat::Jpeg)
    } else if bytes.get(128..132) == Some(b"DICM") {
        Some(SourceFormat::Dicom)
    } else {
        None
    }
}

/// Whether so many pixels are read.
fn check_size(width: u64, height: u64) -> Result<(), ImageError> {
    let count = width.checked_mul(height).ok_or(ImageError::Size)?;
    if (1..=MAX_PIXELS).contains(&count) { Ok(()) } else { Err(ImageError::Size) }
}

/// Grey values from colours, and whether colours can be seen.
struct Greys {
    luminance: Vec<f32>,
    coloured: usize,
}

impl Greys {
    fn with_capacity(count: usize) -> Greys {
        Greys { luminance: Vec::with_capacity(count), coloured: 0 }
    }

    fn grey(&mut self, value: f32) {
        self.luminance.push(value.clamp(0.0, 1.0));
    }

    /// Luminance of red, green and blue, each 0 to 1 (ITU-R BT.601).
    fn colour(&mut self, [red, green, blue]: [f32; 3]) {
        self.grey(0.299 * red + 0.587 * green + 0.114 * blue);
        if red.max(green).max(blue) - red.min(green).min(blue) > VISIBLE_TINT {
            self.coloured += 1;
        }
    }

    fn is_coloured(&self) -> bool {
        self.coloured as f64 > COLOURED_SHARE * self.luminance.len() as f64
    }
}

#[cfg(test)]
mod tests;
