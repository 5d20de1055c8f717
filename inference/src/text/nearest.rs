//! The nearest rows of a matrix of embeddings, by looking at every row: thousands take a few milliseconds.

use super::Embedding;

/// A row that is near.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Neighbour {
    /// Its place in the matrix.
    pub row: usize,
    /// Cosine of the angle between the two, −1 to 1.
    pub cosine: f32,
}

/// The `count` rows nearest to `query`, the nearest first, the earlier row first among equals. A vector of zeros
/// is near to nothing: its cosine counts as 0.
pub fn nearest(query: &Embedding, rows: &[Embedding], count: usize) -> Vec<Neighbour> {
    let length = dot(query, query).sqrt();
    let mut all: Vec<Neighbour> = rows
        .iter()
        .enumerate()
        .map(|(row, other)| Neighbour {
            row,
            cosine: ratio(dot(query, other), length * dot(other, other).sqrt()),
        })
        .collect();
    let order = |a: &Neighbour, b: &Neighbour| b.cosine.total_cmp(&a.cosine).then(a.row.cmp(&b.row));
    if count < all.len() {
        all.select_nth_unstable_by(count, order);
        all.truncate(count);
    }
    all.sort_unstable_by(order);
    all
}

/// Cosine of the angle between two embeddings, −1 to 1.
pub(crate) fn cosine(a: &Embedding, b: &Embedding) -> f32 {
    ratio(dot(a, b), (dot(a, a) * dot(b, b)).sqrt())
}

fn ratio(product: f32, lengths: f32) -> f32 {
    let cosine = product / lengths;
    if cosine.is_finite() { cosine.clamp(-1.0, 1.0) } else { 0.0 }
}

fn dot(a: &Embedding, b: &Embedding) -> f32 {
    // Eight sums side by side, which the compiler turns into vector instructions.
    let mut sums = [0.0; 8];
    for (a, b) in a.chunks_exact(8).zip(b.chunks_exact(8)) {
        for (sum, (a, b)) in sums.iter_mut().zip(a.iter().zip(b)) {
            *sum += a * b;
        }
    }
    sums.iter().sum()
}

#[cfg(test)]
mod tests {
    use super::super::EMBEDDING;
    use super::*;

    fn along(axis: usize, length: f32) -> Embedding {
        let mut vector = [0.0; EMBEDDING];
        vector[axis] = length;
        vector
    }

    #[test]
    fn nearest_first_whatever_the_length() {
        let mut slanted = along(0, 3.0);
        slanted[1] = 3.0;
        let rows = [along(1, 5.0), slanted, along(0, 0.1), along(0, -2.0)];
        let found = nearest(&along(0, 7.0), &rows, 3);
        assert_eq!(found.iter().map(|near| near.row).collect::<Vec<_>>(), [2, 1, 0]);
        assert!((found[1].cosine - 0.5_f32.sqrt()).abs() < 1e-6);
        assert_eq!(nearest(&along(0, 1.0), &rows, 99).len(), 4);
        assert!(nearest(&along(0, 1.0), &rows, 0).is_empty());
    }

    #[test]
    fn zeros_and_numbers_that_are_none_are_near_to_nothing() {
        let rows = [along(0, f32::NAN), along(0, 0.0), along(0, 1.0)];
        assert_eq!(nearest(&along(0, 1.0), &rows, 1)[0].row, 2);
        assert!(nearest(&along(0, 0.0), &rows, 3).iter().all(|near| near.cosine == 0.0));
    }
}
