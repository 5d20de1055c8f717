//! Search over the resources of an unlocked home: parameters as data, an inverted index in memory, and
//! FHIR R4 queries with keyset paging.

pub(crate) mod date;
mod index;
pub(crate) mod parameters;
mod query;
mod run;
mod symbols;

pub use index::{Index, Source};
pub use query::{Query, QueryError};
pub use run::Page;

#[cfg(test)]
mod tests;
