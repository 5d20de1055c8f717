//! Own and fetched records: import, search, read, check.

mod attachments;
mod computed;
mod import;
mod search;

use std::collections::HashSet;

use keys::{AuditAction, AuditEvent, RecordId, Timestamp};
use records::{Source, StoredResource, Terms};
use store::{NewRecord, StoreError};

use super::problem::{Problem, Tried};
use super::{Node, audit, lock, source_prefix, write};
use crate::api::types::VerifyRecordsReport;
use crate::clock;

pub(crate) use attachments::write_new_file;
pub(crate) use computed::{encoded, read_table};
pub(crate) use import::read_sibling;
pub(crate) use search::{parse_source, query_problem};

/// Marks in the first byte of stored terms.
const FROM_PEER: u8 = 1;
const HAS_ATTACHMENTS: u8 = 2;

impl Node {
    /// Rebuilds the search index and the list of attachments from the sealed store; how many records could not be
    /// read for it.
    pub(crate) fn load_index(&self) -> Result<u64, Problem> {
        let mut index = write(&self.index);
        let mut attachments = write(&self.attachments);
        let mut unreadable = 0_u64;
        self.store
            .terms(&mut |id, bytes| match decode_terms(&bytes) {
                Some((source, hashes, terms)) => {
                    for hash in hashes {
                        attachments.entry(hash).or_default().push(id);
                    }
                    index.insert(id, source, terms);
                }
                None => unreadable += 1,
            })
            .tried("read the search index")?;
        let unreadable = unreadable.max(self.store.record_count().saturating_sub(index.len() as u64));
        if unreadable > 0 {
            tracing::warn!(unreadable, "some index entries cannot be read; run `metaclinic records verify`");
        }
        Ok(unreadable)
    }

    /// Keeps resources of `source`: durable and searchable when it returns.
    ///
    /// # Errors
    /// [`Problem`] when the store cannot keep them; then none of them is kept.
    pub(crate) fn keep(
        &self,
        source: &Source,
        batch: &[StoredResource],
        events: Vec<(Timestamp, AuditEvent)>,
    ) -> Result<(), Problem> {
        let mut new = Vec::with_capacity(batch.len());
        let mut indexed = Vec::with_capacity(batch.len());
        let mut owned: Vec<([u8; 32], RecordId)> = Vec::new();
        for stored in batch {
            let resource = &stored.resource;
            let id = self.record_id(source, resource.resource_type(), resource.id());
            let terms = Terms::of(resource);
            new.push(NewRecord {
                id,
                subject: self.pseudonym(source, resource.patient()),
                payload: stored.encode(),
                terms: encode_terms(source, stored, &terms),
            });
            owned.extend(stored.attachments.iter().map(|a| (a.hash, id)));
            indexed.push((id, terms));
        }
        let _order = lock(&self.writes);
        self.store.put(new, events).map_err(|error| {
            Problem::failed("cannot keep the records").because(error).next(audit::RESTART)
        })?;
        let mut attachments = write(&self.attachments);
        if !attachments.is_empty() {
            let replaced: HashSet<RecordId> = indexed.iter().map(|(id, _)| *id).collect();
            attachments.retain(|_, owners| {
                owners.retain(|owner| !replaced.contains(owner));
                !owners.is_empty()
            });
        }
        for (hash, id) in owned {
            attachments.entry(hash).or_default().push(id);
        }
        drop(attachments);
        let mut index = write(&self.index);
        for (id, terms) in indexed {
            index.insert(id, *source, terms);
        }
        Ok(())
    }

    /// Reads a stored record and its attachments' keys.
    pub(crate) fn stored(&self, id: &RecordId) -> Result<Option<StoredResource>, Problem> {
        let Some(bytes) = self.store.get(id).map_err(|error| self.unreadable(error))? else {
            return Ok(None);
        };
        StoredResource::decode(&bytes).map(Some).tried("read a stored record")
    }

    /// Why a record does not open.
    fn unreadable(&self, error: StoreError) -> Problem {
        if self.store.write_failure().is_some() {
            return audit::unsure("read a stored record", error);
        }
        Problem::failed("a stored record does not open")
            .because(error)
            .next("list the damaged ones with: metaclinic records verify")
    }

    /// Opens and checks every stored record and its attachments.
    ///
    /// # Errors
    /// [`Problem`] when the store cannot be read.
    pub(crate) fn verify_records(
        &self,
        runtime: &tokio::runtime::Handle,
    ) -> Result<VerifyRecordsReport, Problem> {
        let report = self.store.verify(&mut |_| {}).tried("check the records")?;
        if let Some(error) = self.store.write_failure().filter(|_| !report.is_sound()) {
            return Err(audit::unsure("check the records", error));
        }
        let attachments = self.check_attachments(runtime)?;
        let event = audit::event(clock::now(), AuditAction::Verify, report.checked);
        // Whether what is here is whole has to be seen above all when nothing can be written any more.
        if let Err(problem) = self.note(vec![event]) {
            tracing::warn!(%problem, "this check is not in the trail");
        }
        Ok(VerifyRecordsReport {
            checked: report.checked,
            damaged: report.damaged.iter().map(ToString::to_string).collect(),
            missing: report.missing,
            attachments: attachments.checked,
            attachments_missing: attachments.missing,
            attachments_damaged: attachments.damaged,
            rooms: report.rooms_checked,
            rooms_damaged: report.rooms_damaged,
            rolled_back: report.rolled_back,
        })
    }
}

pub(crate) fn no_such_resource() -> Problem {
    Problem::not_found("no such resource here").next("search with: metaclinic records search TYPE")
}

/// What is kept beside a record: marks, the peer it is from, the hashes of its attachments, its terms. Owners of
/// attachments are thus replaced with their record, in one batch.
fn encode_terms(source: &Source, stored: &StoredResource, terms: &Terms) -> Vec<u8> {
    let mut bytes = source_prefix(source);
    let hashes = &stored.attachments;
    if let (Some(mark), Ok(count)) = (bytes.first_mut(), u16::try_from(hashes.len()))
        && count > 0
    {
        *mark |= HAS_ATTACHMENTS;
        bytes.extend_from_slice(&count.to_be_bytes());
        bytes.extend(hashes.iter().flat_map(|attachment| attachment.hash));
    }
    bytes.extend_from_slice(&terms.encode());
    bytes
}

type StoredTerms = (Source, Vec<[u8; 32]>, Terms);

fn decode_terms(bytes: &[u8]) -> Option<StoredTerms> {
    let (&mark, mut rest) = bytes.split_first()?;
    if mark & !(FROM_PEER | HAS_ATTACHMENTS) != 0 {
        return None;
    }
    let mut source = Source::Own;
    if mark & FROM_PEER != 0 {
        let (identity, after) = rest.split_first_chunk::<32>()?;
        source = Source::Peer(keys::IdentityId::from_bytes(*identity));
        rest = after;
    }
    let mut hashes = Vec::new();
    if mark & HAS_ATTACHMENTS != 0 {
        let (count, after) = rest.split_first_chunk::<2>()?;
        let (all, after) = after.split_at_checked(usize::from(u16::from_be_bytes(*count)) * 32)?;
        hashes = all.as_chunks::<32>().0.to_vec();
        rest = after;
    }
    Some((source, hashes, Terms::decode(rest).ok()?))
}

#[cfg(test)]
mod tests {
    use records::{Attachment, Resource};

    use super::*;

    #[test]
    fn terms_name_source_and_attachments_and_cut_ones_are_refused() {
        let resource = Resource::parse(r#"{"resourceType":"Basic","id":"a"}"#).expect("a resource");
        let attachment = |n: u8| Attachment {
            hash: [n; 32],
            key: [0; 32],
            bytes: 1,
            content_type: String::new(),
            title: String::new(),
        };
        let terms = Terms::of(&resource);
        for source in [Source::Own, Source::Peer(keys::IdentityId::from_bytes([5; 32]))] {
            for attachments in [vec![], vec![attachment(1), attachment(2)]] {
                let stored = StoredResource { resource: resource.clone(), attachments };
                let bytes = encode_terms(&source, &stored, &terms);
                let hashes: Vec<_> = stored.attachments.iter().map(|a| a.hash).collect();
                assert!(decode_terms(&bytes).is_some_and(|t| t == (source, hashes, terms.clone())));
                for end in 0..bytes.len() {
                    assert!(decode_terms(&bytes[..end]).is_none(), "cut at {end}");
                }
            }
        }
        assert!(decode_terms(&[4]).is_none());
    }
}
