//! A peer that keeps to no protocol: bare libp2p under the device key of a home whose owner went bad.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures::{AsyncReadExt, AsyncWriteExt, StreamExt};
use keys::{DeviceId, Keyring, codec};
use libp2p::identity::{Keypair, PublicKey, ed25519};
use libp2p::swarm::SwarmEvent;
use libp2p::{Multiaddr, PeerId, Stream, StreamProtocol, SwarmBuilder, noise, tcp, yamux};
use metaclinic_tests::harness::Daemon;
use serde::Serialize;
use tokio::runtime::{Handle, Runtime};
use tokio::task::JoinHandle;
use tokio::time::timeout;

pub(crate) const HELLO: &str = "/metaclinic/hello/1";
pub(crate) const RECORDS: &str = "/metaclinic/records/1";
pub(crate) const ROLES: &str = "/metaclinic/roles/1";
pub(crate) const ROOM_SYNC: &str = "/metaclinic/room-sync/1";

/// Long enough for a loaded machine, and longer than the daemon waits for a frame.
const PATIENCE: Duration = Duration::from_secs(45);

/// The connection of a hostile device with one daemon.
pub(crate) struct Hostile {
    runtime: Runtime,
    control: libp2p_stream::Control,
    victim: PeerId,
}

impl Hostile {
    /// Connects with the device key of `keyring` to the daemon whose device is `victim`.
    pub(crate) fn connect(keyring: &Keyring, daemon: &Daemon, victim: &DeviceId) -> Self {
        Self::connect_at(keyring, &daemon.listen()[0], victim)
    }

    /// The same, at another address than the daemon tells.
    pub(crate) fn connect_at(keyring: &Keyring, address: &str, victim: &DeviceId) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a runtime");
        let address: Multiaddr = address.parse().expect("an address");
        let key = Keypair::ed25519_from_bytes(keyring.device().seed().to_vec()).expect("a seed");
        let key_of_victim = ed25519::PublicKey::try_from_bytes(victim.as_bytes()).expect("a key");
        let victim = PublicKey::from(key_of_victim).to_peer_id();
        let control = runtime.block_on(async {
            let mut swarm = SwarmBuilder::with_existing_identity(key)
                .with_tokio()
                .with_tcp(tcp::Config::default(), noise::Config::new, yamux::Config::default)
                .expect("TCP")
                .with_behaviour(|_| libp2p_stream::Behaviour::new())
                .expect("streams")
                .with_swarm_config(|c| c.with_idle_connection_timeout(Duration::from_secs(600)))
                .build();
            let control = swarm.behaviour().new_control();
            swarm.dial(address).expect("dials");
            let established = async {
                while !matches!(swarm.select_next_some().await, SwarmEvent::ConnectionEstablished { .. }) {}
            };
            timeout(PATIENCE, established).await.expect("the daemon lets it in");
            tokio::spawn(async move {
                loop {
                    swarm.select_next_some().await;
                }
            });
            control
        });
        Self { runtime, control, victim }
    }

    /// Sends `bytes` as they are on a stream of `protocol`, says that no more come, and gives what the daemon answers
    /// until it closes.
    pub(crate) fn send(&self, protocol: &'static str, bytes: &[u8]) -> Vec<u8> {
        self.talk(protocol, bytes, true)
    }

    /// The same, but leaves its own side open: the daemon has to end it.
    pub(crate) fn linger(&self, protocol: &'static str, bytes: &[u8]) -> Vec<u8> {
        self.talk(protocol, bytes, false)
    }

    fn talk(&self, protocol: &'static str, bytes: &[u8], close: bool) -> Vec<u8> {
        let mut control = self.control.clone();
        self.runtime.block_on(async {
            let opened = control.open_stream(self.victim, StreamProtocol::new(protocol));
            let mut stream: Stream =
                timeout(PATIENCE, opened).await.expect("opens in time").expect("the protocol is spoken");
            // The daemon may close in the middle of this; what it said before is what counts.
            let _ = stream.write_all(bytes).await;
            let _ = stream.flush().await;
            if close {
                let _ = stream.close().await;
            }
            let mut answer = Vec::new();
            let read = timeout(PATIENCE, stream.read_to_end(&mut answer)).await;
            let _ = read.expect("the daemon ends the stream");
            answer
        })
    }

    /// The same as [`Hostile::send`] over a line that may break: then what came until it did.
    pub(crate) fn try_send(&self, protocol: &'static str, bytes: &[u8]) -> Vec<u8> {
        let mut control = self.control.clone();
        self.runtime.block_on(async {
            let talk = async {
                let protocol = StreamProtocol::new(protocol);
                let mut answer = Vec::new();
                if let Ok(mut stream) = control.open_stream(self.victim, protocol).await {
                    let _ = stream.write_all(bytes).await;
                    let _ = stream.close().await;
                    let _ = stream.read_to_end(&mut answer).await;
                }
                answer
            };
            timeout(PATIENCE, talk).await.expect("ends in time")
        })
    }

    /// Waits for the daemon to ask something, and answers it.
    pub(crate) fn answer(&self, protocol: &'static str, body: &[u8]) {
        let mut control = self.control.clone();
        self.runtime.block_on(async {
            let incoming = control.accept(StreamProtocol::new(protocol));
            let mut incoming = incoming.expect("nobody else answers");
            let (_, mut stream) =
                timeout(PATIENCE, incoming.next()).await.expect("asked in time").expect("open");
            let mut head = [0; 4];
            stream.read_exact(&mut head).await.expect("a frame");
            let mut request = vec![0; u32::from_be_bytes(head) as usize];
            stream.read_exact(&mut request).await.expect("a whole frame");
            stream.write_all(&frame(&[&[0], body].concat())).await.expect("written");
            let _ = stream.close().await;
        });
    }

    /// Answers everything that the daemon asks over `protocol` with `body`, until the answering is dropped.
    pub(crate) fn answering(&self, protocol: &'static str, body: Vec<u8>) -> Answering {
        let mut control = self.control.clone();
        let mut incoming = control.accept(StreamProtocol::new(protocol)).expect("nobody else answers");
        let answered = Arc::new(AtomicU64::new(0));
        let count = Arc::clone(&answered);
        let task = self.runtime.spawn(async move {
            while let Some((_, mut stream)) = incoming.next().await {
                let mut head = [0; 4];
                if stream.read_exact(&mut head).await.is_err() {
                    continue;
                }
                let mut request = vec![0; u32::from_be_bytes(head) as usize];
                if stream.read_exact(&mut request).await.is_ok() {
                    count.fetch_add(1, Ordering::SeqCst);
                    let _ = stream.write_all(&frame(&[&[0], &body[..]].concat())).await;
                    let _ = stream.close().await;
                }
            }
        });
        Answering { runtime: self.runtime.handle().clone(), task, answered }
    }

    /// One request; the status byte of the answer, and what follows it.
    pub(crate) fn request(&self, protocol: &'static str, body: &[u8]) -> (u8, Vec<u8>) {
        let answer = self.send(protocol, &frame(body));
        match answer.as_slice() {
            [_, _, _, _, status, rest @ ..] => (*status, rest.to_vec()),
            other => panic!("no answer to a request: {other:?}"),
        }
    }

    /// A request that gets no answer but a reason.
    pub(crate) fn refused(&self, protocol: &'static str, body: &[u8]) -> String {
        let (status, reason) = self.request(protocol, body);
        assert_ne!(status, 0, "it was answered");
        String::from_utf8(reason).expect("a reason in words")
    }
}

/// Answers the daemon until it is dropped.
pub(crate) struct Answering {
    runtime: Handle,
    task: JoinHandle<()>,
    answered: Arc<AtomicU64>,
}

impl Answering {
    /// How often the daemon was answered so far.
    pub(crate) fn count(&self) -> u64 {
        self.answered.load(Ordering::SeqCst)
    }
}

impl Drop for Answering {
    fn drop(&mut self) {
        self.task.abort();
        // Only once it is gone can another one answer.
        let _ = self.runtime.block_on(&mut self.task);
    }
}

/// A frame around `body`: its length, big-endian, and itself.
pub(crate) fn frame(body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len()).expect("short");
    [&length.to_be_bytes()[..], body].concat()
}

/// The head of a frame that claims so many bytes and brings none.
pub(crate) fn claim(bytes: u32) -> Vec<u8> {
    bytes.to_be_bytes().to_vec()
}

/// `records/1`: what a peer asks.
pub(crate) fn records_request(query: &str) -> Vec<u8> {
    #[derive(Serialize)]
    struct Request<'a> {
        version: u8,
        query: &'a str,
        purpose: keys::Purpose,
        offset: u64,
    }
    codec::encode(&Request { version: 1, query, purpose: keys::Purpose::Treatment, offset: 0 })
}
