//! Takes comments and string contents out of Rust source, so that rules judge code and not talk about it.

/// The code of `text`: comments and the insides of string and character literals become spaces, lines stay lines.
pub(crate) fn code_of(text: &str) -> String {
    let mut rest = Rest { chars: text.chars().collect(), at: 0, code: String::with_capacity(text.len()) };
    while let Some(c) = rest.peek(0) {
        match (c, rest.peek(1)) {
            ('/', Some('/')) => rest.blank_while(|c| c != '\n'),
            ('/', Some('*')) => rest.block_comment(),
            ('"', _) => rest.string(),
            ('r', Some('"' | '#')) if !rest.after_word() && rest.raw_hashes().is_some() => rest.raw_string(),
            ('\'', _) => rest.character(),
            _ => rest.keep(),
        }
    }
    rest.code
}

struct Rest {
    chars: Vec<char>,
    at: usize,
    code: String,
}

impl Rest {
    fn peek(&self, ahead: usize) -> Option<char> {
        self.chars.get(self.at + ahead).copied()
    }

    fn keep(&mut self) {
        if let Some(c) = self.peek(0) {
            self.code.push(c);
            self.at += 1;
        }
    }

    fn blank(&mut self) {
        if let Some(c) = self.peek(0) {
            self.code.push(if c == '\n' { '\n' } else { ' ' });
            self.at += 1;
        }
    }

    fn blank_while(&mut self, go_on: impl Fn(char) -> bool) {
        while self.peek(0).is_some_and(&go_on) {
            self.blank();
        }
    }

    /// Whether the character before belongs to a word (`br"…"` counts as its own prefix).
    fn after_word(&self) -> bool {
        let before = self.at.checked_sub(1).and_then(|i| self.chars.get(i)).copied();
        let earlier = self.at.checked_sub(2).and_then(|i| self.chars.get(i)).copied();
        let byte_prefix = before == Some('b') && !earlier.is_some_and(is_word);
        before.is_some_and(is_word) && !byte_prefix
    }

    fn block_comment(&mut self) {
        let mut depth = 0;
        loop {
            match (self.peek(0), self.peek(1)) {
                (Some('/'), Some('*')) => depth += 1,
                (Some('*'), Some('/')) => depth -= 1,
                (None, _) => return,
                _ => {
                    self.blank();
                    continue;
                }
            }
            self.blank();
            self.blank();
            if depth == 0 {
                return;
            }
        }
    }

    fn string(&mut self) {
        self.keep();
        while let Some(c) = self.peek(0) {
            match c {
                '"' => return self.keep(),
                '\\' => {
                    self.blank();
                    self.blank();
                }
                _ => self.blank(),
            }
        }
    }

    /// Number of `#` of the raw string that starts here, or none if it is a raw identifier.
    fn raw_hashes(&self) -> Option<usize> {
        let hashes = (1..).take_while(|&i| self.peek(i) == Some('#')).count();
        (self.peek(hashes + 1) == Some('"')).then_some(hashes)
    }

    fn raw_string(&mut self) {
        let hashes = self.raw_hashes().unwrap_or(0);
        for _ in 0..hashes + 2 {
            self.keep();
        }
        while let Some(c) = self.peek(0) {
            if c == '"' && (1..=hashes).all(|i| self.peek(i) == Some('#')) {
                for _ in 0..=hashes {
                    self.keep();
                }
                return;
            }
            self.blank();
        }
    }

    /// A character literal, or a lifetime, which is kept.
    fn character(&mut self) {
        if self.peek(1) == Some('\\') {
            self.keep();
            self.blank();
            self.blank();
            self.blank_while(|c| c != '\'' && c != '\n');
            self.keep();
        } else if self.peek(2) == Some('\'') {
            self.keep();
            self.blank();
            self.keep();
        } else {
            self.keep();
        }
    }
}

/// Whether `c` can stand in an identifier.
pub(crate) fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// Where `word` stands in `text` as a whole word, as byte offsets.
pub(crate) fn words<'t>(text: &'t str, word: &'t str) -> impl Iterator<Item = usize> + 't {
    text.match_indices(word).map(|(at, _)| at).filter(move |&at| {
        let before = text[..at].chars().next_back();
        let after = text[at + word.len()..].chars().next();
        !before.is_some_and(is_word) && !after.is_some_and(is_word)
    })
}

/// The line, counted from 1, of a byte offset.
pub(crate) fn line_of(text: &str, at: usize) -> usize {
    text[..at].matches('\n').count() + 1
}

#[test]
fn comments_and_strings_are_blanked() {
    let check = |source: &str, expected: &str| assert_eq!(code_of(source), expected);
    check("a // std::fs\nb", "a           \nb");
    check("a /* x /* y */ z */ b", "a                   b");
    check(r#"f("a\"b", c)"#, r#"f("    ", c)"#);
    check(r##"f(r#"a"b"#, c)"##, r##"f(r#"   "#, c)"##);
    check("f('\"', '\\'', 'a: &'static str)", "f(' ', '  ', 'a: &'static str)");
    check("r#type + br\"x\"", "r#type + br\" \"");
    check("\"https://x\" + std::fs", "\"         \" + std::fs");
}

#[test]
fn unfinished_literals_end_with_the_file() {
    for source in ["\"abc", "/* abc", "r#\"abc", "'\\", "'"] {
        assert_eq!(code_of(source).chars().count(), source.chars().count(), "{source}");
    }
}

#[test]
fn words_are_whole() {
    assert_eq!(words("sledge sled sled_x ::sled::", "sled").collect::<Vec<_>>(), [7, 21]);
    assert_eq!(line_of("a\nb\nc", 4), 3);
}
