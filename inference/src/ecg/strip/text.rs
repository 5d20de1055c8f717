//! Words and numbers in the picture. Lead names and titles come from files, so every text passes through here.

/// How wide a letter of DejaVu Sans is on the average, as a share of its height: for breaking lines only.
const LETTER_SHARE: f64 = 0.62;

/// A length in millimetres with at most two decimals: finer than any printer.
pub(super) fn mm(length: f64) -> String {
    let hundredths = (length * 100.0).round() as i64;
    let sign = if hundredths < 0 { "-" } else { "" };
    let (whole, part) = (hundredths.abs() / 100, hundredths.abs() % 100);
    match part {
        0 => format!("{sign}{whole}"),
        part if part % 10 == 0 => format!("{sign}{whole}.{}", part / 10),
        part => format!("{sign}{whole}.{part:02}"),
    }
}

/// A text as the picture may show it: controls become spaces, what reorders or hides letters goes, and what is
/// longer than `most` characters ends in an ellipsis. Not yet escaped.
pub(super) fn clean(text: &str, most: usize) -> String {
    let mut shown = text.chars().filter_map(|letter| match letter {
        letter if letter.is_control() => Some(' '),
        '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}' => None,
        '\u{fff9}'..='\u{ffff}' => None,
        letter => Some(letter),
    });
    let mut kept: String = shown.by_ref().take(most).collect();
    if shown.next().is_some() {
        kept.pop();
        kept.push('…');
    }
    kept.trim().to_owned()
}

/// A cleaned text as character data or the value of an attribute.
pub(super) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            letter => escaped.push(letter),
        }
    }
    escaped
}

/// How many letters of a height fit into a width.
pub(super) fn letters_within(width_mm: f64, height_mm: f64) -> usize {
    ((width_mm / (height_mm * LETTER_SHARE)) as usize).max(1)
}

/// Breaks a text at its spaces into lines of at most `most` characters, and a longer word where it must be.
pub(super) fn wrap(text: &str, most: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split(' ').filter(|word| !word.is_empty()) {
        let letters: Vec<char> = word.chars().collect();
        for piece in letters.chunks(most) {
            let piece: String = piece.iter().collect();
            match lines.last_mut() {
                Some(line) if line.chars().count() + 1 + piece.chars().count() <= most => {
                    line.push(' ');
                    line.push_str(&piece);
                }
                _ => lines.push(piece),
            }
        }
    }
    lines
}

/// A time of the recording as h:mm:ss, with `decimals` (0 to 3) of a second.
pub(super) fn clock(seconds: f64, decimals: usize) -> String {
    let unit = 10u64.pow(decimals as u32);
    let ticks = (seconds * unit as f64).round() as u64;
    let (whole, part) = (ticks / unit, ticks % unit);
    let text = format!("{}:{:02}:{:02}", whole / 3_600, whole / 60 % 60, whole % 60);
    if decimals == 0 { text } else { format!("{text}.{part:0decimals$}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_short() {
        for (length, expected) in [
            (0.0, "0"),
            (25.0, "25"),
            (2.5, "2.5"),
            (1.256, "1.26"),
            (-0.05, "-0.05"),
            (-0.001, "0"),
            (3.999, "4"),
        ] {
            assert_eq!(mm(length), expected);
        }
    }

    #[test]
    fn hostile_text_is_made_harmless() {
        assert_eq!(escape(&clean("<b a='\"'>&\u{0}\n\u{202e}x", 50)), "&lt;b a=&#39;&quot;&#39;&gt;&amp;  x");
        assert_eq!(clean("abcdef", 4), "abc…");
        assert_eq!(clean("abcd", 4), "abcd");
        assert_eq!(clean("\u{fffe}\u{ffff}", 4), "");
    }

    #[test]
    fn lines_break_at_spaces_or_where_they_must() {
        assert_eq!(wrap("ab cd  efghijk l", 5), ["ab cd", "efghi", "jk l"]);
        assert!(wrap("  ", 5).is_empty());
    }

    #[test]
    fn times_carry() {
        assert_eq!(clock(59.9996, 3), "0:01:00.000");
        assert_eq!(clock(172_799.0, 0), "47:59:59");
        assert_eq!(clock(3_661.5, 1), "1:01:01.5");
    }
}
