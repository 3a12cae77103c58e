//! R1, R2, R4: nothing goes to a server that it has, unless there is reason to doubt that it has it.
//!
//! The mirror holds what was sent on the present incarnation of the agent's link, and forgets what an
//! error, a question, a lost offer or a new process casts doubt on.

use seawall::opamp::proto::ServerToAgent;

use super::{Fault, Sent};
use crate::links::LineKey;
use crate::status::{Part, Status};
use crate::world::Time;

/// A server's wish for full state is met once in this time for each incarnation.
const ASKED_AGAIN_AFTER: Time = Time::from_secs(30);
/// What was written to an agent counts as arrived when it is heard this much later.
const ARRIVES_IN: Time = Time::from_secs(5);

#[derive(Debug, Default)]
pub(super) struct Mirror {
    line: Option<LineKey>,
    has: Status,
    /// When a wish for full state was last met, and whose it was.
    met: Option<(Time, LineKey)>,
    /// A wish came since that was not to be met.
    unmet: bool,
    /// When the agent was last given something, without a sign since that it got it.
    in_doubt: Option<Time>,
}

impl Mirror {
    pub(super) fn sent(&mut self, sent: &Sent) -> Result<(), Fault> {
        if self.line != Some(sent.line) {
            (self.line, self.has) = (Some(sent.line), Status::default());
        }
        let report = &sent.report;
        if report.disconnects {
            let moves = sent.server != sent.place;
            let met = self.met.filter(|_| moves);
            *self = Self { in_doubt: self.in_doubt, met, ..Self::default() };
            return Ok(());
        }
        let known: Vec<Part> = report
            .status
            .iter()
            .filter(|(part, version)| self.has.get(*part) == Some(*version))
            .map(|(part, _)| part)
            .collect();
        let all = known.len() == report.status.iter().count() && report.custom.is_none();
        self.has.update(&report.status);
        let rule = match (all, self.unmet) {
            (true, true) => "R4",
            (true, false) => "R1",
            (false, _) => "R2",
        };
        // What the schema does not know goes with whatever else does.
        if known.iter().all(|part| *part == Part::Unknown && !all) {
            return Ok(());
        }
        Err((rule, format!("{:?} is told {known:?}, which it has", sent.line)))
    }

    /// The agent speaks: on another connection, as another process or once more, or after its session
    /// has ended.
    pub(super) fn agent_speaks(&mut self, (anew, doubt, over): (bool, bool, bool), now: Time) {
        if doubt || over || anew && self.in_doubt.take().is_some() {
            self.has = Status::default();
        }
        if over {
            self.met = None;
        }
        self.in_doubt.take_if(|at| now - *at > ARRIVES_IN);
    }

    /// The agent is given more than an acknowledgement.
    pub(super) const fn content_given(&mut self, now: Time) {
        self.in_doubt = Some(now);
    }

    pub(super) fn server_said(&mut self, message: &ServerToAgent, line: LineKey, now: Time) {
        if message.error_response.is_some() {
            self.has = Status::default();
            return;
        }
        if message.flags & 1 != 0 {
            let again = self.met.is_some_and(|(at, on)| on == line && now - at < ASKED_AGAIN_AFTER);
            self.unmet = again;
            if !again {
                self.met = Some((now, line));
                self.has = Status::default();
            }
        }
        if message.flags & 2 != 0 {
            self.has.parts[Part::Components as usize] = None;
        }
    }

    pub(super) fn forget(&mut self) {
        *self = Self::default();
    }
}
