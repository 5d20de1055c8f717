//! `metaclinic models drift`: what a model did in this home, and what is clearly worse than before.

use std::path::{Path, PathBuf};

use inference::chart::{Chart, Line, LineStyle};

use crate::api::types::{DriftDay, DriftReport, DriftSpan, ModelName};
use crate::cli::{Context, output, pictures};
use crate::service::problem::{Problem, Tried};

pub(super) async fn run(
    context: &Context,
    name: Option<String>,
    chart: Option<PathBuf>,
) -> Result<(), Problem> {
    let names = match name {
        Some(name) => vec![name],
        None if chart.is_some() => {
            return Err(Problem::wrong_use("a chart is drawn of one model")
                .next("e.g. metaclinic models drift ecg --chart drift.svg"));
        }
        None => inference::Model::all()
            .tried("read the models")?
            .into_iter()
            .map(|model| model.card.about.name)
            .collect(),
    };
    if let Some(file) = &chart {
        pictures::kind(file)?;
    }
    let reports: Vec<DriftReport> = context
        .with_client(async |client| {
            let mut reports = Vec::new();
            for name in names {
                reports.push(client.post("/api/v1/models/drift", &ModelName { name }).await?);
            }
            Ok(reports)
        })
        .await?;
    if let (Some(file), [report]) = (&chart, &reports[..]) {
        draw(report, file)?;
    }
    if context.global.json {
        output::json(&serde_json::json!({ "models": reports }));
        return Ok(());
    }
    reports.iter().for_each(show);
    Ok(())
}

fn show(report: &DriftReport) {
    let share =
        |value: Option<f64>| value.map_or_else(|| "-".to_owned(), |it| format!("{:.1} %", it * 100.0));
    let column = |span: &DriftSpan| {
        let reasons: Vec<String> =
            span.refused.iter().map(|(reason, count)| format!("{reason} {count}")).collect();
        [
            span.runs.to_string(),
            share(span.refused_share),
            reasons.join(", "),
            span.mean_novelty.map_or_else(|| "-".to_owned(), |it| format!("{it:.2}")),
            (span.agreed + span.disagreed).to_string(),
            share(span.disagreed_share),
        ]
    };
    let names =
        ["given", "refused", "refused because", "mean novelty of what was read", "judged", "disagreed with"];
    let rows = names.into_iter().zip(column(&report.recent).into_iter().zip(column(&report.earlier)));
    output::table(
        [report.model.as_str(), "last 30 days", "before"],
        rows.map(|(name, (recent, earlier))| [name.to_owned(), recent, earlier]),
    );
    for warning in &report.warnings {
        output::line(&format!(
            "Warning: {warning}. Look at what is read, and compare with a clinician's reading."
        ));
    }
}

/// Shares of each day that has any.
fn draw(report: &DriftReport, file: &Path) -> Result<(), Problem> {
    let points = |of: fn(&DriftDay) -> Option<f64>| {
        let point = |(index, day): (usize, &DriftDay)| Some([index as f64, of(day)?]);
        report.days.iter().enumerate().filter_map(point).collect::<Vec<_>>()
    };
    let share = |part: u64, whole: u64| (whole > 0).then(|| part as f64 / whole as f64);
    let line =
        |name: &str, points: Vec<[f64; 2]>| Line { name: name.to_owned(), points, style: LineStyle::Dotted };
    let chart = Chart {
        title: format!("{}: what it did here", report.model),
        x: "day with anything, from the oldest on".to_owned(),
        y: "share or score, 0 to 1".to_owned(),
        lines: vec![
            line(
                "refused",
                points(|day| Some(day.refused.values().sum::<u64>() as f64 / day.runs.max(1) as f64)),
            ),
            line("disagreed with", {
                let of = |(index, day): (usize, &DriftDay)| {
                    Some([index as f64, share(day.disagreed, day.agreed + day.disagreed)?])
                };
                report.days.iter().enumerate().filter_map(of).collect()
            }),
            line("mean novelty", points(|day| day.mean_novelty)),
        ],
        bands: Vec::new(),
        legend_left: false,
        range: Some([[-0.5, report.days.len().max(1) as f64], [0.0, 1.0]]),
    };
    pictures::write(file, &chart.svg().tried("draw the chart")?)
}
