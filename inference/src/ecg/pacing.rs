//! Beats of a pacemaker: a pulse of a millisecond or two stands before the complex, far faster than anything a
//! heart makes.

use super::conditioning::{WORKING_RATE_HZ, samples};
use super::detection::Beat;
use super::features::choose;
use super::filter::{Section, median, resample};
use super::signal::EcgSignal;

/// What is faster than this, in hertz, is a pulse, a steep complex, or noise.
const FAST_HZ: f64 = 60.0;
/// Recordings slower than this, in hertz, do not show the pulse.
const LEAST_RATE_HZ: f64 = 250.0;
/// The pulse stands this long before the largest deflection of the complex, in seconds.
const BEFORE_S: (f64, f64) = (0.140, 0.020);
/// It is at least this large in what is fast, in millivolts.
const LEAST_MV: f32 = 0.045;
/// And this many times as large as what is fast around it.
const OVER_NOISE: f32 = 6.0;
/// A pacemaker shows in at least this share of the beats; fewer are taken for noise.
const LEAST_SHARE: f64 = 0.10;

/// For each beat whether a pacemaker's pulse stands before it.
pub(crate) fn paced(signal: &EcgSignal, beats: &[Beat]) -> Vec<bool> {
    let mut paced = vec![false; beats.len()];
    if signal.sampling_rate_hz() < LEAST_RATE_HZ {
        return paced;
    }
    let scale = WORKING_RATE_HZ / signal.sampling_rate_hz();
    for lead in choose(signal.leads()).into_iter().flatten() {
        let given: Vec<f32> =
            signal.leads()[lead].samples_mv.iter().map(|mv| if mv.is_nan() { 0.0 } else { *mv }).collect();
        let mut fast = resample(&given, signal.sampling_rate_hz(), WORKING_RATE_HZ);
        Section::high_pass(FAST_HZ, WORKING_RATE_HZ).run(&mut fast);
        let mut here = vec![false; beats.len()];
        for (beat, found) in beats.iter().zip(&mut here) {
            let at = (beat.sample as f64 * scale).round() as usize;
            *found = pulse(&fast, at);
        }
        let share = here.iter().filter(|found| **found).count() as f64 / beats.len().max(1) as f64;
        if share >= LEAST_SHARE {
            paced.iter_mut().zip(here).for_each(|(paced, here)| *paced |= here);
        }
    }
    paced
}

fn pulse(fast: &[f32], at: usize) -> bool {
    let piece = |from: usize, to: usize| &fast[from.min(fast.len())..to.min(fast.len())];
    let before = piece(at.saturating_sub(samples(BEFORE_S.0)), at.saturating_sub(samples(BEFORE_S.1)));
    let around = piece(at.saturating_sub(samples(0.4)), at + samples(0.4));
    let noise = median(&mut around.iter().map(|mv| mv.abs()).collect::<Vec<_>>());
    let largest = before.iter().fold(0.0f32, |largest, mv| largest.max(mv.abs()));
    largest >= LEAST_MV && largest >= OVER_NOISE * noise
}
