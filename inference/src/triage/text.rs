//! Free text, in English and Chinese and in both mixed, read into findings with their status, measures, and who
//! the patient is. Reads words of its lexicon only; what it has no word for is handed back, clause by clause.

use std::collections::BTreeMap;
use std::ops::Range;

use super::context::Context;
use super::known::{Measure, Status};
use super::lexicon::{self, Finding, FindingKind, NOTHING, find_han, find_words, finding};
use super::measure::{self, Span};
use super::pattern::{Hit, is_empty_word};
use super::tokens::{Folded, Kind, Token, is_han, mark};
use super::{Language, Person, Sex, TriageError, context_zh, unread};

/// The longest text that is read, in bytes: some four pages.
pub const MAX_TEXT_BYTES: usize = 16 * 1024;
/// Of the clauses that nothing was found in, so many are kept.
const MAX_UNMATCHED: usize = 64;

/// A place of a text that names a finding.
#[derive(Clone, PartialEq, Eq)]
pub struct Mention {
    /// What it names.
    pub finding: Finding,
    /// What the text says of it there.
    pub status: Status,
    /// Where, in bytes of the text.
    pub range: Range<usize>,
}

/// What was understood of a text.
#[derive(Clone, Default, PartialEq)]
pub struct Understood {
    /// Each finding once, with the gravest of its statuses, and what it implies.
    pub findings: BTreeMap<Finding, Status>,
    /// Each place that names a finding.
    pub mentions: Vec<Mention>,
    /// Values with their measures, as often as they stand.
    pub measures: Vec<(Measure, f64)>,
    /// How long findings have lasted, in hours.
    pub durations_h: BTreeMap<Finding, f64>,
    /// How long the complaint has lasted, in hours.
    pub duration_h: Option<f64>,
    /// Who the patient is, as far as it is said.
    pub person: Person,
    /// Clauses that nothing was found in.
    pub unmatched: Vec<Unmatched>,
    /// Parts of clauses that say something of which nothing was understood, be it a word: finer than `unmatched`, for those
    /// of whom nothing may be passed over.
    pub unread: usize,
}

/// A clause that nothing was found in.
#[derive(Clone, PartialEq, Eq)]
pub struct Unmatched {
    /// Where, in bytes of the text.
    pub range: Range<usize>,
    /// What the words around it would make of a finding there; of Chinese nothing is said.
    pub status: Status,
}

impl std::fmt::Debug for Understood {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "Understood({} findings, {} measures)", self.findings.len(), self.measures.len())
    }
}

/// Reads a text. The language says which one to expect where letters do not tell; both are read.
pub fn read_text(text: &str, language: Language) -> Result<Understood, TriageError> {
    if text.len() > MAX_TEXT_BYTES {
        return Err(TriageError::TooLong { bytes: text.len() });
    }
    let folded = Folded::of(text);
    let tokens = folded.tokens();
    let times = measure::times(&folded.text);
    let age = measure::age_years(&folded.text);
    let has_patient = age.is_some() && !folded.text.starts_with("my ") || folded.text.contains("patient");
    let hits = find_words(&tokens);
    let context = Context::of(&tokens, &hits, &times, has_patient);
    let mut places = english(&folded, &tokens, &hits, &context);
    places.extend(chinese(&folded));
    places.sort_by_key(|place| (place.start, place.end, place.finding));
    let mut understood = Understood {
        measures: measure::measures(&folded.text),
        person: person(&folded, &tokens, age.map(|(years, _)| years), language),
        ..Understood::default()
    };
    durations(&mut understood, &folded.text, &times, &places);
    understood.unmatched = unmatched(&folded, &tokens, &places, &context);
    understood.unread = unread::count(&folded, &tokens, &places, &times);
    for place in places {
        let (start, end) = folded.original(place.start, place.end);
        note(&mut understood.findings, place.finding, place.status);
        if place.status >= Status::Uncertain {
            for implied in place.finding.implied() {
                note(&mut understood.findings, *implied, place.status);
            }
        }
        understood.mentions.push(Mention { finding: place.finding, status: place.status, range: start..end });
    }
    Ok(understood)
}

/// A finding at bytes of the folded text.
pub(super) struct Place {
    finding: Finding,
    status: Status,
    pub(super) start: usize,
    pub(super) end: usize,
}

fn note(findings: &mut BTreeMap<Finding, Status>, finding: Finding, status: Status) {
    let kept = findings.entry(finding).or_insert(status);
    *kept = (*kept).max(status);
}

fn english(folded: &Folded, tokens: &[Token], hits: &[Hit], context: &Context<'_>) -> Vec<Place> {
    let spans =
        hits.iter().map(|hit| Stretch { owner: hit.owner, start: hit.start, end: hit.end, solid: hit.solid });
    let cover = Cover::of(spans);
    let real = hits.iter().filter(|hit| {
        hit.owner != NOTHING && !cover.hides(hit.owner, hit.start, hit.end) && unbroken(tokens, hit)
    });
    real.filter_map(|hit| {
        let finding = finding(hit.owner)?;
        let background = finding.kind() == FindingKind::Background;
        let status = context.status(hit.start, hit.end, background, finding.is_grave());
        let (start, end) = (tokens[hit.start].start, tokens[hit.end - 1].end);
        debug_assert!(end <= folded.text.len());
        Some(Place { finding, status, start, end })
    })
    .collect()
}

/// A match, in tokens or in bytes.
struct Stretch {
    owner: u16,
    start: usize,
    end: usize,
    solid: bool,
}

/// Longer phrases, which say what the shorter ones inside them are not: "hay fever" is no fever.
struct Cover {
    by_start: Vec<Stretch>,
    longest: usize,
}

impl Cover {
    fn of(all: impl Iterator<Item = Stretch>) -> Cover {
        let mut by_start: Vec<Stretch> = all.filter(|it| it.solid || lexicon::hides(it.owner)).collect();
        by_start.sort_by_key(|it| it.start);
        let longest = by_start.iter().map(|it| it.end - it.start).max().unwrap_or(0);
        Cover { by_start, longest }
    }

    fn hides(&self, owner: u16, start: usize, end: usize) -> bool {
        // "Kidney transplant" is a transplant all the same.
        let background = finding(owner).is_some_and(|it| it.kind() == FindingKind::Background);
        let from = self.by_start.partition_point(|it| it.start + self.longest < end);
        self.by_start[from..].iter().take_while(|it| it.start <= start).any(|it| {
            it.owner != owner
                && end <= it.end
                && it.end - it.start > end - start
                && (it.owner == NOTHING || !background)
        })
    }
}

/// A phrase with gaps does not reach over a denial or a turn inside it.
fn unbroken(tokens: &[Token], hit: &Hit) -> bool {
    hit.solid
        || hit.negative
        || tokens[hit.start + 1..hit.end].iter().all(|it| {
            it.kind == Kind::Word
                && !matches!(it.word.as_str(), "no" | "not" | "but" | "without" | "denies" | "or")
        })
}

fn chinese(folded: &Folded) -> Vec<Place> {
    if !folded.text.chars().any(is_han) {
        return Vec::new();
    }
    let hits = find_han(folded);
    let spans =
        hits.iter().map(|hit| Stretch { owner: hit.owner, start: hit.start, end: hit.end, solid: hit.solid });
    let cover = Cover::of(spans);
    let of_self = context_zh::speaks_of_self(&folded.text);
    let real = hits.iter().filter(|hit| hit.owner != NOTHING && !cover.hides(hit.owner, hit.start, hit.end));
    real.filter_map(|hit| {
        let finding = finding(hit.owner)?;
        let background = finding.kind() == FindingKind::Background;
        let status =
            context_zh::status(&folded.text, hit.start..hit.end, background, finding.is_grave(), of_self);
        Some(Place { finding, status, start: hit.start, end: hit.end })
    })
    .collect()
}

/// Gives each finding the nearest time of its sentence; the complaint's own is the first that belongs to one.
fn durations(understood: &mut Understood, text: &str, times: &[Span], places: &[Place]) {
    let ends = sentence_ends(text);
    let sentence = |at: usize| ends.partition_point(|end| *end < at);
    let telling: Vec<&Place> = places
        .iter()
        .filter(|it| it.status >= Status::Uncertain && it.finding.kind() != FindingKind::Background)
        .collect();
    let usable: Vec<&Span> =
        times.iter().filter(|time| !(time.ago && time.hours >= 60.0 * 24.0 && !begins(text, time))).collect();
    for place in &telling {
        let own = usable
            .iter()
            .filter(|time| sentence(time.start) == sentence(place.start))
            .min_by_key(|time| (time.start.abs_diff(place.end)).min(place.start.abs_diff(time.end)));
        if let Some(time) = own {
            understood.durations_h.entry(place.finding).or_insert(time.hours);
        }
    }
    let background = |time: &Span| {
        let said = |it: &&Place| it.status != Status::Denied && sentence(it.start) == sentence(time.start);
        let near = places.iter().filter(said);
        near.min_by_key(|it| it.start.abs_diff(time.end).min(it.end.abs_diff(time.start)))
            .is_some_and(|it| it.finding.kind() == FindingKind::Background || it.status < Status::Uncertain)
    };
    understood.duration_h = usable.iter().find(|time| !background(time)).map(|time| time.hours);
}

/// Where sentences end. The point of 38.5 ends none.
fn sentence_ends(text: &str) -> Vec<usize> {
    let stops = text.char_indices().filter(|(_, it)| mark(*it) == Some(Kind::Stop));
    let number = |at: usize| text[at..].chars().nth(1).is_some_and(|it| it.is_ascii_digit());
    stops.filter(|(at, it)| *it != '.' || !number(*at)).map(|(at, _)| at).collect()
}

/// Whether something began at this time.
fn begins(text: &str, time: &Span) -> bool {
    let from = text[..time.start].rfind(['.', ',', '。', ';']).map_or(0, |at| at + 1);
    let before = text.get(from..time.start).unwrap_or("");
    let after = &text[time.end..];
    ["start", "began", "since", "onset", "notic", "develop", "first"].iter().any(|it| before.contains(it))
        || ["前开始", "前出现", "以前开始", "前起"].iter().any(|it| after.starts_with(it))
}

fn person(folded: &Folded, tokens: &[Token], age_years: Option<f64>, language: Language) -> Person {
    let text = folded.text.as_str();
    Person { age_years, sex: sex(text, tokens, language), pregnant: None }
}

fn sex(text: &str, tokens: &[Token], language: Language) -> Option<Sex> {
    let noun = |word: &str| match word {
        "woman" | "female" | "girl" | "lady" | "mrs" | "daughter" | "wife" => Some(Sex::Female),
        "man" | "male" | "boy" | "gentleman" | "mr" | "son" | "husband" => Some(Sex::Male),
        _ => None,
    };
    let himself = tokens.iter().any(|it| matches!(it.word.as_str(), "i" | "i'm" | "i've"));
    let owned = |at: usize| himself && at > 0 && tokens[at - 1].word == "my";
    let named = tokens.iter().enumerate().find_map(|(at, it)| noun(&it.word).filter(|_| !owned(at)));
    if named.is_some() {
        return named;
    }
    let han = [
        ("女性", Sex::Female),
        ("女孩", Sex::Female),
        ("女童", Sex::Female),
        ("女婴", Sex::Female),
        ("女士", Sex::Female),
        ("女,", Sex::Female),
        ("女儿", Sex::Female),
        ("孕妇", Sex::Female),
        ("男性", Sex::Male),
        ("男孩", Sex::Male),
        ("男童", Sex::Male),
        ("男婴", Sex::Male),
        ("男士", Sex::Male),
        ("男,", Sex::Male),
        ("儿子", Sex::Male),
        ("男子", Sex::Male),
        ("女子", Sex::Female),
    ];
    let first =
        han.iter().filter_map(|(word, sex)| text.find(word).map(|at| (at, *sex))).min_by_key(|it| it.0);
    if first.is_some() || himself || language == Language::Zh {
        return first.map(|(_, sex)| sex);
    }
    tokens.iter().find_map(|it| match it.word.as_str() {
        "she" => Some(Sex::Female),
        "he" => Some(Sex::Male),
        _ => None,
    })
}

/// Clauses with words of weight in which nothing was found.
fn unmatched(folded: &Folded, tokens: &[Token], places: &[Place], context: &Context<'_>) -> Vec<Unmatched> {
    let text = folded.text.as_str();
    let mut found = Vec::new();
    let mut start = 0;
    // One strange word beside what was understood is likely a filler; alone it is all that was said.
    let least = if places.is_empty() { 1 } else { 2 };
    let ends =
        text.char_indices().filter(|(_, it)| mark(*it).is_some()).map(|(at, it)| (at, at + it.len_utf8()));
    for (end, next) in ends.chain(std::iter::once((text.len(), text.len()))) {
        let clause = &text[start..end];
        let empty = places.iter().all(|it| it.end <= start || it.start >= end);
        if empty && found.len() < MAX_UNMATCHED {
            let first = tokens.partition_point(|it| it.start < start);
            let words = tokens.iter().enumerate().skip(first).take_while(|(_, it)| it.end <= end);
            let weighty: Vec<usize> = words
                .filter(|(_, it)| it.kind == Kind::Word && !is_empty_word(&it.word))
                .map(|(at, _)| at)
                .collect();
            if weighty.len() >= least || clause.chars().filter(|it| is_han(*it)).count() >= 3 {
                let blank = clause.len() - clause.trim_start().len();
                let (from, to) = folded.original(start + blank, start + clause.trim_end().len());
                found.push(Unmatched { range: from..to, status: context.of_clause(&weighty) });
            }
        }
        start = next;
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn too_long_a_text_is_refused_and_the_limit_is_read() {
        let text = "a".repeat(MAX_TEXT_BYTES);
        assert!(read_text(&text, Language::En).is_ok());
        assert_eq!(
            read_text(&(text + "a"), Language::En),
            Err(TriageError::TooLong { bytes: MAX_TEXT_BYTES + 1 })
        );
    }

    #[test]
    fn clauses_without_a_known_word_are_handed_back() {
        let text = "My wings turned octarine, and I have a fever.";
        let understood = read_text(text, Language::En).unwrap();
        assert_eq!(understood.unmatched.len(), 1);
        assert_eq!(&text[understood.unmatched[0].range.clone()], "My wings turned octarine");
    }

    #[test]
    fn mentions_point_into_the_text() {
        let text = "昨天开始发烧，I can’t breathe";
        let understood = read_text(text, Language::Zh).unwrap();
        let said: Vec<&str> = understood.mentions.iter().map(|it| &text[it.range.clone()]).collect();
        assert!(said.contains(&"发烧") && said.contains(&"can’t breathe"), "{said:?}");
    }
}
