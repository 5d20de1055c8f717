//! What a raw change says beside its columns, taken apart and put together again.

use crate::change::raw::{
    ACTOR_BYTES, Chunk, Input, MAX_REFERENCES, PLAIN_CHANGE, TERMS_BYTES, write_signed, write_unsigned,
};
use crate::ids::{Actor, ChangeHash};

/// The parts of a plain change.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Parts<'a> {
    /// What it builds on.
    pub(super) deps: Vec<ChangeHash>,
    /// Who wrote it.
    pub(super) actor: Actor,
    /// Its number among that actor's changes, from 1.
    pub(super) seq: u64,
    /// Counter of its first operation.
    pub(super) start: u64,
    /// When, in Unix milliseconds.
    pub(super) time_ms: i64,
    /// Its message, which says for what it was signed.
    pub(super) terms: &'a [u8],
    /// The other actors that its operations name.
    pub(super) others: Vec<Actor>,
    /// Its operations: number, kinds and lengths of the columns, and the columns.
    pub(super) columns: &'a [u8],
}

impl<'a> Parts<'a> {
    /// The parts of `raw`; none when it is no plain change or refers to too much. Whether its operations make sense
    /// is not looked at.
    pub(super) fn of(raw: &'a [u8]) -> Option<Self> {
        let chunk = Chunk::read(raw).filter(|chunk| chunk.kind == PLAIN_CHANGE)?;
        let mut input = Input(chunk.data);
        let deps =
            references(&mut input, |input| input.take(32)?.try_into().ok().map(ChangeHash::from_bytes))?;
        let actor = read_actor(&mut input)?;
        let (seq, start, time_ms) = (input.unsigned()?, input.unsigned()?, input.signed()?);
        if input.unsigned()? != TERMS_BYTES {
            return None;
        }
        let terms = input.take(TERMS_BYTES)?;
        let others = references(&mut input, read_actor)?;
        Some(Self { deps, actor, seq, start, time_ms, terms, others, columns: input.0 })
    }

    /// The raw change of these parts.
    pub(super) fn join(&self) -> Vec<u8> {
        let mut data = Vec::with_capacity(128 + 32 * self.deps.len() + self.columns.len());
        write_unsigned(&mut data, self.deps.len() as u64);
        self.deps.iter().for_each(|dep| data.extend(dep.as_bytes()));
        write_actor(&mut data, &self.actor);
        write_unsigned(&mut data, self.seq);
        write_unsigned(&mut data, self.start);
        write_signed(&mut data, self.time_ms);
        write_unsigned(&mut data, self.terms.len() as u64);
        data.extend(self.terms);
        write_unsigned(&mut data, self.others.len() as u64);
        self.others.iter().for_each(|other| write_actor(&mut data, other));
        data.extend(self.columns);
        Chunk::write(PLAIN_CHANGE, &data)
    }
}

fn references<'a, T>(input: &mut Input<'a>, read: impl FnMut(&mut Input<'a>) -> Option<T>) -> Option<Vec<T>> {
    let count = input.unsigned().filter(|count| *count <= MAX_REFERENCES)?;
    let mut read = read;
    (0..count).map(|_| read(input)).collect()
}

fn read_actor(input: &mut Input<'_>) -> Option<Actor> {
    input.unsigned().filter(|bytes| *bytes == ACTOR_BYTES)?;
    input.take(ACTOR_BYTES)?.try_into().ok()
}

fn write_actor(out: &mut Vec<u8>, actor: &Actor) {
    write_unsigned(out, ACTOR_BYTES);
    out.extend(actor);
}
