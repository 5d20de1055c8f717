//! Finding devices whose address nobody gave: on this machine's LAN, and what a liar there can do.

use libp2p::Multiaddr;

use super::*;
use crate::access::{Access, Door};
use crate::book::{EACH, SharedBook};
use crate::finder::Finder;
use crate::lan::{Sighting, queue};
use crate::protocol::FOUND_RATE;
use crate::swarm::SharedView;

/// How long multicast may take here before the machine counts as one without.
const MULTICAST_PATIENCE: Duration = Duration::from_secs(12);

async fn on_lan(seed: u8, mdns: bool) -> Node {
    let dir = tempfile::tempdir().unwrap();
    let blobs = Blobs::open(dir.path()).await.unwrap();
    let config = NetworkConfig { mdns, ..config(seed, "/ip4/0.0.0.0/tcp/0") };
    let (network, events) = Network::start(config, blobs.clone()).await.unwrap();
    Node { network, events, blobs, _dir: dir }
}

/// Whether a packet to the mDNS group comes back on this machine: in some containers none does.
fn multicast_works() -> bool {
    let group = std::net::Ipv4Addr::new(224, 0, 0, 251);
    let echo = || -> std::io::Result<bool> {
        let hear = std::net::UdpSocket::bind(("0.0.0.0", 0))?;
        hear.join_multicast_v4(&group, &std::net::Ipv4Addr::UNSPECIFIED)?;
        hear.set_read_timeout(Some(Duration::from_secs(2)))?;
        std::net::UdpSocket::bind(("0.0.0.0", 0))?.send_to(b"?", (group, hear.local_addr()?.port()))?;
        Ok(hear.recv(&mut [0; 8]).is_ok())
    };
    echo().unwrap_or(false)
}

#[tokio::test]
async fn two_devices_on_one_lan_meet_without_an_address_and_strangers_stay_apart() {
    if !multicast_works() {
        eprintln!("skipped: multicast does not work on this machine");
        return;
    }
    let (mut a, b, silent) = (on_lan(61, true).await, on_lan(62, true).await, on_lan(63, false).await);
    a.allow(&[b.device(), silent.device()]);
    b.allow(&[a.device()]);
    let found = a.next(|event| if let NetEvent::Found(device) = event { Some(device) } else { None }).await;
    assert_eq!(found, b.device());
    let (b_device, a_network) = (b.device(), a.network.clone());
    let (_b, _blobs, _dir) = b.serve();
    assert_eq!(hello(&a_network, b_device, &[]).await.unwrap(), b"olleh");

    // A device that keeps silent is found by nobody, also not by who looks for an offer.
    let mut candidates = silent.network.candidates();
    let mut seen = HashSet::new();
    let look = async {
        while let Some(candidate) = candidates.recv().await {
            seen.insert(candidate.device);
            if seen.len() == 2 {
                return;
            }
        }
    };
    let _ = timeout(MULTICAST_PATIENCE, look).await;
    assert!(seen.contains(&a.device()) && seen.contains(&b_device), "{seen:?}");
    let of_silent = hello(&a.network, silent.device(), &[]).await;
    assert!(matches!(of_silent, Err(NetError::Address { .. })), "{of_silent:?}");
}

#[tokio::test]
async fn lies_about_known_and_unknown_devices_stay_few() {
    let known = DeviceId::from_bytes([7; 32]);
    let access = Access { allowed: HashSet::from([known]).into(), strangers: true, ..Access::default() };
    let (_keep, access) = tokio::sync::watch::channel(access);
    let (events, mut told) = mpsc::channel(4_096);
    let (view, book) = (SharedView::default(), SharedBook::default());
    let finder = Finder { door: Door::new(access, events), view, book: book.clone() };
    let (heard, sightings) = queue();
    let noting = tokio::spawn(finder.note_all(sightings));
    for port in 1..=3_000u16 {
        let address: Multiaddr = format!("/ip4/10.0.0.9/tcp/{port}").parse().unwrap();
        let mut stranger = [1; 32];
        stranger[..2].copy_from_slice(&port.to_be_bytes());
        heard.send(Sighting { device: known, address: address.clone() }).await.unwrap();
        heard.send(Sighting { device: DeviceId::from_bytes(stranger), address }).await.unwrap();
    }
    drop(heard);
    noting.await.unwrap();
    let now = std::time::Instant::now();
    assert_eq!(book.lock().unwrap().addresses(now, &known).len(), EACH);
    assert!(book.lock().unwrap().addresses(now, &DeviceId::from_bytes([1; 32])).is_empty());
    let mut dials = 0;
    while let Ok(NetEvent::Found(device)) = told.try_recv() {
        assert_eq!(device, known);
        dials += 1;
    }
    assert!((1..=FOUND_RATE.burst + 5).contains(&dials), "{dials}");
}

/// A helper that knows a clinic and may tell of it, and a patient that knows both.
async fn acquainted() -> (Node, Node, Node) {
    let (helper, moved, asker) = (Node::start(71).await, Node::start(72).await, Node::start(73).await);
    helper.allow(&[moved.device(), asker.device()]);
    helper.network.tell_of([(moved.device(), moved.network.addresses())].into());
    moved.allow(&[helper.device(), asker.device()]);
    asker.allow(&[helper.device(), moved.device()]);
    asker.network.tell_of([(helper.device(), helper.network.addresses())].into());
    (helper, moved, asker)
}

#[tokio::test]
async fn a_moved_device_is_found_through_a_common_acquaintance() {
    let (helper, moved, mut asker) = acquainted().await;
    let (helper_device, addresses) = (helper.device(), helper.network.addresses());
    let (moved_device, _helper, _moved) = (moved.device(), helper.serve(), moved.serve());
    hello(&asker.network, helper_device, &addresses).await.unwrap();
    let unknown = hello(&asker.network, moved_device, &[]).await;
    assert!(matches!(unknown, Err(NetError::Address { .. })), "{unknown:?}");

    asker.network.search(moved_device).await.unwrap();
    let found =
        asker.next(|event| if let NetEvent::Found(device) = event { Some(device) } else { None }).await;
    assert_eq!(found, moved_device);
    assert_eq!(hello(&asker.network, moved_device, &[]).await.unwrap(), b"olleh");
}

#[tokio::test]
async fn nobody_is_told_of_who_may_not_be_told_of() {
    let (helper, moved, mut asker) = acquainted().await;
    // As the node does for patients, and for those who are no longer paired.
    helper.network.tell_of([].into());
    let (helper_device, addresses) = (helper.device(), helper.network.addresses());
    let _helper = helper.serve();
    hello(&asker.network, helper_device, &addresses).await.unwrap();
    asker.network.search(moved.device()).await.unwrap();
    let nothing = async { while !matches!(asker.events.recv().await, Some(NetEvent::Found(_)) | None) {} };
    assert!(timeout(Duration::from_secs(3), nothing).await.is_err(), "nothing is found");
}
