//! Pairings that end well, and every way in which they must not.

mod guesses;
use proptest::prelude::*;
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::SeedableRng;

use super::*;
use crate::codec;
use crate::identity::{DeviceKey, IdentityKey, IdentityKind, SealIdentity};

const START: Timestamp = Timestamp::from_millis(1_750_000_000_000);
const CODE: &str = "17-orbit-velvet";

fn after(seconds: u64) -> Timestamp {
    START.plus(Duration::from_secs(seconds))
}

fn party(seed: u8, name: &str) -> (DeviceId, DeviceCard) {
    card_until(seed, name, after(86_400))
}

fn card_until(seed: u8, name: &str, not_after: Timestamp) -> (DeviceId, DeviceCard) {
    let (identity, device) = (IdentityKey::from_seed([seed; 32]), DeviceKey::from_seed([seed + 1; 32]));
    let certificate = identity.sign(&DeviceCertificate {
        version: 1,
        identity: identity.id(),
        kind: IdentityKind::Clinic,
        name: name.into(),
        device: device.id(),
        device_name: "desk".into(),
        recipient: SealIdentity::generate().recipient(),
        epoch: 1,
        issued: Timestamp::from_millis(0),
        not_after,
    });
    let card = DeviceCard {
        certificate,
        addresses: vec![format!("/ip4/192.0.2.{seed}/tcp/4001")],
        blob_addresses: vec![format!("192.0.2.{seed}:4002")],
    };
    (device.id(), card)
}

fn code(text: &str) -> PairingCode {
    text.parse().expect("a code")
}

fn by_code(text: &str) -> Secret {
    Secret::Code(code(text))
}

/// Two parties, a clock and a wire that a test may interfere with.
struct Meeting {
    rng: ChaCha20Rng,
    now: Timestamp,
    offering: DeviceId,
    accepting: DeviceId,
    offer: Pairing,
    /// What the offering person answers.
    confirm: Option<bool>,
}

/// What one run came to.
#[derive(Default)]
struct Outcome {
    offer: Vec<PairingEffect>,
    accept: Vec<PairingEffect>,
    frames: Vec<Vec<u8>>,
}

impl Meeting {
    fn new(seed: u64) -> Self {
        let mut rng = ChaCha20Rng::seed_from_u64(seed);
        let (offering, card) = party(10, "Praxis am Fluss");
        let terms = OfferTerms {
            code: code(CODE),
            right: Right::Contact,
            device: offering,
            card,
            expires: START.plus(OFFER_LIFETIME),
        };
        let offer = Pairing::offer(&mut rng, terms);
        Self { rng, now: START, offering, accepting: party(20, "Ada").0, offer, confirm: Some(true) }
    }

    fn ticket(&self) -> Ticket {
        self.offer.ticket().expect("an offer has a ticket")
    }

    fn offer_gets(&mut self, input: PairingInput) -> Vec<PairingEffect> {
        self.offer.handle(self.now, &mut self.rng, input)
    }

    fn run(&mut self, secret: Secret) -> Outcome {
        let (_, card) = party(20, "Ada");
        self.run_with(secret, card, |_, _| ())
    }

    /// Runs to the end; `tamper` sees each frame, numbered from 0, on its way.
    fn run_with(
        &mut self,
        secret: Secret,
        card: DeviceCard,
        mut tamper: impl FnMut(usize, &mut Vec<u8>),
    ) -> Outcome {
        let mut accept = Pairing::accept(secret, self.accepting, card);
        let mut outcome = Outcome::default();
        let peer = self.accepting;
        outcome.offer = self.offer_gets(PairingInput::Started { peer });
        let peer = self.offering;
        outcome.accept = accept.handle(self.now, &mut self.rng, PairingInput::Started { peer });
        let (mut seen_offer, mut seen_accept) = (0, 0);
        loop {
            let mut quiet = true;
            while seen_accept < outcome.accept.len() {
                if let PairingEffect::Send(frame) = &outcome.accept[seen_accept] {
                    let mut frame = frame.clone();
                    tamper(outcome.frames.len(), &mut frame);
                    outcome.frames.push(frame.clone());
                    outcome.offer.extend(self.offer_gets(PairingInput::Message(frame)));
                }
                (seen_accept, quiet) = (seen_accept + 1, false);
            }
            while seen_offer < outcome.offer.len() {
                let effects = match (&outcome.offer[seen_offer], self.confirm) {
                    (PairingEffect::Send(frame), _) => {
                        let mut frame = frame.clone();
                        tamper(outcome.frames.len(), &mut frame);
                        outcome.frames.push(frame.clone());
                        let input = PairingInput::Message(frame);
                        outcome.accept.extend(accept.handle(self.now, &mut self.rng, input));
                        Vec::new()
                    }
                    // A person says yes only to digits that the other screen shows too.
                    (PairingEffect::AskConfirm, Some(yes)) => {
                        let same = check_of(&outcome.accept) == check_of(&outcome.offer);
                        if same { self.offer_gets(PairingInput::Confirm(yes)) } else { Vec::new() }
                    }
                    _ => Vec::new(),
                };
                outcome.offer.extend(effects);
                (seen_offer, quiet) = (seen_offer + 1, false);
            }
            if quiet {
                break;
            }
        }
        outcome.offer.extend(self.offer_gets(PairingInput::PeerGone));
        outcome.accept.extend(accept.handle(self.now, &mut self.rng, PairingInput::PeerGone));
        outcome
    }
}

fn check_of(effects: &[PairingEffect]) -> Option<&str> {
    effects.iter().find_map(|effect| match effect {
        PairingEffect::ShowCheck { check, .. } => Some(check.as_str()),
        _ => None,
    })
}

fn paired(effects: &[PairingEffect]) -> Option<&DeviceCertificate> {
    effects.iter().find_map(|effect| match effect {
        PairingEffect::Paired { certificate, .. } => Some(certificate),
        _ => None,
    })
}

fn failure(effects: &[PairingEffect]) -> Option<(PairingFailure, bool)> {
    effects.iter().find_map(|effect| match effect {
        PairingEffect::Failed { reason, burned } => Some((reason.clone(), *burned)),
        _ => None,
    })
}

fn check_paired(outcome: &Outcome) {
    assert_eq!(paired(&outcome.offer).expect("offer paired").name, "Ada");
    assert_eq!(paired(&outcome.accept).expect("accept paired").name, "Praxis am Fluss");
    let check = check_of(&outcome.offer).expect("shown");
    assert_eq!(check_of(&outcome.accept), Some(check));
    assert!(check.len() == 6 && check.bytes().all(|b| b.is_ascii_digit()));
    assert!(outcome.frames.iter().all(|frame| frame.len() <= MAX_PAIRING_FRAME_BYTES));
}

fn check_unpaired(outcome: &Outcome) {
    assert!(paired(&outcome.offer).is_none() && paired(&outcome.accept).is_none());
}

#[test]
fn the_right_code_and_the_right_ticket_pair() {
    let mut meeting = Meeting::new(1);
    assert_eq!(meeting.offer.code().map(ToString::to_string).as_deref(), Some(CODE));
    check_paired(&meeting.run(by_code("17 ORBIT velvet")));
    let mut meeting = Meeting::new(2);
    let ticket = meeting.ticket().to_string().parse().expect("reads back");
    check_paired(&meeting.run(Secret::Ticket(ticket)));
}

#[test]
fn a_wrong_code_tells_nothing_but_that_it_is_wrong() {
    let mut meeting = Meeting::new(3);
    for wrong in ["17-orbit-vendor", "18-orbit-velvet"] {
        let outcome = meeting.run(by_code(wrong));
        check_unpaired(&outcome);
        assert_eq!(failure(&outcome.accept), Some((PairingFailure::WrongCode, false)));
        assert_eq!(failure(&outcome.offer), Some((PairingFailure::WrongCode, false)));
        assert_eq!(check_of(&outcome.offer), None);
    }
    check_paired(&meeting.run(by_code(CODE)));
}

#[test]
fn three_wrong_runs_burn_the_offer() {
    let mut meeting = Meeting::new(4);
    for last in [false, false, true] {
        assert!(!meeting.offer.is_over());
        let outcome = meeting.run(by_code("17-orbit-vendor"));
        assert_eq!(failure(&outcome.offer), Some((PairingFailure::WrongCode, last)));
    }
    let outcome = meeting.run(by_code(CODE));
    check_unpaired(&outcome);
    assert_eq!(failure(&outcome.offer), Some((PairingFailure::Burned, true)));
    assert_eq!(failure(&outcome.accept), Some((PairingFailure::Burned, true)));
    let ticket = meeting.ticket();
    check_unpaired(&meeting.run(Secret::Ticket(ticket)));
}

#[test]
fn a_run_that_breaks_off_has_counted_as_a_try() {
    let mut meeting = Meeting::new(5);
    let peer = meeting.accepting;
    for last in [false, false, true] {
        assert_eq!(meeting.offer_gets(PairingInput::Started { peer }), vec![]);
        let gone = meeting.offer_gets(PairingInput::PeerGone);
        assert_eq!(gone, vec![PairingEffect::Failed { reason: PairingFailure::PeerGone, burned: last }]);
    }
    assert!(meeting.offer.is_over());
}

#[test]
fn a_used_offer_refuses_a_replay() {
    let mut meeting = Meeting::new(6);
    let ticket = meeting.ticket();
    let first = meeting.run(Secret::Ticket(ticket.clone()));
    check_paired(&first);
    let again = meeting.run(Secret::Ticket(ticket));
    check_unpaired(&again);
    assert_eq!(failure(&again.offer), Some((PairingFailure::AlreadyUsed, true)));
    assert_eq!(failure(&again.accept), Some((PairingFailure::AlreadyUsed, true)));
    for frame in first.frames {
        assert_eq!(meeting.offer_gets(PairingInput::Message(frame)), vec![], "no run is open");
    }
}

#[test]
fn recorded_frames_do_not_pair_with_another_offer() {
    let recorded = Meeting::new(7).run(by_code(CODE)).frames;
    let mut meeting = Meeting::new(8);
    let peer = meeting.accepting;
    meeting.offer_gets(PairingInput::Started { peer });
    let mut effects = Vec::new();
    for frame in recorded {
        effects.extend(meeting.offer_gets(PairingInput::Message(frame)));
    }
    assert!(paired(&effects).is_none());
    assert_eq!(failure(&effects), Some((PairingFailure::Malformed, false)));
}

#[test]
fn an_edited_ticket_never_pairs() {
    let check = |edit: fn(&mut Ticket), expected| {
        let mut meeting = Meeting::new(9);
        let mut ticket = meeting.ticket();
        edit(&mut ticket);
        // The edit comes with a right checksum.
        let ticket = ticket.to_string().parse().expect("reads back");
        let outcome = meeting.run(Secret::Ticket(ticket));
        check_unpaired(&outcome);
        assert_eq!(failure(&outcome.accept).map(|(reason, _)| reason), Some(expected));
    };
    check(|t| t.terms.expires = after(90_000), PairingFailure::WrongCode);
    check(|t| t.terms.expires = after(1), PairingFailure::WrongCode);
    check(|t| t.device = DeviceId::from_bytes([3; 32]), PairingFailure::WrongDevice);
    check(|t| t.secret[0] ^= 1, PairingFailure::WrongCode);
}

#[test]
fn terms_and_devices_are_bound_into_the_keys() {
    use transcript::{Cards, Handle, Session, Side, Terms, Transcript, spake};
    let confirmation = |accepting: u8, offering: u8, expires: u64, nameplate: u8| {
        let mut rng = ChaCha20Rng::seed_from_u64(1);
        let (state, spake_accepting) = spake(Side::Accepting, &[1; 32], &mut rng);
        let (_, spake_offering) = spake(Side::Offering, &[1; 32], &mut rng);
        let (direction, right) = (Direction::AddsAccepting, Right::Contact);
        let transcript = Transcript {
            accepting: DeviceId::from_bytes([accepting; 32]),
            offering: DeviceId::from_bytes([offering; 32]),
            terms: Terms { direction, right, expires: after(expires) },
            handle: Handle::Nameplate(nameplate),
            commitment: &[3; 32],
            nonce: &[4; 16],
            spake_accepting: &spake_accepting,
            spake_offering: &spake_offering,
        };
        let session = Session::new(state, &spake_offering, &transcript).expect("a valid point");
        let cards = Cards { accepting: [5; 32], offering: [6; 32] };
        session.confirmation(Side::Accepting, &cards)
    };
    let told = confirmation(1, 2, 600, 17);
    assert_eq!(told, confirmation(1, 2, 600, 17));
    for other in [
        confirmation(9, 2, 600, 17),
        confirmation(1, 9, 600, 17),
        confirmation(2, 1, 600, 17),
        confirmation(1, 2, 601, 17),
        confirmation(1, 2, 600, 18),
    ] {
        assert_ne!(told, other);
    }
}

#[test]
fn someone_in_the_middle_who_overheard_the_code_shows_another_check() {
    for seed in 0..20 {
        let (mut offered, mut forged) = (Meeting::new(seed), Meeting::new(1000 + seed));
        let (with_offer, with_accept) = (offered.run(by_code(CODE)), forged.run(by_code(CODE)));
        assert_ne!(check_of(&with_offer.offer), check_of(&with_accept.accept));
    }
}

#[test]
fn a_nonce_that_was_not_committed_to_is_refused() {
    use transcript::{Handle, NONCE_BYTES, Session, Side, Transcript, commit, spake};
    for honest in [true, false] {
        let mut meeting = Meeting::new(26);
        let peer = meeting.accepting;
        meeting.offer_gets(PairingInput::Started { peer });
        let (state, spake) = spake(Side::Accepting, &code(CODE).password(), &mut meeting.rng);
        let (committed, handle) = ([7; NONCE_BYTES], Handle::Nameplate(17));
        let commitment = serde_bytes::ByteArray::new(commit(&committed));
        let start = Message::Start(wire::Start { version: 1, handle, commitment, spake });
        let effects = meeting.offer_gets(PairingInput::Message(start.encode()));
        let [PairingEffect::Send(reply), PairingEffect::Send(_)] = effects.as_slice() else {
            panic!("reply and card, not {effects:?}");
        };
        let Ok(Message::Reply(reply)) = Message::decode(reply) else { panic!("a reply") };
        let transcript = Transcript {
            accepting: meeting.accepting,
            offering: meeting.offering,
            terms: reply.terms,
            handle,
            commitment: &commitment,
            nonce: &reply.nonce,
            spake_accepting: &spake,
            spake_offering: &reply.spake,
        };
        let session = Session::new(state, &reply.spake, &transcript).expect("a valid point");
        let opening = serde_bytes::ByteArray::new(if honest { committed } else { [8; NONCE_BYTES] });
        let shown = wire::Shown { card: party(20, "Ada").1, opening: Some(opening) }.encode();
        let sealed = session.seal_card(Side::Accepting, &mut meeting.rng, &shown);
        let card = Message::Card(serde_bytes::ByteBuf::from(sealed)).encode();
        let refused = failure(&meeting.offer_gets(PairingInput::Message(card)));
        assert_eq!(refused, (!honest).then_some((PairingFailure::Malformed, false)));
    }
}

#[test]
fn an_expired_ticket_is_refused_before_anything_is_said() {
    let meeting = Meeting::new(10);
    let (device, card) = party(20, "Ada");
    let mut accept = Pairing::accept(Secret::Ticket(meeting.ticket()), device, card);
    let peer = meeting.offering;
    let mut rng = ChaCha20Rng::seed_from_u64(1);
    let effects = accept.handle(after(600), &mut rng, PairingInput::Started { peer });
    assert_eq!(effects, vec![PairingEffect::Failed { reason: PairingFailure::Expired, burned: true }]);
}

#[test]
fn an_offer_ends_on_time_also_in_the_middle_of_a_run() {
    let mut waiting = Meeting::new(11);
    waiting.now = after(599);
    assert_eq!(waiting.offer_gets(PairingInput::Tick), vec![]);
    waiting.now = after(600);
    let expired = PairingEffect::Failed { reason: PairingFailure::Expired, burned: true };
    assert_eq!(waiting.offer_gets(PairingInput::Tick), vec![expired.clone()]);
    assert_eq!(waiting.offer_gets(PairingInput::Tick), vec![], "said once");
    let outcome = waiting.run(by_code(CODE));
    check_unpaired(&outcome);
    assert_eq!(failure(&outcome.accept), Some((PairingFailure::Expired, true)));

    let mut asked = Meeting::new(12);
    let peer = asked.accepting;
    asked.offer_gets(PairingInput::Started { peer });
    asked.now = after(601);
    let effects = asked.offer_gets(PairingInput::Confirm(true));
    assert!(matches!(effects.as_slice(), [PairingEffect::Send(_), last] if *last == expired), "{effects:?}");
}

#[test]
fn only_one_run_at_a_time() {
    let mut meeting = Meeting::new(13);
    let peer = meeting.accepting;
    meeting.offer_gets(PairingInput::Started { peer });
    for _ in 0..5 {
        let busy = meeting.offer_gets(PairingInput::Started { peer: DeviceId::from_bytes([9; 32]) });
        assert_eq!(busy, vec![PairingEffect::Failed { reason: PairingFailure::Busy, burned: false }]);
    }
    meeting.offer_gets(PairingInput::PeerGone);
    check_paired(&meeting.run(by_code(CODE)));
}

#[test]
fn a_person_who_says_no_burns_the_offer() {
    let mut meeting = Meeting::new(14);
    meeting.confirm = Some(false);
    let outcome = meeting.run(by_code(CODE));
    check_unpaired(&outcome);
    assert_eq!(failure(&outcome.offer), Some((PairingFailure::Refused, true)));
    assert_eq!(failure(&outcome.accept), Some((PairingFailure::Refused, true)));
    meeting.confirm = Some(true);
    check_unpaired(&meeting.run(by_code(CODE)));
}

#[test]
fn nothing_pairs_before_the_person_has_answered() {
    let mut meeting = Meeting::new(15);
    assert_eq!(meeting.offer_gets(PairingInput::Confirm(true)), vec![]);
    meeting.confirm = None;
    let outcome = meeting.run(by_code(CODE));
    check_unpaired(&outcome);
    assert_eq!(check_of(&outcome.offer), check_of(&outcome.accept));
    assert!(check_of(&outcome.offer).is_some());
    assert_eq!(failure(&outcome.offer), Some((PairingFailure::PeerGone, false)));
}

#[test]
fn a_silent_peer_frees_the_offer() {
    let mut meeting = Meeting::new(16);
    let peer = meeting.accepting;
    meeting.offer_gets(PairingInput::Started { peer });
    meeting.now = after(29);
    assert_eq!(meeting.offer_gets(PairingInput::Tick), vec![]);
    meeting.now = after(30);
    assert_eq!(failure(&meeting.offer_gets(PairingInput::Tick)), Some((PairingFailure::Late, false)));
    check_paired(&meeting.run(by_code(CODE)));
}

#[test]
fn a_card_for_another_device_or_past_its_time_is_refused() {
    let mut meeting = Meeting::new(17);
    let (_, foreign) = party(30, "Eve");
    let outcome = meeting.run_with(by_code(CODE), foreign, |_, _| ());
    check_unpaired(&outcome);
    assert_eq!(failure(&outcome.offer), Some((PairingFailure::WrongDevice, false)));

    let (_, old) = card_until(20, "Ada", START);
    let outcome = meeting.run_with(by_code(CODE), old, |_, _| ());
    check_unpaired(&outcome);
    let expired = PairingFailure::BadCertificate(CertificateError::Expired);
    assert_eq!(failure(&outcome.offer), Some((expired, false)));
    assert_eq!(failure(&outcome.accept), Some((PairingFailure::OurCertificate, false)));
}

#[test]
fn a_device_does_not_pair_with_itself() {
    let mut meeting = Meeting::new(18);
    let peer = meeting.offering;
    let effects = meeting.offer_gets(PairingInput::Started { peer });
    assert_eq!(failure(&effects), Some((PairingFailure::WrongDevice, false)));
}

#[test]
fn the_peer_cannot_spend_the_offer_by_its_word() {
    for reason in [StopReason::Refused, StopReason::Burned, StopReason::AlreadyUsed, StopReason::Expired] {
        let mut meeting = Meeting::new(19);
        let peer = meeting.accepting;
        meeting.offer_gets(PairingInput::Started { peer });
        let effects = meeting.offer_gets(PairingInput::Message(Message::Stop(reason).encode()));
        assert_eq!(failure(&effects), Some((PairingFailure::PeerGone, false)));
        check_paired(&meeting.run(by_code(CODE)));
    }
}

#[test]
fn a_full_card_fits_a_frame_and_a_fuller_one_is_trimmed() {
    let (device, mut card) = party(20, &"n".repeat(128));
    card.addresses = (0..99).map(|i| format!("/dns4/{:0>160}/tcp/{i:05}", "x")).collect();
    card.addresses.insert(0, "a".repeat(500));
    card.blob_addresses = vec!["[fe80:0000:0000:0000:0000:0000:0000:0001%25enp0s31f6]:65535".into(); 20];
    let mut meeting = Meeting::new(20);
    meeting.accepting = device;
    let outcome = meeting.run_with(by_code(CODE), card, |_, _| ());
    assert!(outcome.frames.iter().all(|frame| frame.len() <= MAX_PAIRING_FRAME_BYTES));
    let kept = outcome.offer.iter().find_map(|effect| match effect {
        PairingEffect::Paired { card, .. } => Some((card.addresses.len(), card.blob_addresses.len())),
        _ => None,
    });
    assert_eq!(kept, Some((8, 8)));
}

#[test]
fn frames_longer_than_their_limit_are_refused() {
    let mut meeting = Meeting::new(21);
    let peer = meeting.accepting;
    meeting.offer_gets(PairingInput::Started { peer });
    let effects = meeting.offer_gets(PairingInput::Message(vec![0; MAX_PAIRING_FRAME_BYTES + 1]));
    assert_eq!(failure(&effects), Some((PairingFailure::Malformed, false)));
}

#[test]
fn a_secret_is_read_as_code_or_ticket() {
    let ticket = Meeting::new(22).ticket().to_string();
    assert!(matches!(ticket.parse(), Ok(Secret::Ticket(_))));
    assert!(matches!(CODE.parse(), Ok(Secret::Code(_))));
    assert!(matches!("mcpair1x".parse::<Secret>(), Err(ParseSecretError::Ticket(TicketError::Damaged))));
    assert!(matches!("17-orbit".parse::<Secret>(), Err(ParseSecretError::Code(ParseCodeError::Shape))));
}

#[test]
fn debug_shows_neither_secret_nor_name_nor_check() {
    let mut meeting = Meeting::new(23);
    let outcome = meeting.run(by_code(CODE));
    let text = format!("{:?} {:?} {:?}", meeting.offer, outcome.offer, outcome.accept);
    let check = check_of(&outcome.offer).expect("shown").to_owned();
    for hidden in ["orbit", "velvet", "Ada", "Praxis", "192.0.2", &check] {
        assert!(!text.contains(hidden), "{text}");
    }
}

#[test]
fn the_first_frame_of_a_run_is_fixed() {
    let frame = Message::Start(wire::Start {
        version: 1,
        handle: transcript::Handle::Nameplate(17),
        commitment: serde_bytes::ByteArray::new([1; 32]),
        spake: serde_bytes::ByteArray::new([2; 33]),
    });
    insta::assert_snapshot!(data_encoding::HEXLOWER.encode(&frame.encode()), @"a1657374617274a46776657273696f6e016668616e646c65a1696e616d65706c617465116a636f6d6d69746d656e7458200101010101010101010101010101010101010101010101010101010101010101657370616b655821020202020202020202020202020202020202020202020202020202020202020202");
}

/// Frames of a good run: Start, Reply, card, card, Confirm, Confirm, Accepted.
const FRAMES: usize = 7;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn the_right_secret_always_pairs_both_with_the_same_check(seed: u64, by_ticket: bool) {
        let mut meeting = Meeting::new(seed);
        let secret = if by_ticket { Secret::Ticket(meeting.ticket()) } else { by_code(CODE) };
        let outcome = meeting.run(secret);
        prop_assert_eq!(outcome.frames.len(), FRAMES);
        check_paired(&outcome);
    }

    #[test]
    fn a_wrong_code_never_pairs(seed: u64) {
        let mut rng = ChaCha20Rng::seed_from_u64(seed);
        let guess = PairingCode::generate(&mut rng);
        prop_assume!(guess.to_string() != CODE);
        check_unpaired(&Meeting::new(seed).run(Secret::Code(guess)));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn a_frame_with_one_changed_byte_never_pairs(number in 0..FRAMES, at: usize, flip in 1_u8..=255) {
        let mut meeting = Meeting::new(24);
        let (_, card) = party(20, "Ada");
        let outcome = meeting.run_with(by_code(CODE), card, |frame, bytes| {
            if frame == number {
                let at = at % bytes.len();
                bytes[at] ^= flip;
            }
        });
        prop_assert!(paired(&outcome.accept).is_none());
        // The last frame tells the accepting side what the offering side has already done.
        prop_assert!(number == FRAMES - 1 || paired(&outcome.offer).is_none());
        prop_assert!(failure(&outcome.accept).is_some());
    }

    #[test]
    fn no_frame_panics(frames in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..200), 1..4)) {
        let mut meeting = Meeting::new(25);
        let peer = meeting.accepting;
        meeting.offer_gets(PairingInput::Started { peer });
        for frame in frames {
            let effects = meeting.offer_gets(PairingInput::Message(frame));
            prop_assert!(paired(&effects).is_none());
        }
    }

    #[test]
    fn no_card_panics(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _ = wire::Shown::decode(&bytes);
        let _ = codec::decode::<DeviceCard>("card", &bytes, 4096);
    }
}
