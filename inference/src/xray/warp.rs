//! A square turned, moved, stretched: as it would look had the person stood otherwise before the detector.

use super::conditioning::{SIDE, Square};

/// Where each pixel of the new square comes from in the old one: places run from −1 to 1 over the square, from its
/// left and upper edge to its right and lower edge.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Warp {
    /// `x = across[0] · x' + across[1] · y' + across[2]`
    pub(crate) across: [f32; 3],
    /// `y = down[0] · x' + down[1] · y' + down[2]`
    pub(crate) down: [f32; 3],
}

impl Warp {
    /// Moved and enlarged about the middle; a zoom above 1 shows more of the surroundings.
    pub(crate) const fn zoom(zoom: f32, right: f32, down: f32) -> Warp {
        Warp { across: [zoom, 0.0, right], down: [0.0, zoom, down] }
    }

    /// The square that is seen so: bilinear; what lies outside continues the edge.
    pub(crate) fn apply(self, square: &Square) -> Square {
        let place = |index: usize| (2.0 * index as f32 + 1.0) / SIDE as f32 - 1.0;
        let pixel = |place: f32| ((place + 1.0) * SIDE as f32 - 1.0) / 2.0;
        std::array::from_fn(|at| {
            let (x, y) = (place(at % SIDE), place(at / SIDE));
            let from = |row: [f32; 3]| row[0] * x + row[1] * y + row[2];
            bilinear(square, pixel(from(self.across)), pixel(from(self.down)))
        })
    }
}

/// The value at a place between pixels, which are counted from 0.
fn bilinear(square: &Square, x: f32, y: f32) -> f32 {
    let last = (SIDE - 1) as f32;
    let (x, y) = (x.clamp(0.0, last), y.clamp(0.0, last));
    let (left, top) = (x.floor() as usize, y.floor() as usize);
    let (right, bottom) = ((left + 1).min(SIDE - 1), (top + 1).min(SIDE - 1));
    let (fraction_x, fraction_y) = (x - left as f32, y - top as f32);
    let row =
        |row: usize| square[row * SIDE + left] * (1.0 - fraction_x) + square[row * SIDE + right] * fraction_x;
    row(top) * (1.0 - fraction_y) + row(bottom) * fraction_y
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_change_changes_nothing_and_a_shift_shifts() {
        let square: Square = std::array::from_fn(|at| (at % SIDE) as f32 / 30.0 + (at / SIDE) as f32 / 1e3);
        let same = Warp::zoom(1.0, 0.0, 0.0).apply(&square);
        assert!(same.iter().zip(&square).all(|(a, b)| (a - b).abs() < 1e-5));
        let moved = Warp::zoom(1.0, 2.0 / SIDE as f32, 0.0).apply(&square);
        assert!((moved[5] - square[6]).abs() < 1e-5);
        assert!((moved[SIDE - 1] - square[SIDE - 1]).abs() < 1e-5);
    }
}
