//! Who may open which stream: the one loop that judges every stream that arrives.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use keys::{DenyReason, DeviceId};
use libp2p::Stream;
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::access::Door;
use crate::limit::{Buckets, Slots};
use crate::network::NetEvent;
use crate::pair::PairStream;
use crate::peer::device_id;
use crate::protocol::{Kind, Protocol, Timing};
use crate::request;
use crate::room::RoomStream;
use crate::streams::{Arrival, Line};
use crate::swarm::Command;

/// Requests that are read or wait for their answer, of all devices together.
const REQUESTS: usize = 64;
/// The same, of one device.
const REQUESTS_PER_PEER: usize = 16;
/// Refusals that are being written.
const REFUSALS: usize = 64;
/// Devices whose request rate is watched.
const WATCHED_DEVICES: usize = 1_024;

/// How often each device opens each kind of stream.
type Rates = Buckets<(DeviceId, Kind)>;

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
    rooms: Slots,
}

impl Acceptor {
    pub(crate) fn new(
        door: Door,
        commands: mpsc::WeakSender<Command>,
        rooms: Slots,
        timing: Timing,
        (tasks, cancel): (&TaskTracker, &CancellationToken),
    ) -> Self {
        Self {
            door,
            commands,
            timing,
            tasks: tasks.clone(),
            cancel: cancel.clone(),
            rates: Mutex::new(Buckets::new(WATCHED_DEVICES * Kind::all().count())),
            requests: Slots::new(REQUESTS_PER_PEER, REQUESTS),
            refusals: Arc::new(Semaphore::new(REFUSALS)),
            pairing: Arc::new(Semaphore::new(1)),
            rooms,
        }
    }

    /// Starts the loop. It never waits for anything but the next stream.
    pub(crate) fn spawn(self, mut arrivals: mpsc::Receiver<Arrival>) {
        let (tasks, cancel) = (self.tasks.clone(), self.cancel.clone());
        let judge = async move {
            while let Some(Arrival { peer, protocol, line }) = arrivals.recv().await {
                let Some(device) = device_id(&peer) else { continue };
                match Kind::all().find(|kind| kind.stream() == protocol) {
                    Some(Kind::Request(request)) => self.on_request(device, request, line.stream),
                    Some(Kind::Pair) => self.on_pairing(device, line),
                    Some(Kind::RoomSync) => self.on_room_sync(device, line),
                    None => {}
                }
            }
        };
        tasks.spawn(cancel.run_until_cancelled_owned(judge));
    }

    fn on_request(&self, peer: DeviceId, protocol: Protocol, stream: Stream) {
        if !self.door.allows(&peer) {
            return self.door.refused(Some(peer), DenyReason::UnknownPeer, "request of an unknown device");
        }
        if !self.within_rate(peer, Kind::Request(protocol)) {
            self.door.refused(Some(peer), DenyReason::RateLimited, "requests come too often");
            return self.put_off(stream, "too many requests");
        }
        match self.requests.take(peer) {
            None => {
                self.door.refused(Some(peer), DenyReason::RateLimited, "too many requests at once");
                self.put_off(stream, "busy");
            }
            Some(place) => {
                let common = (self.door.clone(), self.timing);
                self.run(request::serve(stream, peer, protocol, common, place));
            }
        }
    }

    fn on_pairing(&self, peer: DeviceId, line: Line) {
        if !self.door.strangers() {
            return self.door.refused(Some(peer), DenyReason::NotAllowed, "pairing while no offer is open");
        }
        if !self.within_rate(peer, Kind::Pair) {
            return self.door.refused(Some(peer), DenyReason::RateLimited, "pairings come too often");
        }
        let Ok(place) = self.pairing.clone().try_acquire_owned() else {
            return self.door.refused(
                Some(peer),
                DenyReason::RateLimited,
                "a second pairing at the same time",
            );
        };
        let (held, until) = oneshot::channel();
        let stream = PairStream::new(peer, line, held, Some(place), self.timing, (&self.tasks, &self.cancel));
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

    fn on_room_sync(&self, peer: DeviceId, line: Line) {
        if !self.door.allows(&peer) {
            return self.door.refused(
                Some(peer),
                DenyReason::UnknownPeer,
                "room stream of an unknown device",
            );
        }
        if !self.within_rate(peer, Kind::RoomSync) {
            return self.door.refused(Some(peer), DenyReason::RateLimited, "room streams come too often");
        }
        let Some(place) = self.rooms.take(peer) else {
            return self.door.refused(Some(peer), DenyReason::RateLimited, "too many room streams at once");
        };
        let timing = (self.timing.first_byte, self.timing);
        let common = (&self.tasks, &self.cancel);
        let stream = RoomStream::new(line, (peer, place), self.door.clone(), timing, common);
        if !self.door.offer(NetEvent::RoomSync(stream)) {
            tracing::warn!("the node lags behind: a room stream is closed");
        }
    }

    fn within_rate(&self, peer: DeviceId, kind: Kind) -> bool {
        let mut rates = self.rates.lock().unwrap_or_else(PoisonError::into_inner);
        rates.take(Instant::now(), (peer, kind), kind.rate())
    }

    fn put_off(&self, stream: Stream, reason: &'static str) {
        if let Ok(permit) = self.refusals.clone().try_acquire_owned() {
            let idle = self.timing.idle;
            self.run(async move {
                request::put_off(stream, reason, idle).await;
                drop(permit);
            });
        }
    }

    fn run(&self, work: impl Future<Output = ()> + Send + 'static) {
        self.tasks.spawn(self.cancel.clone().run_until_cancelled_owned(work));
    }
}
