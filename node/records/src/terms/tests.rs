//! What the index takes out of a resource.

use proptest::prelude::*;

use super::*;

fn terms(text: &str) -> Terms {
    Terms::of(&Resource::parse(text).unwrap())
}

fn listed(terms: &Terms, name: &str) -> Vec<String> {
    let values = terms.entries.iter().filter(|entry| entry.0 == name).map(|entry| match &entry.1 {
        Value::Token(system, code) => coded(system, code),
        Value::Date(interval) => format!("{}..{}", interval.low, interval.high),
        Value::Reference(resource_type, id) => format!("{resource_type}/{id}"),
        Value::Text(text) => text.clone(),
    });
    values.collect()
}

#[test]
fn a_patient_gives_names_identifiers_and_a_birthday() {
    let terms = terms(
        r#"{"resourceType":"Patient","id":"p","meta":{"lastUpdated":"1970-01-01T00:00:01Z"},
        "active":true,"gender":"female","birthDate":"1970-01-02",
        "identifier":[{"system":"urn:mrn","value":"7"},{"value":"8"},{"system":"urn:none"}],
        "name":[{"family":"Ångström","given":["Ada","Zoë"],"text":"ADA"}],
        "generalPractitioner":[{"reference":"Practitioner/d"}]}"#,
    );
    assert_eq!(listed(&terms, "identifier"), ["urn:mrn|7", "8"]);
    assert_eq!(listed(&terms, "name"), ["angstrom", "ada", "zoe"]);
    assert_eq!(listed(&terms, "given"), ["ada", "zoe"]);
    assert_eq!(listed(&terms, "active"), ["true"]);
    assert_eq!(listed(&terms, "birthdate"), ["86400000..172799999"]);
    assert_eq!(listed(&terms, "general-practitioner"), ["Practitioner/d"]);
    assert_eq!(terms.updated, Some(Interval { low: 1_000, high: 1_999 }));
    assert_eq!(terms.patient.as_deref(), Some("p"));
}

#[test]
fn references_elsewhere_keep_their_address_and_contained_ones_are_left_out() {
    let terms = terms(
        r##"{"resourceType":"Observation","id":"o","subject":{"reference":"http://a/fhir/Patient/1"},
        "encounter":{"reference":"#e"},"performer":[{"reference":"Practitioner/1"},{"display":"x"}],
        "focus":[{"reference":"urn:uuid:1"}]}"##,
    );
    assert_eq!(listed(&terms, "subject"), ["/http://a/fhir/Patient/1"]);
    assert_eq!(listed(&terms, "encounter"), [""; 0]);
    assert_eq!(listed(&terms, "performer"), ["Practitioner/1"]);
    assert_eq!(listed(&terms, "focus"), ["/urn:uuid:1"]);
    assert_eq!(terms.patient, None);
}

#[test]
fn the_patient_parameter_knows_only_patients() {
    let terms = terms(r#"{"resourceType":"Observation","id":"o","subject":{"reference":"Group/1"}}"#);
    assert_eq!(listed(&terms, "patient"), [""; 0]);
    assert_eq!(listed(&terms, "subject"), ["Group/1"]);
}

#[test]
fn timings_and_periods_give_intervals() {
    let terms = terms(
        r#"{"resourceType":"ServiceRequest","id":"s","occurrenceTiming":{"event":["1970","bad"],
        "repeat":{"boundsPeriod":{"start":"1971"}}}}"#,
    );
    assert_eq!(
        listed(&terms, "occurrence"),
        ["0..31535999999".to_owned(), format!("31536000000..{}", i64::MAX)]
    );
}

#[test]
fn a_flood_of_codes_is_cut() {
    let codings: Vec<String> = (0..20_000).map(|n| format!("{{\"code\":\"{n}\"}}")).collect();
    let flood =
        format!(r#"{{"resourceType":"Observation","id":"o","code":{{"coding":[{}]}}}}"#, codings.join(","));
    let terms = terms(&flood);
    assert_eq!(terms.entries.len(), MAX_ENTRIES);
    assert_eq!(Terms::decode(&terms.encode()).unwrap(), terms);
    let long = format!(
        r#"{{"resourceType":"Observation","id":"o","code":{{"coding":[{{"code":"{}"}}]}}}}"#,
        "x".repeat(MAX_VALUE_BYTES + 1)
    );
    assert_eq!(Terms::of(&Resource::parse(&long).unwrap()).entries.len(), 0);
}

#[test]
fn an_encoding_of_another_version_is_told_apart() {
    let mut bytes = terms(r#"{"resourceType":"Basic","id":"b"}"#).encode();
    let at = bytes.windows(2).position(|pair| pair == b"av").unwrap() + 2;
    bytes[at] = 9;
    assert!(matches!(Terms::decode(&bytes), Err(TermsError::Version { version: 9 })));
    assert!(matches!(Terms::decode(b"junk"), Err(TermsError::Malformed(_))));
}

proptest! {
    #[test]
    fn damaged_terms_never_panic(at in 0_usize..400, with in any::<u8>()) {
        let mut bytes = terms(
            r#"{"resourceType":"Observation","id":"o","status":"final","effectiveDateTime":"2020",
            "subject":{"reference":"Patient/1"}}"#,
        ).encode();
        let at = at % bytes.len();
        bytes[at] = with;
        let _ = Terms::decode(&bytes);
        let _ = Terms::decode(&bytes[..at]);
    }
}
