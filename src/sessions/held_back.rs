//! What follows for a session from what `upstream` has found out about its messages. Each is one call of one session's
//! entry.

use super::Sessions;
use super::homes::{may_speak, takes_answers};
use crate::core::session::{part_freed, part_held};
use crate::ident::InstanceUid;
use crate::opamp::field_set::FieldSet;
use crate::opamp::server::ServerScan;

/// A part of the agent's messages is held back: the agent, if it can be told here, is told by `refusal`.
pub fn tell_agent(sessions: &Sessions, uid: InstanceUid, refusal: &ServerScan<'_>) {
    sessions.with(uid, |session, moment, port| {
        if takes_answers(sessions, uid) {
            part_held(session, refusal, moment, port);
        }
    });
}

/// These parts were held back, and may go to the server again.
pub fn tell_server_again(sessions: &Sessions, uid: InstanceUid, parts: FieldSet) {
    sessions.with(uid, |session, moment, port| {
        if may_speak(sessions, uid) {
            part_freed(session, parts, moment, port);
        }
    });
}
