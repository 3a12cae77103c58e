//! The parts of an agent's state, and what of a report goes on to the server. Plain values.

use crate::opamp::agent::AgentScan;
use crate::opamp::digest::has_components;
use crate::opamp::field_set::{FieldSet, agent_field};
use crate::opamp::fields::fields;

/// Each part has its place in a replica.
pub(super) const PARTS: [u32; agent_field::STATE_PARTS.len()] = agent_field::STATE_PARTS;

pub(super) const COMPONENTS: FieldSet = FieldSet::of(&[agent_field::AVAILABLE_COMPONENTS]);
pub(super) const CAPABILITIES: FieldSet = FieldSet::of(&[agent_field::CAPABILITIES]);

/// Whether a message with these parts says more than that the agent is there: capabilities go with every
/// message.
pub(super) const fn says_something(parts: FieldSet) -> bool {
    !parts.minus(CAPABILITIES).is_empty()
}

/// What of a report goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ForwardPlan {
    /// Nothing: the server has it all (R1).
    Nothing,
    /// These fields (R2).
    Fields(FieldSet),
    /// The message as it is.
    Whole,
}

impl ForwardPlan {
    /// The parts of the agent's state that a message brings to the server, sent on in this form.
    pub(super) fn parts_of(self, scan: &AgentScan<'_>) -> FieldSet {
        const UNKNOWN: FieldSet = FieldSet::of(&[FieldSet::OTHER]);
        let state = scan.present.intersection(agent_field::STATUS.union(UNKNOWN));
        let state = state.union(CAPABILITIES);
        match self {
            Self::Nothing => FieldSet::EMPTY,
            Self::Fields(keep) => state.intersection(keep.union(UNKNOWN).union(CAPABILITIES)),
            Self::Whole => state,
        }
    }
}

/// Whether a message carries the components themselves.
pub(crate) fn reports_map(scan: &AgentScan<'_>) -> bool {
    fields(scan.bytes)
        .map_while(Result::ok)
        .filter(|field| field.number == agent_field::AVAILABLE_COMPONENTS)
        .any(|field| has_components(&scan.bytes[field.value]))
}
