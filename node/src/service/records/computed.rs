//! Records that services compute over: all that a query finds, and tables from files.

use std::path::Path;

use keys::AuditAction;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use records::{Query, Source};

use super::super::problem::Problem;
use super::super::{Node, audit};
use super::query_problem;
use crate::clock;

/// Records of one page.
const PAGE: usize = 1_000;

impl Node {
    /// The source that is named, else the own one, else the only peer with a match. `None` when nobody has any.
    ///
    /// # Errors
    /// [`Problem`] when the query is not understood, or several peers have matches.
    pub(crate) fn one_source(&self, query: &str, named: Option<Source>) -> Result<Option<Source>, Problem> {
        if named.is_some() {
            return Ok(named);
        }
        let query = Query::parse(query).map_err(query_problem)?;
        match self.read_index().sources(&query).as_slice() {
            [] => Ok(None),
            // Own resources come first in the order of sources.
            [Source::Own, ..] => Ok(Some(Source::Own)),
            [only] => Ok(Some(*only)),
            several => Err(Problem::wrong_use(format!("{} peers have such records", several.len()))
                .next("name the one that is meant with --from PEER")),
        }
    }

    /// The texts of what a query finds, in its order, up to `most`: of the source that is named, else own ones, else those of
    /// the only peer that has any. Audited as one search.
    ///
    /// # Errors
    /// [`Problem`] when the query is not understood, several peers have matches, or a record is damaged.
    pub(crate) fn texts(
        &self,
        query: &str,
        source: Option<Source>,
        most: usize,
    ) -> Result<Vec<String>, Problem> {
        let Some(source) = self.one_source(query, source)? else { return Ok(Vec::new()) };
        let query = Query::parse(query).map_err(query_problem)?.with_count(PAGE);
        let mut query = query.with_source(Some(source));
        let mut texts = Vec::new();
        loop {
            let page = self.read_index().search(&query).map_err(query_problem)?;
            for id in page.ids.iter().take(most - texts.len()) {
                if let Some(stored) = self.stored(id)? {
                    texts.push(stored.resource.text().to_owned());
                }
            }
            if page.next.is_none() || texts.len() >= most {
                break;
            }
            query = query.with_cursor(page.next);
        }
        self.note(vec![audit::event(clock::now(), AuditAction::Search, texts.len() as u64)])?;
        Ok(texts)
    }
}

/// A text as a value of a query.
pub(crate) fn encoded(value: &str) -> String {
    utf8_percent_encode(value, NON_ALPHANUMERIC).to_string()
}

/// The bytes of a file that should hold a table.
///
/// # Errors
/// [`Problem`] when there is none, or it is larger than `most` bytes.
pub(crate) fn read_table(path: &Path, most: u64) -> Result<Vec<u8>, Problem> {
    let shown = path.display();
    let found = std::fs::metadata(path).map_err(|error| {
        Problem::failed(format!("cannot read {shown}")).because(error).next("name a table (CSV) that exists")
    })?;
    if !found.is_file() {
        return Err(Problem::failed(format!("{shown} is no file")).next("name a table (CSV)"));
    }
    if found.len() > most {
        return Err(Problem::failed(format!("{shown} is larger than the {} MiB that are read", most >> 20))
            .next("cut the table, e.g. to the days that matter"));
    }
    std::fs::read(path).map_err(|error| Problem::failed(format!("cannot read {shown}")).because(error))
}
