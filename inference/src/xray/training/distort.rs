//! Images as other acquisitions of the same persons would have looked: training sees each image anew, and the
//! choices behind the weights are made on validation images distorted in the same way.
//!
//! Never upside down and never mirrored: the heart lies on the left, and a mirrored film is a fault to be noticed.

use crate::chance::Chance;
use crate::xray::conditioning::{AREA, SIDE, Square};
use crate::xray::warp::Warp;

/// A child does not stand still: up to this far turned, in degrees.
const TURN_DEG: f32 = 8.0;
/// Distance and build: log of the factor in size, and in width against height.
const SIZE: f32 = 0.13;
const ASPECT: f32 = 0.10;
/// How far off the middle, in half sides.
const SHIFT: f32 = 0.18;
/// Characteristic curves of film, screen and detector: log of the exponent.
const GAMMA: f32 = 0.45;
/// Tube voltage and window: log of the factor in contrast; exposure: shift in brightness.
const CONTRAST: f32 = 0.35;
const BRIGHTNESS: f32 = 0.12;
/// From sharpened by the device to blurred by motion: the share of a 3 × 3 mean.
const BLUR: (f32, f32) = (-0.4, 0.6);
/// Quantum noise: its largest deviation.
const NOISE: f32 = 0.03;

/// One such image; all is drawn from `chance`. At strength 1 it is what training sees.
pub(crate) fn distort(square: &Square, strength: f32, chance: &mut Chance) -> Square {
    let mut between = |low: f32, high: f32| (low + (high - low) * chance.uniform()) * strength;
    let turn = between(-TURN_DEG, TURN_DEG).to_radians();
    let (size, aspect) = (between(-SIZE, SIZE).exp(), between(-ASPECT, ASPECT).exp());
    let (right, down) = (between(-SHIFT, SHIFT), between(-SHIFT, SHIFT));
    let warp = Warp {
        across: [turn.cos() * size * aspect, -turn.sin() * size, right],
        down: [turn.sin() * size, turn.cos() * size / aspect, down],
    };
    let gamma = between(-GAMMA, GAMMA).exp();
    let (contrast, brightness) = (between(-CONTRAST, CONTRAST).exp(), between(-BRIGHTNESS, BRIGHTNESS));
    let (blur, noise) = (between(BLUR.0, BLUR.1), between(0.0, NOISE));
    let curved = warp.apply(square).map(|grey| grey.max(1e-4).powf(gamma));
    let mean = curved.iter().sum::<f32>() / AREA as f32;
    let toned = curved.map(|grey| (grey - mean) * contrast + mean + brightness);
    let blurred = box_mean(&toned);
    std::array::from_fn(|at| {
        let grey = toned[at] + (blurred[at] - toned[at]) * blur + noise * chance.normal();
        grey.clamp(0.0, 1.0)
    })
}

/// The mean over 3 × 3 pixels; the edge goes on outside.
fn box_mean(square: &Square) -> Square {
    let near = |at: usize| [at.saturating_sub(1), at, (at + 1).min(SIDE - 1)];
    std::array::from_fn(|at| {
        let rows = near(at / SIDE);
        let sum: f32 =
            rows.iter().flat_map(|row| near(at % SIDE).map(|column| square[row * SIDE + column])).sum();
        sum / 9.0
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distortion_follows_the_seed_and_stays_in_range() {
        let square: Square = std::array::from_fn(|at| (at % 37) as f32 / 37.0);
        let once = distort(&square, 1.0, &mut Chance::new(3, 0));
        assert_eq!(once, distort(&square, 1.0, &mut Chance::new(3, 0)));
        assert_ne!(once, distort(&square, 1.0, &mut Chance::new(4, 0)));
        assert!(once.iter().all(|grey| (0.0..=1.0).contains(grey)));
    }
}
