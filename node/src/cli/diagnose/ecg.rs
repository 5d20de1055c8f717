//! `metaclinic diagnose ecg`: beats with their classes, rhythm, reasons, and a strip to check by eye.

use std::path::{Path, PathBuf};

use clap::Args;

use super::super::{Context, output, pictures, records, room};
use super::opinion::{self, OpinionArgs};
use super::reference;
use super::stream::{self, Lines};
use crate::api::types::{EcgAnswer, EcgReport, EcgRequest, Place, RoomChanged, RoomRequest, StripRequest};
use crate::service::ecg;
use crate::service::models::work::{ModelWork, Wanted};
use crate::service::problem::{Problem, Tried};

/// A finding in a room hangs at the monitor unless somebody says otherwise.
const DEFAULT_ANCHOR: &str = "monitor";
/// Beats in the table; the rest is in --json.
const SHOWN_BEATS: usize = 12;

#[derive(Args)]
pub(in crate::cli) struct EcgArgs {
    /// A WFDB recording (NAME.hea, NAME.dat or NAME), or TYPE/ID of a stored one, e.g. Observation/…, or - for an ECG while it
    /// is taken: lines on standard input, each the millivolts of all leads at one time, with commas between them
    #[arg(value_name = "FILE|TYPE/ID|-")]
    target: String,
    /// The record from this peer (name or id), or `own`
    #[arg(long, value_name = "PEER")]
    from: Option<String>,
    /// Draw a strip at 25 mm/s and 10 mm/mV into this file, .svg or .png; may be given twice
    #[arg(long, value_name = "FILE")]
    strip: Vec<PathBuf>,
    /// Where the strip begins, in seconds; without it where most beats are not normal
    #[arg(long, value_name = "SECONDS")]
    start: Option<f64>,
    /// How long the strip is, in seconds, up to 60
    #[arg(long, value_name = "SECONDS", default_value_t = 10.0)]
    seconds: f64,
    /// Post the finding into this room (name or id), with the strip attached
    #[arg(long, value_name = "ROOM")]
    room: Option<String>,
    #[command(flatten)]
    place: OptionalPlace,
    #[command(flatten)]
    opinion: OpinionArgs,
    /// What the model computes with, flex unless said otherwise
    #[arg(long, value_name = "BACKEND")]
    backend: Option<String>,
    /// Of lines on standard input: how many come in a second
    #[arg(long, value_name = "HERTZ", conflicts_with_all = ["strip", "room", "from"])]
    rate: Option<f64>,
    /// Of lines on standard input: the names of the leads
    #[arg(long, value_name = "NAME,…", value_delimiter = ',', requires = "rate")]
    leads: Option<Vec<String>>,
}

/// Where in the room.
#[derive(Args)]
#[group(required = false, multiple = false)]
struct OptionalPlace {
    /// Place of the finding in the room, in metres
    #[arg(long, value_name = "X,Y,Z", value_parser = room::parse_point, allow_hyphen_values = true, requires = "room")]
    at: Option<[f32; 3]>,
    /// Named place of the finding in the room; the monitor if neither is given
    #[arg(long, value_name = "NAME", requires = "room")]
    anchor: Option<String>,
}

pub(super) async fn run(context: &Context, args: EcgArgs) -> Result<(), Problem> {
    if args.target == "-" {
        return follow(context, args);
    }
    if args.rate.is_some() {
        return Err(Problem::wrong_use("a recording says itself how fast it was taken")
            .next("--rate goes with - for lines on standard input"));
    }
    for file in &args.strip {
        pictures::kind(file)?;
    }
    let strip = StripRequest { start_s: args.start, seconds: args.seconds };
    let wanted = (!args.strip.is_empty() || args.room.is_some()).then_some(strip);
    let here = ecg::header_of(Path::new(&args.target)).is_file();
    let answer = match reference(&args.target, here) {
        Some((resource_type, id)) => {
            let (resource_type, id) = (resource_type.to_owned(), id.to_owned());
            context
                .with_client(async |client| {
                    let source = records::named(client, args.from.as_deref()).await?;
                    let backend = args.backend.clone();
                    let opinion = args.opinion.request();
                    let request = EcgRequest { resource_type, id, source, backend, strip: wanted, opinion };
                    client.post::<EcgAnswer>("/api/v1/diagnose/ecg", &request).await
                })
                .await?
        }
        None => {
            args.opinion.none_about_files()?;
            let backend = ecg::parse_backend(args.backend.as_deref())?;
            let path = PathBuf::from(&args.target);
            let read = move |still: &Wanted| {
                ecg::diagnose(&ecg::read_file(&path)?, &ecg::built_in(backend)?, wanted, still)
            };
            ModelWork::shared().run(read).await?
        }
    };
    let EcgAnswer { report, svg } = answer;
    if let Some(svg) = &svg {
        for file in &args.strip {
            pictures::write(file, svg)?;
        }
    }
    let posted = match (&args.room, &svg) {
        (Some(_), Some(_)) if report.refused.is_some() => None,
        (Some(room), Some(svg)) => Some(post(context, room, &args.place, &report, svg).await?),
        _ => None,
    };
    show(context, &args, &report, posted.as_ref())?;
    match &report.refused {
        Some(reason) if args.room.is_some() => {
            Err(Problem::failed(format!("nothing was posted: {reason}")).shown())
        }
        _ => Ok(()),
    }
}

/// An ECG while it is taken.
fn follow(context: &Context, args: EcgArgs) -> Result<(), Problem> {
    let Some(sampling_rate_hz) = args.rate else {
        return Err(Problem::wrong_use("lines on standard input do not say how fast they come")
            .next("e.g. monitor | metaclinic diagnose ecg - --rate 250 --leads II,V1"));
    };
    let backend = ecg::parse_backend(args.backend.as_deref())?;
    let lines = Lines { sampling_rate_hz, leads: args.leads, backend };
    tokio::task::block_in_place(|| stream::run(context, &lines, std::io::stdin().lock()))
}

/// Posts the finding with its strip.
async fn post(
    context: &Context,
    room: &str,
    place: &OptionalPlace,
    report: &EcgReport,
    svg: &str,
) -> Result<RoomChanged, Problem> {
    // The daemon reads what it attaches from a file; nobody but this user can read this one, and it goes at once.
    let folder = tempfile::tempdir().tried("keep the strip for a moment")?;
    let file = folder.path().join("ecg-strip.png");
    std::fs::write(&file, pictures::png(svg)?).tried("keep the strip for a moment")?;
    let place = match (place.at, &place.anchor) {
        (Some(at), _) => Place::At(at),
        (None, Some(anchor)) => Place::Anchor(anchor.clone()),
        (None, None) => Place::Anchor(DEFAULT_ANCHOR.to_owned()),
    };
    let attach = Some(file.display().to_string());
    let request = RoomRequest::Annotate { text: summary(report), place, attach };
    let path = format!("/api/v1/rooms/{}/changes", super::super::segment(room));
    context.with_client(async |client| client.post(&path, &request).await).await
}

/// The finding in one line, for a room.
fn summary(report: &EcgReport) -> String {
    let mut parts = vec![format!("ECG, {:.0} s", report.duration_s)];
    if let Some(rhythm) = &report.rhythm {
        parts.push(format!(
            "{:.0} beats/min ({:.0} to {:.0})",
            rhythm.mean_rate_per_min, rhythm.min_rate_per_min, rhythm.max_rate_per_min
        ));
        parts.push(format!("longest pause {:.1} s", rhythm.longest_pause_s));
    }
    for (letter, name) in [('V', "ventricular"), ('S', "supraventricular"), ('Q', "paced or unclassifiable")]
    {
        let count = report.beats.iter().filter(|beat| beat.class == letter).count();
        if count > 0 {
            let percent = count as f64 * 100.0 / report.beats.len().max(1) as f64;
            parts.push(format!("{count} {name} ({percent:.1} %)"));
        }
    }
    let EcgReport { model, .. } = report;
    format!(
        "{}. Read by the model {} {}, not by a clinician: to be checked on the strip.",
        parts.join(", "),
        model.name,
        model.version
    )
}

fn show(
    context: &Context,
    args: &EcgArgs,
    report: &EcgReport,
    posted: Option<&RoomChanged>,
) -> Result<(), Problem> {
    if context.global.json {
        let mut value = serde_json::to_value(report).tried("write the result")?;
        value["strips"] = args.strip.iter().map(|file| file.display().to_string()).collect();
        if let Some(posted) = posted {
            value["annotation"] = posted.annotation.clone().into();
            value["room"] = posted.room.clone().into();
        }
        output::json(&value);
        return Ok(());
    }
    let leads = report.leads.join(", ");
    output::line(&format!(
        "ECG of {:.1} s, {} lead(s) ({leads}) at {} Hz",
        report.duration_s,
        report.leads.len(),
        report.sampling_rate_hz
    ));
    if let Some(reason) = &report.refused {
        output::line(&format!("Not read: {reason}."));
    } else {
        show_rhythm(report);
        show_beats(report);
    }
    args.strip.iter().for_each(|file| output::line(&format!("Strip: {}", file.display())));
    if let Some(posted) = posted {
        output::line(&format!("Posted into the room as {}", posted.id));
    }
    opinion::show(report.opinion.as_ref());
    output::line(&format!(
        "\nModel {} {} (weights {}…): research software, not a medical device, no diagnosis. Card and limits: metaclinic \
         models show {}",
        report.model.name,
        report.model.version,
        report.model.weights_sha256.get(..12).unwrap_or_default(),
        report.model.name
    ));
    output::line(&report.advice);
    Ok(())
}

fn show_rhythm(report: &EcgReport) {
    let Some(rhythm) = &report.rhythm else { return };
    let ms = |value: Option<f64>| value.map_or_else(|| "not known".to_owned(), |ms| format!("{ms:.0} ms"));
    let percent =
        |value: Option<f64>| value.map_or_else(|| "not known".to_owned(), |share| format!("{share:.2} %"));
    let pause_at = rhythm.longest_pause_at_sample as f64 / report.sampling_rate_hz;
    output::facts([
        (
            "rate",
            format!(
                "{:.0} beats/min ({:.0} to {:.0} over eight beats)",
                rhythm.mean_rate_per_min, rhythm.min_rate_per_min, rhythm.max_rate_per_min
            ),
        ),
        ("variability", format!("SDNN {}, RMSSD {}", ms(rhythm.sdnn_ms), ms(rhythm.rmssd_ms))),
        ("longest pause", format!("{:.2} s at {pause_at:.1} s", rhythm.longest_pause_s)),
        ("supraventricular", percent(rhythm.supraventricular_burden_percent)),
        ("ventricular", percent(rhythm.ventricular_burden_percent)),
    ]);
    for stretch in &report.unreadable {
        output::line(&format!("Not readable: {:.1} to {:.1} s", stretch.from_s, stretch.to_s));
    }
}

fn show_beats(report: &EcgReport) {
    let count = |letter: char| report.beats.iter().filter(|beat| beat.class == letter).count();
    let counts: Vec<String> = ['N', 'S', 'V', 'F', 'Q']
        .into_iter()
        .filter(|letter| count(*letter) > 0)
        .map(|letter| format!("{} {letter}", count(letter)))
        .collect();
    output::line(&format!("{} beats: {}", report.beats.len(), counts.join(", ")));
    if report.explanation.is_empty() {
        return;
    }
    let probability = |sample: usize| {
        report.beats.iter().find(|beat| beat.sample == sample).map_or(0.0, |beat| beat.probability)
    };
    output::table(
        ["at", "class", "probability", "why"],
        report.explanation.iter().take(SHOWN_BEATS).map(|beat| {
            [
                format!("{:.2} s", beat.sample as f64 / report.sampling_rate_hz),
                beat.class.to_string(),
                format!("{:.2}", probability(beat.sample)),
                beat.reasons.join("; "),
            ]
        }),
    );
    let more = report.explanation.len().saturating_sub(SHOWN_BEATS);
    if more > 0 {
        output::line(&format!("… and {more} more: --json has them all"));
    }
}
