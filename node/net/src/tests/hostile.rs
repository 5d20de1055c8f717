//! Peers that do not keep to the protocol, written with bare libp2p.

use futures::{AsyncReadExt, AsyncWriteExt, StreamExt};
use libp2p::identity::Keypair;
use libp2p::swarm::SwarmEvent;
use libp2p::{Multiaddr, PeerId, Stream, StreamProtocol, SwarmBuilder, noise, tcp, yamux};
use tokio_util::task::AbortOnDropHandle;

use super::*;
use crate::protocol::{KAD, PAIR, ROOM_SYNC};
use crate::search::question;
use crate::{RoomReceiver, RoomSender};

/// A device with no rules of its own.
struct Raw {
    device: DeviceId,
    peer: PeerId,
    control: libp2p_stream::Control,
    dials: mpsc::Sender<Multiaddr>,
    closed: mpsc::Receiver<()>,
    opened: mpsc::Receiver<()>,
    _task: AbortOnDropHandle<()>,
}

impl Raw {
    fn new(seed: u8, target: &Node) -> Self {
        let key = Keypair::ed25519_from_bytes([seed; 32]).unwrap();
        let device = crate::peer::device_id(&key.public().to_peer_id()).unwrap();
        let mut swarm = SwarmBuilder::with_existing_identity(key)
            .with_tokio()
            .with_tcp(tcp::Config::default(), noise::Config::new, yamux::Config::default)
            .unwrap()
            .with_behaviour(|_| libp2p_stream::Behaviour::new())
            .unwrap()
            .with_swarm_config(|c| c.with_idle_connection_timeout(Duration::from_secs(60)))
            .build();
        let control = swarm.behaviour().new_control();
        let (dials, mut to_dial) = mpsc::channel::<Multiaddr>(8);
        let ((closes, closed), (opens, opened)) = (mpsc::channel(64), mpsc::channel(64));
        let task = tokio::spawn(async move {
            loop {
                tokio::select! {
                    Some(address) = to_dial.recv() => swarm.dial(address).unwrap(),
                    event = swarm.select_next_some() => match event {
                        SwarmEvent::ConnectionEstablished { .. } => drop(opens.send(()).await),
                        SwarmEvent::ConnectionClosed { .. } => drop(closes.send(()).await),
                        _ => {}
                    },
                }
            }
        });
        let peer = crate::peer::peer_id(&target.device()).unwrap();
        Self { device, peer, control, dials, closed, opened, _task: AbortOnDropHandle::new(task) }
    }

    async fn connect(&mut self, target: &Node) {
        let address: Multiaddr = target.network.addresses()[0].parse().unwrap();
        self.dials.send(address).await.unwrap();
        timeout(PATIENCE, self.opened.recv()).await.unwrap().unwrap();
    }

    async fn open(&mut self, protocol: StreamProtocol) -> Stream {
        timeout(PATIENCE, self.control.open_stream(self.peer, protocol)).await.unwrap().unwrap()
    }
}

/// A device on the allow list that talks as it likes.
async fn intruder(timing: Timing) -> (Node, Raw) {
    let node = Node::start_with(1, timing).await;
    let mut raw = Raw::new(9, &node);
    node.allow(&[raw.device]);
    raw.connect(&node).await;
    (node, raw)
}

/// Everything the node sends on a stream until it closes.
async fn answer(stream: &mut Stream) -> Vec<u8> {
    let mut bytes = Vec::new();
    let _ = timeout(PATIENCE, stream.read_to_end(&mut bytes)).await.expect("the stream ends");
    bytes
}

fn resident_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|l| l.strip_prefix("VmRSS:"));
    line.and_then(|l| l.split_whitespace().next()).and_then(|n| n.parse().ok()).unwrap_or(0)
}

#[tokio::test]
async fn claimed_gigabyte_costs_no_memory_and_is_refused() {
    let (mut node, mut raw) = intruder(Timing::default()).await;
    let before = resident_kib();
    for _ in 0..10 {
        let mut stream = raw.open(Protocol::Records.stream()).await;
        stream.write_all(&(1u32 << 30).to_be_bytes()).await.unwrap();
        stream.flush().await.unwrap();
        assert!(answer(&mut stream).await.ends_with(b"request too large"));
    }
    assert!(resident_kib().saturating_sub(before) < 32 * 1024, "{} KiB", resident_kib());
    assert_eq!(node.next_refusal().await, (Some(raw.device), "request above its size limit"));
    assert_eq!(node.network.peers(), [raw.device], "the connection may go on");
}

#[tokio::test]
async fn slow_sender_is_closed() {
    let (_node, mut raw) = intruder(hasty()).await;
    let mut silent = raw.open(Protocol::Hello.stream()).await;
    silent.flush().await.unwrap();
    assert!(answer(&mut silent).await.is_empty());

    let mut torn = raw.open(Protocol::Hello.stream()).await;
    torn.write_all(&100u32.to_be_bytes()).await.unwrap();
    torn.flush().await.unwrap();
    assert!(answer(&mut torn).await.is_empty());

    let trickle = raw.open(Protocol::Hello.stream()).await;
    let (mut reader, mut writer) = trickle.split();
    let writes = async {
        writer.write_all(&10_000u32.to_be_bytes()).await?;
        loop {
            writer.write_all(&[0]).await?;
            writer.flush().await?;
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    let mut bytes = Vec::new();
    let end: Result<(), std::io::Error> = tokio::select! {
        end = writes => end,
        read = timeout(PATIENCE, reader.read_to_end(&mut bytes)) => read.expect("the trickle is cut").map(|_| ()),
    };
    assert!(bytes.is_empty(), "{end:?}");
}

#[tokio::test]
async fn stranger_may_open_nothing_but_pairing() {
    let mut node = Node::start(1).await;
    node.network.open_to_strangers(true);
    let mut raw = Raw::new(9, &node);
    raw.connect(&node).await;
    for protocol in Protocol::ALL {
        let mut stream = raw.open(protocol.stream()).await;
        let _ = stream.write_all(&[0, 0, 0, 1, 7]).await;
        let _ = stream.flush().await;
        assert!(answer(&mut stream).await.is_empty());
        assert_eq!(node.next_refusal().await, (Some(raw.device), "request of an unknown device"));
    }
    let mut stream = raw.open(ROOM_SYNC).await;
    let _ = stream.flush().await;
    assert!(answer(&mut stream).await.is_empty());
    assert_eq!(node.next_refusal().await, (Some(raw.device), "room stream of an unknown device"));
    let mut stream = raw.open(PAIR).await;
    stream.write_all(&[0, 0, 0, 1, 7]).await.unwrap();
    stream.flush().await.unwrap();
    let mut pairing = node.next(|e| if let NetEvent::Pairing(p) = e { Some(p) } else { None }).await;
    assert_eq!(pairing.recv().await.unwrap(), Some(vec![7]));
    assert!(node.network.peers().is_empty(), "a stranger is no peer");
    drop(pairing);
    timeout(PATIENCE, raw.closed.recv()).await.expect("the connection ends with the pairing").unwrap();
}

#[tokio::test]
async fn pairing_frame_above_four_kib_is_refused() {
    let mut node = Node::start(1).await;
    node.network.open_to_strangers(true);
    let mut raw = Raw::new(9, &node);
    raw.connect(&node).await;
    let mut stream = raw.open(PAIR).await;
    stream.write_all(&4097u32.to_be_bytes()).await.unwrap();
    stream.flush().await.unwrap();
    let mut pairing = node.next(|e| if let NetEvent::Pairing(p) = e { Some(p) } else { None }).await;
    assert!(matches!(pairing.recv().await, Err(NetError::TooLarge { size: 4097, limit: 4096, .. })));
    assert!(matches!(pairing.recv().await, Ok(None)));
}

#[tokio::test]
async fn stranger_that_only_sits_there_is_closed() {
    let node = Node::start_with(1, hasty()).await;
    node.network.open_to_strangers(true);
    let mut raw = Raw::new(9, &node);
    raw.connect(&node).await;
    timeout(PATIENCE, raw.closed.recv()).await.unwrap().unwrap();
}

#[tokio::test]
async fn stranger_is_closed_when_the_offer_ends() {
    let node = Node::start(1).await;
    node.network.open_to_strangers(true);
    let mut raw = Raw::new(9, &node);
    raw.connect(&node).await;
    node.network.open_to_strangers(false);
    timeout(PATIENCE, raw.closed.recv()).await.unwrap().unwrap();
}

#[tokio::test]
async fn third_connection_of_a_device_is_denied() {
    let (mut node, mut raw) = intruder(Timing::default()).await;
    raw.connect(&node).await;
    raw.connect(&node).await;
    timeout(PATIENCE, raw.closed.recv()).await.unwrap().unwrap();
    assert_eq!(node.next_refusal().await, (Some(raw.device), "too many connections"));
    assert_eq!(node.network.peers(), [raw.device]);
}

#[tokio::test]
async fn flood_of_refusals_is_told_in_part() {
    let mut node = Node::start(1).await;
    node.network.open_to_strangers(true);
    let mut raw = Raw::new(9, &node);
    raw.connect(&node).await;
    for _ in 0..100 {
        let mut stream = raw.open(Protocol::Hello.stream()).await;
        let _ = stream.write_all(&[0]).await;
        let _ = stream.flush().await;
        assert!(answer(&mut stream).await.is_empty());
    }
    let mut told = 0;
    while let Ok(Some(event)) = timeout(Duration::from_millis(200), node.events.recv()).await {
        told += usize::from(matches!(event, NetEvent::Refused { .. }));
    }
    assert!((60..=62).contains(&told), "{told}");
}

/// A room stream of a device that talks as it likes, and the node's end of it.
async fn room_stream(node: &mut Node, raw: &mut Raw) -> (Stream, (RoomSender, RoomReceiver)) {
    let mut stream = raw.open(ROOM_SYNC).await;
    stream.flush().await.unwrap();
    let far = node.next(|e| if let NetEvent::RoomSync(s) = e { Some(s) } else { None }).await;
    assert_eq!(far.peer(), raw.device);
    (stream, far.split())
}

#[tokio::test]
async fn room_frame_above_one_mebibyte_costs_no_memory_and_is_refused() {
    let (mut node, mut raw) = intruder(Timing::default()).await;
    let before = resident_kib();
    for claimed in [(1u32 << 20) + 1, 1 << 30, u32::MAX] {
        let (mut stream, (_sender, mut receiver)) = room_stream(&mut node, &mut raw).await;
        stream.write_all(&[0, 0, 0, 1, 7]).await.unwrap();
        stream.write_all(&claimed.to_be_bytes()).await.unwrap();
        stream.flush().await.unwrap();
        assert_eq!(receiver.recv().await.unwrap(), Some(vec![7]));
        let end = timeout(PATIENCE, receiver.recv()).await.unwrap();
        assert!(matches!(end, Err(NetError::TooLarge { limit: 1_048_576, .. })), "{end:?}");
        assert_eq!(receiver.recv().await.unwrap(), None);
    }
    assert!(resident_kib().saturating_sub(before) < 32 * 1024, "{} KiB", resident_kib());
    assert_eq!(node.network.peers(), [raw.device], "the connection may go on");
}

#[tokio::test]
async fn room_frame_that_trickles_or_stops_is_given_up() {
    let (mut node, mut raw) = intruder(hasty()).await;
    let (mut torn, (_sender, mut receiver)) = room_stream(&mut node, &mut raw).await;
    torn.write_all(&[0, 0, 0, 1, 7]).await.unwrap();
    torn.write_all(&[0, 0, 1, 0, 7, 7]).await.unwrap();
    torn.flush().await.unwrap();
    assert_eq!(receiver.recv().await.unwrap(), Some(vec![7]));
    let end = timeout(PATIENCE, receiver.recv()).await.unwrap();
    assert!(matches!(end, Err(NetError::Timeout(_))), "{end:?}");

    let (mut trickle, (_sender, mut receiver)) = room_stream(&mut node, &mut raw).await;
    let writes = async {
        trickle.write_all(&[0, 0, 1, 0]).await?;
        loop {
            trickle.write_all(&[7]).await?;
            trickle.flush().await?;
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::select! {
        end = timeout(PATIENCE, receiver.recv()) => {
            assert!(matches!(end, Ok(Err(NetError::Timeout(_)))), "{end:?}");
        }
        end = writes => { let end: std::io::Result<()> = end; panic!("{end:?}") }
    }
}

#[tokio::test]
async fn flood_of_room_streams_costs_places_not_the_connection() {
    let (mut node, mut raw) = intruder(Timing::default()).await;
    let mut held = Vec::new();
    for _ in 0..64 {
        held.push(room_stream(&mut node, &mut raw).await);
    }
    for _ in 0..40 {
        let mut stream = raw.open(ROOM_SYNC).await;
        let _ = stream.flush().await;
        assert!(answer(&mut stream).await.is_empty());
        assert_eq!(node.next_refusal().await, (Some(raw.device), "too many room streams at once"));
    }
    assert_eq!(node.network.peers(), [raw.device]);
    held.clear();
    drop(room_stream(&mut node, &mut raw).await);
}

#[tokio::test]
async fn node_that_does_not_read_is_sent_a_window_and_no_more() {
    let (mut node, mut raw) = intruder(Timing::default()).await;
    let (mut stream, (_sender, mut receiver)) = room_stream(&mut node, &mut raw).await;
    let frame = [(1u32 << 20).to_be_bytes().as_slice(), &[7; 1 << 20]].concat();
    // Fast at first, so that a window that can grow does.
    let reads = async {
        for _ in 0..8 {
            receiver.recv().await.unwrap().unwrap();
        }
    };
    let writes = async {
        for _ in 0..8 {
            stream.write_all(&frame).await.unwrap();
        }
        stream.flush().await.unwrap();
    };
    tokio::join!(reads, writes);
    let mut sent = 0;
    while let Ok(wrote) = timeout(Duration::from_millis(500), stream.write(&frame[..])).await {
        sent += wrote.unwrap();
    }
    assert!(sent < 3 << 20, "{sent}");
}

/// A question of Kademlia as its specification encodes it: a message type and a key.
fn kad_message(kind: u8, key: &[u8]) -> Vec<u8> {
    let mut body = vec![0x08, kind, 0x12, u8::try_from(key.len()).unwrap()];
    body.extend_from_slice(key);
    let mut message = vec![u8::try_from(body.len()).unwrap()];
    message.append(&mut body);
    message
}

/// An answer without a peer is shorter than this; the id of a peer alone is longer.
const NOTHING_BYTES: usize = 16;
const FIND_NODE: u8 = 4;
const GET_PROVIDERS: u8 = 3;
const GET_VALUE: u8 = 1;

async fn ask_kad(raw: &mut Raw, message: &[u8]) -> Vec<u8> {
    let mut stream = raw.open(KAD).await;
    stream.write_all(message).await.unwrap();
    stream.flush().await.unwrap();
    let mut bytes = [0; 512];
    // A refused stream may stay open and silent until its time is over.
    let read = timeout(Duration::from_secs(2), stream.read(&mut bytes)).await;
    bytes[..read.map_or(0, |read| read.unwrap_or(0))].to_vec()
}

fn holds(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

#[tokio::test]
async fn unknown_device_that_searches_is_told_nothing() {
    let mut node = Node::start(1).await;
    node.network.open_to_strangers(true);
    let mut raw = Raw::new(9, &node);
    let known = DeviceId::from_bytes([3; 32]);
    node.allow(&[known]);
    node.network.tell_of([(known, vec!["/ip4/10.0.0.1/tcp/4001".to_owned()])].into());
    raw.connect(&node).await;
    let key = question(&raw.device, &known);
    let told = ask_kad(&mut raw, &kad_message(FIND_NODE, &key)).await;
    assert!(told.len() < NOTHING_BYTES, "{told:?}");
    assert_eq!(node.next_refusal().await, (Some(raw.device), "search of an unknown device"));
}

#[tokio::test]
async fn a_search_tells_of_the_one_that_is_meant_and_of_nobody_near_it() {
    let (mut node, mut raw) = intruder(Timing::default()).await;
    let (told, untold) = (Node::start(3).await.device(), Node::start(4).await.device());
    node.allow(&[raw.device, told, untold]);
    node.network.tell_of([(told, vec!["/ip4/10.0.0.1/tcp/4001".to_owned()])].into());
    let told_key = crate::peer::peer_id(&told).unwrap().to_bytes();
    let key = question(&raw.device, &told);
    let hit = ask_kad(&mut raw, &kad_message(FIND_NODE, &key)).await;
    assert!(holds(&hit, &told_key), "{hit:?}");
    let others = [
        question(&raw.device, &untold).to_vec(),
        // The question of another device, overheard or guessed.
        question(&untold, &told).to_vec(),
        told_key.clone(),
        vec![0; 32],
        Vec::new(),
    ];
    for key in others {
        let miss = ask_kad(&mut raw, &kad_message(FIND_NODE, &key)).await;
        assert!(!holds(&miss, &told_key) && miss.len() < NOTHING_BYTES, "{miss:?}");
    }
    for kind in [GET_PROVIDERS, GET_VALUE] {
        assert!(ask_kad(&mut raw, &kad_message(kind, &[1; 32])).await.is_empty());
        assert_eq!(node.next_refusal().await, (Some(raw.device), "records in a search"));
    }
}

#[tokio::test]
async fn searches_without_end_are_refused() {
    let (mut node, mut raw) = intruder(Timing::default()).await;
    let message = kad_message(FIND_NODE, &[7; 32]);
    for _ in 0..=crate::protocol::SEARCH_RATE.burst {
        ask_kad(&mut raw, &message).await;
    }
    assert_eq!(node.next_refusal().await, (Some(raw.device), "searches come too often"));
}
