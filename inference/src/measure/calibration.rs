//! Whether probabilities can be believed.

use serde::{Deserialize, Serialize};

use super::table::rounded;

/// Bins of equal width.
const BINS: usize = 10;

/// How far what is said lies from what is so.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Calibration {
    /// Expected calibration error over ten bins, 0 to 1 (Naeini et al., AAAI 2015).
    pub error: f64,
    /// Brier score: the mean square of probability minus truth, 0 to 1.
    pub brier: f64,
    /// The calibration curve, bins without a case left out.
    pub curve: Vec<CalibrationBin>,
}

/// One point of the curve.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CalibrationBin {
    /// Cases in the bin.
    pub cases: usize,
    /// The mean probability that was said, 0 to 1.
    pub said: f64,
    /// The share that was so, 0 to 1.
    pub seen: f64,
}

impl Calibration {
    /// Of pairs of a probability and whether it was so.
    pub fn of(pairs: impl Iterator<Item = (f32, bool)>) -> Calibration {
        let mut bins = [(0usize, 0.0f64, 0usize); BINS];
        let mut square = 0.0;
        for (probability, truth) in pairs {
            let (count, said, seen) = &mut bins[((probability * BINS as f32) as usize).min(BINS - 1)];
            *count += 1;
            *said += f64::from(probability);
            *seen += usize::from(truth);
            square += (f64::from(probability) - f64::from(u8::from(truth))).powi(2);
        }
        let all = bins.iter().map(|(count, ..)| count).sum::<usize>().max(1) as f64;
        let gap = |(_, said, seen): &(usize, f64, usize)| (*seen as f64 - said).abs() / all;
        let point = |(cases, said, seen): &(usize, f64, usize)| CalibrationBin {
            cases: *cases,
            said: rounded(said / *cases as f64),
            seen: rounded(*seen as f64 / *cases as f64),
        };
        Calibration {
            error: rounded(bins.iter().map(gap).sum()),
            brier: rounded(square / all),
            curve: bins.iter().filter(|(count, ..)| *count > 0).map(point).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_and_what_is_seen_are_compared_bin_by_bin() {
        let pairs = [(0.05, false), (0.05, true), (0.95, true), (1.0, true)];
        let calibration = Calibration::of(pairs.into_iter());
        assert_eq!(calibration.curve.len(), 2);
        assert_eq!(calibration.curve[0], CalibrationBin { cases: 2, said: 0.05, seen: 0.5 });
        // |1 − 0.10| and |2 − 1.95| of four.
        assert!((calibration.error - 0.2375).abs() < 1e-4);
        assert_eq!(Calibration::of(std::iter::empty()), Calibration::default());
    }
}
