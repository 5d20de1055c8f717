//! Blobs between devices: who gets them, and what is refused.

use iroh::endpoint::presets;
use iroh::protocol::Router;
use iroh::{Endpoint, EndpointAddr, RelayMode, SecretKey};
use iroh_blobs::Hash;
use iroh_blobs::api::blobs::BlobStatus;
use iroh_blobs::protocol::{
    ChunkRanges, ChunkRangesExt, ChunkRangesSeq, GetManyRequest, GetRequest, ObserveRequest, PushRequest,
};
use iroh_blobs::store::mem::MemStore;

use super::*;

const MIB: u64 = 1 << 20;

#[tokio::test]
async fn allowed_blob_is_fetched_and_pinned() {
    let (a, b) = friends(Timing::default()).await;
    let (device, addresses) = (b.device(), b.network.blob_addresses());
    let (server, blobs, _dir) = b.serve();
    for size in [0, 1, 16 * 1024, 3 * MIB] {
        let bytes: Vec<u8> = (0..size).map(|i| (i % 251) as u8).collect();
        let hash = blobs.add(bytes.clone()).await.unwrap();
        a.network.fetch_blob(hash, device, &addresses, size).await.unwrap();
        assert_eq!(a.blobs.get(&hash, size).await.unwrap(), Some(bytes));
        let tag = a.blobs.store.tags().get(Hash::from_bytes(hash).to_hex()).await.unwrap();
        assert_eq!(tag.unwrap().hash, Hash::from_bytes(hash));
    }
    server.shutdown().await;
    let hash = *Hash::new([0]).as_bytes();
    a.network.fetch_blob(hash, device, &addresses, MIB).await.expect("what is here needs no peer");
}

#[tokio::test]
async fn node_decides_about_each_blob() {
    let (a, mut b) = friends(hasty()).await;
    let (device, addresses) = (b.device(), b.network.blob_addresses());
    let hash = b.blobs.add(vec![1; 1000]).await.unwrap();
    let blob = |event| match event {
        NetEvent::Blob { peer, hash, answer } => Some((peer, hash, answer)),
        _ => None,
    };
    let fetch = || a.network.fetch_blob(hash, device, &addresses, MIB);

    let (result, ()) = tokio::join!(fetch(), async {
        let (peer, asked, answer) = b.next(blob).await;
        assert_eq!((peer, asked), (a.device(), hash));
        answer.send(false).unwrap();
    });
    assert!(matches!(result, Err(NetError::Refused { .. })), "{result:?}");

    let (result, answer) = tokio::join!(fetch(), b.next(blob));
    assert!(matches!(result, Err(NetError::Refused { .. })), "no answer is a no: {result:?}");
    drop(answer);

    let (result, ()) = tokio::join!(fetch(), async { b.next(blob).await.2.send(true).unwrap() });
    result.unwrap();
    assert!(a.blobs.has(&hash).await.unwrap());
}

#[tokio::test]
async fn unknown_device_gets_no_blob_connection() {
    let (a, mut b) = (Node::start(1).await, Node::start(2).await);
    a.allow(&[b.device()]);
    let hash = b.blobs.add(vec![1; 1000]).await.unwrap();
    let result = a.network.fetch_blob(hash, b.device(), &b.network.blob_addresses(), MIB).await;
    assert!(
        matches!(result, Err(NetError::Refused { .. } | NetError::Lost(_) | NetError::Unreachable(_))),
        "{result:?}"
    );
    assert_eq!(b.next_refusal().await, (Some(a.device()), "blob connection of an unknown device"));
}

#[tokio::test]
async fn blob_above_the_limit_is_not_taken() {
    let (a, b) = friends(Timing::default()).await;
    let (device, addresses) = (b.device(), b.network.blob_addresses());
    let (_server, blobs, _dir) = b.serve();
    let hash = blobs.add(vec![1; 100_000]).await.unwrap();
    let result = a.network.fetch_blob(hash, device, &addresses, 99_999).await;
    assert!(matches!(result, Err(NetError::TooLarge { size: 100_000, limit: 99_999, .. })), "{result:?}");
    let status = a.blobs.store.blobs().status(Hash::from_bytes(hash)).await.unwrap();
    assert_eq!(status, BlobStatus::NotFound);
    a.network.fetch_blob(hash, device, &addresses, 100_000).await.unwrap();
    let result = a.network.fetch_blob(hash, device, &addresses, 99_999).await;
    assert!(matches!(result, Err(NetError::TooLarge { .. })), "{result:?}");
}

#[tokio::test]
async fn hash_that_the_peer_does_not_hold_is_missing() {
    let (a, b) = friends(Timing::default()).await;
    let (device, addresses) = (b.device(), b.network.blob_addresses());
    let (_server, _, _dir) = b.serve();
    let result = a.network.fetch_blob([7; 32], device, &addresses, MIB).await;
    assert!(matches!(result, Err(NetError::BlobMissing)), "{result:?}");
}

/// An iroh endpoint with no rules of its own.
async fn endpoint(seed: u8) -> Endpoint {
    Endpoint::builder(presets::Minimal)
        .secret_key(SecretKey::from_bytes(&[seed; 32]))
        .relay_mode(RelayMode::Disabled)
        .clear_address_lookup()
        .clear_ip_transports()
        .bind_addr("127.0.0.1:0".parse::<std::net::SocketAddr>().unwrap())
        .unwrap()
        .bind()
        .await
        .unwrap()
}

#[tokio::test]
async fn bytes_that_do_not_match_their_hash_are_refused() {
    #[derive(Debug, Clone)]
    struct Liar;
    impl iroh::protocol::ProtocolHandler for Liar {
        async fn accept(
            &self,
            connection: iroh::endpoint::Connection,
        ) -> Result<(), iroh::protocol::AcceptError> {
            let (mut send, mut recv) = connection.accept_bi().await?;
            recv.read_to_end(1 << 20).await.map_err(iroh::protocol::AcceptError::from_err)?;
            let mut reply = 1000u64.to_le_bytes().to_vec();
            reply.resize(8 + 1000, 7);
            send.write_all(&reply).await.map_err(iroh::protocol::AcceptError::from_err)?;
            send.finish()?;
            connection.closed().await;
            Ok(())
        }
    }
    let a = Node::start(1).await;
    let liar = Router::builder(endpoint(5).await).accept(iroh_blobs::ALPN, Liar).spawn();
    let device = DeviceId::from_bytes(*liar.endpoint().id().as_bytes());
    a.allow(&[device]);
    let address = liar.endpoint().bound_sockets()[0].to_string();
    let hash = *Hash::new([8; 1000]).as_bytes();
    let result = a.network.fetch_blob(hash, device, &[address], MIB).await;
    assert!(matches!(result, Err(NetError::BlobDamaged(_))), "{result:?}");
    assert!(!a.blobs.has(&hash).await.unwrap());
}

#[tokio::test]
async fn interrupted_fetch_goes_on_where_it_stopped() {
    let size = 4 * MIB;
    let bytes: Vec<u8> = (0..size).map(|i| (i % 253) as u8).collect();
    let honest = MemStore::new();
    let hash = honest.blobs().add_slice(&bytes).temp_tag().await.unwrap().hash();
    let part =
        async |ranges: ChunkRanges| honest.blobs().export_bao(hash, ranges).bao_to_vec().await.unwrap();
    let (first, second) = (ChunkRanges::bytes(..2 * MIB), ChunkRanges::bytes(2 * MIB..));

    // The peer holds only what is missing here, so asking for anything else would fail.
    let (a, b) = friends(Timing::default()).await;
    let (here, there) = (part(first.clone()).await, part(second.clone()).await);
    a.blobs.store.blobs().import_bao_bytes(hash, first, here).await.unwrap();
    b.blobs.store.blobs().import_bao_bytes(hash, second, there).await.unwrap();
    assert!(!a.blobs.has(hash.as_bytes()).await.unwrap() && !b.blobs.has(hash.as_bytes()).await.unwrap());
    let (device, addresses) = (b.device(), b.network.blob_addresses());
    let (_server, _, _dir) = b.serve();
    a.network.fetch_blob(*hash.as_bytes(), device, &addresses, size).await.unwrap();
    assert_eq!(a.blobs.get(hash.as_bytes(), size).await.unwrap(), Some(bytes));
}

#[tokio::test]
async fn blob_that_the_peer_holds_in_part_is_missing() {
    let bytes: Vec<u8> = (0..MIB).map(|i| (i % 253) as u8).collect();
    let honest = MemStore::new();
    let hash = honest.blobs().add_slice(&bytes).temp_tag().await.unwrap().hash();
    let half = ChunkRanges::bytes(..MIB / 2);
    let part = honest.blobs().export_bao(hash, half.clone()).bao_to_vec().await.unwrap();
    let (a, b) = friends(Timing::default()).await;
    b.blobs.store.blobs().import_bao_bytes(hash, half, part).await.unwrap();
    let (device, addresses) = (b.device(), b.network.blob_addresses());
    let (_server, _, _dir) = b.serve();
    let result = a.network.fetch_blob(*hash.as_bytes(), device, &addresses, MIB).await;
    assert!(matches!(result, Err(NetError::BlobMissing)), "{result:?}");
    assert!(!a.blobs.has(hash.as_bytes()).await.unwrap());
}

#[tokio::test]
async fn everything_but_single_gets_is_refused() {
    let b = Node::start(2).await;
    let raw = endpoint(5).await;
    let hash = Hash::from_bytes(b.blobs.add(vec![1; 32]).await.unwrap());
    b.allow(&[DeviceId::from_bytes(*raw.id().as_bytes())]);
    let target = EndpointAddr::new(crate::peer::endpoint_id(&b.device()).unwrap())
        .with_ip_addr(b.network.blob_addresses()[0].parse().unwrap());
    let (_server, blobs, _dir) = b.serve();
    let connection = raw.connect(target, iroh_blobs::ALPN).await.unwrap();
    let mine = MemStore::new();
    let remote = mine.remote();

    let sequence = GetRequest::all(hash);
    assert!(remote.execute_get(connection.clone(), sequence).complete().await.is_err());
    let many = GetManyRequest::from_iter([hash, hash]);
    assert!(remote.execute_get_many(connection.clone(), many).complete().await.is_err());
    let mut observed = Box::pin(remote.observe(connection.clone(), ObserveRequest::new(hash)));
    assert!(!matches!(futures::StreamExt::next(&mut observed).await, Some(Ok(_))));

    let pushed = mine.blobs().add_slice([9; 5000]).temp_tag().await.unwrap().hash();
    let push = PushRequest::new(pushed, ChunkRangesSeq::root());
    // The provider resets the stream; whether the pusher notices is up to it.
    let _ = remote.execute_push(connection.clone(), push).complete().await;
    assert!(!blobs.has(pushed.as_bytes()).await.unwrap());

    let single = GetRequest::blob(hash);
    remote.execute_get(connection, single).complete().await.expect("a single blob is served");
}

#[tokio::test]
async fn removing_a_device_closes_its_blob_connection() {
    let b = Node::start(2).await;
    let raw = endpoint(5).await;
    b.allow(&[DeviceId::from_bytes(*raw.id().as_bytes())]);
    let target = EndpointAddr::new(crate::peer::endpoint_id(&b.device()).unwrap())
        .with_ip_addr(b.network.blob_addresses()[0].parse().unwrap());
    let connection = raw.connect(target, iroh_blobs::ALPN).await.unwrap();
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert!(connection.close_reason().is_none());
    b.allow(&[]);
    timeout(PATIENCE, connection.closed()).await.expect("the connection is closed");
}
