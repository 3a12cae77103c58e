//! R5 at the front: how many replies the agent is owed, and when the front gives them itself.

use std::time::{Duration, Instant};

/// See the module's text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct OwedReplies {
    owed: u32,
    /// When the front answers in the home's place; set while `owed` is above 0.
    due: Option<Instant>,
}

impl OwedReplies {
    /// A message came. The oldest one sets the time.
    pub(super) fn owe(&mut self, now: Instant, bound: Duration) {
        self.owed = self.owed.saturating_add(1);
        self.due.get_or_insert(now + bound);
    }

    /// The home answers one. `false`: none is owed any more.
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

    /// The front answers all of them; returns how many.
    pub(super) const fn waive(&mut self) -> u32 {
        self.due = None;
        std::mem::replace(&mut self.owed, 0)
    }

    pub(super) const fn due(&self) -> Option<Instant> {
        self.due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_reply_is_given_once_and_the_oldest_sets_the_time() {
        let (now, bound) = (crate::clock::now(), Duration::from_secs(1));
        let mut replies = OwedReplies::default();
        replies.owe(now, bound);
        replies.owe(now + bound, bound);
        assert_eq!(replies.due(), Some(now + bound));
        assert!(replies.take());
        assert_eq!((replies.waive(), replies.waive(), replies.due()), (1, 0, None));
        assert!(!replies.take());
    }
}
