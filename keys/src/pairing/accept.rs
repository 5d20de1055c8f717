//! The accepting side: one run, then it is over.
//!
//! `Waiting → Reply → CardA → ConfirmB → Accepted → over`.

use rand_core::CryptoRng;
use serde_bytes::{ByteArray, ByteBuf};
use spake2::{Ed25519Group, Spake2};

use super::transcript::{self, Cards, Handle, NONCE_BYTES, Session, Side, Terms, Transcript};
use super::wire::{DeviceCard, Message, Reply, Shown, Start};
use super::{
    Halt, OFFER_LIFETIME, PairingEffect, PairingFailure, PairingInput, RUN_LIMIT, Secret, failed, read,
};
use crate::identity::DeviceCertificate;
use crate::ids::{DeviceId, Timestamp};

/// The state of an acceptance.
pub(super) struct Accepting {
    secret: Secret,
    device: DeviceId,
    card: DeviceCard,
    run: Option<Run>,
    over: bool,
}

struct Run {
    peer: DeviceId,
    deadline: Timestamp,
    step: Step,
}

enum Step {
    Reply { state: Box<Spake2<Ed25519Group>>, start: Start, opening: [u8; NONCE_BYTES] },
    CardA { session: Session, terms: Terms, opening: [u8; NONCE_BYTES] },
    ConfirmB(Met),
    Accepted(Met),
}

/// The peer as it showed itself.
struct Met {
    session: Session,
    terms: Terms,
    cards: Cards,
    check: String,
    card: DeviceCard,
    certificate: DeviceCertificate,
}

impl Accepting {
    pub(super) fn new(secret: Secret, device: DeviceId, card: DeviceCard) -> Self {
        Self { secret, device, card: card.fitted(), run: None, over: false }
    }

    pub(super) const fn is_over(&self) -> bool {
        self.over
    }

    pub(super) fn handle(
        &mut self,
        now: Timestamp,
        rng: &mut impl CryptoRng,
        input: PairingInput,
    ) -> Vec<PairingEffect> {
        if let PairingInput::Started { peer } = input {
            return self.start(now, rng, peer);
        }
        let Some(mut run) = self.run.take() else { return Vec::new() };
        let result = match (input, run.step) {
            (PairingInput::Message(bytes), step) => match (step, read(&bytes)) {
                (Step::Accepted(met), Ok(Message::Accepted(sealed))) => {
                    match met.session.open_acceptance(&sealed, &met.cards) {
                        Ok(()) => return self.paired(met),
                        Err(failure) => Err(failure.into()),
                    }
                }
                (_, Err(halt)) => Err(halt),
                (step, Ok(message)) => self.message(now, rng, run.peer, step, message),
            },
            (PairingInput::PeerGone, _) => Err(PairingFailure::PeerGone.into()),
            (PairingInput::Tick, _) if now >= run.deadline => Err(PairingFailure::Late.into()),
            (_, step) => Ok((Vec::new(), step)),
        };
        match result {
            Ok((effects, step)) => {
                if matches!(step, Step::Accepted(_)) && !effects.is_empty() {
                    // From here the person on the other side decides, who has as long as an offer lasts.
                    run.deadline = now.plus(OFFER_LIFETIME);
                }
                run.step = step;
                self.run = Some(run);
                effects
            }
            Err(halt) => {
                self.over = true;
                halt.effects(PairingFailure::spends)
            }
        }
    }

    fn paired(&mut self, met: Met) -> Vec<PairingEffect> {
        self.over = true;
        let Met { terms, card, certificate, .. } = met;
        vec![PairingEffect::Paired { card, certificate, right: terms.right }]
    }

    fn start(&mut self, now: Timestamp, rng: &mut impl CryptoRng, peer: DeviceId) -> Vec<PairingEffect> {
        if self.over {
            return failed(PairingFailure::AlreadyUsed, false, false);
        }
        if self.run.is_some() {
            return failed(PairingFailure::Busy, false, false);
        }
        let refusal = match &self.secret {
            Secret::Ticket(ticket) if now >= ticket.expires() => Some(PairingFailure::Expired),
            Secret::Ticket(ticket) if ticket.device() != peer => Some(PairingFailure::WrongDevice),
            _ if peer == self.device => Some(PairingFailure::WrongDevice),
            _ => None,
        };
        if let Some(reason) = refusal {
            self.over = true;
            let burned = reason.spends();
            return failed(reason, false, burned);
        }
        let (handle, password) = match &self.secret {
            Secret::Code(code) => (Handle::Nameplate(code.nameplate()), code.password()),
            Secret::Ticket(ticket) => (Handle::Ticket(ByteArray::new(ticket.id())), ticket.password()),
        };
        let mut opening = [0; NONCE_BYTES];
        rng.fill_bytes(&mut opening);
        let (state, spake) = transcript::spake(Side::Accepting, &password, rng);
        let commitment = ByteArray::new(transcript::commit(&opening));
        let start = Start { version: transcript::VERSION, handle, commitment, spake };
        let frame = Message::Start(start.clone()).encode();
        let step = Step::Reply { state: Box::new(state), start, opening };
        self.run = Some(Run { peer, deadline: now.plus(RUN_LIMIT), step });
        vec![PairingEffect::Send(frame)]
    }

    fn message(
        &self,
        now: Timestamp,
        rng: &mut impl CryptoRng,
        peer: DeviceId,
        step: Step,
        message: Message,
    ) -> Result<(Vec<PairingEffect>, Step), Halt> {
        match (step, message) {
            (Step::Reply { state, start, opening }, Message::Reply(reply)) => {
                Ok((Vec::new(), self.agree(peer, *state, &start, opening, &reply)?))
            }
            (Step::CardA { session, terms, opening }, Message::Card(sealed)) => {
                Ok(self.meet(now, rng, peer, session, terms, &opening, &sealed)?)
            }
            (Step::ConfirmB(met), Message::Confirm(mac)) => {
                met.session.confirm(Side::Offering, &met.cards, &mac)?;
                let show =
                    PairingEffect::ShowCheck { check: met.check.clone(), peer: met.certificate.clone() };
                Ok((vec![show], Step::Accepted(met)))
            }
            _ => Err(PairingFailure::Malformed.into()),
        }
    }

    /// Makes the keys. A ticket's own terms count, whatever the other side says; a code has none of its own.
    fn agree(
        &self,
        peer: DeviceId,
        state: Spake2<Ed25519Group>,
        start: &Start,
        opening: [u8; NONCE_BYTES],
        reply: &Reply,
    ) -> Result<Step, PairingFailure> {
        let terms = match &self.secret {
            Secret::Ticket(ticket) => ticket.terms,
            Secret::Code(_) => reply.terms,
        };
        let transcript = Transcript {
            accepting: self.device,
            offering: peer,
            terms,
            handle: start.handle,
            commitment: &start.commitment,
            nonce: &reply.nonce,
            spake_accepting: &start.spake,
            spake_offering: &reply.spake,
        };
        let session = Session::new(state, &reply.spake, &transcript)?;
        Ok(Step::CardA { session, terms, opening })
    }

    /// Opens and checks the offering side's card, then shows ours and confirms.
    #[expect(clippy::too_many_arguments, reason = "the parts of one step, taken apart by its caller")]
    fn meet(
        &self,
        now: Timestamp,
        rng: &mut impl CryptoRng,
        peer: DeviceId,
        session: Session,
        terms: Terms,
        opening: &[u8; NONCE_BYTES],
        sealed: &[u8],
    ) -> Result<(Vec<PairingEffect>, Step), PairingFailure> {
        let plain = session.open_card(Side::Offering, sealed)?;
        let card = Shown::decode(&plain)?.card;
        let certificate = card.examine(now, &peer)?;
        let shown = Shown { card: self.card.clone(), opening: Some(ByteArray::new(*opening)) }.encode();
        let cards =
            Cards { accepting: *blake3::hash(&shown).as_bytes(), offering: *blake3::hash(&plain).as_bytes() };
        let ours = ByteBuf::from(session.seal_card(Side::Accepting, rng, &shown));
        let mac = ByteArray::new(session.confirmation(Side::Accepting, &cards));
        let effects = vec![
            PairingEffect::Send(Message::Card(ours).encode()),
            PairingEffect::Send(Message::Confirm(mac).encode()),
        ];
        let check = session.check(opening);
        Ok((effects, Step::ConfirmB(Met { session, terms, cards, check, card, certificate })))
    }
}
