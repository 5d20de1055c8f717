//! What clauses of a self-check may mean that its lexicon does not know, where the model of sentences was fetched. The lexicon's
//! own embeddings are made once and kept beside that model. Nothing of a patient is kept.

use std::path::PathBuf;

use inference::Backend;
use inference::text::SentenceEncoder;
use inference::triage::{Meanings, Suggestion, Understood};

use super::models::{Progress, fetched};
use super::problem::{Problem, Tried};
use super::{corpus, vectors};

/// How a text was read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Reading {
    /// The lexicon left nothing that could be compared.
    #[default]
    NothingLeft,
    /// By meaning too.
    Compared,
    /// By the lexicon alone: the model was not fetched.
    NoModel,
    /// By the lexicon alone: the model is here and cannot be used.
    Unusable,
}

/// What was compared, and what came of it.
#[derive(Default)]
pub(crate) struct Compared {
    pub(crate) reading: Reading,
    pub(crate) suggestions: Vec<Suggestion>,
}

/// Compares what the lexicon did not know. A self-check goes on without the model, whatever is wrong with it.
pub(crate) fn compare(text: &str, understood: &Understood, progress: Progress<'_>) -> Compared {
    if !Meanings::are_wanted(text, understood) {
        return Compared::default();
    }
    let lexicon_alone = |reading| Compared { reading, suggestions: Vec::new() };
    match fetched::sentences(Backend::default()) {
        Ok(None) => lexicon_alone(Reading::NoModel),
        Err(_) => lexicon_alone(Reading::Unusable),
        Ok(Some(encoder)) => {
            let found = meanings(&encoder, progress)
                .and_then(|it| it.suggest(&encoder, text, understood).tried("compare the text"));
            found.map_or_else(
                |_| lexicon_alone(Reading::Unusable),
                |suggestions| Compared { reading: Reading::Compared, suggestions },
            )
        }
    }
}

/// The lexicon's embeddings, read or made.
fn meanings(encoder: &SentenceEncoder, progress: Progress<'_>) -> Result<Meanings, Problem> {
    let file = kept_in()?;
    let kept = std::fs::read(&file).ok().and_then(|bytes| vectors::parse(&bytes));
    if let Some(meanings) = kept.and_then(|rows| Meanings::new(rows).ok()) {
        return Ok(meanings);
    }
    let phrasings: Vec<&str> = Meanings::phrasings().iter().map(|it| it.1.as_str()).collect();
    let rows = vectors::embed(encoder, &phrasings, progress)?;
    // A folder that cannot be written to costs the time again, no more.
    let _ = corpus::replace(&file, &vectors::to_bytes(&rows));
    Meanings::new(rows).tried("use the embeddings of the lexicon")
}

/// Another lexicon or other weights have another file.
fn kept_in() -> Result<PathBuf, Problem> {
    Ok(fetched::folder()?.join(format!("self-check-{}.embeddings", &Meanings::version()[..16])))
}
