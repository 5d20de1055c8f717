//! The first frame of a DICOM file (PS3.3, PS3.5, PS3.10): found, bounded, decoded, and turned into grey values as a
//! viewer would show it first.

mod bounds;
mod frame;
mod tone;

use std::io::Cursor;

use dicom_object::file::ReadPreamble;
use dicom_object::{DefaultDicomObject, OpenFileOptions, Tag};

use super::{Greys, ImageError, ImageRead, SourceFormat, check_size};
use frame::{Layout, Samples};

const MALFORMED: ImageError = ImageError::Malformed(SourceFormat::Dicom);
/// The longest code value that is passed on: a code string has at most 16 characters (PS3.5 6.2).
const MAX_CODE: usize = 16;

const MODALITY: Tag = Tag(0x0008, 0x0060);
const BODY_PART: Tag = Tag(0x0018, 0x0015);
const VIEW_POSITION: Tag = Tag(0x0018, 0x5101);
const NUMBER_OF_FRAMES: Tag = Tag(0x0028, 0x0008);
const PIXEL_DATA: Tag = Tag(0x7fe0, 0x0010);

pub(super) fn read(bytes: &[u8]) -> Result<ImageRead, ImageError> {
    bounds::check(bytes)?;
    let file = OpenFileOptions::new()
        .read_preamble(ReadPreamble::Always)
        .from_reader(Cursor::new(bytes))
        .map_err(|_| MALFORMED)?;
    if file.get(PIXEL_DATA).is_none() {
        return Err(ImageError::NoPicture);
    }
    let layout = Layout::of(&file)?;
    check_size(u64::from(layout.columns), u64::from(layout.rows))?;
    let samples = frame::first(&file, &layout)?;
    let greys = match samples {
        Samples::Grey(values) => {
            let mut greys = Greys::with_capacity(values.len());
            tone::map(&file, &layout, &values).into_iter().for_each(|value| greys.grey(value));
            greys
        }
        Samples::Colour(values) => {
            let mut greys = Greys::with_capacity(values.len() / 3);
            values.as_chunks::<3>().0.iter().for_each(|pixel| greys.colour(*pixel));
            greys
        }
    };
    Ok(ImageRead {
        width: usize::from(layout.columns),
        height: usize::from(layout.rows),
        colour: greys.is_coloured(),
        luminance: greys.luminance,
        frames: frames(&file),
        modality: code(&file, MODALITY),
        body_part: code(&file, BODY_PART),
        view: code(&file, VIEW_POSITION),
        format: SourceFormat::Dicom,
    })
}

fn frames(file: &DefaultDicomObject) -> u32 {
    integer(file, NUMBER_OF_FRAMES).and_then(|frames| u32::try_from(frames).ok()).unwrap_or(1).max(1)
}

/// A code of the standard's vocabulary: letters, digits, space and underline, so that no free text gets through.
fn code(file: &DefaultDicomObject, tag: Tag) -> Option<String> {
    let text = file.get(tag)?.to_str().ok()?.trim().to_ascii_uppercase();
    let fits = (1..=MAX_CODE).contains(&text.len());
    let plain =
        |letter: char| letter.is_ascii_uppercase() || letter.is_ascii_digit() || " _".contains(letter);
    (fits && text.chars().all(plain)).then_some(text)
}

fn integer(file: &DefaultDicomObject, tag: Tag) -> Option<i64> {
    file.get(tag)?.to_int().ok()
}

fn number(file: &DefaultDicomObject, tag: Tag) -> Option<f64> {
    let value = file.get(tag)?.to_multi_float64().ok()?.first().copied()?;
    value.is_finite().then_some(value)
}
