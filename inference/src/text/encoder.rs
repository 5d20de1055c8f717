//! Sentences as vectors: nearness of meaning becomes nearness of direction.
//!
//! The weights are not part of this program. Whoever installs them gives the bytes; they are used only if they
//! are the very files named here.

use super::bert::{Bert, MINILM};
use super::weights::{WeightsError, halved};
use super::wordpiece::{TokenizerError, WordPiece};
use crate::Backend;
use crate::card::sha256;

/// Values of an embedding.
pub const EMBEDDING: usize = MINILM.hidden;

/// Tokens of a text that are read, its two marks included; what lies beyond does not count
/// (`max_seq_length` of the model). About 200 English words.
pub const MAX_TOKENS: usize = 256;

/// Tokens that are computed at once, padding included. More costs memory and gains no time on a processor.
const BATCH_TOKENS: usize = 2_048;

/// The direction of a text, of length 1.
pub type Embedding = [f32; EMBEDDING];

/// A file that is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WeightsFile {
    /// Its name where it is published.
    pub name: &'static str,
    /// Its size.
    pub bytes: usize,
    /// Its SHA-256, in hexadecimal.
    pub sha256: &'static str,
}

/// The weights as sentence-transformers publishes them (Apache-2.0), single precision.
pub const WEIGHTS: WeightsFile = WeightsFile {
    name: "model.safetensors",
    bytes: 90_868_376,
    sha256: "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
};

/// The same in half precision, as [`halve`] writes them.
pub const HALF_WEIGHTS: WeightsFile = WeightsFile {
    name: "model-f16.safetensors",
    bytes: 45_141_872,
    sha256: "ef4f66adbac55a55f9d5a2d865d84a17f42e2f202b49d0235c77d3cdd5b19ce9",
};

/// The words that the weights know.
pub const TOKENIZER: WeightsFile = WeightsFile {
    name: "tokenizer.json",
    bytes: 466_247,
    sha256: "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
};

impl WeightsFile {
    /// Whether these are its bytes.
    pub fn is(&self, bytes: &[u8]) -> bool {
        bytes.len() == self.bytes && sha256(bytes) == self.sha256
    }
}

/// Why there is no encoder, or no embedding.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EncoderError {
    /// The weights are not one of the known files.
    #[error(
        "the weights are not those of all-MiniLM-L6-v2: {bytes} bytes with another hash than {}; \
         fetch the file again",
        WEIGHTS.name
    )]
    UnknownWeights {
        /// How many bytes were given.
        bytes: usize,
    },
    /// The tokenizer is not the known file.
    #[error("{} is not that of all-MiniLM-L6-v2 ({bytes} bytes were given); fetch the file again", TOKENIZER.name)]
    UnknownTokenizer {
        /// How many bytes were given.
        bytes: usize,
    },
    /// The weights do not fit the network.
    #[error("the weights of the sentence encoder cannot be used")]
    Weights(#[from] WeightsError),
    /// The tokenizer does not fit the network.
    #[error("the tokenizer of the sentence encoder cannot be used")]
    Tokenizer(#[from] TokenizerError),
    /// The backend gave no numbers.
    #[error("the sentence encoder gave no result")]
    NoResult,
}

/// all-MiniLM-L6-v2, ready to use.
pub struct SentenceEncoder {
    words: WordPiece,
    network: Bert,
}

impl std::fmt::Debug for SentenceEncoder {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("SentenceEncoder")
    }
}

impl SentenceEncoder {
    /// Takes the bytes of [`WEIGHTS`] or [`HALF_WEIGHTS`] and of [`TOKENIZER`]. Other files are refused by their
    /// size and hash before a byte of them is read.
    pub fn load(weights: &[u8], tokenizer: &[u8], backend: Backend) -> Result<SentenceEncoder, EncoderError> {
        if !WEIGHTS.is(weights) && !HALF_WEIGHTS.is(weights) {
            return Err(EncoderError::UnknownWeights { bytes: weights.len() });
        }
        if !TOKENIZER.is(tokenizer) {
            return Err(EncoderError::UnknownTokenizer { bytes: tokenizer.len() });
        }
        Ok(SentenceEncoder {
            words: WordPiece::read(tokenizer, MINILM.words)?,
            network: Bert::read(weights, MINILM, backend.device())?,
        })
    }

    /// The embedding of each text, in the order given. A text may be empty; of a long one the first
    /// [`MAX_TOKENS`] tokens count.
    pub fn embed(&self, texts: &[&str]) -> Result<Vec<Embedding>, EncoderError> {
        let tokens: Vec<Vec<u32>> = texts.iter().map(|text| self.tokens(text)).collect();
        // Texts of like length together: little padding.
        let mut order: Vec<usize> = (0..texts.len()).collect();
        order.sort_by_key(|text| std::cmp::Reverse(tokens[*text].len()));
        let mut embeddings = vec![[0.0; EMBEDDING]; texts.len()];
        let mut left = order.as_slice();
        while let Some(longest) = left.first() {
            let batch;
            (batch, left) = left.split_at((BATCH_TOKENS / tokens[*longest].len()).clamp(1, left.len()));
            let rows: Vec<&[u32]> = batch.iter().map(|text| tokens[*text].as_slice()).collect();
            let means = self.network.means(&rows).ok_or(EncoderError::NoResult)?;
            for (text, mean) in batch.iter().zip(means.as_chunks::<EMBEDDING>().0) {
                embeddings[*text] = unit(mean);
            }
        }
        Ok(embeddings)
    }

    /// The tokens that a text is read as, its two marks included, at most [`MAX_TOKENS`].
    pub fn tokens(&self, text: &str) -> Vec<u32> {
        self.words.tokens(text, MAX_TOKENS)
    }
}

/// [`WEIGHTS`] in half precision: [`HALF_WEIGHTS`], half as many bytes, for keeping and sending. They are widened
/// once when they are loaded, so they compute at the same speed.
pub fn halve(weights: &[u8]) -> Result<Vec<u8>, EncoderError> {
    if !WEIGHTS.is(weights) {
        return Err(EncoderError::UnknownWeights { bytes: weights.len() });
    }
    Ok(halved(weights, Bert::wants)?)
}

/// The vector in the same direction with length 1.
fn unit(vector: &Embedding) -> Embedding {
    // The reference has the same lower bound.
    let length = vector.iter().map(|value| value * value).sum::<f32>().sqrt().max(1e-12);
    vector.map(|value| value / length)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_files_are_refused_by_size_and_hash() {
        let refused = SentenceEncoder::load(b"weights", b"", Backend::Flex).unwrap_err().to_string();
        assert!(refused.contains("7 bytes"), "{refused}");
        assert!(matches!(
            SentenceEncoder::load(&vec![0; WEIGHTS.bytes], b"", Backend::Flex),
            Err(EncoderError::UnknownWeights { bytes }) if bytes == WEIGHTS.bytes
        ));
        assert!(halve(b"").is_err() && !TOKENIZER.is(&vec![b' '; TOKENIZER.bytes]));
    }
}
