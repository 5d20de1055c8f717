//! Printing: results on stdout, everything else on stderr; tables for people, JSON for programs.
#![allow(clippy::print_stdout, reason = "this file and its callers are what speaks to stdout")]

use std::borrow::Cow;
use std::io::{self, IsTerminal, Write};
use std::path::Path;

use comfy_table::{ContentArrangement, LineStyle, Table, TableStyle};
use serde::Serialize;

use crate::api::types::ProblemBody;
use crate::service::problem::{Problem, Tried};

/// One JSON object on a line of stdout.
pub(super) fn json(value: &impl Serialize) {
    match serde_json::to_string(value) {
        Ok(text) => raw(&text),
        Err(error) => tracing::error!(%error, "cannot write the result"),
    }
}

/// A report as one JSON object, with the file of its chart.
///
/// # Errors
/// [`Problem`] when it cannot be written as JSON.
pub(super) fn json_with_chart(report: &impl Serialize, chart: Option<&Path>) -> Result<(), Problem> {
    let mut value = serde_json::to_value(report).tried("write the result")?;
    value["chart"] = chart.map_or(serde_json::Value::Null, |file| file.display().to_string().into());
    json(&value);
    Ok(())
}

/// A line for people on stdout.
pub(super) fn line(text: &str) {
    print(&plain(text));
}

/// Text on stdout as it is, for programs; a terminal gets it without what could move its cursor.
pub(super) fn raw(text: &str) {
    if io::stdout().is_terminal() { print(&plain(text)) } else { print(text) }
}

/// Bytes of a made file on stdout, whole.
pub(super) fn bytes(bytes: &[u8]) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(bytes).and_then(|()| out.flush())
}

/// Text as people may safely see it: others wrote parts of it, and control characters or a changed writing direction
/// could show them something else than what is there.
fn plain(text: &str) -> Cow<'_, str> {
    let hidden = |c: char| {
        (c.is_control() && c != '\n' && c != '\t')
            || matches!(c, '\u{200E}' | '\u{200F}' | '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}')
    };
    if text.contains(hidden) { text.replace(hidden, "\u{FFFD}").into() } else { text.into() }
}

/// A reader that has gone away ends the program quietly, as pipes expect.
fn print(text: &str) {
    let mut out = io::stdout().lock();
    if writeln!(out, "{text}").and_then(|()| out.flush()).is_err() {
        std::process::exit(0);
    }
}

/// A line for the person who watches, on stderr.
pub(super) fn note(text: &str) {
    // Nothing can be done when stderr is closed.
    let _ = writeln!(io::stderr(), "{}", plain(text));
}

/// A line under the header and nothing else: easy to read, easy to cut.
const PLAIN: TableStyle = TableStyle::new().header_separator(LineStyle::none().fill('─').junction('─'));

/// A table on stdout.
pub(super) fn table<const N: usize>(headers: [&str; N], rows: impl IntoIterator<Item = [String; N]>) {
    wide_table(headers.map(str::to_owned).to_vec(), rows.into_iter().map(Vec::from));
}

/// A table whose columns are known only when it is drawn.
pub(super) fn wide_table(headers: Vec<String>, rows: impl IntoIterator<Item = Vec<String>>) {
    let mut table = Table::new();
    table.load_style(PLAIN).set_content_arrangement(ContentArrangement::Dynamic).set_header(headers);
    if !io::stdout().is_terminal() {
        table.set_width(160);
    }
    for row in rows {
        table.add_row(row.into_iter().map(|cell| plain(&cell).replace(['\n', '\t'], " ")));
    }
    line(&table.to_string());
}

/// Name and value pairs on stdout, aligned.
pub(super) fn facts<const N: usize>(facts: [(&str, String); N]) {
    let width = facts.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    for (name, value) in facts {
        let value = value.replace('\n', &format!("\n{:width$}  ", ""));
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
        json(&serde_json::json!({ "error": ProblemBody::from(problem) }));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_others_wrote_cannot_move_the_cursor() {
        assert_eq!(plain("4.0\r6.9"), "4.0\u{FFFD}6.9");
        assert_eq!(plain("\u{1b}[31m red \u{9b}0m"), "\u{FFFD}[31m red \u{FFFD}0m");
        assert_eq!(plain("a\u{202e}b"), "a\u{FFFD}b");
        assert_eq!(plain("诊室\n体温 36.7 °C"), "诊室\n体温 36.7 °C");
    }
}
