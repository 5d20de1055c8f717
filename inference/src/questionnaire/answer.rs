//! What can be answered, and words in several languages.

use serde_json::{Map, Value, json};

const TRANSLATION: &str = "http://hl7.org/fhir/StructureDefinition/translation";

/// Words, with their translations.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Text {
    /// In the language of the questionnaire.
    pub original: String,
    /// In others: language tag (BCP 47) and words.
    pub translations: Vec<(String, String)>,
}

impl Text {
    /// The words in this language, or the original ones: `zh` also finds `zh-CN`.
    pub fn in_language(&self, language: &str) -> &str {
        let main = |tag: &str| tag.split('-').next().unwrap_or_default().to_ascii_lowercase();
        let exact = self.translations.iter().find(|(tag, _)| tag.eq_ignore_ascii_case(language));
        let near = || self.translations.iter().find(|(tag, _)| main(tag) == main(language));
        exact.or_else(near).map_or(&self.original, |(_, words)| words)
    }

    /// Whether these are its words in any language; letter case does not matter.
    pub(crate) fn is(&self, words: &str) -> bool {
        let same = |text: &str| text.to_lowercase() == words.to_lowercase();
        same(&self.original) || self.translations.iter().any(|(_, text)| same(text))
    }

    /// Reads `name` and the translations in `_name`.
    pub(crate) fn read(of: &Map<String, Value>, name: &str) -> Text {
        let original = of.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
        let extensions = of.get(&format!("_{name}")).map_or(&[][..], extensions);
        let translation = |extension: &Value| {
            let part = |url: &str, value: &str| {
                let inner = extension["extension"].as_array()?;
                inner.iter().find(|part| part["url"] == url)?[value].as_str().map(str::to_owned)
            };
            Some((part("lang", "valueCode")?, part("content", "valueString")?))
        };
        let of_translation = extensions.iter().filter(|extension| extension["url"] == TRANSLATION);
        Text { original, translations: of_translation.filter_map(translation).collect() }
    }
}

/// The extensions of an element.
pub(crate) fn extensions(of: &Value) -> &[Value] {
    of.get("extension").and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

/// A code of a system, with its name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Coding {
    /// The system; may be empty.
    pub system: String,
    /// The code.
    pub code: String,
    /// Its name.
    pub display: Text,
}

/// An answer, or a value that one is compared with.
#[derive(Clone, PartialEq)]
pub enum Answer {
    /// Yes or no.
    Boolean(bool),
    /// A whole number.
    Integer(i32),
    /// A finite number.
    Decimal(f64),
    /// A year, a month or a day: `2024`, `2024-05`, `2024-05-31`.
    Date(String),
    /// Free text.
    Text(String),
    /// One of the options.
    Coding(Coding),
}

impl std::fmt::Debug for Answer {
    /// The kind only: what people answer stays out of logs.
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(self.name())
    }
}

impl Answer {
    /// What FHIR calls it: `value` and this.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Answer::Boolean(_) => "Boolean",
            Answer::Integer(_) => "Integer",
            Answer::Decimal(_) => "Decimal",
            Answer::Date(_) => "Date",
            Answer::Text(_) => "String",
            Answer::Coding(_) => "Coding",
        }
    }

    /// Whether both mean the same: codes by system and code, whatever they are called.
    pub(crate) fn is(&self, other: &Answer) -> bool {
        match (self, other) {
            (Answer::Coding(a), Answer::Coding(b)) => a.code == b.code && a.system == b.system,
            (Answer::Integer(a), Answer::Decimal(b)) | (Answer::Decimal(b), Answer::Integer(a)) => {
                f64::from(*a) == *b
            }
            (a, b) => a == b,
        }
    }

    /// Which is greater; `None` where there is no order. Dates compare as far as both are told.
    pub(crate) fn compare(&self, other: &Answer) -> Option<std::cmp::Ordering> {
        let number = |answer: &Answer| match answer {
            Answer::Integer(number) => Some(f64::from(*number)),
            Answer::Decimal(number) => Some(*number),
            _ => None,
        };
        match (self, other) {
            (Answer::Date(a), Answer::Date(b)) => {
                let told = a.len().min(b.len());
                let (start_a, start_b) = (a.get(..told)?, b.get(..told)?);
                Some(start_a.cmp(start_b)).filter(|order| order.is_ne() || a.len() == b.len())
            }
            (Answer::Text(a), Answer::Text(b)) => Some(a.cmp(b)),
            (a, b) => number(a)?.partial_cmp(&number(b)?),
        }
    }

    /// Reads `PREFIX[x]`, as in `valueCoding`: `None` if there is none, `Err` if it is no answer of a kind above.
    pub(crate) fn read(of: &Map<String, Value>, prefix: &str) -> Result<Option<Answer>, ()> {
        let mut found = of.iter().filter(|(name, _)| {
            name.strip_prefix(prefix).is_some_and(|kind| kind.starts_with(|c: char| c.is_ascii_uppercase()))
        });
        let Some((name, value)) = found.next() else { return Ok(None) };
        if found.next().is_some() {
            return Err(());
        }
        let answer = match &name[prefix.len()..] {
            "Boolean" => value.as_bool().map(Answer::Boolean),
            "Integer" => value.as_i64().and_then(|number| i32::try_from(number).ok()).map(Answer::Integer),
            "Decimal" => value.as_f64().filter(|number| number.is_finite()).map(Answer::Decimal),
            "Date" => value.as_str().filter(|date| is_date(date)).map(|date| Answer::Date(date.to_owned())),
            "String" => value.as_str().map(|text| Answer::Text(text.to_owned())),
            "Coding" => value.as_object().and_then(Coding::read).map(Answer::Coding),
            _ => None,
        };
        answer.map(Some).ok_or(())
    }

    /// The answer as FHIR writes it.
    pub(crate) fn write(&self) -> Value {
        let value = match self {
            Answer::Boolean(truth) => json!(truth),
            Answer::Integer(number) => json!(number),
            Answer::Decimal(number) => json!(number),
            Answer::Date(text) | Answer::Text(text) => json!(text),
            Answer::Coding(coding) => coding.write(),
        };
        json!({ (format!("value{}", self.name())): value })
    }
}

impl Coding {
    /// A code without a code is none.
    pub(crate) fn read(of: &Map<String, Value>) -> Option<Coding> {
        let text = |name: &str| of.get(name).and_then(Value::as_str).map(str::to_owned);
        let system = text("system").unwrap_or_default();
        Some(Coding { system, code: text("code")?, display: Text::read(of, "display") })
    }

    fn write(&self) -> Value {
        let mut coding = Map::new();
        let parts = [("system", &self.system), ("code", &self.code), ("display", &self.display.original)];
        for (name, words) in parts.into_iter().filter(|(_, words)| !words.is_empty()) {
            coding.insert(name.to_owned(), json!(words));
        }
        Value::Object(coding)
    }
}

/// Whether this is a date of FHIR: a year, a month or a day that exists.
pub(crate) fn is_date(text: &str) -> bool {
    let parts: Vec<&str> = text.split('-').collect();
    let is_number = |part: &&str, digits| part.len() == digits && part.bytes().all(|b| b.is_ascii_digit());
    let shape = parts.iter().zip([4, 2, 2]).all(|(part, digits)| is_number(part, digits));
    if !shape || parts.len() > 3 {
        return false;
    }
    let number = |at: usize| parts.get(at).and_then(|part| part.parse::<u32>().ok());
    let (year, month, day) = (number(0).unwrap_or(0), number(1).unwrap_or(1), number(2).unwrap_or(1));
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let days = match month {
        2 => 28 + u32::from(leap),
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    };
    year > 0 && (1..=12).contains(&month) && (1..=days).contains(&day)
}

/// Whether this is a moment of FHIR with a time zone: `2024-05-31T08:00:00Z`, `…T08:00:00.5+02:00`.
pub(crate) fn is_moment(text: &str) -> bool {
    let Some((date, time)) = text.split_once('T') else { return false };
    let Some(zone) = time.find(['Z', '+', '-']) else { return false };
    let (clock, zone) = time.split_at(zone);
    let two = |text: &str, most: u32| {
        text.len() == 2
            && text.bytes().all(|b| b.is_ascii_digit())
            && text.parse::<u32>().is_ok_and(|n| n <= most)
    };
    let (clock, fraction) = clock.split_once('.').unwrap_or((clock, "0"));
    let is_fraction = (1..=9).contains(&fraction.len()) && fraction.bytes().all(|b| b.is_ascii_digit());
    let parts: Vec<&str> = clock.split(':').collect();
    let is_clock = matches!(parts[..], [h, m, s] if two(h, 23) && two(m, 59) && two(s, 60));
    let is_zone = zone == "Z" || zone[1..].split_once(':').is_some_and(|(h, m)| two(h, 14) && two(m, 59));
    date.len() == 10 && is_date(date) && is_clock && is_fraction && is_zone
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_those_that_exist() {
        for date in ["2024", "2024-02", "2024-02-29", "2000-02-29", "1899-12-31"] {
            assert!(is_date(date), "{date}");
        }
        for date in [
            "",
            "24",
            "2024-13",
            "2023-02-29",
            "1900-02-29",
            "2024-04-31",
            "2024-1-1",
            "2024-01-01-01",
            "２０２４",
        ] {
            assert!(!is_date(date), "{date}");
        }
    }

    #[test]
    fn moments_have_a_zone() {
        for moment in ["2024-02-29T23:59:60Z", "2024-05-31T08:00:00.123+02:00", "2024-05-31T08:00:00-11:30"] {
            assert!(is_moment(moment), "{moment}");
        }
        for moment in [
            "2024-02-29",
            "2024-02-29T10:00:00",
            "2024-02T10:00:00Z",
            "2024-02-29T24:00:00Z",
            "2024-02-29T10:00Z",
            "2024-02-29T10:00:00+2",
            "2024-02-29T10:00:00é",
        ] {
            assert!(!is_moment(moment), "{moment}");
        }
    }

    #[test]
    fn languages_are_found_by_their_main_part() {
        let text = Text {
            original: "fever".to_owned(),
            translations: vec![("zh-CN".to_owned(), "发热".to_owned())],
        };
        assert_eq!((text.in_language("zh"), text.in_language("de")), ("发热", "fever"));
        assert!(text.is("FEVER") && text.is("发热") && !text.is("cough"));
    }

    #[test]
    fn dates_compare_as_far_as_both_are_told() {
        let date = |text: &str| Answer::Date(text.to_owned());
        assert!(date("2024-03").compare(&date("2024-02-28")).unwrap().is_gt());
        assert!(date("2024").compare(&date("2024-02")).is_none());
        assert!(date("2024").compare(&Answer::Integer(2024)).is_none());
        assert!(Answer::Integer(2).compare(&Answer::Decimal(1.5)).unwrap().is_gt());
    }
}
