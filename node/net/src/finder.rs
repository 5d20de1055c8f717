//! From what is heard about known devices to what is worth dialling.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use libp2p::{Multiaddr, PeerId};
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::access::Door;
use crate::book::SharedBook;
use crate::lan::{self, Sighting, Tell};
use crate::limit::Buckets;
use crate::network::NetEvent;
use crate::protocol::FOUND_RATE;
use crate::swarm::SharedView;

/// What a finder needs to know of the rest of the network.
#[derive(Clone)]
pub(crate) struct Finder {
    pub(crate) door: Door,
    pub(crate) view: SharedView,
    pub(crate) book: SharedBook,
}

impl Finder {
    /// Tells the LAN where this device is, and notes where allowed devices say that they are.
    pub(crate) fn watch_lan(
        self,
        local: PeerId,
        told: watch::Receiver<Vec<Multiaddr>>,
        tasks: &TaskTracker,
        cancel: &CancellationToken,
    ) {
        let (heard, sightings) = lan::queue();
        let (stop, tell) = (cancel.clone(), Tell::Addresses(told, self.door.access.clone()));
        tasks.spawn_blocking(move || lan::look(local, tell, &heard, &stop));
        tasks.spawn(cancel.clone().run_until_cancelled_owned(self.note_all(sightings)));
    }

    /// Notes what comes until nothing comes any more.
    pub(crate) async fn note_all(self, mut sightings: mpsc::Receiver<Sighting>) {
        let news = Arc::new(Mutex::new(Buckets::new(1)));
        while let Some(sighting) = sightings.recv().await {
            self.note(sighting, &news);
        }
    }

    /// Of a device that is not on the allow list nothing is kept, and an address is news once.
    fn note(&self, Sighting { device, address }: Sighting, news: &Mutex<Buckets<()>>) {
        if !self.door.allows(&device) {
            return;
        }
        let now = Instant::now();
        let new = self.book.lock().unwrap_or_else(PoisonError::into_inner).note(now, device, address);
        let connected =
            self.view.lock().unwrap_or_else(PoisonError::into_inner).connected.contains_key(&device);
        let told = || news.lock().unwrap_or_else(PoisonError::into_inner).take(now, (), FOUND_RATE);
        if new && !connected && told() && !self.door.offer(NetEvent::Found(device)) {
            tracing::debug!("the node lags behind: a found device is dialled later");
        }
    }
}
