//! The shape of a beat on one lead, against the usual beat of the recording and of the minutes around.

use super::super::conditioning::{Conditioned, WORKING_RATE_HZ, samples};
use super::super::filter::median;

/// Samples of the shape before and after the beat.
const BEFORE: usize = samples(0.300);
const AFTER: usize = samples(0.440);
const LENGTH: usize = BEFORE + AFTER;
/// The complex, around the beat.
const QRS: (f64, f64) = (-0.090, 0.130);
/// Where the P wave of a beat in rhythm lies.
const P: (f64, f64) = (-0.260, -0.070);
/// Where the T wave lies.
const T: (f64, f64) = (0.150, 0.430);
/// Beats are moved by at most this to lie on the usual one.
const ALIGN: isize = samples(0.044) as isize;
/// What a shift by one sample must gain in correlation.
const SHIFT_COST: f32 = 0.002;
/// A beat less like the usual one than this, on average over the leads, stays where it is.
const LEAST_FIT: f32 = 0.5;
/// A P wave is looked for this far from its usual place.
const P_SEARCH: isize = samples(0.060) as isize;
/// The usual beat is the median of at most this many, spread evenly.
const MEDIAN_BEATS: usize = 400;
/// The usual beat of the minutes around is that of this many neighbours.
const LOCAL_BEATS: usize = 60;
/// A complex lasts while its slope is above this share of its steepest.
const QRS_SLOPE_SHARE: f32 = 0.15;
/// What the columns hold; the usual beat is that of the recording, the local one that of the minutes around.
pub(super) const NAMES: [&str; 20] = [
    "present",
    "qrs_correlation_with_usual",
    "qrs_correlation_with_local",
    "qrs_correlation_with_previous",
    "qrs_correlation_with_next",
    "distance_to_usual",
    "ln_qrs_span_to_usual",
    "ln_qrs_area_to_usual",
    "qrs_width_s",
    "ln_qrs_width_to_usual",
    "ln_slope_to_usual",
    "p_correlation_with_usual",
    "p_correlation_best",
    "p_shift_s",
    "ln_p_span_to_usual",
    "p_span_to_qrs",
    "p_distance",
    "t_correlation_with_usual",
    "ln_t_span_to_usual",
    "peak_sign_as_usual",
];

/// The column that tells how ordinary a complex is.
pub(super) const CORRELATION_WITH_USUAL: usize = 1;

/// The piece of a lead around a beat, by its ends in seconds.
fn piece(shape: &[f32], (from, to): (f64, f64)) -> &[f32] {
    let index = |at: f64| (BEFORE as f64 + at * WORKING_RATE_HZ).round() as usize;
    &shape[index(from)..index(to)]
}

/// The samples around a beat; those beyond the ends of the lead repeat the last.
fn cut(lead: &Conditioned, at: usize) -> Vec<f32> {
    let last = lead.samples_mv.len() - 1;
    (0..LENGTH).map(|index| lead.samples_mv[(at + index).saturating_sub(BEFORE).min(last)]).collect()
}

/// Moves each beat so that its complex lies best on the usual one, over all leads: the largest deflection
/// of a complex with two peaks may be either.
pub(super) fn align(leads: &[Option<Conditioned>], at: &[usize]) -> Vec<usize> {
    let leads: Vec<&Conditioned> = leads.iter().flatten().collect();
    let last = leads.first().map_or(0, |lead| lead.samples_mv.len() - 1);
    let at: Vec<usize> = at.iter().map(|at| (*at).min(last)).collect();
    let usual: Vec<Vec<f32>> = leads.iter().map(|lead| usual(lead, &at)).collect();
    let fit = |at: usize, shift: isize| -> f32 {
        let moved = at.saturating_add_signed(shift).min(last);
        let of =
            |(lead, usual): (&&Conditioned, &Vec<f32>)| correlation(&qrs(lead, moved), piece(usual, QRS));
        leads.iter().zip(&usual).map(of).sum::<f32>() - SHIFT_COST * shift.unsigned_abs() as f32
    };
    at.iter()
        .map(|&at| {
            let (mut best, mut shift) = (LEAST_FIT * leads.len() as f32, 0);
            for candidate in (-ALIGN..=ALIGN).step_by(2) {
                let value = fit(at, candidate);
                if value > best {
                    (best, shift) = (value, candidate);
                }
            }
            at.saturating_add_signed(shift).min(last)
        })
        .collect()
}

/// The median beat.
fn usual(lead: &Conditioned, at: &[usize]) -> Vec<f32> {
    let step = at.len().div_ceil(MEDIAN_BEATS).max(1);
    let cuts: Vec<Vec<f32>> = at.iter().step_by(step).map(|at| cut(lead, *at)).collect();
    median_of(&cuts.iter().map(Vec::as_slice).collect::<Vec<_>>())
}

fn median_of(cuts: &[&[f32]]) -> Vec<f32> {
    (0..LENGTH).map(|index| median(&mut cuts.iter().map(|cut| cut[index]).collect::<Vec<_>>())).collect()
}

/// The complex as it is compared between beats.
pub(super) fn qrs(lead: &Conditioned, at: usize) -> Vec<f32> {
    let whole = |at: f64| (at * WORKING_RATE_HZ).round() as isize;
    let last = lead.samples_mv.len() - 1;
    let (from, to) = (at as isize + whole(QRS.0), at as isize + whole(QRS.1));
    if from >= 0 && to as usize <= last {
        return lead.samples_mv[from as usize..to as usize].to_vec();
    }
    (from..to).map(|index| lead.samples_mv[index.clamp(0, last as isize) as usize]).collect()
}

/// A row for each beat; zeros for a lead that there is not.
pub(super) fn rows(lead: Option<&Conditioned>, at: &[usize]) -> Vec<Vec<f32>> {
    let Some(lead) = lead else { return vec![vec![0.0; NAMES.len()]; at.len()] };
    let cuts: Vec<Vec<f32>> = at.iter().map(|at| cut(lead, *at)).collect();
    let usual = usual(lead, at);
    let locals: Vec<Vec<f32>> = (0..cuts.len().div_ceil(LOCAL_BEATS / 2))
        .map(|block| {
            let middle = block * LOCAL_BEATS / 2 + LOCAL_BEATS / 4;
            let from = middle.saturating_sub(LOCAL_BEATS / 2).min(cuts.len());
            let near = &cuts[from..(middle + LOCAL_BEATS / 2).min(cuts.len())];
            median_of(&near.iter().step_by(2).map(Vec::as_slice).collect::<Vec<_>>())
        })
        .collect();
    let widths: Vec<f32> = cuts.iter().map(|cut| width_s(cut)).collect();
    let usual_width = median(&mut widths.clone()).max(0.02);
    let size = span(piece(&usual, QRS)).max(1e-3);
    let mut rows = Vec::with_capacity(cuts.len());
    for (index, cut) in cuts.iter().enumerate() {
        let complex = piece(cut, QRS);
        let local = &locals[index / (LOCAL_BEATS / 2)];
        let neighbour = |other: Option<usize>| {
            other
                .and_then(|other| cuts.get(other))
                .map_or(1.0, |other| correlation(complex, piece(other, QRS)))
        };
        let (p_best, p_shift) = p_wave(cut, local);
        let p = level(piece(cut, P));
        let p_usual = level(piece(local, P));
        let t = piece(cut, T);
        rows.push(vec![
            1.0,
            correlation(complex, piece(&usual, QRS)),
            correlation(complex, piece(local, QRS)),
            neighbour(index.checked_sub(1)),
            neighbour(Some(index + 1)),
            distance(complex, piece(&usual, QRS)) / size,
            ln(span(complex), size),
            ln(area(complex), area(piece(&usual, QRS))),
            widths[index] * 10.0,
            ln(widths[index], usual_width),
            ln(steepest(complex), steepest(piece(&usual, QRS))),
            correlation(&p, &p_usual),
            p_best,
            p_shift * 10.0,
            ln(span(&p), span(&p_usual)),
            (span(&p) / size) * 2.0,
            distance(&p, &p_usual) / size * 4.0,
            correlation(t, piece(local, T)),
            ln(span(t), span(piece(local, T))),
            (peak(complex) * peak(piece(&usual, QRS))).signum(),
        ]);
    }
    rows
}

/// How well a wave before the complex fits the usual P wave where it fits best, and how far that is from its
/// usual place, in seconds.
fn p_wave(cut: &[f32], usual: &[f32]) -> (f32, f32) {
    let middle = (-0.240, -0.080);
    let wanted = level(piece(usual, middle));
    let (best, shift) = (-P_SEARCH..=P_SEARCH)
        .step_by(3)
        .map(|shift| {
            let by = shift as f64 / WORKING_RATE_HZ;
            let to = (middle.1 + by).min(-0.050);
            let here = level(piece(cut, (to - (middle.1 - middle.0), to)));
            let length = here.len().min(wanted.len());
            (correlation(&here[..length], &wanted[..length]), shift)
        })
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .unwrap_or((0.0, 0));
    (best, (shift as f64 / WORKING_RATE_HZ) as f32)
}

/// A piece without the straight line between its ends.
fn level(piece: &[f32]) -> Vec<f32> {
    let (first, last) = (piece[0], piece[piece.len() - 1]);
    let steps = (piece.len() - 1).max(1) as f32;
    piece.iter().enumerate().map(|(i, value)| value - first - (last - first) * i as f32 / steps).collect()
}

fn ln(value: f32, to: f32) -> f32 {
    ((value + 1e-4) / (to + 1e-4)).ln()
}

fn span(values: &[f32]) -> f32 {
    let highest = values.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    highest - values.iter().copied().fold(f32::INFINITY, f32::min)
}

fn area(values: &[f32]) -> f32 {
    let mean = values.iter().sum::<f32>() / values.len() as f32;
    values.iter().map(|value| (value - mean).abs()).sum()
}

fn steepest(values: &[f32]) -> f32 {
    values.windows(3).map(|three| (three[2] - three[0]).abs()).fold(0.0, f32::max)
}

fn peak(values: &[f32]) -> f32 {
    let mean = values.iter().sum::<f32>() / values.len() as f32;
    let larger = |peak: f32, value: f32| if value.abs() > peak.abs() { value } else { peak };
    values.iter().map(|value| value - mean).fold(0.0, larger)
}

fn distance(left: &[f32], right: &[f32]) -> f32 {
    let mean = |values: &[f32]| values.iter().sum::<f32>() / values.len() as f32;
    let (a, b) = (mean(left), mean(right));
    let squares: f32 = left.iter().zip(right).map(|(l, r)| (l - a - r + b).powi(2)).sum();
    (squares / left.len().max(1) as f32).sqrt()
}

/// Pearson's correlation, −1 to 1; 0 when one of them does not move.
pub(super) fn correlation(left: &[f32], right: &[f32]) -> f32 {
    let mean = |values: &[f32]| values.iter().sum::<f32>() / values.len().max(1) as f32;
    let (left_mean, right_mean) = (mean(left), mean(right));
    let (mut both, mut left_square, mut right_square) = (0.0f32, 0.0f32, 0.0f32);
    for (left, right) in left.iter().zip(right) {
        let (left, right) = (left - left_mean, right - right_mean);
        both += left * right;
        left_square += left * left;
        right_square += right * right;
    }
    let size = (left_square * right_square).sqrt();
    if size < 1e-9 { 0.0 } else { (both / size).clamp(-1.0, 1.0) }
}

/// How long the complex is steep, in seconds; an estimate to compare beats of one patient with.
fn width_s(cut: &[f32]) -> f32 {
    let slope = |index: usize| (cut[index + 1] - cut[index - 1]).abs();
    let near = samples(0.060);
    let top = (BEFORE - near..=BEFORE + near).map(slope).fold(0.0, f32::max);
    let quiet = samples(0.020);
    let edge = |direction: isize| {
        let mut last = 0;
        for distance in 0..samples(0.150) {
            if slope(BEFORE.saturating_add_signed(direction * distance as isize)) > top * QRS_SLOPE_SHARE {
                last = distance;
            } else if distance - last > quiet && distance > near / 2 {
                break;
            }
        }
        last
    };
    ((edge(-1) + edge(1)) as f64 / WORKING_RATE_HZ) as f32
}
