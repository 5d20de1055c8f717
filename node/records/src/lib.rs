//! The medical vocabulary of the node: FHIR R4 resources kept as they were written, the search index over
//! them, import of files, WFDB signals, still pictures (PNG, JPEG, DICOM), tables (CSV). Pure: bytes in, values out; no files, no clock, no tasks.

pub mod columns;
pub mod glucose;
pub mod image;
mod import;
mod json;
pub mod measurement;
mod reply;
mod resource;
mod search;
mod stored;
pub mod table;
mod terms;
pub mod time;
mod types;
pub mod wfdb;

pub use import::{Each, ImportOptions, Imported, Rejection, SignalImport, import_file};
pub use reply::{Found, operation_outcome, searchset};
pub use resource::{MAX_RESOURCE_BYTES, Resource, ResourceError};
pub use search::{Index, Page, Query, QueryError, Source};
pub use stored::{Attachment, StoredError, StoredResource};
pub use terms::{Terms, TermsError};
pub use types::is_resource_type;
