//! The passphrase of a home: from a file, or typed without echo.

use std::io::IsTerminal;
use std::path::Path;

use secrecy::{ExposeSecret, SecretString};
use zeroize::Zeroizing;

use super::{Global, output};
use crate::service::problem::{Problem, Tried};

/// Shorter ones get a warning.
const ADVISED_CHARS: usize = 12;
const MAX_FILE_BYTES: u64 = 4096;

/// The passphrase of an existing home.
pub(super) fn ask(global: &Global) -> Result<SecretString, Problem> {
    match &global.passphrase_file {
        Some(file) => read_file(file),
        None => prompt("Passphrase: "),
    }
}

/// The passphrase for a new home, typed twice.
pub(super) fn choose(global: &Global) -> Result<SecretString, Problem> {
    let chosen = match &global.passphrase_file {
        Some(file) => read_file(file)?,
        None => {
            let first = prompt("New passphrase: ")?;
            let second = prompt("The same again:  ")?;
            if first.expose_secret() != second.expose_secret() {
                return Err(Problem::wrong_use("the two passphrases differ").next("try again"));
            }
            first
        }
    };
    if chosen.expose_secret().chars().count() < ADVISED_CHARS {
        output::note("warning: a short passphrase; four or more random words protect this home much better");
    }
    Ok(chosen)
}

fn read_file(file: &Path) -> Result<SecretString, Problem> {
    let tell = |e: std::io::Error| {
        Problem::wrong_use(format!("cannot read the passphrase file {}", file.display()))
            .because(e)
            .next("check --passphrase-file or METACLINIC_PASSPHRASE_FILE")
    };
    if std::fs::metadata(file).map_err(tell)?.len() > MAX_FILE_BYTES {
        return Err(Problem::wrong_use("the passphrase file is too large to be one"));
    }
    let text = Zeroizing::new(std::fs::read_to_string(file).map_err(tell)?);
    not_empty(text.trim_end_matches(['\r', '\n']))
}

fn prompt(question: &str) -> Result<SecretString, Problem> {
    if !std::io::stdin().is_terminal() {
        return Err(Problem::wrong_use("the home needs its passphrase and there is no terminal to ask on")
            .next("name a file with --passphrase-file, or start the daemon first: metaclinic run"));
    }
    let text = Zeroizing::new(rpassword::prompt_password(question).tried("read the passphrase")?);
    not_empty(&text)
}

fn not_empty(text: &str) -> Result<SecretString, Problem> {
    if text.is_empty() {
        return Err(Problem::wrong_use("the passphrase is empty"));
    }
    Ok(SecretString::from(text.to_owned()))
}
