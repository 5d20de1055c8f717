//! Which stretch of a recording to draw, and its picture.

use std::ops::Range;

use inference::ecg::{
    BeatClass, EcgFinding, EcgSignal, Explanation, Filter, MAX_DRAWN_LEADS, Mark, Strip, explained_stretches,
    first_lead,
};

use super::super::problem::{Problem, Tried};
use crate::api::types::StripRequest;

/// What stands under every strip.
const LABEL: &str = "Read by a model (research software, not a medical device): a clinician must check.";

/// The strip as SVG.
///
/// # Errors
/// [`Problem`] when the stretch is empty, too long, or outside the recording.
pub(super) fn svg(
    signal: &EcgSignal,
    finding: Option<&EcgFinding>,
    wanted: StripRequest,
) -> Result<String, Problem> {
    let range = range(signal, finding, wanted)?;
    let mut strip = Strip::new(signal, range);
    strip.filter = Filter::Baseline;
    strip.title = format!("ECG, read by the model {}", inference::ecg::ECG_MODEL);
    strip.footer = vec![LABEL.to_owned()];
    let marks: Vec<Mark> = finding.map(marks).unwrap_or_default();
    let near: Vec<Mark> = marks.into_iter().filter(|mark| strip.range.contains(&mark.sample)).collect();
    let unreadable = finding.map(|finding| finding.quality.unreadable()).unwrap_or_default();
    strip.marks = &near;
    strip.unreadable = &unreadable;
    let weights = finding.map_or_else(Vec::new, |finding| {
        explained_stretches(&finding.beats, &strip.range, signal.sampling_rate_hz())
    });
    let lead = first_lead(signal);
    if !weights.is_empty() && lead < MAX_DRAWN_LEADS {
        strip.explanation = Some(Explanation { lead, weights: &weights });
    }
    strip.svg().tried("draw the strip")
}

fn marks(finding: &EcgFinding) -> Vec<Mark> {
    let mark = |beat: &inference::ecg::ClassifiedBeat| Mark {
        sample: beat.beat.sample,
        class: beat.class,
        probability: beat.probability,
    };
    finding.beats.iter().map(mark).collect()
}

fn range(
    signal: &EcgSignal,
    finding: Option<&EcgFinding>,
    wanted: StripRequest,
) -> Result<Range<usize>, Problem> {
    let rate = signal.sampling_rate_hz();
    let usable = |seconds: f64| seconds.is_finite() && seconds >= 0.0;
    if !usable(wanted.seconds) || wanted.seconds == 0.0 || !wanted.start_s.is_none_or(usable) {
        return Err(Problem::wrong_use("a strip needs a beginning and a length in seconds, from 0 on"));
    }
    let length = ((wanted.seconds * rate).round() as usize).clamp(1, signal.len());
    let start = match wanted.start_s {
        Some(start_s) if start_s >= signal.duration_s() => {
            return Err(Problem::wrong_use("the strip begins after the end of the recording")
                .next(format!("it lasts {:.1} s", signal.duration_s())));
        }
        Some(start_s) => (start_s * rate).round() as usize,
        None => finding.map_or(0, |finding| telling(finding, length)),
    };
    let start = start.min(signal.len() - length);
    Ok(start..start + length)
}

/// Where most beats are not normal within `length` samples; the beginning when all are.
fn telling(finding: &EcgFinding, length: usize) -> usize {
    let odd: Vec<usize> = finding
        .beats
        .iter()
        .filter(|beat| beat.class != BeatClass::Normal)
        .map(|beat| beat.beat.sample)
        .collect();
    let within = |from: usize| odd.iter().filter(|sample| (from..from + length).contains(sample)).count();
    // A margin before the first one, so that the usual beat is seen too.
    let starts = odd.iter().map(|sample| sample.saturating_sub(length / 5));
    starts.rev().max_by_key(|start| within(*start)).unwrap_or(0)
}
