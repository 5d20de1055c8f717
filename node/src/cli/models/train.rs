//! `metaclinic models train`: only in builds with the cargo feature `train`.

use std::path::{Path, PathBuf};
use std::time::Instant;

use clap::Args;
use inference::training::{LearningCurve, Training};
use inference::{About, Backend, LearnedFigures, Measured, Model, ModelCard, chart, sha256};
use serde_json::json;

use super::{measure, read, show_measured, unknown, with_bar};
use crate::cli::{Context, output};
use crate::clock;
use crate::service::blocking;
use crate::service::models::parameters;
use crate::service::models::unfinished::{Task, Unfinished};
use crate::service::problem::{Problem, Tried};

#[derive(Args)]
pub(crate) struct TrainArgs {
    /// Name of the model
    name: String,
    /// Folder with the labelled data set (ecg: NAME.hea, signal files, NAME.atr; risks: the tables of the card)
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
    /// Folder for weights.bpk, figures.toml and curves.svg, and for about.toml if there is none; in the sources that is
    /// inference/models/NAME
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Go on with the training of the same model, data and seed that was broken off
    #[arg(long)]
    resume: bool,
    /// Where chance begins
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// The machine, in words, for the card
    #[arg(long, default_value = "not said")]
    machine: String,
}

pub(super) async fn run(context: &Context, args: TrainArgs) -> Result<(), Problem> {
    let about = About::named(&args.name).map_err(|error| unknown(&args.name, error))?;
    let out = args.out.clone();
    let words = toml::to_string(&about).tried("write the card")?;
    let Learned { figures, weights, curves } = blocking(move || learn(&args, about)).await?;
    write(&out, &figures, &weights, &curves)?;
    if !out.join("about.toml").exists() {
        std::fs::write(out.join("about.toml"), words).tried("write the card")?;
    }
    if context.global.json {
        output::json(&json!({ "figures": figures, "out": out.display().to_string() }));
        return Ok(());
    }
    show_measured(&figures.measured);
    output::line(&format!(
        "{:.0} s. Written to {}: build the program again to use them, or sign them with: metaclinic models publish NAME \
         --from DIR --as-version VERSION",
        figures.seconds,
        out.display()
    ));
    Ok(())
}

struct Learned {
    figures: LearnedFigures,
    weights: Vec<u8>,
    curves: Vec<LearningCurve>,
}

fn learn(args: &TrainArgs, about: About) -> Result<Learned, Problem> {
    let task = Task::of(&about.name, args.seed, &args.data)?;
    let data = read(&about.name, &args.data)?;
    let unfinished = Unfinished::open(&args.out, &task, args.resume)?;
    let started = Instant::now();
    let trained = with_bar("learning", |progress| {
        data.train(&Training {
            seed: args.seed,
            progress,
            load: &|name| unfinished.load(name),
            save: &|name, bytes| unfinished.save(name, bytes),
        })
    })?;
    let mut figures = LearnedFigures {
        weights_sha256: sha256(&trained.weights),
        weights_bytes: trained.weights.len(),
        parameters: 0,
        command: format!("metaclinic models evaluate {} --data DIR", about.name),
        seed: args.seed,
        date: clock::date(clock::now()),
        machine: args.machine.clone(),
        seconds: started.elapsed().as_secs_f64().round(),
        decision: trained.decision,
        measured: Measured::default(),
        compressed: None,
    };
    let card = ModelCard { about, figures: figures.clone() };
    let model = Model { card, weights: trained.weights.clone().into() };
    figures.parameters = parameters(&model)?;
    figures.measured = measure(&data, &model, Backend::default())?.measured;
    unfinished.remove();
    Ok(Learned { figures, weights: trained.weights, curves: trained.curves })
}

fn write(
    out: &Path,
    figures: &LearnedFigures,
    weights: &[u8],
    curves: &[LearningCurve],
) -> Result<(), Problem> {
    let text = toml::to_string(figures).tried("write the figures")?;
    let chart = chart::learning("Loss while learning", curves).svg().tried("draw how the loss fell")?;
    std::fs::write(out.join("weights.bpk"), weights).tried("write the weights")?;
    std::fs::write(out.join("figures.toml"), text).tried("write the figures")?;
    std::fs::write(out.join("curves.svg"), chart).tried("write how the loss fell")
}
