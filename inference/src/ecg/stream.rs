//! An ECG while it is taken: samples come in, beats go out some seconds later, with their place since the beginning.
//!
//! ```text
//! ──────────── the last two minutes ─────────────────────│ now
//!   told already │ told now, each two seconds │ too near │
//! ```
//!
//! A beat is told once the beats after it are known too; what is usual of this patient is taken from the two minutes.

use super::classifier::{ClassifiedBeat, EcgModel};
use super::quality::Refusal;
use super::signal::{EcgSignal, Lead, MAX_LEADS, MAX_RATE_HZ, MIN_RATE_HZ, SignalError};

/// What is looked at together: long enough to know what is usual, short enough to be read in a tenth of a second.
const WINDOW_S: f64 = 120.0;
/// The first look.
const FIRST_S: f64 = 10.0;
/// From look to look.
const STEP_S: f64 = 2.0;
/// A beat nearer to the end than this is told at a later look: its next beat may not be there yet.
const MARGIN_S: f64 = 3.0;

/// What a stream has to say.
#[derive(Clone, Debug, PartialEq)]
pub enum StreamEvent {
    /// A beat; its sample counts from the beginning of the stream.
    Beat(ClassifiedBeat),
    /// From now on nothing can be read, and why.
    Refused(Refusal),
    /// What comes can be read again.
    Readable,
}

/// A recording that goes on.
pub struct EcgStream<'a> {
    model: &'a EcgModel,
    sampling_rate_hz: f64,
    leads: Vec<Lead>,
    /// The sample at which what is kept begins.
    start: usize,
    /// Beats before this sample are told.
    told: usize,
    /// When it looks again.
    next_look: usize,
    refused: Option<Refusal>,
}

impl std::fmt::Debug for EcgStream<'_> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "EcgStream({} leads, at sample {})", self.leads.len(), self.now())
    }
}

impl<'a> EcgStream<'a> {
    /// A stream of these leads at this rate in hertz.
    ///
    /// # Errors
    /// [`SignalError`] as for [`EcgSignal::new`], but for the length.
    pub fn new(
        model: &'a EcgModel,
        sampling_rate_hz: f64,
        names: Vec<String>,
    ) -> Result<EcgStream<'a>, SignalError> {
        if !(MIN_RATE_HZ..=MAX_RATE_HZ).contains(&sampling_rate_hz) {
            return Err(SignalError::Rate);
        }
        if names.is_empty() || names.len() > MAX_LEADS {
            return Err(SignalError::Leads(names.len()));
        }
        let leads = names.into_iter().map(|name| Lead { name, samples_mv: Vec::new() }).collect();
        let next_look = (FIRST_S * sampling_rate_hz) as usize;
        Ok(EcgStream { model, sampling_rate_hz, leads, start: 0, told: 0, next_look, refused: None })
    }

    /// Samples since the beginning.
    pub fn now(&self) -> usize {
        self.start + self.leads[0].samples_mv.len()
    }

    /// Takes one sample of each lead, in millivolts, NaN where there is none, and tells what has become certain.
    ///
    /// # Errors
    /// [`SignalError::UnequalLeads`] when there are not as many values as leads; nothing is taken then.
    pub fn push(&mut self, millivolts: &[f32]) -> Result<Vec<StreamEvent>, SignalError> {
        if millivolts.len() != self.leads.len() {
            return Err(SignalError::UnequalLeads);
        }
        for (lead, value) in self.leads.iter_mut().zip(millivolts) {
            lead.samples_mv.push(*value);
        }
        if self.now() < self.next_look {
            return Ok(Vec::new());
        }
        self.next_look += self.samples(STEP_S);
        let certain = self.now().saturating_sub(self.samples(MARGIN_S));
        let events = self.look(certain);
        self.forget();
        Ok(events)
    }

    /// Tells what is left when nothing comes any more.
    pub fn end(mut self) -> Vec<StreamEvent> {
        self.look(self.now())
    }

    fn samples(&self, seconds: f64) -> usize {
        (seconds * self.sampling_rate_hz) as usize
    }

    /// Beats up to `certain` that were not told yet.
    fn look(&mut self, certain: usize) -> Vec<StreamEvent> {
        let Ok(signal) = EcgSignal::new(self.sampling_rate_hz, self.leads.clone()) else { return Vec::new() };
        let finding = match self.model.read(&signal) {
            Ok(finding) => finding,
            Err(refusal) => {
                self.told = self.told.max(certain);
                let new = self.refused.replace(refusal) != Some(refusal);
                return if new { vec![StreamEvent::Refused(refusal)] } else { Vec::new() };
            }
        };
        let mut events = Vec::new();
        if self.refused.take().is_some() {
            events.push(StreamEvent::Readable);
        }
        for mut beat in finding.beats {
            beat.beat.sample += self.start;
            if (self.told..certain).contains(&beat.beat.sample) {
                events.push(StreamEvent::Beat(beat));
            }
        }
        self.told = self.told.max(certain);
        events
    }

    /// Lets go of what lies before the two minutes.
    fn forget(&mut self) {
        let old = self.leads[0].samples_mv.len().saturating_sub(self.samples(WINDOW_S));
        for lead in &mut self.leads {
            lead.samples_mv.drain(..old);
        }
        self.start += old;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Backend;

    /// A spike of 1 mV each 0.8 s: no heart, but beats stand out.
    fn beat_at(sample: usize, rate: usize) -> f32 {
        let phase = (sample % (rate * 4 / 5)) as f32 / rate as f32 - 0.4;
        let bump = |at: f32, width: f32, high: f32| high * (-((phase - at) / width).powi(2)).exp();
        bump(-0.16, 0.025, 0.12)
            + bump(-0.02, 0.01, -0.12)
            + bump(0.0, 0.012, 1.1)
            + bump(0.03, 0.012, -0.25)
            + bump(0.25, 0.05, 0.3)
    }

    fn run(seconds: std::ops::Range<usize>, millivolts: impl Fn(usize) -> f32) -> Vec<(usize, StreamEvent)> {
        let model = EcgModel::built_in(Backend::default()).unwrap();
        let mut stream = EcgStream::new(&model, 250.0, vec!["II".to_owned()]).unwrap();
        let mut heard = Vec::new();
        for sample in seconds.start * 250..seconds.end * 250 {
            let events = stream.push(&[millivolts(sample)]).unwrap();
            heard.extend(events.into_iter().map(|event| (sample, event)));
        }
        let end = stream.now();
        heard.extend(stream.end().into_iter().map(|event| (end, event)));
        heard
    }

    #[test]
    fn every_beat_is_told_once_and_soon() {
        let heard = run(0..300, |sample| beat_at(sample, 250));
        let mut last = None;
        for (when, event) in &heard {
            let StreamEvent::Beat(beat) = event else { panic!("{event:?}") };
            let sample = beat.beat.sample;
            assert!(last.is_none_or(|last| (150..260).contains(&(sample - last))), "{last:?} {sample}");
            assert!(when - sample <= 11 * 250, "told {} samples late", when - sample);
            last = Some(sample);
        }
        // 375 beats in 300 s; the last may be cut off.
        assert!((373..=375).contains(&heard.len()), "{}", heard.len());
    }

    #[test]
    fn what_cannot_be_read_is_said_once_and_so_is_its_end() {
        let heard = run(0..420, |sample| if sample < 200 * 250 { 0.0 } else { beat_at(sample, 250) });
        let words: Vec<&StreamEvent> = heard
            .iter()
            .map(|(_, event)| event)
            .filter(|event| !matches!(event, StreamEvent::Beat(_)))
            .collect();
        assert!(
            matches!(words[..], [StreamEvent::Refused(Refusal::NoSignal), StreamEvent::Readable]),
            "{words:?}"
        );
    }

    #[test]
    fn memory_does_not_grow_and_wrong_samples_are_refused() {
        let model = EcgModel::built_in(Backend::default()).unwrap();
        let mut stream = EcgStream::new(&model, 250.0, vec!["II".to_owned()]).unwrap();
        assert_eq!(stream.push(&[0.1, 0.2]), Err(SignalError::UnequalLeads));
        for _ in 0..250 * 150 {
            stream.push(&[f32::NAN]).unwrap();
        }
        assert!(stream.leads[0].samples_mv.len() <= 250 * 123);
        assert_eq!(stream.now(), 250 * 150);
        assert!(matches!(EcgStream::new(&model, 10.0, vec!["II".to_owned()]), Err(SignalError::Rate)));
        assert!(matches!(EcgStream::new(&model, 250.0, Vec::new()), Err(SignalError::Leads(0))));
    }
}
