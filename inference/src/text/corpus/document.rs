//! A document as title, source and passages, and what a reader tells of a file.

use serde::{Deserialize, Serialize};

use super::terms::is_cjk;

/// Larger files are refused; the longest document of MedQuAD has 100 kB.
pub const MAX_FILE_BYTES: usize = 4 * 1024 * 1024;

/// Words that a passage has at most, a Chinese character counting as one: what a person reads at once, and what
/// the sentence encoder sees of it.
pub const MAX_PASSAGE_WORDS: usize = 180;

/// A stretch of a document.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Passage {
    /// The heading or question that it stands under; empty if there is none.
    pub heading: String,
    /// Its words, as they stand in the document.
    pub text: String,
}

/// A document of a corpus.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Document {
    /// What it is about.
    pub title: String,
    /// Who says so.
    pub source: String,
    /// Where it was published; empty if it does not say.
    pub url: String,
    /// What it says, in order.
    pub passages: Vec<Passage>,
}

/// What is wrong with a file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{file}:{line}: {what}")]
pub struct Fault {
    /// The name of the file, as it was given.
    pub file: String,
    /// The line, counted from 1.
    pub line: usize,
    /// What is wrong, without the words of the file.
    pub what: String,
}

/// What was read of a file: what stands before a fault is kept.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reading {
    /// The document, if the file holds at least one passage.
    pub document: Option<Document>,
    /// What is wrong with the file.
    pub faults: Vec<Fault>,
}

impl Reading {
    pub(super) fn of(document: Document, faults: Vec<Fault>) -> Reading {
        Reading { document: Some(document).filter(|document| !document.passages.is_empty()), faults }
    }
}

impl Document {
    /// Appends a text as passages of at most [`MAX_PASSAGE_WORDS`] words, cut at the ends of sentences.
    pub(super) fn push(&mut self, heading: &str, text: &str) {
        for stretch in stretches(text) {
            self.passages.push(Passage { heading: heading.to_owned(), text: stretch.to_owned() });
        }
    }
}

/// Cuts a text where sentences end, into stretches that are as long as they may be; a sentence that is longer by
/// itself is cut between words.
fn stretches(text: &str) -> Vec<&str> {
    let mut stretches = Vec::new();
    let mut rest = text.trim();
    while !rest.is_empty() {
        let (now, later) = rest.split_at(cut(rest));
        stretches.extend(Some(now.trim()).filter(|now| !now.is_empty()));
        rest = later.trim_start();
    }
    stretches
}

/// Where the first stretch of a text ends.
fn cut(text: &str) -> usize {
    let (mut words, mut in_word) = (0, false);
    let (mut sentence_end, mut word_end) = (None, None);
    let mut before = ' ';
    for (at, c) in text.char_indices() {
        let starts = is_cjk(c) || (!c.is_whitespace() && !in_word);
        if starts && words == MAX_PASSAGE_WORDS {
            return sentence_end.or(word_end).unwrap_or(at);
        }
        words += usize::from(starts);
        in_word = !c.is_whitespace() && !is_cjk(c);
        let after = at + c.len_utf8();
        if matches!(c, '。' | '！' | '？') || (c.is_whitespace() && matches!(before, '.' | '!' | '?')) {
            sentence_end = Some(after);
        }
        if c.is_whitespace() || is_cjk(c) {
            word_end = Some(after);
        }
        before = c;
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn passages_end_where_sentences_end() {
        let text = format!("{} End one. {}", "word ".repeat(100), "more ".repeat(120));
        let cut = stretches(&text);
        assert!(cut.len() == 2 && cut[0].ends_with("End one.") && cut[1].starts_with("more"));
        let chinese = format!("{}。{}", "头".repeat(150), "疼".repeat(100));
        assert_eq!(stretches(&chinese).len(), 2);
        assert_eq!(stretches(&"word ".repeat(MAX_PASSAGE_WORDS)).len(), 1);
        assert_eq!(stretches(&"word ".repeat(MAX_PASSAGE_WORDS + 1)).len(), 2);
        assert!(stretches(" \n ").is_empty());
    }

    proptest! {
        #[test]
        fn nothing_is_lost_and_nothing_added(text in "[a-z头疼。.!? \n]{0,2000}") {
            let bare = |text: &str| text.split_whitespace().collect::<String>();
            let joined: String = stretches(&text).into_iter().map(bare).collect();
            prop_assert_eq!(joined, bare(&text));
        }
    }
}
