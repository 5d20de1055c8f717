//! The trail: what is written, and how it is shown and checked.

use keys::{AuditAction, AuditEvent, DenyReason, GrantId, IdentityId, Outcome, Purpose, Timestamp};
use store::StoreError;

use super::Node;
use super::consents::denial_words;
use super::problem::{Problem, Tried};
use crate::api::types::{AuditLine, AuditPage, AuditVerification};
use crate::clock;

/// The most entries one page shows.
pub(crate) const MAX_PAGE: usize = 10_000;

/// What helps when the store writes no more.
pub(crate) const RESTART: &str =
    "free space on the disk if it is full, start the daemon again, then repeat this";

/// What cannot be told while the store writes no more: the engine may not read everything then, also what is well.
/// Opened again it reads all that was acknowledged, so that nothing is called damaged before.
pub(crate) fn unsure(action: &str, error: StoreError) -> Problem {
    Problem::failed(format!("cannot {action} before the store is opened again")).because(error).next(RESTART)
}

/// Something the person at this home did.
pub(crate) fn event(now: Timestamp, action: AuditAction, count: u64) -> (Timestamp, AuditEvent) {
    let event = AuditEvent {
        who: "local".to_owned(),
        action,
        object: None,
        purpose: None,
        grant: None,
        count,
        outcome: Outcome::Allowed,
    };
    (now, event)
}

/// Something a peer did or was refused.
pub(crate) fn peer_event(
    peer: &IdentityId,
    action: AuditAction,
    purpose: Option<Purpose>,
    grant: Option<GrantId>,
    count: u64,
    outcome: Outcome,
) -> (Timestamp, AuditEvent) {
    let event = AuditEvent { who: peer.to_string(), action, object: None, purpose, grant, count, outcome };
    (clock::now(), event)
}

/// Refusals, as many as `count`; `who` is an identity or a device.
fn refusal(who: String, reason: DenyReason, count: u64) -> (Timestamp, AuditEvent) {
    let event = AuditEvent {
        who,
        action: AuditAction::Refuse,
        object: None,
        purpose: None,
        grant: None,
        count,
        outcome: Outcome::Denied(reason),
    };
    (clock::now(), event)
}

impl Node {
    /// Writes entries to the trail. What cannot be noted is not given out, so callers end with this problem.
    ///
    /// # Errors
    /// [`Problem`] when the store writes no more.
    pub(crate) fn note(&self, events: Vec<(Timestamp, AuditEvent)>) -> Result<(), Problem> {
        let written = self.store.audit(events);
        written.map_err(|e| Problem::failed("cannot write the audit trail").because(e).next(RESTART))
    }

    /// Writes a refusal to the trail and returns it in words.
    pub(crate) fn refuse(&self, who: String, reason: DenyReason) -> String {
        self.refuse_many(who, reason, 1);
        denial_words(reason)
    }

    /// Writes refusals to the trail as one entry.
    pub(crate) fn refuse_many(&self, who: String, reason: DenyReason, count: u64) {
        if let Err(error) = self.store.audit(vec![refusal(who, reason, count)]) {
            tracing::error!(%error, "cannot write the audit trail");
        }
    }

    /// Entries from `from`, at most `limit`; without `from` the newest.
    ///
    /// # Errors
    /// [`Problem`] when the trail cannot be read.
    pub(crate) fn audit_show(&self, from: Option<u64>, limit: usize) -> Result<AuditPage, Problem> {
        let total = self.store.audit_count();
        let limit = limit.clamp(1, MAX_PAGE);
        let from = from.unwrap_or_else(|| total.saturating_sub(limit as u64));
        let entries = self.store.audit_entries(from, limit).tried("read the audit trail")?;
        Ok(AuditPage { entries: entries.into_iter().map(|e| self.line(e)).collect(), total })
    }

    /// Recomputes chain and signed heads.
    ///
    /// # Errors
    /// [`Problem`] when the trail cannot be read at all; a trail that is wrong is a result.
    pub(crate) fn audit_verify(&self) -> Result<AuditVerification, Problem> {
        match self.store.audit_verify(clock::now()) {
            Ok(report) => Ok(AuditVerification {
                entries: report.entries,
                verified: true,
                head: keys::base32(&report.head),
                checkpoints: report.checkpoints,
                reason: None,
            }),
            Err(
                error @ (StoreError::Trail(_) | StoreError::TrailCut { .. } | StoreError::Damaged { .. }),
            ) if self.store.write_failure().is_none() => Ok(AuditVerification {
                entries: self.store.audit_count(),
                verified: false,
                head: String::new(),
                checkpoints: 0,
                reason: Some(Problem::failed("not as it was written").because(error).message),
            }),
            Err(error) if self.store.write_failure().is_some() => Err(unsure("check the audit trail", error)),
            Err(error) => Err(Problem::failed("cannot check the audit trail").because(error)),
        }
    }
}

impl Node {
    fn line(&self, entry: keys::AuditEntry) -> AuditLine {
        let event = entry.event;
        AuditLine {
            seq: entry.seq,
            time: clock::rfc3339(entry.time),
            name: self.name_of_actor(&event.who),
            who: event.who,
            action: name_of(&event.action),
            object: event.object.map(|o| keys::base32(&o)),
            purpose: event.purpose.map(|p| p.to_string()),
            grant: event.grant.map(|g| g.to_string()),
            count: event.count,
            outcome: match event.outcome {
                Outcome::Allowed => "allowed".to_owned(),
                Outcome::Failed => "failed".to_owned(),
                Outcome::Denied(reason) => format!("denied: {reason}"),
            },
        }
    }

    /// The name of a paired peer behind an identity or a device in the trail.
    fn name_of_actor(&self, who: &str) -> Option<String> {
        let peers = super::read(&self.peers);
        let device = who.parse().ok().and_then(|device| peers.by_device(&device));
        let peer = device.or_else(|| who.parse().ok().and_then(|identity| peers.by_identity(&identity)));
        peer.map(|p| p.certificate.name.clone())
    }
}

fn name_of(action: &AuditAction) -> String {
    serde_json::to_value(action).ok().and_then(|v| v.as_str().map(str::to_owned)).unwrap_or_default()
}
