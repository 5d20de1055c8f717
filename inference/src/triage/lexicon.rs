//! Findings: what a patient may tell, with names and phrasings in both languages. One data file a body system.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use aho_corasick::AhoCorasick;
use serde::Deserialize;

use super::Language;
use super::pattern::{Hit, Phrases};
use super::tokens::{Folded, Token, is_han};

/// Chinese letters between the two sides of a gap.
const GAP_HAN_BYTES: usize = 5 * 3;

const FILES: &[&str] = &[
    include_str!("../../triage/lexicon/general.toml"),
    include_str!("../../triage/lexicon/circumstances.toml"),
    include_str!("../../triage/lexicon/heart-lungs.toml"),
    include_str!("../../triage/lexicon/nerves-mind.toml"),
    include_str!("../../triage/lexicon/belly.toml"),
    include_str!("../../triage/lexicon/urine-sex-pregnancy.toml"),
    include_str!("../../triage/lexicon/skin.toml"),
    include_str!("../../triage/lexicon/eyes-ears-mouth.toml"),
    include_str!("../../triage/lexicon/limbs-injury.toml"),
];

/// A symptom, a sign or a circumstance of the lexicon.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Finding(u16);

impl Finding {
    /// The finding of this code, for example `chest_pain`.
    pub fn named(code: &str) -> Option<Finding> {
        LEXICON.by_code.get(code).copied()
    }

    /// All findings.
    pub fn all() -> impl Iterator<Item = Finding> {
        (0..LEXICON.entries.len()).filter_map(|at| u16::try_from(at).ok().map(Finding))
    }

    /// Its stable code.
    pub fn code(self) -> &'static str {
        &LEXICON.codes[usize::from(self.0)]
    }

    /// Its name for people.
    pub fn name(self, language: Language) -> &'static str {
        match language {
            Language::En => &self.entry().en,
            Language::Zh => &self.entry().zh,
        }
    }

    /// What kind of finding it is.
    pub fn kind(self) -> FindingKind {
        self.entry().kind
    }

    /// A question for it, for people.
    pub fn question(self, language: Language) -> String {
        let entry = self.entry();
        match (language, &entry.ask_en, &entry.ask_zh) {
            (Language::En, Some(ask), _) | (Language::Zh, _, Some(ask)) => ask.clone(),
            (Language::En, None, _) => format!("Does this apply: {}?", entry.en),
            (Language::Zh, _, None) => format!("您有{}吗？", entry.zh),
        }
    }

    pub(crate) fn implied(self) -> &'static [Finding] {
        &LEXICON.implied[usize::from(self.0)]
    }

    /// Whether it matters even after it has gone, as a weakness that lasted an hour does.
    pub(crate) fn is_grave(self) -> bool {
        self.entry().grave
    }

    fn entry(self) -> &'static Entry {
        &LEXICON.entries[usize::from(self.0)]
    }
}

impl std::fmt::Debug for Finding {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Finding")
    }
}

/// How much a finding weighs when it is present.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FindingKind {
    /// A symptom or sign that some rule must account for before self-care is advised.
    #[default]
    Symptom,
    /// Something that describes another finding, or that alone needs nobody's help.
    Minor,
    /// An illness, a treatment or a situation one lives with; "history of" does not make it past.
    Background,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    en: String,
    zh: String,
    #[serde(default)]
    kind: FindingKind,
    #[serde(default)]
    grave: bool,
    /// Whether it hides shorter phrases inside it even where its own words stand apart.
    #[serde(default)]
    hides: bool,
    #[serde(default)]
    implies: Vec<String>,
    ask_en: Option<String>,
    ask_zh: Option<String>,
    say_en: Vec<String>,
    say_zh: Vec<String>,
}

/// A stretch of Chinese text, in bytes of the folded text, that a phrase matched.
#[derive(Clone, Copy, Debug)]
pub(crate) struct HanHit {
    pub(crate) owner: u16,
    pub(crate) start: usize,
    pub(crate) end: usize,
    pub(crate) solid: bool,
}

struct HanPhrase {
    owner: u16,
    pieces: Vec<usize>,
    /// Written with `$` at its end: no other word may go on there. "没有呼吸" is not "没有呼吸困难".
    ends: bool,
}

/// What may follow a phrase that ends.
const HAN_AFTER_END: &str = "了和也及没与且而但心脉的吗啊呀";

pub(crate) struct Lexicon {
    entries: Vec<Entry>,
    codes: Vec<String>,
    by_code: BTreeMap<String, Finding>,
    implied: Vec<Vec<Finding>>,
    phrases: Phrases,
    pieces: AhoCorasick,
    /// For each piece, the phrases that begin with it.
    begins: Vec<Vec<HanPhrase>>,
}

static LEXICON: LazyLock<Lexicon> =
    LazyLock::new(|| Lexicon::of(FILES).expect("the compiled-in lexicon is read by a test of this module"));

/// Matches a phrase that means nothing, so that words inside it are not taken for findings.
pub(crate) const NOTHING: u16 = u16::MAX;

impl Lexicon {
    fn of(files: &[&str]) -> Result<Lexicon, String> {
        let mut all: BTreeMap<String, Entry> = BTreeMap::new();
        let mut nothing: Option<Entry> = None;
        for file in files {
            let entries: BTreeMap<String, Entry> = toml::from_str(file).map_err(|error| error.to_string())?;
            for (code, entry) in entries {
                if code == "nothing" {
                    nothing = Some(entry);
                } else if all.insert(code.clone(), entry).is_some() {
                    return Err(format!("{code} stands twice"));
                }
            }
        }
        let (codes, entries): (Vec<String>, Vec<Entry>) = all.into_iter().unzip();
        let numbered = codes.iter().enumerate();
        let by_code: BTreeMap<String, Finding> = numbered
            .map(|(at, code)| {
                u16::try_from(at).map(|at| (code.clone(), Finding(at))).map_err(|e| e.to_string())
            })
            .collect::<Result<_, _>>()?;
        let implied = implied(&entries, &by_code)?;
        let mut phrases = Phrases::default();
        let mut han = Han::default();
        let owners = entries.iter().zip(0_u16..).chain(nothing.iter().map(|entry| (entry, NOTHING)));
        for (entry, owner) in owners {
            for phrase in &entry.say_en {
                if !phrases.add(phrase, owner) {
                    return Err(format!("the phrase {phrase} is empty"));
                }
            }
            for phrase in &entry.say_zh {
                han.add(phrase, owner);
            }
        }
        let pieces = AhoCorasick::new(&han.pieces).map_err(|error| error.to_string())?;
        Ok(Lexicon { entries, codes, by_code, implied, phrases, pieces, begins: han.begins })
    }
}

/// All that a finding means besides itself, and what that means in turn.
fn implied(entries: &[Entry], by_code: &BTreeMap<String, Finding>) -> Result<Vec<Vec<Finding>>, String> {
    let direct: Vec<Vec<Finding>> = entries
        .iter()
        .map(|entry| {
            let found = entry.implies.iter().map(|code| by_code.get(code).copied().ok_or(code));
            found.collect::<Result<_, _>>().map_err(|code| format!("{code} is implied, and unknown"))
        })
        .collect::<Result<_, _>>()?;
    let closed = direct.iter().map(|first| {
        let mut all = first.clone();
        let mut at = 0;
        while at < all.len() {
            let further = direct[usize::from(all[at].0)].iter().copied();
            let new: Vec<Finding> = further.filter(|it| !all.contains(it)).collect();
            all.extend(new);
            at += 1;
        }
        all
    });
    Ok(closed.collect())
}

#[derive(Default)]
struct Han {
    pieces: Vec<String>,
    numbers: BTreeMap<String, usize>,
    begins: Vec<Vec<HanPhrase>>,
}

impl Han {
    fn add(&mut self, phrase: &str, owner: u16) {
        let (phrase, ends) = phrase.strip_suffix('$').map_or((phrase, false), |it| (it, true));
        let pieces: Vec<usize> = phrase
            .split("..")
            .filter(|it| !it.is_empty())
            .map(|piece| {
                *self.numbers.entry(piece.into()).or_insert_with(|| {
                    self.pieces.push(piece.into());
                    self.begins.push(Vec::new());
                    self.pieces.len() - 1
                })
            })
            .collect();
        if let Some(first) = pieces.first() {
            self.begins[*first].push(HanPhrase { owner, pieces, ends });
        }
    }
}

/// The name of each finding and its English phrases as plain words, the first of each choice.
pub(crate) fn phrasings() -> Vec<(Finding, String)> {
    let mut all = Vec::new();
    for (entry, owner) in LEXICON.entries.iter().zip(0_u16..) {
        let mut own: Vec<String> = vec![plain_name(&entry.en)];
        own.extend(entry.say_en.iter().map(|phrase| plain_words(phrase)));
        let mut seen: Vec<&String> = Vec::new();
        for words in &own {
            if !words.is_empty() && !seen.contains(&words) {
                seen.push(words);
                all.push((Finding(owner), words.clone()));
            }
        }
    }
    all
}

/// A name without what stands in brackets, and without marks.
fn plain_name(name: &str) -> String {
    let bare = name.split('(').next().unwrap_or(name);
    bare.replace(['.', '|', '*', '=', '+'], " ").split_whitespace().collect::<Vec<_>>().join(" ")
}

/// A pattern as somebody would say it.
fn plain_words(pattern: &str) -> String {
    let parts = pattern.split_whitespace().filter(|it| !matches!(*it, "+" | ".."));
    let words = parts.filter_map(|part| part.split('|').find(|it| !it.is_empty()));
    words.map(|it| it.trim_matches(['=', '*'])).collect::<Vec<_>>().join(" ")
}

pub(crate) fn find_words(tokens: &[Token]) -> Vec<Hit> {
    LEXICON.phrases.find(tokens)
}

pub(crate) fn find_han(folded: &Folded) -> Vec<HanHit> {
    let text = folded.text.as_str();
    let found: Vec<(usize, usize, usize)> = LEXICON
        .pieces
        .find_overlapping_iter(text)
        .map(|it| (it.pattern().as_usize(), it.start(), it.end()))
        .collect();
    let mut by_piece: BTreeMap<usize, Vec<(usize, usize)>> = BTreeMap::new();
    for (piece, start, end) in &found {
        by_piece.entry(*piece).or_default().push((*start, *end));
    }
    let mut hits = Vec::new();
    for (piece, start, end) in found {
        for phrase in &LEXICON.begins[piece] {
            let reached = follow(&phrase.pieces[1..], end, &by_piece, text);
            if let Some(reached) = reached.filter(|at| !phrase.ends || ends(&text[*at..])) {
                hits.push(HanHit {
                    owner: phrase.owner,
                    start,
                    end: reached,
                    solid: phrase.pieces.len() == 1,
                });
            }
        }
    }
    hits
}

fn ends(rest: &str) -> bool {
    rest.chars().next().is_none_or(|it| !is_han(it) || HAN_AFTER_END.contains(it))
}

fn follow(
    pieces: &[usize],
    mut end: usize,
    found: &BTreeMap<usize, Vec<(usize, usize)>>,
    text: &str,
) -> Option<usize> {
    for piece in pieces {
        let places = found.get(piece)?;
        let next = places.partition_point(|(start, _)| *start < end);
        let (start, reached) = places.get(next)?;
        if start - end > GAP_HAN_BYTES || text[end..*start].contains([',', '。', '!', '?', ';', '\n']) {
            return None;
        }
        end = *reached;
    }
    Some(end)
}

/// Whether a match of this owner hides shorter ones inside it though its own words stand apart.
pub(crate) fn hides(owner: u16) -> bool {
    LEXICON.entries.get(usize::from(owner)).is_some_and(|it| it.hides)
}

pub(crate) fn finding(owner: u16) -> Option<Finding> {
    (usize::from(owner) < LEXICON.entries.len()).then_some(Finding(owner))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn compiled_in_lexicon_is_sound() {
        let lexicon = Lexicon::of(FILES).unwrap();
        assert!(lexicon.entries.len() >= 250, "{} findings", lexicon.entries.len());
        for (code, entry) in lexicon.codes.iter().zip(&lexicon.entries) {
            assert!(
                code.chars().all(|it| it.is_ascii_lowercase() || it.is_ascii_digit() || it == '_'),
                "{code}"
            );
            assert!(!entry.en.is_empty() && !entry.zh.is_ascii(), "{code} lacks a name");
            assert!(!entry.say_en.is_empty() && !entry.say_zh.is_empty(), "{code} lacks phrases");
            assert_eq!(entry.ask_en.is_some(), entry.ask_zh.is_some(), "{code} asks in one language only");
        }
    }

    #[test]
    fn faulty_lexicon_is_refused() {
        let one = "[a]\nen='a'\nzh='甲'\nsay_en=['a1']\nsay_zh=['甲']\n";
        assert!(Lexicon::of(&[one]).is_ok());
        assert!(Lexicon::of(&[one, one]).is_err());
        assert!(Lexicon::of(&[&format!("{one}implies=['b']")]).is_err());
        assert!(Lexicon::of(&[&format!("{one}colour='red'")]).is_err());
        assert!(Lexicon::of(&[&one.replace("a1", "the")]).is_err());
    }
}
