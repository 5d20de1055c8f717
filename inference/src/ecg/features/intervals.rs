//! The intervals around a beat, as logarithms of ratios to the patient's own.
//!
//! Where no rhythm holds, as in atrial fibrillation, an early beat says nothing. So the columns that tell of
//! supraventricular beats are scaled by how regular the ordinary beats around are.

use super::super::filter::{median, quantile};

/// What the columns hold; `ln` is the natural logarithm, RR an interval between beats.
pub(super) const NAMES: [&str; 26] = [
    "ln_rr_previous_to_record",
    "ln_rr_next_to_record",
    "ln_rr_previous_to_next",
    "ln_rr_previous_to_local",
    "ln_rr_next_to_local",
    "ln_rr_local_to_record",
    "ln_rr_before_previous_to_local",
    "ln_rr_after_next_to_local",
    "ln_rr_previous_to_median",
    "ln_rr_next_to_median",
    "ln_rr_previous_to_upper_quartile",
    "ln_rr_previous_to_before_previous",
    "ln_rr_two_to_twice_median",
    "irregularity_near",
    "irregularity_wide",
    "irregularity_record",
    "premature_share",
    "rr_previous_s",
    "rr_record_s",
    "ln_rr_previous_to_ordinary",
    "ln_rr_next_to_ordinary",
    "ln_rr_previous_to_ordinary_before",
    HELD,
    PREMATURE,
    FAST_RUN,
    PAUSE,
];
/// How far a rhythm holds around a beat, 0 to 1.
pub(crate) const HELD: &str = "rhythm_holds";
/// How early a beat comes, where the rhythm is regular.
pub(crate) const PREMATURE: &str = "premature_in_regular_rhythm";
/// How much faster a run is than both the recording and the beats before the run, where the rhythm is regular.
pub(crate) const FAST_RUN: &str = "sudden_fast_run_in_regular_rhythm";
/// How late the next beat comes, where the rhythm is regular.
pub(crate) const PAUSE: &str = "pause_after_in_regular_rhythm";
/// Columns that families of beats look up again.
pub(super) const PREVIOUS_TO_MEDIAN: usize = 8;
pub(super) const NEXT_TO_MEDIAN: usize = 9;

/// Intervals of the local mean (de Chazal 2004: ten).
const LOCAL: usize = 10;
/// Intervals to each side of a beat for the median around it.
const NEAR: usize = 15;
/// And for how irregular the minute around is.
const WIDE: usize = 40;
/// And for whether a rhythm holds at all: episodes of fibrillation last longer than this.
const RHYTHM: usize = 50;
/// The usual interval before a beat is the median of this many.
const BEFORE: usize = 8;
/// An interval below this share of the median around it is premature.
const PREMATURE_SHARE: f32 = 0.88;
/// Half weight at this irregularity: sinus rhythm has 0.02 to 0.06, atrial fibrillation 0.10 to 0.40 in the
/// training recordings.
const IRREGULAR: f32 = 0.07;
/// Intervals of a run differ by less than this, as a logarithm.
const RUN: f32 = 0.15;
/// The longest run that is still something that began, in beats.
const LONGEST_RUN: usize = 200;
/// What was before a run is the mean of this many intervals, so that a pause after an ectopic beat counts with
/// the short interval before it.
const BEFORE_RUN: usize = 6;
/// The shortest interval that is divided by, in seconds.
const SHORTEST_S: f32 = 0.05;
/// Medians of ordinary intervals rest on at least this many.
const LEAST: usize = 6;

/// A row for each beat; `seconds` are their times, ascending, and `ordinary` says whose complex is like the
/// usual one.
pub(super) fn rows(seconds: &[f64], ordinary: &[bool]) -> Vec<Vec<f32>> {
    let recording = Recording::of(seconds, ordinary);
    (0..seconds.len()).map(|beat| recording.row(beat)).collect()
}

struct Recording {
    /// Interval `i` lies between beats `i` and `i + 1`, in seconds.
    lengths: Vec<f32>,
    /// Whether both its beats are ordinary.
    ordinary: Vec<bool>,
    premature: Vec<bool>,
    /// For each interval, the first of the run of like intervals that it belongs to.
    run_start: Vec<usize>,
    mean_s: f32,
    upper_quartile_s: f32,
    irregularity: f32,
}

impl Recording {
    fn of(seconds: &[f64], ordinary: &[bool]) -> Recording {
        let lengths: Vec<f32> =
            seconds.windows(2).map(|two| ((two[1] - two[0]) as f32).max(SHORTEST_S)).collect();
        let premature = (0..lengths.len())
            .map(|index| lengths[index] < PREMATURE_SHARE * median_of(around(&lengths, index, NEAR)))
            .collect();
        let some = !lengths.is_empty();
        Recording {
            ordinary: ordinary.windows(2).map(|two| two[0] && two[1]).collect(),
            premature,
            run_start: runs(&lengths),
            mean_s: if some { mean(&lengths) } else { 1.0 },
            upper_quartile_s: if some { quantile(&mut lengths.clone(), 0.75) } else { 1.0 },
            irregularity: irregularity(&lengths, None),
            lengths,
        }
    }

    fn row(&self, beat: usize) -> Vec<f32> {
        let lengths = &self.lengths;
        let record = self.mean_s;
        let or_record =
            |values: &[f32], of: fn(&[f32]) -> f32| if values.is_empty() { record } else { of(values) };
        let near = around(lengths, beat, NEAR);
        let local = or_record(around(lengths, beat, LOCAL / 2), mean);
        let usual = or_record(near, median_of);
        let interval = |at: Option<usize>| at.and_then(|at| lengths.get(at)).copied().unwrap_or(usual);
        let (previous, next) = (interval(beat.checked_sub(1)), interval(Some(beat)));
        let (before, after) = (interval(beat.checked_sub(2)), interval(Some(beat + 1)));
        let early = around(&self.premature, beat, WIDE);
        let ordinary = or_record(&self.ordinary_around(beat), median_of);
        let held = self.held(beat);
        let fast = (previous / record).ln().min(0.0).max(self.run_drop(beat));
        let ln = |value: f32, to: f32| (value / to).ln();
        vec![
            ln(previous, record),
            ln(next, record),
            ln(previous, next),
            ln(previous, local),
            ln(next, local),
            ln(local, record),
            ln(before, local),
            ln(after, local),
            ln(previous, usual),
            ln(next, usual),
            ln(previous, self.upper_quartile_s),
            ln(previous, before),
            ln(previous + next, 2.0 * usual),
            irregularity(near, None),
            irregularity(around(lengths, beat, WIDE), None),
            self.irregularity,
            early.iter().filter(|early| **early).count() as f32 / early.len().max(1) as f32,
            previous.min(4.0),
            record.min(4.0),
            ln(previous, ordinary),
            ln(next, ordinary),
            ln(previous, self.ordinary_before(beat).unwrap_or(ordinary)),
            held,
            ln(previous, ordinary).min(0.0) * held,
            -fast * held,
            ln(next, ordinary).max(0.0) * held,
        ]
    }

    /// Ordinary intervals around a beat; all of them where too few are.
    fn ordinary_around(&self, beat: usize) -> Vec<f32> {
        let near = around(&self.lengths, beat, NEAR + 1);
        let ordinary = around(&self.ordinary, beat, NEAR + 1);
        let kept: Vec<f32> =
            near.iter().zip(ordinary).filter(|(_, ordinary)| **ordinary).map(|(length, _)| *length).collect();
        if kept.len() >= LEAST { kept } else { near.to_vec() }
    }

    /// The median of the last ordinary intervals before the one that leads to a beat.
    fn ordinary_before(&self, beat: usize) -> Option<f32> {
        let range = beat.saturating_sub(BEFORE + 1)..beat.saturating_sub(1);
        let kept: Vec<f32> =
            range.filter(|index| self.ordinary[*index]).map(|index| self.lengths[index]).collect();
        (kept.len() >= 3).then(|| median_of(&kept))
    }

    /// How far a rhythm holds around a beat: near 1 in a regular one, near 0 in fibrillation.
    fn held(&self, beat: usize) -> f32 {
        let irregular =
            irregularity(around(&self.lengths, beat, RHYTHM), Some(around(&self.ordinary, beat, RHYTHM)));
        1.0 / (1.0 + (irregular / IRREGULAR).powi(4))
    }

    /// How much shorter the intervals of the run that leads to a beat are than those before the run, as a
    /// logarithm; 0 when they are not, or when the recording begins with the run.
    fn run_drop(&self, beat: usize) -> f32 {
        let Some(last) = beat.checked_sub(1) else { return 0.0 };
        let start = self.run_start[last];
        if start == 0 || beat - start > LONGEST_RUN {
            return 0.0;
        }
        let run = median_of(&self.lengths[start.max(beat.saturating_sub(5))..beat]);
        (run / mean(&self.lengths[start.saturating_sub(BEFORE_RUN)..start])).ln().min(0.0)
    }
}

/// For each interval the first of its run.
fn runs(lengths: &[f32]) -> Vec<usize> {
    let like = |value: f32, to: f32| (value / to).ln().abs() < RUN;
    let mut starts: Vec<usize> = Vec::with_capacity(lengths.len());
    for (index, &length) in lengths.iter().enumerate() {
        let start = match starts.last() {
            Some(&start) if like(length, lengths[index - 1]) => {
                let run = &lengths[start.max(index.saturating_sub(BEFORE))..index];
                if like(length, median_of(run)) { start } else { index }
            }
            _ => index,
        };
        starts.push(start);
    }
    starts
}

/// The intervals from `reach` before a beat to `reach` after it.
fn around<T>(lengths: &[T], beat: usize, reach: usize) -> &[T] {
    &lengths[beat.saturating_sub(reach).min(lengths.len())..(beat + reach).min(lengths.len())]
}

/// The median step from one interval to the next over the median interval: large where no rhythm holds,
/// small where single early beats break a regular one. With `ordinary`, from those alone if they are enough.
fn irregularity(lengths: &[f32], ordinary: Option<&[bool]>) -> f32 {
    if lengths.len() < 3 {
        return 0.0;
    }
    let steps = |wanted: &dyn Fn(usize) -> bool| -> Vec<f32> {
        let indices = (0..lengths.len() - 1).filter(|index| wanted(*index));
        indices.map(|index| (lengths[index + 1] - lengths[index]).abs()).collect()
    };
    if let Some(ordinary) = ordinary {
        let kept = steps(&|index| ordinary[index] && ordinary[index + 1]);
        let lengths: Vec<f32> = lengths
            .iter()
            .zip(ordinary)
            .filter(|(_, ordinary)| **ordinary)
            .map(|(length, _)| *length)
            .collect();
        if kept.len() >= LEAST {
            return median_of(&kept) / median_of(&lengths);
        }
    }
    median_of(&steps(&|_| true)) / median_of(lengths)
}

fn mean(values: &[f32]) -> f32 {
    values.iter().sum::<f32>() / values.len() as f32
}

fn median_of(values: &[f32]) -> f32 {
    median(&mut values.to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn column(name: &str) -> usize {
        NAMES.iter().position(|other| *other == name).unwrap()
    }

    fn times(lengths: impl IntoIterator<Item = f64>) -> Vec<f64> {
        let mut at = 0.0;
        let step = |length: f64| {
            at += length;
            at
        };
        lengths.into_iter().map(step).collect()
    }

    fn rows_of(lengths: impl IntoIterator<Item = f64>) -> Vec<Vec<f32>> {
        let seconds = times(lengths);
        rows(&seconds, &vec![true; seconds.len()])
    }

    #[test]
    fn early_beat_stands_out_in_a_regular_rhythm() {
        let rows = rows_of((0..60).map(|i| if i == 30 { 0.5 } else { 0.8 }));
        let premature = |beat: usize| rows[beat][column(PREMATURE)];
        assert!((premature(30) - (0.5f32 / 0.8).ln()).abs() < 1e-3, "{}", premature(30));
        assert_eq!(premature(20), 0.0);
    }

    #[test]
    fn early_beat_says_nothing_where_no_rhythm_holds() {
        let rows = rows_of((0..120).map(|i| 0.5 + 0.5 * f64::from(i * 37 % 11) / 10.0));
        assert!(rows.iter().all(|row| row[column(PREMATURE)] > -0.05));
        assert!(rows.iter().all(|row| row[column(FAST_RUN)] < 0.05));
    }

    #[test]
    fn run_that_begins_at_once_is_told_from_a_slow_rise() {
        let sudden = rows_of((0..120).map(|i| if (60..75).contains(&i) { 0.45 } else { 0.8 }));
        let gradual = rows_of((0..120).map(|i| 0.8 - 0.35 * (f64::from(i) / 60.0).min(1.0)));
        let run = |rows: &[Vec<f32>], beat: usize| rows[beat][column(FAST_RUN)];
        assert!(run(&sudden, 70) > 0.3, "{}", run(&sudden, 70));
        assert!(run(&gradual, 110) < 0.1, "{}", run(&gradual, 110));
    }

    #[test]
    fn ectopic_beats_do_not_make_a_rhythm_irregular() {
        // Every fifth beat is early with a pause after it, and its complex is not the usual one.
        let seconds = times((0..200).map(|i| match i % 5 {
            1 => 0.5,
            2 => 1.1,
            _ => 0.8,
        }));
        let ordinary: Vec<bool> = (0..200).map(|i| i % 5 != 1).collect();
        let held = |ordinary: &[bool]| rows(&seconds, ordinary)[100][column(HELD)];
        assert!(held(&ordinary) > 0.95, "{}", held(&ordinary));
        assert!(held(&[true; 200]) < 0.05, "{}", held(&[true; 200]));
    }

    #[test]
    fn no_beats_and_one_beat_have_rows() {
        assert!(rows(&[], &[]).is_empty());
        let row = &rows(&[1.0], &[true])[0];
        assert_eq!(row.len(), NAMES.len());
        assert!(row.iter().all(|value| value.is_finite()));
    }
}
