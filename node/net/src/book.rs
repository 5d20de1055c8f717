//! Addresses of known devices that were found, not given: by mDNS on this LAN, or told by a paired clinic.
//!
//! They are hints: whoever answers there has to prove its key. So the book forgets them after a while, keeps few, and
//! the newest push out the oldest, which lets nobody close it to the real ones by filling it first.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use keys::DeviceId;
use libp2p::Multiaddr;

/// Devices of which addresses are remembered.
const DEVICES: usize = 1_024;
/// Addresses of one device: a machine has a cable and a radio, and may be told of by two others.
pub(crate) const EACH: usize = 4;
/// How long a found address counts, whatever its finder says: a browse is begun anew in less, and finds it again.
pub(crate) const LIFETIME: Duration = Duration::from_secs(6 * 60);

/// The book, shared by who finds and who dials.
pub(crate) type SharedBook = Arc<Mutex<Book>>;

/// Found addresses with the end of each.
#[derive(Default)]
pub(crate) struct Book {
    found: HashMap<DeviceId, Vec<(Multiaddr, Instant)>>,
}

impl Book {
    /// Notes an address without `/p2p`; true when it is news. A full book takes no further device.
    pub(crate) fn note(&mut self, now: Instant, device: DeviceId, address: Multiaddr) -> bool {
        if !self.found.contains_key(&device) && self.found.len() >= DEVICES {
            self.found.retain(|_, addresses| addresses.iter().any(|(_, until)| *until > now));
            if self.found.len() >= DEVICES {
                return false;
            }
        }
        let addresses = self.found.entry(device).or_default();
        addresses.retain(|(_, until)| *until > now);
        let known = addresses.iter().position(|(there, _)| *there == address);
        if let Some(place) = known {
            addresses.remove(place);
        } else if addresses.len() >= EACH {
            addresses.remove(0);
        }
        addresses.push((address, now + LIFETIME));
        known.is_none()
    }

    /// The addresses of a device that still count, the newest first.
    pub(crate) fn addresses(&self, now: Instant, device: &DeviceId) -> Vec<String> {
        let found = self.found.get(device).map(Vec::as_slice).unwrap_or_default();
        found.iter().rev().filter(|(_, until)| *until > now).map(|(address, _)| address.to_string()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn device(n: u32) -> DeviceId {
        let mut bytes = [0; 32];
        bytes[..4].copy_from_slice(&n.to_be_bytes());
        DeviceId::from_bytes(bytes)
    }

    fn address(port: u32) -> Multiaddr {
        format!("/ip4/10.0.0.1/tcp/{port}").parse().unwrap()
    }

    #[test]
    fn a_flood_of_devices_and_addresses_stays_bounded_and_the_newest_is_dialled_first() {
        let (mut book, now) = (Book::default(), Instant::now());
        for n in 0..5_000 {
            book.note(now, device(n), address(1));
        }
        assert_eq!(book.found.len(), DEVICES);
        for port in 1..=5_000 {
            book.note(now, device(0), address(port));
        }
        let kept = book.addresses(now, &device(0));
        assert_eq!(kept.len(), EACH);
        assert_eq!(kept[0], "/ip4/10.0.0.1/tcp/5000");
    }

    #[test]
    fn what_has_ended_is_neither_dialled_nor_in_the_way() {
        let (mut book, now) = (Book::default(), Instant::now());
        for n in 0..5_000 {
            book.note(now, device(n), address(1));
        }
        let later = now + LIFETIME;
        assert!(book.addresses(later, &device(0)).is_empty());
        assert!(book.note(later, device(9_999), address(1)), "the ended ones make room");
        assert_eq!(book.found.len(), 1);
    }

    #[test]
    fn an_address_found_again_lives_on_and_is_no_news() {
        let (mut book, now) = (Book::default(), Instant::now());
        assert!(book.note(now, device(1), address(1)));
        assert!(!book.note(now + LIFETIME / 2, device(1), address(1)));
        assert_eq!(book.addresses(now + LIFETIME, &device(1)).len(), 1);
    }
}
