//! R4: how many servers' questions for full state may go on to agents. One question now and then is a server's wish to
//! know what is true; many at once are a server that has lost its state, and the store answers those. One budget for a
//! node.
//!
//! ```text
//!            more questions than the budget, or links are back
//!   calm ───────────────────────────────────────────────────────► disturbed: the store alone answers
//!    ▲                                                                │
//!    └──────────────────────── nothing of the kind for CALM_AFTER ────┘
//! ```

use std::num::NonZeroU32;
use std::time::{Duration, Instant};

use crate::core::bucket::Bucket;

/// At most this many questions a second go on to agents, and the burst that two seconds save up.
const QUESTIONS_PER_SECOND: NonZeroU32 = NonZeroU32::new(5).expect("it is above 0");
const BURST: Duration = Duration::from_secs(2);
/// A storm is over when there was no sign of it for this long.
const CALM_AFTER: Duration = Duration::from_secs(60);

/// See the module's text.
#[derive(Debug)]
pub struct QuestionBudget {
    bucket: Bucket,
    disturbed_until: Option<Instant>,
}

impl QuestionBudget {
    /// A full budget, in calm.
    pub fn new(now: Instant) -> Self {
        let bucket = Bucket::with_depth(QUESTIONS_PER_SECOND, BURST, now);
        Self { bucket, disturbed_until: None }
    }

    /// Servers are told of their agents again, and may ask.
    pub fn disturb(&mut self, now: Instant) {
        self.disturbed_until = Some(now + CALM_AFTER);
    }

    /// Takes a question that a server has asked now. Whether it may go on to its agent.
    pub fn take(&mut self, now: Instant) -> bool {
        if self.bucket.take(now).is_err() {
            self.disturb(now);
        }
        self.disturbed_until.take_if(|until| *until <= now);
        self.disturbed_until.is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_storm_of_questions_goes_to_no_agent_until_it_is_over() {
        let now = crate::clock::now();
        let mut budget = QuestionBudget::new(now);
        let passed = (0..1_000).filter(|_| budget.take(now)).count();
        assert_eq!(passed, 10, "the burst");
        let later = now + CALM_AFTER;
        assert!(!budget.take(later - Duration::from_millis(1)), "the storm was just now");
        assert!(budget.take(later));
        // It goes on as long as there are too many.
        let storm = (0..1_200).map(|n| later + Duration::from_millis(100) * n);
        let passed = storm.filter(|at| budget.take(*at)).count();
        assert!(passed <= 20, "{passed}");
    }

    #[test]
    fn while_agents_are_introduced_again_the_store_answers() {
        let now = crate::clock::now();
        let mut budget = QuestionBudget::new(now);
        budget.disturb(now);
        assert!(!budget.take(now) && budget.take(now + CALM_AFTER));
    }
}
