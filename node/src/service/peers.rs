//! Who this home is paired with, and where they were last seen.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::Duration;

use keys::{DeviceCard, DeviceCertificate, DeviceId, IdentityId, IdentityKind, Signed, Timestamp, codec};
use net::{Link, Network};
use serde::{Deserialize, Serialize};
use store::{DocumentKind, Store};

use super::problem::{Problem, Tried};
use super::{Node, audit, write};
use crate::api::types::Peer;
use crate::clock;

/// The most peers a home pairs with.
const MAX_PEERS: usize = 10_000;
/// The largest stored peer document.
const MAX_PEER_BYTES: usize = 64 * 1024;

/// A peer that comes and goes all the time costs no more than one write in this time.
const SEEN_KEPT_EVERY: Duration = Duration::from_secs(10);

/// A paired device.
#[derive(Clone)]
pub(crate) struct PairedPeer {
    /// Its verified certificate.
    pub certificate: DeviceCertificate,
    /// What was verified, and where it was last seen.
    pub card: DeviceCard,
    /// When it was paired.
    pub paired: Timestamp,
    /// When a connection with it last began or ended.
    pub seen: Option<Timestamp>,
    /// What of `seen` is on disk.
    seen_kept: Option<Timestamp>,
}

#[derive(Serialize, Deserialize)]
struct PeerDocument {
    version: u8,
    card: DeviceCard,
    paired: Timestamp,
    /// Homes of an earlier build have none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    seen: Option<Timestamp>,
}

/// All paired devices, by device.
#[derive(Default)]
pub(crate) struct Peers {
    by_device: BTreeMap<DeviceId, PairedPeer>,
}

impl Peers {
    /// Reads them from the store. A peer whose certificate has expired is still known by name.
    ///
    /// # Errors
    /// [`Problem`] when the store cannot be read.
    pub(crate) fn load(store: &Store) -> Result<Self, Problem> {
        let mut peers = Self::default();
        for (_, bytes) in store.documents(DocumentKind::Peer).tried("read the peers")? {
            let document: PeerDocument =
                codec::decode("peer", &bytes, MAX_PEER_BYTES).tried("read a stored peer")?;
            // One peer that cannot be believed must not keep the home closed: it is left out, and refused.
            match DeviceCertificate::authentic(&document.card.certificate) {
                Ok(certificate) => {
                    let PeerDocument { card, paired, seen, .. } = document;
                    let peer = PairedPeer { certificate, card, paired, seen, seen_kept: seen };
                    peers.by_device.insert(peer.certificate.device, peer);
                }
                Err(error) => tracing::error!(%error, "a stored peer is left out"),
            }
        }
        Ok(peers)
    }

    /// The peer with this device.
    pub(crate) fn by_device(&self, device: &DeviceId) -> Option<&PairedPeer> {
        self.by_device.get(device)
    }

    /// A peer with this identity.
    pub(crate) fn by_identity(&self, identity: &IdentityId) -> Option<&PairedPeer> {
        self.by_device.values().find(|p| p.certificate.identity == *identity)
    }

    /// The devices that may connect.
    pub(crate) fn devices(&self) -> HashSet<DeviceId> {
        self.by_device.keys().copied().collect()
    }

    /// Lets them connect, and says of whom they may be told.
    pub(crate) fn admit(&self, network: &Network) {
        network.allow(self.devices());
        network.tell_of(self.places());
    }

    /// Whether those who know a device may be told where it is: a clinic is there to be found, and where a person is
    /// concerns nobody.
    pub(crate) fn may_be_told_of(&self, device: &DeviceId) -> bool {
        self.by_device(device).is_some_and(|peer| peer.certificate.kind == IdentityKind::Clinic)
    }

    /// Where those are.
    fn places(&self) -> HashMap<DeviceId, Vec<String>> {
        let told = self.by_device.iter().filter(|(device, _)| self.may_be_told_of(device));
        told.map(|(device, peer)| (*device, peer.card.addresses.clone())).collect()
    }

    /// All of them.
    pub(crate) fn all(&self) -> impl Iterator<Item = &PairedPeer> {
        self.by_device.values()
    }

    /// Finds the one peer that `who` names: an identity, a device, the beginning of either, or a name.
    ///
    /// # Errors
    /// [`Problem`] when none or more than one fits.
    pub(crate) fn resolve(&self, who: &str) -> Result<&PairedPeer, Problem> {
        let fits = |p: &&PairedPeer| {
            let c = &p.certificate;
            let begins = |id: String| who.len() >= 8 && id.starts_with(who);
            begins(c.identity.to_string()) || begins(c.device.to_string()) || c.name.eq_ignore_ascii_case(who)
        };
        let mut found = self.by_device.values().filter(fits);
        match (found.next(), found.next()) {
            (Some(peer), None) => Ok(peer),
            (None, _) => Err(Problem::not_found("no paired peer goes by that name or id")
                .next("list them with: metaclinic pair list")),
            (Some(_), Some(_)) => Err(Problem::wrong_use("more than one paired peer goes by that name")
                .next("use the identity that `metaclinic pair list` shows")),
        }
    }

    /// All of them for a table, with those connections that are open at `now`.
    pub(crate) fn list(&self, links: &[Link], now: Timestamp) -> Vec<Peer> {
        let links: HashMap<DeviceId, &Link> = links.iter().map(|link| (link.device, link)).collect();
        let row = |p: &PairedPeer| {
            let link = links.get(&p.certificate.device);
            let since = link.map(|link| before(now, link.connected_for));
            Peer {
                identity: p.certificate.identity.to_string(),
                device: p.certificate.device.to_string(),
                role: p.certificate.kind.to_string(),
                name: p.certificate.name.clone(),
                device_name: p.certificate.device_name.clone(),
                paired: clock::rfc3339(p.paired),
                connected: link.is_some(),
                connected_since: since.map(clock::rfc3339),
                last_seen: link.map(|_| now).or(p.seen).map(clock::rfc3339),
                round_trip_ms: link.and_then(|l| l.round_trip).map(|took| took.as_secs_f64() * 1e3),
            }
        };
        self.by_device.values().map(row).collect()
    }
}

impl Node {
    /// Remembers a newly paired device and lets it connect.
    ///
    /// # Errors
    /// [`Problem`] when it cannot be stored or there are too many.
    pub(crate) fn add_peer(&self, card: DeviceCard, certificate: DeviceCertificate) -> Result<(), Problem> {
        let now = clock::now();
        let mut peers = write(&self.peers);
        if peers.by_device.len() >= MAX_PEERS && !peers.by_device.contains_key(&certificate.device) {
            return Err(Problem::failed(format!("a home pairs with at most {MAX_PEERS} devices")));
        }
        let event = audit::peer_event(
            &certificate.identity,
            keys::AuditAction::Pair,
            None,
            None,
            1,
            keys::Outcome::Allowed,
        );
        // Two devices that pair see each other.
        let seen = Some(now);
        self.save_peer(&card, &certificate.device, (now, seen), vec![event])?;
        let device = certificate.device;
        peers.by_device.insert(device, PairedPeer { certificate, card, paired: now, seen, seen_kept: seen });
        if let Some(network) = self.network.get() {
            peers.admit(network);
        }
        Ok(())
    }

    /// Takes over a known device's newer card (certificate, addresses).
    ///
    /// # Errors
    /// [`Problem`] when the card is not this device's or vouched for by another identity than before.
    pub(crate) fn refresh_peer(&self, device: &DeviceId, card: DeviceCard) -> Result<(), Problem> {
        let mut card = card.fitted();
        let certificate =
            DeviceCertificate::verify(&card.certificate, clock::now()).tried("check a certificate")?;
        let mut peers = write(&self.peers);
        let Some(known) = peers.by_device.get_mut(device) else {
            return Err(Problem::denied("this device is not paired"));
        };
        let same = certificate.device == *device && certificate.identity == known.certificate.identity;
        let newer = certificate.epoch > known.certificate.epoch || card.certificate == known.card.certificate;
        if !same || !newer {
            return Err(Problem::denied(
                "a certificate of another device, another identity or no newer epoch",
            ));
        }
        if certificate.name != known.certificate.name || certificate.kind != known.certificate.kind {
            return Err(Problem::denied("the peer has another name or role than when it was paired")
                .next("pair again to accept the new one"));
        }
        // Somebody who only dials out has no address now; the last known one may come back.
        if card.addresses.is_empty() {
            card.addresses.clone_from(&known.card.addresses);
        }
        if card.blob_addresses.is_empty() {
            card.blob_addresses.clone_from(&known.card.blob_addresses);
        }
        if known.card.addresses != card.addresses
            || known.card.blob_addresses != card.blob_addresses
            || known.card.certificate != card.certificate
        {
            self.save_peer(&card, device, (known.paired, known.seen), Vec::new())?;
            known.seen_kept = known.seen;
            known.card = card;
            known.certificate = certificate;
            if let Some(network) = self.network.get() {
                network.tell_of(peers.places());
            }
        }
        Ok(())
    }

    /// Notes that a connection with a device begins, ends or is given up now.
    pub(crate) fn note_seen(&self, device: &DeviceId) {
        let now = clock::now();
        let mut peers = write(&self.peers);
        let Some(known) = peers.by_device.get_mut(device) else { return };
        known.seen = Some(now);
        if known.seen_kept.is_some_and(|kept| now.since(kept) < SEEN_KEPT_EVERY) {
            return;
        }
        match self.save_peer(&known.card, device, (known.paired, known.seen), Vec::new()) {
            Ok(()) => known.seen_kept = known.seen,
            Err(problem) => tracing::warn!(%problem, "when a peer was last seen is not kept"),
        }
    }

    fn save_peer(
        &self,
        card: &DeviceCard,
        device: &DeviceId,
        (paired, seen): (Timestamp, Option<Timestamp>),
        events: Vec<(Timestamp, keys::AuditEvent)>,
    ) -> Result<(), Problem> {
        let document = codec::encode(&PeerDocument { version: 1, card: card.clone(), paired, seen });
        self.store
            .put_document(DocumentKind::Peer, device.as_bytes(), &document, events)
            .tried("keep the peer")
    }

    /// What this device tells others about itself.
    pub(crate) fn own_card(&self) -> DeviceCard {
        let network = self.network.get();
        DeviceCard {
            certificate: own_certificate(self),
            addresses: network.map(Network::addresses).unwrap_or_default(),
            blob_addresses: network.map(Network::blob_addresses).unwrap_or_default(),
        }
        .fitted()
    }
}

/// The moment so long before `now`.
fn before(now: Timestamp, ago: Duration) -> Timestamp {
    Timestamp::from_millis(now.as_millis().saturating_sub(i64::try_from(ago.as_millis()).unwrap_or(i64::MAX)))
}

fn own_certificate(node: &Node) -> Signed<DeviceCertificate> {
    node.keyring.certificate().clone()
}
