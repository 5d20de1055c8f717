//! Who takes part: keys drawn from a seed, and the certificate of the one device each has.

use keys::{
    DeviceCertificate, DeviceId, DeviceKey, IdentityId, IdentityKey, IdentityKind, Signed, Timestamp,
};
use metaclinic_crdt::Author;

/// Any valid age recipient: nothing is sealed here (the example of the age documentation).
const RECIPIENT: &str = "age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p";

/// A person with one device.
pub(crate) struct Person {
    pub(crate) identity: IdentityKey,
    pub(crate) device: DeviceKey,
    pub(crate) certificate: Signed<DeviceCertificate>,
}

impl Person {
    /// Person `number` of the run with this seed.
    pub(crate) fn new(seed: u64, number: usize) -> Self {
        let identity = Self::identity(seed, number);
        let device = DeviceKey::from_seed(key(seed, number, "device"));
        let certificate = identity.sign(&DeviceCertificate {
            version: DeviceCertificate::VERSION,
            identity: identity.id(),
            kind: IdentityKind::Clinic,
            name: format!("Person {number}"),
            device: device.id(),
            device_name: "desk".into(),
            recipient: RECIPIENT.into(),
            epoch: 1,
            issued: Timestamp::from_millis(0),
            not_after: Timestamp::from_millis(i64::MAX),
        });
        Self { identity, device, certificate }
    }

    /// The identity key of person `number`, once more: keys are not cloned.
    pub(crate) fn identity(seed: u64, number: usize) -> IdentityKey {
        IdentityKey::from_seed(key(seed, number, "identity"))
    }

    pub(crate) fn id(&self) -> IdentityId {
        self.identity.id()
    }

    pub(crate) fn device(&self) -> DeviceId {
        self.device.id()
    }

    pub(crate) fn author(&self) -> Author<'_> {
        Author { device: &self.device, certificate: &self.certificate }
    }
}

fn key(seed: u64, number: usize, purpose: &str) -> [u8; 32] {
    *blake3::hash(format!("{seed} {number} {purpose}").as_bytes()).as_bytes()
}
