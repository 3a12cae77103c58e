//! What a server's message for this agent leads to.

use std::time::{Duration, Instant};

use super::{Presence, Route, Session};
use crate::opamp::server::{ErrorKind, REPORT_FULL_STATE, ServerScan};

/// What becomes of a server's message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FromServer {
    /// To the agent, as the reply it is owed.
    Reply,
    /// To the agent, unasked.
    Push,
    /// Kept until the agent polls or returns (R7); `true`: it answers a waiting request.
    Keep(bool),
    /// An acknowledgement of something already acknowledged here (R5).
    Swallow,
    /// The agent has left: nobody will come for it.
    TooLate,
    /// The server is overloaded and did not take the agent's message. The agent is not told: it
    /// cannot act on it (field-notes.md). `true`: it is owed an acknowledgement.
    Unavailable {
        /// For how long the server wants peace, if it said so.
        retry_after: Option<Duration>,
        /// Whether the agent still awaits a reply.
        acknowledge: bool,
    },
}

/// What is to be done with a server's message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ServerVerdict {
    /// Where it goes.
    pub then: FromServer,
    /// `ReportFullState` is taken out of it: the agent has just answered that question (R4).
    pub strip_full_state: bool,
}

/// A server that asks for full state on every reply gets one report in this time, not a loop.
pub(super) const FULL_STATE_INTERVAL: Duration = Duration::from_secs(30);

impl Session {
    /// A server's message whose uid is this agent's. A reply and a push look alike on the wire;
    /// while the server owes a reply, the first message counts as it.
    pub fn from_server(
        &mut self,
        scan: &ServerScan<'_>,
        route: Route,
        now: Instant,
    ) -> ServerVerdict {
        if self.sent_on == Some(route) {
            self.unanswered = self.unanswered.saturating_sub(1);
        }
        let error = scan.error();
        if error.is_some() {
            // Which message it refused, the server does not say.
            self.forget_known();
        }
        if let Some(error) = error
            && error.kind == ErrorKind::Unavailable
        {
            self.want_full_state();
            let acknowledge = self.reply_taken();
            let then = FromServer::Unavailable { retry_after: error.retry_after, acknowledge };
            return ServerVerdict { then, strip_full_state: false };
        }
        let strip_full_state =
            scan.reports_full_state_wanted() && !self.pass_full_state_on(route, now);
        if scan.reports_full_state_wanted() && !strip_full_state {
            self.forget_known();
        }
        if scan.available_components_wanted() {
            self.forget_components();
        }
        ServerVerdict { then: self.destination(scan, strip_full_state), strip_full_state }
    }

    fn destination(&mut self, scan: &ServerScan<'_>, stripped: bool) -> FromServer {
        let reply = self.reply_taken();
        let only_flag = stripped && {
            let mut rest = scan.clone();
            rest.flags &= !REPORT_FULL_STATE;
            rest.is_empty_ack()
        };
        match self.presence {
            Presence::Connected { .. } if reply => FromServer::Reply,
            Presence::Polling { .. } if reply => FromServer::Keep(true),
            _ if scan.is_empty_ack() || only_flag => FromServer::Swallow,
            Presence::Connected { .. } if !self.has_offers() => FromServer::Push,
            // Connected, but its first report is yet to be taken: what waited longer goes first.
            Presence::Connected { .. } | Presence::Polling { .. } | Presence::Lingering { .. } => {
                FromServer::Keep(false)
            }
            Presence::Leaving | Presence::Gone => FromServer::TooLate,
        }
    }

    /// Takes one owed reply off the account.
    fn reply_taken(&mut self) -> bool {
        if self.owed == 0 {
            return false;
        }
        self.owed -= 1;
        if self.owed == 0 {
            self.reply_due = None;
        }
        true
    }

    /// R4: the question is passed on once in a while for each incarnation.
    fn pass_full_state_on(&mut self, route: Route, now: Instant) -> bool {
        let passed = &mut self.rare_mut().ask_passed;
        let just_passed = passed.is_some_and(|(at, on)| {
            on == route && now.saturating_duration_since(at) < FULL_STATE_INTERVAL
        });
        if !just_passed {
            *passed = Some((now, route));
        }
        !just_passed
    }
}
