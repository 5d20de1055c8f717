//! What was heard of a text: its own words by the lexicon, and what its other clauses may mean.

use inference::triage::{Known, Language, read_text};
use serde_json::{Value, json};

use super::words::say;
use crate::cli::models::with_bar;
use crate::service::problem::{Problem, Tried};
use crate::service::suggestions::{Compared, Reading, compare};

/// How a text was read.
#[derive(Default)]
pub(super) struct Heard {
    compared: Compared,
    has_chinese: bool,
}

impl Heard {
    /// Reads a text into what is known.
    pub(super) fn of(text: &str, language: Language, known: &mut Known) -> Result<Heard, Problem> {
        let understood = read_text(text, language).tried("read the text")?;
        let compared =
            with_bar("learning the words, once", |progress| Ok(compare(text, &understood, progress)))?;
        known.hear(&understood);
        compared.suggestions.iter().for_each(|it| known.suggest(it.finding));
        let has_chinese = text.chars().any(|it| ('\u{4E00}'..='\u{9FFF}').contains(&it));
        Ok(Heard { compared, has_chinese })
    }

    /// What clauses may mean, for programs.
    pub(super) fn suggested(&self) -> Vec<Value> {
        let one = |it: &inference::triage::Suggestion| {
            json!({
                "finding": it.finding.code(), "clause_span": [it.clause.start, it.clause.end],
                "similarity": it.similarity,
            })
        };
        self.compared.suggestions.iter().map(one).collect()
    }

    /// How it was read, for programs.
    pub(super) fn reading(&self) -> &'static str {
        match self.compared.reading {
            Reading::NothingLeft => "nothing_left",
            Reading::Compared => "compared",
            Reading::NoModel => "no_model",
            Reading::Unusable => "unusable_model",
        }
    }

    /// What is to be said of how it was read.
    pub(super) fn note(&self, language: Language) -> Option<&'static str> {
        match self.compared.reading {
            Reading::NoModel => Some(say(
                language,
                "Read by the list of words alone. To compare meanings too (English): metaclinic models fetch sentences",
                "仅按词表理解。如需同时比较含义（仅英文）：metaclinic models fetch sentences",
            )),
            Reading::Unusable => Some(say(
                language,
                "Read by the list of words alone: the model of sentences cannot be used. Fetch it again: metaclinic \
                 models fetch sentences",
                "仅按词表理解：句子模型无法使用。请重新获取：metaclinic models fetch sentences",
            )),
            _ if self.has_chinese => Some(say(
                language,
                "Chinese is read by the list of words alone; meanings are compared in English only.",
                "中文仅按词表理解；只有英文会比较含义。",
            )),
            Reading::NothingLeft | Reading::Compared => None,
        }
    }
}
