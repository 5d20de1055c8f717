//! Consent: who may do what with which records, for what purpose and how long, and its revocation.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::ids::{GrantId, IdentityId, Timestamp};
use crate::signed::{Signable, SignatureError, Signed};

/// The most entries each list of a [`Scope`] may have.
pub const MAX_SCOPE_ENTRIES: usize = 64;
/// The most bytes (UTF-8) of one entry of a [`Scope`].
pub const MAX_SCOPE_ENTRY_BYTES: usize = 128;

/// Why records are used: HL7 v3 PurposeOfUse, code system `2.16.840.1.113883.1.11.20448`. Written as its
/// code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Purpose {
    /// TREAT: to treat the patient.
    #[serde(rename = "TREAT")]
    Treatment,
    /// ETREAT: to treat the patient in an emergency.
    #[serde(rename = "ETREAT")]
    EmergencyTreatment,
    /// HRESCH: health research.
    #[serde(rename = "HRESCH")]
    Research,
    /// PATRQT: because the patient asked.
    #[serde(rename = "PATRQT")]
    PatientRequest,
    /// HOPERAT: to run the organisation.
    #[serde(rename = "HOPERAT")]
    Operations,
}

impl Purpose {
    /// All purposes.
    pub const ALL: [Self; 5] =
        [Self::Treatment, Self::EmergencyTreatment, Self::Research, Self::PatientRequest, Self::Operations];

    /// The HL7 code.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Treatment => "TREAT",
            Self::EmergencyTreatment => "ETREAT",
            Self::Research => "HRESCH",
            Self::PatientRequest => "PATRQT",
            Self::Operations => "HOPERAT",
        }
    }

    /// The word a person would use.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Treatment => "treatment",
            Self::EmergencyTreatment => "emergency-treatment",
            Self::Research => "research",
            Self::PatientRequest => "patient-request",
            Self::Operations => "operations",
        }
    }
}

impl fmt::Display for Purpose {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.code())
    }
}

impl FromStr for Purpose {
    type Err = ParsePurposeError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let text = text.trim();
        let names = |purpose: &Self| {
            purpose.code().eq_ignore_ascii_case(text) || purpose.word().eq_ignore_ascii_case(text)
        };
        Self::ALL.into_iter().find(names).ok_or(ParsePurposeError)
    }
}

/// A text names no [`Purpose`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a purpose: expected treatment, emergency-treatment, research, patient-request or operations")]
pub struct ParsePurposeError;

/// What is done with a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Action {
    /// To read or fetch it.
    Read,
    /// To add to it.
    Write,
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Read => "read",
            Self::Write => "write",
        })
    }
}

impl FromStr for Action {
    type Err = ParseActionError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.trim().to_ascii_lowercase().as_str() {
            "read" => Ok(Self::Read),
            "write" => Ok(Self::Write),
            _ => Err(ParseActionError),
        }
    }
}

/// A text names no [`Action`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an action: expected read or write")]
pub struct ParseActionError;

/// Which records: each list narrows, an empty list means any, and within a list one match is enough. The
/// default is everything.
///
/// `codes` and `categories` hold `system|code`, which matches exactly that (an empty system matches a coding
/// without one), or a bare `code`, which matches it in any system.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Scope {
    /// FHIR resource types, for instance `Observation`.
    #[serde(default)]
    pub resource_types: Vec<String>,
    /// Categories of which the resource has one.
    #[serde(default)]
    pub categories: Vec<String>,
    /// Codes of which the resource has one.
    #[serde(default)]
    pub codes: Vec<String>,
    /// The one patient, `Patient/ID`; none means any.
    #[serde(default)]
    pub patient: Option<String>,
}

impl Scope {
    /// Whether a resource with these facts is inside.
    pub fn covers(&self, facts: &ResourceFacts) -> bool {
        let any_of = |wanted: &[String], present: &[String]| {
            wanted.is_empty() || wanted.iter().any(|w| present.iter().any(|p| token_matches(w, p)))
        };
        (self.resource_types.is_empty() || self.resource_types.contains(&facts.resource_type))
            && any_of(&self.categories, &facts.categories)
            && any_of(&self.codes, &facts.codes)
            && (self.patient.is_none() || self.patient == facts.patient)
    }

    fn check(&self) -> Result<(), GrantError> {
        let lists = [&self.resource_types, &self.categories, &self.codes];
        if lists.iter().any(|list| list.len() > MAX_SCOPE_ENTRIES) {
            return Err(GrantError::TooManyEntries);
        }
        let valid = |entry: &String| {
            !entry.is_empty() && entry.len() <= MAX_SCOPE_ENTRY_BYTES && !entry.chars().any(char::is_control)
        };
        if !lists.into_iter().flatten().chain(&self.patient).all(valid) {
            return Err(GrantError::Entry);
        }
        Ok(())
    }
}

impl fmt::Debug for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (types, categories, codes) = (self.resource_types.len(), self.categories.len(), self.codes.len());
        let patient = if self.patient.is_some() { "one" } else { "any" };
        write!(f, "Scope({types} types, {categories} categories, {codes} codes, {patient} patient)")
    }
}

/// `wanted` is `system|code` or a bare code; a coding in `present` without a system is written bare.
fn token_matches(wanted: &str, present: &str) -> bool {
    let (system, code) = present.split_once('|').unwrap_or(("", present));
    match wanted.split_once('|') {
        Some(both) => both == (system, code),
        None => wanted == code,
    }
}

/// What is decided on: the facts of one resource that a [`Scope`] can name.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct ResourceFacts {
    /// FHIR resource type.
    pub resource_type: String,
    /// Its logical id.
    pub id: String,
    /// Its categories, `system|code` or `code`.
    pub categories: Vec<String>,
    /// Its codes, `system|code` or `code`.
    pub codes: Vec<String>,
    /// Whose it is, `Patient/ID`.
    pub patient: Option<String>,
}

impl fmt::Debug for ResourceFacts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ResourceFacts({})", self.resource_type)
    }
}

/// A consent, signed by its issuer.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grant {
    /// The version of this message, 1.
    pub version: u8,
    /// Whose records these are, and who signs.
    pub issuer: IdentityId,
    /// Who may.
    pub grantee: IdentityId,
    /// With which records.
    pub scope: Scope,
    /// Do what; one or two, each once.
    pub actions: Vec<Action>,
    /// For what.
    pub purpose: Purpose,
    /// From this moment on.
    pub not_before: Timestamp,
    /// Until just before this moment.
    pub not_after: Timestamp,
    /// Random, so that two equal consents are two grants and can be revoked apart.
    #[serde(with = "serde_bytes")]
    pub nonce: [u8; 16],
}

impl Signable for Grant {
    const DOMAIN: &'static str = "metaclinic/grant/1";
    /// Three full lists are 25 KiB.
    const MAX_BYTES: usize = 32 * 1024;
}

impl Grant {
    /// The version this code writes and reads.
    pub const VERSION: u8 = 1;

    /// Checks that `issuer` signed this and that it could ever hold.
    ///
    /// # Errors
    /// [`GrantError`] names the first check that fails.
    pub fn verify(signed: &Signed<Self>, issuer: &IdentityId) -> Result<Self, GrantError> {
        let grant = verify_by(signed, issuer)?;
        if grant.issuer != *issuer {
            return Err(GrantError::OtherIssuer);
        }
        grant.check()?;
        Ok(grant)
    }

    /// Checks everything but the signature, for the one who is about to sign.
    ///
    /// # Errors
    /// [`GrantError`] names the first check that fails.
    pub fn check(&self) -> Result<(), GrantError> {
        if self.version != Self::VERSION {
            return Err(GrantError::Version { found: self.version });
        }
        if self.not_after <= self.not_before {
            return Err(GrantError::NeverValid);
        }
        match self.actions.as_slice() {
            [_] => {}
            [a, b] if a != b => {}
            _ => return Err(GrantError::Actions),
        }
        self.scope.check()
    }
}

impl Signed<Grant> {
    /// The name of this grant.
    pub fn id(&self) -> GrantId {
        GrantId::from_bytes(self.digest())
    }
}

impl fmt::Debug for Grant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Grant({:?} to {:?}, {}, {:?})", self.issuer, self.grantee, self.purpose, self.scope)
    }
}

/// All grants that an issuer takes back: a cumulative list under a rising epoch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Revocation {
    /// The version of this message, 1.
    pub version: u8,
    /// Who takes back, and signs.
    pub issuer: IdentityId,
    /// From 1; higher replaces lower.
    pub epoch: u64,
    /// Every grant revoked so far.
    pub revoked: Vec<GrantId>,
}

impl Signable for Revocation {
    const DOMAIN: &'static str = "metaclinic/revocation/1";
    /// About 30,000 grants.
    const MAX_BYTES: usize = 1024 * 1024;
}

impl Revocation {
    /// The version this code writes and reads.
    pub const VERSION: u8 = 1;

    /// Checks that `issuer` signed this.
    ///
    /// # Errors
    /// [`GrantError`] names the first check that fails.
    pub fn verify(signed: &Signed<Self>, issuer: &IdentityId) -> Result<Self, GrantError> {
        let revocation = verify_by(signed, issuer)?;
        if revocation.issuer != *issuer {
            return Err(GrantError::OtherIssuer);
        }
        if revocation.version != Self::VERSION {
            return Err(GrantError::Version { found: revocation.version });
        }
        Ok(revocation)
    }
}

fn verify_by<T: Signable>(signed: &Signed<T>, issuer: &IdentityId) -> Result<T, GrantError> {
    signed.verify(issuer.as_bytes()).map_err(|error| match error {
        SignatureError::OtherSigner { .. } => GrantError::OtherIssuer,
        other => GrantError::Signature(other),
    })
}

/// A grant or a revocation is not to be believed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum GrantError {
    /// Its signature does not verify, or it is no such message.
    #[error(transparent)]
    Signature(SignatureError),
    /// Issued by another identity than the one whose records these are.
    #[error("issued by another identity than the owner of the records")]
    OtherIssuer,
    /// Of a version that this code does not know.
    #[error("grant or revocation of unknown version {found}")]
    Version {
        /// The version it claims.
        found: u8,
    },
    /// It ends before it begins.
    #[error("grant ends before it begins")]
    NeverValid,
    /// No action, or one twice.
    #[error("grant must name one or two different actions")]
    Actions,
    /// A list of the scope is too long.
    #[error("a list of the scope has more than {MAX_SCOPE_ENTRIES} entries")]
    TooManyEntries,
    /// An entry of the scope is empty, too long, or holds control characters.
    #[error("an entry of the scope must be 1 to {MAX_SCOPE_ENTRY_BYTES} bytes without control characters")]
    Entry,
    /// A revocation older than the one that holds, or another one of the same epoch.
    #[error("revocation of epoch {offered} does not follow epoch {held}")]
    StaleEpoch {
        /// The epoch that holds.
        held: u64,
        /// The epoch that was offered.
        offered: u64,
    },
    /// The authority already keeps as many grants or revocations as it may.
    #[error("no room for more grants or revocations")]
    Full,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn strings(list: &[&str]) -> Vec<String> {
        list.iter().map(|&s| s.to_owned()).collect()
    }

    fn facts() -> ResourceFacts {
        ResourceFacts {
            resource_type: "Observation".into(),
            id: "o1".into(),
            categories: strings(&["http://terminology.hl7.org/CodeSystem/observation-category|vital-signs"]),
            codes: strings(&["http://loinc.org|8867-4", "local"]),
            patient: Some("Patient/p1".into()),
        }
    }

    fn check(scope: &Scope, covered: bool) {
        assert_eq!(scope.covers(&facts()), covered);
    }

    fn codes(list: &[&str]) -> Scope {
        Scope { codes: strings(list), ..Scope::default() }
    }

    #[test]
    fn a_scope_covers_what_each_of_its_lists_names() {
        check(&Scope::default(), true);
        check(&codes(&["http://loinc.org|8867-4"]), true);
        check(&codes(&["8867-4"]), true);
        check(&codes(&["1-1", "8867-4"]), true);
        check(&codes(&["http://snomed.info/sct|8867-4"]), false);
        check(&codes(&["8867"]), false);
        check(&codes(&["local"]), true);
        check(&codes(&["|local"]), true);
        check(&codes(&["|8867-4"]), false);
        check(&Scope { resource_types: strings(&["Observation"]), ..Scope::default() }, true);
        check(&Scope { resource_types: strings(&["Condition"]), ..Scope::default() }, false);
        check(&Scope { categories: strings(&["vital-signs"]), ..Scope::default() }, true);
        check(&Scope { categories: strings(&["laboratory"]), ..Scope::default() }, false);
        check(&Scope { categories: strings(&["laboratory"]), ..codes(&["8867-4"]) }, false);
        check(&Scope { patient: Some("Patient/p1".into()), ..Scope::default() }, true);
        check(&Scope { patient: Some("Patient/p2".into()), ..Scope::default() }, false);
        let mut nobody = facts();
        nobody.patient = None;
        assert!(!Scope { patient: Some("Patient/p1".into()), ..Scope::default() }.covers(&nobody));
    }

    #[test]
    fn purposes_read_code_and_word() {
        for purpose in Purpose::ALL {
            assert_eq!(purpose.to_string().parse(), Ok(purpose));
            assert_eq!(purpose.word().to_ascii_uppercase().parse(), Ok(purpose));
            let bytes = crate::codec::encode(&purpose);
            assert_eq!(crate::codec::encode(&purpose.code()), bytes, "written as its code");
        }
        assert_eq!("profit".parse::<Purpose>(), Err(ParsePurposeError));
        assert_eq!(Action::Write.to_string().parse(), Ok(Action::Write));
    }

    #[test]
    fn debug_names_no_code_and_no_patient() {
        let scope = Scope { patient: Some("Patient/p1".into()), ..codes(&["http://loinc.org|75622-1"]) };
        let text = format!("{scope:?} {:?}", facts());
        for hidden in ["75622", "8867", "p1", "o1"] {
            assert!(!text.contains(hidden), "{text}");
        }
    }
}
