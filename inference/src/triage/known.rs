//! What is known of a patient: answers, what a text told, measures. An answer outweighs a text where it raises
//! the urgency, and a text never takes an answer back.

use std::collections::{BTreeMap, BTreeSet};

use super::lexicon::Finding;
use super::text::Understood;
use super::{Person, TriageError};

/// What a text says of a finding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Status {
    /// Another person has it.
    OtherPerson,
    /// The patient had it once.
    Past,
    /// The patient has not.
    Denied,
    /// Suggested by something other than words that are known; it never counts as more than a reason to ask.
    Possible,
    /// The patient is not sure.
    Uncertain,
    /// The patient has it now.
    Present,
}

/// An answer to a question.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Answer {
    /// It is so.
    Yes,
    /// It is not so.
    No,
    /// The patient cannot say. Never counts as no.
    Unknown,
}

/// Something with a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Measure {
    /// Body temperature in °C, 25 to 45.
    TemperatureC,
    /// Pain, 0 to 10.
    Pain,
    /// Systolic blood pressure in mmHg, 30 to 300.
    SystolicMmhg,
    /// Diastolic blood pressure in mmHg, 10 to 200.
    DiastolicMmhg,
    /// Heart rate a minute, 10 to 350.
    HeartRatePerMin,
    /// Breaths a minute, 2 to 120.
    BreathsPerMin,
    /// Oxygen saturation in per cent, 40 to 100.
    Spo2Percent,
    /// Blood glucose in mmol/L, 0.5 to 80.
    GlucoseMmolL,
    /// How far a pregnancy is, in weeks, 1 to 45.
    GestationWeeks,
}

impl Measure {
    /// Every measure.
    pub const ALL: [Measure; 9] = [
        Measure::TemperatureC,
        Measure::Pain,
        Measure::SystolicMmhg,
        Measure::DiastolicMmhg,
        Measure::HeartRatePerMin,
        Measure::BreathsPerMin,
        Measure::Spo2Percent,
        Measure::GlucoseMmolL,
        Measure::GestationWeeks,
    ];

    /// The values that a living patient can have, in its own unit.
    pub fn range(self) -> (f64, f64) {
        match self {
            Measure::TemperatureC => (25.0, 45.0),
            Measure::Pain => (0.0, 10.0),
            Measure::SystolicMmhg => (30.0, 300.0),
            Measure::DiastolicMmhg => (10.0, 200.0),
            Measure::HeartRatePerMin => (10.0, 350.0),
            Measure::BreathsPerMin => (2.0, 120.0),
            Measure::Spo2Percent => (40.0, 100.0),
            Measure::GlucoseMmolL => (0.5, 80.0),
            Measure::GestationWeeks => (1.0, 45.0),
        }
    }

    /// Whether a patient can have this value; NaN is none.
    pub fn is_plausible(self, value: f64) -> bool {
        let (low, high) = self.range();
        (low..=high).contains(&value)
    }

    /// Whether a higher value is the worse one.
    fn rises_with_danger(self) -> bool {
        !matches!(self, Measure::SystolicMmhg | Measure::DiastolicMmhg | Measure::Spo2Percent)
    }
}

/// The longest time that a complaint is taken to last, in hours: 120 years.
const MAX_DURATION_H: f64 = 120.0 * 365.25 * 24.0;

/// What is known of a patient.
#[derive(Clone, Default, PartialEq)]
pub struct Known {
    pub(crate) answers: BTreeMap<Finding, Answer>,
    pub(crate) told: BTreeMap<Finding, Status>,
    pub(crate) possible: BTreeSet<Finding>,
    pub(crate) measured: BTreeMap<Measure, f64>,
    pub(crate) told_measures: BTreeMap<Measure, Vec<f64>>,
    pub(crate) duration_h: Option<f64>,
    pub(crate) told_durations_h: BTreeMap<Finding, f64>,
    pub(crate) told_duration_h: Option<f64>,
    pub(crate) told_person: Person,
    pub(crate) not_understood: usize,
    pub(crate) unread: usize,
}

impl std::fmt::Debug for Known {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "Known({} answers, {} told)", self.answers.len(), self.told.len())
    }
}

impl Known {
    /// Takes an answer; a later one replaces an earlier.
    pub fn answer(&mut self, finding: Finding, answer: Answer) {
        self.answers.insert(finding, answer);
    }

    /// Takes a measured value in the measure's unit.
    pub fn measure(&mut self, measure: Measure, value: f64) -> Result<(), TriageError> {
        if !measure.is_plausible(value) {
            return Err(TriageError::Implausible);
        }
        self.measured.insert(measure, value);
        Ok(())
    }

    /// How long the complaint has lasted, in hours.
    pub fn lasts(&mut self, duration_h: f64) -> Result<(), TriageError> {
        if !(0.0..=MAX_DURATION_H).contains(&duration_h) {
            return Err(TriageError::Implausible);
        }
        self.duration_h = Some(duration_h);
        Ok(())
    }

    /// Takes over what a text told. Of two texts the graver word counts.
    pub fn hear(&mut self, text: &Understood) {
        for (finding, status) in &text.findings {
            let kept = self.told.entry(*finding).or_insert(*status);
            *kept = (*kept).max(*status);
        }
        for (measure, value) in &text.measures {
            self.told_measures.entry(*measure).or_default().push(*value);
        }
        for (finding, hours) in &text.durations_h {
            self.told_durations_h.entry(*finding).or_insert(*hours);
        }
        self.told_duration_h = self.told_duration_h.or(text.duration_h);
        self.told_person = self.told_person.or(text.person);
        self.not_understood += text.unmatched.len();
        self.unread += text.unread;
    }

    /// Marks a finding as possible: it may add questions and raise the urgency to clinician, and never lowers it.
    pub fn suggest(&mut self, finding: Finding) {
        self.possible.insert(finding);
    }

    /// What is known of a finding, answers first.
    pub fn status(&self, finding: Finding) -> Option<Status> {
        let answered = match self.answers.get(&finding) {
            Some(Answer::Yes) => Some(Status::Present),
            Some(Answer::No) => Some(Status::Denied),
            Some(Answer::Unknown) | None => None,
        };
        let told = self.told.get(&finding).copied();
        match (answered, told) {
            (Some(Status::Denied), Some(told)) if told > Status::Denied => Some(told),
            (Some(answered), _) => Some(answered),
            (None, Some(told)) => Some(told),
            (None, None) => self.possible.contains(&finding).then_some(Status::Possible),
        }
    }

    /// All findings of which anything is known.
    pub fn findings(&self) -> BTreeMap<Finding, Status> {
        let all = self.answers.keys().chain(self.told.keys()).chain(&self.possible);
        all.filter_map(|finding| Some((*finding, self.status(*finding)?))).collect()
    }

    /// The values known of a measure: one that was answered, or else those that were told.
    pub(crate) fn values(&self, measure: Measure) -> Vec<f64> {
        let told = self.told_measures.get(&measure).cloned().unwrap_or_default();
        match self.measured.get(&measure) {
            Some(value) => {
                let worse = |it: &f64| if measure.rises_with_danger() { it > value } else { it < value };
                std::iter::once(*value).chain(told.into_iter().filter(worse)).collect()
            }
            None => told,
        }
    }

    /// How long a finding has lasted, or else the complaint.
    pub(crate) fn lasting_h(&self, finding: Option<Finding>) -> Option<f64> {
        let own = finding.and_then(|it| self.told_durations_h.get(&it).copied());
        self.duration_h.or(own).or(self.told_duration_h)
    }

    /// The same without anything that a text told.
    pub(crate) fn answered_only(&self) -> Known {
        Known {
            answers: self.answers.clone(),
            measured: self.measured.clone(),
            duration_h: self.duration_h,
            ..Known::default()
        }
    }

    pub(crate) fn has_yes(&self) -> bool {
        self.answers.values().any(|it| *it == Answer::Yes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_never_takes_an_answer_back() {
        let fever = Finding::named("fever").unwrap();
        for told in [Status::OtherPerson, Status::Past, Status::Denied] {
            let mut known = Known::default();
            known.answer(fever, Answer::Yes);
            known.told.insert(fever, told);
            assert_eq!(known.status(fever), Some(Status::Present));
        }
        let mut known = Known::default();
        known.answer(fever, Answer::No);
        known.told.insert(fever, Status::Present);
        assert_eq!(known.status(fever), Some(Status::Present));
    }

    #[test]
    fn impossible_values_are_refused() {
        let mut known = Known::default();
        assert!(known.measure(Measure::TemperatureC, 98.6).is_err());
        assert!(known.measure(Measure::Pain, f64::NAN).is_err());
        assert!(known.measure(Measure::Spo2Percent, 100.0).is_ok());
        assert!(known.lasts(f64::INFINITY).is_err());
        assert!(known.lasts(-1.0).is_err());
    }
}
