//! First aid: what saves a life is said first, in both languages, for every age, with the guideline it follows; and nobody
//! frail stays at home on a text of which part was not understood.

#![expect(clippy::unwrap_used, reason = "the whole target is a test")]

use metaclinic_inference::triage::{
    Assessment, Basis, Known, Language, Person, Rules, Urgency, assess, read_text,
};

fn told(text: &str, language: Language, age_years: Option<f64>) -> Assessment {
    let mut known = Known::default();
    known.hear(&read_text(text, language).unwrap());
    assess(&Person { age_years, ..Person::default() }, &known)
}

/// The first advice names each of the words, follows a guideline, and nothing sends an unconscious person away.
fn check_first(text: &str, language: Language, age_years: Option<f64>, words: &[&str]) {
    let verdict = told(text, language, age_years);
    assert_eq!(verdict.urgency, Urgency::Emergency, "{text}");
    let first = &verdict.advice[0];
    for word in words {
        assert!(first.text(language).contains(word), "{text}: no {word:?} in {}", first.text(language));
    }
    let guideline = first.first_aid.as_ref().unwrap();
    assert!(guideline.contains("2025") && guideline.contains("guideline for"), "{guideline}");
}

const CPR_EN: [&str; 5] = ["emergency number", "CPR", "push", "AED", "gasping"];
const CPR_ZH: [&str; 5] = ["急救电话", "心肺复苏", "按压", "除颤器", "调度员"];

#[test]
fn whoever_may_lie_without_breath_is_told_of_resuscitation_first() {
    let en = &CPR_EN;
    for (text, age) in [
        ("My father collapsed and is not breathing", None),
        ("he is unconscious and does not respond when I shake him", Some(54.0)),
        ("my husband has no pulse", Some(61.0)),
        ("My mother had chest pain, then she collapsed and stopped breathing", Some(70.0)),
        ("cardiac arrest", None),
        ("I cannot wake my wife up", Some(44.0)),
    ] {
        check_first(text, Language::En, age, en);
        check_first(text, Language::En, age, &["middle of the chest"]);
    }
    for age in [1.0, 6.0, 15.0] {
        check_first("my son is unresponsive", Language::En, Some(age), en);
        check_first(
            "my son is unresponsive",
            Language::En,
            Some(age),
            &["five rescue breaths", "dispatcher"],
        );
    }
    for age in [0.1, 0.9] {
        check_first("the baby is not breathing", Language::En, Some(age), en);
        check_first("the baby is not breathing", Language::En, Some(age), &["two thumbs", "dispatcher"]);
    }
    for (text, age) in [
        ("我爸爸突然倒地，没有呼吸", None),
        ("他昏迷了，叫不醒", Some(50.0)),
        ("没有心跳了", Some(50.0)),
        ("孩子没有反应，嘴唇发紫", Some(4.0)),
        ("宝宝没有呼吸了", Some(0.3)),
    ] {
        check_first(text, Language::Zh, age, &CPR_ZH);
    }
}

#[test]
fn an_unconscious_person_is_not_told_to_sit_down_or_to_travel() {
    for text in
        ["crushing chest pain, then he collapsed and is not breathing", "stab wound, he is unconscious"]
    {
        let verdict = told(text, Language::En, Some(50.0));
        assert!(verdict.reasons.len() > 1, "{text}");
        assert!(verdict.advice.iter().all(|it| it.first_aid.is_some()), "{text}");
    }
    let bleeding = told("stab wound, he is unconscious", Language::En, Some(50.0));
    assert!(bleeding.advice.iter().any(|it| it.text(Language::En).contains("Press hard")));
}

#[test]
fn breath_that_is_hard_or_denied_is_not_taken_for_none() {
    for (text, language) in [
        ("no breathing problems, just a runny nose", Language::En),
        ("she is not breathing fast, no fever, runny nose", Language::En),
        ("没有呼吸困难，流鼻涕两天", Language::Zh),
        ("没有心跳加速，没有发烧，流鼻涕", Language::Zh),
    ] {
        assert!(told(text, language, Some(30.0)).urgency < Urgency::Emergency, "{text}");
    }
}

#[test]
fn choking_bleeding_allergy_fits_and_strokes_bring_their_own_first_aid() {
    let cases: [(&str, &str, &[&str], &[&str]); 6] = [
        (
            "choking on a grape, cannot breathe",
            "被葡萄噎住了，喘不上气",
            &["shoulder blades", "abdominal"],
            &["肩胛骨", "腹部冲击"],
        ),
        (
            "blood is spurting from his leg",
            "腿上喷血，血止不住",
            &["Press hard", "tourniquet"],
            &["压住伤口", "止血带"],
        ),
        (
            "hives all over and throat swelling after peanuts, hard to breathe",
            "吃花生后全身风团，喉咙肿，呼吸困难",
            &["auto-injector", "thigh"],
            &["自动注射笔", "大腿外侧"],
        ),
        (
            "he is having a seizure",
            "他正在抽搐",
            &["nothing into the mouth", "time the fit"],
            &["嘴里不要放", "记录抽搐时间"],
        ),
        (
            "her face droops and her speech is slurred",
            "突然口角歪斜，说话不清",
            &["Note the time"],
            &["记下"],
        ),
        ("she swallowed 30 aspirin", "她吃了几十片药", &["poison centre"], &["不要催吐"]),
    ];
    for (en, zh, words_en, words_zh) in cases {
        check_first(en, Language::En, Some(40.0), words_en);
        check_first(zh, Language::Zh, Some(40.0), words_zh);
    }
}

#[test]
fn what_was_not_understood_of_the_frail_is_never_self_care() {
    for (text, language, age) in [
        ("He has had a runny nose for two days and his wings are octarine", Language::En, 3.0),
        ("runny nose for two days, glimmering", Language::En, 4.9),
        ("流鼻涕两天，翅膀变成了八色", Language::Zh, 3.0),
        ("runny nose for 2 days, and his wings are octarine", Language::En, 85.0),
    ] {
        let verdict = told(text, language, Some(age));
        assert_eq!((verdict.urgency, verdict.basis), (Urgency::Clinician, Basis::NotEnoughKnown), "{text}");
        assert!(verdict.reasons[0].text.en.contains("not understood"), "{text}");
        assert!(verdict.reasons[0].text.zh.contains("未能理解"), "{text}");
        assert!(verdict.not_understood > 0, "{text}");
    }
    let grown_up =
        told("I have had a runny nose for two days and my wings are octarine", Language::En, Some(30.0));
    assert_eq!(grown_up.urgency, Urgency::SelfCare);
    for (text, language) in [
        (
            "My 3-year-old son has had a runny nose for two days. No fever. He is drinking and playing normally.",
            Language::En,
        ),
        ("孩子3岁，流鼻涕两天，没有发烧，精神好，吃喝正常", Language::Zh),
    ] {
        assert_eq!(told(text, language, Some(3.0)).urgency, Urgency::SelfCare, "{text}");
    }
}

#[test]
fn no_rule_rests_on_a_guideline_that_was_replaced() {
    for rule in Rules::built_in().iter() {
        let it = &rule.citation;
        for replaced in ["NG51", "NG80", "SIGN 158 asthma guideline 2019", "Council guidelines 2021"] {
            assert!(!it.contains(replaced), "{}: {it}", rule.id);
        }
        // BTS/SIGN 158 is in force for acute asthma only, as amended in 2024.
        assert!(
            !it.contains("SIGN 158") || it.contains("acute asthma") && it.contains("2024"),
            "{}: {it}",
            rule.id
        );
        let speaks_of_sepsis = rule.reason.en.contains("sepsis");
        assert!(!speaks_of_sepsis || it.contains("NG25"), "{}: {it}", rule.id);
    }
}
