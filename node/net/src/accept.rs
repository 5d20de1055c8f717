//! Who may open which stream: the one loop that judges every stream that arrives.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use keys::DeviceId;
use libp2p::Stream;
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::access::Door;
use crate::limit::{Buckets, Slots};
use crate::network::NetEvent;
use crate::pair::PairStream;
use crate::peer::device_id;
use crate::protocol::{PAIR_RATE, Protocol, Timing};
use crate::request;
use crate::streams::Arrival;
use crate::swarm::Command;

/// Requests that are read or wait for their answer, of all devices together.
const REQUESTS: usize = 64;
/// The same, of one device.
const REQUESTS_PER_PEER: usize = 16;
/// Refusals that are being written.
const REFUSALS: usize = 64;
/// Devices whose request rate is watched.
const WATCHED_DEVICES: usize = 1_024;

/// Request rates of each device; no protocol means pairing.
type Rates = Buckets<(DeviceId, Option<Protocol>)>;

/// What the loop needs to judge a stream.
pub(crate) struct Acceptor {
    door: Door,
    /// Weak, so that the last handle that is dropped ends the swarm task.
    commands: mpsc::WeakSender<Command>,
    timing: Timing,
    tasks: TaskTracker,
    cancel: CancellationToken,
    rates: Mutex<Rates>,
    requests: Slots,
    refusals: Arc<Semaphore>,
    /// One pairing that another device began.
    pairing: Arc<Semaphore>,
}

impl Acceptor {
    pub(crate) fn new(
        door: Door,
        commands: mpsc::WeakSender<Command>,
        timing: Timing,
        tasks: &TaskTracker,
        cancel: &CancellationToken,
    ) -> Self {
        Self {
            door,
            commands,
            timing,
            tasks: tasks.clone(),
            cancel: cancel.clone(),
            rates: Mutex::new(Buckets::new(WATCHED_DEVICES * (Protocol::ALL.len() + 1))),
            requests: Slots::new(REQUESTS_PER_PEER, REQUESTS),
            refusals: Arc::new(Semaphore::new(REFUSALS)),
            pairing: Arc::new(Semaphore::new(1)),
        }
    }

    /// Starts the loop. It never waits for anything but the next stream.
    pub(crate) fn spawn(self, mut arrivals: mpsc::Receiver<Arrival>) {
        let (tasks, cancel) = (self.tasks.clone(), self.cancel.clone());
        let judge = async move {
            while let Some(Arrival { peer, protocol, stream }) = arrivals.recv().await {
                let Some(device) = device_id(&peer) else { continue };
                match Protocol::ALL.into_iter().find(|p| p.stream() == protocol) {
                    Some(request) => self.on_request(device, request, stream),
                    None => self.on_pairing(device, stream),
                }
            }
        };
        tasks.spawn(cancel.run_until_cancelled_owned(judge));
    }

    fn on_request(&self, peer: DeviceId, protocol: Protocol, stream: Stream) {
        if !self.door.allows(&peer) {
            return self.door.refused(Some(peer), "request of an unknown device");
        }
        if !self.within_rate(peer, Some(protocol)) {
            self.door.refused(Some(peer), "requests come too often");
            return self.refuse(stream, "too many requests");
        }
        match self.requests.take(peer) {
            None => {
                self.door.refused(Some(peer), "too many requests at once");
                self.refuse(stream, "busy");
            }
            Some(place) => {
                let common = (self.door.clone(), self.timing);
                self.run(request::serve(stream, peer, protocol, common, place));
            }
        }
    }

    fn on_pairing(&self, peer: DeviceId, stream: Stream) {
        if !self.door.strangers() {
            return self.door.refused(Some(peer), "pairing while no offer is open");
        }
        if !self.within_rate(peer, None) {
            return self.door.refused(Some(peer), "pairings come too often");
        }
        let Ok(place) = self.pairing.clone().try_acquire_owned() else {
            return self.door.refused(Some(peer), "a second pairing at the same time");
        };
        let (held, until) = oneshot::channel();
        let stream =
            PairStream::new(peer, stream, held, Some(place), self.timing, (&self.tasks, &self.cancel));
        let (commands, door) = (self.commands.clone(), self.door.clone());
        self.run(async move {
            // The connection must be held before the node can see the stream and drop it.
            let (Some(commands), Ok(id)) = (commands.upgrade(), crate::peer::peer_id(&peer)) else { return };
            let hold = Command::Hold { peer: id, until };
            if commands.send(hold).await.is_ok() && !door.tell(NetEvent::Pairing(stream)) {
                tracing::warn!("the node lags behind: a pairing is lost");
            }
        });
    }

    fn within_rate(&self, peer: DeviceId, protocol: Option<Protocol>) -> bool {
        let rate = protocol.map_or(PAIR_RATE, Protocol::rate);
        let mut rates = self.rates.lock().unwrap_or_else(PoisonError::into_inner);
        rates.take(Instant::now(), (peer, protocol), rate)
    }

    fn refuse(&self, stream: Stream, reason: &'static str) {
        if let Ok(permit) = self.refusals.clone().try_acquire_owned() {
            let idle = self.timing.idle;
            self.run(async move {
                request::refuse(stream, reason, idle).await;
                drop(permit);
            });
        }
    }

    fn run(&self, work: impl Future<Output = ()> + Send + 'static) {
        self.tasks.spawn(self.cancel.clone().run_until_cancelled_owned(work));
    }
}
