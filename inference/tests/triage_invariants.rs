//! What holds whatever is answered or told.

#![expect(clippy::unwrap_used, reason = "the whole target is a test")]

use metaclinic_inference::triage::{
    Answer, Ask, Basis, Dialogue, Finding, FindingKind, Known, Language, MAX_QUESTIONS, Person, Rules, Sex,
    Status, Urgency, assess, read_text,
};
use proptest::prelude::*;

fn person(age: Option<f64>, female: Option<bool>) -> Person {
    let sex = female.map(|female| if female { Sex::Female } else { Sex::Male });
    Person { age_years: age, sex, pregnant: None }
}

fn finding(at: usize) -> Finding {
    Finding::all().nth(at % Finding::all().count()).unwrap()
}

fn answered(answers: &[(usize, u8)]) -> Known {
    let mut known = Known::default();
    for (at, answer) in answers {
        let answer = [Answer::Yes, Answer::No, Answer::Unknown][usize::from(*answer % 3)];
        known.answer(finding(*at), answer);
    }
    known
}

const TEXTS: &[&str] = &[
    "I have had a runny nose for 2 days. No fever, no cough, no chest pain, no headache.",
    "没有发烧，没有胸痛，打喷嚏两天",
    "crushing chest pain and sweating",
    "Denies shortness of breath, rash, vomiting, headache, weakness.",
    "A 30-year-old man with sore throat since yesterday",
    "my usual migraine headache",
    "history of seizures ten years ago",
];

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    /// A verdict that rests on a rule never falls by a further finding; one for want of knowledge may.
    #[test]
    fn one_more_finding_never_lowers(
        answers in prop::collection::vec((0_usize..1000, 0_u8..3), 0..12),
        more in 0_usize..1000,
        age in prop::option::of(0.0..100.0_f64),
        female in prop::option::of(any::<bool>()),
    ) {
        let person = person(age, female);
        let mut known = answered(&answers);
        let before = assess(&person, &known);
        // A text that says the patient is pregnant is a finding too, and changes who rules speak of.
        prop_assume!(finding(more).code() != "pregnant");
        known.answer(finding(more), Answer::Yes);
        let after = assess(&person, &known);
        let wanted = if before.basis == Basis::Rules { before.urgency } else { Urgency::SelfCare };
        prop_assert!(after.urgency >= wanted);
    }

    #[test]
    fn text_never_lowers_what_answers_demand(
        answers in prop::collection::vec((0_usize..1000, 0_u8..3), 1..10),
        text in 0_usize..TEXTS.len(),
        age in prop::option::of(0.0..100.0_f64),
    ) {
        let person = person(age, Some(true));
        let mut known = answered(&answers);
        prop_assume!(answers.iter().any(|it| it.1 % 3 == 0));
        prop_assume!(known.findings().values().any(|it| *it == Status::Present));
        let before = assess(&person, &known).urgency;
        known.hear(&read_text(TEXTS[text], Language::En).unwrap());
        prop_assert!(assess(&person, &known).urgency >= before);
    }

    #[test]
    fn a_suggestion_never_lowers_and_raises_to_a_clinician_at_most(
        answers in prop::collection::vec((0_usize..1000, 0_u8..3), 0..8),
        suggested in 0_usize..1000,
        age in prop::option::of(0.0..100.0_f64),
    ) {
        let person = person(age, None);
        let mut known = answered(&answers);
        let before = assess(&person, &known).urgency;
        known.suggest(finding(suggested));
        let after = assess(&person, &known).urgency;
        prop_assert!(after >= before && after <= before.max(Urgency::Clinician));
    }

    #[test]
    fn unknown_never_counts_as_no(
        yes in prop::collection::vec(0_usize..1000, 1..6),
        unknown in prop::collection::vec(0_usize..1000, 1..12),
        age in 0.0..100.0_f64,
    ) {
        let person = person(Some(age), Some(false));
        let mut known = Known::default();
        yes.iter().for_each(|it| known.answer(finding(*it), Answer::Yes));
        let before = assess(&person, &known).urgency;
        for it in unknown.iter().filter(|it| yes.iter().all(|yes| finding(*yes) != finding(**it))) {
            known.answer(finding(*it), Answer::Unknown);
        }
        prop_assert_eq!(assess(&person, &known).urgency, before);
    }

    #[test]
    fn any_text_is_read(text in "\\PC{0,400}") {
        let understood = read_text(&text, Language::Zh).unwrap();
        for mention in &understood.mentions {
            prop_assert!(text.get(mention.range.clone()).is_some());
        }
        for range in understood.unmatched.iter().map(|it| &it.range) {
            prop_assert!(text.get(range.clone()).is_some());
        }
    }
}

#[test]
fn self_care_needs_an_age() {
    for rule in Rules::built_in().iter().filter(|rule| rule.tier == Urgency::SelfCare) {
        let [case, _] = rule.cases();
        let mut understood = read_text(case.text, Language::En).unwrap();
        understood.person.age_years = None;
        let mut known = Known::default();
        known.hear(&understood);
        assert!(assess(&Person::default(), &known).urgency >= Urgency::Clinician, "{}", rule.id);
    }
}

#[test]
fn dialogue_asks_what_would_raise_the_urgency_and_ends() {
    let mut known = Known::default();
    known.hear(&read_text("I have chest pain since this morning", Language::En).unwrap());
    let mut dialogue = Dialogue::new(Person { age_years: Some(50.0), ..Person::default() }, known, 12);
    assert_eq!(dialogue.assess().urgency, Urgency::Clinician);
    let mut asked = 0;
    while let Some(question) = dialogue.next_questions(1).pop() {
        asked += 1;
        assert!(asked <= MAX_QUESTIONS, "the dialogue does not end");
        assert!(!question.text.en.is_empty() && !question.text.zh.is_empty() && !question.why.zh.is_empty());
        match question.ask {
            Ask::Finding(finding) => dialogue.answer(finding, Answer::No),
            Ask::Duration => dialogue.lasts(None).unwrap(),
            Ask::Age | Ask::Sex | Ask::Pregnant => {
                dialogue.person(Person {
                    age_years: Some(50.0),
                    sex: Some(Sex::Male),
                    pregnant: Some(false),
                });
            }
        }
    }
    assert!(asked >= 5);
    assert_eq!(dialogue.assess().urgency, Urgency::Clinician);
    dialogue.answer(Finding::named("sweating").unwrap(), Answer::Yes);
    assert_eq!(dialogue.assess().urgency, Urgency::Emergency);
    assert!(dialogue.next_questions(5).is_empty());
}

#[test]
fn the_first_questions_belong_to_the_most_urgent_rules() {
    let mut known = Known::default();
    known.answer(Finding::named("headache").unwrap(), Answer::Yes);
    let dialogue = Dialogue::new(person(Some(30.0), Some(true)), known, 12);
    let first = dialogue.next_questions(3);
    for question in &first {
        let tier = |id: &String| Rules::built_in().iter().find(|it| it.id == *id).unwrap().tier;
        let urgent = question.rule.as_ref().is_some_and(|id| tier(id) == Urgency::Emergency);
        assert!(urgent || question.ask == Ask::Duration);
    }
    assert_eq!(first.len(), 3);
}

#[test]
fn hand_off_tells_all_that_is_positive_and_nothing_else() {
    let mut known = Known::default();
    known.hear(
        &read_text("I have a fever, no cough. My mother had a rash. Maybe a headache.", Language::En)
            .unwrap(),
    );
    known.answer(Finding::named("vomiting").unwrap(), Answer::Yes);
    known.answer(Finding::named("diarrhoea").unwrap(), Answer::No);
    known.suggest(Finding::named("hives").unwrap());
    let hand_off = Dialogue::new(Person::default(), known, 5).hand_off();
    let mut codes: Vec<&str> = hand_off.findings.iter().map(|it| it.0.code()).collect();
    codes.sort_unstable();
    assert_eq!(codes, ["fever", "headache", "vomiting"]);
    assert!(hand_off.lines(Language::En).contains(&"a headache (not sure)".to_string()));
    assert_eq!(hand_off.lines(Language::Zh).len(), 3);
}

#[test]
fn findings_have_names_kinds_and_questions() {
    for finding in Finding::all() {
        assert_eq!(Finding::named(finding.code()), Some(finding));
        assert!(finding.question(Language::En).ends_with('?'));
        assert!(finding.question(Language::Zh).ends_with('？'));
    }
    assert_eq!(Finding::named("diabetes").unwrap().kind(), FindingKind::Background);
    assert_eq!(Finding::named("no_such"), None);
}
