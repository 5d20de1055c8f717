//! Serving blobs over iroh: single blobs only, to allowed devices only, each after asking the node.
//!
//! Requests for many blobs, for hash sequences, to observe and to push are refused.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use iroh::endpoint::{Connection, QuicTransportConfig, VarInt, presets};
use iroh::protocol::{AcceptError, ProtocolHandler, Router};
use iroh::{Endpoint, RelayMode, SecretKey};
use iroh_blobs::provider::events::{
    AbortReason, ConnectMode, EventMask, EventSender, ObserveMode, ProviderMessage, RequestMode, ThrottleMode,
};
use iroh_blobs::store::fs::FsStore;
use keys::{DenyReason, DeviceId};
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use zeroize::Zeroizing;

use crate::access::Door;
use crate::blobs::Blobs;
use crate::error::NetError;
use crate::limit::{Buckets, Slots};
use crate::network::NetEvent;
use crate::protocol::{BLOB_RATE, Timing};

/// Blobs on their way to one device at once.
const TRANSFERS_PER_PEER: usize = 4;
/// Blobs on their way to all devices at once.
const TRANSFERS: usize = 64;
/// Blob connections of one device.
const CONNECTIONS_PER_PEER: usize = 2;
/// Blob connections of all devices.
const CONNECTIONS: usize = 256;
/// Streams that a device may open on one connection; a request is at most 1 MiB (iroh-blobs).
const STREAMS: u32 = 8;
/// Requests that wait to be judged on one connection.
const QUEUED_REQUESTS: usize = 8;
/// Devices whose request rate is watched.
const WATCHED_DEVICES: usize = 1_024;
/// The router gets this long to close its connections at shutdown.
const GOODBYE: Duration = Duration::from_millis(2_000);
/// Close code for a device that is not allowed; as iroh-blobs' own "permission".
const NOT_ALLOWED: VarInt = VarInt::from_u32(1);
/// Close code for too many connections; as iroh-blobs' own "limit".
const TOO_MANY: VarInt = VarInt::from_u32(2);

/// What the provider asks before it acts, and what it never does.
const MASK: EventMask = EventMask {
    connected: ConnectMode::None,
    get: RequestMode::Intercept,
    get_many: RequestMode::Disabled,
    push: RequestMode::Disabled,
    observe: ObserveMode::Intercept,
    throttle: ThrottleMode::None,
};

/// Opens the UDP socket. No relay, no address lookup, no probes: nothing is contacted by itself.
pub(crate) async fn bind(
    seed: &Zeroizing<[u8; 32]>,
    address: Option<SocketAddr>,
) -> Result<Endpoint, NetError> {
    let address = address.unwrap_or_else(|| SocketAddr::from((Ipv4Addr::LOCALHOST, 0)));
    let transport = QuicTransportConfig::builder()
        .max_concurrent_bidi_streams(VarInt::from_u32(STREAMS))
        .max_concurrent_uni_streams(VarInt::from_u32(0))
        .build();
    let failed = |source| NetError::BlobBind { address, source };
    Endpoint::builder(presets::Minimal)
        .secret_key(SecretKey::from_bytes(seed))
        .relay_mode(RelayMode::Disabled)
        .clear_address_lookup()
        .transport_config(transport)
        .clear_ip_transports()
        .bind_addr(address)
        .map_err(|e| failed(e.into()))?
        .bind()
        .await
        .map_err(|e| failed(e.into()))
}

/// Starts to serve; ends with the token.
pub(crate) fn spawn(
    endpoint: Endpoint,
    blobs: &Blobs,
    door: &Door,
    timing: Timing,
    (tasks, cancel): (&TaskTracker, &CancellationToken),
) {
    let server = Server {
        store: blobs.store.clone(),
        door: door.clone(),
        timing,
        tasks: tasks.clone(),
        cancel: cancel.clone(),
        connections: Slots::new(CONNECTIONS_PER_PEER, CONNECTIONS),
        transfers: Slots::new(TRANSFERS_PER_PEER, TRANSFERS),
        connection_rate: Arc::new(Mutex::new(Buckets::new(WATCHED_DEVICES))),
        request_rate: Arc::new(Mutex::new(Buckets::new(WATCHED_DEVICES))),
    };
    let router = Router::builder(endpoint).accept(iroh_blobs::ALPN, server).spawn();
    let cancel = cancel.clone();
    tasks.spawn(async move {
        cancel.cancelled().await;
        match timeout(GOODBYE, router.shutdown()).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(%error, "the blob server did not end cleanly"),
            Err(_) => tracing::debug!("some blob connections did not close in time"),
        }
    });
}

/// The protocol handler; unlike the one of iroh-blobs it leaves the store open at shutdown.
#[derive(Clone)]
struct Server {
    store: FsStore,
    door: Door,
    timing: Timing,
    tasks: TaskTracker,
    cancel: CancellationToken,
    connections: Slots,
    transfers: Slots,
    connection_rate: Arc<Mutex<Buckets<DeviceId>>>,
    request_rate: Arc<Mutex<Buckets<DeviceId>>>,
}

impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Server")
    }
}

impl ProtocolHandler for Server {
    async fn accept(&self, connection: Connection) -> Result<(), AcceptError> {
        let peer = DeviceId::from_bytes(*connection.remote_id().as_bytes());
        if !self.door.allows(&peer) {
            self.door.refused(Some(peer), DenyReason::UnknownPeer, "blob connection of an unknown device");
            connection.close(NOT_ALLOWED, b"not allowed");
            return Ok(());
        }
        let often = !take(&self.connection_rate, peer, BLOB_RATE);
        let Some(_place) = (if often { None } else { self.connections.take(peer) }) else {
            self.door.refused(Some(peer), DenyReason::RateLimited, "too many blob connections");
            connection.close(TOO_MANY, b"too many connections");
            return Ok(());
        };
        let (events, asked) = EventSender::channel(QUEUED_REQUESTS, MASK);
        tokio::select! {
            () = iroh_blobs::provider::handle_connection(connection.clone(), self.store.clone().into(), events) => {}
            () = self.judge(peer, asked) => {}
            () = self.door.expelled(&peer) => connection.close(NOT_ALLOWED, b"not allowed"),
        }
        Ok(())
    }
}

impl Server {
    /// Answers the provider's questions about one connection; the connection may be gone when it does.
    async fn judge(&self, peer: DeviceId, mut asked: mpsc::Receiver<ProviderMessage>) {
        while let Some(message) = asked.recv().await {
            match message {
                ProviderMessage::GetRequestReceived(get) => {
                    let request = get.inner.request;
                    if !request.ranges.is_blob() {
                        self.door.refused(
                            Some(peer),
                            DenyReason::Malformed,
                            "request for more than one blob",
                        );
                        let _ = get.tx.send(Err(AbortReason::Permission)).await;
                        continue;
                    }
                    let place = self.transfers.take(peer);
                    if place.is_none() || !take(&self.request_rate, peer, BLOB_RATE) {
                        self.door.refused(Some(peer), DenyReason::RateLimited, "too many blob requests");
                        let _ = get.tx.send(Err(AbortReason::RateLimited)).await;
                        continue;
                    }
                    let (server, tx, mut rx) = (self.clone(), get.tx, get.rx);
                    let stop = self.cancel.clone();
                    self.tasks.spawn(stop.run_until_cancelled_owned(async move {
                        let may = server.ask(peer, *request.hash.as_bytes()).await;
                        let _ = tx.send(if may { Ok(()) } else { Err(AbortReason::Permission) }).await;
                        // The provider holds the other end until the transfer ends, and so do we the place.
                        while let Ok(Some(_)) = rx.recv().await {}
                        drop(place);
                    }));
                }
                ProviderMessage::ObserveRequestReceived(observe) => {
                    self.door.refused(Some(peer), DenyReason::NotAllowed, "observing a blob");
                    let _ = observe.tx.send(Err(AbortReason::Permission)).await;
                }
                // Disabled by the mask; without an answer the provider refuses too.
                _ => {}
            }
        }
    }

    /// Whether the node lets the device have the blob; no answer in time is a no.
    async fn ask(&self, peer: DeviceId, hash: [u8; 32]) -> bool {
        let (reply, decided) = oneshot::channel();
        if !self.door.tell(NetEvent::Blob { peer, hash, answer: reply }) {
            return false;
        }
        matches!(timeout(self.timing.blob_answer, decided).await, Ok(Ok(true)))
    }
}

fn take(rates: &Mutex<Buckets<DeviceId>>, peer: DeviceId, rate: crate::limit::Rate) -> bool {
    rates.lock().unwrap_or_else(PoisonError::into_inner).take(Instant::now(), peer, rate)
}
