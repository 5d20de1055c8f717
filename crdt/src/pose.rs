//! Where something is in a room: metres, Y up, right-handed, −Z forward, as in WebXR and glTF 2.0.

use serde::{Deserialize, Serialize};

/// The farthest from the origin, in metres along each axis, that something may be.
pub const MAX_COORDINATE_M: f32 = 1_000.0;

/// How far the length of a quaternion may be from one: what rounding to `f32` and text can cost.
const UNIT_TOLERANCE: f32 = 1e-3;

/// A position and an orientation.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Pose {
    /// Metres from the room's origin: x right, y up, z towards the viewer.
    pub position_m: [f32; 3],
    /// Unit quaternion x, y, z, w.
    pub orientation: [f32; 4],
}

/// Numbers that are no pose.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PoseError {
    /// A coordinate is not finite or farther than [`MAX_COORDINATE_M`].
    #[error("position must be finite and within {MAX_COORDINATE_M} m of the origin")]
    Position,
    /// The orientation is not finite or not of length one.
    #[error("orientation must be a unit quaternion")]
    Orientation,
}

impl Pose {
    /// At this position in metres, facing forward (−Z).
    ///
    /// # Errors
    /// [`PoseError::Position`] when a coordinate is not finite or too far.
    pub fn at(x: f32, y: f32, z: f32) -> Result<Self, PoseError> {
        let pose = Self { position_m: [x, y, z], orientation: [0.0, 0.0, 0.0, 1.0] };
        pose.check().map(|()| pose)
    }

    /// Checks the limits of [`PoseError`].
    ///
    /// # Errors
    /// [`PoseError`] names the first check that fails.
    pub fn check(&self) -> Result<(), PoseError> {
        if !self.position_m.iter().all(|c| c.is_finite() && c.abs() <= MAX_COORDINATE_M) {
            return Err(PoseError::Position);
        }
        let length = self.orientation.iter().map(|c| c * c).sum::<f32>().sqrt();
        if length.is_nan() || (length - 1.0).abs() > UNIT_TOLERANCE {
            return Err(PoseError::Orientation);
        }
        Ok(())
    }

    /// Straight distance in metres between two positions.
    pub fn distance_m(&self, other: &Self) -> f32 {
        let squares = self.position_m.iter().zip(&other.position_m).map(|(a, b)| (a - b) * (a - b));
        squares.sum::<f32>().sqrt()
    }

    /// The seven numbers, little-endian: one value, so that concurrent moves conflict as a whole.
    pub(crate) fn to_bytes(self) -> Vec<u8> {
        self.position_m.iter().chain(&self.orientation).flat_map(|c| c.to_le_bytes()).collect()
    }

    /// Reads [`Pose::to_bytes`] within the limits.
    pub(crate) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (numbers, rest) = bytes.as_chunks::<4>();
        let [x, y, z, qx, qy, qz, qw] =
            numbers.iter().map(|b| f32::from_le_bytes(*b)).collect::<Vec<_>>()[..]
        else {
            return None;
        };
        let pose = Self { position_m: [x, y, z], orientation: [qx, qy, qz, qw] };
        (rest.is_empty() && pose.check().is_ok()).then_some(pose)
    }
}

#[cfg(test)]
mod tests {
    use std::f32::consts::FRAC_1_SQRT_2;

    use super::*;

    #[test]
    fn a_pose_reads_back_and_keeps_its_limits() {
        let pose = Pose::at(1.5, 1.2, -0.25).unwrap();
        assert_eq!(Pose::from_bytes(&pose.to_bytes()), Some(pose));
        assert!(Pose::at(1_000.0, 0.0, 0.0).is_ok());
        for wrong in [1_000.1, f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            assert_eq!(Pose::at(0.0, wrong, 0.0), Err(PoseError::Position));
        }
        assert_eq!(Pose::from_bytes(&pose.to_bytes()[1..]), None);
        assert_eq!(Pose::from_bytes(&[pose.to_bytes(), vec![0]].concat()), None);
        assert_eq!(Pose::from_bytes(&[0; 4000]), None);
    }

    #[test]
    fn an_orientation_is_of_length_one() {
        let turned = |orientation| Pose { orientation, ..Pose::at(0.0, 0.0, 0.0).unwrap() }.check();
        assert_eq!(turned([0.0, FRAC_1_SQRT_2, 0.0, FRAC_1_SQRT_2]), Ok(()));
        for wrong in [[0.0; 4], [1.0; 4], [f32::NAN, 0.0, 0.0, 1.0], [f32::MAX; 4]] {
            assert_eq!(turned(wrong), Err(PoseError::Orientation));
        }
    }
}
