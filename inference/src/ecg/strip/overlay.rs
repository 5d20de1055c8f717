//! What others say about the signal: classes of beats, stretches that cannot be read, what a classifier weighed.

use std::ops::Range;

use super::page::{LETTERS_MM, System};
use super::text::mm;
use super::{Mark, Strip, paper};
use crate::ecg::BeatClass;

/// Below this a weight is not seen.
const LEAST_WEIGHT: f32 = 0.02;
/// The band of the largest weight is this opaque: the trace and the grid stay visible.
const MOST_OPAQUE: f32 = 0.55;
/// A hatched stretch of this length names itself.
const NAMED_FROM_MM: f64 = 30.0;
/// Letters of beats that are not normal, and of normal ones.
const LETTER_MM: f64 = 3.8;
const NORMAL_MM: f64 = 2.6;
const PERCENT_MM: f64 = 1.9;
/// Bold is drawn as an outline, so that one face of the font is enough.
const BOLD_MM: f64 = 0.22;

/// Colours that stay apart with any colour vision, darkened for white paper (after Okabe and Ito, "Color Universal
/// Design", 2008). The letter says the same, so that none is needed.
fn colour(class: BeatClass) -> &'static str {
    match class {
        BeatClass::Normal => "#707070",
        BeatClass::Supraventricular => "#0060a8",
        BeatClass::Ventricular => "#c24100",
        BeatClass::Fusion => "#8f3b76",
        BeatClass::Unknown => "#00694e",
    }
}

/// The hatching. It is the same in every strip, so that strips may share a page.
pub(super) fn define(picture: &mut String) {
    picture.push_str(
        "<defs><pattern id=\"unreadable\" width=\"3\" height=\"3\" patternUnits=\"userSpaceOnUse\">\
         <path d=\"M-1 1L1 -1M0 3L3 0M2 4L4 2\" stroke=\"#9a9a9a\" stroke-width=\"0.25\"/></pattern></defs>\n",
    );
}

/// The band behind a lead: the more opaque, the more it weighed.
pub(super) fn explanation(picture: &mut String, strip: &Strip<'_>, system: &System) {
    let Some(explanation) = strip.explanation else { return };
    let Some(row) = system.rows.iter().find(|row| row.lead == explanation.lead) else { return };
    for (stretch, weight) in explanation.weights {
        let weight = weight.clamp(0.0, 1.0);
        if weight.is_nan() || weight < LEAST_WEIGHT {
            continue;
        }
        if let Some((from, to)) = system.span_mm(stretch) {
            picture.push_str(&format!(
                "<rect class=\"weight\" x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\" fill=\"#e69f00\" \
                 fill-opacity=\"{:.2}\"/>\n",
                mm(from),
                mm(row.baseline_mm - row.above_mm),
                mm(to - from),
                mm(row.above_mm + row.below_mm),
                weight * MOST_OPAQUE,
            ));
        }
    }
}

/// Hatches, over all leads, what cannot be read.
pub(super) fn unreadable(picture: &mut String, strip: &Strip<'_>, system: &System) {
    for (from, to) in joined(strip).iter().filter_map(|stretch| system.span_mm(stretch)) {
        let (x, y) = (mm(from), mm(system.top_mm));
        let (width, height) = (mm(to - from), mm(system.bottom_mm - system.top_mm));
        picture.push_str(&format!(
            "<rect class=\"unreadable\" x=\"{x}\" y=\"{y}\" width=\"{width}\" height=\"{height}\" \
             fill=\"url(#unreadable)\"/>\n"
        ));
        if to - from >= NAMED_FROM_MM {
            picture.push_str(&format!(
                "<text x=\"{}\" y=\"{}\" font-size=\"2.8\" fill=\"#505050\" stroke=\"#ffffff\" \
                 stroke-width=\"0.8\" paint-order=\"stroke\">not readable</text>\n",
                mm(from + 2.0),
                mm(system.bottom_mm - 1.5),
            ));
        }
    }
}

/// The stretches that cannot be read, in order, with those that touch joined: hatching twice says no more.
fn joined(strip: &Strip<'_>) -> Vec<Range<usize>> {
    let mut given: Vec<Range<usize>> = strip.unreadable_within().cloned().collect();
    given.sort_unstable_by_key(|stretch| stretch.start);
    let mut joined: Vec<Range<usize>> = Vec::new();
    for stretch in given {
        match joined.last_mut() {
            Some(last) if stretch.start <= last.end => last.end = last.end.max(stretch.end),
            _ => joined.push(stretch),
        }
    }
    joined
}

/// Fine lines at the beats: short for normal ones, through the first lead for others.
pub(super) fn ticks(picture: &mut String, strip: &Strip<'_>, system: &System) {
    let Some(first) = system.rows.first() else { return };
    for mark in marks(strip, system) {
        let normal = mark.class == BeatClass::Normal;
        let long = if normal { 1.5 } else { first.baseline_mm + first.below_mm - system.top_mm };
        picture.push_str(&format!(
            "<path d=\"M{} {}v{}\" stroke=\"{}\" stroke-width=\"0.15\" stroke-opacity=\"0.7\"/>\n",
            mm(system.x_mm(mark.sample)),
            mm(system.top_mm),
            mm(long),
            colour(mark.class),
        ));
    }
}

/// The letter of each beat above the first lead and, unless it is normal, how sure the classifier is.
pub(super) fn letters(picture: &mut String, strip: &Strip<'_>, system: &System) {
    let top_mm = system.top_mm - LETTERS_MM;
    for mark in marks(strip, system) {
        let normal = mark.class == BeatClass::Normal;
        let (high, bold) = if normal { (NORMAL_MM, "") } else { (LETTER_MM, &*bold(mark.class)) };
        let x = mm(system.x_mm(mark.sample));
        picture.push_str(&format!(
            "<text class=\"beat\" x=\"{x}\" y=\"{}\" font-size=\"{high}\" fill=\"{}\"{bold} \
             text-anchor=\"middle\">{}</text>\n",
            mm(top_mm + if normal { LETTERS_MM - 1.0 } else { 3.9 }),
            colour(mark.class),
            mark.class.letter(),
        ));
        if let Some(percent) = percent(mark.probability).filter(|_| !normal) {
            picture.push_str(&format!(
                "<text x=\"{x}\" y=\"{}\" font-size=\"{PERCENT_MM}\" fill=\"{}\" \
                 text-anchor=\"middle\">{percent}</text>\n",
                mm(top_mm + LETTERS_MM - 1.0),
                colour(mark.class),
            ));
        }
    }
}

/// What the letters mean.
pub(super) fn legend(picture: &mut String, x_mm: f64, y_mm: f64, high_mm: f64) {
    const CLASSES: [(BeatClass, &str); 5] = [
        (BeatClass::Normal, "normal"),
        (BeatClass::Supraventricular, "supraventricular ectopic"),
        (BeatClass::Ventricular, "ventricular ectopic"),
        (BeatClass::Fusion, "fusion"),
        (BeatClass::Unknown, "paced or unknown"),
    ];
    let mut spans = String::new();
    for (class, meaning) in CLASSES {
        let apart = if spans.is_empty() { "" } else { " dx=\"3\"" };
        let bold = if class == BeatClass::Normal { String::new() } else { bold(class) };
        let colour = colour(class);
        spans.push_str(&format!("<tspan fill=\"{colour}\"{bold}{apart}>{}</tspan>", class.letter()));
        spans.push_str(&format!("<tspan dx=\"1\">{meaning}</tspan>"));
    }
    picture.push_str(&format!(
        "<text x=\"{}\" y=\"{}\" font-size=\"{high_mm}\" fill=\"#404040\">{spans}</text>\n",
        mm(x_mm),
        mm(y_mm),
    ));
}

/// What is said below a strip about what is laid over it.
pub(super) fn said(strip: &Strip<'_>) -> Vec<String> {
    let mut said = Vec::new();
    let sure = |mark: &Mark| mark.class != BeatClass::Normal && percent(mark.probability).is_some();
    if strip.marks_within().any(sure) {
        said.push("Number below a letter: the classifier's probability of that class, in %.".to_owned());
    }
    if strip.unreadable_within().next().is_some() {
        said.push("Hatched: not readable.".to_owned());
    }
    if let Some(explanation) = strip.explanation {
        let name = paper::lead_name(strip, explanation.lead);
        said.push(format!(
            "Amber behind {name}: what the classifier rested on, stronger where it weighed more."
        ));
    }
    said
}

fn marks<'a>(strip: &'a Strip<'_>, system: &'a System) -> impl Iterator<Item = &'a Mark> {
    strip.marks.iter().filter(|mark| system.samples.contains(&mark.sample))
}

fn bold(class: BeatClass) -> String {
    format!(" stroke=\"{}\" stroke-width=\"{BOLD_MM}\"", colour(class))
}

/// A probability in percent, never rounded to certainty; none if it is no probability.
fn percent(probability: f32) -> Option<String> {
    let percent = f64::from(probability) * 100.0;
    match percent {
        percent if !(0.0..=100.0).contains(&percent) => None,
        percent if percent > 99.0 => Some("&gt;99".to_owned()),
        percent if percent < 1.0 => Some("&lt;1".to_owned()),
        percent => Some(format!("{percent:.0}")),
    }
}
