//! Running a query: the rarest filter gives the candidates, the others test them, and a keyset cursor
//! gives the pages, so that resources added or removed between two pages move nothing else.

use std::cmp::Ordering;
use std::collections::BTreeSet;

use keys::RecordId;
use serde::{Deserialize, Serialize};

use super::date::Interval;
use super::index::{Document, Index, Indexed, Source};
use super::parameters::Parameter;
use super::query::{Field, Filter, Prefix, Query, QueryError, SortKey, Wanted};
use super::symbols::Symbol;

/// One page of results.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// All matches, on every page.
    pub total: u64,
    /// The records of this page, in order.
    pub ids: Vec<RecordId>,
    /// The cursor of the next page, if there is one; opaque, and good for the same query only.
    pub next: Option<String>,
}

/// Where a page ended. The order is total: the record id decides between equals.
#[derive(Serialize, Deserialize)]
struct Cursor(#[serde(with = "serde_bytes")] Vec<u8>, Option<i64>, String, RecordId);

/// A filter with its texts looked up in the index; values that occur nowhere are gone.
struct Resolved {
    field: Field,
    tests: Vec<Test>,
}

enum Test {
    Id(Symbol),
    Token { system: Option<Symbol>, code: Option<Symbol> },
    Date { prefix: Prefix, interval: Interval },
    Reference { resource_type: Option<Symbol>, id: Symbol },
    Text(String),
}

/// A match and its place in the order.
#[derive(Clone, Copy)]
struct Match<'i> {
    date: Option<i64>,
    id: &'i str,
    record: RecordId,
}

impl Index {
    /// Runs `query`.
    ///
    /// # Errors
    /// [`QueryError::Cursor`] when the cursor is not one of this query.
    pub fn search(&self, query: &Query) -> Result<Page, QueryError> {
        self.search_where(query, &mut |_| true)
    }

    /// Runs `query` over the records that `keep` lets through; the others count in no way, neither in the total nor
    /// in the pages.
    ///
    /// # Errors
    /// [`QueryError::Cursor`] when the cursor is not one of this query.
    pub fn search_where(
        &self,
        query: &Query,
        keep: &mut dyn FnMut(&RecordId) -> bool,
    ) -> Result<Page, QueryError> {
        let after = query.cursor.as_deref().map(|text| read_cursor(query, text)).transpose()?;
        let mut total = 0;
        let mut matches = Vec::new();
        self.each_match(query, &mut |document| {
            if !keep(&document.record) {
                return;
            }
            total += 1;
            let found = self.place(document, query);
            if after.as_ref().is_none_or(|after| compare(query, &found, &after.place()) == Ordering::Greater)
            {
                matches.push(found);
            }
        });
        let more = matches.len() > query.count();
        if more && query.count() > 0 {
            matches.select_nth_unstable_by(query.count() - 1, |a, b| compare(query, a, b));
        }
        matches.truncate(query.count());
        matches.sort_unstable_by(|a, b| compare(query, a, b));
        let next = matches.last().filter(|_| more).map(|last| write_cursor(query, last));
        Ok(Page { total, ids: matches.iter().map(|found| found.record).collect(), next })
    }

    /// The cursor of the page that begins right after `record` in the order of `query`; none when it is not here.
    pub fn cursor_after(&self, query: &Query, record: &RecordId) -> Option<String> {
        self.of_record(record).map(|document| write_cursor(query, &self.place(document, query)))
    }

    /// Whose resources `query` finds, on all its pages, in a fixed order.
    pub fn sources(&self, query: &Query) -> Vec<Source> {
        let mut sources = BTreeSet::new();
        self.each_match(query, &mut |document| {
            sources.insert(document.source);
        });
        sources.into_iter().collect()
    }

    /// The sources that have this resource, in a fixed order.
    pub fn sources_of(&self, resource_type: &str, id: &str) -> Vec<Source> {
        let (Some(resource_type), Some(id)) = (self.symbols.find(resource_type), self.symbols.find(id))
        else {
            return Vec::new();
        };
        let documents = self.with_id(resource_type, id).iter().filter_map(|number| self.document(*number));
        documents.map(|document| document.source).collect::<BTreeSet<_>>().into_iter().collect()
    }

    /// Hands over every match of `query`, whatever its page.
    fn each_match<'i>(&'i self, query: &Query, each: &mut dyn FnMut(&'i Document)) {
        let Some(resource_type) = self.symbols.find(&query.resource_type) else { return };
        let filters: Vec<Resolved> = query.filters.iter().map(|filter| self.resolve(filter)).collect();
        for number in self.candidates(resource_type, &filters) {
            let found = self.document(number).filter(|document| {
                document.resource_type == resource_type
                    && query.source.is_none_or(|source| source == document.source)
                    && filters.iter().all(|filter| self.passes(document, filter))
            });
            if let Some(document) = found {
                each(document);
            }
        }
    }

    fn resolve(&self, filter: &Filter) -> Resolved {
        let symbols = &self.symbols;
        let find = |text: &Option<String>| match text {
            None => Some(None),
            Some(text) => symbols.find(text).map(Some),
        };
        let test = |wanted: &Wanted| match wanted {
            Wanted::Id(id) => symbols.find(id).map(Test::Id),
            Wanted::Token { system, code } => Some(Test::Token { system: find(system)?, code: find(code)? }),
            Wanted::Date { prefix, interval } => Some(Test::Date { prefix: *prefix, interval: *interval }),
            Wanted::Reference { resource_type, id } => {
                Some(Test::Reference { resource_type: find(resource_type)?, id: symbols.find(id)? })
            }
            Wanted::Text(text) => Some(Test::Text(text.clone())),
        };
        Resolved { field: filter.field, tests: filter.values.iter().filter_map(test).collect() }
    }

    /// Numbers among which all matches are, each once.
    fn candidates(&self, resource_type: Symbol, filters: &[Resolved]) -> Vec<u32> {
        let all = self.with_type(resource_type);
        let lists = |filter: &Resolved| -> Option<Vec<&[u32]>> {
            filter.tests.iter().map(|test| self.list(resource_type, filter.field, test)).collect()
        };
        let best = filters
            .iter()
            .filter_map(lists)
            .min_by_key(|lists| lists.iter().map(|list| list.len()).sum::<usize>())
            .filter(|lists| lists.iter().map(|list| list.len()).sum::<usize>() < all.len());
        let Some(lists) = best else { return all.to_vec() };
        let mut numbers = lists.concat();
        if lists.len() > 1 {
            numbers.sort_unstable();
            numbers.dedup();
        }
        numbers
    }

    fn list(&self, resource_type: Symbol, field: Field, test: &Test) -> Option<&[u32]> {
        match (field, test) {
            (Field::Id, Test::Id(id)) => Some(self.with_id(resource_type, *id)),
            (
                Field::Parameter(p),
                Test::Token { code: Some(value), .. } | Test::Reference { id: value, .. },
            ) => Some(self.with_value(resource_type, p.number, *value)),
            _ => None,
        }
    }

    fn passes(&self, document: &Document, filter: &Resolved) -> bool {
        match filter.field {
            Field::Id => filter.tests.iter().any(|test| matches!(test, Test::Id(id) if *id == document.id)),
            Field::LastUpdated => filter.tests.iter().any(|test| match (test, document.updated) {
                (Test::Date { prefix, interval }, Some(updated)) => prefix.matches(*interval, updated),
                _ => false,
            }),
            Field::Parameter(parameter) => {
                filter.tests.iter().any(|test| self.has(document, parameter, test))
            }
        }
    }

    fn has(&self, document: &Document, parameter: &Parameter, test: &Test) -> bool {
        let number = parameter.number;
        if let Test::Date { prefix, interval: wanted } = test {
            return document.dates.iter().any(|(p, date)| *p == number && prefix.matches(*wanted, *date));
        }
        document.values.iter().any(|value| match (value, test) {
            (Indexed::Token { parameter, system, code }, Test::Token { system: s, code: c }) => {
                *parameter == number && s.is_none_or(|s| s == *system) && c.is_none_or(|c| c == *code)
            }
            (
                Indexed::Reference { parameter, resource_type, id },
                Test::Reference { resource_type: t, id: i },
            ) => {
                // Without a type, any target in a home matches but no address elsewhere does.
                let fits = t.map_or(!resource_type.is_empty(), |t| t == *resource_type);
                *parameter == number && *i == *id && fits
            }
            (Indexed::Text { parameter, text }, Test::Text(start)) => {
                *parameter == number && self.symbols.text(*text).starts_with(start.as_str())
            }
            _ => false,
        })
    }

    fn place<'i>(&'i self, document: &Document, query: &Query) -> Match<'i> {
        let descending = query.sort.descending;
        // The lower end counts when ascending, the upper one when descending (FHIR R4, search, "_sort").
        let end = |interval: &Interval| if descending { interval.high } else { interval.low };
        let best = |a: i64, b: i64| if descending { a.max(b) } else { a.min(b) };
        let date = match query.sort.key {
            SortKey::Id => None,
            SortKey::Date(Field::Parameter(wanted)) => {
                let dates = document.dates.iter().filter(|(parameter, _)| *parameter == wanted.number);
                dates.map(|(_, interval)| end(interval)).reduce(best)
            }
            SortKey::Date(_) => document.updated.as_ref().map(end),
        };
        Match { date, id: self.symbols.text(document.id), record: document.record }
    }
}

impl Cursor {
    fn place(&self) -> Match<'_> {
        Match { date: self.1, id: &self.2, record: self.3 }
    }
}

fn compare(query: &Query, a: &Match<'_>, b: &Match<'_>) -> Ordering {
    let flip = |ordering: Ordering| if query.sort.descending { ordering.reverse() } else { ordering };
    let dates = match (a.date, b.date) {
        (Some(a), Some(b)) => flip(a.cmp(&b)),
        (Some(_), None) => Ordering::Less,
        (None, Some(_)) => Ordering::Greater,
        (None, None) => Ordering::Equal,
    };
    let ids = a.id.cmp(b.id);
    let ids = if query.sort.key == SortKey::Id { flip(ids) } else { ids };
    dates.then(ids).then(a.record.cmp(&b.record))
}

fn write_cursor(query: &Query, last: &Match<'_>) -> String {
    let cursor = Cursor(query.digest().to_vec(), last.date, last.id.to_owned(), last.record);
    keys::base32(&keys::codec::encode(&cursor))
}

fn read_cursor(query: &Query, text: &str) -> Result<Cursor, QueryError> {
    let bytes = keys::from_base32(text).ok_or(QueryError::Cursor)?;
    let cursor: Cursor =
        keys::codec::decode("cursor", &bytes, bytes.len()).map_err(|_| QueryError::Cursor)?;
    if cursor.0 == query.digest() { Ok(cursor) } else { Err(QueryError::Cursor) }
}
