//! How well beats are found and named: matched one to one with those a cardiologist marked, as ANSI/AAMI
//! EC57:2012 asks (gross and per record).

use std::fmt;
use std::ops::Range;

use super::detection::Beat;
use super::rhythm::BeatClass;
use super::signal::EcgSignal;

/// How far a found beat may lie from the marked one, in seconds (ANSI/AAMI EC57:2012).
pub const TOLERANCE_S: f64 = 0.150;

/// Which found beat belongs to which marked one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MatchedBeats {
    /// Pairs of indices (marked, found), in order of time.
    pub pairs: Vec<(usize, usize)>,
    /// Indices of marked beats that were not found.
    pub missed: Vec<usize>,
    /// Indices of found beats that nobody marked.
    pub extra: Vec<usize>,
}

impl MatchedBeats {
    /// The share of marked beats that were found, 0 to 1; 1 when none was marked.
    pub fn sensitivity(&self) -> f64 {
        share(self.pairs.len(), self.missed.len())
    }

    /// The share of found beats that were marked (positive predictive value, "+P"), 0 to 1; 1 when none was found.
    pub fn precision(&self) -> f64 {
        share(self.pairs.len(), self.extra.len())
    }
}

/// Matches marked with found beats, both ascending in samples; `tolerance` in samples too. A beat is used
/// once; where two could be matched to one, the nearer is.
pub fn match_beats(reference: &[usize], detected: &[usize], tolerance: usize) -> MatchedBeats {
    let mut matched = MatchedBeats::default();
    let (mut marked, mut found) = (0, 0);
    while let (Some(&truth), Some(&beat)) = (reference.get(marked), detected.get(found)) {
        let distance = truth.abs_diff(beat);
        let next_beat = detected.get(found + 1).map_or(usize::MAX, |next| truth.abs_diff(*next));
        let next_truth = reference.get(marked + 1).map_or(usize::MAX, |next| next.abs_diff(beat));
        if distance <= tolerance && distance <= next_beat && distance <= next_truth {
            matched.pairs.push((marked, found));
            marked += 1;
            found += 1;
        } else if beat < truth {
            // Behind the marked beat, and either too far or the next found one is nearer.
            matched.extra.push(found);
            found += 1;
        } else {
            matched.missed.push(marked);
            marked += 1;
        }
    }
    matched.missed.extend(marked..reference.len());
    matched.extra.extend(found..detected.len());
    matched
}

/// A recording with the beats that a cardiologist marked.
#[derive(Clone)]
pub struct LabelledRecording {
    /// Its name in the data set.
    pub name: String,
    /// Whose it is: recordings of one patient are never on both sides of a split.
    pub patient: String,
    /// Groups whose figures are told apart, such as `women`.
    pub groups: Vec<String>,
    /// The signal.
    pub signal: EcgSignal,
    /// Marked beats, ascending: sample and class.
    pub beats: Vec<(usize, BeatClass)>,
    /// Stretches in samples that do not count: ventricular flutter and fibrillation have no beats (EC57).
    pub excluded: Vec<Range<usize>>,
}

impl fmt::Debug for LabelledRecording {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "LabelledRecording({} beats)", self.beats.len())
    }
}

impl LabelledRecording {
    /// Whether most beats are a pacemaker's; EC57 leaves such recordings out of the figures.
    pub fn is_paced(&self) -> bool {
        2 * self.beats.iter().filter(|(_, class)| *class == BeatClass::Unknown).count() > self.beats.len()
    }

    pub(crate) fn tolerance(&self) -> usize {
        (TOLERANCE_S * self.signal.sampling_rate_hz()) as usize
    }

    /// Whether a sample counts.
    pub(crate) fn counts(&self, sample: usize) -> bool {
        let tolerance = self.tolerance();
        !self.excluded.iter().any(|out| sample + tolerance >= out.start && sample <= out.end + tolerance)
    }
}

/// Beats by what they are and what they were called, of one recording or of several together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Row: the class that was marked (N, S, V, F, Q), last what nobody marked. Column: the class that was
    /// given, last what was not found.
    pub table: [[usize; 6]; 6],
}

/// Row and column of what is no beat.
const NONE: usize = 5;

impl Counts {
    /// Compares found with marked beats of a recording.
    pub fn of(recording: &LabelledRecording, found: &[(Beat, BeatClass)]) -> Counts {
        let marked: Vec<&(usize, BeatClass)> =
            recording.beats.iter().filter(|(sample, _)| recording.counts(*sample)).collect();
        let found: Vec<&(Beat, BeatClass)> =
            found.iter().filter(|(beat, _)| recording.counts(beat.sample)).collect();
        let marked_at: Vec<usize> = marked.iter().map(|(sample, _)| *sample).collect();
        let found_at: Vec<usize> = found.iter().map(|(beat, _)| beat.sample).collect();
        let matched = match_beats(&marked_at, &found_at, recording.tolerance());
        let mut counts = Counts::default();
        for (marked_index, found_index) in matched.pairs {
            counts.table[marked[marked_index].1 as usize][found[found_index].1 as usize] += 1;
        }
        for index in matched.missed {
            counts.table[marked[index].1 as usize][NONE] += 1;
        }
        for index in matched.extra {
            counts.table[NONE][found[index].1 as usize] += 1;
        }
        counts
    }

    /// Adds the beats of another recording.
    pub fn add(&mut self, other: &Counts) {
        for (row, others) in self.table.iter_mut().zip(&other.table) {
            row.iter_mut().zip(others).for_each(|(count, other)| *count += other);
        }
    }

    /// Marked beats of a class.
    pub fn marked(&self, class: BeatClass) -> usize {
        self.table[class as usize].iter().sum()
    }

    /// How well a class is given, beats that were not found counting as missed.
    pub fn class(&self, class: BeatClass) -> Figures {
        let index = class as usize;
        Figures::of(
            self.table[index][index],
            self.marked(class),
            self.table.iter().map(|row| row[index]).sum(),
        )
    }

    /// How well beats are found, whatever their class.
    pub fn detection(&self) -> Figures {
        let rows = &self.table[..NONE];
        let found = rows.iter().map(|row| row[..NONE].iter().sum::<usize>()).sum();
        let extra: usize = self.table[NONE].iter().sum();
        Figures::of(found, rows.iter().flatten().sum(), found + extra)
    }
}

/// Sensitivity, precision and F1, each 0 to 1.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Figures {
    /// The share of marked beats that were given rightly; 1 when none was marked.
    pub sensitivity: f64,
    /// The share of given beats that were marked so (positive predictive value, "+P"); 1 when none was given.
    pub precision: f64,
    /// Their harmonic mean.
    pub f1: f64,
}

impl Figures {
    fn of(hits: usize, marked: usize, given: usize) -> Figures {
        Figures {
            sensitivity: share(hits, marked - hits),
            precision: share(hits, given - hits),
            f1: if marked + given == 0 { 1.0 } else { 2.0 * hits as f64 / (marked + given) as f64 },
        }
    }
}

fn share(hits: usize, others: usize) -> f64 {
    if hits + others == 0 { 1.0 } else { hits as f64 / (hits + others) as f64 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nearest_beat_is_matched_and_each_once() {
        let matched = match_beats(&[100, 400, 700], &[90, 105, 500, 690, 705], 54);
        assert_eq!(matched.pairs, [(0, 1), (2, 4)]);
        assert_eq!(matched.missed, [1]);
        assert_eq!(matched.extra, [0, 2, 3]);
    }

    #[test]
    fn tolerance_is_inclusive() {
        assert_eq!(match_beats(&[100], &[154], 54).pairs.len(), 1);
        assert_eq!(match_beats(&[100], &[155], 54).pairs.len(), 0);
    }

    #[test]
    fn nothing_is_matched_with_nothing() {
        let matched = match_beats(&[], &[], 54);
        assert_eq!((matched.sensitivity(), matched.precision()), (1.0, 1.0));
        assert_eq!(match_beats(&[5], &[], 54).sensitivity(), 0.0);
        assert_eq!(match_beats(&[], &[5], 54).precision(), 0.0);
    }

    #[test]
    fn counts_know_missed_extra_and_mistaken_beats() {
        use BeatClass::{Normal, Ventricular};
        let lead = super::super::signal::Lead { name: "II".into(), samples_mv: vec![0.0; 4_000] };
        let recording = LabelledRecording {
            name: "synthetic".into(),
            patient: "synthetic".into(),
            groups: Vec::new(),
            signal: EcgSignal::new(360.0, vec![lead]).unwrap(),
            beats: vec![(300, Normal), (600, Ventricular), (900, Normal), (2_000, Normal)],
            excluded: std::iter::once(1_900..2_100).collect(),
        };
        let beat = |sample| Beat { sample, strength: 1.0 };
        let found = [
            (beat(305), Normal),
            (beat(590), Normal),
            (beat(1_200), Ventricular),
            (beat(2_000), Ventricular),
        ];
        let counts = Counts::of(&recording, &found);
        assert_eq!(counts.marked(Normal), 2, "what lies in an excluded stretch does not count");
        assert_eq!(counts.class(Ventricular), Figures { sensitivity: 0.0, precision: 0.0, f1: 0.0 });
        let detection = counts.detection();
        assert_eq!((detection.sensitivity, detection.precision), (2.0 / 3.0, 2.0 / 3.0));
        let mut twice = counts.clone();
        twice.add(&counts);
        assert_eq!(twice.marked(Normal), 4);
    }
}
