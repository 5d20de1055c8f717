//! Two or more devices over real sockets on 127.0.0.1.

mod blobs;
mod finding;
mod hostile;
mod lifecycle;
mod pairing;
mod requests;
mod rooms;

use std::collections::HashSet;
use std::time::Duration;

use keys::DeviceId;
use tokio::sync::mpsc;
use tokio::time::timeout;
use zeroize::Zeroizing;

use crate::protocol::Timing;
use crate::{Blobs, NetError, NetEvent, Network, NetworkConfig, Protocol};

/// Long enough for a loaded machine.
const PATIENCE: Duration = Duration::from_secs(20);

/// Short waits, so that giving up can be seen.
fn hasty() -> Timing {
    Timing {
        first_byte: Duration::from_millis(300),
        idle: Duration::from_millis(600),
        frame: Duration::from_millis(1_500),
        blob_answer: Duration::from_millis(300),
        stranger: Duration::from_millis(400),
        ..Timing::default()
    }
}

/// One device under test.
struct Node {
    network: Network,
    events: mpsc::Receiver<NetEvent>,
    blobs: Blobs,
    _dir: tempfile::TempDir,
}

impl Node {
    async fn start(seed: u8) -> Self {
        Self::start_with(seed, Timing::default()).await
    }

    async fn start_with(seed: u8, timing: Timing) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let blobs = Blobs::open(dir.path()).await.unwrap();
        let started = Network::start_with(config(seed, "/ip4/127.0.0.1/tcp/0"), blobs.clone(), timing).await;
        let (network, events) = started.unwrap();
        Self { network, events, blobs, _dir: dir }
    }

    fn device(&self) -> DeviceId {
        self.network.device()
    }

    fn allow(&self, others: &[DeviceId]) {
        self.network.allow(others.iter().copied().collect::<HashSet<_>>());
    }

    /// The next event that the filter picks; others are dropped, and so refused.
    async fn next<T>(&mut self, mut pick: impl FnMut(NetEvent) -> Option<T>) -> T {
        let found = async {
            loop {
                let event = self.events.recv().await.expect("the network goes on");
                if let Some(found) = pick(event) {
                    return found;
                }
            }
        };
        timeout(PATIENCE, found).await.expect("the event comes")
    }

    async fn next_refusal(&mut self) -> (Option<DeviceId>, &'static str) {
        self.next(|event| match event {
            NetEvent::Refused { peer, what, .. } => Some((peer, what)),
            _ => None,
        })
        .await
    }

    /// Answers every request with its body reversed and lets every blob go; gives the network back.
    fn serve(self) -> (Network, Blobs, tempfile::TempDir) {
        let Self { network, mut events, blobs, _dir } = self;
        tokio::spawn(async move {
            while let Some(event) = events.recv().await {
                match event {
                    NetEvent::Request(request) => {
                        let answer = request.body.iter().rev().copied().collect();
                        request.answer(answer);
                    }
                    NetEvent::Blob { answer, .. } => drop(answer.send(true)),
                    _ => {}
                }
            }
        });
        (network, blobs, _dir)
    }
}

fn config(seed: u8, listen: &str) -> NetworkConfig {
    NetworkConfig {
        seed: Zeroizing::new([seed; 32]),
        listen: vec![listen.to_owned()],
        blob_bind: None,
        agent: "metaclinic-test/1".to_owned(),
        mdns: false,
        answers_searches: true,
    }
}

/// Two devices on each other's allow list.
async fn friends(timing: Timing) -> (Node, Node) {
    let (a, b) = (Node::start_with(1, timing).await, Node::start_with(2, timing).await);
    a.allow(&[b.device()]);
    b.allow(&[a.device()]);
    (a, b)
}

async fn until(mut holds: impl FnMut() -> bool) {
    let wait = async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(PATIENCE, wait).await.expect("it becomes true");
}

async fn hello(from: &Network, to: DeviceId, addresses: &[String]) -> Result<Vec<u8>, NetError> {
    from.request(to, addresses, Protocol::Hello, b"hello".to_vec()).await
}
