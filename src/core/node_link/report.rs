//! An agent's message between two nodes: its head, digests of the parts of its state, and the fields that travel as
//! bytes. Digests go first; of the parts themselves, only those that the home asks for.

use super::FRAME_BYTES_MAX;
use crate::core::codec::{ByteReader, Undecodable, put_bytes, put_varint};
use crate::ident::SequenceNum;
use crate::opamp::digest::Digest;
use crate::opamp::field_set::{FieldSet, agent_field};

/// The parts that may travel as a digest: all that is state, apart from the capabilities, which are a number.
pub const DIGESTED: FieldSet =
    FieldSet::of(&agent_field::STATE_PARTS).minus(FieldSet::of(&[agent_field::CAPABILITIES]));

/// The length of a digest.
pub const DIGEST_BYTES: usize = 16;

/// Digests of a message's parts, and the key that they were taken with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PartDigests<'a> {
    secret: u64,
    parts: FieldSet,
    /// In rising order of the parts' numbers.
    digests: &'a [u8],
}

impl<'a> PartDigests<'a> {
    /// Digests of `parts`, in rising order of their numbers. `None` if the bytes are not theirs.
    pub const fn new(secret: u64, parts: FieldSet, digests: &'a [u8]) -> Option<Self> {
        if parts.is_subset(DIGESTED) && digests.len() == parts.len() * DIGEST_BYTES {
            Some(Self { secret, parts, digests })
        } else {
            None
        }
    }

    /// The id of the key. A home that has another key cannot compare them.
    pub const fn secret(&self) -> u64 {
        self.secret
    }

    /// Which parts have a digest.
    pub const fn parts(&self) -> FieldSet {
        self.parts
    }

    /// Each part's number with its digest, in rising order.
    pub fn iter(&self) -> impl Iterator<Item = (u32, Digest)> + use<'a> {
        let digests = self.digests.as_chunks().0;
        self.parts.iter().zip(digests.iter().map(|bytes| Digest(*bytes)))
    }

    fn put(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.secret.to_le_bytes());
        put_varint(u64::from(self.parts.bits()), out);
        out.extend_from_slice(self.digests);
    }

    fn read(reader: &mut ByteReader<'a>) -> Result<Self, Undecodable> {
        const WHAT: &str = "digests";
        let secret = reader.fixed64(WHAT)?;
        let parts = FieldSet::from_bits(reader.small(WHAT)?);
        let digests = reader.exactly(parts.len() * DIGEST_BYTES, WHAT)?;
        Self::new(secret, parts, digests).ok_or(Undecodable::Meaningless(WHAT))
    }
}

/// See the module's text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AgentReport<'a> {
    /// The agent's number.
    pub sequence_num: SequenceNum,
    /// `AgentToServer.capabilities`.
    pub capabilities: u64,
    /// `AgentToServer.flags`.
    pub flags: u64,
    /// The fields that the agent's message had.
    pub present: FieldSet,
    /// The number of the last heartbeat that the front has answered before this message and that the home may not
    /// have been told of. All numbers from the message before up to it were heartbeats.
    pub heartbeats: Option<SequenceNum>,
    /// The message has the component map itself beside its hash, of which alone the digest is
    /// ("AvailableComponents Message").
    pub has_map: bool,
    /// Digests of parts.
    pub digests: Option<PartDigests<'a>>,
    /// Parts whose bytes the front had to give up: their content is unknown, and the agent must be asked.
    pub gone: FieldSet,
    /// Encoded fields of the agent's message: all that are no state, and the parts that travel as bytes.
    pub fields: &'a [u8],
}

const HAS_FLAGS: u8 = 1;
const HAS_HEARTBEATS: u8 = 1 << 1;
const HAS_DIGESTS: u8 = 1 << 2;
const HAS_GONE: u8 = 1 << 3;
const HAS_FIELDS: u8 = 1 << 4;
const HAS_MAP: u8 = 1 << 5;

impl<'a> AgentReport<'a> {
    fn head(&self) -> u8 {
        let bit = |set: bool, bit: u8| if set { bit } else { 0 };
        bit(self.flags != 0, HAS_FLAGS)
            | bit(self.heartbeats.is_some(), HAS_HEARTBEATS)
            | bit(self.digests.is_some(), HAS_DIGESTS)
            | bit(!self.gone.is_empty(), HAS_GONE)
            | bit(!self.fields.is_empty(), HAS_FIELDS)
            | bit(self.has_map, HAS_MAP)
    }

    pub(super) fn put(&self, out: &mut Vec<u8>) {
        out.push(self.head());
        put_varint(self.sequence_num.0, out);
        put_varint(self.capabilities, out);
        put_varint(u64::from(self.present.bits()), out);
        if self.flags != 0 {
            put_varint(self.flags, out);
        }
        if let Some(heartbeats) = self.heartbeats {
            put_varint(heartbeats.0, out);
        }
        if let Some(digests) = self.digests {
            digests.put(out);
        }
        if !self.gone.is_empty() {
            put_varint(u64::from(self.gone.bits()), out);
        }
        if !self.fields.is_empty() {
            put_bytes(self.fields, out);
        }
    }

    pub(super) fn read(reader: &mut ByteReader<'a>) -> Result<Self, Undecodable> {
        const WHAT: &str = "an agent's message";
        let head = reader.byte(WHAT)?;
        if head >= HAS_MAP << 1 {
            return Err(Undecodable::Unknown(WHAT));
        }
        let has = |bit: u8| head & bit != 0;
        let sequence_num = reader.sequence_num()?;
        let capabilities = reader.varint(WHAT)?;
        let present = FieldSet::from_bits(reader.small(WHAT)?);
        let flags = if has(HAS_FLAGS) { reader.varint(WHAT)? } else { 0 };
        let heartbeats = if has(HAS_HEARTBEATS) { Some(reader.sequence_num()?) } else { None };
        let digests = if has(HAS_DIGESTS) { Some(PartDigests::read(reader)?) } else { None };
        let gone = if has(HAS_GONE) { reader.small(WHAT)? } else { 0 };
        let fields = if has(HAS_FIELDS) { reader.bytes(FRAME_BYTES_MAX, WHAT)? } else { &[] };
        let (gone, has_map) = (FieldSet::from_bits(gone), has(HAS_MAP));
        Ok(Self {
            sequence_num,
            capabilities,
            flags,
            present,
            heartbeats,
            has_map,
            digests,
            gone,
            fields,
        })
    }
}
