//! Takes fields off the front of a stored value. Every length is checked before it is used.

use crate::core::ownership::ids::NodeIncarnation;

use super::{FORMAT, VALUE_BYTES_MAX};

/// What is wrong with a stored value: no version of Seawall writes such bytes. The fault of what else writes
/// to the store, under the same prefix; retrying does not help.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ValueFault {
    /// It is longer than any value may be.
    #[error("the value has {0} bytes, which is too long")]
    TooLong(usize),
    /// It ends inside of a field.
    #[error("the value ends too early")]
    Ends,
    /// A field has a value that it cannot have.
    #[error("the value has an impossible {0}")]
    Field(&'static str),
}

/// The bytes that are left.
pub(super) struct ValueReader<'a>(&'a [u8]);

impl<'a> ValueReader<'a> {
    /// A value of the store.
    pub(super) const fn new(bytes: &'a [u8]) -> Result<Self, ValueFault> {
        Self::up_to(bytes, VALUE_BYTES_MAX)
    }

    pub(super) const fn up_to(bytes: &'a [u8], max: usize) -> Result<Self, ValueFault> {
        if bytes.len() > max {
            return Err(ValueFault::TooLong(bytes.len()));
        }
        Ok(Self(bytes))
    }

    pub(super) fn bytes(&mut self, count: usize) -> Result<&'a [u8], ValueFault> {
        let (taken, rest) = self.0.split_at_checked(count).ok_or(ValueFault::Ends)?;
        self.0 = rest;
        Ok(taken)
    }

    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N], ValueFault> {
        let (taken, rest) = self.0.split_first_chunk().ok_or(ValueFault::Ends)?;
        self.0 = rest;
        Ok(*taken)
    }

    /// All that is left, for a value with bounds of its own.
    pub(super) const fn rest(&self) -> &'a [u8] {
        self.0
    }

    pub(super) fn byte(&mut self) -> Result<u8, ValueFault> {
        self.array().map(|[byte]| byte)
    }

    pub(super) fn u32(&mut self) -> Result<u32, ValueFault> {
        self.array().map(u32::from_be_bytes)
    }

    pub(super) fn u64(&mut self) -> Result<u64, ValueFault> {
        self.array().map(u64::from_be_bytes)
    }

    /// A text with its length, one byte, in front.
    pub(super) fn text(&mut self, what: &'static str) -> Result<&'a str, ValueFault> {
        let length = self.byte()?;
        std::str::from_utf8(self.bytes(length.into())?).map_err(|_| ValueFault::Field(what))
    }

    pub(super) fn incarnation(&mut self) -> Result<NodeIncarnation, ValueFault> {
        NodeIncarnation::new(self.u64()?).ok_or(ValueFault::Field("incarnation"))
    }

    /// A value with its length, two bytes, in front.
    pub(super) fn value(&mut self) -> Result<&'a [u8], ValueFault> {
        let length = u16::from_be_bytes(self.array()?);
        self.bytes(length.into())
    }

    pub(super) fn flag(&mut self) -> Result<bool, ValueFault> {
        match self.byte()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(ValueFault::Field("flag")),
        }
    }

    /// A list of at most `max` items with its length in front. Memory follows what is there.
    pub(super) fn list<T>(
        &mut self,
        max: usize,
        mut item: impl FnMut(&mut Self) -> Result<T, ValueFault>,
    ) -> Result<Vec<T>, ValueFault> {
        let count = u16::from_be_bytes(self.array()?);
        if usize::from(count) > max {
            return Err(ValueFault::Field("length"));
        }
        (0..count).map(|_| item(self)).collect()
    }

    /// The format in front, which must be the one that this version knows.
    pub(super) fn own_format(&mut self) -> Result<(), ValueFault> {
        match self.byte()? {
            FORMAT => Ok(()),
            _ => Err(ValueFault::Field("format")),
        }
    }

    /// The format in front. Zero is none, in every version.
    pub(super) fn format(&mut self) -> Result<u8, ValueFault> {
        match self.byte()? {
            0 => Err(ValueFault::Field("format")),
            format => Ok(format),
        }
    }
}
