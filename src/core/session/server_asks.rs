//! R4: what a server asks for is answered from the store, once for each state; the agent is asked for what
//! the store lacks. See `replica` for the diagram.

use super::replica::MapAnswer;
use super::work::Work;
use super::{FullState, Port};
use crate::opamp::server::{REPORT_AVAILABLE_COMPONENTS, REPORT_FULL_STATE, ServerScan};

/// Takes note of what the server asks for. Returns the flags that are hidden from the agent, because the
/// store answers the question, or has answered it.
pub(super) fn note_asks<P: Port>(work: &mut Work<'_, P>, scan: &ServerScan<'_>) -> u64 {
    let asks_for_all = scan.reports_full_state_wanted();
    let asks_for_map = scan.available_components_wanted();
    if work.session.outstanding.unanswered() == 0 {
        work.session.replica.note_content(asks_for_all, asks_for_map);
    }
    let mut answered = 0;
    if asks_for_all {
        answered |= REPORT_FULL_STATE;
        full_state_asked(work);
    }
    if asks_for_map && map_asked(work) {
        answered |= REPORT_AVAILABLE_COMPONENTS;
    }
    answered
}

/// The agent is asked, too, if it may have more to say than it has reported.
fn full_state_asked<P: Port>(work: &mut Work<'_, P>) {
    let session = &mut *work.session;
    let may_have_more =
        !session.questions.said_all() && session.replica.may_lack_parts(session.capabilities);
    session.replica.full_state_asked();
    if may_have_more && session.questions.full_state() == FullState::Reported {
        session.questions.want();
    }
}

/// Returns whether the store answers.
fn map_asked<P: Port>(work: &mut Work<'_, P>) -> bool {
    let now = work.now();
    match work.session.replica.map_asked() {
        MapAnswer::Answered => true,
        MapAnswer::PassedOn => false,
        MapAnswer::Awaited => {
            work.session.cold_mut().map.passed_on(now);
            false
        }
    }
}

/// The agent may have missed the question for its component map: it is asked again, unless the question
/// still waits for it.
pub(super) fn map_question_may_be_lost<P: Port>(work: &mut Work<'_, P>) {
    work.session.replica.map_question_maybe_lost();
    if let Some(cold) = &mut work.session.cold
        && !cold.mailbox.asks_for_map()
    {
        cold.map.maybe_lost();
    }
}
