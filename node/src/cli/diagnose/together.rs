//! `metaclinic diagnose together`: readings of one patient in one panel, and the switch that allows it.

use std::io::Read;
use std::path::{Path, PathBuf};

use clap::Args;
use inference::risk::HEART_MODEL;

use super::super::{Context, output, pictures, records};
use super::risk::parse_set;
use crate::api::types::{
    TogetherAnswer, TogetherReport, TogetherRequest, TogetherSource, TogetherSwitch, TogetherSwitched,
};
use crate::service::problem::{Problem, Tried};
use crate::service::risk::RiskReader;

#[derive(Args)]
pub(in crate::cli) struct TogetherArgs {
    /// A Patient of this home, ID or Patient/ID
    #[arg(value_name = "PATIENT", required_unless_present_any = ["enable", "disable"])]
    patient: Option<String>,
    /// The patient's words, English or Chinese, for a self-check; `-` reads them from standard input. They are not kept
    #[arg(long, value_name = "TEXT")]
    text: Option<String>,
    /// A value for the model of heart disease that the records do not hold, e.g. chest-pain="typical angina"; goes before
    /// stored ones
    #[arg(long = "set", value_name = "NAME=VALUE")]
    set: Vec<String>,
    /// The records from this peer (name or id), or `own`
    #[arg(long, value_name = "PEER")]
    from: Option<String>,
    /// Draw concerns and shares into this file, .svg or .png
    #[arg(long, value_name = "FILE")]
    chart: Option<PathBuf>,
    /// Enable it in this home; a clinician answers for it by name
    #[arg(long, requires = "by", conflicts_with_all = ["disable", "patient", "text", "set", "from", "chart"])]
    enable: bool,
    /// Disable it in this home
    #[arg(long, conflicts_with_all = ["patient", "text", "set", "from", "chart", "by"])]
    disable: bool,
    /// Who enables it
    #[arg(long, value_name = "CLINICIAN", requires = "enable")]
    by: Option<String>,
}

pub(super) async fn run(context: &Context, args: TogetherArgs) -> Result<(), Problem> {
    args.chart.as_deref().map(pictures::kind).transpose()?;
    let Some(target) = args.patient.as_deref() else { return switch(context, args).await };
    let patient = target.strip_prefix("Patient/").unwrap_or(target).to_owned();
    if patient.is_empty() || patient.contains('/') {
        return Err(Problem::wrong_use("readings are put together of a Patient")
            .next("name the patient, e.g.: metaclinic diagnose together Patient/ID"));
    }
    let set = parse_set(&args.set)?;
    // Wrong names and values are told before anything is opened.
    RiskReader::built_in(HEART_MODEL)?.given(&set)?;
    let text = match args.text.as_deref() {
        Some("-") => Some(read_stdin()?),
        text => text.map(str::to_owned),
    };
    let chart = args.chart.is_some();
    let answer = context
        .with_client(async |client| {
            let source = records::named(client, args.from.as_deref()).await?;
            let request = TogetherRequest { patient, source, text, set, chart };
            client.post::<TogetherAnswer>("/api/v1/diagnose/together", &request).await
        })
        .await?;
    let drawn = args.chart.as_deref().zip(answer.svg.as_deref());
    if let Some((file, svg)) = drawn {
        pictures::write(file, svg)?;
    }
    show(context, &answer.report, drawn.map(|(file, _)| file))
}

fn read_stdin() -> Result<String, Problem> {
    let mut text = String::new();
    let most = inference::triage::MAX_TEXT_BYTES as u64 + 1;
    std::io::stdin().take(most).read_to_string(&mut text).tried("read the words from standard input")?;
    Ok(text)
}

async fn switch(context: &Context, args: TogetherArgs) -> Result<(), Problem> {
    let request = TogetherSwitch { enable: args.enable, by: args.by };
    let switched: TogetherSwitched = context
        .with_client(async |client| client.post("/api/v1/diagnose/together/switch", &request).await)
        .await?;
    if context.global.json {
        output::json(&switched);
        return Ok(());
    }
    match switched.enabled_by {
        Some(by) => output::line(&format!(
            "On: {by} answers for it. It is untrained and unmeasured; look at each reading itself."
        )),
        None => output::line("Off."),
    }
    Ok(())
}

fn show(context: &Context, report: &TogetherReport, chart: Option<&Path>) -> Result<(), Problem> {
    if context.global.json {
        return output::json_with_chart(report, chart);
    }
    if let Some(reason) = &report.refused {
        output::line(&format!("Nothing is said: {reason}."));
    }
    if let (Some(level), Some(concern), Some([low, high])) = (&report.level, report.concern, report.range) {
        output::line(&level_in_words(level, &report.level_from));
        output::line(&format!(
            "Concern of all readings together: {concern:.2} ({low:.2} to {high:.2}), from 0 to 1; no probability of any disease.\n"
        ));
        output::table(
            ["reading", "says", "age", "concern", "reliable", "fresh", "share", "without it"],
            report.sources.iter().map(row),
        );
    }
    report.contradictions.iter().for_each(|it| output::line(&format!("CONTRADICTION: {it}")));
    if !report.missing.is_empty() {
        output::line("\nMissing, and not counted as fine:");
        for it in &report.missing {
            output::line(&format!("  {}: {}. To bring it: {}", it.kind, it.why, it.bring));
        }
    }
    if let Some(file) = chart {
        output::line(&format!("Concerns and shares: {}", file.display()));
    }
    output::line(&format!("\nHow: {}.", report.method));
    report.limits.iter().for_each(|limit| output::line(&format!("  - {limit}")));
    output::line(&report.advice);
    output::line(&format!(
        "Enabled by {} on {}: research software, not a medical device.",
        report.enabled_by, report.enabled_at
    ));
    Ok(())
}

fn level_in_words(level: &str, from: &[String]) -> String {
    let from = from.join(", ");
    match level {
        "now" => format!("LOOK NOW, because of: {from}."),
        "soon" => format!("Look soon, because of: {from}."),
        _ => "Of what is known here nothing stands out; what is missing is not known.".to_owned(),
    }
}

fn row(it: &TogetherSource) -> [String; 8] {
    let age = match it.age_h {
        None => "not known".to_owned(),
        Some(hours) if hours < 48.0 => format!("{hours:.1} h"),
        Some(hours) => format!("{:.0} d", hours / 24.0),
    };
    [
        it.kind.clone(),
        it.words.clone(),
        age,
        format!("{:.2} ({:.2} to {:.2})", it.concern, it.interval[0], it.interval[1]),
        format!("{:.2}", it.reliability),
        format!("{:.2}", it.freshness),
        format!("{:.0} %", it.share * 100.0),
        it.without.map_or_else(|| "nothing".to_owned(), |it| format!("{it:.2}")),
    ]
}
