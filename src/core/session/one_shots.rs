//! R6: fields that are said once (custom messages, requests). While their server is down or busy they wait
//! here, in order, bounded in count and bytes. Numbers are left to others: a message gets its
//! number when it goes.

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
}

impl OneShots {
    /// The inverse of [`OneShots::to_record`].
    pub(super) fn from_record(messages: Vec<Vec<u8>>) -> Self {
        let bytes = messages.iter().map(Vec::len).sum();
        Self { messages: messages.into(), bytes }
    }

    /// The messages in their order.
    pub(super) fn to_record(&self) -> Vec<Vec<u8>> {
        self.messages.iter().cloned().collect()
    }

    /// Keeps the one-shot fields of a message, if it has any. `bytes_free`: how many bytes the messages of
    /// all agents may still take. `false`: there was no room, and they are lost.
    pub(super) fn try_push(
        &mut self,
        scan: &AgentScan<'_>,
        policy: &Policy,
        bytes_free: usize,
    ) -> bool {
        let mut message = Vec::new();
        splice::only_fields(scan, one_shot_fields(scan), &mut message);
        let bytes = self.bytes + message.len();
        if self.messages.len() >= policy.one_shots_max
            || bytes > policy.one_shot_bytes_max.min(bytes_free)
        {
            return false;
        }
        self.bytes = bytes;
        self.messages.push_back(message);
        true
    }

    /// The message that goes next; it lacks a number of its own.
    pub(super) fn first(&self) -> Option<&[u8]> {
        self.messages.front().map(Vec::as_slice)
    }

    /// The first message went: takes it out.
    pub(super) fn pop(&mut self) -> Option<Vec<u8>> {
        let message = self.messages.pop_front();
        self.bytes -= message.as_ref().map_or(0, Vec::len);
        if self.messages.is_empty() {
            self.messages = VecDeque::new();
        }
        message
    }

    /// Takes out messages that are past. Returns how many.
    pub(super) fn remove(&mut self, is_past: impl Fn(&[u8]) -> bool) -> usize {
        let before = self.messages.len();
        self.messages.retain(|message| !is_past(message));
        self.bytes = self.messages.iter().map(Vec::len).sum();
        before - self.messages.len()
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
        for data in 0..6 {
            assert_eq!(push(&mut one_shots, data, 1 << 20), data < 4);
        }
        assert_eq!(one_shots.len(), POLICY.one_shots_max);
        let restored = OneShots::from_record(one_shots.to_record());
        assert_eq!(restored, one_shots);
        while let Some(first) = one_shots.first() {
            assert!(!AgentScan::parse(first).unwrap().present.contains(agent_field::SEQUENCE_NUM));
            one_shots.pop();
        }
        assert_eq!((one_shots.bytes(), one_shots.is_empty()), (0, true));
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
