//! What a clinician confirmed, as a FHIR RiskAssessment among the clinic's own records. Nothing is written without that
//! word, by no other home than a clinic's, and only what the clinician saw.

use keys::{AuditAction, IdentityKind};
use records::{Resource, Source, StoredResource};
use serde_json::{Value, json};

use super::super::Node;
use super::super::problem::{Problem, Tried};
use super::super::{audit, records::no_such_resource};
use super::{GIVEN, ReadPerson};
use crate::api::types::{RiskConfirmRequest, RiskConfirmed, RiskReport};
use crate::clock;

/// The longest name of who confirms.
const MAX_NAME_CHARS: usize = 200;

impl Node {
    /// Whether this home may keep what a clinician confirms.
    ///
    /// # Errors
    /// [`Problem`] when it is not a clinic's.
    pub(super) fn may_confirm(&self) -> Result<(), Problem> {
        if self.keyring.kind() == IdentityKind::Clinic {
            return Ok(());
        }
        Err(Problem::denied("only a clinic's home keeps what a clinician confirms")
            .next("leave --confirm out to read it without keeping it"))
    }

    pub(super) fn keep_confirmed(
        &self,
        read: &ReadPerson,
        request: &RiskConfirmRequest,
    ) -> Result<RiskConfirmed, Problem> {
        let report = &read.answer.report;
        if report.refused.is_some() {
            return Err(Problem::failed("the model said nothing, so there is nothing to keep")
                .next("give what is missing with --set name=value"));
        }
        if report.digest != request.digest {
            return Err(Problem::failed(
                "the records or the model have changed since this was read; nothing was kept",
            )
            .next("read it again, and confirm what it says then"));
        }
        let performer = self.performer(&request.by)?;
        let now = clock::now();
        let written = assessment(
            read,
            request,
            &performer,
            &clock::rfc3339(now),
            &self.keyring.identity().id().to_string(),
        );
        let resource = Resource::parse_or_name(&written.to_string()).tried("write the RiskAssessment")?;
        let reference = format!("{}/{}", resource.resource_type(), resource.id());
        let stored = StoredResource { resource, attachments: Vec::new() };
        let mut event = audit::event(now, AuditAction::Assess, 1);
        let id = self.record_id(&Source::Own, stored.resource.resource_type(), stored.resource.id());
        event.1.object = Some(*id.as_bytes());
        self.keep(&Source::Own, &[stored], vec![event])?;
        Ok(RiskConfirmed { reference })
    }

    /// Who confirms, as a FHIR Reference: an own Practitioner or PractitionerRole, else a name.
    fn performer(&self, by: &str) -> Result<Value, Problem> {
        let by = by.trim();
        if by.is_empty() || by.chars().count() > MAX_NAME_CHARS || by.chars().any(char::is_control) {
            return Err(Problem::wrong_use("who confirms is a name, or Practitioner/ID of an own record")
                .next("e.g. --confirm --by \"Dr. A. Example\""));
        }
        match by.split_once('/') {
            Some((kind @ ("Practitioner" | "PractitionerRole"), id)) => {
                let there = self.find(kind, id, Some(Source::Own));
                there.map_err(|_| no_such_resource().next("import the Practitioner, or give a name"))?;
                Ok(json!({ "reference": by }))
            }
            _ => Ok(json!({ "display": by })),
        }
    }
}

/// A reference to a record of the person's own source. Ids of a peer mean nothing here, so they stay logical references.
fn reference(source: &Source, target: &str) -> Value {
    match source {
        Source::Own => json!({ "reference": target }),
        Source::Peer(identity) => json!({
            "type": target.split('/').next(),
            "identifier": { "system": format!("urn:metaclinic:{identity}"), "value": target },
        }),
    }
}

fn assessment(
    read: &ReadPerson,
    request: &RiskConfirmRequest,
    performer: &Value,
    now: &str,
    home: &str,
) -> Value {
    let report = &read.answer.report;
    let source = &read.gathered.source;
    let mut basis: Vec<&str> = report.values.iter().filter_map(|value| record_of(&value.source)).collect();
    basis.sort_unstable();
    basis.dedup();
    let basis: Vec<Value> = basis.into_iter().map(|target| reference(source, target)).collect();
    let predictions: Vec<Value> = report
        .risks
        .iter()
        .map(|risk| {
            let coding =
                risk.code.as_ref().map(|code| json!([{ "system": "http://snomed.info/sct", "code": code }]));
            let mut outcome = json!({ "text": format!("{} ({})", risk.label, risk.when) });
            if let Some(coding) = coding {
                outcome["coding"] = coding;
            }
            let four = |number: f64| (number * 1e4).round() / 1e4;
            json!({
                "outcome": outcome,
                "probabilityDecimal": four(risk.probability),
                "rationale": format!(
                    "nine of ten members of the model say between {} and {}; {}",
                    four(risk.interval[0]), four(risk.interval[1]), strongest(report)
                ),
            })
        })
        .collect();
    let model = &report.model;
    let mut written = json!({
        "resourceType": "RiskAssessment",
        "status": "final",
        "method": { "text": format!("metaclinic model {} {}: logistic regression", model.name, model.version) },
        "code": { "text": read.reader.fields().outcome.label },
        "subject": reference(source, &format!("Patient/{}", request.request.patient)),
        "occurrenceDateTime": now,
        "performer": performer,
        "prediction": predictions,
        "note": [{ "time": now, "text": note(report, home) }],
    });
    if !basis.is_empty() {
        written["basis"] = basis.into();
    }
    written
}

/// The record that a value came from, if any.
fn record_of(source: &str) -> Option<&str> {
    let last = source.rsplit(' ').next()?;
    last.contains('/').then_some(last)
}

/// The three values that weighed most.
fn strongest(report: &RiskReport) -> String {
    let parts = report.explanation.iter().flat_map(|it| &it.parts);
    let parts = parts.filter(|part| part.value.is_some()).take(3);
    let words = parts.map(|part| {
        let side = if part.log_odds >= 0.0 { "for it" } else { "against it" };
        format!(
            "{side}: {} {} ({:+.2} log-odds)",
            part.name,
            part.value.as_deref().unwrap_or_default(),
            part.log_odds
        )
    });
    words.collect::<Vec<_>>().join("; ")
}

fn note(report: &RiskReport, home: &str) -> String {
    let names = |names: Vec<String>| if names.is_empty() { "nothing".to_owned() } else { names.join(", ") };
    let given = report.values.iter().filter(|value| value.source == GIVEN);
    let given = names(given.map(|value| format!("{} = {}", value.name, value.value)).collect());
    let missing = names(report.missing.iter().map(|missing| missing.name.clone()).collect());
    let model = &report.model;
    format!(
        "Said by a model and confirmed by the clinician named as performer, at {home}. Model {} {}, weights SHA-256 {}. \
         Given by hand: {given}. Not known, counted as the average: {missing}. Research software, not a medical device: \
         no diagnosis. Limits: {}",
        model.name,
        model.version,
        model.weights_sha256,
        model.limits.join(" ")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_of_a_peer_are_never_referred_to_as_own_ones() {
        assert_eq!(reference(&Source::Own, "Patient/p1"), json!({ "reference": "Patient/p1" }));
        let identity = keys::IdentityId::from_bytes([5; 32]);
        let peer = reference(&Source::Peer(identity), "Patient/p1");
        assert!(peer.get("reference").is_none());
        assert_eq!(peer["identifier"]["system"], format!("urn:metaclinic:{identity}"));
        assert_eq!((&peer["type"], &peer["identifier"]["value"]), (&json!("Patient"), &json!("Patient/p1")));
    }

    #[test]
    fn only_records_are_a_basis() {
        assert_eq!(record_of("Observation/bp"), Some("Observation/bp"));
        assert_eq!(record_of("counted in the year before Encounter/e1"), Some("Encounter/e1"));
        assert_eq!(record_of(GIVEN), None);
    }
}
