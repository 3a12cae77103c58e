//! What a front says to a home.

use super::handle::{AttachmentId, Handle};
use super::report::AgentReport;
use crate::core::codec::{ByteReader, Undecodable, put_bytes, put_optional, put_varint};
use crate::core::ownership::ShardId;
use crate::ident::SequenceNum;

/// The most agents in one batch of heartbeats.
pub const HEARTBEATS_MAX: usize = 256;
/// The longest name of an authenticated identity.
const IDENTITY_BYTES_MAX: usize = 256;

/// One frame. See the parent's table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ToHome<'a> {
    /// The connection speaks for the agent.
    Attach(Handle, Attach<'a>),
    /// The agent said something.
    Message(Handle, Numbered<'a>),
    /// Heartbeats of many agents, [`HEARTBEATS_MAX`] at most.
    Heartbeats(HeartbeatsBatch<'a>),
    /// An answer to `AskOpen`: the connection is open, as far as the front can know.
    Open(Handle),
    /// An answer to `Ping`: the agent has answered it.
    Alive(Handle, u32),
    /// Everything for the agent up to this number is written to it.
    Written(Handle, u64),
    /// The connection is over.
    Detach(Handle, Detach),
    /// The front has named all attachments that it has in this shard.
    AllHere(ShardId),
    /// The agent of a connection that was replaced has answered the Close: it was alive (R10).
    WasAlive(Handle),
    /// The front is about to leave, and holds nothing of any agent.
    FrontLeaves,
}

/// Who attaches, and where both sides stand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attach<'a> {
    /// Set by the home at the first attach.
    pub resumes: Option<AttachmentId>,
    /// How the agent is connected.
    pub transport: AgentConnection,
    /// The kind of client, by the front's table of known ones; 0 is unknown.
    pub client: u8,
    /// The authenticated identity; empty without authentication.
    pub identity: &'a [u8],
    /// The agent's state was sent on in the last minute: a home that took over tells it once more.
    pub forwarded_lately: bool,
    /// The number of the first message that will follow: the home had all before it, or another home had.
    pub next: u64,
    /// Messages for the agent up to this number have come.
    pub had: u64,
    /// How many bytes may wait for the agent.
    pub credit: u32,
    /// Heartbeats that were answered after message `next` - 1, if none follows: see [`AgentReport::heartbeats`].
    pub heartbeats: Option<SequenceNum>,
    /// Message `next`, to spare a round trip. A home that cannot attach the connection yet leaves it aside.
    pub first: Option<AgentReport<'a>>,
}

/// How an agent is connected to its front.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AgentConnection {
    /// A WebSocket.
    WebSocket,
    /// Plain HTTP: the attachment lives for one request.
    PlainHttp,
}

/// A message with its number on its connection, from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Numbered<'a> {
    /// The number.
    pub number: u64,
    /// The message.
    pub report: AgentReport<'a>,
}

/// Heartbeats of many agents, as bytes that were checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HeartbeatsBatch<'a> {
    count: usize,
    entries: &'a [u8],
}

/// What a batch says of one agent. Saying it again, or late, does no harm.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HeartbeatsEntry {
    /// The connection.
    pub handle: Handle,
    /// The heartbeats came after this message.
    pub after: u64,
    /// The number of the last one.
    pub last: SequenceNum,
}

/// The end of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Detach {
    /// Why.
    pub reason: DetachReason,
    /// See [`Attach::heartbeats`].
    pub heartbeats: Option<SequenceNum>,
    /// Something that the agent said, and that the front has acknowledged, is lost with it, or came so late that it
    /// may be old: a gap (R6).
    pub missed: bool,
}

/// Why a connection is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DetachReason {
    /// It is lost, or the front knows nothing of it.
    Lost,
    /// The front drains: the agent comes back elsewhere.
    Drained,
    /// It goes on under another uid.
    Renamed,
    /// A plain-HTTP request has its answer.
    Answered,
    /// The agent has closed it, because a message was too large for it.
    TooLarge,
}

pub(super) const ATTACH: u8 = 1;
pub(super) const MESSAGE: u8 = 2;
pub(super) const HEARTBEATS: u8 = 3;
pub(super) const OPEN: u8 = 4;
pub(super) const ALIVE: u8 = 5;
pub(super) const WRITTEN: u8 = 6;
pub(super) const DETACH: u8 = 7;
pub(super) const ALL_HERE: u8 = 8;
pub(super) const WAS_ALIVE: u8 = 9;
pub(super) const FRONT_LEAVES: u8 = 10;

impl<'a> ToHome<'a> {
    /// Appends the frame.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let head = |kind: u8, handle: &Handle, out: &mut Vec<u8>| {
            out.push(kind);
            handle.put(out);
        };
        match self {
            Self::Attach(handle, attach) => {
                head(ATTACH, handle, out);
                attach.put(out);
            }
            Self::Message(handle, message) => {
                head(MESSAGE, handle, out);
                put_varint(message.number, out);
                message.report.put(out);
            }
            Self::Heartbeats(batch) => {
                out.push(HEARTBEATS);
                put_varint(batch.count as u64, out);
                out.extend_from_slice(batch.entries);
            }
            Self::Open(handle) => head(OPEN, handle, out),
            Self::Alive(handle, question) => {
                head(ALIVE, handle, out);
                put_varint(u64::from(*question), out);
            }
            Self::Written(handle, number) => {
                head(WRITTEN, handle, out);
                put_varint(*number, out);
            }
            Self::Detach(handle, detach) => {
                head(DETACH, handle, out);
                out.push(detach.reason.number());
                out.push(u8::from(detach.missed));
                put_optional(detach.heartbeats, out, |last, out| put_varint(last.0, out));
            }
            Self::AllHere(shard) => {
                out.push(ALL_HERE);
                put_varint(u64::from(shard.get()), out);
            }
            Self::WasAlive(handle) => head(WAS_ALIVE, handle, out),
            Self::FrontLeaves => out.push(FRONT_LEAVES),
        }
    }

    /// Reads a frame.
    ///
    /// # Errors
    /// Says what the other node got wrong.
    pub fn decode(frame: &'a [u8]) -> Result<Self, Undecodable> {
        const WHAT: &str = "a frame for a home";
        let mut reader = ByteReader::new(frame);
        let kind = reader.byte(WHAT)?;
        match kind {
            HEARTBEATS => return HeartbeatsBatch::read(&mut reader).map(Self::Heartbeats),
            ALL_HERE => {
                let shard = ShardId::new(reader.small("a shard")?);
                return shard.map(Self::AllHere).ok_or(Undecodable::Meaningless("a shard"));
            }
            FRONT_LEAVES => return Ok(Self::FrontLeaves),
            ATTACH..ALL_HERE | WAS_ALIVE => {}
            _ => return Err(Undecodable::Unknown(WHAT)),
        }
        let handle = Handle::read(&mut reader)?;
        Ok(match kind {
            ATTACH => Self::Attach(handle, Attach::read(&mut reader)?),
            MESSAGE => {
                let number = reader.count(WHAT)?;
                Self::Message(handle, Numbered { number, report: AgentReport::read(&mut reader)? })
            }
            OPEN => Self::Open(handle),
            ALIVE => Self::Alive(handle, reader.small(WHAT)?),
            WRITTEN => Self::Written(handle, reader.count(WHAT)?),
            WAS_ALIVE => Self::WasAlive(handle),
            _ => {
                let reason = DetachReason::from_number(reader.byte(WHAT)?)?;
                let missed = reader.flag(WHAT)?;
                let heartbeats = reader.optional(WHAT, ByteReader::sequence_num)?;
                Self::Detach(handle, Detach { reason, heartbeats, missed })
            }
        })
    }
}

impl<'a> HeartbeatsBatch<'a> {
    /// Of `count` entries that [`HeartbeatsEntry::put`] has written.
    pub const fn of(count: usize, entries: &'a [u8]) -> Self {
        Self { count, entries }
    }

    /// The entries.
    pub fn iter(&self) -> impl Iterator<Item = HeartbeatsEntry> + use<'a> {
        let mut reader = ByteReader::new(self.entries);
        (0..self.count).map_while(move |_| HeartbeatsEntry::read(&mut reader).ok())
    }

    fn read(reader: &mut ByteReader<'a>) -> Result<Self, Undecodable> {
        const WHAT: &str = "a batch of heartbeats";
        let count = reader.small::<usize>(WHAT)?;
        if count > HEARTBEATS_MAX {
            return Err(Undecodable::TooLong(WHAT));
        }
        let before = reader.rest();
        for _ in 0..count {
            HeartbeatsEntry::read(reader)?;
        }
        let length = before.len() - reader.rest().len();
        Ok(Self { count, entries: &before[..length] })
    }
}

impl HeartbeatsEntry {
    /// Appends the entry, for a [`HeartbeatsBatch`].
    pub fn put(&self, out: &mut Vec<u8>) {
        self.handle.put(out);
        put_varint(self.after, out);
        put_varint(self.last.0, out);
    }

    fn read(reader: &mut ByteReader<'_>) -> Result<Self, Undecodable> {
        let handle = Handle::read(reader)?;
        let after = reader.count("a heartbeat")?;
        Ok(Self { handle, after, last: reader.sequence_num()? })
    }
}

impl<'a> Attach<'a> {
    fn put(&self, out: &mut Vec<u8>) {
        put_optional(self.resumes, out, AttachmentId::put);
        out.push(match self.transport {
            AgentConnection::WebSocket => 0,
            AgentConnection::PlainHttp => 1,
        });
        out.push(self.client);
        put_bytes(self.identity, out);
        out.push(u8::from(self.forwarded_lately));
        put_varint(self.next, out);
        put_varint(self.had, out);
        put_varint(u64::from(self.credit), out);
        put_optional(self.heartbeats, out, |last, out| put_varint(last.0, out));
        put_optional(self.first, out, |first, out| first.put(out));
    }

    fn read(reader: &mut ByteReader<'a>) -> Result<Self, Undecodable> {
        const WHAT: &str = "an attach";
        Ok(Self {
            resumes: reader.optional(WHAT, AttachmentId::read)?,
            transport: match reader.byte(WHAT)? {
                0 => AgentConnection::WebSocket,
                1 => AgentConnection::PlainHttp,
                _ => return Err(Undecodable::Unknown("a transport")),
            },
            client: reader.byte(WHAT)?,
            identity: reader.bytes(IDENTITY_BYTES_MAX, "an identity")?,
            forwarded_lately: reader.flag(WHAT)?,
            next: reader.count(WHAT)?,
            had: reader.count(WHAT)?,
            credit: reader.small(WHAT)?,
            heartbeats: reader.optional(WHAT, ByteReader::sequence_num)?,
            first: reader.optional(WHAT, AgentReport::read)?,
        })
    }
}

impl DetachReason {
    const fn number(self) -> u8 {
        match self {
            Self::Lost => 0,
            Self::Drained => 1,
            Self::Renamed => 2,
            Self::Answered => 3,
            Self::TooLarge => 4,
        }
    }

    const fn from_number(number: u8) -> Result<Self, Undecodable> {
        Ok(match number {
            0 => Self::Lost,
            1 => Self::Drained,
            2 => Self::Renamed,
            3 => Self::Answered,
            4 => Self::TooLarge,
            _ => return Err(Undecodable::Unknown("a reason")),
        })
    }
}
