//! What a clause may mean that holds no word of the lexicon: the finding whose phrasings its embedding is nearest to.
//! A suggestion is a reason to ask, and never counts as more. English only, since the encoder learned English.

use std::ops::Range;
use std::sync::LazyLock;

use super::known::Status;
use super::lexicon::{Finding, phrasings};
use super::text::Understood;
use super::tokens::is_han;
use crate::card::sha256;
use crate::text::{Embedding, EncoderError, SentenceEncoder, WEIGHTS, nearest};

/// The least cosine of a suggestion. Measured by `tests/triage_meanings.rs`, as decision 17 says: of phrasings left out
/// 84 % of those that suggest anything suggest the right finding or one that is a kind of it, and of 140 texts without
/// a finding none suggests one.
pub const LEAST_SIMILARITY: f32 = 0.75;
/// A text suggests no more findings than this: each is a question.
pub const MAX_SUGGESTIONS: usize = 3;
/// So many clauses of a text are embedded, the first ones: each takes some milliseconds.
const MAX_CLAUSES: usize = 8;
/// Longer clauses resemble no phrase.
const MAX_CLAUSE_BYTES: usize = 160;
/// Words that turn a phrasing around: where the nearest one has such a word, the clause's own is no denial.
const TURNING: &[&str] = &["no", "not", "cannot", "without", "never", "lack", "loss", "unable"];

/// Every phrasing of the lexicon in English, with the finding it is of.
static PHRASINGS: LazyLock<Vec<(Finding, String)>> = LazyLock::new(phrasings);

/// What a clause may mean.
#[derive(Clone, PartialEq)]
pub struct Suggestion {
    /// The finding.
    pub finding: Finding,
    /// The clause, in bytes of the text.
    pub clause: Range<usize>,
    /// Cosine to the nearest phrasing, at most 1.
    pub similarity: f32,
}

impl std::fmt::Debug for Suggestion {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Suggestion")
    }
}

/// Why there are no meanings.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{given} embeddings for {phrasings} phrasings of the lexicon")]
pub struct MeaningsError {
    given: usize,
    phrasings: usize,
}

/// The phrasings of the lexicon as embeddings.
pub struct Meanings {
    rows: Vec<Embedding>,
}

impl std::fmt::Debug for Meanings {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "Meanings({} phrasings)", self.rows.len())
    }
}

impl Meanings {
    /// What is to be embedded, with the finding that each is a phrasing of.
    pub fn phrasings() -> &'static [(Finding, String)] {
        &PHRASINGS
    }

    /// Another lexicon or another encoder has another one: SHA-256 in hexadecimal.
    pub fn version() -> String {
        let mut all = String::from(WEIGHTS.sha256);
        for (finding, phrasing) in Self::phrasings() {
            all.push('\n');
            all.push_str(finding.code());
            all.push(' ');
            all.push_str(phrasing);
        }
        sha256(all.as_bytes())
    }

    /// Takes the embedding of each of [`Meanings::phrasings`], in their order.
    pub fn new(rows: Vec<Embedding>) -> Result<Meanings, MeaningsError> {
        let (given, phrasings) = (rows.len(), Self::phrasings().len());
        if given == phrasings { Ok(Meanings { rows }) } else { Err(MeaningsError { given, phrasings }) }
    }

    /// Whether a text has a clause that could be compared.
    pub fn are_wanted(text: &str, understood: &Understood) -> bool {
        clauses(text, understood).next().is_some()
    }

    /// What the clauses of a text may mean in which the lexicon found nothing, the most similar first. What is past,
    /// denied or another person's suggests nothing, and neither does what the text says elsewhere.
    pub fn suggest(
        &self,
        encoder: &SentenceEncoder,
        text: &str,
        understood: &Understood,
    ) -> Result<Vec<Suggestion>, EncoderError> {
        let clauses: Vec<(Range<usize>, Status)> = clauses(text, understood).take(MAX_CLAUSES).collect();
        let words: Vec<&str> = clauses.iter().map(|(range, _)| &text[range.clone()]).collect();
        let embeddings = encoder.embed(&words)?;
        let near = clauses.into_iter().zip(&embeddings).filter_map(|((range, status), embedding)| {
            let (finding, similarity) = self.near(embedding, status)?;
            Some(Suggestion { finding, clause: range, similarity })
        });
        Ok(chosen(near.collect(), understood))
    }

    /// The finding nearest to a clause, if it is near enough and not denied.
    fn near(&self, clause: &Embedding, status: Status) -> Option<(Finding, f32)> {
        let near = *nearest(clause, &self.rows, 1).first()?;
        let (finding, phrasing) = Self::phrasings().get(near.row)?;
        let turned = phrasing.split(' ').any(|word| TURNING.contains(&word));
        let there = status >= Status::Uncertain || status == Status::Denied && turned;
        (there && near.cosine >= LEAST_SIMILARITY).then_some((*finding, near.cosine))
    }
}

/// The clauses that can be compared: English, not too long, and about the patient now.
fn clauses<'a>(
    text: &'a str,
    understood: &'a Understood,
) -> impl Iterator<Item = (Range<usize>, Status)> + 'a {
    let all = understood.unmatched.iter().filter(|it| {
        let clause = text.get(it.range.clone()).unwrap_or("");
        !clause.is_empty() && clause.len() <= MAX_CLAUSE_BYTES && !clause.chars().any(is_han)
    });
    all.filter(|it| !matches!(it.status, Status::OtherPerson | Status::Past))
        .map(|it| (it.range.clone(), it.status))
}

/// Each finding once, none that the text tells of in its own words, few.
fn chosen(mut near: Vec<Suggestion>, understood: &Understood) -> Vec<Suggestion> {
    near.sort_by(|a, b| b.similarity.total_cmp(&a.similarity));
    let mut chosen: Vec<Suggestion> = Vec::new();
    for one in near {
        let told = understood.findings.get(&one.finding).is_some_and(|it| *it >= Status::Uncertain);
        if !told && chosen.len() < MAX_SUGGESTIONS && chosen.iter().all(|it| it.finding != one.finding) {
            chosen.push(one);
        }
    }
    chosen
}

#[cfg(test)]
mod tests {
    use super::super::{Language, read_text};
    use super::*;
    use crate::text::EMBEDDING;

    /// Rows that are all alike but one.
    fn meanings(finding: &str, phrasing: &str) -> (Meanings, Embedding) {
        let mut apart = [0.0; EMBEDDING];
        apart[0] = 1.0;
        let mut other = [0.0; EMBEDDING];
        other[1] = 1.0;
        let rows = Meanings::phrasings()
            .iter()
            .map(|(it, words)| if it.code() == finding && words == phrasing { apart } else { other });
        (Meanings::new(rows.collect()).unwrap(), apart)
    }

    #[test]
    fn lexicon_has_a_phrasing_for_each_finding() {
        let phrasings = Meanings::phrasings();
        assert!(Finding::all().all(|finding| phrasings.iter().any(|it| it.0 == finding)));
        let plain = |it: &str| !it.is_empty() && !it.contains(['*', '|', '=', '+', '.']);
        let odd: Vec<&String> = phrasings.iter().map(|it| &it.1).filter(|it| !plain(it)).collect();
        assert!(odd.is_empty(), "{odd:?}");
        assert_eq!(Meanings::version().len(), 64);
        assert!(Meanings::new(Vec::new()).is_err());
    }

    #[test]
    fn denied_clause_suggests_nothing_unless_the_phrasing_is_a_denial() {
        let (meanings, clause) = meanings("fever", "burning up");
        let near = |status| meanings.near(&clause, status).map(|it| it.0.code());
        assert_eq!(near(Status::Present), Some("fever"));
        assert_eq!(near(Status::Denied), None);
        let no_energy = Finding::named("fatigue").unwrap();
        let (meanings, clause) = self::meanings("fatigue", "no energy");
        assert_eq!(meanings.near(&clause, Status::Denied), Some((no_energy, 1.0)));
    }

    #[test]
    fn clauses_of_others_of_the_past_and_in_chinese_are_not_compared() {
        let compared = |text: &str| {
            let understood = read_text(text, Language::En).unwrap();
            clauses(text, &understood).map(|(range, _)| text[range].to_owned()).collect::<Vec<_>>()
        };
        assert_eq!(compared("My ticker hops about."), ["My ticker hops about"]);
        let mother = compared("I am fine, but my mother had a hopping ticker.");
        assert!(mother.iter().all(|it| !it.contains("mother")), "{mother:?}");
        assert!(compared("Last year my ticker hopped about.").is_empty());
        assert!(compared("我的心里像打鼓一样奇怪").is_empty());
        assert!(compared(&"ticker hops ".repeat(30)).is_empty());
    }

    #[test]
    fn what_the_text_tells_is_not_suggested_and_each_finding_once() {
        let understood = read_text("I have a cough.", Language::En).unwrap();
        let one = |code: &str, similarity| Suggestion {
            finding: Finding::named(code).unwrap(),
            clause: 0..1,
            similarity,
        };
        let near = vec![one("cough", 0.9), one("fever", 0.8), one("fever", 0.95), one("chills", 0.85)];
        let chosen = chosen(near, &understood);
        let codes: Vec<&str> = chosen.iter().map(|it| it.finding.code()).collect();
        assert_eq!(codes, ["fever", "chills"]);
        assert_eq!(chosen[0].similarity, 0.95);
    }
}
