//! Room to work in, used again for each report: what was found where, and the canonical bytes.
//!
//! Bytes are written from the end of the room to its front. A message's length stands before its contents
//! and depends on them. Written backwards, the length is known when it is due, and the contents stay where
//! they are however deep messages nest. Must not know the schema.

use std::ops::Range;

use crate::opamp::fields::{Field, WireType};

/// Bytes reserved between reports; the room of a larger report is given back.
const KEPT_BYTES_MAX: usize = 256 * 1024;

/// Tags and lengths of fifteen fields, whose canonical bytes may need longer ones than they came with: the occurrences of
/// a field become one.
const KEPT_HEADS_BYTES_MAX: usize = 15 * 6;

/// Room for canonical bytes. One a thread is enough.
#[derive(Debug, Default)]
pub struct Scratch {
    pub(super) records: Vec<Record>,
    pub(super) entries: Vec<MapEntry>,
    pub(super) out: Tail,
    /// Fields of the last report, to be stored.
    pub(super) kept: Tail,
    kept_parts: KeptParts,
}

/// Where canonical bytes go. A type for each, so that a pass for a digest alone pays nothing for the other.
pub(super) trait Targets: Copy {
    /// Whether bytes go to [`Scratch::kept`].
    const KEEPS: bool;

    /// Whether bytes go to [`Scratch::out`].
    fn has_out(self) -> bool;

    /// For a field that is left out of digests; `None` if it goes nowhere.
    fn left_out(self) -> Option<Self>;
}

/// For a digest alone, or for a caller that reads the bytes at once.
#[derive(Debug, Clone, Copy)]
pub(super) struct ToOut;

impl Targets for ToOut {
    const KEEPS: bool = false;

    #[inline]
    fn has_out(self) -> bool {
        true
    }

    #[inline]
    fn left_out(self) -> Option<Self> {
        None
    }
}

/// What counts for a digest goes to `out`, and everything is kept for servers.
#[derive(Debug, Clone, Copy)]
pub(super) struct ToBoth {
    out: bool,
}

impl ToBoth {
    pub(super) const ALL: Self = Self { out: true };
}

impl Targets for ToBoth {
    const KEEPS: bool = true;

    #[inline]
    fn has_out(self) -> bool {
        self.out
    }

    #[inline]
    fn left_out(self) -> Option<Self> {
        Some(Self { out: false })
    }
}

/// Which fields stand where in [`Scratch::kept`], and of which bytes they are.
#[derive(Debug, Default)]
struct KeptParts {
    /// Where the report stands in memory, and its length.
    of: Option<(usize, usize)>,
    parts: Vec<(u32, Range<usize>)>,
}

impl Scratch {
    /// The status field in canonical form, tag and length before it, volatile fields included, if
    /// [`Digester::report_to_store`](super::Digester::report_to_store) has just seen `report`.
    pub fn kept(&self, report: &[u8], number: u32) -> Option<&[u8]> {
        let KeptParts { of, parts } = &self.kept_parts;
        let part = parts.iter().filter(|_| *of == Some(place_of(report)));
        let (_, range) = part.rev().find(|(part, _)| *part == number)?;
        self.kept.buffer.get(range.clone())
    }

    /// Forgets what was kept: nothing may take it for a part of another report.
    pub fn forget_kept(&mut self) {
        self.kept_parts.of = None;
        self.kept_parts.parts.clear();
    }

    /// Makes room for all fields of `report`; whether it is small enough to be kept.
    pub(super) fn keep(&mut self, report: &[u8]) -> bool {
        self.forget_kept();
        let keeps = report.len() <= KEPT_BYTES_MAX / 2;
        if keeps {
            self.kept.prepare(report.len() + KEPT_HEADS_BYTES_MAX);
            self.kept_parts.of = Some(place_of(report));
        }
        keeps
    }

    /// What has been kept since `mark` is this field.
    pub(super) fn keep_part(&mut self, number: u32, mark: usize) {
        self.kept.put_len_head(number, self.kept.since(mark));
        self.kept_parts.parts.push((number, self.kept.at..mark));
    }

    /// Writes to each target.
    #[inline]
    pub(super) fn write<T: Targets>(&mut self, to: T, put: impl Fn(&mut Tail)) {
        if to.has_out() {
            put(&mut self.out);
        }
        if T::KEEPS {
            put(&mut self.kept);
        }
    }

    /// Empties everything, and makes room for `bytes` of output.
    pub(super) fn prepare(&mut self, bytes: usize) {
        self.entries.clear();
        self.out.prepare(bytes);
    }

    /// Gives back what an unusually large report needed.
    pub(super) fn finish(&mut self) {
        self.records.clear();
        if self.out.buffer.len() > KEPT_BYTES_MAX {
            *self = Self::default();
        }
        self.records.shrink_to(KEPT_BYTES_MAX / size_of::<Record>());
        self.entries.shrink_to(KEPT_BYTES_MAX / size_of::<MapEntry>());
    }
}

fn place_of(bytes: &[u8]) -> (usize, usize) {
    (bytes.as_ptr().addr(), bytes.len())
}

/// Where a field stands; offsets into the bytes that are worked on. Small, because there are many.
#[derive(Debug, Clone, Copy)]
pub(super) struct Record {
    pub(super) number: u32,
    start: u32,
    value: u32,
    end: u32,
}

impl Record {
    /// A field found in bytes that begin at `base`; both are checked to fit 32 bits by the caller.
    #[inline]
    #[allow(clippy::cast_possible_truncation)]
    pub(super) const fn new(field: &Field, base: usize) -> Self {
        Self {
            number: field.number,
            start: (base + field.whole.start) as u32,
            value: (base + field.value.start) as u32,
            end: (base + field.value.end) as u32,
        }
    }

    /// All of `bytes` as the value of a field, its tag left out.
    #[allow(clippy::cast_possible_truncation)]
    pub(super) const fn value_only(number: u32, bytes: &[u8]) -> Self {
        Self { number, start: 0, value: 0, end: bytes.len() as u32 }
    }

    /// The value, behind tag and length.
    #[inline]
    pub(super) fn value(self, bytes: &[u8]) -> &[u8] {
        &bytes[self.value as usize..self.end as usize]
    }

    /// Where the value begins.
    #[inline]
    pub(super) const fn base(self) -> usize {
        self.value as usize
    }

    /// Tag, length and value.
    #[inline]
    pub(super) fn whole(self, bytes: &[u8]) -> &[u8] {
        &bytes[self.start as usize..self.end as usize]
    }
}

/// An entry of a map: where its key is, and which records are its fields.
#[derive(Debug, Clone, Copy)]
pub(super) struct MapEntry {
    pub(super) key: Option<Record>,
    pub(super) first: usize,
    pub(super) last: usize,
}

/// Bytes written from the end to the front.
#[derive(Debug, Default)]
pub(super) struct Tail {
    buffer: Vec<u8>,
    at: usize,
}

impl Tail {
    fn prepare(&mut self, bytes: usize) {
        if self.buffer.len() < bytes {
            self.buffer.resize(bytes, 0);
        }
        self.at = self.buffer.len();
    }

    /// Bytes written since [`Tail::mark`] gave `mark`.
    #[inline]
    pub(super) const fn since(&self, mark: usize) -> usize {
        mark - self.at
    }

    /// Takes back what has been written since [`Tail::mark`] gave `mark`.
    pub(super) const fn take_back(&mut self, mark: usize) {
        self.at = mark;
    }

    /// The present place.
    #[inline]
    pub(super) const fn mark(&self) -> usize {
        self.at
    }

    /// What has been written.
    #[inline]
    pub(super) fn written(&self) -> &[u8] {
        &self.buffer[self.at..]
    }

    /// Writes bytes before what has been written. There is room: canonical bytes are at most as many as the
    /// bytes that they were made from.
    #[inline]
    pub(super) fn put(&mut self, bytes: &[u8]) {
        let start = self.at - bytes.len();
        self.buffer[start..self.at].copy_from_slice(bytes);
        self.at = start;
    }

    #[inline]
    pub(super) fn put_byte(&mut self, byte: u8) {
        self.at -= 1;
        self.buffer[self.at] = byte;
    }

    /// Writes a varint in as few bytes as it takes.
    #[inline]
    pub(super) fn put_varint(&mut self, value: u64) {
        if value < 0x80 {
            self.put_byte(value.to_le_bytes()[0]);
        } else {
            self.put_long_varint(value);
        }
    }

    /// Writes the tag of a field of the schema, whose numbers are all below 16.
    #[inline]
    pub(super) fn put_tag(&mut self, number: u32, wire: WireType) {
        let wire = match wire {
            WireType::Varint => 0,
            WireType::Fixed64 => 1,
            WireType::Len => 2,
            WireType::Group => 3,
            WireType::Fixed32 => 5,
        };
        self.put_byte((number << 3).to_le_bytes()[0] | wire);
    }

    /// Writes tag and length before the value of `length` bytes that has just been written.
    #[inline]
    pub(super) fn put_len_head(&mut self, number: u32, length: usize) {
        self.put_varint(length as u64);
        self.put_tag(number, WireType::Len);
    }

    fn put_long_varint(&mut self, mut value: u64) {
        let (mut bytes, mut length) = ([0; 10], 0);
        loop {
            let low = value.to_le_bytes()[0] & 0x7f;
            value >>= 7;
            bytes[length] = if value == 0 { low } else { low | 0x80 };
            length += 1;
            if value == 0 {
                break;
            }
        }
        self.put(&bytes[..length]);
    }
}
