//! How well a corpus is searched, and how near a passage must be before it is an answer.

use super::index::{Relevance, Thresholds};

/// A question whose document is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trial {
    /// The question.
    pub question: String,
    /// Place of its document in the corpus.
    pub document: usize,
}

/// How often the right document was found.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct RetrievalFigures {
    /// Questions asked.
    pub questions: usize,
    /// Mean of one over the rank of the right document, 0 beyond rank 10.
    pub mean_reciprocal_rank: f64,
    /// Share of questions with the right document first.
    pub first: f64,
    /// Share of questions with the right document among the first five.
    pub among_five: f64,
}

impl RetrievalFigures {
    /// Of rankings of passages, given as the documents they are of, each with the right document. A document counts
    /// once, where its first passage stands.
    pub fn of<'a>(rankings: impl IntoIterator<Item = (&'a [usize], usize)>) -> RetrievalFigures {
        let mut figures = RetrievalFigures::default();
        for (documents, right) in rankings {
            figures.questions += 1;
            let Some(rank) = rank(documents, right) else { continue };
            figures.mean_reciprocal_rank += if rank <= 10 { 1.0 / rank as f64 } else { 0.0 };
            figures.first += f64::from(u8::from(rank == 1));
            figures.among_five += f64::from(u8::from(rank <= 5));
        }
        let questions = figures.questions.max(1) as f64;
        figures.mean_reciprocal_rank /= questions;
        figures.first /= questions;
        figures.among_five /= questions;
        figures
    }
}

/// The rank of a document, from 1, each document before it counted once.
fn rank(documents: &[usize], right: usize) -> Option<usize> {
    let at = documents.iter().position(|document| *document == right)?;
    let mut before = documents[..at].to_vec();
    before.sort_unstable();
    before.dedup();
    Some(before.len() + 1)
}

/// What answering at a pair of thresholds would do.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AcceptedAt {
    /// The thresholds.
    pub thresholds: Thresholds,
    /// Share of questions on the topics of the corpus that get an answer from the right document.
    pub right: f64,
    /// Share of them that get an answer from another document, which may be a good one too.
    pub other: f64,
    /// Share of questions on other topics that get an answer.
    pub false_answers: f64,
}

/// What answering at these thresholds does, for the best hit of each question on the topics of the corpus, with
/// whether it is of the right document, and of each question on other topics.
pub fn accepted_at(thresholds: Thresholds, on: &[(Relevance, bool)], off: &[Relevance]) -> AcceptedAt {
    let share = |count: usize, of: usize| count as f64 / of.max(1) as f64;
    let answered =
        |wanted| on.iter().filter(|(near, right)| *right == wanted && near.reaches(&thresholds)).count();
    AcceptedAt {
        thresholds,
        right: share(answered(true), on.len()),
        other: share(answered(false), on.len()),
        false_answers: share(off.iter().filter(|near| near.reaches(&thresholds)).count(), off.len()),
    }
}

impl AcceptedAt {
    /// The thresholds, in steps of 0.01, that give the most right answers with at most this share of false ones;
    /// among equals the strictest.
    pub fn best(on: &[(Relevance, bool)], off: &[Relevance], most_false: f64) -> AcceptedAt {
        let steps = |with: bool| if with { 0..=100 } else { 100..=100 };
        let with_cosine = on.iter().any(|(near, _)| near.cosine.is_some());
        let all = steps(true).flat_map(|words| steps(with_cosine).map(move |cosine| (words, cosine)));
        let strictest = accepted_at(Thresholds { words: f32::INFINITY, cosine: f32::INFINITY }, on, off);
        all.map(|(words, cosine)| Thresholds { words: words as f32 / 100.0, cosine: cosine as f32 / 100.0 })
            .map(|thresholds| accepted_at(thresholds, on, off))
            .filter(|accepted| accepted.false_answers <= most_false)
            .fold(strictest, |best, next| if next.right >= best.right { next } else { best })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_count_once() {
        let rankings = [(&[7, 7, 7, 3][..], 3), (&[3, 1][..], 3), (&[1, 2][..], 3)];
        let figures = RetrievalFigures::of(rankings);
        assert_eq!((figures.questions, figures.mean_reciprocal_rank), (3, 0.5));
        assert!((figures.first - 1.0 / 3.0).abs() < 1e-9 && (figures.among_five - 2.0 / 3.0).abs() < 1e-9);
        assert_eq!(RetrievalFigures::of([]).questions, 0);
    }

    #[test]
    fn best_thresholds_keep_false_answers_out() {
        let near = |words| Relevance { words, cosine: None };
        let on = [(near(0.9), true), (near(0.5), true), (near(0.2), false)];
        let off = [near(0.3), near(0.6)];
        assert_eq!(AcceptedAt::best(&on, &off, 0.5).right, 2.0 / 3.0);
        let strict = AcceptedAt::best(&on, &off, 0.0);
        assert!((strict.right, strict.false_answers) == (1.0 / 3.0, 0.0) && strict.thresholds.words > 0.6);
    }
}
