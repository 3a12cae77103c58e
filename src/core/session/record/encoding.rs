//! A session's record as bytes, for another node. The node that reads them may run another version: the first byte
//! is the format, and what a later version appends is passed over.
//!
//! Moments travel as milliseconds from the moment of writing, since clocks of two nodes have no common zero; the
//! record ages by as much as it is under way. Routes without another node's name are those of the node that wrote it. The raw hash of the last
//! report stays behind: it means something on its own node alone.

mod read;
mod write;

use std::time::Instant;

use super::SessionRecord;
use crate::core::codec::{ByteReader, Undecodable, put_optional, put_uid, put_varint};
use read::RecordReader;
use write::RecordWriter;

const FORMAT: u8 = 1;
const WHAT: &str = "a session's record";
/// The most one-shot messages, and the most messages in a mailbox.
const MESSAGES_MAX: usize = 1 << 16;
/// The most former homes that a record may name, whatever a session of this version keeps.
const FEW_MAX: usize = 64;
/// No moment of a record is farther away than this, in milliseconds: a year.
const AWAY_MAX: u64 = 366 * 24 * 3_600_000;

impl SessionRecord {
    /// Appends the record's bytes.
    pub fn encode(&self, now: Instant, out: &mut Vec<u8>) {
        out.push(FORMAT);
        put_uid(self.uid, out);
        put_varint(self.capabilities, out);
        put_optional(self.agent_number, out, |number, out| put_varint(number.0, out));
        put_varint(self.upstream_number.0, out);
        let mut writer = RecordWriter { now, out };
        writer.presence(self.presence);
        writer.flags([self.drains, self.greeted]);
        writer.outstanding(&self.outstanding);
        writer.replies(&self.replies);
        writer.questions(&self.questions);
        writer.replica(self.replica.as_ref());
        writer.permits(&self.permits);
        writer.mailbox(self.uid, &self.mailbox);
        writer.one_shots(&self.one_shots);
        writer.seldom(&self.seldom);
    }

    /// Reads a record.
    ///
    /// # Errors
    /// Says what the other node got wrong.
    pub fn decode(bytes: &[u8], now: Instant) -> Result<Self, Undecodable> {
        let mut bytes = ByteReader::new(bytes);
        if bytes.byte(WHAT)? != FORMAT {
            return Err(Undecodable::Unknown(WHAT));
        }
        let uid = bytes.uid()?;
        let capabilities = bytes.varint(WHAT)?;
        let agent_number = bytes.optional(WHAT, ByteReader::sequence_num)?;
        let upstream_number = bytes.sequence_num()?;
        let mut reader = RecordReader { now, bytes };
        let presence = reader.presence()?;
        let [drains, greeted] = reader.flags()?;
        Ok(Self {
            uid,
            capabilities,
            presence,
            drains,
            greeted,
            agent_number,
            upstream_number,
            outstanding: reader.outstanding()?,
            replies: reader.replies()?,
            questions: reader.questions()?,
            replica: reader.replica()?,
            permits: reader.permits()?,
            mailbox: reader.mailbox()?,
            one_shots: reader.one_shots()?,
            seldom: reader.seldom()?,
        })
    }
}
