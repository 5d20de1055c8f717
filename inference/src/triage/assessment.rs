//! The verdict: the most urgent rule that fires wins; where none does, a clinician.

use std::collections::BTreeSet;

use super::dialogue::{MAX_QUESTIONS, Question, questions};
use super::evidence::{Evidence, Level};
use super::known::Known;
use super::lexicon::Finding;
use super::rules::{Advice, Rule, Rules, Words};
use super::{Language, Person, Urgency};

/// Questions that come with a verdict.
const QUESTIONS: usize = 5;
const _: () = assert!(QUESTIONS <= MAX_QUESTIONS);

/// What a verdict rests on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Basis {
    /// A rule.
    Rules,
    /// A rule that would fire if what a text may mean were so; the questions ask for it.
    Suggestion,
    /// Nothing that would allow less than a clinician: too little is known, or a finding that no rule accounts for.
    NotEnoughKnown,
}

/// Why: a rule that fired.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reason {
    /// The rule.
    pub rule: String,
    /// The body system or field.
    pub system: String,
    /// How urgent the rule alone is.
    pub urgency: Urgency,
    /// Why, for people.
    pub text: Words,
    /// The guideline and year.
    pub citation: String,
    /// Version of the rule.
    pub version: u32,
    /// When the rule is to be reviewed, ISO 8601.
    pub review_date: String,
}

/// How urgent a complaint is. Not a diagnosis.
#[derive(Clone, PartialEq)]
pub struct Assessment {
    /// How soon help is needed.
    pub urgency: Urgency,
    /// What that rests on.
    pub basis: Basis,
    /// The rules that fired, the most urgent first.
    pub reasons: Vec<Reason>,
    /// What to do, each advice once, first aid before all else.
    pub advice: Vec<Advice>,
    /// When to call for help, whatever the verdict.
    pub safety_net: Words,
    /// What would matter next.
    pub questions: Vec<Question>,
    /// Findings that no self-care rule accounts for.
    pub unaccounted: Vec<Finding>,
    /// Clauses of the texts in which nothing was understood.
    pub not_understood: usize,
}

impl std::fmt::Debug for Assessment {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "Assessment({} reasons)", self.reasons.len())
    }
}

impl Assessment {
    /// What to do and when to call for help, as paragraphs.
    pub fn words(&self, language: Language) -> Vec<&str> {
        let advice = self.advice.iter().map(|it| &it.words);
        advice.chain(std::iter::once(&self.safety_net)).map(|it| it.text(language)).collect()
    }
}

/// Judges by the rules that are compiled in.
pub fn assess(person: &Person, known: &Known) -> Assessment {
    Rules::built_in().assess(person, known)
}

impl Rules {
    /// Judges by these rules. What a text tells never lowers what answers with a yes among them demand.
    pub fn assess(&self, person: &Person, known: &Known) -> Assessment {
        let mut verdict = self.judge(person, known);
        if known.has_yes() && !known.told.is_empty() {
            let answered = self.judge(person, &known.answered_only());
            if answered.urgency > verdict.urgency {
                verdict = answered;
            }
        }
        verdict.questions = questions(self, person, known, &BTreeSet::new(), QUESTIONS);
        verdict.not_understood = known.not_understood;
        if verdict.reasons.iter().any(|reason| self.is_wary(&reason.rule)) {
            verdict.not_understood = known.not_understood.max(known.unread);
        }
        verdict
    }

    fn judge(&self, person: &Person, known: &Known) -> Assessment {
        let evidence = Evidence::of(person, known);
        let warnings =
            self.rules.iter().filter(|rule| rule.tier > Urgency::SelfCare && !rule.condition.not_understood);
        let (fired, rest): (Vec<&Rule>, Vec<&Rule>) =
            warnings.partition(|rule| rule.fires(&evidence, Level::Unsure));
        let suggested: Vec<&Rule> =
            rest.into_iter().filter(|rule| rule.fires(&evidence, Level::Possible)).collect();
        let homely: Vec<&Rule> = self
            .rules
            .iter()
            .filter(|rule| rule.tier == Urgency::SelfCare && rule.fires(&evidence, Level::Sure))
            .collect();
        let accounted = |finding: &Finding| homely.iter().any(|rule| rule.accounts_for(*finding));
        let unaccounted: Vec<Finding> = evidence.symptoms().filter(|it| !accounted(it)).collect();
        if let Some(worst) = fired.iter().map(|rule| rule.tier).max() {
            return verdict(worst, Basis::Rules, &fired, unaccounted);
        }
        if !suggested.is_empty() {
            return verdict(Urgency::Clinician, Basis::Suggestion, &suggested, unaccounted);
        }
        // Whoever is frail stays not at home on a text of which part was not understood.
        let wary: Vec<&Rule> = self
            .rules
            .iter()
            .filter(|rule| rule.condition.not_understood && rule.fires(&evidence, Level::Unsure))
            .collect();
        if !wary.is_empty() {
            return verdict(Urgency::Clinician, Basis::NotEnoughKnown, &wary, unaccounted);
        }
        if !homely.is_empty() && unaccounted.is_empty() {
            return verdict(Urgency::SelfCare, Basis::Rules, &homely, unaccounted);
        }
        verdict(Urgency::Clinician, Basis::NotEnoughKnown, &[], unaccounted)
    }

    fn is_wary(&self, id: &str) -> bool {
        self.rules.iter().any(|rule| rule.id == id && rule.condition.not_understood)
    }
}

impl Rule {
    fn accounts_for(&self, finding: Finding) -> bool {
        let it = &self.condition;
        self.covers.contains(&finding)
            || it.all.contains(&finding)
            || it.any.iter().flatten().any(|other| *other == finding)
            || it.at_least.as_ref().is_some_and(|(_, of)| of.contains(&finding))
    }
}

fn verdict(urgency: Urgency, basis: Basis, fired: &[&Rule], unaccounted: Vec<Finding>) -> Assessment {
    let mut fired = fired.to_vec();
    fired.sort_by_key(|rule| std::cmp::Reverse(rule.tier));
    let mut advice: Vec<Advice> = Vec::new();
    // What was only guessed at gives no advice of its own: "within two weeks" would be less than knowing nothing.
    let sure = fired.iter().filter(|rule| rule.tier == urgency && basis != Basis::Suggestion);
    for rule in sure {
        if !advice.contains(&rule.advice) {
            advice.push(rule.advice.clone());
        }
    }
    advice.sort_by_key(|it| it.rank);
    // Whoever may lie without breath neither sits down and rests nor goes to a hospital.
    if advice.first().is_some_and(|it| it.rank == Advice::RESUSCITATION) {
        advice.retain(|it| it.first_aid.is_some());
    }
    if advice.is_empty() {
        advice.push(see_a_clinician());
    }
    if basis == Basis::Suggestion && fired.iter().any(|rule| rule.tier == Urgency::Emergency) {
        advice.insert(0, if_meant());
    }
    let reasons = fired.iter().map(|rule| Reason {
        rule: rule.id.clone(),
        system: rule.system.clone(),
        urgency: rule.tier.min(urgency),
        text: rule.reason.clone(),
        citation: rule.citation.clone(),
        version: rule.version,
        review_date: rule.review_date.clone(),
    });
    Assessment {
        urgency,
        basis,
        reasons: reasons.collect(),
        advice,
        safety_net: safety_net(),
        questions: Vec::new(),
        unaccounted,
        not_understood: 0,
    }
}

fn if_meant() -> Advice {
    Advice::plain(
        "If you do mean what is asked below, do not wait: call your local emergency number now.",
        "如果下面所问正是您的意思，请不要等待，立即拨打当地急救电话（中国大陆为120）。",
    )
}

fn see_a_clinician() -> Advice {
    Advice::plain(
        "Too little is known to say that this can wait at home. Have a clinician look at it within a day or two, \
         sooner if it gets worse.",
        "目前了解到的情况不足以判断可以在家观察。请在一两天内找医生看看；如果加重，请更早就医。",
    )
}

fn safety_net() -> Words {
    Words {
        en: "This is not a diagnosis. Call your local emergency number at once for: trouble breathing, chest pain, \
             a drooping face, a weak arm or slurred speech, fainting, a fit, heavy bleeding, a sudden very bad \
             headache, confusion or drowsiness, a rash that does not fade when pressed, blue lips, swelling of \
             face or throat, or thoughts of ending your life. If you are worried, do not wait: get help."
            .into(),
        zh: "这不是诊断。如出现以下任何情况，请立即拨打当地急救电话（中国大陆为120）：呼吸困难、胸痛、口角歪斜、\
             一侧手臂无力或说话不清、晕倒、抽搐、大出血、突发剧烈头痛、意识模糊或嗜睡、按压不褪色的皮疹、嘴唇发紫、\
             面部或喉咙肿胀，或有轻生的念头。只要您感到担心，就不要等待，请及时求助。"
            .into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn suggested(code: &str) -> Assessment {
        let mut known = Known::default();
        known.suggest(Finding::named(code).unwrap());
        assess(&Person { age_years: Some(60.0), ..Person::default() }, &known)
    }

    #[test]
    fn suggestion_gives_no_longer_time_than_knowing_nothing() {
        let nothing = assess(&Person::default(), &Known::default());
        let weeks = suggested("leg_pain_walking");
        assert_eq!((weeks.urgency, weeks.basis), (Urgency::Clinician, Basis::Suggestion));
        assert_eq!(weeks.advice, nothing.advice);
        assert!(weeks.questions[0].text.en.starts_with("Do you mean this"));
    }

    #[test]
    fn suggested_emergency_says_to_call_if_it_is_meant() {
        let verdict = suggested("suicidal");
        assert_eq!(verdict.urgency, Urgency::Clinician);
        assert!(verdict.advice[0].words.en.contains("emergency number"));
    }
}
