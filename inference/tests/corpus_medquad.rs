//! Finding the right document for questions that were held out of the corpus, and keeping silent on others.
//! Needs `METACLINIC_DATA`, a folder with `medquad` in it; says so and passes when there is none. What needs the
//! sentence encoder looks for `METACLINIC_MODELS`, a folder with its two files, and is asked for by
//! `--run-ignored all`: it embeds for minutes.

#![expect(clippy::unwrap_used, reason = "the whole target is a test")]

mod medquad;

use metaclinic_inference::Backend;
use metaclinic_inference::text::corpus::{
    AcceptedAt, Corpus, Document, Hit, Relevance, RetrievalFigures, Thresholds, Trial, accepted_at,
};
use metaclinic_inference::text::{Embedding, SentenceEncoder, TOKENIZER, WEIGHTS, nearest};
use rand_chacha::ChaCha8Rng;
use rand_core::{Rng, SeedableRng};

const SEED: u64 = 20_010_606;
const QUESTIONS: usize = 500;
/// Share of questions on other topics that may get an answer on the half where thresholds are chosen.
const MOST_FALSE: f64 = 0.04;
const OFF_TOPIC: &str = include_str!("medquad/off_topic.txt");

/// What stays in the corpus of the questions.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Kept {
    /// All but those that are asked.
    Others,
    /// None: titles and answers only.
    Titles,
    /// None, and no titles.
    Answers,
}

/// Random questions, with the corpus they were taken out of.
fn hold_out(mut documents: Vec<Document>, count: usize, kept: Kept) -> (Vec<Document>, Vec<Trial>) {
    let mut random = ChaCha8Rng::seed_from_u64(SEED);
    let mut trials = Vec::new();
    while trials.len() < count {
        let document = random.next_u64() as usize % documents.len();
        let passages = &mut documents[document].passages;
        let question = passages[random.next_u64() as usize % passages.len()].heading.clone();
        if !question.is_empty() {
            passages.iter_mut().filter(|passage| passage.heading == question).for_each(|p| p.heading.clear());
            trials.push(Trial { question, document });
        }
    }
    for document in &mut documents {
        if kept != Kept::Others {
            document.passages.iter_mut().for_each(|passage| passage.heading.clear());
        }
        if kept == Kept::Answers {
            document.title.clear();
        }
    }
    (documents, trials)
}

fn figures<'a>(trials: &[Trial], found: impl IntoIterator<Item = &'a Vec<Hit>>) -> RetrievalFigures {
    let found: Vec<Vec<usize>> =
        found.into_iter().map(|hits| hits.iter().map(|hit| hit.document).collect()).collect();
    RetrievalFigures::of(
        found.iter().zip(trials).map(|(documents, trial)| (documents.as_slice(), trial.document)),
    )
}

/// The best hit of each question, with whether it is of the right document.
fn judged(trials: &[Trial], found: &[Vec<Hit>]) -> Vec<(Relevance, bool)> {
    let nothing = Relevance { words: 0.0, cosine: None };
    let best = |(hits, trial): (&Vec<Hit>, &Trial)| {
        hits.first().map_or((nothing, false), |hit| (hit.relevance, hit.document == trial.document))
    };
    found.iter().zip(trials).map(best).collect()
}

/// Every second one, and the others.
fn halves<T: Copy>(all: &[T]) -> (Vec<T>, Vec<T>) {
    let half = |start: usize| all.iter().skip(start).step_by(2).copied().collect();
    (half(0), half(1))
}

fn off_topic(corpus: &Corpus, embeddings: Option<&[Embedding]>) -> Vec<Relevance> {
    let nothing = Relevance { words: 0.0, cosine: None };
    let best = |(number, question): (usize, &str)| {
        let hits = corpus.search(question, embeddings.map(|all| &all[number]), 1);
        hits.first().map_or(nothing, |hit| hit.relevance)
    };
    OFF_TOPIC.lines().enumerate().map(best).collect()
}

#[test]
fn held_out_questions_find_their_document_by_words() {
    let Some(documents) = medquad::documents() else {
        println!("skipped: METACLINIC_DATA names no folder with medquad");
        return;
    };
    for (kept, least) in [(Kept::Others, 0.75), (Kept::Titles, 0.7), (Kept::Answers, 0.5)] {
        let (documents, trials) = hold_out(documents.clone(), QUESTIONS, kept);
        let corpus = Corpus::new(documents).unwrap();
        let found: Vec<Vec<Hit>> =
            trials.iter().map(|trial| corpus.search(&trial.question, None, 100)).collect();
        let figures = figures(&trials, &found);
        println!("{kept:?}, {corpus:?}: {figures:?}");
        assert!(figures.mean_reciprocal_rank >= least);
        let (on, off) = (judged(&trials, &found), off_topic(&corpus, None));
        let ((on_a, on_b), (off_a, off_b)) = (halves(&on), halves(&off));
        println!("chosen on one half: {:?}", AcceptedAt::best(&on_a, &off_a, MOST_FALSE));
        let built_in = accepted_at(Thresholds::default(), &on_b, &off_b);
        println!("built in, other half: {built_in:?}");
        for words in (20..=90).step_by(5) {
            let at = Thresholds { words: words as f32 / 100.0, cosine: f32::INFINITY };
            println!("{:?}", accepted_at(at, &on, &off));
        }
        if kept == Kept::Others {
            assert!(built_in.false_answers <= 0.1 && built_in.right >= 0.5);
        }
    }
}

/// Every so many documents: embedding all of them takes an hour.
const SAMPLE: usize = 16;

fn encoder() -> Option<SentenceEncoder> {
    let folder = std::path::PathBuf::from(std::env::var_os("METACLINIC_MODELS")?);
    let read = |name| std::fs::read(folder.join(name)).ok();
    Some(SentenceEncoder::load(&read(WEIGHTS.name)?, &read(TOKENIZER.name)?, Backend::default()).unwrap())
}

#[test]
#[ignore = "embeds for minutes"]
fn held_out_questions_find_their_document_by_meaning_and_words() {
    let (Some(documents), Some(encoder)) = (medquad::documents(), encoder()) else {
        println!(
            "skipped: METACLINIC_DATA names no folder with medquad, or METACLINIC_MODELS none with the encoder"
        );
        return;
    };
    let sample: Vec<Document> = documents.into_iter().step_by(SAMPLE).collect();
    let (documents, trials) = hold_out(sample, QUESTIONS, Kept::Others);
    let rows: Vec<usize> = documents
        .iter()
        .enumerate()
        .flat_map(|(n, document)| document.passages.iter().map(move |_| n))
        .collect();
    let corpus = Corpus::new(documents).unwrap();
    let started = std::time::Instant::now();
    let texts: Vec<String> = corpus.texts().collect();
    let embed = |texts: &[&str]| encoder.embed(texts).unwrap();
    let passages = embed(&texts.iter().map(String::as_str).collect::<Vec<_>>());
    println!("{corpus:?} embedded in {:?}", started.elapsed());
    let asked = embed(&trials.iter().map(|trial| trial.question.as_str()).collect::<Vec<_>>());
    let elsewhere = embed(&OFF_TOPIC.lines().collect::<Vec<_>>());
    let by_meaning: Vec<Vec<usize>> = asked
        .iter()
        .map(|question| nearest(question, &passages, 100).iter().map(|near| rows[near.row]).collect())
        .collect();
    let right = by_meaning.iter().zip(&trials).map(|(found, trial)| (found.as_slice(), trial.document));
    println!("by meaning: {:?}", RetrievalFigures::of(right));
    let corpus = corpus.with_embeddings(passages).unwrap();
    let search = |embedded: bool| -> Vec<Vec<Hit>> {
        let one = |(trial, embedding): (&Trial, &Embedding)| {
            corpus.search(&trial.question, embedded.then_some(embedding), 100)
        };
        trials.iter().zip(&asked).map(one).collect()
    };
    let (words, both) = (search(false), search(true));
    println!("by words: {:?}", figures(&trials, &words));
    let fused = figures(&trials, &both);
    println!("both: {fused:?}");
    let (on, off) = (judged(&trials, &both), off_topic(&corpus, Some(&elsewhere)));
    let ((on_a, on_b), (off_a, off_b)) = (halves(&on), halves(&off));
    let chosen = AcceptedAt::best(&on_a, &off_a, MOST_FALSE);
    println!("chosen on one half: {chosen:?}");
    println!("the same, other half: {:?}", accepted_at(chosen.thresholds, &on_b, &off_b));
    let built_in = accepted_at(Thresholds::default(), &on_b, &off_b);
    println!("built in, other half: {built_in:?}");
    for words in [f32::INFINITY, Thresholds::default().words, 0.55, 0.6, 0.65, 0.7] {
        for cosine in (30..=90).step_by(5) {
            let at = Thresholds { words, cosine: cosine as f32 / 100.0 };
            println!("{:?}", accepted_at(at, &on, &off));
        }
    }
    let (on, off) = (judged(&trials, &words), off_topic(&corpus, None));
    let ((on_a, on_b), (off_a, off_b)) = (halves(&on), halves(&off));
    let chosen = AcceptedAt::best(&on_a, &off_a, MOST_FALSE);
    println!("words alone, chosen on one half: {chosen:?}");
    println!("the same, other half: {:?}", accepted_at(chosen.thresholds, &on_b, &off_b));
    println!("words alone, built in, other half: {:?}", accepted_at(Thresholds::default(), &on_b, &off_b));
    assert!(fused.mean_reciprocal_rank >= 0.8 && built_in.false_answers <= 0.1 && built_in.right >= 0.6);
}
