//! The top level of a protobuf message: which field stands where. Their contents stay undecoded.
//!
//! Accepts exactly what prost accepts at one level (fuzzed against it). A group, which OpAMP has always done without, is
//! one field, from its first tag to its last. Must not know OpAMP.

use std::ops::Range;

/// How a field's value is laid out (protobuf encoding guide, "Message Structure").
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum WireType {
    /// A variable-length integer of at most ten bytes.
    Varint,
    /// Eight bytes, little-endian.
    Fixed64,
    /// A varint length and that many bytes: strings, bytes, messages.
    Len,
    /// Four bytes, little-endian.
    Fixed32,
    /// Fields between two tags. Deprecated, and taken all the same, as by every decoder.
    Group,
}

/// How deep groups may nest; most decoders give up there.
const GROUP_DEPTH_MAX: usize = 100;

/// One field of a message, as offsets into the scanned bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Field {
    /// The field number, 1 to 2^29-1.
    pub number: u32,
    /// How the value is laid out.
    pub wire: WireType,
    /// Tag, length and value: the range to copy when the field travels on.
    pub whole: Range<usize>,
    /// The value alone; for [`WireType::Len`] it begins behind the length, for [`WireType::Group`] it ends behind the tag
    /// that ends the group.
    pub value: Range<usize>,
    varint: u64,
}

impl Field {
    /// The value of a [`WireType::Varint`] field; 0 for the others.
    pub const fn varint(&self) -> u64 {
        self.varint
    }

    /// Checks that a field of the schema is laid out as the schema says.
    ///
    /// # Errors
    /// [`ScanError::Mismatch`] if it is laid out otherwise. The sender's fault; retrying does not help.
    #[inline]
    pub fn expect(&self, wire: WireType) -> Result<(), ScanError> {
        if self.wire == wire {
            return Ok(());
        }
        Err(ScanError::Mismatch { number: self.number, offset: self.whole.start })
    }
}

/// What is malformed in a protobuf message. Always the sender's fault; retrying does not help.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ScanError {
    /// A value announces more bytes than the message has, or the message ends within a varint.
    #[error("the message ends within the field at byte {offset}")]
    Truncated {
        /// Where the unfinished item begins, in bytes from the start.
        offset: usize,
    },
    /// A varint of more than ten bytes, or of more than 64 bits.
    #[error("the varint at byte {offset} does not fit 64 bits")]
    Varint {
        /// Where the varint begins.
        offset: usize,
    },
    /// A field number outside protobuf's range.
    #[error("the tag at byte {offset} has a field number outside 1 to 2^29-1")]
    FieldNumber {
        /// Where the tag begins.
        offset: usize,
    },
    /// A tag that ends a group, and another group or none is open.
    #[error("the tag at byte {offset} ends a group that is not open")]
    GroupEnd {
        /// Where the tag begins.
        offset: usize,
    },
    /// Groups in groups, deeper than decoders go.
    #[error("in the field at byte {offset} groups nest deeper than {GROUP_DEPTH_MAX}")]
    GroupDepth {
        /// Where the outermost group begins.
        offset: usize,
    },
    /// Wire type 6 or 7, which protobuf leaves undefined.
    #[error("the tag at byte {offset} has the unknown wire type {wire}")]
    WireType {
        /// Where the tag begins.
        offset: usize,
        /// The wire type found.
        wire: u8,
    },
    /// A field of the schema with another wire type than the schema's.
    #[error("field {number} at byte {offset} has the wrong wire type")]
    Mismatch {
        /// The field number.
        number: u32,
        /// Where the tag begins.
        offset: usize,
    },
}

/// The fields of a message in the order in which they stand; see [`fields`].
#[derive(Debug, Clone)]
pub struct Fields<'a> {
    bytes: &'a [u8],
    at: usize,
}

/// Iterates over the top-level fields of a message. After an error the iterator ends.
pub fn fields(bytes: &[u8]) -> Fields<'_> {
    Fields { bytes, at: 0 }
}

impl Iterator for Fields<'_> {
    type Item = Result<Field, ScanError>;

    // Inlined by force here and below: so a field stays in registers instead of memory, which saves half of
    // the time of a scan.
    #[inline(always)]
    fn next(&mut self) -> Option<Self::Item> {
        if self.at >= self.bytes.len() {
            return None;
        }
        let field = read_field(self.bytes, self.at);
        self.at = field.as_ref().map_or(self.bytes.len(), |field| field.whole.end);
        Some(field)
    }
}

#[inline(always)]
fn read_field(bytes: &[u8], start: usize) -> Result<Field, ScanError> {
    let (key, after_key) = read_varint(bytes, start)?;
    let number = field_number(key, start)?;
    let (wire, value_start, length, varint) = match key & 7 {
        0 => {
            let (value, end) = read_varint(bytes, after_key)?;
            (WireType::Varint, after_key, (end - after_key) as u64, value)
        }
        1 => (WireType::Fixed64, after_key, 8, 0),
        2 => {
            let (length, value_start) = read_varint(bytes, after_key)?;
            (WireType::Len, value_start, length, 0)
        }
        5 => (WireType::Fixed32, after_key, 4, 0),
        3 => {
            let end = group_end(bytes, start)?;
            (WireType::Group, after_key, (end - after_key) as u64, 0)
        }
        4 => return Err(ScanError::GroupEnd { offset: start }),
        wire => return Err(ScanError::WireType { offset: start, wire: wire.to_le_bytes()[0] }),
    };
    let end = usize::try_from(length)
        .ok()
        .filter(|length| *length <= bytes.len() - value_start)
        .map(|length| value_start + length)
        .ok_or(ScanError::Truncated { offset: start })?;
    Ok(Field { number, wire, whole: start..end, value: value_start..end, varint })
}

/// The number in the tag at `offset`: at most 2^29-1 exactly when the key fits 32 bits.
#[inline(always)]
fn field_number(key: u64, offset: usize) -> Result<u32, ScanError> {
    u32::try_from(key >> 3)
        .ok()
        .filter(|number| (1..1 << 29).contains(number))
        .ok_or(ScanError::FieldNumber { offset })
}

/// Where the group that begins at `start` ends. Without recursion and without the heap, however its sender nests it.
#[cold]
#[inline(never)]
fn group_end(bytes: &[u8], start: usize) -> Result<usize, ScanError> {
    let mut open = [0; GROUP_DEPTH_MAX];
    let (mut depth, mut at) = (0, start);
    loop {
        let (key, after_key) = read_varint(bytes, at)?;
        match key & 7 {
            3 => {
                let place = open.get_mut(depth).ok_or(ScanError::GroupDepth { offset: start })?;
                *place = field_number(key, at)?;
                depth += 1;
                at = after_key;
            }
            4 => {
                if field_number(key, at)? != open[depth - 1] {
                    return Err(ScanError::GroupEnd { offset: at });
                }
                depth -= 1;
                at = after_key;
            }
            _ => at = read_field(bytes, at)?.whole.end,
        }
        if depth == 0 {
            return Ok(at);
        }
    }
}

/// The value of a varint that a scan has found, from its bytes alone.
#[inline]
pub(super) fn varint(bytes: &[u8]) -> u64 {
    read_varint(bytes, 0).map_or(0, |(value, _)| value)
}

/// Reads the varint at `start`; returns its value and where it ends.
#[inline(always)]
fn read_varint(bytes: &[u8], start: usize) -> Result<(u64, usize), ScanError> {
    match bytes.get(start..) {
        Some([byte, ..]) if *byte < 0x80 => Ok((u64::from(*byte), start + 1)),
        // Most lengths take two bytes.
        Some([low, high, ..]) if *high < 0x80 => {
            Ok((u64::from(*low & 0x7f) | u64::from(*high) << 7, start + 2))
        }
        Some([_, ..]) => read_long_varint(bytes, start),
        _ => Err(ScanError::Truncated { offset: start }),
    }
}

#[inline(never)]
fn read_long_varint(bytes: &[u8], start: usize) -> Result<(u64, usize), ScanError> {
    let mut value = 0;
    for (index, byte) in bytes[start..].iter().take(10).enumerate() {
        value |= u64::from(byte & 0x7f) << (index * 7);
        if *byte < 0x80 {
            // The tenth byte has room for the 64th bit alone.
            if index == 9 && *byte > 1 {
                return Err(ScanError::Varint { offset: start });
            }
            return Ok((value, start + index + 1));
        }
    }
    if bytes.len() - start < 10 {
        return Err(ScanError::Truncated { offset: start });
    }
    Err(ScanError::Varint { offset: start })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error_of(bytes: &[u8]) -> Option<ScanError> {
        fields(bytes).find_map(Result::err)
    }

    #[test]
    fn every_wire_type_is_found_where_it_stands() {
        let bytes =
            [0x08, 0x96, 0x01, 0x12, 2, b'h', b'i', 0x1d, 1, 2, 3, 4, 0x21, 1, 2, 3, 4, 5, 6, 7, 8];
        let found: Vec<Field> = fields(&bytes).map(Result::unwrap).collect();
        let seen: Vec<_> = found.iter().map(|f| (f.number, f.wire, f.value.clone())).collect();
        assert_eq!(
            seen,
            [
                (1, WireType::Varint, 1..3),
                (2, WireType::Len, 5..7),
                (3, WireType::Fixed32, 8..12),
                (4, WireType::Fixed64, 13..21),
            ]
        );
        assert_eq!(found[0].varint(), 150);
        assert_eq!(found[3].whole, 12..21);
    }

    #[test]
    fn each_fault_is_named_with_its_place() {
        assert_eq!(error_of(&[0x12, 5, 1]), Some(ScanError::Truncated { offset: 0 }));
        assert_eq!(error_of(&[0x08, 1, 0x08, 0x80]), Some(ScanError::Truncated { offset: 3 }));
        assert_eq!(error_of(&[0x00]), Some(ScanError::FieldNumber { offset: 0 }));
        assert_eq!(
            error_of(&[0xff, 0xff, 0xff, 0xff, 0x1f, 0]),
            Some(ScanError::FieldNumber { offset: 0 })
        );
        assert_eq!(error_of(&[0x0b]), Some(ScanError::Truncated { offset: 1 }));
        assert_eq!(error_of(&[0x0c]), Some(ScanError::GroupEnd { offset: 0 }));
        assert_eq!(error_of(&[0x0b, 0x08, 1, 0x14]), Some(ScanError::GroupEnd { offset: 3 }));
        assert_eq!(error_of(&[0x0b, 0x13, 0x0c]), Some(ScanError::GroupEnd { offset: 2 }));
        assert_eq!(error_of(&[0x0e]), Some(ScanError::WireType { offset: 0, wire: 6 }));
        let mut long = vec![0x08];
        long.extend([0xff; 9]);
        long.push(2);
        assert_eq!(error_of(&long), Some(ScanError::Varint { offset: 1 }));
        long[10] = 1;
        assert_eq!(fields(&long).next().unwrap().unwrap().varint(), u64::MAX);
    }

    #[test]
    fn after_a_fault_the_iterator_ends() {
        assert_eq!(fields(&[0x0c, 0x08, 1]).count(), 1);
    }

    #[test]
    fn a_group_is_one_field_with_all_that_is_in_it() {
        // Field 2: a group with a number, a text, and a group of the same number. Then field 1.
        let bytes = [0x13, 0x08, 5, 0x12, 1, 0x14, 0x13, 0x14, 0x14, 0x08, 7];
        let found: Vec<Field> = fields(&bytes).map(Result::unwrap).collect();
        assert_eq!((found[0].number, found[0].wire), (2, WireType::Group));
        assert_eq!((found[0].whole.clone(), found[0].value.clone()), (0..9, 1..9));
        assert_eq!((found[1].number, found[1].varint(), found.len()), (1, 7, 2));
    }

    #[test]
    fn groups_nest_as_deep_as_decoders_go() {
        let nested = |depth| [vec![0x0b; depth], vec![0x0c; depth]].concat();
        let deepest = nested(GROUP_DEPTH_MAX);
        assert_eq!(fields(&deepest).map(Result::unwrap).next().unwrap().whole, 0..deepest.len());
        let deeper = error_of(&nested(GROUP_DEPTH_MAX + 1));
        assert_eq!(deeper, Some(ScanError::GroupDepth { offset: 0 }));
        assert_eq!(error_of(&vec![0x0b; 1 << 20]), deeper);
    }

    #[test]
    fn the_largest_length_does_not_overflow() {
        let mut bytes = vec![0x0a];
        bytes.extend([0xff; 9]);
        bytes.push(1);
        assert_eq!(error_of(&bytes), Some(ScanError::Truncated { offset: 0 }));
    }
}
