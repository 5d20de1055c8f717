//! MedQuAD's XML: a document with a focus and pairs of questions and answers (Ben Abacha and Demner-Fushman, BMC
//! Bioinformatics 2019).

use quick_xml::events::{BytesRef, BytesStart, Event};
use quick_xml::{Reader, XmlVersion};

use super::document::{Document, Fault, MAX_FILE_BYTES, Reading};

/// Elements inside each other; the format has four.
const MAX_DEPTH: usize = 16;

/// Reads a document. After a fault in the XML nothing more of this file is read: what follows cannot be trusted to
/// stand where it seems to. Answers that were taken out of the collection are no fault and give no passage.
pub fn read_medquad(file: &str, bytes: &[u8]) -> Reading {
    let mut state = State::default();
    let faults = match state.read(bytes) {
        Ok(()) => Vec::new(),
        Err((at, what)) => {
            let line = 1 + bytes[..at.min(bytes.len())].iter().filter(|byte| **byte == b'\n').count();
            vec![Fault { file: file.to_owned(), line, what }]
        }
    };
    Reading::of(state.document, faults)
}

#[derive(Default)]
struct State {
    document: Document,
    open: Vec<String>,
    question: String,
    answer: String,
    is_medquad: bool,
}

/// Where, and what is wrong.
type Found = (usize, String);

impl State {
    fn read(&mut self, bytes: &[u8]) -> Result<(), Found> {
        if bytes.len() > MAX_FILE_BYTES {
            return Err((0, format!("the file has more than {MAX_FILE_BYTES} bytes")));
        }
        let text =
            std::str::from_utf8(bytes).map_err(|error| (error.valid_up_to(), "not UTF-8".to_owned()))?;
        let mut reader = Reader::from_str(text);
        loop {
            let event = reader.read_event();
            let at = usize::try_from(reader.buffer_position()).unwrap_or(usize::MAX);
            let wrong = |what: &str| (at, what.to_owned());
            match event {
                Ok(Event::Start(start)) => self.start(&start).map_err(|what| (at, what))?,
                Ok(Event::Empty(_) | Event::Comment(_) | Event::Decl(_) | Event::PI(_)) => {}
                Ok(Event::DocType(_)) => return Err(wrong("document types are not read")),
                Ok(Event::End(_)) => self.end(),
                Ok(Event::Text(text)) => self.push(&text.xml_content(XmlVersion::Implicit1_0)),
                Ok(Event::CData(text)) => self.push(&text.xml_content(XmlVersion::Implicit1_0)),
                Ok(Event::GeneralRef(name)) => {
                    let character =
                        resolve(&name).ok_or_else(|| wrong("an entity that XML does not define"))?;
                    self.push(&character);
                }
                Ok(Event::Eof) if !self.open.is_empty() => {
                    return Err(wrong("the file ends inside an element"));
                }
                Ok(Event::Eof) if !self.is_medquad => return Err((0, "no document of MedQuAD".to_owned())),
                Ok(Event::Eof) => return Ok(()),
                Err(_) => {
                    let at = usize::try_from(reader.error_position()).unwrap_or(usize::MAX);
                    return Err((at, "not well-formed XML".to_owned()));
                }
            }
        }
    }

    fn start(&mut self, start: &BytesStart<'_>) -> Result<(), String> {
        if self.open.len() == MAX_DEPTH {
            return Err(format!("more than {MAX_DEPTH} elements inside each other"));
        }
        let name = start.name().as_ref().to_owned();
        if self.open.is_empty() {
            // One document of the collection is called by another name.
            if name != "Document" && name != "DiseaseFile" {
                return Err("no document of MedQuAD".to_owned());
            }
            self.is_medquad = true;
            let attribute = |name: &str| {
                let found = start.try_get_attribute(name).ok()??;
                Some(found.normalized_value(XmlVersion::Implicit1_0).ok()?.into_owned())
            };
            self.document.source = attribute("source").unwrap_or_default();
            self.document.url = attribute("url").unwrap_or_default();
        }
        if name == "QAPair" {
            (self.question, self.answer) = Default::default();
        }
        self.open.push(name);
        Ok(())
    }

    fn end(&mut self) {
        // The reader has checked that it is the name of the element that is open.
        if self.open.pop().is_some_and(|name| name == "QAPair") {
            let question = std::mem::take(&mut self.question);
            self.document.push(&tidy(&question), &tidy(&self.answer));
        }
        if self.open.is_empty() {
            self.document.title = tidy(&self.document.title);
        }
    }

    fn push(&mut self, text: &str) {
        match self.open.last().map(String::as_str) {
            Some("Focus") => self.document.title.push_str(text),
            Some("Question") => self.question.push_str(text),
            Some("Answer") => self.answer.push_str(text),
            _ => {}
        }
    }
}

/// The character that a reference stands for.
fn resolve(name: &BytesRef<'_>) -> Option<String> {
    if let Some(character) = name.resolve_char_ref().ok()? {
        return Some(character.to_string());
    }
    quick_xml::escape::resolve_xml_entity(name).map(str::to_owned)
}

/// White space of the file is layout, not text.
fn tidy(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const XML: &str = "<?xml version=\"1.0\"?>\n<Document id=\"1\" source=\"A &amp; B\" url=\"http://example.org/a?b&amp;c\">\n\
        <Focus>Gout</Focus><QAPairs>\n<QAPair pid=\"1\"><Question>What  is\n gout ?</Question>\
        <Answer>Uric acid &lt; 6&#x20;mg/dL is <![CDATA[\"usual\"]]>.</Answer></QAPair>\n\
        <QAPair pid=\"2\"><Question>Taken out ?</Question><Answer/></QAPair></QAPairs></Document>";

    fn check(xml: &str, line: usize, what: &str, passages: usize) {
        let reading = read_medquad("0000001.xml", xml.as_bytes());
        assert_eq!(reading.faults.len(), 1, "{xml}");
        assert_eq!((reading.faults[0].line, reading.faults[0].what.as_str()), (line, what), "{xml}");
        assert_eq!(reading.document.map_or(0, |document| document.passages.len()), passages, "{xml}");
    }

    #[test]
    fn questions_head_passages() {
        let Reading { document, faults } = read_medquad("0000001.xml", XML.as_bytes());
        let document = document.unwrap();
        assert!(faults.is_empty(), "{faults:?}");
        assert_eq!((document.title.as_str(), document.source.as_str()), ("Gout", "A & B"));
        assert_eq!(document.url, "http://example.org/a?b&c");
        assert_eq!(document.passages.len(), 1);
        assert_eq!(document.passages[0].heading, "What is gout ?");
        assert_eq!(document.passages[0].text, "Uric acid < 6 mg/dL is \"usual\".");
    }

    #[test]
    fn faults_are_told_by_line_and_what_stands_before_is_kept() {
        check(&XML.replace("</QAPairs>", "</Wrong>"), 6, "not well-formed XML", 1);
        check(&XML.replace("&lt;", "&lol;"), 5, "an entity that XML does not define", 0);
        check(&XML.replace("</Document>", ""), 6, "the file ends inside an element", 1);
        check("<html></html>", 1, "no document of MedQuAD", 0);
        check("", 1, "no document of MedQuAD", 0);
        let bomb = "<!DOCTYPE a [<!ENTITY b \"c\">]><Document/>";
        check(bomb, 1, "document types are not read", 0);
        check(&"<Document>".repeat(17), 1, "more than 16 elements inside each other", 0);
    }

    proptest! {
        #[test]
        fn damaged_files_never_panic(at in 0_usize..400, byte in any::<u8>(), cut in 0_usize..500) {
            let mut bytes = XML.as_bytes().to_vec();
            let at = at % bytes.len();
            bytes[at] = byte;
            read_medquad("x.xml", &bytes);
            read_medquad("x.xml", &bytes[..cut.min(bytes.len())]);
        }
    }
}
