//! `metaclinic models train`: only in builds with the cargo feature `train`.

use std::path::{Path, PathBuf};
use std::time::Instant;

use clap::Args;
use inference::ecg::{ECG_MODEL, EcgModel, train};
use inference::{About, Backend, LearnedFigures, Model, ModelCard, sha256};
use serde_json::json;

use super::{bar, full_name, measure, read_recordings, show_recordings, show_rows, unknown};
use crate::cli::{Context, output};
use crate::clock;
use crate::service::blocking;
use crate::service::problem::{Problem, Tried};

#[derive(Args)]
pub(crate) struct TrainArgs {
    /// Name of the model
    name: String,
    /// Folder with marked recordings (NAME.hea, signal files, NAME.atr)
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
    /// Folder for weights.bpk and figures.toml; in the sources that is inference/models/ecg-beats
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Where chance begins
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// The machine, in words, for the card
    #[arg(long, default_value = "not said")]
    machine: String,
}

pub(super) async fn run(context: &Context, args: TrainArgs) -> Result<(), Problem> {
    let about = About::named(full_name(&args.name)).map_err(|error| unknown(&args.name, error))?;
    if about.name != ECG_MODEL {
        return Err(Problem::wrong_use(format!("{} is not learned by this command", about.name)));
    }
    let out = args.out.clone();
    let (figures, weights) = blocking(move || learn(&args, about)).await?;
    write(&out, &figures, &weights)?;
    if context.global.json {
        output::json(&json!({ "figures": figures, "out": out.display().to_string() }));
        return Ok(());
    }
    show_rows(&figures.gross);
    show_recordings(&figures.recordings);
    output::line(&format!(
        "Calibration error {:.4}; {:.0} s. Written to {}: build the program again to use them.",
        figures.calibration_error,
        figures.seconds,
        out.display()
    ));
    Ok(())
}

fn learn(args: &TrainArgs, about: About) -> Result<(LearnedFigures, Vec<u8>), Problem> {
    let recordings = read_recordings(&args.data)?;
    let started = Instant::now();
    let progress = bar("learning")?;
    let trained = train(&recordings, args.seed, &|done, of| {
        progress.set_length(of as u64);
        progress.set_position(done as u64);
    })
    .tried("learn from these recordings")?;
    progress.finish_and_clear();
    let seconds = started.elapsed().as_secs_f64().round();
    let date = clock::date(clock::now());
    let mut figures = LearnedFigures {
        weights_sha256: sha256(&trained.weights),
        weights_bytes: trained.weights.len(),
        parameters: 0,
        command: format!("metaclinic models evaluate {} --data DIR", about.name),
        seed: args.seed,
        date,
        machine: args.machine.clone(),
        seconds,
        gross: Vec::new(),
        calibration_error: 0.0,
        recordings: Vec::new(),
        patients: trained.patients,
        decision: Some(trained.decision),
    };
    let card = ModelCard { about, figures: figures.clone() };
    let weights = trained.weights;
    let model = Model { card, weights: weights.clone().into() };
    let model = EcgModel::load(&model, Backend::default()).tried("read what was learned")?;
    let evaluation = measure(&model, &recordings)?;
    figures.parameters = model.parameters();
    figures.gross = evaluation.rows();
    figures.recordings = evaluation.recording_rows();
    figures.calibration_error = evaluation.calibration_error();
    Ok((figures, weights))
}

fn write(out: &Path, figures: &LearnedFigures, weights: &[u8]) -> Result<(), Problem> {
    let text = toml::to_string(figures).tried("write the figures")?;
    std::fs::create_dir_all(out).tried("make the folder")?;
    std::fs::write(out.join("weights.bpk"), weights).tried("write the weights")?;
    std::fs::write(out.join("figures.toml"), text).tried("write the figures")
}
