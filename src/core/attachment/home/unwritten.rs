//! What the session has for its agent and is not known to be written to it: numbered, in order, within the credit
//! that the front gave.
//!
//! A reply that says nothing is not held: after a loss the front gives it itself. Nor is one that greets with the
//! capabilities of a server that the agent has heard of already.

use std::collections::VecDeque;

use crate::core::node_link::{AgentFrame, ForAgentKind};
use crate::opamp::server::ServerScan;

/// One message. Its number is 0 if it is not held.
#[derive(Debug, Clone, Copy)]
pub(super) struct UnwrittenMessage<'a> {
    number: u64,
    kind: ForAgentKind,
    bytes: &'a [u8],
}

impl<'a> UnwrittenMessage<'a> {
    pub(super) const fn to_send(self, epoch: u64, had: u64) -> AgentFrame<'a> {
        let Self { number, kind, bytes } = self;
        AgentFrame { epoch, had, number, kind, bytes }
    }
}

/// See the module's text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unwritten {
    messages: VecDeque<(ForAgentKind, Box<[u8]>)>,
    /// All up to this number are written. The first of `messages` has the next one.
    written: u64,
    bytes: usize,
    credit: usize,
}

impl Unwritten {
    /// Nothing waits; the next message follows number `written`.
    pub const fn new(written: u64, credit: u32) -> Self {
        Self { messages: VecDeque::new(), written, bytes: 0, credit: credit as usize }
    }

    /// All up to this number are written.
    pub const fn last_written(&self) -> u64 {
        self.written
    }

    /// The number of the last message.
    pub(super) fn last(&self) -> u64 {
        self.written + self.messages.len() as u64
    }

    /// How many bytes may wait.
    pub const fn credit(&self) -> usize {
        self.credit
    }

    /// What waits, in order.
    pub fn messages(&self) -> impl ExactSizeIterator<Item = (ForAgentKind, &[u8])> {
        self.messages.iter().map(|(kind, bytes)| (*kind, &bytes[..]))
    }

    /// Puts back what a record says.
    pub(super) fn restore(&mut self, kind: ForAgentKind, bytes: &[u8]) {
        self.bytes += bytes.len();
        self.messages.push_back((kind, bytes.into()));
    }

    pub(super) const fn set_credit(&mut self, credit: u32) {
        self.credit = credit as usize;
    }

    /// Adds a message. `None`: more waits than may. One message is always allowed. `greeted`: the capabilities that the
    /// agent has heard of.
    pub(super) fn add<'a>(
        &mut self,
        kind: ForAgentKind,
        bytes: &'a [u8],
        greeted: &mut Option<u64>,
    ) -> Option<UnwrittenMessage<'a>> {
        let scan = ServerScan::parse(bytes).ok();
        let capabilities = scan.as_ref().and_then(|scan| scan.capabilities);
        let is_known = capabilities.is_none() || capabilities == *greeted;
        if is_known && scan.as_ref().is_some_and(says_no_more) {
            return Some(UnwrittenMessage { number: 0, kind, bytes });
        }
        if self.bytes > 0 && self.bytes + bytes.len() > self.credit {
            return None;
        }
        *greeted = capabilities.or(*greeted);
        self.restore(kind, bytes);
        let number = self.last();
        Some(UnwrittenMessage { number, kind, bytes })
    }

    pub(super) fn written(&mut self, number: u64) {
        while self.written < number
            && let Some((_, bytes)) = self.messages.pop_front()
        {
            self.written += 1;
            self.bytes -= bytes.len();
        }
        if self.messages.is_empty() {
            self.messages = VecDeque::new();
        }
    }

    /// What follows number `had`.
    pub(super) fn after(&self, had: u64) -> impl Iterator<Item = UnwrittenMessage<'_>> {
        let numbered = (self.written + 1..).zip(self.messages());
        numbered
            .filter(move |(number, _)| *number > had)
            .map(|(number, (kind, bytes))| UnwrittenMessage { number, kind, bytes })
    }

    #[cfg(test)]
    pub(super) fn is_any(&self) -> bool {
        !self.messages.is_empty()
    }

    /// Bytes that wait.
    pub const fn bytes(&self) -> usize {
        self.bytes
    }
}

/// Whether a message only acknowledges, its server's capabilities aside.
const fn says_no_more(scan: &ServerScan<'_>) -> bool {
    scan.is_empty_ack() && scan.custom_capabilities.is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_written_goes_again_and_one_large_message_passes() {
        // Field 3, `remote_config`, of 2 bytes.
        let offer = [0x1a, 2, 1, 1];
        let mut unwritten = Unwritten::new(4, 2);
        let kind = ForAgentKind::Unasked;
        let add = |unwritten: &mut Unwritten, bytes| {
            unwritten.add(kind, bytes, &mut None).map(|it| it.number)
        };
        assert_eq!(add(&mut unwritten, &offer), Some(5));
        assert_eq!(add(&mut unwritten, &offer), None, "the credit is used up");
        assert_eq!(add(&mut unwritten, &[]), Some(0), "it says nothing");
        unwritten.set_credit(8);
        assert_eq!(add(&mut unwritten, &offer), Some(6));
        assert_eq!(unwritten.after(5).map(|it| it.number).collect::<Vec<_>>(), [6]);
        unwritten.written(5);
        assert_eq!((unwritten.bytes(), unwritten.is_any(), unwritten.last_written()), (4, true, 5));
        unwritten.written(9);
        assert_eq!(
            (unwritten.bytes(), unwritten.is_any(), unwritten.last_written()),
            (0, false, 6)
        );
    }

    #[test]
    fn a_greeting_is_held_once() {
        // Field 7, `capabilities`.
        let greeting = |capabilities| [0x38, capabilities];
        let (mut unwritten, mut greeted) = (Unwritten::new(0, 100), None);
        let mut number = |bytes: &[u8]| {
            unwritten.add(ForAgentKind::Answer, bytes, &mut greeted).map(|it| it.number)
        };
        let numbers = [1, 1, 3, 3, 1].map(|capabilities| number(&greeting(capabilities)));
        assert_eq!(numbers, [1, 0, 2, 0, 3].map(Some));
        // An offer, with the capabilities that the agent knows, and the next greeting.
        assert_eq!([number(&[0x1a, 0, 0x38, 1]), number(&[0x38, 1])], [4, 0].map(Some));
    }
}
