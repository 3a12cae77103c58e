//! Builds messages out of scanned ones: the ranges that travel, and what is changed or added.
//!
//! Everything appends to a buffer of the caller's; the WebSocket header is the caller's business. A changed
//! scalar is appended behind the old one, because in protobuf the last one wins. Which fields travel, and
//! with which number, is the session's decision. Must not know sessions.

use std::time::Duration;

use super::agent::AgentScan;
use super::field_set::{FieldSet, agent_field, server_field};
use super::fields::fields;
use super::server::ServerScan;
use super::wire::{len_field_bytes, put_len_field, put_len_head, put_varint_field, varint_bytes};
use crate::ident::{InstanceUid, SequenceNum};

/// The most bytes that [`forward`] adds to a message: a tag and a varint.
pub const FORWARD_BYTES_ADDED_MAX: usize = 11;

/// What the gateway tells an agent beside what the server says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Additions<'a> {
    /// Flags to set beside the server's, a bit mask of `ServerToAgentFlags`.
    pub flags: u64,
    /// The server's capabilities, for an agent that is yet to be told.
    pub capabilities: Option<u64>,
    /// The value of the server's `custom_capabilities` field, likewise.
    pub custom_capabilities: Option<&'a [u8]>,
}

impl Additions<'_> {
    /// Appends all of them, to a message that lacks these fields.
    fn put(&self, out: &mut Vec<u8>) {
        if self.flags != 0 {
            put_varint_field(server_field::FLAGS, self.flags, out);
        }
        if let Some(capabilities) = self.capabilities {
            put_varint_field(server_field::CAPABILITIES, capabilities, out);
        }
        if let Some(value) = self.custom_capabilities {
            put_len_field(server_field::CUSTOM_CAPABILITIES, value, out);
        }
    }
}

/// The whole message of an agent, with another sequence number.
pub fn forward(scan: &AgentScan<'_>, seq: SequenceNum, out: &mut Vec<u8>) {
    out.reserve(scan.bytes.len() + FORWARD_BYTES_ADDED_MAX);
    out.extend_from_slice(scan.bytes);
    if seq != scan.sequence_num {
        put_varint_field(agent_field::SEQUENCE_NUM, seq.0, out);
    }
}

/// A message of an agent with only the fields in `keep`, and with uid, capabilities, the given
/// sequence number, and all fields outside the schema.
pub fn forward_fields(scan: &AgentScan<'_>, keep: FieldSet, seq: SequenceNum, out: &mut Vec<u8>) {
    const ALWAYS: FieldSet =
        FieldSet::of(&[agent_field::INSTANCE_UID, agent_field::CAPABILITIES, FieldSet::OTHER]);
    copy_fields(scan, keep.union(ALWAYS), out);
    put_varint_field(agent_field::SEQUENCE_NUM, seq.0, out);
}

/// The uid and the fields in `keep` of an agent's message alone: a message that goes later must leave out
/// what may have changed meanwhile. [`set_sequence_num`] and [`set_capabilities`] make a message of it.
pub fn only_fields(scan: &AgentScan<'_>, keep: FieldSet, out: &mut Vec<u8>) {
    copy_fields(scan, keep.union(FieldSet::of(&[agent_field::INSTANCE_UID])), out);
}

/// The fields in `keep` of an agent's message alone, without uid and number: what travels between nodes beside
/// what stands in a frame's head.
pub fn bare_fields(scan: &AgentScan<'_>, keep: FieldSet, out: &mut Vec<u8>) {
    copy_fields(scan, keep, out);
}

/// Copies fields, apart from the number.
fn copy_fields(scan: &AgentScan<'_>, keep: FieldSet, out: &mut Vec<u8>) {
    let keep = keep.minus(FieldSet::of(&[agent_field::SEQUENCE_NUM]));
    // Neighbours that travel are copied at once. The scan has checked the bytes, so every field is well-formed.
    let mut run = 0..0;
    for field in fields(scan.bytes).map_while(Result::ok) {
        let known = field.number <= agent_field::CONNECTION_SETTINGS_STATUS;
        if !keep.contains(if known { field.number } else { FieldSet::OTHER }) {
            continue;
        }
        if run.end != field.whole.start {
            out.extend_from_slice(&scan.bytes[run]);
            run = field.whole.start..field.whole.start;
        }
        run.end = field.whole.end;
    }
    out.extend_from_slice(&scan.bytes[run]);
}

/// A message that only says that the agent is there, as a heartbeat does.
pub fn announce(uid: InstanceUid, capabilities: u64, seq: SequenceNum, out: &mut Vec<u8>) {
    put_len_field(agent_field::INSTANCE_UID, &uid.to_wire(), out);
    put_varint_field(agent_field::SEQUENCE_NUM, seq.0, out);
    put_varint_field(agent_field::CAPABILITIES, capabilities, out);
}

/// What stands in a frame's head between nodes, as the first fields of a message. [`bare_fields`] is what follows.
pub fn agent_head(uid: InstanceUid, head: &AgentHead, out: &mut Vec<u8>) {
    put_len_field(agent_field::INSTANCE_UID, &uid.to_wire(), out);
    if let Some(number) = head.sequence_num {
        put_varint_field(agent_field::SEQUENCE_NUM, number.0, out);
    }
    if head.capabilities != 0 {
        put_varint_field(agent_field::CAPABILITIES, head.capabilities, out);
    }
    if head.flags != 0 {
        put_varint_field(agent_field::FLAGS, head.flags, out);
    }
}

/// The numbers of an agent's message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AgentHead {
    /// `AgentToServer.sequence_num`, if the message has one.
    pub sequence_num: Option<SequenceNum>,
    /// `AgentToServer.capabilities`; 0 is left out, as it says nothing.
    pub capabilities: u64,
    /// `AgentToServer.flags`.
    pub flags: u64,
}

/// One field of an AgentToServer, from its value.
pub fn field(number: u32, value: &[u8], out: &mut Vec<u8>) {
    put_len_field(number, value, out);
}

/// A last message in an agent's name (OpAMP specification, "AgentDisconnect Message").
pub fn disconnect(uid: InstanceUid, seq: SequenceNum, out: &mut Vec<u8>) {
    put_len_field(agent_field::INSTANCE_UID, &uid.to_wire(), out);
    put_varint_field(agent_field::SEQUENCE_NUM, seq.0, out);
    put_len_field(agent_field::AGENT_DISCONNECT, &[], out);
}

/// A server's whole message, made out to the agent: the uid is added if the server left it out, the
/// flags are joined, capabilities and custom capabilities are added if the message lacks them.
///
/// Returns whether the additions are in it. An error or a command stays as it is: by the specification an
/// error stands alone, and agents ignore what stands beside a command ("ServerToAgent.error_response",
/// "ServerToAgent.command"). The additions then go with another message.
pub fn to_agent(
    scan: &ServerScan<'_>,
    uid: InstanceUid,
    additions: &Additions<'_>,
    out: &mut Vec<u8>,
) -> bool {
    out.extend_from_slice(scan.bytes);
    if scan.uid.is_none() {
        put_len_field(server_field::INSTANCE_UID, &uid.to_wire(), out);
    }
    if scan.error_response.is_some() || scan.command.is_some() {
        return *additions == Additions::default();
    }
    let flags = scan.flags | additions.flags;
    if flags != scan.flags {
        put_varint_field(server_field::FLAGS, flags, out);
    }
    let missing = Additions {
        flags: 0,
        capabilities: additions.capabilities.filter(|_| scan.capabilities.is_none()),
        custom_capabilities: additions
            .custom_capabilities
            .filter(|_| scan.custom_capabilities.is_none()),
    };
    missing.put(out);
    true
}

/// Replaces the flags of the `ServerToAgent` that has just been appended.
pub fn set_flags(flags: u64, out: &mut Vec<u8>) {
    put_varint_field(server_field::FLAGS, flags, out);
}

/// Replaces the number of the `AgentToServer` that has just been appended.
pub fn set_sequence_num(seq: SequenceNum, out: &mut Vec<u8>) {
    put_varint_field(agent_field::SEQUENCE_NUM, seq.0, out);
}

/// Replaces the capabilities of the `AgentToServer` that has just been appended.
pub fn set_capabilities(capabilities: u64, out: &mut Vec<u8>) {
    put_varint_field(agent_field::CAPABILITIES, capabilities, out);
}

/// A reply of the gateway's own that only acknowledges.
pub fn acknowledge(uid: InstanceUid, additions: &Additions<'_>, out: &mut Vec<u8>) {
    put_len_field(server_field::INSTANCE_UID, &uid.to_wire(), out);
    additions.put(out);
}

/// Tells an agent what is wrong with its message (OpAMP specification, "Bad Request").
pub fn bad_request(uid: Option<InstanceUid>, text: &str, out: &mut Vec<u8>) {
    const BAD_REQUEST: u64 = 1;
    put_error(uid, BAD_REQUEST, (text, None), out);
}

/// Tells an agent to come back later (OpAMP specification, "Retrying Messages").
///
/// opamp-go's client ignores it: where that matters, refuse before the upgrade instead.
pub fn unavailable(uid: Option<InstanceUid>, text: &str, retry_after: Duration, out: &mut Vec<u8>) {
    const UNAVAILABLE: u64 = 2;
    put_error(uid, UNAVAILABLE, (text, Some(retry_after)), out);
}

/// Gives an agent another uid (OpAMP specification, "AgentIdentification Message").
pub fn new_instance_uid(
    uid: InstanceUid,
    new: InstanceUid,
    additions: &Additions<'_>,
    out: &mut Vec<u8>,
) {
    const NEW_INSTANCE_UID: u32 = 1;
    let new = new.to_wire();
    put_len_field(server_field::INSTANCE_UID, &uid.to_wire(), out);
    put_len_head(server_field::AGENT_IDENTIFICATION, len_field_bytes(new.len()), out);
    put_len_field(NEW_INSTANCE_UID, &new, out);
    additions.put(out);
}

fn put_error(
    uid: Option<InstanceUid>,
    kind: u64,
    (text, retry_after): (&str, Option<Duration>),
    out: &mut Vec<u8>,
) {
    const TYPE: u32 = 1;
    const ERROR_MESSAGE: u32 = 2;
    const RETRY_INFO: u32 = 3;
    const RETRY_AFTER_NANOSECONDS: u32 = 1;
    if let Some(uid) = uid {
        put_len_field(server_field::INSTANCE_UID, &uid.to_wire(), out);
    }
    let retry = retry_after.map(|wait| u64::try_from(wait.as_nanos()).unwrap_or(u64::MAX));
    let retry_bytes = retry.map(|nanoseconds| 1 + varint_bytes(nanoseconds));
    let bytes = 2 + len_field_bytes(text.len()) + retry_bytes.map_or(0, len_field_bytes);
    put_len_head(server_field::ERROR_RESPONSE, bytes, out);
    put_varint_field(TYPE, kind, out);
    put_len_field(ERROR_MESSAGE, text.as_bytes(), out);
    if let (Some(nanoseconds), Some(bytes)) = (retry, retry_bytes) {
        put_len_head(RETRY_INFO, bytes, out);
        put_varint_field(RETRY_AFTER_NANOSECONDS, nanoseconds, out);
    }
}

#[cfg(test)]
mod tests;
