//! The samples of the first frame, whatever they are packed in.

use std::borrow::Cow;

use dicom_object::{DefaultDicomObject, Tag};
use dicom_pixeldata::PixelDecoder;

use super::{MALFORMED, PIXEL_DATA, frames, integer};
use crate::image::ImageError;

/// The JPEG processes that the registry decodes: baseline, extended, lossless, lossless of first-order prediction.
const JPEG: [&str; 4] =
    ["1.2.840.10008.1.2.4.50", "1.2.840.10008.1.2.4.51", "1.2.840.10008.1.2.4.57", "1.2.840.10008.1.2.4.70"];
/// JPEG-LS, lossless and near-lossless.
const JPEG_LS: [&str; 2] = ["1.2.840.10008.1.2.4.80", "1.2.840.10008.1.2.4.81"];
/// JPEG 2000, lossless and not.
const JPEG_2000: [&str; 2] = ["1.2.840.10008.1.2.4.90", "1.2.840.10008.1.2.4.91"];

/// How samples are stored (PS3.3 C.7.6.3).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Layout {
    pub(super) columns: u16,
    pub(super) rows: u16,
    pub(super) photometric: Photometric,
    bits_allocated: u16,
    pub(super) bits_stored: u16,
    high_bit: u16,
    pub(super) signed: bool,
    /// Whether all of a colour comes before all of the next.
    planar: bool,
}

/// What samples mean (PS3.3 C.7.6.3.1.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Photometric {
    /// The lowest value is white.
    Monochrome1,
    /// The lowest value is black.
    Monochrome2,
    /// Red, green, blue.
    Rgb,
    /// Luminance and two differences of colour, all of full range.
    Ybr,
}

impl Photometric {
    fn samples(self) -> usize {
        match self {
            Photometric::Monochrome1 | Photometric::Monochrome2 => 1,
            Photometric::Rgb | Photometric::Ybr => 3,
        }
    }
}

/// Samples of a frame, row by row.
pub(super) enum Samples {
    /// One number a pixel, as stored.
    Grey(Vec<i32>),
    /// Red, green and blue of each pixel, 0 to 1.
    Colour(Vec<f32>),
}

impl Layout {
    pub(super) fn of(file: &DefaultDicomObject) -> Result<Layout, ImageError> {
        let needed = |element: u16| {
            integer(file, Tag(0x0028, element)).and_then(|value| u16::try_from(value).ok()).ok_or(MALFORMED)
        };
        let photometric = file.get(Tag(0x0028, 0x0004)).and_then(|it| it.to_str().ok()).ok_or(MALFORMED)?;
        let photometric = match photometric.trim_matches(['\0', ' ']) {
            "MONOCHROME1" => Photometric::Monochrome1,
            "MONOCHROME2" => Photometric::Monochrome2,
            "RGB" => Photometric::Rgb,
            "YBR_FULL" | "YBR_FULL_422" | "YBR_ICT" | "YBR_RCT" | "YBR_PARTIAL_420" => Photometric::Ybr,
            "PALETTE COLOR" => return Err(ImageError::Unsupported("a DICOM picture with a palette")),
            _ => return Err(ImageError::Unsupported("this kind of DICOM pixel")),
        };
        let (bits_allocated, bits_stored) = (needed(0x0100)?, needed(0x0101)?);
        if ![8, 16, 32].contains(&bits_allocated) {
            return Err(ImageError::Unsupported("this depth of DICOM pixels"));
        }
        let layout = Layout {
            columns: needed(0x0011)?,
            rows: needed(0x0010)?,
            photometric,
            bits_allocated,
            bits_stored,
            high_bit: needed(0x0102).unwrap_or(bits_stored.saturating_sub(1)),
            signed: needed(0x0103)? == 1,
            planar: needed(0x0006).unwrap_or(0) == 1,
        };
        let fits = (1..=bits_allocated).contains(&bits_stored)
            && layout.high_bit < bits_allocated
            && layout.high_bit + 1 >= bits_stored
            && usize::from(needed(0x0002)?) == photometric.samples();
        if fits { Ok(layout) } else { Err(MALFORMED) }
    }

    fn pixels(&self) -> usize {
        usize::from(self.columns) * usize::from(self.rows)
    }

    /// The stored bits of a word, as a number.
    fn value(&self, word: u32) -> i32 {
        let shifted = word >> (self.high_bit + 1 - self.bits_stored);
        let unused = 32 - u32::from(self.bits_stored);
        if self.signed {
            ((shifted << unused) as i32) >> unused
        } else {
            i32::try_from((shifted << unused) >> unused).unwrap_or(i32::MAX)
        }
    }
}

/// Decodes the first frame. The layout has been checked for its size.
pub(super) fn first(file: &DefaultDicomObject, layout: &Layout) -> Result<Samples, ImageError> {
    let syntax = file.meta().transfer_syntax().trim_end_matches(['\0', ' ']);
    if JPEG_2000.contains(&syntax) {
        return jpeg_2000(&fragments(file)?, layout);
    }
    if JPEG_LS.contains(&syntax) {
        return jpeg_ls(&fragments(file)?, layout);
    }
    let is_jpeg = JPEG.contains(&syntax);
    if is_jpeg && jpeg_size(&fragments(file)?) != Some((layout.rows, layout.columns)) {
        return Err(MALFORMED);
    }
    let decoded = file.decode_pixel_data_frame(0).map_err(|error| {
        let cause = std::error::Error::source(&error).map_or_else(|| error.to_string(), ToString::to_string);
        let unsupported = error.to_string().contains("nsupported") || cause.contains("nsupported");
        if unsupported { ImageError::Unsupported("this transfer syntax") } else { MALFORMED }
    })?;
    let words = words(decoded.data(), layout)?;
    // The decoders of JPEG and RLE give pixel after pixel, and those of JPEG red, green and blue.
    let encapsulated = file.get(PIXEL_DATA).is_some_and(|data| data.value().fragments().is_some());
    let planar = layout.planar && !encapsulated;
    let photometric =
        if is_jpeg && layout.photometric == Photometric::Ybr { Photometric::Rgb } else { layout.photometric };
    samples(&words, layout, photometric, planar)
}

/// The stored words of a frame.
fn words(bytes: &[u8], layout: &Layout) -> Result<Vec<u32>, ImageError> {
    let count = layout.pixels() * layout.photometric.samples();
    let width = usize::from(layout.bits_allocated / 8);
    let bytes = bytes.get(..count * width).ok_or(MALFORMED)?;
    let word = |bytes: &[u8]| bytes.iter().rev().fold(0u32, |word, byte| (word << 8) | u32::from(*byte));
    Ok(bytes.chunks_exact(width).map(word).collect())
}

fn samples(
    words: &[u32],
    layout: &Layout,
    photometric: Photometric,
    planar: bool,
) -> Result<Samples, ImageError> {
    if photometric.samples() == 1 {
        return Ok(Samples::Grey(words.iter().map(|word| layout.value(*word)).collect()));
    }
    let full = (f64::from(layout.bits_stored).exp2() - 1.0) as f32;
    let pixels = layout.pixels();
    let sample = |pixel: usize, colour: usize| {
        let at = if planar { colour * pixels + pixel } else { pixel * 3 + colour };
        words.get(at).map(|word| (layout.value(*word) as f32 / full).clamp(0.0, 1.0))
    };
    let mut colours = Vec::with_capacity(pixels * 3);
    for pixel in 0..pixels {
        let stored = [0, 1, 2].map(|colour| sample(pixel, colour));
        let [Some(a), Some(b), Some(c)] = stored else { return Err(MALFORMED) };
        let colour = if photometric == Photometric::Ybr { from_ybr([a, b, c]) } else { [a, b, c] };
        colours.extend(colour);
    }
    Ok(Samples::Colour(colours))
}

/// PS3.3 C.7.6.3.1.2, full range.
fn from_ybr([luminance, blue, red]: [f32; 3]) -> [f32; 3] {
    let (blue, red) = (blue - 0.5, red - 0.5);
    [luminance + 1.402 * red, luminance - 0.344_136 * blue - 0.714_136 * red, luminance + 1.772 * blue]
        .map(|value| value.clamp(0.0, 1.0))
}

/// The encoded bytes of the first frame (PS3.5 A.4): all of them when there is one frame, the first fragment when
/// each frame has one, else those before the second offset.
fn fragments(file: &DefaultDicomObject) -> Result<Cow<'_, [u8]>, ImageError> {
    let value = file.get(PIXEL_DATA).ok_or(ImageError::NoPicture)?.value();
    let parts = value.fragments().filter(|parts| !parts.is_empty()).ok_or(MALFORMED)?;
    let frames = frames(file) as usize;
    if parts.len() == 1 || frames == parts.len() {
        return Ok(Cow::Borrowed(&parts[0]));
    }
    let end = match value.offset_table().and_then(|table| table.get(1)) {
        Some(end) => *end as usize,
        None if frames == 1 => usize::MAX,
        None => return Err(ImageError::Unsupported("a DICOM picture whose frames cannot be told apart")),
    };
    let mut joined = Vec::new();
    let mut at = 0usize;
    for part in parts {
        if at >= end {
            break;
        }
        joined.extend_from_slice(part);
        at = at.saturating_add(part.len() + 8); // with the header of the item
    }
    Ok(Cow::Owned(joined))
}

/// Rows and columns that a JPEG stream says (ITU-T T.81 B.2.2), so that its decoder takes no more memory than the
/// file said before.
fn jpeg_size(bytes: &[u8]) -> Option<(u16, u16)> {
    let mut at = 2;
    loop {
        let header = bytes.get(at..at + 4)?;
        if header[0] != 0xff {
            return None;
        }
        match header[1] {
            0xff => at += 1,
            0x01 | 0xd0..=0xd8 => at += 2,
            // Starts of frame, without the tables that share their numbers.
            0xc0..=0xc3 | 0xc5..=0xc7 | 0xc9..=0xcb | 0xcd..=0xcf => {
                let size = bytes.get(at + 5..at + 9)?;
                return Some((
                    u16::from_be_bytes([size[0], size[1]]),
                    u16::from_be_bytes([size[2], size[3]]),
                ));
            }
            0xd9 | 0xda => return None,
            _ => at += 2 + usize::from(u16::from_be_bytes([header[2], header[3]])),
        }
    }
}

fn jpeg_2000(bytes: &[u8], layout: &Layout) -> Result<Samples, ImageError> {
    use hayro_jpeg2000::{DecodeSettings, DecoderContext, Image};
    let image = Image::new(bytes, &DecodeSettings::default()).map_err(|_| MALFORMED)?;
    if (image.width(), image.height()) != (u32::from(layout.columns), u32::from(layout.rows)) {
        return Err(MALFORMED);
    }
    let mut context = DecoderContext::default();
    let decoded = image.decode(&mut context).map_err(|_| MALFORMED)?;
    let components = decoded.components();
    let wanted = layout.photometric.samples();
    let fits = |component: &hayro_jpeg2000::ComponentData| component.samples().len() == layout.pixels();
    if components.len() != wanted || !components.iter().all(fits) {
        return Err(MALFORMED);
    }
    if wanted == 1 {
        // The decoder lifts signed samples by half their range.
        let lift =
            if layout.signed { 1i32 << components[0].bit_depth().clamp(1, 31).saturating_sub(1) } else { 0 };
        return Ok(Samples::Grey(
            components[0].samples().iter().map(|value| value.round() as i32 - lift).collect(),
        ));
    }
    // The stream says itself how it mixed the colours, and the decoder has unmixed them.
    let full = components.iter().map(|component| (f64::from(component.bit_depth()).exp2() - 1.0) as f32);
    let full: Vec<f32> = full.collect();
    let pixel = |at: usize| (0..3).map(move |colour| (at, colour));
    let value =
        |(at, colour): (usize, usize)| (components[colour].samples()[at] / full[colour]).clamp(0.0, 1.0);
    Ok(Samples::Colour((0..layout.pixels()).flat_map(pixel).map(value).collect()))
}

fn jpeg_ls(bytes: &[u8], layout: &Layout) -> Result<Samples, ImageError> {
    if layout.photometric.samples() != 1 {
        return Err(ImageError::Unsupported("a JPEG-LS picture in colour"));
    }
    let (columns, rows) = (u32::from(layout.columns), u32::from(layout.rows));
    if jpeg_ls_size(bytes) != Some((layout.rows, layout.columns)) {
        return Err(MALFORMED);
    }
    let (values, width, height) = jpegls::decode(bytes, columns, rows).map_err(|_| MALFORMED)?;
    if (width, height) != (columns, rows) || values.len() != layout.pixels() {
        return Err(MALFORMED);
    }
    Ok(Samples::Grey(values.into_iter().map(|value| layout.value(u32::from(value))).collect()))
}

/// As [`jpeg_size`], for the start of frame of JPEG-LS (ITU-T T.87 C.1.1), which JPEG itself does not use.
fn jpeg_ls_size(bytes: &[u8]) -> Option<(u16, u16)> {
    let mut at = 2;
    loop {
        let header = bytes.get(at..at + 4)?;
        match header {
            [0xff, 0xf7, ..] => {
                let size = bytes.get(at + 5..at + 9)?;
                return Some((
                    u16::from_be_bytes([size[0], size[1]]),
                    u16::from_be_bytes([size[2], size[3]]),
                ));
            }
            [0xff, 0xda | 0xd9, ..] => return None,
            [0xff, _, high, low] => at += 2 + usize::from(u16::from_be_bytes([*high, *low])),
            _ => return None,
        }
    }
}
