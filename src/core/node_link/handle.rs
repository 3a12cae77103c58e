//! Names of an agent's connection between two nodes.

use std::cmp::Ordering;

use crate::core::codec::{ByteReader, Undecodable, put_uid, put_varint};
use crate::core::ownership::{Epoch, NodeIncarnation};
use crate::ident::{ConnectionId, InstanceUid};

/// One connection of one agent, in one front's words. A later connection of the same front has a higher number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Handle {
    /// The agent.
    pub uid: InstanceUid,
    /// The front's connection.
    pub connection: ConnectionId,
}

impl Handle {
    pub(super) fn put(self, out: &mut Vec<u8>) {
        put_uid(self.uid, out);
        put_varint(self.connection.0, out);
    }

    pub(super) fn read(reader: &mut ByteReader<'_>) -> Result<Self, Undecodable> {
        let uid = reader.uid()?;
        Ok(Self { uid, connection: ConnectionId(reader.varint("a connection's number")?) })
    }
}

/// What orders the attachments of an agent over all homes. The home gives it at the first attach; the front keeps
/// it when it goes on after a lost link, or at another home.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct AttachmentId {
    /// The home's tenure when it gave the number.
    pub epoch: Epoch,
    /// Grows with each attachment that a home gives in its life.
    pub number: u64,
}

impl AttachmentId {
    const fn key(self) -> (u64, u64, NodeIncarnation) {
        (self.epoch.number, self.number, self.epoch.taker)
    }

    pub(crate) fn put(self, out: &mut Vec<u8>) {
        put_epoch(self.epoch, out);
        put_varint(self.number, out);
    }

    pub(crate) fn read(reader: &mut ByteReader<'_>) -> Result<Self, Undecodable> {
        let epoch = read_epoch(reader)?;
        Ok(Self { epoch, number: reader.varint("an attachment's number")? })
    }
}

impl Ord for AttachmentId {
    /// The later home's is higher; of one home, the later one. Two takers may have used one number, so the taker
    /// decides at last: all nodes must agree.
    fn cmp(&self, other: &Self) -> Ordering {
        self.key().cmp(&other.key())
    }
}

impl PartialOrd for AttachmentId {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

pub(super) fn put_epoch(epoch: Epoch, out: &mut Vec<u8>) {
    put_varint(epoch.number, out);
    out.extend_from_slice(&epoch.taker.get().to_le_bytes());
}

pub(super) fn read_epoch(reader: &mut ByteReader<'_>) -> Result<Epoch, Undecodable> {
    let number = reader.varint("an epoch")?;
    Ok(Epoch { number, taker: read_incarnation(reader)? })
}

pub(super) fn read_incarnation(
    reader: &mut ByteReader<'_>,
) -> Result<NodeIncarnation, Undecodable> {
    const WHAT: &str = "a node's incarnation";
    NodeIncarnation::new(reader.fixed64(WHAT)?).ok_or(Undecodable::Meaningless(WHAT))
}
