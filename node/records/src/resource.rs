//! One FHIR R4 resource, kept as the text it was written in.
//!
//! Decimals such as `1.00`, the order of members and white space survive, because nothing is ever
//! re-encoded; what is needed to file and find it is read once from borrowed slices.

use std::fmt;

use keys::ResourceFacts;

use crate::json::{self, Members, Node};
use crate::terms::{self, Terms};

/// The longest resource that is accepted, in bytes of UTF-8.
pub const MAX_RESOURCE_BYTES: usize = 16 << 20;
/// The deepest nesting of objects and arrays; real resources stay below 30.
pub(crate) const MAX_DEPTH: usize = 64;
/// The most members the outermost object may have; no R4 resource type defines more than 80.
const MAX_MEMBERS: usize = 512;
/// The longest name of a resource type and the longest id (FHIR R4, data type `id`).
const MAX_NAME_BYTES: usize = 64;

/// Why a text is not a resource that can be kept. Never holds anything of the text.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum ResourceError {
    /// More than [`MAX_RESOURCE_BYTES`].
    #[error("the resource is larger than {MAX_RESOURCE_BYTES} bytes")]
    TooLarge,
    /// Nested deeper than 64 levels.
    #[error("the resource is nested deeper than {MAX_DEPTH} levels")]
    TooDeep,
    /// Not JSON. The parser's own message is left out since it may quote the text.
    #[error("{category} at line {line}, column {column}")]
    Syntax {
        /// What is wrong, in general words.
        category: &'static str,
        /// Line of the text, from 1.
        line: usize,
        /// Column of that line, from 1.
        column: usize,
    },
    /// JSON, but not an object.
    #[error("the resource is not a JSON object")]
    NotObject,
    /// More members than any resource type has.
    #[error("the resource has more than {MAX_MEMBERS} members")]
    TooManyMembers,
    /// A name twice in one object: readers would disagree about its meaning.
    #[error("the resource has two members of the same name")]
    Repeated,
    /// `resourceType` is missing or no name of a type.
    #[error("the member resourceType is missing or not the name of a type")]
    ResourceType,
    /// `id` is there but breaks the rule `[A-Za-z0-9\-\.]{1,64}`.
    #[error("the member id is not a FHIR id")]
    Id,
    /// `id` is not there.
    #[error("the member id is missing")]
    MissingId,
}

/// A FHIR resource with a type and an id; the text is exactly what was given.
#[derive(Clone, PartialEq, Eq)]
pub struct Resource {
    text: Box<str>,
    resource_type: Box<str>,
    id: Box<str>,
    patient: Option<Box<str>>,
}

impl Resource {
    /// Checks `text` and keeps it as it is.
    ///
    /// # Errors
    /// [`ResourceError`] for what is too large or too deep, is no JSON object, repeats a name, or has no
    /// type or id by the rules of FHIR R4.
    pub fn parse(text: &str) -> Result<Self, ResourceError> {
        let head = Head::read(text)?;
        let id = head.id.ok_or(ResourceError::MissingId)?;
        let patient = terms::compartment(&head.resource_type, &id, &head.members)?;
        Ok(Self {
            text: text.into(),
            resource_type: head.resource_type.into(),
            id: id.into(),
            patient: patient.map(Into::into),
        })
    }

    /// As [`Resource::parse`], but a text without an id gets one made from its own hash, inserted right
    /// after `resourceType`; everything else stays as it is.
    ///
    /// # Errors
    /// As [`Resource::parse`].
    pub fn parse_or_name(text: &str) -> Result<Self, ResourceError> {
        match Self::parse(text) {
            Err(ResourceError::MissingId) => {
                let end = Head::read(text)?.type_end;
                let id = content_id(text.as_bytes());
                Self::parse(&format!("{},\"id\":\"{id}\"{}", &text[..end], &text[end..]))
            }
            other => other,
        }
    }

    /// The type, for instance `Observation`.
    pub fn resource_type(&self) -> &str {
        &self.resource_type
    }

    /// The logical id, unique within the type and the home it comes from.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The JSON text as it was given.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// `Patient/ID` of the one patient this is about. `None` if there is none, if there are several, or if
    /// the reference leads to another server.
    pub fn patient(&self) -> Option<&str> {
        self.patient.as_deref()
    }

    /// What a grant is compared with.
    pub fn facts(&self) -> ResourceFacts {
        Terms::of(self).facts()
    }
}

impl fmt::Debug for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Resource")
            .field("type", &self.resource_type)
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

/// A deterministic id for content that has none: 55 characters, `mc-` and the base 32 of a BLAKE3 hash.
pub(crate) fn content_id(content: &[u8]) -> String {
    format!("mc-{}", keys::base32(blake3::hash(content).as_bytes()))
}

/// Whether `id` obeys the FHIR R4 data type `id`.
pub(crate) fn is_id(id: &str) -> bool {
    (1..=MAX_NAME_BYTES).contains(&id.len())
        && id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'.')
}

/// Whether `name` can be the name of a resource type.
pub(crate) fn is_type(name: &str) -> bool {
    name.len() <= MAX_NAME_BYTES
        && name.as_bytes().first().is_some_and(u8::is_ascii_uppercase)
        && name.bytes().all(|b| b.is_ascii_alphanumeric())
}

/// The outermost members of a checked text.
pub(crate) struct Head<'a> {
    pub(crate) resource_type: String,
    pub(crate) id: Option<String>,
    pub(crate) members: Members<'a>,
    /// Byte position right after the value of `resourceType`.
    type_end: usize,
}

impl<'a> Head<'a> {
    pub(crate) fn read(text: &'a str) -> Result<Self, ResourceError> {
        if text.len() > MAX_RESOURCE_BYTES {
            return Err(ResourceError::TooLarge);
        }
        if json::depth(text) > MAX_DEPTH {
            return Err(ResourceError::TooDeep);
        }
        let members: Members<'a> = serde_json::from_str(text).map_err(|e| syntax(text, &e))?;
        if members.0.len() > MAX_MEMBERS {
            return Err(ResourceError::TooManyMembers);
        }
        if json::repeats(&members.0) {
            return Err(ResourceError::Repeated);
        }
        let raw_type = members.get("resourceType").ok_or(ResourceError::ResourceType)?;
        let resource_type = Node::read(raw_type)
            .and_then(|node| node.text().filter(|name| is_type(name)).map(str::to_owned))
            .ok_or(ResourceError::ResourceType)?;
        let id = match members.get("id") {
            None => None,
            Some(raw) => Some(
                Node::read(raw)
                    .and_then(|node| node.text().filter(|id| is_id(id)).map(str::to_owned))
                    .ok_or(ResourceError::Id)?,
            ),
        };
        // The raw value is a slice of `text`, so the distance of the two pointers is a position in it.
        let type_end = raw_type.get().as_ptr() as usize - text.as_ptr() as usize + raw_type.get().len();
        Ok(Self { resource_type, id, members, type_end })
    }
}

fn syntax(text: &str, error: &serde_json::Error) -> ResourceError {
    if error.is_data() && !text.trim_start().starts_with('{') {
        return ResourceError::NotObject;
    }
    ResourceError::Syntax { category: json::category(error), line: error.line(), column: error.column() }
}

#[cfg(test)]
mod tests;
