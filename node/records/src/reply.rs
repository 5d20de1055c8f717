//! FHIR answers made of resources that are already text: nothing is re-encoded.

use std::fmt::{self, Write};

use crate::resource::Head;
use crate::search::{Page, Query, Source};

/// A resource of an answer.
pub struct Found {
    /// Whose copy it is.
    pub source: Source,
    /// Its text, as it was written.
    pub text: String,
}

impl fmt::Debug for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Found").field("source", &self.source).finish_non_exhaustive()
    }
}

/// A Bundle of type `searchset` as JSON text. `base` is the address of the FHIR endpoint, with or without
/// a slash at its end; `resources` are those of `page`, in order. A text that is no resource is left out.
///
/// An own resource has the `fullUrl` `base/TYPE/ID`. A peer's has `urn:metaclinic:IDENTITY/TYPE/ID`, so that its
/// relative references do not lead to own resources of the same id, and a link `self` from which it is read.
/// `notice` becomes an entry with an OperationOutcome (`search.mode` `outcome`); it must hold no health data.
pub fn searchset(
    base: &str,
    query: &Query,
    page: &Page,
    resources: &[Found],
    notice: Option<&str>,
) -> String {
    let base = base.trim_end_matches('/');
    let bytes: usize = resources.iter().map(|found| found.text.len() + 320).sum();
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
    for Found { source, text } in resources {
        let Ok(Head { resource_type, id: Some(id), .. }) = Head::read(text) else { continue };
        let _ = match source {
            Source::Own => {
                let url = quoted(&format!("{base}/{resource_type}/{id}"));
                write!(json, "{separator}{{\"fullUrl\":{url},\"resource\":")
            }
            Source::Peer(peer) => {
                let url = quoted(&format!("urn:metaclinic:{peer}/{resource_type}/{id}"));
                let link = quoted(&format!("{base}/{resource_type}/{id}?_source={peer}"));
                write!(
                    json,
                    "{separator}{{\"link\":[{{\"relation\":\"self\",\"url\":{link}}}],\
                     \"fullUrl\":{url},\"resource\":"
                )
            }
        };
        json.push_str(text.trim());
        json.push_str(",\"search\":{\"mode\":\"match\"}}");
        separator = ",";
    }
    if let Some(notice) = notice {
        let outcome = operation_outcome("warning", "suppressed", notice);
        let _ = write!(json, "{separator}{{\"resource\":{outcome},\"search\":{{\"mode\":\"outcome\"}}}}");
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
