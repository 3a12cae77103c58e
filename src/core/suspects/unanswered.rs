//! What a link has carried and the server has yet to answer: the agents that are suspected when the link is lost.

use std::collections::BTreeMap;

use super::part::{MessagePart, parts};
use crate::ident::InstanceUid;

/// Agents kept track of on one link. More than that are unanswered where a server answers no agent, and then none of them
/// stands out.
const AGENTS_MAX: usize = 16_384;
/// Parts kept of what one agent has sent; older ones give way.
const PARTS_MAX: usize = 64;

/// What one agent has sent and has no answer to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sent {
    /// Counts the link's messages: when the first of these went.
    order: u64,
    messages: u32,
    /// The longest of them.
    pub bytes_max: usize,
    /// What they brought, on an agent's own link; left out elsewhere.
    pub parts: Vec<MessagePart>,
}

impl Sent {
    /// One message.
    pub(super) fn of(message: &[u8]) -> Self {
        Self { bytes_max: message.len(), parts: parts(message), messages: 1, order: 0 }
    }
}

/// An agent whose messages may have ended a link that many share.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Suspect {
    /// The agent.
    pub uid: InstanceUid,
    /// Its longest message.
    pub bytes: usize,
}

/// See the module's text.
#[derive(Debug, Default)]
pub struct Unanswered {
    agents: BTreeMap<InstanceUid, Sent>,
    /// Who has been waiting since which message.
    by_order: BTreeMap<u64, InstanceUid>,
    messages: u64,
}

impl Unanswered {
    /// A message is about to be written.
    pub fn sent(&mut self, uid: InstanceUid, bytes: usize, parts: Vec<MessagePart>) {
        if self.agents.len() >= AGENTS_MAX {
            self.agents.clear();
            self.by_order.clear();
        }
        self.messages += 1;
        let first = Sent { order: self.messages, ..Sent::default() };
        let sent = self.agents.entry(uid).or_insert(first);
        self.by_order.insert(sent.order, uid);
        sent.messages += 1;
        sent.bytes_max = sent.bytes_max.max(bytes);
        sent.parts.extend(parts);
        let older = sent.parts.len().saturating_sub(PARTS_MAX);
        sent.parts.drain(..older);
    }

    /// The server has said something to this agent. Returns the longest message that is answered with that, once all
    /// of the agent's are.
    pub fn answered(&mut self, uid: InstanceUid) -> Option<usize> {
        let sent = self.agents.get_mut(&uid)?;
        sent.messages -= 1;
        if sent.messages > 0 {
            return None;
        }
        let sent = self.agents.remove(&uid)?;
        self.by_order.remove(&sent.order);
        Some(sent.bytes_max)
    }

    /// The server has answered an agent, and has not said which: servers work through a link in order.
    pub fn answered_first(&mut self) -> Option<usize> {
        let (_, uid) = self.by_order.first_key_value()?;
        self.answered(*uid)
    }

    /// Whether all is answered.
    pub fn is_empty(&self) -> bool {
        self.agents.is_empty()
    }

    /// The link is lost. Who is suspected of it, in the order in which their messages went.
    pub fn take(&mut self) -> Vec<(Suspect, Sent)> {
        self.by_order.clear();
        let mut all: Vec<_> = std::mem::take(&mut self.agents).into_iter().collect();
        all.sort_by_key(|(_, sent)| sent.order);
        let of = |(uid, sent): (_, Sent)| (Suspect { uid, bytes: sent.bytes_max }, sent);
        all.into_iter().map(of).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_answered_is_no_suspect() {
        let uid = |n: u8| InstanceUid::from_bytes([n; 16]);
        let mut unanswered = Unanswered::default();
        for (n, bytes) in [(3, 10), (1, 900), (2, 20), (3, 30), (4, 5)] {
            unanswered.sent(uid(n), bytes, Vec::new());
        }
        assert_eq!(unanswered.answered(uid(1)), Some(900));
        assert_eq!(unanswered.answered(uid(1)), None, "a push");
        assert_eq!(unanswered.answered_first(), None, "the first has said more");
        assert_eq!(unanswered.answered_first(), Some(30));
        let suspects: Vec<_> = unanswered.take().into_iter().map(|(suspect, _)| suspect).collect();
        let suspect = |n, bytes| Suspect { uid: uid(n), bytes };
        assert_eq!(suspects, [suspect(2, 20), suspect(4, 5)]);
        assert!(unanswered.is_empty());
    }

    #[test]
    fn what_a_silent_server_leaves_unanswered_is_bounded() {
        let mut unanswered = Unanswered::default();
        for n in 0..2 * AGENTS_MAX as u128 {
            unanswered.sent(InstanceUid::from_bytes(n.to_be_bytes()), 1, Vec::new());
            assert!(unanswered.agents.len() <= AGENTS_MAX);
        }
    }
}
