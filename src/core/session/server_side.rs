//! What a server's message for this agent leads to.

use std::time::{Duration, Instant};

use super::{Presence, Route, Session};
use crate::mutation::{Breach, is_on};
use crate::opamp::server::{ErrorKind, ServerScan};

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
    /// It comes from a server that the agent has been moved away from: the present one decides.
    Former,
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
    /// Flags that are taken out of it: what the server asks for comes from what is kept (R4).
    pub strip: u64,
    /// What it says about the server as an answer; `None` if it was none.
    pub answer: Option<Answer>,
}

/// A message that came to nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotTaken {
    /// Whether the agent still awaits a reply.
    pub acknowledge: bool,
}

/// An answer of the server's, as its pace is judged by it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Answer {
    /// How long the server took, if that can be told.
    pub after: Option<Duration>,
    /// It answers an introduction without state: whether it asked for the full state.
    pub introduction: Option<bool>,
    /// The session whose message it answers is over, or has left this server.
    pub orphan: bool,
}

impl Answer {
    /// One to a message of which nothing more is known.
    pub const SOME: Self = Self { after: None, introduction: None, orphan: false };
    /// One to a message whose session is over.
    pub const ORPHAN: Self = Self { orphan: true, ..Self::SOME };
}

impl Session {
    /// A server's message whose uid is this agent's. A reply and a push look alike on the wire;
    /// while the server owes a reply, the first message counts as it.
    pub fn from_server(
        &mut self,
        scan: &ServerScan<'_>,
        route: Route,
        now: Instant,
    ) -> ServerVerdict {
        if self.sent_on.is_some_and(|sent_on| sent_on.link.server != route.link.server) {
            return ServerVerdict {
                then: FromServer::Former,
                strip: 0,
                answer: Some(Answer::ORPHAN),
            };
        }
        let answer = self.take_answer(scan, route, now);
        if let Some(error) = scan.error() {
            let unavailable = error.kind == ErrorKind::Unavailable;
            if let Some(picture) = &mut self.picture {
                // Which message it refused, the server does not say. If none was awaited, another
                // message passed for its answer, and what it brought is no longer known.
                picture.refused(answer.is_some(), unavailable);
            }
            if unavailable {
                // It may have been the touch that was refused.
                self.announce_due = true;
                let acknowledge = self.reply_taken();
                let then = FromServer::Unavailable { retry_after: error.retry_after, acknowledge };
                return ServerVerdict { then, strip: 0, answer };
            }
        }
        self.note_all_answered(now);
        let strip = self.note_asks(scan, now);
        ServerVerdict { then: self.destination(scan, strip), strip, answer }
    }

    /// Takes one message off the account of those that the server has not answered.
    fn take_answer(&mut self, scan: &ServerScan<'_>, route: Route, now: Instant) -> Option<Answer> {
        if self.sent_on != Some(route) || self.unanswered == 0 {
            return None;
        }
        self.unanswered -= 1;
        // With several under way it cannot be told which of them this one answers.
        let after = self.sent_at.filter(|_| self.unanswered == 0);
        let introduces = std::mem::take(&mut self.introducing);
        Some(Answer {
            after: after.map(|at| now.saturating_duration_since(at)),
            introduction: (introduces && scan.error_response.is_none())
                .then(|| scan.reports_full_state_wanted()),
            orphan: false,
        })
    }

    /// A message that went out on `route` came to nothing: its answer will not come. `again`: what it
    /// said of the agent's state is to be sent once more. `None`: no answer was awaited any more, and
    /// what was lost has been seen to.
    pub fn not_taken(&mut self, route: Route, again: bool) -> Option<NotTaken> {
        if self.sent_on != Some(route) || self.unanswered == 0 {
            return None;
        }
        self.unanswered -= 1;
        self.introducing = false;
        if let Some(picture) = &mut self.picture {
            picture.refused(true, again);
        }
        // It may have been a touch.
        self.announce_due |= again;
        Some(NotTaken { acknowledge: self.reply_taken() })
    }

    fn note_all_answered(&mut self, now: Instant) {
        self.end_echoes(now);
        if self.unanswered == 0
            && !self.hears_echoes()
            && let Some(picture) = &mut self.picture
        {
            picture.all_answered();
        }
    }

    fn destination(&mut self, scan: &ServerScan<'_>, strip: u64) -> FromServer {
        let reply = self.reply_taken();
        let is_empty = scan.without_flags(strip).is_empty_ack();
        match self.presence {
            Presence::Connected { .. } if reply => FromServer::Reply,
            Presence::Polling { .. } if reply => FromServer::Keep(true),
            _ if is_empty && !is_on(Breach::R5AnswersTwice) => FromServer::Swallow,
            Presence::Connected { .. } if !self.has_offers() => FromServer::Push,
            // Connected, but its first report is yet to be taken: what waited longer goes first.
            Presence::Connected { .. } | Presence::Polling { .. } | Presence::Absent { .. } => {
                FromServer::Keep(false)
            }
            Presence::Disconnecting | Presence::Gone => FromServer::TooLate,
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
}
