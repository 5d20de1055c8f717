//! `--agree` and `--disagree`: what the person who looked thinks of a model's answer about a stored record.

use clap::Args;

use super::super::output;
use crate::api::types::{OpinionInfo, OpinionRequest};
use crate::service::models::answers::REASONS;
use crate::service::problem::Problem;

/// What the person who looked thinks of the answer. Kept sealed and signed, for records of a home only.
#[derive(Args)]
pub(in crate::cli) struct OpinionArgs {
    /// Say that you looked yourself and agree with the model; kept and counted (records of a home only)
    #[arg(long, conflicts_with = "disagree")]
    agree: bool,
    /// Say that you looked yourself and do not agree with the model; kept and counted (records of a home only)
    #[arg(long)]
    disagree: bool,
    /// Why you do not agree
    #[arg(long, value_name = "WORD", requires = "disagree",
        value_parser = clap::builder::PossibleValuesParser::new(REASONS))]
    because: Option<String>,
}

impl OpinionArgs {
    /// As it is asked of the home.
    pub(super) fn request(&self) -> Option<OpinionRequest> {
        let said = self.agree || self.disagree;
        said.then(|| OpinionRequest { agree: self.agree, because: self.because.clone() })
    }

    /// A file belongs to no home, so there is nowhere to keep it.
    pub(super) fn none_about_files(&self) -> Result<(), Problem> {
        if self.request().is_none() {
            return Ok(());
        }
        Err(Problem::wrong_use("an opinion is kept about a record of a home, not about a file")
            .next("import the file first with: metaclinic records import, then name TYPE/ID"))
    }
}

/// What is kept, in words.
pub(super) fn show(opinion: Option<&OpinionInfo>) {
    let Some(opinion) = opinion else { return };
    let word = if opinion.agree { "agreed with" } else { "did not agree with" };
    let because = opinion.because.as_deref().map(|word| format!(" ({word})")).unwrap_or_default();
    output::line(&format!("A person {word} this{because}, {}.", opinion.time));
}
