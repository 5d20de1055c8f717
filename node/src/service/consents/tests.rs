//! Consents that are damaged, over, or too many.

use keys::{DataKey, DeviceKey, IdentityKey, ResourceFacts};

use super::*;

fn owner() -> IdentityKey {
    IdentityKey::from_seed([1; 32])
}

fn store(folder: &std::path::Path) -> Store {
    let device = DeviceKey::generate(&mut clock::rng());
    Store::open(folder, &DataKey::generate(&mut clock::rng()), &device).expect("a new store")
}

fn grant(nonce: u8, end: Timestamp) -> Signed<Grant> {
    owner().sign(&Grant {
        version: 1,
        issuer: owner().id(),
        grantee: IdentityKey::from_seed([2; 32]).id(),
        scope: Scope::default(),
        actions: vec![Action::Read],
        purpose: Purpose::Treatment,
        not_before: Timestamp::from_millis(0),
        not_after: end,
        nonce: [nonce; 16],
    })
}

fn keep(store: &Store, kind: DocumentKind, key: &[u8], bytes: &[u8]) {
    store.put_document(kind, key, bytes, Vec::new()).expect("kept");
}

fn may_read(consents: &Consents) -> bool {
    let grantee = IdentityKey::from_seed([2; 32]).id();
    let facts = ResourceFacts::default();
    consents.authority.permit(clock::now(), &grantee, Action::Read, Purpose::Treatment, &facts).is_ok()
}

#[test]
fn without_a_readable_list_of_revocations_nothing_is_consented() {
    let dir = tempfile::tempdir().expect("a folder");
    let store = store(dir.path());
    let signed = grant(1, clock::now().plus(MAX_GRANT));
    keep(&store, DocumentKind::Grant, signed.id().as_bytes(), &codec::encode(&signed));
    assert!(may_read(&Consents::load(&store, owner().id())));
    keep(&store, DocumentKind::Revocation, REVOCATION_KEY, b"no such list");
    assert!(!may_read(&Consents::load(&store, owner().id())));
}

#[test]
fn a_damaged_consent_is_left_out_and_the_others_hold() {
    let dir = tempfile::tempdir().expect("a folder");
    let store = store(dir.path());
    keep(&store, DocumentKind::Grant, b"damaged", b"not a consent");
    keep(&store, DocumentKind::ReceivedGrant, b"damaged", b"not a consent");
    let mut forged: Grant =
        grant(2, clock::now().plus(MAX_GRANT)).verify(owner().id().as_bytes()).expect("own");
    forged.issuer = IdentityKey::from_seed([3; 32]).id();
    keep(&store, DocumentKind::ReceivedGrant, b"forged", &codec::encode(&owner().sign(&forged)));
    let signed = grant(1, clock::now().plus(MAX_GRANT));
    keep(&store, DocumentKind::Grant, signed.id().as_bytes(), &codec::encode(&signed));
    let consents = Consents::load(&store, owner().id());
    assert!(may_read(&consents));
    assert!(consents.received.is_empty(), "signed by another than it names");
}

#[test]
fn a_full_list_of_revocations_is_stored_and_read_again() {
    let dir = tempfile::tempdir().expect("a folder");
    let store = store(dir.path());
    let revoked = (0..30_000_u32)
        .map(|n| {
            let mut bytes = [0xff; 32];
            bytes[..4].copy_from_slice(&n.to_be_bytes());
            GrantId::from_bytes(bytes)
        })
        .collect();
    let list = owner().sign(&Revocation { version: 1, issuer: owner().id(), epoch: 7, revoked });
    keep(&store, DocumentKind::Revocation, REVOCATION_KEY, &codec::encode(&list));
    let consents = Consents::load(&store, owner().id());
    assert_eq!(consents.authority.revocation_epoch(), 7);
    assert_eq!(consents.authority.revoked().count(), 30_000);
}

#[test]
fn a_revoked_consent_leaves_the_list_long_after_its_end() {
    let dir = tempfile::tempdir().expect("a folder");
    let store = store(dir.path());
    let mut consents = Consents::load(&store, owner().id());
    let now = clock::now();
    let over = consents.authority.add_grant(&grant(1, Timestamp::from_millis(1))).expect("valid");
    let fresh = consents.authority.add_grant(&grant(2, now.plus(MAX_GRANT))).expect("valid");
    let unknown = GrantId::from_bytes([9; 32]);
    let revoked = vec![over, fresh, unknown];
    let list = owner().sign(&Revocation { version: 1, issuer: owner().id(), epoch: 1, revoked });
    consents.authority.apply_revocation(&list).expect("applies");
    let left = consents.still_revoked(now);
    assert!(!left.contains(&over) && left.contains(&fresh) && left.contains(&unknown));
}
