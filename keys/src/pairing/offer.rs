//! The offering side: waits for runs, counts them, asks its person.
//!
//! `Waiting → Start → CardB → ConfirmA → Person → over`; each failure leads back to `Waiting` until the
//! third.

use rand_core::CryptoRng;
use serde_bytes::{ByteArray, ByteBuf};
use zeroize::Zeroizing;

use super::ticket::{self, SECRET_BYTES, Ticket};
use super::transcript::{self, Cards, Handle, NONCE_BYTES, Session, Side, Terms, Transcript};
use super::wire::{DeviceCard, Message, Reply, Shown, Start};
use super::{
    Direction, Halt, MAX_TRIES, OfferTerms, PairingCode, PairingEffect, PairingFailure, PairingInput,
    RUN_LIMIT, failed, read,
};
use crate::identity::DeviceCertificate;
use crate::ids::{DeviceId, Timestamp};

/// The state of an offer.
pub(super) struct Offering {
    code: PairingCode,
    secret: Zeroizing<[u8; SECRET_BYTES]>,
    terms: Terms,
    device: DeviceId,
    card: DeviceCard,
    tries: u8,
    run: Option<Run>,
    /// Why no run may begin any more.
    over: Option<PairingFailure>,
}

struct Run {
    peer: DeviceId,
    /// When the machines must be done; people have until the offer expires.
    deadline: Timestamp,
    step: Step,
}

enum Step {
    Start,
    CardB {
        session: Session,
        commitment: [u8; 32],
        our_card: [u8; 32],
    },
    ConfirmA {
        session: Session,
        cards: Cards,
        check: String,
        card: DeviceCard,
        certificate: DeviceCertificate,
    },
    Person {
        session: Session,
        cards: Cards,
        card: DeviceCard,
        certificate: DeviceCertificate,
    },
}

impl Offering {
    pub(super) fn new(rng: &mut impl CryptoRng, terms: OfferTerms) -> Self {
        let mut secret = Zeroizing::new([0; SECRET_BYTES]);
        rng.fill_bytes(&mut *secret);
        let OfferTerms { code, right, device, card, expires } = terms;
        let terms = Terms { direction: Direction::AddsAccepting, right, expires };
        Self { code, secret, terms, device, card: card.fitted(), tries: 0, run: None, over: None }
    }

    pub(super) fn ticket(&self) -> Ticket {
        Ticket {
            device: self.device,
            addresses: self.card.addresses.clone(),
            secret: self.secret.clone(),
            terms: self.terms,
        }
    }

    pub(super) const fn code(&self) -> &PairingCode {
        &self.code
    }

    pub(super) const fn is_over(&self) -> bool {
        self.over.is_some()
    }

    pub(super) fn handle(
        &mut self,
        now: Timestamp,
        rng: &mut impl CryptoRng,
        input: PairingInput,
    ) -> Vec<PairingEffect> {
        if self.over.is_none() && now >= self.terms.expires {
            return self.expire(&input);
        }
        if let PairingInput::Started { peer } = input {
            return self.start(now, peer);
        }
        let Some(mut run) = self.run.take() else { return Vec::new() };
        let result = match (input, run.step) {
            (PairingInput::Message(bytes), step) => self.message(now, rng, run.peer, step, &bytes),
            (PairingInput::Confirm(yes), Step::Person { session, cards, card, certificate }) => {
                if yes {
                    self.over = Some(PairingFailure::AlreadyUsed);
                    let sealed = ByteBuf::from(session.seal_acceptance(rng, &cards));
                    let right = self.terms.right;
                    return vec![
                        PairingEffect::Send(Message::Accepted(sealed).encode()),
                        PairingEffect::Paired { card, certificate, right },
                    ];
                }
                Err(PairingFailure::Refused.into())
            }
            (PairingInput::PeerGone, _) => Err(PairingFailure::PeerGone.into()),
            (PairingInput::Tick, step) if now >= run.deadline && !matches!(step, Step::Person { .. }) => {
                Err(PairingFailure::Late.into())
            }
            (_, step) => Ok((Vec::new(), step)),
        };
        match result {
            Ok((effects, step)) => {
                run.step = step;
                self.run = Some(run);
                effects
            }
            Err(halt) => halt.effects(|reason| self.end_run(reason)),
        }
    }

    /// Time is up: whoever asks hears it, and a run that goes on ends.
    fn expire(&mut self, input: &PairingInput) -> Vec<PairingEffect> {
        self.over = Some(PairingFailure::Expired);
        let someone = self.run.take().is_some() || matches!(input, PairingInput::Started { .. });
        failed(PairingFailure::Expired, someone && !matches!(input, PairingInput::PeerGone), true)
    }

    fn start(&mut self, now: Timestamp, peer: DeviceId) -> Vec<PairingEffect> {
        if let Some(reason) = self.over.clone() {
            return failed(reason, true, true);
        }
        if self.run.is_some() {
            return failed(PairingFailure::Busy, false, false);
        }
        // Counted now and not when a guess turns out wrong: who breaks off has had a try as well.
        self.tries += 1;
        if peer == self.device {
            return Halt::Here(PairingFailure::WrongDevice).effects(|reason| self.end_run(reason));
        }
        self.run = Some(Run { peer, deadline: now.plus(RUN_LIMIT), step: Step::Start });
        Vec::new()
    }

    /// Whether the failed run was the last one.
    fn end_run(&mut self, reason: &PairingFailure) -> bool {
        let refused = *reason == PairingFailure::Refused;
        if self.over.is_none() && (refused || self.tries >= MAX_TRIES) {
            self.over = Some(PairingFailure::Burned);
        }
        self.over.is_some()
    }

    fn message(
        &self,
        now: Timestamp,
        rng: &mut impl CryptoRng,
        peer: DeviceId,
        step: Step,
        bytes: &[u8],
    ) -> Result<(Vec<PairingEffect>, Step), Halt> {
        // The peer's word may end its run, but it cannot spend the offer: those reasons are ours to find.
        let message = read(bytes).map_err(|halt| match halt {
            Halt::There(reason) if reason.spends() => Halt::There(PairingFailure::PeerGone),
            other => other,
        })?;
        match (step, message) {
            (Step::Start, Message::Start(start)) => Ok(self.reply(rng, peer, &start)?),
            (Step::CardB { session, commitment, our_card }, Message::Card(sealed)) => {
                Ok((Vec::new(), examine(now, peer, session, &commitment, our_card, &sealed)?))
            }
            (Step::ConfirmA { session, cards, check, card, certificate }, Message::Confirm(mac)) => {
                session.confirm(Side::Accepting, &cards, &mac)?;
                let ours = ByteArray::new(session.confirmation(Side::Offering, &cards));
                let effects = vec![
                    PairingEffect::Send(Message::Confirm(ours).encode()),
                    PairingEffect::ShowCheck { check, peer: certificate.clone() },
                    PairingEffect::AskConfirm,
                ];
                Ok((effects, Step::Person { session, cards, card, certificate }))
            }
            _ => Err(PairingFailure::Malformed.into()),
        }
    }

    fn reply(
        &self,
        rng: &mut impl CryptoRng,
        peer: DeviceId,
        start: &Start,
    ) -> Result<(Vec<PairingEffect>, Step), PairingFailure> {
        if start.version != transcript::VERSION {
            return Err(PairingFailure::Malformed);
        }
        let password = match start.handle {
            Handle::Nameplate(number) if number == self.code.nameplate() => self.code.password(),
            Handle::Ticket(id) if *id == ticket::id_of(&self.secret) => ticket::password_of(&self.secret),
            Handle::Nameplate(_) | Handle::Ticket(_) => return Err(PairingFailure::WrongCode),
        };
        let (state, spake) = transcript::spake(Side::Offering, &password, rng);
        let mut nonce = [0; NONCE_BYTES];
        rng.fill_bytes(&mut nonce);
        let transcript = Transcript {
            accepting: peer,
            offering: self.device,
            terms: self.terms,
            handle: start.handle,
            commitment: &start.commitment,
            nonce: &nonce,
            spake_accepting: &start.spake,
            spake_offering: &spake,
        };
        let session = Session::new(state, &start.spake, &transcript)?;
        let shown = Shown { card: self.card.clone(), opening: None }.encode();
        let sealed = session.seal_card(Side::Offering, rng, &shown);
        let reply = Message::Reply(Reply { terms: self.terms, nonce: ByteArray::new(nonce), spake });
        let effects = vec![
            PairingEffect::Send(reply.encode()),
            PairingEffect::Send(Message::Card(ByteBuf::from(sealed)).encode()),
        ];
        let our_card = *blake3::hash(&shown).as_bytes();
        Ok((effects, Step::CardB { session, commitment: *start.commitment, our_card }))
    }
}

/// Opens and checks the accepting side's card.
fn examine(
    now: Timestamp,
    peer: DeviceId,
    session: Session,
    commitment: &[u8; 32],
    our_card: [u8; 32],
    sealed: &[u8],
) -> Result<Step, PairingFailure> {
    let plain = session.open_card(Side::Accepting, sealed)?;
    let Shown { card, opening } = Shown::decode(&plain)?;
    let opening = opening.ok_or(PairingFailure::Malformed)?;
    if transcript::commit(&opening) != *commitment {
        return Err(PairingFailure::Malformed);
    }
    let certificate = card.examine(now, &peer)?;
    let cards = Cards { accepting: *blake3::hash(&plain).as_bytes(), offering: our_card };
    let check = session.check(&opening);
    Ok(Step::ConfirmA { session, cards, check, card, certificate })
}
