//! `metaclinic diagnose image`: chest radiographs from files or a record.

use std::path::{Path, PathBuf};

use clap::Args;
use data_encoding::BASE64;
use serde_json::{Value, json};

use super::super::{Context, output, records};
use super::opinion::{self, OpinionArgs};
use super::reference;
use crate::api::types::{ImageAnswer, ImageReport, ImageRequest};
use crate::service::models::work::{ModelWork, Wanted};
use crate::service::problem::{Problem, Tried};
use crate::service::{ecg, xray};

#[derive(Args)]
pub(in crate::cli) struct ImageArgs {
    /// Chest radiographs as PNG, JPEG or DICOM, of any size; or TYPE/ID of a stored Binary, Media or DocumentReference
    #[arg(value_name = "FILE|TYPE/ID", required = true)]
    targets: Vec<String>,
    /// The record from this peer (name or id), or `own`
    #[arg(long, value_name = "PEER")]
    from: Option<String>,
    /// Show what spoke for it: places, and with one picture as a .png file of this name
    #[arg(long, value_name = "FILE.png", num_args = 0..=1)]
    saliency: Option<Option<PathBuf>>,
    #[command(flatten)]
    opinion: OpinionArgs,
    /// What the model computes with, flex unless said otherwise
    #[arg(long, value_name = "BACKEND")]
    backend: Option<String>,
}

pub(super) async fn run(context: &Context, args: ImageArgs) -> Result<(), Problem> {
    let file = args.saliency.clone().flatten();
    if let Some(file) = &file {
        let png = file.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("png"));
        if !png || args.targets.len() > 1 {
            return Err(Problem::wrong_use("what spoke for it is drawn as one .png file, of one picture")
                .next("e.g. metaclinic diagnose image chest.png --saliency chest-why.png"));
        }
    }
    if args.opinion.request().is_some() && args.targets.len() > 1 {
        return Err(Problem::wrong_use("an opinion is about one picture").next("name one record at a time"));
    }
    let mut failed = None;
    for target in &args.targets {
        match one(context, &args, target).await {
            Ok(answer) => show(context, target, &answer, file.as_deref())?,
            Err(problem) if args.targets.len() == 1 => return Err(problem),
            // The others are read all the same.
            Err(problem) => {
                if context.global.json {
                    output::json(&json!({ "file": target, "error": problem.message }));
                } else {
                    output::line(&format!("{target}: {}", problem.message));
                }
                failed = Some(Problem::failed("not every picture could be read").shown());
            }
        }
    }
    failed.map_or(Ok(()), Err)
}

async fn one(context: &Context, args: &ImageArgs, target: &str) -> Result<ImageAnswer, Problem> {
    // What spoke for it takes fifty times as long: with many pictures only when it is asked for.
    let explain = args.saliency.is_some() || args.targets.len() == 1;
    match reference(target, Path::new(target).is_file()) {
        Some((resource_type, id)) => {
            let (resource_type, id) = (resource_type.to_owned(), id.to_owned());
            context
                .with_client(async |client| {
                    let source = records::named(client, args.from.as_deref()).await?;
                    let backend = args.backend.clone();
                    let opinion = args.opinion.request();
                    let request = ImageRequest { resource_type, id, source, backend, explain, opinion };
                    client.post::<ImageAnswer>("/api/v1/diagnose/image", &request).await
                })
                .await
        }
        None => {
            args.opinion.none_about_files()?;
            let backend = ecg::parse_backend(args.backend.as_deref())?;
            let path = PathBuf::from(target);
            let read = move |wanted: &Wanted| {
                xray::diagnose(&xray::read_file(&path)?, &xray::built_in(backend)?, explain, wanted)
            };
            ModelWork::shared().run(read).await
        }
    }
}

fn show(context: &Context, target: &str, answer: &ImageAnswer, file: Option<&Path>) -> Result<(), Problem> {
    let ImageAnswer { report, overlay } = answer;
    if let (Some(file), Some(overlay)) = (file, overlay) {
        let png = BASE64.decode(overlay.as_bytes()).tried("read the picture of what spoke for it")?;
        std::fs::write(file, png).map_err(|error| {
            Problem::failed(format!("cannot write {}", file.display()))
                .because(error)
                .next("choose a folder that exists and is yours")
        })?;
    }
    if context.global.json {
        let mut value = serde_json::to_value(report).tried("write the result")?;
        value["file"] = target.into();
        value["saliency"] =
            file.filter(|_| overlay.is_some()).map_or(Value::Null, |file| file.display().to_string().into());
        output::json(&value);
        return Ok(());
    }
    words(target, report);
    if let (Some(file), Some(_)) = (file, overlay) {
        output::line(&format!("What spoke for it (orange) and against it (blue): {}", file.display()));
    }
    Ok(())
}

fn words(target: &str, report: &ImageReport) {
    output::line(&format!("{target}: {}, {} × {} pixels", report.format, report.width, report.height));
    if report.frames > 1 {
        output::line(&format!("Only the first of {} frames was read.", report.frames));
    }
    if let Some(reason) = &report.refused {
        output::line(&format!("Not read: {reason}."));
    }
    for finding in &report.findings {
        output::line(&format!(
            "{}: {:.0} % (as if half of all such pictures showed it; SNOMED CT {})",
            finding.label,
            finding.probability * 100.0,
            finding.code
        ));
    }
    if let Some(explanation) = report.explanation.as_ref().filter(|it| !it.places.is_empty()) {
        let side = |across: f32| if across < 0.5 { "left" } else { "right" };
        let height = |down: f32| match down {
            down if down < 1.0 / 3.0 => "upper",
            down if down < 2.0 / 3.0 => "middle",
            _ => "lower",
        };
        let places: Vec<String> = explanation
            .places
            .iter()
            .map(|place| format!("{} {} of the picture", height(place.down), side(place.across)))
            .collect();
        output::line(&format!("What spoke most for it: {}.", places.join("; ")));
    }
    opinion::show(report.opinion.as_ref());
    output::line(&format!(
        "Model {} {} (weights {}…): research software, not a medical device, no diagnosis. Card and limits: metaclinic \
         models show {}",
        report.model.name,
        report.model.version,
        report.model.weights_sha256.get(..12).unwrap_or_default(),
        report.model.name
    ));
    output::line(&format!("{}\n", report.advice));
}
