//! Rooms: order, limits, damage.

use super::*;
use crate::rooms::entry_key;
use crate::storage::memory::MemoryStorage;

fn entries(store: &Store, room: u8) -> Result<Vec<Vec<u8>>, StoreError> {
    let mut found = Vec::new();
    store.room_entries(&[room; 32], &mut |entry| found.push(entry)).map(|()| found)
}

/// A store in memory with three entries in room 1 and two in room 2.
fn two_rooms(home: &Path) -> (Arc<MemoryStorage>, Store) {
    let storage = Arc::new(MemoryStorage::default());
    let shared: Arc<dyn Storage> = Arc::clone(&storage) as Arc<dyn Storage>;
    let store = Store::open_on(shared, home, &root(), &device()).expect("opens");
    store.append_room(&[1; 32], vec![b"a".to_vec(), b"b".to_vec()], vec![]).expect("appends");
    store.append_room(&[2; 32], vec![b"x".to_vec(), b"y".to_vec()], vec![]).expect("appends");
    store.append_room(&[1; 32], vec![b"c".to_vec()], vec![]).expect("appends");
    (storage, store)
}

#[test]
fn entries_come_back_in_the_order_of_their_appending() {
    let home = tempfile::tempdir().expect("temporary folder");
    let mut store = open(home.path());
    let mut expected = Vec::new();
    for n in 0..300u64 {
        // Lengths of each size class, and none.
        let new: Vec<Vec<u8>> = (0..n % 4).map(|i| vec![n as u8; (n * i * 37) as usize]).collect();
        expected.extend(new.clone());
        store.append_room(&[1; 32], new, vec![event("local")]).expect("appends");
        store.append_room(&[2; 32], vec![n.to_be_bytes().to_vec()], vec![]).expect("appends");
        if n == 150 {
            store.close().expect("closes");
            store = open(home.path());
        }
    }
    assert!(entries(&store, 1).expect("reads") == expected);
    let numbers: Vec<Vec<u8>> = (0..300u64).map(|n| n.to_be_bytes().to_vec()).collect();
    assert!(entries(&store, 2).expect("reads") == numbers);
    assert!(entries(&store, 3).expect("reads").is_empty());
    let mut rooms = store.rooms().expect("reads");
    rooms.sort_unstable();
    assert_eq!(rooms, [[1; 32], [2; 32]]);
    assert_eq!(store.audit_count(), 300);
    let report = store.verify(&mut |_| {}).expect("verifies");
    assert_eq!((report.rooms_checked, report.rooms_damaged, report.is_sound()), (2, 0, true));
}

#[test]
fn an_append_of_nothing_makes_no_room() {
    let home = tempfile::tempdir().expect("temporary folder");
    let store = open(home.path());
    store.append_room(&[1; 32], vec![], vec![event("local")]).expect("appends");
    assert!(store.rooms().expect("reads").is_empty());
    assert_eq!(store.audit_count(), 1);
}

#[test]
fn entries_of_two_calls_at_once_do_not_mix() {
    let home = tempfile::tempdir().expect("temporary folder");
    let store = open(home.path());
    thread::scope(|scope| {
        for worker in 0..8u8 {
            let store = store.clone();
            scope.spawn(move || {
                for n in 0..20u8 {
                    let new = (0..5).map(|i| vec![worker, n, i]).collect();
                    store.append_room(&[1; 32], new, vec![]).expect("appends");
                }
            });
        }
    });
    let found = entries(&store, 1).expect("reads");
    assert_eq!(found.len(), 8 * 20 * 5);
    assert!(
        found.chunks(5).all(|call| (0..5u8).all(|i| call[usize::from(i)] == [call[0][0], call[0][1], i]))
    );
    for worker in 0..8 {
        let own: Vec<u8> = found.iter().filter(|e| e[0] == worker && e[2] == 0).map(|e| e[1]).collect();
        assert_eq!(own, (0..20).collect::<Vec<_>>());
    }
}

#[test]
fn limits_of_rooms_are_checked_before_anything_is_written() {
    let home = tempfile::tempdir().expect("temporary folder");
    let store = open(home.path());
    for new in [vec![vec![1], vec![0; (128 << 10) + 1]], vec![vec![]; 10_001], vec![vec![0; 128 << 10]; 513]]
    {
        let refused = store.append_room(&[1; 32], new, vec![event("local")]);
        assert!(matches!(refused, Err(StoreError::TooLarge { .. })), "{refused:?}");
    }
    assert_eq!((store.rooms().expect("reads").len(), store.audit_count()), (0, 0));
    store.append_room(&[1; 32], vec![vec![7; 128 << 10]; 2], vec![]).expect("the limit itself fits");
    assert!(entries(&store, 1).expect("reads") == vec![vec![7; 128 << 10]; 2]);
}

#[test]
fn stored_lengths_hide_lengths_of_entries_within_a_class() {
    let home = tempfile::tempdir().expect("temporary folder");
    let (storage, store) = two_rooms(home.path());
    store.append_room(&[3; 32], vec![vec![1; 200], vec![1; 1_950], vec![1; 2_010]], vec![]).expect("appends");
    let lengths = |room: u8| -> Vec<usize> {
        let name = store.opened().expect("open").rooms.name(&[room; 32]);
        let rows = storage.scan(Table::RoomEntries, &name).map(|row| row.expect("reads"));
        rows.take_while(|(key, _)| key.starts_with(&name)).map(|(_, value)| value.len()).collect()
    };
    assert_eq!(lengths(1)[0], lengths(3)[0]);
    assert_eq!(lengths(3)[1], lengths(3)[2]);
    let heads: Vec<usize> = storage.scan(Table::Rooms, &[]).map(|row| row.expect("reads").1.len()).collect();
    assert!(heads.len() == 3 && heads.iter().all(|length| *length == heads[0]));
}

#[test]
fn moved_changed_cut_and_lost_entries_are_damage() {
    let home = tempfile::tempdir().expect("temporary folder");
    let (storage, store) = two_rooms(home.path());
    let opened = store.opened().expect("open");
    let (name, other) = (opened.rooms.name(&[1; 32]), opened.rooms.name(&[2; 32]));
    let row = |table, key: &[u8]| storage.get(table, key).expect("reads");
    let entry = |name, seq| row(Table::RoomEntries, &entry_key(name, seq));
    let check = |table: Table, key: &[u8], value: Option<Vec<u8>>, what: &str| {
        let before = row(table, key);
        storage.tamper(table, key, value);
        assert!(matches!(entries(&store, 1), Err(StoreError::Damaged { .. })), "{what}");
        assert_eq!(entries(&store, 2).expect("reads").len(), 2, "{what}");
        let report = store.verify(&mut |_| {}).expect("verifies");
        assert_eq!((report.rooms_checked, report.rooms_damaged, report.is_sound()), (2, 1, false), "{what}");
        storage.tamper(table, key, before);
        assert!(store.verify(&mut |_| {}).expect("verifies").is_sound(), "{what}");
    };
    for seq in 0..3 {
        check(Table::RoomEntries, &entry_key(&name, seq), None, "lost");
        check(Table::RoomEntries, &entry_key(&name, seq), Some(vec![1; 300]), "changed");
        check(Table::RoomEntries, &entry_key(&name, seq), entry(&name, (seq + 1) % 3), "moved");
        check(Table::RoomEntries, &entry_key(&name, seq), entry(&other, 1), "of another room");
    }
    check(Table::Rooms, &name, Some(vec![1; 300]), "head changed");
    check(Table::Rooms, &name, row(Table::Rooms, &other), "head of another room");
    check(Table::Rooms, &name, None, "head lost");
}

#[test]
fn a_damaged_room_is_not_appended_to_and_others_go_on() {
    let home = tempfile::tempdir().expect("temporary folder");
    let (storage, store) = two_rooms(home.path());
    let name = store.opened().expect("open").rooms.name(&[1; 32]);
    for lost in [None, Some(vec![1; 300])] {
        storage.tamper(Table::Rooms, &name, lost);
        let refused = store.append_room(&[1; 32], vec![b"d".to_vec()], vec![]);
        assert!(matches!(refused, Err(StoreError::Damaged { .. })), "{refused:?}");
        assert!(matches!(store.rooms(), Err(StoreError::Damaged { .. })));
        store.append_room(&[2; 32], vec![b"z".to_vec()], vec![]).expect("appends");
    }
    assert_eq!(entries(&store, 2).expect("reads").len(), 4);
    assert!(store.write_failure().is_none());
}

#[test]
fn nothing_on_disk_names_a_room() {
    let (home, other) = (tempfile::tempdir().expect("folder"), tempfile::tempdir().expect("folder"));
    let store = open(home.path());
    store.append_room(CANARY_ROOM, vec![CANARY_ROOM.to_vec()], vec![]).expect("appends");
    let elsewhere = Store::open(other.path(), &DataKey::from_bytes([1; 32]), &device()).expect("opens");
    elsewhere.append_room(CANARY_ROOM, vec![CANARY_ROOM.to_vec()], vec![]).expect("appends");
    let names = |store: &Store| -> Vec<Vec<u8>> {
        let opened = store.opened().expect("open");
        let tables = [Table::Rooms, Table::RoomEntries];
        let rows = tables.map(|table| opened.storage.scan(table, &[]).next().expect("one").expect("reads"));
        rows.into_iter().map(|(key, _)| key[..32].to_vec()).collect()
    };
    assert!(names(&store).iter().all(|name| !names(&elsewhere).contains(name) && name != CANARY_ROOM));
    assert_eq!(store.rooms().expect("reads"), elsewhere.rooms().expect("reads"));
}
