//! Numbers out of FHIR Observations: what was measured, when, in which unit.

use std::fmt;

use serde::Deserialize;

use crate::search::instant_s;

/// One number of an Observation.
#[derive(Clone, PartialEq)]
pub struct Measurement {
    /// Seconds since 1970; a date counts from its beginning.
    pub at_s: i64,
    /// The number.
    pub value: f64,
    /// The unit as UCUM code, or as it is written; empty when none is said.
    pub unit: String,
    /// The logical id of the patient; empty when none is said.
    pub patient: String,
}

impl fmt::Debug for Measurement {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Measurement")
    }
}

#[derive(Deserialize)]
struct Observation {
    #[serde(default)]
    status: String,
    #[serde(default)]
    code: Code,
    subject: Option<Reference>,
    #[serde(rename = "effectiveDateTime")]
    date_time: Option<String>,
    #[serde(rename = "effectiveInstant")]
    instant: Option<String>,
    #[serde(rename = "effectivePeriod")]
    period: Option<Period>,
    #[serde(rename = "valueQuantity")]
    quantity: Option<Quantity>,
    #[serde(default)]
    component: Vec<Component>,
}

#[derive(Default, Deserialize)]
struct Code {
    #[serde(default)]
    coding: Vec<Coding>,
}

#[derive(Deserialize)]
struct Coding {
    #[serde(default)]
    code: String,
}

#[derive(Deserialize)]
struct Reference {
    #[serde(default)]
    reference: String,
}

#[derive(Deserialize)]
struct Period {
    start: Option<String>,
}

#[derive(Deserialize)]
struct Quantity {
    value: Option<f64>,
    unit: Option<String>,
    code: Option<String>,
    comparator: Option<String>,
}

#[derive(Deserialize)]
struct Component {
    #[serde(default)]
    code: Code,
    #[serde(rename = "valueQuantity")]
    quantity: Option<Quantity>,
}

impl Code {
    fn is(&self, codes: &[&str]) -> bool {
        self.coding.iter().any(|coding| codes.contains(&coding.code.as_str()))
    }
}

/// Every number of an Observation, in itself and in its components, with its codes. None as for [`measurement`].
pub fn measurements(resource: &str) -> Vec<(Vec<String>, Measurement)> {
    let Ok(observation) = serde_json::from_str::<Observation>(resource) else { return Vec::new() };
    let codes = |code: &Code| code.coding.iter().map(|coding| coding.code.clone()).collect::<Vec<_>>();
    let all = std::iter::once(codes(&observation.code))
        .chain(observation.component.iter().map(|it| codes(&it.code)));
    let found = |codes: Vec<String>| {
        let wanted: Vec<&str> = codes.iter().map(String::as_str).collect();
        measurement(resource, &wanted).map(|found| (codes, found))
    };
    all.filter(|codes| !codes.is_empty()).filter_map(found).collect()
}

/// The number that an Observation has for one of the codes, in itself or in a component. Nothing when it was entered in error
/// or cancelled, says no time or no number, or only that it is above or below one.
pub fn measurement(resource: &str, codes: &[&str]) -> Option<Measurement> {
    let observation: Observation = serde_json::from_str(resource).ok()?;
    if ["entered-in-error", "cancelled"].contains(&observation.status.as_str()) {
        return None;
    }
    let start = observation.period.and_then(|period| period.start);
    let at_s = instant_s(&observation.date_time.or(observation.instant).or(start)?)?;
    let own = observation.quantity.filter(|_| observation.code.is(codes));
    let part =
        observation.component.into_iter().find(|part| part.code.is(codes)).and_then(|part| part.quantity);
    let quantity = own.or(part).filter(|quantity| quantity.comparator.is_none())?;
    let reference = observation.subject.map(|subject| subject.reference).unwrap_or_default();
    Some(Measurement {
        at_s,
        value: quantity.value.filter(|value| value.is_finite())?,
        unit: quantity.code.or(quantity.unit).unwrap_or_default(),
        patient: reference.strip_prefix("Patient/").unwrap_or_default().to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: &str = r#"{"resourceType":"Observation","id":"a","status":"final","code":{"coding":[{"system":"http://loinc.org","code":"8867-4"}]},"subject":{"reference":"Patient/p"},"effectiveDateTime":"2026-01-02T03:04:05Z","valueQuantity":{"value":71,"unit":"beats/minute","code":"/min"}}"#;

    #[test]
    fn a_number_has_its_time_unit_and_patient() {
        let found = measurement(PLAIN, &["8867-4"]).unwrap();
        assert_eq!((found.at_s, found.value), (1_767_323_045, 71.0));
        assert_eq!((found.unit.as_str(), found.patient.as_str()), ("/min", "p"));
        assert_eq!(measurement(PLAIN, &["1-1"]), None);
    }

    #[test]
    fn a_component_is_found_and_what_is_no_measurement_is_not() {
        let pressure = r#"{"resourceType":"Observation","id":"a","status":"final","code":{"coding":[{"code":"85354-9"}]},"effectivePeriod":{"start":"2026-01-02"},"component":[{"code":{"coding":[{"code":"8480-6"}]},"valueQuantity":{"value":120.5,"unit":"mmHg"}}]}"#;
        assert_eq!(measurement(pressure, &["8480-6"]).unwrap().value, 120.5);
        assert_eq!(measurement(pressure, &["85354-9"]), None);
        let all = measurements(pressure);
        assert_eq!((all.len(), all[0].0[0].as_str(), all[0].1.value), (1, "8480-6", 120.5));
        for (from, to) in [
            ("\"final\"", "\"entered-in-error\""),
            ("\"effectiveDateTime\"", "\"other\""),
            ("2026-01-02T03:04:05Z", "yesterday"),
            ("\"value\":71", "\"value\":null"),
            ("\"value\":71", "\"comparator\":\">\",\"value\":71"),
        ] {
            assert_eq!(measurement(&PLAIN.replace(from, to), &["8867-4"]), None, "{to}");
        }
    }
}
