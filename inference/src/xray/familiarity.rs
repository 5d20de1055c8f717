//! Is it like the images that were learned from? Two pictures of what is usual, one of the grey values themselves
//! and one of the vectors that the members make of them, each the subspace in which usual images lie.
//!
//! An image is unusual when it lies far from the middle within such a subspace (Mahalanobis distance; Lee et al.,
//! "A simple unified framework for detecting out-of-distribution samples", NeurIPS 2018), or far beside it.

use burn::module::{Module, Param};
use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

use super::conditioning::{AREA, Square};
use super::network::Numbering;

/// Dimensions of each subspace: those of the grey values hold nine tenths of their variance.
const DIMENSIONS: usize = 32;

/// Where usual points lie: around a middle, mostly along a few directions.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Subspace {
    /// `[length]`
    middle: Vec<f32>,
    /// Orthonormal rows, `[dimensions, length]`.
    directions: Vec<f32>,
    /// Standard deviation along each direction.
    deviations: Vec<f32>,
}

/// How far a point lies from what is usual.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Distance {
    /// Within the subspace: squared, in standard deviations, mean over its dimensions; about 1 is usual.
    pub within: f32,
    /// Beside the subspace: squared length of what the subspace does not hold.
    pub beside: f32,
}

impl Distance {
    /// How near to the limits: above 1 is beyond one of them.
    pub(crate) fn against(self, limits: Distance) -> f32 {
        (self.within / limits.within).max(self.beside / limits.beside)
    }
}

impl Subspace {
    /// Nothing yet, of the shapes that [`Subspaces`] has: for reading weights into.
    pub(crate) fn empty(vector: usize) -> [Subspace; 2] {
        [AREA, vector].map(|length| Subspace {
            middle: vec![0.0; length],
            directions: vec![0.0; DIMENSIONS * length],
            deviations: vec![0.0; DIMENSIONS],
        })
    }

    /// How far a point lies out. Points of another length are infinitely far.
    pub(crate) fn distance(&self, point: &[f32]) -> Distance {
        if point.len() != self.middle.len() {
            return Distance { within: f32::INFINITY, beside: f32::INFINITY };
        }
        let centred: Vec<f32> =
            point.iter().zip(&self.middle).map(|(value, middle)| value - middle).collect();
        let mut beside: f32 = centred.iter().map(|value| value * value).sum();
        let mut within = 0.0;
        for (direction, deviation) in self.directions.chunks(point.len()).zip(&self.deviations) {
            let along: f32 = direction.iter().zip(&centred).map(|(a, b)| a * b).sum();
            beside -= along * along;
            within += (along / deviation.max(LEAST_DEVIATION)).powi(2);
        }
        Distance { within: within / self.deviations.len() as f32, beside: beside.max(0.0) }
    }
}

/// A direction along which nothing varied must not divide by nothing.
const LEAST_DEVIATION: f32 = 1e-3;

/// Grey values as a point: brightness and contrast taken out, so that only the picture counts.
pub(crate) fn grey_point(square: &Square) -> Vec<f32> {
    let mean = square.iter().sum::<f32>() / AREA as f32;
    let length = square.iter().map(|value| (value - mean).powi(2)).sum::<f32>().sqrt().max(f32::EPSILON);
    square.iter().map(|value| (value - mean) / length).collect()
}

/// The two subspaces as they are kept with the weights: of grey values and of vectors.
#[derive(Module, Debug)]
pub(crate) struct Subspaces {
    grey: Kept,
    vector: Kept,
}

#[derive(Module, Debug)]
struct Kept {
    /// `[length]`
    middle: Param<Tensor<1>>,
    /// `[dimensions, length]`
    directions: Param<Tensor<2>>,
    /// `[dimensions]`
    deviations: Param<Tensor<1>>,
}

impl Subspaces {
    pub(crate) fn of([grey, vector]: [Subspace; 2], numbering: &mut Numbering<'_>) -> Subspaces {
        let mut keep = |subspace: Subspace| {
            let length = subspace.middle.len();
            let dimensions = subspace.deviations.len();
            Kept {
                middle: numbering.param(subspace.middle, [length]),
                directions: numbering.param(subspace.directions, [dimensions, length]),
                deviations: numbering.param(subspace.deviations, [dimensions]),
            }
        };
        Subspaces { grey: keep(grey), vector: keep(vector) }
    }

    /// As numbers; `None` if they cannot be read.
    pub(crate) fn values(&self) -> Option<[Subspace; 2]> {
        Some([self.grey.values()?, self.vector.values()?])
    }
}

impl Kept {
    fn values(&self) -> Option<Subspace> {
        Some(Subspace {
            middle: self.middle.val().into_data().try_to_vec().ok()?,
            directions: self.directions.val().into_data().try_to_vec().ok()?,
            deviations: self.deviations.val().into_data().try_to_vec().ok()?,
        })
    }
}

#[cfg(feature = "train")]
impl Subspace {
    /// The directions along which points vary most, by orthogonal iteration (Golub and Van Loan, "Matrix
    /// computations", 8.2.4). All points have the length of the first.
    pub(crate) fn fit(points: &[Vec<f32>], chance: &mut crate::chance::Chance) -> Subspace {
        use burn::tensor::TensorData;
        /// Enough for the middle directions to settle; the last ones need not.
        const ROUNDS: usize = 60;
        let device = crate::Backend::default().device();
        let (count, length) = (points.len().max(1), points.first().map_or(0, Vec::len));
        let middle: Vec<f32> = (0..length)
            .map(|at| (points.iter().map(|point| f64::from(point[at])).sum::<f64>() / count as f64) as f32)
            .collect();
        let centred: Vec<f32> = points
            .iter()
            .flat_map(|point| point.iter().zip(&middle).map(|(value, middle)| value - middle))
            .collect();
        let centred = Tensor::<2>::from_data(TensorData::new(centred, [points.len(), length]), &device);
        let covariance = centred.clone().transpose().matmul(centred) / count as f32; // [length, length]
        let mut directions: Vec<f32> = (0..DIMENSIONS * length).map(|_| chance.normal()).collect();
        let mut deviations = vec![0.0; DIMENSIONS];
        for _ in 0..ROUNDS {
            orthonormal(&mut directions, length);
            let rows =
                Tensor::<2>::from_data(TensorData::new(directions.clone(), [DIMENSIONS, length]), &device);
            let turned = rows.matmul(covariance.clone()); // [dimensions, length]
            let turned: Vec<f32> = turned.into_data().try_to_vec().unwrap_or_default();
            for ((deviation, from), to) in
                deviations.iter_mut().zip(directions.chunks(length)).zip(turned.chunks(length))
            {
                *deviation = from.iter().zip(to).map(|(a, b)| a * b).sum::<f32>().max(0.0).sqrt();
            }
            if turned.len() == directions.len() {
                directions = turned;
            }
        }
        orthonormal(&mut directions, length);
        Subspace { middle, directions, deviations }
    }
}

/// Makes rows of this length orthonormal, one after the other (modified Gram–Schmidt).
#[cfg(feature = "train")]
fn orthonormal(rows: &mut [f32], length: usize) {
    for row in 0..rows.len() / length.max(1) {
        let (before, rest) = rows.split_at_mut(row * length);
        let current = &mut rest[..length];
        for earlier in before.chunks(length) {
            let along: f32 = earlier.iter().zip(current.iter()).map(|(a, b)| a * b).sum();
            current.iter_mut().zip(earlier).for_each(|(value, earlier)| *value -= along * earlier);
        }
        let norm = current.iter().map(|value| value * value).sum::<f32>().sqrt().max(f32::MIN_POSITIVE);
        current.iter_mut().for_each(|value| *value /= norm);
    }
}

#[cfg(all(test, feature = "train"))]
mod tests {
    use super::*;
    use crate::chance::Chance;

    #[test]
    fn points_beside_and_far_along_what_is_usual_are_far() {
        let mut chance = Chance::new(1, 0);
        // Forty directions of one hundred vary, the rest hardly.
        let mut point = |scale: f32| -> Vec<f32> {
            (0..100).map(|at| chance.normal() * if at < 40 { scale } else { 0.01 }).collect()
        };
        let points: Vec<Vec<f32>> = (0..400).map(|_| point(1.0)).collect();
        let fresh = point(1.0);
        let far = point(6.0);
        let subspace = Subspace::fit(&points, &mut Chance::new(2, 0));
        let usual = subspace.distance(&fresh);
        assert!((0.3..3.0).contains(&usual.within), "{usual:?}");
        assert!(subspace.distance(&far).within > 10.0 * usual.within);
        let mut beside = fresh;
        beside[70] = 5.0;
        assert!(subspace.distance(&beside).beside > usual.beside + 20.0);
        assert_eq!(subspace.distance(&[0.0; 3]).within, f32::INFINITY);
    }
}
