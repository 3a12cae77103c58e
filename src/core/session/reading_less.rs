//! R6: an agent's messages stay unread while as many of its one-shot messages wait for its server as may. So they are
//! acknowledged once there is room for them, and none is lost. What finds no room all the same is refused, and its
//! agent hears so.

use super::custom_states::supersede;
use super::one_shots::one_shot_fields;
use super::work::Work;
use super::{CustomLoss, Note, Port, Session};
use crate::opamp::agent::AgentScan;

/// What a message says once waits for the server, in place of what it supersedes. `false`: there is no room for it, and
/// it is lost.
pub(super) fn one_waits<P: Port>(work: &mut Work<'_, P>, scan: &AgentScan<'_>) -> bool {
    let held = work.session.cold_mut().one_shots.holds_back();
    supersede(work, scan);
    let bytes_free = work.port.free_bytes().for_servers;
    let one_shots = &mut work.session.cold_mut().one_shots;
    let fits = one_shots.try_push(scan, work.moment.policy, bytes_free);
    // Said once: an agent that is read on because its server takes nothing is read on until its server does.
    let holds_back = one_shots.holds_back();
    if held != holds_back {
        work.port.may_read(!holds_back);
    }
    if !fits {
        work.port.note(Note::CustomDropped(CustomLoss::OverBudget));
    }
    fits
}

/// The first of the messages that wait went. Returns it.
pub(super) fn one_went<P: Port>(work: &mut Work<'_, P>) -> Option<Vec<u8>> {
    let one_shots = &mut work.session.cold_mut().one_shots;
    let held = one_shots.holds_back();
    let message = one_shots.pop(work.moment.policy);
    if held {
        let may_read = !one_shots.holds_back();
        work.port.may_read(may_read);
    }
    message
}

/// Whether an agent that comes by plain HTTP should keep this message: it says something once, and as much of that waits
/// as may.
pub fn keeps_message(session: &Session, scan: &AgentScan<'_>) -> bool {
    let is_full = session.cold.as_ref().is_some_and(|cold| cold.one_shots.holds_back());
    is_full && !one_shot_fields(scan).is_empty()
}
