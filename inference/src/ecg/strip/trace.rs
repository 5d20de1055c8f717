//! The line itself: filtered at the file's own rate, and thinned so that every peak stays.

use std::ops::Range;

use super::super::conditioning::{BASELINE_HZ, bridge, noise_hz};
use super::super::filter::Section;
use super::super::signal::Lead;
use super::page::{Row, System};
use super::text::mm;
use super::{Filter, SPEED_MM_PER_S};

/// Filters also run over this much before and after the strip, in seconds, so that its ends look as they do in
/// the middle of the recording: five periods of the slowest wave that is kept.
const AROUND_S: f64 = 10.0;
/// Two points in each of these cells, its lowest and its highest sample, is as fine as a line can be seen.
const CELLS_PER_MM: f64 = 4.0;
/// Up to this many samples a millimetre all are drawn.
const MOST_PER_MM: f64 = 8.0;
/// As thick as the stylus of a recorder draws.
const LINE_MM: f64 = 0.25;

/// The samples of `range`, filtered, with NaN where the file has none.
pub(super) fn filtered(lead: &Lead, rate_hz: f64, range: Range<usize>, filter: Filter) -> Vec<f32> {
    if filter == Filter::None {
        return lead.samples_mv[range].to_vec();
    }
    let around = (AROUND_S * rate_hz) as usize;
    let from = range.start.saturating_sub(around);
    let to = range.end.saturating_add(around).min(lead.samples_mv.len());
    let given = &lead.samples_mv[from..to];
    let (mut samples_mv, _) = bridge(given);
    Section::high_pass(BASELINE_HZ, rate_hz).run(&mut samples_mv);
    if filter == Filter::Monitor {
        Section::low_pass(noise_hz(rate_hz), rate_hz).run(&mut samples_mv);
    }
    for (sample, given) in samples_mv.iter_mut().zip(given) {
        if given.is_nan() {
            *sample = f32::NAN;
        }
    }
    samples_mv[range.start - from..range.end - from].to_vec()
}

/// Draws one row of a trace.
pub(super) fn line(picture: &mut String, system: &System, row: &Row, trace_mv: &[f32]) {
    let path = path(system, row, &trace_mv[system.within.clone()]);
    if !path.is_empty() {
        picture.push_str(&format!(
            "<path class=\"trace\" d=\"{path}\" fill=\"none\" stroke=\"#101010\" stroke-width=\"{LINE_MM}\" \
             stroke-linejoin=\"round\" stroke-linecap=\"round\"/>\n"
        ));
    }
}

/// The line through the samples. Within a cell its lowest and highest sample stand for the others. A cell with a
/// missing sample is not joined to its neighbours nor within itself, so no gap is ever drawn over.
fn path(system: &System, row: &Row, samples_mv: &[f32]) -> String {
    let per_mm = system.sampling_rate_hz / SPEED_MM_PER_S;
    let in_cell = if per_mm > MOST_PER_MM { per_mm / CELLS_PER_MM } else { 1.0 };
    let mut path = String::new();
    let (mut points, mut from, mut cell) = (0, 0, 0usize);
    while from < samples_mv.len() {
        cell += 1;
        let to = ((cell as f64 * in_cell).ceil() as usize).clamp(from + 1, samples_mv.len());
        let samples = &samples_mv[from..to];
        let broken = samples.iter().any(|sample| sample.is_nan());
        if broken {
            end_line(&mut path, &mut points);
        }
        for index in extremes(samples) {
            let (x, y) = (system.x_mm(system.samples.start + from + index), row.y_mm(samples[index]));
            let command = if points == 0 { 'M' } else { 'L' };
            path.push_str(&format!("{command}{} {}", mm(x), mm(y)));
            points += 1;
            if broken {
                end_line(&mut path, &mut points);
            }
        }
        from = to;
    }
    end_line(&mut path, &mut points);
    path
}

/// Ends a line; one of a single point is made a dot, as a line without length is not drawn by every program.
fn end_line(path: &mut String, points: &mut usize) {
    if *points == 1 {
        path.push_str("h.01");
    }
    *points = 0;
}

/// Where the lowest and the highest sample are, in order of time; one if they are the same, none if all is missing.
fn extremes(samples: &[f32]) -> impl Iterator<Item = usize> {
    let known = || samples.iter().enumerate().filter(|(_, sample)| !sample.is_nan());
    let lowest = known().min_by(|left, right| left.1.total_cmp(right.1)).map(|(index, _)| index);
    let highest = known().max_by(|left, right| left.1.total_cmp(right.1)).map(|(index, _)| index);
    let (first, second) = (lowest.min(highest), lowest.max(highest));
    first.into_iter().chain(second.filter(|_| first != second))
}
