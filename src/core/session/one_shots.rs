//! R6: fields that are said once (custom messages, requests). While their server is down or busy they wait
//! here, in order, bounded in count and bytes. Numbers are left to others: a message gets its
//! number when it goes.
//!
//! ```text
//!              as much waits as may             half of it has gone
//!   read on ─────────────────────────► held back ───────────────────► read on
//! ```
//!
//! While they are held back, the agent's messages stay unread: nothing of them is lost. What was read before the
//! connection heard of that (at a front, what was under way) still finds room, up to twice the bound.

use std::collections::VecDeque;

use super::Policy;
use crate::opamp::agent::AgentScan;
use crate::opamp::field_set::{FieldSet, agent_field};
use crate::opamp::splice;

/// Fields that an agent says once, and every later report leaves out.
const ONE_SHOT: FieldSet =
    FieldSet::of(&[agent_field::CUSTOM_MESSAGE, agent_field::CONNECTION_SETTINGS_REQUEST]);

/// The one-shot fields of a message. A flag is one: the agent sets it once.
pub(super) fn one_shot_fields(scan: &AgentScan<'_>) -> FieldSet {
    let flags = FieldSet::of(if scan.flags == 0 { &[] } else { &[agent_field::FLAGS] });
    scan.present.intersection(ONE_SHOT.union(flags))
}

/// See the module's text.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct OneShots {
    messages: VecDeque<Vec<u8>>,
    bytes: usize,
    /// The agent's messages should stay unread.
    holds_back: bool,
}

/// How much may wait beside what made the agent's messages stay unread.
const HELD_BACK_LATE: usize = 2;

impl OneShots {
    /// The inverse of [`OneShots::to_record`].
    pub(super) fn from_record(messages: Vec<Vec<u8>>) -> Self {
        let bytes = messages.iter().map(Vec::len).sum();
        Self { messages: messages.into(), bytes, holds_back: false }
    }

    /// The messages in their order.
    pub(super) fn to_record(&self) -> Vec<Vec<u8>> {
        self.messages.iter().cloned().collect()
    }

    /// Keeps the one-shot fields of a message, if it has any. One message is always allowed, whatever its length.
    /// `bytes_free`: how many bytes the messages of all agents may still take. `false`: there was no room, and they
    /// are lost.
    pub(super) fn try_push(
        &mut self,
        scan: &AgentScan<'_>,
        policy: &Policy,
        bytes_free: usize,
    ) -> bool {
        let mut message = Vec::new();
        splice::only_fields(scan, one_shot_fields(scan), &mut message);
        let bytes = self.bytes + message.len();
        let fits = self.messages.is_empty()
            || self.messages.len() < HELD_BACK_LATE * policy.one_shots_max
                && bytes <= HELD_BACK_LATE * policy.one_shot_bytes_max;
        if !fits || message.len() > bytes_free {
            return false;
        }
        self.bytes = bytes;
        self.messages.push_back(message);
        self.holds_back |=
            self.messages.len() >= policy.one_shots_max || bytes >= policy.one_shot_bytes_max;
        true
    }

    /// Whether the agent's messages should stay unread until some of these have gone.
    pub(super) const fn holds_back(&self) -> bool {
        self.holds_back
    }

    /// The message that goes next; it lacks a number of its own.
    pub(super) fn first(&self) -> Option<&[u8]> {
        self.messages.front().map(Vec::as_slice)
    }

    /// The first message went: takes it out.
    pub(super) fn pop(&mut self, policy: &Policy) -> Option<Vec<u8>> {
        let message = self.messages.pop_front();
        self.bytes -= message.as_ref().map_or(0, Vec::len);
        self.read_on(policy);
        if self.messages.is_empty() {
            self.messages = VecDeque::new();
        }
        message
    }

    /// Takes out messages that are past. Returns how many.
    pub(super) fn remove(&mut self, policy: &Policy, is_past: impl Fn(&[u8]) -> bool) -> usize {
        let before = self.messages.len();
        self.messages.retain(|message| !is_past(message));
        self.bytes = self.messages.iter().map(Vec::len).sum();
        self.read_on(policy);
        before - self.messages.len()
    }

    /// The agent's messages are read again once half of what may wait has gone.
    fn read_on(&mut self, policy: &Policy) {
        self.holds_back &= self.messages.len() > policy.one_shots_max / 2
            || self.bytes > policy.one_shot_bytes_max / 2;
    }

    pub(super) fn len(&self) -> usize {
        self.messages.len()
    }

    pub(super) const fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn is_empty(&self) -> bool {
        self.messages.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::POLICY;
    use super::super::tests::message::{self, bytes};
    use super::*;

    fn push(one_shots: &mut OneShots, data: u32, bytes_free: usize) -> bool {
        let message = bytes(&message::custom(u64::from(data), data));
        one_shots.try_push(&AgentScan::parse(&message).unwrap(), &POLICY, bytes_free)
    }

    #[test]
    fn messages_keep_their_order_and_their_bounds() {
        let mut one_shots = OneShots::default();
        assert!(!push(&mut one_shots, 0, 10), "the messages of all agents take too much");
        for data in 0..9 {
            assert_eq!(push(&mut one_shots, data, 1 << 20), data < 8);
            assert_eq!(one_shots.holds_back(), data >= 3, "{data}");
        }
        assert_eq!(one_shots.len(), 2 * POLICY.one_shots_max);
        let restored = OneShots::from_record(one_shots.to_record());
        assert_eq!(restored.to_record(), one_shots.to_record());
        while let Some(first) = one_shots.first() {
            assert!(!AgentScan::parse(first).unwrap().present.contains(agent_field::SEQUENCE_NUM));
            assert_eq!(one_shots.holds_back(), one_shots.len() > POLICY.one_shots_max / 2);
            one_shots.pop(&POLICY);
        }
        assert_eq!((one_shots.bytes(), one_shots.is_empty()), (0, true));
    }

    #[test]
    fn what_is_past_holds_nothing_back() {
        let mut one_shots = OneShots::default();
        (0..4).for_each(|data| assert!(push(&mut one_shots, data, 1 << 20)));
        assert!(one_shots.holds_back());
        let kept = one_shots.first().unwrap().to_vec();
        assert_eq!(one_shots.remove(&POLICY, |message| message != kept), 3);
        assert_eq!((one_shots.len(), one_shots.bytes()), (1, kept.len()));
        assert!(!one_shots.holds_back());
        assert_eq!(one_shots.remove(&POLICY, |_| true), 1);
        assert_eq!((one_shots.len(), one_shots.bytes()), (0, 0));
    }

    #[test]
    fn a_message_larger_than_the_bound_passes_alone() {
        let mut one_shots = OneShots::default();
        let large = crate::opamp::proto::AgentToServer {
            custom_message: Some(crate::opamp::proto::CustomMessage {
                data: vec![0; 4 * POLICY.one_shot_bytes_max],
                ..Default::default()
            }),
            ..message::heartbeat(1)
        };
        let large = bytes(&large);
        let scan = AgentScan::parse(&large).unwrap();
        assert!(one_shots.try_push(&scan, &POLICY, 1 << 20) && one_shots.holds_back());
        assert!(!one_shots.try_push(&scan, &POLICY, 1 << 20), "another one");
        one_shots.pop(&POLICY);
        assert!(!one_shots.holds_back() && one_shots.is_empty());
    }

    #[test]
    fn a_flag_goes_once_and_state_goes_elsewhere() {
        let wish = bytes(&crate::opamp::proto::AgentToServer { flags: 1, ..message::heartbeat(1) });
        let flags = one_shot_fields(&AgentScan::parse(&wish).unwrap());
        assert_eq!(flags, FieldSet::of(&[agent_field::FLAGS]));
        let report = bytes(&message::report(1, message::Status::FIRST));
        assert!(one_shot_fields(&AgentScan::parse(&report).unwrap()).is_empty());
    }
}
