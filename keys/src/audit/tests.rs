//! Trails that verify, and edits, gaps, swaps and cuts that must not.

use proptest::prelude::*;

use super::*;

fn device() -> DeviceKey {
    DeviceKey::from_seed([4; 32])
}

fn time(seq: u64) -> Timestamp {
    Timestamp::from_millis(1_750_000_000_000 + i64::try_from(seq).expect("small"))
}

fn event(number: u64) -> AuditEvent {
    AuditEvent {
        who: "local".into(),
        action: AuditAction::Read,
        object: Some([u8::try_from(number % 256).expect("below 256"); 32]),
        purpose: Some(Purpose::Treatment),
        grant: None,
        count: number,
        outcome: Outcome::Allowed,
    }
}

/// A trail of `count` entries with a head signed after each of `heads`.
fn trail(count: u64, heads: &[u64]) -> (Vec<Vec<u8>>, Vec<Signed<Checkpoint>>) {
    let (mut log, mut entries, mut signed) = (AuditLog::new(), Vec::new(), Vec::new());
    for seq in 0..=count {
        if heads.contains(&seq) {
            signed.push(log.checkpoint(time(seq), &device()));
        }
        if seq < count {
            entries.push(log.append(time(seq), event(seq)).1);
        }
    }
    (entries, signed)
}

fn verify(entries: &[Vec<u8>], heads: &[Signed<Checkpoint>]) -> Result<AuditReport, AuditError> {
    verify_audit(entries.iter().cloned(), heads, &device().id())
}

/// RFC 6962, 2.1, written as it stands there.
fn merkle_by_definition(entries: &[Vec<u8>]) -> [u8; 32] {
    match entries {
        [] => *blake3::hash(b"").as_bytes(),
        [one] => leaf(one),
        many => {
            let split = many.len().next_power_of_two() / 2;
            inner(&merkle_by_definition(&many[..split]), &merkle_by_definition(&many[split..]))
        }
    }
}

#[test]
fn a_whole_trail_verifies() {
    let (entries, heads) = trail(250, &[0, 100, 200, 250]);
    let report = verify(&entries, &heads).expect("whole");
    assert_eq!((report.entries, report.checkpoints), (250, 4));
    assert!(verify(&[], &[]).is_ok());
    let reversed: Vec<_> = heads.into_iter().rev().collect();
    assert_eq!(verify(&entries, &reversed), Ok(report), "heads may come in any order");
}

#[test]
fn the_merkle_root_is_that_of_rfc_6962() {
    let mut log = AuditLog::new();
    let mut entries = Vec::new();
    for seq in 0..70 {
        assert_eq!(log.merkle_root(), merkle_by_definition(&entries), "{seq} entries");
        entries.push(log.append(time(seq), event(seq)).1);
    }
}

#[test]
fn each_kind_of_damage_has_its_name() {
    let (entries, heads) = trail(10, &[10]);
    let check = |change: fn(&mut Vec<Vec<u8>>), expected| {
        let mut damaged = entries.clone();
        change(&mut damaged);
        assert_eq!(verify(&damaged, &heads), Err(expected));
    };
    check(|e| drop(e.remove(4)), AuditError::Missing { seq: 4, found: 5 });
    check(|e| drop(e.remove(0)), AuditError::Missing { seq: 0, found: 1 });
    check(|e| e.swap(4, 7), AuditError::Missing { seq: 4, found: 7 });
    check(|e| e.insert(4, e[2].clone()), AuditError::OutOfOrder { seq: 4, found: 2 });
    check(|e| e.truncate(9), AuditError::CutOff { seq: 9, signed: 10 });
    check(Vec::clear, AuditError::CutOff { seq: 0, signed: 10 });
    check(
        |e| e[4] = AuditLog::new().append(time(0), event(0)).1,
        AuditError::OutOfOrder { seq: 4, found: 0 },
    );
    check(
        |e| {
            let mut entry: AuditEntry = codec::decode("entry", &e[4], 1024).expect("an entry");
            entry.event.count += 1;
            e[4] = codec::encode(&entry);
        },
        AuditError::Broken { seq: 5 },
    );
    check(
        |e| {
            let mut entry: AuditEntry = codec::decode("entry", &e[9], 1024).expect("an entry");
            entry.event.outcome = Outcome::Denied(DenyReason::Revoked);
            e[9] = codec::encode(&entry);
        },
        AuditError::Altered { seq: 10 },
    );
}

#[test]
fn a_trail_written_anew_does_not_fit_its_old_heads() {
    let (_, heads) = trail(10, &[5]);
    let mut log = AuditLog::new();
    let forged: Vec<Vec<u8>> = (0..10).map(|seq| log.append(time(seq), event(seq + 1)).1).collect();
    assert_eq!(verify(&forged, &heads), Err(AuditError::Altered { seq: 5 }));
    assert!(verify(&forged, &[]).is_ok(), "without heads nothing contradicts it");
}

#[test]
fn heads_of_another_device_count_for_nothing() {
    let (entries, mut heads) = trail(10, &[5, 10]);
    let other = DeviceKey::from_seed([5; 32]);
    let mut log = AuditLog::new();
    for bytes in &entries {
        log.replay(bytes).expect("follows");
    }
    heads.push(log.checkpoint(time(10), &other));
    assert_eq!(verify(&entries, &heads), Err(AuditError::OtherDevice { index: 2 }));
    let claims = Checkpoint {
        version: 1,
        device: other.id(),
        entries: 10,
        chain: log.head(),
        merkle_root: log.merkle_root(),
        time: time(10),
    };
    heads[2] = device().sign(&claims);
    assert_eq!(verify(&entries, &heads), Err(AuditError::OtherDevice { index: 2 }));
}

#[test]
fn a_trail_goes_on_after_replay_and_after_resume() {
    let (entries, _) = trail(37, &[]);
    let mut replayed = AuditLog::new();
    for (seq, bytes) in entries.iter().enumerate() {
        let before = AuditLog::resume(&replayed.save()).expect("a saved state");
        assert_eq!(before, replayed, "after {seq}");
        assert_eq!(replayed.replay(bytes).expect("follows").seq, seq as u64);
    }
    let mut resumed = AuditLog::resume(&replayed.save()).expect("a saved state");
    assert_eq!(resumed.append(time(37), event(37)), replayed.append(time(37), event(37)));
    assert_eq!(resumed.merkle_root(), replayed.merkle_root());
}

#[test]
fn a_refused_entry_leaves_the_trail_as_it_was() {
    let (entries, _) = trail(3, &[]);
    let mut log = AuditLog::new();
    log.replay(&entries[0]).expect("follows");
    let before = log.clone();
    assert!(matches!(log.replay(&entries[2]), Err(AuditError::Missing { seq: 1, found: 2 })));
    assert!(matches!(log.replay(b"nonsense"), Err(AuditError::Entry { seq: 1, .. })));
    assert!(matches!(log.replay(&vec![0; MAX_AUDIT_ENTRY_BYTES + 1]), Err(AuditError::Entry { seq: 1, .. })));
    assert_eq!(log, before);
}

#[test]
fn a_saved_state_that_contradicts_itself_is_refused() {
    let mut log = AuditLog::new();
    log.append(time(0), event(0));
    log.peaks.clear();
    assert_eq!(AuditLog::resume(&log.save()), Err(AuditError::State { source: None }));
    assert!(matches!(AuditLog::resume(b"nonsense"), Err(AuditError::State { source: Some(_) })));
}

#[test]
fn a_long_name_is_cut_and_the_entry_stays_readable() {
    let mut log = AuditLog::new();
    let (_, bytes) = log.append(time(0), AuditEvent { who: "é".repeat(5000), ..event(0) });
    assert!(bytes.len() <= MAX_AUDIT_ENTRY_BYTES);
    let entry = AuditLog::new().replay(&bytes).expect("follows");
    assert_eq!(entry.event.who.len(), MAX_WHO_BYTES);
}

#[test]
fn the_bytes_of_an_entry_are_fixed() {
    let (entries, _) = trail(1, &[]);
    insta::assert_snapshot!(data_encoding::HEXLOWER.encode(&entries[0]), @"a56776657273696f6e0163736571006470726576582000000000000000000000000000000000000000000000000000000000000000006474696d651b000001977420dc00656576656e74a76377686f656c6f63616c66616374696f6e6472656164666f626a6563745820000000000000000000000000000000000000000000000000000000000000000067707572706f7365655452454154656772616e74f665636f756e7400676f7574636f6d6567616c6c6f776564");
}

proptest! {
    #[test]
    fn any_change_to_any_byte_is_found(entry in 0_usize..20, at in 0_usize..400, flip in 1_u8..=255) {
        let (mut entries, heads) = trail(20, &[7, 20]);
        let at = at % entries[entry].len();
        entries[entry][at] ^= flip;
        prop_assert!(verify(&entries, &heads).is_err());
    }

    #[test]
    fn any_removal_and_any_swap_is_found(a in 0_usize..20, b in 0_usize..20) {
        let (entries, heads) = trail(20, &[20]);
        let mut removed = entries.clone();
        removed.remove(a);
        prop_assert!(verify(&removed, &heads).is_err());
        let mut swapped = entries.clone();
        swapped.swap(a, b);
        prop_assert_eq!(verify(&swapped, &heads).is_ok(), a == b);
        let mut cut = entries;
        cut.truncate(a);
        prop_assert!(verify(&cut, &heads).is_err());
    }

    #[test]
    fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _ = AuditLog::new().replay(&bytes);
        let _ = AuditLog::resume(&bytes);
    }
}
