//! Records: a whole data set through the program, and single writes through the store.

use std::path::Path;
use std::time::{Duration, Instant};

use keys::{DataKey, DeviceKey, Pseudonym, RecordId};
use store::{NewRecord, Store};
use tests::harness;

use crate::nodes::home;
use crate::report::{Measured, percentile_ms};

/// Single writes.
const WRITES: u64 = 1_000;
/// Size of a record, in bytes: about that of an Observation.
const RECORD_BYTES: usize = 1_500;

/// Imports a data set by the command, as people do.
pub(crate) fn import(data: &Path) -> Result<Measured, String> {
    let folder = harness::temp_dir();
    let home = home(folder.path(), "clinic", "clinic");
    let report = harness::run_json(&home, &["records", "import", &data.display().to_string()]);
    let number = |field: &str| report[field].as_f64().unwrap_or(0.0);
    let mut measured = Measured::new(
        "import",
        "`metaclinic records import fhir-synthea`: sealed, durable and searchable when it returns; no daemon",
    );
    measured.figure("resources", number("imported"));
    measured.figure("left out", number("rejected_total"));
    measured.figure("seconds", number("seconds"));
    measured.at_least("resources a second", number("imported") / number("seconds").max(1e-3), 1_000.0);
    Ok(measured)
}

/// Puts records one by one; each is on the disk when the call returns.
pub(crate) fn write() -> Result<Measured, String> {
    let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
    let root = DataKey::from_bytes([1; 32]);
    let store =
        Store::open(folder.path(), &root, &DeviceKey::from_seed([2; 32])).map_err(|e| e.to_string())?;
    let subject = Pseudonym::from_bytes(root.derive("subjects").keyed_hash(b"one"));
    let record = |n: u64| NewRecord {
        id: RecordId::from_bytes(root.keyed_hash(&n.to_be_bytes())),
        subject,
        payload: vec![n as u8; RECORD_BYTES],
        terms: vec![n as u8; 200],
    };
    let mut times: Vec<Duration> = Vec::new();
    for n in 0..WRITES {
        let started = Instant::now();
        store.put(vec![record(n)], Vec::new()).map_err(|error| error.to_string())?;
        times.push(started.elapsed());
    }
    store.close().map_err(|error| error.to_string())?;
    let mut measured = Measured::new(
        "write",
        format!("{WRITES} records of {RECORD_BYTES} bytes, one by one, each durable when the call returns"),
    );
    measured.figure("median, ms", percentile_ms(&mut times, 0.5));
    measured.at_most("p95, ms", percentile_ms(&mut times, 0.95), 5.0);
    measured.figure("p99, ms", percentile_ms(&mut times, 0.99));
    Ok(measured)
}
