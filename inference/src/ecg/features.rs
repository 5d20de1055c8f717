//! What describes a beat to a classifier: its intervals against the patient's own rhythm, and its shape against
//! the patient's own median beat. Intervals as in de Chazal, O'Dwyer and Reilly, "Automatic classification of
//! heartbeats using ECG morphology and heartbeat interval features", IEEE Trans Biomed Eng 2004.

use std::fmt;

use super::conditioning::{Conditioned, WORKING_RATE_HZ, samples};
use super::detection::Beat;
use super::filter::{median, moving_mean};
use super::signal::{EcgSignal, Lead};

/// Points of the shape of a beat on one lead: from 240 ms before to 400 ms after it, every 20 ms.
pub const MORPHOLOGY_POINTS: usize = 33;
const BEFORE_S: f64 = 0.240;
const STEP_S: f64 = 0.020;
/// Leads that are described; a recording with one has zeros for the other.
const LEADS: usize = 2;
/// Intervals of the local mean (de Chazal 2004: ten).
const LOCAL_INTERVALS: usize = 10;
/// The median beat is taken over at most this many, spread evenly.
const MEDIAN_BEATS: usize = 2_000;
/// A complex lasts while its slope is above this share of its steepest.
const QRS_SLOPE_SHARE: f32 = 0.15;
/// It is looked for this far to both sides, in seconds: twice the widest that is usual.
const QRS_REACH_S: f64 = 0.150;
/// And ends when the slope stays low this long, in seconds.
const QRS_QUIET_S: f64 = 0.020;
/// No ratio is reported above this, nor below its negative.
const LARGEST: f32 = 20.0;
const RHYTHM_NAMES: [&str; 10] = [
    "rr_previous_s",
    "rr_next_s",
    "rr_local_mean_s",
    "rr_record_mean_s",
    "rr_previous_to_next",
    "rr_previous_to_local",
    "rr_next_to_local",
    "rr_previous_to_record",
    "rr_next_to_record",
    "rr_local_to_record",
];
const LEAD_NAMES: [&str; 6] = [
    "present",
    "distance_to_median",
    "correlation_with_median",
    "amplitude_ratio",
    "qrs_width_s",
    "qrs_width_ratio",
];

/// A row for each beat; every value is finite.
#[derive(Clone, PartialEq)]
pub struct Features {
    /// A row for each beat, with a value for each name.
    pub rows: Vec<Vec<f32>>,
    /// What each column holds, with the unit last (`_s` seconds; the others have none).
    pub names: Vec<String>,
}

impl fmt::Debug for Features {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Features({} rows, {} columns)", self.rows.len(), self.names.len())
    }
}

/// Describes beats of a signal: ten columns of intervals, then for each of two leads six of summary and 33 of
/// shape. The first lead is the one like II, the second the one like V1, or else the next in the file.
pub fn features(signal: &EcgSignal, beats: &[Beat]) -> Features {
    let mut rows = intervals(signal, beats);
    let mut names: Vec<String> = RHYTHM_NAMES.iter().map(|name| (*name).to_owned()).collect();
    for (slot, chosen) in choose(signal.leads()).into_iter().enumerate() {
        let lead = format!("lead{}", slot + 1);
        names.extend(LEAD_NAMES.iter().map(|name| format!("{lead}_{name}")));
        names.extend((0..MORPHOLOGY_POINTS).map(|point| {
            let at_ms = ((point as f64 * STEP_S - BEFORE_S) * 1e3).round();
            format!("{lead}_shape_at_{at_ms}_ms")
        }));
        match chosen {
            Some(index) => {
                describe(&signal.leads()[index], signal.sampling_rate_hz(), beats, &mut rows);
            }
            None => {
                rows.iter_mut().for_each(|row| row.extend([0.0; LEAD_NAMES.len() + MORPHOLOGY_POINTS]));
            }
        }
    }
    Features { rows, names }
}

/// The two leads to describe.
fn choose(leads: &[Lead]) -> [Option<usize>; LEADS] {
    let named = |wanted: &[&str]| {
        leads.iter().position(|lead| wanted.iter().any(|name| lead.name.eq_ignore_ascii_case(name)))
    };
    let first = named(&["II", "MLII", "ML2"]).unwrap_or(0);
    let other = |index: &usize| *index != first;
    let second = named(&["V1", "MV1", "MCL1"]).filter(other).or_else(|| (0..leads.len()).find(other));
    [Some(first), second]
}

fn intervals(signal: &EcgSignal, beats: &[Beat]) -> Vec<Vec<f32>> {
    let seconds = |two: &[Beat]| {
        let apart = two[1].sample.abs_diff(two[0].sample) as f64 / signal.sampling_rate_hz();
        (apart as f32).max(1e-3)
    };
    let lengths: Vec<f32> = beats.windows(2).map(seconds).collect();
    let mean = |values: &[f32]| values.iter().sum::<f32>() / values.len() as f32;
    let record = if lengths.is_empty() { 1.0 } else { mean(&lengths) };
    (0..beats.len())
        .map(|beat| {
            let from = beat.saturating_sub(LOCAL_INTERVALS / 2);
            let around = &lengths[from.min(lengths.len())..(beat + LOCAL_INTERVALS / 2).min(lengths.len())];
            let local = if around.is_empty() { record } else { mean(around) };
            let previous = beat.checked_sub(1).map_or(local, |index| lengths[index]);
            let next = lengths.get(beat).copied().unwrap_or(local);
            let ratio = |value: f32, to: f32| (value / to).min(LARGEST);
            vec![
                previous.min(LARGEST),
                next.min(LARGEST),
                local.min(LARGEST),
                record.min(LARGEST),
                ratio(previous, next),
                ratio(previous, local),
                ratio(next, local),
                ratio(previous, record),
                ratio(next, record),
                ratio(local, record),
            ]
        })
        .collect()
}

/// Appends what one lead says of each beat.
fn describe(lead: &Lead, sampling_rate_hz: f64, beats: &[Beat], rows: &mut [Vec<f32>]) {
    let Conditioned { samples_mv, .. } = Conditioned::of(lead, sampling_rate_hz);
    let smooth = moving_mean(&samples_mv, samples(STEP_S));
    let scale = WORKING_RATE_HZ / sampling_rate_hz;
    let at = |beat: &Beat| ((beat.sample as f64 * scale).round() as usize).min(smooth.len() - 1);
    let shapes: Vec<[f32; MORPHOLOGY_POINTS]> = beats.iter().map(|beat| shape(&smooth, at(beat))).collect();
    let widths: Vec<f32> = beats.iter().map(|beat| qrs_width_s(&samples_mv, at(beat))).collect();
    let usual = median_shape(&shapes);
    let usual_size = usual.iter().fold(1e-3f32, |size, value| size.max(value.abs()));
    let usual_span = span(&usual).max(1e-3);
    let usual_width = median(&mut widths.clone()).max(1e-3);
    for ((row, shape), width) in rows.iter_mut().zip(&shapes).zip(widths) {
        let squares: f32 = shape.iter().zip(&usual).map(|(value, usual)| (value - usual).powi(2)).sum();
        let distance = (squares / MORPHOLOGY_POINTS as f32).sqrt() / usual_size;
        row.extend([
            1.0,
            distance.min(LARGEST),
            correlation(shape, &usual),
            (span(shape) / usual_span).min(LARGEST),
            width,
            (width / usual_width).min(LARGEST),
        ]);
        row.extend(shape.iter().map(|value| (value / usual_size).clamp(-LARGEST, LARGEST)));
    }
}

/// The shape of a beat around its median level, in millivolts.
fn shape(smooth: &[f32], at: usize) -> [f32; MORPHOLOGY_POINTS] {
    let mut shape = [0.0; MORPHOLOGY_POINTS];
    for (point, value) in shape.iter_mut().enumerate() {
        let index = (at + samples(point as f64 * STEP_S)).saturating_sub(samples(BEFORE_S));
        *value = smooth[index.min(smooth.len() - 1)];
    }
    let level = median(&mut shape.clone());
    shape.map(|value| value - level)
}

fn median_shape(shapes: &[[f32; MORPHOLOGY_POINTS]]) -> [f32; MORPHOLOGY_POINTS] {
    let step = shapes.len().div_ceil(MEDIAN_BEATS).max(1);
    let mut usual = [0.0; MORPHOLOGY_POINTS];
    for (point, value) in usual.iter_mut().enumerate() {
        let mut values: Vec<f32> = shapes.iter().step_by(step).map(|shape| shape[point]).collect();
        *value = median(&mut values);
    }
    usual
}

fn span(shape: &[f32]) -> f32 {
    let highest = shape.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    highest - shape.iter().copied().fold(f32::INFINITY, f32::min)
}

/// Pearson's correlation, −1 to 1; 0 when one of them does not move.
fn correlation(left: &[f32], right: &[f32]) -> f32 {
    let mean = |values: &[f32]| values.iter().map(|v| f64::from(*v)).sum::<f64>() / values.len() as f64;
    let (left_mean, right_mean) = (mean(left), mean(right));
    let (mut both, mut left_square, mut right_square) = (0.0, 0.0, 0.0);
    for (left, right) in left.iter().zip(right) {
        let (left, right) = (f64::from(*left) - left_mean, f64::from(*right) - right_mean);
        both += left * right;
        left_square += left * left;
        right_square += right * right;
    }
    let size = (left_square * right_square).sqrt();
    if size < 1e-12 { 0.0 } else { (both / size).clamp(-1.0, 1.0) as f32 }
}

/// How long the complex around a beat is steep, in seconds; an estimate to compare beats of one patient with.
fn qrs_width_s(samples_mv: &[f32], at: usize) -> f32 {
    let (reach, quiet) = (samples(QRS_REACH_S), samples(QRS_QUIET_S));
    let slope = |index: usize| match (index.checked_sub(1), samples_mv.get(index + 1)) {
        (Some(before), Some(after)) => (after - samples_mv[before]).abs(),
        _ => 0.0,
    };
    let near = samples(0.060);
    let steepest = (at.saturating_sub(near)..=at + near).map(slope).fold(0.0, f32::max);
    let steep = |index: usize| slope(index) > steepest * QRS_SLOPE_SHARE;
    let edge = |indices: &mut dyn Iterator<Item = usize>| {
        let mut last = 0;
        for (distance, index) in indices.enumerate().take(reach + 1) {
            if steep(index) {
                last = distance;
            } else if distance - last > quiet && distance > near / 2 {
                break;
            }
        }
        last
    };
    let width = edge(&mut (0..=at).rev()) + edge(&mut (at..));
    (width as f64 / WORKING_RATE_HZ) as f32
}
