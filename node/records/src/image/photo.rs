//! PNG and JPEG, turned as a camera says it was held.

use std::io::Cursor;

use image::{DynamicImage, ImageDecoder, ImageFormat, ImageReader, Limits};

use super::{Greys, ImageError, ImageRead, MAX_PIXELS, SourceFormat, check_size};

/// The most memory that a decoder may take: eight bytes a pixel, and some for its own work.
const MAX_DECODER_BYTES: u64 = 8 * MAX_PIXELS + (64 << 20);

pub(super) fn read(bytes: &[u8], format: SourceFormat) -> Result<ImageRead, ImageError> {
    let malformed = |_| ImageError::Malformed(format);
    let known = if format == SourceFormat::Png { ImageFormat::Png } else { ImageFormat::Jpeg };
    let mut reader = ImageReader::with_format(Cursor::new(bytes), known);
    let mut limits = Limits::default();
    limits.max_alloc = Some(MAX_DECODER_BYTES);
    reader.limits(limits);
    let mut decoder = reader.into_decoder().map_err(malformed)?;
    let (width, height) = decoder.dimensions();
    check_size(u64::from(width), u64::from(height))?;
    // What a camera says of itself may be damaged while its picture is not.
    let orientation = decoder.orientation();
    let mut picture = DynamicImage::from_decoder(decoder).map_err(malformed)?;
    if let Ok(orientation) = orientation {
        picture.apply_orientation(orientation);
    }
    let greys = greys(&picture)?;
    Ok(ImageRead {
        width: picture.width() as usize,
        height: picture.height() as usize,
        colour: greys.is_coloured(),
        luminance: greys.luminance,
        frames: 1,
        modality: None,
        body_part: None,
        view: None,
        format,
    })
}

/// What is transparent shows black behind it.
fn greys(picture: &DynamicImage) -> Result<Greys, ImageError> {
    let mut greys = Greys::with_capacity(picture.width() as usize * picture.height() as usize);
    let eight = |value: u8| f32::from(value) / f32::from(u8::MAX);
    let sixteen = |value: u16| f32::from(value) / f32::from(u16::MAX);
    match picture {
        DynamicImage::ImageLuma8(pixels) => pixels.iter().for_each(|value| greys.grey(eight(*value))),
        DynamicImage::ImageLuma16(pixels) => pixels.iter().for_each(|value| greys.grey(sixteen(*value))),
        DynamicImage::ImageLumaA8(pixels) => {
            pixels.pixels().for_each(|pixel| greys.grey(eight(pixel.0[0]) * eight(pixel.0[1])));
        }
        DynamicImage::ImageLumaA16(pixels) => {
            pixels.pixels().for_each(|pixel| greys.grey(sixteen(pixel.0[0]) * sixteen(pixel.0[1])));
        }
        DynamicImage::ImageRgb8(pixels) => pixels.pixels().for_each(|pixel| greys.colour(pixel.0.map(eight))),
        DynamicImage::ImageRgb16(pixels) => {
            pixels.pixels().for_each(|pixel| greys.colour(pixel.0.map(sixteen)));
        }
        DynamicImage::ImageRgba8(pixels) => pixels.pixels().for_each(|pixel| {
            let [red, green, blue, opacity] = pixel.0.map(eight);
            greys.colour([red, green, blue].map(|value| value * opacity));
        }),
        DynamicImage::ImageRgba16(pixels) => pixels.pixels().for_each(|pixel| {
            let [red, green, blue, opacity] = pixel.0.map(sixteen);
            greys.colour([red, green, blue].map(|value| value * opacity));
        }),
        _ => return Err(ImageError::Unsupported("this kind of pixel")),
    }
    Ok(greys)
}
