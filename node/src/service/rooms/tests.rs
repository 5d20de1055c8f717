//! What a room is after something failed, and what it shows.

pub(super) mod homes;

use super::*;
use homes::{ROOM, TestHome, introduce, met};

fn epochs(of: &TestHome) -> Vec<Signed<Epoch>> {
    of.room().lock().epochs().entries_from(0).to_vec()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_list_that_could_not_be_kept_is_forgotten_and_made_again() {
    let (mut clinic, mut patient) = met().await;
    let (id, before) = (clinic.room().id, epochs(&clinic));

    clinic.break_disk();
    clinic.node().room_remove(ROOM, "patient").expect_err("the disk takes nothing");
    let told = patient.node().ask_epochs(&id, &clinic.device(), 0).await.expect("answered");
    assert!(told == before, "nobody is told what the disk does not hold");
    patient.node().receive_epochs(&patient.room(), &clinic.device(), told).expect("known already");

    clinic.restart(|_| {}).await;
    introduce(&clinic, &patient);
    clinic.node().room_remove(ROOM, "patient").expect("the disk works again");
    let after = epochs(&clinic);
    assert_eq!(after.len(), before.len() + 1);

    patient.break_disk();
    patient
        .node()
        .receive_epochs(&patient.room(), &clinic.device(), after.clone())
        .expect_err("the disk takes nothing");
    assert!(epochs(&patient) == before, "what is not kept is asked for again");
    patient.restart(|_| {}).await;
    patient.node().receive_epochs(&patient.room(), &clinic.device(), after.clone()).expect("kept");
    assert!(epochs(&patient) == after);
    for home in [&clinic, &patient] {
        assert!(!home.room().lock().epochs().is_frozen());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shown_room_names_who_wrote_what_it_says_now() {
    let (clinic, patient) = met().await;
    let place = || Place::Anchor("bed".to_owned());
    let made = patient.change(RoomRequest::Annotate { text: "here".into(), place: place(), attach: None });
    let id = made.await.expect("may annotate").id;
    homes::until("the annotation comes", || !clinic.view().annotations.is_empty()).await;
    clinic.change(RoomRequest::Edit { id: id.clone(), text: "left".into() }).await.expect("may edit");
    homes::until("the edit comes", || patient.view().annotations[0].text.value == "left").await;
    let note = clinic.change(RoomRequest::Note { text: "stable".into() }).await.expect("may write notes");
    for home in [&clinic, &patient] {
        homes::until("the note comes", || !home.view().notes.is_empty()).await;
        let shown = home.node().room_show(ROOM).await.expect("shown");
        let (clinic, patient) = (clinic.identity().to_string(), patient.identity().to_string());
        let [annotation] = shown.annotations.as_slice() else { panic!("one annotation") };
        assert_eq!((&annotation.author, &annotation.text_author), (&patient, &clinic));
        assert_eq!(annotation.position_author, patient);
        assert_eq!((&shown.notes[0].id, &shown.notes[0].text_author), (&note.id, &clinic));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_room_that_was_left_half_changed_is_read_again_from_the_store() {
    let (clinic, patient) = met().await;
    clinic.say("kept").await;
    let (node, open) = (Arc::clone(clinic.node()), clinic.room());
    let stopped = std::thread::spawn(move || {
        let author = Author { device: node.keyring.device(), certificate: node.keyring.certificate() };
        let mut room = open.lock();
        let said = RoomCommand::Say { text: "never kept".into() };
        room.apply(said, &author, open.session, clock::now()).expect("may speak");
        panic!("before the change is kept");
    });
    assert!(stopped.join().is_err());
    assert_eq!(clinic.said(), ["kept"]);
    clinic.say("afterwards").await;
    assert_eq!(clinic.said(), ["kept", "afterwards"]);
    homes::until("both come", || patient.said() == clinic.said()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shown_room_says_how_much_it_holds_and_may_hold() {
    let (clinic, patient) = met().await;
    patient.say("one").await;
    clinic.say("two").await;
    homes::until("both come", || clinic.said().len() == 2 && patient.said().len() == 2).await;
    for home in [&clinic, &patient] {
        let shown = home.node().room_show(ROOM).await.expect("shown");
        assert_eq!((shown.size.changes, shown.size.max_changes, shown.size.max_bytes), (2, 40_000, 64 << 20));
        assert!((400..8_000).contains(&shown.size.bytes), "{:?}", shown.size);
        assert!(shown.size.full.is_none() && shown.members.iter().all(|member| !member.full));
    }
    let full = room_problem("change the room", crdt::RoomError::Refused(crdt::Refusal::RoomFull));
    assert_eq!(full.kind.exit_code(), 1);
    assert!(full.message.contains("as much as a room may"), "{full}");
    assert!(full.next.is_some_and(|next| next.contains("room create")));
}
