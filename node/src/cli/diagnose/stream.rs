//! `metaclinic diagnose ecg -`: an ECG while it is taken, from a monitor's lines on standard input.

use std::io::{BufRead, Read};

use inference::ecg::{BeatClass, ClassifiedBeat, EcgModel, EcgStream, StreamEvent};
use inference::{Backend, Model};
use serde_json::json;

use super::super::{Context, output};
use crate::service::problem::{Problem, Tried};

/// The longest line that is read, in bytes: 32 leads with many places.
const MAX_LINE_BYTES: u64 = 4_096;
/// The next step wherever a line cannot be used.
const LINES: &str =
    "each line is one sample: the millivolts of each lead with commas between them, e.g. 0.12,-0.05";

/// How the lines are to be read.
pub(super) struct Lines {
    /// Samples of each lead in a second.
    pub(super) sampling_rate_hz: f64,
    /// Names of the leads; as many as the first line has values, if nobody says.
    pub(super) leads: Option<Vec<String>>,
    pub(super) backend: Backend,
}

/// Reads lines until there are no more, and prints each beat as it becomes certain.
///
/// # Errors
/// [`Problem`] for a line that holds no numbers, with its number; what came before it has been told.
pub(super) fn run(context: &Context, lines: &Lines, mut input: impl BufRead) -> Result<(), Problem> {
    let model = EcgModel::built_in(lines.backend).tried("read the model")?;
    let mut counts = [0_usize; BeatClass::ALL.len()];
    let mut tell = |rate: f64, events: Vec<StreamEvent>| {
        for event in events {
            if let StreamEvent::Beat(beat) = &event {
                counts[BeatClass::ALL.iter().position(|class| *class == beat.class).unwrap_or(0)] += 1;
            }
            show(context, rate, &event);
        }
    };
    let mut stream = None;
    let mut line = String::new();
    for number in 1_usize.. {
        line.clear();
        let length = (&mut input).take(MAX_LINE_BYTES).read_line(&mut line).map_err(|error| {
            Problem::wrong_use(format!("line {number} cannot be read")).because(error).next(LINES)
        })?;
        if length == 0 {
            break;
        }
        let millivolts = numbers(&line)
            .ok_or_else(|| Problem::wrong_use(format!("line {number} holds no millivolts")).next(LINES))?;
        let mut going_on = match stream.take() {
            Some(stream) => stream,
            None => {
                let names = lines.leads.clone();
                let names = names
                    .unwrap_or_else(|| (1..=millivolts.len()).map(|lead| format!("lead {lead}")).collect());
                EcgStream::new(&model, lines.sampling_rate_hz, names)
                    .map_err(|error| Problem::wrong_use("this is no ECG").because(error).next(LINES))?
            }
        };
        let events = going_on.push(&millivolts).map_err(|error| {
            Problem::wrong_use(format!("line {number} has not as many values as there are leads"))
                .because(error)
                .next(LINES)
        })?;
        tell(lines.sampling_rate_hz, events);
        stream = Some(going_on);
    }
    let stream = stream.ok_or_else(|| Problem::wrong_use("there was nothing to read").next(LINES))?;
    let seconds = stream.now() as f64 / lines.sampling_rate_hz;
    tell(lines.sampling_rate_hz, stream.end());
    if !context.global.json {
        let counts = BeatClass::ALL.iter().zip(counts).filter(|(_, count)| *count > 0);
        let counts: Vec<String> =
            counts.map(|(class, count)| format!("{count} {}", class.letter())).collect();
        let about = Model::named(inference::ecg::ECG_MODEL).tried("read the card of the model")?.card.about;
        output::line(&format!("{seconds:.1} s, beats: {}", counts.join(", ")));
        output::line(&format!(
            "Model {} {}: research software, not a medical device, no diagnosis, and no alarm. {}",
            about.name, about.version, about.safety
        ));
    }
    Ok(())
}

fn numbers(line: &str) -> Option<Vec<f32>> {
    let line = line.strip_suffix('\n')?;
    let number = |text: &str| match text.trim() {
        "" | "-" => Some(f32::NAN),
        text => text.parse::<f32>().ok(),
    };
    line.trim_end_matches('\r').split([',', '\t', ';']).map(number).collect()
}

fn show(context: &Context, rate: f64, event: &StreamEvent) {
    if context.global.json {
        output::json(&match event {
            StreamEvent::Beat(beat) => json!({
                "event": "beat", "sample": beat.beat.sample, "at_s": beat.beat.sample as f64 / rate,
                "class": beat.class.letter(), "probability": beat.probability, "reasons": reasons(beat),
            }),
            StreamEvent::Refused(reason) => json!({ "event": "refused", "reason": reason.to_string() }),
            StreamEvent::Readable => json!({ "event": "readable" }),
        });
        return;
    }
    match event {
        // Those that are as usual are only counted.
        StreamEvent::Beat(beat) if beat.class == BeatClass::Normal => {}
        StreamEvent::Beat(beat) => output::line(&format!(
            "{:9.2} s  {}  {:.2}  {}",
            beat.beat.sample as f64 / rate,
            beat.class.letter(),
            beat.probability,
            reasons(beat).join("; ")
        )),
        StreamEvent::Refused(reason) => output::line(&format!("Not read any more: {reason}.")),
        StreamEvent::Readable => output::line("It can be read again."),
    }
}

fn reasons(beat: &ClassifiedBeat) -> Vec<String> {
    beat.reasons.iter().map(ToString::to_string).collect()
}
