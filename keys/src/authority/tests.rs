//! What consents permit, and what they do not.

use proptest::prelude::*;

use super::*;
use crate::IdentityKey;
use crate::grant::{MAX_SCOPE_ENTRIES, MAX_SCOPE_ENTRY_BYTES, Scope};

const HOUR: i64 = 3_600_000;

fn at(hours: i64) -> Timestamp {
    Timestamp::from_millis(1_750_000_000_000 + hours * HOUR)
}

fn patient() -> IdentityKey {
    IdentityKey::from_seed([1; 32])
}

fn clinic() -> IdentityId {
    IdentityKey::from_seed([2; 32]).id()
}

fn grant() -> Grant {
    Grant {
        version: 1,
        issuer: patient().id(),
        grantee: clinic(),
        scope: Scope { resource_types: vec!["Observation".into()], ..Scope::default() },
        actions: vec![Action::Read],
        purpose: Purpose::Treatment,
        not_before: at(0),
        not_after: at(24),
        nonce: [7; 16],
    }
}

fn numbered(nonce: u8, change: impl FnOnce(&mut Grant)) -> Grant {
    let mut grant = Grant { nonce: [nonce; 16], ..grant() };
    change(&mut grant);
    grant
}

fn observation() -> ResourceFacts {
    ResourceFacts { resource_type: "Observation".into(), id: "o1".into(), ..ResourceFacts::default() }
}

fn authority(grants: &[Grant]) -> (Authority, Vec<GrantId>) {
    let mut authority = Authority::new(patient().id());
    let ids = grants.iter().map(|g| authority.add_grant(&patient().sign(g)).expect("valid grant")).collect();
    (authority, ids)
}

fn revoke(epoch: u64, revoked: Vec<GrantId>) -> Signed<Revocation> {
    patient().sign(&Revocation { version: 1, issuer: patient().id(), epoch, revoked })
}

fn reason(authority: &Authority, now: Timestamp) -> Option<DenyReason> {
    let asked = authority.permit(now, &clinic(), Action::Read, Purpose::Treatment, &observation());
    asked.err().map(|denied| denied.reason)
}

#[test]
fn a_grant_permits_what_it_says_and_nothing_else() {
    let (authority, ids) = authority(&[grant()]);
    let permit = |who: &IdentityId, action, purpose, facts: &ResourceFacts| {
        authority.permit(at(1), who, action, purpose, facts)
    };
    let allowed = permit(&clinic(), Action::Read, Purpose::Treatment, &observation());
    assert_eq!(allowed, Ok(Permit { grant: ids[0] }));
    let denied = |reason| Err(Denied { reason });
    let condition = ResourceFacts { resource_type: "Condition".into(), ..observation() };
    assert_eq!(
        permit(&clinic(), Action::Read, Purpose::Treatment, &condition),
        denied(DenyReason::OutOfScope)
    );
    assert_eq!(
        permit(&clinic(), Action::Write, Purpose::Treatment, &observation()),
        denied(DenyReason::OutOfScope)
    );
    assert_eq!(
        permit(&clinic(), Action::Read, Purpose::Research, &observation()),
        denied(DenyReason::OtherPurpose)
    );
    assert_eq!(
        permit(&patient().id(), Action::Read, Purpose::Treatment, &observation()),
        denied(DenyReason::NoGrant)
    );
    assert_eq!(authority.may_ask(at(1), &clinic(), Action::Read, Purpose::Treatment), Ok(()));
    assert!(authority.may_ask(at(1), &clinic(), Action::Read, Purpose::Research).is_err());
}

#[test]
fn a_grant_begins_and_ends_on_the_millisecond() {
    let (authority, ids) = authority(&[grant()]);
    let just = |time: Timestamp, millis| Timestamp::from_millis(time.as_millis() + millis);
    assert_eq!(reason(&authority, just(at(0), -1)), Some(DenyReason::NotYetValid));
    assert_eq!(reason(&authority, at(0)), None);
    assert_eq!(reason(&authority, just(at(24), -1)), None);
    assert_eq!(reason(&authority, at(24)), Some(DenyReason::Expired));
    assert_eq!(authority.state(&ids[0], at(24)), GrantState::Expired);
    assert_eq!(authority.state(&ids[0], at(3)), GrantState::Active);
}

#[test]
fn revocation_holds_whenever_it_arrives_and_for_ever() {
    let (mut early, ids) = authority(&[grant()]);
    early.apply_revocation(&revoke(1, ids.clone())).expect("first epoch");
    assert_eq!(reason(&early, at(1)), Some(DenyReason::Revoked));
    early.apply_revocation(&revoke(2, vec![])).expect("a list that forgets it");
    assert_eq!(early.state(&ids[0], at(1)), GrantState::Revoked);

    let mut late = Authority::new(patient().id());
    late.apply_revocation(&revoke(1, ids)).expect("before the grant is known");
    late.add_grant(&patient().sign(&grant())).expect("added");
    assert_eq!(reason(&late, at(1)), Some(DenyReason::Revoked));
}

#[test]
fn revocation_epochs_only_rise() {
    let (mut authority, ids) = authority(&[grant()]);
    assert_eq!(
        authority.apply_revocation(&revoke(0, vec![])),
        Err(GrantError::StaleEpoch { held: 0, offered: 0 })
    );
    authority.apply_revocation(&revoke(5, ids.clone())).expect("higher");
    authority.apply_revocation(&revoke(5, ids.clone())).expect("the same again");
    for (epoch, list) in [(5, vec![]), (4, ids)] {
        let stale = GrantError::StaleEpoch { held: 5, offered: epoch };
        assert_eq!(authority.apply_revocation(&revoke(epoch, list)), Err(stale));
    }
    assert_eq!(authority.revocation_epoch(), 5);
}

#[test]
fn only_the_owner_grants_and_revokes() {
    let (mut authority, _) = authority(&[]);
    let stranger = IdentityKey::from_seed([9; 32]);
    assert_eq!(authority.add_grant(&stranger.sign(&grant())), Err(GrantError::OtherIssuer));
    let named = Grant { issuer: stranger.id(), ..grant() };
    assert_eq!(authority.add_grant(&stranger.sign(&named)), Err(GrantError::OtherIssuer));
    assert_eq!(authority.add_grant(&patient().sign(&named)), Err(GrantError::OtherIssuer));
    let revocation = Revocation { version: 1, issuer: patient().id(), epoch: 1, revoked: vec![] };
    assert_eq!(authority.apply_revocation(&stranger.sign(&revocation)), Err(GrantError::OtherIssuer));
    assert_eq!(authority.grants().count(), 0);
}

#[test]
fn a_grant_that_could_never_hold_is_refused() {
    let (mut authority, _) = authority(&[]);
    let mut add = |change: fn(&mut Grant)| authority.add_grant(&patient().sign(&numbered(1, change))).err();
    assert_eq!(add(|g| g.not_after = g.not_before), Some(GrantError::NeverValid));
    assert_eq!(add(|g| g.version = 2), Some(GrantError::Version { found: 2 }));
    assert_eq!(add(|g| g.actions = vec![]), Some(GrantError::Actions));
    assert_eq!(add(|g| g.actions = vec![Action::Read; 2]), Some(GrantError::Actions));
    assert_eq!(add(|g| g.scope.codes = vec!["c".into(); 65]), Some(GrantError::TooManyEntries));
    assert_eq!(add(|g| g.scope.codes = vec!["c".repeat(129)]), Some(GrantError::Entry));
    assert_eq!(add(|g| g.scope.categories = vec![String::new()]), Some(GrantError::Entry));
    assert_eq!(add(|g| g.scope.patient = Some("p".repeat(129))), Some(GrantError::Entry));
    assert!(matches!(add(|g| g.scope.codes = vec!["c".repeat(1000); 64]), Some(GrantError::Signature(_))));
    let full = |g: &mut Grant| {
        let list = vec!["c".repeat(MAX_SCOPE_ENTRY_BYTES); MAX_SCOPE_ENTRIES];
        g.scope = Scope {
            resource_types: list.clone(),
            categories: list.clone(),
            codes: list,
            patient: Some("p".repeat(MAX_SCOPE_ENTRY_BYTES)),
        };
        g.actions = vec![Action::Read, Action::Write];
    };
    assert_eq!(add(full), None, "everything at its limit");
}

#[test]
fn the_reason_is_of_the_grant_that_came_nearest() {
    let other_scope = |g: &mut Grant| g.scope.resource_types = vec!["Condition".into()];
    let research = |g: &mut Grant| g.purpose = Purpose::Research;
    let past = |g: &mut Grant| (g.not_before, g.not_after) = (at(-9), at(-8));
    let past_and_other_scope = |g: &mut Grant| {
        other_scope(g);
        past(g);
    };
    let check = |grants: &[Grant], revoked: &[usize], expected| {
        let (mut authority, ids) = authority(grants);
        let list = revoked.iter().map(|&i| ids[i]).collect();
        authority.apply_revocation(&revoke(1, list)).expect("first epoch");
        assert_eq!(reason(&authority, at(1)), expected);
    };
    let (fits, elsewhere) = (numbered(1, |_| ()), numbered(2, other_scope));
    check(&[], &[], Some(DenyReason::NoGrant));
    check(&[fits.clone(), elsewhere.clone()], &[], None);
    check(&[fits.clone(), elsewhere.clone()], &[0], Some(DenyReason::Revoked));
    check(&[fits.clone(), elsewhere.clone()], &[0, 1], Some(DenyReason::Revoked));
    check(&[elsewhere.clone(), numbered(3, research)], &[], Some(DenyReason::OtherPurpose));
    check(&[elsewhere.clone(), numbered(3, past)], &[], Some(DenyReason::Expired));
    check(&[elsewhere, numbered(3, past_and_other_scope)], &[], Some(DenyReason::OutOfScope));
    check(&[fits, numbered(3, past)], &[0], Some(DenyReason::Revoked));
}

#[test]
fn the_bytes_of_a_grant_are_fixed() {
    let bytes = crate::codec::encode(&grant());
    insta::assert_snapshot!(data_encoding::HEXLOWER.encode(&bytes), @"a96776657273696f6e016669737375657258208a88e3dd7409f195fd52db2d3cba5d72ca6709bf1d94121bf3748801b40f6f5c676772616e74656558208139770ea87d175f56a35466c34c7ecccb8d8a91b4ee37a25df60f5b8fc9b3946573636f7065a46e7265736f757263655f7479706573816b4f62736572766174696f6e6a63617465676f726965738065636f646573806770617469656e74f667616374696f6e7381647265616467707572706f73656554524541546a6e6f745f6265666f72651b000001977420dc00696e6f745f61667465721b0000019779473800656e6f6e63655007070707070707070707070707070707");
}

proptest! {
    #[test]
    fn no_signed_bytes_panic_and_no_edit_is_believed(at in 0_usize..600, flip in 1_u8..=255) {
        let bytes = crate::codec::encode(&patient().sign(&grant()));
        let mut changed = bytes.clone();
        let at = at % changed.len();
        changed[at] ^= flip;
        if let Ok(signed) = crate::codec::decode::<Signed<Grant>>("signed", &changed, 4096) {
            let (mut authority, _) = authority(&[]);
            let added = authority.add_grant(&signed);
            // What the edit left as it was is still the same grant.
            prop_assert!(added.is_err() || signed == patient().sign(&grant()));
        }
    }
}

#[test]
fn a_list_at_its_limit_is_applied_and_one_over_it_changes_nothing() {
    let id = |n: u32| {
        let mut bytes = [0xff; 32];
        bytes[..4].copy_from_slice(&n.to_be_bytes());
        GrantId::from_bytes(bytes)
    };
    let (mut authority, ids) = authority(&[grant()]);
    let full = revoke(1, (0..30_000).map(id).collect());
    assert!(full.body().len() <= <Revocation as crate::signed::Signable>::MAX_BYTES);
    authority.apply_revocation(&full).expect("30,000 fit");
    let mut over: Vec<GrantId> = (0..32_000).map(id).collect();
    over.push(ids[0]);
    let mut copy = authority.clone();
    assert!(matches!(copy.apply_revocation(&revoke(2, over)), Err(GrantError::Signature(_))));
    assert_eq!(copy.revocation_epoch(), 1);
    assert!(!copy.is_revoked(&ids[0]));
}

#[test]
fn everything_can_be_taken_back_without_a_list() {
    let (mut authority, ids) = authority(&[grant()]);
    authority.revoke_all();
    assert_eq!(reason(&authority, at(1)), Some(DenyReason::Revoked));
    assert_eq!(authority.revoked().copied().collect::<Vec<_>>(), ids);
}
