//! Which question matters next: one whose "yes" would complete the most urgent rule that is nearly complete.
//! Pure state; the caller shows the questions and brings the answers.

use std::collections::BTreeSet;

use super::evidence::{Evidence, Level};
use super::known::{Answer, Known, Measure, Status};
use super::lexicon::{Finding, FindingKind};
use super::rules::{Rule, Rules, Words};
use super::{Assessment, Language, Person, Sex, TriageError, Urgency};

/// A dialogue asks no more questions than this.
pub const MAX_QUESTIONS: usize = 20;
/// A rule that lacks more conditions than this is far from firing.
const MAX_MISSING: usize = 2;

/// Below this age nobody is asked about drink, drugs and the like.
const CHILD_YEARS: f64 = 10.0;
const OF_ADULTS: &[&str] =
    &["alcohol_withdrawal", "heavy_alcohol", "drug_use", "lithium", "sexually_active", "new_partner"];

/// What is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Ask {
    /// How old.
    Age,
    /// Which sex.
    Sex,
    /// Whether pregnant.
    Pregnant,
    /// How long it has lasted.
    Duration,
    /// Whether a finding is there.
    Finding(Finding),
}

/// A question with why it is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    /// What is asked.
    pub ask: Ask,
    /// The question.
    pub text: Words,
    /// Why it is asked.
    pub why: Words,
    /// The rule that it would complete, where there is one.
    pub rule: Option<String>,
}

/// A dialogue so far.
#[derive(Clone)]
pub struct Dialogue {
    person: Person,
    known: Known,
    asked: BTreeSet<Ask>,
    limit: usize,
}

impl std::fmt::Debug for Dialogue {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "Dialogue({} asked)", self.asked.len())
    }
}

impl Dialogue {
    /// A dialogue with a person of whom something is known, for so many questions at most ([`MAX_QUESTIONS`]).
    pub fn new(person: Person, known: Known, limit: usize) -> Dialogue {
        Dialogue { person, known, asked: BTreeSet::new(), limit: limit.min(MAX_QUESTIONS) }
    }

    /// What matters next, the most urgent first; nothing when nothing is left that could change the verdict.
    pub fn next_questions(&self, n: usize) -> Vec<Question> {
        let left = self.limit.saturating_sub(self.asked.len());
        questions(Rules::built_in(), &self.person, &self.known, &self.asked, n.min(left))
    }

    /// Takes the answer to a question about a finding.
    pub fn answer(&mut self, finding: Finding, answer: Answer) {
        self.asked.insert(Ask::Finding(finding));
        self.known.answer(finding, answer);
    }

    /// Takes who the person is; what stays unknown here is not asked again.
    pub fn person(&mut self, person: Person) {
        self.asked.extend([Ask::Age, Ask::Sex, Ask::Pregnant]);
        self.person = person.or(self.person);
    }

    /// Takes the answer to one question about who the person is; what stays unknown is not asked again.
    pub fn learn(&mut self, ask: Ask, person: Person) {
        self.asked.insert(ask);
        self.person = person.or(self.person);
    }

    /// Takes how long it has lasted, in hours, or that it is not known.
    pub fn lasts(&mut self, duration_h: Option<f64>) -> Result<(), TriageError> {
        self.asked.insert(Ask::Duration);
        duration_h.map_or(Ok(()), |hours| self.known.lasts(hours))
    }

    /// What is known so far.
    pub fn known(&self) -> &Known {
        &self.known
    }

    /// The verdict so far.
    pub fn assess(&self) -> Assessment {
        Rules::built_in().assess(&self.person, &self.known)
    }

    /// Everything positive and nothing else, for the patient to check, change and hand on.
    pub fn hand_off(&self) -> HandOff {
        let positive = |status: Status| matches!(status, Status::Present | Status::Uncertain);
        let measures = Measure::ALL
            .into_iter()
            .flat_map(|measure| self.known.values(measure).into_iter().map(move |value| (measure, value)));
        HandOff {
            person: self.person.or(self.known.told_person),
            findings: self.known.findings().into_iter().filter(|it| positive(it.1)).collect(),
            measures: measures.collect(),
            duration_h: self.known.lasting_h(None),
        }
    }
}

/// A summary for a clinician: what was answered or told with yes, what was measured, and nothing else.
#[derive(Clone, PartialEq)]
pub struct HandOff {
    /// Who.
    pub person: Person,
    /// What is there, or may be where the patient is unsure.
    pub findings: Vec<(Finding, Status)>,
    /// Values with their measures.
    pub measures: Vec<(Measure, f64)>,
    /// How long, in hours.
    pub duration_h: Option<f64>,
}

impl std::fmt::Debug for HandOff {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "HandOff({} findings)", self.findings.len())
    }
}

impl HandOff {
    /// A line for each finding.
    pub fn lines(&self, language: Language) -> Vec<String> {
        let line = |(finding, status): &(Finding, Status)| {
            let name = finding.name(language);
            match (status, language) {
                (Status::Uncertain, Language::En) => format!("{name} (not sure)"),
                (Status::Uncertain, Language::Zh) => format!("{name}（不确定）"),
                _ => name.to_string(),
            }
        };
        self.findings.iter().map(line).collect()
    }
}

/// A question that a rule gives, before it is ranked.
struct Candidate<'a> {
    ask: Ask,
    rule: &'a Rule,
    missing: usize,
}

pub(crate) fn questions(
    rules: &Rules,
    person: &Person,
    known: &Known,
    asked: &BTreeSet<Ask>,
    n: usize,
) -> Vec<Question> {
    let evidence = Evidence::of(person, known);
    let fired = rules
        .rules
        .iter()
        .filter(|rule| rule.tier > Urgency::SelfCare && rule.fires(&evidence, Level::Unsure));
    let reached = fired.map(|rule| rule.tier).max();
    if n == 0 || reached == Some(Urgency::Emergency) {
        return Vec::new();
    }
    let mut found: Vec<Question> = suggested(known, &evidence);
    if evidence.person.age_years.is_none() {
        found.push(plain(Ask::Age));
    }
    let above = |rule: &&Rule| rule.tier > reached.unwrap_or(Urgency::SelfCare);
    let mut candidates: Vec<Candidate<'_>> =
        rules.rules.iter().filter(above).flat_map(|rule| missing(rule, &evidence)).collect();
    let age = evidence.person.age_years;
    let child = age.is_some_and(|years| years < CHILD_YEARS);
    candidates.retain(|it| !(child && is_of_adults(it.ask)));
    // A rule for this age comes before one for everybody.
    let general = |rule: &Rule| rule.condition.age_years.is_none() || age.is_none();
    candidates.sort_by_key(|it| (std::cmp::Reverse(it.rule.tier), general(it.rule), it.missing));
    let homely = reached.is_none() && rules.rules.iter().any(|rule| lacks_only_duration(rule, &evidence));
    if homely {
        found.push(plain(Ask::Duration));
    }
    for candidate in candidates {
        if found.iter().all(|it| it.ask != candidate.ask) {
            found.push(Question {
                rule: Some(candidate.rule.id.clone()),
                why: why(candidate.rule.tier),
                ..plain(candidate.ask)
            });
        }
    }
    found.retain(|it| !asked.contains(&it.ask));
    found.truncate(n);
    found
}

/// Whether the patient means what their words may mean: before anything else, since all else rests on it.
fn suggested(known: &Known, evidence: &Evidence<'_>) -> Vec<Question> {
    let open = known
        .possible
        .iter()
        .filter(|it| !known.answers.contains_key(it) && !evidence.has(**it, Level::Unsure));
    open.map(|finding| Question {
        text: Words {
            en: format!("Do you mean this: {}?", finding.name(Language::En)),
            zh: format!("您是指“{}”吗？", finding.name(Language::Zh)),
        },
        why: Words {
            en: "Your words may mean this; they are not understood for sure.".into(),
            zh: "您的话可能是这个意思，但不能确定。".into(),
        },
        ..plain(Ask::Finding(*finding))
    })
    .collect()
}

/// What a warning still lacks, if it is near and can be asked.
fn missing<'a>(rule: &'a Rule, evidence: &Evidence<'_>) -> Vec<Candidate<'a>> {
    let it = &rule.condition;
    let has = |finding: &Finding| evidence.has(*finding, Level::Possible);
    let all = || it.all.iter().chain(it.any.iter().flatten()).chain(it.at_least.iter().flat_map(|at| &at.1));
    let anchored = all().any(|finding| has(finding) && finding.kind() == FindingKind::Symptom);
    let measured = it.measures.iter().all(|threshold| evidence.meets(threshold));
    let person = person_asks(rule, evidence);
    let (Some(mut asks), true, true) = (person, anchored, measured) else { return Vec::new() };
    let mut lacking = asks.len();
    if let Some(duration) = &it.duration
        && !evidence.lasts(duration, rule.tier)
    {
        if evidence.knows_duration(duration.of) {
            return Vec::new();
        }
        asks.push(Ask::Duration);
        lacking += 1;
    }
    let open = |finding: &&Finding| evidence.is_open(**finding);
    for finding in it.all.iter().filter(|finding| !evidence.has(**finding, Level::Unsure)) {
        if !evidence.is_open(*finding) {
            return Vec::new();
        }
        asks.push(Ask::Finding(*finding));
        lacking += 1;
    }
    let groups = it.any.iter().map(|group| (1, group)).chain(it.at_least.iter().map(|(n, of)| (*n, of)));
    for (needed, group) in groups {
        let there = group.iter().filter(|finding| evidence.has(**finding, Level::Unsure)).count();
        let left = needed.saturating_sub(there);
        if left > 0 {
            let more: Vec<Ask> = group.iter().filter(open).map(|finding| Ask::Finding(*finding)).collect();
            if more.len() < left {
                return Vec::new();
            }
            lacking += left;
            asks.extend(more);
        }
    }
    if lacking > MAX_MISSING {
        return Vec::new();
    }
    asks.into_iter().map(|ask| Candidate { ask, rule, missing: lacking }).collect()
}

fn is_of_adults(ask: Ask) -> bool {
    matches!(ask, Ask::Finding(finding) if OF_ADULTS.contains(&finding.code()))
}

/// What is to be asked of the person, or none if the rule is not for them.
fn person_asks(rule: &Rule, evidence: &Evidence<'_>) -> Option<Vec<Ask>> {
    let (it, person) = (&rule.condition, &evidence.person);
    let mut asks = Vec::new();
    match (it.age_years, person.age_years) {
        (Some((from, below)), Some(age)) if age < from || age >= below => return None,
        (Some(_), None) => asks.push(Ask::Age),
        _ => {}
    }
    match (it.sex, person.sex) {
        (Some(asked), Some(sex)) if asked != sex => return None,
        (Some(_), None) => asks.push(Ask::Sex),
        _ => {}
    }
    match (it.pregnant, person.pregnant) {
        (Some(asked), Some(pregnant)) if asked != pregnant => return None,
        (Some(true), None) => {
            // Who cannot be pregnant is not asked.
            let bearing = person.age_years.is_none_or(|age| (11.0..56.0).contains(&age));
            if person.sex == Some(Sex::Male) || !bearing {
                return None;
            }
            asks.push(Ask::Pregnant);
        }
        _ => {}
    }
    Some(asks)
}

fn lacks_only_duration(rule: &Rule, evidence: &Evidence<'_>) -> bool {
    let Some(duration) = rule.condition.duration.as_ref().filter(|_| rule.tier == Urgency::SelfCare) else {
        return false;
    };
    let mut timeless = rule.clone();
    timeless.condition.duration = None;
    !evidence.knows_duration(duration.of) && timeless.fires(evidence, Level::Sure)
}

fn plain(ask: Ask) -> Question {
    let words = |en: &str, zh: &str| Words { en: en.into(), zh: zh.into() };
    let text = match ask {
        Ask::Age => words("How old is the person who is unwell?", "不舒服的人多大年龄？"),
        Ask::Sex => words("Is the person who is unwell female or male?", "不舒服的人是女性还是男性？"),
        Ask::Pregnant => words("Are you pregnant, or could you be?", "您怀孕了吗，或有可能怀孕吗？"),
        Ask::Duration => words("How long has this lasted?", "这种情况持续多久了？"),
        Ask::Finding(finding) => {
            Words { en: finding.question(Language::En), zh: finding.question(Language::Zh) }
        }
    };
    let why = words("What is safe to do depends on it.", "怎样做才安全取决于此。");
    Question { ask, text, why, rule: None }
}

fn why(tier: Urgency) -> Words {
    let (en, zh) = if tier == Urgency::Emergency {
        (
            "With what you told, this would mean that help is needed at once.",
            "结合您所说的情况，如果有，就需要立即求助。",
        )
    } else {
        (
            "With what you told, this would mean that a clinician should look at it.",
            "结合您所说的情况，如果有，就应该让医生看看。",
        )
    };
    Words { en: en.into(), zh: zh.into() }
}
