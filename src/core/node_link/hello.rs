//! The first frame of a link, from each side. Every version must be able to read it.

use super::handle::read_incarnation;
use crate::core::codec::{ByteReader, Undecodable, put_bytes};
use crate::core::ownership::{NodeIncarnation, NodeName};

/// The highest format of frames that this version knows. From 2 on a home says which of the messages it has taken that
/// are passed on to it.
pub const FORMAT: u8 = 2;

/// What the frame begins with: another protocol on the same port is noticed at once.
const MAGIC: [u8; 4] = *b"swnl";

/// See the module's text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hello {
    /// The highest format that the node knows.
    pub format: u8,
    /// The node's present life.
    pub incarnation: NodeIncarnation,
    /// Its name.
    pub name: NodeName,
}

impl Hello {
    /// Appends the frame.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&MAGIC);
        out.push(self.format);
        out.extend_from_slice(&self.incarnation.get().to_le_bytes());
        put_bytes(self.name.as_str().as_bytes(), out);
    }

    /// Reads a frame. What a later version appends is passed over.
    ///
    /// # Errors
    /// Says what the other node got wrong.
    pub fn decode(frame: &[u8]) -> Result<Self, Undecodable> {
        const WHAT: &str = "a hello";
        const NAME: &str = "a node's name";
        let mut reader = ByteReader::new(frame);
        if reader.array(WHAT)? != MAGIC {
            return Err(Undecodable::Unknown(WHAT));
        }
        let format = reader.byte(WHAT)?;
        if format == 0 {
            return Err(Undecodable::Meaningless(WHAT));
        }
        let incarnation = read_incarnation(&mut reader)?;
        let name = reader.bytes(NodeName::BYTES_MAX, NAME)?;
        let name = std::str::from_utf8(name).map_err(|_| Undecodable::Meaningless(NAME))?;
        let name = NodeName::try_new(name).map_err(|_| Undecodable::Meaningless(NAME))?;
        Ok(Self { format, incarnation, name })
    }

    /// The format that both sides speak.
    pub fn common_format(&self, other: &Self) -> u8 {
        self.format.min(other.format)
    }
}
