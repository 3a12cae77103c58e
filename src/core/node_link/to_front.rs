//! What a home says to a front.

use super::FRAME_BYTES_MAX;
use super::handle::{AttachmentId, Handle};
use crate::core::codec::{ByteReader, Undecodable, put_bytes, put_varint};
use crate::core::ownership::MapVersion;
use crate::opamp::field_set::FieldSet;

/// One frame. See the parent's table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ToFront<'a> {
    /// The connection is the session's.
    Attached(Handle, Attached),
    /// The home has the content of all messages up to this one.
    Confirmed(Handle, u64),
    /// The home wants parts of a message.
    Needs(Handle, Needs),
    /// Is the connection open?
    AskOpen(Handle),
    /// Does the agent answer a ping that is sent now? The number comes back with the answer.
    Ping(Handle, u32),
    /// Something for the agent.
    AgentFrame(Handle, AgentFrame<'a>),
    /// The front must close the connection; the home has let it go.
    Close(Handle, CloseOrder),
    /// Another connection's case is open: attach again later.
    Later(Handle),
    /// The agent's shard is another node's, or on its way there; the map has this version.
    NotMine(Handle, MapVersion),
    /// Servers have answered all that the home told them of the messages up to this one: nothing of it is on its way.
    Told(Handle, u64),
}

/// The beginning of an attachment, or its going on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attached {
    /// Its name from now on.
    pub id: AttachmentId,
    /// The number of the home's tenure: bytes of a lower one must be dropped.
    pub epoch: u64,
    /// The home has the content of all messages up to this one.
    pub had: u64,
    /// The parts that it wants of the message after that, which came with the attach.
    pub needs: FieldSet,
    /// How many bytes may be under way unconfirmed. One message is always allowed.
    pub credit: u32,
}

/// The parts of one message that the home wants. It has left that message aside, and all that follow it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Needs {
    /// The message.
    pub number: u64,
    /// The parts.
    pub parts: FieldSet,
}

/// A `ServerToAgent` without a header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AgentFrame<'a> {
    /// The number of the home's tenure.
    pub epoch: u64,
    /// The home has the content of all messages up to this one.
    pub had: u64,
    /// Its number, from 1; 0 for one that says nothing and is not repeated.
    pub number: u64,
    /// What it is.
    pub kind: ForAgentKind,
    /// The message.
    pub bytes: &'a [u8],
}

/// What something for the agent is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ForAgentKind {
    /// The answer to one message.
    Answer,
    /// A message that answers nothing.
    Unasked,
}

/// Why a front must close a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CloseOrder {
    /// A newer connection has the session.
    Replaced,
    /// The agent reads too slowly.
    Overflowed,
    /// The agent said goodbye, or its session is over. What waits is written first.
    Left,
    /// The home stops.
    Stopping,
    /// The agent must go to another node. What waits is written first.
    Draining,
    /// Another live agent has the uid: this one needs another (R10).
    Cloned,
}

pub(super) const ATTACHED: u8 = 0x81;
pub(super) const CONFIRMED: u8 = 0x82;
pub(super) const NEEDS: u8 = 0x83;
pub(super) const ASK_OPEN: u8 = 0x84;
pub(super) const PING: u8 = 0x85;
pub(super) const FOR_AGENT: u8 = 0x86;
pub(super) const CLOSE: u8 = 0x87;
pub(super) const LATER: u8 = 0x88;
pub(super) const NOT_MINE: u8 = 0x89;
pub(super) const TOLD: u8 = 0x8a;

impl<'a> ToFront<'a> {
    /// Whether a frame of an agent's stream is for a front; others are for a home.
    pub fn is_one(frame: &[u8]) -> bool {
        frame.first().is_some_and(|kind| *kind >= ATTACHED)
    }

    /// The connection that it is for.
    pub const fn handle(&self) -> Handle {
        match self {
            Self::Attached(handle, _)
            | Self::Confirmed(handle, _)
            | Self::Needs(handle, _)
            | Self::AskOpen(handle)
            | Self::Ping(handle, _)
            | Self::AgentFrame(handle, _)
            | Self::Close(handle, _)
            | Self::Later(handle)
            | Self::NotMine(handle, _)
            | Self::Told(handle, _) => *handle,
        }
    }

    const fn kind(&self) -> u8 {
        match self {
            Self::Attached(..) => ATTACHED,
            Self::Confirmed(..) => CONFIRMED,
            Self::Needs(..) => NEEDS,
            Self::AskOpen(_) => ASK_OPEN,
            Self::Ping(..) => PING,
            Self::AgentFrame(..) => FOR_AGENT,
            Self::Close(..) => CLOSE,
            Self::Later(_) => LATER,
            Self::NotMine(..) => NOT_MINE,
            Self::Told(..) => TOLD,
        }
    }

    /// Appends the frame.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.push(self.kind());
        self.handle().put(out);
        match self {
            Self::Attached(_, attached) => attached.put(out),
            Self::Confirmed(_, number) | Self::Told(_, number) => put_varint(*number, out),
            Self::Needs(_, needs) => {
                put_varint(needs.number, out);
                put_varint(u64::from(needs.parts.bits()), out);
            }
            Self::AskOpen(_) | Self::Later(_) => {}
            Self::Ping(_, question) => put_varint(u64::from(*question), out),
            Self::AgentFrame(_, message) => message.put(out),
            Self::Close(_, order) => out.push(order.number()),
            Self::NotMine(_, version) => put_varint(version.0, out),
        }
    }

    /// Reads a frame.
    ///
    /// # Errors
    /// Says what the other node got wrong.
    pub fn decode(frame: &'a [u8]) -> Result<Self, Undecodable> {
        const WHAT: &str = "a frame for a front";
        let mut reader = ByteReader::new(frame);
        let kind = reader.byte(WHAT)?;
        if !matches!(kind, ATTACHED..=TOLD) {
            return Err(Undecodable::Unknown(WHAT));
        }
        let handle = Handle::read(&mut reader)?;
        Ok(match kind {
            ATTACHED => Self::Attached(handle, Attached::read(&mut reader)?),
            CONFIRMED => Self::Confirmed(handle, reader.count(WHAT)?),
            NEEDS => {
                let number = reader.count(WHAT)?;
                let parts = FieldSet::from_bits(reader.small(WHAT)?);
                Self::Needs(handle, Needs { number, parts })
            }
            ASK_OPEN => Self::AskOpen(handle),
            PING => Self::Ping(handle, reader.small(WHAT)?),
            FOR_AGENT => Self::AgentFrame(handle, AgentFrame::read(&mut reader)?),
            CLOSE => Self::Close(handle, CloseOrder::from_number(reader.byte(WHAT)?)?),
            LATER => Self::Later(handle),
            NOT_MINE => Self::NotMine(handle, MapVersion(reader.varint(WHAT)?)),
            _ => Self::Told(handle, reader.count(WHAT)?),
        })
    }
}

impl Attached {
    fn put(&self, out: &mut Vec<u8>) {
        self.id.put(out);
        put_varint(self.epoch, out);
        put_varint(self.had, out);
        put_varint(u64::from(self.needs.bits()), out);
        put_varint(u64::from(self.credit), out);
    }

    fn read(reader: &mut ByteReader<'_>) -> Result<Self, Undecodable> {
        const WHAT: &str = "an attached";
        Ok(Self {
            id: AttachmentId::read(reader)?,
            epoch: reader.varint(WHAT)?,
            had: reader.count(WHAT)?,
            needs: FieldSet::from_bits(reader.small(WHAT)?),
            credit: reader.small(WHAT)?,
        })
    }
}

impl<'a> AgentFrame<'a> {
    fn put(&self, out: &mut Vec<u8>) {
        put_varint(self.epoch, out);
        put_varint(self.had, out);
        put_varint(self.number, out);
        out.push(match self.kind {
            ForAgentKind::Answer => 0,
            ForAgentKind::Unasked => 1,
        });
        put_bytes(self.bytes, out);
    }

    fn read(reader: &mut ByteReader<'a>) -> Result<Self, Undecodable> {
        const WHAT: &str = "a message for an agent";
        Ok(Self {
            epoch: reader.varint(WHAT)?,
            had: reader.count(WHAT)?,
            number: reader.count(WHAT)?,
            kind: if reader.flag(WHAT)? { ForAgentKind::Unasked } else { ForAgentKind::Answer },
            bytes: reader.bytes(FRAME_BYTES_MAX, WHAT)?,
        })
    }
}

impl CloseOrder {
    /// Whether the home has let the connection go with this order. Otherwise it waits for the `Detach`.
    pub const fn lets_go(self) -> bool {
        matches!(self, Self::Replaced | Self::Left | Self::Cloned)
    }

    const fn number(self) -> u8 {
        match self {
            Self::Replaced => 0,
            Self::Overflowed => 1,
            Self::Left => 2,
            Self::Stopping => 3,
            Self::Draining => 4,
            Self::Cloned => 5,
        }
    }

    const fn from_number(number: u8) -> Result<Self, Undecodable> {
        Ok(match number {
            0 => Self::Replaced,
            1 => Self::Overflowed,
            2 => Self::Left,
            3 => Self::Stopping,
            4 => Self::Draining,
            5 => Self::Cloned,
            _ => return Err(Undecodable::Unknown("an order to close")),
        })
    }
}
