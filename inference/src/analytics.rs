//! Statistics over numbers that nobody learned anything from: groups and components of a panel of patients; trend, changes and
//! forecast of one series. Every answer comes with how sure it is and what was left out.
//!
//! Chance has a seed: the same numbers give the same answer.

mod change;
mod clusters;
mod components;
mod drawing;
mod forecast;
mod panel;
mod series;
mod trend;

pub use change::{Change, Changes, changes};
pub use clusters::{ClusterError, Clusters, MAX_CLUSTERS, clusters};
pub use components::{Component, Components, components};
pub use drawing::{changes_chart, forecast_chart, panel_chart, trend_chart};
pub use forecast::{Backtest, EvenForecast, ForecastError, MAX_STEPS, Step, forecast};
pub use panel::{Dropped, Imputed, MAX_COLUMNS, MAX_ROWS, MIN_ROWS, Panel, PanelError, WhyDropped};
pub use series::{MAX_POINTS, Series, SeriesError};
pub use trend::{Trend, trend};

/// The seed of every draw here.
pub(crate) const SEED: u64 = 1;

/// The middle of sorted values; half way between the two middle ones.
pub(crate) fn median(sorted: &[f64]) -> f64 {
    let half = sorted.len() / 2;
    match sorted.len() {
        0 => f64::NAN,
        count if count % 2 == 1 => sorted[half],
        _ => f64::midpoint(sorted[half - 1], sorted[half]),
    }
}

/// The value below which a share of sorted values lies: the nearest rank.
pub(crate) fn quantile(sorted: &[f64], share: f64) -> Option<f64> {
    let rank = (share * sorted.len() as f64).ceil() as usize;
    sorted.get(rank.max(1) - 1).copied()
}

pub(crate) fn sorted(values: impl Iterator<Item = f64>) -> Vec<f64> {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values
}

/// The chance that a normal value lies at least so far from its mean on either side: Abramowitz and Stegun 7.1.26, good to
/// 1.5·10⁻⁷.
pub(crate) fn two_sided(z: f64) -> f64 {
    let x = z.abs() / std::f64::consts::SQRT_2;
    let t = 1.0 / (1.0 + 0.327_591_1 * x);
    let polynomial = t
        * (0.254_829_592
            + t * (-0.284_496_736 + t * (1.421_413_741 + t * (-1.453_152_027 + t * 1.061_405_429))));
    (polynomial * (-x * x).exp()).clamp(0.0, 1.0)
}

/// How alike values are to those before them, −1 to 1; 0 where nothing varies.
pub(crate) fn autocorrelation(values: &[f64]) -> f64 {
    let mean = values.iter().sum::<f64>() / values.len().max(1) as f64;
    let square: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
    let both: f64 = values.windows(2).map(|pair| (pair[0] - mean) * (pair[1] - mean)).sum();
    if square > 0.0 { both / square } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_normal_tail_is_that_of_the_tables() {
        for (z, p) in [(0.0, 1.0), (1.0, 0.317_311), (1.959_964, 0.05), (-2.575_829, 0.01)] {
            assert!((two_sided(z) - p).abs() < 1e-5, "{z}");
        }
    }

    #[test]
    fn middle_and_ranks_are_those_of_the_textbook() {
        assert_eq!(median(&[1.0, 2.0, 10.0]), 2.0);
        assert_eq!(median(&[1.0, 2.0, 4.0, 10.0]), 3.0);
        assert!(median(&[]).is_nan());
        assert_eq!(quantile(&[1.0, 2.0, 3.0, 4.0, 5.0], 0.8), Some(4.0));
        assert_eq!(quantile(&[], 0.5), None);
        assert!(autocorrelation(&[1.0, -1.0, 1.0, -1.0]) < -0.7);
        assert_eq!(autocorrelation(&[2.0; 5]), 0.0);
    }
}
