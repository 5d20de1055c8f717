//! Which parts of a picture its answer rests on: each is covered in turn, and what then changes is its share
//! (occlusion; Zeiler and Fergus, ECCV 2014). Coarse, but it asks nothing of the network than its answers.

use super::conditioning::{AREA, Crop, SIDE, Square, resample};
use super::image::GrayImage;

/// Side of what is covered at once, in pixels of the square: a quarter of it, about half a lung's width.
const WINDOW: usize = 7;
/// From one window to the next.
const STEP: usize = 3;
/// A change of the logit that is drawn in full colour at least: smaller ones stay pale.
const FULL_COLOUR: f32 = 1.0;
/// How much of the picture full colour hides.
const MOST_HIDDEN: f32 = 0.55;
/// How bright the parts are drawn that the network does not see.
const UNSEEN: f32 = 0.4;
/// The longest side that is drawn, in pixels.
pub const MAX_DRAWN_SIDE: usize = 4_096;
/// Speaks for pneumonia: orange; against it: blue. Told apart with every kind of colour vision.
const COLOURS: [[f32; 3]; 2] = [[1.0, 0.45, 0.0], [0.0, 0.45, 1.0]];

/// How much each of 28 × 28 places of the middle square speaks for pneumonia.
#[derive(Clone, PartialEq)]
pub struct Saliency {
    values: Vec<f32>,
}

impl std::fmt::Debug for Saliency {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Saliency(28 × 28)")
    }
}

/// A picture to be written as PNG.
#[derive(Clone, PartialEq, Eq)]
pub struct Overlay {
    /// Columns.
    pub width: usize,
    /// Rows.
    pub height: usize,
    /// Red, green, blue and opacity of each pixel, row by row, 8 bits each.
    pub rgba: Vec<u8>,
}

impl std::fmt::Debug for Overlay {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "Overlay({} × {})", self.width, self.height)
    }
}

impl Saliency {
    /// Covers window after window with the mean grey of the square; `logits` judges squares.
    pub(crate) fn by_covering(square: &Square, logits: impl Fn(&[Square]) -> Vec<f32>) -> Saliency {
        let mean = square.iter().sum::<f32>() / AREA as f32;
        let starts = || (0..=SIDE - WINDOW).step_by(STEP);
        let windows: Vec<(usize, usize)> =
            starts().flat_map(|top| starts().map(move |left| (top, left))).collect();
        let inside = |(top, left): (usize, usize), at: usize| {
            (top..top + WINDOW).contains(&(at / SIDE)) && (left..left + WINDOW).contains(&(at % SIDE))
        };
        let covered = windows
            .iter()
            .map(|window| std::array::from_fn(|at| if inside(*window, at) { mean } else { square[at] }));
        let squares: Vec<Square> = std::iter::once(*square).chain(covered).collect();
        let said = logits(&squares);
        let (Some(whole), covered) = (said.first(), said.get(1..).unwrap_or_default()) else {
            return Saliency { values: vec![0.0; AREA] };
        };
        // Each place gets the mean over all windows that cover it.
        let values = (0..AREA).map(|at| {
            let changes = windows.iter().zip(covered).filter(|(window, _)| inside(**window, at));
            let (sum, count) = changes
                .fold((0.0, 0.0f32), |(sum, count), (_, covered)| (sum + whole - covered, count + 1.0));
            sum / count.max(1.0)
        });
        Saliency { values: values.collect() }
    }

    /// Row by row: by how much the logit falls when the place is covered. Above 0 it speaks for pneumonia, below
    /// against it.
    pub fn values(&self) -> &[f32] {
        &self.values
    }

    /// The picture with its longer side at most `longest` pixels, what speaks for pneumonia in orange, what speaks
    /// against it in blue; what lies outside the middle square was not looked at and is dark. The sides are at least
    /// one pixel and at most [`MAX_DRAWN_SIDE`].
    pub fn over(&self, image: &GrayImage, longest: usize) -> Overlay {
        let longest = longest.clamp(1, MAX_DRAWN_SIDE);
        let scale = longest as f64 / image.width().max(image.height()) as f64;
        let drawn = |side: usize| ((side as f64 * scale).round() as usize).max(1);
        let (width, height) = (drawn(image.width()), drawn(image.height()));
        let grey = resample(image, Crop::whole(image), width, height);
        let strongest = self.values.iter().fold(FULL_COLOUR, |most, value| most.max(value.abs()));
        let middle = Crop::middle(image);
        // Where a drawn pixel lies in the square, in its pixels; None outside.
        let within = |drawn: usize, scale: f64, start: usize, side: usize| {
            let place = ((drawn as f64 + 0.5) / scale - start as f64) / side as f64;
            (0.0..1.0).contains(&place).then_some(place as f32 * SIDE as f32)
        };
        let (across, down) = (width as f64 / image.width() as f64, height as f64 / image.height() as f64);
        let mut rgba = Vec::with_capacity(4 * width * height);
        for (at, grey) in grey.iter().enumerate() {
            let column = within(at % width, across, middle.left, middle.width);
            let row = within(at / width, down, middle.top, middle.height);
            let colour = match (row, column) {
                (Some(row), Some(column)) => {
                    let share = (self.at(row, column) / strongest).clamp(-1.0, 1.0);
                    let hidden = MOST_HIDDEN * share.abs();
                    let over = COLOURS[usize::from(share < 0.0)];
                    over.map(|over| grey * (1.0 - hidden) + over * hidden)
                }
                _ => [grey * UNSEEN; 3],
            };
            rgba.extend(colour.map(|value| (value * 255.0).round().clamp(0.0, 255.0) as u8));
            rgba.push(u8::MAX);
        }
        Overlay { width, height, rgba }
    }

    /// Bilinear between the middles of places; rows and columns from 0 to 28.
    fn at(&self, row: f32, column: f32) -> f32 {
        let split = |place: f32| {
            let place = (place - 0.5).clamp(0.0, (SIDE - 1) as f32);
            let low = place as usize;
            (low, (low + 1).min(SIDE - 1), place - low as f32)
        };
        let (top, bottom, down) = split(row);
        let (left, right, across) = split(column);
        let along = |row: usize| {
            self.values[row * SIDE + left] * (1.0 - across) + self.values[row * SIDE + right] * across
        };
        along(top) * (1.0 - down) + along(bottom) * down
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A judge that looks at one corner only: bright there is pneumonia.
    fn corner(squares: &[Square]) -> Vec<f32> {
        squares.iter().map(|square| 10.0 * square[2 * SIDE + 2]).collect()
    }

    fn bright_corner() -> Square {
        std::array::from_fn(|at| if at / SIDE < 6 && at % SIDE < 6 { 1.0 } else { 0.2 })
    }

    #[test]
    fn what_the_answer_rests_on_stands_out() {
        let saliency = Saliency::by_covering(&bright_corner(), corner);
        let values = saliency.values();
        assert!(values[0] > 5.0);
        assert!(values[27 * SIDE + 27].abs() < 1e-6);
        let against =
            Saliency::by_covering(&bright_corner(), |squares| corner(squares).iter().map(|v| -v).collect());
        assert!(against.values()[0] < -5.0);
    }

    #[test]
    fn the_overlay_has_the_shape_of_the_picture_and_darkens_what_was_not_seen() {
        let image = GrayImage::new(100, 50, vec![0.5; 5_000]).unwrap();
        let overlay = Saliency::by_covering(&bright_corner(), corner).over(&image, 448);
        assert_eq!((overlay.width, overlay.height, overlay.rgba.len()), (448, 224, 4 * 448 * 224));
        let pixel = |row: usize, column: usize| &overlay.rgba[4 * (row * 448 + column)..][..4];
        assert_eq!(pixel(100, 10), [51, 51, 51, 255]);
        let warm = pixel(4, 118);
        assert!(warm[0] > 150 && warm[2] < 100, "{warm:?}");
        assert_eq!(pixel(200, 300), [128, 128, 128, 255]);
    }
}
