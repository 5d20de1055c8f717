//! Resources kept to the last byte, and texts that are none.

use proptest::prelude::*;

use super::*;

const OBSERVATION: &str = r#"{ "resourceType" : "Observation",
  "id": "o1", "status":"final","subject":{"reference":"Patient/p1/_history/2"},
  "code":{"coding":[{"system":"http://loinc.org","code":"8480-6"},{"code":"sys"}]},
  "category":[{"coding":[{"system":"urn:c","code":"vital-signs"}]}],
  "valueQuantity":{"value":1.00,"unit":"mm"}}"#;

#[test]
fn the_text_stays_as_it_was() {
    let resource = Resource::parse(OBSERVATION).unwrap();
    assert_eq!(resource.text(), OBSERVATION);
    assert_eq!((resource.resource_type(), resource.id()), ("Observation", "o1"));
    assert_eq!(resource.patient(), Some("Patient/p1"));
    let facts = resource.facts();
    assert_eq!(facts.codes, ["http://loinc.org|8480-6", "sys"]);
    assert_eq!(facts.categories, ["urn:c|vital-signs"]);
    assert_eq!(facts.patient.as_deref(), Some("Patient/p1"));
}

#[test]
fn a_missing_id_is_made_from_the_content_and_put_behind_the_type() {
    let text = r#"{"a":1.0, "resourceType":"Basic" , "b":[]}"#;
    assert_eq!(Resource::parse(text), Err(ResourceError::MissingId));
    let named = Resource::parse_or_name(text).unwrap();
    let id = named.id();
    assert!(is_id(id) && id.starts_with("mc-") && id.len() == 55);
    assert_eq!(named.text(), format!(r#"{{"a":1.0, "resourceType":"Basic","id":"{id}" , "b":[]}}"#));
    assert_eq!(Resource::parse_or_name(text).unwrap(), named);
    assert_ne!(Resource::parse_or_name(&text.replace("1.0", "1.00")).unwrap().id(), id);
}

#[test]
fn what_is_no_resource_is_refused_with_a_reason() {
    let check = |text: &str, expected: &str| {
        let error = Resource::parse(text).unwrap_err().to_string();
        assert!(error.contains(expected), "{text}: {error}");
    };
    check("[]", "not a JSON object");
    check("\"secret\"", "not a JSON object");
    check("", "ends too early");
    check("{", "ends too early");
    check("{\"resourceType\":\"Basic\",}", "syntax is wrong at line 1, column 25");
    check("{} {}", "syntax is wrong");
    check("{}", "resourceType");
    check(r#"{"resourceType":7}"#, "resourceType");
    check(r#"{"resourceType":"patient","id":"1"}"#, "resourceType");
    check(r#"{"resourceType":"Pätient","id":"1"}"#, "resourceType");
    check(r#"{"resourceType":"Patient","id":"a b"}"#, "not a FHIR id");
    check(r#"{"resourceType":"Patient","id":null}"#, "not a FHIR id");
    check(r#"{"resourceType":"Patient","id":""}"#, "not a FHIR id");
    check(r#"{"resourceType":"Patient","id":"1","id":"2"}"#, "same name");
    check(r#"{"resourceType":"Patient","id":"1","i\u0064":"2"}"#, "same name");
    check(
        r#"{"resourceType":"Flag","id":"1","subject":{"reference":"Patient/1","reference":"Patient/2"}}"#,
        "same name",
    );
}

#[test]
fn sizes_and_depths_are_bounded() {
    let deep = |levels: usize| {
        format!(r#"{{"resourceType":"Basic","id":"1","x":{}{}}}"#, "[".repeat(levels), "]".repeat(levels))
    };
    assert!(Resource::parse(&deep(MAX_DEPTH - 1)).is_ok());
    assert_eq!(Resource::parse(&deep(MAX_DEPTH)), Err(ResourceError::TooDeep));
    assert_eq!(Resource::parse(&deep(1_000_000)), Err(ResourceError::TooDeep));
    let long = format!(r#"{{"resourceType":"Basic","id":"1","x":"{}"}}"#, "a".repeat(MAX_RESOURCE_BYTES));
    assert_eq!(Resource::parse(&long), Err(ResourceError::TooLarge));
    let members: String = (0..MAX_MEMBERS).map(|n| format!(",\"m{n}\":1")).collect();
    let wide = format!(r#"{{"resourceType":"Basic","id":"1"{members}}}"#);
    assert_eq!(Resource::parse(&wide), Err(ResourceError::TooManyMembers));
    assert!(is_id(&"a".repeat(64)) && !is_id(&"a".repeat(65)));
}

#[test]
fn errors_and_debug_hold_nothing_of_the_text() {
    let resource = Resource::parse(OBSERVATION).unwrap();
    let shown = format!("{resource:?}");
    assert!(shown.contains("Observation") && !shown.contains("8480") && !shown.contains("p1"), "{shown}");
    let error = Resource::parse(r#"{"resourceType":"Patient","id":"canary canary"}"#).unwrap_err();
    assert!(!format!("{error} {error:?}").contains("canary"));
    let error = Resource::parse(r#"{"resourceType":"Patient" "canary"}"#).unwrap_err();
    assert!(!format!("{error} {error:?}").contains("canary"));
}

#[test]
fn a_patient_is_one_and_of_this_home() {
    let patient = |rest: &str| {
        let text = format!(r#"{{"resourceType":"Provenance","id":"1",{rest}}}"#);
        Resource::parse(&text).unwrap().patient().map(str::to_owned)
    };
    let one = r#"{"reference":"Patient/a"}"#;
    assert_eq!(patient(&format!("\"target\":[{one}]")).as_deref(), Some("Patient/a"));
    assert_eq!(patient(&format!("\"target\":[{one},{one}]")).as_deref(), Some("Patient/a"));
    assert_eq!(patient(&format!("\"target\":[{one},{{\"reference\":\"Patient/b\"}}]")), None);
    assert_eq!(patient(r#""target":[{"reference":"http://elsewhere/Patient/a"}]"#), None);
    assert_eq!(patient(r#""target":[{"reference":"Group/a"}]"#), None);
    let own = Resource::parse(r#"{"resourceType":"Patient","id":"x"}"#).unwrap();
    assert_eq!(own.patient(), Some("Patient/x"));
}

proptest! {
    #[test]
    fn damaged_resources_never_panic(at in 0..OBSERVATION.len(), with in any::<char>(), cut in any::<bool>()) {
        let mut text: String = OBSERVATION.chars().take(at).collect();
        text.push(with);
        if !cut {
            text.extend(OBSERVATION.chars().skip(at + 1));
        }
        if let Ok(resource) = Resource::parse_or_name(&text) {
            let terms = Terms::of(&resource);
            prop_assert_eq!(Terms::decode(&terms.encode()).unwrap(), terms);
        }
    }
}
