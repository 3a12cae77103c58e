//! What a shard's former home says to its present one: what still comes on the former home's links to servers, and
//! when those end. See [`crate::core::session::Memory`] for what rests on them. And what the present home answers: that
//! it has taken a message.

use super::FRAME_BYTES_MAX;
use super::handle::read_incarnation;
use crate::core::codec::{ByteReader, Undecodable, put_bytes, put_uid, put_varint};
use crate::core::ownership::NodeIncarnation;
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
    /// The answer to a message that has a name: the agent's session has it, or nothing needs it any more.
    WordTaken(WordTaken),
}

/// The name of a message that is passed on: the same however often it is sent, and whichever node passes it further.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct WordName {
    /// The node that had it of its server.
    pub origin: NodeIncarnation,
    /// That node's number for it.
    pub number: u64,
}

/// A message's name, and which others are done with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NamedWord {
    /// The name.
    pub name: WordName,
    /// All messages of the origin with lower numbers are taken or given up: none of them is sent any more.
    pub settled: u64,
}

/// A message that has found its agent's session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WordTaken {
    /// The agent.
    pub uid: InstanceUid,
    /// Which one.
    pub name: WordName,
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
    /// From format 2 on, at the frame's end. `None`: the sender neither waits for an answer nor sends it twice.
    pub word: Option<NamedWord>,
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
pub(super) const WORD_TAKEN: u8 = 0x63;
const WHAT: &str = "a frame of a former home";

impl<'a> ToNext<'a> {
    /// Whether a frame of an agent's stream is a former home's.
    pub fn is_one(frame: &[u8]) -> bool {
        frame.first().is_some_and(|kind| matches!(*kind, SERVER_SAID..=WORD_TAKEN))
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
                if let Some(NamedWord { name, settled }) = said.word {
                    put_name(name, out);
                    put_varint(settled, out);
                }
            }
            Self::WordTaken(WordTaken { uid, name }) => {
                out.push(WORD_TAKEN);
                put_uid(*uid, out);
                put_name(*name, out);
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
                word: read_word(&mut reader)?,
            }),
            WORD_TAKEN => {
                Self::WordTaken(WordTaken { uid: reader.uid()?, name: read_name(&mut reader)? })
            }
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

fn put_name(name: WordName, out: &mut Vec<u8>) {
    out.extend_from_slice(&name.origin.get().to_le_bytes());
    put_varint(name.number, out);
}

fn read_name(reader: &mut ByteReader<'_>) -> Result<WordName, Undecodable> {
    let origin = read_incarnation(reader)?;
    Ok(WordName { origin, number: reader.varint(WHAT)? })
}

/// A frame of format 1 ends before it.
fn read_word(reader: &mut ByteReader<'_>) -> Result<Option<NamedWord>, Undecodable> {
    if reader.rest().is_empty() {
        return Ok(None);
    }
    let name = read_name(reader)?;
    Ok(Some(NamedWord { name, settled: reader.varint(WHAT)? }))
}
