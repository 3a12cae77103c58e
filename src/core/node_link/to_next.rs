//! What a shard's former home says to its present one: what still comes on the former home's links to servers, and
//! when those end. See [`crate::core::session::Memory`] for what rests on them.

use super::FRAME_BYTES_MAX;
use crate::core::codec::{ByteReader, Undecodable, put_bytes, put_uid, put_varint};
use crate::ident::{Incarnation, InstanceUid, LinkId, ServerId};

/// One frame. It takes the agent's stream, so that it stays behind what the former home said before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ToNext<'a> {
    /// A server said something to an agent that has moved.
    ServerSaid(ServerSaid<'a>),
    /// What the server remembers of this agent rests on the former home no longer: it has said goodbye in the agent's
    /// name, or the agent's own link has ended.
    LetGo(LetGo),
    /// A link has ended that many agents shared. Said again whenever the two nodes have come into reach.
    LinkEnded(LinkEnded),
}

/// A server's message, and where it came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ServerSaid<'a> {
    /// The agent.
    pub uid: InstanceUid,
    /// The link.
    pub link: LinkId,
    /// The link's establishment.
    pub incarnation: Incarnation,
    /// The `ServerToAgent`, without a header.
    pub message: &'a [u8],
}

/// An agent of which the former home knows nothing more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LetGo {
    /// The agent.
    pub uid: InstanceUid,
    /// The server.
    pub server: ServerId,
    /// A message of the server's was lost on its way here.
    pub missed: bool,
}

/// A link that has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LinkEnded {
    /// The link.
    pub link: LinkId,
    /// How many links the former home shares among the server's agents: the link's agents follow from that.
    pub links: u16,
    /// All its establishments up to this one have ended.
    pub up_to: Incarnation,
}

pub(super) const SERVER_SAID: u8 = 0x60;
pub(super) const LET_GO: u8 = 0x61;
pub(super) const LINK_ENDED: u8 = 0x62;
const WHAT: &str = "a frame of a former home";

impl<'a> ToNext<'a> {
    /// Whether a frame of an agent's stream is a former home's.
    pub fn is_one(frame: &[u8]) -> bool {
        frame.first().is_some_and(|kind| matches!(*kind, SERVER_SAID..=LINK_ENDED))
    }

    /// Appends the frame.
    pub fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::ServerSaid(said) => {
                out.push(SERVER_SAID);
                put_uid(said.uid, out);
                put_link(said.link, out);
                put_varint(u64::from(said.incarnation.0), out);
                put_bytes(said.message, out);
            }
            Self::LetGo(LetGo { uid, server, missed }) => {
                out.push(LET_GO);
                put_uid(*uid, out);
                put_varint(u64::from(server.0), out);
                out.push(u8::from(*missed));
            }
            Self::LinkEnded(LinkEnded { link, links, up_to }) => {
                out.push(LINK_ENDED);
                put_link(*link, out);
                put_varint(u64::from(*links), out);
                put_varint(u64::from(up_to.0), out);
            }
        }
    }

    /// Reads a frame.
    ///
    /// # Errors
    /// Says what the other node got wrong.
    pub fn decode(frame: &'a [u8]) -> Result<Self, Undecodable> {
        let mut reader = ByteReader::new(frame);
        Ok(match reader.byte(WHAT)? {
            SERVER_SAID => Self::ServerSaid(ServerSaid {
                uid: reader.uid()?,
                link: read_link(&mut reader)?,
                incarnation: Incarnation(reader.small(WHAT)?),
                message: reader.bytes(FRAME_BYTES_MAX, WHAT)?,
            }),
            LET_GO => Self::LetGo(LetGo {
                uid: reader.uid()?,
                server: ServerId(reader.small(WHAT)?),
                missed: reader.flag(WHAT)?,
            }),
            LINK_ENDED => {
                let link = read_link(&mut reader)?;
                let links = reader.small(WHAT)?;
                Self::LinkEnded(LinkEnded { link, links, up_to: Incarnation(reader.small(WHAT)?) })
            }
            _ => return Err(Undecodable::Unknown(WHAT)),
        })
    }
}

fn put_link(link: LinkId, out: &mut Vec<u8>) {
    put_varint(u64::from(link.server.0), out);
    put_varint(u64::from(link.index), out);
}

fn read_link(reader: &mut ByteReader<'_>) -> Result<LinkId, Undecodable> {
    let server = ServerId(reader.small(WHAT)?);
    Ok(LinkId { server, index: reader.small(WHAT)? })
}
