//! The rhythm in numbers: rate, variability, pauses, and the share of ectopic beats once beats have classes.
//!
//! Variability as in the Task Force of the ESC and NASPE, "Heart rate variability: standards of measurement",
//! Circulation 1996: from intervals between two normal beats only.

use std::fmt;
use std::ops::Range;

use super::detection::Beat;
use super::filter::median;

/// The class of a beat (ANSI/AAMI EC57:2012).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum BeatClass {
    /// N: from the sinus node, also with bundle branch block, and escape beats.
    Normal,
    /// S: supraventricular ectopic.
    Supraventricular,
    /// V: ventricular ectopic.
    Ventricular,
    /// F: fusion of a normal and a ventricular beat.
    Fusion,
    /// Q: paced, or none of these.
    Unknown,
}

impl BeatClass {
    /// All of them, in the order of the standard.
    pub const ALL: [BeatClass; 5] = [
        BeatClass::Normal,
        BeatClass::Supraventricular,
        BeatClass::Ventricular,
        BeatClass::Fusion,
        BeatClass::Unknown,
    ];

    /// The class of a beat that PhysioNet's annotations mark with this character (ANSI/AAMI EC57:2012, table of
    /// classes); `None` for marks that are no beats.
    pub fn from_symbol(symbol: char) -> Option<BeatClass> {
        Some(match symbol {
            'N' | 'L' | 'R' | 'B' | 'e' | 'j' | 'n' => BeatClass::Normal,
            'A' | 'a' | 'J' | 'S' => BeatClass::Supraventricular,
            'V' | 'E' | 'r' => BeatClass::Ventricular,
            'F' => BeatClass::Fusion,
            '/' | 'f' | 'Q' | '?' => BeatClass::Unknown,
            _ => return None,
        })
    }

    /// The class in words.
    pub fn name(self) -> &'static str {
        match self {
            BeatClass::Normal => "normal",
            BeatClass::Supraventricular => "supraventricular ectopic",
            BeatClass::Ventricular => "ventricular ectopic",
            BeatClass::Fusion => "fusion",
            BeatClass::Unknown => "paced or unclassifiable",
        }
    }

    /// The letter the standard gives it.
    pub fn letter(self) -> char {
        match self {
            BeatClass::Normal => 'N',
            BeatClass::Supraventricular => 'S',
            BeatClass::Ventricular => 'V',
            BeatClass::Fusion => 'F',
            BeatClass::Unknown => 'Q',
        }
    }
}

/// The slowest and fastest rate are means over this many intervals.
const RATE_INTERVALS: usize = 8;
/// Without classes, an interval is taken as normal when it lies within this share of the median of those
/// around it (the 20 % rule of Kleiger et al., Am J Cardiol 1987).
const NORMAL_SHARE: f64 = 0.20;
/// Intervals to each side for that median.
const NORMAL_AROUND: usize = 5;
/// Differences above this, in milliseconds, count for pNN50 (Task Force 1996).
const PNN_MS: f64 = 50.0;

/// Rate and variability of a recording.
#[derive(Clone, PartialEq)]
pub struct RhythmSummary {
    /// How many beats there are.
    pub beats: usize,
    /// Beats a minute, over all intervals.
    pub mean_rate_per_min: f64,
    /// The slowest rate over eight intervals in a row (fewer if there are no eight), in beats a minute.
    pub min_rate_per_min: f64,
    /// The fastest rate over eight intervals in a row (fewer if there are no eight), in beats a minute.
    pub max_rate_per_min: f64,
    /// How many intervals between two normal beats the variability rests on.
    pub normal_intervals: usize,
    /// Standard deviation of the normal intervals (divided by n − 1), in milliseconds; needs two.
    pub sdnn_ms: Option<f64>,
    /// Root mean square of differences of normal intervals that follow each other, in milliseconds.
    pub rmssd_ms: Option<f64>,
    /// The share of those differences above 50 ms, in percent.
    pub pnn50_percent: Option<f64>,
    /// The longest interval between two beats, in seconds, not across stretches that cannot be read.
    pub longest_pause_s: f64,
    /// The beat, by its number, at which the longest pause begins.
    pub longest_pause_after_beat: usize,
    /// Root mean square of differences of all intervals over the mean interval, without unit: above about
    /// 0.1 the rhythm is irregular (Dash et al., Ann Biomed Eng 2009, on atrial fibrillation).
    pub irregularity: Option<f64>,
    /// The share of beats that are supraventricular ectopic, in percent; only when classes are given.
    pub supraventricular_burden_percent: Option<f64>,
    /// The share of beats that are ventricular ectopic, in percent; only when classes are given.
    pub ventricular_burden_percent: Option<f64>,
}

impl fmt::Debug for RhythmSummary {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("RhythmSummary")
    }
}

/// One interval between neighbouring beats.
struct Interval {
    first_beat: usize,
    seconds: f64,
    normal: bool,
}

/// Summarises the rhythm of ascending beats. `classes` is empty, or has one for each beat (one that is absent
/// is unknown). Intervals that touch an `unreadable` stretch (in samples) are left out. `None` if no interval
/// is left.
pub fn rhythm(
    beats: &[Beat],
    sampling_rate_hz: f64,
    classes: &[BeatClass],
    unreadable: &[Range<usize>],
) -> Option<RhythmSummary> {
    let intervals = intervals(beats, sampling_rate_hz, classes, unreadable);
    let longest = intervals.iter().max_by(|left, right| left.seconds.total_cmp(&right.seconds))?;
    let total_s: f64 = intervals.iter().map(|interval| interval.seconds).sum();
    let mean_s = total_s / intervals.len() as f64;
    let normal: Vec<f64> =
        intervals.iter().filter(|interval| interval.normal).map(|interval| interval.seconds * 1e3).collect();
    let normal_steps = differences_ms(&intervals, |interval| interval.normal);
    let (slowest, fastest) = extreme_rates(&intervals);
    let burden = |class: BeatClass| {
        let count = classes.iter().take(beats.len()).filter(|given| **given == class).count();
        (!classes.is_empty()).then(|| count as f64 * 100.0 / beats.len() as f64)
    };
    Some(RhythmSummary {
        beats: beats.len(),
        mean_rate_per_min: 60.0 / mean_s,
        min_rate_per_min: slowest,
        max_rate_per_min: fastest,
        normal_intervals: normal.len(),
        sdnn_ms: deviation(&normal),
        rmssd_ms: root_mean_square(&normal_steps),
        pnn50_percent: (!normal_steps.is_empty()).then(|| {
            let large = normal_steps.iter().filter(|step| step.abs() > PNN_MS).count();
            large as f64 * 100.0 / normal_steps.len() as f64
        }),
        longest_pause_s: longest.seconds,
        longest_pause_after_beat: longest.first_beat,
        irregularity: root_mean_square(&differences_ms(&intervals, |_| true)).map(|ms| ms / 1e3 / mean_s),
        supraventricular_burden_percent: burden(BeatClass::Supraventricular),
        ventricular_burden_percent: burden(BeatClass::Ventricular),
    })
}

fn intervals(
    beats: &[Beat],
    sampling_rate_hz: f64,
    classes: &[BeatClass],
    unreadable: &[Range<usize>],
) -> Vec<Interval> {
    let is_normal = |beat: usize| classes.get(beat) == Some(&BeatClass::Normal);
    let mut intervals: Vec<Interval> = beats
        .windows(2)
        .enumerate()
        .filter(|(_, two)| two[1].sample > two[0].sample)
        .filter(|(_, two)| !unreadable.iter().any(|gap| gap.start < two[1].sample && two[0].sample < gap.end))
        .map(|(first_beat, two)| Interval {
            first_beat,
            seconds: (two[1].sample - two[0].sample) as f64 / sampling_rate_hz,
            normal: is_normal(first_beat) && is_normal(first_beat + 1),
        })
        .collect();
    if classes.is_empty() {
        let lengths: Vec<f32> = intervals.iter().map(|interval| interval.seconds as f32).collect();
        for (index, interval) in intervals.iter_mut().enumerate() {
            let to = (index + NORMAL_AROUND + 1).min(lengths.len());
            let usual = f64::from(median(&mut lengths[index.saturating_sub(NORMAL_AROUND)..to].to_vec()));
            interval.normal = (interval.seconds - usual).abs() <= NORMAL_SHARE * usual;
        }
    }
    intervals
}

/// Differences between intervals that share a beat, in milliseconds, where both are `wanted`.
fn differences_ms(intervals: &[Interval], wanted: impl Fn(&Interval) -> bool) -> Vec<f64> {
    intervals
        .windows(2)
        .filter(|two| two[1].first_beat == two[0].first_beat + 1 && wanted(&two[0]) && wanted(&two[1]))
        .map(|two| (two[1].seconds - two[0].seconds) * 1e3)
        .collect()
}

/// The slowest and the fastest rate over eight intervals in a row, in beats a minute.
fn extreme_rates(intervals: &[Interval]) -> (f64, f64) {
    let follow = |left: &Interval, right: &Interval| right.first_beat == left.first_beat + 1;
    let runs: Vec<&[Interval]> = intervals.chunk_by(follow).collect();
    let width = runs.iter().map(|run| run.len()).max().unwrap_or(0).min(RATE_INTERVALS);
    let mut extremes = (f64::INFINITY, 0.0f64);
    for window in runs.iter().flat_map(|run| run.windows(width.max(1))) {
        let rate = window.len() as f64 * 60.0 / window.iter().map(|interval| interval.seconds).sum::<f64>();
        extremes = (extremes.0.min(rate), extremes.1.max(rate));
    }
    extremes
}

fn deviation(values: &[f64]) -> Option<f64> {
    if values.len() < 2 {
        return None;
    }
    let mean = values.iter().sum::<f64>() / values.len() as f64;
    let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
    Some((squares / (values.len() - 1) as f64).sqrt())
}

fn root_mean_square(values: &[f64]) -> Option<f64> {
    let squares: f64 = values.iter().map(|value| value * value).sum();
    (!values.is_empty()).then(|| (squares / values.len() as f64).sqrt())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Beats at milliseconds, in a recording of 1,000 Hz.
    fn beats(at_ms: &[usize]) -> Vec<Beat> {
        at_ms.iter().map(|&sample| Beat { sample, strength: 1.0 }).collect()
    }

    #[test]
    fn figures_equal_those_worked_out_by_hand() {
        // Intervals 800, 860, 840, 900 ms; differences 60, -20, 60.
        let summary = rhythm(&beats(&[0, 800, 1_660, 2_500, 3_400]), 1_000.0, &[], &[]).unwrap();
        let near = |got: f64, want: f64| assert!((got - want).abs() < 1e-6, "{got} for {want}");
        near(summary.mean_rate_per_min, 60.0 / 0.85);
        near(summary.min_rate_per_min, 60.0 / 0.85);
        near(summary.sdnn_ms.unwrap(), (5_200.0f64 / 3.0).sqrt());
        near(summary.rmssd_ms.unwrap(), (7_600.0f64 / 3.0).sqrt());
        near(summary.pnn50_percent.unwrap(), 200.0 / 3.0);
        near(summary.longest_pause_s, 0.9);
        assert_eq!((summary.longest_pause_after_beat, summary.normal_intervals), (3, 4));
        assert_eq!(summary.ventricular_burden_percent, None);
    }

    #[test]
    fn intervals_beside_an_ectopic_beat_are_not_normal() {
        use BeatClass::{Normal, Ventricular};
        let at = [0, 800, 1_600, 2_000, 3_200, 4_000];
        let classes = [Normal, Normal, Normal, Ventricular, Normal, Normal];
        let summary = rhythm(&beats(&at), 1_000.0, &classes, &[]).unwrap();
        assert_eq!((summary.normal_intervals, summary.sdnn_ms), (3, Some(0.0)));
        assert_eq!(summary.rmssd_ms, Some(0.0));
        assert!((summary.ventricular_burden_percent.unwrap() - 100.0 / 6.0).abs() < 1e-9);
        assert_eq!(rhythm(&beats(&at), 1_000.0, &[], &[]).unwrap().normal_intervals, 3);
    }

    #[test]
    fn pause_is_not_counted_across_an_unreadable_stretch() {
        let at = [0, 1_000, 2_000, 9_000, 10_000];
        assert_eq!(rhythm(&beats(&at), 1_000.0, &[], &[]).unwrap().longest_pause_s, 7.0);
        let stretch = 3_000..8_000;
        let summary = rhythm(&beats(&at), 1_000.0, &[], &[stretch]).unwrap();
        assert_eq!((summary.longest_pause_s, summary.irregularity), (1.0, Some(0.0)));
    }

    #[test]
    fn one_beat_has_no_rhythm() {
        for at in [&[][..], &[5], &[5, 5]] {
            assert_eq!(rhythm(&beats(at), 360.0, &[], &[]), None);
        }
    }
}
