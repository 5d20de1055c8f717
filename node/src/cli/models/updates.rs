//! `metaclinic models …` for models that clinics give each other: signed, fetched, looked at, approved, run beside the
//! one in use, put in use, taken back.

use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};

use clap::Args;
use inference::measure::Table;
use inference::{Measured, ModelCard};
use serde_json::Value;

use super::{figure, show_table};
use crate::api::types::{
    CandidateInfo, CandidateRequest, CompareRequest, ComparisonReport, FetchModelRequest, InstallRequest,
    ModelHere, ModelName, ModelOffer, PublishReport, PublishRequest, ShadowReport, UpdatesReport,
    UpdatesRequest,
};
use crate::cli::{Context, output};
use crate::service::problem::{Problem, Tried};

#[derive(Args)]
pub(crate) struct PublishArgs {
    /// Name of the model
    name: String,
    /// Folder with about.toml, figures.toml and weights.bpk, as `models train` writes it
    #[arg(long, value_name = "DIR")]
    from: PathBuf,
    /// Another version than about.toml tells, e.g. 2 or 2.1
    #[arg(long, value_name = "VERSION")]
    as_version: Option<String>,
    /// Write the signed package to this file instead of offering it to paired devices
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
}

#[derive(Args)]
pub(crate) struct InstallArgs {
    /// Name of the model
    name: String,
    /// A package in a file; without it the one that was fetched
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// Trust this author too, with whom this home is not paired: an identity mci1…, compared in person
    #[arg(long, value_name = "KEY")]
    author: Option<String>,
    /// Approve without being asked, for programs
    #[arg(long)]
    approve: bool,
    /// Put it in use at once, without running it beside the old one first
    #[arg(long)]
    now: bool,
    /// Take a version that is not newer than the one in use
    #[arg(long)]
    allow_older: bool,
}

/// `path` as the daemon will find it, wherever it runs.
fn absolute(path: &Path) -> Result<String, Problem> {
    Ok(std::path::absolute(path).tried("find the path")?.display().to_string())
}

pub(super) async fn publish(context: &Context, args: PublishArgs) -> Result<(), Problem> {
    let request = PublishRequest {
        name: args.name,
        folder: absolute(&args.from)?,
        version: args.as_version,
        file: args.file.as_deref().map(absolute).transpose()?,
    };
    let report: PublishReport =
        context.with_client(async |client| client.post("/api/v1/models/publish", &request).await).await?;
    if context.global.json {
        output::json(&report);
        return Ok(());
    }
    let where_to = match &report.file {
        Some(file) => format!("written to {file}"),
        None => "offered to every paired device".to_owned(),
    };
    output::line(&format!("{} {} is signed and {where_to}.", report.model, report.version));
    Ok(())
}

pub(super) async fn withdraw(context: &Context, name: String) -> Result<(), Problem> {
    let request = ModelName { name };
    context.with_client(async |client| client.post::<()>("/api/v1/models/withdraw", &request).await).await?;
    if context.global.json {
        output::json(&serde_json::json!({ "model": request.name, "offered": false }));
    } else {
        output::line("It is offered no more; who has it keeps it.");
    }
    Ok(())
}

pub(super) async fn updates(context: &Context, peer: Option<String>) -> Result<(), Problem> {
    let request = UpdatesRequest { peer };
    let report: UpdatesReport =
        context.with_client(async |client| client.post("/api/v1/models/updates", &request).await).await?;
    if context.global.json {
        output::json(&report);
        return Ok(());
    }
    let rows = report.peers.iter().flat_map(|peer| {
        let offer = |offer: &ModelOffer| {
            let word = if offer.newer { "newer" } else { "not newer" };
            let versions = [offer.version.clone(), offer.in_use.clone(), word.to_owned()];
            let [version, in_use, word] = versions;
            [peer.name.clone(), offer.name.clone(), version, in_use, word]
        };
        peer.offers.iter().map(offer).collect::<Vec<_>>()
    });
    output::table(["from", "model", "version", "in use here", ""], rows);
    for peer in &report.peers {
        if let Some(problem) = &peer.problem {
            output::note(&format!("{}: {problem}", peer.name));
        }
    }
    Ok(())
}

pub(super) async fn fetch(context: &Context, name: String, peer: String) -> Result<(), Problem> {
    let request = FetchModelRequest { name, peer };
    let offer: ModelOffer =
        context.with_client(async |client| client.post("/api/v1/models/fetch", &request).await).await?;
    if context.global.json {
        output::json(&offer);
        return Ok(());
    }
    output::line(&format!(
        "{} {} is here and not in use; {} is. Look at it and approve it with: metaclinic models install {}",
        offer.name, offer.version, offer.in_use, offer.name
    ));
    Ok(())
}

pub(super) async fn install(context: &Context, args: InstallArgs) -> Result<(), Problem> {
    let ask = !args.approve;
    if ask && (context.global.json || !std::io::stdin().is_terminal()) {
        return Err(Problem::wrong_use("a model is put in use only with somebody's approval")
            .next("answer on a terminal, or say --approve"));
    }
    let request = CandidateRequest {
        name: args.name,
        file: args.file.as_deref().map(absolute).transpose()?,
        author: args.author.clone(),
        allow_older: args.allow_older,
    };
    let here: Option<ModelHere> = context
        .with_client(async |client| {
            let candidate: CandidateInfo = client.post("/api/v1/models/candidate", &request).await?;
            if !context.global.json {
                show_candidate(&candidate)?;
            }
            if ask && !approved(args.now)? {
                return Ok(None);
            }
            let request = InstallRequest {
                name: candidate.model,
                package: candidate.package,
                author: args.author.clone(),
                allow_older: args.allow_older,
                now: args.now,
            };
            client.post("/api/v1/models/install", &request).await.map(Some)
        })
        .await?;
    match here {
        Some(here) => show_here(context, &here),
        None => output::line("Not approved: nothing changed."),
    }
    Ok(())
}

fn approved(now: bool) -> Result<bool, Problem> {
    let what = if now { "put in use at once" } else { "run beside the one in use" };
    let mut out = std::io::stderr();
    write!(out, "Shall it be {what}? [y/N] ").and_then(|()| out.flush()).tried("ask")?;
    let mut answer = String::new();
    std::io::stdin().read_line(&mut answer).tried("read the answer")?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}

/// Both cards side by side, where they differ, and the figures of both.
fn show_candidate(candidate: &CandidateInfo) -> Result<(), Problem> {
    let (new, old) = (card(&candidate.card)?, card(&candidate.card_in_use)?);
    let author = candidate.author_name.as_deref().unwrap_or("not paired with this home");
    output::line(&format!(
        "{} signed by {author} ({}), {}\n",
        candidate.model, candidate.author, candidate.signed
    ));
    let texts = |card: &ModelCard| {
        let about = &card.about;
        [
            about.version.clone(),
            about.intended_use.clone(),
            about.not_intended_use.clone(),
            about.data.clone(),
            about.split.clone(),
            about.method.clone(),
            about.limits.join("\n"),
            about.safety.clone(),
            format!("{} on {}", card.figures.date, card.figures.machine),
            card.figures.weights_sha256.clone(),
        ]
    };
    let names = [
        "version",
        "for",
        "not for",
        "learned from",
        "patients kept apart",
        "how",
        "where it fails",
        "safety",
        "learned",
        "weights",
    ];
    let rows = names.into_iter().zip(texts(&old).into_iter().zip(texts(&new)));
    let row = |(name, (old, new)): (&str, (String, String))| {
        let new = if old == new { "the same".to_owned() } else { new };
        [name.to_owned(), old, new]
    };
    output::table(["", "in use", "new"], rows.map(row));
    show_both(&old.figures.measured, &new.figures.measured);
    output::line(
        "The figures are what its author says; measure both yourself with: metaclinic models compare NAME --data DIR",
    );
    Ok(())
}

fn card(value: &Value) -> Result<ModelCard, Problem> {
    let part = |name: &str| value[name].clone();
    Ok(ModelCard {
        about: serde_json::from_value(part("about")).tried("read the card")?,
        figures: serde_json::from_value(part("figures")).tried("read the card")?,
    })
}

/// The first tables of both, row by row.
fn show_both(old: &Measured, new: &Measured) {
    for title in old.tables.iter().map(|table| &table.title).take(2) {
        let of = |measured: &Measured| measured.tables.iter().find(|table| table.title == *title).cloned();
        if let (Some(old), Some(new)) = (of(old), of(new)) {
            output::line(&format!("\n{title}, in use and new:"));
            side_by_side(&old, &new);
        }
    }
}

fn side_by_side(old: &Table, new: &Table) {
    let headers = std::iter::once(String::new())
        .chain(old.measures.iter().flat_map(|measure| [measure.clone(), "new".to_owned()]));
    let row = |row: &inference::measure::TableRow| {
        let other = new.rows.iter().find(|other| other.name == row.name);
        let cells = row.values.iter().enumerate().flat_map(|(at, cell)| {
            let other = other.and_then(|other| other.values.get(at));
            [figure(cell), other.map_or_else(|| "-".to_owned(), figure)]
        });
        std::iter::once(row.name.clone()).chain(cells).collect()
    };
    output::wide_table(headers.collect(), old.rows.iter().map(row));
}

pub(super) async fn compare(context: &Context, name: String, data: Option<PathBuf>) -> Result<(), Problem> {
    let request = CompareRequest { name, data: data.as_deref().map(absolute).transpose()? };
    let report: ComparisonReport =
        context.with_client(async |client| client.post("/api/v1/models/compare", &request).await).await?;
    if context.global.json {
        output::json(&report);
        return Ok(());
    }
    output::line(&format!("{}: {} in use, {} new", report.model, report.in_use, report.version));
    match &report.shadow {
        Some(shadow) => show_shadow(shadow),
        None => output::line("The new one does not run beside the one in use yet."),
    }
    if let Some(data) = &report.data {
        let measured =
            |value: &Value| serde_json::from_value::<Measured>(value.clone()).tried("read the figures");
        show_both(&measured(&data.in_use)?, &measured(&data.new)?);
        let differences: Vec<Table> =
            serde_json::from_value(data.differences.clone()).tried("read the differences")?;
        differences.iter().for_each(show_table);
        if !differences.is_empty() {
            output::line("A difference whose interval holds 0 may be chance.");
        }
        output::line("Patients that one of them learned from flatter it.");
    }
    Ok(())
}

fn show_shadow(shadow: &ShadowReport) {
    let number = |value: Option<f64>| value.map_or_else(|| "-".to_owned(), |value| format!("{value:.4}"));
    let difference = match shadow.difference_in.as_str() {
        "probability" => "mean difference of probabilities".to_owned(),
        unit => format!("mean difference in {unit}"),
    };
    output::facts([
        ("runs of both", shadow.runs.to_string()),
        ("in which the new one broke", shadow.failed.to_string()),
        (
            "refused by both, by the old alone, by the new alone",
            format!("{}, {}, {}", shadow.refused_by_both, shadow.refused_by_active, shadow.refused_by_shadow),
        ),
        ("beats for one of them alone", shadow.unmatched.to_string()),
        (difference.as_str(), number(shadow.mean_absolute_difference)),
        ("time of the new over the old", number(shadow.time_ratio)),
    ]);
    let row =
        |it: &crate::api::types::ShadowClass| [it.class.clone(), it.same.to_string(), it.other.to_string()];
    output::table(
        ["class by the one in use", "the new one agrees", "gives another"],
        shadow.classes.iter().map(row),
    );
}

pub(super) async fn activate(context: &Context, name: String) -> Result<(), Problem> {
    change(context, name, "/api/v1/models/activate").await
}

pub(super) async fn roll_back(context: &Context, name: String) -> Result<(), Problem> {
    change(context, name, "/api/v1/models/rollback").await
}

async fn change(context: &Context, name: String, path: &str) -> Result<(), Problem> {
    let request = ModelName { name };
    let here: ModelHere = context.with_client(async |client| client.post(path, &request).await).await?;
    show_here(context, &here);
    Ok(())
}

fn show_here(context: &Context, here: &ModelHere) {
    if context.global.json {
        return output::json(here);
    }
    output::line(&format!("{} {} ({}) is in use.", here.name, here.version, here.source));
    if let Some(shadow) = here.packages.iter().find(|kept| kept.state == "shadow") {
        output::line(&format!(
            "Version {} runs beside it. See how they compare: metaclinic models compare {}; then: metaclinic models \
             activate {}",
            shadow.version, here.name, here.name
        ));
    }
}
