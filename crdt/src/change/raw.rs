//! The bytes of an automerge change, read only as far as needed to know what it would cost to read them.
//! Format: <https://automerge.org/automerge-binary-format-spec/>.

use sha2::{Digest, Sha256};

use crate::change::{MAX_CHANGE_BYTES, MAX_OPERATIONS, Refusal};
use crate::ids::ChangeHash;

/// The first bytes of every automerge chunk.
const MAGIC: [u8; 4] = [0x85, 0x6f, 0x4a, 0x83];

/// The chunk type of a plain change.
pub(super) const PLAIN_CHANGE: u8 = 1;

/// The most changes that one may build on, and the most actors that one may name.
pub(crate) const MAX_REFERENCES: u64 = 1_024;

/// Bytes of an actor in a room.
pub(super) const ACTOR_BYTES: u64 = 16;

/// Bytes of the message of a change: 16 bytes in base 32.
pub(super) const TERMS_BYTES: u64 = 26;

/// The most columns an automerge change has.
const MAX_COLUMNS: u64 = 16;

/// The most earlier operations that all operations of a change may replace together.
const MAX_REPLACED: u64 = 4 * MAX_OPERATIONS as u64;

/// The kinds of column that may follow each other (low three bits of a column's specification).
const GROUP: u64 = 0;
const BOOLEAN: u64 = 4;
const STRING: u64 = 5;
const VALUE: u64 = 7;
/// The bit of a column's specification that says it is compressed.
const DEFLATED: u64 = 8;
/// The column of replaced operations (specification without its kind).
const PRED_COLUMN: u64 = 7;

/// Hash of the chunk that `bytes` are, without reading what is inside; none when they are not one whole chunk.
pub(crate) fn chunk_hash(bytes: &[u8]) -> Option<ChangeHash> {
    let chunk = Chunk::read(bytes)?;
    Some(ChangeHash::from_bytes(chunk.hash()))
}

pub(super) struct Chunk<'a> {
    checksum: &'a [u8],
    pub(super) kind: u8,
    pub(super) data: &'a [u8],
}

impl<'a> Chunk<'a> {
    pub(super) fn read(bytes: &'a [u8]) -> Option<Self> {
        let mut input = Input(bytes);
        if input.take(4)? != MAGIC {
            return None;
        }
        let checksum = input.take(4)?;
        let kind = *input.take(1)?.first()?;
        let before = input.0.len();
        let length = input.unsigned()?;
        let written = before - input.0.len();
        let data = input.take(length)?;
        let mut shortest = Vec::with_capacity(MAX_LEB128_BYTES);
        write_unsigned(&mut shortest, length);
        (input.0.is_empty() && shortest.len() == written).then_some(Self { checksum, kind, data })
    }

    fn hash(&self) -> [u8; 32] {
        Sha256::new().chain_update(self.header()).chain_update(self.data).finalize().into()
    }

    fn header(&self) -> Vec<u8> {
        let mut header = Vec::with_capacity(MAX_LEB128_BYTES + 1);
        header.push(self.kind);
        write_unsigned(&mut header, self.data.len() as u64);
        header
    }

    /// The chunk around `data`, with its checksum.
    pub(super) fn write(kind: u8, data: &'a [u8]) -> Vec<u8> {
        let chunk = Self { checksum: &[], kind, data };
        [&MAGIC[..], &chunk.hash()[..4], &chunk.header(), data].concat()
    }
}

pub(super) fn write_unsigned(out: &mut Vec<u8>, mut value: u64) {
    loop {
        let byte = (value & 0x7f) as u8;
        value >>= 7;
        if value == 0 {
            return out.push(byte);
        }
        out.push(byte | 0x80);
    }
}

pub(super) fn write_signed(out: &mut Vec<u8>, mut value: i64) {
    loop {
        let byte = (value & 0x7f) as u8;
        value >>= 7;
        // The rest is nothing but the sign, and the byte shows the same sign.
        if (value == 0 && byte & 0x40 == 0) || (value == -1 && byte & 0x40 != 0) {
            return out.push(byte);
        }
        out.push(byte | 0x80);
    }
}

/// Refuses a change that would cost more to read than its size lets expect: it takes no memory to find out.
pub(crate) fn check_shape(bytes: &[u8]) -> Result<(), Refusal> {
    if bytes.len() > MAX_CHANGE_BYTES {
        return Err(Refusal::TooLarge);
    }
    let chunk = Chunk::read(bytes).ok_or(Refusal::Malformed)?;
    if chunk.kind != PLAIN_CHANGE {
        return Err(Refusal::Compressed);
    }
    if !chunk.hash().starts_with(chunk.checksum) {
        return Err(Refusal::Malformed);
    }
    check_header(&mut Input(chunk.data))?.check()
}

/// The columns of a change: kind, identifier and bytes of each.
struct Columns<'a>(Vec<(u64, u64, &'a [u8])>);

fn check_header<'a>(input: &mut Input<'a>) -> Result<Columns<'a>, Refusal> {
    let malformed = Refusal::Malformed;
    let dependencies = input.unsigned().ok_or(malformed)?;
    if dependencies > MAX_REFERENCES {
        return Err(Refusal::TooManyReferences);
    }
    input.take(dependencies * 32).ok_or(malformed)?;
    if input.unsigned() != Some(ACTOR_BYTES) {
        return Err(Refusal::Actor);
    }
    input.take(ACTOR_BYTES).ok_or(malformed)?;
    // Sequence number, first operation, time; then a message, which holds the terms.
    for _ in 0..3 {
        input.number().ok_or(malformed)?;
    }
    if input.unsigned() != Some(TERMS_BYTES) {
        return Err(malformed);
    }
    input.take(TERMS_BYTES).ok_or(malformed)?;
    let actors = input.unsigned().ok_or(malformed)?;
    if actors > MAX_REFERENCES {
        return Err(Refusal::TooManyReferences);
    }
    for _ in 0..actors {
        if input.unsigned() != Some(ACTOR_BYTES) {
            return Err(Refusal::Actor);
        }
        input.take(ACTOR_BYTES).ok_or(malformed)?;
    }
    columns(input)
}

fn columns<'a>(input: &mut Input<'a>) -> Result<Columns<'a>, Refusal> {
    let malformed = Refusal::Malformed;
    let count = input.unsigned().filter(|count| *count <= MAX_COLUMNS).ok_or(malformed)?;
    let mut sizes = Vec::with_capacity(count as usize);
    for _ in 0..count {
        let specification = input.unsigned().ok_or(malformed)?;
        if specification & DEFLATED != 0 {
            return Err(Refusal::Compressed);
        }
        sizes.push((specification & 7, specification >> 4, input.unsigned().ok_or(malformed)?));
    }
    let mut columns = Vec::with_capacity(sizes.len());
    for (kind, id, size) in sizes {
        columns.push((kind, id, input.take(size).ok_or(malformed)?));
    }
    // What follows the columns is for other versions and other programs: rooms have none.
    if input.0.is_empty() { Ok(Columns(columns)) } else { Err(malformed) }
}

impl Columns<'_> {
    fn check(&self) -> Result<(), Refusal> {
        for (kind, id, bytes) in &self.0 {
            let limit =
                if *id == PRED_COLUMN && *kind != GROUP { MAX_REPLACED } else { MAX_OPERATIONS as u64 };
            let rows = match *kind {
                VALUE => Some(0),
                BOOLEAN => boolean_rows(Input(bytes), limit),
                STRING => {
                    run_length_rows(Input(bytes), limit, |input| input.unsigned().and_then(|n| input.take(n)))
                }
                GROUP => group_rows(Input(bytes), limit),
                _ => run_length_rows(Input(bytes), limit, Input::number),
            };
            match rows {
                Some(rows) if rows <= limit => {}
                Some(_) => return Err(Refusal::TooManyOperations),
                None => return Err(Refusal::Malformed),
            }
        }
        Ok(())
    }
}

/// Rows of a column of runs; stops counting beyond `limit`.
fn run_length_rows<'a, T>(
    mut input: Input<'a>,
    limit: u64,
    mut value: impl FnMut(&mut Input<'a>) -> Option<T>,
) -> Option<u64> {
    let mut rows: u64 = 0;
    while !input.0.is_empty() && rows <= limit {
        let run = input.signed()?;
        let length = if run == 0 { input.unsigned()? } else { run.unsigned_abs() };
        rows = rows.saturating_add(length);
        let values = if run < 0 { length } else { u64::from(run > 0) };
        if rows <= limit {
            for _ in 0..values {
                value(&mut input)?;
            }
        }
    }
    Some(rows)
}

/// Rows of a column of counts, whose sum is limited as well.
fn group_rows(input: Input<'_>, limit: u64) -> Option<u64> {
    run_length_rows(input, limit, |input| input.unsigned().filter(|count| *count <= MAX_REPLACED))
}

fn boolean_rows(mut input: Input<'_>, limit: u64) -> Option<u64> {
    let mut rows: u64 = 0;
    while !input.0.is_empty() && rows <= limit {
        rows = rows.saturating_add(input.unsigned()?);
    }
    Some(rows)
}

/// Bytes that are still to be read.
#[derive(Clone, Copy)]
pub(super) struct Input<'a>(pub(super) &'a [u8]);

impl<'a> Input<'a> {
    pub(super) fn take(&mut self, count: u64) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(usize::try_from(count).ok()?)?;
        self.0 = rest;
        Some(taken)
    }

    /// One LEB128 number, whatever its sign.
    fn number(&mut self) -> Option<&'a [u8]> {
        let end = self.0.iter().take(MAX_LEB128_BYTES).position(|byte| byte & 0x80 == 0)?;
        self.take(end as u64 + 1)
    }

    pub(super) fn unsigned(&mut self) -> Option<u64> {
        let bytes = self.number()?;
        let mut value = 0_u128;
        for (place, byte) in bytes.iter().enumerate() {
            value |= u128::from(byte & 0x7f) << (7 * place);
        }
        u64::try_from(value).ok()
    }

    pub(super) fn signed(&mut self) -> Option<i64> {
        let bytes = self.number()?;
        let bits = 7 * bytes.len();
        let mut value = 0_i128;
        for (place, byte) in bytes.iter().enumerate() {
            value |= i128::from(byte & 0x7f) << (7 * place);
        }
        if bytes.last()? & 0x40 != 0 {
            value -= 1_i128 << bits;
        }
        i64::try_from(value).ok()
    }
}

/// The most bytes of a 64-bit LEB128 number.
const MAX_LEB128_BYTES: usize = 10;
