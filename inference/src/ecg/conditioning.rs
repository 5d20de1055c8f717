//! From samples as a file gives them to what detection and features work on: 360 Hz, gaps bridged and
//! remembered, the slow wander of the baseline and the fast hum taken out.

use super::filter::{Section, moving_mean, resample};
use super::signal::Lead;

/// The rate everything inside works at, in hertz: that of the MIT-BIH recordings it is measured on.
pub(crate) const WORKING_RATE_HZ: f64 = 360.0;
/// Below this, in hertz, is breathing and movement. A filter without phase shift may go to 0.67 Hz without
/// bending the ST segment (Kligfield et al., AHA/ACC/HRS recommendations part I, 2007); this is gentler.
pub(crate) const BASELINE_HZ: f64 = 0.5;
/// Above this, in hertz, is muscle and mains: the usual limit of monitors (same source).
const NOISE_HZ: f64 = 40.0;
/// Samples beyond this many millivolts are no heart's; clipped so that arithmetic stays finite.
const LARGEST_MV: f32 = 1e9;

/// Samples of working time in `seconds`.
pub(crate) const fn samples(seconds: f64) -> usize {
    (seconds * WORKING_RATE_HZ + 0.5) as usize
}

/// Where noise begins in a signal of this rate, in hertz: 40, or less where sampling is too slow to have that.
pub(crate) fn noise_hz(sampling_rate_hz: f64) -> f64 {
    NOISE_HZ.min(sampling_rate_hz * 0.4)
}

/// One lead at the working rate.
pub(crate) struct Conditioned {
    /// Between 0.5 and 40 Hz, in millivolts.
    pub(crate) samples_mv: Vec<f32>,
    /// The share of missing samples within a second around, 0 to 1; empty when none is missing.
    missing: Vec<f32>,
}

impl Conditioned {
    /// Resamples and filters a lead of a signal with the given rate.
    pub(crate) fn of(lead: &Lead, sampling_rate_hz: f64) -> Conditioned {
        let (bridged, gaps) = bridge(&lead.samples_mv);
        let mut samples_mv = resample(&bridged, sampling_rate_hz, WORKING_RATE_HZ);
        Section::high_pass(BASELINE_HZ, WORKING_RATE_HZ).run(&mut samples_mv);
        Section::low_pass(noise_hz(sampling_rate_hz), WORKING_RATE_HZ).run(&mut samples_mv);
        let step = sampling_rate_hz / WORKING_RATE_HZ;
        let missing = if gaps.is_empty() {
            Vec::new()
        } else {
            let at = |index: usize| f32::from(gaps[((index as f64 * step) as usize).min(gaps.len() - 1)]);
            moving_mean(&(0..samples_mv.len()).map(at).collect::<Vec<f32>>(), samples(1.0))
        };
        Conditioned { samples_mv, missing }
    }

    /// The share of samples missing around a sample, 0 to 1.
    pub(crate) fn missing(&self, index: usize) -> f32 {
        self.missing.get(index).copied().unwrap_or(0.0)
    }
}

/// The samples with straight lines across what is missing, and where that was (empty: nowhere).
pub(crate) fn bridge(given: &[f32]) -> (Vec<f32>, Vec<u8>) {
    let mut bridged: Vec<f32> = given.iter().map(|sample| sample.clamp(-LARGEST_MV, LARGEST_MV)).collect();
    if !given.iter().any(|sample| sample.is_nan()) {
        return (bridged, Vec::new());
    }
    let gaps: Vec<u8> = given.iter().map(|sample| u8::from(sample.is_nan())).collect();
    let mut index = 0;
    while index < bridged.len() {
        if gaps[index] == 0 {
            index += 1;
            continue;
        }
        let end = gaps[index..].iter().position(|gap| *gap == 0).map_or(bridged.len(), |ahead| index + ahead);
        let before = index.checked_sub(1).map(|last| bridged[last]);
        let after = bridged.get(end).copied();
        let (from, to) = (before.or(after).unwrap_or(0.0), after.or(before).unwrap_or(0.0));
        let steps = (end - index + 1) as f32;
        for (step, sample) in bridged[index..end].iter_mut().enumerate() {
            *sample = from + (to - from) * (step + 1) as f32 / steps;
        }
        index = end;
    }
    (bridged, gaps)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gaps_are_bridged_by_straight_lines() {
        let nan = f32::NAN;
        assert_eq!(bridge(&[1.0, nan, nan, 4.0, nan]).0, [1.0, 2.0, 3.0, 4.0, 4.0]);
        assert_eq!(bridge(&[nan, 2.0]).0, [2.0, 2.0]);
        assert_eq!(bridge(&[nan, nan]).0, [0.0, 0.0]);
        assert!(bridge(&[1.0, 2.0]).1.is_empty());
    }

    #[test]
    fn a_lead_at_another_rate_keeps_its_duration() {
        for rate in [50.0, 125.0, 360.0, 977.0, 2_000.0] {
            let lead = Lead { name: "II".into(), samples_mv: vec![0.1; (rate * 10.0) as usize] };
            let length = Conditioned::of(&lead, rate).samples_mv.len();
            assert!(length.abs_diff(3_600) <= 8, "{length} at {rate} Hz");
        }
    }
}
