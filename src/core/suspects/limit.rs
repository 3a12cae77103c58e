//! How large a message a server takes, as far as its answers have shown: 1009 and 413 name no number.

use std::time::{Duration, Instant};

/// A limit that was met this long ago may have been raised since.
const KNOWN_FOR: Duration = Duration::from_secs(3_600);

/// What becomes of a message of a certain size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fit {
    /// It is taken, or nothing is known.
    Goes,
    /// It is larger than any that was taken, and one that was larger still was refused.
    Doubtful,
    /// It is as large as one that was refused.
    TooLarge,
}

/// See the module's text. Sizes are those of `AgentToServer` messages, in bytes.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct SizeLimit {
    refused: Option<(usize, Instant)>,
}

impl SizeLimit {
    /// A message of this size was refused for it.
    pub(super) fn refused(&mut self, bytes: usize, now: Instant) {
        let smallest = self.refused.map_or(bytes, |(before, _)| before.min(bytes));
        self.refused = Some((smallest, now));
    }

    /// The smallest message that was refused, where none as large was taken since.
    pub(super) fn known(&mut self, taken: usize, now: Instant) -> Option<usize> {
        let is_past = |since| now.saturating_duration_since(since) >= KNOWN_FOR;
        self.refused.take_if(|(bytes, since)| taken >= *bytes || is_past(*since));
        self.refused.map(|(bytes, _)| bytes)
    }

    /// Whether a message of this size fits. `taken`: the largest that the server has answered.
    pub(super) fn fits(&mut self, bytes: usize, taken: usize, now: Instant) -> Fit {
        match self.known(taken, now) {
            Some(refused) if bytes >= refused => Fit::TooLarge,
            Some(_) if bytes > taken => Fit::Doubtful,
            _ => Fit::Goes,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_lies_between_what_was_taken_and_what_was_refused() {
        let now = crate::clock::now();
        let mut limit = SizeLimit::default();
        assert_eq!(limit.fits(1 << 30, 0, now), Fit::Goes);
        limit.refused(2_000, now);
        limit.refused(3_000, now);
        for (bytes, fit) in
            [(2_000, Fit::TooLarge), (1_999, Fit::Doubtful), (501, Fit::Doubtful), (500, Fit::Goes)]
        {
            assert_eq!(limit.fits(bytes, 500, now), fit, "{bytes}");
        }
        assert_eq!(limit.fits(5_000, 2_000, now), Fit::Goes, "the limit was raised");
        limit.refused(2_000, now);
        assert_eq!(limit.fits(5_000, 500, now + KNOWN_FOR), Fit::Goes, "it may have been");
    }
}
