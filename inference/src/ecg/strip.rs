//! A rhythm strip as clinicians read it: on a millimetre grid, at 25 mm/s and 10 mm/mV, as an SVG picture.
//!
//! ```text
//! Strip ─ trace: filter ─▶ samples in mV ─ page: where rows stand ─▶ paper, trace, overlay ─▶ SVG
//! ```
//!
//! The trace only ever passes through samples that were recorded (after the filter that the picture names), and
//! what is missing stays open. The same strip gives the same bytes on every machine. A strip lasts at most a
//! minute and its picture at most [`MAX_SVG_BYTES`]; whatever is cut, clipped or left out is said in the picture.

mod overlay;
mod page;
mod paper;
mod text;
mod trace;

use std::ops::Range;

use self::page::Page;
use super::conditioning::{BASELINE_HZ, noise_hz};
use super::rhythm::BeatClass;
use super::signal::EcgSignal;

/// Paper speed in millimetres a second: the usual one (Kligfield et al., AHA/ACC/HRS recommendations part I, 2007).
pub const SPEED_MM_PER_S: f64 = 25.0;
/// Gain in millimetres a millivolt (same source).
pub const GAIN_MM_PER_MV: f64 = 10.0;
/// The longest strip, in seconds. Six rows are what one looks through; a longer stretch is several strips.
pub const MAX_STRIP_S: f64 = 60.0;
/// The most leads drawn: the twelve and the three of Frank. Further ones are named as left out.
pub const MAX_DRAWN_LEADS: usize = 15;
/// The trace is clipped this far from its baseline, in millivolts, and the picture says so. Waves of a heart stay
/// within 5 mV (ANSI/AAMI EC11 asks recorders for a range of ±5 mV).
pub const CLIP_MV: f64 = 5.0;
/// No picture is larger. Fifteen leads of a minute, with two points of at most 18 bytes in each quarter of a
/// millimetre, take 3.3 MB; the most stretches of an explanation, each in all six rows, 2.5 MB.
pub const MAX_SVG_BYTES: usize = 8 * 1024 * 1024;
/// The most marks in one strip: ten a second, where hearts stay below five.
pub const MAX_MARKS: usize = 600;
/// The most stretches of one kind in a strip, so that the picture stays bounded: one each 20 ms of a minute.
pub const MAX_STRETCHES: usize = 3_000;
/// The most lines that a caller may add below a strip.
pub const MAX_FOOTER_LINES: usize = 8;
/// The longest row in seconds: 250 mm, which fits a landscape A4 page.
const ROW_S: f64 = 10.0;
/// A last row may be longer by this, in seconds, so that a rounded number of samples opens no row of its own.
const ROW_SLACK_S: f64 = 0.2;

/// A stretch of a recording, and what is to be shown with it.
///
/// The samples, marks and stretches are numbered in samples of the whole recording; what lies outside `range` is
/// not drawn.
pub struct Strip<'a> {
    /// The recording.
    pub signal: &'a EcgSignal,
    /// The samples to draw: at least one, at most a minute of them.
    pub range: Range<usize>,
    /// What is taken out of the signal first.
    pub filter: Filter,
    /// The beats, lettered above the first lead.
    pub marks: &'a [Mark],
    /// Stretches that cannot be read: hatched.
    pub unreadable: &'a [Range<usize>],
    /// What a classifier rested on, as a band behind one lead.
    pub explanation: Option<Explanation<'a>>,
    /// The first line, cut after 120 characters.
    pub title: String,
    /// Lines below the strip, such as who must check it; at most eight, each cut after 400 characters.
    pub footer: Vec<String>,
}

/// A beat and what it was taken for.
#[derive(Clone, Copy, PartialEq)]
pub struct Mark {
    /// The beat, as a sample of the recording.
    pub sample: usize,
    /// Its class.
    pub class: BeatClass,
    /// How sure the classifier is of it, 0 to 1; NaN where nothing says.
    pub probability: f32,
}

/// How much each stretch of one lead weighed in what a classifier said.
#[derive(Clone, Copy)]
pub struct Explanation<'a> {
    /// The lead, by its place in the recording.
    pub lead: usize,
    /// Stretches in samples of the recording, each with its weight from 0 to 1.
    pub weights: &'a [(Range<usize>, f32)],
}

/// What is taken out of the signal before it is drawn. No filter moves a wave in time. Whatever is taken out, each
/// row is then moved up or down so that its median lies on its baseline.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Filter {
    /// Nothing: as the file has it.
    None,
    /// The slow wander below 0.5 Hz; peaks keep their height.
    #[default]
    Baseline,
    /// What is below 0.5 Hz and above 40 Hz, as on a monitor: calmer, but narrow peaks lose height.
    Monitor,
}

impl Filter {
    /// What the picture says of it.
    fn words(self, sampling_rate_hz: f64) -> String {
        match self {
            Filter::None => "no filter".to_owned(),
            Filter::Baseline => format!("filter: from {BASELINE_HZ} Hz (baseline), no low-pass"),
            Filter::Monitor => format!("filter: {BASELINE_HZ} to {} Hz", noise_hz(sampling_rate_hz)),
        }
    }
}

/// Why a strip is not drawn.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum StripError {
    /// The range holds no sample.
    #[error("a strip needs at least one sample")]
    Empty,
    /// The range ends after the recording.
    #[error("the strip ends at sample {end}, the recording has {samples}")]
    Outside {
        /// Where the strip was to end.
        end: usize,
        /// How many samples there are.
        samples: usize,
    },
    /// The range lasts more than a minute.
    #[error("a strip lasts at most {MAX_STRIP_S} seconds: draw several")]
    TooLong,
    /// The lead that an explanation is of is not drawn.
    #[error("lead {0} is not among those drawn")]
    Lead(usize),
    /// More marks, stretches or lines than can be read.
    #[error("a strip has at most {most} {what}, not {given}")]
    TooMany {
        /// Of what there are too many.
        what: &'static str,
        /// How many there are in the range.
        given: usize,
        /// How many there may be.
        most: usize,
    },
}

impl<'a> Strip<'a> {
    /// A strip of the samples `range`, the baseline taken out, with nothing marked and no words.
    pub fn new(signal: &'a EcgSignal, range: Range<usize>) -> Strip<'a> {
        Strip {
            signal,
            range,
            filter: Filter::default(),
            marks: &[],
            unreadable: &[],
            explanation: None,
            title: String::new(),
            footer: Vec::new(),
        }
    }

    /// The picture: SVG 1.1 with its size in millimetres, so that it prints true to scale at 100 %. At most
    /// [`MAX_SVG_BYTES`] long; text is escaped, and drawn in DejaVu Sans where that font is found.
    pub fn svg(&self) -> Result<String, StripError> {
        self.check()?;
        let drawn = self.signal.leads().len().min(MAX_DRAWN_LEADS);
        let traces: Vec<Vec<f32>> = self.signal.leads()[..drawn]
            .iter()
            .map(|lead| {
                trace::filtered(lead, self.signal.sampling_rate_hz(), self.range.clone(), self.filter)
            })
            .collect();
        let page = Page::of(self, &traces);
        let mut picture = String::new();
        paper::begin(&mut picture, self, &page);
        for system in &page.systems {
            paper::grid(&mut picture, system);
            overlay::explanation(&mut picture, self, system);
            overlay::unreadable(&mut picture, self, system);
            paper::time(&mut picture, self, system);
            overlay::ticks(&mut picture, self, system);
            for row in &system.rows {
                paper::row_start(&mut picture, self, row);
                trace::line(&mut picture, system, row, &traces[row.lead]);
            }
            overlay::letters(&mut picture, self, system);
        }
        paper::end(&mut picture, self, &page);
        Ok(picture)
    }

    fn check(&self) -> Result<(), StripError> {
        if self.range.is_empty() {
            return Err(StripError::Empty);
        }
        if self.range.end > self.signal.len() {
            return Err(StripError::Outside { end: self.range.end, samples: self.signal.len() });
        }
        if self.seconds(self.range.len()) > MAX_STRIP_S + ROW_SLACK_S {
            return Err(StripError::TooLong);
        }
        let drawn = self.signal.leads().len().min(MAX_DRAWN_LEADS);
        if let Some(explanation) = self.explanation.filter(|explanation| explanation.lead >= drawn) {
            return Err(StripError::Lead(explanation.lead));
        }
        let weights = self.explanation.map_or(&[][..], |explanation| explanation.weights);
        let counts = [
            ("marks", self.marks_within().count(), MAX_MARKS),
            ("unreadable stretches", self.unreadable_within().count(), MAX_STRETCHES),
            (
                "stretches of an explanation",
                weights.iter().filter(|(at, _)| self.holds(at)).count(),
                MAX_STRETCHES,
            ),
            ("footer lines", self.footer.len(), MAX_FOOTER_LINES),
        ];
        match counts.into_iter().find(|(_, given, most)| given > most) {
            Some((what, given, most)) => Err(StripError::TooMany { what, given, most }),
            None => Ok(()),
        }
    }

    fn marks_within(&self) -> impl Iterator<Item = &Mark> {
        self.marks.iter().filter(|mark| self.range.contains(&mark.sample))
    }

    fn unreadable_within(&self) -> impl Iterator<Item = &Range<usize>> {
        self.unreadable.iter().filter(|stretch| self.holds(stretch))
    }

    /// Whether a stretch shows in this strip.
    fn holds(&self, stretch: &Range<usize>) -> bool {
        stretch.start.max(self.range.start) < stretch.end.min(self.range.end)
    }

    fn seconds(&self, samples: usize) -> f64 {
        samples as f64 / self.signal.sampling_rate_hz()
    }
}

#[cfg(test)]
mod tests;
