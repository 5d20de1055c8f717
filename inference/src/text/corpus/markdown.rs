//! Plain Markdown: a file is a document, what stands under a heading is a passage.
//!
//! A block at the start, between two lines of `---`, may name `title`, `source` and `url`. Without it the title is
//! the first heading of the first level, or the name of the file. Everything else is kept as it stands; no markup
//! is followed, and what a fence of code holds is no heading.

use super::document::{Document, Fault, MAX_FILE_BYTES, Reading};

/// Reads a document.
pub fn read_markdown(file: &str, bytes: &[u8]) -> Reading {
    let fault = |line: usize, what: &str| Fault { file: file.to_owned(), line, what: what.to_owned() };
    if bytes.len() > MAX_FILE_BYTES {
        return Reading { document: None, faults: vec![fault(1, "the file is too large")] };
    }
    let mut faults = Vec::new();
    let text = match std::str::from_utf8(bytes) {
        Ok(text) => text,
        Err(error) => {
            let valid = &bytes[..error.valid_up_to()];
            faults.push(fault(1 + valid.iter().filter(|byte| **byte == b'\n').count(), "not UTF-8"));
            std::str::from_utf8(valid).unwrap_or_default()
        }
    };
    let mut document = Document::default();
    let text = match head(text.trim_start_matches('\u{FEFF}'), &mut document) {
        Ok(text) => text,
        Err((line, what)) => {
            faults.push(fault(line, what));
            text
        }
    };
    read_body(text, &mut document);
    if document.title.is_empty() {
        let name = file.rsplit(['/', '\\']).next().unwrap_or(file);
        document.title = name.trim_end_matches(".md").to_owned();
    }
    if document.source.is_empty() {
        document.source = file.to_owned();
    }
    Reading::of(document, faults)
}

/// Reads the block at the start into the document; what follows it.
fn head<'a>(text: &'a str, document: &mut Document) -> Result<&'a str, (usize, &'static str)> {
    let mut lines = text.split_inclusive('\n');
    let Some(first) = lines.next().filter(|line| line.trim_end() == "---") else { return Ok(text) };
    let mut read = first.len();
    for (number, line) in lines.enumerate() {
        read += line.len();
        if line.trim_end() == "---" {
            return Ok(&text[read..]);
        }
        let Some((name, value)) = line.split_once(':') else {
            return Err((number + 2, "a line of the block at the start is not of the form name: value"));
        };
        let value = value.trim().trim_matches('"').to_owned();
        match name.trim() {
            "title" => document.title = value,
            "source" => document.source = value,
            "url" => document.url = value,
            _ => {}
        }
    }
    Err((1, "the block at the start does not end"))
}

fn read_body(text: &str, document: &mut Document) {
    let (mut heading, mut passage, mut fence) = (String::new(), String::new(), None);
    for line in text.lines() {
        let mark = ["```", "~~~"].into_iter().find(|mark| line.trim_start().starts_with(mark));
        match (fence, mark) {
            (None, Some(mark)) => fence = Some(mark),
            (Some(open), Some(mark)) if open == mark => fence = None,
            _ => {}
        }
        match level(line).filter(|_| fence.is_none()) {
            Some((level, words)) => {
                document.push(&heading, &std::mem::take(&mut passage));
                if level == 1 && document.title.is_empty() {
                    document.title = words.to_owned();
                    heading.clear();
                } else {
                    heading = words.to_owned();
                }
            }
            None => {
                passage.push_str(line);
                passage.push('\n');
            }
        }
    }
    document.push(&heading, &passage);
}

/// The level and the words of a heading.
fn level(line: &str) -> Option<(usize, &str)> {
    let words = line.trim_start_matches('#');
    let level = line.len() - words.len();
    let is_heading = (1..=6).contains(&level) && words.starts_with([' ', '\t']);
    is_heading.then(|| (level, words.trim().trim_end_matches('#').trim_end()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LEAFLET: &str = "---\nsource: Ward 3\nurl: \"https://example.org/gout\"\n---\n# Gout\nIntro.\n\n\
                           ## Diet ##\nDrink water.\n```\n# no heading\n```\n## 饮食\n多喝水。\n";

    #[test]
    fn headings_part_passages() {
        let Reading { document, faults } = read_markdown("gout.md", LEAFLET.as_bytes());
        let document = document.unwrap();
        assert!(faults.is_empty());
        assert_eq!((document.title.as_str(), document.source.as_str()), ("Gout", "Ward 3"));
        assert_eq!(document.url, "https://example.org/gout");
        let passages: Vec<_> =
            document.passages.iter().map(|p| (p.heading.as_str(), p.text.as_str())).collect();
        let diet = ("Diet", "Drink water.\n```\n# no heading\n```");
        assert_eq!(passages, [("", "Intro."), diet, ("饮食", "多喝水。")]);
    }

    #[test]
    fn faults_are_told_by_line_and_the_rest_is_read() {
        let bytes = b"text\nmore \xff rest";
        let reading = read_markdown("leaflets/a.md", bytes);
        assert_eq!(reading.faults[0].to_string(), "leaflets/a.md:2: not UTF-8");
        let document = reading.document.unwrap();
        assert_eq!((document.title.as_str(), document.passages[0].text.as_str()), ("a", "text\nmore"));
        let unended = read_markdown("b.md", b"---\ntitle: B\nwords\n");
        assert_eq!(unended.faults[0].line, 3);
        assert!(read_markdown("c.md", &vec![b' '; MAX_FILE_BYTES + 1]).document.is_none());
        assert_eq!(read_markdown("d.md", b"# Only a title\n"), Reading::default());
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..500)) {
            read_markdown("x.md", &bytes);
        }

        #[test]
        fn any_lines_are_read(text in "(---|#|title: |`{3}|[a-z ]{0,5}|\n){0,60}") {
            read_markdown("x.md", text.as_bytes());
        }
    }
}
