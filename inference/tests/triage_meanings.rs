//! How well the meaning of a clause finds the finding: each phrasing of the lexicon is left out in turn and compared
//! with all others; sentences about other things suggest nothing. Needs `METACLINIC_MODELS`, a folder with the two
//! files of the sentence encoder; says so and passes when there is none. Embeds for a minute:
//! `cargo nextest run -p metaclinic-inference --run-ignored all -E 'test(left_out)' --no-capture`.

#![expect(clippy::unwrap_used, reason = "the whole target is a test")]

use metaclinic_inference::Backend;
use metaclinic_inference::text::{Embedding, SentenceEncoder, TOKENIZER, WEIGHTS, nearest};
use metaclinic_inference::triage::{
    Finding, FindingKind, Known, LEAST_SIMILARITY, Language, Meanings, Person, Urgency, assess, read_text,
};

/// Questions about cooking, travel and the like.
const OFF_TOPIC: &str = include_str!("medquad/off_topic.txt");
/// Clauses of patients' texts that tell no finding.
const NO_FINDING: &str = include_str!("minilm/no_finding.txt");

fn encoder() -> Option<SentenceEncoder> {
    let folder = std::path::PathBuf::from(std::env::var_os("METACLINIC_MODELS")?);
    let read = |name| std::fs::read(folder.join(name)).ok();
    Some(SentenceEncoder::load(&read(WEIGHTS.name)?, &read(TOKENIZER.name)?, Backend::default()).unwrap())
}

fn embedded(encoder: &SentenceEncoder) -> Vec<Embedding> {
    let phrasings: Vec<&str> = Meanings::phrasings().iter().map(|it| it.1.as_str()).collect();
    encoder.embed(&phrasings).unwrap()
}

/// Whether a suggestion of `found` is right for what is called `wanted`: the same, or one that is a kind of the other.
fn is_right(wanted: Finding, found: Finding) -> bool {
    let implies = |one: Finding, other: Finding| {
        let mut known = Known::default();
        known.hear(&read_text(one.name(Language::En), Language::En).unwrap());
        known.findings().contains_key(&other)
    };
    wanted == found || implies(wanted, found) || implies(found, wanted)
}

#[test]
#[ignore = "embeds for a minute"]
fn left_out_phrasings_suggest_their_finding() {
    let Some(encoder) = encoder() else {
        println!("skipped: METACLINIC_MODELS names no folder with {} and {}", WEIGHTS.name, TOKENIZER.name);
        return;
    };
    let phrasings = Meanings::phrasings();
    let started = std::time::Instant::now();
    let rows = embedded(&encoder);
    println!("{} phrasings embedded in {:?}", rows.len(), started.elapsed());
    let judged: Vec<(f32, bool, bool)> = rows
        .iter()
        .enumerate()
        .filter_map(|(row, embedding)| {
            let (wanted, words) = &phrasings[row];
            // The same words under another finding would be found by the lexicon.
            let near = nearest(embedding, &rows, 12);
            let near = near.iter().find(|it| it.row != row && phrasings[it.row].1 != *words)?;
            let found = phrasings[near.row].0;
            Some((near.cosine, found == *wanted, is_right(*wanted, found)))
        })
        .collect();
    let elsewhere = |texts: &str| -> Vec<f32> {
        let lines: Vec<&str> = texts.lines().collect();
        let embeddings = encoder.embed(&lines).unwrap();
        embeddings.iter().map(|it| nearest(it, &rows, 1)[0].cosine).collect()
    };
    let (off_topic, no_finding) = (elsewhere(OFF_TOPIC), elsewhere(NO_FINDING));
    let share = |count: usize, of: usize| count as f64 / of.max(1) as f64;
    let mut at_built_in = (0.0, 0.0);
    for hundredths in (40..=95).step_by(5) {
        let least = hundredths as f32 / 100.0;
        let near: Vec<_> = judged.iter().filter(|it| it.0 >= least).collect();
        let same = near.iter().filter(|it| it.1).count();
        let right = near.iter().filter(|it| it.2).count();
        let above = |all: &[f32]| share(all.iter().filter(|it| **it >= least).count(), all.len());
        println!(
            "at {least:.2}: suggested {:.3}, same {:.3}, same or a kind of it {:.3}, recall {:.3}; other topics \
             {:.3}, clauses without a finding {:.3}",
            share(near.len(), judged.len()),
            share(same, near.len()),
            share(right, near.len()),
            share(right, judged.len()),
            above(&off_topic),
            above(&no_finding)
        );
        if (least - LEAST_SIMILARITY).abs() < 1e-6 {
            at_built_in = (share(right, near.len()), above(&no_finding));
        }
    }
    assert!(at_built_in.0 >= 0.8 && at_built_in.1 == 0.0, "{at_built_in:?}");
}

#[test]
#[ignore = "embeds for a minute"]
fn suggestions_ask_and_never_lower() {
    let Some(encoder) = encoder() else {
        println!("skipped: METACLINIC_MODELS names no folder with {} and {}", WEIGHTS.name, TOKENIZER.name);
        return;
    };
    let meanings = Meanings::new(embedded(&encoder)).unwrap();
    let suggest = |text: &str| {
        let understood = read_text(text, Language::En).unwrap();
        let found = meanings.suggest(&encoder, text, &understood).unwrap();
        (found, understood)
    };
    for text in include_str!("minilm/unknown_words.txt").lines() {
        let (found, understood) = suggest(text);
        let said: Vec<String> =
            found.iter().map(|it| format!("{} {:.2}", it.finding.code(), it.similarity)).collect();
        println!("{text}: {said:?}");
        let person = Person { age_years: Some(30.0), ..Person::default() };
        let mut known = Known::default();
        known.hear(&understood);
        let before = assess(&person, &known).urgency;
        found.iter().for_each(|it| known.suggest(it.finding));
        let after = assess(&person, &known);
        assert!(
            after.urgency >= before && (before > Urgency::SelfCare || after.urgency <= Urgency::Clinician)
        );
        for suggestion in found.iter().filter(|it| it.finding.kind() == FindingKind::Symptom) {
            let asks = |it: &metaclinic_inference::triage::Question| {
                it.text.en.contains(suggestion.finding.name(Language::En))
            };
            assert!(before == Urgency::Emergency || after.questions.iter().any(asks), "{text}");
        }
    }
}
