//! Rules of urgency as data: who, what, how urgent, why, what to do, and the guideline they rest on. A file for
//! each body system; every rule carries a case that it answers and a near miss that it must not.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use serde::Deserialize;

use super::evidence::{Evidence, Level};
use super::known::Measure;
use super::lexicon::Finding;
use super::{Language, Sex, TriageError, Urgency};

const FILES: &[&str] = &[
    include_str!("../../triage/rules/heart.toml"),
    include_str!("../../triage/rules/lungs.toml"),
    include_str!("../../triage/rules/nerves.toml"),
    include_str!("../../triage/rules/mind-poison.toml"),
    include_str!("../../triage/rules/belly.toml"),
    include_str!("../../triage/rules/urine-sex-pregnancy.toml"),
    include_str!("../../triage/rules/children.toml"),
    include_str!("../../triage/rules/infection-metabolism.toml"),
    include_str!("../../triage/rules/skin-allergy.toml"),
    include_str!("../../triage/rules/eyes-ears-mouth.toml"),
    include_str!("../../triage/rules/limbs-injury.toml"),
    include_str!("../../triage/rules/home.toml"),
    include_str!("../../triage/rules/home-skin-senses.toml"),
];
const ADVICE: &str = include_str!("../../triage/advice.toml");

/// A text in both languages.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Words {
    /// English.
    pub en: String,
    /// Chinese, simplified.
    pub zh: String,
}

impl Words {
    /// The text in a language.
    pub fn text(&self, language: Language) -> &str {
        match language {
            Language::En => &self.en,
            Language::Zh => &self.zh,
        }
    }
}

/// What to do: an advice of the data file, said once however many rules give it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Advice {
    /// The advice.
    pub words: Words,
    /// Of first aid the guideline that it follows, with its year; nothing where the rules' own citations say it.
    pub first_aid: Option<String>,
    /// What saves a life comes first: the less, the sooner it is said.
    pub(crate) rank: u8,
}

impl Advice {
    /// Advice that is said when all first aid has been.
    pub(crate) const LAST: u8 = u8::MAX;
    /// Without breath nothing else counts.
    pub(crate) const RESUSCITATION: u8 = 1;

    /// What to do, and no first aid.
    pub(crate) fn plain(en: &str, zh: &str) -> Advice {
        let words = Words { en: en.into(), zh: zh.into() };
        Advice { words, first_aid: None, rank: Advice::LAST }
    }

    /// The text in a language.
    pub fn text(&self, language: Language) -> &str {
        self.words.text(language)
    }
}

/// What a rule is tried with: a text and whether the rule must fire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Case<'a> {
    /// What a patient or a clinician would write, with age and sex in it.
    pub text: &'a str,
    /// Whether the rule fires.
    pub fires: bool,
}

/// A rule of urgency.
#[derive(Clone, Debug)]
pub struct Rule {
    /// Its stable name.
    pub id: String,
    /// The body system or field it belongs to.
    pub system: String,
    /// How urgent its answer is.
    pub tier: Urgency,
    /// Rises when the rule changes.
    pub version: u32,
    /// The day by which a clinician looks at it again, as ISO 8601.
    pub review_date: String,
    /// Why it is urgent, or why not; no diagnosis.
    pub reason: Words,
    /// What to do.
    pub advice: Advice,
    /// The guideline and year it rests on.
    pub citation: String,
    case: String,
    near_miss: String,
    pub(crate) condition: Condition,
    /// What a self-care rule accounts for.
    pub(crate) covers: Vec<Finding>,
}

/// What has to be so for a rule to fire.
#[derive(Clone, Debug, Default)]
pub(crate) struct Condition {
    /// From and below, in years.
    pub(crate) age_years: Option<(f64, f64)>,
    pub(crate) sex: Option<Sex>,
    pub(crate) pregnant: Option<bool>,
    pub(crate) all: Vec<Finding>,
    /// Of each group one.
    pub(crate) any: Vec<Vec<Finding>>,
    pub(crate) at_least: Option<(usize, Vec<Finding>)>,
    /// Each explicitly denied.
    pub(crate) none: Vec<Finding>,
    pub(crate) measures: Vec<Threshold>,
    pub(crate) duration: Option<Duration>,
    /// Part of what was told was not understood. Such a rule stands only where self-care would, or too little is known.
    pub(crate) not_understood: bool,
}

/// A measure at or beyond a limit.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Threshold {
    pub(crate) name: Measure,
    pub(crate) min: Option<f64>,
    pub(crate) max: Option<f64>,
}

/// How long something lasts.
#[derive(Clone, Debug)]
pub(crate) struct Duration {
    pub(crate) of: Option<Finding>,
    pub(crate) min_h: f64,
    pub(crate) max_h: f64,
}

impl Rule {
    /// A text that it answers, and one that it must not.
    pub fn cases(&self) -> [Case<'_>; 2] {
        [Case { text: &self.case, fires: true }, Case { text: &self.near_miss, fires: false }]
    }

    pub(crate) fn fires(&self, evidence: &Evidence<'_>, level: Level) -> bool {
        let it = &self.condition;
        evidence.is_for(self)
            && (!it.not_understood || evidence.is_unread())
            && it.all.iter().all(|finding| evidence.has(*finding, level))
            && it.any.iter().all(|group| group.iter().any(|finding| evidence.has(*finding, level)))
            && it.at_least.as_ref().is_none_or(|(n, of)| {
                of.iter().filter(|finding| evidence.has(**finding, level)).count() >= *n
            })
            && it.none.iter().all(|finding| evidence.is_denied(*finding))
            && it.measures.iter().all(|threshold| evidence.meets(threshold))
            && it.duration.as_ref().is_none_or(|duration| evidence.lasts(duration, self.tier))
    }
}

/// A set of rules.
#[derive(Clone)]
pub struct Rules {
    pub(crate) rules: Vec<Rule>,
}

impl std::fmt::Debug for Rules {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "Rules({})", self.rules.len())
    }
}

static BUILT_IN: LazyLock<Rules> = LazyLock::new(|| {
    Rules::of(FILES, ADVICE).expect("the compiled-in rules are read by a test of this module")
});

impl Rules {
    /// The rules that are compiled in.
    pub fn built_in() -> &'static Rules {
        &BUILT_IN
    }

    /// Every rule, in the order of the files.
    pub fn iter(&self) -> impl Iterator<Item = &Rule> {
        self.rules.iter()
    }

    /// The same rules but one; for a clinic that overrides it, and to prove that each is needed.
    pub fn without(&self, id: &str) -> Rules {
        Rules { rules: self.rules.iter().filter(|rule| rule.id != id).cloned().collect() }
    }

    fn of(files: &[&str], advice: &str) -> Result<Rules, TriageError> {
        let advice: BTreeMap<String, RawAdvice> = toml::from_str(advice).map_err(faulty)?;
        let advice: BTreeMap<String, Advice> =
            advice.into_iter().map(|(name, raw)| Ok((name, raw.into_advice()?))).collect::<Result<_, _>>()?;
        let mut rules: Vec<Rule> = Vec::new();
        for file in files {
            let file: RawFile = toml::from_str(file).map_err(faulty)?;
            for raw in file.rule {
                let rule = raw.into_rule(&file.system, &file.groups, &advice)?;
                if rules.iter().any(|it| it.id == rule.id) {
                    return Err(TriageError::Rules(format!("{} stands twice", rule.id)));
                }
                rules.push(rule);
            }
        }
        Ok(Rules { rules })
    }
}

fn faulty(error: impl std::fmt::Display) -> TriageError {
    TriageError::Rules(error.to_string())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawFile {
    system: String,
    /// Findings under one name, written `@name`.
    #[serde(default)]
    groups: BTreeMap<String, Vec<String>>,
    rule: Vec<RawRule>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawAdvice {
    en: String,
    zh: String,
    first_aid: Option<String>,
    rank: Option<u8>,
}

impl RawAdvice {
    /// First aid has a guideline and a rank, other advice neither.
    fn into_advice(self) -> Result<Advice, TriageError> {
        if self.first_aid.is_some() != self.rank.is_some() {
            return Err(TriageError::Rules(format!(
                "first aid lacks its guideline or its rank: {}",
                self.en
            )));
        }
        let words = Words { en: self.en, zh: self.zh };
        Ok(Advice { words, first_aid: self.first_aid, rank: self.rank.unwrap_or(Advice::LAST) })
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawRule {
    id: String,
    tier: Urgency,
    age: Option<[f64; 2]>,
    sex: Option<Sex>,
    pregnant: Option<bool>,
    #[serde(default)]
    all: Vec<String>,
    #[serde(default)]
    any: Vec<String>,
    #[serde(default)]
    and_any: Vec<String>,
    at_least: Option<RawAtLeast>,
    #[serde(default)]
    none: Vec<String>,
    #[serde(default)]
    measure: Vec<Threshold>,
    duration: Option<RawDuration>,
    #[serde(default)]
    not_understood: bool,
    #[serde(default)]
    covers: Vec<String>,
    en: String,
    zh: String,
    #[serde(rename = "do")]
    advice: String,
    source: String,
    version: u32,
    review_date: String,
    case: String,
    near_miss: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawAtLeast {
    n: usize,
    of: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawDuration {
    of: Option<String>,
    min_days: Option<f64>,
    max_days: Option<f64>,
}

impl RawRule {
    fn into_rule(
        self,
        system: &str,
        groups: &BTreeMap<String, Vec<String>>,
        advice: &BTreeMap<String, Advice>,
    ) -> Result<Rule, TriageError> {
        let id = self.id;
        let fault = |what: &str| TriageError::Rules(format!("{id}: {what}"));
        let find = |codes: &[String]| -> Result<Vec<Finding>, TriageError> {
            let mut found = Vec::new();
            for code in codes {
                match code.strip_prefix('@') {
                    Some(name) => {
                        let group = groups.get(name).ok_or_else(|| fault(&format!("no group {name}")))?;
                        for code in group {
                            found.push(
                                Finding::named(code).ok_or_else(|| fault(&format!("no finding {code}")))?,
                            );
                        }
                    }
                    None => {
                        found.push(Finding::named(code).ok_or_else(|| fault(&format!("no finding {code}")))?);
                    }
                }
            }
            Ok(found)
        };
        let any = [find(&self.any)?, find(&self.and_any)?].into_iter().filter(|it| !it.is_empty()).collect();
        let at_least = self.at_least.map(|it| Ok::<_, TriageError>((it.n, find(&it.of)?))).transpose()?;
        let duration = self.duration.map(|it| {
            let of = it.of.map(|code| find(&[code])).transpose()?;
            let min_h = it.min_days.map_or(0.0, |days| days * 24.0);
            let max_h = it.max_days.map_or(f64::INFINITY, |days| days * 24.0);
            Ok::<_, TriageError>(Duration { of: of.and_then(|it| it.first().copied()), min_h, max_h })
        });
        let condition = Condition {
            age_years: self.age.map(|[from, below]| (from, below)),
            sex: self.sex,
            pregnant: self.pregnant,
            all: find(&self.all)?,
            any,
            at_least,
            none: find(&self.none)?,
            measures: self.measure,
            duration: duration.transpose()?,
            not_understood: self.not_understood,
        };
        let asks_nothing = condition.all.is_empty()
            && condition.any.is_empty()
            && condition.at_least.is_none()
            && condition.measures.is_empty()
            && !condition.not_understood;
        if asks_nothing {
            return Err(fault("asks for nothing"));
        }
        // A denial may only ever lower to self-care, never switch a warning off.
        if !condition.none.is_empty() && self.tier != Urgency::SelfCare {
            return Err(fault("a warning may not depend on a denial"));
        }
        if condition.not_understood && self.tier != Urgency::Clinician {
            return Err(fault("what was not understood sends to a clinician, neither less nor more"));
        }
        let covers = find(&self.covers)?;
        let advice = advice.get(&self.advice).ok_or_else(|| fault("no such advice"))?.clone();
        Ok(Rule {
            system: system.into(),
            tier: self.tier,
            version: self.version,
            review_date: self.review_date,
            reason: Words { en: self.en, zh: self.zh },
            advice,
            citation: self.source,
            case: self.case,
            near_miss: self.near_miss,
            condition,
            covers,
            id,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULE: &str = "system='s'\n[[rule]]\nid='r'\ntier='emergency'\nall=['fever']\nen='e'\nzh='中'\ndo='d'\n\
        source='s'\nversion=1\nreview_date='2027-01-01'\ncase='c'\nnear_miss='n'\n";
    const WORDS: &str = "[d]\nen='e'\nzh='中'\n";

    #[test]
    fn compiled_in_rules_are_sound() {
        let rules = Rules::of(FILES, ADVICE).unwrap();
        assert!(rules.rules.len() >= 170, "{} rules", rules.rules.len());
    }

    #[test]
    fn faulty_rules_are_refused() {
        let refused = |file: &str| matches!(Rules::of(&[file], WORDS), Err(TriageError::Rules(_)));
        assert!(!refused(RULE));
        assert!(Rules::of(&[RULE, RULE], WORDS).is_err());
        assert!(refused(&RULE.replace("'fever'", "'no_such_finding'")));
        assert!(refused(&RULE.replace("'fever'", "'@no_such_group'")));
        assert!(refused(&RULE.replace("all=['fever']", "")));
        assert!(refused(&RULE.replace("do='d'", "do='x'")));
        assert!(refused(&RULE.replace("all=", "none=['cough']\nall=")));
        assert!(refused(&RULE.replace("zh='中'", "")));
        assert!(refused(&RULE.replace("source='s'", "colour='red'")));
        assert!(refused(&RULE.replace("all=", "not_understood=true\nall=")));
        let aid = |more: &str| Rules::of(&[RULE], &format!("{WORDS}{more}"));
        assert!(aid("first_aid='g 2025'\nrank=2\n").is_ok());
        assert!(aid("first_aid='g 2025'\n").is_err() && aid("rank=2\n").is_err());
    }
}
