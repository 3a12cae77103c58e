//! The entries for parts that are held back from the server, because it ends the connection on which they come. The
//! session is told nothing of what is cut out of its messages: what it sent counts as sent, as what any server leaves
//! aside does. See `core::suspects`.

use super::server_message::{ForAgent, deliver};
use super::work::Work;
use super::{Moment, Port, Session};
use crate::opamp::field_set::FieldSet;
use crate::opamp::server::ServerScan;

/// A part of the agent's messages is held back: the agent is told so, as if the server had said it. If it waits for a
/// reply, that is it.
pub fn part_held<P: Port>(
    session: &mut Session,
    refusal: &ServerScan<'_>,
    moment: &Moment<'_>,
    port: &mut P,
) {
    let from = session.outstanding.route().or_else(|| port.route());
    let mut work = Work::of(session, moment, port);
    if let Some(from) = from.filter(|_| !work.session.attendance.has_left()) {
        let message = ForAgent { scan: refusal.clone(), stripped: false, from, waited: None };
        deliver(&mut work, &message);
    }
    work.finish();
}

/// These parts were held back, and may go again: the server gets them as they are now.
pub fn part_freed<P: Port>(
    session: &mut Session,
    parts: FieldSet,
    moment: &Moment<'_>,
    port: &mut P,
) {
    session.replica.tell_again(parts);
    Work::of(session, moment, port).finish();
}
