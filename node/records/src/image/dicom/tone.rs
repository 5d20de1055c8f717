//! From stored numbers to what a viewer shows first (PS3.3 C.7.6.3.1.2, C.11.1, C.11.2): modality table or rescale,
//! then window or VOI table, else the whole range; negatives are turned.

use dicom_object::{DefaultDicomObject, Tag};

use super::frame::{Layout, Photometric};
use super::{integer, number};

const RESCALE_INTERCEPT: Tag = Tag(0x0028, 0x1052);
const RESCALE_SLOPE: Tag = Tag(0x0028, 0x1053);
const WINDOW_CENTRE: Tag = Tag(0x0028, 0x1050);
const WINDOW_WIDTH: Tag = Tag(0x0028, 0x1051);
const PIXEL_PADDING: Tag = Tag(0x0028, 0x0120);
const MODALITY_TABLE: Tag = Tag(0x0028, 0x3000);
const VOI_TABLE: Tag = Tag(0x0028, 0x3010);

/// Grey values, 0 to 1.
pub(super) fn map(file: &DefaultDicomObject, layout: &Layout, stored: &[i32]) -> Vec<f32> {
    let modality: Box<dyn Fn(i32) -> f64> = match Table::of(file, MODALITY_TABLE) {
        Some(table) => Box::new(move |value| table.output(f64::from(value))),
        None => {
            let slope = number(file, RESCALE_SLOPE).filter(|slope| *slope != 0.0).unwrap_or(1.0);
            let intercept = number(file, RESCALE_INTERCEPT).unwrap_or(0.0);
            Box::new(move |value| f64::from(value) * slope + intercept)
        }
    };
    let window =
        number(file, WINDOW_CENTRE).zip(number(file, WINDOW_WIDTH)).filter(|(_, width)| *width >= 1.0);
    let shown: Box<dyn Fn(i32) -> f64> = if let Some((centre, width)) = window {
        Box::new(move |value| windowed(modality(value), centre, width))
    } else if let Some(table) = Table::of(file, VOI_TABLE) {
        let full = table.full();
        Box::new(move |value| table.output(modality(value)) / full)
    } else {
        let (low, high) = range(file, layout, stored);
        let (low, high) = (modality(low), modality(high));
        let span = if high == low { 1.0 } else { high - low };
        Box::new(move |value| (modality(value) - low) / span)
    };
    let negative = layout.photometric == Photometric::Monochrome1;
    let grey = |value: &i32| {
        let shown = shown(*value).clamp(0.0, 1.0);
        (if negative { 1.0 - shown } else { shown }) as f32
    };
    stored.iter().map(grey).collect()
}

/// The linear window (PS3.3 C.11.2.1.2.1), 0 to 1.
fn windowed(value: f64, centre: f64, width: f64) -> f64 {
    if width <= 1.0 {
        return if value > centre - 0.5 { 1.0 } else { 0.0 };
    }
    (value - (centre - 0.5)) / (width - 1.0) + 0.5
}

/// The lowest and the highest stored value, without the one that pads the picture.
fn range(file: &DefaultDicomObject, layout: &Layout, stored: &[i32]) -> (i32, i32) {
    // Some writers give the padding of signed samples as an unsigned number.
    let padding = integer(file, PIXEL_PADDING)
        .map(|value| if layout.signed && value > i64::from(i16::MAX) { value - (1 << 16) } else { value });
    let values = || stored.iter().copied().filter(|value| Some(i64::from(*value)) != padding);
    (values().min().unwrap_or(0), values().max().unwrap_or(0))
}

/// A table from values to values (PS3.3 C.11.1.1).
struct Table {
    first: f64,
    bits: u32,
    values: Vec<u16>,
}

impl Table {
    /// The first table of the sequence `tag`.
    fn of(file: &DefaultDicomObject, tag: Tag) -> Option<Table> {
        let item = file.get(tag)?.items()?.first()?;
        let descriptor = item.get(Tag(0x0028, 0x3002))?.to_multi_int::<i32>().ok()?;
        let [count, first, bits] = descriptor.as_slice() else { return None };
        let values = item.get(Tag(0x0028, 0x3006))?.to_multi_int::<u16>().ok()?;
        let count = if *count == 0 { 1 << 16 } else { usize::try_from(*count).ok()? };
        let bits = u32::try_from(*bits).ok().filter(|bits| (8..=16).contains(bits))?;
        (!values.is_empty() && values.len() >= count.min(1 << 16)).then(|| Table {
            first: f64::from(*first),
            bits,
            values,
        })
    }

    /// What the table gives; what lies before or behind it gets its first or last value.
    fn output(&self, input: f64) -> f64 {
        let at = (input - self.first).round().clamp(0.0, (self.values.len() - 1) as f64) as usize;
        f64::from(self.values[at])
    }

    fn full(&self) -> f64 {
        f64::from((1u32 << self.bits) - 1)
    }
}
