//! What a measurement gives, as a table and as a file.

use std::io;
use std::path::Path;
use std::time::Duration;

use serde::Serialize;

/// The result of one measurement.
#[derive(Serialize)]
pub(crate) struct Measured {
    /// Its name, and that of its file.
    pub(crate) name: &'static str,
    /// What was done, so that it can be done again.
    pub(crate) what: String,
    /// The command that does it.
    pub(crate) command: String,
    /// The day, in UTC.
    pub(crate) date: String,
    /// The machine.
    pub(crate) machine: String,
    /// `release` or `development`.
    pub(crate) build: &'static str,
    /// The figures.
    pub(crate) figures: Vec<Figure>,
}

/// One figure.
#[derive(Serialize)]
pub(crate) struct Figure {
    /// What it is, with its unit last.
    pub(crate) name: String,
    /// Its value.
    pub(crate) value: f64,
    /// What is asked for, if anything: `<= 150` or `>= 0.7`.
    pub(crate) target: Option<String>,
    /// Whether it holds.
    pub(crate) holds: Option<bool>,
}

impl Measured {
    /// An empty result.
    pub(crate) fn new(name: &'static str, what: impl Into<String>) -> Measured {
        Measured {
            name,
            what: what.into(),
            command: format!("make bench BENCH={name}"),
            date: jiff::Timestamp::now().strftime("%Y-%m-%d").to_string(),
            machine: machine(),
            build: if cfg!(debug_assertions) { "development" } else { "release" },
            figures: Vec::new(),
        }
    }

    /// Adds a figure that nothing is asked of.
    pub(crate) fn figure(&mut self, name: impl Into<String>, value: f64) {
        self.figures.push(Figure { name: name.into(), value: rounded(value), target: None, holds: None });
    }

    /// Adds a figure that should be at most `most`.
    pub(crate) fn at_most(&mut self, name: impl Into<String>, value: f64, most: f64) {
        let target = Some(format!("<= {most}"));
        self.figures.push(Figure {
            name: name.into(),
            value: rounded(value),
            target,
            holds: Some(value <= most),
        });
    }

    /// Adds a figure that should be at least `least`.
    pub(crate) fn at_least(&mut self, name: impl Into<String>, value: f64, least: f64) {
        let target = Some(format!(">= {least}"));
        self.figures.push(Figure {
            name: name.into(),
            value: rounded(value),
            target,
            holds: Some(value >= least),
        });
    }

    /// A table for people.
    pub(crate) fn print(&self) {
        println!("{}: {}", self.name, self.what);
        for Figure { name, value, target, holds } in &self.figures {
            let verdict = match (target, holds) {
                (Some(target), Some(true)) => format!("{target}: holds"),
                (Some(target), Some(false)) => format!("{target}: MISSED"),
                _ => String::new(),
            };
            println!("  {name:<44} {value:>12} {verdict}");
        }
        println!();
    }

    /// Writes the file.
    pub(crate) fn write(&self, folder: &Path) -> io::Result<()> {
        std::fs::create_dir_all(folder)?;
        let mut text = serde_json::to_string_pretty(self)?;
        text.push('\n');
        std::fs::write(folder.join(format!("{}.json", self.name)), text)
    }
}

/// To three places.
fn rounded(value: f64) -> f64 {
    (value * 1e3).round() / 1e3
}

/// The value below which a share of the times lies.
pub(crate) fn percentile_ms(times: &mut [Duration], share: f64) -> f64 {
    times.sort();
    let index = ((times.len().max(1) - 1) as f64 * share).round() as usize;
    times.get(index).map_or(f64::NAN, |time| time.as_secs_f64() * 1e3)
}

/// Processor, cores and memory, without a name of the machine.
fn machine() -> String {
    let of = |file: &str, key: &str| {
        let text = std::fs::read_to_string(file).unwrap_or_default();
        let line = text.lines().find(|line| line.starts_with(key))?.split_once(':')?.1.trim().to_owned();
        Some(line)
    };
    let processor = of("/proc/cpuinfo", "model name").unwrap_or_else(|| std::env::consts::ARCH.to_owned());
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let kib: f64 = of("/proc/meminfo", "MemTotal")
        .and_then(|text| text.split_whitespace().next()?.parse().ok())
        .unwrap_or(0.0);
    format!("{cores} cores of {processor}, {:.0} GiB, {}", kib / 1024.0 / 1024.0, std::env::consts::OS)
}
