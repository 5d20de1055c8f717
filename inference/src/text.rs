//! Text on the device: what a sentence means as a vector, which vectors are near, and which passage of a
//! clinic's own corpus answers a question. Nothing here writes a sentence of its own.
//!
//! ```text
//! text ─ WordPiece ─▶ tokens ─ Bert ─▶ mean over tokens ─▶ Embedding (unit length) ─ nearest ─▶ rows
//! documents ─▶ Corpus: passages ─ BM25, cosine, rank fusion ─▶ Answer: a quotation with its source, or nothing
//! ```
//!
//! The encoder is all-MiniLM-L6-v2 (Reimers and Gurevych, EMNLP 2019; Wang et al., NeurIPS 2020). It learned
//! English: what it says of Chinese is worth little, and the corpus then goes by words alone.

mod bert;
pub mod corpus;
mod encoder;
mod nearest;
mod weights;
mod wordpiece;

#[cfg(feature = "bench")]
pub(crate) use bert::{Bert, MINILM};
pub use encoder::{
    EMBEDDING, Embedding, EncoderError, HALF_WEIGHTS, MAX_TOKENS, SentenceEncoder, TOKENIZER, WEIGHTS,
    WeightsFile, halve,
};
pub use nearest::{Neighbour, nearest};
