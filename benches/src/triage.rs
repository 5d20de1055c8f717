//! One turn of the self-check: reading what was said, comparing it, judging, and finding the next questions; and the whole command.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use inference::Backend;
use inference::text::{SentenceEncoder, TOKENIZER, WEIGHTS};
use inference::triage::{Known, Language, Meanings, Person, Rules, assess, read_text};
use tests::harness;

use crate::report::{Measured, percentile_ms};

/// What the project asks of a turn, in milliseconds.
const TURN_MS: f64 = 100.0;
/// The command is run for every so many texts: each starts a process.
const COMMAND_EVERY: usize = 20;
/// Clauses that hold no word of the lexicon, put before each text so that there is something to compare.
const UNKNOWN: &str = "My ticker keeps hopping about, and the waterworks play up.";

/// Turns over the cases of all rules, without the model of sentences and with it where it was fetched.
pub(crate) fn turn() -> Result<Measured, String> {
    let cases: Vec<String> =
        Rules::built_in().iter().flat_map(|rule| rule.cases().map(|case| case.text.to_owned())).collect();
    let mut measured = Measured::new(
        "triage",
        format!("a self-check turn over the {} cases of the rules: read, judge, next questions", cases.len()),
    );
    // The rules and the lexicon are parsed once.
    hear(&cases[0], None)?;
    let times = cases.iter().map(|text| hear(text, None)).collect::<Result<Vec<_>, _>>()?;
    figures(&mut measured, "words alone", times);
    match encoder()? {
        None => println!(
            "no model of sentences: METACLINIC_MODELS names no folder with {} and {}",
            WEIGHTS.name, TOKENIZER.name
        ),
        Some((encoder, loading)) => {
            measured.figure("loading the model, ms", loading.as_secs_f64() * 1e3);
            let started = Instant::now();
            let phrasings: Vec<&str> = Meanings::phrasings().iter().map(|it| it.1.as_str()).collect();
            let rows = encoder.embed(&phrasings).map_err(|error| error.to_string())?;
            measured.figure("embedding the lexicon, once, s", started.elapsed().as_secs_f64());
            let meanings = Meanings::new(rows).map_err(|error| error.to_string())?;
            let with = Some((&encoder, &meanings));
            let times = cases.iter().map(|text| hear(&format!("{UNKNOWN} {text}"), with));
            figures(&mut measured, "with meanings of two clauses", times.collect::<Result<Vec<_>, _>>()?);
        }
    }
    let folder = harness::temp_dir();
    let home = folder.path().join("none");
    let mut times = Vec::new();
    for text in cases.iter().step_by(COMMAND_EVERY) {
        let started = Instant::now();
        let verdict = harness::run_json(&home, &["triage", "--lang", "en", "--text", text]);
        times.push(started.elapsed());
        if !verdict["urgency"].is_string() {
            return Err("the self-check gave no verdict".into());
        }
    }
    measured.figure("whole command, median, ms", percentile_ms(&mut times, 0.5));
    Ok(measured)
}

fn figures(measured: &mut Measured, what: &str, mut times: Vec<Duration>) {
    measured.figure(format!("{what}, median, ms"), percentile_ms(&mut times, 0.5));
    measured.at_most(format!("{what}, p95, ms"), percentile_ms(&mut times, 0.95), TURN_MS);
}

/// One turn.
fn hear(text: &str, with: Option<(&SentenceEncoder, &Meanings)>) -> Result<Duration, String> {
    let started = Instant::now();
    let understood = read_text(text, Language::En).map_err(|error| error.to_string())?;
    let mut known = Known::default();
    if let Some((encoder, meanings)) = with {
        let found = meanings.suggest(encoder, text, &understood).map_err(|error| error.to_string())?;
        found.iter().for_each(|suggestion| known.suggest(suggestion.finding));
    }
    known.hear(&understood);
    std::hint::black_box(assess(&Person::default(), &known));
    Ok(started.elapsed())
}

/// The encoder and how long it took to load, where it was fetched: as `models fetch sentences` keeps it, or plain.
fn encoder() -> Result<Option<(SentenceEncoder, Duration)>, String> {
    let Some(folder) = std::env::var_os("METACLINIC_MODELS").map(PathBuf::from) else { return Ok(None) };
    for folder in [folder.join("all-minilm-l6-v2"), folder] {
        let read = |name| std::fs::read(folder.join(name));
        if let (Ok(weights), Ok(tokenizer)) = (read(WEIGHTS.name), read(TOKENIZER.name)) {
            let started = Instant::now();
            let encoder = SentenceEncoder::load(&weights, &tokenizer, Backend::default());
            return Ok(Some((encoder.map_err(|error| error.to_string())?, started.elapsed())));
        }
    }
    Ok(None)
}
