//! A member who answers with member lists that are edited, forged, replayed or of another room.

use crdt::{Epoch, Member, Role};
use keys::{Keyring, Signed, Timestamp, codec};
use metaclinic_tests::harness::{self, described};
use serde_json::Value;

use crate::exchange::{field, pair};
use crate::forged::{claim_a_later_epoch, epochs, roles_answer, room};
use crate::homes;
use crate::hostile::ROLES;
use crate::intruders::{MALFORMED, Victim, room_id};

const NOT_FOR_HERE: &str = "denied: not open to this peer";

/// The next epoch of a list, in which `member` is a clinician.
fn next_epoch(list: &[Signed<Epoch>], owner: &Keyring, member: &Keyring, time: i64) -> Signed<Epoch> {
    let member = Member { identity: member.identity().id(), role: Role::Clinician };
    let signed = room(list).invite(owner.identity(), member, Timestamp::from_millis(time));
    signed.expect("what its owner may do")
}

/// The same with a bit of its signature flipped.
fn edited(epoch: &Signed<Epoch>) -> Signed<Epoch> {
    let mut bytes = codec::encode(epoch);
    *bytes.last_mut().expect("not empty") ^= 1;
    codec::decode("epoch", &bytes, 1 << 17).expect("still a message")
}

/// What `signer` makes of somebody else's epoch.
fn signed_by(signer: &Keyring, owner: &Keyring, epoch: &Signed<Epoch>) -> Signed<Epoch> {
    let body: Epoch = epoch.verify(owner.identity().id().as_bytes()).expect("its owner's");
    signer.identity().sign(&body)
}

/// Epoch, and whether a writer is among the members besides owner and patient.
fn standing(patient: &Victim) -> (Value, bool) {
    let shown = patient.room(&["show", "ward"]);
    let writes = shown["members"].as_array().expect("a list").iter().any(|m| m["role"] == "clinician");
    (shown["epoch"].clone(), writes)
}

#[test]
fn member_lists_that_are_edited_forged_replayed_or_of_another_room_change_nothing() {
    let dir = harness::temp_dir();
    let clinic = Victim::new(dir.path(), "clinic", "clinic");
    let patient = Victim::new(dir.path(), "patient", "patient");
    pair(&clinic.home, &patient.home);
    let (villain_home, villain) = clinic.paired(dir.path(), "villain");
    pair(&patient.home, &villain_home);
    let ids = ["ward", "other"].map(|name| {
        let id = room_id(&clinic.room(&["create", name]));
        clinic.room(&["invite", name, "villain", "--role", "clinician"]);
        clinic.room(&["invite", name, "villain", "--role", "observer"]);
        let invited = clinic.room(&["invite", name, "patient", "--role", "patient"]);
        patient.room(&["join", field(&invited, "/ticket")]);
        id
    });
    let owner = homes::keyring(&clinic.home);
    let lists = ids.map(|id| epochs(&clinic.attacked_by(&villain), &id));
    let [list, other] = &lists;
    assert!(clinic.end().0.iter().all(|entry| entry["action"] != "refuse"), "so far all are honest");
    assert_eq!(standing(&patient), (3.into(), false));

    // What the owner never said, or said of something else, or said once.
    let raised = next_epoch(list, &owner, &villain, 1);
    let elsewhere = next_epoch(other, &owner, &villain, 1);
    let gap = {
        let mut copy = room(&[&list[..], std::slice::from_ref(&raised)].concat());
        let removed = copy.remove(owner.identity(), &villain.identity().id(), Timestamp::from_millis(2));
        removed.expect("what its owner may do")
    };
    let on = |epoch: &Signed<Epoch>| roles_answer(&[&list[3..], std::slice::from_ref(epoch)].concat());
    let peer = patient.attacked_by(&villain);
    let copy = room(list);
    let answered_with = |body: Vec<u8>| {
        let answering = peer.answering(ROLES, body);
        claim_a_later_epoch(&peer, &copy);
        assert!(answering.count() >= 1, "the patient's node asks for the epoch");
        answering.count()
    };
    let mut refused = 0;
    for (what, body) in [
        ("edited", on(&edited(&raised))),
        ("forged", on(&signed_by(&villain, &owner, &raised))),
        ("of another room", on(&elsewhere)),
        ("without the one before it", on(&gap)),
    ] {
        refused += answered_with(body);
        assert_eq!(standing(&patient), (3.into(), false), "{what}");
    }
    // An old list is known already: it takes nothing back, and there is nothing to refuse.
    answered_with(roles_answer(&list[..2]));
    assert_eq!(standing(&patient), (3.into(), false), "replayed");
    let garbled = answered_with(b"no list at all".to_vec());
    assert_eq!(standing(&patient), (3.into(), false), "garbled");
    answered_with(on(&raised));
    assert_eq!(standing(&patient), (4.into(), true), "what its owner signed counts, whoever brings it");
    answered_with(on(&next_epoch(list, &owner, &villain, 9)));
    // The second time it is known as the proof that it is.
    refused += 1;
    assert_eq!(patient.room(&["show", "ward"])["frozen"], true, "two epochs of one number freeze a room");

    let trail = patient.end();
    assert_eq!(trail.of(&villain, NOT_FOR_HERE), refused, "{:?}", trail.0);
    assert_eq!(trail.of(&villain, MALFORMED), garbled, "{:?}", trail.0);
}

#[test]
fn a_room_is_not_joined_by_a_forged_list_or_that_of_another_room() {
    let dir = harness::temp_dir();
    let patient = Victim::new(dir.path(), "patient", "patient");
    let (villain_home, villain) = patient.paired(dir.path(), "villain");
    let made = |name: &str| {
        let created = harness::run_json(&villain_home, &["room", "create", name]);
        let _ = harness::run_json(&villain_home, &["room", "invite", name, "patient", "--role", "patient"]);
        field(&created, "/ticket").to_owned()
    };
    let (ticket, _) = (made("ward"), made("other"));
    // The villain's own daemon tells the true lists once; then its keys are used by another program.
    let helper = homes::daemon(&villain_home);
    let told = |name: &str| {
        let id = room_id(&harness::run_json(&villain_home, &["room", "show", name]));
        let keyring = homes::keyring(&patient.home);
        epochs(&crate::hostile::Hostile::connect(&keyring, &helper, &villain.device().id()), &id)
    };
    let (list, other) = (told("ward"), told("other"));
    assert!(helper.stop().success());

    let peer = patient.attacked_by(&villain);
    let joined_with = |body: Vec<u8>| {
        let answering = peer.answering(ROLES, body);
        let output = harness::run_cli(&patient.home, &["room", "join", &ticket]);
        assert!(answering.count() >= 1, "{}", described(&output));
        output
    };
    let edited_list = roles_answer(&[list[0].clone(), edited(&list[1])]);
    for (body, code, words) in [
        (edited_list, 1, "check the room's member list"),
        (roles_answer(&other), 3, "of another room"),
        (b"no list at all".to_vec(), 1, "read the member list"),
    ] {
        let output = joined_with(body);
        assert_eq!(output.status.code(), Some(code), "{words}: {}", described(&output));
        assert!(String::from_utf8_lossy(&output.stderr).contains(words), "{words}: {}", described(&output));
    }
    let rooms = |home| harness::run_json(home, &["room", "list"])["rooms"].as_array().map(Vec::len);
    assert_eq!(rooms(&patient.home), Some(0));
    assert!(joined_with(roles_answer(&list)).status.success(), "the true list is believed");
    assert_eq!(rooms(&patient.home), Some(1));

    let trail = patient.end();
    assert_eq!(trail.of(&villain, NOT_FOR_HERE), 2, "edited, and of another room: {:?}", trail.0);
    assert_eq!(trail.of(&villain, MALFORMED), 1, "{:?}", trail.0);
}
