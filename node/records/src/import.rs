//! Files into resources: FHIR JSON, Bundles, NDJSON and WFDB records, plain or compressed.
//!
//! Kinds are told by content first and by name second. What is malformed is reported and left out; the
//! rest is imported. Rejections never hold anything of the file but a line number.

mod bundle;
mod signal;
mod unpack;

use std::ops::ControlFlow;

use keys::Timestamp;

use crate::json;
use crate::resource::{Resource, ResourceError};

pub use signal::SignalImport;
pub(crate) use unpack::UnpackError;
pub(crate) use unpack::unpack as unpack_bytes;

/// What the person who imports says about the files.
#[derive(Clone, Debug)]
pub struct ImportOptions {
    /// The id of the patient that signals belong to; FHIR resources name theirs themselves.
    pub patient: Option<String>,
    /// The moment of the import; it becomes `issued` of an Observation made from a signal.
    pub now: Timestamp,
}

/// A part of a file that was left out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejection {
    /// The name of the file.
    pub source: String,
    /// The line where the part starts, from 1; 0 when lines mean nothing.
    pub line: u64,
    /// Why, in words that hold no values of the file.
    pub reason: String,
}

/// What a file gave.
#[derive(Debug)]
pub enum Imported {
    /// A FHIR resource.
    Resource(Resource),
    /// A recording.
    Signal(SignalImport),
}

/// Takes the parts of a file and says whether it wants more.
pub type Each<'a> = dyn FnMut(Result<Imported, Rejection>) -> ControlFlow<()> + 'a;

/// Where the parts of one file go.
struct Sink<'a> {
    source: &'a str,
    each: &'a mut Each<'a>,
    /// Nobody wants more: the rest of the file is not looked at.
    ended: bool,
}

impl Sink<'_> {
    fn give(&mut self, item: Result<Imported, Rejection>) {
        if !self.ended {
            self.ended = (self.each)(item).is_break();
        }
    }

    fn resource(&mut self, resource: Resource) {
        self.give(Ok(Imported::Resource(resource)));
    }

    fn signal(&mut self, signal: SignalImport) {
        self.give(Ok(Imported::Signal(signal)));
    }

    fn reject(&mut self, line: u64, reason: impl Into<String>) {
        self.give(Err(Rejection { source: self.source.to_owned(), line, reason: reason.into() }));
    }

    /// Rejects a resource that starts in `line`; an error inside moves the line on.
    fn reject_resource(&mut self, line: u64, error: &ResourceError) {
        match error {
            ResourceError::Syntax { category, line: inside, column } => {
                let line = line + (*inside as u64).saturating_sub(1);
                self.reject(line, format!("{category}, column {column}"));
            }
            other => self.reject(line, other.to_string()),
        }
    }
}

/// Reads one file and calls `each` for every resource, recording or rejection in it, until it breaks.
///
/// `name` is shown in rejections and tells NDJSON (`.ndjson`, `.jsonl`) and WFDB headers (`.hea`) apart.
/// `sibling` gives another file of the same folder by its plain name; it is asked for the signal files of a
/// WFDB header (also with `.xz` or `.gz` added) and for nothing else. Files inside gzip or xz may be
/// compressed once; 1 GiB is the most that is unpacked.
pub fn import_file(
    name: &str,
    bytes: Vec<u8>,
    sibling: &mut dyn FnMut(&str) -> Option<Vec<u8>>,
    options: &ImportOptions,
    each: &mut Each<'_>,
) {
    let mut sink = Sink { source: name, each, ended: false };
    let bytes = match unpack::unpack(bytes) {
        Ok(bytes) => bytes,
        Err(error) => return sink.reject(0, error.to_string()),
    };
    let plain_name = unpack::plain_name(name);
    if has_extension(plain_name, &["hea"]) {
        return signal::import(plain_name, bytes, sibling, options, &mut sink);
    }
    let text = match std::str::from_utf8(bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&bytes)) {
        Ok(text) => text,
        Err(error) => {
            let line = 1 + bytes.iter().take(error.valid_up_to()).filter(|b| **b == b'\n').count() as u64;
            return sink.reject(line, format!("not UTF-8 at byte {}", error.valid_up_to()));
        }
    };
    if has_extension(plain_name, &["ndjson", "jsonl"]) || is_ndjson(text) {
        for (at, line) in text.lines().enumerate() {
            if sink.ended {
                return;
            }
            if !line.trim().is_empty() {
                import_json(line.trim(), at as u64 + 1, &mut sink);
            }
        }
    } else if text.trim_start().starts_with('{') {
        import_json(text, 1, &mut sink);
    } else {
        sink.reject(1, "neither FHIR JSON, NDJSON nor a WFDB header");
    }
}

/// One resource or Bundle that starts in `line`.
fn import_json(text: &str, line: u64, sink: &mut Sink<'_>) {
    match bundle::entries(text) {
        Ok(Some(entries)) => bundle::import(text, line, &entries, sink),
        Ok(None) => match Resource::parse_or_name(text) {
            Ok(resource) => sink.resource(resource),
            Err(error) => sink.reject_resource(line, &error),
        },
        Err(error) => {
            let at = line + (error.line() as u64).saturating_sub(1);
            sink.reject(at, format!("{}, column {}", json::category(&error), error.column()));
        }
    }
}

/// Whether the first line is a whole JSON object and another object follows.
fn is_ndjson(text: &str) -> bool {
    let mut lines = text.lines().filter(|line| !line.trim().is_empty());
    let (Some(first), Some(second)) = (lines.next(), lines.next()) else { return false };
    second.trim_start().starts_with('{') && serde_json::from_str::<json::Members<'_>>(first).is_ok()
}

fn has_extension(name: &str, extensions: &[&str]) -> bool {
    let extension = name.rsplit_once('.').map_or("", |(_, extension)| extension);
    extensions.iter().any(|known| extension.eq_ignore_ascii_case(known))
}

#[cfg(test)]
mod tests;
