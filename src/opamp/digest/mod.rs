//! Digests of what agents report: equal if and only if all that counts is unchanged.
//!
//! A digest is XXH3-128, keyed with a secret of the cluster, of a status field's canonical bytes
//! (`canonical`), which leave out what is volatile ([`Volatile`]). Digests are stored, and compared between
//! nodes and versions: tests hold them to golden values. Bytes that are malformed or nest too deep lack a
//! canonical form. They have the digest of the bytes themselves, in a domain of its own: so there is always
//! a digest, and equal digests always mean equal content.
//!
//! An agent that looks for collisions of XXH3 finds some. A digest may therefore decide only what is
//! forwarded of the agent's *own* reports; the store compares bytes before it shares them. Must not know sessions,
//! servers or storage.

mod canonical;
#[cfg(test)]
mod golden_tests;
mod key;
#[cfg(test)]
mod property_tests;
mod schema;
mod scratch;
#[cfg(test)]
mod shuffle;
#[cfg(test)]
mod tests;
mod volatile;

use std::ops::Range;

use canonical::{Level, Opaque, Pass, RECORDS_MAX};
use schema::{COMPONENTS, COMPONENTS_HASH, Shape, status_shape};
use scratch::{Record, Targets, ToBoth, ToOut};

pub use key::{Digest, DigestKey, RawHash};
pub use scratch::Scratch;
pub use volatile::{Volatile, VolatileError};

use super::agent::AgentScan;
use super::field_set::{FieldSet, agent_field};
use super::fields::{Field, WireType, fields};

/// What the hashed bytes begin with, so that equal bytes of different kinds differ in their digests.
#[derive(Debug, Clone, Copy)]
enum Form {
    Canonical = 0,
    Opaque = 1,
    Number = 2,
}

/// Bytes before the content: the field's number and the form.
const HEAD_BYTES: usize = 5;

/// What stands before canonical bytes, at most: that, or a tag and a length of 32 bits.
const CANONICAL_HEAD_BYTES_MAX: usize = 6;

/// What a digest depends on beside the report: the same on all nodes of a cluster.
#[derive(Debug, Clone, Default)]
pub struct Digester {
    /// The cluster's secret.
    pub key: DigestKey,
    /// The fields that may change while the state counts as unchanged.
    pub volatile: Volatile,
}

impl Digester {
    /// The digest of one status field of an AgentToServer, from its value behind tag and length.
    ///
    /// Components with a hash count by it alone, with the map or without ("AvailableComponents Message"). The
    /// value of any other number is taken as plain bytes.
    pub fn field(&self, number: u32, value: &[u8], scratch: &mut Scratch) -> Digest {
        scratch.records.clear();
        if u32::try_from(value.len()).is_err() {
            return self.too_long(number, value);
        }
        scratch.records.push(Record::value_only(number, value));
        let digest = self.group(value, 0..1, scratch, ToOut);
        scratch.finish();
        digest
    }

    /// The digest of a number that is state, such as `capabilities`.
    pub fn number(&self, number: u32, value: u64) -> Digest {
        let mut bytes = [0; HEAD_BYTES + 8];
        bytes[..4].copy_from_slice(&number.to_le_bytes());
        bytes[4] = Form::Number as u8;
        bytes[HEAD_BYTES..].copy_from_slice(&value.to_le_bytes());
        self.key.digest(&bytes)
    }

    /// Digests of all that is state in a report, in rising order of field number: capabilities (also if
    /// absent, as 0), each status field that is there, and, as [`FieldSet::OTHER`], all fields together
    /// outside the schema. A field that stands more than once counts as a decoder merges it.
    ///
    /// A message over all limits (4 GiB, 65,536 top-level fields) has one digest of everything, its
    /// sequence number included, as [`FieldSet::OTHER`]: so all of it counts as changed.
    pub fn report(
        &self,
        scan: &AgentScan<'_>,
        scratch: &mut Scratch,
        each: impl FnMut(u32, Digest),
    ) {
        self.digests(scan, scratch, ToOut, each);
    }

    /// The same. The fields in canonical form are left in [`Scratch::kept`], which costs less than a second pass over
    /// those that have changed. A report of more than 128 KiB leaves none.
    pub fn report_to_store(
        &self,
        scan: &AgentScan<'_>,
        scratch: &mut Scratch,
        each: impl FnMut(u32, Digest),
    ) {
        if scratch.keep(scan.bytes) {
            self.digests(scan, scratch, ToBoth::ALL, each);
        } else {
            self.digests(scan, scratch, ToOut, each);
        }
    }

    fn digests<T: Targets>(
        &self,
        scan: &AgentScan<'_>,
        scratch: &mut Scratch,
        to: T,
        mut each: impl FnMut(u32, Digest),
    ) {
        scratch.records.clear();
        if !note_state(scan, &mut scratch.records) {
            scratch.finish();
            return each(FieldSet::OTHER, self.too_long(FieldSet::OTHER, scan.bytes));
        }
        let count = scratch.records.len();
        let known = scratch.records.partition_point(|record| is_schemas(record.number));
        if known < count {
            each(FieldSet::OTHER, self.opaque(scan.bytes, known..count, Record::whole, scratch));
        }
        let capabilities = self.number(agent_field::CAPABILITIES, scan.capabilities);
        let mut capabilities = Some(capabilities);
        let mut start = 0;
        while start < known {
            let number = scratch.records[start].number;
            if number > agent_field::CAPABILITIES
                && let Some(capabilities) = capabilities.take()
            {
                each(agent_field::CAPABILITIES, capabilities);
            }
            let same = |record: &&Record| record.number == number;
            let end = start + scratch.records[start..known].iter().take_while(same).count();
            each(number, self.group(scan.bytes, start..end, scratch, to));
            start = end;
        }
        if let Some(capabilities) = capabilities {
            each(agent_field::CAPABILITIES, capabilities);
        }
        scratch.finish();
    }

    /// The digest of a field from its occurrences in `bytes`; `group` has one, at least.
    fn group<T: Targets>(
        &self,
        bytes: &[u8],
        group: Range<usize>,
        scratch: &mut Scratch,
        to: T,
    ) -> Digest {
        let number = scratch.records[group.start].number;
        let Some(shape) = status_shape(number) else {
            return self.opaque(bytes, group, Record::value, scratch);
        };
        let count = scratch.records.len();
        let left_out = LeftOut { volatile: &self.volatile, hash_for_components: true, to };
        let mark = scratch.kept.mark();
        let written = write(shape, bytes, group.clone(), left_out, scratch);
        if written == Ok(Kept::All) {
            scratch.keep_part(number, mark);
        } else {
            scratch.kept.take_back(mark);
        }
        if written.is_err() {
            scratch.records.truncate(count);
            return self.opaque(bytes, group, Record::value, scratch);
        }
        self.seal(number, Form::Canonical, scratch)
    }

    /// The digest of opaque bytes, each occurrence with its length.
    fn opaque(
        &self,
        bytes: &[u8],
        group: Range<usize>,
        part: fn(Record, &[u8]) -> &[u8],
        scratch: &mut Scratch,
    ) -> Digest {
        let number = scratch.records[group.start].number;
        let number = if is_schemas(number) { number } else { FieldSet::OTHER };
        let parts = scratch.records[group.clone()].iter();
        let length: usize = parts.map(|record| part(*record, bytes).len() + 8).sum();
        scratch.prepare(HEAD_BYTES + length);
        for index in group.rev() {
            let part = part(scratch.records[index], bytes);
            scratch.out.put(part);
            scratch.out.put(&(part.len() as u64).to_le_bytes());
        }
        self.seal(number, Form::Opaque, scratch)
    }

    fn seal(&self, number: u32, form: Form, scratch: &mut Scratch) -> Digest {
        scratch.out.put_byte(form as u8);
        scratch.out.put(&number.to_le_bytes());
        self.key.digest(scratch.out.written())
    }

    /// The value is too long for offsets of 32 bits. The limits for messages are far lower.
    fn too_long(&self, number: u32, value: &[u8]) -> Digest {
        let RawHash(hash) = RawHash::of(&self.key, value);
        let mut bytes = [0; HEAD_BYTES + 16];
        bytes[..4].copy_from_slice(&number.to_le_bytes());
        bytes[4] = Form::Opaque as u8;
        bytes[HEAD_BYTES..].copy_from_slice(&hash.to_le_bytes());
        self.key.digest(&bytes)
    }
}

/// What canonical bytes leave out.
#[derive(Clone, Copy)]
struct LeftOut<'a, T> {
    volatile: &'a Volatile,
    /// Whether components that have a hash are left out, because it stands for them.
    hash_for_components: bool,
    to: T,
}

/// What a pass has left to be stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kept {
    All,
    Nothing,
}

/// Every field stays.
const ALL_STAYS: LeftOut<'static, ToOut> =
    LeftOut { volatile: &Volatile::NONE, hash_for_components: false, to: ToOut };

/// Writes canonical bytes to the end of `scratch.out`, with room for a head before them.
fn write<T: Targets>(
    shape: &'static Shape,
    bytes: &[u8],
    group: Range<usize>,
    left_out: LeftOut<'_, T>,
    scratch: &mut Scratch,
) -> Result<Kept, Opaque> {
    let parts = scratch.records[group.clone()].iter();
    let length: usize = parts.map(|record| record.value(bytes).len()).sum();
    scratch.prepare(CANONICAL_HEAD_BYTES_MAX + length);
    let records_end = scratch.records.len() + RECORDS_MAX;
    let LeftOut { volatile, hash_for_components, to } = left_out;
    let keeps = T::KEEPS;
    let mut pass = Pass { bytes, scratch, volatile, hash_for_components, records_end, keeps };
    pass.message(shape, group, Level::first(to))?;
    Ok(if pass.keeps { Kept::All } else { Kept::Nothing })
}

/// Lends `read` a status field in canonical form, tag and length before it, volatile fields included: another
/// encoding of the same field, which is thrown away after. `None` if the bytes of the value are malformed.
pub fn canonical_field<T>(
    number: u32,
    value: &[u8],
    scratch: &mut Scratch,
    read: impl FnOnce(&[u8]) -> T,
) -> Option<T> {
    scratch.records.clear();
    let shape = status_shape(number).filter(|_| u32::try_from(value.len()).is_ok())?;
    scratch.records.push(Record::value_only(number, value));
    let written = write(shape, value, 0..1, ALL_STAYS, scratch);
    let read = written.ok().map(|_| {
        let length = scratch.out.written().len();
        scratch.out.put_len_head(number, length);
        read(scratch.out.written())
    });
    scratch.finish();
    read
}

/// A hash of the bytes of a report that can be state: all but uid and sequence number. A report with
/// the same hash as the last one has the same digests, which saves the canonical pass.
pub fn report_hash(key: &DigestKey, scan: &AgentScan<'_>) -> RawHash {
    let mut run = 0..0;
    let mut hash = None;
    let mut add = |run: Range<usize>| {
        if !run.is_empty() {
            let next = RawHash::of(key, &scan.bytes[run]);
            hash = Some(hash.map_or(next, |hash: RawHash| hash.then(key, next)));
        }
    };
    for field in fields(scan.bytes).map_while(Result::ok) {
        if matches!(field.number, agent_field::INSTANCE_UID | agent_field::SEQUENCE_NUM) {
            add(run);
            run = field.whole.end..field.whole.end;
        } else {
            run.end = field.whole.end;
        }
    }
    add(run);
    hash.unwrap_or_else(|| RawHash::of(key, &[]))
}

/// The hash that an agent gives its components, if the bytes are well-formed and hold one. Trust it only
/// within the scope of the agent's identity ("AvailableComponents Message").
pub fn components_hash(available_components: &[u8]) -> Option<&[u8]> {
    let mut hash = None;
    for field in fields(available_components) {
        let field = field.ok()?;
        if field.number == COMPONENTS_HASH {
            field.expect(WireType::Len).ok()?;
            hash = Some(&available_components[field.value]);
        }
    }
    hash.filter(|hash| !hash.is_empty())
}

/// Whether the components themselves are there beside their hash. The digest leaves that open.
pub fn has_components(available_components: &[u8]) -> bool {
    let mut found = fields(available_components).map_while(Result::ok);
    found.any(|field| field.number == COMPONENTS)
}

/// Notes where the fields are that can be state, in number order; `false` if there are too many.
fn note_state(scan: &AgentScan<'_>, records: &mut Vec<Record>) -> bool {
    if u32::try_from(scan.bytes.len()).is_err() {
        return false;
    }
    let (mut last, mut in_order) = (0, true);
    for field in fields(scan.bytes).map_while(Result::ok).filter(is_state) {
        if records.len() >= RECORDS_MAX {
            return false;
        }
        in_order &= field.number >= last;
        last = field.number;
        records.push(Record::new(&field, 0));
    }
    if !in_order {
        records.sort_by_key(|record| record.number);
    }
    true
}

const fn is_schemas(number: u32) -> bool {
    number <= agent_field::CONNECTION_SETTINGS_STATUS
}

/// Status fields, and all fields outside the schema: they may be state, so a change of them counts.
fn is_state(field: &Field) -> bool {
    agent_field::STATUS.contains(field.number) && is_schemas(field.number)
        || !is_schemas(field.number)
}
