//! This home's identity, its devices, and its state at a glance.

use keys::{DeviceCertificate, IdentityId};

use super::problem::{Problem, Tried};
use super::{Node, read};
use crate::api::types::{DeviceInfo, IdentityInfo, SafetyNumber, Status};
use crate::clock;

impl Node {
    /// This device's certificate.
    ///
    /// # Errors
    /// [`Problem`] when it has expired.
    pub(crate) fn certificate(&self) -> Result<DeviceCertificate, Problem> {
        DeviceCertificate::verify(self.keyring.certificate(), clock::now())
            .tried("use this device's certificate")
    }

    /// Identity and devices.
    ///
    /// # Errors
    /// [`Problem`] when the certificate has expired.
    pub(crate) fn identity_info(&self) -> Result<IdentityInfo, Problem> {
        let certificate = self.certificate()?;
        Ok(IdentityInfo {
            identity: certificate.identity.to_string(),
            device: certificate.device.to_string(),
            role: certificate.kind.to_string(),
            name: certificate.name,
            devices: vec![DeviceInfo {
                device: certificate.device.to_string(),
                name: certificate.device_name,
                epoch: certificate.epoch,
                not_after: clock::rfc3339(certificate.not_after),
                this: true,
            }],
        })
    }

    /// The number that both people see for each other.
    ///
    /// # Errors
    /// [`Problem`] when no such peer is known and it is not an identity.
    pub(crate) fn safety_number(&self, other: &str) -> Result<SafetyNumber, Problem> {
        let other: IdentityId = match other.parse() {
            Ok(identity) => identity,
            Err(_) => read(&self.peers).resolve(other)?.certificate.identity,
        };
        Ok(SafetyNumber {
            identity: other.to_string(),
            safety_number: keys::safety_number(&self.keyring.identity().id(), &other),
        })
    }

    /// What is wrong with the store, in words for the person at this home.
    pub(crate) fn trouble(&self) -> Vec<String> {
        let mut trouble = Vec::new();
        if let Some(error) = self.store.write_failure() {
            trouble.push(format!("nothing can be written until the daemon is started again: {error}"));
        }
        if let Some(error) = self.store.rollback() {
            trouble.push(format!("the store is older than its own signed audit trail: {error}"));
        }
        trouble
    }

    /// Health of the node.
    pub(crate) fn status(&self) -> Status {
        let links = self.network.get().map(net::Network::links).unwrap_or_default();
        Status {
            identity: self.keyring.identity().id().to_string(),
            device: self.keyring.device().id().to_string(),
            role: self.keyring.kind().to_string(),
            name: self.keyring.name().to_owned(),
            home: self.home.root().display().to_string(),
            daemon: self.daemon,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            peers: read(&self.peers).list(&links, clock::now()),
            records: self.store.record_count(),
            rooms: self.room_list().rooms,
            lag: self.room_lags(),
            audit_entries: self.store.audit_count(),
            listen: self.network.get().map(net::Network::addresses).unwrap_or_default(),
            trouble: self.trouble(),
            uptime_s: self.opened.elapsed().as_secs(),
        }
    }
}
