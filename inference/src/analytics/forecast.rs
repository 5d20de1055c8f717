//! What comes next in a series, without a model that learned from others: Holt's method with a trend that dies away (Gardner and
//! McKenzie, Management Science 1985), an interval from its own errors, and a check against the last value on the series' own
//! past.

use super::series::{Series, SeriesError};
use super::{median, quantile, sorted};

/// Fewer even steps say nothing about the error.
const LEAST_STEPS: usize = 24;
/// The most steps ahead.
pub const MAX_STEPS: usize = 24;
/// A longer past is cut to its end: what is long ago says little, and the search takes time.
const MOST_PAST: usize = 2_000;
/// Steps that may be filled along a straight line.
const MOST_FILLED: f64 = 0.3;
/// The share of values that the interval is to hold.
const LEVEL: f64 = 0.8;
/// Errors that an interval rests on at least.
const LEAST_ERRORS: usize = 5;

/// Why there is no forecast.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ForecastError {
    /// The series itself.
    #[error(transparent)]
    Series(#[from] SeriesError),
    /// Too many holes.
    #[error("measurements lie too unevenly: {filled} of {steps} even steps would have to be filled")]
    Uneven {
        /// Steps without a measurement.
        filled: usize,
        /// All steps.
        steps: usize,
    },
    /// Nothing asked, or too much.
    #[error("1 to {MAX_STEPS} steps ahead can be told")]
    Steps,
}

/// What comes at one step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Step {
    /// When, in seconds.
    pub at_s: i64,
    /// As often less as more.
    pub value: f64,
    /// Low end of the interval.
    pub low: f64,
    /// High end of the interval.
    pub high: f64,
}

/// How the same method would have done on the last third of the series.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Backtest {
    /// Forecasts that were judged, over all steps ahead.
    pub judged: usize,
    /// Mean absolute error to that of the last value: below 1 is better.
    pub error_to_last_value: Option<f64>,
    /// The share that intervals from earlier errors held.
    pub held: Option<f64>,
}

/// A forecast of a series at even steps.
#[derive(Clone, Debug, PartialEq)]
pub struct EvenForecast {
    /// From one step to the next, in seconds: the median of what lies between measurements.
    pub step_s: i64,
    /// Steps of the past that were filled along a straight line.
    pub filled: usize,
    /// Steps of the past that were used.
    pub past: usize,
    /// How much of a new value the level takes over, 0 to 1.
    pub level_weight: f64,
    /// How much of a new slope the trend takes over, 0 to 1.
    pub trend_weight: f64,
    /// What is left of the trend after a step, 0 to 1.
    pub damping: f64,
    /// The share of values that intervals are to hold.
    pub level: f64,
    /// What comes.
    pub steps: Vec<Step>,
    /// How it would have done before.
    pub backtest: Backtest,
}

/// Holt's weights.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Holt {
    alpha: f64,
    beta: f64,
    phi: f64,
}

/// Level and trend after the values so far.
#[derive(Clone, Copy)]
struct State {
    level: f64,
    trend: f64,
}

/// A forecast `ahead` steps from the end of a series.
///
/// # Errors
/// [`ForecastError`] when the series is too short or too uneven.
pub fn forecast(series: &Series, ahead: usize) -> Result<EvenForecast, ForecastError> {
    if !(1..=MAX_STEPS).contains(&ahead) {
        return Err(ForecastError::Steps);
    }
    let (step_s, values, filled) = even(series)?;
    let holt = Holt::fit(&values);
    let states = holt.states(&values);
    let last = states[states.len() - 1];
    let (backtest, errors) = backtest(&values, ahead);
    let end_s = series.points()[series.points().len() - 1].0;
    let step = |number: usize| {
        let value = holt.ahead(last, number);
        let width =
            quantile(&errors[number - 1], corrected(errors[number - 1].len())).unwrap_or(f64::INFINITY);
        let at_s = end_s.saturating_add(step_s.saturating_mul(number as i64));
        Step { at_s, value, low: value - width, high: value + width }
    };
    Ok(EvenForecast {
        step_s,
        filled,
        past: values.len(),
        level_weight: holt.alpha,
        trend_weight: holt.beta,
        damping: holt.phi,
        level: LEVEL,
        steps: (1..=ahead).map(step).collect(),
        backtest,
    })
}

/// The share of errors that makes an interval hold its level of new ones (Vovk et al. 2005).
fn corrected(errors: usize) -> f64 {
    (LEVEL * (errors + 1) as f64 / errors.max(1) as f64).min(1.0)
}

/// Values at even steps up to the last measurement: the mean of what lies within half a step, else the straight line.
fn even(series: &Series) -> Result<(i64, Vec<f64>, usize), ForecastError> {
    let points = series.points();
    let gaps = sorted(points.windows(2).map(|pair| (pair[1].0.saturating_sub(pair[0].0)) as f64));
    let step_s = (median(&gaps).round() as i64).max(1);
    let end = points[points.len() - 1].0;
    let span = end.saturating_sub(points[0].0);
    let steps = usize::try_from(span / step_s).unwrap_or(MOST_PAST).min(MOST_PAST - 1) + 1;
    if steps < LEAST_STEPS {
        return Err(SeriesError::TooFew { needed: LEAST_STEPS, found: steps }.into());
    }
    let (mut values, mut filled) = (Vec::with_capacity(steps), 0);
    for back in (0..steps as i64).rev() {
        let at = end - back * step_s;
        let from = points.partition_point(|(at_s, _)| *at_s <= at.saturating_sub((step_s + 1) / 2));
        let to = points.partition_point(|(at_s, _)| *at_s <= at.saturating_add(step_s / 2));
        let near = &points[from..to];
        if near.is_empty() {
            filled += 1;
            let (before, after) = (points[from.max(1) - 1], points[from.min(points.len() - 1)]);
            let share = at.saturating_sub(before.0) as f64 / after.0.saturating_sub(before.0).max(1) as f64;
            values.push(before.1 + share.clamp(0.0, 1.0) * (after.1 - before.1));
        } else {
            values.push(near.iter().map(|(_, value)| value).sum::<f64>() / near.len() as f64);
        }
    }
    if filled as f64 > MOST_FILLED * steps as f64 {
        return Err(ForecastError::Uneven { filled, steps });
    }
    Ok((step_s, values, filled))
}

impl Holt {
    /// The weights with the least mean square error one step ahead, of a grid.
    fn fit(values: &[f64]) -> Holt {
        let tenths = |from: u32, to: u32| (from..=to).map(|tenth| f64::from(tenth) / 10.0);
        let grid = tenths(1, 10).flat_map(move |alpha| {
            tenths(0, 5).flat_map(move |beta| {
                [0.0, 0.5, 0.8, 0.9, 0.98].into_iter().map(move |phi| Holt { alpha, beta, phi })
            })
        });
        let judged = grid.map(|holt| (holt, holt.square(values)));
        judged
            .min_by(|one, other| one.1.total_cmp(&other.1))
            .map_or(Holt { alpha: 1.0, beta: 0.0, phi: 0.0 }, |(holt, _)| holt)
    }

    fn square(self, values: &[f64]) -> f64 {
        let states = self.states(values);
        states.iter().zip(&values[1..]).map(|(state, next)| (self.ahead(*state, 1) - next).powi(2)).sum()
    }

    /// After each value.
    fn states(self, values: &[f64]) -> Vec<State> {
        let mut state = State { level: values[0], trend: 0.0 };
        let step = |value: &f64| {
            let told = state.level + self.phi * state.trend;
            let level = told + self.alpha * (value - told);
            let trend = self.phi * state.trend + self.beta * (level - state.level - self.phi * state.trend);
            state = State { level, trend };
            state
        };
        values.iter().map(step).collect()
    }

    fn ahead(self, state: State, steps: usize) -> f64 {
        let grown: f64 = (1..=steps).map(|step| self.phi.powi(step as i32)).sum();
        state.level + state.trend * grown
    }
}

/// Forecasts from each place of the last third, by weights that saw only what was before that third; the sorted absolute errors
/// of each step ahead.
fn backtest(values: &[f64], ahead: usize) -> (Backtest, Vec<Vec<f64>>) {
    let from = values.len() * 2 / 3;
    let holt = Holt::fit(&values[..from]);
    let states = holt.states(values);
    let mut errors: Vec<Vec<f64>> = vec![Vec::new(); ahead];
    let (mut own, mut last, mut judged, mut held, mut asked) = (0.0, 0.0, 0, 0, 0);
    // Each step ahead keeps its errors apart; what is judged first has few before it.
    for (number, errors) in (1..=ahead).zip(&mut errors) {
        for origin in from - 1..values.len().saturating_sub(number) {
            let truth = values[origin + number];
            let error = (holt.ahead(states[origin], number) - truth).abs();
            own += error;
            last += (values[origin] - truth).abs();
            judged += 1;
            // An error is known only when its truth is: those of the origins at least so many steps ago.
            let known = errors.len().saturating_sub(number - 1);
            if known >= LEAST_ERRORS {
                let before = sorted(errors[..known].iter().copied());
                asked += 1;
                held += usize::from(quantile(&before, corrected(known)).is_some_and(|width| error <= width));
            }
            errors.push(error);
        }
        errors.sort_by(f64::total_cmp);
    }
    let share = |part: f64, whole: f64| (whole > 0.0).then(|| part / whole);
    let backtest =
        Backtest { judged, error_to_last_value: share(own, last), held: share(held as f64, asked as f64) };
    (backtest, errors)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chance::Chance;

    fn of(values: impl IntoIterator<Item = f64>) -> EvenForecast {
        let points = values.into_iter().enumerate().map(|(at, value)| (at as i64 * 600, value)).collect();
        forecast(&Series::new(points).unwrap(), 3).unwrap()
    }

    fn noise(seed: u64, count: usize) -> Vec<f64> {
        let mut chance = Chance::new(seed, 79);
        (0..count).map(|_| chance.below(20_001) as f64 / 1e4 - 1.0).collect()
    }

    #[test]
    fn a_line_goes_on_and_the_last_value_is_beaten() {
        let forecast = of((0..60).map(f64::from));
        assert_eq!((forecast.step_s, forecast.filled, forecast.past), (600, 0, 60));
        assert!((forecast.steps[0].value - 60.0).abs() < 0.2, "{:?}", forecast.steps);
        assert_eq!(forecast.steps[2].at_s, 62 * 600);
        assert!(forecast.backtest.error_to_last_value.unwrap() < 0.2);
    }

    #[test]
    fn noise_is_told_by_its_mean_and_the_interval_holds_what_it_says() {
        let (mut held, mut ratio) = (0.0, 0.0);
        for seed in 0..40 {
            let forecast = of(noise(seed, 120));
            held += forecast.backtest.held.unwrap() / 40.0;
            ratio += forecast.backtest.error_to_last_value.unwrap() / 40.0;
        }
        assert!((0.75..=0.9).contains(&held), "{held}");
        assert!(ratio < 0.9, "{ratio}");
    }

    #[test]
    fn a_few_holes_are_filled_and_many_are_refused() {
        let points = |leave: fn(i64) -> bool| -> Series {
            Series::new((0..60).filter(|at| leave(*at)).map(|at| (at * 600, at as f64)).collect()).unwrap()
        };
        let some = forecast(&points(|at| at % 7 != 4), 2).unwrap();
        assert_eq!((some.filled, some.past), (8, 60));
        assert!((some.steps[0].value - 60.0).abs() < 0.5);
        let uneven = forecast(&points(|at| at % 12 < 3 || at == 59), 2);
        assert!(matches!(uneven, Err(ForecastError::Uneven { .. })), "{uneven:?}");
        let short = forecast(&points(|at| at < 20), 2);
        assert_eq!(short, Err(SeriesError::TooFew { needed: 24, found: 20 }.into()));
        assert_eq!(forecast(&points(|_| true), 25), Err(ForecastError::Steps));
        assert_eq!(forecast(&points(|_| true), 0), Err(ForecastError::Steps));
    }

    #[test]
    fn shifting_and_scaling_moves_the_forecast_alike() {
        let values = noise(5, 60);
        let (plain, moved) = (of(values.clone()), of(values.iter().map(|value| value * 3.0 + 7.0)));
        for (one, other) in plain.steps.iter().zip(&moved.steps) {
            assert!((one.value * 3.0 + 7.0 - other.value).abs() < 1e-6);
            assert!((one.high * 3.0 + 7.0 - other.high).abs() < 1e-6);
        }
    }

    #[test]
    fn times_that_are_far_apart_do_not_break_it() {
        let points = vec![(i64::MIN, 1.0), (0, 2.0), (i64::MAX, 3.0)];
        assert!(forecast(&Series::new(points).unwrap(), 1).is_err());
    }
}
