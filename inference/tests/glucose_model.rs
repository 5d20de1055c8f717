//! The shipped weights on readings made up for the purpose: what a forecast promises whatever comes in. Figures on persons are
//! measured by `models evaluate glucose`.

#![allow(clippy::unwrap_used, reason = "the whole target is a test")]

use metaclinic_inference::Backend;
use metaclinic_inference::glucose::{
    Advice, GlucoseForecast, GlucoseModel, GlucoseReading, GlucoseSeries, HIGHEST_MG_DL, LOWEST_MG_DL,
    Refusal, chart,
};
use proptest::prelude::*;

fn model() -> GlucoseModel {
    GlucoseModel::built_in(Backend::default()).unwrap()
}

fn series(minutes: i64, values: impl IntoIterator<Item = f32>) -> Result<GlucoseSeries, Refusal> {
    let reading =
        |(at, mg_per_dl): (usize, f32)| GlucoseReading { at_s: at as i64 * minutes * 60, mg_per_dl };
    GlucoseSeries::new(values.into_iter().enumerate().map(reading).collect())
}

fn forecast(minutes: i64, values: impl IntoIterator<Item = f32>) -> GlucoseForecast {
    model().forecast(&series(minutes, values).unwrap(), None).unwrap()
}

/// `count` readings from a value on, each by `step` more.
fn ramp(from: f32, step: f32, count: usize) -> Vec<f32> {
    (0..count).map(|at| from + step * at as f32).collect()
}

#[test]
fn a_rise_goes_on_a_while_and_a_fall_too() {
    let up = forecast(5, ramp(100.0, 3.0, 24));
    let down = forecast(5, ramp(200.0, -3.0, 24));
    assert!(up.forecasts[0].mg_per_dl > up.last_mg_per_dl && up.parts[0].course > 0.0);
    assert!(down.forecasts[0].mg_per_dl < down.last_mg_per_dl && down.parts[0].course < 0.0);
    for forecast in [up, down] {
        let [soon, later] = forecast.forecasts;
        assert!(later.high - later.low > soon.high - soon.low, "what is further off is less sure");
    }
}

#[test]
fn what_comes_later_changes_nothing_before() {
    let values = ramp(100.0, 1.5, 40);
    let whole = series(5, values.clone()).unwrap();
    let cut = series(5, values[..30].iter().copied()).unwrap();
    let model = model();
    assert!(model.forecast(&whole, Some(29 * 300)).unwrap() == model.forecast(&cut, None).unwrap());
}

#[test]
fn a_sensor_of_fifteen_minutes_is_forecast_much_like_one_of_five() {
    let value = |minute: f32| 140.0 + 40.0 * (minute / 50.0).sin();
    let five = forecast(5, (0..37).map(|at| value(at as f32 * 5.0)));
    let fifteen = forecast(15, (0..13).map(|at| value(at as f32 * 15.0)));
    for (one, other) in five.forecasts.iter().zip(&fifteen.forecasts) {
        assert!((one.mg_per_dl - other.mg_per_dl).abs() < 20.0);
    }
}

#[test]
fn advice_follows_what_is_told_and_never_names_a_dose() {
    let of = |values: Vec<f32>| Advice::of(&forecast(5, values));
    assert_eq!(of(ramp(52.0, 0.02, 24)), Advice::VeryLow);
    assert_eq!(of(ramp(66.0, 0.02, 24)), Advice::Low);
    assert_eq!(of(ramp(290.0, 0.2, 24)), Advice::High);
    for advice in [Advice::VeryLow, Advice::Low, Advice::MayFall, Advice::High, Advice::Usual] {
        let text = advice.text().to_lowercase();
        assert!(text.contains("finger prick"), "{text}");
        assert!(
            ![" g of", "grams", "units", "carbohydrate"].iter().any(|dose| text.contains(dose)),
            "{text}"
        );
    }
    assert!(Advice::VeryLow.text().contains("emergency number"));
}

#[test]
fn the_chart_names_its_unit_and_shows_the_interval() {
    let series = series(5, ramp(100.0, 1.0, 40)).unwrap();
    let forecast = model().forecast(&series, None).unwrap();
    let svg = chart(&series.window(None).unwrap(), &forecast).svg().unwrap();
    for text in ["mg/dL", "minutes from the last reading", "four of five readings", "<polygon"] {
        assert!(svg.contains(text), "{text}");
    }
}

#[cfg(feature = "ndarray")]
#[test]
fn backends_agree() {
    let series = series(5, ramp(100.0, 2.0, 30)).unwrap();
    let other = GlucoseModel::built_in(Backend::NdArray).unwrap().forecast(&series, None).unwrap();
    let ours = model().forecast(&series, None).unwrap();
    for (one, other) in ours.forecasts.iter().zip(&other.forecasts) {
        assert!((one.mg_per_dl - other.mg_per_dl).abs() < 0.01 && (one.low - other.low).abs() < 0.01);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn whatever_comes_in_a_forecast_is_ordered_and_within_what_sensors_show(
        minutes in prop::sample::select(vec![1i64, 5, 15]),
        start in 30.0f32..600.0,
        steps in prop::collection::vec(-12.0f32..12.0, 60..120),
    ) {
        let mut value = start;
        let values: Vec<f32> = steps.iter().map(|step| {
            value = (value + step).clamp(30.0, 600.0);
            value
        }).collect();
        let series = series(minutes, values).unwrap();
        if let Ok(forecast) = model().forecast(&series, None) {
            for at in forecast.forecasts {
                prop_assert!(LOWEST_MG_DL <= at.low && at.low <= at.mg_per_dl);
                prop_assert!(at.mg_per_dl <= at.high && at.high <= HIGHEST_MG_DL);
            }
        }
    }

    #[test]
    fn no_numbers_make_it_panic(
        readings in prop::collection::vec((any::<i64>(), any::<f32>()), 0..40),
        at in any::<Option<i64>>(),
    ) {
        let readings = readings.into_iter().map(|(at_s, mg_per_dl)| GlucoseReading { at_s, mg_per_dl });
        if let Ok(series) = GlucoseSeries::new(readings.collect()) {
            let _ = series.window(at);
        }
    }

    #[test]
    fn far_apart_times_make_it_not_panic(
        mut times in prop::collection::vec(any::<i64>(), 1..40),
        at in any::<Option<i64>>(),
    ) {
        times.sort_unstable();
        times.dedup();
        let readings = times.into_iter().map(|at_s| GlucoseReading { at_s, mg_per_dl: 120.0 }).collect();
        let _ = GlucoseSeries::new(readings).unwrap().window(at);
    }
}
