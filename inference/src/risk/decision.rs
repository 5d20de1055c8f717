//! From the sum of a model to a probability.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// What training chose besides the weights.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RiskDecision {
    /// SHA-256 over the names of the columns: weights of other fields are refused.
    pub columns_sha256: String,
    /// What each part of the members never saw: names of hospitals, or numbers of patients' groups.
    pub parts: Vec<String>,
    /// Members in each part.
    pub draws: usize,
    /// The share that was so among those it was learned from.
    pub share: f64,
    /// The lowest and highest number of each field that it was learned from.
    pub seen: BTreeMap<String, [f64; 2]>,
    /// For a person whom no member saw: fitted on all held-out answers.
    pub calibration: Platt,
    /// For each part: fitted on the held-out answers of the other parts only.
    pub part_calibration: Vec<Platt>,
}

/// Platt's calibration: probability = 1 / (1 + e^−(slope · sum + offset)) (Platt, "Probabilistic outputs for support
/// vector machines", 1999).
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Platt {
    /// Below 1 where the members were too sure.
    pub slope: f64,
    /// Added to the sum.
    pub offset: f64,
}

impl Platt {
    /// The calibrated sum, in log-odds.
    pub(crate) fn logit(self, sum: f64) -> f64 {
        self.slope * sum + self.offset
    }

    pub(crate) fn possible(self) -> bool {
        self.slope.is_finite() && self.slope > 0.0 && self.offset.is_finite()
    }

    /// By Newton's method over pairs of a sum and whether it was so; without `shifts` the slope alone.
    #[cfg(feature = "train")]
    pub(crate) fn fit(pairs: &[(f64, bool)], shifts: bool) -> Platt {
        /// A little of the slope 1 stays, so that a handful of cases cannot tear it away.
        const HOLD: f64 = 1e-3;
        const STEPS: usize = 50;
        let mut platt = Platt { slope: 1.0, offset: 0.0 };
        let count = pairs.len().max(1) as f64;
        for _ in 0..STEPS {
            let (mut slope, mut offset) = (HOLD * (platt.slope - 1.0), 0.0);
            let (mut ss, mut so, mut oo) = (HOLD, 0.0, 1e-9);
            for (sum, truth) in pairs {
                let said = probability(platt.logit(*sum));
                let wrong = (said - f64::from(u8::from(*truth))) / count;
                let weight = said * (1.0 - said) / count;
                slope += wrong * sum;
                offset += wrong;
                ss += weight * sum * sum;
                so += weight * sum;
                oo += weight;
            }
            let step = if shifts {
                let determinant = ss * oo - so * so;
                [(oo * slope - so * offset) / determinant, (ss * offset - so * slope) / determinant]
            } else {
                [slope / ss, 0.0]
            };
            // Far steps are cut: Newton's method may overshoot where nearly all are called rightly.
            platt.slope = (platt.slope - step[0].clamp(-0.5, 0.5)).max(0.05);
            platt.offset -= step[1].clamp(-0.5, 0.5);
            if step.iter().all(|step| step.abs() < 1e-10) {
                break;
            }
        }
        platt
    }
}

/// The probability of log-odds.
pub(crate) fn probability(logit: f64) -> f64 {
    1.0 / (1.0 + (-logit).exp())
}

#[cfg(all(test, feature = "train"))]
mod tests {
    use super::*;

    #[test]
    fn sums_that_are_too_sure_are_pulled_in() {
        let mut pairs = Vec::new();
        for step in 1..100u32 {
            let truth = f64::from(step) / 100.0;
            let sum = 3.0 * (truth / (1.0 - truth)).ln() + 1.0;
            pairs.extend((0..100).map(|at| (sum, at < step)));
        }
        let platt = Platt::fit(&pairs, true);
        assert!((platt.slope - 1.0 / 3.0).abs() < 0.02, "{platt:?}");
        assert!((platt.logit(1.0)).abs() < 0.05, "{platt:?}");
        assert_eq!(Platt::fit(&pairs, false).offset, 0.0);
    }

    #[test]
    fn one_sided_and_no_cases_give_something_possible() {
        for pairs in [vec![], vec![(1.0, true)], vec![(-2.0, false), (3.0, true)]] {
            assert!(Platt::fit(&pairs, true).possible() && Platt::fit(&pairs, false).possible());
        }
    }
}
