//! metaclinic: a clinic without a central server. One program for clinics, patients and researchers.

mod api;
mod cli;
mod client;
mod clock;
mod config;
mod daemon;
mod home;
mod picture;
mod service;
mod telemetry;

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::main()
}
