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
const DAY_S: f64 = 86_400.0;

/// A change of level.
#[derive(Clone, Debug, PartialEq)]
pub struct Change {
    /// The time of the first measurement after it, in seconds.
    pub at_s: i64,
    /// The level right before it.
    pub before: f64,
    /// The level right after it.
    pub after: f64,
    /// The share of orders with as good a split.
    pub p: f64,
}

/// What changes a series has.
#[derive(Clone, Debug, PartialEq)]
pub struct Changes {
    /// In order of time.
    pub changes: Vec<Change>,
    /// How the level drifts between changes, for each day; 0 when steps alone explain the series as well.
    pub drift_per_day: f64,
    /// The level between changes: its two ends.
    pub levels: Vec<[(i64, f64); 2]>,
    /// How alike what is left is to what was before it, −1 to 1. Far above 0 what wanders may be called a change.
    pub autocorrelation: f64,
}

/// The changes of the level of a series. A series that drifts is not cut into stairs: steps alone, and steps beside a steady drift,
/// are weighed by what they leave unexplained and how many numbers they need (Schwarz, Annals of Statistics 1978).
///
/// # Errors
/// [`SeriesError::TooFew`] below twelve points.
pub fn changes(series: &Series) -> Result<Changes, SeriesError> {
    series.at_least(LEAST_POINTS)?;
    let join = series.points().len().div_ceil(MOST_POINTS);
    let joined = |part: &[(i64, f64)]| {
        (part[0].0, part.iter().map(|(_, value)| value / part.len() as f64).sum::<f64>())
    };
    let points: Vec<(i64, f64)> = series.points().chunks(join).map(joined).collect();
    let days: Vec<f64> =
        points.iter().map(|(at_s, _)| at_s.saturating_sub(points[0].0) as f64 / DAY_S).collect();
    let values: Vec<f64> = points.iter().map(|(_, value)| *value).collect();
    let plain = Steps::of(&days, &values, 0.0);
    let first = plain.first.map_or(vec![0, values.len()], |at| vec![0, at, values.len()]);
    let slopes = [slope(&days, &values, &[0, values.len()]), slope(&days, &values, &first)];
    let drifting = slopes.into_iter().filter(|slope| slope.is_finite() && *slope != 0.0);
    let all: Vec<Steps> =
        std::iter::once(plain).chain(drifting.map(|slope| Steps::of(&days, &values, slope))).collect();
    let whole = squares(&values, &[0, values.len()]);
    let weighed = all.iter().map(|steps| (steps, steps.weight(values.len(), whole)));
    let best = weighed.min_by(|one, other| one.1.total_cmp(&other.1)).map_or(&all[0], |(steps, _)| steps);
    Ok(best.told(&points, &days, &values))
}

/// A series cut into steps, beside a drift.
struct Steps {
    drift: f64,
    /// Where each part begins, and where the last ends.
    edges: Vec<usize>,
    /// Of each cut.
    p: Vec<f64>,
    /// The cut that was found first: it explains most.
    first: Option<usize>,
    /// What is left unexplained.
    square: f64,
}

impl Steps {
    fn of(days: &[f64], values: &[f64], drift: f64) -> Steps {
        let level: Vec<f64> = values.iter().zip(days).map(|(value, day)| value - drift * day).collect();
        let mut found: Vec<(usize, f64)> = Vec::new();
        let mut open = std::collections::VecDeque::from([(0, level.len())]);
        while let Some((from, to)) = open.pop_front() {
            if found.len() >= MOST {
                break;
            }
            if let Some((at, p)) = split(&level[from..to], from as u64) {
                found.push((from + at, p));
                open.extend([(from, from + at), (from + at, to)]);
            }
        }
        let first = found.first().map(|(at, _)| *at);
        found.sort_by_key(|(at, _)| *at);
        let cuts = found.iter().map(|(at, _)| *at);
        let edges: Vec<usize> = std::iter::once(0).chain(cuts).chain([level.len()]).collect();
        let square = squares(&level, &edges);
        Steps { drift, edges, p: found.into_iter().map(|(_, p)| p).collect(), first, square }
    }

    /// Less is better. A step needs two numbers, its place and its height; what is left cannot count for less than rounding.
    fn weight(&self, count: usize, whole: f64) -> f64 {
        let count = count as f64;
        let numbers = 2.0 * self.p.len() as f64 + f64::from(u8::from(self.drift != 0.0));
        count * (self.square.max(whole * 1e-12).max(f64::MIN_POSITIVE) / count).ln() + numbers * count.ln()
    }

    fn told(&self, points: &[(i64, f64)], days: &[f64], values: &[f64]) -> Changes {
        let level: Vec<f64> = values.iter().zip(days).map(|(value, day)| value - self.drift * day).collect();
        let means: Vec<f64> = self.edges.windows(2).map(|edge| mean(&level[edge[0]..edge[1]])).collect();
        let parts = self.edges.windows(2).zip(&means);
        let left: Vec<f64> = parts
            .clone()
            .flat_map(|(edge, mean)| level[edge[0]..edge[1]].iter().map(move |value| value - mean))
            .collect();
        // A part lasts until the next begins.
        let ends = |edge: &[usize], mean: f64| {
            [edge[0], edge[1].min(points.len() - 1)].map(|at| (points[at].0, mean + self.drift * days[at]))
        };
        let levels: Vec<[(i64, f64); 2]> = parts.map(|(edge, mean)| ends(edge, *mean)).collect();
        let change = |(pair, p): (&[[(i64, f64); 2]], &f64)| Change {
            at_s: pair[1][0].0,
            before: pair[0][1].1,
            after: pair[1][0].1,
            p: *p,
        };
        Changes {
            changes: levels.windows(2).zip(&self.p).map(change).collect(),
            drift_per_day: self.drift,
            autocorrelation: autocorrelation(&left),
            levels,
        }
    }
}

/// The slope that all parts share, by least squares.
fn slope(days: &[f64], values: &[f64], edges: &[usize]) -> f64 {
    let (mut both, mut square) = (0.0, 0.0);
    for edge in edges.windows(2) {
        let (days, values) = (&days[edge[0]..edge[1]], &values[edge[0]..edge[1]]);
        let (day, value) = (mean(days), mean(values));
        both += days.iter().zip(values).map(|(d, v)| (d - day) * (v - value)).sum::<f64>();
        square += days.iter().map(|d| (d - day).powi(2)).sum::<f64>();
    }
    both / square
}

/// The sum of squares about the mean of each part.
fn squares(values: &[f64], edges: &[usize]) -> f64 {
    let part = |edge: &[usize]| {
        let values = &values[edge[0]..edge[1]];
        let middle = mean(values);
        values.iter().map(|value| (value - middle).powi(2)).sum::<f64>()
    };
    edges.windows(2).map(part).sum()
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
    fn a_drift_is_no_stairs_and_a_step_in_it_is_found() {
        for seed in 0..20 {
            let drift: Vec<f64> =
                noise(seed, 90).iter().enumerate().map(|(at, noise)| noise - 0.1 * at as f64).collect();
            assert!(of(&drift).len() <= 1, "{seed}");
            let step: Vec<f64> =
                drift.iter().enumerate().map(|(at, value)| value + if at < 50 { 0.0 } else { 6.0 }).collect();
            let found = of(&step);
            assert!(found.iter().any(|change| (change.at_s / 60 - 50).abs() <= 1), "{seed}: {found:?}");
            assert!(found.len() <= 2, "{seed}: {found:?}");
        }
        let calm = (0..20).filter(|seed| {
            let drift = noise(*seed, 90).into_iter().enumerate().map(|(at, noise)| noise - 0.1 * at as f64);
            of(&drift.collect::<Vec<_>>()).is_empty()
        });
        assert!(calm.count() >= 18);
    }

    #[test]
    fn stairs_are_stairs() {
        let values: Vec<f64> =
            noise(3, 120).iter().enumerate().map(|(at, noise)| noise + (at / 40) as f64 * 5.0).collect();
        let found: Vec<i64> = of(&values).iter().map(|change| change.at_s / 60).collect();
        assert_eq!(found, [40, 80]);
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
