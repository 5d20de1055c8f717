//! A grey picture as numbers. It has no place for whose picture it is.

use std::fmt;

/// The most pixels of a picture: the largest flat-panel detectors have 15 million.
pub const MAX_PIXELS: usize = 64 << 20;
/// The least length of a side: the network sees so many, and more cannot be made up.
pub const MIN_SIDE: usize = 28;

/// Grey values row by row, dark (air) to bright (bone).
#[derive(Clone, PartialEq)]
pub struct GrayImage {
    width: usize,
    height: usize,
    pixels: Vec<f32>,
}

/// An image and what readers found.
#[derive(Clone, Debug)]
pub struct LabelledXray {
    /// The image.
    pub image: GrayImage,
    /// Whether it shows pneumonia.
    pub pneumonia: bool,
}

/// Why numbers are no picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ImageError {
    /// A side is shorter than the network needs.
    #[error("the picture is smaller than {MIN_SIDE} × {MIN_SIDE} pixels")]
    TooSmall,
    /// More pixels than are read.
    #[error("the picture has more than {MAX_PIXELS} pixels")]
    TooLarge,
    /// The number of values is not width times height.
    #[error("the number of pixels does not fit width and height")]
    Length,
    /// A value outside 0 to 1, or no number.
    #[error("a pixel is not between 0 and 1")]
    Value,
}

impl GrayImage {
    /// A picture of `width` × `height` values between 0 and 1, row by row from the top left.
    ///
    /// # Errors
    /// [`ImageError`] for a size outside the limits, a wrong count, and values outside 0 to 1.
    pub fn new(width: usize, height: usize, pixels: Vec<f32>) -> Result<GrayImage, ImageError> {
        if width < MIN_SIDE || height < MIN_SIDE {
            return Err(ImageError::TooSmall);
        }
        let count = width.checked_mul(height).filter(|count| *count <= MAX_PIXELS);
        let count = count.ok_or(ImageError::TooLarge)?;
        if pixels.len() != count {
            return Err(ImageError::Length);
        }
        if !pixels.iter().all(|value| (0.0..=1.0).contains(value)) {
            return Err(ImageError::Value);
        }
        Ok(GrayImage { width, height, pixels })
    }

    /// Columns.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Rows.
    pub fn height(&self) -> usize {
        self.height
    }

    /// The values, row by row.
    pub fn pixels(&self) -> &[f32] {
        &self.pixels
    }

    /// A row, from the top. `row` is below the height.
    pub(crate) fn row(&self, row: usize) -> &[f32] {
        &self.pixels[row * self.width..(row + 1) * self.width]
    }
}

impl fmt::Debug for GrayImage {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "GrayImage({} × {})", self.width, self.height)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_picture_is_refused() {
        let grey = |width: usize, height: usize, count: usize, value: f32| {
            GrayImage::new(width, height, vec![value; count]).err()
        };
        assert_eq!(grey(28, 28, 784, 0.5), None);
        assert_eq!(grey(27, 28, 756, 0.5), Some(ImageError::TooSmall));
        assert_eq!(grey(28, 0, 0, 0.5), Some(ImageError::TooSmall));
        assert_eq!(grey(28, 28, 783, 0.5), Some(ImageError::Length));
        assert_eq!(grey(usize::MAX, 28, 1, 0.5), Some(ImageError::TooLarge));
        assert_eq!(grey(1 << 14, (1 << 12) + 1, 1, 0.5), Some(ImageError::TooLarge));
        assert_eq!(grey(28, 28, 784, f32::NAN), Some(ImageError::Value));
        assert_eq!(grey(28, 28, 784, 1.01), Some(ImageError::Value));
    }

    #[test]
    fn debug_shows_no_pixel() {
        let image = GrayImage::new(28, 28, vec![0.25; 784]).unwrap();
        assert_eq!(format!("{image:?}"), "GrayImage(28 × 28)");
    }
}
