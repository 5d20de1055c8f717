//! What is chosen besides the weights, after they have been rounded to 16 bits as they will be shipped.

use super::distort::distort;
use super::{CHOICES, Squares, XrayTrainError};
use crate::chance::Chance;
use crate::xray::classifier::looks;
use crate::xray::conditioning::Square;
use crate::xray::decision::XrayDecision;
use crate::xray::familiarity::{Distance, Subspace, grey_point};
use crate::xray::network::{MemberValues, Network, VECTOR};
use crate::{Backend, Precision};

/// How much validation images are distorted, as much as those of training: with more, wider limits let upside-down pictures
/// pass, and the balance lay where one ill picture in nine was missed.
const STRESS: f32 = 1.0;
/// Distorted copies of each validation image, beside itself.
const COPIES: usize = 4;
/// Training images of each class from which the subspaces are learned; each counts as it is and distorted.
const USUAL_OF_CLASS: usize = 1_000;
/// This share of the distorted validation images lies within each limit.
const WITHIN: f64 = 0.998;
/// A limit is so much farther than the image by which it is set, so that this image passes on every machine: the last bits of
/// sums differ between processors.
const MARGIN: f32 = 1.001;

/// Weights and decision.
pub(super) fn finish(
    values: &[MemberValues],
    training: &Squares,
    validation: &Squares,
    seed: u64,
) -> Result<(Vec<u8>, XrayDecision), XrayTrainError> {
    let device = Backend::default().device();
    let mut chance = Chance::new(seed, CHOICES + 1);
    let length = values.len() * VECTOR;
    let bare = Network::of(values, Subspace::empty(length), &device).ok_or(XrayTrainError::Weights)?;
    let usual = usual_squares(training, &mut chance);
    let greys: Vec<Vec<f32>> = usual.iter().map(grey_point).collect();
    let vectors: Vec<Vec<f32>> = bare.say(&usual, &device).into_iter().map(|said| said.vector).collect();
    let subspaces = [Subspace::fit(&greys, &mut chance), Subspace::fit(&vectors, &mut chance)];
    let network = Network::of(values, subspaces, &device).ok_or(XrayTrainError::Weights)?;
    let weights = network.write(Precision::Half).ok_or(XrayTrainError::Weights)?;
    let shipped = Network::read(&weights, values.len(), &device).ok_or(XrayTrainError::Weights)?;
    let [grey, vector] = shipped.usual().values().ok_or(XrayTrainError::Weights)?;

    let (mut answers, mut far) = (Vec::new(), [Vec::new(), Vec::new()]);
    for (class, squares) in validation.of.iter().enumerate() {
        for square in squares {
            for copy in 0..=COPIES {
                let seen = if copy == 0 { *square } else { distort(square, STRESS, &mut chance) };
                let said = looks(&shipped, &seen, &device);
                answers.push((said.logit, class == 1));
                far[0].push(grey.distance(&grey_point(&seen)));
                far[1].push(vector.distance(&said.vector));
            }
        }
    }
    let balance = balance(&answers);
    let [grey_limits, vector_limits] = far.map(|distances| limits(&distances));
    let decision = XrayDecision {
        members: values.len(),
        balance,
        slope: slope(&answers, balance),
        grey_limits,
        vector_limits,
    };
    Ok((weights, decision))
}

/// Training images of both classes, as they are and distorted.
fn usual_squares(training: &Squares, chance: &mut Chance) -> Vec<Square> {
    let mut usual = Vec::new();
    for class in &training.of {
        for index in 0..class.len().min(USUAL_OF_CLASS) {
            let square = class[index * class.len() / class.len().min(USUAL_OF_CLASS)];
            usual.push(square);
            usual.push(distort(&square, 1.0, chance));
        }
    }
    usual
}

/// The distances that the wanted share stays below.
fn limits(distances: &[Distance]) -> Distance {
    let quantile = |of: fn(&Distance) -> f32| {
        let mut values: Vec<f32> = distances.iter().map(of).collect();
        values.sort_by(f32::total_cmp);
        let at = (values.len() as f64 * WITHIN) as usize;
        values.get(at.min(values.len().saturating_sub(1))).map_or(f32::INFINITY, |value| value * MARGIN)
    };
    Distance { within: quantile(|distance| distance.within), beside: quantile(|distance| distance.beside) }
}

/// The logit at which sensitivity equals specificity: halfway between the two answers where they cross.
fn balance(answers: &[(f32, bool)]) -> f32 {
    let mut sorted: Vec<(f32, bool)> = answers.to_vec();
    sorted.sort_by(|left, right| left.0.total_cmp(&right.0));
    let ill = sorted.iter().filter(|(_, ill)| *ill).count().max(1) as f64;
    let well = (sorted.len() as f64 - ill).max(1.0);
    // Walking up, the threshold passes one answer after the other.
    let (mut missed, mut cleared) = (0.0, 0.0);
    for pair in sorted.windows(2) {
        let (logit, is_ill) = pair[0];
        if is_ill {
            missed += 1.0;
        } else {
            cleared += 1.0;
        }
        if cleared / well >= 1.0 - missed / ill {
            return f32::midpoint(logit, pair[1].0);
        }
    }
    sorted.last().map_or(0.0, |(logit, _)| *logit)
}

/// The slope with the least cross-entropy, each class counting the same, by Newton's method.
fn slope(answers: &[(f32, bool)], balance: f32) -> f32 {
    let ill = answers.iter().filter(|(_, ill)| *ill).count().max(1) as f64;
    let well = (answers.len() as f64 - ill).max(1.0);
    let mut slope = 1.0f64;
    for _ in 0..50 {
        let (mut gradient, mut curvature) = (0.0, 1e-9);
        for (logit, is_ill) in answers {
            let x = f64::from(logit - balance);
            let weight = 1.0 / if *is_ill { ill } else { well };
            let p = 1.0 / (1.0 + (-slope * x).exp());
            gradient += weight * (p - f64::from(u8::from(*is_ill))) * x;
            curvature += weight * p * (1.0 - p) * x * x;
        }
        slope = (slope - gradient / curvature).clamp(1e-3, 1e3);
    }
    slope as f32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_balance_is_where_sensitivity_equals_specificity() {
        let answers: Vec<(f32, bool)> = (0..100)
            .map(|at| (at as f32 / 10.0, false))
            .chain((0..400).map(|at| (8.0 + at as f32 / 40.0, true)))
            .collect();
        let at = balance(&answers);
        let well = answers.iter().filter(|(logit, ill)| !ill && *logit < at).count() as f64 / 100.0;
        let ill = answers.iter().filter(|(logit, ill)| *ill && *logit >= at).count() as f64 / 400.0;
        assert!((well - ill).abs() < 0.02, "{well} {ill}");
    }

    #[test]
    fn the_slope_makes_probabilities_right() {
        // At logit 2 three of four are ill, at −2 one of four: ln 3 = 2 · slope.
        let answers: Vec<(f32, bool)> =
            (0..80).map(|at| (2.0, at % 4 != 0)).chain((0..80).map(|at| (-2.0, at % 4 == 0))).collect();
        assert!((slope(&answers, 0.0) - 3f32.ln() / 2.0).abs() < 1e-4);
    }
}
