//! The same cases for each engine.

use super::memory::MemoryStorage;
use super::{Batch, Storage, Table};
use crate::sled::SledStorage;

fn both(check: impl Fn(&dyn Storage)) {
    check(&MemoryStorage::default());
    let folder = tempfile::tempdir().expect("temporary folder");
    check(&SledStorage::open(&folder.path().join("store")).expect("opens"));
}

fn put(rows: &[(Table, &[u8], &[u8])]) -> Batch {
    let mut batch = Batch::default();
    for (table, key, value) in rows {
        batch.put(*table, key, value.to_vec());
    }
    batch
}

fn keys(storage: &dyn Storage, table: Table, from: &[u8]) -> Vec<Vec<u8>> {
    storage.scan(table, from).map(|row| row.expect("reads").0).collect()
}

#[test]
fn a_batch_reaches_all_its_tables() {
    both(|storage| {
        storage.apply(put(&[(Table::Records, b"a", b"1"), (Table::Terms, b"a", b"2")])).expect("applies");
        storage.flush().expect("flushes");
        assert_eq!(storage.get(Table::Records, b"a").expect("reads"), Some(b"1".to_vec()));
        assert_eq!(storage.get(Table::Terms, b"a").expect("reads"), Some(b"2".to_vec()));
        assert_eq!(storage.get(Table::Audit, b"a").expect("reads"), None);
        assert!(storage.contains(Table::Terms, b"a").expect("reads"));
        assert!(!storage.contains(Table::Terms, b"").expect("reads"));
        assert!(storage.size().expect("measures") > 0);
    });
}

#[test]
fn the_last_change_of_a_key_counts() {
    both(|storage| {
        let mut batch =
            put(&[(Table::Meta, b"k", b"old"), (Table::Meta, b"k", b"new"), (Table::Meta, b"x", b"1")]);
        batch.remove(Table::Meta, b"x");
        batch.remove(Table::Meta, b"never there");
        storage.apply(batch).expect("applies");
        assert_eq!(storage.get(Table::Meta, b"k").expect("reads"), Some(b"new".to_vec()));
        assert_eq!(storage.get(Table::Meta, b"x").expect("reads"), None);
    });
}

#[test]
fn scans_ascend_within_one_table() {
    both(|storage| {
        let rows: Vec<Vec<u8>> = (0..500u32).map(|i| i.to_be_bytes().to_vec()).collect();
        let mut batch = put(&[(Table::Documents, b"\xff", b"d"), (Table::Meta, b"", b"m")]);
        rows.iter().rev().for_each(|key| batch.put(Table::Audit, key, vec![7; 3_000]));
        storage.apply(batch).expect("applies");
        assert_eq!(keys(storage, Table::Audit, b""), rows);
        assert_eq!(keys(storage, Table::Audit, &250u32.to_be_bytes()), rows[250..]);
        assert_eq!(keys(storage, Table::Documents, b""), [b"\xff".to_vec()]);
        assert_eq!(keys(storage, Table::Meta, b""), [Vec::<u8>::new()]);
        assert!(keys(storage, Table::Terms, b"").is_empty());
    });
}

#[test]
fn large_values_come_back_whole() {
    both(|storage| {
        let value: Vec<u8> = (0..3_000_000u32).map(|i| i as u8).collect();
        storage.apply(put(&[(Table::Records, b"large", &value)])).expect("applies");
        storage.flush().expect("flushes");
        assert_eq!(storage.get(Table::Records, b"large").expect("reads"), Some(value));
    });
}

#[test]
fn unflushed_batches_may_be_lost_from_the_end_only() {
    let storage = MemoryStorage::default();
    storage.apply(put(&[(Table::Meta, b"1", b"")])).expect("applies");
    storage.flush().expect("flushes");
    storage.apply(put(&[(Table::Meta, b"2", b"")])).expect("applies");
    storage.apply(put(&[(Table::Meta, b"3", b"")])).expect("applies");
    for (survivors, found) in [(0, 1), (1, 2), (2, 3)] {
        assert_eq!(keys(&storage.crash(survivors), Table::Meta, b"").len(), found);
    }
}
