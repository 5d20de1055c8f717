//! What a copy refuses, whoever sends it.

use automerge::transaction::{CommitOptions, Transactable, Transaction};
use automerge::{ActorId, Automerge, ObjId, ObjType, ROOT, ReadDoc, ScalarValue};

use crate::cast::{Cast, Person, at, cast, charter, copy, note, pin, pull, say};
use crate::change::{actor, terms};
use crate::room::document;
use crate::{EntryId, MAX_OPERATIONS, MAX_TEXT_BYTES, Pose, Refusal, Role, Room, RoomCommand, SignedChange};

/// What a changed program could send: any operations at all, correctly signed.
pub(super) fn forge(
    room: &Room,
    who: &Person,
    epoch: u64,
    session: u64,
    edit: impl FnOnce(&mut Transaction<'_>),
) -> SignedChange {
    let device = who.device.id();
    let raw = raw_change(
        room.document.fork(),
        &actor(&device, &room.id(), session),
        &terms(&room.id(), epoch, &who.certificate.digest(), session),
        edit,
    );
    SignedChange::sign(room.id(), epoch, session, &who.author(), raw).unwrap()
}

fn raw_change(
    mut doc: Automerge,
    actor: &[u8; 16],
    terms: &str,
    edit: impl FnOnce(&mut Transaction<'_>),
) -> Vec<u8> {
    doc.set_actor(ActorId::from(actor));
    let mut transaction = doc.transaction();
    edit(&mut transaction);
    transaction.commit_with(CommitOptions::default().with_time(5_000).with_message(terms));
    doc.get_last_local_change().unwrap().raw_bytes().to_vec()
}

/// What a copy says to a change.
fn verdict(room: &Room, who: &Person, change: SignedChange) -> Result<(), Refusal> {
    let mut room = copy(room);
    let before = room.view();
    let received = room.receive(vec![change], std::slice::from_ref(&who.certificate), at(0));
    assert_eq!(received.waiting, 0);
    match received.refused[..] {
        [] => Ok(()),
        [(_, refusal)] => {
            assert!(received.accepted.is_empty() && received.events.is_empty());
            assert_eq!(room.view(), before, "what is refused leaves no trace");
            Err(refusal)
        }
        _ => panic!("{received:?}"),
    }
}

fn forged(c: &Cast, who: &Person, edit: impl FnOnce(&mut Transaction<'_>)) -> Result<(), Refusal> {
    verdict(&c.room, who, forge(&c.room, who, 0, 1, edit))
}

fn section(transaction: &Transaction<'_>, name: &str) -> ObjId {
    transaction.get(ROOT, name).unwrap().unwrap().1
}

/// Makes an entry as an honest program would.
fn make(transaction: &mut Transaction<'_>, section_name: &str, name: &str) -> ObjId {
    let section = section(transaction, section_name);
    transaction.put_object(section, name, ObjType::Map).unwrap()
}

/// The name of the entry that `who` makes with their next operation.
fn next_name(room: &Room, who: &Person) -> String {
    EntryId::of(&actor(&who.device.id(), &room.id(), 1), next_counter(room)).to_string()
}

fn pinned(c: &mut Cast) -> ObjId {
    c.owner.does(&mut c.room, pin("by the owner"));
    let doc = c.room.document.fork();
    let annotations = doc.get(ROOT, "annotations").unwrap().unwrap().1;
    let name = c.room.view().annotations[0].id.to_string();
    doc.get(annotations, name).unwrap().unwrap().1
}

fn pose() -> ScalarValue {
    ScalarValue::Bytes(Pose::at(0.0, 1.0, 0.0).unwrap().to_bytes())
}

#[test]
fn an_honest_forgery_is_accepted() {
    let c = cast();
    let name = next_name(&c.room, &c.doctor);
    let accepted = forged(&c, &c.doctor, |t| {
        let entry = make(t, "annotations", &name);
        t.put(&entry, "text", "words").unwrap();
        t.put(&entry, "pose", pose()).unwrap();
    });
    assert_eq!(accepted, Ok(()));
}

#[test]
fn the_root_and_the_schema_are_nobodys() {
    let c = cast();
    assert_eq!(forged(&c, &c.owner, |t| t.put(ROOT, "members", 1).unwrap()), Err(Refusal::Target));
    assert_eq!(forged(&c, &c.owner, |t| t.delete(ROOT, "notes").unwrap()), Err(Refusal::Target));
    let replaced = forged(&c, &c.owner, |t| {
        t.put_object(ROOT, "annotations", ObjType::Map).unwrap();
    });
    assert_eq!(replaced, Err(Refusal::Target));
    let schema = forged(&c, &c.owner, |t| {
        let schema = section(t, "schema");
        t.put(schema, "version", 2).unwrap();
    });
    assert_eq!(schema, Err(Refusal::Target));
}

#[test]
fn entries_are_named_by_their_maker_and_whole() {
    let c = cast();
    let name = next_name(&c.room, &c.doctor);
    let with = |edit: &dyn Fn(&mut Transaction<'_>)| forged(&c, &c.doctor, edit);
    let other_name = with(&|t| {
        let entry = make(t, "chat", "anything");
        t.put(&entry, "text", "x").unwrap();
    });
    assert_eq!(other_name, Err(Refusal::Target));
    let scalar = with(&|t| {
        let chat = section(t, "chat");
        t.put(chat, name.as_str(), "x").unwrap();
    });
    assert_eq!(scalar, Err(Refusal::Target));
    let list = with(&|t| {
        let chat = section(t, "chat");
        let list = t.put_object(chat, name.as_str(), ObjType::List).unwrap();
        t.insert(&list, 0, "x").unwrap();
    });
    assert_eq!(list, Err(Refusal::Target));
    let long_text = with(&|t| {
        let chat = section(t, "chat");
        t.put_object(chat, name.as_str(), ObjType::Text).unwrap();
    });
    assert_eq!(long_text, Err(Refusal::Target));
    let nested = with(&|t| {
        let entry = make(t, "chat", &name);
        t.put(&entry, "text", "x").unwrap();
        t.put_object(&entry, "more", ObjType::Map).unwrap();
    });
    assert_eq!(nested, Err(Refusal::Target));
    assert_eq!(with(&|t| drop(make(t, "chat", &name))), Err(Refusal::Malformed));
    let no_pose = with(&|t| {
        let entry = make(t, "annotations", &name);
        t.put(&entry, "text", "x").unwrap();
    });
    assert_eq!(no_pose, Err(Refusal::Malformed));
    let born_removed = with(&|t| {
        let entry = make(t, "notes", &name);
        t.put(&entry, "text", "x").unwrap();
        t.put(&entry, "removed", true).unwrap();
    });
    assert_eq!(born_removed, Err(Refusal::Target));
}

#[test]
fn values_stay_within_their_limits() {
    let mut c = cast();
    let entry = pinned(&mut c);
    let put = |key: &str, value: ScalarValue| forged(&c, &c.doctor, |t| t.put(&entry, key, value).unwrap());
    let text = |length| ScalarValue::Str("x".repeat(length).into());
    assert_eq!(put("text", text(MAX_TEXT_BYTES)), Ok(()));
    assert_eq!(put("pose", pose()), Ok(()));
    assert_eq!(put("removed", ScalarValue::Boolean(true)), Ok(()));
    for wrong in [text(MAX_TEXT_BYTES + 1), text(0), "\u{1b}[2J".into(), ScalarValue::Int(3), pose()] {
        assert_eq!(put("text", wrong), Err(Refusal::Value));
    }
    let far = [f32::INFINITY, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0];
    let far = ScalarValue::Bytes(far.iter().flat_map(|c: &f32| c.to_le_bytes()).collect());
    for wrong in [far, ScalarValue::Bytes(vec![0; 28]), ScalarValue::Bytes(vec![]), text(28)] {
        assert_eq!(put("pose", wrong), Err(Refusal::Value));
    }
    assert_eq!(put("removed", ScalarValue::Boolean(false)), Err(Refusal::Value));
    assert_eq!(put("author", text(3)), Err(Refusal::Target));
    assert_eq!(put("anchor", "desk".into()), Err(Refusal::Target), "set once");
    assert_eq!(forged(&c, &c.doctor, |t| t.delete(&entry, "text").unwrap()), Err(Refusal::Target));
    let counter = forged(&c, &c.doctor, |t| {
        t.put(&entry, "text", ScalarValue::counter(1)).unwrap();
        t.increment(&entry, "text", 2).unwrap();
    });
    assert_eq!(counter, Err(Refusal::Value));
}

#[test]
fn a_role_is_enforced_by_every_receiver() {
    let mut c = cast();
    let entry = pinned(&mut c);
    let edit = |t: &mut Transaction<'_>| t.put(&entry, "text", "mine").unwrap();
    assert_eq!(forged(&c, &c.doctor, edit), Ok(()));
    assert_eq!(forged(&c, &c.patient, edit), Err(Refusal::NotOwn));
    assert_eq!(forged(&c, &c.visitor, edit), Err(Refusal::ReadOnly));
    assert_eq!(forged(&c, &Person::new(50), edit), Err(Refusal::NotAMember));
    let name = next_name(&c.room, &c.patient);
    let care_note = |t: &mut Transaction<'_>| {
        let entry = make(t, "notes", &name);
        t.put(&entry, "text", "words").unwrap();
    };
    assert_eq!(forged(&c, &c.patient, care_note), Err(Refusal::Section));
}

#[test]
fn what_was_said_cannot_be_changed() {
    let mut c = cast();
    c.doctor.does(&mut c.room, say("yes"));
    let doc = c.room.document.fork();
    let chat = doc.get(ROOT, "chat").unwrap().unwrap().1;
    let line = doc.get(chat, c.room.view().chat[0].id.to_string()).unwrap().unwrap().1;
    for who in [&c.owner, &c.doctor, &c.patient] {
        let edited = forged(&c, who, |t| t.put(&line, "text", "no").unwrap());
        assert_eq!(edited, Err(Refusal::Target));
    }
}

#[test]
fn another_devices_name_does_not_help() {
    let c = cast();
    let room = c.room.id();
    let words = say("x");
    let line = c.doctor.does(&mut copy(&c.room), words);
    // The doctor's change under the patient's signature, certificate or both.
    let raw = line.change().to_vec();
    let stolen = SignedChange::sign(room, 0, 1, &c.patient.author(), raw.clone()).unwrap();
    assert_eq!(verdict(&c.room, &c.patient, stolen), Err(Refusal::Actor));
    let borrowed = crate::Author { device: &c.patient.device, certificate: &c.doctor.certificate };
    let borrowed = SignedChange::sign(room, 0, 1, &borrowed, raw.clone()).unwrap();
    assert_eq!(verdict(&c.room, &c.doctor, borrowed), Err(Refusal::Certificate));
    assert_eq!(verdict(&c.room, &c.patient, line.clone()), Err(Refusal::Certificate), "certificate not sent");
    // The same bytes for another epoch, session or room.
    let session = SignedChange::sign(room, 0, 2, &c.doctor.author(), raw.clone()).unwrap();
    assert_eq!(verdict(&c.room, &c.doctor, session), Err(Refusal::Actor));
    let mut nothing_done = document::expand(&raw).unwrap();
    nothing_done.operations.clear();
    let nothing_done = automerge::Change::from(nothing_done).raw_bytes().to_vec();
    let nothing_done = SignedChange::sign(room, 0, 1, &c.doctor.author(), nothing_done).unwrap();
    assert_eq!(verdict(&c.room, &c.doctor, nothing_done), Err(Refusal::Malformed));
    let other =
        Room::create(&c.owner.identity, charter(), vec![c.doctor.member(Role::Clinician)], at(77)).unwrap();
    assert_eq!(verdict(&other, &c.doctor, line.clone()), Err(Refusal::WrongRoom));
    let again = SignedChange::sign(other.id(), 0, 1, &c.doctor.author(), raw).unwrap();
    assert_eq!(verdict(&other, &c.doctor, again), Err(Refusal::Actor));
    assert_eq!(verdict(&c.room, &c.doctor, line), Ok(()));
}

#[test]
fn a_changed_byte_is_refused() {
    let c = cast();
    let honest = c.doctor.does(&mut copy(&c.room), say("take 5 mg"));
    let bytes = honest.to_bytes();
    let mut refused = 0;
    for place in 0..bytes.len() {
        let mut changed = bytes.clone();
        changed[place] ^= 1;
        if let Ok(change) = SignedChange::from_bytes(&changed) {
            let mut room = copy(&c.room);
            let received = room.receive(vec![change], std::slice::from_ref(&c.doctor.certificate), at(0));
            assert!(received.accepted.is_empty(), "byte {place}");
            refused += 1;
        }
    }
    assert!(refused > 100, "most changed messages decode");
    let at_signature = bytes.len() - 10;
    let mut changed = bytes.clone();
    changed[at_signature] ^= 1;
    let changed = SignedChange::from_bytes(&changed).unwrap();
    assert_eq!(verdict(&c.room, &c.doctor, changed), Err(Refusal::Signature));
    for length in 0..bytes.len() {
        assert!(SignedChange::from_bytes(&bytes[..length]).is_err());
    }
}

#[test]
fn an_epoch_in_the_future_is_waited_for_and_one_of_the_past_refused() {
    let mut c = cast();
    let mut behind = copy(&c.room);
    let new = Person::new(9);
    c.room.invite(&c.owner.identity, new.member(Role::Clinician), at(2_000)).unwrap();
    let change = new.does(&mut c.room, note("hello"));
    let received = behind.receive(vec![change.clone()], std::slice::from_ref(&new.certificate), at(0));
    assert_eq!((received.waiting, received.accepted.len(), received.refused.len()), (1, 0, 0));
    behind.add_epoch(c.room.epochs().entries_from(1)[0].clone()).unwrap();
    assert_eq!(behind.receive(vec![], &[], at(0)).accepted, [change]);
    assert_eq!(behind.view(), c.room.view());

    let name = next_name(&c.room, &c.doctor);
    let older = forge(&c.room, &c.doctor, 0, 1, |t| {
        let entry = make(t, "chat", &name);
        t.put(&entry, "text", "backdated").unwrap();
    });
    assert_eq!(verdict(&c.room, &c.doctor, older), Err(Refusal::OlderEpoch));
}

#[test]
fn numbers_follow_what_a_change_builds_on() {
    let mut c = cast();
    let first = copy(&c.room);
    c.doctor.does(&mut c.room, say("one"));
    c.doctor.does(&mut c.room, say("two"));
    // Number three, built on nothing: automerge would number it one, so a fresh copy is made to count on.
    let mut ahead = copy(&c.room);
    let third = c.doctor.does(&mut ahead, say("three"));
    let mut expanded = document::expand(third.change()).unwrap();
    let resign = |expanded: automerge::ExpandedChange| {
        let raw = automerge::Change::from(expanded).raw_bytes().to_vec();
        SignedChange::sign(c.room.id(), 0, 1, &c.doctor.author(), raw).unwrap()
    };
    expanded.deps = vec![automerge::ChangeHash(*first.heads()[0].as_bytes())];
    assert_eq!(verdict(&c.room, &c.doctor, resign(expanded.clone())), Err(Refusal::Sequence));
    expanded.deps = vec![];
    assert_eq!(verdict(&c.room, &c.doctor, resign(expanded.clone())), Err(Refusal::Sequence));
    expanded.deps = third_deps(&third);
    expanded.start_op = (u64::from(u32::MAX) - 4).try_into().unwrap();
    assert_eq!(verdict(&c.room, &c.doctor, resign(expanded.clone())), Err(Refusal::Sequence));
    expanded.start_op = third_start(&third);
    expanded.seq = 4;
    assert_eq!(verdict(&c.room, &c.doctor, resign(expanded.clone())), Err(Refusal::Sequence));
    expanded.seq = 3;
    assert_eq!(verdict(&c.room, &c.doctor, resign(expanded.clone())), Ok(()));
    expanded.deps.push(expanded.deps[0]);
    assert_eq!(verdict(&c.room, &c.doctor, resign(expanded.clone())), Err(Refusal::Sequence));
    expanded.deps.pop();
    expanded.message = None;
    assert_eq!(verdict(&c.room, &c.doctor, resign(expanded)), Err(Refusal::Malformed));
}

fn third_deps(change: &SignedChange) -> Vec<automerge::ChangeHash> {
    document::expand(change.change()).unwrap().deps
}

fn third_start(change: &SignedChange) -> std::num::NonZeroU64 {
    document::expand(change.change()).unwrap().start_op
}

#[test]
fn what_is_replaced_lies_in_the_past_and_in_the_same_field() {
    use automerge::legacy::OpId;
    let mut c = cast();
    c.owner.does(&mut c.room, note("a"));
    c.owner.does(&mut c.room, note("b"));
    let view = c.room.view();
    let edit = RoomCommand::EditNote { id: view.notes[0].id, text: "c".into() };
    let mut concurrent = copy(&c.room);
    let unseen = c.owner.does(&mut concurrent, edit.clone());
    let change = c.doctor.does(&mut copy(&c.room), edit);
    let expanded = document::expand(change.change()).unwrap();
    let mut with_both = copy(&c.room);
    pull(&mut with_both, &concurrent);
    let tries = |pred: Vec<OpId>| {
        let mut expanded = expanded.clone();
        expanded.operations[0].pred = pred.into();
        let raw = automerge::Change::from(expanded).raw_bytes().to_vec();
        let change = SignedChange::sign(c.room.id(), 0, 1, &c.doctor.author(), raw).unwrap();
        verdict(&with_both, &c.doctor, change)
    };
    let honest: Vec<OpId> = expanded.operations[0].pred.iter().cloned().collect();
    assert_eq!(tries(honest.clone()), Ok(()));
    assert_eq!(tries(vec![]), Ok(()), "a conflict with oneself harms nobody");
    assert_eq!(tries([honest.clone(), honest.clone()].concat()), Err(Refusal::Target));
    let of_other_note = OpId(honest[0].0 + 2, honest[0].1.clone());
    assert_eq!(tries(vec![of_other_note]), Err(Refusal::Target));
    let makes_note = OpId(honest[0].0 - 1, honest[0].1.clone());
    assert_eq!(tries(vec![makes_note]), Err(Refusal::Target));
    let nothing = OpId(9_999, honest[0].1.clone());
    assert_eq!(tries(vec![nothing]), Err(Refusal::Target));
    let unseen = document::expand(unseen.change()).unwrap();
    let unseen = OpId(unseen.start_op.get(), unseen.actor_id);
    assert_eq!(tries(vec![unseen]), Err(Refusal::Target), "known here, but not in its past");
}

#[test]
fn many_operations_and_compressed_changes_are_refused() {
    let c = cast();
    let id = c.room.id();
    let actor = actor(&c.doctor.device.id(), &id, 1);
    let terms = terms(&id, 0, &c.doctor.certificate.digest(), 1);
    let many = |count: usize| {
        raw_change(c.room.document.fork(), &actor, &terms, |t| {
            let list = t.put_object(ROOT, "x", ObjType::List).unwrap();
            (0..count - 1).for_each(|index| t.insert(&list, index, 7).unwrap());
        })
    };
    let signed = |raw| SignedChange::sign(id, 0, 1, &c.doctor.author(), raw).unwrap();
    assert_eq!(verdict(&c.room, &c.doctor, signed(many(MAX_OPERATIONS))), Err(Refusal::Target));
    assert_eq!(
        verdict(&c.room, &c.doctor, signed(many(MAX_OPERATIONS + 1))),
        Err(Refusal::TooManyOperations)
    );
    let mut change = automerge::Change::try_from(&many(900)[..]).unwrap();
    let compressed = change.bytes().into_owned();
    assert_eq!(compressed[8], 2, "automerge compresses this");
    assert_eq!(verdict(&c.room, &c.doctor, signed(compressed)), Err(Refusal::Compressed));
    let document = c.room.document.fork().save_nocompress();
    assert_eq!(verdict(&c.room, &c.doctor, signed(document)), Err(Refusal::Compressed));
}

#[test]
fn a_failure_of_automerge_harms_nothing() {
    let mut c = cast();
    let change = c.doctor.does(&mut c.room, note("kept"));
    let view = c.room.view();
    // Past all checks, to automerge itself: a change that lacks what it builds on, and bytes that are none.
    let mut empty = copy(&cast().room);
    let second = c.doctor.does(&mut c.room, note("second"));
    assert!(empty.document.apply(std::iter::once(second.change())).is_err());
    assert!(empty.document.apply(std::iter::once(&[0_u8; 40][..])).is_err());
    assert!(empty.rebuild());
    let received = empty.receive(vec![change], std::slice::from_ref(&c.doctor.certificate), at(0));
    assert_eq!(received.accepted.len(), 1);
    assert_eq!(empty.view(), view);
    // What automerge cannot apply is barred, with what builds on it, and the rest stays.
    c.patient.does(&mut c.room, say("on top"));
    c.room.broken.insert(second.hash());
    c.room.remove(&c.owner.identity, &c.visitor.id(), at(2_000)).unwrap();
    assert_eq!(c.room.view().notes, view.notes);
    assert!(c.room.view().chat.is_empty());
    c.patient.does(&mut c.room, say("in its place"));
    assert_eq!((c.room.len(), c.room.view().chat.len()), (2, 1));
}

fn next_counter(room: &Room) -> u64 {
    let heads: Vec<_> = room.heads().iter().filter_map(|head| room.ledger.place(head)).collect();
    room.ledger.next_counter(&heads)
}
