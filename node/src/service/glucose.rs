//! Glucose from a table or from records: readings go to the model, what the model says comes back in words and as a chart.

mod labelled;

use std::path::Path;
use std::sync::Arc;

use ::records::glucose::{self as tables, Readings, Unit};
use ::records::measurement::measurement;
use ::records::time;
use inference::glucose::{
    Advice, GLUCOSE_MODEL, GlucoseForecast, GlucoseModel, GlucoseReading, GlucoseSeries, LEVEL, Refusal,
    chart,
};
use inference::{Backend, Model};

use super::Node;
use super::model_info::model_info;
use super::models::work::ModelWork;
use super::models::{Chosen, ModelCache};
use super::problem::{Problem, Tried};
use super::records::parse_source;
use crate::api::types::{
    GlucoseAnswer, GlucoseBaseline, GlucoseExplanation, GlucoseForecastAt, GlucoseLast, GlucosePart,
    GlucoseReport, GlucoseRequest,
};

pub(crate) use labelled::labelled_persons;

/// Stored readings that are looked at: more than three hours of a sensor that reads each minute.
const MOST_READINGS: usize = 1_000;
/// The largest file that is read from disk; a table may be packed.
const MAX_FILE_BYTES: u64 = 64 << 20;
/// The next step where a table cannot be used.
const FORMAT: &str =
    "a table needs a header with a column of times and one of glucose, e.g.: timestamp,glucose_mg_dl";

impl Node {
    /// Forecasts from stored readings of a patient; audited as a search.
    ///
    /// # Errors
    /// [`Problem`] when there is no reading, or one is in a unit that is none of glucose.
    pub(crate) async fn diagnose_glucose(
        self: &Arc<Self>,
        request: GlucoseRequest,
    ) -> Result<GlucoseAnswer, Problem> {
        let backend = super::ecg::parse_backend(request.backend.as_deref())?;
        let source = request.source.as_deref().map(parse_source).transpose()?;
        let at = request.at.as_deref().map(parse_at).transpose()?;
        let codes = tables::CODES.join(",");
        let until = at.map_or_else(String::new, |at| format!("&date=le{}", time::written(at, true)));
        let query = format!(
            "Observation?patient={}&code={codes}{until}&_sort=-date",
            super::records::encoded(&request.patient)
        );
        let node = Arc::clone(self);
        ModelWork::shared().run(move |_| {
            let texts = node.texts(&query, source, MOST_READINGS)?;
            if texts.is_empty() {
                return Err(Problem::not_found("there is no reading of a glucose monitor of this patient here")
                    .next("they are Observations with the LOINC code 99504-3 or 105272-9; fetch or import them first"));
            }
            let readings = readings(&texts)?;
            diagnose(&readings, at, backend, request.chart)
        })
        .await
    }
}

/// Readings out of Observations, which come newest first.
fn readings(texts: &[String]) -> Result<Readings, Problem> {
    let (mut readings, mut unit) = (Vec::with_capacity(texts.len()), None);
    for found in texts.iter().rev().filter_map(|text| measurement(text, &tables::CODES)) {
        let its = Unit::parse(&found.unit).ok_or_else(|| {
            Problem::failed("a stored reading is neither in mg/dL nor in mmol/L")
                .next("correct the unit where the records come from")
        })?;
        unit = Some(its);
        readings.push((found.at_s, its.mg_per_dl(found.value)));
    }
    // The same reading is sometimes stored twice, once by the sensor and once by an export.
    readings.dedup();
    Ok(Readings { readings, unit, zoned: true })
}

/// Reads a table of a glucose monitor.
///
/// # Errors
/// [`Problem`] with what is wrong with which line.
pub(crate) fn read_file(path: &Path, said: Option<Unit>) -> Result<Readings, Problem> {
    let bytes = super::records::read_table(path, MAX_FILE_BYTES)?;
    tables::read(bytes, said).map_err(|error| {
        Problem::failed(format!("cannot read {}", path.display())).because(error).next(FORMAT)
    })
}

/// A time that a person gives.
///
/// # Errors
/// [`Problem`] when it is none.
pub(crate) fn parse_at(text: &str) -> Result<i64, Problem> {
    time::time(text).ok_or_else(|| {
        Problem::wrong_use("this is no time").next("write it as in 2026-03-01T14:30 or 2026-03-01T14:30:00Z")
    })
}

/// Forecasts from readings, and draws them if asked to. Readings that are refused are no error.
///
/// # Errors
/// [`Problem`] when the model cannot be used or nothing can be drawn.
pub(crate) fn diagnose(
    readings: &Readings,
    at: Option<i64>,
    backend: Backend,
    draw: bool,
) -> Result<GlucoseAnswer, Problem> {
    let model = model(backend)?;
    let mut report = report(readings, backend)?;
    let series = readings
        .readings
        .iter()
        .map(|(at_s, value)| GlucoseReading { at_s: *at_s, mg_per_dl: *value as f32 })
        .collect();
    let judged = GlucoseSeries::new(series).and_then(|series| Ok((model.forecast(&series, at)?, series)));
    let (forecast, series) = match judged {
        Ok(judged) => judged,
        Err(refusal) => {
            report.refused = Some(refused(refusal));
            return Ok(GlucoseAnswer { report, svg: None });
        }
    };
    tell(&mut report, &forecast, readings.zoned);
    let mut svg = None;
    if draw && let Ok(window) = series.window(at) {
        svg = Some(chart(&window, &forecast).svg().tried("draw the forecast")?);
    }
    Ok(GlucoseAnswer { report, svg })
}

fn refused(refusal: Refusal) -> String {
    match refusal {
        Refusal::Millimoles => format!("{refusal} (--unit mmol/L)"),
        Refusal::Milligrams => format!("{refusal} (--unit mg/dL)"),
        refusal => refusal.to_string(),
    }
}

/// The model of a backend, read once in a process.
fn model(backend: Backend) -> Result<Arc<GlucoseModel>, Problem> {
    static MODELS: ModelCache<GlucoseModel> = ModelCache::new();
    Ok(MODELS.get(&Chosen::built_in(GLUCOSE_MODEL)?, backend, GlucoseModel::load)?.network)
}

fn report(readings: &Readings, backend: Backend) -> Result<GlucoseReport, Problem> {
    let card = Model::named(GLUCOSE_MODEL).tried("read the card of the model")?.card;
    let unit = readings.unit.map(|unit| match unit {
        Unit::MgPerDl => "mg/dL".to_owned(),
        Unit::MmolPerL => "mmol/L".to_owned(),
    });
    Ok(GlucoseReport {
        refused: None,
        readings: readings.readings.len(),
        unit,
        last: None,
        forecasts: Vec::new(),
        baseline: Vec::new(),
        explanation: None,
        urgency: None,
        model: model_info(&card, backend),
        advice: card.about.safety,
    })
}

fn tell(report: &mut GlucoseReport, forecast: &GlucoseForecast, zoned: bool) {
    let advice = Advice::of(forecast);
    report.last = Some(GlucoseLast {
        at: time::written(forecast.at_s, zoned),
        mg_per_dl: forecast.last_mg_per_dl,
        mg_per_dl_per_min: forecast.rate_per_min,
    });
    let at = forecast.forecasts.iter();
    report.forecasts = at
        .map(|at| GlucoseForecastAt {
            minutes: at.minutes,
            mg_per_dl: at.mg_per_dl,
            low: at.low,
            high: at.high,
            level: LEVEL,
        })
        .collect();
    let trends = forecast.forecasts.iter().zip(forecast.damped_trend);
    report.baseline = trends
        .map(|(at, damped_trend)| GlucoseBaseline {
            minutes: at.minutes,
            last_value: forecast.last_mg_per_dl,
            damped_trend,
        })
        .collect();
    let parts = forecast.parts.iter();
    report.explanation = Some(GlucoseExplanation {
        method: "level: the change that is forecast after hours at the last value; course: what the readings of the last \
                 hours add to it"
            .to_owned(),
        parts: parts
            .map(|part| GlucosePart { minutes: part.minutes, level: part.level, course: part.course })
            .collect(),
    });
    report.urgency = Some(advice.name().to_owned());
    report.advice = format!("{} {}", advice.text(), report.advice);
}
