//! R5: every message of an agent gets exactly one reply, the server's own if it comes soon. Counts the
//! replies that the agent is owed, and says when the gateway gives them in the server's place. Knows
//! nothing of what the replies say.

use std::time::{Duration, Instant};

/// What a session's record says of the replies that its agent is owed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RepliesRecord {
    /// When the gateway answers in the server's place; set while `owed` is above 0.
    pub due: Option<Instant>,
    /// Replies that the agent is owed on its present connection.
    pub owed: u32,
    /// The number of the latest plain-HTTP request.
    pub request: u32,
}

/// See the module's text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Replies {
    /// When the gateway answers in the server's place; set while `owed` is above 0.
    due: Option<Instant>,
    /// Replies that the agent is owed on its present connection.
    owed: u32,
    /// Counts plain-HTTP requests: tells the latest from one that it has overtaken.
    request: u32,
}

impl Replies {
    pub(super) const fn to_record(self) -> RepliesRecord {
        let Self { due, owed, request } = self;
        RepliesRecord { due, owed, request }
    }

    pub(super) const fn from_record(record: &RepliesRecord) -> Self {
        let RepliesRecord { due, owed, request } = *record;
        Self { due, owed, request }
    }

    /// When the gateway answers in the server's place.
    pub(super) const fn due(&self) -> Option<Instant> {
        self.due
    }

    /// How many replies the agent is owed.
    pub(super) const fn owed(&self) -> u32 {
        self.owed
    }

    /// The server's reply to one more message is awaited for as long as `wait`.
    pub(super) fn owe(&mut self, now: Instant, wait: Duration) {
        self.owed = self.owed.saturating_add(1);
        if self.due.is_none() {
            self.due = Some(now + wait);
        }
    }

    /// Takes one owed reply off the account. `false`: the agent was owed none.
    pub(super) const fn take(&mut self) -> bool {
        if self.owed == 0 {
            return false;
        }
        self.owed -= 1;
        if self.owed == 0 {
            self.due = None;
        }
        true
    }

    /// The wait for the server's own replies is over; says how many the gateway has to give.
    pub(super) const fn waive(&mut self) -> u32 {
        self.due = None;
        std::mem::replace(&mut self.owed, 0)
    }

    /// Whether the agent has waited long enough.
    pub(super) fn is_overdue(&self, now: Instant) -> bool {
        self.due.is_some_and(|due| due <= now)
    }

    /// For how long the agent has been waiting for the oldest reply it is owed.
    pub(super) fn waited(&self, now: Instant, wait: Duration) -> Option<Duration> {
        let left = self.due?.saturating_duration_since(now);
        Some(wait.saturating_sub(left))
    }

    /// The number of the latest plain-HTTP request.
    pub(super) const fn request(&self) -> u32 {
        self.request
    }

    /// Another plain-HTTP request has come. Returns its number.
    pub(super) const fn next_request(&mut self) -> u32 {
        self.request = self.request.wrapping_add(1);
        self.request
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WAIT: Duration = Duration::from_secs(2);

    #[test]
    fn the_oldest_reply_sets_the_time() {
        let now = crate::clock::now();
        let mut replies = Replies::default();
        replies.owe(now, WAIT);
        let later = now + Duration::from_secs(1);
        replies.owe(later, WAIT);
        assert_eq!((replies.owed(), replies.due()), (2, Some(now + WAIT)));
        assert_eq!(replies.waited(later, WAIT), Some(Duration::from_secs(1)));
        assert!(!replies.is_overdue(later) && replies.is_overdue(now + WAIT));
        assert!(replies.take() && replies.take() && !replies.take());
        assert_eq!((replies.owed(), replies.due()), (0, None));
    }

    #[test]
    fn waived_replies_are_given_once() {
        let now = crate::clock::now();
        let mut replies = Replies::default();
        replies.owe(now, WAIT);
        assert_eq!((replies.waive(), replies.waive()), (1, 0));
        assert_eq!(replies.due(), None);
        assert_eq!((replies.next_request(), replies.next_request()), (1, 2));
    }
}
