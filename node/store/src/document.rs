//! Small documents: peers, grants, revocations, settings. Sealed under the home key; their names too.

use getrandom::SysRng;
use keys::DataKey;
use rand_core::UnwrapErr;
use zeroize::Zeroizing;

use crate::size_class::{pad, unpad};

/// What a document is. Its number is stored, sealed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DocumentKind {
    /// A device or identity we know.
    Peer = 1,
    /// A grant this home gave.
    Grant = 2,
    /// A revocation this home signed or received.
    Revocation = 3,
    /// A grant this home was given.
    ReceivedGrant = 4,
    /// A setting.
    Setting = 5,
    /// How far a member of a room was when it last held the same.
    RoomStep = 6,
    /// Which packages of a model lie here, and which is in use.
    Model = 7,
    /// What a model did on one day, as counts.
    ModelDay = 8,
    /// What a model answered about a record, and what a person thought of it.
    ModelAnswer = 9,
    /// Who enabled that readings of one patient are put together.
    Fusion = 10,
}

/// Bytes that the names of all documents of a kind begin with.
const PREFIX_BYTES: usize = 8;
/// Bytes of a name: prefix, then the keyed hash of kind and key.
const NAME_BYTES: usize = PREFIX_BYTES + 32;

/// The keys of all documents.
pub(crate) struct Documents {
    kinds: DataKey,
    names: DataKey,
    contents: DataKey,
}

/// An opened document.
pub(crate) struct Document {
    pub(crate) kind: u8,
    pub(crate) key: Vec<u8>,
    pub(crate) bytes: Zeroizing<Vec<u8>>,
}

impl Documents {
    pub(crate) fn new(root: &DataKey) -> Self {
        Self {
            kinds: root.derive("metaclinic 2026-01 store document kinds"),
            names: root.derive("metaclinic 2026-01 store document names"),
            contents: root.derive("metaclinic 2026-01 store document contents"),
        }
    }

    /// The name under which the engine keeps a document.
    pub(crate) fn name(&self, kind: DocumentKind, key: &[u8]) -> [u8; NAME_BYTES] {
        self.hash(kind as u8, key)
    }

    /// What the names of all documents of a kind begin with; opaque, so that no kind can be told.
    pub(crate) fn prefix(&self, kind: DocumentKind) -> [u8; PREFIX_BYTES] {
        self.kind_hash(kind as u8)
    }

    /// The stored form: kind, key and content, padded and sealed, bound to its name.
    pub(crate) fn seal(&self, kind: DocumentKind, key: &[u8], bytes: &[u8]) -> Vec<u8> {
        let key_length = u32::try_from(key.len()).expect("limits were checked before");
        let mut plain = Zeroizing::new(Vec::with_capacity(5 + key.len() + bytes.len()));
        plain.push(kind as u8);
        plain.extend_from_slice(&key_length.to_be_bytes());
        plain.extend_from_slice(key);
        plain.extend_from_slice(bytes);
        self.contents.seal(&mut UnwrapErr(SysRng), &context(&self.name(kind, key)), &pad(&plain))
    }

    /// Opens what stands under `name`; `None` when it was changed or moved.
    pub(crate) fn open(&self, name: &[u8], sealed: &[u8]) -> Option<Document> {
        let padded = Zeroizing::new(self.contents.open(&context(name), sealed).ok()?);
        let plain = unpad(padded)?;
        let (&kind, rest) = plain.split_first()?;
        let (length, rest) = rest.split_first_chunk::<4>()?;
        let (key, bytes) = rest.split_at_checked(usize::try_from(u32::from_be_bytes(*length)).ok()?)?;
        let document = Document { kind, key: key.to_vec(), bytes: Zeroizing::new(bytes.to_vec()) };
        (self.hash(kind, key) == name).then_some(document)
    }

    fn kind_hash(&self, kind: u8) -> [u8; PREFIX_BYTES] {
        let hash = self.kinds.keyed_hash(&[kind]);
        *hash.first_chunk().expect("a hash is longer than a prefix")
    }

    fn hash(&self, kind: u8, key: &[u8]) -> [u8; NAME_BYTES] {
        let mut message = Zeroizing::new(Vec::with_capacity(1 + key.len()));
        message.push(kind);
        message.extend_from_slice(key);
        let mut name = [0; NAME_BYTES];
        name[..PREFIX_BYTES].copy_from_slice(&self.kind_hash(kind));
        name[PREFIX_BYTES..].copy_from_slice(&self.names.keyed_hash(&message));
        name
    }
}

fn context(name: &[u8]) -> Vec<u8> {
    [b"metaclinic/store/document/1/".as_slice(), name].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_opens_only_under_its_name() {
        let documents = Documents::new(&DataKey::from_bytes([1; 32]));
        let sealed = documents.seal(DocumentKind::Peer, b"key", b"bytes");
        let name = documents.name(DocumentKind::Peer, b"key");
        let opened = documents.open(&name, &sealed).expect("opens");
        assert_eq!(
            (opened.kind, opened.key.as_slice(), opened.bytes.as_slice()),
            (1, &b"key"[..], &b"bytes"[..])
        );
        assert!(documents.open(&documents.name(DocumentKind::Grant, b"key"), &sealed).is_none());
        assert!(documents.open(&name, &sealed[1..]).is_none());
    }

    #[test]
    fn kind_and_key_do_not_run_into_each_other() {
        let documents = Documents::new(&DataKey::from_bytes([1; 32]));
        assert_ne!(documents.name(DocumentKind::Peer, b"a"), documents.name(DocumentKind::Grant, b"a"));
        let sealed = documents.seal(DocumentKind::Peer, b"", b"ab");
        let opened = documents.open(&documents.name(DocumentKind::Peer, b""), &sealed).expect("opens");
        assert_eq!((opened.key.len(), opened.bytes.len()), (0, 2));
    }
}
