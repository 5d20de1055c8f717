//! `metaclinic records …`

use std::io::IsTerminal;
use std::ops::ControlFlow;
use std::path::PathBuf;

use axum::http::Method;
use clap::Subcommand;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::Value;

use super::{Context, output};
use crate::api::types::{
    FetchReport, FetchRequest, ImportEvent, ImportReport, ImportRequest, SaveReport, SaveRequest,
    VerifyRecordsReport,
};
use crate::client::Client;
use crate::service::problem::{Kind, Problem, Tried};

#[derive(Subcommand)]
pub(super) enum RecordsCommand {
    /// Import files or folders: FHIR R4 JSON and NDJSON (also .gz, .xz), WFDB signals (.hea)
    ///
    /// Returns when all of it is durable and searchable. What cannot be read is reported by file and line, the rest
    /// is imported. Ids are kept; importing again replaces.
    Import {
        /// Files or folders
        #[arg(required = true)]
        paths: Vec<PathBuf>,
        /// FHIR id of the patient that signals belong to
        #[arg(long, value_name = "ID")]
        patient: Option<String>,
    },
    /// Search, e.g. "Observation?code=8867-4&date=ge2020&_count=10"
    ///
    /// Parameters: _id, patient, subject, code, category, status, identifier, date, name, _count, _sort …
    Search {
        /// TYPE?parameter=value&…
        query: String,
    },
    /// Print one resource as it was imported
    Get {
        /// TYPE/ID
        reference: String,
        /// Write the original files of its attachments (signals) into this folder instead
        #[arg(long, value_name = "DIR")]
        save: Option<PathBuf>,
    },
    /// Fetch from a paired peer what it consents to, and keep it here
    Fetch {
        /// Name or id of the peer
        peer: String,
        /// TYPE?parameter=value&…
        query: String,
        /// Purpose of use that the consent must name
        #[arg(long, default_value = "treatment")]
        purpose: String,
    },
    /// Open and check every stored record
    Verify,
}

pub(super) async fn run(context: &Context, command: RecordsCommand) -> Result<(), Problem> {
    match command {
        RecordsCommand::Import { paths, patient } => {
            let mut absolute = Vec::with_capacity(paths.len());
            for path in paths {
                absolute.push(std::path::absolute(path).tried("find the file")?.display().to_string());
            }
            let request = ImportRequest { paths: absolute, patient };
            let report = context.with_client(async |client| import(client, &request).await).await?;
            show_import(context, &report);
            if report.imported == 0 && report.rejected_total > 0 {
                return Err(Problem::failed("nothing could be imported").next("see the reasons above"));
            }
            Ok(())
        }
        RecordsCommand::Search { query } => search(context, &query).await,
        RecordsCommand::Get { reference, save } => get(context, &reference, save).await,
        RecordsCommand::Fetch { peer, query, purpose } => {
            let request = FetchRequest { peer, query, purpose };
            let report: FetchReport = context
                .with_client(async |client| client.post("/api/v1/records/fetch", &request).await)
                .await?;
            show_fetch(context, &report);
            Ok(())
        }
        RecordsCommand::Verify => verify(context).await,
    }
}

async fn import(client: &Client, request: &ImportRequest) -> Result<ImportReport, Problem> {
    let bar = ProgressBar::no_length();
    if std::io::stderr().is_terminal() {
        let style = "{bar:30} {bytes}/{total_bytes} {msg} {eta}";
        bar.set_style(ProgressStyle::with_template(style).tried("draw a progress bar")?);
    } else {
        bar.set_draw_target(indicatif::ProgressDrawTarget::hidden());
    }
    let mut end = Err(Problem::failed("the import broke off; what was acknowledged is kept")
        .next("import again: what is there already is replaced, not doubled"));
    client
        .stream("/api/v1/records/import", request, async |event: ImportEvent| match event {
            ImportEvent::Progress { bytes_done, bytes_total, acknowledged } => {
                bar.set_length(bytes_total);
                bar.set_position(bytes_done);
                bar.set_message(format!("{acknowledged} resources"));
                ControlFlow::Continue(())
            }
            ImportEvent::Done(report) => {
                end = Ok(report);
                ControlFlow::Break(())
            }
            ImportEvent::Failed(body) => {
                let problem = Problem::new(Kind::from_name(&body.kind), body.message);
                end = Err(match body.next {
                    Some(next) => problem.next(next),
                    None => problem,
                });
                ControlFlow::Break(())
            }
        })
        .await?;
    bar.finish_and_clear();
    end
}

fn show_import(context: &Context, report: &ImportReport) {
    if context.global.json {
        return output::json(report);
    }
    let rows = report.by_type.iter().map(|(name, count)| [name.clone(), count.to_string()]);
    if report.imported > 0 {
        output::table(["resource type", "imported"], rows);
    }
    output::line(&format!("{} resources imported in {:.1} s", report.imported, report.seconds));
    for item in report.rejected.iter().take(20) {
        output::note(&format!("left out: {} line {}: {}", item.source, item.line, item.reason));
    }
    if report.rejected_total > 20 {
        output::note(&format!("… and {} more; --json lists 1,000", report.rejected_total - 20));
    }
}

fn show_fetch(context: &Context, report: &FetchReport) {
    if context.global.json {
        return output::json(report);
    }
    if report.fetched > 0 {
        let rows = report.by_type.iter().map(|(name, count)| [name.clone(), count.to_string()]);
        output::table(["resource type", "fetched"], rows);
    }
    output::line(&format!(
        "{} resources and {} attachments ({} kB) in {:.1} s",
        report.fetched,
        report.attachments,
        report.attachment_bytes / 1000,
        report.seconds
    ));
}

async fn search(context: &Context, text: &str) -> Result<(), Problem> {
    let path = format!("/fhir/R4/{}", super::query(text));
    let bundle =
        context.with_client(async |client| client.text(Method::GET, &path, None::<&()>).await).await?;
    if context.global.json {
        output::line(&bundle);
        return Ok(());
    }
    let bundle: Value = serde_json::from_str(&bundle).tried("read the result")?;
    let entries = bundle["entry"].as_array().map(Vec::as_slice).unwrap_or_default();
    output::table(["resource", "date", "what", "value"], entries.iter().map(|e| search_row(&e["resource"])));
    let total = bundle["total"].as_u64().unwrap_or_default();
    output::note(&format!(
        "{} of {total} shown; read one with: metaclinic records get TYPE/ID",
        entries.len()
    ));
    Ok(())
}

/// A line of a result table: enough to find the one that is meant.
fn search_row(resource: &Value) -> [String; 4] {
    let text = |pointer: &str| resource.pointer(pointer).and_then(Value::as_str).map(str::to_owned);
    let first = |pointers: &[&str]| pointers.iter().find_map(|p| text(p)).unwrap_or_default();
    let date = first(&[
        "/effectiveDateTime",
        "/effectivePeriod/start",
        "/onsetDateTime",
        "/period/start",
        "/occurrenceDateTime",
        "/performedPeriod/start",
        "/authoredOn",
        "/recordedDate",
        "/issued",
        "/date",
        "/birthDate",
    ]);
    let what = first(&[
        "/code/text",
        "/code/coding/0/display",
        "/vaccineCode/coding/0/display",
        "/medicationCodeableConcept/coding/0/display",
        "/type/0/text",
        "/type/0/coding/0/display",
        "/type/coding/0/display",
        "/name/0/text",
        "/name/0/family",
        "/name",
        "/status",
    ]);
    let quantity = resource.get("valueQuantity").map(|q| {
        let unit = q["unit"].as_str().or(q["code"].as_str()).unwrap_or_default();
        format!("{} {unit}", q["value"])
    });
    let value = quantity
        .or_else(|| text("/valueCodeableConcept/text"))
        .or_else(|| text("/valueCodeableConcept/coding/0/display"))
        .or_else(|| text("/valueString"))
        .unwrap_or_default();
    [format!("{}/{}", first(&["/resourceType"]), first(&["/id"])), date, what, value]
}

async fn get(context: &Context, reference: &str, folder: Option<PathBuf>) -> Result<(), Problem> {
    let Some((resource_type, id)) = reference.split_once('/') else {
        return Err(Problem::wrong_use("a resource is named TYPE/ID").next("e.g. Patient/example"));
    };
    if let Some(folder) = folder {
        let folder = std::path::absolute(folder).tried("find the folder")?.display().to_string();
        let request = SaveRequest { resource_type: resource_type.to_owned(), id: id.to_owned(), folder };
        let report: SaveReport =
            context.with_client(async |client| client.post("/api/v1/records/save", &request).await).await?;
        if context.global.json {
            output::json(&report);
        } else {
            report.files.iter().for_each(|file| output::line(file));
        }
        return Ok(());
    }
    let path = format!("/fhir/R4/{}/{}", super::segment(resource_type), super::segment(id));
    let text = context.with_client(async |client| client.text(Method::GET, &path, None::<&()>).await).await?;
    output::line(text.trim_end());
    Ok(())
}

async fn verify(context: &Context) -> Result<(), Problem> {
    let report: VerifyRecordsReport =
        context.with_client(async |client| client.post("/api/v1/records/verify", &()).await).await?;
    if context.global.json {
        output::json(&report);
    } else {
        let (damaged, missing) = (report.damaged.len(), report.missing);
        output::line(&format!("{} records checked, {damaged} damaged, {missing} missing", report.checked));
    }
    if report.rolled_back {
        return Err(Problem::failed("the store is older than its own signed audit trail").next(
            "an old copy was put back or its end was cut off: compare with your backup or the peers' copies",
        ));
    }
    if report.damaged.is_empty() && report.missing == 0 {
        return Ok(());
    }
    Err(Problem::failed("some stored records do not open")
        .next("import or fetch them again from where they came"))
}
