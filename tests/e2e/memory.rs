//! What a hostile member costs a daemon in memory: the peak of the real process, as the kernel counts it.

use std::fs;
use std::io::Write;

use flate2::Compression;
use flate2::write::DeflateEncoder;
use metaclinic_tests::harness::{self, memory_kib};

use crate::forged::{changes_message, epochs, greeting, meet, room, say, signed_bytes};
use crate::hostile::{HELLO, Hostile, RECORDS, ROLES, ROOM_SYNC, claim, frame};
use crate::intruders::Victim;

/// What one attack may cost.
const ALLOWED_KIB: u64 = 16 * 1024;
/// What the bomb of the test unpacks to.
const UNPACKED_BYTES: usize = 128 << 20;
/// The most bytes of a change that are not refused for their number alone.
const CHANGE_BYTES: usize = 60 * 1024;

/// How much the peak of the daemon rises above what it holds now while `attack` runs.
fn rise_kib(victim: &Victim, attack: impl FnOnce()) -> u64 {
    let pid = victim.daemon.pid();
    // Where the kernel does not let the peak be set back, an earlier one only makes this stricter for none: so the
    // peak itself is compared then, which an attack must raise to be seen.
    let reset = fs::write(format!("/proc/{pid}/clear_refs"), "5").is_ok();
    let before = memory_kib(pid, if reset { "VmRSS" } else { "VmHWM" });
    attack();
    let after = memory_kib(pid, "VmHWM");
    eprintln!("peak {before} → {after} KiB (set back: {reset})");
    after.saturating_sub(before)
}

/// A compressed change as automerge writes it, around `unpacked` zeros.
fn bomb(unpacked: usize) -> Vec<u8> {
    let mut encoder = DeflateEncoder::new(Vec::new(), Compression::best());
    let zeros = vec![0; 1 << 20];
    for _ in 0..unpacked >> 20 {
        encoder.write_all(&zeros).expect("memory");
    }
    let packed = encoder.finish().expect("memory");
    let mut chunk = vec![0x85, 0x6f, 0x4a, 0x83, 0, 0, 0, 0, 2];
    let mut length = packed.len();
    while length > 0x7f {
        chunk.push((length & 0x7f) as u8 | 0x80);
        length >>= 7;
    }
    chunk.push(length as u8);
    [chunk, packed].concat()
}

#[test]
fn a_hostile_member_costs_less_than_sixteen_mebibytes() {
    let dir = harness::temp_dir();
    let clinic = Victim::new(dir.path(), "clinic", "clinic");
    let (_, villain) = clinic.paired(dir.path(), "villain");
    let shown = clinic.room(&["create", "ward"]);
    let id = shown["room"].as_str().expect("an id").parse().expect("an id");
    clinic.room(&["invite", "ward", "villain", "--role", "clinician"]);
    let peer = clinic.attacked_by(&villain);
    let list = epochs(&peer, &id);
    let copy = room(&list);
    // What an honest member costs for the first time is not the attack's.
    let honest = say(&mut room(&list), &villain, "good morning");
    crate::forged::deliver(&peer, &copy, &[&honest], &[&villain]);

    let claims = rise_kib(&clinic, || claim_gigabytes(&peer, &frame(&greeting(&id))));
    assert!(claims < ALLOWED_KIB, "frames that claim a gigabyte cost {claims} KiB");

    let large = bomb(UNPACKED_BYTES);
    assert!((120_000..140_000).contains(&large.len()), "{}", large.len());
    let small = bomb(UNPACKED_BYTES * CHANGE_BYTES / large.len() - (1 << 20));
    assert!(small.len() <= CHANGE_BYTES, "{}", small.len());
    let one = changes_message(&[signed_bytes(&id, &villain, large)], &[villain.certificate()]);
    let many = vec![signed_bytes(&id, &villain, small); 16];
    let many = changes_message(&many, &[villain.certificate()]);
    let bombs = rise_kib(&clinic, || {
        for message in [&one, &many, &one, &many] {
            meet(&peer, &copy, std::slice::from_ref(message));
        }
    });
    assert!(bombs < ALLOWED_KIB, "changes that unpack to {UNPACKED_BYTES} bytes cost {bombs} KiB");

    let chat = clinic.room(&["show", "ward"])["chat"].as_array().map(Vec::len);
    assert_eq!(chat, Some(1), "the daemon goes on, and nothing of it is in the room");
    let trail = harness::run_json(&clinic.home, &["audit", "verify"]);
    assert_eq!(trail["verified"], true);
    assert!(!clinic.daemon.log().contains("panicked"), "{}", clinic.daemon.log());
}

/// A head that claims a gigabyte on every protocol, some bytes behind it, ten at the same time.
fn claim_gigabytes(peer: &Hostile, greeting: &[u8]) {
    let some = [claim(1 << 30), vec![7; 4096]].concat();
    std::thread::scope(|scope| {
        for number in 0..10 {
            let (some, in_room) = (&some, [greeting, &some].concat());
            scope.spawn(move || match number % 4 {
                0 => peer.linger(HELLO, some),
                1 => peer.linger(RECORDS, some),
                2 => peer.linger(ROLES, some),
                _ => peer.linger(ROOM_SYNC, &in_room),
            });
        }
    });
}
