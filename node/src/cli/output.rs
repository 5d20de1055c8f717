//! Printing: results on stdout, everything else on stderr; tables for people, JSON for programs.
#![allow(clippy::print_stdout, reason = "this file and its callers are what speaks to stdout")]

use std::io::{self, IsTerminal, Write};

use comfy_table::presets::UTF8_HORIZONTAL_ONLY;
use comfy_table::{ContentArrangement, Table};
use serde::Serialize;

use crate::api::types::ProblemBody;
use crate::service::problem::Problem;

/// One JSON object on a line of stdout.
pub(super) fn json(value: &impl Serialize) {
    match serde_json::to_string(value) {
        Ok(text) => line(&text),
        Err(error) => tracing::error!(%error, "cannot write the result"),
    }
}

/// A line on stdout. A reader that has gone away ends the program quietly, as pipes expect.
pub(super) fn line(text: &str) {
    let mut out = io::stdout().lock();
    if writeln!(out, "{text}").and_then(|()| out.flush()).is_err() {
        std::process::exit(0);
    }
}

/// A line for the person who watches, on stderr.
pub(super) fn note(text: &str) {
    // Nothing can be done when stderr is closed.
    let _ = writeln!(io::stderr(), "{text}");
}

/// A table on stdout.
pub(super) fn table<const N: usize>(headers: [&str; N], rows: impl IntoIterator<Item = [String; N]>) {
    let mut table = Table::new();
    table
        .load_style(UTF8_HORIZONTAL_ONLY)
        .set_content_arrangement(ContentArrangement::Dynamic)
        .set_header(headers);
    if !io::stdout().is_terminal() {
        table.set_width(160);
    }
    for row in rows {
        table.add_row(row);
    }
    line(&table.to_string());
}

/// Name and value pairs on stdout, aligned.
pub(super) fn facts<const N: usize>(facts: [(&str, String); N]) {
    let width = facts.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    for (name, value) in facts {
        line(&format!("{name:width$}  {value}"));
    }
}

/// What went wrong and the next step; with `--json` also as an object on stdout.
pub(super) fn problem(as_json: bool, problem: &Problem) {
    note(&format!("error: {}", problem.message));
    if let Some(next) = &problem.next {
        note(&format!("next:  {next}"));
    }
    if as_json {
        let body = ProblemBody {
            kind: problem.kind.name().to_owned(),
            message: problem.message.clone(),
            next: problem.next.clone(),
        };
        json(&serde_json::json!({ "error": body }));
    }
}
