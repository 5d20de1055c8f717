//! From the text of a query to [`Query`].

use super::super::date::Interval;
use super::super::parameters::{self, Kind};
use super::{
    DEFAULT_COUNT, Field, Filter, MAX_COUNT, MAX_PARAMETERS, MAX_QUERY_BYTES, Prefix, Query, QueryError,
    Sort, SortKey, Wanted,
};
use crate::resource::{is_id, is_type};
use crate::terms::{fold, relative};

/// Longer parameter names are cut in errors.
const MAX_NAME_CHARS: usize = 64;
/// The longest cursor of ours: a sort key, a record id and an id in base 32.
const MAX_CURSOR_BYTES: usize = 512;

pub(super) fn query(text: &str, lenient: bool) -> Result<Query, QueryError> {
    if text.len() > MAX_QUERY_BYTES {
        return Err(QueryError::TooLong);
    }
    let (resource_type, rest) = text.split_once('?').unwrap_or((text, ""));
    let resource_type = resource_type.trim_start_matches('/');
    if !is_type(resource_type) {
        return Err(QueryError::ResourceType);
    }
    let mut query = Query {
        resource_type: resource_type.to_owned(),
        filters: Vec::new(),
        sort: Sort { key: SortKey::Id, descending: false },
        cursor: None,
        source: None,
        count: DEFAULT_COUNT,
        ignored: Vec::new(),
    };
    for (at, pair) in rest.split('&').filter(|pair| !pair.is_empty()).enumerate() {
        if at >= MAX_PARAMETERS {
            return Err(QueryError::TooLong);
        }
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let (name, value) = (decode(name)?, decode(value)?);
        match apply(&mut query, &name, &value) {
            Err(QueryError::UnknownParameter { name }) if lenient => query.ignored.push(name),
            result => result?,
        }
    }
    Ok(query)
}

fn apply(query: &mut Query, name: &str, value: &str) -> Result<(), QueryError> {
    let wrong = || QueryError::Value { name: short(name) };
    match name {
        "_count" => {
            let count: u32 = value.parse().map_err(|_| wrong())?;
            query.count = usize::try_from(count).unwrap_or(MAX_COUNT).min(MAX_COUNT);
        }
        "_sort" => query.sort = sort(&query.resource_type, value).ok_or_else(wrong)?,
        "_source" => query.source = Some(value.parse().map_err(|_| wrong())?),
        "_cursor" => {
            let fits = value.len() <= MAX_CURSOR_BYTES && value.bytes().all(|b| b.is_ascii_alphanumeric());
            query.cursor = Some(value.to_owned()).filter(|_| fits).ok_or(QueryError::Cursor).map(Some)?;
        }
        // Answers are JSON; clients that ask for it say so in one of these ways.
        "_format" => {
            if !matches!(
                value,
                "json" | "application/json" | "application/fhir+json" | "application/fhir json"
            ) {
                return Err(wrong());
            }
        }
        _ => query.filters.push(filter(&query.resource_type, name, value)?),
    }
    Ok(())
}

fn sort(resource_type: &str, value: &str) -> Option<Sort> {
    let (name, descending) = value.strip_prefix('-').map_or((value, false), |name| (name, true));
    let key = match name {
        "_id" => SortKey::Id,
        "_lastUpdated" => SortKey::Date(Field::LastUpdated),
        _ => {
            // `date` sorts every type by the date that places it in a person's history.
            let found = parameters::find(resource_type, name)
                .or_else(|| (name == "date").then(|| parameters::main_date(resource_type)).flatten())
                .filter(|parameter| parameter.kind == Kind::Date)?;
            SortKey::Date(Field::Parameter(found))
        }
    };
    Some(Sort { key, descending })
}

fn filter(resource_type: &str, name: &str, raw: &str) -> Result<Filter, QueryError> {
    let (base, modifier) =
        name.split_once(':').map_or((name, None), |(base, modifier)| (base, Some(modifier)));
    let field = match base {
        "_id" => Field::Id,
        "_lastUpdated" => Field::LastUpdated,
        _ => Field::Parameter(
            parameters::find(resource_type, base)
                .ok_or_else(|| QueryError::UnknownParameter { name: short(base) })?,
        ),
    };
    let reference = matches!(field, Field::Parameter(parameter) if parameter.kind == Kind::Reference);
    if modifier.is_some_and(|modifier| !reference || !is_type(modifier)) {
        return Err(QueryError::Modifier { name: short(base) });
    }
    let mut values = Vec::new();
    for part in split(raw, ',') {
        let value = wanted(field, modifier, &part).ok_or_else(|| QueryError::Value { name: short(base) })?;
        values.push(value);
    }
    Ok(Filter { field, values, name: name.to_owned(), raw: raw.to_owned() })
}

fn wanted(field: Field, modifier: Option<&str>, part: &str) -> Option<Wanted> {
    if part.is_empty() {
        return None;
    }
    let parameter = match field {
        Field::Id => {
            let id = unescape(part);
            return is_id(&id).then_some(Wanted::Id(id));
        }
        Field::LastUpdated => return date(part),
        Field::Parameter(parameter) => parameter,
    };
    match parameter.kind {
        Kind::Date => date(part),
        Kind::Text => Some(Wanted::Text(fold(&unescape(part)))),
        Kind::Reference => {
            let only = modifier.or((parameter.name == "patient").then_some("Patient"));
            reference(only, unescape(part))
        }
        Kind::Token => {
            let mut parts = split(part, '|');
            if parts.len() > 2 {
                return None;
            }
            let last = parts.pop().map(|text| unescape(&text))?;
            let system = parts.pop().map(|text| unescape(&text));
            if last.is_empty() && system.as_deref().is_none_or(str::is_empty) {
                return None;
            }
            Some(Wanted::Token { system, code: Some(last).filter(|code| !code.is_empty()) })
        }
    }
}

fn date(part: &str) -> Option<Wanted> {
    let (prefix, rest) = match part.get(..2) {
        Some("eq") => (Prefix::Eq, &part[2..]),
        Some("ne") => (Prefix::Ne, &part[2..]),
        Some("gt") => (Prefix::Gt, &part[2..]),
        Some("lt") => (Prefix::Lt, &part[2..]),
        Some("ge") => (Prefix::Ge, &part[2..]),
        Some("le") => (Prefix::Le, &part[2..]),
        Some("sa") => (Prefix::Sa, &part[2..]),
        Some("eb") => (Prefix::Eb, &part[2..]),
        Some("ap") => (Prefix::Ap, &part[2..]),
        _ => (Prefix::Eq, part),
    };
    Interval::parse(rest).map(|interval| Wanted::Date { prefix, interval })
}

fn reference(only: Option<&str>, text: String) -> Option<Wanted> {
    if let Some((resource_type, id)) = relative(&text) {
        let fits = only.is_none_or(|only| only == resource_type);
        return fits
            .then(|| Wanted::Reference { resource_type: Some(resource_type.to_owned()), id: id.to_owned() });
    }
    if is_id(&text) {
        return Some(Wanted::Reference { resource_type: only.map(str::to_owned), id: text });
    }
    // A reference to elsewhere is compared as it is written; those have no resource type in the index.
    text.contains(':').then_some(Wanted::Reference { resource_type: Some(String::new()), id: text })
}

/// Splits at `separator` unless a backslash stands before it; the escapes stay.
fn split(text: &str, separator: char) -> Vec<String> {
    let (mut parts, mut escaped) = (vec![String::new()], false);
    for c in text.chars() {
        if c == separator && !escaped {
            parts.push(String::new());
            continue;
        }
        escaped = c == '\\' && !escaped;
        if let Some(last) = parts.last_mut() {
            last.push(c);
        }
    }
    parts
}

/// Takes away the backslash of `\,`, `\|`, `\$` and `\\` (FHIR R4, search, "escaping").
fn unescape(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match chars.peek() {
            Some(next) if c == '\\' && ['\\', ',', '|', '$'].contains(next) => {
                plain.extend(chars.next());
            }
            _ => plain.push(c),
        }
    }
    plain
}

/// Undoes percent-encoding; a plus sign is a blank, as HTML forms and most clients write it.
fn decode(text: &str) -> Result<String, QueryError> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => {
                let mut digit = || rest.next().and_then(|b| char::from(b).to_digit(16));
                let (high, low) =
                    (digit().ok_or(QueryError::Encoding)?, digit().ok_or(QueryError::Encoding)?);
                u8::try_from(high * 16 + low).map_err(|_| QueryError::Encoding)?
            }
            _ => byte,
        });
    }
    String::from_utf8(bytes).map_err(|_| QueryError::Encoding)
}

fn short(name: &str) -> String {
    name.chars().filter(|c| !c.is_control()).take(MAX_NAME_CHARS).collect()
}
