//! Sixty short texts as patients write them, in both languages, written before their writer had read the rules. What the
//! self-check said of them at first is in decision 17; what it missed then is repaired since, so this measures nothing
//! any more and only keeps the repairs.

#![expect(clippy::unwrap_used, reason = "the whole target is a test")]

use metaclinic_inference::triage::{Known, Language, Person, Urgency, assess, read_text};

/// Written for grown-ups who do not tell their age.
const AGE_YEARS: f64 = 35.0;

fn urgency(text: &str, language: Language, age_years: Option<f64>) -> Urgency {
    let understood = read_text(text, language).unwrap();
    let age_years = understood.person.age_years.or(age_years);
    let mut known = Known::default();
    known.hear(&understood);
    assess(&Person { age_years, ..Person::default() }, &known).urgency
}

#[test]
fn no_patient_is_told_too_little() {
    let (mut all, mut right) = (0, 0);
    for line in include_str!("vignettes/patients.tsv").lines().skip(1) {
        let [language, wanted, text] = line.split('\t').collect::<Vec<_>>().try_into().unwrap();
        let language = if language == "zh" { Language::Zh } else { Language::En };
        let wanted = match wanted {
            "emergency" => Urgency::Emergency,
            "clinician" => Urgency::Clinician,
            _ => Urgency::SelfCare,
        };
        let found = urgency(text, language, (wanted == Urgency::SelfCare).then_some(AGE_YEARS));
        if found != wanted {
            println!("{} for {}: {text}", found.code(), wanted.code());
        }
        assert!(found >= wanted, "{text}");
        all += 1;
        right += usize::from(found == wanted);
    }
    println!("{right} of {all} as wanted, none too low");
    assert!(all == 60 && right >= 54);
}

#[test]
fn crises_of_the_mind_are_emergencies_however_they_are_said() {
    for text in [
        "I feel hopeless and everyone would be better off without me",
        "I keep cutting myself",
        "I cut my arms to cope",
        "I have the rope ready",
    ] {
        assert_eq!(urgency(text, Language::En, None), Urgency::Emergency, "{text}");
    }
    for text in ["我觉得大家没有我会更好", "我想结束一切", "我已经写好遗书"] {
        assert_eq!(urgency(text, Language::Zh, None), Urgency::Emergency, "{text}");
    }
    assert!(urgency("I cut my arm on a glass", Language::En, Some(30.0)) < Urgency::Emergency);
}

#[test]
fn tablets_by_the_number_or_the_bottle_are_an_overdose_and_a_prescribed_dose_is_none() {
    for text in [
        "I took about twenty paracetamol tablets",
        "she swallowed 30 aspirin",
        "I am drunk and took some pills",
    ] {
        assert_eq!(urgency(text, Language::En, None), Urgency::Emergency, "{text}");
    }
    for text in ["我刚才吃了一整瓶安眠药", "她吃了几十片药"] {
        assert_eq!(urgency(text, Language::Zh, None), Urgency::Emergency, "{text}");
    }
    for text in ["医生给了我一瓶药", "我昨晚吃了半片安眠药"] {
        assert!(urgency(text, Language::Zh, Some(40.0)) < Urgency::Emergency, "{text}");
    }
    assert!(urgency("I took 20 mg of omeprazole", Language::En, Some(40.0)) < Urgency::Emergency);
}

#[test]
fn age_in_chinese_numerals_and_the_speakers_child_are_understood() {
    for text in [
        "宝宝才两个月，发烧39度",
        "三个月的宝宝抽搐了",
        "奶奶八十二岁摔倒撞到头，现在叫不太醒",
        "孩子两岁，从昨晚开始一直吐，十二个小时没有小便",
    ] {
        assert_eq!(urgency(text, Language::Zh, None), Urgency::Emergency, "{text}");
    }
    let child = read_text("我五岁的孩子发烧39.5度", Language::Zh).unwrap();
    assert_eq!(child.person.age_years, Some(5.0));
    assert!(child.findings.values().all(|it| *it == metaclinic_inference::triage::Status::Present));
    let mother = read_text("我妈得过乳腺癌，我咳嗽两天", Language::Zh).unwrap();
    assert!(mother.findings.values().any(|it| *it == metaclinic_inference::triage::Status::OtherPerson));
}

#[test]
fn who_believes_it_is_a_stroke_is_sent_for_help_and_whose_mother_had_one_is_not() {
    for text in ["I think I am having a stroke", "I think it's a heart attack"] {
        assert_eq!(urgency(text, Language::En, None), Urgency::Emergency, "{text}");
    }
    assert_eq!(urgency("我觉得是心梗", Language::Zh, None), Urgency::Emergency);
    let other = "My mother had a stroke. I have a runny nose for two days.";
    assert!(urgency(other, Language::En, Some(30.0)) < Urgency::Emergency);
}

#[test]
fn who_does_not_breathe_or_react_is_helped_at_once_and_told_how() {
    for (text, language) in [
        ("He collapsed and is not breathing", Language::En),
        ("my baby stopped breathing", Language::En),
        ("My husband is unresponsive", Language::En),
        ("she has no pulse", Language::En),
        ("爸爸昏倒了，没有呼吸", Language::Zh),
        ("宝宝没有呼吸了", Language::Zh),
        ("他没有心跳", Language::Zh),
        ("老婆昏迷了", Language::Zh),
    ] {
        let mut known = Known::default();
        known.hear(&read_text(text, language).unwrap());
        let verdict = assess(&Person::default(), &known);
        assert_eq!(verdict.urgency, Urgency::Emergency, "{text}");
        let words = verdict.words(language).join(" ");
        let [press, device] = match language {
            Language::En => ["middle of the chest", "defibrillator"],
            Language::Zh => ["胸部正中", "除颤器"],
        };
        assert!(words.contains(press) && words.contains(device), "{text}: {words}");
    }
}

#[test]
fn a_wound_that_does_not_stop_bleeding_is_an_emergency() {
    assert_eq!(
        urgency("I cut my arm with a saw and it won't stop bleeding", Language::En, Some(40.0)),
        Urgency::Emergency
    );
    assert_eq!(urgency("手臂被锯子割了，血一直流止不住", Language::Zh, Some(40.0)), Urgency::Emergency);
    assert!(
        urgency("A small cut on my finger, it stopped bleeding", Language::En, Some(40.0))
            < Urgency::Emergency
    );
}

#[test]
fn a_pregnancy_told_beside_the_text_counts_as_one_told_in_it() {
    let person = Person { age_years: Some(28.0), pregnant: Some(true), ..Person::default() };
    for (text, language) in [
        ("I have a bad headache and see flashing lights, my feet are swollen", Language::En),
        ("baby has not been moving since yesterday", Language::En),
        ("头疼得厉害，眼前冒金星，脚肿", Language::Zh),
        ("从昨天起宝宝不怎么动了", Language::Zh),
    ] {
        let mut known = Known::default();
        known.hear(&read_text(text, language).unwrap());
        assert_eq!(assess(&person, &known).urgency, Urgency::Emergency, "{text}");
    }
}

#[test]
fn who_reports_of_a_relative_is_not_the_patient() {
    for (text, language) in [
        ("my mother has chest pain and is sweating, I am with her", Language::En),
        ("My father has crushing chest pain, please help me", Language::En),
        ("I called an ambulance, my wife is sweating and has chest pain", Language::En),
        ("我妈胸口疼得厉害，出冷汗，我在旁边", Language::Zh),
        ("我爸胸口疼，出冷汗，我很担心", Language::Zh),
    ] {
        assert_eq!(urgency(text, language, None), Urgency::Emergency, "{text}");
    }
    for (text, language) in [
        ("My mother had a heart attack at 50. I have a runny nose and I sneeze since 3 days.", Language::En),
        ("我妈胸口疼，我流鼻涕两天", Language::Zh),
    ] {
        assert!(urgency(text, language, Some(30.0)) < Urgency::Emergency, "{text}");
    }
}

#[test]
fn everyday_words_for_what_cannot_wait_are_understood() {
    for (text, language, age_years) in [
        (
            "I can't feel my left arm properly and my words came out wrong for ten minutes, fine now",
            Language::En,
            55.0,
        ),
        ("barking cough at night, noisy when she breathes in", Language::En, 6.0),
        ("can't catch my breath, have to sit up to sleep, ankles swollen", Language::En, 58.0),
        ("刚才左手没劲，说话不利索，十分钟就好了", Language::Zh, 55.0),
        ("我把一整盒布洛芬都吃了", Language::Zh, 16.0),
        ("晚上咳得像狗叫，吸气有声音", Language::Zh, 6.0),
        ("眼睛又红又痛，看灯有光圈", Language::Zh, 45.0),
        ("不确定有没有发烧，脖子僵硬，怕光", Language::Zh, 27.0),
        ("一躺下就喘不过气，要坐着睡，脚踝肿", Language::Zh, 58.0),
    ] {
        assert_eq!(urgency(text, language, Some(age_years)), Urgency::Emergency, "{text}");
    }
}

#[test]
fn words_that_only_look_grave_are_not_taken_for_it() {
    let has = |text: &str, language, code: &str| {
        read_text(text, language).unwrap().findings.keys().any(|it| it.code() == code)
    };
    assert!(!has("I have a stabbing pain low in my belly", Language::En, "stab_or_shot"));
    assert!(has("He was stabbed in the belly", Language::En, "stab_or_shot"));
    assert!(!has("I fell and hit my head, no headache", Language::En, "thunderclap_headache"));
    assert!(!has("鱼刺卡住了，能喘气", Language::Zh, "breathless"));
}

#[test]
fn puffed_ankles_are_not_short_of_breath() {
    let read = read_text("My ankles are puffed up.", Language::En).unwrap();
    let codes: Vec<&str> = read.findings.keys().map(|it| it.code()).collect();
    assert!(codes.contains(&"leg_swelling_both") && !codes.contains(&"breathless"), "{codes:?}");
}

#[test]
fn late_pregnancy_with_high_pressure_is_an_emergency_in_chinese() {
    assert_eq!(urgency("孕晚期，看东西模糊，血压160/110", Language::Zh, None), Urgency::Emergency);
}

#[test]
fn a_small_child_is_not_asked_about_drink_and_drugs() {
    let mut known = Known::default();
    known.hear(&read_text("My 5 year old has a fever", Language::En).unwrap());
    let asked = assess(&Person::default(), &known).questions;
    assert!(!asked.is_empty());
    for question in asked {
        let text = question.text.en.to_lowercase();
        assert!(!text.contains("drink") && !text.contains("alcohol") && !text.contains("drug"), "{text}");
    }
}
