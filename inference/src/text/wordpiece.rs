//! A sentence as tokens: the uncased WordPiece of BERT (Devlin et al., NAACL 2019), read from `tokenizer.json`.
//!
//! Cleaned, Chinese characters set apart, accents dropped, lower case; split at white space and punctuation;
//! each word then cut greedily into the longest known pieces. One thing differs from the reference on purpose:
//! `[SEP]` and its like inside a text are text, not commands.

use std::collections::HashMap;

use serde::Deserialize;
use unicode_normalization::UnicodeNormalization;
use unicode_properties::{GeneralCategory, GeneralCategoryGroup, UnicodeGeneralCategory};

/// Words longer than this are one unknown token (`max_input_chars_per_word` of the reference).
const MAX_WORD_CHARS: usize = 100;

/// Text beyond this many bytes is not looked at; far more than [`super::MAX_TOKENS`] tokens of any language.
const MAX_TEXT_BYTES: usize = 64 * 1024;

/// Words a vocabulary may have; BERT's has 30,522.
const MAX_VOCABULARY: usize = 1 << 20;

/// Why a tokenizer cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TokenizerError {
    /// It is no JSON, or not of the expected shape.
    #[error("the tokenizer is not readable as JSON")]
    Json(#[source] serde_json::Error),
    /// It is for another kind of model.
    #[error("the tokenizer is not an uncased WordPiece with the marks [CLS], [SEP] and [UNK]")]
    Kind,
    /// Too many words, or a number beyond the table of words.
    #[error("the vocabulary of the tokenizer does not fit the network")]
    Vocabulary,
}

#[derive(Deserialize)]
struct File {
    normalizer: Normalizer,
    model: Model,
}

#[derive(Deserialize)]
struct Normalizer {
    #[serde(rename = "type")]
    kind: String,
    lowercase: bool,
}

#[derive(Deserialize)]
struct Model {
    #[serde(rename = "type")]
    kind: String,
    continuing_subword_prefix: String,
    vocab: HashMap<String, u32>,
}

/// Cuts sentences into tokens.
pub(crate) struct WordPiece {
    /// Pieces at the start of a word.
    first: HashMap<String, u32>,
    /// Pieces after the start of a word, without their mark.
    rest: HashMap<String, u32>,
    unknown: u32,
    start: u32,
    end: u32,
}

impl WordPiece {
    /// Reads `tokenizer.json`; the network knows the tokens below `known`.
    pub(crate) fn read(bytes: &[u8], known: usize) -> Result<WordPiece, TokenizerError> {
        let file: File = serde_json::from_slice(bytes).map_err(TokenizerError::Json)?;
        let (model, normalizer) = (file.model, file.normalizer);
        if model.kind != "WordPiece" || normalizer.kind != "BertNormalizer" || !normalizer.lowercase {
            return Err(TokenizerError::Kind);
        }
        let vocabulary = model.vocab;
        if vocabulary.len() > MAX_VOCABULARY || vocabulary.values().any(|id| *id as usize >= known) {
            return Err(TokenizerError::Vocabulary);
        }
        let mark = |name: &str| vocabulary.get(name).copied().ok_or(TokenizerError::Kind);
        let (unknown, start, end) = (mark("[UNK]")?, mark("[CLS]")?, mark("[SEP]")?);
        let (mut first, mut rest) = (HashMap::new(), HashMap::new());
        for (piece, id) in vocabulary {
            match piece.strip_prefix(&model.continuing_subword_prefix) {
                Some(inner) if !inner.is_empty() => rest.insert(inner.to_owned(), id),
                _ => first.insert(piece, id),
            };
        }
        Ok(WordPiece { first, rest, unknown, start, end })
    }

    /// The tokens of a text, with the marks for start and end: at most `limit`, the rest is cut off.
    pub(crate) fn tokens(&self, text: &str, limit: usize) -> Vec<u32> {
        let mut tokens = vec![self.start];
        for word in words(&text[..text.floor_char_boundary(MAX_TEXT_BYTES)]) {
            if tokens.len() + 1 >= limit {
                break;
            }
            self.cut(&word, &mut tokens);
        }
        tokens.truncate(limit.saturating_sub(1));
        tokens.push(self.end);
        tokens
    }

    /// Appends the pieces of a word, or one unknown token if it cannot be put together.
    fn cut(&self, word: &str, tokens: &mut Vec<u32>) {
        let before = tokens.len();
        let ends: Vec<usize> = word.char_indices().map(|(at, c)| at + c.len_utf8()).collect();
        if ends.len() > MAX_WORD_CHARS {
            tokens.push(self.unknown);
            return;
        }
        let mut from = 0;
        while from < word.len() {
            let pieces = if from == 0 { &self.first } else { &self.rest };
            let longest = ends.iter().rev().take_while(|end| **end > from);
            let Some((end, id)) =
                longest.filter_map(|end| Some((*end, *pieces.get(&word[from..*end])?))).next()
            else {
                tokens.truncate(before);
                tokens.push(self.unknown);
                return;
            };
            tokens.push(id);
            from = end;
        }
    }
}

/// The words of a text: lower case, without accents; each punctuation mark and Chinese character by itself.
fn words(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word = String::new();
    let cleaned = text.chars().filter(|c| !is_dropped(*c));
    let plain = cleaned.nfd().filter(|c| c.general_category() != GeneralCategory::NonspacingMark);
    for c in plain.flat_map(char::to_lowercase) {
        let alone = is_chinese(c) || is_punctuation(c);
        if (alone || c.is_whitespace()) && !word.is_empty() {
            words.push(std::mem::take(&mut word));
        }
        if alone {
            words.push(c.to_string());
        } else if !c.is_whitespace() {
            word.push(c);
        }
    }
    if !word.is_empty() {
        words.push(word);
    }
    words
}

/// Control and format characters, even those that break lines or pages, as the reference has it.
fn is_dropped(c: char) -> bool {
    c == char::REPLACEMENT_CHARACTER
        || (!matches!(c, '\t' | '\n' | '\r')
            && c.general_category_group() == GeneralCategoryGroup::Other
            && c.general_category() != GeneralCategory::Unassigned)
}

fn is_punctuation(c: char) -> bool {
    c.is_ascii_punctuation() || c.general_category_group() == GeneralCategoryGroup::Punctuation
}

/// The blocks that BERT sets apart.
fn is_chinese(c: char) -> bool {
    matches!(c, '\u{4E00}'..='\u{9FFF}' | '\u{3400}'..='\u{4DBF}' | '\u{20000}'..='\u{2A6DF}'
        | '\u{2A700}'..='\u{2B73F}' | '\u{2B740}'..='\u{2B81F}' | '\u{2B920}'..='\u{2CEAF}'
        | '\u{F900}'..='\u{FAFF}' | '\u{2F800}'..='\u{2FA1F}')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SMALL: &str = r###"{"normalizer": {"type": "BertNormalizer", "lowercase": true},
        "model": {"type": "WordPiece", "continuing_subword_prefix": "##", "vocab": {"[UNK]": 0, "[CLS]": 1,
        "[SEP]": 2, "head": 3, "##ache": 4, "##s": 5, ",": 6, "头": 7, "a": 8, "##": 9}}}"###;

    fn check(text: &str, expected: &[u32]) {
        let tokens = WordPiece::read(SMALL.as_bytes(), 10).unwrap().tokens(text, 8);
        assert_eq!((tokens[0], *tokens.last().unwrap()), (1, 2), "{text}");
        assert_eq!(&tokens[1..tokens.len() - 1], expected, "{text}");
    }

    #[test]
    fn words_are_cut_into_the_longest_known_pieces() {
        check("Headaches, HEAD\u{301}ache", &[3, 4, 5, 6, 3, 4]);
        check("头头a", &[7, 7, 8]);
        check("headx", &[0]);
        check("", &[]);
        check(" \t\u{0}\u{200b}", &[]);
        check(&"a".repeat(101), &[0]);
        check("[CLS]", &[0, 0, 0]);
    }

    #[test]
    fn long_text_is_cut_off() {
        check(&"a ".repeat(100_000), &[8; 6]);
        check(&"头".repeat(100_000), &[7; 6]);
    }

    #[test]
    fn other_files_are_refused() {
        let refused = |bytes: &[u8], known| WordPiece::read(bytes, known).err().unwrap().to_string();
        assert!(refused(b"{", 10).contains("JSON"));
        assert!(refused(SMALL.as_bytes(), 9).contains("vocabulary"));
        assert!(refused(SMALL.replace("WordPiece", "BPE").as_bytes(), 10).contains("WordPiece"));
        assert!(refused(SMALL.replace("[SEP]", "x").as_bytes(), 10).contains("[SEP]"));
    }

    proptest! {
        #[test]
        fn any_text_gives_known_tokens_within_the_limit(text in any::<String>(), limit in 0_usize..20) {
            let tokens = WordPiece::read(SMALL.as_bytes(), 10).unwrap().tokens(&text, limit);
            prop_assert!(tokens.len() <= limit.max(1) && tokens.iter().all(|token| *token < 10));
        }
    }
}
