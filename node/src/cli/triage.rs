//! `metaclinic triage`: a self-check for patients, in words or as a dialogue. Needs no home, daemon or network; nothing of it
//! is kept.

mod corpus;
mod dialogue;
mod heard;
mod questionnaire;
mod words;

use std::io::{IsTerminal, Read};
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand, ValueEnum};
use inference::triage::{Answer, Assessment, Dialogue, Finding, Known, Measure, Person, Sex};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Context, output};
use crate::service::problem::{Problem, Tried};
use heard::Heard;
use words::Language;

/// The largest file of answers.
const MAX_ANSWERS_BYTES: u64 = 1 << 20;

#[derive(Args)]
#[command(subcommand_negates_reqs = true)]
pub(super) struct TriageArgs {
    #[command(subcommand)]
    command: Option<TriageCommand>,
    /// Language of questions and advice; without it that of the environment (LANG), English if it is neither
    #[arg(long, value_name = "LANG", global = true)]
    lang: Option<Lang>,
    /// What is wrong, in your own words, English or Chinese; `-` reads it from standard input
    #[arg(long, value_name = "TEXT")]
    text: Option<String>,
    /// A JSON file of what is known: {"age":54,"sex":"female","pregnant":false,"text":"…","findings":{"cough":"yes"},
    /// "measures":{"temperature_c":38.5},"duration_hours":48}
    #[arg(long, value_name = "FILE")]
    answers: Option<PathBuf>,
    /// Age in years; a month is 0.08
    #[arg(long, value_name = "YEARS", value_parser = age)]
    age: Option<f64>,
    /// Sex: rules differ
    #[arg(long)]
    sex: Option<SexArg>,
    /// Pregnant, or not
    #[arg(long, value_name = "yes|no", value_parser = yes_no)]
    pregnant: Option<bool>,
}

#[derive(Subcommand)]
enum TriageCommand {
    /// Fill in PHQ-9, GAD-7 or another questionnaire, and get its score
    Questionnaire(questionnaire::QuestionnaireArgs),
    /// Get an answer to a health question, quoted from the texts that are installed
    Ask(corpus::AskArgs),
    /// The texts that questions are answered from
    #[command(subcommand)]
    Corpus(corpus::CorpusCommand),
}

#[derive(Clone, Copy, ValueEnum)]
enum Lang {
    En,
    Zh,
}

#[derive(Clone, Copy, ValueEnum, Deserialize)]
#[serde(rename_all = "snake_case")]
enum SexArg {
    Female,
    Male,
}

impl From<SexArg> for Sex {
    fn from(sex: SexArg) -> Sex {
        match sex {
            SexArg::Female => Sex::Female,
            SexArg::Male => Sex::Male,
        }
    }
}

fn age(text: &str) -> Result<f64, String> {
    let years: f64 = text.parse().map_err(|_| "an age is a number of years, e.g. 54 or 0.25".to_owned())?;
    if (0.0..=125.0).contains(&years) { Ok(years) } else { Err("an age lies between 0 and 125 years".into()) }
}

fn yes_no(text: &str) -> Result<bool, String> {
    match text {
        "yes" => Ok(true),
        "no" => Ok(false),
        _ => Err("say yes or no".into()),
    }
}

/// What a file of answers may hold.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct AnswersFile {
    age: Option<f64>,
    sex: Option<SexArg>,
    pregnant: Option<bool>,
    text: Option<String>,
    findings: std::collections::BTreeMap<String, AnswerWord>,
    measures: std::collections::BTreeMap<Measure, f64>,
    duration_hours: Option<f64>,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
enum AnswerWord {
    Yes,
    No,
    Unknown,
}

impl From<AnswerWord> for Answer {
    fn from(word: AnswerWord) -> Answer {
        match word {
            AnswerWord::Yes => Answer::Yes,
            AnswerWord::No => Answer::No,
            AnswerWord::Unknown => Answer::Unknown,
        }
    }
}

pub(super) fn run(context: &Context, args: &TriageArgs) -> Result<(), Problem> {
    let language = match args.lang {
        Some(Lang::En) => Language::En,
        Some(Lang::Zh) => Language::Zh,
        None => words::of_environment(),
    };
    match &args.command {
        Some(TriageCommand::Questionnaire(args)) => return questionnaire::run(context, args, language),
        Some(TriageCommand::Ask(args)) => return corpus::ask(context, args, language),
        Some(TriageCommand::Corpus(command)) => return corpus::run(context, command),
        None => {}
    }
    let Told { person, known, anything, heard } = gather(args, language)?;
    let in_dialogue = !anything && std::io::stdin().is_terminal() && !context.global.json;
    if in_dialogue {
        return dialogue::run(person, known, language);
    }
    if !anything {
        return Err(Problem::wrong_use("nothing was told").next(
            "say what is wrong: metaclinic triage --text \"sore throat for two days\" --age 30 --sex female",
        ));
    }
    let dialogue = Dialogue::new(person, known, inference::triage::MAX_QUESTIONS);
    let assessment = dialogue.assess();
    if context.global.json {
        output::json(&object(&assessment, &dialogue, &heard, language));
    } else {
        words::show(&assessment, &dialogue, &heard, language);
    }
    Ok(())
}

/// Who and what is known, and whether anything was told at all.
struct Told {
    person: Person,
    known: Known,
    anything: bool,
    heard: Heard,
}

fn gather(args: &TriageArgs, language: Language) -> Result<Told, Problem> {
    let file = args.answers.as_deref().map(read_answers).transpose()?.unwrap_or_default();
    let person = Person {
        age_years: args.age.or(file.age),
        sex: args.sex.or(file.sex).map(Sex::from),
        pregnant: args.pregnant.or(file.pregnant),
    };
    if person.age_years.is_some_and(|years| !(0.0..=125.0).contains(&years)) {
        return Err(Problem::wrong_use("an age lies between 0 and 125 years"));
    }
    let mut known = Known::default();
    for (code, answer) in &file.findings {
        let finding = Finding::named(code).ok_or_else(|| {
            Problem::wrong_use("the file of answers names a finding that there is not")
                .next("codes are those of `questions` and `understood` of: metaclinic triage --json")
        })?;
        known.answer(finding, (*answer).into());
    }
    for (measure, value) in &file.measures {
        known.measure(*measure, *value).tried("take a measure of the file of answers")?;
    }
    if let Some(hours) = file.duration_hours {
        known.lasts(hours).tried("take the duration of the file of answers")?;
    }
    let text = match args.text.as_deref() {
        Some("-") => Some(read_stdin()?),
        Some(text) => Some(text.to_owned()),
        None => file.text,
    };
    let anything = text.is_some() || !file.findings.is_empty() || !file.measures.is_empty();
    let heard = match text {
        Some(text) => Heard::of(&text, language, &mut known)?,
        None => Heard::default(),
    };
    Ok(Told { person, known, anything, heard })
}

fn read_stdin() -> Result<String, Problem> {
    let mut text = String::new();
    let most = inference::triage::MAX_TEXT_BYTES as u64 + 1;
    std::io::stdin().take(most).read_to_string(&mut text).tried("read the text from standard input")?;
    Ok(text)
}

fn read_answers(path: &Path) -> Result<AnswersFile, Problem> {
    let shown = path.display();
    let cannot = |why: String| Problem::failed(format!("cannot read the answers of {shown}: {why}"));
    let size = std::fs::metadata(path).map_err(|error| cannot(error.to_string()))?.len();
    if size > MAX_ANSWERS_BYTES {
        return Err(cannot("the file is larger than 1 MiB".into()));
    }
    let text = std::fs::read_to_string(path).map_err(|error| cannot(error.to_string()))?;
    // What serde says of a wrong value could quote it: the place is enough.
    serde_json::from_str(&text).map_err(|error| {
        cannot(format!("line {}, column {} is not as it should be", error.line(), error.column()))
            .next("metaclinic triage --help shows the form")
    })
}

/// Everything, for programs. Labels are English in every language.
fn object(assessment: &Assessment, dialogue: &Dialogue, heard: &Heard, language: Language) -> Value {
    let reasons: Vec<Value> = assessment
        .reasons
        .iter()
        .map(|reason| {
            json!({
                "rule": reason.rule, "system": reason.system, "urgency": reason.urgency.code(),
                "text": reason.text.text(language), "citation": reason.citation,
                "version": reason.version, "review_date": reason.review_date,
            })
        })
        .collect();
    let questions: Vec<Value> = assessment
        .questions
        .iter()
        .map(|question| {
            json!({
                "ask": words::ask_code(question.ask), "text": question.text.text(language),
                "why": question.why.text(language), "rule": question.rule,
            })
        })
        .collect();
    let first_aid: Vec<Value> = assessment
        .advice
        .iter()
        .filter_map(|it| Some(json!({ "text": it.text(language), "guideline": it.first_aid.as_ref()? })))
        .collect();
    let findings = dialogue.known().findings();
    let understood: Vec<Value> = findings
        .iter()
        .map(|(finding, status)| {
            json!({ "code": finding.code(), "name": finding.name(language), "status": words::status_code(*status) })
        })
        .collect();
    json!({
        "urgency": assessment.urgency.code(),
        "basis": words::basis_code(assessment.basis),
        "reasons": reasons,
        "advice": assessment.words(language),
        "first_aid": first_aid,
        "questions": questions,
        "understood": understood,
        "unaccounted": assessment.unaccounted.iter().map(|finding| finding.code()).collect::<Vec<_>>(),
        "not_understood": assessment.not_understood,
        "suggested": heard.suggested(),
        "meanings": heard.reading(),
        "language": words::language_code(language),
        "limits": words::LIMITS_EN,
    })
}
