//! What a home says to the one that takes a shard from it: the sessions, each as a record, and the contents that the
//! records name. A content goes once for each attempt, however many sessions have it. Frames of several agents take
//! several streams, so that a session may come before its contents, and the end before either: the count tells.

use super::FRAME_BYTES_MAX;
use crate::core::codec::{ByteReader, Undecodable, put_bytes, put_uid, put_varint};
use crate::core::ownership::{MoveNumber, ShardId};
use crate::ident::InstanceUid;
use crate::opamp::field_set::FieldSet;

/// One frame of an attempt to move a shard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ToNewHome<'a> {
    /// The session of one agent. `None`: it has ended since the attempt began.
    Session(MoveNumber, InstanceUid, Option<MovingSession<'a>>),
    /// A content that sessions of this shard name.
    Content(MoveNumber, ShardId, MovingContent<'a>),
    /// This many sessions were sent.
    End(MoveNumber, ShardId, u64),
}

/// A session on its way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MovingSession<'a> {
    /// A [`SessionRecord`](crate::core::session::SessionRecord)'s bytes.
    pub session: &'a [u8],
    /// A [`HomeRecord`](crate::core::attachment::HomeRecord)'s bytes.
    pub attachment: &'a [u8],
    /// Parts that the server is to get once more, since a home before this one may have told it something else last.
    pub tell_again: FieldSet,
    /// The stored parts of the agent's state.
    pub contents: ContentNames<'a>,
}

/// The name of a content: a hash of its bytes, by the fleet's key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ContentName(pub [u8; ContentName::BYTES]);

impl ContentName {
    /// How long a name is.
    pub const BYTES: usize = 16;
}

/// A content on its way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MovingContent<'a> {
    /// Its name.
    pub name: ContentName,
    /// The part, as the content store has it.
    pub bytes: &'a [u8],
}

/// Which parts of an agent's state are stored, and under which names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ContentNames<'a> {
    parts: FieldSet,
    /// In rising order of the parts' numbers.
    names: &'a [u8],
}

impl<'a> ContentNames<'a> {
    /// Names of `parts`, in rising order of their numbers. `None` if the bytes are not theirs.
    pub const fn new(parts: FieldSet, names: &'a [u8]) -> Option<Self> {
        if names.len() == parts.len() * ContentName::BYTES {
            Some(Self { parts, names })
        } else {
            None
        }
    }

    /// Each part's number with its name, in rising order.
    pub fn iter(&self) -> impl Iterator<Item = (u32, ContentName)> + use<'a> {
        let names = self.names.as_chunks().0;
        self.parts.iter().zip(names.iter().map(|name| ContentName(*name)))
    }
}

pub(super) const SESSION: u8 = 0x41;
pub(super) const CONTENT: u8 = 0x42;
pub(super) const END: u8 = 0x43;

const WHAT: &str = "a frame for a new home";

impl<'a> ToNewHome<'a> {
    /// Whether a frame of an agent's stream is for a new home.
    pub fn is_one(frame: &[u8]) -> bool {
        frame.first().is_some_and(|kind| matches!(*kind, SESSION..=END))
    }

    /// Appends the frame.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let (kind, attempt) = match self {
            Self::Session(attempt, ..) => (SESSION, attempt),
            Self::Content(attempt, ..) => (CONTENT, attempt),
            Self::End(attempt, ..) => (END, attempt),
        };
        out.push(kind);
        put_varint(attempt.0, out);
        match self {
            Self::Session(_, uid, session) => {
                put_uid(*uid, out);
                out.push(u8::from(session.is_some()));
                if let Some(session) = session {
                    session.put(out);
                }
            }
            Self::Content(_, shard, content) => {
                put_varint(u64::from(shard.get()), out);
                out.extend_from_slice(&content.name.0);
                put_bytes(content.bytes, out);
            }
            Self::End(_, shard, count) => {
                put_varint(u64::from(shard.get()), out);
                put_varint(*count, out);
            }
        }
    }

    /// Reads a frame.
    ///
    /// # Errors
    /// Says what the other node got wrong.
    pub fn decode(frame: &'a [u8]) -> Result<Self, Undecodable> {
        let mut reader = ByteReader::new(frame);
        let kind = reader.byte(WHAT)?;
        if !matches!(kind, SESSION..=END) {
            return Err(Undecodable::Unknown(WHAT));
        }
        let attempt = MoveNumber(reader.varint(WHAT)?);
        if kind == SESSION {
            let uid = reader.uid()?;
            let is_there = reader.flag(WHAT)?;
            let session = if is_there { Some(MovingSession::read(&mut reader)?) } else { None };
            return Ok(Self::Session(attempt, uid, session));
        }
        let shard = ShardId::new(reader.small("a shard")?);
        let shard = shard.ok_or(Undecodable::Meaningless("a shard"))?;
        if kind == END {
            return Ok(Self::End(attempt, shard, reader.count(WHAT)?));
        }
        let name = ContentName(reader.array(WHAT)?);
        let bytes = reader.bytes(FRAME_BYTES_MAX, WHAT)?;
        Ok(Self::Content(attempt, shard, MovingContent { name, bytes }))
    }
}

impl<'a> MovingSession<'a> {
    fn put(&self, out: &mut Vec<u8>) {
        put_bytes(self.session, out);
        put_bytes(self.attachment, out);
        put_varint(u64::from(self.tell_again.bits()), out);
        put_varint(u64::from(self.contents.parts.bits()), out);
        out.extend_from_slice(self.contents.names);
    }

    fn read(reader: &mut ByteReader<'a>) -> Result<Self, Undecodable> {
        let session = reader.bytes(FRAME_BYTES_MAX, WHAT)?;
        let attachment = reader.bytes(FRAME_BYTES_MAX, WHAT)?;
        let tell_again = FieldSet::from_bits(reader.small(WHAT)?);
        let parts = FieldSet::from_bits(reader.small(WHAT)?);
        let names = reader.exactly(parts.len() * ContentName::BYTES, WHAT)?;
        let contents =
            ContentNames::new(parts, names).ok_or(Undecodable::Meaningless("names of contents"))?;
        Ok(Self { session, attachment, tell_again, contents })
    }
}
