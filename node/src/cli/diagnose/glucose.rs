//! `metaclinic diagnose glucose`: 30 and 60 minutes ahead, from a table or from records.

use std::path::{Path, PathBuf};

use ::records::glucose::Unit;
use clap::Args;

use super::super::{Context, output, pictures, records};
use super::opinion::{self, OpinionArgs};
use super::reference;
use crate::api::types::{GlucoseAnswer, GlucoseReport, GlucoseRequest};
use crate::service::problem::Problem;
use crate::service::{blocking, ecg, glucose};

#[derive(Args)]
pub(in crate::cli) struct GlucoseArgs {
    /// A table (CSV, also .gz) with a header that names times and glucose, as monitors export it; or Patient/ID for stored
    /// readings of that patient
    #[arg(value_name = "FILE|Patient/ID")]
    target: String,
    /// The records from this peer (name or id), or `own`
    #[arg(long, value_name = "PEER")]
    from: Option<String>,
    /// Forecast as if it were then, e.g. 2026-03-01T14:30; without it from the last reading
    #[arg(long, value_name = "TIME")]
    at: Option<String>,
    /// The unit of a table that does not say it: mg/dL or mmol/L
    #[arg(long, value_name = "UNIT")]
    unit: Option<String>,
    /// Draw readings and forecast into this file, .svg or .png
    #[arg(long, value_name = "FILE")]
    chart: Option<PathBuf>,
    #[command(flatten)]
    opinion: OpinionArgs,
    /// What the model computes with, flex unless said otherwise
    #[arg(long, value_name = "BACKEND")]
    backend: Option<String>,
}

pub(super) async fn run(context: &Context, args: GlucoseArgs) -> Result<(), Problem> {
    args.chart.as_deref().map(pictures::kind).transpose()?;
    let unit = args.unit.as_deref().map(parse_unit).transpose()?;
    let at = args.at.as_deref().map(glucose::parse_at).transpose()?;
    let chart = args.chart.is_some();
    let answer = match reference(&args.target, Path::new(&args.target).is_file()) {
        Some(("Patient", _)) if unit.is_some() => {
            return Err(Problem::wrong_use("stored readings say their unit themselves")
                .next("leave --unit out: it is for tables"));
        }
        Some(("Patient", id)) => {
            let patient = id.to_owned();
            context
                .with_client(async |client| {
                    let source = records::named(client, args.from.as_deref()).await?;
                    let (at, backend) = (args.at.clone(), args.backend.clone());
                    let opinion = args.opinion.request();
                    let request = GlucoseRequest { patient, source, at, backend, chart, opinion };
                    client.post::<GlucoseAnswer>("/api/v1/diagnose/glucose", &request).await
                })
                .await?
        }
        Some(_) => {
            return Err(Problem::wrong_use("readings are found by the patient")
                .next("name the patient, e.g.: metaclinic diagnose glucose Patient/ID"));
        }
        None => {
            args.opinion.none_about_files()?;
            let backend = ecg::parse_backend(args.backend.as_deref())?;
            let path = PathBuf::from(&args.target);
            blocking(move || {
                let readings = glucose::read_file(&path, unit)?;
                glucose::diagnose(&readings, &glucose::built_in(backend)?, at, chart)
            })
            .await?
        }
    };
    let drawn = args.chart.as_deref().zip(answer.svg.as_deref());
    if let Some((file, svg)) = drawn {
        pictures::write(file, svg)?;
    }
    show(context, &answer.report, drawn.map(|(file, _)| file))
}

fn parse_unit(text: &str) -> Result<Unit, Problem> {
    Unit::parse(text).ok_or_else(|| {
        Problem::wrong_use("this is no unit of glucose").next("the units are mg/dL and mmol/L")
    })
}

fn show(context: &Context, report: &GlucoseReport, chart: Option<&Path>) -> Result<(), Problem> {
    if context.global.json {
        return output::json_with_chart(report, chart);
    }
    if let Some(reason) = &report.refused {
        output::line(&format!("No forecast: {reason}."));
    }
    if let Some(last) = &report.last {
        output::line(&format!(
            "Last of {} readings: {} at {}, {:+.1} mg/dL a minute over 15 minutes.",
            report.readings,
            both(last.mg_per_dl),
            last.at,
            last.mg_per_dl_per_min
        ));
    }
    if report.unit.is_none() {
        output::line("The table does not say its unit: mg/dL is assumed.");
    }
    table(report);
    if let Some(explanation) = report.explanation.as_ref() {
        for part in &explanation.parts {
            output::line(&format!(
                "In {} minutes: {:+.0} mg/dL from the level alone, {:+.0} from the course of the last hours.",
                part.minutes, part.level, part.course
            ));
        }
    }
    if let Some(file) = chart {
        output::line(&format!("Readings and forecast: {}", file.display()));
    }
    opinion::show(report.opinion.as_ref());
    output::line(&format!("\n{}", report.advice));
    output::line(&format!(
        "Model {} {} (weights {}…): research software, not a medical device. Card and limits: metaclinic models show {}",
        report.model.name,
        report.model.version,
        report.model.weights_sha256.get(..12).unwrap_or_default(),
        report.model.name
    ));
    Ok(())
}

fn table(report: &GlucoseReport) {
    if report.forecasts.is_empty() {
        return;
    }
    let rows = report.forecasts.iter().zip(&report.baseline).map(|(at, without)| {
        [
            format!("{} min", at.minutes),
            both(at.mg_per_dl),
            format!("{:.0} to {:.0} mg/dL ({} to {})", at.low, at.high, mmol(at.low), mmol(at.high)),
            both(without.last_value),
            both(without.damped_trend),
        ]
    });
    output::table(["in", "forecast", "4 of 5 lie in", "last value", "damped trend"], rows);
}

/// In both units, as people read them.
fn both(mg_per_dl: f32) -> String {
    format!("{mg_per_dl:.0} mg/dL ({} mmol/L)", mmol(mg_per_dl))
}

fn mmol(mg_per_dl: f32) -> String {
    format!("{:.1}", mg_per_dl / inference::glucose::MG_DL_PER_MMOL_L)
}
