//! `metaclinic diagnose risk`: a risk out of a person's records or out of a table; kept only when a clinician confirms it.

use std::collections::BTreeMap;
use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::Value;

use super::super::{Context, output, pictures, records};
use super::opinion::{self, OpinionArgs};
use crate::api::types::{RiskAnswer, RiskConfirmRequest, RiskConfirmed, RiskReport, RiskRequest, RiskValue};
use crate::service::blocking;
use crate::service::problem::{Problem, Tried};
use crate::service::risk::RiskReader;

/// A stored value older than this is marked, in days.
const OLD_DAYS: i64 = 365;
/// Parts that are shown to people; the rest is small.
const MAX_SHOWN: usize = 12;

#[derive(Args)]
pub(in crate::cli) struct RiskArgs {
    /// A Patient of this home (ID or Patient/ID), or a .csv or .json file with one person a row
    #[arg(value_name = "PATIENT|FILE")]
    target: String,
    /// Which risk: heart, readmission or breast
    #[arg(long, default_value = "heart", value_name = "MODEL")]
    model: String,
    /// A value that the records do not hold, e.g. chest-pain="typical angina"; goes before stored ones
    #[arg(long = "set", value_name = "NAME=VALUE")]
    set: Vec<String>,
    /// The records from this peer (name or id), or `own`
    #[arg(long, value_name = "PEER")]
    from: Option<String>,
    /// Draw what each value added into this file, .svg or .png (one person only)
    #[arg(long, value_name = "FILE")]
    chart: Option<PathBuf>,
    #[command(flatten)]
    opinion: OpinionArgs,
    /// Keep it as a FHIR RiskAssessment: asks on a terminal first; only in a clinic's home, not with --disagree
    #[arg(long, requires = "by", conflicts_with = "disagree")]
    confirm: bool,
    /// Who confirms: a name, or Practitioner/ID of an own record
    #[arg(long, value_name = "CLINICIAN", requires = "confirm")]
    by: Option<String>,
    /// The clinician has seen the answer and confirms it: do not ask
    #[arg(long, requires = "confirm")]
    yes: bool,
}

pub(super) async fn run(context: &Context, args: RiskArgs) -> Result<(), Problem> {
    if let Some(file) = &args.chart {
        pictures::kind(file)?;
    }
    let set = parse_set(&args.set)?;
    // Wrong names and values are told before anything is opened.
    RiskReader::built_in(&args.model)?.given(&set)?;
    match patient(&args.target) {
        Some(patient) => stored(context, &args, patient, set).await,
        None => file(context, args, set).await,
    }
}

/// The id of a Patient, unless a file is meant.
fn patient(target: &str) -> Option<&str> {
    if Path::new(target).exists() {
        return None;
    }
    match target.split_once('/') {
        Some(("Patient", id)) if !id.contains('/') => Some(id),
        Some(_) => None,
        None => {
            let ending = target.rsplit_once('.').map_or("", |(_, ending)| ending);
            let table = ["csv", "json"].iter().any(|known| ending.eq_ignore_ascii_case(known));
            (!table).then_some(target)
        }
    }
}

/// Values by hand, each name once.
///
/// # Errors
/// [`Problem`] for what is no `name=value`.
pub(super) fn parse_set(set: &[String]) -> Result<BTreeMap<String, String>, Problem> {
    let mut values = BTreeMap::new();
    for pair in set {
        let next = "give it as --set name=value, e.g. --set age=54";
        let (name, value) =
            pair.split_once('=').ok_or_else(|| Problem::wrong_use("--set has no =").next(next))?;
        if values.insert(name.to_owned(), value.to_owned()).is_some() {
            return Err(Problem::wrong_use(format!("--set gives {name} twice")).next(next));
        }
    }
    Ok(values)
}

async fn stored(
    context: &Context,
    args: &RiskArgs,
    patient: &str,
    set: BTreeMap<String, String>,
) -> Result<(), Problem> {
    let asks = args.confirm && !args.yes;
    if asks && (context.global.json || !std::io::stdin().is_terminal()) {
        return Err(Problem::wrong_use("--confirm asks the clinician on a terminal, and there is none")
            .next("read it first; when the clinician has seen the answer, add --yes"));
    }
    context
        .with_client(async |client| {
            let request = RiskRequest {
                patient: patient.to_owned(),
                source: records::named(client, args.from.as_deref()).await?,
                model: args.model.clone(),
                set,
                chart: args.chart.is_some(),
                to_confirm: args.confirm,
                opinion: args.opinion.request(),
            };
            let answer = client.post::<RiskAnswer>("/api/v1/diagnose/risk", &request).await?;
            draw(&answer, args.chart.as_deref())?;
            if !context.global.json {
                words(&format!("Patient/{patient}"), &answer.report);
            }
            let mut written = None;
            let by = args.by.as_deref().filter(|_| args.confirm);
            if let Some(by) = by {
                if answer.report.refused.is_some() {
                    if context.global.json {
                        print(&answer.report, &[("written", Value::Null)])?;
                    }
                    return Err(Problem::failed("the model said nothing, so there is nothing to keep")
                        .next("give what is missing with --set name=value")
                        .shown());
                }
                if args.yes || confirmed(by).await {
                    let digest = answer.report.digest.clone();
                    let confirm = RiskConfirmRequest { request, digest, by: by.to_owned() };
                    let kept: RiskConfirmed = client.post("/api/v1/diagnose/risk/confirm", &confirm).await?;
                    written = Some(kept.reference);
                }
            }
            if context.global.json {
                return print(&answer.report, &[("written", written.into())]);
            }
            match written {
                Some(reference) => {
                    output::line(&format!("Kept as {reference}, confirmed by {}.", by.unwrap_or_default()));
                }
                None if args.confirm => output::line("Not confirmed: nothing was written."),
                None => {}
            }
            Ok(())
        })
        .await
}

/// Asks the clinician; anything but yes is no. Reading blocks, so it has a thread of its own.
async fn confirmed(by: &str) -> bool {
    let question = format!("Keep this as a RiskAssessment, confirmed by {by}? [y/N] ");
    let answer = tokio::task::spawn_blocking(move || {
        // The prompt is lost only when stderr is closed; the answer still counts.
        let _ = write!(std::io::stderr(), "{question}");
        let _ = std::io::stderr().flush();
        let mut line = String::new();
        std::io::stdin().read_line(&mut line).map(|_| line)
    });
    matches!(answer.await, Ok(Ok(line)) if matches!(line.trim().to_ascii_lowercase().as_str(), "y" | "yes"))
}

async fn file(context: &Context, args: RiskArgs, set: BTreeMap<String, String>) -> Result<(), Problem> {
    if args.confirm {
        return Err(Problem::wrong_use("a row of a file is nobody's record, so nothing can be kept of it")
            .next("import the records, then: metaclinic diagnose risk Patient/ID --confirm --by NAME"));
    }
    args.opinion.none_about_files()?;
    if args.from.is_some() {
        return Err(Problem::wrong_use("--from is for records, not for a file").next("leave it out"));
    }
    let as_json = context.global.json;
    blocking(move || {
        let reader = RiskReader::built_in(&args.model)?;
        let given = reader.given(&set)?;
        let path = PathBuf::from(&args.target);
        let shown = path.display().to_string();
        reader.file(&path, &given, args.chart.is_some(), &mut |row, answer| {
            if row > 1 && args.chart.is_some() {
                return Err(Problem::wrong_use("a chart is of one person, and the file has more")
                    .next("leave --chart out, or make a file of one row"));
            }
            draw(&answer, args.chart.as_deref())?;
            if as_json {
                return print(&answer.report, &[("file", shown.clone().into()), ("row", row.into())]);
            }
            words(&format!("{shown}, row {row}"), &answer.report);
            Ok(())
        })
    })
    .await
}

fn draw(answer: &RiskAnswer, file: Option<&Path>) -> Result<(), Problem> {
    match (file, &answer.svg) {
        (Some(file), Some(svg)) => pictures::write(file, svg),
        _ => Ok(()),
    }
}

fn print(report: &RiskReport, more: &[(&str, Value)]) -> Result<(), Problem> {
    let mut value = serde_json::to_value(report).tried("write the result")?;
    for (name, other) in more {
        value[*name] = other.clone();
    }
    output::json(&value);
    Ok(())
}

fn words(whose: &str, report: &RiskReport) {
    output::line(whose);
    if let Some(reason) = &report.refused {
        output::line(&format!("Nothing is said: {reason}."));
    }
    for risk in &report.risks {
        output::line(&format!(
            "{}, {}: {:.0} % (nine of ten members of the model: {:.0} to {:.0} %; {:.0} % of those it learned from)",
            risk.label,
            risk.when,
            risk.probability * 100.0,
            risk.interval[0] * 100.0,
            risk.interval[1] * 100.0,
            risk.share_learned_from * 100.0,
        ));
    }
    if let Some(explanation) = &report.explanation {
        output::line("\nWhat spoke for it (+) and against it (−), in log-odds against the average:");
        let row = |part: &&crate::api::types::RiskPart| {
            let value = report.values.iter().find(|value| value.name == part.name);
            let side = if part.log_odds >= 0.0 { "for" } else { "against" };
            [
                format!("{:+.2}", part.log_odds).replace('-', "−"),
                side.to_owned(),
                part.label.clone(),
                part.value.clone().unwrap_or_else(|| "not known".to_owned()),
                value.map(source).unwrap_or_default(),
            ]
        };
        let shown = explanation.parts.iter().filter(|part| part.log_odds != 0.0);
        let shown: Vec<_> = shown.take(MAX_SHOWN).collect();
        let rest = explanation.parts.iter().filter(|part| part.log_odds != 0.0).skip(MAX_SHOWN);
        let sum: f64 = rest.map(|part| part.log_odds).sum();
        output::table(["log-odds", "", "what", "value", "where from"], shown.iter().map(row));
        let else_in_all = if sum == 0.0 { String::new() } else { format!(", {sum:+.2} for all else") };
        output::line(&format!(
            "{:+.2} for the average person{else_in_all}: {:+.2} in all.",
            explanation.base_log_odds, explanation.log_odds
        ));
    }
    missing(report);
    opinion::show(report.opinion.as_ref());
    output::line(&format!(
        "\nModel {} {} (weights {}…): research software, not a medical device, no diagnosis. Where it fails:",
        report.model.name,
        report.model.version,
        report.model.weights_sha256.get(..12).unwrap_or_default(),
    ));
    report.model.limits.iter().for_each(|limit| output::line(&format!("  - {limit}")));
    output::line(&format!("{}\n", report.advice));
}

fn missing(report: &RiskReport) {
    if !report.missing.is_empty() {
        output::line("\nNot known:");
        for missing in &report.missing {
            output::line(&format!(
                "  {} ({}): {}",
                missing.label,
                missing.name,
                counted(&missing.counted_as)
            ));
        }
    }
    for aside in &report.set_aside {
        output::line(&format!("Not used, {}: {}.", aside.source, aside.reason));
    }
    for value in report.values.iter().filter(|value| value.outside_of.is_some()) {
        let [low, high] = value.outside_of.unwrap_or_default();
        output::line(&format!(
            "{} lies outside of what was learned from ({low} to {high}): less sure.",
            value.label
        ));
    }
    if !report.ignored.is_empty() {
        output::line(&format!("Not asked for, not used: {}.", report.ignored.join(", ")));
    }
}

fn counted(as_what: &str) -> String {
    if as_what.starts_with("the average") { format!("counted as {as_what}") } else { as_what.to_owned() }
}

/// Where a value came from, and how old it is.
fn source(value: &RiskValue) -> String {
    let age = match value.days_old {
        None => String::new(),
        Some(days) if days > OLD_DAYS => format!(", {days} days old: old"),
        Some(1) => ", 1 day old".to_owned(),
        Some(days) => format!(", {days} days old"),
    };
    format!("{}{age}", value.source)
}
