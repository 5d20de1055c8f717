//! Pairing: the state machine of `keys` on a stream of `net`, and the person who confirms.

use std::sync::Arc;
use std::time::Duration;

use keys::{
    DenyReason, DeviceCertificate, OfferTerms, Pairing, PairingCode, PairingEffect, PairingFailure,
    PairingInput, Right, Secret, Ticket,
};
use net::PairStream;
use tokio::sync::{mpsc, oneshot};

use super::problem::{Problem, Tried};
use super::{Node, blocking, lock};
use crate::api::types::{AcceptEvent, AcceptRequest, LONGEST_OFFER_MINUTES, OfferEvent, OfferRequest};
use crate::clock;

/// How often the state machine is told the time.
const TICK: Duration = Duration::from_secs(1);
/// How long an offer is looked for on the LAN: mDNS asks at 0, 0.5, 1.5 and 3.5 s, and a slow radio loses some.
const LAN_SEARCH: Duration = Duration::from_secs(15);
/// A node of the same LAN that does not answer in this time is passed over.
const LAN_DIAL: Duration = Duration::from_secs(3);
/// Nodes of the LAN that a code is tried with: each run gives whoever plays the offering node one guess of 2^22, so as
/// many as an offer gives.
const LAN_RUNS: u32 = 3;
/// Events waiting for the one who made the offer.
pub(crate) const EVENTS: usize = 16;

/// The one offer that may be open.
pub(crate) struct OpenOffer {
    pairing: Option<Pairing>,
    events: mpsc::Sender<OfferEvent>,
    confirm: Option<oneshot::Sender<bool>>,
}

impl Node {
    /// Opens an offer; it stands until it is used, fails, ends, or nobody listens to `events` any more.
    ///
    /// # Errors
    /// [`Problem`] when one is open already or this node does not listen.
    pub(crate) async fn pair_offer(
        self: &Arc<Self>,
        request: &OfferRequest,
        events: mpsc::Sender<OfferEvent>,
    ) -> Result<(), Problem> {
        if request.right != "contact" {
            return Err(Problem::wrong_use("unknown right").next("the only right so far is: contact"));
        }
        if !self.daemon {
            return Err(Problem::failed("an offer needs a running daemon, which the other side connects to")
                .next("start it with: metaclinic run"));
        }
        if !(1..=LONGEST_OFFER_MINUTES).contains(&request.minutes) {
            return Err(Problem::wrong_use(format!("an offer stands 1 to {LONGEST_OFFER_MINUTES} minutes"))
                .next("set --minutes, or leave it out"));
        }
        let network = self.network().await?;
        let lasts = Duration::from_secs(60 * u64::from(request.minutes));
        let expires = clock::now().plus(lasts);
        let mut rng = clock::rng();
        let terms = OfferTerms {
            code: PairingCode::generate(&mut rng),
            right: Right::Contact,
            device: self.keyring.device().id(),
            card: self.own_card(),
            expires,
        };
        let code = terms.code.to_string();
        let pairing = Pairing::offer(&mut rng, terms);
        let ticket = pairing.ticket().map(|t| t.to_string()).unwrap_or_default();
        {
            let mut offer = lock(&self.offer);
            if offer.as_ref().is_some_and(|o| !o.events.is_closed()) {
                return Err(Problem::failed("an offer is open already")
                    .next("use its code, or stop the command that waits for it"));
            }
            *offer = Some(OpenOffer { pairing: Some(pairing), events: events.clone(), confirm: None });
        }
        network.open_to_strangers(true);
        let first = OfferEvent::Offer {
            code,
            ticket,
            addresses: network.addresses(),
            expires: clock::rfc3339(expires),
        };
        let node = Arc::clone(self);
        let gone = events.clone();
        self.tasks.spawn(async move {
            tokio::select! {
                () = gone.closed() => {}
                () = node.stop.cancelled() => {}
                () = tokio::time::sleep(lasts) => {
                    let _ = gone.send(OfferEvent::Failed { reason: PairingFailure::Expired.to_string() }).await;
                }
            }
            node.close_offer(&gone);
        });
        events.send(first).await.tried("report the offer")
    }

    /// The person at the offering side has compared the digits.
    ///
    /// # Errors
    /// [`Problem`] when nothing waits for a confirmation.
    pub(crate) fn pair_confirm(&self, accept: bool) -> Result<(), Problem> {
        let waiting = lock(&self.offer).as_mut().and_then(|o| o.confirm.take());
        waiting
            .and_then(|w| w.send(accept).ok())
            .ok_or_else(|| Problem::failed("no pairing waits for a confirmation"))
    }

    /// Someone opened a pairing stream.
    pub(crate) async fn run_offer(self: Arc<Self>, mut stream: PairStream) {
        let taken = {
            let mut offer = lock(&self.offer);
            offer.as_mut().and_then(|o| o.pairing.take().map(|p| (p, o.events.clone())))
        };
        let Some((mut pairing, events)) = taken else {
            stream.close().await;
            return;
        };
        let end = self.drive_offer(&mut pairing, &mut stream, &events).await;
        stream.close().await;
        match end {
            RunEnd::Paired => self.close_offer(&events),
            RunEnd::Failed { reason, over: true } => {
                let _ = events.send(OfferEvent::Failed { reason }).await;
                self.close_offer(&events);
            }
            RunEnd::Failed { reason, over: false } => {
                let _ = events.send(OfferEvent::Try { reason }).await;
                let mut offer = lock(&self.offer);
                // Only into the offer that it was taken from: that one may be gone and another be open.
                if let Some(offer) = offer.as_mut().filter(|o| o.events.same_channel(&events)) {
                    offer.pairing = Some(pairing);
                    offer.confirm = None;
                }
            }
        }
    }

    /// Where the answer of the person will come from.
    fn await_confirmation(&self, events: &mpsc::Sender<OfferEvent>) -> oneshot::Receiver<bool> {
        let (sender, receiver) = oneshot::channel();
        if let Some(offer) = lock(&self.offer).as_mut().filter(|o| o.events.same_channel(events)) {
            offer.confirm = Some(sender);
        }
        receiver
    }

    async fn drive_offer(
        self: &Arc<Self>,
        pairing: &mut Pairing,
        stream: &mut PairStream,
        events: &mpsc::Sender<OfferEvent>,
    ) -> RunEnd {
        let mut input = PairingInput::Started { peer: stream.peer() };
        let mut shown = None;
        let mut confirm = None;
        loop {
            for effect in pairing.handle(clock::now(), &mut clock::rng(), input) {
                match effect {
                    PairingEffect::Send(bytes) => {
                        if stream.send(bytes).await.is_err() {
                            tracing::info!("the pairing peer went away");
                        }
                    }
                    PairingEffect::ShowCheck { check, peer } => {
                        // The answer may come at once, so it must find its place before the digits are told.
                        confirm = Some(self.await_confirmation(events));
                        let _ = events.send(check_event(&check, &peer)).await;
                        shown = Some(check);
                    }
                    PairingEffect::AskConfirm => {}
                    PairingEffect::Paired { card, certificate, right: Right::Contact } => {
                        let check = shown.clone().unwrap_or_default();
                        return self.offer_paired(events, card, certificate, check).await;
                    }
                    PairingEffect::Failed { reason, burned } => {
                        let (node, who) = (Arc::clone(self), stream.peer().to_string());
                        let denial = denial(&reason);
                        // Off the reactor: the trail is written to disk.
                        let _ = blocking(move || Ok(node.refuse(who, denial))).await;
                        return RunEnd::Failed { reason: reason.to_string(), over: burned };
                    }
                }
            }
            input = match &mut confirm {
                Some(answer) => tokio::select! {
                    answer = answer => {
                        confirm = None;
                        PairingInput::Confirm(answer.unwrap_or(false))
                    }
                    input = next_input(stream) => input,
                    () = events.closed() => PairingInput::Confirm(false),
                    () = self.stop.cancelled() => PairingInput::Confirm(false),
                },
                None => tokio::select! {
                    input = next_input(stream) => input,
                    () = events.closed() => return RunEnd::Failed { reason: "withdrawn".to_owned(), over: true },
                    () = self.stop.cancelled() => {
                        return RunEnd::Failed { reason: "the daemon stops".to_owned(), over: true };
                    }
                },
            };
        }
    }

    async fn offer_paired(
        self: &Arc<Self>,
        events: &mpsc::Sender<OfferEvent>,
        card: keys::DeviceCard,
        certificate: DeviceCertificate,
        check: String,
    ) -> RunEnd {
        let (peer, name) = (certificate.identity.to_string(), certificate.name.clone());
        let node = Arc::clone(self);
        match blocking(move || node.add_peer(card, certificate)).await {
            Ok(()) => {
                let _ = events.send(OfferEvent::Paired { peer, name, check }).await;
                RunEnd::Paired
            }
            Err(problem) => RunEnd::Failed { reason: problem.message, over: true },
        }
    }

    fn close_offer(&self, events: &mpsc::Sender<OfferEvent>) {
        let mut offer = lock(&self.offer);
        if offer.as_ref().is_some_and(|o| o.events.same_channel(events)) {
            *offer = None;
            if let Some(network) = self.network.get() {
                network.open_to_strangers(false);
            }
        }
    }

    /// Accepts an offer: dials, proves the secret, shows the digits, waits for the other person.
    ///
    /// # Errors
    /// [`Problem`] with the reason.
    pub(crate) async fn pair_accept(
        self: &Arc<Self>,
        request: &AcceptRequest,
        events: &mpsc::Sender<AcceptEvent>,
    ) -> Result<(), Problem> {
        let (secret, addresses, expected) = accept_target(request)?;
        if let Secret::Ticket(ticket) = &secret
            && clock::now() >= ticket.expires()
        {
            // Nobody is dialled for what can only fail.
            self.note_failed_accept(ticket.device(), PairingFailure::Expired).await;
            return Err(accept_problem(&PairingFailure::Expired));
        }
        if addresses.is_empty() && matches!(secret, Secret::Code(_)) {
            return self.accept_on_lan(&secret, events).await;
        }
        let network = self.network().await?;
        let mut dialled = Err(Problem::wrong_use("the ticket names no address"));
        for address in &addresses {
            dialled = network.pair_with(address, expected).await.map_err(|e| {
                Problem::failed("cannot reach the offering node")
                    .because(e)
                    .next("check that its `pair offer` is still waiting and that the address is right")
            });
            if dialled.is_ok() {
                break;
            }
        }
        self.run_accept(dialled?, secret, events).await.map_err(RunProblem::told)
    }

    /// Tries a code with the nodes that show themselves on this LAN. Those without an open offer take no connection.
    async fn accept_on_lan(
        self: &Arc<Self>,
        secret: &Secret,
        events: &mpsc::Sender<AcceptEvent>,
    ) -> Result<(), Problem> {
        let network = self.network().await?;
        let mut candidates = network.candidates();
        let deadline = tokio::time::Instant::now() + LAN_SEARCH;
        let (mut met, mut last) = (0, None);
        while let Ok(Some(candidate)) = tokio::time::timeout_at(deadline, candidates.recv()).await {
            let dial = network.pair_with(&candidate.address, Some(candidate.device));
            let Ok(Ok(stream)) = tokio::time::timeout(LAN_DIAL, dial).await else { continue };
            match self.run_accept(stream, secret.clone(), events).await {
                Ok(()) => return Ok(()),
                // A person was asked already, or something failed here: another node will not do better.
                Err(RunProblem::Over(problem)) => return Err(problem),
                Err(RunProblem::Before(problem)) => {
                    last = Some(problem);
                    met += 1;
                    if met >= LAN_RUNS {
                        break;
                    }
                }
            }
        }
        Err(last.unwrap_or_else(|| {
            Problem::failed(format!("no open offer was found on this network within {} s", LAN_SEARCH.as_secs()))
                .next("the offering node must run with mDNS on this same network; otherwise add --at MULTIADDR as its `pair offer` shows it, or use the ticket")
        }))
    }

    async fn run_accept(
        self: &Arc<Self>,
        mut stream: PairStream,
        secret: Secret,
        events: &mpsc::Sender<AcceptEvent>,
    ) -> Result<(), RunProblem> {
        let mut pairing = Pairing::accept(secret, self.keyring.device().id(), self.own_card());
        let mut input = PairingInput::Started { peer: stream.peer() };
        let mut shown = String::new();
        loop {
            for effect in pairing.handle(clock::now(), &mut clock::rng(), input) {
                match effect {
                    PairingEffect::Send(bytes) => {
                        let sent = stream.send(bytes).await.tried("send to the offering node");
                        sent.map_err(|problem| RunProblem::at(&shown, problem))?;
                    }
                    PairingEffect::ShowCheck { check, peer } => {
                        shown.clone_from(&check);
                        let _ = events.send(AcceptEvent::Check { check, name: peer.name }).await;
                    }
                    PairingEffect::AskConfirm => {}
                    PairingEffect::Paired { card, certificate, .. } => {
                        let (peer, name) = (certificate.identity.to_string(), certificate.name.clone());
                        let node = Arc::clone(self);
                        blocking(move || node.add_peer(card, certificate)).await.map_err(RunProblem::Over)?;
                        stream.close().await;
                        let _ = events.send(AcceptEvent::Paired { peer, name, check: shown }).await;
                        return Ok(());
                    }
                    PairingEffect::Failed { reason, .. } => {
                        let peer = stream.peer();
                        stream.close().await;
                        let problem = RunProblem::at(&shown, accept_problem(&reason));
                        self.note_failed_accept(peer, reason).await;
                        return Err(problem);
                    }
                }
            }
            input = next_input(&mut stream).await;
        }
    }
}

impl Node {
    /// Notes with whom this side did not pair, and why; a line that broke is nobody's refusal.
    async fn note_failed_accept(self: &Arc<Self>, peer: keys::DeviceId, reason: PairingFailure) {
        if matches!(reason, PairingFailure::PeerGone | PairingFailure::Late) {
            return;
        }
        let node = Arc::clone(self);
        // Off the reactor: the trail is written to disk. A failure is in the log.
        let _ = blocking(move || Ok(node.refuse(peer.to_string(), denial(&reason)))).await;
    }
}

/// How a run at the accepting side failed.
enum RunProblem {
    /// Before digits were shown: it may have been the wrong node.
    Before(Problem),
    /// After that, or at this node.
    Over(Problem),
}

impl RunProblem {
    fn at(shown: &str, problem: Problem) -> Self {
        if shown.is_empty() { Self::Before(problem) } else { Self::Over(problem) }
    }

    fn told(self) -> Problem {
        match self {
            Self::Before(problem) | Self::Over(problem) => problem,
        }
    }
}

/// How the trail names a failed pairing.
const fn denial(reason: &PairingFailure) -> DenyReason {
    match reason {
        PairingFailure::WrongCode => DenyReason::WrongCode,
        PairingFailure::Refused => DenyReason::Declined,
        PairingFailure::Malformed => DenyReason::Malformed,
        PairingFailure::Expired | PairingFailure::Burned | PairingFailure::AlreadyUsed => {
            DenyReason::OfferOver
        }
        _ => DenyReason::NotAllowed,
    }
}

enum RunEnd {
    Paired,
    Failed { reason: String, over: bool },
}

/// What happens next on the stream; a tick when nothing does, for the machine's own time limits.
async fn next_input(stream: &mut PairStream) -> PairingInput {
    match tokio::time::timeout(TICK, stream.recv()).await {
        Ok(Ok(Some(bytes))) => PairingInput::Message(bytes),
        Ok(Ok(None) | Err(_)) => PairingInput::PeerGone,
        Err(_) => PairingInput::Tick,
    }
}

fn check_event(check: &str, peer: &DeviceCertificate) -> OfferEvent {
    OfferEvent::Check {
        check: check.to_owned(),
        name: peer.name.clone(),
        device_name: peer.device_name.clone(),
        peer: peer.identity.to_string(),
    }
}

fn accept_target(request: &AcceptRequest) -> Result<(Secret, Vec<String>, Option<keys::DeviceId>), Problem> {
    let text = request.secret.trim();
    if text.starts_with("mcpair1") {
        let ticket: Ticket = text.parse().map_err(|e| {
            Problem::wrong_use("cannot read the ticket").because(e).next("copy the whole ticket again")
        })?;
        let addresses = match &request.at {
            Some(at) => vec![at.clone()],
            None => ticket.addresses().to_vec(),
        };
        let device = ticket.device();
        return Ok((Secret::Ticket(ticket), addresses, Some(device)));
    }
    let code: PairingCode = text.parse().map_err(|e| {
        Problem::wrong_use("cannot read the code").because(e).next("a code looks like 17-orbit-velvet")
    })?;
    // Without an address the offer is looked for on this LAN.
    Ok((Secret::Code(code), request.at.iter().cloned().collect(), None))
}

fn accept_problem(reason: &PairingFailure) -> Problem {
    let problem = Problem::denied(format!("not paired: {reason}"));
    match reason {
        PairingFailure::WrongCode => problem.next("read the code again; three wrong tries end the offer"),
        _ => problem.next("ask for a new code or ticket"),
    }
}
