//! Free text in both languages: negation, time, person, numbers; and text that means harm.

use metaclinic_inference::triage::{
    Finding, Known, Language, MAX_TEXT_BYTES, Measure, Person, Sex, Status, TriageError, assess, read_text,
};

/// What a text says of a finding: P present, D denied, H past, O another person, U uncertain, - nothing.
const CASES: &[(&str, &str, char)] = &[
    ("I have a fever", "fever", 'P'),
    ("no fever", "fever", 'D'),
    ("Denies chest pain, vomiting or rash", "chest_pain", 'D'),
    ("Denies chest pain, vomiting or rash", "vomiting", 'D'),
    ("Denies chest pain, vomiting or rash", "rash", 'D'),
    ("He denied fever, but has a cough", "fever", 'D'),
    ("He denied fever, but has a cough", "cough", 'P'),
    ("No fever, cough, or rash", "cough", 'D'),
    ("No fever, has a cough", "cough", 'P'),
    ("without fever or chills", "fever", 'D'),
    ("She does not have a headache", "headache", 'D'),
    ("She doesn't cough", "cough", 'D'),
    ("not only a headache, she vomits too", "headache", 'P'),
    ("He no longer has a headache", "headache", 'H'),
    ("no relief of the chest pain", "chest_pain", 'P'),
    ("the cough is not improving", "cough", 'P'),
    ("the fever has not gone away", "fever", 'P'),
    ("the vomiting hasn't stopped", "vomiting", 'P'),
    ("never had a headache like this before", "headache", 'P'),
    ("not without chest pain", "chest_pain", 'P'),
    ("No, I have chest pain", "chest_pain", 'P'),
    ("I can't breathe", "severe_breathless", 'P'),
    ("can not breathe", "severe_breathless", 'P'),
    ("negative for cough", "cough", 'D'),
    ("fever: no", "fever", 'D'),
    ("neither cough nor fever", "fever", 'D'),
    ("no nausea/vomiting", "vomiting", 'D'),
    ("no fever and a severe headache", "severe_headache", 'P'),
    ("history of seizures", "seizure", 'H'),
    ("3-day history of cough", "cough", 'P'),
    ("a 2 week history of headache and vomiting", "headache", 'P'),
    ("history of diabetes", "diabetes", 'P'),
    ("no history of diabetes", "diabetes", 'D'),
    ("had pneumonia and cough last year", "cough", 'H'),
    ("headaches ten years ago", "headache", 'H'),
    ("cough that started 3 months ago", "cough", 'P'),
    ("as a child she had wheezing", "wheeze", 'H'),
    ("in the past two days a cough", "cough", 'P'),
    ("used to have palpitations", "palpitations", 'H'),
    ("the rash has resolved", "rash", 'H'),
    ("his arm was weak, it has resolved: weakness of the arm resolved", "limb_weakness", 'P'),
    ("My mother had a stroke with seizures and I have a headache", "seizure", 'O'),
    ("My mother had a stroke with seizures and I have a headache", "headache", 'P'),
    ("family history of breast cancer", "cancer", 'O'),
    ("A 40-year-old man. His father had chest pain.", "chest_pain", 'O'),
    ("My son has a fever", "fever", 'P'),
    ("I have a cold. My son has a fever", "fever", 'O'),
    ("My father has chest pain and cannot breathe", "chest_pain", 'P'),
    ("her mother says she has a rash", "rash", 'P'),
    ("maybe a fever", "fever", 'U'),
    ("I am not sure if I have a rash", "rash", 'U'),
    ("chest wall pain, lungs clear", "fever", '-'),
    ("I have hay fever", "fever", '-'),
    ("a cold sore", "sore_throat", '-'),
    ("headahce and palpitatons", "palpitations", 'P'),
    ("我发烧了", "fever", 'P'),
    ("没有发烧", "fever", 'D'),
    ("没发烧，但是咳嗽", "fever", 'D'),
    ("没发烧，但是咳嗽", "cough", 'P'),
    ("否认胸痛、呕吐、皮疹", "rash", 'D'),
    ("否认发热，咳嗽", "cough", 'D'),
    ("无发热，无咳嗽", "cough", 'D'),
    ("不发烧", "fever", 'D'),
    ("不是没有发烧", "fever", 'P'),
    ("没有发烧，咳嗽三天", "cough", 'P'),
    ("发烧没有退", "fever", 'P'),
    ("去年咳嗽过", "cough", 'H'),
    ("十年前抽搐过", "seizure", 'H'),
    ("三个月前开始咳嗽", "cough", 'P'),
    ("既往有头痛", "headache", 'H'),
    ("既往糖尿病", "diabetes", 'P'),
    ("我妈妈有高血压，我头痛", "hypertension", 'O'),
    ("我妈妈有高血压，我头痛", "headache", 'P'),
    ("家族史有癌症", "cancer", 'O'),
    ("我爸突然胸痛", "chest_pain", 'P'),
    ("我爸爸胸口很痛", "chest_pain", 'P'),
    ("爸爸昏倒了", "faint", 'P'),
    ("我妈妈抽搐过，我头痛", "seizure", 'O'),
    ("我爸爸有糖尿病", "diabetes", 'O'),
    ("爸爸死于中风，我头晕", "light_headed", 'P'),
    ("不知道有没有发烧", "fever", 'U'),
    ("是不是发烧", "fever", 'U'),
    ("有没有咳嗽不清楚", "cough", 'U'),
    ("他没有呼吸", "not_breathing", 'P'),
    ("没有呼吸了", "not_breathing", 'P'),
    ("没有呼吸困难", "not_breathing", '-'),
    ("没有呼吸困难", "breathless", 'D'),
    ("没有心跳", "not_breathing", 'P'),
    ("没有心跳加快", "not_breathing", '-'),
    ("he has no pulse", "not_breathing", 'P'),
    ("孩子发烧两天", "fever", 'P'),
    ("可能发烧了", "fever", 'U'),
    ("喘不过气", "severe_breathless", 'P'),
    ("呼吸困难两天", "breathless", 'P'),
    ("气短", "breathless", 'P'),
    ("发烧：无", "fever", 'D'),
    ("不想活了", "suicidal", 'P'),
];

#[test]
fn negation_time_and_person_are_understood() {
    let mut wrong = Vec::new();
    for (text, code, expected) in CASES {
        let understood = read_text(text, Language::En).unwrap();
        let finding = Finding::named(code).unwrap_or_else(|| panic!("{code}"));
        let status = match understood.findings.get(&finding) {
            Some(Status::Present) => 'P',
            Some(Status::Denied) => 'D',
            Some(Status::Past) => 'H',
            Some(Status::OtherPerson) => 'O',
            Some(Status::Uncertain) => 'U',
            Some(Status::Possible) => '?',
            None => '-',
        };
        if status != *expected {
            wrong.push(format!("{text}: {code} is {status}, not {expected}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(CASES.len() >= 60);
}

#[test]
fn numbers_and_the_person_are_read() {
    let text = "A 48-year-old woman presents with a 2-day history of cough. Temperature 39.5 °C, BP 85/50, heart \
                rate 120, SpO2 88%, pain 7/10. Diabetes for 10 years.";
    let understood = read_text(text, Language::En).unwrap();
    assert_eq!(understood.person.age_years, Some(48.0));
    assert_eq!(understood.person.sex, Some(Sex::Female));
    assert_eq!(understood.duration_h, Some(48.0));
    let has = |measure, value| understood.measures.contains(&(measure, value));
    assert!(has(Measure::TemperatureC, 39.5) && has(Measure::SystolicMmhg, 85.0));
    assert!(
        has(Measure::HeartRatePerMin, 120.0) && has(Measure::Spo2Percent, 88.0) && has(Measure::Pain, 7.0)
    );
    let chinese = read_text("男孩，3岁，发烧两天，体温39度5", Language::Zh).unwrap();
    assert_eq!((chinese.person.age_years, chinese.person.sex), (Some(3.0), Some(Sex::Male)));
    assert_eq!(chinese.duration_h, Some(48.0));
    assert!(chinese.measures.contains(&(Measure::TemperatureC, 39.5)));
}

#[test]
fn arguments_outweigh_what_the_text_says_of_the_person() {
    let mut known = Known::default();
    known.hear(&read_text("A 2-month-old baby has a fever", Language::En).unwrap());
    let adult = Person { age_years: Some(30.0), ..Person::default() };
    assert!(assess(&Person::default(), &known).reasons.iter().any(|it| it.rule == "infant-fever"));
    assert!(assess(&adult, &known).reasons.iter().all(|it| it.rule != "infant-fever"));
}

#[test]
fn hostile_text_is_refused_or_read_without_harm() {
    let huge = "chest pain ".repeat(100_000);
    assert_eq!(read_text(&huge, Language::En), Err(TriageError::TooLong { bytes: huge.len() }));
    let hidden = "ch\u{200B}est\u{2060} p\u{FEFF}ain";
    let chest_pain = Finding::named("chest_pain").unwrap();
    assert_eq!(read_text(hidden, Language::En).unwrap().findings.get(&chest_pain), Some(&Status::Present));
    let turned = "\u{202E}I have chest pain\u{202C}";
    assert_eq!(read_text(turned, Language::En).unwrap().findings.get(&chest_pain), Some(&Status::Present));
    for text in [
        "",
        " ",
        "。。。",
        "\0\u{1}\u{7f}",
        "e\u{301}\u{301}\u{301}",
        "👩‍⚕️🩺",
        "İıſK",
        "没没没没没没",
        "no no no no not not",
        "38.",
        ".5.5.5",
        "1/1/1/1/1",
        "度5",
        "38度5度5",
        "，，，",
        "((((((((((",
        "ﷺ مريض",
        "99999999999999999999 days",
    ] {
        read_text(text, Language::Zh).unwrap();
    }
    for piece in ["pain ", "no ", "胸痛", "没有", "1 ", "no pain, ", "my mother had ", "十", "history of "]
    {
        let text = piece.repeat(MAX_TEXT_BYTES / piece.len());
        read_text(&text, Language::En).unwrap();
    }
}

#[test]
fn errors_and_debug_hold_nothing_of_the_text() {
    let understood = read_text("I have chest pain and secretword", Language::En).unwrap();
    let mut known = Known::default();
    known.hear(&understood);
    let shown = format!("{understood:?} {known:?} {:?}", assess(&Person::default(), &known));
    assert!(!shown.contains("chest") && !shown.contains("secretword"));
}
