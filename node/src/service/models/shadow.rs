//! A new model beside the one in use: both read, the old one answers, and what is kept is how often they agree. Counts
//! only: nothing here tells what was read of whom.

use std::collections::BTreeMap;
use std::time::Duration;

use inference::ecg::{self, EcgFinding};
use inference::glucose::{self, Advice, GLUCOSE_MODEL, GlucoseForecast};
use inference::risk::{self, Assessment};
use inference::xray::{self, XrayFinding};
use serde::{Deserialize, Serialize};

use crate::api::types::{ShadowClass, ShadowReport};
use crate::service::Node;
use crate::service::models::Chosen;

/// What came of running both.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct ShadowCounts {
    /// Recordings, pictures, people or series of readings that both were given.
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
    /// Sum of absolute differences, see [`difference_in`], and of how many.
    difference_sum: f64,
    differences: u64,
    active_us: u64,
    shadow_us: u64,
}

/// What both said of the same.
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

    /// As it is told of the model of this name.
    pub(crate) fn report(&self, name: &str) -> ShadowReport {
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
            difference_in: difference_in(name).to_owned(),
            time_ratio: share(self.shadow_us as f64, self.active_us as f64),
        }
    }
}

/// What the difference of two answers of the model of this name is told in.
fn difference_in(name: &str) -> &'static str {
    if name == GLUCOSE_MODEL { "mg/dL" } else { "probability" }
}

impl Run {
    /// What two models said of the same, with what tells two readings apart; none for a model that broke.
    fn of<F, R>(
        [active, shadow]: [Option<&Result<F, R>>; 2],
        took: [Duration; 2],
        tell_apart: impl FnOnce(&mut Run, &F, &F),
    ) -> Run {
        let (Some(active), Some(shadow)) = (active, shadow) else {
            return Run { failed: true, took, ..Run::default() };
        };
        let mut run = Run { refused: [active.is_err(), shadow.is_err()], took, ..Run::default() };
        if let (Ok(active), Ok(shadow)) = (active, shadow) {
            tell_apart(&mut run, active, shadow);
        }
        run
    }

    /// Of a recording: the class of each beat.
    pub(crate) fn of_ecg(said: [Option<&Result<EcgFinding, ecg::Refusal>>; 2], took: [Duration; 2]) -> Run {
        Run::of(said, took, |run, active, shadow| {
            let others: BTreeMap<usize, _> =
                shadow.beats.iter().map(|beat| (beat.beat.sample, beat)).collect();
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
        })
    }

    /// Of a picture: whether it is called pneumonia.
    pub(crate) fn of_xray(
        said: [Option<&Result<XrayFinding, xray::Refusal>>; 2],
        took: [Duration; 2],
    ) -> Run {
        Run::of(said, took, |run, active, shadow| {
            let word = if active.is_pneumonia() { "pneumonia" } else { "no pneumonia" };
            run.classes.push((word.to_owned(), active.is_pneumonia() == shadow.is_pneumonia()));
            run.differences.push((active.probability - shadow.probability).abs());
        })
    }

    /// Of a person: whether the probability reaches the threshold that the figures on the card are counted at.
    pub(crate) fn of_risk(
        said: [Option<&Result<Assessment, risk::Refusal>>; 2],
        took: [Duration; 2],
        called_from: f32,
    ) -> Run {
        Run::of(said, took, |run, active, shadow| {
            // In the numbers in which the figures are counted, so that both are cut at the same place.
            let is_called = |said: &Assessment| said.probability as f32 >= called_from;
            let word = if is_called(active) { "at or above the threshold" } else { "below the threshold" };
            run.classes.push((word.to_owned(), is_called(active) == is_called(shadow)));
            run.differences.push((active.probability - shadow.probability).abs() as f32);
        })
    }

    /// Of readings of glucose: what is advised, and how far apart the forecasts of each time lie, in mg/dL.
    pub(crate) fn of_glucose(
        said: [Option<&Result<GlucoseForecast, glucose::Refusal>>; 2],
        took: [Duration; 2],
    ) -> Run {
        Run::of(said, took, |run, active, shadow| {
            let advice = Advice::of(active);
            run.classes.push((advice.name().to_owned(), advice == Advice::of(shadow)));
            let times = active.forecasts.iter().zip(&shadow.forecasts);
            run.differences.extend(times.map(|(active, shadow)| (active.mg_per_dl - shadow.mg_per_dl).abs()));
        })
    }
}

/// What was said, and how long that took.
type Said<F> = (F, Duration);

impl Node {
    /// Counts what the new model said of what the one in use read, unless it has been put in use or away meanwhile. What
    /// cannot be counted is no reason to keep an answer back.
    pub(crate) fn note_shadow<F>(
        &self,
        shadow: &Chosen,
        (active, took): Said<&F>,
        beside: Option<Said<F>>,
        run_of: impl FnOnce([Option<&F>; 2], [Duration; 2]) -> Run,
    ) {
        let (beside, its) = beside.map_or((None, Duration::ZERO), |(said, took)| (Some(said), took));
        let run = run_of([Some(active), beside.as_ref()], [took, its]);
        let digest = shadow.digest();
        let counted = self.change_model(&shadow.model.card.about.name, Vec::new(), |state| {
            if state.shadow.as_ref().is_some_and(|kept| kept.digest == digest) {
                state.counts.add(&run);
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
            counts.add(&Run::of_xray([Some(&active), shadow.as_ref()], took));
        }
        let report = counts.report(xray::XRAY_MODEL);
        assert_eq!(
            (report.runs, report.failed, report.refused_by_both, report.refused_by_shadow),
            (6, 1, 1, 1)
        );
        assert_eq!(report.classes.len(), 2);
        assert_eq!((report.classes[1].same, report.classes[1].other), (1, 0));
        assert!((report.mean_absolute_difference.expect("some") - 0.3).abs() < 1e-6);
        assert!((report.time_ratio.expect("some") - 3.0).abs() < 1e-9);
        assert_eq!(report.difference_in, "probability");
        assert_eq!(ShadowCounts::default().report("").time_ratio, None);
    }

    fn assessment(probability: f64) -> Result<Assessment, risk::Refusal> {
        let (parts, missing, unusual) = (Vec::new(), Vec::new(), Vec::new());
        let interval = [probability; 2];
        Ok(Assessment { probability, interval, logit: 0.0, base: 0.0, parts, missing, unusual })
    }

    #[test]
    fn two_risks_agree_when_both_reach_the_threshold_of_the_card() {
        let refused = || Err(risk::Refusal::Needed("age".into()));
        let mut counts = ShadowCounts::default();
        for (active, shadow) in [
            (assessment(0.30), Some(assessment(0.40))),
            (assessment(0.31), Some(assessment(0.29))),
            (assessment(0.10), Some(assessment(0.20))),
            (assessment(0.10), Some(refused())),
            (refused(), Some(assessment(0.9))),
            (assessment(0.1), Some(assessment(f64::NAN))),
            (assessment(0.1), None),
        ] {
            counts.add(&Run::of_risk([Some(&active), shadow.as_ref()], [Duration::ZERO; 2], 0.3));
        }
        let report = counts.report(risk::BREAST_MODEL);
        assert_eq!((report.runs, report.failed), (7, 1));
        assert_eq!((report.refused_by_active, report.refused_by_shadow), (1, 1));
        let classes = report.classes.iter().map(|it| (it.class.as_str(), it.same, it.other));
        let told = [("at or above the threshold", 1, 1), ("below the threshold", 2, 0)];
        assert_eq!(classes.collect::<Vec<_>>(), told);
        assert!((report.mean_absolute_difference.expect("some") - 0.22 / 3.0).abs() < 1e-6);
    }

    /// What the built-in forecaster says of readings that change by `step` every five minutes.
    fn forecast(first: f32, step: f32) -> Result<GlucoseForecast, glucose::Refusal> {
        let model = glucose::GlucoseModel::built_in(inference::Backend::default()).expect("built in");
        let reading = |at: u8| glucose::GlucoseReading {
            at_s: i64::from(at) * 300,
            mg_per_dl: first + step * f32::from(at),
        };
        let series = glucose::GlucoseSeries::new((0..14).map(reading).collect())?;
        model.forecast(&series, None)
    }

    #[test]
    fn two_forecasts_agree_when_they_advise_the_same_and_differ_in_mg_per_dl() {
        let usual = forecast(130.0, 0.1);
        let mut moved = forecast(130.0, 0.1).expect("a forecast");
        moved.forecasts[0].mg_per_dl += 3.0;
        moved.forecasts[1].mg_per_dl -= 5.0;
        let falling = forecast(120.0, -4.0);
        let flat = Err(glucose::Refusal::Flat);
        let mut counts = ShadowCounts::default();
        for (active, shadow) in [(&usual, &Ok(moved)), (&falling, &flat), (&falling, &falling)] {
            counts.add(&Run::of_glucose([Some(active), Some(shadow)], [Duration::ZERO; 2]));
        }
        let report = counts.report(GLUCOSE_MODEL);
        assert_eq!((report.runs, report.refused_by_shadow), (3, 1));
        let of = |name: &str| report.classes.iter().find(|it| it.class == name).map(|it| (it.same, it.other));
        assert_eq!(of("usual"), Some((1, 0)), "{:?}", report.classes);
        assert_eq!(report.classes.iter().map(|it| it.same + it.other).sum::<u64>(), 2);
        assert!((report.mean_absolute_difference.expect("some") - 2.0).abs() < 1e-4, "{report:?}");
        assert_eq!(report.difference_in, "mg/dL");
        let other = Run::of_glucose([Some(&usual), Some(&falling)], [Duration::ZERO; 2]);
        assert_eq!(other.classes, [("usual".to_owned(), false)]);
    }
}
