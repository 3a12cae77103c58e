//! R1, R2, R4: what goes to a server is new to it, or there is reason to doubt that it has it.
//!
//! The mirror holds what was sent on the present incarnation of the agent's link, and forgets what an
//! error, a question or a new process casts doubt on.

use seawall::opamp::proto::ServerToAgent;

use super::{Fault, Sent};
use crate::links::LineKey;
use crate::status::{Part, Report, Status};

/// How an agent speaks.
#[derive(Debug, Clone, Copy)]
pub(super) struct Speaks {
    pub(super) new_process: bool,
    /// After its session has ended, or should have.
    pub(super) over: bool,
}

#[derive(Debug, Default)]
pub(super) struct Mirror {
    line: Option<LineKey>,
    has: Status,
    /// What the gateway has heard from the agent's process.
    heard: Status,
    /// The server has asked for the full state, and still waits for it.
    asks: bool,
    /// It has asked for this state and had it, and has asked on every reply since: to ask again is in
    /// vain.
    given: bool,
    /// It has.
    asks_in_vain: bool,
}

impl Mirror {
    /// `ended`: with it the session is over.
    pub(super) fn sent(&mut self, sent: &Sent, ended: bool) -> Result<(), Fault> {
        if self.line != Some(sent.line) {
            self.begin(Some(sent.line));
        }
        let report = &sent.report;
        if report.disconnects {
            self.begin(None);
            if ended {
                (self.heard, self.asks) = (Status::default(), false);
            }
            return Ok(());
        }
        let known: Vec<Part> = report
            .status
            .iter()
            .filter(|(part, version)| self.has.get(*part) == Some(*version))
            // A map says more than the hash that the server has.
            .filter(|(part, _)| *part != Part::Components || self.has.map || !report.status.map)
            .map(|(part, _)| part)
            .collect();
        let all = known.len() == report.status.iter().count() && report.custom.is_none();
        self.has.update(&report.status);
        if self.asks && report.status.parts == self.heard.parts {
            (self.asks, self.given) = (false, true);
            return Ok(());
        }
        let rule = match (all, self.asks_in_vain) {
            (true, true) => "R4",
            (true, false) => "R1",
            (false, _) => "R2",
        };
        // A field beyond the schema goes with whatever else does.
        if known.iter().all(|part| *part == Part::Unknown) {
            return Ok(());
        }
        Err((rule, format!("{:?} is told {known:?}, which it has", sent.line)))
    }

    /// The agent speaks. All that another process says is news as it is; said once more it is stale.
    pub(super) fn agent_speaks(&mut self, report: &Report, how: Speaks) {
        if how.new_process {
            self.heard = Status::default();
        }
        if how.new_process || how.over {
            (self.has, self.given, self.asks) = (Status::default(), false, true);
        }
        for (part, version) in report.status.iter() {
            // Back to what it was is news too, if it comes after something else.
            if self.heard.get(part) != Some(version) {
                self.has.parts[part as usize] = None;
                self.given = false;
            }
        }
        self.heard.update(&report.status);
    }

    pub(super) fn server_said(&mut self, message: &ServerToAgent) {
        if message.error_response.is_some() {
            (self.has, self.given) = (Status::default(), false);
            return;
        }
        self.asks_in_vain = message.flags & 1 != 0 && self.given;
        self.given &= message.flags & 1 != 0;
        if message.flags & 1 != 0 && !self.given {
            (self.has, self.asks) = (Status::default(), true);
        } else if message.flags & 1 != 0 && self.heard.get(Part::Description).is_none() {
            // What it was given is no full state: it still waits for one.
            self.has = Status::default();
        }
        if message.flags & 2 != 0 {
            self.has.parts[Part::Components as usize] = None;
        }
    }

    /// What was sent last may be lost.
    pub(super) fn doubt(&mut self) {
        (self.has, self.given) = (Status::default(), false);
    }

    /// Another line, or the end of the last.
    pub(super) fn begin(&mut self, line: Option<LineKey>) {
        let heard = self.heard;
        // What the server is owed, it is owed there.
        let asks = self.asks;
        *self = Self { line, heard, asks, ..Self::default() };
    }
}
