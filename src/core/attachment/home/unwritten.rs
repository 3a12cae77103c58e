//! What the session has for its agent and is not known to be written to it: numbered, in order, within the credit
//! that the front gave.
//!
//! A reply that says nothing is not held: after a loss the front gives it itself.

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

    /// Adds a message. `None`: more waits than may. One message is always allowed.
    pub(super) fn add<'a>(
        &mut self,
        kind: ForAgentKind,
        bytes: &'a [u8],
    ) -> Option<UnwrittenMessage<'a>> {
        if says_nothing(bytes) {
            return Some(UnwrittenMessage { number: 0, kind, bytes });
        }
        if self.bytes > 0 && self.bytes + bytes.len() > self.credit {
            return None;
        }
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

/// Whether a message only acknowledges, and greets in no server's name.
fn says_nothing(bytes: &[u8]) -> bool {
    let silent = |scan: ServerScan<'_>| {
        scan.is_empty_ack() && scan.capabilities.is_none() && scan.custom_capabilities.is_none()
    };
    ServerScan::parse(bytes).is_ok_and(silent)
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
        assert_eq!(unwritten.add(kind, &offer).map(|it| it.number), Some(5));
        assert!(unwritten.add(kind, &offer).is_none(), "the credit is used up");
        assert_eq!(unwritten.add(kind, &[]).map(|it| it.number), Some(0), "it says nothing");
        unwritten.set_credit(8);
        assert_eq!(unwritten.add(kind, &offer).map(|it| it.number), Some(6));
        assert_eq!(unwritten.after(5).map(|it| it.number).collect::<Vec<_>>(), [6]);
        unwritten.written(5);
        assert_eq!((unwritten.bytes(), unwritten.is_any(), unwritten.last_written()), (4, true, 5));
        unwritten.written(9);
        assert_eq!(
            (unwritten.bytes(), unwritten.is_any(), unwritten.last_written()),
            (0, false, 6)
        );
    }
}
