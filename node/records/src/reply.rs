//! FHIR answers made of resources that are already text: nothing is re-encoded.

use std::fmt::Write;

use crate::resource::Head;
use crate::search::{Page, Query};

/// A Bundle of type `searchset` as JSON text. `base` is the address of the FHIR endpoint, with or without
/// a slash at its end; `resources` are the texts of `page`, in order. A text that is no resource is left out.
pub fn searchset(base: &str, query: &Query, page: &Page, resources: &[String]) -> String {
    let base = base.trim_end_matches('/');
    let bytes: usize = resources.iter().map(|text| text.len() + 160).sum();
    let mut json = String::with_capacity(bytes + 512);
    let _ = write!(
        json,
        "{{\"resourceType\":\"Bundle\",\"type\":\"searchset\",\"total\":{},\"link\":[",
        page.total
    );
    let link = |relation: &str, query: &Query| {
        format!("{{\"relation\":\"{relation}\",\"url\":{}}}", quoted(&format!("{base}/{query}")))
    };
    json.push_str(&link("self", query));
    if let Some(next) = &page.next {
        json.push(',');
        json.push_str(&link("next", &query.with_cursor(Some(next.clone()))));
    }
    json.push(']');
    let mut separator = ",\"entry\":[";
    for text in resources {
        let Ok(Head { resource_type, id: Some(id), .. }) = Head::read(text) else { continue };
        let url = quoted(&format!("{base}/{resource_type}/{id}"));
        let _ = write!(json, "{separator}{{\"fullUrl\":{url},\"resource\":");
        json.push_str(text.trim());
        json.push_str(",\"search\":{\"mode\":\"match\"}}");
        separator = ",";
    }
    // FHIR has no empty arrays: without a match there is no entry at all.
    json.push_str(if separator == "," { "]}" } else { "}" });
    json
}

/// An OperationOutcome with one issue. `severity` and `code` are of the value sets issue-severity and
/// issue-type of FHIR R4; `diagnostics` is for people and must hold no health data.
pub fn operation_outcome(severity: &str, code: &str, diagnostics: &str) -> String {
    format!(
        "{{\"resourceType\":\"OperationOutcome\",\"issue\":[{{\"severity\":{},\"code\":{},\"diagnostics\":{}}}]}}",
        quoted(severity),
        quoted(code),
        quoted(diagnostics)
    )
}

/// A JSON string with its quotes.
pub(crate) fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}
