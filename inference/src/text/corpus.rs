//! Answers from a corpus that a clinic installs: documents are read, cut into passages and searched; what comes
//! back is a passage of one of them, word for word, with its source, or nothing.
//!
//! ```text
//! files ─ medquad, markdown ─▶ Document: title, source, passages ─▶ Corpus
//! question ─ terms ─ BM25 ─┐
//!      embedding ─ cosine ─┴ rank fusion ─▶ hits ─ is the best one near enough? ─▶ Answer
//! ```
//!
//! No text is written here and none is shortened: a passage is a stretch of its document. Who shows an answer
//! says that it is general information, whose it is, and when to call for help.

mod document;
mod evaluation;
mod index;
mod markdown;
mod medquad;
mod terms;

pub use document::{Document, Fault, MAX_FILE_BYTES, MAX_PASSAGE_WORDS, Passage, Reading};
pub use evaluation::{AcceptedAt, RetrievalFigures, Trial, accepted_at};
pub use index::{Answer, Corpus, CorpusError, Hit, MAX_PASSAGES, Relevance, Thresholds};
pub use markdown::read_markdown;
pub use medquad::read_medquad;
