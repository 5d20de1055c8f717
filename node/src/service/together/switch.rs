//! Putting readings together is off until a clinician of this home enables it and answers for it by name.

use keys::{AuditAction, IdentityKind, Timestamp, codec};
use serde::{Deserialize, Serialize};
use store::DocumentKind;

use super::super::problem::{Problem, Tried};
use super::super::{Node, audit};
use crate::api::types::{TogetherSwitch, TogetherSwitched};
use crate::clock;

const KEY: &[u8] = b"together";
const VERSION: u8 = 1;
const MAX_BYTES: usize = 4_096;
/// The longest name of who enables.
const MAX_NAME_CHARS: usize = 200;

/// Who enabled it, and when.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Enabled {
    version: u8,
    pub(super) by: String,
    pub(super) at: Timestamp,
}

impl Node {
    /// Who enabled it.
    ///
    /// # Errors
    /// [`Problem`] (denied) when nobody did, with the command that does.
    pub(super) fn enabled(&self) -> Result<Enabled, Problem> {
        self.may_switch()?;
        let kept = self.store.document(DocumentKind::Fusion, KEY).tried("read whether this is enabled")?;
        let bytes = kept.ok_or_else(|| {
            Problem::denied("putting readings together is off in this home")
                .next("a clinician enables it with: metaclinic diagnose together --enable --by NAME")
        })?;
        let enabled: Enabled =
            codec::decode("switch", &bytes, MAX_BYTES).tried("read whether this is enabled")?;
        if enabled.version != VERSION {
            return Err(Problem::failed("the stored switch is of another version of this program")
                .next("enable it again with: metaclinic diagnose together --enable --by NAME"));
        }
        Ok(enabled)
    }

    /// Enables or disables it; audited.
    ///
    /// # Errors
    /// [`Problem`] in a home that is not a clinic's, without a name, or when it cannot be kept.
    pub(crate) fn switch_together(&self, request: &TogetherSwitch) -> Result<TogetherSwitched, Problem> {
        self.may_switch()?;
        let now = clock::now();
        let event = vec![audit::event(now, AuditAction::FusionSwitch, u64::from(request.enable))];
        if !request.enable {
            self.store.remove_document(DocumentKind::Fusion, KEY, event).tried("disable this")?;
            return Ok(TogetherSwitched { enabled: false, enabled_by: None });
        }
        let by = request.by.as_deref().unwrap_or_default().trim();
        if by.is_empty() || by.chars().count() > MAX_NAME_CHARS || by.chars().any(char::is_control) {
            return Err(Problem::wrong_use("who enables it is a name")
                .next("e.g. metaclinic diagnose together --enable --by \"Dr. A. Example\""));
        }
        let enabled = Enabled { version: VERSION, by: by.to_owned(), at: now };
        self.store
            .put_document(DocumentKind::Fusion, KEY, &codec::encode(&enabled), event)
            .tried("enable this")?;
        Ok(TogetherSwitched { enabled: true, enabled_by: Some(enabled.by) })
    }

    fn may_switch(&self) -> Result<(), Problem> {
        if self.keyring.kind() == IdentityKind::Clinic {
            return Ok(());
        }
        Err(Problem::denied("readings are put together only in a clinic's home, for clinicians")
            .next("read each alone: metaclinic diagnose --help; or metaclinic triage for a self-check"))
    }
}
