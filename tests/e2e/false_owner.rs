//! A peer that answers under consents which are not what they should be: nothing of the answer is believed.

use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use getrandom::SysRng;
use keys::{Action, Envelope, Grant, IdentityId, Keyring, Purpose, Scope, Signed, Timestamp, codec};
use metaclinic_tests::harness::{self, described};
use rand_core::UnwrapErr;
use serde::Serialize;

use crate::homes;
use crate::hostile::{Hostile, RECORDS};
use crate::intruders::{MALFORMED, Victim};

const DAY: Duration = Duration::from_secs(24 * 3600);

fn days_from_now(days: i64) -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_millis() as i64;
    Timestamp::from_millis(since + days * DAY.as_millis() as i64)
}

/// A consent of `issuer`, from one day to another.
fn consent(issuer: &Keyring, grantee: IdentityId, days: (i64, i64)) -> Signed<Grant> {
    issuer.identity().sign(&Grant {
        version: Grant::VERSION,
        issuer: issuer.identity().id(),
        grantee,
        scope: Scope::default(),
        actions: vec![Action::Read],
        purpose: Purpose::Treatment,
        not_before: days_from_now(days.0),
        not_after: days_from_now(days.1),
        nonce: [3; 16],
    })
}

/// The same with a bit of its signature flipped.
fn edited(grant: &Signed<Grant>) -> Signed<Grant> {
    let mut bytes = codec::encode(grant);
    *bytes.last_mut().expect("not empty") ^= 1;
    codec::decode("grant", &bytes, 1 << 16).expect("still a message")
}

/// An answer without records, sealed to the one who asks.
fn answer(recipient: &str, grant: Signed<Grant>) -> Vec<u8> {
    #[derive(Serialize)]
    struct Answer {
        version: u8,
        items: [u8; 0],
        next: Option<String>,
        grants: Vec<Signed<Grant>>,
    }
    let plain = codec::encode(&Answer { version: 1, items: [], next: None, grants: vec![grant] });
    let recipients = [recipient.to_owned()];
    let envelope = Envelope::seal(&mut UnwrapErr(SysRng), &recipients, b"metaclinic/records/1", &plain);
    codec::encode(&envelope.expect("seals"))
}

#[test]
fn consents_that_are_edited_borrowed_or_ended_are_not_believed() {
    let dir = harness::temp_dir();
    let clinic = Victim::new(dir.path(), "clinic", "clinic");
    let (_, villain) = clinic.paired(dir.path(), "villain");
    let (_, other) = clinic.paired(dir.path(), "other");
    let own = homes::keyring(&clinic.home);
    let (clinic_id, recipient) = (own.identity().id(), own.claims().recipient.clone());
    let peer: Hostile = clinic.attacked_by(&villain);
    let fetch = |grant: Signed<Grant>| {
        let body = answer(&recipient, grant);
        thread::scope(|scope| {
            let answering = scope.spawn(|| peer.answer(RECORDS, &body));
            let output = harness::run_cli(&clinic.home, &["records", "fetch", "villain", "Observation"]);
            answering.join().expect("was asked");
            output
        })
    };
    let right = consent(&villain, clinic_id, (-1, 1));
    let good = fetch(right.clone());
    assert!(good.status.success(), "{}", described(&good));
    let refused = [
        (edited(&right), "check the peer's consent"),
        (consent(&other, clinic_id, (-1, 1)), "check the peer's consent"),
        (consent(&villain, other.identity().id(), (-1, 1)), "for something else"),
        (consent(&villain, clinic_id, (-9, -1)), "does not hold now"),
        (consent(&villain, clinic_id, (1, 9)), "does not hold now"),
    ];
    let count = refused.len() as u64;
    for (grant, words) in refused {
        let output = fetch(grant);
        assert_eq!(output.status.code(), Some(1), "{}", described(&output));
        assert!(String::from_utf8_lossy(&output.stderr).contains(words), "{words}: {}", described(&output));
    }
    let trail = clinic.end();
    assert_eq!(trail.of(&villain, MALFORMED), count, "{:?}", trail.0);
}
