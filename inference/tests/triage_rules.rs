//! The rules, each by its own cases.

#![expect(clippy::unwrap_used, reason = "the whole target is a test")]

use metaclinic_inference::triage::{Assessment, Known, Language, Person, Rules, Urgency, assess, read_text};

fn judge(rules: &Rules, text: &str) -> Assessment {
    let mut known = Known::default();
    known.hear(&read_text(text, Language::En).unwrap());
    rules.assess(&Person::default(), &known)
}

fn fires(assessment: &Assessment, id: &str) -> bool {
    assessment.reasons.iter().any(|reason| reason.rule == id)
}

#[test]
fn every_rule_answers_its_case_and_not_its_near_miss() {
    let rules = Rules::built_in();
    let mut wrong = Vec::new();
    for rule in rules.iter() {
        for case in rule.cases() {
            let verdict = judge(rules, case.text);
            if fires(&verdict, &rule.id) != case.fires || case.fires && verdict.urgency < rule.tier {
                wrong.push(format!(
                    "{} ({}): {} -> {:?}",
                    rule.id,
                    case.fires,
                    case.text,
                    verdict.reasons.iter().map(|it| &it.rule).collect::<Vec<_>>()
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "{} wrong\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn dropping_any_rule_changes_its_own_case() {
    let rules = Rules::built_in();
    for rule in rules.iter() {
        let [case, _] = rule.cases();
        let (with, without) = (judge(rules, case.text), judge(&rules.without(&rule.id), case.text));
        let told =
            |it: &Assessment| (it.urgency, it.reasons.iter().map(|it| it.rule.clone()).collect::<Vec<_>>());
        assert_ne!(told(&with), told(&without), "{} can be dropped unseen", rule.id);
    }
}

#[test]
fn every_rule_speaks_both_languages_and_names_its_source() {
    for rule in Rules::built_in().iter() {
        let id = &rule.id;
        for words in [&rule.reason, &rule.advice.words] {
            assert!(
                words.text(Language::En).chars().all(|it| it.is_ascii() || "“”°…Â²".contains(it)),
                "{id}"
            );
            assert!(words.text(Language::Zh).chars().filter(|it| !it.is_ascii()).count() >= 5, "{id}");
        }
        assert!(rule.citation.chars().any(|it| it.is_ascii_digit()), "{id} names no year");
        assert!(rule.version >= 1);
        let date: Vec<&str> = rule.review_date.split('-').collect();
        let lengths: Vec<usize> = date.iter().map(|it| it.len()).collect();
        assert_eq!(lengths, [4, 2, 2], "{id}");
        assert!(date.iter().all(|it| it.parse::<u32>().is_ok()), "{id}");
        assert!(!rule.system.is_empty());
    }
}

#[test]
fn nothing_names_a_number_but_that_of_china_and_everything_says_when_to_call() {
    for rule in Rules::built_in().iter() {
        let (en, zh) = (rule.advice.text(Language::En), rule.advice.text(Language::Zh));
        assert!(!["911", "999", "112", "120"].iter().any(|it| en.contains(it)), "{}", rule.id);
        if zh.contains("120") {
            assert!(zh.contains("中国大陆"), "{}", rule.id);
        }
    }
    let verdict = assess(&Person::default(), &Known::default());
    assert_eq!(verdict.urgency, Urgency::Clinician);
    assert!(verdict.safety_net.en.contains("emergency number") && verdict.safety_net.zh.contains("急救电话"));
}
