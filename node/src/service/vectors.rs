//! Embeddings of many texts, made once and kept as little-endian bytes.

use inference::text::{EMBEDDING, Embedding, SentenceEncoder};

use super::models::Progress;
use super::problem::{Problem, Tried};

/// Texts that are embedded at once.
const BATCH: usize = 16;

/// The embedding of each text, in their order.
///
/// # Errors
/// [`Problem`] when the encoder fails.
pub(super) fn embed<T: AsRef<str>>(
    encoder: &SentenceEncoder,
    texts: &[T],
    progress: Progress<'_>,
) -> Result<Vec<Embedding>, Problem> {
    let mut all = Vec::with_capacity(texts.len());
    for batch in texts.chunks(BATCH) {
        let batch: Vec<&str> = batch.iter().map(AsRef::as_ref).collect();
        all.extend(encoder.embed(&batch).tried("embed the texts")?);
        progress(all.len(), texts.len());
    }
    Ok(all)
}

/// As they are kept.
pub(super) fn to_bytes(embeddings: &[Embedding]) -> Vec<u8> {
    embeddings.iter().flatten().flat_map(|value| value.to_le_bytes()).collect()
}

/// As they were kept; nothing when a row is not whole.
pub(super) fn parse(bytes: &[u8]) -> Option<Vec<Embedding>> {
    let rows = bytes.chunks_exact(EMBEDDING * 4);
    if !rows.remainder().is_empty() {
        return None;
    }
    let value = |four: &[u8]| f32::from_le_bytes([four[0], four[1], four[2], four[3]]);
    rows.map(|row| row.chunks_exact(4).map(value).collect::<Vec<f32>>().try_into().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn embeddings_come_back_and_broken_rows_do_not() {
        let mut rows = vec![[0.5; EMBEDDING]; 2];
        rows[1][3] = -1.25;
        let bytes = to_bytes(&rows);
        assert_eq!(parse(&bytes), Some(rows));
        assert_eq!(parse(&bytes[1..]), None);
        assert_eq!(parse(&[]), Some(Vec::new()));
    }
}
