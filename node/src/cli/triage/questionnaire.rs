//! `metaclinic triage questionnaire`: a scored questionnaire, or one of the user's own, as FHIR asks it.

use std::io::{self, BufRead, IsTerminal, Write};
use std::path::{Path, PathBuf};

use clap::Args;
use inference::questionnaire::{Answer, Filling, Instrument, Item, Questionnaire, Score};
use serde_json::{Value, json};

use super::words::{Language, language_code, say};
use crate::cli::{Context, output};
use crate::clock;
use crate::service::problem::{Problem, Tried};

/// The largest questionnaire that is read.
const MAX_FILE_BYTES: u64 = 8 << 20;
/// The longest line of an answer.
const MAX_LINE_BYTES: u64 = 64 * 1024;

#[derive(Args)]
pub(super) struct QuestionnaireArgs {
    /// phq-9 (depression), gad-7 (anxiety), or a FHIR R4 Questionnaire as a JSON file
    #[arg(value_name = "NAME|FILE")]
    which: String,
    /// Answers in the order of the questions, e.g. 1,0,2,1,0,0,1,0,0; without them they are asked on the terminal
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    answers: Option<Vec<String>>,
    /// Write the FHIR QuestionnaireResponse into this file
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

pub(super) fn run(context: &Context, args: &QuestionnaireArgs, language: Language) -> Result<(), Problem> {
    let plain = |name: &str| name.replace('-', "").to_lowercase();
    let instrument = Instrument::ALL.into_iter().find(|known| plain(known.name()) == plain(&args.which));
    let questionnaire = match instrument {
        Some(instrument) => instrument.questionnaire().tried("read the questionnaire")?,
        None => read(Path::new(&args.which))?,
    };
    let mut filling = Filling::new(&questionnaire);
    match &args.answers {
        Some(answers) => fill(&mut filling, answers)?,
        None if io::stdin().is_terminal() && !context.global.json => ask(&mut filling, language)?,
        None => {
            return Err(Problem::wrong_use("there are no answers").next("give them with --answers 1,0,2,…"));
        }
    }
    let score = instrument.map(|instrument| instrument.score(&filling));
    let authored = clock::rfc3339(clock::now());
    let response = filling.response(&authored, language_code(language)).tried("write the response")?;
    if let Some(file) = &args.out {
        let text = serde_json::to_string_pretty(&response).tried("write the response")?;
        std::fs::write(file, text)
            .map_err(|error| Problem::failed(format!("cannot write {}", file.display())).because(error))?;
    }
    if context.global.json {
        output::json(
            &json!({ "response": response, "score": score.as_ref().map(|score| object(score, language)) }),
        );
        return Ok(());
    }
    match &score {
        Some(score) => show(score, language),
        None => {
            let missing = filling.missing().len();
            output::line(&format!("{} ({missing} required answers are missing)", response["status"]));
        }
    }
    Ok(())
}

fn read(path: &Path) -> Result<Questionnaire, Problem> {
    let shown = path.display();
    let next = "the bundled ones are: phq-9, gad-7";
    let size = std::fs::metadata(path)
        .map_err(|error| {
            Problem::failed(format!("there is no questionnaire {shown}")).because(error).next(next)
        })?
        .len();
    if size > MAX_FILE_BYTES {
        return Err(Problem::failed(format!("{shown} is larger than is read")));
    }
    let text = std::fs::read_to_string(path)
        .map_err(|error| Problem::failed(format!("cannot read {shown}")).because(error))?;
    let resource: Value = serde_json::from_str(&text)
        .map_err(|error| Problem::failed(format!("{shown} is no JSON")).because(error))?;
    Questionnaire::read(&resource).map_err(|error| {
        Problem::failed(format!("{shown} is no questionnaire that can be asked")).because(error)
    })
}

/// Takes answers in the order in which questions come up.
fn fill(filling: &mut Filling<'_>, answers: &[String]) -> Result<(), Problem> {
    let mut skipped: Vec<String> = Vec::new();
    for words in answers {
        let open = filling.open_questions();
        let Some(item) = open.into_iter().find(|item| !skipped.contains(&item.link_id)) else {
            return Err(Problem::wrong_use("there are more answers than questions"));
        };
        if words.trim().is_empty() || words.trim() == "?" {
            skipped.push(item.link_id.clone());
            continue;
        }
        let answer = item.parse(words).ok_or_else(|| not_possible(item))?;
        filling.answer(&item.link_id, vec![answer]).tried("take an answer")?;
    }
    Ok(())
}

fn not_possible(item: &Item) -> Problem {
    let numbers: Vec<String> = item.option_numbers().iter().map(ToString::to_string).collect();
    let next = if numbers.is_empty() {
        item.kind.expected().to_owned()
    } else {
        format!("one of: {}", numbers.join(", "))
    };
    Problem::wrong_use(format!("an answer to {} is not possible", item.link_id)).next(next)
}

fn ask(filling: &mut Filling<'_>, language: Language) -> Result<(), Problem> {
    let tag = language_code(language);
    let mut skipped: Vec<String> = Vec::new();
    while let Some(item) = filling.open_questions().into_iter().find(|item| !skipped.contains(&item.link_id))
    {
        output::line(&format!("\n{}", item.text.in_language(tag)));
        for (number, option) in item.option_numbers().iter().zip(&item.options) {
            if let Answer::Coding(coding) = &option.value {
                output::line(&format!("  {number}  {}", coding.display.in_language(tag)));
            }
        }
        output::bytes(b"> ").tried("ask")?;
        io::stdout().flush().tried("ask")?;
        let mut line = String::new();
        let read = io::Read::take(io::stdin().lock(), MAX_LINE_BYTES)
            .read_line(&mut line)
            .tried("read the answer")?;
        if read == 0 {
            break;
        }
        match line.trim() {
            "" | "?" => skipped.push(item.link_id.clone()),
            words => match item.parse(words) {
                Some(answer) => filling.answer(&item.link_id, vec![answer]).tried("take the answer")?,
                None => output::line(say(
                    language,
                    "Choose a number, or leave it empty to skip.",
                    "请输入选项前的数字，或直接回车跳过。",
                )),
            },
        }
    }
    Ok(())
}

fn object(score: &Score, language: Language) -> Value {
    let band = |band: &inference::questionnaire::Band| say(language, band.name, band.name_zh);
    json!({
        "instrument": score.instrument.name(), "total": score.total, "severity": score.band.map(band),
        "missing": score.missing, "citation": score.instrument.citation(),
        "crisis": score.crisis.map(|crisis| json!({
            "text": say(language, crisis.text, crisis.text_zh), "task": say(language, crisis.task, crisis.task_zh),
        })),
    })
}

fn show(score: &Score, language: Language) {
    if let Some(crisis) = score.crisis {
        output::line(&format!("{}\n", say(language, crisis.text, crisis.text_zh)));
    }
    match (score.total, score.band) {
        (Some(total), Some(band)) => output::line(&format!(
            "{}: {total}, {} [{}]",
            score.instrument.name(),
            say(language, band.name, band.name_zh),
            score.instrument.citation()
        )),
        _ => output::line(&format!(
            "{}: {} {}",
            score.instrument.name(),
            say(language, "no score, because answers are missing:", "没有得分，因为缺少回答："),
            score.missing.join(", ")
        )),
    }
    output::line(say(
        language,
        "A score says how much somebody is burdened, not why; it is no diagnosis. Speak with a clinician about it, soon if \
         it is moderate or more.",
        "得分反映困扰的程度，并不说明原因，也不是诊断。请与医生谈谈；中度或以上请尽快。",
    ));
}
