//! Where everything stands on the page, in millimetres. A *system* is ten seconds of all leads above each other.

use std::ops::Range;

use super::super::filter::median;
use super::{CLIP_MV, GAIN_MM_PER_MV, ROW_S, ROW_SLACK_S, SPEED_MM_PER_S, Strip};

/// White around everything.
pub(super) const MARGIN_MM: f64 = 5.0;
/// Right of the grid: half of the last time must fit there.
const RIGHT_MM: f64 = 7.0;
/// Between the last times and the lines below.
const FOOT_MM: f64 = 1.5;
/// Left of the trace: the calibration pulse and the lead's name.
pub(super) const START_MM: f64 = 15.0;
/// The title and the line below it.
const HEAD_MM: f64 = 13.0;
/// The letters above the first lead.
pub(super) const LETTERS_MM: f64 = 7.5;
/// The times below a system, and the space to the next.
const TIMES_MM: f64 = 8.0;
/// Narrower pages would break the footer into many lines.
const LEAST_WIDTH_MM: f64 = 160.0;
/// Above a baseline there is always room for the calibration pulse, and below it for the lead's name.
const LEAST_ABOVE_MM: f64 = 10.0;
const LEAST_BELOW_MM: f64 = 5.0;
/// Between a trace and that of its neighbour.
const APART_MM: f64 = 1.0;
/// Baselines lie on the dark lines of the grid.
pub(super) const GRID_MM: f64 = 5.0;

/// The whole picture.
pub(super) struct Page {
    pub(super) width_mm: f64,
    /// Where the lines below the systems begin.
    pub(super) foot_mm: f64,
    pub(super) systems: Vec<System>,
}

/// Up to ten seconds of all leads.
pub(super) struct System {
    /// Its samples, of the recording.
    pub(super) samples: Range<usize>,
    /// The same, counted from the start of the strip.
    pub(super) within: Range<usize>,
    /// Where time zero of the recording would lie; x = origin + 25 mm × seconds.
    origin_mm: f64,
    pub(super) sampling_rate_hz: f64,
    pub(super) top_mm: f64,
    pub(super) bottom_mm: f64,
    /// The right end of the grid.
    pub(super) right_mm: f64,
    pub(super) rows: Vec<Row>,
}

/// One lead of a system.
pub(super) struct Row {
    pub(super) lead: usize,
    /// The level that is drawn on the baseline, in millivolts: the median of the row.
    pub(super) level_mv: f32,
    pub(super) baseline_mm: f64,
    pub(super) above_mm: f64,
    pub(super) below_mm: f64,
    /// Whether something lies further from the baseline than is drawn.
    pub(super) clipped: bool,
}

impl Page {
    pub(super) fn of(strip: &Strip<'_>, traces: &[Vec<f32>]) -> Page {
        let rate_hz = strip.signal.sampling_rate_hz();
        let count = strip.range.len();
        let systems = ((strip.seconds(count) - ROW_SLACK_S) / ROW_S).ceil().max(1.0) as usize;
        let begins = |index: usize| {
            let at = (index as f64 * ROW_S * rate_hz).ceil() as usize;
            if index == systems { count } else { at.min(count) }
        };
        let letters_mm = if strip.marks_within().next().is_some() { LETTERS_MM } else { 0.0 };
        let mut y_mm = MARGIN_MM + HEAD_MM;
        let mut placed = Vec::with_capacity(systems);
        for index in 0..systems {
            y_mm += letters_mm;
            let within = begins(index)..begins(index + 1);
            let offset_s = strip.seconds(strip.range.start) + index as f64 * ROW_S;
            let system = System::of(traces, within, strip.range.start, offset_s, rate_hz, y_mm);
            y_mm = system.bottom_mm + TIMES_MM;
            placed.push(system);
        }
        let right_mm = placed.iter().map(|system| system.right_mm).fold(0.0, f64::max);
        Page { width_mm: (right_mm + RIGHT_MM).max(LEAST_WIDTH_MM), foot_mm: y_mm + FOOT_MM, systems: placed }
    }

    /// The leads, by number, of which something is clipped.
    pub(super) fn clipped(&self) -> Vec<usize> {
        let rows = self.systems.iter().flat_map(|system| &system.rows);
        let mut leads: Vec<usize> = rows.filter(|row| row.clipped).map(|row| row.lead).collect();
        leads.sort_unstable();
        leads.dedup();
        leads
    }
}

impl System {
    fn of(
        traces: &[Vec<f32>],
        within: Range<usize>,
        range_start: usize,
        offset_s: f64,
        sampling_rate_hz: f64,
        top_mm: f64,
    ) -> System {
        let mut rows: Vec<Row> =
            traces.iter().enumerate().map(|(lead, trace)| Row::of(lead, &trace[within.clone()])).collect();
        let (mut y_mm, mut below_mm) = (top_mm, 0.0);
        for row in &mut rows {
            y_mm += on_grid(below_mm + row.above_mm);
            row.baseline_mm = y_mm;
            below_mm = row.below_mm;
        }
        let left_mm = MARGIN_MM + START_MM;
        let long_mm = within.len() as f64 / sampling_rate_hz * SPEED_MM_PER_S;
        System {
            samples: within.start + range_start..within.end + range_start,
            within,
            origin_mm: left_mm - offset_s * SPEED_MM_PER_S,
            sampling_rate_hz,
            top_mm,
            bottom_mm: y_mm + on_grid(below_mm),
            right_mm: left_mm + on_grid(long_mm),
            rows,
        }
    }

    /// Where a sample of the recording lies.
    pub(super) fn x_mm(&self, sample: usize) -> f64 {
        self.time_x_mm(sample as f64 / self.sampling_rate_hz)
    }

    /// Where a second of the recording lies.
    pub(super) fn time_x_mm(&self, second: f64) -> f64 {
        self.origin_mm + second * SPEED_MM_PER_S
    }

    /// The seconds of the recording between which this system lies.
    pub(super) fn seconds(&self) -> (f64, f64) {
        let at = |sample: usize| sample as f64 / self.sampling_rate_hz;
        (at(self.samples.start), at(self.samples.end))
    }

    /// From where to where a stretch of the recording shows here, if it does.
    pub(super) fn span_mm(&self, stretch: &Range<usize>) -> Option<(f64, f64)> {
        let (from, to) = (stretch.start.max(self.samples.start), stretch.end.min(self.samples.end));
        (from < to).then(|| (self.x_mm(from), self.x_mm(to)))
    }
}

impl Row {
    fn of(lead: usize, samples_mv: &[f32]) -> Row {
        let mut finite: Vec<f32> = samples_mv.iter().copied().filter(|sample| sample.is_finite()).collect();
        let highest = finite.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let lowest = finite.iter().copied().fold(f32::INFINITY, f32::min);
        let level_mv = median(&mut finite);
        let (up_mv, down_mv) = if finite.is_empty() {
            (0.0, 0.0)
        } else {
            (f64::from(highest) - f64::from(level_mv), f64::from(level_mv) - f64::from(lowest))
        };
        let room = |mv: f64, least_mm: f64| (mv.min(CLIP_MV) * GAIN_MM_PER_MV + APART_MM).max(least_mm);
        Row {
            lead,
            level_mv,
            baseline_mm: 0.0,
            above_mm: room(up_mv, LEAST_ABOVE_MM),
            below_mm: room(down_mv, LEAST_BELOW_MM),
            clipped: up_mv > CLIP_MV || down_mv > CLIP_MV,
        }
    }

    /// Where a value in millivolts lies, clipped.
    pub(super) fn y_mm(&self, mv: f32) -> f64 {
        let from_level = (f64::from(mv) - f64::from(self.level_mv)).clamp(-CLIP_MV, CLIP_MV);
        self.baseline_mm - from_level * GAIN_MM_PER_MV
    }
}

/// Up to the next dark line; what exceeds one by rounding alone stays on it.
fn on_grid(mm: f64) -> f64 {
    const ROUNDING_MM: f64 = 1e-6;
    ((mm - ROUNDING_MM) / GRID_MM).ceil().max(1.0) * GRID_MM
}
