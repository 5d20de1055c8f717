//! Principal components: the directions in which patients differ most. From the correlations, by Jacobi's method, which is exact
//! for the few columns there are and says by itself how many directions the data have.

use super::panel::Panel;

/// Rounds of Jacobi's method; a dozen do for 64 columns.
const ROUNDS: usize = 60;
/// A direction with less than this share of the largest is none: columns repeat each other there, but for rounding.
const NOTHING: f64 = 1e-6;

/// A direction.
#[derive(Clone, Debug, PartialEq)]
pub struct Component {
    /// The share of all variance along it, 0 to 1.
    pub share: f64,
    /// How much each column says of it, in the order of the panel; together of length 1, the largest positive.
    pub loadings: Vec<f64>,
}

/// All directions of a panel, the one with the most variance first.
#[derive(Clone, PartialEq)]
pub struct Components {
    /// As many as the data have, at most as many as columns.
    pub components: Vec<Component>,
    /// Columns that follow from others: directions without any variance.
    pub redundant: usize,
    /// Where each row lies along the first two directions; 0 along a direction that is not there.
    pub places: Vec<[f64; 2]>,
}

impl std::fmt::Debug for Components {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "Components({}, {} redundant)", self.components.len(), self.redundant)
    }
}

/// The components of a panel.
pub fn components(panel: &Panel) -> Components {
    let size = panel.columns().len();
    let mut matrix = correlations(panel);
    let turned = jacobi(&mut matrix);
    let mut found: Vec<(f64, Vec<f64>)> =
        (0..size).map(|at| (matrix[at][at].max(0.0), turned.iter().map(|row| row[at]).collect())).collect();
    found.sort_by(|one, other| other.0.total_cmp(&one.0));
    let all: f64 = found.iter().map(|(variance, _)| variance).sum();
    let largest = found.first().map_or(0.0, |(variance, _)| *variance);
    let kept: Vec<Component> = found
        .into_iter()
        .filter(|(variance, _)| *variance > NOTHING * largest)
        .map(|(variance, loadings)| Component { share: variance / all, loadings: upright(loadings) })
        .collect();
    let along = |row: &Vec<f64>, at: usize| {
        kept.get(at).map_or(0.0, |it| row.iter().zip(&it.loadings).map(|(value, part)| value * part).sum())
    };
    let places = panel.rows().iter().map(|row| [along(row, 0), along(row, 1)]).collect();
    Components { redundant: size - kept.len(), components: kept, places }
}

/// A direction and its opposite are the same: the largest loading is made positive.
fn upright(loadings: Vec<f64>) -> Vec<f64> {
    let largest = loadings.iter().copied().max_by(|one, other| one.abs().total_cmp(&other.abs()));
    let sign = if largest.is_some_and(|it| it < 0.0) { -1.0 } else { 1.0 };
    loadings.into_iter().map(|it| it * sign).collect()
}

fn correlations(panel: &Panel) -> Vec<Vec<f64>> {
    let size = panel.columns().len();
    let mut matrix = vec![vec![0.0; size]; size];
    let scale = 1.0 / (panel.rows().len() as f64 - 1.0);
    for row in panel.rows() {
        for (line, one) in matrix.iter_mut().zip(row) {
            for (cell, other) in line.iter_mut().zip(row) {
                *cell += one * other * scale;
            }
        }
    }
    matrix
}

/// Turns a symmetric matrix until only its diagonal is left (Jacobi 1846; Golub and Van Loan, Matrix Computations, 8.5). Returns
/// the turns as columns.
fn jacobi(matrix: &mut [Vec<f64>]) -> Vec<Vec<f64>> {
    let size = matrix.len();
    let mut turned: Vec<Vec<f64>> =
        (0..size).map(|row| (0..size).map(|column| f64::from(u8::from(row == column))).collect()).collect();
    for _ in 0..ROUNDS {
        let beside: f64 = (0..size)
            .flat_map(|row| (0..row).map(move |column| (row, column)))
            .map(|(row, column)| matrix[row][column].powi(2))
            .sum();
        if beside < 1e-24 {
            break;
        }
        for p in 0..size {
            for q in p + 1..size {
                turn(matrix, &mut turned, p, q);
            }
        }
    }
    turned
}

/// One turn, which makes the cell of `p` and `q` nothing.
fn turn(matrix: &mut [Vec<f64>], turned: &mut [Vec<f64>], p: usize, q: usize) {
    if matrix[p][q] == 0.0 {
        return;
    }
    let theta = (matrix[q][q] - matrix[p][p]) / (2.0 * matrix[p][q]);
    let sign = if theta < 0.0 { -1.0 } else { 1.0 };
    let tangent = sign / (theta.abs() + theta.hypot(1.0));
    let cosine = 1.0 / tangent.hypot(1.0);
    let sine = tangent * cosine;
    let rotate = |one: f64, other: f64| (cosine * one - sine * other, sine * one + cosine * other);
    for row in matrix.iter_mut().chain(turned.iter_mut()) {
        (row[p], row[q]) = rotate(row[p], row[q]);
    }
    let (upper, lower) = matrix.split_at_mut(q);
    for (one, other) in upper[p].iter_mut().zip(&mut lower[0]) {
        (*one, *other) = rotate(*one, *other);
    }
}

#[cfg(test)]
mod tests {
    use linfa::DatasetBase;
    use linfa::traits::Fit;
    use linfa_reduction::Pca;
    use ndarray_016::Array2;
    use proptest::prelude::*;

    use super::*;
    use crate::chance::Chance;

    fn noise(chance: &mut Chance) -> f64 {
        chance.below(20_001) as f64 / 1e4 - 1.0
    }

    fn panel(columns: usize, rows: Vec<Vec<f64>>) -> Panel {
        let rows: Vec<Vec<Option<f64>>> =
            rows.into_iter().map(|row| row.into_iter().map(Some).collect()).collect();
        Panel::new((0..columns).map(|at| format!("c{at}")).collect(), &rows).unwrap()
    }

    #[test]
    fn the_axes_of_a_known_ellipse_are_found() {
        // Two columns with correlation r have the variances 1 + r and 1 − r along the two diagonals.
        let mut chance = Chance::new(4, 0);
        let rows: Vec<Vec<f64>> = (0..400)
            .map(|_| {
                let (long, short) = (3.0 * noise(&mut chance), noise(&mut chance));
                vec![10.0 + long + short, 200.0 + 5.0 * (long - short)]
            })
            .collect();
        let panel = panel(2, rows);
        let found = components(&panel);
        let r = correlations(&panel)[0][1];
        assert!((found.components[0].share - (1.0 + r.abs()) / 2.0).abs() < 1e-9);
        assert!(found.components[0].loadings.iter().all(|it| (it.abs() - 0.5f64.sqrt()).abs() < 1e-9));
        assert_eq!(found.redundant, 0);
    }

    #[test]
    fn a_column_that_follows_from_others_is_counted() {
        let mut chance = Chance::new(5, 0);
        let rows: Vec<Vec<f64>> = (0..50)
            .map(|_| {
                let (a, b) = (noise(&mut chance), noise(&mut chance));
                vec![a, b, a + b, 2.0 * a]
            })
            .collect();
        let found = components(&panel(4, rows));
        assert_eq!((found.components.len(), found.redundant), (2, 2));
        assert!((found.components.iter().map(|it| it.share).sum::<f64>() - 1.0).abs() < 1e-9);
    }

    #[test]
    fn linfa_finds_the_same_directions() {
        let mut chance = Chance::new(6, 0);
        let rows: Vec<Vec<f64>> = (0..200)
            .map(|_| {
                let (a, b, c) = (noise(&mut chance), noise(&mut chance), noise(&mut chance));
                vec![4.0 * a, 4.0 * a + 2.0 * b, b + c, c, 3.0 * b - a]
            })
            .collect();
        let panel = panel(5, rows);
        let ours = components(&panel);
        let cells: Vec<f64> = panel.rows().concat();
        let dataset = DatasetBase::from(Array2::from_shape_vec((200, 5), cells).unwrap());
        let theirs = Pca::params(2).fit(&dataset).unwrap();
        // Theirs are the end of an iteration that stops early: seen is 0.993.
        for (component, direction) in ours.components.iter().zip(theirs.components().rows()) {
            let alike: f64 = component.loadings.iter().zip(direction).map(|(one, other)| one * other).sum();
            assert!(alike.abs() > 0.98, "{alike}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]

        #[test]
        fn directions_stand_upright_on_each_other_and_hold_all_variance(
            rows in prop::collection::vec(prop::collection::vec(-10.0f64..10.0, 4), 8..30),
            scale in 0.1f64..10.0,
        ) {
            let first = components(&panel(4, rows.clone()));
            prop_assert!((first.components.iter().map(|it| it.share).sum::<f64>() - 1.0).abs() < 1e-5);
            for (at, one) in first.components.iter().enumerate() {
                for (beside, other) in first.components.iter().enumerate() {
                    let product: f64 = one.loadings.iter().zip(&other.loadings).map(|(a, b)| a * b).sum();
                    prop_assert!((product - f64::from(u8::from(at == beside))).abs() < 1e-9);
                }
            }
            // Along a direction correlations stretch by its variance and turn nothing.
            let matrix = correlations(&panel(4, rows.clone()));
            for one in &first.components {
                for (line, loading) in matrix.iter().zip(&one.loadings) {
                    let stretched: f64 = line.iter().zip(&one.loadings).map(|(a, b)| a * b).sum();
                    prop_assert!((stretched - one.share * 4.0 * loading).abs() < 1e-5);
                }
            }
            // The unit of a column does not matter.
            let mut scaled = rows;
            scaled.iter_mut().for_each(|row| row[1] = row[1] * scale + 3.0);
            let second = components(&panel(4, scaled));
            for (one, other) in first.components.iter().zip(&second.components) {
                prop_assert!((one.share - other.share).abs() < 1e-9);
            }
        }
    }
}
