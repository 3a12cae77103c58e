//! What an unchanged agent may cost on a node link when it comes back: 400 bytes, both ways.

use super::super::*;
use super::{UID, epoch};
use crate::ident::{ConnectionId, SequenceNum};
use crate::opamp::field_set::{FieldSet, agent_field};
use crate::opamp::splice::{self, Additions};

/// Bytes of an agent's return that may cross a node link, both ways together.
const RETURN_BYTES_MAX: usize = 400;

fn bytes_of(frames: &[Vec<u8>]) -> usize {
    frames.iter().map(Vec::len).sum()
}

#[test]
fn an_unchanged_agents_return_is_small() {
    // A full report with every part that the schema has, late in the life of two large nodes.
    let handle = Handle { uid: UID.as_ulid(), connection: ConnectionId(1 << 34) };
    let parts = DIGESTED.minus(FieldSet::of(&[FieldSet::OTHER]));
    let digests = vec![0xee; parts.len() * DIGEST_BYTES];
    let head = FieldSet::of(&[agent_field::INSTANCE_UID, agent_field::SEQUENCE_NUM]);
    let report = AgentReport {
        sequence_num: SequenceNum(1 << 20),
        capabilities: 0xffff,
        flags: 0,
        present: parts.union(head).union(FieldSet::of(&[agent_field::CAPABILITIES])),
        heartbeats: None,
        has_map: false,
        digests: PartDigests::new(u64::MAX, parts, &digests),
        gone: FieldSet::EMPTY,
        fields: &[],
    };
    let attach = Attach {
        resumes: None,
        transport: AgentConnection::WebSocket,
        client: 1,
        identity: b"spiffe://example.org/agent",
        forwarded_lately: false,
        next: 1,
        had: 0,
        credit: 1 << 20,
        heartbeats: None,
        first: Some(report),
    };
    let id = AttachmentId { epoch: epoch(1 << 20), number: 1 << 34 };
    let attached = Attached { id, epoch: 1 << 20, had: 1, needs: FieldSet::EMPTY, credit: 1 << 18 };
    // The first reply of a connection greets in the server's name.
    let mut greeting = Vec::new();
    let hello = Additions { capabilities: Some(0xff), ..Additions::default() };
    splice::acknowledge(handle.uid, &hello, &mut greeting);
    let reply = AgentFrame {
        epoch: 1 << 20,
        had: 1,
        number: 1,
        kind: ForAgentKind::Answer,
        bytes: &greeting,
    };
    let mut frames = [(); 4].map(|()| Vec::new());
    ToHome::Attach(handle, attach).encode(&mut frames[0]);
    ToFront::Attached(handle, attached).encode(&mut frames[1]);
    ToFront::AgentFrame(handle, reply).encode(&mut frames[2]);
    ToHome::Written(handle, 1).encode(&mut frames[3]);
    let bytes = bytes_of(&frames);
    assert!(bytes <= RETURN_BYTES_MAX, "{bytes} bytes: {:?}", frames.each_ref().map(Vec::len));
    assert!(bytes > 150, "{bytes} bytes are too few to be true");
}
