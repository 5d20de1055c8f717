//! `metaclinic models compress`: weights with fewer bits, and what that costs on a labelled data set.

use std::path::PathBuf;

use clap::Args;
use inference::measure::{Cell, Table, TableRow};
use inference::{Backend, LearnedFigures, Model, Precision};
use serde_json::json;

use super::{measure, named, read, show_table};
use crate::cli::{Context, output};
use crate::service::blocking;
use crate::service::models::stored_with;
use crate::service::problem::{Problem, Tried};

/// Rows of a precision: what comes first is what a model is judged by.
const MOST_ROWS: usize = 3;

#[derive(Args)]
pub(crate) struct CompressArgs {
    /// Name of the model
    name: String,
    /// Folder with the labelled data set that says what is lost
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
    /// Folder for figures.toml with what was found; with --to for the whole model: weights, figures and what is said of it
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Write the weights with this many bits: half or int8
    #[arg(long, value_name = "PRECISION", requires = "out")]
    to: Option<Precision>,
}

pub(super) async fn run(context: &Context, args: CompressArgs) -> Result<(), Problem> {
    let model = named(&args.name)?;
    let found = blocking(move || find(&args, model)).await?;
    if context.global.json {
        output::json(&json!({ "model": found.name, "compressed": found.table, "out": found.out }));
        return Ok(());
    }
    show_table(&found.table);
    output::line(
        "Fewer bits take less room and compute no faster: weights are made 32 bits again when they are read.",
    );
    if let Some(out) = &found.out {
        output::line(&format!("Written to {out}."));
    }
    Ok(())
}

struct Found {
    name: String,
    table: Table,
    out: Option<String>,
}

fn find(args: &CompressArgs, model: Model) -> Result<Found, Problem> {
    let data = read(&model.card.about.name, &args.data)?;
    let mut wanted = None;
    let mut table = Table {
        title: "The same weights with fewer bits".to_owned(),
        counts: vec!["bytes".to_owned()],
        measures: Vec::new(),
        rows: Vec::new(),
    };
    for precision in Precision::ALL {
        let stored = stored_with(&model, precision)?;
        let measured = measure(&data, &stored, Backend::default())?.measured;
        let ranked = measured.tables.iter().find(|table| table.measures.iter().any(|it| it == "AUROC"));
        // Without it only the first row is the model's own; others are what it is compared with.
        let rows = if ranked.is_some() { MOST_ROWS } else { 1 };
        if let Some(told) = ranked.or(measured.tables.first()) {
            table.measures = told.measures.clone();
            table.measures.push("calibration error".to_owned());
            let row = |row: &TableRow| TableRow {
                name: format!("{precision}: {}", row.name),
                counts: vec![stored.weights.len()],
                values: row.values.iter().copied().chain([Cell::of(measured.calibration.error)]).collect(),
            };
            table.rows.extend(told.rows.iter().take(rows).map(row));
        }
        if args.to == Some(precision) {
            wanted = Some((stored, measured));
        }
    }
    let mut figures = model.card.figures.clone();
    if let Some((stored, measured)) = &wanted {
        figures = LearnedFigures { measured: measured.clone(), ..stored.card.figures.clone() };
    }
    figures.compressed = Some(table.clone());
    if let Some(out) = &args.out {
        std::fs::create_dir_all(out).tried("make the folder for what was found")?;
        let write =
            |name: &str, bytes: &[u8]| std::fs::write(out.join(name), bytes).tried("write what was found");
        write("figures.toml", toml::to_string(&figures).tried("write the figures")?.as_bytes())?;
        if let Some((stored, _)) = &wanted {
            write("weights.bpk", &stored.weights)?;
            write("about.toml", toml::to_string(&stored.card.about).tried("write what is said")?.as_bytes())?;
        }
    }
    let out = args.out.as_ref().map(|out| out.display().to_string());
    Ok(Found { name: model.card.about.name, table, out })
}
