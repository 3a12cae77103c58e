//! Canonical bytes: one form for all encodings of a message that mean the same.
//!
//! They are an encoding of the same message again, at most as long as the original:
//! - fields in number order; fields outside the schema behind them, as they stand, also sorted by
//!   number, so that a version which learns a plain field makes the same bytes;
//! - a repeated field's elements in their own order;
//! - a map's entries sorted by key at every depth, the last one of each key alone;
//! - of a scalar that stands more than once the last, of a sub-message all of it: a decoder merges
//!   occurrences, and parsing their concatenation is the same ("Last One Wins" in protobuf's encoding
//!   guide), so their fields are taken as the fields of one message;
//! - of a oneof the member set last, even with its default value;
//! - every other scalar only if it differs from its default: in proto3 a default says the same as
//!   absence. An empty sub-message says more than its absence, and stays;
//! - tags, lengths and numbers in as few bytes as they take.
//!
//! Each level is scanned once, its fields are noted, and the bytes are written from the end. What a
//! hostile message costs is therefore bounded: each byte is looked at once and copied once, nesting by
//! [`DEPTH_MAX`], notes by [`RECORDS_MAX`].

use std::ops::Range;

use super::schema::{AVAILABLE_COMPONENTS, COMPONENTS, COMPONENTS_HASH, Shape, ValueKind};
use super::scratch::{MapEntry, Record, Scratch, Targets};
use super::volatile::Volatile;
use crate::opamp::fields::{ScanError, WireType, fields, varint};

/// How deep messages may nest; an entry of a map is a level, as in prost.
pub(super) const DEPTH_MAX: usize = 100;

/// How many fields may be noted at one time. A part of the definition of digests, so it must stay.
pub(super) const RECORDS_MAX: usize = 1 << 16;

/// The bytes lack a canonical form: malformed, too deep, too many fields in one message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Opaque;

impl From<ScanError> for Opaque {
    fn from(_: ScanError) -> Self {
        Self
    }
}

/// How deep the pass is, and where what it writes goes.
#[derive(Clone, Copy)]
pub(super) struct Level<T> {
    depth: usize,
    to: T,
}

impl<T: Targets> Level<T> {
    /// A status field's own message.
    pub(super) const fn first(to: T) -> Self {
        Self { depth: 1, to }
    }

    #[inline]
    fn deeper(self) -> Self {
        Self { depth: self.depth + 1, to: self.to }
    }
}

/// How far each target was written.
#[derive(Clone, Copy)]
struct Marks {
    out: usize,
    kept: usize,
}

/// One pass over the occurrences of one status field.
pub(super) struct Pass<'a> {
    pub(super) bytes: &'a [u8],
    pub(super) scratch: &'a mut Scratch,
    pub(super) volatile: &'a Volatile,
    /// Whether components that have a hash are left out, for it stands for them.
    pub(super) hash_for_components: bool,
    /// How many records there may be: [`RECORDS_MAX`] more than before the pass.
    pub(super) records_end: usize,
    /// Whether what was written to be kept is all of it.
    pub(super) keeps: bool,
}

impl Pass<'_> {
    /// Writes the message that the values of the records at `chunks` are together.
    pub(super) fn message<T: Targets>(
        &mut self,
        shape: &'static Shape,
        chunks: Range<usize>,
        level: Level<T>,
    ) -> Result<(), Opaque> {
        let base = self.scratch.records.len();
        let in_order = self.note(shape, chunks, level.depth)?;
        if shape.is_oneof {
            self.keep_last_member(shape, base);
        }
        let records = &mut self.scratch.records[base..];
        if !in_order {
            records.sort_by_key(|record| record.number);
        }
        let left_out = u32::from(self.volatile.mask(shape)) | self.covered(shape, base);
        let mut end = self.scratch.records.len();
        while end > base {
            let number = self.scratch.records[end - 1].number;
            let mut start = end - 1;
            while start > base && self.scratch.records[start - 1].number == number {
                start -= 1;
            }
            if let Some(kind) = shape.kind(number) {
                if left_out >> number & 1 == 0 {
                    self.field(shape, kind, start..end, level)?;
                } else if let Some(to) = level.to.left_out() {
                    let level = Level { to, ..level };
                    self.field_to_keep(shape, kind, start..end, level);
                }
            } else {
                self.verbatim(start..end, level.to);
            }
            end = start;
        }
        self.scratch.records.truncate(base);
        Ok(())
    }

    /// Notes the fields of a message; whether they stand in number order.
    fn note(
        &mut self,
        shape: &'static Shape,
        chunks: Range<usize>,
        depth: usize,
    ) -> Result<bool, Opaque> {
        if depth > DEPTH_MAX {
            return Err(Opaque);
        }
        let (mut in_order, mut last) = (true, 0);
        for chunk in chunks {
            let chunk = self.scratch.records[chunk];
            for field in fields(chunk.value(self.bytes)) {
                let field = field?;
                if let Some(kind) = shape.kind(field.number) {
                    field.expect(kind.wire())?;
                }
                in_order &= field.number >= last;
                last = field.number;
                if self.scratch.records.len() >= self.records_end {
                    return Err(Opaque);
                }
                self.scratch.records.push(Record::new(&field, chunk.base()));
            }
        }
        Ok(in_order)
    }

    /// Of a oneof the last member counts; its occurrences behind the last other member are merged.
    fn keep_last_member(&mut self, shape: &'static Shape, base: usize) {
        let records = &mut self.scratch.records;
        let is_member = |record: &Record| shape.kind(record.number).is_some();
        let Some(last) = records[base..].iter().rfind(|record| is_member(record)) else { return };
        let last = last.number;
        let other = |record: &Record| is_member(record) && record.number != last;
        let Some(cut) = records[base..].iter().rposition(other) else { return };
        let mut kept = base;
        for index in base..records.len() {
            let record = records[index];
            if index > base + cut || !is_member(&record) {
                records[kept] = record;
                kept += 1;
            }
        }
        records.truncate(kept);
    }

    /// The components, if their hash stands for them.
    fn covered(&self, shape: &'static Shape, base: usize) -> u32 {
        if !self.hash_for_components || shape.index != AVAILABLE_COMPONENTS.index {
            return 0;
        }
        let hash = self.scratch.records[base..].iter().rfind(|r| r.number == COMPONENTS_HASH);
        let has_hash = hash.is_some_and(|record| !record.value(self.bytes).is_empty());
        u32::from(has_hash) << COMPONENTS
    }

    /// Writes one field: all that stands at `group`, which has one record, at least.
    fn field<T: Targets>(
        &mut self,
        shape: &'static Shape,
        kind: ValueKind,
        group: Range<usize>,
        level: Level<T>,
    ) -> Result<(), Opaque> {
        let to = level.to;
        let last = self.scratch.records[group.end - 1];
        let number = last.number;
        match kind {
            ValueKind::Bool | ValueKind::Enum | ValueKind::Integer => {
                let value = varint(last.value(self.bytes));
                let value = match kind {
                    ValueKind::Bool => u64::from(value != 0),
                    ValueKind::Enum => value & u64::from(u32::MAX),
                    _ => value,
                };
                if value != 0 || shape.is_oneof {
                    self.scratch.write(to, |tail| {
                        tail.put_varint(value);
                        tail.put_tag(number, WireType::Varint);
                    });
                }
            }
            ValueKind::Fixed64 => {
                let value = last.value(self.bytes);
                if value != [0; 8] || shape.is_oneof {
                    self.scratch.write(to, |tail| {
                        tail.put(value);
                        tail.put_tag(number, WireType::Fixed64);
                    });
                }
            }
            ValueKind::Text => {
                let value = last.value(self.bytes);
                if !value.is_empty() || shape.is_oneof {
                    self.text(number, last, to);
                }
            }
            ValueKind::Texts => {
                for index in group.rev() {
                    self.text(number, self.scratch.records[index], to);
                }
            }
            ValueKind::Message(inner) => self.nested(inner, number, group, level)?,
            ValueKind::Messages(inner) => {
                for index in group.rev() {
                    self.nested(inner, number, index..index + 1, level)?;
                }
            }
            ValueKind::Map(inner) => self.map(inner, group, level)?,
        }
        Ok(())
    }

    /// The same of a field that a digest leaves out. Its faults must leave the digest as it is: so they end the keeping
    /// alone.
    fn field_to_keep<T: Targets>(
        &mut self,
        shape: &'static Shape,
        kind: ValueKind,
        group: Range<usize>,
        level: Level<T>,
    ) {
        let (records, entries) = (self.scratch.records.len(), self.scratch.entries.len());
        if self.field(shape, kind, group, level).is_err() {
            self.keeps = false;
            self.scratch.records.truncate(records);
            self.scratch.entries.truncate(entries);
        }
    }

    fn text<T: Targets>(&mut self, number: u32, record: Record, to: T) {
        let value = record.value(self.bytes);
        self.scratch.write(to, |tail| {
            tail.put(value);
            tail.put_len_head(number, value.len());
        });
    }

    fn verbatim<T: Targets>(&mut self, group: Range<usize>, to: T) {
        for index in group.rev() {
            let whole = self.scratch.records[index].whole(self.bytes);
            self.scratch.write(to, |tail| tail.put(whole));
        }
    }

    fn nested<T: Targets>(
        &mut self,
        shape: &'static Shape,
        number: u32,
        chunks: Range<usize>,
        level: Level<T>,
    ) -> Result<(), Opaque> {
        let marks = self.marks::<T>();
        self.message(shape, chunks, level.deeper())?;
        self.close(number, marks, (level.to.has_out(), T::KEEPS));
        Ok(())
    }

    #[inline]
    const fn marks<T: Targets>(&self) -> Marks {
        let kept = if T::KEEPS { self.scratch.kept.mark() } else { 0 };
        Marks { out: self.scratch.out.mark(), kept }
    }

    /// Puts tag and length before what has been written since `marks`: to `out`, and to what is kept.
    #[inline]
    fn close(&mut self, number: u32, marks: Marks, (out, kept): (bool, bool)) {
        let scratch = &mut *self.scratch;
        if out {
            scratch.out.put_len_head(number, scratch.out.since(marks.out));
        }
        if kept {
            scratch.kept.put_len_head(number, scratch.kept.since(marks.kept));
        }
    }

    fn map<T: Targets>(
        &mut self,
        values: &'static Shape,
        group: Range<usize>,
        level: Level<T>,
    ) -> Result<(), Opaque> {
        let number = self.scratch.records[group.start].number;
        let (records_base, base) = (self.scratch.records.len(), self.scratch.entries.len());
        let mut sorted = true;
        for index in group {
            let entry = self.entry(index, level.depth + 1)?;
            if self.scratch.entries.len() > base {
                let before = self.scratch.entries.last().map_or(&[][..], |e| self.key(e));
                sorted &= before < self.key(&entry);
            }
            self.scratch.entries.push(entry);
        }
        if !sorted {
            self.sort_entries(base);
        }
        for index in (base..self.scratch.entries.len()).rev() {
            let entry = self.scratch.entries[index];
            let marks = self.marks::<T>();
            self.write_entry(values, entry, level.deeper())?;
            self.close(number, marks, (level.to.has_out(), T::KEEPS));
        }
        self.scratch.entries.truncate(base);
        self.scratch.records.truncate(records_base);
        Ok(())
    }

    /// Notes the fields of an entry, in number order. Inlined by force: it is called for each entry, from a pass of each
    /// kind of targets.
    #[inline(always)]
    fn entry(&mut self, index: usize, depth: usize) -> Result<MapEntry, Opaque> {
        let first = self.scratch.records.len();
        let in_order = self.note(&ENTRY, index..index + 1, depth)?;
        let records = &mut self.scratch.records[first..];
        if !in_order {
            records.sort_by_key(|record| record.number);
        }
        let key = records.iter().rfind(|record| record.number == ENTRY_KEY).copied();
        Ok(MapEntry { key, first, last: self.scratch.records.len() })
    }

    fn key(&self, entry: &MapEntry) -> &[u8] {
        entry.key.map_or(&[], |record| record.value(self.bytes))
    }

    /// Sorts entries by key and keeps the last of each.
    fn sort_entries(&mut self, base: usize) {
        let bytes = self.bytes;
        let key = |entry: &MapEntry| entry.key.map_or(&[][..], |record| record.value(bytes));
        let entries = &mut self.scratch.entries;
        entries[base..].sort_by(|a, b| key(a).cmp(key(b)));
        let mut kept = base;
        for index in base..entries.len() {
            if index > base && key(&entries[index]) != key(&entries[kept]) {
                kept += 1;
            }
            entries[kept] = entries[index];
        }
        entries.truncate(kept + 1);
    }

    /// Writes what is in an entry; an empty key or value says the same as an absent one.
    fn write_entry<T: Targets>(
        &mut self,
        values: &'static Shape,
        entry: MapEntry,
        level: Level<T>,
    ) -> Result<(), Opaque> {
        let records = &self.scratch.records[entry.first..entry.last];
        // Counted one by one: most entries have two fields.
        let before = |end: u32| records.iter().take_while(|record| record.number < end).count();
        let value_at = entry.first + before(ENTRY_VALUE);
        let unknown_at = entry.first + before(ENTRY_VALUE + 1);
        let to = level.to;
        self.verbatim(unknown_at..entry.last, to);
        let marks = self.marks::<T>();
        if value_at < unknown_at {
            self.message(values, value_at..unknown_at, level.deeper())?;
        }
        let scratch = &*self.scratch;
        let has_out = to.has_out() && scratch.out.since(marks.out) > 0;
        let has_kept = T::KEEPS && scratch.kept.since(marks.kept) > 0;
        self.close(ENTRY_VALUE, marks, (has_out, has_kept));
        if let Some(key) = entry.key.filter(|key| !key.value(self.bytes).is_empty()) {
            self.text(ENTRY_KEY, key, to);
        }
        Ok(())
    }
}

const ENTRY_KEY: u32 = 1;
const ENTRY_VALUE: u32 = 2;

/// What an entry of any map looks like, as far as wire types go.
static ENTRY: Shape =
    Shape { name: "entry", index: 0, is_oneof: false, fields: &[("key", ValueKind::Text); 2] };
