//! Bundles taken apart, and references by address inside them made references by id.
//!
//! A Bundle of type transaction, batch, collection or searchset is a parcel: its entries are imported and
//! the wrapping is not kept. Any other Bundle (document, message, history, responses) means something as a
//! whole and stays one resource. Entries without a resource, such as DELETE, are left out in silence.

use std::borrow::Cow;
use std::collections::HashMap;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::Sink;
use crate::json::Text;
use crate::resource::{Resource, ResourceError};

/// Bundle types whose entries are resources of their own (FHIR R4, value set bundle-type).
const PARCELS: &[&str] = &["transaction", "batch", "collection", "searchset"];

#[derive(Deserialize)]
struct Wrapping<'a> {
    #[serde(borrow, rename = "resourceType")]
    resource_type: Option<&'a RawValue>,
    #[serde(borrow, rename = "type")]
    kind: Option<&'a RawValue>,
    #[serde(borrow)]
    entry: Option<&'a RawValue>,
}

/// One entry of a Bundle.
#[derive(Deserialize)]
struct Entry<'a> {
    #[serde(borrow, rename = "fullUrl")]
    full_url: Option<&'a RawValue>,
    #[serde(borrow)]
    resource: Option<&'a RawValue>,
}

/// The entries of `text` if it is a Bundle to take apart; `None` for every other object.
pub(super) fn entries(text: &str) -> Result<Option<Vec<&RawValue>>, serde_json::Error> {
    let wrapping: Wrapping<'_> = serde_json::from_str(text)?;
    let word = |raw: Option<&RawValue>| raw.and_then(|raw| serde_json::from_str::<String>(raw.get()).ok());
    let parcel = word(wrapping.resource_type).is_some_and(|name| name == "Bundle")
        && word(wrapping.kind).is_some_and(|kind| PARCELS.contains(&kind.as_str()));
    if !parcel {
        return Ok(None);
    }
    wrapping.entry.map_or(Ok(Some(Vec::new())), |raw| serde_json::from_str(raw.get()).map(Some))
}

/// Imports the entries of the Bundle `text`, which starts in `line`.
pub(super) fn import(text: &str, line: u64, entries: &[&RawValue], sink: &mut Sink<'_>) {
    let mut targets: HashMap<Cow<'_, str>, String> = HashMap::new();
    let mut resources = Vec::with_capacity(entries.len());
    let (mut counted, mut at) = (0, line);
    for entry in entries {
        if sink.ended {
            return;
        }
        let parts: Result<Entry<'_>, _> = serde_json::from_str(entry.get());
        let raw = parts.as_ref().ok().and_then(|parts| parts.resource).unwrap_or(entry);
        // The raw value is a slice of `text`, so the distance of the two pointers is a position in it.
        let start = raw.get().as_ptr() as usize - text.as_ptr() as usize;
        at += text.as_bytes()[counted..start].iter().filter(|b| **b == b'\n').count() as u64;
        counted = start;
        let Ok(parts) = parts else {
            sink.reject(at, "the entry is not one of a Bundle");
            continue;
        };
        if parts.resource.is_none() {
            continue;
        }
        match Resource::parse_or_name(raw.get()) {
            Ok(resource) => {
                let url = parts.full_url.and_then(|raw| serde_json::from_str::<Text<'_>>(raw.get()).ok());
                if let Some(Text(url)) = url {
                    let target = format!("{}/{}", resource.resource_type(), resource.id());
                    targets.entry(url).or_insert(target);
                }
                resources.push((at, resource));
            }
            Err(error) => sink.reject_resource(at, &error),
        }
    }
    for (at, resource) in resources {
        if sink.ended {
            return;
        }
        match resolve(resource, &targets) {
            Ok(resource) => sink.resource(resource),
            Err(error) => sink.reject_resource(at, &error),
        }
    }
}

/// Rewrites the references of one resource; all other bytes stay as they are.
fn resolve(resource: Resource, targets: &HashMap<Cow<'_, str>, String>) -> Result<Resource, ResourceError> {
    match rewrite(resource.text(), targets) {
        Some(text) => Resource::parse(&text),
        None => Ok(resource),
    }
}

/// `text` with every value of a member `"reference"` that is a known address replaced; `None` if there is none.
pub(super) fn rewrite(text: &str, targets: &HashMap<Cow<'_, str>, String>) -> Option<String> {
    let (mut rewritten, mut copied) = (String::new(), 0);
    let mut strings = Strings { text, at: 0 };
    while let Some((key_start, key_end)) = strings.next_string() {
        if &text[key_start..key_end] != "\"reference\"" {
            continue;
        }
        // Only the name of a member is followed by a colon.
        let Some(after) = text[key_end..].trim_start().strip_prefix(':') else { continue };
        if !after.trim_start().starts_with('"') {
            continue;
        }
        let Some((start, end)) = strings.next_string() else { break };
        let inner = &text[start + 1..end - 1];
        let address = if inner.contains('\\') {
            Cow::Owned(serde_json::from_str(&text[start..end]).unwrap_or_default())
        } else {
            Cow::Borrowed(inner)
        };
        if let Some(target) = targets.get(address.as_ref()) {
            rewritten.push_str(&text[copied..start]);
            rewritten.push('"');
            rewritten.push_str(target);
            rewritten.push('"');
            copied = end;
        }
    }
    if copied == 0 {
        return None;
    }
    rewritten.push_str(&text[copied..]);
    Some(rewritten)
}

/// Walks over the strings of valid JSON.
struct Strings<'a> {
    text: &'a str,
    at: usize,
}

impl Strings<'_> {
    /// From the opening quote to behind the closing one.
    fn next_string(&mut self) -> Option<(usize, usize)> {
        let bytes = self.text.as_bytes();
        let start = self.at + bytes.get(self.at..)?.iter().position(|b| *b == b'"')?;
        let mut at = start + 1;
        loop {
            match bytes.get(at)? {
                b'"' => break,
                b'\\' => at += 2,
                _ => at += 1,
            }
        }
        self.at = at + 1;
        Some((start, at + 1))
    }
}
