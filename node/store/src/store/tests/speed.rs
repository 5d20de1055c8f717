//! Rough numbers: `cargo nextest run -p metaclinic-store --run-ignored only --no-capture speed`.

use std::time::Instant;

use super::*;

const RECORDS: u64 = 20_000;
const BATCH: u64 = 500;

fn new(n: u64) -> NewRecord {
    NewRecord {
        subject: subject(n / 100),
        payload: vec![n as u8; 2_000],
        terms: vec![n as u8; 200],
        ..record(n)
    }
}

#[test]
#[ignore = "measures, asserts nothing about time"]
fn puts_reads_and_opens() {
    let home = tempfile::tempdir().expect("temporary folder");
    let store = open(home.path());
    let mut started = Instant::now();
    let mut lap = |what: &str, count: u64| {
        let seconds = started.elapsed().as_secs_f64();
        println!("{what}: {count} in {seconds:.2} s, {:.0}/s", count as f64 / seconds);
        started = Instant::now();
    };
    for first in (0..RECORDS).step_by(BATCH as usize) {
        store.put((first..first + BATCH).map(new).collect(), vec![event("local")]).expect("puts");
    }
    lap("put in batches", RECORDS);
    for n in RECORDS..RECORDS + 500 {
        store.put(vec![new(n)], vec![event("local")]).expect("puts");
    }
    lap("put one by one", 500);
    thread::scope(|scope| {
        for worker in 0..8 {
            let store = &store;
            scope.spawn(move || {
                for n in 0..200 {
                    store.put(vec![new(100_000 + worker * 200 + n)], vec![event("local")]).expect("puts");
                }
            });
        }
    });
    lap("put one by one, 8 threads", 1_600);
    let count = store.record_count();
    println!("on disk: {} MB", store.size_bytes().expect("measures") / 1_000_000);
    store.close().expect("closes");
    lap("close", 1);
    let store = open(home.path());
    lap("open", 1);
    assert_eq!(terms(&store).len() as u64, count);
    lap("terms", count);
    assert!(store.verify(&mut |_| {}).expect("verifies").is_sound());
    lap("verify", count);
    let entries = store.audit_verify(at(1)).expect("verifies").entries;
    lap("audit entries", entries);
}
