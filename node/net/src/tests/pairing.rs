//! Pairing streams between devices that do not know each other.

use super::*;
use crate::PairStream;

fn pairing(event: NetEvent) -> Option<PairStream> {
    if let NetEvent::Pairing(stream) = event { Some(stream) } else { None }
}

/// No frame comes back: the connection or the stream is refused.
async fn finds_closed(stranger: &Node, address: &str) {
    if let Ok(mut stream) = stranger.network.pair_with(address, None).await {
        // The stream may be seen open until its end arrives.
        let _ = stream.send(vec![1]).await;
        let end = timeout(PATIENCE, stream.recv()).await.unwrap();
        assert!(matches!(end, Ok(None) | Err(NetError::Lost(_))), "{end:?}");
    }
}

#[tokio::test]
async fn stranger_can_pair_while_an_offer_is_open() {
    let (mut offering, accepting) = (Node::start(1).await, Node::start(2).await);
    offering.network.open_to_strangers(true);
    let address = &offering.network.addresses()[0];
    let mut near = accepting.network.pair_with(address, Some(offering.device())).await.unwrap();
    near.send(b"start".to_vec()).await.unwrap();
    let mut far = offering.next(pairing).await;
    assert_eq!((near.peer(), far.peer()), (offering.device(), accepting.device()));
    assert_eq!(far.recv().await.unwrap().unwrap(), b"start");
    far.send(vec![5; 4096]).await.unwrap();
    assert_eq!(near.recv().await.unwrap().unwrap(), vec![5; 4096]);
    let error = far.send(vec![5; 4097]).await.unwrap_err();
    assert!(matches!(error, NetError::TooLarge { limit: 4096, .. }), "{error}");

    // Known by the time the pairing ends: the connection stays and serves requests.
    offering.allow(&[accepting.device()]);
    accepting.allow(&[offering.device()]);
    far.close().await;
    assert_eq!(near.recv().await.unwrap(), None);
    near.close().await;
    offering.network.open_to_strangers(false);
    until(|| offering.network.peers() == [accepting.device()]).await;
    let device = offering.device();
    let (_server, _, _dir) = offering.serve();
    assert_eq!(hello(&accepting.network, device, &[]).await.unwrap(), b"olleh");
}

#[tokio::test]
async fn pairing_works_with_an_address_alone() {
    let (mut offering, accepting) = (Node::start(1).await, Node::start(2).await);
    offering.network.open_to_strangers(true);
    let full = offering.network.addresses()[0].clone();
    let bare = full.split("/p2p").next().unwrap();
    let mut near = accepting.network.pair_with(bare, None).await.unwrap();
    assert_eq!(near.peer(), offering.device());
    near.send(vec![1]).await.unwrap();
    assert_eq!(offering.next(pairing).await.recv().await.unwrap(), Some(vec![1]));
}

#[tokio::test]
async fn another_device_than_expected_is_not_paired() {
    let (offering, accepting) = (Node::start(1).await, Node::start(2).await);
    offering.network.open_to_strangers(true);
    let full = offering.network.addresses()[0].clone();
    let bare = full.split("/p2p").next().unwrap();
    for address in [full.as_str(), bare] {
        let error = accepting.network.pair_with(address, Some(accepting.device())).await.unwrap_err();
        assert!(matches!(error, NetError::OtherDevice | NetError::Unreachable(_)), "{error}");
    }
    let other = Node::start(3).await;
    let error = accepting.network.pair_with(bare, Some(other.device())).await.unwrap_err();
    assert!(matches!(error, NetError::OtherDevice), "{error}");
}

#[tokio::test]
async fn stranger_finds_the_door_closed_without_an_offer() {
    let (mut offering, accepting) = (Node::start(1).await, Node::start(2).await);
    let address = offering.network.addresses()[0].clone();
    assert!(accepting.network.pair_with(&address, None).await.is_err());
    let refusal = offering.next_refusal().await;
    assert_eq!(refusal, (Some(accepting.device()), "connection of an unknown device"));

    offering.network.open_to_strangers(true);
    let mut near = accepting.network.pair_with(&address, None).await.unwrap();
    near.send(vec![1]).await.unwrap();
    drop(offering.next(pairing).await);
    offering.network.open_to_strangers(false);
    finds_closed(&accepting, &address).await;
}

#[tokio::test]
async fn strangers_connection_ends_with_its_pairing() {
    let (mut offering, accepting) = (Node::start_with(1, hasty()).await, Node::start(2).await);
    offering.network.open_to_strangers(true);
    let mut near = accepting.network.pair_with(&offering.network.addresses()[0], None).await.unwrap();
    near.send(vec![1]).await.unwrap();
    let mut far = offering.next(pairing).await;
    assert_eq!(far.recv().await.unwrap(), Some(vec![1]));
    offering.network.open_to_strangers(false);
    far.send(vec![2]).await.unwrap();
    assert_eq!(near.recv().await.unwrap(), Some(vec![2]), "an open pairing outlives the offer");
    drop(far);
    let end = timeout(PATIENCE, near.recv()).await.unwrap();
    assert!(matches!(end, Ok(None) | Err(NetError::Lost(_))), "{end:?}");
    finds_closed(&accepting, &offering.network.addresses()[0]).await;
}

#[tokio::test]
async fn second_pairing_at_a_time_is_refused() {
    let (mut offering, first, second) = (Node::start(1).await, Node::start(2).await, Node::start(3).await);
    offering.network.open_to_strangers(true);
    let address = offering.network.addresses()[0].clone();
    let mut near = first.network.pair_with(&address, None).await.unwrap();
    near.send(vec![1]).await.unwrap();
    let far = offering.next(pairing).await;

    let mut late = second.network.pair_with(&address, None).await.unwrap();
    // The stream is closed at once; sending may still find it open.
    let _ = late.send(vec![1]).await;
    assert!(!matches!(timeout(PATIENCE, late.recv()).await.unwrap(), Ok(Some(_))));
    let refusal = offering.next_refusal().await;
    assert_eq!(refusal, (Some(second.device()), "a second pairing at the same time"));

    drop((far, late, near));
    let mut again = second.network.pair_with(&address, None).await.unwrap();
    again.send(vec![3]).await.unwrap();
    assert_eq!(offering.next(pairing).await.recv().await.unwrap(), Some(vec![3]));
}

#[tokio::test]
async fn silent_stranger_gives_the_place_back() {
    let (mut offering, accepting) = (Node::start_with(1, hasty()).await, Node::start(2).await);
    offering.network.open_to_strangers(true);
    // A stream is agreed upon lazily, so one byte has to go out for the other side to see it.
    let mut near = accepting.network.pair_with(&offering.network.addresses()[0], None).await.unwrap();
    near.send(vec![1]).await.unwrap();
    let mut far = offering.next(pairing).await;
    assert_eq!(far.recv().await.unwrap(), Some(vec![1]));
    let end = timeout(PATIENCE, far.recv()).await.unwrap();
    assert!(matches!(end, Err(NetError::Timeout(_))), "{end:?}");
    assert_eq!(far.recv().await.unwrap(), None);
}

#[tokio::test]
async fn last_frame_arrives_although_the_connection_ends() {
    let (mut offering, accepting) = (Node::start(1).await, Node::start(2).await);
    offering.network.open_to_strangers(true);
    let address = offering.network.addresses()[0].clone();
    for round in 0..5 {
        let mut near = accepting.network.pair_with(&address, None).await.unwrap();
        near.send(vec![round]).await.unwrap();
        let mut far = offering.next(pairing).await;
        assert_eq!(far.recv().await.unwrap(), Some(vec![round]));
        far.send(vec![round; 4096]).await.unwrap();
        far.close().await;
        assert_eq!(near.recv().await.unwrap().map(|frame| frame.len()), Some(4096));
    }
}
