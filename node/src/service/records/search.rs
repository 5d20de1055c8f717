//! Search and read: whose copies of what there is.
//!
//! Ids mean something within one source only: `Patient/p1` here and `Patient/p1` of a peer are two persons. So copies of
//! several sources never answer one question about an id.

use keys::{AuditAction, RecordId};
use records::{Found, Page, Query, QueryError, Source};

use super::super::problem::Problem;
use super::super::{Node, audit, read};
use super::no_such_resource;
use crate::clock;

impl Node {
    /// One resource as it was imported: that of `source`, else the own one, else that of the only peer that has it.
    ///
    /// # Errors
    /// [`Problem`] when there is none, several peers have one, or it is damaged.
    pub(crate) fn record_get(
        &self,
        resource_type: &str,
        id: &str,
        source: Option<Source>,
    ) -> Result<String, Problem> {
        let record = self.find(resource_type, id, source)?;
        let stored = self.stored(&record)?.ok_or_else(no_such_resource)?;
        let mut event = audit::event(clock::now(), AuditAction::Read, 1);
        event.1.object = Some(*record.as_bytes());
        self.note(vec![event])?;
        Ok(stored.resource.text().to_owned())
    }

    /// Looks a resource up, as [`Node::record_get`] does.
    ///
    /// # Errors
    /// As [`Node::record_get`].
    pub(crate) fn find(
        &self,
        resource_type: &str,
        id: &str,
        source: Option<Source>,
    ) -> Result<RecordId, Problem> {
        let index = self.read_index();
        let source = match (source, index.sources_of(resource_type, id).as_slice()) {
            (Some(source), _) => source,
            // Own resources come first in the order of sources.
            (None, [Source::Own, ..]) => Source::Own,
            (None, [only]) => *only,
            (None, []) => return Err(no_such_resource()),
            (None, several) => {
                return Err(Problem::wrong_use(format!(
                    "{} peers have a resource of that name",
                    several.len()
                ))
                .next("name the one that is meant with --from PEER or _source=IDENTITY"));
            }
        };
        index.find(source, resource_type, id).ok_or_else(no_such_resource)
    }

    /// A page of resources as a FHIR searchset Bundle.
    ///
    /// # Errors
    /// [`Problem`] when the query is not understood or a record is damaged.
    pub(crate) fn search(&self, base: &str, query: &str) -> Result<String, Problem> {
        let mut query = Query::parse(query).map_err(query_problem)?;
        let (page, notice) = self.search_apart(&mut query)?;
        let mut found = Vec::with_capacity(page.ids.len());
        for id in &page.ids {
            let Some(source) = self.read_index().source(id) else { continue };
            if let Some(stored) = self.stored(id)? {
                found.push(Found { source, text: stored.resource.text().to_owned() });
            }
        }
        let event = audit::event(clock::now(), AuditAction::Search, found.len() as u64);
        self.note(vec![event])?;
        Ok(records::searchset(base, &query, &page, &found, notice.as_deref()))
    }

    /// Runs a query; one that names a resource by its id is first narrowed to own copies when several sources have
    /// matches, and the notice says so.
    fn search_apart(&self, query: &mut Query) -> Result<(Page, Option<String>), Problem> {
        let index = self.read_index();
        let mut notice = None;
        if query.source().is_none() && query.names_a_resource() {
            let sources = index.sources(query);
            if sources.len() > 1 {
                notice = Some(self.notice_of(&sources));
                *query = query.with_source(Some(Source::Own));
            }
        }
        let page = index.search(query).map_err(query_problem)?;
        Ok((page, notice))
    }

    /// Which other sources have matches, in words.
    fn notice_of(&self, sources: &[Source]) -> String {
        let peers = read(&self.peers);
        let others = sources.iter().filter_map(|source| match source {
            Source::Own => None,
            Source::Peer(identity) => Some(match peers.by_identity(identity) {
                Some(peer) => format!("{} ({identity})", peer.certificate.name),
                None => identity.to_string(),
            }),
        });
        let others: Vec<String> = others.collect();
        format!(
            "own resources only: the same id means another resource in each source; others with matches: {}; name one \
             with _source=IDENTITY (--from PEER)",
            others.join(", ")
        )
    }
}

/// What is wrong with a query, in words.
pub(crate) fn query_problem(error: QueryError) -> Problem {
    Problem::wrong_use("cannot search")
        .because(error)
        .next("write TYPE?param=value, e.g. \"Observation?code=8867-4&date=ge2020\"")
}

/// The source that a caller names: `own` or an identity.
///
/// # Errors
/// [`Problem`] for anything else.
pub(crate) fn parse_source(text: &str) -> Result<Source, Problem> {
    text.parse()
        .map_err(|_| Problem::wrong_use("a source is `own` or an identity").next("see: metaclinic pair list"))
}
