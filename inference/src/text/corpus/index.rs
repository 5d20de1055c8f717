//! Passages by the words and by the meaning of a question.

use std::collections::HashMap;

use super::document::{Document, Passage};
use super::terms::terms;
use crate::text::nearest::cosine;
use crate::text::{Embedding, nearest};

/// Passages of all documents together: 500,000 are thirty times MedQuAD, and about 1 GB.
pub const MAX_PASSAGES: usize = 500_000;

/// BM25's saturation and length normalisation (Robertson and Zaragoza, "The Probabilistic Relevance Framework: BM25
/// and Beyond", 2009: b between 0.5 and 0.8, k1 between 1.2 and 2).
const SATURATION: f32 = 1.2;
const LENGTH_SHARE: f32 = 0.75;

/// How often a word counts that stands in the title or the heading (the weighted fields of the same paper).
const TITLE_WEIGHT: f32 = 2.0;
const HEADING_WEIGHT: f32 = 1.0;

/// Flattens the fusion of ranks (Cormack, Clarke and Büttcher, SIGIR 2009).
const FUSION: f32 = 60.0;
/// How deep each ranking is fused.
const FUSED: usize = 100;

/// How near the best passage must be before it is an answer. Either nearness is enough.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Thresholds {
    /// Least [`Relevance::words`].
    pub words: f32,
    /// Least [`Relevance::cosine`].
    pub cosine: f32,
}

impl Default for Thresholds {
    /// Words: chosen on half of the questions of `tests/corpus_medquad.rs`, so that at most one of 25 questions on
    /// other topics is answered; the other half agrees. Cosine: on a
    /// sixteenth of MedQuAD 0.5 would answer 0.4 in 100 more and no question on other topics reaches 0.35; kept
    /// higher, since a whole corpus has more that is near (decision 17).
    fn default() -> Thresholds {
        Thresholds { words: 0.5, cosine: 0.6 }
    }
}

/// How near a passage is to a question.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Relevance {
    /// By words: the BM25 score as a share of the highest that any passage could have, 0 to 1. Words that the
    /// corpus does not know lower it.
    pub words: f32,
    /// By meaning, −1 to 1; none without embeddings.
    pub cosine: Option<f32>,
}

impl Relevance {
    /// Whether it is near enough.
    pub fn reaches(&self, thresholds: &Thresholds) -> bool {
        self.words >= thresholds.words || self.cosine.is_some_and(|cosine| cosine >= thresholds.cosine)
    }
}

/// A passage that was found.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Hit {
    /// Place of the document in the corpus.
    pub document: usize,
    /// Place of the passage in the document.
    pub passage: usize,
    /// How near it is.
    pub relevance: Relevance,
}

/// A quotation with its source: every word of it stands in the corpus.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Answer<'a> {
    /// The document.
    pub title: &'a str,
    /// Who says so.
    pub source: &'a str,
    /// Where it was published; may be empty.
    pub url: &'a str,
    /// What it stands under; may be empty.
    pub heading: &'a str,
    /// The passage, word for word.
    pub quotation: &'a str,
    /// How near it is to the question.
    pub relevance: Relevance,
}

/// Why there is no corpus.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CorpusError {
    /// Too many passages.
    #[error("the corpus has more than {MAX_PASSAGES} passages")]
    TooLarge,
    /// Not one embedding for each passage.
    #[error("{given} embeddings for {passages} passages")]
    Embeddings {
        /// Embeddings that were given.
        given: usize,
        /// Passages of the corpus.
        passages: usize,
    },
}

/// Where a term stands, and how often.
struct Posting {
    row: u32,
    weight: f32,
}

/// Documents that can be asked.
pub struct Corpus {
    documents: Vec<Document>,
    /// Document and passage of each row.
    places: Vec<(u32, u32)>,
    postings: HashMap<String, Vec<Posting>>,
    /// For each row, what its length does to saturation.
    damping: Vec<f32>,
    embeddings: Vec<Embedding>,
    thresholds: Thresholds,
}

impl std::fmt::Debug for Corpus {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "Corpus({} documents, {} passages)", self.documents.len(), self.places.len())
    }
}

impl Corpus {
    /// Indexes documents by their words.
    pub fn new(documents: Vec<Document>) -> Result<Corpus, CorpusError> {
        let mut places = Vec::new();
        let mut postings: HashMap<String, Vec<Posting>> = HashMap::new();
        let mut lengths = Vec::new();
        for (number, document) in documents.iter().enumerate() {
            if places.len() + document.passages.len() > MAX_PASSAGES {
                return Err(CorpusError::TooLarge);
            }
            for (place, passage) in document.passages.iter().enumerate() {
                // Both are below the limit, which fits 32 bits, since documents without passages give no row.
                let row = places.len() as u32;
                places.push((number as u32, place as u32));
                let mut length = 0.0;
                for (term, weight) in weights(document, passage) {
                    length += weight;
                    postings.entry(term).or_default().push(Posting { row, weight });
                }
                lengths.push(length);
            }
        }
        let mean = (lengths.iter().sum::<f32>() / lengths.len().max(1) as f32).max(1.0);
        let damping = lengths
            .iter()
            .map(|length| SATURATION * (1.0 - LENGTH_SHARE + LENGTH_SHARE * length / mean))
            .collect();
        let (embeddings, thresholds) = (Vec::new(), Thresholds::default());
        Ok(Corpus { documents, places, postings, damping, embeddings, thresholds })
    }

    /// Adds the embedding of each of [`Corpus::texts`], in their order.
    pub fn with_embeddings(mut self, embeddings: Vec<Embedding>) -> Result<Corpus, CorpusError> {
        if embeddings.len() != self.places.len() {
            return Err(CorpusError::Embeddings { given: embeddings.len(), passages: self.places.len() });
        }
        self.embeddings = embeddings;
        Ok(self)
    }

    /// Answers by other thresholds.
    pub fn with_thresholds(mut self, thresholds: Thresholds) -> Corpus {
        self.thresholds = thresholds;
        self
    }

    /// The documents.
    pub fn documents(&self) -> &[Document] {
        &self.documents
    }

    /// For each passage what is to be embedded: title, heading and text.
    pub fn texts(&self) -> impl ExactSizeIterator<Item = String> {
        (0..self.places.len()).map(|row| {
            let (document, passage) = self.at(row);
            format!("{}. {} {}", document.title, passage.heading, passage.text)
        })
    }

    /// The best passage as a quotation, if it is near enough; else there is nothing on this in the corpus.
    pub fn answer(&self, question: &str, embedding: Option<&Embedding>) -> Option<Answer<'_>> {
        let hit = self.search(question, embedding, 1).into_iter().next()?;
        hit.relevance.reaches(&self.thresholds).then(|| self.quote(&hit)).flatten()
    }

    /// A hit of this corpus as a quotation.
    pub fn quote(&self, hit: &Hit) -> Option<Answer<'_>> {
        let document = self.documents.get(hit.document)?;
        let passage = document.passages.get(hit.passage)?;
        Some(Answer {
            title: &document.title,
            source: &document.source,
            url: &document.url,
            heading: &passage.heading,
            quotation: &passage.text,
            relevance: hit.relevance,
        })
    }

    /// The `count` nearest passages, the nearest first: by words, and if the question and the passages have
    /// embeddings by meaning too. Deterministic; among equals the earlier passage comes first.
    pub fn search(&self, question: &str, embedding: Option<&Embedding>, count: usize) -> Vec<Hit> {
        let words = self.by_words(question);
        let mut ranked: Vec<(usize, f32)> = words.iter().map(|(row, share)| (*row, *share)).collect();
        sort(&mut ranked);
        let embedding = embedding.filter(|_| !self.embeddings.is_empty());
        if let Some(embedding) = embedding {
            let near = nearest(embedding, &self.embeddings, FUSED);
            ranked.truncate(FUSED);
            ranked = fuse(ranked.iter().map(|(row, _)| *row), near.iter().map(|near| near.row));
        }
        ranked.truncate(count);
        let hit = |(row, _): (usize, f32)| {
            let (document, passage) = self.places[row];
            let words = words.get(&row).copied().unwrap_or(0.0);
            let cosine = embedding.map(|embedding| cosine(embedding, &self.embeddings[row]));
            Hit {
                document: document as usize,
                passage: passage as usize,
                relevance: Relevance { words, cosine },
            }
        };
        ranked.into_iter().map(hit).collect()
    }

    /// The BM25 score of each row that shares a word with the question, as a share of the highest possible.
    fn by_words(&self, question: &str) -> HashMap<usize, f32> {
        let mut asked = terms(question);
        asked.sort_unstable();
        asked.dedup();
        let mut scores: HashMap<usize, f32> = HashMap::new();
        let mut highest = 0.0;
        for term in asked {
            let postings = self.postings.get(&term).map_or(&[][..], Vec::as_slice);
            let (rows, with) = (self.places.len() as f32, postings.len() as f32);
            let rarity = (1.0 + (rows - with + 0.5) / (with + 0.5)).ln();
            highest += rarity;
            for Posting { row, weight } in postings {
                let row = *row as usize;
                *scores.entry(row).or_default() += rarity * weight / (weight + self.damping[row]);
            }
        }
        scores.values_mut().for_each(|score| *score /= highest);
        scores
    }

    fn at(&self, row: usize) -> (&Document, &Passage) {
        let (document, passage) = self.places[row];
        let document = &self.documents[document as usize];
        (document, &document.passages[passage as usize])
    }
}

/// The terms of a passage with how much each counts.
fn weights(document: &Document, passage: &Passage) -> HashMap<String, f32> {
    let fields = [(&document.title, TITLE_WEIGHT), (&passage.heading, HEADING_WEIGHT), (&passage.text, 1.0)];
    let mut weights = HashMap::new();
    for (text, weight) in fields {
        for term in terms(text) {
            *weights.entry(term).or_default() += weight;
        }
    }
    weights
}

/// Reciprocal rank fusion of two rankings.
fn fuse(words: impl Iterator<Item = usize>, meaning: impl Iterator<Item = usize>) -> Vec<(usize, f32)> {
    let mut scores: HashMap<usize, f32> = HashMap::new();
    for (rank, row) in words.enumerate().chain(meaning.enumerate()) {
        *scores.entry(row).or_default() += 1.0 / (FUSION + rank as f32 + 1.0);
    }
    let mut fused: Vec<_> = scores.into_iter().collect();
    sort(&mut fused);
    fused
}

/// The highest first, among equals the earlier row.
fn sort(ranked: &mut [(usize, f32)]) {
    ranked.sort_unstable_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::text::EMBEDDING;

    fn corpus() -> Corpus {
        let document = |title: &str, passages: &[(&str, &str)]| {
            let passages = passages
                .iter()
                .map(|(heading, text)| Passage { heading: (*heading).to_owned(), text: (*text).to_owned() });
            Document {
                title: title.to_owned(),
                source: "Ward leaflet".to_owned(),
                url: String::new(),
                passages: passages.collect(),
            }
        };
        Corpus::new(vec![
            document("Gout", &[("Causes", "Uric acid forms crystals in a joint."), ("Diet", "Drink water.")]),
            document("Asthma", &[("Inhalers", "A spacer helps children to use inhalers.")]),
            document("发热", &[("", "孩子发热超过三天，应去医院就诊。")]),
        ])
        .unwrap()
    }

    fn check(question: &str, quotation: Option<&str>) {
        let corpus = corpus();
        assert_eq!(corpus.answer(question, None).map(|answer| answer.quotation), quotation, "{question}");
    }

    #[test]
    fn chinese_is_found_by_pairs_of_characters() {
        let hits = corpus().search("孩子发热怎么办", None, 1);
        assert_eq!(hits[0].document, 2);
        assert!(corpus().search("怎么换轮胎", None, 1).is_empty());
    }

    #[test]
    fn answers_quote_a_passage_or_there_is_none() {
        check("What causes gout?", Some("Uric acid forms crystals in a joint."));
        check("diet for GOUT", Some("Drink water."));
        check("inhaler for a child?", None);
        check("spacer, inhaler", Some("A spacer helps children to use inhalers."));
        check("What is the best tyre for snow?", None);
        check("怎么换轮胎", None);
        check("the of and", None);
        check("", None);
    }

    #[test]
    fn meaning_is_fused_with_words() {
        let along = |axis: usize| {
            let mut vector = [0.0; EMBEDDING];
            vector[axis] = 1.0;
            vector
        };
        let corpus = corpus().with_embeddings((0..4).map(along).collect()).unwrap();
        let found = corpus.search("gout", Some(&along(1)), 9);
        // The second passage leads both rankings; those that neither knows follow in their order.
        assert_eq!((found[0].document, found[0].passage), (0, 1));
        assert_eq!(found[0].relevance.cosine, Some(1.0));
        assert_eq!(corpus.answer("swollen toe", Some(&along(2))).unwrap().title, "Asthma");
        assert!(corpus.answer("swollen toe", Some(&along(9))).is_none());
    }

    #[test]
    fn embeddings_must_fit() {
        assert_eq!(
            corpus().with_embeddings(Vec::new()).unwrap_err(),
            CorpusError::Embeddings { given: 0, passages: 4 }
        );
    }

    proptest! {
        #[test]
        fn any_question_gives_shares_in_order(question in any::<String>()) {
            let hits = corpus().search(&question, None, 10);
            let shares: Vec<f32> = hits.iter().map(|hit| hit.relevance.words).collect();
            prop_assert!(shares.is_sorted_by(|a, b| a >= b) && shares.iter().all(|share| (0.0..=1.0).contains(share)));
        }
    }
}
