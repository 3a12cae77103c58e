//! How custom messages that are states pass through a session: see `customs`.

use super::customs::{CustomFields, CustomKind, SentState};
use super::one_shots::one_shot_fields;
use super::parts::ForwardPlan;
use super::work::Work;
use super::{CustomLoss, Note, Port, Route};
use crate::opamp::agent::AgentScan;
use crate::opamp::field_set::{FieldSet, agent_field};

const CUSTOM: FieldSet = FieldSet::of(&[agent_field::CUSTOM_MESSAGE]);

/// The custom message of a message, if it is a state, and what a server needs of it.
fn state_in<'a, P: Port>(
    work: &Work<'_, P>,
    message: &'a [u8],
) -> Option<(CustomFields<'a>, CustomKind)> {
    let custom = CustomFields::of(message)?;
    let capability = std::str::from_utf8(custom.capability).ok()?;
    let kind = work.port.custom_kind(capability);
    (kind != CustomKind::Event).then_some((custom, kind))
}

fn sent_state<P: Port>(work: &Work<'_, P>, custom: &CustomFields<'_>) -> SentState {
    let name = [custom.capability, &[0], custom.r#type].concat();
    SentState { name: work.port.raw_hash(&name), value: work.port.raw_hash(custom.value) }
}

/// The custom message, if the server has it: it stays here.
pub(super) fn unchanged_custom<P: Port>(
    work: &Work<'_, P>,
    scan: &AgentScan<'_>,
    route: Option<Route>,
) -> FieldSet {
    let outstanding = &work.session.outstanding;
    let reaches =
        route.is_some_and(|on| outstanding.is_on_wire(on) && outstanding.is_introduced(route));
    if !reaches || scan.present.intersection(CUSTOM).is_empty() {
        return FieldSet::EMPTY;
    }
    match state_in(work, scan.bytes) {
        Some((custom, CustomKind::Dedup))
            if work.session.replica.state().customs.has(sent_state(work, &custom)) =>
        {
            CUSTOM
        }
        _ => FieldSet::EMPTY,
    }
}

/// A message went in this form: the server has the state in it until something casts doubt on that.
pub(super) fn custom_sent<P: Port>(work: &mut Work<'_, P>, message: &[u8]) {
    if let Some((custom, CustomKind::Dedup)) = state_in(work, message) {
        let state = sent_state(work, &custom);
        if let Some(customs) = work.session.replica.customs() {
            customs.put(state);
        }
    }
}

/// The same of a report. `plan`: what of it went.
pub(super) fn report_sent<P: Port>(
    work: &mut Work<'_, P>,
    scan: &AgentScan<'_>,
    plan: ForwardPlan,
) {
    let went = match plan {
        ForwardPlan::Nothing => FieldSet::EMPTY,
        ForwardPlan::Fields(keep) => keep.intersection(scan.present),
        ForwardPlan::Whole => scan.present,
    };
    if !went.intersection(CUSTOM).is_empty() {
        custom_sent(work, scan.bytes);
    }
}

/// A message has to wait. What waits of the same state is past, and what the server has of it is no more the last.
pub(super) fn supersede<P: Port>(work: &mut Work<'_, P>, scan: &AgentScan<'_>) {
    if scan.present.intersection(CUSTOM).is_empty() {
        return;
    }
    let Some((custom, _)) = state_in(work, scan.bytes) else { return };
    let name = sent_state(work, &custom).name;
    if let Some(customs) = work.session.replica.customs() {
        customs.remove(name);
    }
    let Some(cold) = &mut work.session.cold else { return };
    let is_older = |message: &[u8]| {
        let alone = AgentScan::parse(message).is_ok_and(|scan| holds_custom_alone(&scan));
        alone && CustomFields::of(message).is_some_and(|waiting| waiting.is_of(&custom))
    };
    for _ in 0..cold.one_shots.remove(work.moment.policy, is_older) {
        work.port.note(Note::CustomDropped(CustomLoss::Superseded));
    }
}

fn holds_custom_alone(scan: &AgentScan<'_>) -> bool {
    one_shot_fields(scan) == CUSTOM
}
