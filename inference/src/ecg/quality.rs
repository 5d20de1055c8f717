//! Can it be read? A signal is judged in windows of ten seconds, lead by lead, so that a noisy stretch is named
//! instead of the whole recording; a recording that is mostly unreadable is refused in words for people.

use std::collections::BTreeMap;
use std::ops::Range;

use super::conditioning::{Conditioned, WORKING_RATE_HZ, samples};
use super::filter::{Section, median};
use super::rhythm::RhythmSummary;
use super::signal::{EcgSignal, Lead};

/// Length of a window in seconds, as in Clifford, Behar, Li and Rezek, "Signal quality indices and data
/// fusion for determining clinical acceptability of electrocardiograms", Physiol Meas 2012.
const WINDOW_S: f64 = 10.0;
/// More of a window missing than this makes it unreadable.
const MOST_MISSING: f32 = 0.5;
/// Beats lift the kurtosis of the QRS band far above the 3 of random noise (Clifford 2012 asks for 5 over
/// the whole band); in ten seconds noise itself strays to 4.
const LEAST_KURTOSIS: f64 = 4.0;
/// That band, in hertz: wider below than for detection, as wide complexes are readable too.
const BAND_HZ: (f64, f64) = (5.0, 20.0);
/// Waves span 0.5 to 5 mV; beyond this, in millivolts, the unit must be another one.
const LARGEST_SPAN_MV: f32 = 20.0;
/// A span below this, in millivolts, is a lead that is off, or the unit is another one.
const SMALLEST_SPAN_MV: f32 = 0.05;
/// A recorder that stays at the end of its range this long, in seconds, is saturated.
const SATURATED_RUN_S: f64 = 0.1;
/// And for this share of a window it cannot be read.
const MOST_SATURATED: f64 = 0.1;
/// A recording must be readable for this share.
const LEAST_READABLE: f64 = 0.5;
/// Heart rates outside these, in beats a minute over a whole recording, are more likely a wrong sampling rate
/// or missed beats (ANSI/AAMI EC13 asks monitors for 30 to 200; hearts are seen between these;
/// detection itself cannot tell more than 300 apart).
const PLAUSIBLE_PER_MIN: (f64, f64) = (20.0, 280.0);

/// What keeps a lead from being read for a while.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Problem {
    /// Samples are missing.
    Missing,
    /// The lead shows no signal: it is off, its wire broken, or the heart stands still. The signal cannot tell.
    Flat,
    /// The recorder stands at the end of its range.
    Saturated,
    /// No beats stand out.
    Noise,
    /// The waves are larger than a heart's.
    TooLarge,
    /// The waves are smaller than a heart's, yet shaped like beats.
    TooSmall,
}

/// A stretch of the recording.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QualityWindow {
    /// The stretch, in samples of the recording.
    pub samples: Range<usize>,
    /// For each lead, what is wrong with it, if anything.
    pub leads: Vec<Option<Problem>>,
}

impl QualityWindow {
    /// Whether at least one lead can be read.
    pub fn is_readable(&self) -> bool {
        self.leads.iter().any(Option::is_none)
    }
}

/// How well a recording can be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quality {
    /// The whole recording in order, in windows of about ten seconds.
    pub windows: Vec<QualityWindow>,
}

impl Quality {
    /// The share of windows that can be read, 0 to 1.
    pub fn readable_share(&self) -> f64 {
        let readable = self.windows.iter().filter(|window| window.is_readable()).count();
        readable as f64 / self.windows.len().max(1) as f64
    }

    /// Stretches, in samples of the recording, in which no lead can be read; neighbours are joined.
    pub fn unreadable(&self) -> Vec<Range<usize>> {
        let mut stretches: Vec<Range<usize>> = Vec::new();
        for window in self.windows.iter().filter(|window| !window.is_readable()) {
            match stretches.last_mut() {
                Some(last) if last.end == window.samples.start => last.end = window.samples.end,
                _ => stretches.push(window.samples.clone()),
            }
        }
        stretches
    }

    /// Why the recording as a whole is not to be read, if more than half of it cannot be.
    pub fn refusal(&self) -> Option<Refusal> {
        if self.readable_share() >= LEAST_READABLE {
            return None;
        }
        let mut counts = BTreeMap::<Problem, usize>::new();
        for problem in self.windows.iter().flat_map(|window| window.leads.iter().flatten()) {
            *counts.entry(*problem).or_default() += 1;
        }
        let commonest = counts.into_iter().max_by_key(|(_, count)| *count).map(|(problem, _)| problem);
        Some(match commonest {
            Some(Problem::Missing | Problem::Flat) | None => Refusal::NoSignal,
            Some(Problem::Saturated) => Refusal::Saturated,
            Some(Problem::Noise) => Refusal::NoBeatsStandOut,
            Some(Problem::TooLarge) => Refusal::TooLarge,
            Some(Problem::TooSmall) => Refusal::TooSmall,
        })
    }
}

/// Why a recording is not read, in words for the person who asked.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// Flat or missing. The text must not claim that it is only the electrodes.
    #[error(
        "there is no signal for most of the recording: electrodes off, leads not connected, or a heart that \
         stands still; look at the person first"
    )]
    NoSignal,
    /// At the end of the recorder's range.
    #[error(
        "the recorder stood at the end of its range for most of the recording: check electrodes and gain"
    )]
    Saturated,
    /// Noise, or a rhythm without separate beats. The text must not claim that it is only noise.
    #[error(
        "no separate heartbeats stand out: this is noise, or a rhythm without them such as ventricular \
         fibrillation; a person must look at the strip"
    )]
    NoBeatsStandOut,
    /// Microvolts or raw values given as millivolts.
    #[error("the waves are far larger than a heart's: check the unit and the gain (millivolts are expected)")]
    TooLarge,
    /// Volts given as millivolts.
    #[error(
        "the waves are far smaller than a heart's: check the unit and the gain (millivolts are expected)"
    )]
    TooSmall,
    /// Fewer than 20 beats a minute over the whole recording.
    #[error("the heart rate is too slow to be believed: beats were missed, or the sampling rate is wrong")]
    RateTooSlow,
    /// More than 280 beats a minute over the whole recording.
    #[error("the heart rate is too fast to be believed: check the sampling rate")]
    RateTooFast,
    /// The beats are unlike all that the network learned from.
    #[error("the beats are unlike those that the model learned from: a person must look at the strip")]
    Unfamiliar,
}

impl Refusal {
    /// All names, for counting.
    pub const NAMES: [&'static str; 8] = [
        "no-signal",
        "saturated",
        "no-beats-stand-out",
        "too-large",
        "too-small",
        "rate-too-slow",
        "rate-too-fast",
        "unfamiliar",
    ];

    /// Its name in counts.
    pub const fn name(self) -> &'static str {
        match self {
            Refusal::NoSignal => Self::NAMES[0],
            Refusal::Saturated => Self::NAMES[1],
            Refusal::NoBeatsStandOut => Self::NAMES[2],
            Refusal::TooLarge => Self::NAMES[3],
            Refusal::TooSmall => Self::NAMES[4],
            Refusal::RateTooSlow => Self::NAMES[5],
            Refusal::RateTooFast => Self::NAMES[6],
            Refusal::Unfamiliar => Self::NAMES[7],
        }
    }
}

/// A rhythm whose rate a heart can have.
pub(crate) fn plausible(summary: Option<RhythmSummary>) -> Result<RhythmSummary, Refusal> {
    let Some(rhythm) = summary.filter(|summary| summary.mean_rate_per_min >= PLAUSIBLE_PER_MIN.0) else {
        return Err(Refusal::RateTooSlow);
    };
    if rhythm.mean_rate_per_min > PLAUSIBLE_PER_MIN.1 {
        return Err(Refusal::RateTooFast);
    }
    Ok(rhythm)
}

/// Judges each lead in windows of ten seconds.
pub fn assess(signal: &EcgSignal) -> Quality {
    let length = (WINDOW_S * signal.sampling_rate_hz()).round() as usize;
    // What is left over at the end joins the last window.
    let count = (signal.len() / length).max(1);
    let bounds = |index: usize| {
        let end = if index + 1 == count { signal.len() } else { (index + 1) * length };
        index * length..end
    };
    let mut windows: Vec<QualityWindow> =
        (0..count).map(|index| QualityWindow { samples: bounds(index), leads: Vec::new() }).collect();
    for lead in signal.leads() {
        let view = LeadView::of(lead, signal.sampling_rate_hz());
        for window in &mut windows {
            let problem = view.problem(&window.samples);
            window.leads.push(problem);
        }
    }
    Quality { windows }
}

struct LeadView<'a> {
    given: &'a [f32],
    conditioned: Conditioned,
    band: Vec<f32>,
    lowest: f32,
    highest: f32,
    sampling_rate_hz: f64,
}

impl LeadView<'_> {
    fn of(lead: &Lead, sampling_rate_hz: f64) -> LeadView<'_> {
        let conditioned = Conditioned::of(lead, sampling_rate_hz);
        let mut band = conditioned.samples_mv.clone();
        Section::high_pass(BAND_HZ.0, WORKING_RATE_HZ).run(&mut band);
        Section::low_pass(BAND_HZ.1, WORKING_RATE_HZ).run(&mut band);
        let finite = || lead.samples_mv.iter().copied().filter(|sample| sample.is_finite());
        LeadView {
            given: &lead.samples_mv,
            conditioned,
            band,
            lowest: finite().fold(f32::INFINITY, f32::min),
            highest: finite().fold(f32::NEG_INFINITY, f32::max),
            sampling_rate_hz,
        }
    }

    fn problem(&self, window: &Range<usize>) -> Option<Problem> {
        let given = &self.given[window.clone()];
        let missing = given.iter().filter(|sample| sample.is_nan()).count();
        if missing as f32 > MOST_MISSING * given.len() as f32 {
            return Some(Problem::Missing);
        }
        let scale = WORKING_RATE_HZ / self.sampling_rate_hz;
        let to = ((window.end as f64 * scale) as usize).min(self.band.len());
        let from = ((window.start as f64 * scale) as usize).min(to);
        let stands_out = kurtosis(&self.band[from..to]) >= LEAST_KURTOSIS;
        let mut spans: Vec<f32> =
            self.conditioned.samples_mv[from..to].chunks(samples(1.5)).map(span).collect();
        // The largest: in a pause or a slow rhythm only few pieces hold a beat.
        let span_mv = spans.iter().copied().fold(0.0, f32::max);
        if self.saturated(given) {
            return Some(Problem::Saturated);
        }
        if span_mv < SMALLEST_SPAN_MV {
            // Shaped like beats in the whole lead but tiny: a unit. Otherwise a lead that is off.
            let beats = stands_out && span_mv > 0.0 && self.waves_are_resolved(given);
            return Some(if beats { Problem::TooSmall } else { Problem::Flat });
        }
        // The usual one, so that one spike does not decide.
        if median(&mut spans) > LARGEST_SPAN_MV {
            return Some(Problem::TooLarge);
        }
        (!stands_out).then_some(Problem::Noise)
    }

    /// Whether most neighbouring samples differ: a flat lead repeats one value.
    fn waves_are_resolved(&self, given: &[f32]) -> bool {
        let changes = given.windows(2).filter(|two| two[0] != two[1]).count();
        2 * changes > given.len()
    }

    fn saturated(&self, given: &[f32]) -> bool {
        let least = ((SATURATED_RUN_S * self.sampling_rate_hz) as usize).max(3);
        let (mut run, mut total) = (0, 0);
        for (index, &sample) in given.iter().enumerate() {
            let at_end = self.lowest < self.highest && (sample <= self.lowest || sample >= self.highest);
            run = if at_end && (run == 0 || given[index - 1] == sample) {
                run + 1
            } else {
                usize::from(at_end)
            };
            total += match run {
                run if run == least => least,
                run if run > least => 1,
                _ => 0,
            };
        }
        total as f64 > MOST_SATURATED * given.len() as f64
    }
}

fn span(values: &[f32]) -> f32 {
    let highest = values.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let lowest = values.iter().copied().fold(f32::INFINITY, f32::min);
    if values.is_empty() { 0.0 } else { highest - lowest }
}

/// The fourth moment over the squared second; 0 when nothing moves.
fn kurtosis(values: &[f32]) -> f64 {
    let count = values.len().max(1) as f64;
    let mean = values.iter().map(|value| f64::from(*value)).sum::<f64>() / count;
    let (mut second, mut fourth) = (0.0, 0.0);
    for value in values {
        let square = (f64::from(*value) - mean).powi(2);
        second += square / count;
        fourth += square * square / count;
    }
    if second <= 1e-20 { 0.0 } else { fourth / (second * second) }
}
