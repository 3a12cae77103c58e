//! What goes to a new home of the agent's attachment, beside the session's record.

use std::time::Instant;

use super::{ConnectionAt, GAP_MEMORY, HeldBy, Highest, HomeAttachment, Unwritten};

use crate::core::codec::{ByteReader, Undecodable, put_bytes, put_optional, put_varint};
use crate::core::node_link::{AgentConnection, AttachmentId, FRAME_BYTES_MAX, ForAgentKind};
use crate::core::ownership::NodeIncarnation;
use crate::ident::{ConnectionId, InstanceUid};

/// The format of the bytes.
const FORMAT: u8 = 1;
/// The most messages for one agent that may wait.
const UNWRITTEN_MAX: usize = 1 << 16;

/// The record: which attachment is the highest, how much of it the session has, and what its agent is yet to get.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct HomeRecord {
    highest: Option<(AttachmentId, u64)>,
    missed: bool,
    current: Option<CurrentRecord>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct CurrentRecord {
    front: NodeIncarnation,
    connection: ConnectionId,
    is_http: bool,
    unwritten: Unwritten,
}

impl HomeAttachment {
    /// Writes down what a new home must know.
    pub fn to_record(&self) -> HomeRecord {
        HomeRecord {
            missed: self.missed.is_some(),
            highest: self.highest.map(|highest| (highest.id, highest.had)),
            current: self.current.as_ref().map(|current| CurrentRecord {
                front: current.at.front,
                connection: current.at.connection,
                is_http: current.transport == AgentConnection::PlainHttp,
                unwritten: current.unwritten.clone(),
            }),
        }
    }

    /// Goes on from a record. The front of its connection has yet to name it here.
    pub fn from_record(uid: InstanceUid, record: HomeRecord, now: Instant) -> Self {
        let highest = record.highest.map(|(id, had)| Highest { id, had });
        let current = record.current.zip(highest).map(|(current, highest)| HeldBy {
            id: highest.id,
            at: ConnectionAt { front: current.front, connection: current.connection },
            transport: if current.is_http {
                AgentConnection::PlainHttp
            } else {
                AgentConnection::WebSocket
            },
            had: highest.had,
            told: 0,
            unwritten: current.unwritten,
            reached: false,
            closing: false,
            reply_due: None,
        });
        Self {
            uid,
            current,
            candidate: None,
            highest,
            missed: record.missed.then(|| now + GAP_MEMORY),
            question: 0,
        }
    }
}

impl HomeRecord {
    /// Appends the record's bytes.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.push(FORMAT);
        put_optional(self.highest, out, |(id, had), out| {
            id.put(out);
            put_varint(had, out);
        });
        out.push(u8::from(self.missed));
        put_optional(self.current.as_ref(), out, CurrentRecord::put);
    }

    /// Reads a record. What a later version appends is passed over.
    ///
    /// # Errors
    /// Says what the other node got wrong.
    pub fn decode(bytes: &[u8]) -> Result<Self, Undecodable> {
        const WHAT: &str = "an attachment's record";
        let mut reader = ByteReader::new(bytes);
        if reader.byte(WHAT)? != FORMAT {
            return Err(Undecodable::Unknown(WHAT));
        }
        let highest = reader
            .optional(WHAT, |reader| Ok((AttachmentId::read(reader)?, reader.count(WHAT)?)))?;
        let missed = reader.flag(WHAT)?;
        Ok(Self { highest, missed, current: reader.optional(WHAT, CurrentRecord::read)? })
    }
}

impl CurrentRecord {
    fn put(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.front.get().to_le_bytes());
        put_varint(self.connection.0, out);
        out.push(u8::from(self.is_http));
        put_varint(self.unwritten.last_written(), out);
        put_varint(self.unwritten.credit() as u64, out);
        let messages = self.unwritten.messages();
        put_varint(messages.len() as u64, out);
        for (kind, bytes) in messages {
            out.push(u8::from(kind == ForAgentKind::Unasked));
            put_bytes(bytes, out);
        }
    }

    fn read(reader: &mut ByteReader<'_>) -> Result<Self, Undecodable> {
        const WHAT: &str = "an attachment's record";
        let front = NodeIncarnation::new(reader.fixed64(WHAT)?);
        let front = front.ok_or(Undecodable::Meaningless(WHAT))?;
        let connection = ConnectionId(reader.varint(WHAT)?);
        let is_http = reader.flag(WHAT)?;
        let written = reader.count(WHAT)?;
        let mut unwritten = Unwritten::new(written, reader.small(WHAT)?);
        let count = reader.small::<usize>(WHAT)?;
        if count > UNWRITTEN_MAX {
            return Err(Undecodable::TooLong(WHAT));
        }
        for _ in 0..count {
            let unasked = reader.flag(WHAT)?;
            let kind = if unasked { ForAgentKind::Unasked } else { ForAgentKind::Answer };
            unwritten.restore(kind, reader.bytes(FRAME_BYTES_MAX, WHAT)?);
        }
        Ok(Self { front, connection, is_http, unwritten })
    }
}
