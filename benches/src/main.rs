//! Measurements, a command each: `make bench`, or `bench NAME` on its own. Each runs the real program or the real
//! crate on this machine, prints a table, and writes `results/NAME.json` with the machine and the day.
//!
//! Times depend on the machine and on what else it does: compare within a run, or on one machine. Targets are what
//! the project asks of a machine with two cores.
#![allow(clippy::print_stdout, reason = "this program is there to print")]

mod blob;
mod ecg;
mod join;
mod models;
mod nodes;
#[cfg(feature = "peers")]
mod peers;
mod report;
mod rooms;
mod store;
mod triage;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;

use report::Measured;

/// Measures one thing, or everything.
#[derive(Parser)]
#[command(name = "bench", version)]
struct Cli {
    /// What to measure; everything when nothing is named
    names: Vec<Name>,
    /// Folder of the result files
    #[arg(long, default_value = concat!(env!("CARGO_MANIFEST_DIR"), "/results"))]
    out: PathBuf,
    /// Folder with data sets; else METACLINIC_DATA
    #[arg(long, env = "METACLINIC_DATA")]
    data: Option<PathBuf>,
}

/// What can be measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Name {
    /// From an edit at one node to its event at the other
    RoomEdit,
    /// From the end of a partition to equal rooms
    Heal,
    /// Bytes for a new member of a room, and for two equal copies that meet
    Join,
    /// A FHIR data set, sealed, durable and searchable
    Import,
    /// One durable record
    Write,
    /// A recording of half an hour with two leads
    Ecg,
    /// The ECG model on each backend (cargo feature `ndarray`)
    #[cfg(feature = "ndarray")]
    Backend,
    /// One chest radiograph
    Xray,
    /// The memory that all models take together
    Memory,
    /// The networks of the models beside onnxruntime and tract (cargo feature `peers`)
    #[cfg(feature = "peers")]
    Peers,
    /// A sealed attachment, beside a raw iroh stream
    Blob,
    /// From start to ready
    Start,
    /// A turn of the self-check, with the model of sentences where METACLINIC_MODELS has it
    Triage,
}

impl Name {
    const ALL: [Name; 11] = [
        Name::RoomEdit,
        Name::Heal,
        Name::Join,
        Name::Import,
        Name::Write,
        Name::Ecg,
        Name::Xray,
        Name::Memory,
        Name::Blob,
        Name::Start,
        Name::Triage,
    ];

    fn measure(self, cli: &Cli) -> Result<Measured, String> {
        let data = |set: &str| {
            let folder = cli.data.as_ref().map(|data| data.join(set)).filter(|folder| folder.is_dir());
            folder.ok_or_else(|| format!("needs --data or METACLINIC_DATA with {set} in it"))
        };
        match self {
            Name::RoomEdit => rooms::edit(),
            Name::Heal => rooms::heal(),
            Name::Join => join::join(),
            Name::Import => store::import(&data("fhir-synthea")?),
            Name::Write => store::write(),
            Name::Ecg => ecg::read(&data("ecg-mitbih")?),
            #[cfg(feature = "ndarray")]
            Name::Backend => ecg::backends(),
            Name::Xray => models::xray(),
            Name::Memory => models::memory(),
            #[cfg(feature = "peers")]
            Name::Peers => peers::measure(),
            Name::Blob => blob::fetch(),
            Name::Start => nodes::start(cli.data.as_deref()),
            Name::Triage => triage::turn(),
        }
    }
}

fn main() -> ExitCode {
    #[cfg(feature = "peers")]
    if let Ok(case) = std::env::var(peers::ALONE) {
        return match peers::alone(&case) {
            Ok(milliseconds) => {
                println!("{milliseconds}");
                ExitCode::SUCCESS
            }
            Err(_) => ExitCode::FAILURE,
        };
    }
    let cli = Cli::parse();
    if cfg!(debug_assertions) {
        println!("this is a development build: its times say little; use `make bench`");
    }
    let names = if cli.names.is_empty() { Name::ALL.to_vec() } else { cli.names.clone() };
    let mut failed = false;
    for name in names {
        match name.measure(&cli) {
            Ok(measured) => {
                measured.print();
                if let Err(error) = measured.write(&cli.out) {
                    println!("{} is not written: {error}", measured.name);
                    failed = true;
                }
            }
            Err(reason) => {
                println!("{name:?} is not measured: {reason}\n");
                failed = true;
            }
        }
    }
    if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}
