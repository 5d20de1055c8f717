//! Forecasts without a model, to compare with: the last value, and a trend that dies away.

use super::series::{HIGHEST_MG_DL, LOWEST_MG_DL, Window};

/// The stretch that the trend is taken over, in minutes: two readings of a 15-minute sensor.
pub(crate) const TREND_MIN: u32 = 15;
/// The step that the trend is damped by.
const STEP_MIN: u32 = 5;

/// The last value, and the change of the last 15 minutes going on from it, each five minutes by `damping` (0 to 1) of what it
/// was before (Gardner and McKenzie, Management Science 1985); in mg/dL.
pub fn damped_trend(window: &Window<'_>, minutes: u32, damping: f32) -> f32 {
    extrapolated(window.last().mg_per_dl, window.rate_per_min(TREND_MIN), minutes, damping)
}

pub(crate) fn extrapolated(last: f32, rate_per_min: f32, minutes: u32, damping: f32) -> f32 {
    let steps = (minutes / STEP_MIN).min(1_000);
    let grown: f32 = (1..=steps).map(|step| damping.powi(step as i32)).sum();
    (last + rate_per_min * STEP_MIN as f32 * grown).clamp(LOWEST_MG_DL, HIGHEST_MG_DL)
}

#[cfg(test)]
mod tests {
    use super::super::series::{GlucoseReading, GlucoseSeries};
    use super::*;

    #[test]
    fn a_trend_goes_on_dies_away_or_stays() {
        let readings =
            (0..20).map(|at| GlucoseReading { at_s: at * 300, mg_per_dl: 100.0 + at as f32 * 2.0 });
        let series = GlucoseSeries::new(readings.collect()).unwrap();
        let window = series.window(None).unwrap();
        assert_eq!(damped_trend(&window, 30, 0.0), 138.0);
        assert!((damped_trend(&window, 30, 1.0) - 150.0).abs() < 1e-3);
        assert!((damped_trend(&window, 30, 0.5) - (138.0 + 2.0 * (1.0 - 0.5f32.powi(6)))).abs() < 1e-3);
        assert_eq!(damped_trend(&window, 60_000, 1.0), HIGHEST_MG_DL);
    }
}
