//! Published vignettes of patients, read as text. Needs `METACLINIC_DATA`, a folder with `vignettes-avey` in it;
//! says so and passes when there is none. The file holds no urgency: the table here is our own judgement of each
//! diagnosis as it presents there.

#![expect(clippy::unwrap_used, reason = "the whole target is a test")]

use std::path::PathBuf;

use metaclinic_inference::triage::{Known, Language, Person, Sex, Urgency, assess, read_text};

/// Diagnoses that need help at once.
const EMERGENCIES: &[&str] = &[
    "Acute Appendicitis",
    "Acute Cholecystitis",
    "Diabetic Ketoacidosis",
    "Diabetic ketoacidosis",
    "Cerebral Stroke",
    "Ectopic Pregnancy",
    "Brain Abscess",
    "Testicular Torsion",
    "Cardiac Tamponade",
    "Unstable Angina",
    "Pre-eclampsia",
    "Upper Gastrointestinal Bleeding",
    "Abruptio Placenta",
    "Peritonitis",
    "Ruptured Ectopic Pregnancy",
    "Infantile Meningitis",
    "Ruptured Abdominal Aortic Aneurysm",
];
/// Diagnoses that can be looked after at home for now, where they present without danger signs.
const SELF_CARE: &[&str] = &[
    "Acute Bronchitis",
    "Allergic Conjunctivitis",
    "Lactose Intolerance",
    "Tinea Pedis",
    "Mechanical Back Pain",
    "COVID 19",
    "Ear Wax Blockage",
    "Chalazion",
    "Lateral Epicondylitis",
    "Medial Epicondylitis",
    "Breast Engorgement",
    "Dry Eye Disease",
    "Urticaria",
    "Bacterial Conjunctivitis",
    "Onychomycosis",
    "Atopic Dermatitis",
];

fn expected(diagnosis: &str) -> Urgency {
    if EMERGENCIES.contains(&diagnosis) {
        Urgency::Emergency
    } else if SELF_CARE.contains(&diagnosis) {
        Urgency::SelfCare
    } else {
        Urgency::Clinician
    }
}

struct Vignette {
    diagnosis: String,
    person: Person,
    text: String,
}

fn vignettes() -> Option<Vec<Vignette>> {
    let folder = std::env::var_os("METACLINIC_DATA").map(PathBuf::from)?;
    let file = std::fs::read_to_string(folder.join("vignettes-avey/vignettes.jsonl")).ok()?;
    Some(file.lines().map(|line| vignette(&serde_json::from_str(line).unwrap())).collect())
}

fn vignette(value: &serde_json::Value) -> Vignette {
    let field = |name: &str| value[name].as_str().unwrap_or("").trim().trim_matches('-').to_string();
    let demographics = field("demographics");
    let years: f64 = demographics.split(' ').next().unwrap().parse().unwrap();
    let sex = if demographics.contains("Female") { Sex::Female } else { Sex::Male };
    let complaints = field("chief_complaints");
    let history = field("physical_history");
    let family = field("family_history");
    let family = if family.is_empty() { family } else { format!("Family history of {family}.") };
    let text = format!(
        "A {demographics}. {complaints}. {} {}. {history}. {family} {}",
        field("presentation"),
        field("absent_findings"),
        field("social_history")
    );
    Vignette {
        diagnosis: field("correct_diagnosis"),
        person: Person { age_years: Some(years), sex: Some(sex), pregnant: None },
        text,
    }
}

#[test]
fn emergencies_are_caught_and_few_are_told_too_little() {
    let Some(vignettes) = vignettes() else {
        println!("skipped: METACLINIC_DATA names no folder with vignettes-avey");
        return;
    };
    let (mut safe, mut right, mut caught, mut emergencies) = (0, 0, 0, 0);
    let started = std::time::Instant::now();
    read_text("no fever", Language::En).unwrap();
    assess(&Person::default(), &Known::default());
    println!("lexicon and rules are read in {:?}, once", started.elapsed());
    let mut times = Vec::new();
    for vignette in &vignettes {
        let started = std::time::Instant::now();
        let mut known = Known::default();
        known.hear(&read_text(&vignette.text, Language::En).unwrap());
        let verdict = assess(&vignette.person, &known);
        times.push(started.elapsed());
        let expected = expected(&vignette.diagnosis);
        safe += usize::from(verdict.urgency >= expected);
        right += usize::from(verdict.urgency == expected);
        if expected == Urgency::Emergency {
            emergencies += 1;
            caught += usize::from(verdict.urgency == Urgency::Emergency);
        }
        if verdict.urgency != expected {
            let rules: Vec<&str> = verdict.reasons.iter().map(|it| it.rule.as_str()).collect();
            let loose: Vec<&str> = verdict.unaccounted.iter().map(|it| it.code()).collect();
            println!(
                "{}: {} for {}, {rules:?} {loose:?}",
                vignette.diagnosis,
                verdict.urgency.code(),
                expected.code()
            );
        }
    }
    times.sort_unstable();
    println!("median {:?}, slowest {:?}", times[times.len() / 2], times[times.len() - 1]);
    let share = |part: usize, all: usize| part as f64 / all as f64;
    let (safety, accuracy) = (share(safe, vignettes.len()), share(right, vignettes.len()));
    println!(
        "{} vignettes: safety {safety:.3}, {caught} of {emergencies} emergencies, accuracy {accuracy:.3}",
        vignettes.len()
    );
    assert_eq!(caught, emergencies);
    assert!(safety >= 0.97 && accuracy >= 0.70);
}
