//! The crate against public data sets: FHIR R4 examples, Synthea patients, the validator's invalid cases,
//! WFDB records. They are read from the folder that METACLINIC_DATA names; without it the tests say that
//! they skip.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "helpers of tests are tests")]

use std::collections::{BTreeMap, HashSet};
use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::Instant;

use keys::{RecordId, Timestamp};
use metaclinic_records::{
    Found, ImportOptions, Imported, Index, Query, Rejection, Resource, Source, Terms, import_file, searchset,
    wfdb,
};

/// The folder of a data set, if there is one.
fn data(set: &str) -> Option<PathBuf> {
    let folder = std::env::var_os("METACLINIC_DATA").map(|root| Path::new(&root).join(set));
    let folder = folder.filter(|folder| folder.is_dir());
    if folder.is_none() {
        println!("skipped: METACLINIC_DATA has no {set}");
    }
    folder
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut files: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.is_file());
    files.sort();
    files
}

fn import(path: &Path) -> (Vec<Imported>, Vec<Rejection>) {
    import_bytes(path, fs::read(path).unwrap())
}

fn import_bytes(path: &Path, bytes: Vec<u8>) -> (Vec<Imported>, Vec<Rejection>) {
    let options = ImportOptions { patient: Some("p".to_owned()), now: Timestamp::from_millis(0) };
    let (mut imported, mut rejected) = (Vec::new(), Vec::new());
    let mut sibling = |name: &str| fs::read(path.with_file_name(name)).ok();
    let name = path.file_name().unwrap().to_str().unwrap();
    import_file(name, bytes, &mut sibling, &options, &mut |part| {
        match part {
            Ok(part) => imported.push(part),
            Err(rejection) => rejected.push(rejection),
        }
        ControlFlow::Continue(())
    });
    (imported, rejected)
}

fn resources(imported: Vec<Imported>) -> Vec<Resource> {
    let resource = |part| match part {
        Imported::Resource(resource) => resource,
        Imported::Signal(_) => panic!("no signal in a FHIR file"),
    };
    imported.into_iter().map(resource).collect()
}

fn record(number: usize) -> RecordId {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&(number as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes());
    RecordId::from_bytes(bytes)
}

#[test]
fn every_official_example_is_kept_without_loss() {
    let Some(folder) = data("fhir-r4-examples/json") else { return };
    let (mut count, mut parcels) = (0, 0);
    for path in files(&folder) {
        let text = fs::read_to_string(&path).unwrap();
        let whole = Resource::parse(&text).unwrap();
        assert_eq!(whole.text(), text, "{}", path.display());
        let terms = Terms::of(&whole);
        assert_eq!(Terms::decode(&terms.encode()).unwrap(), terms);
        let (imported, rejected) = import(&path);
        assert_eq!(rejected, [], "{}", path.display());
        let imported = resources(imported);
        if imported.len() == 1 && imported[0].text() == text {
            count += 1;
        } else {
            // A parcel: each entry is a piece of the text, references to its neighbours and new ids aside.
            assert_eq!(whole.resource_type(), "Bundle", "{}", path.display());
            parcels += 1;
            for resource in &imported {
                let mut piece = without_references(resource.text());
                if resource.id().starts_with("mc-") {
                    piece = piece.replacen(&format!(",\"id\":\"{}\"", resource.id()), "", 1);
                }
                assert!(without_references(&text).contains(&piece), "{} {resource:?}", path.display());
            }
        }
    }
    println!("{count} resources kept whole, {parcels} bundles opened");
    assert_eq!((count, parcels), (613, 25));
}

/// A text without the values of its members called `reference`.
fn without_references(text: &str) -> String {
    let mut parts = text.split("\"reference\"");
    let mut rest = parts.next().unwrap().to_owned();
    for part in parts {
        rest.push_str(part.splitn(3, '"').last().unwrap());
    }
    rest
}

/// All references of a JSON value that are neither contained nor by identifier.
fn references(value: &serde_json::Value, found: &mut Vec<String>) {
    match value {
        serde_json::Value::Object(members) => {
            for (name, member) in members {
                match member {
                    serde_json::Value::String(text) if name == "reference" && !text.starts_with('#') => {
                        found.push(text.clone());
                    }
                    _ => references(member, found),
                }
            }
        }
        serde_json::Value::Array(items) => items.iter().for_each(|item| references(item, found)),
        _ => {}
    }
}

#[test]
fn synthetic_patients_arrive_whole_and_are_found() {
    let Some(folder) = data("fhir-synthea") else { return };
    let mut paths = files(&folder.join("bundles"));
    paths.extend(files(&folder.join("bundles-newer")));
    let started = Instant::now();
    let mut all = Vec::new();
    for path in &paths {
        let (imported, rejected) = import(path);
        assert_eq!(rejected, [], "{}", path.display());
        all.extend(resources(imported));
    }
    let parsed = started.elapsed();
    let terms: Vec<Terms> = all.iter().map(Terms::of).collect();
    let read = started.elapsed();
    let encoded: usize = terms.iter().map(|terms| terms.encode().len()).sum();
    let encoding = started.elapsed();
    let mut index = Index::new();
    for (number, terms) in terms.into_iter().enumerate() {
        index.insert(record(number), Source::Own, terms);
    }
    let indexed = started.elapsed();
    let bytes: usize = all.iter().map(|resource| resource.text().len()).sum();
    println!(
        "{} resources, {bytes} bytes: import {parsed:?}, terms {:?}, encoding {:?} ({} bytes each), index {:?}: {:.0}/s",
        all.len(),
        read - parsed,
        encoding - read,
        encoded / all.len(),
        indexed - encoding,
        all.len() as f64 / indexed.as_secs_f64()
    );
    assert_eq!((paths.len(), all.len(), index.len()), (70, 22_020, 22_020));

    let known: HashSet<String> = all.iter().map(|r| format!("{}/{}", r.resource_type(), r.id())).collect();
    let mut targets = Vec::new();
    for resource in &all {
        references(&serde_json::from_str(resource.text()).unwrap(), &mut targets);
    }
    assert_eq!(targets.len(), 61_631 + 14_017);
    assert_eq!(targets.iter().filter(|target| !known.contains(*target)).count(), 0);
    finds_what_a_scan_finds(&index, &all);
}

/// Compares searches with a plain reading of all resources.
fn finds_what_a_scan_finds(index: &Index, all: &[Resource]) {
    let mut by_patient: BTreeMap<&str, u64> = BTreeMap::new();
    for resource in all.iter().filter(|r| r.resource_type() == "Observation") {
        *by_patient.entry(resource.patient().unwrap()).or_default() += 1;
    }
    let total = |text: &str| index.search(&Query::parse(text).unwrap()).unwrap().total;
    for (patient, count) in &by_patient {
        assert_eq!(total(&format!("Observation?patient={patient}")), *count);
    }
    let weights =
        all.iter().filter(|r| r.facts().codes.iter().any(|code| code == "http://loinc.org|29463-7"));
    assert_eq!(total("Observation?code=http://loinc.org|29463-7"), weights.count() as u64);
    assert_eq!(total("Observation"), by_patient.values().sum::<u64>());
    for (query, most) in [
        ("Observation?code=http://loinc.org|29463-7&date=ge2015&_sort=-date", 20),
        ("Observation?category=vital-signs&status=final&_sort=date", 20),
        ("Observation?date=ge2010&date=lt2016&_sort=-date&_count=50", 50),
        ("Condition?clinical-status=active", 20),
        ("Patient?family=a&gender=female", 20),
        ("Encounter?class=AMB&_sort=-date", 20),
    ] {
        let parsed = Query::parse(query).unwrap();
        let started = Instant::now();
        let page = index.search(&parsed).unwrap();
        println!("{query}: {} in {:?}", page.total, started.elapsed());
        assert!(page.ids.len() <= most && page.total > 0, "{query}");
    }
    let query = Query::parse("Observation?_sort=date&_count=1000").unwrap();
    let (mut next, mut seen) = (None, HashSet::new());
    loop {
        let page = index.search(&query.with_cursor(next)).unwrap();
        assert!(page.ids.iter().all(|id| seen.insert(*id)));
        next = page.next;
        if next.is_none() {
            break;
        }
    }
    assert_eq!(seen.len() as u64, total("Observation"));
    let page = index.search(&Query::parse("Patient").unwrap()).unwrap();
    let texts: Vec<Found> = page
        .ids
        .iter()
        .map(|id| all[(0..all.len()).find(|number| record(*number) == *id).unwrap()].text().to_owned())
        .map(|text| Found { source: Source::Own, text })
        .collect();
    let bundle = searchset("http://localhost/fhir/", &Query::parse("Patient").unwrap(), &page, &texts, None);
    let bundle: serde_json::Value = serde_json::from_str(&bundle).unwrap();
    assert_eq!((bundle["entry"].as_array().unwrap().len(), bundle["total"].as_u64()), (20, Some(70)));
}

#[test]
fn bulk_lines_are_all_imported() {
    let Some(folder) = data("fhir-bulk-ndjson") else { return };
    for (name, lines) in [("Patient", 9), ("Condition", 71), ("Observation", 1_502), ("Questionnaire", 1)] {
        let (imported, rejected) = import(&folder.join(format!("{name}.ndjson")));
        assert_eq!((imported.len(), rejected), (lines, Vec::new()), "{name}");
    }
}

#[test]
fn invalid_cases_are_imported_or_refused_in_general_words() {
    let Some(folder) = data("fhir-invalid/cases") else { return };
    let (mut whole, mut refused) = (0, 0);
    for path in files(&folder) {
        let (imported, rejected) = import(&path);
        for resource in resources(imported) {
            let terms = Terms::of(&resource);
            assert_eq!(Terms::decode(&terms.encode()).unwrap(), terms);
        }
        whole += usize::from(rejected.is_empty());
        refused += usize::from(!rejected.is_empty());
        let bytes = fs::read(&path).unwrap();
        for part in 1..24 {
            let mut damaged = bytes.clone();
            let at = bytes.len() * part / 24;
            damaged[at] ^= 0x11;
            let _ = import_bytes(&path, damaged);
            let _ = import_bytes(&path, bytes[..at].to_vec());
        }
    }
    println!("{whole} files imported whole, {refused} with rejections");
    assert_eq!(whole + refused, 48);
}

/// Samples and their sum weighted by position, as the `wfdb` package 4.3.1 for Python reads them.
const EXPECTED: &[(&str, usize, &[u64])] = &[
    ("wfdb-formats/310derive", 1_026, &[18_446_744_073_707_740_822, 3_017_865]),
    ("wfdb-formats/310derive_2", 1_020, &[18_446_744_073_707_787_900]),
    ("wfdb-formats/310derive_3", 1_018, &[18_446_744_073_707_804_212]),
    ("wfdb-formats/311derive", 1_026, &[3_017_865]),
    ("wfdb-formats/311derive_2", 1_020, &[18_446_744_073_707_787_900]),
    ("wfdb-formats/311derive_3", 1_019, &[18_446_744_073_707_796_060]),
    ("wfdb-formats/311derive_4", 1_018, &[18_446_744_073_707_804_212]),
    (
        "wfdb-formats/binformats",
        499,
        &[
            50_557_797,
            330_289_855,
            330_414_605,
            18_446_744_073_709_504_891,
            330_664_105,
            18_446_744_073_708_443_271,
            88_251,
            18_446_744_073_709_474_085,
            133_577_269_100,
            34_079_296_540_050,
        ],
    ),
    (
        "wfdb-formats/flac_3_constant",
        5_600_000,
        &[392_000_070_000_000, 784_000_140_000_000, 1_176_000_210_000_000],
    ),
    ("wfdb-formats/flacformats", 499, &[18_446_744_073_709_475_656, 330_289_855, 133_576_520_600]),
    (
        "wfdb-formats/s0010_re",
        38_400,
        &[
            47_374_153_399,
            125_439_229_050,
            78_475_206_704,
            18_446_743_987_094_632_867,
            18_446_744_058_529_495_213,
            101_790_521_692,
            18_446_744_042_156_416_524,
            18_446_744_042_541_981_343,
            18_446_744_032_335_447_554,
            18_446_744_032_857_658_564,
            18_446_744_057_639_287_768,
            18_446_744_049_755_122_115,
            12_180_983_704,
            2_910_628_477,
            10_739_303_470,
        ],
    ),
    ("ecg-mitbih/101", 650_000, &[204_245_578_487_241, 213_285_972_503_207]),
    ("ecg-mitbih/203", 650_000, &[209_257_585_194_383, 217_736_460_849_321]),
];

#[test]
fn recordings_have_the_samples_that_the_reference_reader_sees() {
    if data("wfdb-formats").is_none() || data("ecg-mitbih").is_none() {
        return;
    }
    for (name, count, sums) in EXPECTED {
        let path = data(name.split_once('/').unwrap().0).unwrap().join(name.split_once('/').unwrap().1);
        let (imported, rejected) = import(&path.with_extension("hea"));
        assert_eq!(rejected, [], "{name}");
        let [Imported::Signal(signal)] = &imported[..] else { panic!("one signal in {name}") };
        let record = wfdb::from_container(&signal.blob).unwrap();
        let seen: Vec<u64> = record.signals.iter().map(|signal| weighted(&signal.samples)).collect();
        assert_eq!(seen, *sums, "{name}");
        assert!(record.signals.iter().all(|signal| signal.samples.len() == *count), "{name}");
        let resource = signal.resource(&[1; 32], signal.blob.len() as u64);
        assert_eq!(resource.facts().codes, ["http://loinc.org|11524-6"]);
        assert_eq!(resource.patient(), Some("Patient/p"));
    }
    let record = wfdb_record("ecg-mitbih", "101");
    let first: f64 = (0..1_000).filter_map(|at| record.signals[0].physical(at)).sum();
    assert!((first - -275.61).abs() < 1e-6, "{first}");
}

fn weighted(samples: &[i32]) -> u64 {
    let value = |sample: i32| i64::from(sample).cast_unsigned();
    samples.iter().zip(1_u64..).fold(0, |sum, (s, n)| sum.wrapping_add(n.wrapping_mul(value(*s))))
}

fn wfdb_record(set: &str, name: &str) -> wfdb::Record {
    let (imported, _) = import(&data(set).unwrap().join(format!("{name}.hea")));
    let [Imported::Signal(signal)] = &imported[..] else { panic!("one signal in {name}") };
    wfdb::from_container(&signal.blob).unwrap()
}

#[test]
fn all_reference_annotations_are_read() {
    let Some(folder) = data("ecg-mitbih") else { return };
    let (mut all, mut beats) = (0, 0);
    for path in files(&folder).iter().filter(|path| path.extension().is_some_and(|e| e == "atr")) {
        let found = wfdb::annotations(&fs::read(path).unwrap()).unwrap();
        all += found.len();
        beats += found.iter().filter(|mark| mark.is_beat()).count();
        if path.file_stem().is_some_and(|stem| stem == "203") {
            let sum: i64 = found.iter().zip(1..).map(|(mark, n)| mark.frame * n).sum();
            let subtypes: i64 = found.iter().map(|mark| i64::from(mark.subtype)).sum();
            assert_eq!((found.len(), sum, subtypes), (3_108, 2_056_694_605_167, 1_060));
            assert_eq!(found[0].auxiliary, b"(AFIB");
        }
    }
    println!("{all} annotations, {beats} beats");
    assert_eq!(all, 59_102);
}

#[test]
fn damaged_recordings_are_refused_or_read() {
    let Some(folder) = data("wfdb-formats") else { return };
    for name in ["flacformats", "binformats", "310derive"] {
        let header = fs::read(folder.join(format!("{name}.hea"))).unwrap();
        for round in 0..400_usize {
            let mut number = round;
            let _ = wfdb::read(name, &header, &mut |file| {
                let mut bytes = fs::read(folder.join(file)).ok()?;
                number =
                    number.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                let at = (number >> 33) % bytes.len();
                bytes[at] ^= 1 << (number % 8);
                if round % 4 == 0 {
                    bytes.truncate(at);
                }
                Some(bytes)
            });
        }
    }
}
