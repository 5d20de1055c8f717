//! Where the level of a series changes: the split that explains most, kept if chance hardly makes one as good, and again in both
//! parts (binary segmentation; Scott and Knott, Biometrics 1974).

use super::series::{Series, SeriesError};
use super::{SEED, autocorrelation};
use crate::chance::Chance;

/// Fewer say nothing.
const LEAST_POINTS: usize = 12;
/// Points on each side of a change.
const LEAST_SIDE: usize = 5;
/// Orders that a split is compared with.
const ORDERS: usize = 999;
/// A split is kept if it is better than all but this share of orders.
const LEVEL: f64 = 0.01;
/// The most changes.
const MOST: usize = 10;
/// Beyond this, points are joined into means of so many: 999 orders of 2,000.
const MOST_POINTS: usize = 2_000;

/// A change of level.
#[derive(Clone, Debug, PartialEq)]
pub struct Change {
    /// The time of the first measurement after it, in seconds.
    pub at_s: i64,
    /// The mean from the change before (or the beginning) to here.
    pub before: f64,
    /// The mean from here to the next change (or the end).
    pub after: f64,
    /// The share of orders with as good a split.
    pub p: f64,
}

/// What changes a series has.
#[derive(Clone, Debug, PartialEq)]
pub struct Changes {
    /// In order of time.
    pub changes: Vec<Change>,
    /// How alike what is left is to what was before it, −1 to 1. Far above 0 what drifts may be called a change.
    pub autocorrelation: f64,
}

/// The changes of the level of a series.
///
/// # Errors
/// [`SeriesError::TooFew`] below twelve points.
pub fn changes(series: &Series) -> Result<Changes, SeriesError> {
    series.at_least(LEAST_POINTS)?;
    let join = series.points().len().div_ceil(MOST_POINTS);
    let joined = |part: &[(i64, f64)]| {
        (part[0].0, part.iter().map(|(_, value)| value).sum::<f64>() / part.len() as f64)
    };
    let points: Vec<(i64, f64)> = series.points().chunks(join).map(joined).collect();
    let values: Vec<f64> = points.iter().map(|(_, value)| *value).collect();
    let mut found: Vec<(usize, f64)> = Vec::new();
    let mut open = std::collections::VecDeque::from([(0, values.len())]);
    while let Some((from, to)) = open.pop_front() {
        if found.len() >= MOST {
            break;
        }
        if let Some((at, p)) = split(&values[from..to], from as u64) {
            found.push((from + at, p));
            open.extend([(from, from + at), (from + at, to)]);
        }
    }
    found.sort_by_key(|(at, _)| *at);
    let edges: Vec<usize> =
        std::iter::once(0).chain(found.iter().map(|(at, _)| *at)).chain([values.len()]).collect();
    let means: Vec<f64> = edges.windows(2).map(|edge| mean(&values[edge[0]..edge[1]])).collect();
    let left: Vec<f64> = edges
        .windows(2)
        .zip(&means)
        .flat_map(|(edge, mean)| values[edge[0]..edge[1]].iter().map(move |value| value - mean))
        .collect();
    let change = |(index, (at, p)): (usize, &(usize, f64))| Change {
        at_s: points[*at].0,
        before: means[index],
        after: means[index + 1],
        p: *p,
    };
    Ok(Changes {
        changes: found.iter().enumerate().map(change).collect(),
        autocorrelation: autocorrelation(&left),
    })
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len().max(1) as f64
}

/// The first point after the best split and the share of orders with as good a one; nothing when that is too large.
fn split(values: &[f64], stream: u64) -> Option<(usize, f64)> {
    if values.len() < 2 * LEAST_SIDE {
        return None;
    }
    // Centred and scaled, so that huge values do not drown what is compared.
    let middle = mean(values);
    let scale = values.iter().map(|value| (value - middle).abs()).fold(0.0, f64::max);
    if scale == 0.0 {
        return None;
    }
    let mut values: Vec<f64> = values.iter().map(|value| (value - middle) / scale).collect();
    let (at, best) = gain(&values);
    let mut chance = Chance::new(SEED, stream);
    // What is as good but for rounding is as good.
    let limit = best * (1.0 - 1e-9);
    let allowed = (LEVEL * (ORDERS + 1) as f64) as usize;
    let mut as_good = 0;
    for _ in 0..ORDERS {
        chance.shuffle(&mut values);
        as_good += usize::from(gain(&values).1 >= limit);
        if as_good + 1 > allowed {
            return None;
        }
    }
    Some((at, (as_good + 1) as f64 / (ORDERS + 1) as f64))
}

/// The split that takes most from the sum of squares, and how much: of centred values, with enough on each side.
fn gain(values: &[f64]) -> (usize, f64) {
    let count = values.len() as f64;
    let (mut sum, mut best) = (0.0, (0, -1.0));
    for (at, value) in values.iter().enumerate() {
        if at >= LEAST_SIDE && at + LEAST_SIDE <= values.len() {
            let before = at as f64;
            let gained = sum * sum * count / (before * (count - before));
            if gained > best.1 {
                best = (at, gained);
            }
        }
        sum += value;
    }
    best
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn of(values: &[f64]) -> Vec<Change> {
        let points = values.iter().enumerate().map(|(at, value)| (at as i64 * 60, *value)).collect();
        changes(&Series::new(points).unwrap()).unwrap().changes
    }

    fn noise(seed: u64, count: usize) -> Vec<f64> {
        let mut chance = Chance::new(seed, 78);
        (0..count).map(|_| chance.below(20_001) as f64 / 1e4 - 1.0).collect()
    }

    #[test]
    fn a_step_is_found_where_it_is_with_the_means_on_both_sides() {
        let mut values = noise(1, 80);
        values[50..].iter_mut().for_each(|value| *value += 4.0);
        let found = of(&values);
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!(found[0].at_s, 50 * 60);
        assert!((found[0].after - found[0].before - 4.0).abs() < 0.5 && found[0].p <= 0.01);
    }

    #[test]
    fn two_steps_are_both_found() {
        let mut values = noise(2, 120);
        values[40..80].iter_mut().for_each(|value| *value += 5.0);
        let found: Vec<i64> = of(&values).iter().map(|change| change.at_s / 60).collect();
        assert_eq!(found, [40, 80]);
    }

    #[test]
    fn noise_is_called_a_change_about_as_seldom_as_is_said() {
        let called = (0..200).filter(|seed| !of(&noise(*seed, 60)).is_empty()).count();
        assert!(called <= 8, "{called} of 200 at one in a hundred");
    }

    #[test]
    fn what_never_changes_has_no_change() {
        assert!(of(&[3.0; 30]).is_empty());
        assert!(of(&[1e300; 30]).is_empty());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(12))]

        #[test]
        fn shifting_and_scaling_moves_no_change(
            seed in any::<u64>(),
            shift in -50.0f64..50.0,
            scale in 0.5f64..4.0,
        ) {
            let mut values = noise(seed, 40);
            values[20..].iter_mut().for_each(|value| *value += 3.0);
            let times = |values: &[f64]| of(values).iter().map(|change| change.at_s).collect::<Vec<_>>();
            let moved: Vec<f64> = values.iter().map(|value| value * scale + shift).collect();
            prop_assert_eq!(times(&values), times(&moved));
        }
    }
}
