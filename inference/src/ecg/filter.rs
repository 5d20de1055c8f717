//! The few filters the ECG needs: second-order Butterworth sections run forwards and backwards (so that no
//! wave is moved in time), moving averages, medians, and a change of sampling rate.

use std::f64::consts::PI;

/// One second-order section. Coefficients as in R. Bristow-Johnson, "Cookbook formulae for audio EQ biquad
/// filter coefficients" (W3C Note, 2021), with Q = 1/√2, which makes it a Butterworth filter.
#[derive(Clone, Copy)]
pub(crate) struct Section {
    b: [f64; 3],
    a: [f64; 2],
}

impl Section {
    /// Passes what is slower than `cutoff_hz`.
    pub(crate) fn low_pass(cutoff_hz: f64, rate_hz: f64) -> Section {
        let (cosine, alpha) = corner(cutoff_hz, rate_hz);
        let middle = 1.0 - cosine;
        Section::normalised([middle / 2.0, middle, middle / 2.0], cosine, alpha)
    }

    /// Passes what is faster than `cutoff_hz`.
    pub(crate) fn high_pass(cutoff_hz: f64, rate_hz: f64) -> Section {
        let (cosine, alpha) = corner(cutoff_hz, rate_hz);
        let middle = 1.0 + cosine;
        Section::normalised([middle / 2.0, -middle, middle / 2.0], cosine, alpha)
    }

    fn normalised(b: [f64; 3], cosine: f64, alpha: f64) -> Section {
        let scale = 1.0 + alpha;
        Section { b: b.map(|value| value / scale), a: [-2.0 * cosine / scale, (1.0 - alpha) / scale] }
    }

    /// Filters in place, forwards and then backwards: twice the slope, no delay.
    pub(crate) fn run(&self, samples: &mut [f32]) {
        self.pass(samples.iter_mut());
        self.pass(samples.iter_mut().rev());
    }

    /// One pass, begun in the steady state of the first sample so that the start does not ring.
    fn pass<'a>(&self, samples: impl Iterator<Item = &'a mut f32>) {
        let Section { b: [b0, b1, b2], a: [a1, a2] } = *self;
        let mut samples = samples.peekable();
        let first = samples.peek().map_or(0.0, |first| f64::from(**first));
        let settled = first * (b0 + b1 + b2) / (1.0 + a1 + a2);
        let mut late = b2 * first - a2 * settled;
        let mut early = b1 * first - a1 * settled + late;
        for sample in samples {
            let input = f64::from(*sample);
            let output = b0 * input + early;
            early = b1 * input - a1 * output + late;
            late = b2 * input - a2 * output;
            *sample = output as f32;
        }
    }
}

fn corner(cutoff_hz: f64, rate_hz: f64) -> (f64, f64) {
    let (sine, cosine) = (2.0 * PI * cutoff_hz / rate_hz).sin_cos();
    (cosine, sine / 2f64.sqrt())
}

/// The mean over `width` samples around each one; shorter at the ends.
pub(crate) fn moving_mean(samples: &[f32], width: usize) -> Vec<f32> {
    let half = width / 2;
    let mut sums = Vec::with_capacity(samples.len() + 1);
    let mut sum = 0.0;
    sums.push(sum);
    for &sample in samples {
        sum += f64::from(sample);
        sums.push(sum);
    }
    (0..samples.len())
        .map(|index| {
            let (from, to) = (index.saturating_sub(half), (index + half + 1).min(samples.len()));
            ((sums[to] - sums[from]) / (to - from) as f64) as f32
        })
        .collect()
}

/// The value at `fraction` (0 to 1) of the sorted values; 0 when there are none. Reorders `values`.
pub(crate) fn quantile(values: &mut [f32], fraction: f64) -> f32 {
    if values.is_empty() {
        return 0.0;
    }
    let index = ((values.len() - 1) as f64 * fraction).round() as usize;
    *values.select_nth_unstable_by(index, f32::total_cmp).1
}

/// The median; 0 when there are no values. Reorders `values`.
pub(crate) fn median(values: &mut [f32]) -> f32 {
    quantile(values, 0.5)
}

/// Zero crossings of the sinc on each side.
const SINC_CROSSINGS: f64 = 12.0;
/// Positions between two samples for which the kernel is worked out; error of time below 1/1,000 sample.
const SINC_PHASES: usize = 512;

/// The signal at another rate: a sinc under a Hann window, cut off at the lower of the two Nyquist
/// frequencies (J. O. Smith, "Digital Audio Resampling", CCRMA, 2002). Samples must be finite.
pub(crate) fn resample(samples: &[f32], from_hz: f64, to_hz: f64) -> Vec<f32> {
    if from_hz == to_hz {
        return samples.to_vec();
    }
    let cutoff = (to_hz / from_hz).min(1.0) * 0.95;
    let half = (SINC_CROSSINGS / cutoff).ceil() as isize;
    let kernels: Vec<Vec<f32>> =
        (0..SINC_PHASES).map(|phase| kernel(phase as f64 / SINC_PHASES as f64, cutoff, half)).collect();
    let last = samples.len() as isize - 1;
    let step = from_hz / to_hz;
    let count = (samples.len() as f64 / step).floor() as usize;
    (0..count)
        .map(|index| {
            let position = index as f64 * step;
            let phases = (position * SINC_PHASES as f64).round() as usize;
            let (whole, kernel) = ((phases / SINC_PHASES) as isize, &kernels[phases % SINC_PHASES]);
            let from = whole - half;
            if from >= 0 && whole + half <= last {
                let window = &samples[from as usize..=(whole + half) as usize];
                return window.iter().zip(kernel).map(|(sample, weight)| sample * weight).sum();
            }
            kernel
                .iter()
                .enumerate()
                .map(|(tap, weight)| samples[(from + tap as isize).clamp(0, last) as usize] * weight)
                .sum()
        })
        .collect()
}

/// Weights of the `2 * half + 1` samples around a point that lies `fraction` after the middle one.
fn kernel(fraction: f64, cutoff: f64, half: isize) -> Vec<f32> {
    let weights: Vec<f64> = (-half..=half)
        .map(|offset| {
            let distance = offset as f64 - fraction;
            let angle = PI * distance * cutoff;
            let sinc = if angle.abs() < 1e-9 { 1.0 } else { angle.sin() / angle };
            let reach = distance / (half as f64 + 1.0);
            sinc * (0.5 + 0.5 * (PI * reach).cos())
        })
        .collect();
    let sum: f64 = weights.iter().sum();
    weights.into_iter().map(|weight| (weight / sum) as f32).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sine(frequency_hz: f64, rate_hz: f64, seconds: f64) -> Vec<f32> {
        (0..(seconds * rate_hz) as usize)
            .map(|index| (2.0 * PI * frequency_hz * index as f64 / rate_hz).sin() as f32)
            .collect()
    }

    fn middle_peak(samples: &[f32]) -> f32 {
        let quarter = samples.len() / 4;
        samples[quarter..3 * quarter].iter().fold(0.0, |peak, sample| sample.abs().max(peak))
    }

    #[test]
    fn sections_keep_their_band_and_halve_power_twice_at_the_corner() {
        let mut slow = sine(0.05, 360.0, 60.0);
        Section::high_pass(0.5, 360.0).run(&mut slow);
        assert!(middle_peak(&slow) < 0.01);
        let mut fast = sine(10.0, 360.0, 10.0);
        Section::high_pass(0.5, 360.0).run(&mut fast);
        assert!((middle_peak(&fast) - 1.0).abs() < 0.01);
        let mut corner = sine(40.0, 360.0, 10.0);
        Section::low_pass(40.0, 360.0).run(&mut corner);
        assert!((middle_peak(&corner) - 0.5).abs() < 0.01);
    }

    #[test]
    fn constant_signal_does_not_ring() {
        let mut constant = vec![7.5; 1_000];
        Section::high_pass(0.5, 360.0).run(&mut constant);
        assert!(constant.iter().all(|sample| sample.abs() < 1e-4));
    }

    #[test]
    fn resampled_sine_is_the_same_sine() {
        for from_hz in [100.0, 128.0, 250.0, 500.0, 1_000.0, 2_000.0] {
            let resampled = resample(&sine(7.0, from_hz, 10.0), from_hz, 360.0);
            let expected = sine(7.0, 360.0, 10.0);
            for (index, (got, want)) in resampled.iter().zip(&expected).enumerate().skip(400).take(2_800) {
                assert!((got - want).abs() < 0.005, "{from_hz} Hz, sample {index}: {got} for {want}");
            }
        }
    }

    #[test]
    fn moving_mean_is_centred() {
        assert_eq!(moving_mean(&[0.0, 0.0, 3.0, 0.0, 0.0], 3), [0.0, 1.0, 1.0, 1.0, 0.0]);
    }
}
