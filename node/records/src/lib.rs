//! The medical vocabulary of the node: FHIR R4 resources kept as they were written, the search index over
//! them, import of files, WFDB signals, and still pictures (PNG, JPEG, DICOM). Pure: bytes in, values out; no files, no clock, no tasks.

pub mod image;
mod import;
mod json;
mod reply;
mod resource;
mod search;
mod stored;
mod terms;
mod types;
pub mod wfdb;

pub use import::{Each, ImportOptions, Imported, Rejection, SignalImport, import_file};
pub use reply::{Found, operation_outcome, searchset};
pub use resource::{MAX_RESOURCE_BYTES, Resource, ResourceError};
pub use search::{Index, Page, Query, QueryError, Source};
pub use stored::{Attachment, StoredError, StoredResource};
pub use terms::{Terms, TermsError};
pub use types::is_resource_type;
