//! Phrasings as patterns over words. `chest pain` is those words in this order; `|` parts other words of one
//! place; `*` ends a beginning of a word; `=` stands before a word whose ending counts; `..` is a gap of up to three words; `chest + pain` is both in either
//! order, near each other. Words that carry nothing ("the", "my", "of") count neither here nor in the text.
//! Chinese phrases are letters with gaps `..`; `$` ends one that must not go on as another word.

use std::collections::HashMap;

use super::tokens::{Kind, Token};

/// Words between the two sides of a gap.
const GAP_WORDS: usize = 3;
/// Words that a pair in either order may span.
const SPAN_WORDS: usize = 6;
/// Words this long are found despite one wrong letter.
const TYPO_LETTERS: usize = 8;

/// Words that carry nothing for a phrase.
const EMPTY: &[&str] = &[
    "a",
    "an",
    "the",
    "my",
    "his",
    "her",
    "their",
    "our",
    "your",
    "its",
    "of",
    "in",
    "on",
    "at",
    "to",
    "is",
    "are",
    "was",
    "were",
    "be",
    "been",
    "being",
    "am",
    "has",
    "have",
    "had",
    "having",
    "some",
    "very",
    "quite",
    "really",
    "feel",
    "feels",
    "feeling",
    "felt",
    "with",
    "that",
    "this",
    "it",
    "i",
    "he",
    "she",
    "they",
    "me",
    "him",
    "s",
    "by",
    "for",
    "so",
    "extremely",
    "slight",
    "slightly",
    "mild",
    "mildly",
    "both",
    "as",
    "like",
    "getting",
    "get",
    "gets",
    "got",
    "became",
    "become",
    "becomes",
    "just",
    "also",
];

/// A run of words of the text that a pattern matched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Hit {
    /// The number that the pattern was added under.
    pub(crate) owner: u16,
    /// First token, and one past the last.
    pub(crate) start: usize,
    pub(crate) end: usize,
    /// Whether the words stand side by side, so that shorter phrases inside mean nothing of their own.
    pub(crate) solid: bool,
    /// Whether the pattern itself holds a "not", as in "inhaler does not help".
    pub(crate) negative: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Shape {
    Ordered,
    Either,
}

struct Pattern {
    owner: u16,
    negative: bool,
    shape: Shape,
    /// For each place, the words that fit, and whether a gap comes before.
    places: Vec<(Vec<u16>, bool)>,
}

/// All patterns of a language that parts words by spaces.
#[derive(Default)]
pub(crate) struct Phrases {
    words: HashMap<String, u16>,
    beginnings: HashMap<String, u16>,
    exact: HashMap<String, u16>,
    patterns: Vec<Pattern>,
    by_first: HashMap<u16, Vec<u32>>,
    long_words: HashMap<(u8, usize), Vec<(String, u16)>>,
    next: u16,
}

impl Phrases {
    /// Adds a pattern; false if it holds no word.
    pub(crate) fn add(&mut self, pattern: &str, owner: u16) -> bool {
        let shape = if pattern.contains(" + ") { Shape::Either } else { Shape::Ordered };
        let mut places = Vec::new();
        let mut gap = false;
        for part in pattern.split_whitespace().filter(|it| *it != "+") {
            if part == ".." {
                gap = true;
                continue;
            }
            let words: Vec<u16> =
                part.split('|').filter(|it| !EMPTY.contains(it)).map(|it| self.word(it)).collect();
            if !words.is_empty() {
                places.push((words, std::mem::take(&mut gap)));
            }
        }
        let Some((first, _)) = places.first() else { return false };
        let number = u32::try_from(self.patterns.len()).unwrap_or(u32::MAX);
        for word in first {
            self.by_first.entry(*word).or_default().push(number);
        }
        let negative = pattern.split([' ', '|']).any(|it| matches!(it, "no" | "not" | "without"));
        self.patterns.push(Pattern { owner, negative, shape, places });
        true
    }

    /// Every match of every pattern.
    pub(crate) fn find(&self, tokens: &[Token]) -> Vec<Hit> {
        let text: Vec<(usize, Vec<u16>)> = tokens
            .iter()
            .enumerate()
            .filter(|(_, token)| token.kind != Kind::Word || !EMPTY.contains(&token.word.as_str()))
            .map(|(at, token)| (at, self.numbers(token)))
            .collect();
        let mut hits = Vec::new();
        for (place, (_, numbers)) in text.iter().enumerate() {
            for pattern in numbers.iter().filter_map(|it| self.by_first.get(it)).flatten() {
                let pattern = &self.patterns[*pattern as usize];
                let found = match pattern.shape {
                    Shape::Ordered => ordered(pattern, &text, place),
                    Shape::Either => either(pattern, &text, tokens, place),
                };
                hits.extend(found.map(|(start, end, solid)| Hit {
                    owner: pattern.owner,
                    start,
                    end,
                    solid,
                    negative: pattern.negative,
                }));
            }
        }
        hits
    }

    fn word(&mut self, word: &str) -> u16 {
        let (table, key) = match (word.strip_suffix('*'), word.strip_prefix('=')) {
            (Some(beginning), _) => (&mut self.beginnings, beginning.to_string()),
            (None, Some(exact)) => (&mut self.exact, exact.to_string()),
            (None, None) => (&mut self.words, stem(word)),
        };
        let next = &mut self.next;
        let number = *table.entry(key.clone()).or_insert_with(|| {
            *next += 1;
            *next
        });
        if key.len() >= TYPO_LETTERS - 2 && key.is_ascii() && !word.starts_with('=') {
            let known = self.long_words.entry((key.as_bytes()[0], key.len())).or_default();
            if known.iter().all(|(other, _)| *other != key) {
                known.push((key, number));
            }
        }
        number
    }

    /// The places in patterns that a token fits.
    fn numbers(&self, token: &Token) -> Vec<u16> {
        if token.kind != Kind::Word {
            return Vec::new();
        }
        let root = stem(&token.word);
        let mut numbers: Vec<u16> = self.words.get(&root).copied().into_iter().collect();
        numbers.extend(self.exact.get(&token.word));
        let ends = token.word.char_indices().map(|(at, letter)| at + letter.len_utf8());
        numbers.extend(ends.filter_map(|end| self.beginnings.get(&token.word[..end])));
        if numbers.is_empty() && token.word.len() >= TYPO_LETTERS && token.word.is_ascii() {
            let near = (root.len().saturating_sub(1)..=root.len() + 1)
                .filter_map(|length| self.long_words.get(&(root.as_bytes()[0], length)))
                .flatten()
                .find(|(word, _)| one_letter_apart(word.as_bytes(), root.as_bytes()));
            numbers.extend(near.map(|(_, number)| number));
        }
        numbers
    }
}

/// Whether the word carries nothing for a phrase.
pub(crate) fn is_empty_word(word: &str) -> bool {
    EMPTY.contains(&word)
}

fn ordered(pattern: &Pattern, text: &[(usize, Vec<u16>)], first: usize) -> Option<(usize, usize, bool)> {
    let mut at = first;
    let mut solid = true;
    for (words, gap) in &pattern.places[1..] {
        let reach = if *gap { GAP_WORDS + 1 } else { 1 };
        let places = text.iter().enumerate().skip(at + 1).take(reach);
        let mut fitting = places.filter(|(_, (_, numbers))| numbers.iter().any(|it| words.contains(it)));
        let (next, _) = fitting.next()?;
        solid &= next == at + 1;
        at = next;
    }
    Some((text[first].0, text[at].0 + 1, solid))
}

fn either(
    pattern: &Pattern,
    text: &[(usize, Vec<u16>)],
    tokens: &[Token],
    first: usize,
) -> Option<(usize, usize, bool)> {
    let open = |at: usize| tokens[text[at].0].kind == Kind::Word;
    let mut low = first;
    while low > 0 && first - low < SPAN_WORDS && open(low - 1) {
        low -= 1;
    }
    let mut high = first;
    while high + 1 < text.len() && high - first < SPAN_WORDS && open(high + 1) {
        high += 1;
    }
    let (mut start, mut end) = (first, first);
    for (words, _) in &pattern.places[1..] {
        let fits = (low..=high).filter(|at| *at != first && text[*at].1.iter().any(|it| words.contains(it)));
        let at = fits.min_by_key(|at| at.abs_diff(first))?;
        (start, end) = (start.min(at), end.max(at));
    }
    (end - start < SPAN_WORDS).then(|| (text[start].0, text[end].0 + 1, false))
}

/// A word without its common endings. It need not be a word: both sides lose the same.
pub(crate) fn stem(word: &str) -> String {
    let mut root = word;
    if !word.is_ascii() || word.len() <= 3 {
        return word.into();
    }
    if let Some(rest) = root.strip_suffix("ies").filter(|it| it.len() > 1) {
        return format!("{rest}y");
    }
    let plural =
        root.ends_with('s') && !root.ends_with("ss") && !root.ends_with("us") && !root.ends_with("is");
    if plural {
        root = &root[..root.len() - 1];
    }
    for ending in ["ing", "ed"] {
        if let Some(rest) = root.strip_suffix(ending)
            && rest.len() >= 3
            && !root.ends_with("eed")
            && rest.contains(['a', 'e', 'i', 'o', 'u', 'y'])
        {
            root = rest;
            let bytes = rest.as_bytes();
            let doubled = bytes.len() > 3 && bytes[bytes.len() - 1] == bytes[bytes.len() - 2];
            if doubled && !rest.ends_with("ll") && !rest.ends_with("ss") && !rest.ends_with("zz") {
                root = &rest[..rest.len() - 1];
            }
            break;
        }
    }
    root.strip_suffix('e').filter(|it| it.len() >= 3).unwrap_or(root).into()
}

/// One letter changed, missing, added, or two neighbours swapped.
fn one_letter_apart(one: &[u8], other: &[u8]) -> bool {
    let (short, long) = if one.len() <= other.len() { (one, other) } else { (other, one) };
    let same = short.iter().zip(long).take_while(|(a, b)| a == b).count();
    let (short, long) = (&short[same..], &long[same..]);
    match long.len() - short.len() {
        0 if short.is_empty() => false,
        0 => {
            short[1..] == long[1..]
                || (short.len() > 1 && short[0] == long[1] && short[1] == long[0] && short[2..] == long[2..])
        }
        _ => long.len() - short.len() == 1 && long[1..] == *short,
    }
}

#[cfg(test)]
mod tests {
    use super::super::tokens::Folded;
    use super::*;

    fn finds(pattern: &str, text: &str) -> bool {
        let mut phrases = Phrases::default();
        assert!(phrases.add(pattern, 1));
        !phrases.find(&Folded::of(text).tokens()).is_empty()
    }

    #[test]
    fn endings_and_empty_words_do_not_matter() {
        assert!(finds("short of breath", "He was short of his breath"));
        assert!(finds("vomit", "she vomited twice"));
        assert!(finds("vomit", "vomiting"));
        assert!(!finds("chest pain", "chest and other pain"));
        assert!(!finds("chest pain", "pain in the chest"));
    }

    #[test]
    fn gaps_and_either_order_stay_near() {
        assert!(finds("pain .. chest", "pain across the whole chest"));
        assert!(finds("chest + pain|ache", "an ache deep in the chest"));
        assert!(!finds("chest + pain", "chest was clear, he has pain"));
        assert!(finds("diarrh*", "diarrhoea"));
    }

    #[test]
    fn one_wrong_letter_in_a_long_word_is_forgiven() {
        assert!(finds("palpitations", "I have palpitatoins"));
        assert!(finds("headache", "a bad headahce"));
        assert!(!finds("fever", "never"));
    }
}
