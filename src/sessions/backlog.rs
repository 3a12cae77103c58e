//! What waits at one agent's connection: bytes for its task, bytes that the task has taken and the socket has not, and
//! whether the agent's messages stay unread meanwhile. Bytes are counted until the socket has them. Most connections
//! have nothing of this, so it is in a box.

use std::time::{Duration, Instant};

use super::counters::Counters;

/// For how long the agent's messages stay unread though nothing goes to its server. Then they are read on, and what
/// finds no room is refused: a client that gets no pong takes its connection for dead.
const HELD_BACK_MAX: Duration = Duration::from_secs(10);

/// See the module's text.
#[derive(Debug, Default)]
pub(super) struct Backlog(Option<Box<WaitingBytes>>);

#[derive(Debug, Default)]
struct WaitingBytes {
    /// Encoded frames; for a request, the message itself.
    bytes: Vec<u8>,
    /// How many bytes the task has taken that are yet to be written.
    taken: usize,
    /// Since when the agent's messages stay unread.
    held_back: Option<Instant>,
}

impl Backlog {
    /// How many bytes the task has yet to take.
    pub(super) fn len(&self) -> usize {
        self.0.as_ref().map_or(0, |waiting| waiting.bytes.len())
    }

    /// How many bytes the agent has yet to read, as far as the socket tells.
    pub(super) fn unread(&self) -> usize {
        self.len() + self.0.as_ref().map_or(0, |waiting| waiting.taken)
    }

    /// Takes the bytes out, to be put back by [`Self::put`].
    pub(super) fn lift(&mut self) -> Vec<u8> {
        self.0.as_mut().map(|waiting| std::mem::take(&mut waiting.bytes)).unwrap_or_default()
    }

    /// Puts bytes in that are counted already.
    pub(super) fn put(&mut self, bytes: Vec<u8>) {
        if self.0.is_some() || !bytes.is_empty() {
            self.0.get_or_insert_default().bytes = bytes;
            self.drop_empty();
        }
    }

    /// Hands the bytes to the task. They are counted until it has written them.
    pub(super) fn take(&mut self) -> Vec<u8> {
        let bytes = self.lift();
        if let Some(waiting) = &mut self.0 {
            waiting.taken += bytes.len();
        }
        bytes
    }

    /// Takes the bytes, for one who counts them himself or has no use for them.
    pub(super) fn take_uncounted(&mut self, counters: &Counters) -> Vec<u8> {
        let bytes = self.lift();
        counters.outbox_changed(bytes.len(), 0);
        self.drop_empty();
        bytes
    }

    /// Of what the task has taken, this many bytes are yet to be written.
    pub(super) fn left_to_write(&mut self, bytes: usize, counters: &Counters) {
        if bytes == 0 && self.0.is_none() {
            return;
        }
        let taken = &mut self.0.get_or_insert_default().taken;
        counters.outbox_changed(*taken, bytes);
        *taken = bytes;
        self.drop_empty();
    }

    /// The agent's messages stay unread, from now on for a while; or are read.
    pub(super) fn hold_back(&mut self, since: Option<Instant>) {
        if since.is_some() || self.0.is_some() {
            self.0.get_or_insert_default().held_back = since;
            self.drop_empty();
        }
    }

    /// Until when the agent's messages stay unread, if they do.
    pub(super) fn held_back_until(&self) -> Option<Instant> {
        self.0.as_ref()?.held_back.map(|since| since + HELD_BACK_MAX)
    }

    fn drop_empty(&mut self) {
        self.0.take_if(|waiting| {
            waiting.bytes.is_empty() && waiting.taken == 0 && waiting.held_back.is_none()
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_counted_until_the_socket_has_them() {
        let (mut backlog, counters) = (Backlog::default(), Counters::default());
        counters.outbox_changed(0, 8);
        backlog.put(vec![0; 8]);
        assert_eq!(backlog.take().len(), 8);
        assert_eq!((backlog.len(), backlog.unread(), counters.agent_bytes()), (0, 8, 8));
        backlog.left_to_write(3, &counters);
        assert_eq!((backlog.unread(), counters.agent_bytes()), (3, 3));
        backlog.left_to_write(0, &counters);
        assert_eq!(counters.agent_bytes(), 0);
        assert!(backlog.0.is_none(), "an idle connection has no box");
        backlog.left_to_write(0, &counters);
        backlog.hold_back(None);
        backlog.put(Vec::new());
        assert!(backlog.0.is_none());
    }

    #[test]
    fn messages_stay_unread_for_a_while() {
        let (mut backlog, now) = (Backlog::default(), crate::clock::now());
        assert_eq!(backlog.held_back_until(), None);
        backlog.hold_back(Some(now));
        assert_eq!(backlog.held_back_until(), Some(now + HELD_BACK_MAX));
        backlog.hold_back(None);
        assert!(backlog.0.is_none());
    }
}
