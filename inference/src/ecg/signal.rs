//! A signal that has been checked once: everything after may rely on its rate, length and shape.

use std::fmt;

/// The slowest sampling taken, in hertz: a QRS complex has its energy up to about 20 Hz.
pub const MIN_RATE_HZ: f64 = 50.0;
/// The fastest sampling taken, in hertz.
pub const MAX_RATE_HZ: f64 = 2_000.0;
/// The shortest signal taken, in seconds: less holds no interval between beats at a slow rate.
pub const MIN_DURATION_S: f64 = 2.0;
/// The longest signal taken, in seconds: two days, as a Holter recorder gives.
pub const MAX_DURATION_S: f64 = 48.0 * 3_600.0;
/// The most leads taken.
pub const MAX_LEADS: usize = 32;

/// One lead: its name as the file gives it, and its samples in millivolts with NaN where none was taken.
#[derive(Clone, PartialEq)]
pub struct Lead {
    /// The lead's name, such as `MLII`, `II` or `V1`.
    pub name: String,
    /// The samples in millivolts; NaN is a missing sample.
    pub samples_mv: Vec<f32>,
}

impl fmt::Debug for Lead {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Lead({} samples)", self.samples_mv.len())
    }
}

/// An ECG: one to 32 leads of equal length at one sampling rate.
#[derive(Clone, PartialEq)]
pub struct EcgSignal {
    sampling_rate_hz: f64,
    leads: Vec<Lead>,
}

impl fmt::Debug for EcgSignal {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "EcgSignal({} leads, {} samples)", self.leads.len(), self.len())
    }
}

/// Why numbers are not an ECG that can be worked on.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum SignalError {
    /// The rate is no number, or outside 50 to 2,000 Hz.
    #[error("the sampling rate must lie between {MIN_RATE_HZ} and {MAX_RATE_HZ} hertz")]
    Rate,
    /// No lead, or more than 32.
    #[error("an ECG has between 1 and {MAX_LEADS} leads, not {0}")]
    Leads(usize),
    /// The leads do not have the same number of samples.
    #[error("the leads of an ECG must be of equal length")]
    UnequalLeads,
    /// Less than two seconds.
    #[error("an ECG must last at least {MIN_DURATION_S} seconds")]
    TooShort,
    /// More than two days.
    #[error("an ECG must last at most 48 hours")]
    TooLong,
}

impl EcgSignal {
    /// Checks rate (50 to 2,000 Hz), leads (1 to 32, of equal length) and duration (2 s to 48 h). Infinite samples become missing ones.
    pub fn new(sampling_rate_hz: f64, mut leads: Vec<Lead>) -> Result<EcgSignal, SignalError> {
        if !(MIN_RATE_HZ..=MAX_RATE_HZ).contains(&sampling_rate_hz) {
            return Err(SignalError::Rate);
        }
        if leads.is_empty() || leads.len() > MAX_LEADS {
            return Err(SignalError::Leads(leads.len()));
        }
        let samples = leads[0].samples_mv.len();
        if leads.iter().any(|lead| lead.samples_mv.len() != samples) {
            return Err(SignalError::UnequalLeads);
        }
        let duration_s = samples as f64 / sampling_rate_hz;
        if duration_s < MIN_DURATION_S {
            return Err(SignalError::TooShort);
        }
        if duration_s > MAX_DURATION_S {
            return Err(SignalError::TooLong);
        }
        for sample in leads.iter_mut().flat_map(|lead| &mut lead.samples_mv) {
            if sample.is_infinite() {
                *sample = f32::NAN;
            }
        }
        Ok(EcgSignal { sampling_rate_hz, leads })
    }

    /// The same recording as if only one lead had been taken, for each lead; nothing when it has only one.
    pub(crate) fn single_leads(&self) -> Vec<EcgSignal> {
        let alone =
            |lead: &Lead| EcgSignal { sampling_rate_hz: self.sampling_rate_hz, leads: vec![lead.clone()] };
        if self.leads.len() < 2 { Vec::new() } else { self.leads.iter().map(alone).collect() }
    }

    /// The sampling rate in hertz.
    pub fn sampling_rate_hz(&self) -> f64 {
        self.sampling_rate_hz
    }

    /// The leads, all of equal length.
    pub fn leads(&self) -> &[Lead] {
        &self.leads
    }

    /// The number of samples in each lead; never 0.
    #[allow(clippy::len_without_is_empty)]
    pub fn len(&self) -> usize {
        self.leads[0].samples_mv.len()
    }

    /// How long the signal lasts, in seconds.
    pub fn duration_s(&self) -> f64 {
        self.len() as f64 / self.sampling_rate_hz
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn leads(count: usize, samples: usize) -> Vec<Lead> {
        (0..count).map(|lead| Lead { name: lead.to_string(), samples_mv: vec![0.0; samples] }).collect()
    }

    #[test]
    fn limits_are_inclusive() {
        assert!(EcgSignal::new(50.0, leads(1, 100)).is_ok());
        assert!(EcgSignal::new(2_000.0, leads(32, 4_000)).is_ok());
        assert!(EcgSignal::new(50.0, leads(1, 48 * 3_600 * 50)).is_ok());
    }

    #[test]
    fn what_lies_outside_is_named() {
        let refused = |rate, leads| EcgSignal::new(rate, leads).unwrap_err();
        for rate in [49.9, 2_000.1, 0.0, -360.0, f64::NAN, f64::INFINITY] {
            assert_eq!(refused(rate, leads(1, 10_000)), SignalError::Rate);
        }
        assert_eq!(refused(360.0, Vec::new()), SignalError::Leads(0));
        assert_eq!(refused(360.0, leads(33, 1_000)), SignalError::Leads(33));
        assert_eq!(refused(360.0, leads(1, 719)), SignalError::TooShort);
        assert_eq!(refused(50.0, leads(1, 48 * 3_600 * 50 + 1)), SignalError::TooLong);
        let mut uneven = leads(2, 1_000);
        uneven[1].samples_mv.pop();
        assert_eq!(refused(360.0, uneven), SignalError::UnequalLeads);
    }

    #[test]
    fn infinite_samples_become_missing() {
        let mut given = leads(1, 1_000);
        given[0].samples_mv[5] = f32::NEG_INFINITY;
        assert!(EcgSignal::new(360.0, given).unwrap().leads()[0].samples_mv[5].is_nan());
    }

    #[test]
    fn debug_shows_no_samples() {
        let signal = EcgSignal::new(360.0, leads(2, 1_000)).unwrap();
        assert_eq!(format!("{signal:?}"), "EcgSignal(2 leads, 1000 samples)");
    }
}
