//! A half hour of ECG through the command: reading the file, the model, and printing every beat.

use std::path::Path;
use std::time::{Duration, Instant};

use tests::harness;

use crate::report::{Measured, percentile_ms};

/// Recordings of half an hour with two leads, as many beats as there are.
const RECORDINGS: [&str; 5] = ["101", "208", "215", "109", "203"];
const ROUNDS: usize = 4;

/// Reads each recording some times.
pub(crate) fn read(data: &Path) -> Result<Measured, String> {
    let folder = harness::temp_dir();
    let home = folder.path().join("none");
    let mut times: Vec<Duration> = Vec::new();
    for _ in 0..ROUNDS {
        for name in RECORDINGS {
            let file = data.join(format!("{name}.hea")).display().to_string();
            let started = Instant::now();
            let report = harness::run_json(&home, &["diagnose", "ecg", &file]);
            times.push(started.elapsed());
            if report["beats"].as_array().is_none_or(|beats| beats.len() < 1_000) {
                return Err(format!("{name} was not read"));
            }
        }
    }
    let mut measured = Measured::new(
        "ecg",
        "`metaclinic --json diagnose ecg`: half an hour, two leads, 360 Hz, .xz unpacked, every beat printed",
    );
    measured.figure("median, s", percentile_ms(&mut times, 0.5) / 1e3);
    measured.at_most("p95, s", percentile_ms(&mut times, 0.95) / 1e3, 3.0);
    Ok(measured)
}
