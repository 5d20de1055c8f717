//! Glucose from a table or from records: readings go to the model, what the model says comes back in words and as a chart.

mod labelled;

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ::records::glucose::{self as tables, Readings, Unit};
use ::records::measurement::measurement;
use ::records::time;
use inference::Backend;
use inference::glucose::{
    Advice, GLUCOSE_MODEL, GlucoseForecast, GlucoseModel, GlucoseReading, GlucoseSeries, LEVEL, Refusal,
    chart,
};
use keys::RecordId;

use super::Node;
use super::models::work::ModelWork;
use super::models::{Answered, Chosen, Ended, InUse, ModelCache, Reader, Run};
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
        let in_use = self.in_use(GLUCOSE_MODEL).await?;
        let node = Arc::clone(self);
        ModelWork::shared().run(move |_| {
            let none = || {
                Problem::not_found("there is no reading of a glucose monitor of this patient here")
                    .next("they are Observations with the LOINC code 99504-3 or 105272-9; fetch or import them first")
            };
            let source = node.one_source(&query, source)?.ok_or_else(none)?;
            let texts = node.texts(&query, Some(source), MOST_READINGS)?;
            if texts.is_empty() {
                return Err(none());
            }
            let readings = readings(&texts)?;
            let record = node.record_id(&source, "Patient", &request.patient);
            node.answer_glucose(record, (&readings, at), backend, &in_use, &request)
        })
        .await
    }

    /// Forecasts with the model in use, and with the one beside it; the answer is that of the one in use.
    fn answer_glucose(
        &self,
        record: RecordId,
        (readings, at): (&Readings, Option<i64>),
        backend: Backend,
        in_use: &InUse,
        request: &GlucoseRequest,
    ) -> Result<GlucoseAnswer, Problem> {
        let reader = MODELS.get(&in_use.active, backend, GlucoseModel::load)?;
        let Read { mut answer, series, forecast, took } = read(readings, &reader, at, request.chart)?;
        let input = serde_json::to_vec(&readings.readings).tried("write what was read")?;
        let output = serde_json::to_vec(&answer.report).tried("write the result")?;
        let ended = Ended { refused: forecast.as_ref().err().map(|it| it.name()), novelty: None };
        let (input, output, model) = (&input[..], &output[..], &answer.report.model);
        let answered = Answered { model, record, input, output, ended };
        let opinion = self.note_answer(&answered, request.opinion.as_ref())?;
        answer.report.opinion = opinion;
        // What is no series is refused before any model is asked.
        if let (Some(shadow), Ok(series)) = (&in_use.shadow, &series) {
            let said = |network: &GlucoseModel| network.forecast(series, at);
            let beside = MODELS.beside(shadow, backend, GlucoseModel::load, said);
            self.note_shadow(shadow, (&forecast, took), beside, Run::of_glucose);
        }
        Ok(answer)
    }
}

/// The networks of this process.
static MODELS: ModelCache<GlucoseModel> = ModelCache::new();

/// A network that forecasts glucose.
type GlucoseReader = Reader<GlucoseModel>;

/// The compiled-in model, for tables that belong to no home.
///
/// # Errors
/// [`Problem`] when it cannot be read.
pub(crate) fn built_in(backend: Backend) -> Result<GlucoseReader, Problem> {
    MODELS.get(&Chosen::built_in(GLUCOSE_MODEL)?, backend, GlucoseModel::load)
}

/// Readings that were forecast from, with what is needed to do it again beside.
struct Read {
    answer: GlucoseAnswer,
    series: Result<GlucoseSeries, Refusal>,
    forecast: Result<GlucoseForecast, Refusal>,
    took: Duration,
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
/// [`Problem`] when nothing can be drawn.
pub(crate) fn diagnose(
    readings: &Readings,
    reader: &GlucoseReader,
    at: Option<i64>,
    draw: bool,
) -> Result<GlucoseAnswer, Problem> {
    Ok(read(readings, reader, at, draw)?.answer)
}

fn read(readings: &Readings, reader: &GlucoseReader, at: Option<i64>, draw: bool) -> Result<Read, Problem> {
    let mut report = report(readings, reader);
    let reading = |(at_s, value): &(i64, f64)| GlucoseReading { at_s: *at_s, mg_per_dl: *value as f32 };
    let series = GlucoseSeries::new(readings.readings.iter().map(reading).collect());
    let started = Instant::now();
    let forecast = series.as_ref().map_err(|refusal| *refusal);
    let forecast = forecast.and_then(|series| reader.network.forecast(series, at));
    let took = started.elapsed();
    let mut svg = None;
    match &forecast {
        Ok(forecast) => {
            tell(&mut report, forecast, readings.zoned);
            if draw && let Ok(Ok(window)) = series.as_ref().map(|series| series.window(at)) {
                svg = Some(chart(&window, forecast).svg().tried("draw the forecast")?);
            }
        }
        Err(refusal) => report.refused = Some(refused(*refusal)),
    }
    Ok(Read { answer: GlucoseAnswer { report, svg }, series, forecast, took })
}

fn refused(refusal: Refusal) -> String {
    match refusal {
        Refusal::Millimoles => format!("{refusal} (--unit mmol/L)"),
        Refusal::Milligrams => format!("{refusal} (--unit mg/dL)"),
        refusal => refusal.to_string(),
    }
}

fn report(readings: &Readings, reader: &GlucoseReader) -> GlucoseReport {
    let unit = readings.unit.map(|unit| match unit {
        Unit::MgPerDl => "mg/dL".to_owned(),
        Unit::MmolPerL => "mmol/L".to_owned(),
    });
    GlucoseReport {
        refused: None,
        readings: readings.readings.len(),
        unit,
        last: None,
        forecasts: Vec::new(),
        baseline: Vec::new(),
        explanation: None,
        urgency: None,
        model: reader.info(),
        advice: reader.advice(),
        opinion: None,
    }
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
