//! From a picture of any size to what the network sees, as its training images were made (MedMNIST v2, Yang et
//! al., Sci Data 2023): the middle square, then bicubic reduction over all pixels that a new pixel covers.

use super::image::GrayImage;

/// The side of what the network sees, in pixels.
pub const SIDE: usize = 28;
/// Its pixels.
pub(crate) const AREA: usize = SIDE * SIDE;

/// A square of [`SIDE`] pixels, row by row, 0 to 1.
pub(crate) type Square = [f32; AREA];

/// Half the width of the bicubic kernel, in pixels of the smaller picture.
const REACH: f64 = 2.0;

/// A part of a picture, in its own pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Crop {
    pub(crate) left: usize,
    pub(crate) top: usize,
    pub(crate) width: usize,
    pub(crate) height: usize,
}

impl Crop {
    /// The middle square.
    pub(crate) fn middle(image: &GrayImage) -> Crop {
        let side = image.width().min(image.height());
        let (left, top) = ((image.width() - side) / 2, (image.height() - side) / 2);
        Crop { left, top, width: side, height: side }
    }

    /// All of it.
    pub(crate) fn whole(image: &GrayImage) -> Crop {
        Crop { left: 0, top: 0, width: image.width(), height: image.height() }
    }
}

/// What the network sees of a picture. A picture of 28 × 28 pixels stays as it is.
pub(crate) fn square(image: &GrayImage) -> Square {
    let mut square = [0.0; AREA];
    square.copy_from_slice(&resample(image, Crop::middle(image), SIDE, SIDE));
    square
}

/// A part of a picture with `width` × `height` pixels: bicubic (Keys, IEEE Trans ASSP 1981, a = −½), its kernel
/// widened by the reduction so that nothing is skipped. As in Pillow, but without rounding to 8 bits.
pub(crate) fn resample(image: &GrayImage, crop: Crop, width: usize, height: usize) -> Vec<f32> {
    // Columns first, as Pillow does. [crop.height, width]
    let across = taps(crop.width, width);
    let mut narrow = Vec::with_capacity(crop.height * width);
    for row in 0..crop.height {
        let values = &image.row(crop.top + row)[crop.left..crop.left + crop.width];
        narrow.extend(across.iter().map(|tap| tap.apply(|at| values[at]).clamp(0.0, 1.0)));
    }
    let mut small = Vec::with_capacity(width * height); // [height, width]
    for tap in taps(crop.height, height) {
        small.extend((0..width).map(|column| tap.apply(|row| narrow[row * width + column]).clamp(0.0, 1.0)));
    }
    small
}

/// What one new pixel is made of: old pixels from `first` on, with weights that sum to 1.
struct Tap {
    first: usize,
    weights: Vec<f32>,
}

impl Tap {
    fn apply(&self, value: impl Fn(usize) -> f32) -> f32 {
        self.weights.iter().enumerate().map(|(index, weight)| weight * value(self.first + index)).sum()
    }
}

/// One tap for each of `new` pixels along a line of `old` pixels.
fn taps(old: usize, new: usize) -> Vec<Tap> {
    let scale = old as f64 / new as f64;
    let widening = scale.max(1.0);
    let tap = |index: usize| {
        let centre = (index as f64 + 0.5) * scale;
        let reach = REACH * widening;
        let first = (centre - reach + 0.5).max(0.0) as usize;
        let end = ((centre + reach + 0.5) as usize).min(old);
        let weights: Vec<f64> =
            (first..end).map(|at| bicubic((at as f64 - centre + 0.5) / widening)).collect();
        let sum: f64 = weights.iter().sum();
        Tap { first, weights: weights.into_iter().map(|weight| (weight / sum) as f32).collect() }
    };
    (0..new).map(tap).collect()
}

/// The kernel at a distance in new pixels.
fn bicubic(distance: f64) -> f64 {
    const A: f64 = -0.5;
    let x = distance.abs();
    if x < 1.0 {
        ((A + 2.0) * x - (A + 3.0)) * x * x + 1.0
    } else if x < 2.0 {
        (((x - 5.0) * x + 8.0) * x - 4.0) * A
    } else {
        0.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Values that any program can make again: a multiplicative congruence, as bytes.
    fn bytes(count: usize) -> Vec<f32> {
        let mut state = 12_345u32;
        let next = |_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 24) as f32 / 255.0
        };
        (0..count).map(next).collect()
    }

    #[test]
    fn a_picture_of_28_pixels_stays_as_it_is() {
        let pixels = bytes(AREA);
        let image = GrayImage::new(SIDE, SIDE, pixels.clone()).unwrap();
        assert_eq!(square(&image).as_slice(), pixels);
    }

    #[test]
    fn only_the_middle_square_counts() {
        let (width, height) = (60, 40);
        let mut pixels = vec![0.5; width * height];
        for row in 0..height {
            for column in (0..10).chain(50..60) {
                pixels[row * width + column] = 1.0;
            }
        }
        let image = GrayImage::new(width, height, pixels).unwrap();
        assert!(square(&image).iter().all(|value| (value - 0.5).abs() < 1e-6));
    }

    #[test]
    fn reduction_is_that_of_pillow() {
        // Pillow 13.0.0, Image.resize((28, 28), BICUBIC) of the middle square: some pixels, and the sum of all.
        const AT: [usize; 9] = [0, 1, 27, 28, 400, 401, 755, 756, 783];
        let check = |(width, height): (usize, usize), expected: [f32; 9], sum: f32| {
            let image = GrayImage::new(width, height, bytes(width * height)).unwrap();
            let small = square(&image);
            for (at, expected) in AT.iter().zip(expected) {
                let value = small[*at] * 255.0;
                assert!((value - expected).abs() <= 1.0, "pixel {at}: {value}, not {expected}");
            }
            assert!((small.iter().sum::<f32>() * 255.0 - sum).abs() < 0.2 * AREA as f32);
        };
        check((97, 131), [119.0, 111.0, 98.0, 144.0, 119.0, 123.0, 133.0, 140.0, 110.0], 99_856.0);
        check((300, 200), [124.0, 118.0, 138.0, 127.0, 127.0, 136.0, 134.0, 122.0, 140.0], 99_893.0);
    }

    #[test]
    fn enlarging_and_reducing_changes_little() {
        let smooth: Vec<f32> = (0..AREA)
            .map(|at| {
                let (row, column) = ((at / SIDE) as f32, (at % SIDE) as f32);
                0.5 + 0.3 * (row * 0.5).sin() * (column * 0.4).cos()
            })
            .collect();
        let small = GrayImage::new(SIDE, SIDE, smooth.clone()).unwrap();
        let large = resample(&small, Crop::middle(&small), 224, 224);
        let again = square(&GrayImage::new(224, 224, large).unwrap());
        let worst = again.iter().zip(&smooth).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(worst < 0.02, "{worst}");
    }
}
