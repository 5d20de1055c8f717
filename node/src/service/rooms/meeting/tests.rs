//! Two homes that meet in a room, over real streams and stores.

use crdt::{Attachment, Pose, RoomCommand};

use super::super::tests::homes::{ROOM, TestHome, introduce, meet, met, read_keyring, until, write_keyring};
use super::*;
use crate::api::types::{GrantRequest, ImportRequest, Place, RoomRequest};
use crate::service::write;

/// A recording that the demonstration imports too.
const RECORDING: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/samples/mitdb-208-excerpt.hea");

/// Ends the stream between two homes, as a broken line does.
async fn part(a: &TestHome, b: &TestHome) {
    let id = a.room().id;
    for (one, other) in [(a, b), (b, a)] {
        one.node().rooms.sessions.end(&id);
        let apart = || !one.node().rooms.sessions.has(&id, &other.device());
        until("the stream ends", apart).await;
    }
}

/// Pins a file to the room; gives the hash of what is sealed.
async fn attach(home: &TestHome) -> [u8; 32] {
    let file = home.path().with_extension("report.txt");
    std::fs::write(&file, "a report").expect("written");
    let attach = Some(file.to_str().expect("plain path").to_owned());
    let place = Place::Anchor("monitor".to_owned());
    home.change(RoomRequest::Annotate { text: "report".into(), place, attach }).await.expect("annotated");
    std::fs::remove_file(&file).expect("removed");
    let pinned = home.view().annotations.pop().expect("pinned");
    pinned.attachment.expect("with the file").hash
}

async fn here(home: &TestHome, hash: &[u8; 32]) -> bool {
    home.node().blobs.has(hash).await.expect("the attachments can be asked")
}

/// How often this home has refused somebody something.
fn refused_by(home: &TestHome) -> u64 {
    home.node().write_refusals();
    let trail = home.node().audit_show(None, 1_000).expect("a trail");
    trail.entries.iter().filter(|entry| entry.action == "refuse").map(|entry| entry.count).sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn writes_before_and_after_a_renewed_certificate_open_again_and_reach_others() {
    let (clinic, mut patient) = met().await;
    patient.say("under the first").await;
    until("it comes", || clinic.said().len() == 1).await;

    patient
        .restart(|home| {
            let mut keyring = read_keyring(home);
            keyring.renew_certificate(clock::now());
            write_keyring(home, &keyring);
        })
        .await;
    assert_eq!(patient.said(), ["under the first"]);
    patient.say("under the second").await;
    patient.restart(|_| {}).await;
    assert_eq!(patient.said(), ["under the first", "under the second"]);
    assert!(patient.node().rooms.are_whole());

    introduce(&clinic, &patient);
    meet(&patient, &clinic).await;
    until("it comes", || clinic.said() == patient.said()).await;
    assert_eq!(refused_by(&clinic), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_annotation_does_not_open_the_attachment_of_a_record() {
    let (clinic, patient) = met().await;
    let request = ImportRequest { paths: vec![RECORDING.to_owned()], patient: None };
    let node = Arc::clone(clinic.node());
    let (events, _listening) = tokio::sync::mpsc::channel(64);
    let runtime = tokio::runtime::Handle::current();
    blocking(move || node.import(&request, &runtime, &events)).await.expect("imported");
    let hashes: Vec<[u8; 32]> = read(&clinic.node().attachments).keys().copied().collect();
    let [hash] = hashes.as_slice() else { panic!("one recording") };
    let bytes = 1 << 20;
    patient.command(RoomCommand::AddAnnotation {
        text: "mine".into(),
        pose: Pose::at(0.0, 1.0, 0.0).expect("finite"),
        anchor: None,
        attachment: Some(Attachment {
            hash: *hash,
            key: [0; 32],
            bytes,
            content_type: "application/octet-stream".into(),
            name: "x".into(),
        }),
    });
    until("it comes", || !clinic.view().annotations.is_empty()).await;

    assert!(!clinic.node().may_fetch_blob(&patient.device(), hash));
    let network = patient.node().network().await.expect("joined");
    let addresses = clinic.node().own_card().blob_addresses;
    network.fetch_blob(*hash, clinic.device(), &addresses, bytes).await.expect_err("refused");
    assert!(!here(&patient, hash).await);

    let everything = GrantRequest {
        peer: "patient".into(),
        resource_types: Vec::new(),
        categories: Vec::new(),
        codes: Vec::new(),
        patient: None,
        all: true,
        purpose: "treatment".into(),
        seconds: 600,
    };
    clinic.node().grant_give(&everything).expect("given");
    network.fetch_blob(*hash, clinic.device(), &addresses, bytes).await.expect("consented to");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_attachment_that_did_not_come_is_asked_for_at_the_next_meeting() {
    let (clinic, patient) = met().await;
    part(&clinic, &patient).await;
    let hash = attach(&clinic).await;
    let owners = write(&clinic.node().room_attachments).remove(&hash).expect("noted");
    meet(&patient, &clinic).await;
    until("the annotation comes", || !patient.view().annotations.is_empty()).await;
    until("it is asked for and refused", || refused_by(&clinic) > 0).await;
    assert!(!here(&patient, &hash).await);

    part(&clinic, &patient).await;
    write(&clinic.node().room_attachments).insert(hash, owners);
    meet(&patient, &clinic).await;
    let arrived = async {
        while !here(&patient, &hash).await {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), arrived).await.expect("asked for again");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_file_of_a_removed_annotation_is_given_to_nobody_any_more() {
    let (clinic, patient) = met().await;
    let hash = attach(&clinic).await;
    until("the annotation comes", || !patient.view().annotations.is_empty()).await;
    let pinned = clinic.view().annotations.remove(0);
    let again = pinned.attachment.clone();
    let (text, pose) = ("the same file".to_owned(), pinned.pose.value);
    clinic.command(RoomCommand::AddAnnotation { text, pose, anchor: None, attachment: again });
    until("both come", || patient.view().annotations.len() == 2).await;
    let gives = |one: &TestHome, other: &TestHome| one.node().may_fetch_blob(&other.device(), &hash);

    clinic.change(RoomRequest::Remove { annotation: pinned.id.to_string() }).await.expect("removed");
    until("the removal comes", || patient.view().annotations.len() == 1).await;
    assert!(gives(&clinic, &patient) && gives(&patient, &clinic), "the other annotation holds it too");

    let last = clinic.view().annotations.remove(0).id.to_string();
    clinic.change(RoomRequest::Remove { annotation: last }).await.expect("removed");
    assert!(!gives(&clinic, &patient));
    until("the removal comes", || patient.view().annotations.is_empty()).await;
    until("the other home follows", || !gives(&patient, &clinic)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_removed_member_asks_is_refused_and_counted_in_one_entry() {
    const KNOCKS: u64 = 12;
    let (clinic, patient) = met().await;
    let hash = attach(&clinic).await;
    assert!(clinic.node().may_fetch_blob(&patient.device(), &hash));
    clinic.node().room_remove(ROOM, "patient").expect("removed");
    until("the patient learns of it", || patient.room().lock().role(&patient.identity()).is_none()).await;
    let id = clinic.room().id;
    until("the stream ends", || !patient.node().rooms.sessions.has(&id, &clinic.device())).await;
    clinic.node().write_refusals();

    let before = clinic.node().store.audit_count();
    for _ in 0..KNOCKS {
        patient.node().begin(&patient.room(), clinic.device()).await;
        until("the stream ends", || !patient.node().rooms.sessions.has(&id, &clinic.device())).await;
        assert!(!clinic.node().may_fetch_blob(&patient.device(), &hash));
    }
    assert_eq!(clinic.node().store.audit_count(), before, "nothing yet");
    clinic.node().write_refusals();
    let added = clinic.node().audit_show(Some(before), 100).expect("a trail").entries;
    let counts: Vec<(&str, u64)> = added.iter().map(|e| (e.who.as_str(), e.count)).collect();
    let who = patient.device().to_string();
    assert_eq!(counts.len(), 2, "{added:?}");
    assert!(counts.iter().all(|(device, count)| *device == who && *count == KNOCKS), "{added:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn that_a_room_takes_no_more_is_in_the_trail_once() {
    let (clinic, patient) = met().await;
    let (node, open, from) = (clinic.node(), clinic.room(), patient.device());
    let refused = |refusal| vec![(ChangeHash::from_bytes([1; 32]), refusal); 3];
    let written = node.note_refused(&open, &from, &refused(Refusal::ShareUsed));
    let [(_, event)] = written.as_slice() else { panic!("{written:?}") };
    assert_eq!((event.action, event.count, &event.who), (AuditAction::RoomRefuse, 3, &from.to_string()));
    assert_eq!(event.outcome, Outcome::Denied(DenyReason::RateLimited));
    for again in [Refusal::ShareUsed, Refusal::RoomFull] {
        assert!(node.note_refused(&open, &from, &refused(again)).is_empty());
    }
    let before = refused_by(&clinic);
    assert!(node.note_refused(&open, &from, &refused(Refusal::ReadOnly)).is_empty());
    assert_eq!(refused_by(&clinic), before + 3, "other refusals are counted as ever");
}

#[tokio::test(flavor = "multi_thread")]
async fn packs_that_lie_are_refused_and_counted_and_the_room_goes_on() {
    let (clinic, patient) = met().await;
    for text in ["one", "two", "three"] {
        patient.say(text).await;
    }
    until("they come", || clinic.said().len() == 3).await;
    part(&clinic, &patient).await;
    patient.say("four").await;
    let open = patient.room();
    let (mut changes, certificates) = {
        let room = open.lock();
        (room.changes_not_ancestors_of(&[], usize::MAX).0, room.certificates())
    };
    // The clinic lacks the last of four; here it has another signature.
    let mut last = changes[3].to_bytes();
    *last.last_mut().expect("bytes") ^= 1;
    changes[3] = SignedChange::from_bytes(&last).expect("still such a message");
    let lies = [crdt::pack(&changes).expect("packs"), vec![0; 40]];
    let network = patient.node().network().await.expect("joined");
    let addresses = patient.node().addresses_of(&clinic.device());
    for pack in lies {
        let before = refused_by(&clinic);
        let stream = network.open_room_sync(clinic.device(), &addresses).await.expect("opened");
        let (mut sender, _receiver) = stream.split();
        let greeting = Greeting { version: GREETING_VERSION, room: clinic.room().id };
        sender.send(codec::encode(&greeting)).await.expect("greeted");
        let (certificates, heads) = (certificates.clone(), Vec::new());
        let message = crdt::SyncMessage::Packed { pack, certificates, heads, more: false };
        sender.send(message.encode()).await.expect("sent");
        until("it is refused", || refused_by(&clinic) > before).await;
        assert_eq!(clinic.said(), ["one", "two", "three"]);
        sender.close().await;
    }
    meet(&patient, &clinic).await;
    until("the last one comes", || clinic.said() == ["one", "two", "three", "four"]).await;
}
