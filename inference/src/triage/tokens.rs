//! Text as tokens that remember where they came from. Letters are folded to lower case and half width, what is
//! invisible (zero width, direction marks) is left out, and everything keeps its byte range in the original.

/// What a token is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A Latin word or a number, as written between separators.
    Word,
    /// A comma, a colon, or another mark that ends a clause.
    Comma,
    /// The end of a sentence.
    Stop,
}

/// A word or a mark of English text.
#[derive(Clone, Debug)]
pub(crate) struct Token {
    /// The word in lower case; contractions are opened ("don't" is "not", "can't" is "cannot").
    pub(crate) word: String,
    pub(crate) kind: Kind,
    /// Byte range in the folded text.
    pub(crate) start: usize,
    pub(crate) end: usize,
}

/// A text folded for matching.
#[derive(Clone, Default)]
pub(crate) struct Folded {
    /// The folded text.
    pub(crate) text: String,
    /// For each byte of the folded text and its end, the byte of the original.
    origin: Vec<usize>,
}

impl Folded {
    pub(crate) fn of(original: &str) -> Folded {
        let mut folded = Folded { text: String::with_capacity(original.len()), origin: Vec::new() };
        for (at, letter) in original.char_indices() {
            if is_invisible(letter) {
                continue;
            }
            let before = folded.text.len();
            for lower in plain(letter).to_lowercase() {
                folded.text.push(lower);
            }
            folded.origin.resize(folded.origin.len() + folded.text.len() - before, at);
        }
        folded.origin.push(original.len());
        folded
    }

    /// The byte range of the original that became this range of the folded text.
    pub(crate) fn original(&self, start: usize, end: usize) -> (usize, usize) {
        (self.origin[start.min(self.text.len())], self.origin[end.min(self.text.len())])
    }

    pub(crate) fn tokens(&self) -> Vec<Token> {
        let mut tokens: Vec<Token> = Vec::new();
        let mut letters = self.text.char_indices().peekable();
        while let Some((start, letter)) = letters.next() {
            if letter.is_ascii_alphanumeric() || (letter.is_alphabetic() && !is_han(letter)) {
                let mut end = start + letter.len_utf8();
                while let Some(&(at, next)) = letters.peek() {
                    let after = self.text[at + next.len_utf8()..].chars().next();
                    if !joins(letter, next, after) {
                        break;
                    }
                    end = at + next.len_utf8();
                    letters.next();
                }
                push_word(&mut tokens, &self.text[start..end], start, end);
            } else if let Some(kind) = mark(letter) {
                let end = start + letter.len_utf8();
                tokens.push(Token { word: letter.to_string(), kind, start, end });
            }
        }
        join_adjectives(tokens)
    }
}

/// What describes one thing belongs together: "red, warm, tender skin".
const ADJECTIVES: &[&str] = &[
    "red",
    "warm",
    "hot",
    "tender",
    "swollen",
    "painful",
    "itchy",
    "dry",
    "scaly",
    "thick",
    "white",
    "yellow",
    "green",
    "sudden",
    "severe",
    "sharp",
    "dull",
    "crushing",
    "watery",
    "cold",
    "pale",
    "blistering",
    "burning",
    "intense",
    "new",
    "small",
    "pain",
    "swelling",
    "warmth",
    "redness",
    "tenderness",
    "stiffness",
];

fn join_adjectives(tokens: Vec<Token>) -> Vec<Token> {
    let is_adjective = |at: usize| tokens.get(at).is_some_and(|it| ADJECTIVES.contains(&it.word.as_str()));
    // After a denial a comma may end it: "no pain, swelling of the left leg".
    let denied = |at: usize| {
        tokens[at.saturating_sub(4)..at]
            .iter()
            .any(|it| matches!(it.word.as_str(), "no" | "not" | "without" | "denies"))
    };
    let inner: Vec<bool> = (0..tokens.len())
        .map(|at| {
            tokens[at].word == "," && at > 0 && is_adjective(at - 1) && is_adjective(at + 1) && !denied(at)
        })
        .collect();
    tokens.into_iter().zip(inner).filter(|(_, inner)| !inner).map(|(token, _)| token).collect()
}

/// Whether this letter of the text is Chinese.
pub(crate) fn is_han(letter: char) -> bool {
    matches!(letter, '\u{3400}'..='\u{4DBF}' | '\u{4E00}'..='\u{9FFF}' | '\u{F900}'..='\u{FAFF}' | '\u{20000}'..='\u{2FA1F}')
}

/// Whether a sentence ends here, in either language.
pub(crate) fn mark(letter: char) -> Option<Kind> {
    match letter {
        '.' | '!' | '?' | ';' | '\n' | '。' => Some(Kind::Stop),
        ',' | ':' | '(' | ')' | '/' | '、' => Some(Kind::Comma),
        _ => None,
    }
}

fn joins(first: char, next: char, after: Option<char>) -> bool {
    let digit_follows = after.is_some_and(|it| it.is_ascii_digit());
    match next {
        '\'' => after.is_some_and(char::is_alphabetic),
        '.' => first.is_ascii_digit() && digit_follows,
        _ => next.is_alphanumeric() && !is_han(next),
    }
}

fn push_word(tokens: &mut Vec<Token>, raw: &str, start: usize, end: usize) {
    let word = match raw {
        "can't" | "cant" | "couldn't" | "couldnt" => "cannot",
        "dont" | "doesnt" | "didnt" | "havent" | "hasnt" | "isnt" | "wasnt" | "wont" => "not",
        _ if raw.ends_with("n't") => "not",
        _ => raw.strip_suffix("'s").unwrap_or(raw),
    };
    let pair = tokens.last().map(|last| (last.word.as_str(), word));
    if let Some(("can" | "could", "not") | ("not", "able")) = pair
        && let Some(last) = tokens.last_mut()
    {
        last.word = "cannot".into();
        last.end = end;
        return;
    }
    tokens.push(Token { word: word.into(), kind: Kind::Word, start, end });
}

fn is_invisible(letter: char) -> bool {
    matches!(letter, '\u{200B}'..='\u{200F}' | '\u{202A}'..='\u{202E}' | '\u{2060}'..='\u{206F}' | '\u{FEFF}' | '\u{AD}')
}

fn plain(letter: char) -> char {
    match letter {
        '\u{FF01}'..='\u{FF5E}' => char::from_u32(letter as u32 - 0xFEE0).unwrap_or(letter),
        '\u{2018}' | '\u{2019}' | '\u{02BC}' => '\'',
        '\u{2010}'..='\u{2015}' | '\u{2212}' => '-',
        '\u{3000}' | '\u{A0}' => ' ',
        '℃' => '°',
        _ => letter,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<String> {
        Folded::of(text).tokens().into_iter().map(|it| it.word).collect()
    }

    #[test]
    fn contractions_open_and_decimals_stay() {
        assert_eq!(
            words("I can’t breathe, 38.5 now. Don't"),
            ["i", "cannot", "breathe", ",", "38.5", "now", ".", "not"]
        );
        assert_eq!(words("could not walk"), ["cannot", "walk"]);
    }

    #[test]
    fn invisible_letters_vanish_and_ranges_are_of_the_original() {
        let text = "fe\u{200B}ver Ｃough";
        let folded = Folded::of(text);
        let tokens = folded.tokens();
        assert_eq!((tokens[0].word.as_str(), tokens[1].word.as_str()), ("fever", "cough"));
        let (start, end) = folded.original(tokens[0].start, tokens[0].end);
        assert_eq!(&text[start..end], "fe\u{200B}ver");
    }
}
