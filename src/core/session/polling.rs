//! The entries for servers over plain HTTP, which can speak only when they are asked: a poll on the agent's
//! behalf, and a probe of whether the server is of use again.

use std::time::Duration;

use super::former_home::is_held_back;
use super::liveness::{SignOfLife, sign_of_life};
use super::work::{Work, route};
use super::{Moment, Port, Session, ToServer};
use crate::ident::ServerId;

/// What came of a poll.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Polled {
    /// The session waits for a permit, or before that for the answer to another message of the agent's.
    Due,
    /// The server has heard of the agent lately, or is about to.
    NotYet,
    /// The agent is gone, or is another server's.
    Away,
}

/// A message by which a server is asked whether it is of use again. It leaves the agent's state out.
#[derive(Debug)]
pub struct Probe {
    /// It introduces its agent, and the session awaits the answer. Else it says that the agent has left, and
    /// the answer is for the prober alone.
    pub introduces: bool,
    /// The message, without a header.
    pub body: Vec<u8>,
}

impl Session {
    /// The session is to ask `server`, with a permit, whether it has something for the agent. It is spared
    /// if it has heard of the agent less than `silence` ago.
    pub fn poll_due<P: Port>(
        &mut self,
        server: ServerId,
        silence: Duration,
        moment: &Moment<'_>,
        port: &mut P,
    ) -> Polled {
        let is_here = port.route().is_some_and(|route| route.server() == server);
        if !is_here || self.attendance.has_left() {
            return Polled::Away;
        }
        let held_back = is_held_back(self, moment.now);
        if held_back
            || self.outstanding.heard_within(silence, moment.now)
            || self.permits.announce_due()
        {
            return Polled::NotYet;
        }
        let mut work = Work::of(self, moment, port);
        let sign = route(&work).map_or(SignOfLife::Goes, |on| sign_of_life(&mut work, on));
        if sign == SignOfLife::Goes {
            work.session.permits.announce_later();
        }
        work.finish();
        if sign == SignOfLife::Stays { Polled::NotYet } else { Polled::Due }
    }

    /// Makes a message for `server` on behalf of this agent, while no other message goes there. An agent that
    /// was moved away takes its leave, which it had to put off at the time; the number is the next one, which its
    /// present server will hear. `None`: the agent has left, or another node may speak for it.
    pub fn probe<P: Port>(
        &mut self,
        server: ServerId,
        moment: &Moment<'_>,
        port: &mut P,
    ) -> Option<Probe> {
        let silent = self.drains || moment.drains || is_held_back(self, moment.now);
        if silent || self.attendance.has_left() {
            return None;
        }
        let route = self.outstanding.through(port.route()?);
        let uid = self.uid;
        let mut body = Vec::new();
        if route.server() != server {
            ToServer::Disconnect { number: self.numbers.next() }.write(uid, &mut body);
            return Some(Probe { introduces: false, body });
        }
        let mut work = Work::of(self, moment, port);
        work.leave_former_server(route);
        work.announcement().write(uid, &mut body);
        work.announced(route);
        work.finish();
        Some(Probe { introduces: true, body })
    }
}
