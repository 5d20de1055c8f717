//! `metaclinic analyze trend|changes|forecast`: the course of one measurement.

use std::path::{Path, PathBuf};

use clap::Args;

use super::super::{Context, diagnose, output, pictures, records};
use super::short;
use crate::api::types::{SeriesAnswer, SeriesQuestion, SeriesReport, SeriesRequest};
use crate::service::problem::Problem;
use crate::service::{analysis, blocking};

#[derive(Args)]
pub(in crate::cli) struct SeriesArgs {
    /// A table (CSV, also .gz) with a header and a column of times; or Patient/ID for stored Observations of that patient
    #[arg(value_name = "FILE|Patient/ID")]
    target: String,
    /// The code of the Observations (e.g. 8867-4, heart rate), or the column of the table
    #[arg(long, value_name = "CODE")]
    of: Option<String>,
    /// The records from this peer (name or id), or `own`
    #[arg(long, value_name = "PEER")]
    from: Option<String>,
    /// Draw it into this file, .svg or .png
    #[arg(long, value_name = "FILE")]
    chart: Option<PathBuf>,
}

#[derive(Args)]
pub(in crate::cli) struct ForecastArgs {
    #[command(flatten)]
    pub(super) series: SeriesArgs,
    /// How many steps ahead, each as long as usually lies between two measurements; up to 24
    #[arg(long, value_name = "N", default_value_t = 3)]
    pub(super) steps: usize,
}

pub(super) async fn run(
    context: &Context,
    args: SeriesArgs,
    question: SeriesQuestion,
) -> Result<(), Problem> {
    args.chart.as_deref().map(pictures::kind).transpose()?;
    if matches!(question, SeriesQuestion::Forecast(steps) if !(1..=inference::analytics::MAX_STEPS).contains(&steps))
    {
        return Err(Problem::wrong_use(format!(
            "1 to {} steps ahead can be told",
            inference::analytics::MAX_STEPS
        ))
        .next("ask for fewer with --steps"));
    }
    let chart = args.chart.is_some();
    let answer = match diagnose::reference(&args.target, Path::new(&args.target).is_file()) {
        Some(("Patient", id)) => {
            let of = args.of.clone().ok_or_else(|| {
                Problem::wrong_use("which measurement is meant?")
                    .next("name its code, e.g.: --of 8867-4 for the heart rate")
            })?;
            let patient = id.to_owned();
            context
                .with_client(async |client| {
                    let source = records::named(client, args.from.as_deref()).await?;
                    let (patient, of) = (patient.clone(), of.clone());
                    let request = SeriesRequest { patient, of, source, question, chart };
                    client.post::<SeriesAnswer>("/api/v1/analyze/series", &request).await
                })
                .await?
        }
        Some(_) => {
            return Err(Problem::wrong_use("measurements are found by the patient")
                .next("name the patient, e.g.: metaclinic analyze trend Patient/ID --of 8867-4"));
        }
        None => {
            let path = PathBuf::from(&args.target);
            let of = args.of.clone();
            blocking(move || analysis::series_of_file(&path, of.as_deref(), question, chart)).await?
        }
    };
    let drawn = args.chart.as_deref().zip(answer.svg.as_deref());
    if let Some((file, svg)) = drawn {
        pictures::write(file, svg)?;
    }
    show(context, &answer.report, drawn.map(|(file, _)| file))
}

fn show(context: &Context, report: &SeriesReport, chart: Option<&Path>) -> Result<(), Problem> {
    if context.global.json {
        return output::json_with_chart(report, chart);
    }
    let unit = if report.unit.is_empty() { String::new() } else { format!(" in {}", report.unit) };
    output::line(&format!(
        "{}{unit}: {} measurements from {} to {}.",
        report.of, report.measurements, report.from, report.to
    ));
    trend(report);
    changes(report);
    forecast(report);
    report.notes.iter().for_each(|note| output::line(&format!("Note: {note}.")));
    if let Some(file) = chart {
        output::line(&format!("Drawn: {}", file.display()));
    }
    output::line(&report.advice);
    Ok(())
}

fn trend(report: &SeriesReport) {
    let Some(trend) = &report.trend else { return };
    let sure = if trend.low > 0.0 {
        "it rises"
    } else if trend.high < 0.0 {
        "it falls"
    } else {
        "neither rise nor fall is sure"
    };
    output::line(&format!(
        "{:+} a day (95 % from {:+} to {:+}): {sure}. Mann-Kendall p {}, tau {:.2}.",
        Signed(trend.per_day),
        Signed(trend.low),
        Signed(trend.high),
        probability(trend.p),
        trend.tau
    ));
}

/// A number with its sign and four digits that count.
struct Signed(f64);

impl std::fmt::Display for Signed {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let sign = if self.0 > 0.0 && formatter.sign_plus() { "+" } else { "" };
        write!(formatter, "{sign}{}", short(self.0))
    }
}

fn probability(p: f64) -> String {
    if p < 0.001 { "below 0.001".to_owned() } else { format!("{p:.3}") }
}

fn changes(report: &SeriesReport) {
    let Some(changes) = &report.changes else { return };
    if let Some(drift) = report.drift_per_day {
        output::line(&format!("Beside a steady drift of {:+} a day:", Signed(drift)));
    }
    if changes.is_empty() {
        return output::line("No change of level that chance would not make once in a hundred times.");
    }
    let row = |change: &crate::api::types::SeriesChange| {
        [change.at.clone(), short(change.before), short(change.after), probability(change.p)]
    };
    output::table(["from", "level before", "level after", "p"], changes.iter().map(row));
}

fn forecast(report: &SeriesReport) {
    let Some(forecast) = &report.forecast else { return };
    let row = |step: &crate::api::types::SeriesStep| {
        [step.at.clone(), short(step.value), format!("{} to {}", short(step.low), short(step.high))]
    };
    output::table(["at", "forecast", "4 of 5 lie in"], forecast.steps.iter().map(row));
    if let (Some(ratio), Some(held)) = (forecast.error_to_last_value, forecast.held) {
        output::line(&format!(
            "On its own last third ({} forecasts): {ratio:.2} of the error of the last value; intervals held {:.0} %.",
            forecast.judged,
            held * 100.0
        ));
    }
}
