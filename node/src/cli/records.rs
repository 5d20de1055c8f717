//! `metaclinic records …`

mod search;

pub(super) use search::named;

use std::io::IsTerminal;
use std::ops::ControlFlow;
use std::path::PathBuf;

use clap::Subcommand;
use indicatif::{ProgressBar, ProgressStyle};

use super::{Context, output};
use crate::api::types::{
    FetchEvent, FetchReport, FetchRequest, ImportEvent, ImportReport, ImportRequest, VerifyRecordsReport,
};
use crate::client::Client;
use crate::service::problem::{Problem, Tried};

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
    /// Parameters: _id, patient, subject, code, category, status, identifier, date, name, _source, _count, _sort …
    /// A patient's id means another person in each source: such a search shows own resources unless --from names a peer.
    Search {
        /// TYPE?parameter=value&…
        query: String,
        /// Only what is from this peer (name or id), or `own`
        #[arg(long, value_name = "PEER")]
        from: Option<String>,
    },
    /// Print one resource as it was imported
    Get {
        /// TYPE/ID
        reference: String,
        /// The one from this peer (name or id), or `own`; without it the own one first
        #[arg(long, value_name = "PEER")]
        from: Option<String>,
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
    /// Open and check every stored record and its attachments
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
                return Err(Problem::failed("nothing could be imported")
                    .next("see the reasons above")
                    .shown());
            }
            Ok(())
        }
        RecordsCommand::Search { query, from } => search::search(context, &query, from.as_deref()).await,
        RecordsCommand::Get { reference, from, save } => {
            search::get(context, &reference, from.as_deref(), save).await
        }
        RecordsCommand::Fetch { peer, query, purpose } => {
            let request = FetchRequest { peer, query, purpose };
            let report = context.with_client(async |client| fetch(client, &request).await).await?;
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
    let mut begun = false;
    let mut end = Err(broke_off());
    let streamed = client
        .stream("/api/v1/records/import", request, async |event: ImportEvent| match event {
            ImportEvent::Progress { bytes_done, bytes_total, acknowledged } => {
                begun = true;
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
                end = Err(body.into());
                ControlFlow::Break(())
            }
        })
        .await;
    bar.finish_and_clear();
    match (streamed, end) {
        (_, Ok(report)) => Ok(report),
        (Ok(()), end) => end,
        (Err(problem), _) if begun => Err(broke_off().because(problem)),
        (Err(problem), _) => Err(problem),
    }
}

fn broke_off() -> Problem {
    Problem::failed("the import broke off; what was acknowledged is kept")
        .next("import again: what is there already is replaced, not doubled")
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

async fn fetch(client: &Client, request: &FetchRequest) -> Result<FetchReport, Problem> {
    let spinner = ProgressBar::no_length();
    if std::io::stderr().is_terminal() {
        spinner.set_style(ProgressStyle::with_template("{spinner} {msg} {elapsed}").tried("draw progress")?);
        spinner.enable_steady_tick(std::time::Duration::from_millis(120));
    } else {
        spinner.set_draw_target(indicatif::ProgressDrawTarget::hidden());
    }
    let broke_off = || {
        Problem::failed("the fetch broke off; what came before is kept")
            .next("fetch again: what is there already is replaced, not doubled")
    };
    let mut begun = false;
    let mut end = Err(broke_off());
    let streamed = client
        .stream("/api/v1/records/fetch", request, async |event: FetchEvent| match event {
            FetchEvent::Progress { fetched, attachments, attachment_bytes } => {
                begun = true;
                let kilobytes = attachment_bytes / 1000;
                spinner
                    .set_message(format!("{fetched} resources, {attachments} attachments ({kilobytes} kB)"));
                ControlFlow::Continue(())
            }
            FetchEvent::Done(report) => {
                end = Ok(report);
                ControlFlow::Break(())
            }
            FetchEvent::Failed(body) => {
                end = Err(body.into());
                ControlFlow::Break(())
            }
        })
        .await;
    spinner.finish_and_clear();
    match (streamed, end) {
        (_, Ok(report)) => Ok(report),
        (Ok(()), end) => end,
        (Err(problem), _) if begun => Err(broke_off().because(problem)),
        (Err(problem), _) => Err(problem),
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
    for name in &report.left_out {
        output::note(&format!("left out: {name} cannot be read at the peer any more"));
    }
}

async fn verify(context: &Context) -> Result<(), Problem> {
    let report: VerifyRecordsReport =
        context.with_client(async |client| client.post("/api/v1/records/verify", &()).await).await?;
    if context.global.json {
        output::json(&report);
    } else {
        let (damaged, missing) = (report.damaged.len(), report.missing);
        output::line(&format!("{} records checked, {damaged} damaged, {missing} missing", report.checked));
        let (damaged, missing) = (report.attachments_damaged, report.attachments_missing);
        output::line(&format!(
            "{} attachments checked, {damaged} damaged, {missing} missing",
            report.attachments
        ));
        output::line(&format!("{} rooms checked, {} damaged", report.rooms, report.rooms_damaged));
    }
    verdict(&report).map_err(Problem::shown)
}

/// Whether everything is as it was written.
fn verdict(report: &VerifyRecordsReport) -> Result<(), Problem> {
    if report.rolled_back {
        return Err(Problem::failed("the store is older than its own signed audit trail").next(
            "an old copy was put back or its end was cut off: compare with your backup or the peers' copies",
        ));
    }
    let next = "import or fetch them again from where they came";
    if !report.damaged.is_empty() || report.missing > 0 {
        return Err(Problem::failed("some stored records do not open").next(next));
    }
    if report.attachments_missing > 0 || report.attachments_damaged > 0 {
        return Err(Problem::failed("some attachments are missing or damaged").next(next));
    }
    if report.rooms_damaged > 0 {
        return Err(
            Problem::failed("some rooms do not open").next("join them again: the other members have them")
        );
    }
    Ok(())
}
