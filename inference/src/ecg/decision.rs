//! From the answers of the network to a class with a probability.

use serde::{Deserialize, Serialize};

use super::network::{QUESTIONS, Question, logistic};
use super::rhythm::BeatClass;

/// The probability given for a paced beat. The rule that finds the pulse is not a probability. In the two paced
/// recordings, on which it was chosen, it was right about all 3,103 beats that it marked; this claims less.
const PACED_PROBABILITY: f32 = 0.95;

/// How the logit of one question becomes a probability, and from which on it is answered with yes.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// The logit is multiplied by this (Platt, "Probabilistic outputs for support vector machines", 1999).
    pub slope: f32,
    /// And this is added.
    pub offset: f32,
    /// The least probability that is answered with yes.
    pub threshold: f32,
}

/// What the model needs beside its weights.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Decision {
    /// The patient whom each member never saw.
    pub patients: Vec<String>,
    /// Artefact, ventricular, supraventricular.
    pub rules: [Rule; QUESTIONS],
    /// Recordings farther out than this are refused; see [`EcgModel::distance_unseen`](super::EcgModel::distance_unseen).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub novelty_limit: Option<f32>,
}

/// The most members that weights are read for: one for each patient that was learned from.
const MAX_MEMBERS: usize = 256;

impl Decision {
    /// Whether something can be decided by it.
    pub(crate) fn is_possible(&self) -> bool {
        let rule = |rule: &Rule| {
            rule.slope.is_finite() && rule.offset.is_finite() && (0.0..=1.0).contains(&rule.threshold)
        };
        (1..=MAX_MEMBERS).contains(&self.patients.len())
            && self.rules.iter().all(rule)
            && self.novelty_limit.is_none_or(|limit| limit.is_finite() && limit > 0.0)
    }

    /// The probabilities that a beat is ventricular and that it is supraventricular.
    pub(crate) fn ectopic(&self, logits: [f32; QUESTIONS]) -> [f32; 2] {
        let of = |question: Question| self.rules[question as usize].probability(logits[question as usize]);
        let ventricular = of(Question::Ventricular);
        [ventricular, of(Question::Supraventricular) * (1.0 - ventricular)]
    }

    /// The class of a beat and its probability; `None` if it is no beat.
    pub(crate) fn class(&self, logits: [f32; QUESTIONS], paced: bool) -> Option<(BeatClass, f32)> {
        let probability =
            |question: Question| self.rules[question as usize].probability(logits[question as usize]);
        let yes = |question: Question| probability(question) >= self.rules[question as usize].threshold;
        if yes(Question::Artefact) {
            return None;
        }
        if paced {
            return Some((BeatClass::Unknown, PACED_PROBABILITY));
        }
        let [ventricular, supraventricular] = self.ectopic(logits);
        if yes(Question::Ventricular) {
            return Some((BeatClass::Ventricular, ventricular));
        }
        if yes(Question::Supraventricular) {
            return Some((BeatClass::Supraventricular, supraventricular));
        }
        Some((BeatClass::Normal, (1.0 - ventricular - supraventricular).clamp(0.0, 1.0)))
    }
}

impl Rule {
    pub(crate) fn probability(&self, logit: f32) -> f32 {
        logistic(self.slope * logit + self.offset)
    }

    /// Slope and offset by Newton's method on the weighted cross-entropy; the threshold with the best F1 over all
    /// beats. Each answer is a logit, the truth, and the weight for calibration.
    #[cfg(feature = "train")]
    pub(crate) fn fit(answers: &[(f32, bool, f64)]) -> Rule {
        let (mut slope, mut offset) = (1.0f64, 0.0f64);
        for _ in 0..50 {
            let mut gradient = [0.0f64; 2];
            let mut curvature = [[1e-6, 0.0], [0.0, 1e-6f64]];
            for (logit, yes, weight) in answers {
                let x = f64::from(*logit);
                let p = 1.0 / (1.0 + (-(slope * x + offset)).exp());
                let error = weight * (p - f64::from(u8::from(*yes)));
                let bend = weight * p * (1.0 - p);
                gradient[0] += error * x;
                gradient[1] += error;
                curvature[0][0] += bend * x * x;
                curvature[0][1] += bend * x;
                curvature[1][1] += bend;
            }
            let [[a, b], [_, d]] = curvature;
            let determinant = a * d - b * b;
            if determinant.abs() < 1e-12 {
                break;
            }
            slope -= (d * gradient[0] - b * gradient[1]) / determinant;
            offset -= (a * gradient[1] - b * gradient[0]) / determinant;
        }
        let mut rule = Rule { slope: slope as f32, offset: offset as f32, threshold: 0.5 };
        rule.threshold = rule.best_threshold(answers);
        rule
    }

    #[cfg(feature = "train")]
    fn best_threshold(&self, answers: &[(f32, bool, f64)]) -> f32 {
        let candidates = (1..100).map(|step| step as f32 / 100.0);
        let f1 = |threshold: f32| {
            let (mut hits, mut called, mut all) = (0.0f64, 0.0, 0.0);
            for (logit, yes, _) in answers {
                let call = self.probability(*logit) >= threshold;
                hits += f64::from(u8::from(call && *yes));
                called += f64::from(u8::from(call));
                all += f64::from(u8::from(*yes));
            }
            2.0 * hits / (called + all).max(1.0)
        };
        candidates.max_by(|left, right| f1(*left).total_cmp(&f1(*right))).unwrap_or(0.5)
    }
}
