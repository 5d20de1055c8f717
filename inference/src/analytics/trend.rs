//! Whether a series rises or falls, how fast, and how sure that is: the slope of Theil and Sen and the test of Mann and Kendall,
//! which a few wild values do not move.

use super::series::{Series, SeriesError};
use super::{autocorrelation, median, sorted, two_sided};

/// Fewer say nothing.
const LEAST_POINTS: usize = 6;
/// Points beyond this are thinned evenly: two million pairs.
const MOST_POINTS: usize = 2_000;
/// The 97.5 % point of the normal distribution.
const Z_95: f64 = 1.959_964;
const DAY_S: f64 = 86_400.0;

/// A trend.
#[derive(Clone, Debug, PartialEq)]
pub struct Trend {
    /// The median slope over all pairs, for each day (Theil 1950, Sen 1968).
    pub per_day: f64,
    /// The interval that holds the slope with 95 % (Sen, JASA 1968).
    pub low: f64,
    /// Its other end.
    pub high: f64,
    /// The value of the line at the first point.
    pub start: f64,
    /// The test of Mann (1945) and Kendall, two-sided; points that follow each other closely count for less.
    pub p: f64,
    /// Kendall's τ, −1 to 1.
    pub tau: f64,
    /// How alike what is left is to what was before it, −1 to 1; above 0 the interval and p are widened for it.
    pub autocorrelation: f64,
    /// Points that were used.
    pub used: usize,
}

/// The trend of a series.
///
/// # Errors
/// [`SeriesError::TooFew`] below six points.
pub fn trend(series: &Series) -> Result<Trend, SeriesError> {
    series.at_least(LEAST_POINTS)?;
    let step = series.points().len().div_ceil(MOST_POINTS);
    let points: Vec<(i64, f64)> = series.points().iter().copied().step_by(step).collect();
    let first = points[0].0;
    let days = |at_s: i64| at_s.saturating_sub(first) as f64 / DAY_S;
    let mut slopes = Vec::with_capacity(points.len() * (points.len() - 1) / 2);
    let mut concordance = 0_i64;
    for (index, one) in points.iter().enumerate() {
        for other in &points[index + 1..] {
            let change = other.1 - one.1;
            slopes.push(change * DAY_S / other.0.saturating_sub(one.0) as f64);
            concordance += i64::from(change > 0.0) - i64::from(change < 0.0);
        }
    }
    slopes.sort_by(f64::total_cmp);
    let per_day = median(&slopes);
    let intercepts = sorted(points.iter().map(|(at_s, value)| value - per_day * days(*at_s)));
    let start = median(&intercepts);
    let left: Vec<f64> = points.iter().map(|(at_s, value)| value - start - per_day * days(*at_s)).collect();
    let alike = autocorrelation(&left);
    let variance = variance(&points) * inflation(alike);
    let s = concordance as f64;
    let z = if variance > 0.0 { (s - s.signum() * f64::from(s != 0.0)) / variance.sqrt() } else { 0.0 };
    // Sen's interval: the slopes that lie so many ranks beside the middle.
    let ranks = Z_95 * variance.sqrt();
    let pairs = slopes.len() as f64;
    let at = |rank: f64| slopes[(rank.clamp(0.0, pairs - 1.0)) as usize];
    let (low, high) = (at(((pairs - ranks) / 2.0).floor() - 1.0), at(f64::midpoint(pairs, ranks).ceil()));
    Ok(Trend {
        per_day,
        low,
        high,
        start,
        p: two_sided(z),
        tau: s / pairs,
        autocorrelation: alike,
        used: points.len(),
    })
}

/// The variance of the sum of signs when nothing trends, with ties taken out (Kendall 1975).
fn variance(points: &[(i64, f64)]) -> f64 {
    let term = |count: f64| count * (count - 1.0) * (2.0 * count + 5.0);
    let values = sorted(points.iter().map(|(_, value)| *value));
    let ties: f64 = values.chunk_by(|one, other| one == other).map(|same| term(same.len() as f64)).sum();
    (term(points.len() as f64) - ties) / 18.0
}

/// By how much the variance grows when what follows is like what was before: (1 + r) / (1 − r), for the number of points that
/// are worth as much as independent ones (Yue and Wang, Water Resources Management 2004, first order).
fn inflation(alike: f64) -> f64 {
    const MOST: f64 = 0.95;
    let r = alike.clamp(0.0, MOST);
    (1.0 + r) / (1.0 - r)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::chance::Chance;

    const DAY: i64 = 86_400;

    fn of(values: impl IntoIterator<Item = f64>) -> Trend {
        let points = values.into_iter().enumerate().map(|(day, value)| (day as i64 * DAY, value)).collect();
        trend(&Series::new(points).unwrap()).unwrap()
    }

    /// Noise with mean 0 from −1 to 1.
    fn noise(seed: u64, count: usize) -> Vec<f64> {
        let mut chance = Chance::new(seed, 77);
        (0..count).map(|_| chance.below(20_001) as f64 / 1e4 - 1.0).collect()
    }

    #[test]
    fn a_line_gives_its_slope_and_one_wild_value_does_not_move_it() {
        let line = of((0..20).map(|day| 5.0 + 2.0 * f64::from(day)));
        assert!((line.per_day - 2.0).abs() < 1e-12 && (line.start - 5.0).abs() < 1e-12);
        assert_eq!((line.tau, line.low, line.high), (1.0, line.per_day, line.per_day));
        assert!(line.p < 1e-6);
        let wild = of((0..20).map(|day| if day == 10 { 1e6 } else { 5.0 + 2.0 * f64::from(day) }));
        assert!((wild.per_day - 2.0).abs() < 1e-9);
    }

    #[test]
    fn a_worked_example_gives_the_published_test() {
        // S = 45 − 2·(discordant pairs): of ten rising values with one pair swapped S is 43, and var(S) = 125.
        let swapped = [1.0, 2.0, 3.0, 4.0, 6.0, 5.0, 7.0, 8.0, 9.0, 10.0];
        let trend = of(swapped);
        assert!((trend.tau - 43.0 / 45.0).abs() < 1e-12);
        assert!((variance(&swapped.map(|value| (0, value))) - 125.0).abs() < 1e-9);
        assert!(trend.autocorrelation < 0.0);
        assert!((trend.p - two_sided(42.0 / 125f64.sqrt())).abs() < 1e-12);
    }

    #[test]
    fn noise_is_called_a_trend_about_as_seldom_as_is_said() {
        let called = (0..200).filter(|seed| of(noise(*seed, 40)).p < 0.05).count();
        assert!((1..=20).contains(&called), "{called} of 200");
        let held = (0..200)
            .filter(|seed| {
                let values = noise(*seed, 40).into_iter().enumerate();
                let trend = of(values.map(|(day, value)| 0.1 * day as f64 + value));
                trend.low <= 0.1 && 0.1 <= trend.high
            })
            .count();
        assert!(held >= 180, "{held} of 200");
    }

    #[test]
    fn a_walk_is_called_a_trend_less_often_than_without_the_correction() {
        let walk = |seed| {
            let steps = noise(seed, 60);
            steps.into_iter().scan(0.0, |at, step| {
                *at = 0.7 * *at + step;
                Some(*at)
            })
        };
        let trends: Vec<Trend> = (0..100).map(|seed| of(walk(seed))).collect();
        let called = trends.iter().filter(|trend| trend.p < 0.05).count();
        assert!(called <= 20, "{called} of 100");
        assert!(trends.iter().filter(|trend| trend.autocorrelation > 0.3).count() > 80);
    }

    #[test]
    fn times_that_are_far_apart_do_not_break_it() {
        let times = [i64::MIN, -5, 0, 7, 1 << 60, i64::MAX];
        let points = times.into_iter().enumerate().map(|(at, at_s)| (at_s, at as f64)).collect();
        assert!(trend(&Series::new(points).unwrap()).unwrap().per_day.is_finite());
    }

    #[test]
    fn five_points_are_too_few() {
        let five = Series::new((0..5).map(|at| (at, at as f64)).collect()).unwrap();
        assert_eq!(trend(&five), Err(SeriesError::TooFew { needed: 6, found: 5 }));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn shifting_and_scaling_does_to_the_slope_what_it_does_to_a_line(
            values in prop::collection::vec(-100.0f64..100.0, 6..40),
            shift in -50.0f64..50.0,
            scale in 0.5f64..4.0,
        ) {
            let plain = of(values.clone());
            let moved = of(values.iter().map(|value| value * scale + shift));
            prop_assert!((moved.per_day - plain.per_day * scale).abs() < 1e-6);
            prop_assert!((moved.p - plain.p).abs() < 1e-6);
            let turned = of(values.iter().map(|value| -value));
            prop_assert!((turned.per_day + plain.per_day).abs() < 1e-9);
        }
    }
}
