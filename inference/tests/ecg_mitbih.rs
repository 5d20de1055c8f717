//! Beats of real recordings. Needs `METACLINIC_DATA`, a folder with `ecg-mitbih` in it; says so and passes when
//! there is none.

#![expect(clippy::unwrap_used, reason = "the whole target is a test")]

mod mitbih;

use std::time::{Duration, Instant};

use metaclinic_inference::ecg::{
    RecordRow, RecordTable, TOLERANCE_S, assess, detect, features, match_beats, read,
};

/// Reached: 0.9990. Gross, over all beats outside ventricular flutter, without leaving out the first five minutes.
const SENSITIVITY: f64 = 0.9970;
/// Reached: 0.9974.
const PRECISION: f64 = 0.9954;
/// Every recording was readable to cardiologists; at least this share of each is read here.
const READABLE: f64 = 0.80;

#[test]
fn beats_of_real_recordings_are_found() {
    let Some(folder) = mitbih::folder() else {
        println!("skipped: METACLINIC_DATA names no folder with ecg-mitbih");
        return;
    };
    let mut table = RecordTable::default();
    let mut slowest = Duration::ZERO;
    for name in mitbih::names(&folder) {
        let recording = mitbih::read(&folder, &name);
        let signal = &recording.signal;
        let tolerance = (TOLERANCE_S * signal.sampling_rate_hz()) as usize;
        // Flutter has no beats to count (EC57 leaves it out), nor has the tolerance around it.
        let counts = |sample: &usize| {
            let within =
                |(from, to): &(usize, usize)| *sample + tolerance >= *from && *sample <= to + tolerance;
            !recording.flutter.iter().any(within)
        };
        let started = Instant::now();
        let beats = detect(signal);
        let described = features(signal, &beats);
        slowest = slowest.max(started.elapsed());
        assert!(described.rows.iter().all(|row| row.len() == described.names.len()));
        assert!(described.rows.iter().flatten().all(|value| value.is_finite()));

        let reference: Vec<usize> = recording.beats.iter().copied().filter(counts).collect();
        let detected: Vec<usize> = beats.iter().map(|beat| beat.sample).filter(counts).collect();
        table.rows.push(RecordRow::new(&name, &match_beats(&reference, &detected, tolerance)));

        let readable = assess(signal).readable_share();
        let reading = read(signal).unwrap_or_else(|refusal| panic!("{name}: {refusal}"));
        let rhythm = &reading.rhythm;
        println!(
            "{name}: {:.1} % readable, {:.0} per minute, SDNN {:.0} ms, irregularity {:.2}, longest pause {:.2} s",
            readable * 100.0,
            rhythm.mean_rate_per_min,
            rhythm.sdnn_ms.unwrap_or(f64::NAN),
            rhythm.irregularity.unwrap_or(f64::NAN),
            rhythm.longest_pause_s
        );
        assert!(readable >= READABLE, "{name}: only {readable} readable");
    }
    println!("{table}slowest 30 minutes, detected and described: {slowest:?}");
    let gross = table.gross();
    assert!(gross.sensitivity() >= SENSITIVITY, "sensitivity {}", gross.sensitivity());
    assert!(gross.precision() >= PRECISION, "precision {}", gross.precision());
    if !cfg!(debug_assertions) {
        assert!(slowest < Duration::from_secs(1), "{slowest:?}");
    }
}
