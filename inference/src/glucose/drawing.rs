//! Three hours of readings and the forecast with its interval, as a chart.

use super::advice::{BELOW_MG_DL, HIGH_MG_DL};
use super::forecaster::GlucoseForecast;
use super::series::Window;
use crate::chart::{Band, Chart, Line, LineStyle};

/// Beside the readings, so that low and high are seen at once.
const LEAST_RANGE_MG_DL: [f64; 2] = [40.0, 300.0];

/// Minutes count from the last reading.
pub fn chart(window: &Window<'_>, forecast: &GlucoseForecast) -> Chart {
    let last = window.last();
    let minutes = |at_s: i64| (at_s - last.at_s) as f64 / 60.0;
    let readings: Vec<[f64; 2]> =
        window.readings().iter().map(|it| [minutes(it.at_s), f64::from(it.mg_per_dl)]).collect();
    let from = [0.0, f64::from(last.mg_per_dl)];
    let ahead = |of: fn(&super::Forecast) -> f32| -> Vec<[f64; 2]> {
        let told = forecast.forecasts.iter().map(|it| [f64::from(it.minutes), f64::from(of(it))]);
        std::iter::once(from).chain(told).collect()
    };
    let band =
        Band { name: "four of five readings".into(), low: ahead(|it| it.low), high: ahead(|it| it.high) };
    let values = readings.iter().chain(&band.high).chain(&band.low).map(|point| point[1]);
    let [least, most] = LEAST_RANGE_MG_DL;
    let (low, high) = values.fold((least, most), |(low, high), value| (low.min(value), high.max(value)));
    let left = readings.first().map_or(-180.0, |point| point[0]);
    let right = band.high.last().map_or(60.0, |point| point[0]);
    let guide = |value: f32| Line {
        name: String::new(),
        points: vec![[left, f64::from(value)], [right, f64::from(value)]],
        style: LineStyle::Guide,
    };
    Chart {
        title: "Glucose and forecast".into(),
        x: "minutes from the last reading".into(),
        y: "glucose in tissue, mg/dL".into(),
        lines: vec![
            guide(BELOW_MG_DL),
            guide(HIGH_MG_DL),
            Line { name: "readings".into(), points: readings, style: LineStyle::Dotted },
            Line { name: "forecast".into(), points: ahead(|it| it.mg_per_dl), style: LineStyle::Dotted },
        ],
        bands: vec![band],
        legend_left: true,
        range: Some([[left, right], [low, high * 1.02]]),
    }
}
