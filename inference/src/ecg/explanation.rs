//! What a class rested on: how much the answer changes when one part of a beat is made like that of the patient's usual
//! beat (ablation to a baseline: Sundararajan and Najmi, "The many Shapley values", ICML 2020, call it such).

use std::ops::Range;

use burn::tensor::Device;

use super::classifier::ClassifiedBeat;
use super::features::names;
use super::network::{Network, Question};
use super::rhythm::BeatClass;

/// A part of the record that belongs to a beat.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// The interval before it: how early it comes.
    IntervalBefore,
    /// The P wave before the complex.
    PWave,
    /// The QRS complex.
    Complex,
    /// The T wave.
    TWave,
    /// The interval after it: a pause.
    IntervalAfter,
}

impl Part {
    /// In order of time.
    pub const ALL: [Part; 5] =
        [Part::IntervalBefore, Part::PWave, Part::Complex, Part::TWave, Part::IntervalAfter];

    /// Its name for people.
    pub const fn name(self) -> &'static str {
        match self {
            Part::IntervalBefore => "interval before",
            Part::PWave => "P wave",
            Part::Complex => "QRS complex",
            Part::TWave => "T wave",
            Part::IntervalAfter => "interval after",
        }
    }

    /// The part that a column describes; columns of the rhythm as a whole belong to none.
    fn of(column: &str) -> Option<Part> {
        let shape = column.strip_prefix("lead1_").or_else(|| column.strip_prefix("lead2_"));
        match shape {
            Some("present") => None,
            Some(name) if name.starts_with("p_") || name.contains("_p_") => Some(Part::PWave),
            Some(name) if name.starts_with("t_") || name.contains("_t_") => Some(Part::TWave),
            Some(_) => Some(Part::Complex),
            None if column.contains("rr_next") || column.contains("after") => Some(Part::IntervalAfter),
            None if ["rr_previous", "before", "premature", "fast_run", "rr_two", "early"]
                .iter()
                .any(|word| column.contains(word)) =>
            {
                Some(Part::IntervalBefore)
            }
            None if column.contains("family") => Some(Part::Complex),
            None => None,
        }
    }

    /// Where it lies, in samples, for a beat between two others. Ends are those of a usual beat at rest (Surawicz et al.,
    /// AHA/ACCF/HRS 2009: PR 0.12 to 0.20 s, QRS below 0.12 s).
    fn stretch(self, beat: usize, before: usize, after: usize, rate_hz: f64) -> Range<usize> {
        let at = |seconds: f64| (beat as f64 + seconds * rate_hz).max(0.0) as usize;
        let (p, complex, t, t_end) = (at(-0.24), at(-0.06), at(0.10), at(0.40));
        match self {
            Part::IntervalBefore => before..p.max(before),
            Part::PWave => p.max(before)..complex.max(before),
            Part::Complex => complex.max(before)..t.min(after),
            Part::TWave => t.min(after)..t_end.min(after),
            Part::IntervalAfter => t_end.min(after)..after,
        }
    }
}

/// A part that spoke for the class by less than this share of the largest is not told of.
pub const LEAST_SHARE: f32 = 0.1;

/// How much each part spoke for the class of a beat: shares of the largest, 0 to 1.
pub type PartShares = [f32; Part::ALL.len()];

/// The shares for each of the rows; `None` for beats that are usual, paced or fused.
pub(super) fn shares(
    network: &Network,
    members: &[usize],
    rows: &[Vec<f32>],
    classes: &[BeatClass],
    device: &Device,
) -> Vec<Option<PartShares>> {
    let question = |class: BeatClass| match class {
        BeatClass::Ventricular => Some(Question::Ventricular),
        BeatClass::Supraventricular => Some(Question::Supraventricular),
        BeatClass::Normal | BeatClass::Fusion | BeatClass::Unknown => None,
    };
    let usual = usual_row(rows, classes);
    let parts: Vec<Option<Part>> = names().iter().map(|name| Part::of(name)).collect();
    let odd: Vec<usize> = (0..rows.len()).filter(|beat| question(classes[*beat]).is_some()).collect();
    // For each odd beat its row as it is, then once with each part made usual.
    let mut asked = Vec::with_capacity(odd.len() * (1 + Part::ALL.len()));
    for beat in &odd {
        asked.push(rows[*beat].clone());
        for part in Part::ALL {
            let replaced = rows[*beat].iter().zip(&usual).zip(&parts);
            let value = |((own, usual), of): ((&f32, &f32), &Option<Part>)| {
                if *of == Some(part) { *usual } else { *own }
            };
            asked.push(replaced.map(value).collect());
        }
    }
    let mut all = vec![None; rows.len()];
    if asked.is_empty() {
        return all;
    }
    let logits = network.logits(&asked, members, device);
    for (place, beat) in odd.iter().enumerate() {
        let Some(question) = question(classes[*beat]) else { continue };
        let said = &logits[question as usize][place * (1 + Part::ALL.len())..][..=Part::ALL.len()];
        let spoke: Vec<f32> = said[1..].iter().map(|without| (said[0] - without).max(0.0)).collect();
        let most = spoke.iter().copied().fold(0.0f32, f32::max);
        if most > 0.0 {
            let mut shares = PartShares::default();
            shares.iter_mut().zip(&spoke).for_each(|(share, spoke)| *share = spoke / most);
            all[*beat] = Some(shares);
        }
    }
    all
}

/// Each column's median over the normal beats.
fn usual_row(rows: &[Vec<f32>], classes: &[BeatClass]) -> Vec<f32> {
    let normal: Vec<&Vec<f32>> = rows
        .iter()
        .zip(classes)
        .filter(|(_, class)| **class == BeatClass::Normal)
        .map(|(row, _)| row)
        .collect();
    let median = |column: usize| {
        let mut values: Vec<f32> = normal.iter().map(|row| row[column]).collect();
        values.sort_by(f32::total_cmp);
        values.get(values.len() / 2).copied().unwrap_or(0.0)
    };
    (0..names().len()).map(median).collect()
}

/// Where the parts of explained beats lie within a stretch of the recording, each with its share.
pub fn explained_stretches(
    beats: &[ClassifiedBeat],
    within: &Range<usize>,
    sampling_rate_hz: f64,
) -> Vec<(Range<usize>, f32)> {
    let mut stretches = Vec::new();
    for (index, beat) in beats.iter().enumerate() {
        let (Some(shares), at) = (beat.parts, beat.beat.sample) else { continue };
        if !within.contains(&at) {
            continue;
        }
        let second = sampling_rate_hz as usize;
        let before = index.checked_sub(1).map_or(at.saturating_sub(second), |other| beats[other].beat.sample);
        let after = beats.get(index + 1).map_or(at + second, |other| other.beat.sample);
        for (part, share) in Part::ALL.into_iter().zip(shares) {
            let stretch = part.stretch(at, before, after, sampling_rate_hz);
            if !stretch.is_empty() && share >= LEAST_SHARE {
                stretches.push((stretch, share));
            }
        }
    }
    stretches
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_belong_to_the_part_that_they_describe() {
        let check = |column: &str, part: Option<Part>| assert_eq!(Part::of(column), part, "{column}");
        check("ln_rr_previous_to_local", Some(Part::IntervalBefore));
        check("premature_in_regular_rhythm", Some(Part::IntervalBefore));
        check("family_early_share", Some(Part::IntervalBefore));
        check("pause_after_in_regular_rhythm", Some(Part::IntervalAfter));
        check("ln_rr_next_to_median", Some(Part::IntervalAfter));
        check("lead1_p_correlation_best", Some(Part::PWave));
        check("lead2_ln_p_span_to_usual", Some(Part::PWave));
        check("lead2_t_correlation_with_usual", Some(Part::TWave));
        check("lead1_qrs_width_s", Some(Part::Complex));
        check("ln_family_share", Some(Part::Complex));
        check("irregularity_record", None);
        for part in Part::ALL {
            assert!(names().iter().any(|name| Part::of(name) == Some(part)), "{part:?}");
        }
    }

    #[test]
    fn parts_follow_each_other_and_never_leave_the_beat() {
        for (beat, before, after) in [(1_000, 640, 1_360), (100, 0, 130), (50, 40, 60), (500, 498, 2_000)] {
            let mut end = before;
            for part in Part::ALL {
                let stretch = part.stretch(beat, before, after, 360.0);
                assert!(stretch.start >= end.min(stretch.end) && stretch.end <= after.max(stretch.start));
                end = stretch.end.max(end);
            }
        }
    }
}
