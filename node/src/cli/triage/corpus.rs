//! `metaclinic triage corpus` and `ask`: answers that quote texts which the user installed.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::words::{Language, say};
use crate::cli::models::with_bar;
use crate::cli::{Context, output};
use crate::service::corpus::{self, Library};
use crate::service::problem::Problem;

/// Faults that are listed; the rest is counted.
const SHOWN_FAULTS: usize = 10;

#[derive(Subcommand)]
pub(super) enum CorpusCommand {
    /// Install texts: MedQuAD's XML, or Markdown with `title`, `source` and `url` between `---` lines
    Add {
        /// Folder with the files; its name is the name of the corpus
        #[arg(value_name = "DIR")]
        folder: PathBuf,
        /// Compare meanings as well as words; takes long, and needs `models fetch sentences`
        #[arg(long)]
        embed: bool,
    },
    /// List what is installed
    List,
    /// Remove what is installed under a name
    Remove {
        /// Name of the corpus
        name: String,
    },
}

#[derive(Args)]
pub(super) struct AskArgs {
    /// A question about health, in the language of the installed texts
    question: String,
}

pub(super) fn run(context: &Context, command: &CorpusCommand) -> Result<(), Problem> {
    match command {
        CorpusCommand::Add { folder, embed } => {
            let installed = with_bar("reading texts", |progress| corpus::add(folder, *embed, progress))?;
            if context.global.json {
                let faults: Vec<String> = installed.faults.iter().map(ToString::to_string).collect();
                output::json(&json!({
                    "documents": installed.documents, "passages": installed.passages,
                    "embedded": installed.embedded, "faults": faults,
                }));
                return Ok(());
            }
            installed
                .faults
                .iter()
                .take(SHOWN_FAULTS)
                .for_each(|fault| output::line(&format!("not read: {fault}")));
            let more = installed.faults.len().saturating_sub(SHOWN_FAULTS);
            if more > 0 {
                output::line(&format!("… and {more} more"));
            }
            output::line(&format!(
                "{} texts with {} passages are installed.",
                installed.documents, installed.passages
            ));
        }
        CorpusCommand::List => {
            let names = corpus::names()?;
            if context.global.json {
                output::json(&json!({ "corpora": names }));
            } else if names.is_empty() {
                output::line("Nothing is installed. Install texts with: metaclinic triage corpus add DIR");
            } else {
                names.iter().for_each(|name| output::line(name));
            }
        }
        CorpusCommand::Remove { name } => {
            corpus::remove(name)?;
            if context.global.json {
                output::json(&json!({ "removed": name }));
            } else {
                output::line("Removed.");
            }
        }
    }
    Ok(())
}

/// Quotes the passage that fits best, or says that there is none.
pub(super) fn ask(context: &Context, args: &AskArgs, language: Language) -> Result<(), Problem> {
    let library = Library::open()?;
    let embedding = library.embed(&args.question)?;
    let answer = library.corpus.answer(&args.question, embedding.as_ref());
    if context.global.json {
        let answer = answer.map_or(Value::Null, |answer| {
            json!({
                "title": answer.title, "heading": answer.heading, "quotation": answer.quotation, "source": answer.source,
                "url": answer.url, "words": answer.relevance.words, "cosine": answer.relevance.cosine,
            })
        });
        output::json(&json!({ "answer": answer, "meanings": library.compares_meanings() }));
        return Ok(());
    }
    match answer {
        None => output::line(say(
            language,
            "I have nothing on this. Ask a clinician.",
            "已安装的资料中没有相关内容。请咨询医生。",
        )),
        Some(answer) => {
            let heading = if answer.heading.is_empty() { answer.title } else { answer.heading };
            output::line(&format!("{heading}\n\n{}\n", answer.quotation.trim()));
            output::line(&format!("{}{}", say(language, "Quoted from: ", "引自："), answer.source));
            if !answer.url.is_empty() {
                output::line(answer.url);
            }
        }
    }
    if !library.compares_meanings() {
        output::note(say(
            language,
            "Only words were compared, not meanings: metaclinic models fetch sentences, then triage corpus add DIR --embed.",
            "只比较了字词，没有比较含义。",
        ));
    }
    output::line(say(
        language,
        "General information, not advice for you. If you are unwell: metaclinic triage. In an emergency call your local \
         emergency number.",
        "这是一般知识，不是针对您的建议。如果不舒服，请使用 metaclinic triage；紧急时请拨打当地急救电话（中国大陆：120）。",
    ));
    Ok(())
}
