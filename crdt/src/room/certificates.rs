//! Whose devices write in a room: certificates by their digest, each verified once.

use std::collections::{HashMap, HashSet};

use keys::{DeviceCertificate, DeviceId, IdentityId, Signed};

use crate::room::waiting::MAX_WAITING;

/// The most certificates that are kept for changes which do not count yet.
const MAX_SPARE: usize = 2 * MAX_WAITING;

struct Held {
    signed: Signed<DeviceCertificate>,
    identity: IdentityId,
    device: DeviceId,
    /// A change that counts needs it.
    needed: bool,
}

/// Certificates of devices.
#[derive(Default)]
pub(super) struct Certificates {
    held: HashMap<[u8; 32], Held>,
    spare: usize,
}

impl Certificates {
    /// The identity that vouches for `device` in the certificate of this digest.
    pub(super) fn identity(&self, digest: &[u8; 32], device: &DeviceId) -> Option<IdentityId> {
        self.held.get(digest).filter(|held| held.device == *device).map(|held| held.identity)
    }

    /// The certificate of this digest.
    pub(super) fn get(&self, digest: &[u8; 32]) -> Option<&Signed<DeviceCertificate>> {
        self.held.get(digest).map(|held| &held.signed)
    }

    /// Keeps a certificate if it is authentic. Its expiry is a matter of connections: what was signed under it
    /// stays signed, on every copy.
    pub(super) fn add(&mut self, digest: [u8; 32], signed: &Signed<DeviceCertificate>) {
        if self.held.contains_key(&digest) || self.spare >= MAX_SPARE {
            return;
        }
        if let Ok(certificate) = DeviceCertificate::authentic(signed) {
            let (identity, device) = (certificate.identity, certificate.device);
            self.held.insert(digest, Held { signed: signed.clone(), identity, device, needed: false });
            self.spare += 1;
        }
    }

    /// Notes that a change which counts needs it; gives it when that is new.
    pub(super) fn need(&mut self, digest: &[u8; 32]) -> Option<Signed<DeviceCertificate>> {
        let held = self.held.get_mut(digest).filter(|held| !held.needed)?;
        held.needed = true;
        self.spare -= 1;
        Some(held.signed.clone())
    }

    /// Gives up what nobody needs, once there is too much of it.
    pub(super) fn tidy(&mut self, waiting: impl FnOnce() -> HashSet<[u8; 32]>) {
        if self.spare < MAX_SPARE {
            return;
        }
        let waiting = waiting();
        self.held.retain(|digest, held| held.needed || waiting.contains(digest));
        self.spare = self.held.values().filter(|held| !held.needed).count();
    }
}
