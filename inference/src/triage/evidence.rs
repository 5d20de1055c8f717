//! What is known, weighed once for all rules: what is there, how surely, what is denied.

use std::collections::BTreeSet;

use super::known::{Known, Measure, Status};
use super::lexicon::{Finding, FindingKind};
use super::rules::{Duration, Rule, Threshold};
use super::{Person, Sex, Urgency};

/// Fever, in °C (NICE NG143, 2019).
const FEVER_C: f64 = 38.0;
/// High fever, in °C (NICE NG143, 2019).
const HIGH_FEVER_C: f64 = 39.0;
/// Hypothermia, in °C below (European Resuscitation Council guidelines, 2021).
const COLD_C: f64 = 35.0;
/// Severe pain on a scale from 0 to 10.
const SEVERE_PAIN: f64 = 8.0;
/// A rule for nobody of these years is not guessed at where the age is unknown.
const ADULT_YEARS: (f64, f64) = (18.0, 50.0);

/// How sure a finding has to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Level {
    /// Suggestions count.
    Possible,
    /// What the patient is unsure of counts.
    Unsure,
    /// Only what is there counts.
    Sure,
}

pub(crate) struct Evidence<'a> {
    known: &'a Known,
    pub(crate) person: Person,
    sure: BTreeSet<Finding>,
    unsure: BTreeSet<Finding>,
    possible: BTreeSet<Finding>,
    denied: BTreeSet<Finding>,
}

impl<'a> Evidence<'a> {
    pub(crate) fn of(person: &Person, known: &'a Known) -> Evidence<'a> {
        let mut evidence = Evidence {
            known,
            person: person.or(known.told_person),
            sure: BTreeSet::new(),
            unsure: BTreeSet::new(),
            possible: BTreeSet::new(),
            denied: BTreeSet::new(),
        };
        for (finding, status) in known.findings() {
            let set = match status {
                Status::Present => &mut evidence.sure,
                Status::Uncertain if finding.kind() != FindingKind::Background => &mut evidence.unsure,
                Status::Possible => &mut evidence.possible,
                Status::Denied => {
                    evidence.denied.insert(finding);
                    continue;
                }
                Status::Uncertain | Status::Past | Status::OtherPerson => continue,
            };
            set.insert(finding);
            set.extend(finding.implied());
        }
        // A suggestion that a text or an answer has settled otherwise is none.
        evidence.possible.extend(known.possible.iter().filter(|it| !known.answers.contains_key(it)));
        evidence.measure();
        evidence.pregnancy();
        evidence
    }

    fn measure(&mut self) {
        let temperatures = self.known.values(Measure::TemperatureC);
        let pains = self.known.values(Measure::Pain);
        let marks = [
            ("fever", temperatures.iter().any(|it| *it >= FEVER_C)),
            ("high_fever", temperatures.iter().any(|it| *it >= HIGH_FEVER_C)),
            ("low_temperature", temperatures.iter().any(|it| *it < COLD_C)),
            ("severe_pain", pains.iter().any(|it| *it >= SEVERE_PAIN)),
        ];
        self.sure.extend(marks.iter().filter(|it| it.1).filter_map(|it| Finding::named(it.0)));
    }

    fn pregnancy(&mut self) {
        let Some(pregnant) = Finding::named("pregnant") else { return };
        let told = self.sure.contains(&pregnant) || !self.known.values(Measure::GestationWeeks).is_empty();
        let denied = self.denied.contains(&pregnant) || self.person.sex == Some(Sex::Male);
        let found = if told { Some(true) } else { denied.then_some(false) };
        self.person.pregnant = self.person.pregnant.or(found);
        // However it was told, rules ask for the finding.
        if self.person.pregnant == Some(true) {
            self.sure.insert(pregnant);
        }
    }

    pub(crate) fn has(&self, finding: Finding, level: Level) -> bool {
        self.sure.contains(&finding)
            || level <= Level::Unsure && self.unsure.contains(&finding)
            || level == Level::Possible && self.possible.contains(&finding)
    }

    /// Explicitly denied, itself or something it would be a kind of.
    pub(crate) fn is_denied(&self, finding: Finding) -> bool {
        !self.has(finding, Level::Possible)
            && (self.denied.contains(&finding) || finding.implied().iter().any(|it| self.denied.contains(it)))
    }

    /// Every symptom that is there, or may be.
    pub(crate) fn symptoms(&self) -> impl Iterator<Item = Finding> {
        let all: BTreeSet<Finding> =
            self.sure.iter().chain(&self.unsure).chain(&self.possible).copied().collect();
        all.into_iter().filter(|it| it.kind() == FindingKind::Symptom)
    }

    /// Whether the rule speaks of this person. Unknown age keeps a warning for adults, and no self-care.
    pub(crate) fn is_for(&self, rule: &Rule) -> bool {
        let it = &rule.condition;
        let age = match (it.age_years, self.person.age_years) {
            (_, None) if rule.tier == Urgency::SelfCare => false,
            (None, _) => true,
            (Some((from, below)), Some(age)) => from <= age && age < below,
            (Some((from, below)), None) => from < ADULT_YEARS.1 && below > ADULT_YEARS.0,
        };
        let sex = it.sex.is_none() || self.person.sex.is_none() || it.sex == self.person.sex;
        let pregnant = match (it.pregnant, self.person.pregnant) {
            (None, Some(true)) => rule.tier != Urgency::SelfCare,
            (None, _) => true,
            (Some(asked), known) => known == Some(asked),
        };
        age && sex && pregnant
    }

    pub(crate) fn meets(&self, threshold: &Threshold) -> bool {
        let values = self.known.values(threshold.name);
        let within = |value: &f64| {
            threshold.min.is_none_or(|min| *value >= min) && threshold.max.is_none_or(|max| *value <= max)
        };
        values.iter().any(within)
    }

    /// Whether it has lasted as long as the rule asks. A warning for what is new holds where nobody said since when.
    pub(crate) fn lasts(&self, duration: &Duration, tier: Urgency) -> bool {
        match self.known.lasting_h(duration.of) {
            Some(hours) => duration.min_h <= hours && hours <= duration.max_h,
            None => tier > Urgency::SelfCare && duration.min_h <= 0.0,
        }
    }

    /// Whether part of what was told was not understood, be it a word.
    pub(crate) fn is_unread(&self) -> bool {
        self.known.unread > 0
    }

    pub(crate) fn knows_duration(&self, of: Option<Finding>) -> bool {
        self.known.lasting_h(of).is_some()
    }

    /// Whether nothing at all was said of a finding.
    pub(crate) fn is_open(&self, finding: Finding) -> bool {
        !self.has(finding, Level::Unsure)
            && !self.is_denied(finding)
            && !self.known.answers.contains_key(&finding)
            && self.known.told.get(&finding).is_none_or(|it| *it <= Status::Past)
    }
}
