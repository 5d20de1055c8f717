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

/// The first second that a written date or time can mean; a date without a zone is read as UTC.
pub(crate) fn instant_s(text: &str) -> Option<i64> {
    date::Interval::parse(text).map(|interval| interval.low.div_euclid(1_000))
}

#[cfg(test)]
mod tests;
