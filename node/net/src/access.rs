//! Who may connect: one value, written by the handle, read by the gate, the accept loops and the blob server.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use keys::{DenyReason, DeviceId};
use libp2p::Multiaddr;
use tokio::sync::{mpsc, watch};

use crate::limit::Buckets;
use crate::network::NetEvent;
use crate::protocol::REFUSAL_RATE;

/// The allow list, and whether unknown devices may knock.
#[derive(Clone, Default)]
pub(crate) struct Access {
    /// Devices that may connect and open every protocol.
    pub(crate) allowed: Arc<HashSet<DeviceId>>,
    /// Whether unknown devices may connect to pair.
    pub(crate) strangers: bool,
    /// Where those devices are that allowed ones may be told of.
    pub(crate) places: Arc<HashMap<DeviceId, Vec<Multiaddr>>>,
}

impl Access {
    /// Whether the device is on the allow list.
    pub(crate) fn allows(&self, device: &DeviceId) -> bool {
        self.allowed.contains(device)
    }
}

/// What every part of the network shares: the access rules and the way to the node.
#[derive(Clone)]
pub(crate) struct Door {
    pub(crate) access: watch::Receiver<Access>,
    pub(crate) events: mpsc::Sender<NetEvent>,
    refusals: Arc<Mutex<Buckets<()>>>,
}

impl Door {
    pub(crate) fn new(access: watch::Receiver<Access>, events: mpsc::Sender<NetEvent>) -> Self {
        Self { access, events, refusals: Arc::new(Mutex::new(Buckets::new(1))) }
    }

    /// Whether the device is on the allow list now.
    pub(crate) fn allows(&self, device: &DeviceId) -> bool {
        self.access.borrow().allows(device)
    }

    /// Whether unknown devices may knock now.
    pub(crate) fn strangers(&self) -> bool {
        self.access.borrow().strangers
    }

    /// Tells the node that something was refused; a flood of refusals is thinned out.
    pub(crate) fn refused(&self, peer: Option<DeviceId>, reason: DenyReason, what: &'static str) {
        tracing::debug!(?peer, what, "refused");
        let mut refusals = self.refusals.lock().unwrap_or_else(PoisonError::into_inner);
        if refusals.take(Instant::now(), (), REFUSAL_RATE) {
            self.tell(NetEvent::Refused { peer, reason, what });
        }
    }

    /// Gives the node an event without waiting; false when the node lags behind or is gone.
    pub(crate) fn tell(&self, event: NetEvent) -> bool {
        self.events.try_send(event).is_ok()
    }

    /// As [`Door::tell`], but leaves half of the queue to other events.
    pub(crate) fn offer(&self, event: NetEvent) -> bool {
        self.events.capacity() > self.events.max_capacity() / 2 && self.tell(event)
    }

    /// Resolves when the device is no longer on the allow list, or the network is gone.
    pub(crate) async fn expelled(&self, device: &DeviceId) {
        let mut access = self.access.clone();
        // An error means that the handle is gone, which ends everything anyway.
        let _ = access.wait_for(|a| !a.allows(device)).await;
    }
}

impl std::fmt::Debug for Door {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Door")
    }
}
