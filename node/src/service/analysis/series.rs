//! The course of one measurement of one patient.

use std::path::Path;
use std::sync::Arc;

use ::records::columns;
use ::records::measurement::measurement;
use ::records::time::written;
use inference::analytics::{
    Changes, EvenForecast, Series, Trend, changes, changes_chart, forecast, forecast_chart, trend,
    trend_chart,
};
use inference::chart::Chart;

use super::super::Node;
use super::super::models::work::ModelWork;
use super::super::problem::{Problem, Tried};
use super::super::records::{encoded, parse_source, read_table};
use super::{ADVICE, MAX_FILE_BYTES, MOST_OBSERVATIONS};
use crate::api::types::{
    SeriesAnswer, SeriesChange, SeriesForecast, SeriesQuestion, SeriesReport, SeriesRequest, SeriesStep,
    SeriesTrend,
};

/// What is left of a series that resembles what was before by more than this has fewer independent measurements than it seems.
const ALIKE: f64 = 0.3;

/// Measurements with what is known of them.
struct Measured {
    of: String,
    unit: String,
    points: Vec<(i64, f64)>,
    zoned: bool,
}

impl Node {
    /// Trend, changes or forecast of a measurement of a patient; audited as a search.
    ///
    /// # Errors
    /// [`Problem`] when there are too few measurements, or their units differ.
    pub(crate) async fn analyze_series(
        self: &Arc<Self>,
        request: SeriesRequest,
    ) -> Result<SeriesAnswer, Problem> {
        let source = request.source.as_deref().map(parse_source).transpose()?;
        let query = format!("Observation?patient={}", encoded(&request.patient));
        let node = Arc::clone(self);
        ModelWork::shared()
            .run(move |_| {
                let texts = node.texts(&query, source, MOST_OBSERVATIONS)?;
                analyse(of_records(&texts, &request.of)?, request.question, request.chart)
            })
            .await
    }
}

fn of_records(texts: &[String], code: &str) -> Result<Measured, Problem> {
    let found: Vec<_> = texts.iter().filter_map(|text| measurement(text, &[code])).collect();
    let Some(first) = found.first() else {
        return Err(Problem::not_found("no such measurement of this patient is stored here")
            .next("list what there is with: metaclinic records search \"Observation?patient=ID\""));
    };
    let unit = first.unit.clone();
    if found.iter().any(|measured| measured.unit != unit) {
        return Err(Problem::failed("the stored measurements are in several units")
            .next("bring them into one unit where the records come from"));
    }
    let points = found.iter().map(|measured| (measured.at_s, measured.value)).collect();
    Ok(Measured { of: code.to_owned(), unit, points, zoned: true })
}

/// The course of a column of a table.
///
/// # Errors
/// [`Problem`] with what is wrong with which line.
pub(crate) fn series_of_file(
    path: &Path,
    of: Option<&str>,
    question: SeriesQuestion,
    draw: bool,
) -> Result<SeriesAnswer, Problem> {
    let bytes = read_table(path, MAX_FILE_BYTES)?;
    let table = columns::series(bytes, of).map_err(|error| {
        Problem::failed(format!("cannot read {}", path.display()))
            .because(error)
            .next("a table needs a header with a column of times; name the one that is meant with --of")
    })?;
    let measured = Measured { of: table.name, unit: String::new(), points: table.points, zoned: table.zoned };
    analyse(measured, question, draw)
}

fn analyse(measured: Measured, question: SeriesQuestion, draw: bool) -> Result<SeriesAnswer, Problem> {
    let Measured { of, unit, points, zoned } = measured;
    let series = Series::new(points).tried("read these measurements as a course")?;
    let what = if unit.is_empty() { of.clone() } else { format!("{of}, {unit}") };
    let at = |at_s: i64| written(at_s, zoned);
    let mut report = SeriesReport {
        of,
        unit,
        measurements: series.points().len(),
        from: series.points().first().map(|point| at(point.0)).unwrap_or_default(),
        to: series.points().last().map(|point| at(point.0)).unwrap_or_default(),
        advice: ADVICE.to_owned(),
        ..SeriesReport::default()
    };
    let chart: Chart = match question {
        SeriesQuestion::Trend => {
            let found = trend(&series).tried("find a trend")?;
            tell_trend(&mut report, &found, series.points().len());
            trend_chart(&series, &found, &what)
        }
        SeriesQuestion::Changes => {
            let found = changes(&series).tried("find changes")?;
            tell_changes(&mut report, &found, &at);
            changes_chart(&series, &found, &what)
        }
        SeriesQuestion::Forecast(steps) => {
            let found = forecast(&series, steps).tried("tell what comes")?;
            tell_forecast(&mut report, &found, &at);
            forecast_chart(&series, &found, &what)
        }
    };
    let svg = if draw { Some(chart.svg().tried("draw the course")?) } else { None };
    Ok(SeriesAnswer { report, svg })
}

fn tell_trend(report: &mut SeriesReport, trend: &Trend, all: usize) {
    if trend.autocorrelation > ALIKE {
        report.notes.push(format!(
            "measurements that follow each other are alike ({:.2}): they count for less, and the interval is wider",
            trend.autocorrelation
        ));
    }
    if trend.used < all {
        report.notes.push(format!("{} measurements, evenly chosen, were looked at", trend.used));
    }
    report.trend = Some(SeriesTrend {
        per_day: trend.per_day,
        low: trend.low,
        high: trend.high,
        p: trend.p,
        tau: trend.tau,
        autocorrelation: trend.autocorrelation,
    });
}

fn tell_changes(report: &mut SeriesReport, found: &Changes, at: &dyn Fn(i64) -> String) {
    if found.autocorrelation > ALIKE {
        report.notes.push(format!(
            "between changes, measurements that follow each other are alike ({:.2}): what wanders may be called a change",
            found.autocorrelation
        ));
    }
    if found.drift_per_day != 0.0 {
        report.drift_per_day = Some(found.drift_per_day);
    }
    let change = |change: &inference::analytics::Change| SeriesChange {
        at: at(change.at_s),
        before: change.before,
        after: change.after,
        p: change.p,
    };
    report.changes = Some(found.changes.iter().map(change).collect());
}

fn tell_forecast(report: &mut SeriesReport, found: &EvenForecast, at: &dyn Fn(i64) -> String) {
    if found.filled > 0 {
        report
            .notes
            .push(format!("{} of {} even steps were filled along a straight line", found.filled, found.past));
    }
    if found.backtest.error_to_last_value.is_none_or(|ratio| ratio >= 1.0) {
        report
            .notes
            .push("on its own past this did no better than the last value: use the last value".to_owned());
    }
    let step = |step: &inference::analytics::Step| SeriesStep {
        at: at(step.at_s),
        value: step.value,
        low: step.low,
        high: step.high,
    };
    report.forecast = Some(SeriesForecast {
        step_s: found.step_s,
        steps: found.steps.iter().map(step).collect(),
        level: found.level,
        judged: found.backtest.judged,
        error_to_last_value: found.backtest.error_to_last_value,
        held: found.backtest.held,
    });
}
