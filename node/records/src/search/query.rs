//! FHIR R4 search requests as text: parsed at the edge, refused when something in them is not understood.

mod parse;

use std::fmt;

use super::date::Interval;
use super::index::Source;
use super::parameters::{Kind, Parameter};

/// The longest query, in bytes as it was sent.
pub(crate) const MAX_QUERY_BYTES: usize = 8 << 10;
/// The most parameters in one query.
pub(crate) const MAX_PARAMETERS: usize = 64;
/// Resources on one page when the query does not say.
pub(crate) const DEFAULT_COUNT: usize = 20;
/// The most resources on one page; a larger `_count` is lowered to this, as FHIR R4 allows.
pub(crate) const MAX_COUNT: usize = 1_000;

/// Why a query is refused. Names come from the query, values never do.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum QueryError {
    /// Longer than 8 KiB or more than 64 parameters.
    #[error("the query is longer than {MAX_QUERY_BYTES} bytes or has more than {MAX_PARAMETERS} parameters")]
    TooLong,
    /// A percent sign without two hexadecimal digits, or bytes that are not UTF-8.
    #[error("the query is not percent-encoded UTF-8")]
    Encoding,
    /// The part before the question mark is no name of a resource type.
    #[error("the query does not start with the name of a resource type")]
    ResourceType,
    /// This resource type has no such parameter here.
    #[error("the search parameter {name} is not known for this resource type")]
    UnknownParameter {
        /// The parameter, shortened to 64 characters.
        name: String,
    },
    /// The parameter is known, the modifier after its colon is not.
    #[error("the search parameter {name} has a modifier that is not supported")]
    Modifier {
        /// The parameter without its modifier.
        name: String,
    },
    /// A value that this parameter cannot have.
    #[error("the search parameter {name} has a malformed value")]
    Value {
        /// The parameter.
        name: String,
    },
    /// A cursor of another query, or none of ours.
    #[error("the cursor does not belong to this query")]
    Cursor,
}

/// A search that is understood completely.
#[derive(Clone, PartialEq)]
pub struct Query {
    pub(super) resource_type: String,
    pub(super) filters: Vec<Filter>,
    pub(super) sort: Sort,
    pub(super) cursor: Option<String>,
    pub(super) source: Option<Source>,
    count: usize,
    ignored: Vec<String>,
}

/// One parameter of a query: any of the values must match.
#[derive(Clone, PartialEq)]
pub(super) struct Filter {
    pub(super) field: Field,
    pub(super) values: Vec<Wanted>,
    name: String,
    raw: String,
}

/// What a filter looks at.
#[derive(Clone, Copy)]
pub(super) enum Field {
    Id,
    LastUpdated,
    Parameter(&'static Parameter),
}

impl PartialEq for Field {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Id, Self::Id) | (Self::LastUpdated, Self::LastUpdated) => true,
            (Self::Parameter(a), Self::Parameter(b)) => a.number == b.number,
            _ => false,
        }
    }
}

/// One value that is looked for.
#[derive(Clone, PartialEq)]
pub(super) enum Wanted {
    Id(String),
    /// `None`: anything goes; an empty system: none may be there.
    Token {
        system: Option<String>,
        code: Option<String>,
    },
    Date {
        prefix: Prefix,
        interval: Interval,
    },
    /// `None`: a target of any type.
    Reference {
        resource_type: Option<String>,
        id: String,
    },
    /// The folded start of a word of text.
    Text(String),
}

/// How a date is compared (FHIR R4, search, "prefixes").
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Prefix {
    Eq,
    Ne,
    Gt,
    Lt,
    Ge,
    Le,
    Sa,
    Eb,
    Ap,
}

impl Prefix {
    /// Whether a resource's date `target` matches `wanted`. The search value must contain the whole target
    /// to be equal to it; "ge" and "le" are met by any overlap, as FHIR servers commonly do.
    /// "ap" has no clock to measure the distance from now: it overlaps with `wanted` widened by its own
    /// width on both sides.
    pub(super) fn matches(self, wanted: Interval, target: Interval) -> bool {
        let equal = wanted.low <= target.low && target.high <= wanted.high;
        match self {
            Self::Eq => equal,
            Self::Ne => !equal,
            Self::Gt => target.high > wanted.high,
            Self::Lt => target.low < wanted.low,
            Self::Ge => target.high >= wanted.low,
            Self::Le => target.low <= wanted.high,
            Self::Sa => target.low > wanted.high,
            Self::Eb => target.high < wanted.low,
            Self::Ap => {
                let width = wanted.high.saturating_sub(wanted.low).saturating_add(1);
                target.high >= wanted.low.saturating_sub(width)
                    && target.low <= wanted.high.saturating_add(width)
            }
        }
    }
}

/// The order of the results; resources without the key come last.
#[derive(Clone, Copy, PartialEq)]
pub(super) struct Sort {
    pub(super) key: SortKey,
    pub(super) descending: bool,
}

#[derive(Clone, Copy, PartialEq)]
pub(super) enum SortKey {
    Id,
    Date(Field),
}

impl Query {
    /// Reads `Type?name=value&…`, as it stands in a URL. Everything must be understood.
    ///
    /// # Errors
    /// [`QueryError`] for a query that is too long, malformed, or asks for what is not supported.
    pub fn parse(text: &str) -> Result<Self, QueryError> {
        parse::query(text, false)
    }

    /// As [`Query::parse`], but unknown parameters are left out (`Prefer: handling=lenient`, FHIR R4 search);
    /// [`Query::ignored`] names them.
    ///
    /// # Errors
    /// As [`Query::parse`], unknown parameters apart.
    pub fn parse_lenient(text: &str) -> Result<Self, QueryError> {
        parse::query(text, true)
    }

    /// The type that is searched.
    pub fn resource_type(&self) -> &str {
        &self.resource_type
    }

    /// The one source whose resources are searched (`_source`); `None` for all.
    pub fn source(&self) -> Option<Source> {
        self.source
    }

    /// The same search in one source, or in all.
    #[must_use]
    pub fn with_source(&self, source: Option<Source>) -> Self {
        Self { source, ..self.clone() }
    }

    /// Whether a filter names a resource by its id, for instance a patient. The same id means something else in
    /// each source, so matches of several sources must not stand side by side.
    pub fn names_a_resource(&self) -> bool {
        self.filters.iter().any(|filter| match filter.field {
            Field::Id => true,
            Field::LastUpdated => false,
            Field::Parameter(parameter) => parameter.kind == Kind::Reference,
        })
    }

    /// The most resources on one page, 0 to 1,000; 0 asks for the total alone.
    pub fn count(&self) -> usize {
        self.count
    }

    /// The parameters that a lenient reading left out.
    pub fn ignored(&self) -> &[String] {
        &self.ignored
    }

    /// The same search from another place on.
    #[must_use]
    pub fn with_cursor(&self, cursor: Option<String>) -> Self {
        Self { cursor, ..self.clone() }
    }

    /// The same search with another page size, at most 1,000; its cursors stay good.
    #[must_use]
    pub fn with_count(&self, count: usize) -> Self {
        Self { count: count.min(MAX_COUNT), ..self.clone() }
    }

    /// A hash of the filters and the order, which ties a cursor to its query.
    pub(super) fn digest(&self) -> [u8; 8] {
        let bare = Self { cursor: None, count: DEFAULT_COUNT, ..self.clone() };
        let hash = blake3::hash(bare.to_string().as_bytes());
        let mut digest = [0; 8];
        digest.copy_from_slice(&hash.as_bytes()[..8]);
        digest
    }
}

/// The canonical text; reading it gives the same query.
impl fmt::Display for Query {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.resource_type)?;
        let mut separator = '?';
        let mut pair = |f: &mut fmt::Formatter<'_>, name: &str, value: &str| {
            let sep = std::mem::replace(&mut separator, '&');
            write!(f, "{sep}{}={}", Encoded(name), Encoded(value))
        };
        for filter in &self.filters {
            pair(f, &filter.name, &filter.raw)?;
        }
        if let Some(source) = &self.source {
            pair(f, "_source", &source.to_string())?;
        }
        let order = match self.sort.key {
            SortKey::Id => "_id",
            SortKey::Date(Field::Parameter(parameter)) => parameter.name,
            SortKey::Date(_) => "_lastUpdated",
        };
        if self.sort.descending {
            pair(f, "_sort", &format!("-{order}"))?;
        } else if order != "_id" {
            pair(f, "_sort", order)?;
        }
        if self.count != DEFAULT_COUNT {
            pair(f, "_count", &self.count.to_string())?;
        }
        self.cursor.as_ref().map_or(Ok(()), |cursor| pair(f, "_cursor", cursor))
    }
}

/// The resource type and the names of the parameters; values may be health data.
impl fmt::Debug for Query {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = self.filters.iter().map(|filter| filter.name.as_str()).collect();
        f.debug_struct("Query")
            .field("type", &self.resource_type)
            .field("parameters", &names)
            .finish_non_exhaustive()
    }
}

/// Percent-encodes everything that is not plain in the query part of a URL (RFC 3986, clause 3.4).
struct Encoded<'a>(&'a str);

impl fmt::Display for Encoded<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for byte in self.0.bytes() {
            if byte.is_ascii_alphanumeric() || b"-._~:/,@".contains(&byte) {
                write!(f, "{}", char::from(byte))?;
            } else {
                write!(f, "%{byte:02X}")?;
            }
        }
        Ok(())
    }
}
