//! `metaclinic completions` and `metaclinic man`: both are made of the commands themselves, so they cannot lag.

use std::path::Path;

use clap::CommandFactory;
use clap_complete::Shell;

use super::{Cli, output};
use crate::service::problem::{Problem, Tried};

/// Completions for a shell on stdout.
pub(super) fn completions(shell: Shell) -> Result<(), Problem> {
    let mut text = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "metaclinic", &mut text);
    output::bytes(&text).tried("print the completions")
}

/// The manual page on stdout, or a page for each command in a folder.
pub(super) fn man(dir: Option<&Path>) -> Result<(), Problem> {
    let command = Cli::command();
    if let Some(dir) = dir {
        return clap_mangen::generate_to(command, dir).map_err(|error| {
            Problem::failed(format!("cannot write manual pages into {}", dir.display()))
                .because(error)
                .next("choose a folder that exists and is yours")
        });
    }
    let mut text = Vec::new();
    clap_mangen::Man::new(command).render(&mut text).tried("write the manual page")?;
    output::bytes(&text).tried("print the manual page")
}
