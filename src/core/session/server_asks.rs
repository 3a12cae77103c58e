//! R4: what a server asks for is answered from the store, once for each state; the agent is asked for what
//! the store lacks, and now and then for what it has not reported. See `replica` for the diagram.

use std::time::{Duration, Instant};

use super::replica::MapAnswer;
use super::work::Work;
use super::{FullState, Port};
use crate::opamp::server::{REPORT_AVAILABLE_COMPONENTS, REPORT_FULL_STATE, ServerScan};

/// One agent is asked on behalf of servers that were content no sooner than this after the last time.
const PASSED_ON_EVERY: Duration = Duration::from_secs(300);

/// Takes note of what the server asks for. Returns the flags that are hidden from the agent, because the
/// store answers the question, or has answered it.
pub(super) fn note_asks<P: Port>(work: &mut Work<'_, P>, scan: &ServerScan<'_>) -> u64 {
    let asks_for_all = scan.reports_full_state_wanted();
    let asks_for_map = scan.available_components_wanted();
    let all_answered = work.session.outstanding.unanswered() == 0;
    let was_content = all_answered && work.session.replica.is_content();
    if all_answered {
        work.session.replica.note_content(asks_for_all, asks_for_map);
    }
    let mut answered = 0;
    if asks_for_all {
        answered |= REPORT_FULL_STATE;
        full_state_asked(work);
        if was_content {
            pass_on(work);
        }
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

/// A question of a server that knew the agent goes on to the agent: it may have changed without a report, and only it
/// knows. Once in a while, so that a server which asks again and again gets its answers from the store, and not in
/// a storm.
fn pass_on<P: Port>(work: &mut Work<'_, P>) {
    let now = work.now();
    let session = &*work.session;
    let passed_on = session.cold.as_ref().and_then(|cold| cold.question_passed_on);
    let is_asked = session.questions.full_state() != FullState::Reported;
    if is_asked
        || !session.attendance.is_there()
        || passed_on.is_some_and(|at| !may_pass_on(at, now))
        || !work.port.passes_question()
    {
        return;
    }
    work.session.cold_mut().question_passed_on = Some(now);
    work.session.questions.want();
}

/// Whether a question may go on to an agent to which the last one went then.
pub(super) fn may_pass_on(at: Instant, now: Instant) -> bool {
    now.saturating_duration_since(at) >= PASSED_ON_EVERY
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
