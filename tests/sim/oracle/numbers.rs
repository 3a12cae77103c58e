//! R3: the number towards a server rises by one for each message.

use super::{Fault, Sent};
use crate::links::LineKey;

#[derive(Debug, Default)]
pub(super) struct Numbers {
    last: Option<(LineKey, u64)>,
}

impl Numbers {
    /// `alone`: there is one server, and the numbers go on across its links' incarnations.
    pub(super) fn sent(&mut self, sent: &Sent, alone: bool) -> Result<(), Fault> {
        let number = sent.report.number;
        let last = self.last.replace((sent.line, number));
        if sent.report.disconnects {
            // The next message begins another session.
            self.last = None;
        }
        match last {
            Some((line, last))
                if (alone || line == sent.line) && number != last.wrapping_add(1) =>
            {
                Err(("R3", format!("number {number} follows {last} on {:?}", sent.line)))
            }
            _ => Ok(()),
        }
    }

    pub(super) const fn forget(&mut self) {
        self.last = None;
    }
}
