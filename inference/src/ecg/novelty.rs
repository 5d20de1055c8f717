//! From where on a recording counts as unlike those that were learned from: chosen on patients whom the weights in
//! question never saw, each with all leads and with each lead alone.

use super::classifier::EcgModel;
use super::evaluation::LabelledRecording;

/// The limit is so many times the farthest recording of the choice: two dozen patients do not show how far usual people
/// can lie out, and a readable recording that is refused helps nobody.
pub const NOVELTY_MARGIN: f32 = 2.0;

/// How far recordings lie out, and the limit that follows.
#[derive(Clone, Debug, PartialEq)]
pub struct Novelty {
    /// Name of the recording, and its distance, the largest over all leads together and each alone.
    pub distances: Vec<(String, f32)>,
    /// [`NOVELTY_MARGIN`] times the largest.
    pub limit: f32,
}

impl Novelty {
    /// Measures unpaced recordings; each patient that was learned from by the members that never saw that patient.
    /// `None` when there is none.
    pub fn of(
        model: &EcgModel,
        recordings: &[LabelledRecording],
        progress: &(dyn Fn(usize, usize) + Sync),
    ) -> Option<Novelty> {
        let judged: Vec<_> = recordings.iter().filter(|recording| !recording.is_paced()).collect();
        let mut distances = Vec::with_capacity(judged.len());
        for (index, recording) in judged.iter().enumerate() {
            let whole = model.distance_unseen(recording);
            let alone =
                recording.signal.single_leads().into_iter().map(|signal| {
                    model.distance_unseen(&LabelledRecording { signal, ..(*recording).clone() })
                });
            distances.push((recording.name.clone(), alone.fold(whole, f32::max)));
            progress(index + 1, judged.len());
        }
        let farthest = distances.iter().map(|(_, distance)| *distance).reduce(f32::max)?;
        Some(Novelty { distances, limit: farthest * NOVELTY_MARGIN })
    }
}
