//! Writes protobuf fields at the end of a buffer, as the protobuf encoding guide lays them out. The
//! counterpart of `fields`; it allocates only when the buffer grows. Must not know OpAMP.

/// Appends a varint.
pub(super) fn put_varint(mut value: u64, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push(value.to_le_bytes()[0] | 0x80);
        value >>= 7;
    }
    out.push(value.to_le_bytes()[0]);
}

/// How many bytes a varint takes, 1 to 10.
pub(super) const fn varint_bytes(value: u64) -> usize {
    (((value | 1).ilog2() / 7) + 1) as usize
}

/// Appends a varint field, also when the value is 0: it may have to override an earlier one.
pub(super) fn put_varint_field(number: u32, value: u64, out: &mut Vec<u8>) {
    put_varint(u64::from(number << 3), out);
    put_varint(value, out);
}

/// Appends the tag and length of a field whose `length` bytes of value the caller writes next.
pub(super) fn put_len_head(number: u32, length: usize, out: &mut Vec<u8>) {
    put_varint(u64::from((number << 3) | 2), out);
    put_varint(length as u64, out);
}

/// Appends a field of bytes, a string or a message.
pub(super) fn put_len_field(number: u32, value: &[u8], out: &mut Vec<u8>) {
    put_len_head(number, value.len(), out);
    out.extend_from_slice(value);
}

/// How many bytes a [`put_len_field`] with `length` bytes of value takes, for numbers below 16.
pub(super) const fn len_field_bytes(length: usize) -> usize {
    1 + varint_bytes(length as u64) + length
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_as_written() {
        for value in [0, 1, 127, 128, 16_383, 16_384, u64::MAX >> 1, u64::MAX] {
            let mut out = Vec::new();
            put_varint(value, &mut out);
            assert_eq!(out.len(), varint_bytes(value), "{value}");
        }
        for length in [0, 127, 128, 20_000] {
            let mut out = Vec::new();
            put_len_field(15, &vec![0; length], &mut out);
            assert_eq!(out.len(), len_field_bytes(length));
        }
    }
}
