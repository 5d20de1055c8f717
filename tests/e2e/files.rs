//! Files that are cut, packed badly or meant to harm: named by file and line, the rest imported, bounded in all.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::time::{Duration, Instant};

use flate2::Compression;
use flate2::write::GzEncoder;
use metaclinic_tests::harness::{self, described};
use serde_json::Value;

use crate::homes;

/// What a node may hold in memory at most, whatever is given to it.
const MEMORY_KIB: u64 = 512 * 1024;

const LINES: usize = 6;

fn line(i: usize) -> String {
    format!(r#"{{"resourceType":"Basic","id":"b{i}","code":{{"text":"canary note of the test"}}}}"#)
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).expect("memory");
    encoder.finish().expect("memory")
}

fn xz(mut bytes: &[u8]) -> Vec<u8> {
    let mut packed = Vec::new();
    lzma_rs::xz_compress(&mut bytes, &mut packed).expect("memory");
    packed
}

/// Imports a folder; the exit code and the report.
fn import(home: &Path, folder: &Path) -> (Option<i32>, Value) {
    let output =
        harness::run_cli(home, &["--json", "records", "import", folder.to_str().expect("plain path")]);
    let report = serde_json::from_slice(&output.stdout);
    assert!(!String::from_utf8_lossy(&output.stderr).contains("panicked"), "{}", described(&output));
    (output.status.code(), report.unwrap_or_else(|e| panic!("{e}: {}", described(&output))))
}

/// What was rejected of a file: lines, and that each has a reason that holds nothing of the file.
fn lines_of(report: &Value, file: &str) -> Vec<u64> {
    let rejected = report["rejected"].as_array().expect("a list").iter().filter(|r| r["source"] == file);
    rejected
        .map(|r| {
            let reason = r["reason"].as_str().expect("a reason");
            assert!(!reason.is_empty() && !reason.contains("canary"), "{r}");
            r["line"].as_u64().expect("a line")
        })
        .collect()
}

#[test]
fn a_cut_file_is_named_by_its_line_and_the_rest_is_imported() {
    let dir = harness::temp_dir();
    let home = homes::quick(dir.path(), "clinic", "clinic");
    let _daemon = homes::daemon(&home);
    let whole: String = (0..LINES).map(|i| line(i) + "\n").collect();
    let length = line(0).len() + 1;
    let mut expected = 0;
    let mut cuts = Vec::new();
    let folder = dir.path().join("lines");
    fs::create_dir(&folder).expect("made");
    for cut in (1..whole.len()).step_by(23) {
        let name = format!("cut-{cut:04}.ndjson");
        fs::write(folder.join(&name), &whole.as_bytes()[..cut]).expect("written");
        // A cut exactly before the end of a line leaves that line whole.
        let complete = (cut + 1) / length;
        expected += complete as u64;
        let torn = (cut + 1) % length != 0 && cut % length != 0;
        cuts.push((name, torn.then_some(complete as u64 + 1)));
    }
    assert!(cuts.len() > 15, "many cuts: {}", cuts.len());
    let (code, report) = import(&home, &folder);
    assert_eq!((code, &report["imported"]), (Some(0), &expected.into()), "{report}");
    for (name, torn) in &cuts {
        assert_eq!(lines_of(&report, name), torn.iter().copied().collect::<Vec<_>>(), "{name}");
    }
    for i in 0..LINES - 1 {
        let got = harness::run_cli(&home, &["records", "get", &format!("Basic/b{i}")]);
        assert_eq!(String::from_utf8_lossy(&got.stdout).trim_end(), line(i));
    }
}

#[test]
fn cut_parcels_bundles_and_recordings_leave_nothing_half_imported() {
    let dir = harness::temp_dir();
    let home = homes::quick(dir.path(), "clinic", "clinic");
    let _daemon = homes::daemon(&home);
    let lines: String = (0..LINES).map(|i| line(i) + "\n").collect();
    let bundle = fs::read(homes::write_bundle(dir.path(), 20)).expect("written");
    let samples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../node/samples");
    let sample = |name: &str| fs::read(samples.join(name)).expect("the repository's own recording");
    let (head, data) = (sample("mitdb-208-excerpt.hea"), sample("mitdb-208-excerpt.dat"));
    let folder = dir.path().join("cut");
    fs::create_dir(&folder).expect("made");
    let mut names = Vec::new();
    let mut put = |name: String, bytes: &[u8]| {
        fs::write(folder.join(&name), bytes).expect("written");
        names.push(name);
    };
    for tenth in 1..10 {
        let cut = |bytes: &[u8]| bytes[..bytes.len() * tenth / 10].to_vec();
        put(format!("{tenth}.ndjson.gz"), &cut(&gzip(lines.as_bytes())));
        put(format!("{tenth}.ndjson.xz"), &cut(&xz(lines.as_bytes())));
        put(format!("{tenth}.json"), &cut(&bundle));
        fs::write(folder.join(format!("{tenth}.dat")), cut(&data)).expect("written");
        let told = String::from_utf8_lossy(&head).replace("mitdb-208-excerpt", &tenth.to_string());
        put(format!("{tenth}.hea"), told.as_bytes());
    }
    let (code, report) = import(&home, &folder);
    assert_eq!((code, &report["imported"]), (Some(1), &0.into()), "all of it is cut: {report}");
    for name in &names {
        assert_eq!(lines_of(&report, name).len(), 1, "{name}: {report}");
        if name.ends_with(".json") {
            assert!(lines_of(&report, name)[0] >= 1, "{name}: {report}");
        }
    }
    fs::write(folder.join("whole.ndjson.gz"), gzip(lines.as_bytes())).expect("written");
    fs::write(folder.join("whole.ndjson.xz"), xz(line(LINES).as_bytes())).expect("written");
    let (code, report) = import(&home, &folder);
    assert_eq!((code, &report["imported"]), (Some(0), &(LINES as u64 + 1).into()), "{report}");
    assert_eq!(report["rejected_total"], names.len(), "{report}");
    assert_eq!(harness::run_json(&home, &["records", "verify"])["checked"], LINES + 1);
}

#[test]
fn files_that_are_meant_to_harm_are_bounded_in_memory_and_time() {
    let dir = harness::temp_dir();
    let home = homes::quick(dir.path(), "clinic", "clinic");
    let mut daemon = homes::daemon(&home);
    let folder = dir.path().join("hostile");
    fs::create_dir(&folder).expect("made");
    let put = |name: &str, bytes: &[u8]| fs::write(folder.join(name), bytes).expect("written");
    let deep = "[".repeat(1_000_000);
    put("deep.json", format!(r#"{{"resourceType":"Basic","id":"d","extension":{deep}"#).as_bytes());
    let deep = [r#"{"a":"#.repeat(200_000), "1".to_owned(), "}".repeat(200_000)].concat();
    put("deeper.json", format!(r#"{{"resourceType":"Basic","id":"d","code":{deep}}}"#).as_bytes());
    // Members of a gzip file follow each other: a gibibyte of zeros in a mebibyte.
    put("bomb.json.gz", &gzip(&vec![0; 1 << 20]).repeat(1_024));
    put("samples.hea", b"samples 1 360 2147483648\nsamples.dat 212 200 11 1024 0 0 0 MLII\n");
    put("samples.dat", &[0; 3_000]);
    put("signals.hea", b"signals 2147483648 360 1000\n");
    put("good.json", line(0).as_bytes());
    let began = Instant::now();
    let (code, report) = import(&home, &folder);
    let took = began.elapsed();
    assert_eq!((code, &report["imported"]), (Some(0), &1.into()), "{report}");
    for name in ["deep.json", "deeper.json", "bomb.json.gz", "samples.hea", "signals.hea"] {
        assert_eq!(lines_of(&report, name).len(), 1, "{name}: {report}");
    }
    assert_eq!(report["rejected_total"], 5, "{report}");
    assert!(took < Duration::from_secs(20), "{took:?}");
    let peak = harness::memory_kib(daemon.pid(), "VmHWM");
    eprintln!("peak {peak} KiB in {took:?}");
    assert!(peak < MEMORY_KIB, "{peak} KiB");
    assert!(daemon.is_running(), "{}", daemon.log());
}
