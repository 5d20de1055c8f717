//! Room streams between devices that know each other.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::*;
use crate::protocol::ROOM_FRAME_BYTES;
use crate::{RoomReceiver, RoomSender, RoomStream};

fn room_sync(event: NetEvent) -> Option<RoomStream> {
    if let NetEvent::RoomSync(stream) = event { Some(stream) } else { None }
}

/// Both ends of a room stream that `a` opened.
async fn connected(a: &Node, b: &mut Node) -> ((RoomSender, RoomReceiver), (RoomSender, RoomReceiver)) {
    let near = a.network.open_room_sync(b.device(), &b.network.addresses()).await.unwrap();
    let far = b.next(room_sync).await;
    assert_eq!((near.peer(), far.peer()), (b.device(), a.device()));
    (near.split(), far.split())
}

async fn recv(receiver: &mut RoomReceiver) -> Result<Option<Vec<u8>>, NetError> {
    timeout(PATIENCE, receiver.recv()).await.expect("something comes")
}

#[tokio::test]
async fn room_frames_go_both_ways_up_to_the_limit() {
    let (a, mut b) = friends(Timing::default()).await;
    let ((mut to_b, mut from_b), (mut to_a, mut from_a)) = connected(&a, &mut b).await;
    for size in [0, 1, 65_537, ROOM_FRAME_BYTES] {
        let body: Vec<u8> = (0..size).map(|i| (i % 251) as u8).collect();
        let (sent, got) = tokio::join!(to_b.send(body.clone()), recv(&mut from_a));
        sent.unwrap();
        assert!(got.unwrap().unwrap() == body);
        let (sent, got) = tokio::join!(to_a.send(body.clone()), recv(&mut from_b));
        sent.unwrap();
        assert!(got.unwrap().unwrap() == body);
    }
    let error = to_b.send(vec![0; ROOM_FRAME_BYTES + 1]).await.unwrap_err();
    assert!(matches!(error, NetError::TooLarge { limit: 1_048_576, .. }), "{error}");
    to_b.send(vec![7]).await.unwrap();
    to_b.close().await;
    assert_eq!(recv(&mut from_a).await.unwrap(), Some(vec![7]));
    assert_eq!(recv(&mut from_a).await.unwrap(), None);
    to_a.send(vec![8]).await.unwrap();
    assert_eq!(recv(&mut from_b).await.unwrap(), Some(vec![8]), "the other direction goes on");
}

#[tokio::test]
async fn dropped_room_stream_ends_at_the_other_side() {
    let (a, mut b) = friends(Timing::default()).await;
    let ((mut to_b, from_b), (to_a, mut from_a)) = connected(&a, &mut b).await;
    to_b.send(vec![1]).await.unwrap();
    assert_eq!(recv(&mut from_a).await.unwrap(), Some(vec![1]));
    drop((to_b, from_b));
    let end = recv(&mut from_a).await;
    assert!(matches!(end, Ok(None) | Err(NetError::Lost(_))), "{end:?}");
    drop((to_a, from_a));
    drop(connected(&a, &mut b).await);
}

#[tokio::test]
async fn silent_room_stream_stays_open_after_its_first_frame() {
    let (a, mut b) = friends(hasty()).await;
    let ((mut to_b, mut from_b), (mut to_a, mut from_a)) = connected(&a, &mut b).await;
    to_b.send(vec![1]).await.unwrap();
    to_a.send(vec![2]).await.unwrap();
    assert_eq!(recv(&mut from_a).await.unwrap(), Some(vec![1]));
    assert_eq!(recv(&mut from_b).await.unwrap(), Some(vec![2]));
    // Longer than any wait that has a limit.
    let silence = timeout(Duration::from_millis(2_000), from_a.recv()).await;
    assert!(silence.is_err(), "{silence:?}");
    to_b.send(vec![3]).await.unwrap();
    assert_eq!(recv(&mut from_a).await.unwrap(), Some(vec![3]));
}

#[tokio::test]
async fn room_stream_without_a_first_frame_is_given_up() {
    let (a, mut b) = friends(hasty()).await;
    let ((_to_b, mut from_b), (_to_a, mut from_a)) = connected(&a, &mut b).await;
    let began = Instant::now();
    let end = recv(&mut from_a).await;
    assert!(matches!(end, Err(NetError::Timeout(_))), "{end:?}");
    assert!(began.elapsed() < Duration::from_secs(5));
    assert_eq!(recv(&mut from_a).await.unwrap(), None);
    assert!(matches!(recv(&mut from_b).await, Err(NetError::Timeout(_))));
}

#[tokio::test]
async fn receiving_can_be_given_up_in_the_middle_of_a_frame() {
    let (a, mut b) = friends(Timing::default()).await;
    let ((mut to_b, _from_b), (_to_a, mut from_a)) = connected(&a, &mut b).await;
    let body: Vec<u8> = (0..ROOM_FRAME_BYTES).map(|i| (i % 253) as u8).collect();
    let sends = async {
        for _ in 0..4 {
            to_b.send(body.clone()).await.unwrap();
        }
    };
    let receives = async {
        let mut got = 0;
        while got < 4 {
            match timeout(Duration::from_micros(200), from_a.recv()).await {
                Ok(frame) => {
                    assert!(frame.unwrap().unwrap() == body);
                    got += 1;
                }
                Err(_) => tokio::task::yield_now().await,
            }
        }
    };
    timeout(PATIENCE, async { tokio::join!(sends, receives) }).await.expect("all arrive");
}

#[tokio::test]
async fn device_that_leaves_the_allow_list_loses_its_room_streams() {
    let (a, mut b) = friends(Timing::default()).await;
    let ((mut to_b, mut from_b), (mut to_a, mut from_a)) = connected(&a, &mut b).await;
    to_b.send(vec![1]).await.unwrap();
    to_b.send(vec![2]).await.unwrap();
    assert_eq!(recv(&mut from_a).await.unwrap(), Some(vec![1]));
    b.allow(&[]);
    let end = recv(&mut from_a).await;
    assert!(
        matches!(end, Err(NetError::NotAllowed(d)) if d == a.device()),
        "what waits is not read: {end:?}"
    );
    let end = to_a.send(vec![3]).await;
    assert!(matches!(end, Err(NetError::NotAllowed(d)) if d == a.device()), "{end:?}");
    let end = recv(&mut from_b).await;
    assert!(matches!(end, Ok(None) | Err(NetError::Lost(_))), "{end:?}");
    let end = b.network.open_room_sync(a.device(), &a.network.addresses()).await;
    assert!(matches!(end, Err(NetError::NotAllowed(_))), "{end:?}");
}

#[tokio::test]
async fn stopped_network_ends_its_room_streams() {
    let (a, mut b) = friends(Timing::default()).await;
    let ((mut to_b, mut from_b), (mut to_a, mut from_a)) = connected(&a, &mut b).await;
    let waits = tokio::spawn(async move { from_a.recv().await });
    tokio::task::yield_now().await;
    let began = Instant::now();
    b.network.shutdown().await;
    assert!(began.elapsed() < Duration::from_secs(3), "{:?}", began.elapsed());
    assert!(matches!(waits.await.unwrap(), Err(NetError::Stopped)));
    assert!(matches!(to_a.send(vec![1]).await, Err(NetError::Stopped)));
    let end = recv(&mut from_b).await;
    assert!(matches!(end, Ok(None) | Err(NetError::Lost(_))), "{end:?}");
    let _ = to_b.send(vec![1]).await;
}

#[tokio::test]
async fn sixty_four_room_streams_of_a_device_in_both_directions() {
    let (mut a, mut b) = friends(Timing::default()).await;
    let (device, addresses) = (b.device(), b.network.addresses());
    let opened = (0..40).map(|_| a.network.open_room_sync(device, &addresses));
    let mut near: Vec<_> =
        futures::future::join_all(opened).await.into_iter().map(|opened| opened.unwrap()).collect();
    let mut far = Vec::new();
    for _ in 0..40 {
        far.push(b.next(room_sync).await);
    }
    let opened = (0..24).map(|_| b.network.open_room_sync(a.device(), &[]));
    far.extend(futures::future::join_all(opened).await.into_iter().map(|opened| opened.unwrap()));
    for _ in 0..24 {
        near.push(a.next(room_sync).await);
    }
    for node in [&a, &b] {
        let (other, none) = (if node.device() == device { a.device() } else { device }, []);
        let error = node.network.open_room_sync(other, &none).await;
        assert!(matches!(error, Err(NetError::TooMany("room streams"))), "{error:?}");
    }
    // A place counts until both halves are gone.
    let (sender, receiver) = near.pop().unwrap().split();
    drop(sender);
    assert!(a.network.open_room_sync(device, &[]).await.is_err());
    drop(receiver);
    let again = a.network.open_room_sync(device, &[]).await.unwrap();
    assert_eq!(b.next_refusal().await, (Some(a.device()), "too many room streams at once"));
    drop((again, far));
    until(|| a.network.peers() == [device]).await;
}

#[tokio::test]
async fn room_streams_beyond_their_rate_are_closed() {
    let (a, mut b) = friends(Timing::default()).await;
    let (device, addresses) = (b.device(), b.network.addresses());
    for _ in 0..128 {
        drop(a.network.open_room_sync(device, &addresses).await.unwrap());
        drop(b.next(room_sync).await);
    }
    let began = Instant::now();
    let mut refused = None;
    // Some places come back while this goes on: four a second.
    while refused.is_none() && began.elapsed() < PATIENCE {
        drop(a.network.open_room_sync(device, &addresses).await.unwrap());
        refused = b
            .next(|event| match event {
                NetEvent::Refused { what, .. } => Some(Some(what)),
                NetEvent::RoomSync(_) => Some(None),
                _ => None,
            })
            .await;
    }
    assert_eq!(refused, Some("room streams come too often"));
}

#[tokio::test]
async fn room_bytes_beyond_the_burst_wait() {
    let (a, mut b) = friends(Timing::default()).await;
    let ((mut to_b, _from_b), (_to_a, mut from_a)) = connected(&a, &mut b).await;
    let sends = tokio::spawn(async move {
        for _ in 0..13 {
            to_b.send(vec![0; ROOM_FRAME_BYTES]).await.unwrap();
        }
        to_b
    });
    let mut began = None;
    for _ in 0..13 {
        recv(&mut from_a).await.unwrap().unwrap();
        began.get_or_insert_with(Instant::now);
    }
    // Eight come at once; the thirteenth is read when four of the other five are paid for.
    let took = began.unwrap().elapsed();
    assert!(took > Duration::from_millis(900), "{took:?}");
    drop(sends.await.unwrap());
}

#[tokio::test]
async fn room_frames_beyond_the_burst_wait() {
    let (a, mut b) = friends(Timing::default()).await;
    let ((mut to_b, _from_b), (_to_a, mut from_a)) = connected(&a, &mut b).await;
    let sends = tokio::spawn(async move {
        for _ in 0..800 {
            to_b.send(vec![1]).await.unwrap();
        }
        to_b
    });
    let began = Instant::now();
    for _ in 0..800 {
        recv(&mut from_a).await.unwrap().unwrap();
    }
    assert!(began.elapsed() > Duration::from_millis(900), "{:?}", began.elapsed());
    drop(sends.await.unwrap());
}

#[tokio::test]
async fn node_that_does_not_read_holds_its_peer_back() {
    let (a, mut b) = friends(hasty()).await;
    let ((mut to_b, _from_b), (_to_a, from_a)) = connected(&a, &mut b).await;
    let mut sent = 0;
    let error = loop {
        match to_b.send(vec![0; ROOM_FRAME_BYTES]).await {
            Ok(()) => sent += 1,
            Err(error) => break error,
        }
    };
    assert!(matches!(error, NetError::Timeout(_)), "{error}");
    // One frame in the queue, and less than another in the window of the stream and the sockets.
    assert!((1..=4).contains(&sent), "{sent}");
    drop(from_a);
}

/// Passes bytes on between a port of its own and `target` until told to swallow them.
async fn proxy(target: u16, dead: Arc<AtomicBool>) -> u16 {
    async fn pass(from: impl tokio::io::AsyncRead, to: impl tokio::io::AsyncWrite, dead: Arc<AtomicBool>) {
        let (mut from, mut to) = (Box::pin(from), Box::pin(to));
        let mut bytes = vec![0; 4096];
        while let Ok(count @ 1..) = from.read(&mut bytes).await {
            if !dead.load(Ordering::Relaxed) && to.write_all(&bytes[..count]).await.is_err() {
                break;
            }
        }
    }
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((near, _)) = listener.accept().await {
            let far = TcpStream::connect(("127.0.0.1", target)).await.unwrap();
            let ((near_in, near_out), (far_in, far_out)) = (near.into_split(), far.into_split());
            tokio::spawn(pass(near_in, far_out, dead.clone()));
            tokio::spawn(pass(far_in, near_out, dead.clone()));
        }
    });
    port
}

#[tokio::test]
async fn peer_that_vanished_is_noticed_on_a_silent_stream() {
    let timing =
        Timing { ping: Duration::from_millis(100), pong: Duration::from_millis(500), ..Timing::default() };
    let (a, mut b) = friends(timing).await;
    let dead = Arc::new(AtomicBool::new(false));
    let port = b.network.addresses()[0].split('/').nth(4).unwrap().parse().unwrap();
    let way = format!("/ip4/127.0.0.1/tcp/{}", proxy(port, dead.clone()).await);
    let (mut to_b, mut from_b) = a.network.open_room_sync(b.device(), &[way]).await.unwrap().split();
    let (mut to_a, mut from_a) = b.next(room_sync).await.split();
    to_b.send(vec![1]).await.unwrap();
    to_a.send(vec![2]).await.unwrap();
    assert_eq!(recv(&mut from_a).await.unwrap(), Some(vec![1]));
    assert_eq!(recv(&mut from_b).await.unwrap(), Some(vec![2]));
    dead.store(true, Ordering::Relaxed);
    // Opening a stream for the second ping takes 10 s to be given up, and again where a ping was under way.
    for receiver in [&mut from_a, &mut from_b] {
        let end = timeout(3 * PATIENCE, receiver.recv()).await.expect("it is noticed");
        assert!(matches!(end, Ok(None) | Err(NetError::Lost(_))), "{end:?}");
    }
    until(|| a.network.peers().is_empty() && b.network.peers().is_empty()).await;
    drop(connected(&a, &mut b).await);
}
