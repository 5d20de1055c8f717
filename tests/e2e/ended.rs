//! Consents that ended: the same question as before is refused, says why, and is in the trail of the owner.

use std::time::Duration;

use metaclinic_tests::harness::{self, described};

use crate::exchange::field;
use crate::homes;
use crate::hostile::{RECORDS, records_request};
use crate::intruders::Victim;

const EXPIRED: &str = "denied: the grant has expired";
const REVOKED: &str = "denied: the grant was revoked";
/// Long enough for a question on a loaded machine, short enough to wait for.
const LASTS: Duration = Duration::from_secs(20);

#[test]
fn a_question_asked_again_after_the_end_of_the_consent_is_refused_and_in_the_trail() {
    let dir = harness::temp_dir();
    let patient = Victim::new(dir.path(), "patient", "patient");
    let bundle = homes::write_bundle(dir.path(), 3);
    let _ = harness::run_json(&patient.home, &["records", "import", bundle.to_str().expect("plain path")]);
    let [(home, expiring), (_, revoked)] = ["expiring", "revoked"].map(|n| patient.paired(dir.path(), n));
    let give = |name: &str, lasts: &str| {
        let args = ["grant", "give", name, "--type", "Observation", "--for", lasts];
        field(&harness::run_json(&patient.home, &args), "/grant").to_owned()
    };
    let request = records_request("Observation");
    let (first, second) = (patient.attacked_by(&expiring), patient.attacked_by(&revoked));
    let taken_back = give("revoked", "1h");
    let given = std::time::Instant::now();
    give("expiring", &format!("{}s", LASTS.as_secs()));
    for peer in [&first, &second] {
        assert_eq!(peer.request(RECORDS, &request).0, 0, "while it holds it is answered");
    }
    assert!(given.elapsed() < LASTS, "this machine is too slow for this test");
    let _ = harness::run_json(&patient.home, &["grant", "revoke", &taken_back]);
    std::thread::sleep(LASTS.saturating_sub(given.elapsed()) + Duration::from_millis(200));
    let reasons = [&first, &second].map(|peer| peer.refused(RECORDS, &request));
    assert!(reasons[0].contains("the grant has expired"), "{reasons:?}");
    assert!(reasons[1].contains("the grant was revoked"), "{reasons:?}");

    // The honest program tells its person the same.
    drop(first);
    let _daemon = homes::daemon(&home);
    let fetched = harness::run_cli(&home, &["records", "fetch", "patient", "Observation"]);
    assert_eq!(fetched.status.code(), Some(3), "{}", described(&fetched));
    assert!(String::from_utf8_lossy(&fetched.stderr).contains("has expired"), "{}", described(&fetched));

    let states = harness::run_json(&patient.home, &["grant", "list"]);
    let states: Vec<&str> =
        states["grants"].as_array().expect("a list").iter().map(|g| field(g, "/state")).collect();
    assert!(states.contains(&"expired") && states.contains(&"revoked"), "{states:?}");
    let trail = patient.end();
    assert_eq!(trail.count(&expiring.identity().id().to_string(), EXPIRED), 2, "{:?}", trail.0);
    assert_eq!(trail.count(&revoked.identity().id().to_string(), REVOKED), 1, "{:?}", trail.0);
}
