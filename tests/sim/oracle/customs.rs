//! Custom messages of agents: the gateway passes each one on once, in order. A retry goes on only where the gateway has
//! forgotten the agent since.

use std::collections::VecDeque;

use super::{Fault, Sent};

#[derive(Debug, Default)]
pub(super) struct Customs {
    /// What the gateway has heard and has yet to send on.
    waiting: VecDeque<u32>,
    /// What was said once more.
    retried: Option<u32>,
}

impl Customs {
    pub(super) fn heard(&mut self, custom: u32, is_retry: bool) {
        if is_retry {
            self.retried = Some(custom);
        } else {
            self.waiting.push_back(custom);
        }
    }

    pub(super) fn sent(&mut self, sent: &Sent) -> Result<(), Fault> {
        let Some(custom) = sent.report.custom else { return Ok(()) };
        if self.first() != Some(custom)
            && self.retried.take_if(|retried| *retried == custom).is_some()
        {
            return Ok(());
        }
        let next = self.waiting.pop_front();
        if next == Some(custom) {
            return Ok(());
        }
        Err(("order", format!("custom message {custom} goes on, and {next:?} was next")))
    }

    pub(super) fn first(&self) -> Option<u32> {
        self.waiting.front().copied()
    }
}
