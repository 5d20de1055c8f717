//! What the search index needs of one resource, made once at import and kept sealed beside it, so that
//! unlocking a home does not parse every resource again.

use std::fmt;

use keys::ResourceFacts;
use serde::{Deserialize, Serialize};
use unicode_normalization::{UnicodeNormalization, char::is_combining_mark};

use crate::json::{Members, Node};
use crate::resource::{Head, Resource, ResourceError, is_id, is_type};
use crate::search::date::Interval;
use crate::search::parameters::{self, Kind, Parameter};

/// The version of the encoding; another one means that terms must be made anew from the resource.
const VERSION: u8 = 1;
/// The most entries one resource brings into the index; further ones are not found by search.
const MAX_ENTRIES: usize = 4_096;
/// The most bytes of text one resource brings into the index.
const MAX_TEXT_BYTES: usize = 256 << 10;
/// Longer codes, systems and names are not indexed (FHIR R4 has no bound; real ones stay far below).
const MAX_VALUE_BYTES: usize = 1_024;
/// The most bytes that [`Terms::decode`] reads.
const MAX_ENCODED_BYTES: usize = 1 << 20;

/// Bytes that should be terms are not.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TermsError {
    /// Not the encoding of terms.
    #[error("malformed search terms")]
    Malformed(#[source] keys::codec::CodecError),
    /// Written by another version; make them anew with [`Terms::of`].
    #[error("search terms of version {version}")]
    Version {
        /// The version found.
        version: u8,
    },
    /// A type or id that no resource can have, or too many entries.
    #[error("search terms that no resource can have")]
    Impossible,
}

/// The searchable values of one resource.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct Terms {
    #[serde(rename = "v")]
    version: u8,
    #[serde(rename = "k")]
    pub(crate) resource_type: String,
    #[serde(rename = "i")]
    pub(crate) id: String,
    /// The id of the one patient this is about.
    #[serde(rename = "p")]
    pub(crate) patient: Option<String>,
    #[serde(rename = "u")]
    pub(crate) updated: Option<Interval>,
    #[serde(rename = "t")]
    pub(crate) entries: Vec<Entry>,
}

/// One value under one search parameter, which is named so that the table may change.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Entry(pub(crate) String, pub(crate) Value);

/// A value as it is compared.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Value {
    /// System (empty: none) and code.
    #[serde(rename = "t")]
    Token(String, String),
    #[serde(rename = "d")]
    Date(Interval),
    /// Resource type and id; for other targets an empty type and the reference as written.
    #[serde(rename = "r")]
    Reference(String, String),
    /// Folded by [`fold`].
    #[serde(rename = "s")]
    Text(String),
}

impl Terms {
    /// Reads the terms of a resource.
    pub fn of(resource: &Resource) -> Self {
        let mut terms = Self {
            version: VERSION,
            resource_type: resource.resource_type().to_owned(),
            id: resource.id().to_owned(),
            patient: resource.patient().and_then(|p| p.strip_prefix("Patient/")).map(str::to_owned),
            updated: None,
            entries: Vec::new(),
        };
        // A resource has been read before, so this cannot fail; if it did, it would merely not be found.
        if let Ok(head) = Head::read(resource.text()) {
            terms.read(&head.members);
        }
        terms
    }

    /// CBOR, for keeping it sealed beside the resource.
    pub fn encode(&self) -> Vec<u8> {
        keys::codec::encode(self)
    }

    /// Reads [`Terms::encode`].
    ///
    /// # Errors
    /// [`TermsError`] when the bytes are something else or of another version.
    pub fn decode(bytes: &[u8]) -> Result<Self, TermsError> {
        let terms: Self =
            keys::codec::decode("search terms", bytes, MAX_ENCODED_BYTES).map_err(TermsError::Malformed)?;
        if terms.version != VERSION {
            return Err(TermsError::Version { version: terms.version });
        }
        let whole = is_type(&terms.resource_type)
            && is_id(&terms.id)
            && terms.patient.as_deref().is_none_or(is_id)
            && terms.entries.len() <= MAX_ENTRIES;
        if whole { Ok(terms) } else { Err(TermsError::Impossible) }
    }

    /// What a grant is compared with.
    pub fn facts(&self) -> ResourceFacts {
        let tokens = |names: &[&str]| {
            let mut found: Vec<String> = Vec::new();
            for Entry(name, value) in &self.entries {
                if let Value::Token(system, code) = value
                    && names.contains(&name.as_str())
                {
                    found.push(coded(system, code));
                }
            }
            found
        };
        ResourceFacts {
            resource_type: self.resource_type.clone(),
            id: self.id.clone(),
            categories: tokens(&[parameters::CATEGORY_NAME]),
            codes: tokens(parameters::CODE_NAMES),
            patient: self.patient.as_ref().map(|id| format!("Patient/{id}")),
        }
    }

    fn read(&mut self, members: &Members<'_>) {
        if let Some(Node::Object(meta)) = members.get("meta").and_then(Node::read) {
            let meta = Node::Object(meta);
            self.updated = meta.get("lastUpdated").and_then(Node::text).and_then(Interval::parse);
        }
        // The nodes of the members that several parameters look into are read once.
        let mut nodes: Vec<(&str, Option<Node<'_>>)> = Vec::new();
        let mut bytes = 0;
        for parameter in parameters::of_type(&self.resource_type) {
            for path in &parameter.paths {
                let Some((first, rest)) = path.split_first() else { continue };
                if !nodes.iter().any(|(name, _)| name == first) {
                    nodes.push((first, members.get(first).and_then(Node::read)));
                }
                let node = nodes.iter().find(|(name, _)| name == first).and_then(|(_, node)| node.as_ref());
                if let Some(node) = node {
                    node.walk(rest, &mut |node| {
                        values(parameter, node, &mut |value| self.add(parameter, value, &mut bytes));
                    });
                }
            }
        }
    }

    fn add(&mut self, parameter: &Parameter, value: Value, bytes: &mut usize) {
        let (a, b) = match &value {
            Value::Token(a, b) | Value::Reference(a, b) => (a.len(), b.len()),
            Value::Text(a) => (a.len(), 0),
            Value::Date(_) => (0, 0),
        };
        let added = a + b + 16;
        if a > MAX_VALUE_BYTES || b > MAX_VALUE_BYTES {
            return;
        }
        if self.entries.len() >= MAX_ENTRIES || *bytes + added > MAX_TEXT_BYTES {
            return;
        }
        let repeated = |entry: &Entry| entry.0 == parameter.name && entry.1 == value;
        // Repeats are common next to each other; far apart ones only cost a few bytes.
        if self.entries.iter().rev().take(8).any(repeated) {
            return;
        }
        *bytes += added;
        self.entries.push(Entry(parameter.name.to_owned(), value));
    }
}

impl fmt::Debug for Terms {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Terms")
            .field("type", &self.resource_type)
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

/// `system|code`, or the code alone when it has no system.
pub(crate) fn coded(system: &str, code: &str) -> String {
    if system.is_empty() { code.to_owned() } else { format!("{system}|{code}") }
}

/// Lower case without accents, so that "Ångström" is found by "angst" (FHIR R4, string search).
pub(crate) fn fold(text: &str) -> String {
    text.nfkd().filter(|c| !is_combining_mark(*c)).flat_map(char::to_lowercase).collect()
}

/// The target of a reference that this home may hold: type and id, a version cut off.
pub(crate) fn relative(reference: &str) -> Option<(&str, &str)> {
    let (resource_type, rest) = reference.split_once('/')?;
    let id = rest.split_once("/_history/").map_or(rest, |(id, _)| id);
    (is_type(resource_type) && is_id(id)).then_some((resource_type, id))
}

/// `Patient/ID` of the one patient a resource is about.
pub(crate) fn compartment(
    resource_type: &str,
    id: &str,
    members: &Members<'_>,
) -> Result<Option<String>, ResourceError> {
    if resource_type == "Patient" {
        return Ok(Some(format!("Patient/{id}")));
    }
    let parameter = parameters::find(resource_type, "patient").or(parameters::find(resource_type, "subject"));
    let mut only: Option<String> = None;
    let mut several = false;
    for path in parameter.map_or(&[][..], |parameter| &parameter.paths) {
        let Some((first, rest)) = path.split_first() else { continue };
        let Some(raw) = members.get(first) else { continue };
        let node = Node::read(raw).ok_or(ResourceError::Repeated)?;
        node.walk(rest, &mut |node| {
            let Some(target) = node.get("reference").and_then(Node::text) else { return };
            let Some(("Patient", patient)) = relative(target) else { return };
            match &only {
                Some(known) if known != patient => several = true,
                _ => only = Some(patient.to_owned()),
            }
        });
    }
    Ok(only.filter(|_| !several).map(|patient| format!("Patient/{patient}")))
}

/// Calls `each` with every value of `node` as `parameter` compares it; the shape says which data type it is.
fn values(parameter: &Parameter, node: &Node<'_>, each: &mut dyn FnMut(Value)) {
    match parameter.kind {
        Kind::Token => tokens(node, each),
        Kind::Date => dates(node, each),
        Kind::Reference => {
            let Some(target) = node.get("reference").and_then(Node::text).or(node.text()) else { return };
            match relative(target) {
                Some((resource_type, id)) if parameter.name != "patient" || resource_type == "Patient" => {
                    each(Value::Reference(resource_type.to_owned(), id.to_owned()));
                }
                Some(_) => {}
                None if target.starts_with('#') => {}
                None => each(Value::Reference(String::new(), target.to_owned())),
            }
        }
        Kind::Text => texts(node, each),
    }
}

/// CodeableConcept, Coding, Identifier, ContactPoint, code, string and boolean.
fn tokens(node: &Node<'_>, each: &mut dyn FnMut(Value)) {
    match node {
        Node::Bool(value) => each(Value::Token(String::new(), value.to_string())),
        Node::Text(code) => each(Value::Token(String::new(), code.as_ref().to_owned())),
        Node::Object(_) => {
            if let Some(codings) = node.get("coding") {
                codings.walk(&[], &mut |coding| tokens(coding, each));
                return;
            }
            let code = node.get("code").or(node.get("value")).and_then(Node::text);
            let system = node.get("system").and_then(Node::text).unwrap_or_default();
            if let Some(code) = code {
                each(Value::Token(system.to_owned(), code.to_owned()));
            }
        }
        Node::Other | Node::List(_) => {}
    }
}

/// date, dateTime, instant, Period, and the events and bounds of a Timing.
fn dates(node: &Node<'_>, each: &mut dyn FnMut(Value)) {
    if let Some(text) = node.text() {
        if let Some(interval) = Interval::parse(text) {
            each(Value::Date(interval));
        }
        return;
    }
    let member = |name| node.get(name).and_then(Node::text);
    if let Some(interval) = Interval::period(member("start"), member("end")) {
        each(Value::Date(interval));
    }
    node.walk(&["event"], &mut |event| {
        if let Some(interval) = event.text().and_then(Interval::parse) {
            each(Value::Date(interval));
        }
    });
    node.walk(&["repeat", "boundsPeriod"], &mut |bounds| {
        let member = |name| bounds.get(name).and_then(Node::text);
        if let Some(interval) = Interval::period(member("start"), member("end")) {
            each(Value::Date(interval));
        }
    });
}

/// string and the parts of a HumanName.
fn texts(node: &Node<'_>, each: &mut dyn FnMut(Value)) {
    if let Some(text) = node.text() {
        each(Value::Text(fold(text)));
    }
    for part in ["family", "given", "text", "prefix", "suffix"] {
        node.walk(&[part], &mut |part| {
            if let Some(text) = part.text() {
                each(Value::Text(fold(text)));
            }
        });
    }
}

#[cfg(test)]
mod tests;
