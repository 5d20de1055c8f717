//! `metaclinic models …`: what runs on this device, how good it is, and where that was measured. Needs no home.

#[cfg(feature = "train")]
mod train;

use std::io::IsTerminal;
use std::path::{Path, PathBuf};

use clap::Subcommand;
use indicatif::{ProgressBar, ProgressStyle};
use inference::ecg::{ECG_MODEL, EcgModel, Evaluation, LabelledRecording};
use inference::{Model, ModelError, RecordingRow, Row};
use serde_json::json;

use super::{Context, output};
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
    },
    /// Check that the weights are those that the cards name
    Verify,
    /// Measure a model on a data set: patients that it learned from are judged by weights that never saw them
    Evaluate {
        /// Name of the model
        name: String,
        /// Folder with marked recordings (NAME.hea, signal files, NAME.atr)
        #[arg(long, value_name = "DIR")]
        data: PathBuf,
        /// What the model computes with
        #[arg(long, value_name = "BACKEND")]
        backend: Option<String>,
    },
    /// Learn a model anew from a data set; the same seed and data give the same weights
    #[cfg(feature = "train")]
    Train(train::TrainArgs),
}

pub(super) async fn run(context: &Context, command: ModelsCommand) -> Result<(), Problem> {
    match command {
        ModelsCommand::List => list(context),
        ModelsCommand::Show { name } => show(context, &name),
        ModelsCommand::Verify => verify(context),
        ModelsCommand::Evaluate { name, data, backend } => {
            evaluate(context, &name, data, backend.as_deref()).await
        }
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
    Model::named(full_name(name)).map_err(|error| unknown(name, error))
}

/// The short name `ecg` stands for the model of ECGs.
fn full_name(name: &str) -> &str {
    if name == "ecg" { ECG_MODEL } else { name }
}

fn unknown(name: &str, error: ModelError) -> Problem {
    Problem::not_found(format!("cannot use the model {name}"))
        .because(error)
        .next("list them with: metaclinic models list")
}

fn show(context: &Context, name: &str) -> Result<(), Problem> {
    let card = named(name)?.card;
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
    show_rows(&figures.gross);
    show_recordings(&figures.recordings);
    output::line(&format!(
        "Calibration error {:.4}. {} learned values, {}, SHA-256 {}.\nMeasured with `{}` (seed {}) on {}, {}.",
        figures.calibration_error,
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

fn show_rows(rows: &[Row]) {
    output::table(
        ["", "beats", "sensitivity", "precision", "F1", "95 % of draws of patients"],
        rows.iter().map(|row| {
            let [sensitivity, precision, f1] = row.figures.map(|figure| format!("{figure:.4}"));
            let [low, high] = row.f1_interval;
            [
                row.name.clone(),
                row.beats.to_string(),
                sensitivity,
                precision,
                f1,
                format!("{low:.3} to {high:.3}"),
            ]
        }),
    );
}

fn show_recordings(rows: &[RecordingRow]) {
    let three = |marked: bool, figures: [f64; 3]| {
        let [sensitivity, precision, f1] = figures;
        // Without a marked beat only the false ones can be told.
        if marked {
            format!("{sensitivity:.3} {precision:.3} {f1:.3}")
        } else {
            format!("- {precision:.3} -")
        }
    };
    output::line("\nEach recording (sensitivity, precision, F1):");
    output::table(
        ["recording", "N", "S", "V", "F", "Q", "detection", "S", "V"],
        rows.iter().map(|row| {
            let [n, s, v, f, q] = row.beats.map(|count| count.to_string());
            [
                row.name.clone(),
                n,
                s,
                v,
                f,
                q,
                three(true, row.detection),
                three(row.beats[1] > 0, row.supraventricular),
                three(row.beats[2] > 0, row.ventricular),
            ]
        }),
    );
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
) -> Result<(), Problem> {
    let model = named(name)?;
    let backend = ecg::parse_backend(backend)?;
    let card = model.card.figures.clone();
    let evaluation = blocking(move || {
        let recordings = read_recordings(&data)?;
        let model = EcgModel::load(&model, backend).tried("read the model")?;
        measure(&model, &recordings)
    })
    .await?;
    let (gross, recordings) = (evaluation.rows(), evaluation.recording_rows());
    let as_card = same(&gross, &card.gross);
    if context.global.json {
        let refused: Vec<_> = evaluation
            .refused()
            .iter()
            .map(|(name, reason)| json!({ "recording": name, "reason": reason.to_string() }))
            .collect();
        output::json(&json!({
            "model": name, "backend": backend.name(), "gross": gross, "recordings": recordings,
            "calibration_error": evaluation.calibration_error(), "refused": refused, "as_card": as_card,
        }));
        return Ok(());
    }
    show_rows(&gross);
    show_recordings(&recordings);
    evaluation
        .refused()
        .iter()
        .for_each(|(name, reason)| output::line(&format!("{name} was refused: {reason}")));
    output::line(&format!("Calibration error {:.4}", evaluation.calibration_error()));
    output::line(if as_card {
        "These are the figures of the card."
    } else {
        "These are not the figures of the card: another data set, or paced recordings beside it."
    });
    Ok(())
}

/// Builds round differently, which moves a few beats in fifty thousand: figures within this are the same.
const ROUNDING: f64 = 0.002;

fn same(measured: &[Row], told: &[Row]) -> bool {
    measured.len() == told.len()
        && measured.iter().zip(told).all(|(measured, told)| {
            let figures = measured.figures.iter().zip(told.figures);
            measured.beats == told.beats && figures.into_iter().all(|(a, b)| (a - b).abs() <= ROUNDING)
        })
}

/// The marked recordings of a folder, with a bar.
fn read_recordings(folder: &Path) -> Result<Vec<LabelledRecording>, Problem> {
    let bar = bar("reading")?;
    let recordings = ecg::labelled_recordings(folder, &mut |done, of| {
        bar.set_length(of as u64);
        bar.set_position(done as u64);
    });
    bar.finish_and_clear();
    recordings
}

/// Figures of all recordings that are not paced (EC57 leaves those out), with a bar.
fn measure(model: &EcgModel, recordings: &[LabelledRecording]) -> Result<Evaluation, Problem> {
    let bar = bar("measuring")?;
    bar.set_length(recordings.len() as u64);
    let mut evaluation = Evaluation::default();
    for recording in recordings {
        if !recording.is_paced() {
            evaluation.add(model, recording);
        }
        bar.inc(1);
    }
    bar.finish_and_clear();
    Ok(evaluation)
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
