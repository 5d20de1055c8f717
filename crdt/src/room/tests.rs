//! Rooms whole: what members see, and that copies agree.

mod cheats;
mod closing;
mod limits;
mod merging;
mod refusals;

use std::time::Instant;

use crate::cast::{Person, at, cast, charter, copy, note, pin, pull, say};
use crate::room::waiting::{MAX_WAITING, MAX_WAITING_PER_DEVICE};
use crate::{
    Attachment, CommandError, EntryId, EntryKind, Pose, Refusal, Role, Room, RoomCommand, RoomError,
    RoomEvent, RoomView, SignedChange, Trust,
};

fn texts(view: &RoomView) -> Vec<&str> {
    view.annotations.iter().map(|annotation| annotation.text.value.as_str()).collect()
}

#[test]
fn members_see_what_others_did() {
    let mut c = cast();
    let file = Attachment {
        hash: [1; 32],
        key: [2; 32],
        bytes: 70_000,
        content_type: "image/png".into(),
        name: "chest.png".into(),
    };
    let pinned = RoomCommand::AddAnnotation {
        text: "look here".into(),
        pose: Pose::at(0.0, 1.5, -2.0).unwrap(),
        anchor: Some("light-box".into()),
        attachment: Some(file.clone()),
    };
    let (_, events) = c.doctor.does_with_events(&mut c.room, pinned);
    let [RoomEvent::AnnotationAdded { id, author }] = events[..] else { panic!("{events:?}") };
    assert_eq!(author, c.doctor.id());
    c.doctor.does(&mut c.room, note("stable"));
    c.patient.does(&mut c.room, say("thank you"));

    let mut elsewhere =
        Room::open(c.room.epochs().entries_from(0), vec![], [].into_iter(), Trust::Nothing).unwrap();
    let received = pull(&mut elsewhere, &c.room);
    assert_eq!(received.accepted.len(), 3);
    assert_eq!(received.new_certificates.len(), 2);
    assert!(received.refused.is_empty());
    assert_eq!(received.events[0], RoomEvent::AnnotationAdded { id, author });

    let view = elsewhere.view();
    assert_eq!(view, c.room.view());
    let shown = &view.annotations[0];
    assert_eq!((shown.id, shown.author, shown.created), (id, c.doctor.id(), at(5_000)));
    assert_eq!((shown.anchor.as_deref(), shown.attachment.as_ref()), (Some("light-box"), Some(&file)));
    assert_eq!((view.notes[0].text.value.as_str(), view.notes[0].author), ("stable", c.doctor.id()));
    assert_eq!((view.chat[0].text.as_str(), view.chat[0].author), ("thank you", c.patient.id()));
    assert_eq!((view.name.as_str(), view.members.len()), ("Ward round", 4));
}

#[test]
fn annotations_move_change_and_go() {
    let mut c = cast();
    let (_, events) = c.patient.does_with_events(&mut c.room, pin("it hurts here"));
    let [RoomEvent::AnnotationAdded { id, .. }] = events[..] else { panic!("{events:?}") };
    let pose = Pose::at(0.0, 0.9, 0.0).unwrap();
    let (_, events) = c.patient.does_with_events(&mut c.room, RoomCommand::MoveAnnotation { id, pose });
    assert_eq!(events, [RoomEvent::AnnotationMoved { id, author: c.patient.id() }]);
    c.doctor.does(&mut c.room, RoomCommand::EditAnnotation { id, text: "left knee".into() });
    let view = c.room.view();
    assert_eq!((view.annotations[0].pose.value, texts(&view)), (pose, vec!["left knee"]));
    let again = RoomCommand::EditAnnotation { id, text: "left knee".into() };
    assert_eq!(c.doctor_tries(again), Err(RoomError::Unchanged));
    c.patient.does(&mut c.room, RoomCommand::RemoveAnnotation { id });
    assert!(c.room.view().annotations.is_empty());
    let gone = RoomCommand::EditAnnotation { id, text: "right knee".into() };
    assert_eq!(c.doctor_tries(gone), Err(RoomError::Command(CommandError::NoEntry(id))));
    assert_eq!(copy(&c.room).view(), c.room.view());
}

#[test]
fn an_entry_is_found_without_a_look_at_all_of_the_room() {
    let mut c = cast();
    for n in 0..200 {
        c.doctor.does(&mut c.room, note(&format!("note {n}")));
    }
    c.patient.does(&mut c.room, pin("here"));
    c.patient.does(&mut c.room, say("hello"));
    let view = c.room.view();
    let check = |room: &Room, id: EntryId, kind: Option<EntryKind>| {
        let text = id.to_string();
        assert_eq!(room.find(&text).collect::<Vec<_>>(), Vec::from_iter(kind.map(|kind| (id, kind))));
        assert_eq!(room.find(&text[..20]).next(), kind.map(|kind| (id, kind)));
    };
    check(&c.room, view.annotations[0].id, Some(EntryKind::Annotation));
    check(&c.room, view.chat[0].id, Some(EntryKind::Line));
    view.notes.iter().for_each(|note| check(&c.room, note.id, Some(EntryKind::Note)));
    assert_eq!(c.room.find("").count(), 202);
    assert!(c.room.find("not a name").next().is_none());

    let id = view.annotations[0].id;
    let (started, beginning) = (Instant::now(), id.to_string());
    (0..50).for_each(|_| assert!(c.room.find(&beginning[..6]).next().is_some()));
    let (looked_up, started) = (started.elapsed(), Instant::now());
    (0..50).for_each(|_| assert_eq!(c.room.view().annotations.len(), 1));
    assert!(looked_up * 5 < started.elapsed(), "{looked_up:?} against {:?}", started.elapsed());

    c.patient.does(&mut c.room, RoomCommand::RemoveAnnotation { id });
    check(&c.room, id, None);
}

#[test]
fn files_of_removed_annotations_are_no_more_of_the_room() {
    let mut c = cast();
    let file = |n: u8| Attachment {
        hash: [n; 32],
        key: [2; 32],
        bytes: 1,
        content_type: "image/png".into(),
        name: "chest.png".into(),
    };
    let mut pinned = Vec::new();
    for n in 1..=3 {
        let pose = Pose::at(0.0, 1.0, 0.0).unwrap();
        let attachment = Some(file(n));
        let command = RoomCommand::AddAnnotation { text: "x".into(), pose, anchor: None, attachment };
        let (_, events) = c.doctor.does_with_events(&mut c.room, command);
        let [RoomEvent::AnnotationAdded { id, .. }] = events[..] else { panic!("{events:?}") };
        pinned.push(id);
    }
    c.doctor.does(&mut c.room, pin("without a file"));
    assert_eq!(c.room.attachments(), [file(1), file(2), file(3)]);
    c.doctor.does(&mut c.room, RoomCommand::RemoveAnnotation { id: pinned[1] });
    for room in [&c.room, &copy(&c.room)] {
        assert_eq!(room.attachments(), [file(1), file(3)]);
        assert_eq!(room.attachment(&pinned[0]), Some(file(1)));
        assert_eq!(room.attachment(&pinned[1]), None);
    }
}

#[test]
fn what_another_member_writes_bears_that_members_name() {
    let mut c = cast();
    let (_, events) = c.patient.does_with_events(&mut c.room, pin("it hurts here"));
    let [RoomEvent::AnnotationAdded { id, .. }] = events[..] else { panic!("{events:?}") };
    let (patient, doctor, owner) = (c.patient.id(), c.doctor.id(), c.owner.id());
    let authors = |room: &Room| {
        let pinned = &room.view().annotations[0];
        (pinned.author, pinned.text.author, pinned.pose.author)
    };
    assert_eq!(authors(&c.room), (patient, patient, patient));
    c.doctor.does(&mut c.room, RoomCommand::EditAnnotation { id, text: "left knee".into() });
    assert_eq!(authors(&c.room), (patient, doctor, patient));
    let pose = Pose::at(0.0, 0.9, 0.0).unwrap();
    c.owner.does(&mut c.room, RoomCommand::MoveAnnotation { id, pose });
    assert_eq!(authors(&c.room), (patient, doctor, owner));
    c.patient.does(&mut c.room, RoomCommand::EditAnnotation { id, text: "right knee".into() });
    assert_eq!(authors(&copy(&c.room)), (patient, patient, owner));

    let (_, events) = c.doctor.does_with_events(&mut c.room, note("stable"));
    let [RoomEvent::NoteAdded { id, .. }] = events[..] else { panic!("{events:?}") };
    c.owner.does(&mut c.room, RoomCommand::EditNote { id, text: "worse".into() });
    let noted = &c.room.view().notes[0];
    assert_eq!((noted.author, noted.text.author), (doctor, owner));
}

impl crate::cast::Cast {
    fn doctor_tries(&mut self, command: RoomCommand) -> Result<(), RoomError> {
        self.room.apply(command, &self.doctor.author(), 1, at(6_000)).map(|_| ())
    }
}

#[test]
fn each_role_writes_its_sections_only() {
    let mut c = cast();
    let (_, events) = c.doctor.does_with_events(&mut c.room, pin("bandage"));
    let [RoomEvent::AnnotationAdded { id, .. }] = events[..] else { panic!("{events:?}") };
    let mut tries = |person: &Person, command| {
        c.room.apply(command, &person.author(), 1, at(5_000)).map(|_| ()).map_err(|error| match error {
            RoomError::Refused(refusal) => refusal,
            other => panic!("{other:?}"),
        })
    };
    assert_eq!(tries(&c.patient, note("I am fine")), Err(Refusal::Section));
    assert_eq!(tries(&c.patient, RoomCommand::RemoveAnnotation { id }), Err(Refusal::NotOwn));
    assert_eq!(tries(&c.patient, say("hello")), Ok(()));
    for command in [say("hello"), pin("x"), note("x"), RoomCommand::RemoveAnnotation { id }] {
        assert_eq!(tries(&c.visitor, command), Err(Refusal::ReadOnly));
    }
    assert_eq!(tries(&Person::new(40), say("hello")), Err(Refusal::NotAMember));
    assert_eq!(tries(&c.owner, RoomCommand::RemoveAnnotation { id }), Ok(()));
}

#[test]
fn a_conflict_is_shown_until_someone_decides() {
    let mut c = cast();
    let (_, events) = c.owner.does_with_events(&mut c.room, pin("dose?"));
    let [RoomEvent::AnnotationAdded { id, .. }] = events[..] else { panic!("{events:?}") };
    let mut other = copy(&c.room);
    c.owner.does(&mut c.room, RoomCommand::EditAnnotation { id, text: "5 mg".into() });
    c.doctor.does(&mut other, RoomCommand::EditAnnotation { id, text: "50 mg".into() });
    let received = pull(&mut other, &c.room);
    assert!(received.events.contains(&RoomEvent::Conflict { id }), "{:?}", received.events);
    pull(&mut c.room, &other);
    let view = c.room.view();
    assert_eq!(view, other.view());
    let text = &view.annotations[0].text;
    let mut both = vec![text.value.as_str(), text.alternatives[0].value.as_str()];
    both.sort_unstable();
    assert_eq!(both, ["5 mg", "50 mg"]);
    assert!(text.is_conflict());
    let winner_is_owner = text.value == "5 mg";
    let (owner, doctor) = (c.owner.id(), c.doctor.id());
    let authors = if winner_is_owner { (owner, doctor) } else { (doctor, owner) };
    assert_eq!((text.author, text.alternatives[0].author), authors);

    c.doctor.does(&mut other, RoomCommand::EditAnnotation { id, text: "5 mg, checked".into() });
    pull(&mut c.room, &other);
    let view = c.room.view();
    assert!(!view.annotations[0].text.is_conflict());
    assert_eq!(view.annotations[0].text.value, "5 mg, checked");
}

#[test]
fn equal_words_at_the_same_time_are_no_conflict_to_show() {
    let mut c = cast();
    let (_, events) = c.owner.does_with_events(&mut c.room, note("dose?"));
    let [RoomEvent::NoteAdded { id, .. }] = events[..] else { panic!("{events:?}") };
    let mut other = copy(&c.room);
    c.owner.does(&mut c.room, RoomCommand::EditNote { id, text: "5 mg".into() });
    c.doctor.does(&mut other, RoomCommand::EditNote { id, text: "5 mg".into() });
    pull(&mut c.room, &other);
    assert!(!c.room.view().notes[0].text.is_conflict());
    c.doctor.does(&mut c.room, RoomCommand::EditNote { id, text: "5 mg".into() });
}

#[test]
fn an_edit_while_another_removes_does_not_bring_it_back() {
    let mut c = cast();
    let (_, events) = c.owner.does_with_events(&mut c.room, pin("old"));
    let [RoomEvent::AnnotationAdded { id, .. }] = events[..] else { panic!("{events:?}") };
    let mut other = copy(&c.room);
    c.owner.does(&mut c.room, RoomCommand::RemoveAnnotation { id });
    c.doctor.does(&mut other, RoomCommand::EditAnnotation { id, text: "new".into() });
    pull(&mut other, &c.room);
    pull(&mut c.room, &other);
    assert!(c.room.view().annotations.is_empty());
    assert_eq!(c.room.view(), other.view());
}

#[test]
fn a_change_waits_for_what_it_builds_on() {
    let mut c = cast();
    let empty = copy(&c.room);
    let changes: Vec<_> = (0..5).map(|n| c.doctor.does(&mut c.room, say(&format!("line {n}")))).collect();
    let certificates = c.room.certificates();
    let mut late = empty;
    for change in changes[1..].iter().rev() {
        let received = late.receive(vec![change.clone()], &certificates, at(0));
        assert!(received.accepted.is_empty() && received.refused.is_empty());
    }
    assert_eq!(late.wanted(), [changes[0].hash()]);
    assert_eq!(late.missing(&[changes[0].hash(), changes[3].hash()]), [changes[0].hash()]);
    let received = late.receive(vec![changes[0].clone()], &[], at(0));
    assert_eq!(received.accepted, changes);
    assert_eq!((received.waiting, received.new_certificates.len()), (0, 1));
    assert_eq!(late.view(), c.room.view());
    assert!(late.wanted().is_empty());
    let again = late.receive(changes, &certificates, at(0));
    assert!(again.accepted.is_empty() && again.refused.is_empty() && again.events.is_empty());
}

#[test]
fn what_waits_is_bounded_and_the_oldest_goes_first() {
    let mut c = cast();
    let mut late = copy(&c.room);
    let changes: Vec<_> =
        (0..MAX_WAITING_PER_DEVICE + 10).map(|_| c.doctor.does(&mut c.room, say("x"))).collect();
    let certificates = c.room.certificates();
    let received = late.receive(changes[1..].to_vec(), &certificates, at(0));
    assert_eq!(received.waiting, MAX_WAITING_PER_DEVICE);
    const { assert!(MAX_WAITING_PER_DEVICE < MAX_WAITING) };
    assert_eq!(late.missing(&[changes[1].hash(), changes[20].hash()]), [changes[1].hash()]);
    let received = late.receive(changes, &certificates, at(0));
    assert_eq!(received.waiting, 0);
    assert_eq!(late.view(), c.room.view());
}

#[test]
fn a_room_opens_again_as_it_was_stored() {
    let mut c = cast();
    c.doctor.does(&mut c.room, pin("a"));
    c.patient.does(&mut c.room, say("b"));
    let invited = c.room.invite(&c.owner.identity, Person::new(7).member(Role::Observer), at(6_000)).unwrap();
    assert_eq!(invited, c.room.epochs().entries_from(1)[0]);
    c.doctor.does(&mut c.room, note("c"));
    let (changes, _) = c.room.changes_not_ancestors_of(&[], usize::MAX);
    let stored: Vec<_> = changes.iter().map(SignedChange::to_bytes).collect();
    for trust in [Trust::Checked, Trust::Nothing] {
        let read = stored.iter().map(|bytes| SignedChange::from_bytes(bytes).unwrap());
        let epochs = c.room.epochs().entries_from(0);
        let opened = Room::open(epochs, c.room.certificates(), read, trust).unwrap();
        assert_eq!(opened.view(), c.room.view());
        assert_eq!((opened.len(), opened.heads()), (3, c.room.heads()));
    }
    let without_first = stored[1..].iter().map(|bytes| SignedChange::from_bytes(bytes).unwrap());
    let epochs = c.room.epochs().entries_from(0);
    let damaged = Room::open(epochs, c.room.certificates(), without_first, Trust::Checked).unwrap();
    assert_eq!((damaged.len(), damaged.wanted()), (0, vec![changes[0].hash()]));
}

#[test]
fn what_to_send_comes_in_order_and_in_bounded_pieces() {
    let mut c = cast();
    let changes: Vec<_> = (0..40).map(|_| c.doctor.does(&mut c.room, say("twelve bytes"))).collect();
    let one = changes[0].encoded_len();
    assert!(changes[0].to_bytes().len() <= one);
    let (piece, more) = c.room.changes_not_ancestors_of(&[changes[9].hash()], 10 * one + 64);
    assert!(more && (8..=10).contains(&piece.len()), "{}", piece.len());
    assert_eq!(piece[..], changes[10..10 + piece.len()]);
    let (piece, more) = c.room.changes_not_ancestors_of(&[], 1);
    assert_eq!((piece, more), (changes[..1].to_vec(), true));
    let (piece, more) = c.room.changes_not_ancestors_of(&c.room.heads(), usize::MAX);
    assert!(piece.is_empty() && !more);
    let sample = c.room.sample_ancestors(64);
    let expected: Vec<_> = [1, 2, 4, 8, 16, 32].into_iter().map(|back| changes[40 - back].hash()).collect();
    assert_eq!(sample[..6], expected);
    assert_eq!(sample[6..], copy(&cast().room).heads());
    assert_eq!(c.room.sample_ancestors(3).len(), 3);
    assert_eq!(c.room.changes(&[changes[3].hash()]), changes[3..4]);
}

#[test]
fn only_the_owner_changes_members() {
    let mut c = cast();
    let new = Person::new(8);
    let invited = c.room.invite(&c.doctor.identity, new.member(Role::Clinician), at(2_000));
    assert_eq!(invited, Err(RoomError::NotTheOwner));
    assert_eq!(c.room.remove(&c.owner.identity, &new.id(), at(2_000)), Err(RoomError::NoMember(new.id())));
    let own = c.owner.id();
    assert_eq!(c.room.remove(&c.owner.identity, &own, at(2_000)), Err(RoomError::NoMember(own)));
    assert!(matches!(
        c.room.invite(&c.owner.identity, new.member(Role::Owner), at(2_000)),
        Err(RoomError::Epoch(_))
    ));
    c.room.invite(&c.owner.identity, new.member(Role::Clinician), at(2_000)).unwrap();
    assert_eq!(
        c.room.invite(&c.owner.identity, new.member(Role::Clinician), at(2_000)),
        Err(RoomError::Unchanged)
    );
    new.does(&mut c.room, note("new here"));
    assert_eq!(c.room.view().members.len(), 5);
}

#[test]
fn two_rooms_of_one_charter_are_one_only_if_founded_alike() {
    let c = cast();
    let same = cast();
    assert_eq!(c.room.id(), same.room.id());
    let later = Room::create(&c.owner.identity, charter(), vec![], at(2_000)).unwrap();
    assert_ne!(later.id(), c.room.id());
    assert_ne!(later.heads(), c.room.heads());
}

#[test]
fn debug_shows_no_words() {
    let mut c = cast();
    let change = c.doctor.does(&mut c.room, pin("sekret"));
    c.doctor.does(&mut c.room, note("sekret"));
    c.doctor.does(&mut c.room, say("sekret"));
    let text = format!("{:?} {:?} {:?} {change:?}", c.room, c.room.view(), pin("sekret"));
    assert!(!text.contains("sekret") && !text.contains("Ward"), "{text}");
}

#[test]
fn changes_taken_one_by_one_at_once_and_when_a_room_is_opened_make_the_same_room() {
    let mut c = cast();
    let changes: Vec<_> = (0..200).map(|n| c.doctor.does(&mut c.room, pin(&format!("pin {n}")))).collect();
    let certificates = c.room.certificates();
    let (mut one_by_one, mut at_once) = (copy(&cast().room), copy(&cast().room));
    for change in changes.clone() {
        one_by_one.receive(vec![change], &certificates, at(0));
    }
    at_once.receive(changes.clone(), &certificates, at(0));
    let opened =
        Room::open(c.room.epochs().entries_from(0), certificates, changes.into_iter(), Trust::Checked);
    let view = opened.unwrap().view();
    assert_eq!(view.annotations.len(), 200);
    assert_eq!(view, one_by_one.view());
    assert_eq!(view, at_once.view());
}
