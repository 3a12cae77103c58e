//! R9: heartbeats reach a server once in an interval at most.

use super::{Fault, Sent};
use crate::links::LineKey;
use crate::world::Time;

#[derive(Debug, Default)]
pub(super) struct Heartbeats {
    /// The last message, and where it went.
    last: Option<(LineKey, Time)>,
}

impl Heartbeats {
    pub(super) fn sent(&mut self, sent: &Sent, interval: Time) -> Result<(), Fault> {
        let last = self.last.replace((sent.line, sent.at));
        if sent.report.disconnects {
            self.last = None;
        }
        match last {
            // On another line it introduces the agent.
            Some((line, at))
                if sent.report.is_heartbeat() && line == sent.line && sent.at - at < interval =>
            {
                Err(("R9", format!("a heartbeat goes on after {:?}", sent.at - at)))
            }
            _ => Ok(()),
        }
    }

    pub(super) const fn forget(&mut self) {
        self.last = None;
    }
}
