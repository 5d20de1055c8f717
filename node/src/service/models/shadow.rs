//! A new model beside the one in use: both read, the old one answers, and what is kept is how often they agree. Counts
//! only: nothing here tells what was read of whom.

use std::collections::BTreeMap;
use std::time::Duration;

use inference::ecg::{self, EcgFinding};
use inference::xray::{self, XrayFinding};
use serde::{Deserialize, Serialize};

use crate::api::types::{ShadowClass, ShadowReport};
use crate::service::Node;

/// What came of running both.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct ShadowCounts {
    /// Recordings or pictures that both were given.
    pub(crate) runs: u64,
    /// Runs in which the new one broke.
    failed: u64,
    refused_by_both: u64,
    refused_by_active: u64,
    refused_by_shadow: u64,
    /// By the class that the one in use gave: how often the new one gave the same, and how often another.
    classes: BTreeMap<String, [u64; 2]>,
    /// What only one of them took for a beat.
    unmatched: u64,
    /// Sum of absolute differences of probabilities, and of how many.
    difference_sum: f64,
    differences: u64,
    active_us: u64,
    shadow_us: u64,
}

/// What both said of one recording or picture.
#[derive(Debug, Default)]
pub(crate) struct Run {
    /// Whether the one in use refused, and whether the new one did.
    refused: [bool; 2],
    failed: bool,
    classes: Vec<(String, bool)>,
    unmatched: u64,
    differences: Vec<f32>,
    took: [Duration; 2],
}

impl ShadowCounts {
    fn add(&mut self, run: &Run) {
        self.runs += 1;
        self.failed += u64::from(run.failed);
        if !run.failed {
            match run.refused {
                [true, true] => self.refused_by_both += 1,
                [true, false] => self.refused_by_active += 1,
                [false, true] => self.refused_by_shadow += 1,
                [false, false] => {}
            }
        }
        for (class, same) in &run.classes {
            self.classes.entry(class.clone()).or_default()[usize::from(!same)] += 1;
        }
        self.unmatched += run.unmatched;
        // What is no number would spoil the sum for ever.
        for difference in run.differences.iter().filter(|difference| difference.is_finite()) {
            self.difference_sum += f64::from(*difference);
            self.differences += 1;
        }
        let micros = |took: Duration| u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        self.active_us = self.active_us.saturating_add(micros(run.took[0]));
        self.shadow_us = self.shadow_us.saturating_add(micros(run.took[1]));
    }

    /// As it is told.
    pub(crate) fn report(&self) -> ShadowReport {
        let class = |(name, [same, other]): (&String, &[u64; 2])| ShadowClass {
            class: name.clone(),
            same: *same,
            other: *other,
        };
        let share = |part: f64, whole: f64| (whole > 0.0).then(|| part / whole);
        ShadowReport {
            runs: self.runs,
            failed: self.failed,
            refused_by_both: self.refused_by_both,
            refused_by_active: self.refused_by_active,
            refused_by_shadow: self.refused_by_shadow,
            classes: self.classes.iter().map(class).collect(),
            unmatched: self.unmatched,
            mean_absolute_difference: share(self.difference_sum, self.differences as f64),
            time_ratio: share(self.shadow_us as f64, self.active_us as f64),
        }
    }
}

impl Run {
    /// What two models said of a recording; none for one that broke.
    pub(crate) fn of_ecg(
        active: &Result<EcgFinding, ecg::Refusal>,
        shadow: Option<&Result<EcgFinding, ecg::Refusal>>,
        took: [Duration; 2],
    ) -> Run {
        let Some(shadow) = shadow else { return Run { failed: true, took, ..Run::default() } };
        let mut run = Run { refused: [active.is_err(), shadow.is_err()], took, ..Run::default() };
        let (Ok(active), Ok(shadow)) = (active, shadow) else { return run };
        let others: BTreeMap<usize, _> = shadow.beats.iter().map(|beat| (beat.beat.sample, beat)).collect();
        for beat in &active.beats {
            // Both look at the same beats; a model may only say that one is none.
            let Some(other) = others.get(&beat.beat.sample) else {
                run.unmatched += 1;
                continue;
            };
            run.classes.push((beat.class.letter().to_string(), beat.class == other.class));
            run.differences.push((beat.ventricular - other.ventricular).abs());
            run.differences.push((beat.supraventricular - other.supraventricular).abs());
        }
        let matched = run.classes.len();
        run.unmatched += (shadow.beats.len() - matched) as u64;
        run
    }

    /// What two models said of a picture; none for one that broke.
    pub(crate) fn of_xray(
        active: &Result<XrayFinding, xray::Refusal>,
        shadow: Option<&Result<XrayFinding, xray::Refusal>>,
        took: [Duration; 2],
    ) -> Run {
        let Some(shadow) = shadow else { return Run { failed: true, took, ..Run::default() } };
        let mut run = Run { refused: [active.is_err(), shadow.is_err()], took, ..Run::default() };
        if let (Ok(active), Ok(shadow)) = (active, shadow) {
            let word = if active.is_pneumonia() { "pneumonia" } else { "no pneumonia" };
            run.classes.push((word.to_owned(), active.is_pneumonia() == shadow.is_pneumonia()));
            run.differences.push((active.probability - shadow.probability).abs());
        }
        run
    }
}

impl Node {
    /// Counts a run of both, unless the new model has been put in use or away meanwhile. What cannot be counted is no
    /// reason to keep an answer back.
    pub(crate) fn note_shadow(&self, name: &str, digest: &[u8; 32], run: &Run) {
        let counted = self.change_model(name, Vec::new(), |state| {
            if state.shadow.as_ref().is_some_and(|kept| kept.digest == *digest) {
                state.counts.add(run);
            }
            Ok(())
        });
        if let Err(problem) = counted {
            tracing::error!(%problem, "a run of two models was not counted");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finding(probability: f32) -> Result<XrayFinding, xray::Refusal> {
        Ok(XrayFinding { probability, novelty: 0.5 })
    }

    #[test]
    fn agreement_and_refusals_are_counted_apart() {
        let took = [Duration::from_millis(10), Duration::from_millis(30)];
        let refused = || Err(xray::Refusal::Flat);
        let mut counts = ShadowCounts::default();
        for (active, shadow) in [
            (finding(0.9), Some(finding(0.7))),
            (finding(0.2), Some(finding(0.6))),
            (finding(0.2), Some(refused())),
            (refused(), Some(refused())),
            (finding(0.2), Some(finding(f32::NAN))),
            (finding(0.2), None),
        ] {
            counts.add(&Run::of_xray(&active, shadow.as_ref(), took));
        }
        let report = counts.report();
        assert_eq!(
            (report.runs, report.failed, report.refused_by_both, report.refused_by_shadow),
            (6, 1, 1, 1)
        );
        assert_eq!(report.classes.len(), 2);
        assert_eq!((report.classes[1].same, report.classes[1].other), (1, 0));
        assert!((report.mean_absolute_difference.expect("some") - 0.3).abs() < 1e-6);
        assert!((report.time_ratio.expect("some") - 3.0).abs() < 1e-9);
        assert_eq!(ShadowCounts::default().report().time_ratio, None);
    }
}
