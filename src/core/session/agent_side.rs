//! What an agent's message leads to: sent on or answered here, and when it is answered.

use std::time::{Duration, Instant};

use super::{FullState, Policy, Presence, Route, Session};
use crate::ident::SequenceNum;
use crate::mutation::{Breach, is_on};
use crate::opamp::agent::AgentScan;

/// When the agent gets its reply (R5).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reply {
    /// The gateway answers at once.
    Now,
    /// The server's own reply is awaited until [`Session::reply_due`].
    Wait,
}

/// What an agent's message says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Says {
    /// That the agent is there, and nothing else (R9).
    Alive {
        /// The server is to hear it.
        goes_on: bool,
    },
    /// Something that the server may not have: [`Session::news`] tells.
    Something,
}

/// What is to be done with an agent's message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReportVerdict {
    /// What it says.
    pub says: Says,
    /// The agent's own numbers jumped: messages were lost before they came here (R3).
    pub gap: bool,
    /// The agent's process is a new one: nothing is known of it yet.
    pub new_process: bool,
    /// A restart command that waited for the old process is dropped (R7).
    pub restart_dropped: bool,
}

/// First numbers in use: 0 (opamp-go) and 1 (Java, New Relic).
const FIRST_NUMBER_MAX: SequenceNum = SequenceNum(1);

impl Session {
    /// An agent's message, before it is sent anywhere. `route` is where it would go.
    pub fn report(
        &mut self,
        scan: &AgentScan<'_>,
        route: Option<Route>,
        now: Instant,
        policy: &Policy,
    ) -> ReportVerdict {
        let changed = self.agent_number.is_some() && self.capabilities != scan.capabilities;
        let (gap, new_process) = self.count(scan);
        let restart_dropped = new_process && self.drop_restart();
        self.capabilities = scan.capabilities;
        self.heard(now);
        self.full_state = self.full_state.after_report(self.has_offers(), now);
        self.map_may_be_late(now);
        if self.full_state.made_whole_by(scan) {
            if matches!(self.full_state, FullState::Asked(_)) && scan.is_full() {
                self.said_all = true;
                self.doubt_answer(scan, now);
            }
            self.full_state = FullState::Reported;
        }
        self.settle_doubt(now);
        if scan.disconnects() {
            // Whether it goes on now or later: `gone` and `not_sent` say.
            self.presence = Presence::Disconnecting;
        }
        let says = if scan.is_heartbeat() && !changed {
            Says::Alive { goes_on: self.heartbeat_goes_on(route, now, policy) }
        } else {
            Says::Something
        };
        ReportVerdict { says, gap, new_process, restart_dropped }
    }

    /// Follows the agent's numbers. A message that is not the next one is either a new process's
    /// first or the sign of a loss, which only a full report mends.
    fn count(&mut self, scan: &AgentScan<'_>) -> (bool, bool) {
        let number = scan.sequence_num;
        let (gap, new_process) = match self.agent_number {
            None => {
                // Upstream numbers start from the agent's.
                self.upstream_number = SequenceNum(number.0.wrapping_sub(1));
                (false, false)
            }
            Some(last) if number == last.next() => {
                self.agent_number = Some(number);
                return (false, false);
            }
            // The same number again is what an agent sends over plain HTTP that has not got the
            // reply: it says nothing new, and the reply may have offered something.
            Some(last) if number == last && number > FIRST_NUMBER_MAX => {
                self.reply_may_be_lost();
                self.questions_may_be_lost();
                return (false, false);
            }
            Some(_) => {
                let new_process = number <= FIRST_NUMBER_MAX;
                if new_process {
                    // It may have forgotten what the old one had taken from the server.
                    self.forget_picture();
                    self.forget_doubt();
                    self.said_all = false;
                }
                (!new_process, new_process)
            }
        };
        // Whatever the agent said before, to this gateway or another, may be lost. Before 0 it has
        // said nothing; 1 is the first number of some, and the second of others.
        let says_all = self.full_state.is_mended_by(scan) || number.0 == 0 && scan.is_full();
        let ignored = is_on(if gap { Breach::R6IgnoresGap } else { Breach::R6IgnoresRestart });
        if !says_all && (new_process || !ignored) {
            self.want_full_state();
        }
        self.agent_number = Some(number);
        (gap, new_process)
    }

    /// R9. A heartbeat also goes on when this incarnation of the link has not seen the agent: it
    /// is the touch that introduces it.
    fn heartbeat_goes_on(&self, route: Option<Route>, now: Instant, policy: &Policy) -> bool {
        if is_on(Breach::R9ForwardsAll) || is_on(Breach::R9ForwardsNone) {
            return route.is_some() && is_on(Breach::R9ForwardsAll);
        }
        let (Some(route), Some(sent_at)) = (route, self.sent_at) else {
            return route.is_some();
        };
        !self.is_introduced(Some(route))
            || now.saturating_duration_since(sent_at) >= policy.heartbeat_forward_interval
    }

    /// The message was answered here, or the server's reply to it is awaited.
    pub fn owe_reply(&mut self, awaited: bool, now: Instant, policy: &Policy) -> Reply {
        if !awaited || policy.reply_wait.is_zero() {
            return Reply::Now;
        }
        self.owed = self.owed.saturating_add(1);
        if self.reply_due.is_none() {
            self.reply_due = Some(now + policy.reply_wait);
        }
        Reply::Wait
    }

    /// For how long the agent has been waiting for the oldest reply it is owed.
    pub fn waited(&self, now: Instant, policy: &Policy) -> Option<Duration> {
        let left = self.reply_due?.saturating_duration_since(now);
        Some(policy.reply_wait.saturating_sub(left))
    }

    /// How many acknowledgements the gateway owes in the server's place, now that its time is up.
    pub fn reply_overdue(&mut self, now: Instant) -> u32 {
        let overdue = self.reply_due.is_some_and(|due| due <= now);
        if overdue && !is_on(Breach::R5NeverAnswers) { self.waive_replies() } else { 0 }
    }

    /// The server's own replies are no longer waited for; says how many the gateway has to give.
    pub const fn waive_replies(&mut self) -> u32 {
        self.reply_due = None;
        std::mem::replace(&mut self.owed, 0)
    }
}
