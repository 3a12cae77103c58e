//! An agent's report on its way to the server: what of it goes on, whether it may go now, and what is kept
//! of a message that has to wait.

use super::compare::compare;
use super::custom_states::{report_sent, unchanged_custom};
use super::delta::Delta;
use super::former_home::is_held_back;
use super::one_shots::one_shot_fields;
use super::parts::ForwardPlan;
use super::questions::has_all_promised;
use super::reading_less;
use super::work::{Work, part, permit};
use super::{FullState, Note, Port, Presence, Route, Session, ToServer};
use crate::core::pacing::Permit;
use crate::mutation::{Breach, is_on};
use crate::opamp::agent::AgentScan;
use crate::opamp::field_set::{FieldSet, agent_field};

/// What became of a message on its way to the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Forwarding {
    /// It went.
    Sent,
    /// Its session waits for a permit.
    Queued {
        /// The server may yet answer while the agent waits.
        soon: bool,
    },
    /// There was nothing to send.
    Nothing,
    /// Something that is said once found no room to wait. The agent must be told.
    Refused,
}

/// Fields that go with every message.
const ALWAYS: FieldSet = FieldSet::of(&[
    agent_field::INSTANCE_UID,
    agent_field::SEQUENCE_NUM,
    agent_field::CAPABILITIES,
    FieldSet::OTHER,
]);

/// Sends on what the server lacks of a report (R1, R2), or has the session wait for a permit.
pub(super) fn take_report<P: Port>(
    work: &mut Work<'_, P>,
    scan: &AgentScan<'_>,
    route: Option<Route>,
) -> Forwarding {
    let map_asked = work.session.cold.as_ref().is_some_and(|cold| !cold.map.is_closed());
    let delta = compare(&work.session.replica, scan, map_asked, work.port);
    if delta.digests.is_some() {
        work.port.store(scan, delta.to_store());
    }
    let plan = apply(work, scan, &delta, route);
    if plan == ForwardPlan::Nothing {
        work.port.note(Note::ReportSuppressed(scan.bytes.len()));
        return Forwarding::Nothing;
    }
    let forwarding = forward(work, scan, route, plan);
    if forwarding == Forwarding::Sent {
        work.session.replica.report_sent(scan, plan);
    } else if !delta.undigested.is_empty() {
        // Only the agent has it.
        work.session.questions.want();
    }
    forwarding
}

/// Takes what the report changes into the replica. Returns what of the report has to go on.
fn apply<P: Port>(
    work: &mut Work<'_, P>,
    scan: &AgentScan<'_>,
    delta: &Delta,
    route: Option<Route>,
) -> ForwardPlan {
    if let Some(route) = route {
        work.note_route(route);
    }
    let plan = plan(work, scan, delta.changed, route);
    // A server that has lost the agent would take it for all there is.
    let introduces_as_whole = plan != ForwardPlan::Nothing
        && work.session.needs_introduction(route)
        && has_all_promised(work.session.capabilities, scan.present);
    if delta.has_map
        && let Some(cold) = &mut work.session.cold
    {
        cold.map.close();
    }
    work.session.replica.apply(delta, introduces_as_whole);
    plan
}

fn plan<P: Port>(
    work: &Work<'_, P>,
    scan: &AgentScan<'_>,
    changed: FieldSet,
    route: Option<Route>,
) -> ForwardPlan {
    // Where the server may have forgotten the agent and may have not, an announcement asks it first.
    let asks_first = changed.is_empty()
        && !work.session.replica.state().remembered.is_empty()
        && one_shot_fields(scan).is_empty();
    if scan.disconnects()
        || !work.session.outstanding.is_introduced(route) && !asks_first
        || is_on(Breach::R1ForwardsUnchanged)
        || is_on(Breach::R2SendsUnchanged) && !changed.is_empty()
    {
        return match one_shots_known(work, scan, route) {
            FieldSet::EMPTY => ForwardPlan::Whole,
            known => ForwardPlan::Fields(scan.present.minus(known)),
        };
    }
    let said_once = one_shot_fields(scan).minus(one_shots_known(work, scan, route));
    let keep = changed.union(said_once);
    if keep.is_empty() {
        return ForwardPlan::Nothing;
    }
    if scan.present.is_subset(keep.union(ALWAYS)) {
        return ForwardPlan::Whole;
    }
    ForwardPlan::Fields(keep)
}

/// The fields that the session has taken from the same message before: said once more, a one-shot would be obeyed twice.
/// And a custom message that is a state which the server has.
fn one_shots_known<P: Port>(
    work: &Work<'_, P>,
    scan: &AgentScan<'_>,
    route: Option<Route>,
) -> FieldSet {
    if work.repeats { one_shot_fields(scan) } else { unchanged_custom(work, scan, route) }
}

/// Sends a message in this form, if its server has time for it now; else its one-shot fields
/// waits.
pub(super) fn forward<P: Port>(
    work: &mut Work<'_, P>,
    scan: &AgentScan<'_>,
    route: Option<Route>,
    plan: ForwardPlan,
) -> Forwarding {
    if is_on(Breach::DrainDropsGoodbye) && work.moment.drains && scan.disconnects() {
        work.enter(Presence::Gone);
        return Forwarding::Nothing;
    }
    match forward_now(work, scan, route, plan) {
        Forwarding::Sent => {
            if scan.disconnects() {
                part(work);
            }
            report_sent(work, scan, plan);
            work.port.note(Note::ReportForwarded);
            Forwarding::Sent
        }
        _ if !wait_for_permit(work, scan) => Forwarding::Refused,
        waits => waits,
    }
}

fn forward_now<P: Port>(
    work: &mut Work<'_, P>,
    scan: &AgentScan<'_>,
    route: Option<Route>,
    plan: ForwardPlan,
) -> Forwarding {
    let Some(route) = route else { return Forwarding::Queued { soon: false } };
    let has_one_shots = !one_shot_fields(scan).is_empty();
    if work.session.has_one_shots() && (scan.disconnects() || has_one_shots) {
        // One-shot fields keep their order, and a goodbye comes last.
        return Forwarding::Queued { soon: true };
    }
    if !takes_reserved_permit(work, scan)
        && let Permit::Wait { soon } = permit(work, route)
    {
        return Forwarding::Queued { soon };
    }
    work.leave_former_server(route);
    let Session { capabilities, numbers, .. } = &*work.session;
    let (capabilities, number) = (*capabilities, numbers.next());
    match work.send(route, &ToServer::Report { scan, plan, number, capabilities }) {
        Ok(()) => Forwarding::Sent,
        Err(_) => Forwarding::Queued { soon: false },
    }
}

/// Whether a report is the answer to a question for which a permit was reserved. Were it to wait for
/// another, the store might have lost it again.
fn takes_reserved_permit<P: Port>(work: &mut Work<'_, P>, scan: &AgentScan<'_>) -> bool {
    if is_held_back(work.session, work.now()) {
        return false;
    }
    let answers = scan.is_full() && work.session.questions.full_state() == FullState::Reported;
    answers && work.session.permits.take_reserved()
}

/// A message has to wait, and its number stays unused. What it says of the agent's state is in the
/// replica and the store; its one-shot fields wait in order, as far as there is room. `false`: there was none.
fn wait_for_permit<P: Port>(work: &mut Work<'_, P>, scan: &AgentScan<'_>) -> bool {
    if is_on(Breach::R3SkipsNumber) {
        work.session.numbers.use_next();
    }
    let waits =
        work.repeats || one_shot_fields(scan).is_empty() || reading_less::one_waits(work, scan);
    if scan.disconnects() {
        // A permit will say it.
        work.leave();
    }
    waits
}
