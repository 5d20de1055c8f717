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
    measured.at_most("p95, s", percentile_ms(&mut times, 0.95) / 1e3, 1.5);
    Ok(measured)
}

/// The whole reading of five minutes of one lead on each backend, in turn; the model is loaded once.
#[cfg(feature = "ndarray")]
pub(crate) fn backends() -> Result<Measured, String> {
    use inference::Backend;
    use inference::ecg::{EcgModel, EcgSignal, Lead};

    const ROUNDS: usize = 30;
    let samples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../node/samples");
    let file = |name: &str| std::fs::read(samples.join(name)).ok();
    let header = file("mitdb-208-excerpt.hea").ok_or("the sample is missing")?;
    let record = records::wfdb::read("mitdb-208-excerpt.hea", &header, &mut |name| file(name))
        .map_err(|error| error.to_string())?;
    let lead = |signal: &records::wfdb::Signal| Lead {
        name: signal.description.clone(),
        samples_mv: (0..signal.samples.len())
            .map(|at| signal.physical(at).map_or(f32::NAN, |mv| mv as f32))
            .collect(),
    };
    let signal = EcgSignal::new(record.sampling_rate_hz, record.signals.iter().map(lead).collect())
        .map_err(|error| error.to_string())?;
    let mut measured = Measured::new(
        "backend",
        "five minutes of one lead: beats, features, all members of the model; the backends in turn",
    );
    measured.command = "cargo run --release -p metaclinic-benches --features ndarray -- backend".to_owned();
    let mut times: Vec<(Backend, EcgModel, Vec<Duration>)> = Vec::new();
    for backend in Backend::ALL {
        let model = EcgModel::built_in(*backend).map_err(|error| error.to_string())?;
        times.push((*backend, model, Vec::new()));
    }
    for _ in 0..ROUNDS {
        for (_, model, times) in &mut times {
            let started = Instant::now();
            model.read(&signal).map_err(|refusal| refusal.to_string())?;
            times.push(started.elapsed());
        }
    }
    for (backend, _, times) in &mut times {
        measured.figure(format!("{backend}, median, ms"), percentile_ms(times, 0.5));
    }
    Ok(measured)
}
