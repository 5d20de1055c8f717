//! The one writer: it takes what waits in a bounded queue, makes it durable with one flush and tells everyone.
//!
//! ```text
//! puts ─▶ queue ─▶ group ─▶ key files ─▶ audit entries numbered ─▶ one batch ─▶ one flush ─▶ acknowledged
//! ```
//!
//! The first failure ends all writing until the store is opened again: what was told to nobody may be on disk
//! or not, and going on after it could acknowledge what a crash would lose.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError};

use keys::{AuditEvent, Checkpoint, RecordId, Signed, Timestamp};
use zeroize::Zeroizing;

use crate::StoreError;
use crate::opened::{Opened, State};
use crate::rooms::{RoomKey, entry_key};
use crate::storage::{Batch, Table};
use crate::store::head;
use crate::trail::{self, HEAD_EVERY_ENTRIES, Heads};

/// Jobs that may wait; more callers block.
pub(crate) const QUEUE_JOBS: usize = 256;
/// A group is closed at this many jobs,
const GROUP_JOBS: usize = 256;
/// or at this many bytes.
const GROUP_BYTES: usize = 8 << 20;

/// What a caller wants written.
#[derive(Default)]
pub(crate) struct Write {
    /// Sealed changes.
    pub(crate) batch: Batch,
    /// The records among them, to be counted.
    pub(crate) records: Vec<RecordId>,
    /// Entries of rooms to be numbered and sealed.
    pub(crate) appends: Vec<Append>,
    /// Audit entries to be numbered and sealed.
    pub(crate) events: Vec<(Timestamp, AuditEvent)>,
}

impl Write {
    fn bytes(&self) -> usize {
        let entries = self.appends.iter().flat_map(|append| append.entries.iter());
        self.batch.bytes() + entries.map(Vec::len).sum::<usize>()
    }
}

/// What is added to one room.
pub(crate) struct Append {
    pub(crate) room: RoomKey,
    pub(crate) entries: Zeroizing<Vec<Vec<u8>>>,
}

/// What is to be done once the group is durable.
pub(crate) enum Then {
    /// Nothing more.
    Acknowledge,
    /// Sign a head.
    Checkpoint(Timestamp),
    /// Sign a head if there is anything new, write the counts, end.
    Close,
}

/// What a caller is told.
pub(crate) type Answer = Result<Option<Signed<Checkpoint>>, StoreError>;

/// One entry of the queue.
pub(crate) struct Job {
    pub(crate) write: Write,
    pub(crate) then: Then,
    pub(crate) reply: SyncSender<Answer>,
}

/// Owns the trail's state and the heads.
pub(crate) struct Writer {
    opened: Arc<Opened>,
    state: State,
    heads: Heads,
    latest: Option<Timestamp>,
}

impl Writer {
    /// Goes on from `state`.
    pub(crate) fn new(opened: Arc<Opened>, state: State) -> Result<Self, StoreError> {
        let heads = Heads::open(&opened.heads, &opened.device.id())?;
        let (found, known) = (state.log.entries(), heads.newest_entries());
        let other =
            heads.last().is_some_and(|(entries, chain)| entries == found && chain != state.log.head());
        let forked = heads.forked().or(other.then_some(found));
        let cut = if found < known {
            Some(StoreError::TrailCut { found, known })
        } else {
            forked.map(|entry| StoreError::TrailForked { entry })
        };
        if let Some(cut) = cut {
            tracing::warn!(error = %cut, "the store held more than it holds now");
            opened.cut.get_or_init(|| cut);
        }
        Ok(Self { opened, state, heads, latest: None })
    }

    /// Works until [`Then::Close`] or until nobody can send any more.
    pub(crate) fn run(mut self, queue: &Receiver<Job>) {
        while let Ok(first) = queue.recv() {
            let mut replies = Vec::new();
            let mut then = Then::Acknowledge;
            let mut writes = Vec::new();
            for job in collect(first, queue) {
                writes.push(job.write);
                replies.push(job.reply);
                then = job.then;
            }
            let closing = matches!(then, Then::Close);
            let done = self.commit(writes);
            // Only the last job of a group can ask for more than its acknowledgement.
            let last = replies.pop();
            for reply in replies {
                // A caller that no longer waits misses nothing.
                let _ = reply.send(done.clone().map(|()| None));
            }
            let answer = done.and_then(|()| self.follow(&then));
            if let Some(last) = last {
                let _ = last.send(answer);
            }
            if closing {
                break;
            }
        }
    }

    fn commit(&mut self, writes: Vec<Write>) -> Result<(), StoreError> {
        if let Some(error) = self.opened.failed.get() {
            return Err(error.as_read_only());
        }
        let heads = self.apply(writes).inspect_err(|error| self.fail(error))?;
        if !heads.is_empty() {
            // The entries are durable: a head that cannot be kept fails the next write, not this one.
            let covered = self.state.log.entries() / HEAD_EVERY_ENTRIES * HEAD_EVERY_ENTRIES;
            if let Err(error) = self.heads.push(heads, covered) {
                self.fail(&error);
            }
        }
        Ok(())
    }

    /// Writes one group; returns the heads it is time to keep. On failure the state stays as it was.
    fn apply(&mut self, writes: Vec<Write>) -> Result<Vec<Signed<Checkpoint>>, StoreError> {
        let storage = &self.opened.storage;
        self.opened.vault.persist()?;
        let mut state =
            State { records: self.state.records, rooms: self.state.rooms, log: self.state.log.clone() };
        let mut heads = Vec::new();
        let mut batch = Batch::default();
        let mut added = HashSet::new();
        let mut counts = HashMap::new();
        for write in writes {
            for id in &write.records {
                if !storage.contains(Table::Records, id.as_bytes())? && added.insert(*id) {
                    state.records += 1;
                }
            }
            batch.append(write.batch);
            for append in write.appends {
                self.append_room(append, &mut counts, &mut batch)?;
            }
            for (time, event) in write.events {
                let (seq, entry) = state.log.append(time, event);
                let sealed = trail::seal_entry(&self.opened.audit_key, seq, &entry);
                batch.put(Table::Audit, &seq.to_be_bytes(), sealed);
                self.latest = Some(time);
                if state.log.entries().is_multiple_of(HEAD_EVERY_ENTRIES) {
                    heads.push(state.log.checkpoint(time, &self.opened.device));
                }
            }
        }
        for (room, (count, is_new)) in counts {
            state.rooms += u64::from(is_new);
            batch.put(
                Table::Rooms,
                &self.opened.rooms.name(&room),
                self.opened.rooms.seal_head(&room, count),
            );
        }
        if !batch.is_empty() {
            self.opened.put_state(&mut batch, &state);
            storage.apply(batch)?;
        }
        storage.flush()?;
        self.opened.records.store(state.records, Ordering::Release);
        self.opened.room_count.store(state.rooms, Ordering::Release);
        self.opened.entries.store(state.log.entries(), Ordering::Release);
        self.state = state;
        Ok(heads)
    }

    /// Numbers and seals entries; `counts` has, for each room of this group, its entries and whether it is new.
    fn append_room(
        &self,
        Append { room, entries }: Append,
        counts: &mut HashMap<RoomKey, (u64, bool)>,
        batch: &mut Batch,
    ) -> Result<(), StoreError> {
        let (count, _) = match counts.entry(room) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(unknown) => {
                let count = head(&self.opened, &room)?;
                unknown.insert((count.unwrap_or(0), count.is_none()))
            }
        };
        let name = self.opened.rooms.name(&room);
        for entry in entries.iter() {
            let sealed = self.opened.rooms.seal_entry(&room, *count, entry);
            batch.put(Table::RoomEntries, &entry_key(&name, *count), sealed);
            *count += 1;
        }
        Ok(())
    }

    fn follow(&mut self, then: &Then) -> Answer {
        match then {
            Then::Acknowledge => Ok(None),
            Then::Checkpoint(now) => self.sign(*now).map(Some),
            Then::Close => {
                if let Some(now) = self.latest
                    && self.state.log.entries() > self.heads.newest_entries()
                {
                    self.sign(now)?;
                }
                self.opened.vault.persist_counts().inspect_err(|error| self.fail(error))?;
                Ok(None)
            }
        }
    }

    fn sign(&mut self, now: Timestamp) -> Result<Signed<Checkpoint>, StoreError> {
        let head = self.state.log.checkpoint(now, &self.opened.device);
        let kept = self.heads.push(vec![head.clone()], self.state.log.entries());
        kept.inspect_err(|error| self.fail(error))?;
        Ok(head)
    }

    fn fail(&self, error: &StoreError) {
        if self.opened.failed.set(error.clone()).is_ok() {
            tracing::error!(%error, "a write failed: the store is read-only until it is opened again");
        }
    }
}

/// `first` and what else waits, up to the limits of a group or a job that wants more than writing.
fn collect(first: Job, queue: &Receiver<Job>) -> Vec<Job> {
    let mut bytes = first.write.bytes();
    let mut group = vec![first];
    while group.len() < GROUP_JOBS
        && bytes < GROUP_BYTES
        && group.last().is_some_and(|job| matches!(job.then, Then::Acknowledge))
    {
        match queue.try_recv() {
            Ok(job) => {
                bytes += job.write.bytes();
                group.push(job);
            }
            Err(TryRecvError::Empty | TryRecvError::Disconnected) => break,
        }
    }
    group
}
