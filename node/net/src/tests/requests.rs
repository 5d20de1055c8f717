//! Requests and answers between devices that know each other.

use futures::FutureExt;

use super::*;

#[tokio::test]
async fn requests_are_answered_up_to_the_limit() {
    let (a, b) = friends(Timing::default()).await;
    let (device, addresses) = (b.device(), b.network.addresses());
    let (_server, _, _dir) = b.serve();
    assert_eq!(hello(&a.network, device, &addresses).await.unwrap(), b"olleh");
    for size in [0, 1, 65_536, Protocol::Records.request_limit()] {
        let mut body = vec![7u8; size];
        body.extend([1, 2, 3]);
        body.truncate(size);
        let answer = a.network.request(device, &addresses, Protocol::Records, body.clone()).await.unwrap();
        body.reverse();
        assert_eq!(answer, body);
    }
    let error = a.network.request(device, &addresses, Protocol::Hello, vec![0; 16 * 1024 + 1]).await;
    assert!(matches!(error, Err(NetError::TooLarge { limit: 16_384, .. })), "{error:?}");
}

#[tokio::test]
async fn both_sides_ask_over_one_connection() {
    let (a, b) = friends(Timing::default()).await;
    let (to_a, to_b) = ((a.device(), a.network.addresses()), (b.device(), b.network.addresses()));
    let (a, _, _a) = a.serve();
    let (b, _, _b) = b.serve();
    assert_eq!(hello(&a, to_b.0, &to_b.1).await.unwrap(), b"olleh");
    until(|| b.peers() == [to_a.0]).await;
    assert_eq!(hello(&b, to_a.0, &[]).await.unwrap(), b"olleh");
    assert_eq!(a.peers(), [to_b.0]);
}

#[tokio::test]
async fn many_requests_at_once_share_the_dial() {
    let (a, b) = friends(Timing::default()).await;
    let (device, addresses) = (b.device(), b.network.addresses());
    let (_server, _, _dir) = b.serve();
    let asked = (0..8).map(|_| hello(&a.network, device, &addresses));
    for answer in futures::future::join_all(asked).await {
        assert_eq!(answer.unwrap(), b"olleh");
    }
}

#[tokio::test]
async fn reason_of_a_refusal_arrives() {
    let (a, mut b) = friends(Timing::default()).await;
    let (device, addresses) = (b.device(), b.network.addresses());
    let asks = hello(&a.network, device, &addresses);
    let refuses = b.next(|event| match event {
        NetEvent::Request(request) => {
            assert_eq!((request.protocol, request.body.as_slice()), (Protocol::Hello, b"hello".as_slice()));
            request.refuse("no grant");
            Some(())
        }
        _ => None,
    });
    let (answer, ()) = tokio::join!(asks, refuses);
    assert!(matches!(answer, Err(NetError::Refused { reason }) if reason == "no grant"));
}

#[tokio::test]
async fn dropped_and_forgotten_requests_are_refused() {
    let (a, mut b) = friends(hasty()).await;
    let (device, addresses) = (b.device(), b.network.addresses());
    let pick = |event| if let NetEvent::Request(request) = event { Some(request) } else { None };
    let (answer, _) = tokio::join!(hello(&a.network, device, &addresses), async { drop(b.next(pick).await) });
    assert!(matches!(answer, Err(NetError::Failed { reason }) if reason == "no answer"));
    let (answer, request) = tokio::join!(hello(&a.network, device, &addresses), b.next(pick));
    // Either side's clock may run out first.
    assert!(matches!(answer, Err(NetError::Failed { .. } | NetError::Timeout(_))), "{answer:?}");
    drop(request);
}

#[tokio::test]
async fn answer_above_the_limit_becomes_a_failure() {
    let (a, mut b) = friends(Timing::default()).await;
    let (device, addresses) = (b.device(), b.network.addresses());
    let request = b.next(|e| if let NetEvent::Request(r) = e { Some(r) } else { None });
    let answers = request.map(|r| r.answer(vec![0; 16 * 1024 + 1]));
    let (answer, ()) = tokio::join!(hello(&a.network, device, &addresses), answers);
    assert!(matches!(answer, Err(NetError::Failed { reason }) if reason == "answer too large"));
}

#[tokio::test]
async fn query_above_the_rate_may_come_again_later() {
    let (a, b) = friends(Timing::default()).await;
    let (device, addresses) = (b.device(), b.network.addresses());
    let (_server, _, _dir) = b.serve();
    let ask = |bytes| a.network.request(device, &addresses, Protocol::Records, vec![1; bytes]);
    for _ in 0..120 {
        ask(1).await.unwrap();
    }
    // Each asks faster than four come back in a second. A large body, so that the no comes while it is being written.
    let mut answer = ask(1 << 20).await;
    for _ in 0..100 {
        if answer.is_err() {
            break;
        }
        answer = ask(1 << 20).await;
    }
    assert!(
        matches!(&answer, Err(NetError::Later { reason }) if reason == "too many requests"),
        "{answer:?}"
    );
    tokio::time::sleep(Duration::from_millis(600)).await;
    assert_eq!(ask(1).await.unwrap(), [1]);
    assert_eq!(hello(&a.network, device, &addresses).await.unwrap(), b"olleh");
}

#[tokio::test]
async fn roles_are_asked_in_small_and_answered_in_large_frames() {
    let (a, mut b) = friends(Timing::default()).await;
    let (device, addresses) = (b.device(), b.network.addresses());
    let ask = |size| a.network.request(device, &addresses, Protocol::Roles, vec![1; size]);
    let error = ask(64 * 1024 + 1).await;
    assert!(matches!(error, Err(NetError::TooLarge { limit: 65_536, .. })), "{error:?}");
    for (size, fits) in [(1 << 20, true), ((1 << 20) + 1, false)] {
        let request = b.next(|e| if let NetEvent::Request(r) = e { Some(r) } else { None });
        let answers = request.map(|r| {
            assert_eq!((r.protocol, r.body.len()), (Protocol::Roles, 64 * 1024));
            r.answer(vec![2; size]);
        });
        let (answer, ()) = tokio::join!(ask(64 * 1024), answers);
        match answer {
            Ok(answer) => assert!(fits && answer == vec![2; size]),
            Err(error) => assert!(!fits && matches!(error, NetError::Failed { .. }), "{error}"),
        }
    }
    let (_server, _, _dir) = b.serve();
    for _ in 0..28 {
        ask(1).await.unwrap();
    }
    let error = ask(1).await;
    assert!(matches!(&error, Err(NetError::Later { reason }) if reason == "too many requests"), "{error:?}");
}

#[tokio::test]
async fn requests_beyond_the_places_of_a_device_are_busy() {
    let (a, mut b) = friends(Timing::default()).await;
    let (device, addresses) = (b.device(), b.network.addresses());
    let ask = || {
        let (network, addresses) = (a.network.clone(), addresses.clone());
        async move { network.request(device, &addresses, Protocol::Records, vec![1]).await }
    };
    let mut waiting = Vec::new();
    let mut held = Vec::new();
    for _ in 0..16 {
        waiting.push(tokio::spawn(ask()));
        held.push(b.next(|e| if let NetEvent::Request(r) = e { Some(r) } else { None }).await);
    }
    let answer = ask().await;
    assert!(matches!(&answer, Err(NetError::Later { reason }) if reason == "busy"), "{answer:?}");
    held.into_iter().for_each(|request| request.answer(vec![2]));
    for answer in waiting {
        assert_eq!(answer.await.unwrap().unwrap(), [2]);
    }
}

#[tokio::test]
async fn device_that_is_gone_cannot_be_reached() {
    let (a, b) = friends(Timing::default()).await;
    let (device, addresses) = (b.device(), b.network.addresses());
    b.network.shutdown().await;
    let answer = hello(&a.network, device, &addresses).await;
    assert!(matches!(answer, Err(NetError::Unreachable(_))), "{answer:?}");
    let answer = hello(&a.network, device, &[]).await;
    assert!(matches!(answer, Err(NetError::Address { .. })), "{answer:?}");
}

#[tokio::test]
async fn request_after_the_peer_restarted_dials_anew() {
    let (a, b) = friends(Timing::default()).await;
    let (device, addresses) = (b.device(), b.network.addresses());
    let (server, blobs, _dir) = b.serve();
    hello(&a.network, device, &addresses).await.unwrap();
    server.shutdown().await;
    let mut again = config(2, &addresses[0]);
    again.listen = vec![addresses[0].split("/p2p").next().unwrap().to_owned()];
    let (server, events) = Network::start(again, blobs.clone()).await.unwrap();
    server.allow(HashSet::from([a.device()]));
    let (server, _, _) = Node { network: server, events, blobs, _dir }.serve();
    assert_eq!(hello(&a.network, device, &server.addresses()).await.unwrap(), b"olleh");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_devices_at_once_are_all_answered() {
    let server = Node::start(1).await;
    let mut clients = Vec::new();
    for seed in 2..10 {
        clients.push(Node::start(seed).await);
    }
    server.allow(&clients.iter().map(Node::device).collect::<Vec<_>>());
    let (device, addresses) = (server.device(), server.network.addresses());
    let (_server, _, _dir) = server.serve();
    clients.iter().for_each(|client| client.allow(&[device]));
    let ask = |client: &Node| {
        let (network, addresses) = (client.network.clone(), addresses.clone());
        tokio::spawn(async move { hello(&network, device, &addresses).await })
    };
    let asked: Vec<_> =
        clients.iter().flat_map(|client| (0..8).map(|_| ask(client)).collect::<Vec<_>>()).collect();
    for answer in asked {
        assert_eq!(answer.await.unwrap().unwrap(), b"olleh");
    }
}
