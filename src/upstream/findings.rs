//! What was found out about messages that end a server's links is told here: to the operator, to the agent, and to the
//! agent's session. Called by the task that watches the server, a few times a second, with no lock held.

use std::sync::Arc;

use super::params::Mode;
use super::transport::Target;
use crate::clock;
use crate::core::suspects::{MessagePart, SuspectFinding};
use crate::ident::InstanceUid;
use crate::opamp::field_set::FieldSet;
use crate::opamp::server::ServerScan;
use crate::opamp::splice;
use crate::sessions::{Sessions, tell_agent, tell_server_again};
use crate::telemetry::events::suspects as events;

/// Findings of one kind that are logged one by one. More at one time are of one cause, and counted.
const TOLD_MAX: usize = 8;

/// Carries out what follows from all that was found.
pub(super) fn carry_out(target: &Target, sessions: &Arc<Sessions>) {
    let (server, now) = (&target.server, clock::now());
    let is_only_way = !matches!(server.params.mode, Mode::Multiplexed { .. });
    let is_quiet = |uid| target.transport.is_quiet(uid);
    let findings = server.suspects.tick(is_only_way, is_quiet, now);
    let (apart, limit) = server.suspects.figures(now);
    events::SuspectsMeasured { apart, limit }.emit(&server.metrics);
    for (place, finding) in findings.into_iter().enumerate() {
        let server_name = server.name();
        match finding {
            SuspectFinding::Held { uid, part, size } => {
                let tell = place < TOLD_MAX;
                events::PartHeld { server: server_name, uid, part, size, tell }
                    .emit(&server.metrics);
                refuse(sessions, uid, &held_back(&part, size));
            }
            SuspectFinding::Denied { uid } => {
                events::AgentDenied { server: server_name, uid }.emit(&server.metrics);
                refuse(sessions, uid, "the server ends each connection on which this agent speaks");
            }
            SuspectFinding::Freed { uid, parts } => {
                events::PartsFreed { server: server_name, uid, parts: parts.len() }.emit();
                let numbers: Vec<u32> = parts.iter().map(|part| part.number).collect();
                tell_server_again(sessions, uid, FieldSet::of(&numbers));
            }
            SuspectFinding::Rejoins { uid } => {
                events::Rejoins { server: server_name, uid }.emit();
                target.transport.rejoin(uid, sessions);
            }
        }
    }
}

fn held_back(part: &MessagePart, size: Option<usize>) -> String {
    let (name, bytes) = (part.name(), part.bytes);
    match size {
        Some(size) => format!(
            "the message is too large for the server, which takes no {size} bytes: {name}, of {bytes} bytes, is held \
             back until it changes"
        ),
        None => format!(
            "the server ends each connection on which {name}, of {bytes} bytes, comes: it is held back until it changes"
        ),
    }
}

/// The agent is told in the server's place (OpAMP specification, "Bad Request").
fn refuse(sessions: &Sessions, uid: InstanceUid, text: &str) {
    let mut refusal = Vec::new();
    splice::bad_request(Some(uid), text, &mut refusal);
    // What has just been built can be read.
    if let Ok(refusal) = ServerScan::parse(&refusal) {
        tell_agent(sessions, uid, &refusal);
    }
}
