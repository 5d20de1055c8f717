//! What describes a beat to the classifier: its intervals against the patient's own rhythm, its shape against
//! the patient's own usual beat, and how common its shape is. Everything is a ratio, a correlation or a
//! difference within one recording, so that a new patient or another gain changes little.
//!
//! Intervals as in de Chazal, O'Dwyer and Reilly, "Automatic classification of heartbeats using ECG morphology
//! and heartbeat interval features", IEEE Trans Biomed Eng 2004; shapes against the patient's own as in
//! Llamedo and Martínez, "Heartbeat classification using feature selection driven by database
//! generalization criteria", IEEE Trans Biomed Eng 2011.

mod families;
mod intervals;
mod shape;

#[cfg(feature = "train")]
pub(crate) use intervals::HELD;
pub(crate) use intervals::{FAST_RUN, PAUSE, PREMATURE};

use std::fmt;

use super::conditioning::{Conditioned, WORKING_RATE_HZ};
use super::detection::Beat;
use super::signal::{EcgSignal, Lead};

/// Leads that are described; a recording with one has zeros for the other.
pub(crate) const LEADS: usize = 2;
/// No value is reported above this, nor below its negative.
const LARGEST: f32 = 8.0;
/// A complex that correlates less than this with the usual one is left out where the rhythm is measured: an
/// ectopic beat and the pause after it are no sign of an irregular rhythm.
const ORDINARY: f32 = 0.8;

/// A row for each beat; every value is finite.
#[derive(Clone, PartialEq)]
pub struct Features {
    /// A row for each beat, with a value for each name.
    pub rows: Vec<Vec<f32>>,
    /// What each column holds.
    pub names: Vec<String>,
}

impl fmt::Debug for Features {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Features({} rows, {} columns)", self.rows.len(), self.names.len())
    }
}

/// Describes beats of a signal: columns of intervals, of families of like shapes, and then of each of two
/// leads. The first lead is the one like II, the second the one like V1, or else the next in the file.
pub fn features(signal: &EcgSignal, beats: &[Beat]) -> Features {
    let leads: Vec<Option<Conditioned>> = choose(signal.leads())
        .into_iter()
        .map(|lead| lead.map(|index| Conditioned::of(&signal.leads()[index], signal.sampling_rate_hz())))
        .collect();
    let scale = WORKING_RATE_HZ / signal.sampling_rate_hz();
    let at: Vec<usize> = beats.iter().map(|beat| (beat.sample as f64 * scale).round() as usize).collect();
    let seconds: Vec<f64> = beats.iter().map(|beat| beat.sample as f64 / signal.sampling_rate_hz()).collect();

    let aligned = shape::align(&leads, &at);
    let shapes: Vec<Vec<Vec<f32>>> = leads.iter().map(|lead| shape::rows(lead.as_ref(), &aligned)).collect();
    let ordinary: Vec<bool> =
        shapes[0].iter().map(|row| row[shape::CORRELATION_WITH_USUAL] > ORDINARY).collect();
    let rhythm = intervals::rows(&seconds, &ordinary);
    let families = families::rows(&leads, &aligned, &rhythm);
    let rows = (0..beats.len())
        .map(|beat| {
            let parts =
                [&rhythm[beat], &families[beat]].into_iter().chain(shapes.iter().map(|lead| &lead[beat]));
            let bounded = |value: &f32| if value.is_finite() { value.clamp(-LARGEST, LARGEST) } else { 0.0 };
            parts.flatten().map(bounded).collect()
        })
        .collect();
    Features { rows, names: names() }
}

/// What the columns hold, in order.
pub(crate) fn names() -> Vec<String> {
    let lead = |slot: usize| shape::NAMES.iter().map(move |name| format!("lead{}_{name}", slot + 1));
    let whole = intervals::NAMES.iter().chain(&families::NAMES).map(|name| (*name).to_owned());
    whole.chain((0..LEADS).flat_map(lead)).collect()
}

/// Rows for a self-test: a beat with nothing to tell, and the farthest to both sides.
pub(crate) fn self_test_rows() -> Vec<Vec<f32>> {
    [0.0, LARGEST, -LARGEST].map(|value| vec![value; names().len()]).to_vec()
}

/// The column with this name.
pub(crate) fn column(name: &str) -> usize {
    names().iter().position(|other| other == name).expect("the names of columns are constants of this module")
}

/// The lead that is described first, by its place in the recording.
pub fn first_lead(signal: &EcgSignal) -> usize {
    choose(signal.leads())[0].unwrap_or(0)
}

/// The two leads to describe.
pub(crate) fn choose(leads: &[Lead]) -> [Option<usize>; LEADS] {
    let named = |wanted: &[&str]| {
        leads.iter().position(|lead| wanted.iter().any(|name| lead.name.eq_ignore_ascii_case(name)))
    };
    let first = named(&["II", "MLII", "ML2"]).unwrap_or(0);
    let other = |index: &usize| *index != first;
    let second = named(&["V1", "MV1", "MCL1"]).filter(other).or_else(|| (0..leads.len()).find(other));
    [Some(first), second]
}
