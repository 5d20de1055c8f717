//! Charts of what was computed. The x axis of a series counts days from its end: a date is not needed to see a course.

use super::change::Changes;
use super::clusters::Clusters;
use super::components::Components;
use super::forecast::EvenForecast;
use super::series::Series;
use super::trend::Trend;
use crate::chart::{Band, Chart, Line, LineStyle};

const DAY_S: f64 = 86_400.0;
/// Points that are drawn; more are thinned.
const MOST_DRAWN: usize = 2_000;

/// Days from the last measurement.
fn day(series: &Series, at_s: i64) -> f64 {
    let end = series.points().last().map_or(0, |point| point.0);
    at_s.saturating_sub(end) as f64 / DAY_S
}

fn measured(series: &Series, style: LineStyle) -> Line {
    let step = series.points().len().div_ceil(MOST_DRAWN).max(1);
    let points = series.points().iter().step_by(step).map(|(at_s, value)| [day(series, *at_s), *value]);
    Line { name: "measured".into(), points: points.collect(), style }
}

fn chart(title: &str, what: &str) -> Chart {
    Chart {
        title: title.into(),
        x: "days from the last measurement".into(),
        y: what.into(),
        legend_left: true,
        ..Chart::default()
    }
}

/// The range that holds everything, with room for the legend above it.
fn framed(chart: Chart) -> Chart {
    let bands = chart.bands.iter().flat_map(|band| band.low.iter().chain(&band.high));
    let points = || chart.lines.iter().flat_map(|line| &line.points).chain(bands.clone());
    let ends = |axis: usize| {
        let values = points().map(|point| point[axis]).filter(|value| value.is_finite());
        values
            .fold([f64::INFINITY, f64::NEG_INFINITY], |[low, high], value| [low.min(value), high.max(value)])
    };
    let ([left, right], [low, high]) = (ends(0), ends(1));
    if left > right || low > high {
        return chart;
    }
    let room = |from: f64, to: f64| if to > from { to - from } else { from.abs().max(1.0) };
    let (wide, tall) = (room(left, right), room(low, high));
    let range = [[left - 0.02 * wide, right + 0.02 * wide], [low - 0.08 * tall, high + 0.3 * tall]];
    Chart { range: Some(range), ..chart }
}

/// Measurements with the line of the trend, and the lines that its interval allows; `what` names value and unit.
pub fn trend_chart(series: &Series, trend: &Trend, what: &str) -> Chart {
    let ends = [series.points()[0].0, series.points()[series.points().len() - 1].0];
    let days = ends.map(|at_s| day(series, at_s));
    // All three lines cross in the middle of the time: the slope is what is unsure.
    let middle = f64::midpoint(days[0], days[1]);
    let level = trend.start + trend.per_day * (middle - days[0]);
    let points = |slope: f64| days.map(|at| [at, level + slope * (at - middle)]).to_vec();
    let (steep, flat) = (points(trend.high), points(trend.low));
    let lower = |at: usize| if at == 0 { steep[0] } else { flat[1] };
    let upper = |at: usize| if at == 0 { flat[0] } else { steep[1] };
    let crossing = [middle, level];
    framed(Chart {
        bands: vec![Band {
            name: "slope, 95 %".into(),
            low: vec![lower(0), crossing, lower(1)],
            high: vec![upper(0), crossing, upper(1)],
        }],
        lines: vec![
            measured(series, LineStyle::Points),
            Line { name: "trend".into(), points: points(trend.per_day), style: LineStyle::Full },
        ],
        ..chart("Trend", what)
    })
}

/// Measurements with the level between changes.
pub fn changes_chart(series: &Series, changes: &Changes, what: &str) -> Chart {
    let ends = changes.levels.iter().flatten();
    let points = ends.map(|(at_s, level)| [day(series, *at_s), *level]).collect();
    framed(Chart {
        lines: vec![
            measured(series, LineStyle::Points),
            Line { name: "level".into(), points, style: LineStyle::Full },
        ],
        ..chart("Changes of level", what)
    })
}

/// The end of the past, and what comes with its interval.
pub fn forecast_chart(series: &Series, forecast: &EvenForecast, what: &str) -> Chart {
    /// So much of the past is drawn for each step ahead.
    const PAST: i64 = 8;
    let end = series.points()[series.points().len() - 1];
    let ahead = forecast.steps.len() as i64;
    let from = end.0.saturating_sub(forecast.step_s.saturating_mul(PAST * ahead.max(4)));
    let mut past = measured(series, LineStyle::Dotted);
    past.points.retain(|point| point[0] >= day(series, from));
    let course = |of: fn(&super::Step) -> f64| -> Vec<[f64; 2]> {
        let told = forecast.steps.iter().map(|step| [day(series, step.at_s), of(step)]);
        std::iter::once([0.0, end.1]).chain(told).collect()
    };
    let band =
        Band { name: "four of five".into(), low: course(|step| step.low), high: course(|step| step.high) };
    framed(Chart {
        bands: vec![band],
        lines: vec![
            past,
            Line { name: "forecast".into(), points: course(|step| step.value), style: LineStyle::Dotted },
        ],
        ..chart("Forecast", what)
    })
}

/// Patients along the two directions in which they differ most, a colour for each group.
pub fn panel_chart(components: &Components, clusters: &Clusters) -> Chart {
    let share = |at: usize| components.components.get(at).map_or(0.0, |it| it.share * 100.0);
    let line = |(number, size): (usize, &usize)| {
        let members = components.places.iter().zip(&clusters.group).filter(|(_, group)| **group == number);
        let step = size.div_ceil(MOST_DRAWN).max(1);
        Line {
            name: format!("group {} ({size})", number + 1),
            points: members.map(|(place, _)| *place).step_by(step).collect(),
            style: LineStyle::Points,
        }
    };
    framed(Chart {
        title: "Patients by component".into(),
        x: format!("component 1 ({:.0} % of the variance)", share(0)),
        y: format!("component 2 ({:.0} %)", share(1)),
        lines: clusters.sizes.iter().enumerate().map(line).collect(),
        ..Chart::default()
    })
}

#[cfg(test)]
mod tests {
    use super::super::{Panel, changes, clusters, components, forecast, trend};
    use super::*;

    #[test]
    fn every_chart_names_what_it_shows() {
        let value = |at: i64| if at < 40 { 60.0 + (at % 3) as f64 } else { 80.0 + (at % 3) as f64 };
        let series = Series::new((0..60).map(|at| (at * 86_400, value(at))).collect()).unwrap();
        let what = "heart rate, /min";
        let drawn = [
            trend_chart(&series, &trend(&series).unwrap(), what).svg().unwrap(),
            changes_chart(&series, &changes(&series).unwrap(), what).svg().unwrap(),
            forecast_chart(&series, &forecast(&series, 4).unwrap(), what).svg().unwrap(),
        ];
        for (svg, name) in drawn.iter().zip(["trend", "level", "four of five"]) {
            assert!(svg.contains(what) && svg.contains(name) && svg.contains("days from"), "{name}");
        }
        let rows: Vec<Vec<Option<f64>>> = (0..12)
            .map(|at| vec![Some(f64::from(at % 2) * 10.0 + f64::from(at)), Some(f64::from(at * at))])
            .collect();
        let panel = Panel::new(vec!["a".into(), "b".into()], &rows).unwrap();
        let svg = panel_chart(&components(&panel), &clusters(&panel, Some(2)).unwrap()).svg().unwrap();
        assert!(svg.contains("group 2") && svg.contains("component 1"), "{svg}");
    }
}
