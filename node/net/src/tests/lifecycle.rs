//! Starting, stopping, and the allow list over time.

use std::time::Instant;

use futures::FutureExt;

use super::*;

#[tokio::test]
async fn removing_a_device_closes_its_connection() {
    let (mut a, mut b) = friends(Timing::default()).await;
    let (device, addresses) = (b.device(), b.network.addresses());
    let (answer, ()) = tokio::join!(
        hello(&a.network, device, &addresses),
        b.next(|e| if let NetEvent::Request(r) = e { Some(r) } else { None }).map(|r| r.answer(vec![1])),
    );
    answer.unwrap();
    let connected = a.next(|e| if let NetEvent::Connected(d) = e { Some(d) } else { None }).await;
    assert_eq!(connected, device);
    assert_eq!(b.network.peers(), [a.device()]);
    until(|| b.network.links().iter().any(|l| l.device == a.device() && l.round_trip.is_some())).await;

    b.allow(&[]);
    let gone = |e| if let NetEvent::Disconnected(d) = e { Some(d) } else { None };
    assert_eq!(b.next(gone).await, a.device());
    assert_eq!(a.next(gone).await, device);
    assert!(b.network.peers().is_empty() && a.network.peers().is_empty());
    assert!(hello(&a.network, device, &addresses).await.is_err());
    assert_eq!(b.next_refusal().await, (Some(a.device()), "connection of an unknown device"));
}

#[tokio::test]
async fn unlisted_device_is_neither_dialled_nor_let_in() {
    let (a, mut b) = (Node::start(1).await, Node::start(2).await);
    let (device, addresses) = (b.device(), b.network.addresses());
    let answer = hello(&a.network, device, &addresses).await;
    assert!(matches!(answer, Err(NetError::NotAllowed(d)) if d == device));
    let answer = a.network.fetch_blob([1; 32], device, &b.network.blob_addresses(), 100).await;
    assert!(matches!(answer, Err(NetError::NotAllowed(d)) if d == device));
    a.allow(&[device]);
    assert!(hello(&a.network, device, &addresses).await.is_err());
    assert_eq!(b.next_refusal().await, (Some(a.device()), "connection of an unknown device"));
}

#[tokio::test]
async fn port_in_use_is_named() {
    let a = Node::start(1).await;
    let taken = a.network.addresses()[0].split("/p2p").next().unwrap().to_owned();
    let error = Network::start(config(2, &taken), a.blobs.clone()).await.unwrap_err();
    assert!(matches!(&error, NetError::Listen { address, .. } if *address == taken), "{error}");

    let mut other = config(2, "/ip4/127.0.0.1/tcp/0");
    other.blob_bind = Some(a.network.blob_addresses()[0].parse().unwrap());
    let error = Network::start(other, a.blobs.clone()).await.unwrap_err();
    assert!(matches!(error, NetError::BlobBind { .. }), "{error}");
}

#[tokio::test]
async fn unusable_listen_addresses_are_named() {
    let dir = tempfile::tempdir().unwrap();
    let blobs = Blobs::open(dir.path()).await.unwrap();
    for bad in ["", "127.0.0.1:80", "/ip4/127.0.0.1/udp/1", "/dns/localhost/tcp/1", "/ip4/192.0.2.1/tcp/0"] {
        let error = Network::start(config(1, bad), blobs.clone()).await.unwrap_err();
        assert!(matches!(&error, NetError::Listen { address, .. } if address == bad), "{bad}: {error}");
    }
}

#[tokio::test]
async fn addresses_are_complete_after_start() {
    let dir = tempfile::tempdir().unwrap();
    let blobs = Blobs::open(dir.path()).await.unwrap();
    let mut everywhere = config(1, "/ip4/0.0.0.0/tcp/0");
    everywhere.blob_bind = Some("0.0.0.0:0".parse().unwrap());
    let (network, _events) = Network::start(everywhere, blobs.clone()).await.unwrap();
    let (addresses, blob_addresses) = (network.addresses(), network.blob_addresses());
    let end = format!("/p2p/{}", crate::peer::peer_id(&network.device()).unwrap());
    assert!(addresses.iter().any(|a| a.starts_with("/ip4/127.0.0.1/tcp/")), "{addresses:?}");
    assert!(addresses.iter().all(|a| a.ends_with(&end)), "{addresses:?}");
    assert_eq!(blob_addresses.len(), addresses.len(), "{blob_addresses:?}");
    assert!(blob_addresses.iter().any(|a| a.starts_with("127.0.0.1:") && !a.ends_with(":0")));
    network.shutdown().await;

    let mut dial_only = config(1, "");
    dial_only.listen.clear();
    let (network, _events) = Network::start(dial_only, blobs).await.unwrap();
    assert!(network.addresses().is_empty());
}

#[tokio::test]
async fn shutdown_is_quick_and_frees_the_sockets() {
    let (a, b) = friends(Timing::default()).await;
    let (device, addresses) = (b.device(), b.network.addresses());
    let blob_addresses = b.network.blob_addresses();
    let hash = b.blobs.add(vec![3; 100_000]).await.unwrap();
    let (server, blobs, _dir) = b.serve();
    hello(&a.network, device, &addresses).await.unwrap();
    a.network.fetch_blob(hash, device, &blob_addresses, 100_000).await.unwrap();

    let began = Instant::now();
    server.shutdown().await;
    assert!(began.elapsed() < Duration::from_secs(3), "{:?}", began.elapsed());
    assert!(matches!(
        hello(&server, a.device(), &a.network.addresses()).await,
        Err(NetError::Stopped | NetError::NotAllowed(_))
    ));
    assert_eq!(blobs.get(&hash, 100_000).await.unwrap(), Some(vec![3; 100_000]), "the store stays open");
    blobs.shutdown().await.unwrap();
    until(|| a.network.peers().is_empty()).await;

    let socket: std::net::SocketAddr = blob_addresses[0].parse().unwrap();
    drop(server);
    until(|| std::net::UdpSocket::bind(socket).is_ok()).await;
}

#[tokio::test]
async fn dropping_every_handle_stops_the_network() {
    let Node { network, mut events, .. } = Node::start(1).await;
    let address = network.addresses()[0].split('/').nth(4).unwrap().parse::<u16>().unwrap();
    let clone = network.clone();
    drop(network);
    assert_eq!(clone.addresses().len(), 1);
    drop(clone);
    let ended = async { while events.recv().await.is_some() {} };
    timeout(PATIENCE, ended).await.expect("the events end");
    until(|| std::net::TcpListener::bind(("127.0.0.1", address)).is_ok()).await;
}
