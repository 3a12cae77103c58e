//! One channel of mode `http`: one message after the other, each a POST, over one keep-alive
//! connection.
//!
//! ```text
//!                 ┌─────────────── failed ──────────────┐
//!                 ▼     the wait is over, or            │
//!   start ──► Resting ── idle and a message waits ──► Dialling
//!                 ▲                                     │ dialled
//!                 │ the connection ended                ▼
//!                 ├──────────────────────────────────► Open ──► Posting
//!                 │                                     ▲          │
//!                 │                                     └─answered─┤
//!                 └────── lost, late, too big, went aside ─────────┘
//!   released and the queue is empty ──► Ended
//!   silenced, from anywhere ──► Resting
//! ```
//!
//! Apart from its connection a channel is *up* or down. It comes up with the first connection, and
//! stays up while connections come and go: servers close idle ones at any time, while
//! they are well. It goes down when a dial fails or the server counts as failing, because
//! then the server was away: the link's incarnation rises, and its agents are announced when it is
//! back. It goes down, too, when its node has to hold still, and stays so until the node may speak.
//!
//! What a broken connection took with it concerns one agent, and so does a status: the message's
//! session is told ([`ChannelEffect::NotTaken`]). A server that restarts within a moment learns of its
//! agents by their polls.

use std::time::{Duration, Instant};

use super::answer::{Answered, Meaning, PostResult, meaning, result};
use super::steps::{ChannelEffect, ChannelEvent, ChannelFacts};
use crate::core::backoff::{Backoff, Rule};
use crate::core::link::LossReason;
use crate::core::server::Blame;
use crate::mutation::{Breach, is_on};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ChannelState {
    /// Until then, unless `idle` and a message waits.
    Resting {
        until: Instant,
        idle: bool,
    },
    Dialling,
    /// Between two requests; the next one is sent from then on.
    Open {
        connection: Keep,
        rest_until: Instant,
    },
    Posting {
        connection: Keep,
    },
    Ended,
}

/// An open connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Keep {
    since: Instant,
    /// It has carried an exchange.
    served: bool,
}

/// See the module's text.
#[derive(Debug, Clone)]
pub struct HttpChannel {
    rule: Rule,
    state: ChannelState,
    backoff: Backoff,
    is_up: bool,
    effects: Vec<ChannelEffect>,
}

impl HttpChannel {
    /// Down; its first dial is due at once.
    pub fn new(rule: Rule, now: Instant) -> Self {
        let state = ChannelState::Resting { until: now, idle: false };
        Self { rule, state, backoff: Backoff::default(), is_up: false, effects: Vec::new() }
    }

    /// Takes an event. Returns what follows from it, in order.
    pub fn handle(
        &mut self,
        event: ChannelEvent,
        facts: ChannelFacts,
        now: Instant,
    ) -> Vec<ChannelEffect> {
        match (event, self.state) {
            (ChannelEvent::Wake, _) => self.look(facts, now),
            (ChannelEvent::Silenced, _) => self.silence(now),
            (ChannelEvent::Dialled { accepted }, ChannelState::Dialling) => {
                self.dialled(accepted, facts, now);
            }
            (ChannelEvent::DialFailed, ChannelState::Dialling) => {
                self.go_down();
                let wait = self.backoff.failed(self.rule, facts.jitter, None);
                self.state = ChannelState::Resting { until: now + wait, idle: false };
                self.effects.push(ChannelEffect::DialFailed { wait });
            }
            (ChannelEvent::ConnectionClosed, ChannelState::Open { connection, .. }) => {
                let wait = self.backoff.lost(self.rule, facts.jitter, connection.since, now);
                self.close(connection, LossReason::Closed, now);
                self.state = ChannelState::Resting { until: now + wait, idle: true };
            }
            (ChannelEvent::NotPosted, ChannelState::Posting { connection }) => {
                self.state = ChannelState::Open { connection, rest_until: now };
            }
            (ChannelEvent::WentAside, ChannelState::Posting { .. }) => {
                // The exchange has the connection, and sees to its end.
                self.state = ChannelState::Resting { until: now, idle: true };
            }
            (ChannelEvent::Answered(answered), ChannelState::Posting { connection }) => {
                self.answered(answered, connection, facts.jitter, now);
            }
            (ChannelEvent::Delivered { taken }, ChannelState::Posting { connection }) => {
                self.state = ChannelState::Open { connection, rest_until: now };
                self.effects.push(if taken {
                    ChannelEffect::ServerServed
                } else {
                    // It answers another message, and this one's answer will stay out.
                    ChannelEffect::NotTaken { again: false }
                });
            }
            (event, state) => debug_assert!(false, "{event:?} in {state:?}"),
        }
        std::mem::take(&mut self.effects)
    }

    /// Whether the channel is up: its agents can be spoken for.
    pub const fn is_up(&self) -> bool {
        self.is_up
    }

    /// What is due now.
    fn look(&mut self, facts: ChannelFacts, now: Instant) {
        match self.state {
            ChannelState::Resting { until, idle } => self.look_resting((until, idle), facts, now),
            ChannelState::Open { connection, rest_until } => {
                self.look_open(connection, rest_until, facts, now);
            }
            // Its driver is about to report what came of it.
            ChannelState::Dialling | ChannelState::Posting { .. } => {}
            ChannelState::Ended => self.effects.push(ChannelEffect::End),
        }
    }

    fn look_resting(&mut self, rest: (Instant, bool), facts: ChannelFacts, now: Instant) {
        let (until, idle) = rest;
        if facts.released && (!facts.waiting || facts.holds_still) {
            if facts.waiting {
                self.effects.push(ChannelEffect::GiveUp);
            }
            self.go_down();
            self.state = ChannelState::Ended;
            self.effects.push(ChannelEffect::End);
        } else if facts.holds_still || !facts.healthy {
            // A probe finds out when it is well; the dial follows at once. So it does when the node may speak.
            self.go_down();
            self.state = ChannelState::Resting { until: now, idle: false };
            self.effects.push(ChannelEffect::Wait { until: None, closable: false });
        } else if now < until && !facts.released && !(idle && facts.waiting) {
            self.effects.push(ChannelEffect::Wait { until: Some(until), closable: false });
        } else {
            self.state = ChannelState::Dialling;
            self.effects.push(ChannelEffect::Dial);
        }
    }

    fn look_open(
        &mut self,
        connection: Keep,
        rest_until: Instant,
        facts: ChannelFacts,
        now: Instant,
    ) {
        if facts.holds_still {
            return self.silence(now);
        }
        if !facts.healthy {
            // All channels go down together: it is the server's loss, as if each had been lost.
            self.go_down();
            self.close(connection, LossReason::Unhealthy, now);
            self.state = ChannelState::Resting { until: now, idle: false };
            return;
        }
        if now < rest_until && !facts.released {
            let until = Some(rest_until);
            self.effects.push(ChannelEffect::Wait { until, closable: false });
            return;
        }
        let heeded = facts.waiting && !is_on(Breach::HttpIgnoresPause);
        if let Some(pause) = facts.pause.filter(|_| heeded) {
            if facts.released {
                // The caller of the release has waited for as long as there was time.
                self.effects.push(ChannelEffect::GiveUp);
                return;
            }
            // Channels that wait for the same moment go on apart.
            let rest_until = now + pause + self.rule.initial.mul_f64(facts.jitter);
            self.state = ChannelState::Open { connection, rest_until };
            let until = Some(rest_until);
            self.effects.push(ChannelEffect::Wait { until, closable: false });
        } else if facts.waiting {
            self.state = ChannelState::Posting { connection };
            self.effects.push(ChannelEffect::Post);
        } else if facts.released {
            self.close(connection, LossReason::Released, now);
            self.state = ChannelState::Resting { until: now, idle: true };
        } else {
            self.effects.push(ChannelEffect::Wait { until: None, closable: true });
        }
    }

    fn dialled(&mut self, accepted: bool, facts: ChannelFacts, now: Instant) {
        if facts.holds_still || !facts.healthy {
            // What was under way on another channel, or the node, has just decided so.
            self.effects.push(ChannelEffect::Discard);
            self.state = ChannelState::Resting { until: now, idle: false };
            return;
        }
        let connection = Keep { since: now, served: false };
        self.state = ChannelState::Open { connection, rest_until: now };
        self.effects.push(ChannelEffect::Opened);
        if accepted && !self.is_up {
            self.is_up = true;
            self.effects.push(ChannelEffect::Up);
        }
    }

    fn answered(&mut self, answered: Answered, connection: Keep, jitter: f64, now: Instant) {
        let served = Keep { served: true, ..connection };
        match answered {
            Answered::Message => {
                self.backoff = Backoff::default();
                self.state = ChannelState::Posting { connection: served };
                self.effects.push(ChannelEffect::Deliver);
            }
            Answered::Status { status, retry_after } => {
                self.state = ChannelState::Open { connection: served, rest_until: now };
                self.answered_by_status(status, retry_after, jitter, now);
            }
            Answered::Unsent => {
                self.blame_unserved(connection);
                self.effects.push(ChannelEffect::Requeue);
                self.broken(connection, LossReason::Closed, jitter, now);
            }
            Answered::Lost => {
                self.not_answered(PostResult::Lost, !is_on(Breach::HttpForgetsLost));
                self.blame_unserved(connection);
                self.broken(connection, LossReason::Reset, jitter, now);
            }
            Answered::Timeout => {
                self.not_answered(PostResult::Timeout, true);
                self.effects.push(ChannelEffect::ServerFailed(Blame::Server));
                // However well it served before: a server that is too slow is given time.
                let slow = Keep { served: false, ..connection };
                self.broken(slow, LossReason::RequestTimeout, jitter, now);
            }
            Answered::Foreign => {
                self.state = ChannelState::Open { connection: served, rest_until: now };
                self.failed(PostResult::Foreign, Blame::Server, jitter, now);
            }
            Answered::TooBig => {
                self.not_answered(PostResult::TooBig, false);
                self.effects.push(ChannelEffect::ServerServed);
                self.broken(served, LossReason::TooBig, jitter, now);
            }
        }
    }

    /// The message failed, its agent is innocent of it, and the connection holds: the next one waits.
    fn failed(&mut self, result: PostResult, blame: Blame, jitter: f64, now: Instant) {
        self.not_answered(result, true);
        self.effects.push(ChannelEffect::ServerFailed(blame));
        let wait = self.backoff.failed(self.rule, jitter, None);
        if let ChannelState::Open { rest_until, .. } = &mut self.state {
            *rest_until = now + wait;
        }
    }

    fn answered_by_status(
        &mut self,
        status: u16,
        retry_after: Option<Duration>,
        jitter: f64,
        now: Instant,
    ) {
        match meaning(status) {
            Meaning::Throttled => {
                self.effects.push(ChannelEffect::PostFailed(PostResult::Unavailable));
                // It is still to be delivered: the very same message goes again, before all others.
                if !is_on(Breach::HttpDropsThrottled) {
                    self.effects.push(ChannelEffect::Requeue);
                }
                let asked = retry_after.map(|asked| asked.max(self.rule.initial));
                self.effects.push(ChannelEffect::PauseServer(asked));
            }
            Meaning::Failed(blame) => self.failed(result(blame), blame, jitter, now),
            Meaning::Refused(objection) => {
                if is_on(Breach::HttpRepeatsRefused) {
                    self.effects.push(ChannelEffect::Requeue);
                }
                self.effects.push(ChannelEffect::Refuse { status, objection });
                self.effects.push(ChannelEffect::ServerServed);
            }
        }
    }

    fn not_answered(&mut self, result: PostResult, again: bool) {
        self.effects.push(ChannelEffect::PostFailed(result));
        self.effects.push(ChannelEffect::NotTaken { again });
    }

    /// Connections end at any time, and many at once when a server restarts. One that ends at its
    /// first request counts as a failure: so ends each one where a balancer has lost its servers.
    fn blame_unserved(&mut self, connection: Keep) {
        if !connection.served {
            self.effects.push(ChannelEffect::ServerFailed(Blame::Server));
        }
    }

    /// A connection that has served may end at any time. One that ends before counts as a failure, so
    /// that a server which accepts and closes is dialled ever more slowly.
    fn broken(&mut self, connection: Keep, reason: LossReason, jitter: f64, now: Instant) {
        let wait = if connection.served {
            Duration::ZERO
        } else {
            self.backoff.failed(self.rule, jitter, None)
        };
        self.close(connection, reason, now);
        self.state = ChannelState::Resting { until: now + wait, idle: false };
    }

    /// What is under way is given up, and what waits is dropped unwritten.
    fn silence(&mut self, now: Instant) {
        self.go_down();
        match self.state {
            ChannelState::Open { connection, .. } | ChannelState::Posting { connection } => {
                self.close(connection, LossReason::HoldsStill, now);
            }
            ChannelState::Resting { .. } | ChannelState::Dialling => {}
            ChannelState::Ended => return,
        }
        self.state = ChannelState::Resting { until: now, idle: false };
    }

    fn close(&mut self, connection: Keep, reason: LossReason, now: Instant) {
        let held = now.saturating_duration_since(connection.since);
        self.effects.push(ChannelEffect::Closed { reason, held });
    }

    fn go_down(&mut self) {
        if std::mem::take(&mut self.is_up) {
            self.effects.push(ChannelEffect::Down);
        }
    }
}
