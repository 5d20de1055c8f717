//! The inverted index: which resources have a token, a reference or an id, and the values of each
//! resource in a few machine words, so that a candidate can be tested without its text.

use std::collections::HashMap;
use std::fmt;
use std::str::FromStr;

use keys::{IdentityId, RecordId, ResourceFacts};

use super::date::Interval;
use super::parameters;
use super::symbols::{EMPTY, Symbol, Symbols};
use crate::terms::{Entry, Terms, Value, coded};

/// Whose copy a resource is. Written `own`, or the identity of the peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Source {
    /// Made or imported in this home.
    Own,
    /// Received from a peer under a grant.
    Peer(IdentityId),
}

const OWN: &str = "own";

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Own => f.write_str(OWN),
            Self::Peer(identity) => identity.fmt(f),
        }
    }
}

impl FromStr for Source {
    type Err = <IdentityId as FromStr>::Err;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == OWN { Ok(Self::Own) } else { text.parse().map(Self::Peer) }
    }
}

/// The search index of one home, in memory only.
pub struct Index {
    pub(super) symbols: Symbols,
    pub(super) documents: Vec<Option<Document>>,
    free: Vec<u32>,
    by_record: HashMap<RecordId, u32>,
    by_id: HashMap<(Symbol, Symbol), Postings>,
    by_value: HashMap<(Symbol, u8, Symbol), Postings>,
    by_type: HashMap<Symbol, Postings>,
}

/// One indexed resource.
pub(super) struct Document {
    pub(super) record: RecordId,
    pub(super) resource_type: Symbol,
    pub(super) id: Symbol,
    pub(super) updated: Option<Interval>,
    pub(super) values: Box<[Indexed]>,
    /// Search parameter and date. Apart from the other values, which take half the space without them.
    pub(super) dates: Box<[(u8, Interval)]>,
    pub(super) source: Source,
    patient: Option<Symbol>,
}

/// One value: the number of its search parameter and what is compared.
#[derive(Clone, Copy)]
pub(super) enum Indexed {
    Token { parameter: u8, system: Symbol, code: Symbol },
    Reference { parameter: u8, resource_type: Symbol, id: Symbol },
    Text { parameter: u8, text: Symbol },
}

/// Document numbers in ascending order; most values belong to a single resource.
pub(super) enum Postings {
    One(u32),
    Many(Vec<u32>),
}

impl Default for Index {
    fn default() -> Self {
        Self::new()
    }
}

impl Index {
    /// An empty index.
    pub fn new() -> Self {
        Self {
            symbols: Symbols::new(),
            documents: Vec::new(),
            free: Vec::new(),
            by_record: HashMap::new(),
            by_id: HashMap::new(),
            by_value: HashMap::new(),
            by_type: HashMap::new(),
        }
    }

    /// Adds a resource, or replaces what was there under this record id.
    // The terms are taken by value so that the caller's copy of health data ends here.
    #[allow(clippy::needless_pass_by_value)]
    pub fn insert(&mut self, record: RecordId, source: Source, terms: Terms) {
        self.remove(&record);
        let resource_type = self.symbols.intern(&terms.resource_type);
        let id = self.symbols.intern(&terms.id);
        let patient = terms.patient.as_deref().map(|patient| self.symbols.intern(patient));
        let values = terms.entries.iter().filter_map(|entry| self.indexed(entry)).collect();
        let dates = terms.entries.iter().filter_map(dated).collect();
        let document =
            Document { record, resource_type, id, updated: terms.updated, values, dates, source, patient };
        let number = self.free.pop().unwrap_or_else(|| {
            self.documents.push(None);
            u32::try_from(self.documents.len() - 1).expect("memory ends long before 2^32 resources")
        });
        for key in postings_of(&document) {
            add(&mut self.by_value, key, number);
        }
        add(&mut self.by_id, (resource_type, id), number);
        add(&mut self.by_type, resource_type, number);
        self.by_record.insert(record, number);
        if let Some(slot) = self.documents.get_mut(number as usize) {
            *slot = Some(document);
        }
    }

    /// Takes a resource out; whether it was there.
    pub fn remove(&mut self, record: &RecordId) -> bool {
        let Some(number) = self.by_record.remove(record) else { return false };
        let Some(document) = self.documents.get_mut(number as usize).and_then(Option::take) else {
            return false;
        };
        for key in postings_of(&document) {
            take(&mut self.by_value, &key, number);
        }
        take(&mut self.by_id, &(document.resource_type, document.id), number);
        take(&mut self.by_type, &document.resource_type, number);
        self.free.push(number);
        true
    }

    /// How many resources are indexed.
    pub fn len(&self) -> usize {
        self.by_record.len()
    }

    /// Whether nothing is indexed.
    pub fn is_empty(&self) -> bool {
        self.by_record.is_empty()
    }

    /// How many resources of each type are indexed, in the order of the names.
    pub fn types(&self) -> Vec<(String, u64)> {
        let mut types: Vec<_> = self
            .by_type
            .iter()
            .map(|(name, postings)| (self.symbols.text(*name).to_owned(), postings.as_slice().len() as u64))
            .collect();
        types.sort();
        types
    }

    /// What a grant is compared with, for one resource.
    pub fn facts(&self, record: &RecordId) -> Option<ResourceFacts> {
        let document = self.document(*self.by_record.get(record)?)?;
        let (mut categories, mut codes) = (Vec::new(), Vec::new());
        for value in &document.values {
            let Indexed::Token { parameter, system, code } = value else { continue };
            let name = parameters::name(*parameter);
            let list = if name == parameters::CATEGORY_NAME {
                &mut categories
            } else if parameters::CODE_NAMES.contains(&name) {
                &mut codes
            } else {
                continue;
            };
            list.push(coded(self.symbols.text(*system), self.symbols.text(*code)));
        }
        Some(ResourceFacts {
            resource_type: self.symbols.text(document.resource_type).to_owned(),
            id: self.symbols.text(document.id).to_owned(),
            categories,
            codes,
            patient: document.patient.map(|patient| format!("Patient/{}", self.symbols.text(patient))),
        })
    }

    /// The record that holds this resource from this source.
    pub fn find(&self, source: Source, resource_type: &str, id: &str) -> Option<RecordId> {
        let key = (self.symbols.find(resource_type)?, self.symbols.find(id)?);
        let numbers = self.by_id.get(&key)?.as_slice();
        numbers.iter().filter_map(|n| self.document(*n)).find(|d| d.source == source).map(|d| d.record)
    }

    /// Whose copy a record is.
    pub fn source(&self, record: &RecordId) -> Option<Source> {
        self.document(*self.by_record.get(record)?).map(|document| document.source)
    }

    pub(super) fn of_record(&self, record: &RecordId) -> Option<&Document> {
        self.document(*self.by_record.get(record)?)
    }

    pub(super) fn document(&self, number: u32) -> Option<&Document> {
        self.documents.get(number as usize)?.as_ref()
    }

    pub(super) fn with_type(&self, resource_type: Symbol) -> &[u32] {
        self.by_type.get(&resource_type).map_or(&[], Postings::as_slice)
    }

    pub(super) fn with_id(&self, resource_type: Symbol, id: Symbol) -> &[u32] {
        self.by_id.get(&(resource_type, id)).map_or(&[], Postings::as_slice)
    }

    pub(super) fn with_value(&self, resource_type: Symbol, parameter: u8, value: Symbol) -> &[u32] {
        self.by_value.get(&(resource_type, parameter, value)).map_or(&[], Postings::as_slice)
    }

    fn indexed(&mut self, entry: &Entry) -> Option<Indexed> {
        let Entry(name, value) = entry;
        let parameter = parameters::number(name)?;
        let symbols = &mut self.symbols;
        Some(match value {
            Value::Token(system, code) => {
                Indexed::Token { parameter, system: symbols.intern(system), code: symbols.intern(code) }
            }
            Value::Date(_) => return None,
            Value::Reference(resource_type, id) => Indexed::Reference {
                parameter,
                resource_type: symbols.intern(resource_type),
                id: symbols.intern(id),
            },
            Value::Text(text) => Indexed::Text { parameter, text: symbols.intern(text) },
        })
    }
}

impl Postings {
    pub(super) fn as_slice(&self) -> &[u32] {
        match self {
            Self::One(number) => std::slice::from_ref(number),
            Self::Many(numbers) => numbers,
        }
    }
}

fn dated(entry: &Entry) -> Option<(u8, Interval)> {
    let Entry(name, Value::Date(interval)) = entry else { return None };
    Some((parameters::number(name)?, *interval))
}

/// Tokens and references have lists; dates and texts are tested candidate by candidate.
fn postings_of(document: &Document) -> impl Iterator<Item = (Symbol, u8, Symbol)> + '_ {
    document.values.iter().filter_map(|value| match value {
        Indexed::Token { parameter, code, .. } => Some((document.resource_type, *parameter, *code)),
        Indexed::Reference { parameter, id, .. } => Some((document.resource_type, *parameter, *id)),
        Indexed::Text { .. } => None,
    })
}

fn add<K: Eq + std::hash::Hash>(map: &mut HashMap<K, Postings>, key: K, number: u32) {
    use std::collections::hash_map::Entry as Slot;
    match map.entry(key) {
        Slot::Vacant(slot) => {
            slot.insert(Postings::One(number));
        }
        Slot::Occupied(mut slot) => match slot.get_mut() {
            Postings::One(known) if *known == number => {}
            Postings::One(known) => {
                let (low, high) = ((*known).min(number), (*known).max(number));
                *slot.get_mut() = Postings::Many(vec![low, high]);
            }
            Postings::Many(numbers) => {
                if let Err(at) = numbers.binary_search(&number) {
                    numbers.insert(at, number);
                }
            }
        },
    }
}

fn take<K: Eq + std::hash::Hash>(map: &mut HashMap<K, Postings>, key: &K, number: u32) {
    let empty = match map.get_mut(key) {
        None => false,
        Some(Postings::One(known)) => *known == number,
        Some(Postings::Many(numbers)) => {
            if let Ok(at) = numbers.binary_search(&number) {
                numbers.remove(at);
            }
            numbers.is_empty()
        }
    };
    if empty {
        map.remove(key);
    }
}

impl Symbol {
    /// Whether this names the empty text.
    pub(super) fn is_empty(self) -> bool {
        self == EMPTY
    }
}
