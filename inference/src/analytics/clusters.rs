//! Groups of patients by k-means (linfa), how many there are by the silhouette, and how steady they are when some patients are
//! left out.

use linfa::DatasetBase;
use linfa::traits::{Fit, Predict};
use linfa_clustering::{KMeans, KMeansError};
use ndarray_016::Array2;

use super::panel::Panel;
use super::{SEED, median, sorted};
use crate::chance::Chance;

/// The most groups.
pub const MAX_CLUSTERS: usize = 8;
/// Below this silhouette no structure is substantial (Kaufman and Rousseeuw 1990, table 4).
const LEAST_SILHOUETTE: f64 = 0.25;
/// Patients of a silhouette: it looks at all pairs.
const MOST_PAIRED: usize = 1_000;
/// How often some patients are left out.
const SAMPLES: usize = 20;
/// Patients of a sample at most.
const MOST_SAMPLED: usize = 2_000;
/// The share that is kept then.
const KEPT: f64 = 0.8;

/// Why there are no groups.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ClusterError {
    /// More groups than different patients, or than are looked for.
    #[error("2 to {most} groups can be looked for here")]
    Count {
        /// The most.
        most: usize,
    },
    /// The method gave up.
    #[error("the method did not come to an end")]
    Failed,
}

impl From<KMeansError> for ClusterError {
    fn from(_: KMeansError) -> Self {
        ClusterError::Failed
    }
}

/// Groups of a panel.
#[derive(Clone, PartialEq)]
pub struct Clusters {
    /// The group of each row, the largest group 0.
    pub group: Vec<usize>,
    /// How many rows each group has.
    pub sizes: Vec<usize>,
    /// The middle of each group, in the columns' own units.
    pub centres: Vec<Vec<f64>>,
    /// How much closer rows are to their own group than to the next, −1 to 1 (Rousseeuw 1987).
    pub silhouette: f64,
    /// The silhouettes of all numbers of groups that were tried.
    pub tried: Vec<(usize, f64)>,
    /// How alike the groups are when a fifth of the rows is left out: the median adjusted Rand index, 1 the same, 0 chance
    /// (Hubert and Arabie 1985).
    pub stability: f64,
}

impl std::fmt::Debug for Clusters {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "Clusters({:?})", self.sizes)
    }
}

impl Clusters {
    /// Whether the silhouette says that there are groups at all.
    pub fn substantial(&self) -> bool {
        self.silhouette >= LEAST_SILHOUETTE
    }
}

/// Groups of a panel: as many as are asked for, or the number with the best silhouette.
///
/// # Errors
/// [`ClusterError`] when there cannot be so many.
pub fn clusters(panel: &Panel, count: Option<usize>) -> Result<Clusters, ClusterError> {
    let rows = panel.rows();
    let mut different: Vec<&Vec<f64>> = rows.iter().collect();
    different.sort_by(|one, other| one.partial_cmp(other).unwrap_or(std::cmp::Ordering::Equal));
    different.dedup();
    let most = MAX_CLUSTERS.min(different.len().saturating_sub(1)).min(rows.len() / 2);
    if most < 2 || count.is_some_and(|count| !(2..=most).contains(&count)) {
        return Err(ClusterError::Count { most: most.max(2) });
    }
    let wanted = count.map_or(2..=most, |count| count..=count);
    let mut tried = Vec::new();
    let mut best: Option<(f64, Vec<usize>)> = None;
    for count in wanted {
        let group = grouped(rows, count)?;
        let silhouette = silhouette(rows, &group, count);
        tried.push((count, silhouette));
        if best.as_ref().is_none_or(|(other, _)| silhouette > *other) {
            best = Some((silhouette, group));
        }
    }
    let (silhouette, group) = best.ok_or(ClusterError::Failed)?;
    let (group, sizes) = by_size(&group);
    let centres = (0..sizes.len()).map(|number| centre(panel, &group, number)).collect();
    let stability = stability(rows, &group, sizes.len())?;
    Ok(Clusters { group, sizes, centres, silhouette, tried, stability })
}

fn dataset(rows: &[Vec<f64>]) -> DatasetBase<Array2<f64>, ndarray_016::Array1<()>> {
    let shape = (rows.len(), rows.first().map_or(0, Vec::len));
    DatasetBase::from(Array2::from_shape_vec(shape, rows.concat()).expect("rows of a panel are equally long"))
}

/// The group of each row; linfa begins with a seed of its own that is always the same.
fn grouped(rows: &[Vec<f64>], count: usize) -> Result<Vec<usize>, ClusterError> {
    let dataset = dataset(rows);
    let model = KMeans::params(count).fit(&dataset)?;
    Ok(model.predict(dataset.records()).to_vec())
}

/// Numbers groups by falling size; a group that nobody is in is none.
fn by_size(group: &[usize]) -> (Vec<usize>, Vec<usize>) {
    let highest = group.iter().copied().max().unwrap_or(0);
    let size = |number: usize| group.iter().filter(|other| **other == number).count();
    let mut order: Vec<(usize, usize)> =
        (0..=highest).map(|number| (number, size(number))).filter(|(_, size)| *size > 0).collect();
    order.sort_by(|one, other| other.1.cmp(&one.1).then(one.0.cmp(&other.0)));
    let place = |number: &usize| order.iter().position(|(other, _)| other == number).unwrap_or(0);
    (group.iter().map(place).collect(), order.iter().map(|(_, size)| *size).collect())
}

fn centre(panel: &Panel, group: &[usize], number: usize) -> Vec<f64> {
    let members: Vec<&Vec<f64>> =
        panel.rows().iter().zip(group).filter(|(_, other)| **other == number).map(|(row, _)| row).collect();
    let mean =
        |column: usize| members.iter().map(|row| row[column]).sum::<f64>() / members.len().max(1) as f64;
    (0..panel.columns().len()).map(|column| panel.measured(column, mean(column))).collect()
}

fn distance(one: &[f64], other: &[f64]) -> f64 {
    one.iter().zip(other).map(|(one, other)| (one - other).powi(2)).sum::<f64>().sqrt()
}

/// The mean silhouette; of many rows over some of them, drawn by chance.
fn silhouette(rows: &[Vec<f64>], group: &[usize], count: usize) -> f64 {
    let mut order: Vec<usize> = (0..rows.len()).collect();
    if rows.len() > MOST_PAIRED {
        Chance::new(SEED, 2).shuffle(&mut order);
        order.truncate(MOST_PAIRED);
    }
    let of = |row: usize| {
        let mut sums = vec![(0.0, 0usize); count];
        for other in order.iter().filter(|other| **other != row) {
            let (sum, members) = &mut sums[group[*other]];
            *sum += distance(&rows[row], &rows[*other]);
            *members += 1;
        }
        let mean = |number: usize| (sums[number].1 > 0).then(|| sums[number].0 / sums[number].1 as f64);
        let own = mean(group[row])?;
        let next =
            (0..count).filter(|number| *number != group[row]).filter_map(mean).fold(f64::INFINITY, f64::min);
        let larger = own.max(next);
        (larger > 0.0 && larger.is_finite()).then(|| (next - own) / larger)
    };
    // One that is alone in its group counts as neither good nor bad.
    order.iter().map(|row| of(*row).unwrap_or(0.0)).sum::<f64>() / order.len().max(1) as f64
}

/// The median likeness to the groups of samples of the rows.
fn stability(rows: &[Vec<f64>], group: &[usize], count: usize) -> Result<f64, ClusterError> {
    let kept = ((rows.len() as f64 * KEPT).ceil() as usize).min(MOST_SAMPLED);
    let mut alike = Vec::with_capacity(SAMPLES);
    for sample in 0..SAMPLES {
        let mut order: Vec<usize> = (0..rows.len()).collect();
        Chance::new(SEED, 100 + sample as u64).shuffle(&mut order);
        order.truncate(kept);
        let some: Vec<Vec<f64>> = order.iter().map(|row| rows[*row].clone()).collect();
        let again = grouped(&some, count)?;
        let before: Vec<usize> = order.iter().map(|row| group[*row]).collect();
        alike.push(adjusted_rand(&before, &again));
    }
    Ok(median(&sorted(alike.into_iter())))
}

/// How alike two ways to group the same rows are: 1 the same, about 0 by chance.
fn adjusted_rand(one: &[usize], other: &[usize]) -> f64 {
    let size = |group: &[usize]| group.iter().copied().max().map_or(0, |it| it + 1);
    let mut both = vec![vec![0.0; size(other)]; size(one)];
    one.iter().zip(other).for_each(|(row, column)| both[*row][*column] += 1.0);
    let pairs = |count: f64| count * (count - 1.0) / 2.0;
    let together: f64 = both.iter().flatten().map(|count| pairs(*count)).sum();
    let rows: f64 = both.iter().map(|row| pairs(row.iter().sum())).sum();
    let columns: f64 = (0..size(other)).map(|at| pairs(both.iter().map(|row| row[at]).sum())).sum();
    let expected = rows * columns / pairs(one.len() as f64).max(1.0);
    let most = f64::midpoint(rows, columns);
    if most > expected { (together - expected) / (most - expected) } else { 1.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn noise(chance: &mut Chance) -> f64 {
        chance.below(20_001) as f64 / 1e4 - 1.0
    }

    /// Rows round the places, one after the other.
    fn blobs(places: &[[f64; 2]], each: usize) -> Panel {
        let mut chance = Chance::new(9, 0);
        let rows: Vec<Vec<Option<f64>>> = (0..places.len() * each)
            .map(|at| places[at % places.len()].iter().map(|it| Some(it + noise(&mut chance))).collect())
            .collect();
        Panel::new(vec!["a".into(), "b".into()], &rows).unwrap()
    }

    #[test]
    fn groups_that_lie_apart_are_found_counted_and_steady() {
        let panel = blobs(&[[0.0, 0.0], [12.0, 0.0], [0.0, 12.0]], 30);
        let found = clusters(&panel, None).unwrap();
        assert_eq!(found.sizes, [30, 30, 30]);
        assert!(found.substantial() && found.silhouette > 0.7 && found.stability > 0.99);
        let three = |at: usize| found.group[at % 3];
        assert!((0..90).all(|at| found.group[at] == three(at)));
        let centre = &found.centres[found.group[1]];
        assert!((centre[0] - 12.0).abs() < 0.5 && centre[1].abs() < 0.5, "{centre:?}");
        assert_eq!(clusters(&panel, None).unwrap(), found);
    }

    #[test]
    fn one_cloud_is_not_called_groups() {
        let mut chance = Chance::new(11, 0);
        // The sum of many is round.
        let mut round = || (0..12).map(|_| noise(&mut chance)).sum::<f64>();
        let rows: Vec<Vec<Option<f64>>> = (0..200).map(|_| (0..5).map(|_| Some(round())).collect()).collect();
        let names = (0..5).map(|at| at.to_string()).collect();
        let found = clusters(&Panel::new(names, &rows).unwrap(), None).unwrap();
        assert!(!found.substantial(), "{}", found.silhouette);
    }

    #[test]
    fn more_groups_than_there_can_be_are_refused() {
        let panel = blobs(&[[0.0, 0.0], [5.0, 5.0]], 4);
        assert_eq!(clusters(&panel, Some(1)), Err(ClusterError::Count { most: 4 }));
        assert_eq!(clusters(&panel, Some(5)), Err(ClusterError::Count { most: 4 }));
        let rows: Vec<Vec<Option<f64>>> = (0..8).map(|at| vec![Some(f64::from(at % 2))]).collect();
        let twice = Panel::new(vec!["a".into()], &rows).unwrap();
        assert_eq!(clusters(&twice, Some(2)), Err(ClusterError::Count { most: 2 }));
    }

    #[test]
    fn likeness_is_one_for_the_same_and_about_nothing_by_chance() {
        assert_eq!(adjusted_rand(&[0, 0, 1, 1], &[1, 1, 0, 0]), 1.0);
        // Hubert and Arabie's index of a table worked out by hand: pairs together 1, expected 4/3 · … = 2/3.
        assert!((adjusted_rand(&[0, 0, 1, 1], &[0, 1, 0, 1]) + 0.5).abs() < 1e-12);
    }
}
