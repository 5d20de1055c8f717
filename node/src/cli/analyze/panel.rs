//! `metaclinic analyze panel`: groups and components of patients.

use std::path::{Path, PathBuf};

use clap::Args;

use super::super::{Context, output, pictures, records};
use super::short;
use crate::api::types::{PanelAnswer, PanelReport, PanelRequest};
use crate::service::problem::Problem;
use crate::service::{analysis, blocking};

/// Components in the table; the rest is in --json.
const SHOWN_COMPONENTS: usize = 4;
/// Columns that a component is told by.
const SHOWN_LOADINGS: usize = 3;
/// Patients of a group that are named; the rest is in --json.
const SHOWN_PATIENTS: usize = 8;

#[derive(Args)]
pub(in crate::cli) struct PanelArgs {
    /// A table (CSV, also .gz) with a header and a row for each patient; without it the records of this home
    #[arg(value_name = "FILE")]
    file: Option<PathBuf>,
    /// Codes of Observations, or columns of the table; without it what most patients have
    #[arg(long, value_name = "CODE,…", value_delimiter = ',')]
    of: Vec<String>,
    /// How many groups; without it as many as lie apart best
    #[arg(long, value_name = "K")]
    clusters: Option<usize>,
    /// The records from this peer (name or id), or `own`
    #[arg(long, value_name = "PEER", conflicts_with = "file")]
    from: Option<String>,
    /// Draw the patients by component into this file, .svg or .png
    #[arg(long, value_name = "FILE")]
    chart: Option<PathBuf>,
}

pub(super) async fn run(context: &Context, args: PanelArgs) -> Result<(), Problem> {
    args.chart.as_deref().map(pictures::kind).transpose()?;
    let draw = args.chart.is_some();
    let answer = match args.file {
        Some(file) => blocking(move || analysis::panel_of_file(&file, &args.of, args.clusters, draw)).await?,
        None => {
            context
                .with_client(async |client| {
                    let source = records::named(client, args.from.as_deref()).await?;
                    let (of, clusters) = (args.of.clone(), args.clusters);
                    let request = PanelRequest { of, clusters, source, chart: draw };
                    client.post::<PanelAnswer>("/api/v1/analyze/panel", &request).await
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

fn show(context: &Context, report: &PanelReport, chart: Option<&Path>) -> Result<(), Problem> {
    if context.global.json {
        return output::json_with_chart(report, chart);
    }
    output::line(&format!("{} patients by {}.", report.patients, report.columns.join(", ")));
    for dropped in &report.dropped {
        output::line(&format!("Left out: {}, {}.", dropped.column, dropped.why));
    }
    for imputed in &report.imputed {
        output::line(&format!(
            "{}: missing for {}, filled with the median {}.",
            imputed.column,
            imputed.count,
            short(imputed.with)
        ));
    }
    groups(report);
    directions(report);
    report.notes.iter().for_each(|note| output::line(&format!("Note: {note}.")));
    if let Some(file) = chart {
        output::line(&format!("Patients by component: {}", file.display()));
    }
    output::line(&report.advice);
    Ok(())
}

fn groups(report: &PanelReport) {
    let groups = &report.clusters;
    output::line(&format!(
        "\n{} groups, silhouette {:.2} (1 far apart, 0 one cloud), steadiness {:.2} (1 the same without a fifth):",
        groups.count, groups.silhouette, groups.stability
    ));
    let header = |(index, group): (usize, &crate::api::types::PanelGroup)| {
        format!("group {} ({})", index + 1, group.size)
    };
    let headers = groups.groups.iter().enumerate().map(header);
    let headers = std::iter::once("mean of".to_owned()).chain(headers).collect();
    let row = |(at, column): (usize, &String)| {
        let means =
            groups.groups.iter().map(|group| group.centre.get(at).copied().map_or_else(String::new, short));
        std::iter::once(column.clone()).chain(means).collect()
    };
    output::wide_table(headers, report.columns.iter().enumerate().map(row));
    for number in 1..=groups.count {
        let members = report.members.iter().filter(|member| member.group == number);
        let mut who: Vec<&str> = members.map(|member| member.patient.as_str()).collect();
        if who.len() > SHOWN_PATIENTS {
            who.truncate(SHOWN_PATIENTS);
            who.push("…");
        }
        output::line(&format!("Group {number}: {}", who.join(" ")));
    }
}

fn directions(report: &PanelReport) {
    output::line("\nDirections in which they differ most:");
    let row = |(index, component): (usize, &crate::api::types::PanelComponent)| {
        let mut parts: Vec<(&String, f64)> =
            report.columns.iter().zip(component.loadings.iter().copied()).collect();
        parts.sort_by(|one, other| other.1.abs().total_cmp(&one.1.abs()));
        let told = parts.iter().take(SHOWN_LOADINGS).map(|(column, part)| format!("{part:+.2} {column}"));
        [
            (index + 1).to_string(),
            format!("{:.0} %", component.share * 100.0),
            told.collect::<Vec<_>>().join("   "),
        ]
    };
    let shown = report.components.iter().take(SHOWN_COMPONENTS).enumerate();
    output::table(["component", "of the variance", "made of"], shown.map(row));
}
