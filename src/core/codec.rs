//! Plain values as bytes, for what goes from node to node: varints, lengths that have a bound, uids. What the values
//! mean is left to the messages and records that are made of them.
//!
//! Reading borrows from the bytes. It accepts any bytes without a panic, and reads no further than they go.

use crate::ident::{InstanceUid, SequenceNum};

/// Why bytes of another node could not be read. The other node's fault: its software, or damaged memory. Sending
/// them again does not help.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Undecodable {
    /// The bytes end before the value does.
    #[error("the other node sent bytes that end within {0}")]
    Truncated(&'static str),
    /// More than there may be.
    #[error("the other node sent {0} that is longer than it may be")]
    TooLong(&'static str),
    /// A value that has no meaning.
    #[error("the other node sent {0} with a value that has no meaning")]
    Meaningless(&'static str),
    /// A format or kind that this version does not know.
    #[error("the other node sent {0} of a kind or format that this version does not know")]
    Unknown(&'static str),
}

/// The longest varint, in bytes.
const VARINT_BYTES_MAX: usize = 10;

/// The highest number of a message.
pub const COUNT_MAX: u64 = 1 << 62;

/// Reads values one after the other.
#[derive(Debug, Clone, Copy)]
pub struct ByteReader<'a> {
    rest: &'a [u8],
}

impl<'a> ByteReader<'a> {
    /// From the first byte on.
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// What has yet to be read.
    pub const fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// This many bytes.
    ///
    /// # Errors
    /// If the bytes end.
    pub fn exactly(&mut self, count: usize, what: &'static str) -> Result<&'a [u8], Undecodable> {
        let (taken, rest) =
            self.rest.split_at_checked(count).ok_or(Undecodable::Truncated(what))?;
        self.rest = rest;
        Ok(taken)
    }

    /// A fixed number of bytes.
    ///
    /// # Errors
    /// If the bytes end.
    pub fn array<const N: usize>(&mut self, what: &'static str) -> Result<[u8; N], Undecodable> {
        let (taken, rest) = self.rest.split_first_chunk().ok_or(Undecodable::Truncated(what))?;
        self.rest = rest;
        Ok(*taken)
    }

    /// One byte.
    ///
    /// # Errors
    /// If the bytes end.
    pub fn byte(&mut self, what: &'static str) -> Result<u8, Undecodable> {
        let [byte] = self.array(what)?;
        Ok(byte)
    }

    /// A byte that is 0 or 1.
    ///
    /// # Errors
    /// If the bytes end, or the byte is another.
    pub fn flag(&mut self, what: &'static str) -> Result<bool, Undecodable> {
        match self.byte(what)? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(Undecodable::Meaningless(what)),
        }
    }

    /// Eight bytes, little-endian.
    ///
    /// # Errors
    /// If the bytes end.
    pub fn fixed64(&mut self, what: &'static str) -> Result<u64, Undecodable> {
        self.array(what).map(u64::from_le_bytes)
    }

    /// A varint of at most 64 bits.
    ///
    /// # Errors
    /// If the bytes end within it, or it holds more bits.
    pub fn varint(&mut self, what: &'static str) -> Result<u64, Undecodable> {
        let mut value = 0_u64;
        for place in 0..VARINT_BYTES_MAX {
            let byte = self.byte(what)?;
            let bits = u64::from(byte & 0x7f);
            if place == VARINT_BYTES_MAX - 1 && byte > 1 {
                break;
            }
            value |= bits << (7 * place);
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(Undecodable::Meaningless(what))
    }

    /// A varint that fits a smaller type.
    ///
    /// # Errors
    /// As [`ByteReader::varint`], and if it does not fit.
    pub fn small<T: TryFrom<u64>>(&mut self, what: &'static str) -> Result<T, Undecodable> {
        T::try_from(self.varint(what)?).map_err(|_| Undecodable::Meaningless(what))
    }

    /// A number that counts messages. No node counts as far as [`COUNT_MAX`], so that one more always fits.
    ///
    /// # Errors
    /// Those of a varint, and if it is higher.
    pub fn count(&mut self, what: &'static str) -> Result<u64, Undecodable> {
        let count = self.varint(what)?;
        if count <= COUNT_MAX { Ok(count) } else { Err(Undecodable::Meaningless(what)) }
    }

    /// Bytes with their length before them, `max` at most.
    ///
    /// # Errors
    /// If the bytes end, or there are more than `max`.
    pub fn bytes(&mut self, max: usize, what: &'static str) -> Result<&'a [u8], Undecodable> {
        let length = self.small::<usize>(what).map_err(|error| match error {
            Undecodable::Meaningless(what) => Undecodable::TooLong(what),
            other => other,
        })?;
        if length > max {
            return Err(Undecodable::TooLong(what));
        }
        self.exactly(length, what)
    }

    /// A value that may be absent, behind a byte that says whether it is there.
    ///
    /// # Errors
    /// Those of the byte and of the value.
    pub fn optional<T>(
        &mut self,
        what: &'static str,
        read: impl FnOnce(&mut Self) -> Result<T, Undecodable>,
    ) -> Result<Option<T>, Undecodable> {
        if self.flag(what)? { read(self).map(Some) } else { Ok(None) }
    }

    /// An instance uid in its form.
    ///
    /// # Errors
    /// If the bytes end, or the form is unknown.
    pub fn uid(&mut self) -> Result<InstanceUid, Undecodable> {
        const WHAT: &str = "an instance uid";
        let is_ulid = self.flag(WHAT)?;
        let uid = InstanceUid::from_bytes(self.array(WHAT)?);
        Ok(if is_ulid { uid.as_ulid() } else { uid })
    }

    /// A sequence number.
    ///
    /// # Errors
    /// Those of a varint.
    pub fn sequence_num(&mut self) -> Result<SequenceNum, Undecodable> {
        self.varint("a sequence number").map(SequenceNum)
    }
}

/// Appends a varint.
pub fn put_varint(mut value: u64, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push(value.to_le_bytes()[0] | 0x80);
        value >>= 7;
    }
    out.push(value.to_le_bytes()[0]);
}

/// Appends bytes behind their length.
pub fn put_bytes(bytes: &[u8], out: &mut Vec<u8>) {
    put_varint(bytes.len() as u64, out);
    out.extend_from_slice(bytes);
}

/// Appends an instance uid in its form.
pub fn put_uid(uid: InstanceUid, out: &mut Vec<u8>) {
    out.push(u8::from(uid.is_ulid()));
    out.extend_from_slice(uid.as_bytes());
}

/// Appends a value that may be absent.
pub fn put_optional<T>(value: Option<T>, out: &mut Vec<u8>, put: impl FnOnce(T, &mut Vec<u8>)) {
    out.push(u8::from(value.is_some()));
    if let Some(value) = value {
        put(value, out);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn values_read_back(number in any::<u64>(), bytes in any::<[u8; 16]>(), ulid in any::<bool>()) {
            let uid = InstanceUid::from_bytes(bytes);
            let uid = if ulid { uid.as_ulid() } else { uid };
            let mut out = Vec::new();
            put_varint(number, &mut out);
            put_uid(uid, &mut out);
            put_bytes(&bytes, &mut out);
            put_optional(ulid.then_some(number), &mut out, put_varint);
            let mut reader = ByteReader::new(&out);
            prop_assert_eq!(reader.varint("n"), Ok(number));
            prop_assert_eq!(reader.uid(), Ok(uid));
            prop_assert_eq!(reader.bytes(16, "b"), Ok(&bytes[..]));
            prop_assert_eq!(reader.optional("o", |r| r.varint("n")), Ok(ulid.then_some(number)));
            prop_assert!(reader.rest().is_empty());
        }
    }

    #[test]
    fn what_is_wrong_is_named() {
        let read = |bytes: &'static [u8]| ByteReader::new(bytes);
        assert_eq!(read(&[0x80]).varint("n"), Err(Undecodable::Truncated("n")));
        assert_eq!(read(&[0xff; 11]).varint("n"), Err(Undecodable::Meaningless("n")));
        let highest = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1];
        assert_eq!(ByteReader::new(&highest).varint("n"), Ok(u64::MAX));
        assert_eq!(read(&[0xac, 0x02]).small::<u8>("n"), Err(Undecodable::Meaningless("n")));
        assert_eq!(read(&[3, 1, 2]).bytes(9, "b"), Err(Undecodable::Truncated("b")));
        assert_eq!(read(&[3, 1, 2, 3]).bytes(2, "b"), Err(Undecodable::TooLong("b")));
        assert_eq!(read(&[0xff; 10]).bytes(2, "b"), Err(Undecodable::TooLong("b")));
        assert_eq!(read(&[2]).flag("f"), Err(Undecodable::Meaningless("f")));
    }
}
