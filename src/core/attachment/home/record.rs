//! What goes to a new home of the agent's attachment, beside the session's record.

use std::time::Instant;

use super::{ConnectionAt, GAP_MEMORY, HeldBy, Highest, HomeAttachment, Telling, Unwritten};

use crate::core::codec::{ByteReader, Undecodable, put_bytes, put_optional, put_varint};
use crate::core::node_link::{AgentConnection, AttachmentId, FRAME_BYTES_MAX, ForAgentKind};
use crate::core::ownership::NodeIncarnation;
use crate::ident::{ConnectionId, InstanceUid};

/// The format of the bytes.
const FORMAT: u8 = 1;
/// The most messages for one agent that may wait.
const UNWRITTEN_MAX: usize = 1 << 16;

/// The record: which attachment is the highest, and what its agent is yet to get.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct HomeRecord {
    highest: Option<Highest>,
    missed: bool,
    current: Option<CurrentRecord>,
}

/// The connection is the one of the highest attachment.
#[derive(Debug, Clone, PartialEq, Eq)]
struct CurrentRecord {
    is_http: bool,
    is_unsure: bool,
    unwritten: Unwritten,
}

impl HomeAttachment {
    /// Writes down what a new home must know.
    pub fn to_record(&self, now: Instant) -> HomeRecord {
        let counts = |until: Option<Instant>| until.is_some_and(|until| now < until);
        HomeRecord {
            missed: counts(self.missed)
                || self.requests.as_ref().is_some_and(|requests| requests.is_in_doubt()),
            highest: self.highest,
            current: self.current.as_ref().map(|current| CurrentRecord {
                is_http: current.transport == AgentConnection::PlainHttp,
                is_unsure: counts(current.unsure_until),
                unwritten: current.unwritten.clone(),
            }),
        }
    }

    /// Goes on from a record. The front of its connection has yet to name it here.
    pub fn from_record(uid: InstanceUid, record: HomeRecord, now: Instant) -> Self {
        let highest = record.highest;
        let current = record.current.zip(highest).map(|(current, highest)| HeldBy {
            id: highest.id,
            at: highest.at,
            transport: if current.is_http {
                AgentConnection::PlainHttp
            } else {
                AgentConnection::WebSocket
            },
            had: highest.had,
            telling: Telling::default(),
            unwritten: current.unwritten,
            greeted: None,
            reached: false,
            closing: false,
            reply_due: None,
            asked: None,
            unsure_until: current.is_unsure.then(|| now + GAP_MEMORY),
            missed_before_first: record.missed && current.is_unsure && highest.had == 0,
            under_way: None,
        });
        Self {
            uid,
            current,
            candidate: None,
            highest,
            missed: record.missed.then(|| now + GAP_MEMORY),
            requests: None,
            question: 0,
        }
    }
}

impl HomeRecord {
    /// Appends the record's bytes.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.push(FORMAT);
        put_optional(self.highest.as_ref(), out, Highest::put);
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
        let highest = reader.optional(WHAT, Highest::read)?;
        let missed = reader.flag(WHAT)?;
        Ok(Self { highest, missed, current: reader.optional(WHAT, CurrentRecord::read)? })
    }
}

impl Highest {
    fn put(&self, out: &mut Vec<u8>) {
        self.id.put(out);
        out.extend_from_slice(&self.at.front.get().to_le_bytes());
        put_varint(self.at.connection.0, out);
        put_varint(self.had, out);
        put_varint(self.numbered, out);
    }

    fn read(reader: &mut ByteReader<'_>) -> Result<Self, Undecodable> {
        const WHAT: &str = "an attachment's record";
        let id = AttachmentId::read(reader)?;
        let front = NodeIncarnation::new(reader.fixed64(WHAT)?);
        let front = front.ok_or(Undecodable::Meaningless(WHAT))?;
        let at = ConnectionAt { front, connection: ConnectionId(reader.varint(WHAT)?) };
        Ok(Self { id, at, had: reader.count(WHAT)?, numbered: reader.count(WHAT)? })
    }
}

impl CurrentRecord {
    fn put(&self, out: &mut Vec<u8>) {
        out.push(u8::from(self.is_http));
        out.push(u8::from(self.is_unsure));
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
        let is_http = reader.flag(WHAT)?;
        let is_unsure = reader.flag(WHAT)?;
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
        Ok(Self { is_http, is_unsure, unwritten })
    }
}
