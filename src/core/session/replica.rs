//! R1 and R2: what the agent reported last, and what of it the server has: a digest for each part of the
//! agent's state. The bytes themselves are in the content store.
//!
//! ```text
//!            reported anew                 sent
//!  (none) ───────────────► pending ─────────────────────► acked
//!                            ▲ ▲                            │ another digest is reported
//!                            │ └────────────────────────────┤
//!                            │  refused as UNAVAILABLE,     │ a link's new incarnation
//!                            └── or lost unanswered ────────┤
//!                                                           ▼
//!                                 asked for ◄────────── unknown (reported, neither acked nor pending)
//! ```
//!
//! Sent counts as acked until the server says otherwise. Of an incarnation that has yet to see the agent
//! everything is unknown: it is told again if it asks, and every report goes to it.
//!
//! R4, what a server asks for, is answered once:
//!
//! ```text
//!              asks                       the whole state went
//!   content ─────────► full_pending ────────────────────────────► full_given: asks are passed over
//!      ▲                                                             │
//!      └──── a new state, a new incarnation, or all is answered ─────┘
//!            and the last answer did not ask
//! ```
//!
//! Some servers ask on every reply: they get each state once. One that was content and asks again has lost
//! the agent's state in the meantime, and gets it again.

use super::customs::SentStates;
use super::delta::{Delta, ReportDigests};
use super::parts::{CAPABILITIES, COMPONENTS, ForwardPlan, PARTS, reports_map, says_something};
use super::questions::has_all_promised;
use crate::mutation::{Breach, is_on};
use crate::opamp::agent::AgentScan;
use crate::opamp::digest::{Digest, RawHash};
use crate::opamp::field_set::{FieldSet, agent_field};

/// A message that the server has refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Refused {
    /// The server owed an answer. If it owed none, another message passed for this answer, and what that
    /// one brought is in doubt: it may be anything the server is believed to have.
    pub(super) awaited: bool,
    /// What the message said must be sent once more.
    pub(super) again: bool,
    /// Other messages on the same link wait for their answers.
    pub(super) more_unanswered: bool,
}

/// What is known of the agent's state, also in a session's record. See the module's text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReplicaState {
    /// Parts that the agent has reported: their digests count.
    pub reported: FieldSet,
    /// Of them, the parts that the server has.
    pub acked: FieldSet,
    /// The parts that it had when a former home's link ended: it still has them unless it asks. See
    /// `Replica::may_be_forgotten`.
    pub remembered: FieldSet,
    /// The parts that it is yet to get.
    pub pending: FieldSet,
    /// The parts sent since it last had answered everything.
    pub in_flight: FieldSet,
    /// The last report's parts.
    pub last_parts: FieldSet,
    /// Everything goes in one message, for the server asked.
    pub full_pending: bool,
    /// This state went as one message on this incarnation, and the server has asked ever since (R4).
    pub full_given: bool,
    /// The same of the component map.
    pub map_given: bool,
    /// The server had answered everything when it last spoke, and asked for nothing. Stays behind on its node.
    pub is_content: bool,
    /// Custom messages that the server has. Stay behind on their node.
    pub customs: SentStates,
    /// The components themselves are there, beside their hash.
    pub has_map: bool,
    /// `hash` and `last_parts` are a report's.
    pub hash_counts: bool,
    /// Of the report whose digests were taken last: equal bytes have equal digests.
    pub hash: RawHash,
    /// The digests of the parts, in the order of `STATE_PARTS`.
    pub digests: [Digest; PARTS.len()],
}

impl ReplicaState {
    pub(super) const EMPTY: Self = Self {
        reported: FieldSet::EMPTY,
        acked: FieldSet::EMPTY,
        remembered: FieldSet::EMPTY,
        pending: FieldSet::EMPTY,
        in_flight: FieldSet::EMPTY,
        last_parts: FieldSet::EMPTY,
        full_pending: false,
        full_given: false,
        map_given: false,
        is_content: false,
        customs: SentStates::EMPTY,
        has_map: false,
        hash_counts: false,
        hash: RawHash(0),
        digests: [Digest([0; 16]); PARTS.len()],
    };

    fn ask_for_all(&mut self) {
        self.customs.forget();
        self.full_pending = says_something(self.reported);
    }

    const fn map_pending(&self) -> bool {
        self.map_given && self.has_map && self.pending.contains(agent_field::AVAILABLE_COMPONENTS)
    }

    const fn forget_map(&mut self) {
        self.lacks(COMPONENTS);
    }

    /// The server does not have these parts.
    const fn lacks(&mut self, parts: FieldSet) {
        self.acked = self.acked.minus(parts);
        self.remembered = self.remembered.minus(parts);
    }

    /// The parts that the server has, or has unless it asks.
    pub(super) const fn believed(&self) -> FieldSet {
        self.acked.union(self.remembered)
    }

    const fn map_wanted(&mut self) {
        self.pending = self.pending.union(COMPONENTS.intersection(self.reported));
    }

    /// What is on its way to the server is lost. `again`: it must be sent once more.
    fn lost(&mut self, again: bool) {
        self.customs.forget();
        self.lacks(self.in_flight);
        if again {
            self.pending = self.pending.union(self.in_flight);
        }
        self.in_flight = FieldSet::EMPTY;
        self.is_content = false;
        self.full_given = false;
        self.map_given = false;
    }

    fn take(&mut self, taken: &ReportDigests, delta: &Delta) {
        for (place, part) in PARTS.into_iter().enumerate() {
            if taken.parts().contains(part) {
                self.digests[place] = taken.digest(place);
            }
        }
        if delta.fresh.contains(agent_field::AVAILABLE_COMPONENTS) {
            self.map_given = false;
            self.has_map = delta.has_map;
        }
        self.has_map |= delta.map_came;
        self.lacks(delta.fresh);
        self.full_given &= delta.fresh.is_empty();
        self.reported = self.reported.union(taken.parts());
        self.last_parts = taken.parts();
        self.hash = taken.hash();
        self.hash_counts = true;
    }
}

/// The replica of one session; empty, and free of heap, before the agent's first report.
#[derive(Debug, Default)]
pub(super) struct Replica(Option<Box<ReplicaState>>);

impl Replica {
    /// The inverse of [`Replica::to_record`].
    pub(super) fn from_record(state: Option<ReplicaState>) -> Self {
        Self(state.map(Box::new))
    }

    /// A copy of the state; `None` before the first report.
    pub(super) fn to_record(&self) -> Option<ReplicaState> {
        let state = self.0.as_deref().cloned();
        state.map(|state| ReplicaState { customs: SentStates::EMPTY, ..state })
    }

    /// The custom messages that the server has.
    pub(super) fn customs(&mut self) -> Option<&mut SentStates> {
        self.0.as_mut().map(|state| &mut state.customs)
    }

    /// The state, to compare with.
    pub(super) fn state(&self) -> &ReplicaState {
        self.0.as_deref().unwrap_or(&ReplicaState::EMPTY)
    }

    /// What the agent has reported.
    pub(super) fn reported(&self) -> FieldSet {
        self.state().reported
    }

    /// What the server is yet to get.
    pub(super) fn pending(&self) -> FieldSet {
        let state = self.state();
        if state.full_pending { state.reported } else { state.pending }
    }

    /// Whether the server is to get the whole state in one message.
    pub(super) fn full_pending(&self) -> bool {
        self.state().full_pending
    }

    /// The server is to get everything in one message, if there is anything.
    pub(super) fn ask_for_all(&mut self) {
        if let Some(state) = &mut self.0 {
            state.ask_for_all();
        }
    }

    /// Whether a server to which the agent is new may take what is pending for all there is: the
    /// description goes with full reports only ("Agent Status Compression").
    pub(super) fn passes_for_all(&self) -> bool {
        self.state().pending.contains(agent_field::AGENT_DESCRIPTION)
    }

    /// Whether the server is known to have the capabilities alone, at most.
    pub(super) fn acked_nothing(&self) -> bool {
        self.0.as_ref().is_some_and(|state| !says_something(state.acked))
    }

    /// A message went: whatever it was, the capabilities went with it.
    pub(super) fn capabilities_sent(&mut self) {
        if let Some(state) = &mut self.0 {
            let sent = CAPABILITIES.intersection(state.reported);
            state.acked = state.acked.union(sent);
            state.pending = state.pending.minus(sent);
            state.in_flight = state.in_flight.union(sent);
        }
    }

    /// Takes a delta: the server is to get what it lacks. `introduces_as_whole`: the report, which goes to
    /// a server that may have lost the agent, passes for all there is.
    pub(super) fn apply(&mut self, delta: &Delta, introduces_as_whole: bool) {
        let state = self.0.get_or_insert_with(|| Box::new(ReplicaState::EMPTY));
        if let Some(taken) = &delta.digests {
            state.take(taken, delta);
        }
        // Capabilities go with every message: only a change of them is worth one of its own.
        let goes_anyway = CAPABILITIES.minus(delta.fresh).union(delta.undigested);
        state.pending = state.pending.union(delta.changed.minus(goes_anyway));
        if introduces_as_whole {
            // The rest follows.
            state.pending = state.pending.union(state.reported);
        }
    }

    /// A report went to the server in this form.
    pub(super) fn report_sent(&mut self, scan: &AgentScan<'_>, plan: ForwardPlan) {
        let parts = plan.parts_of(scan);
        let map_pending = self.state().map_pending();
        self.parts_sent(parts);
        if map_pending
            && parts.contains(agent_field::AVAILABLE_COMPONENTS)
            && !reports_map(scan)
            && let Some(state) = &mut self.0
        {
            // The server has asked for the map and got its hash once more: the map itself follows.
            state.forget_map();
            state.map_wanted();
        }
    }

    /// These parts went to the server in one message, and the capabilities with them.
    pub(super) fn parts_sent(&mut self, parts: FieldSet) {
        let Some(state) = &mut self.0 else { return };
        let parts = parts.union(CAPABILITIES).intersection(state.reported);
        state.acked = state.acked.union(parts);
        state.pending = state.pending.minus(parts);
        state.in_flight = state.in_flight.union(parts);
        if state.reported.is_subset(parts) {
            state.full_given = true;
            state.full_pending = false;
        }
    }

    /// The store has lost these parts. Where the whole state was pending, the server must get everything
    /// else that it has again: it wants all of it in one message.
    pub(super) fn lose(&mut self, missing: FieldSet) {
        let Some(state) = &mut self.0 else { return };
        state.reported = state.reported.minus(missing);
        state.pending = state.pending.minus(missing);
        if !says_something(state.pending) {
            // They go with the agent's answer.
            state.pending = FieldSet::EMPTY;
        }
        let lost = if state.full_pending { state.believed() } else { missing };
        state.lacks(lost);
        state.full_pending = false;
        state.hash_counts = false;
    }

    /// The server has answered everything.
    pub(super) fn all_answered(&mut self) {
        if let Some(state) = &mut self.0 {
            state.in_flight = FieldSet::EMPTY;
        }
    }

    /// The server has refused a message. Which parts it brought is open: it may be any that is on its way.
    pub(super) fn refused(&mut self, refused: Refused) {
        let Some(state) = &mut self.0 else { return };
        if !refused.awaited {
            state.in_flight = state.acked;
        }
        let in_flight = state.in_flight;
        state.lost(refused.again);
        if refused.more_unanswered && !refused.again {
            // Other messages are still on their way, and may be lost with their link.
            state.in_flight = in_flight;
        }
    }

    /// The server may have drawn wrong conclusions from what it has: it gets all of it again.
    pub(super) fn tell_all_again(&mut self) -> bool {
        let Some(state) = &mut self.0 else { return false };
        state.lacks(state.believed());
        state.full_given = false;
        state.map_given = false;
        state.ask_for_all();
        true
    }

    /// Whether the agent has reported this part with this digest.
    pub(super) fn has(&self, part: u32, digest: Digest) -> bool {
        let state = self.state();
        let place = PARTS.iter().position(|known| *known == part);
        state.reported.contains(part) && place.is_some_and(|place| state.digests[place] == digest)
    }

    /// Whether a server has asked for the components, and only the agent has them.
    pub(super) fn lacks_map(&self, asked: bool) -> bool {
        let state = self.state();
        !state.has_map && (state.map_given || asked)
    }

    /// What the server has of these parts is in doubt: it gets them again.
    pub(super) fn tell_again(&mut self, parts: FieldSet) {
        let Some(state) = &mut self.0 else { return };
        state.customs.forget();
        if state.reported.is_subset(parts) {
            self.tell_all_again();
            return;
        }
        let parts = parts.intersection(state.reported);
        state.lacks(parts);
        state.pending = state.pending.union(parts);
    }

    /// The messages take another wire. `in_doubt`: what was on its way may be lost, and goes again.
    pub(super) fn wire_lost(&mut self, in_doubt: bool) {
        if let Some(state) = &mut self.0 {
            state.lost(in_doubt);
        }
    }

    /// The server may have forgotten the agent, since it moved or a former home's link has ended. But the server lives,
    /// and most likely has what it had: then it asks for nothing when the agent is introduced again.
    pub(super) fn may_be_forgotten(&mut self) {
        if let Some(state) = &mut self.0 {
            state.remembered = state.believed();
        }
    }

    /// The server was told of the agent, and has answered. `asks`: for the full state.
    pub(super) fn introduction_answered(&mut self, asks: bool) {
        if let Some(state) = &mut self.0 {
            let remembered = std::mem::replace(&mut state.remembered, FieldSet::EMPTY);
            if !asks {
                state.acked = state.acked.union(remembered);
            }
        }
    }

    /// The messages reach another memory, which is taken to be empty. `moved`: it is another server's, which may
    /// know the agent from before, as it was then. `link_lost`: this node's own link was lost, so that the server
    /// may have lost everything.
    pub(super) fn forgotten(&mut self, moved: bool, link_lost: bool) {
        if let Some(state) = &mut self.0 {
            state.acked = FieldSet::EMPTY;
            state.customs.forget();
            state.is_content = false;
            if moved || link_lost {
                state.remembered = FieldSet::EMPTY;
            }
            if moved {
                state.pending = state.reported;
            }
        }
    }

    /// The agent's process is a new one: what the old one said of itself is past.
    pub(super) fn forget(&mut self) {
        self.0 = None;
    }

    /// The server has seen everything that was sent, and asks for these or for nothing.
    pub(super) fn note_content(&mut self, asks_for_all: bool, asks_for_map: bool) {
        if let Some(state) = &mut self.0 {
            state.full_given &= asks_for_all;
            state.is_content = !asks_for_all;
            state.map_given &= asks_for_map;
        }
    }

    /// Whether the server has everything, as far as it has said.
    pub(super) fn is_content(&self) -> bool {
        let state = self.state();
        state.is_content && state.reported.is_subset(state.acked)
    }

    /// The server asks for everything; it gets each state once. What lacks the description is no full state
    /// ("Agent Status Compression"): the question stays open, and the agent's answer goes as a whole.
    pub(super) fn full_state_asked(&mut self) {
        let Some(state) = &mut self.0 else { return };
        if !state.full_given || is_on(Breach::R4MeetsEveryWish) {
            state.ask_for_all();
        } else if !state.reported.contains(agent_field::AGENT_DESCRIPTION) {
            state.lacks(state.believed());
        }
    }

    /// Whether the agent may have more to say than it has reported.
    pub(super) fn may_lack_parts(&self, capabilities: u64) -> bool {
        !has_all_promised(capabilities, self.reported())
    }

    /// The server asks for the component map.
    pub(super) fn map_asked(&mut self) -> MapAnswer {
        let Some(state) = &mut self.0 else { return MapAnswer::PassedOn };
        if std::mem::replace(&mut state.map_given, true) {
            return MapAnswer::Answered;
        }
        if state.has_map {
            state.map_wanted();
            return MapAnswer::Answered;
        }
        state.forget_map();
        // An agent that has reported no hash may have no components, and stay silent.
        if state.reported.contains(agent_field::AVAILABLE_COMPONENTS) {
            MapAnswer::Awaited
        } else {
            MapAnswer::PassedOn
        }
    }

    /// The server's question for the component map may be lost on its way to the agent.
    pub(super) fn map_question_maybe_lost(&mut self) {
        if let Some(state) = &mut self.0 {
            state.map_given &= state.has_map;
        }
    }
}

/// What becomes of a server's question for the component map.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum MapAnswer {
    /// The store answers it, or has answered it.
    Answered,
    /// The agent is asked, and owes the answer.
    Awaited,
    /// The agent is asked, and may have none.
    PassedOn,
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEALTH: FieldSet = FieldSet::of(&[agent_field::HEALTH]);
    const STATE: FieldSet = FieldSet::of(&[agent_field::HEALTH, agent_field::AGENT_DESCRIPTION]);

    /// A replica whose agent has reported `STATE`, all of which is yet to be sent.
    fn reported() -> Replica {
        let state = ReplicaState { reported: STATE, pending: STATE, ..ReplicaState::EMPTY };
        Replica::from_record(Some(state))
    }

    #[test]
    fn what_is_sent_is_acked_until_it_is_lost() {
        let mut replica = reported();
        assert!(replica.passes_for_all() && replica.acked_nothing());
        replica.parts_sent(HEALTH);
        assert_eq!(replica.pending(), STATE.minus(HEALTH));
        replica.all_answered();
        replica.parts_sent(STATE.minus(HEALTH));
        replica.wire_lost(true);
        assert_eq!(replica.pending(), STATE.minus(HEALTH), "what was answered has arrived");
        assert_eq!(replica.state().acked, HEALTH, "and is remembered");
        replica.forgotten(false, true);
        assert!(replica.acked_nothing(), "of another memory nothing is known");
        replica.forgotten(true, true);
        assert_eq!(replica.pending(), STATE, "another server may believe something else");
    }

    #[test]
    fn a_refusal_takes_back_what_was_sent() {
        let mut replica = reported();
        replica.parts_sent(STATE);
        replica.all_answered();
        replica.parts_sent(HEALTH);
        replica.refused(Refused { awaited: true, again: false, more_unanswered: false });
        assert_eq!(
            (replica.pending(), replica.state().acked),
            (FieldSet::EMPTY, STATE.minus(HEALTH))
        );
        replica.refused(Refused { awaited: false, again: true, more_unanswered: false });
        assert_eq!(replica.pending(), STATE.minus(HEALTH), "any part may be meant");
    }

    #[test]
    fn what_goes_behind_a_refused_message_is_sent_again_if_its_link_is_lost() {
        let mut replica = reported();
        replica.parts_sent(STATE.minus(HEALTH));
        replica.parts_sent(HEALTH);
        replica.refused(Refused { awaited: true, again: false, more_unanswered: true });
        assert!(replica.pending().is_empty(), "what was refused is sent once");
        replica.wire_lost(true);
        assert!(HEALTH.is_subset(replica.pending()), "the second message was never answered");
    }

    #[test]
    fn each_state_is_given_once_to_a_server_that_asks() {
        let mut replica = reported();
        replica.full_state_asked();
        assert!(replica.full_pending());
        replica.parts_sent(STATE);
        replica.full_state_asked();
        assert!(!replica.full_pending());
        replica.note_content(false, false);
        replica.full_state_asked();
        assert!(replica.full_pending(), "it was content, and asks again");
        replica.lose(HEALTH);
        assert_eq!((replica.reported(), replica.full_pending()), (STATE.minus(HEALTH), false));
    }

    #[test]
    fn a_state_without_description_leaves_the_question_open() {
        let state = ReplicaState { reported: HEALTH, pending: HEALTH, ..ReplicaState::EMPTY };
        let mut replica = Replica::from_record(Some(state));
        replica.parts_sent(HEALTH);
        replica.full_state_asked();
        assert!(replica.pending().is_empty(), "it has been given what there is");
        assert!(replica.acked_nothing(), "and gets it again with the agent's answer");
    }

    #[test]
    fn a_map_comes_from_the_store_once_it_is_there() {
        let mut replica = reported();
        assert_eq!(replica.map_asked(), MapAnswer::PassedOn);
        assert_eq!(replica.map_asked(), MapAnswer::Answered, "the same question");
        let with_hash = ReplicaState { reported: COMPONENTS, ..ReplicaState::EMPTY };
        let mut replica = Replica::from_record(Some(with_hash.clone()));
        assert_eq!(replica.map_asked(), MapAnswer::Awaited);
        replica.map_question_maybe_lost();
        assert_eq!(replica.map_asked(), MapAnswer::Awaited, "asked anew");
        let mut replica = Replica::from_record(Some(ReplicaState { has_map: true, ..with_hash }));
        assert_eq!(replica.map_asked(), MapAnswer::Answered);
        assert_eq!(replica.pending(), COMPONENTS);
    }
}
