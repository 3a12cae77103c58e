//! When a failing server of mode `http` is probed, on whose behalf, and what the answer says of it.
//!
//! ```text
//!                fails                       the wait and the pause are over
//!   Healthy ──────────────► Waiting ─────────────────────────────────────────► Trying
//!      ▲                      │ ▲                                                │
//!      │      is taken again  │ └──────────────────── refused ───────────────────┤
//!      └──────────────────────┴───────────────────── answered ───────────────────┘
//! ```
//!
//! Here it takes a message to prove that the server is well, and what an agent has reported must be safe
//! from the attempt. So the message leaves the agent's state out, and it goes on behalf of an agent whose
//! message failed. If that agent is still this server's, it is announced, which is due anyway. If it was moved
//! to another server, this one is told so, which is news to it. Probes go one at a time, and
//! wait for each other as dials do.

use std::time::{Duration, Instant};

use super::answer::{Answered, Meaning, meaning};
use crate::core::backoff::{Backoff, Rule};
use crate::mutation::{Breach, is_on};

/// What decisions rest on besides the past probes.
#[derive(Debug, Clone, Copy)]
pub struct ProbeFacts {
    /// The server is in any state but [`crate::core::server::Reach::Failing`].
    pub healthy: bool,
    /// The node holds still.
    pub holds_still: bool,
    /// How long the server's pause still lasts.
    pub pause: Option<Duration>,
    /// Uniform in 0..1.
    pub jitter: f64,
}

/// Something has happened to the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProbeEvent {
    /// Time has passed, or the server's health has changed.
    Wake,
    /// The probe came to this.
    Tried(ProbeOutcome),
}

/// What became of a probe.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProbeOutcome {
    /// The server takes messages, or has said what is wrong with one. Also when all agents have left
    /// by whom to ask: the next one will find out.
    Good,
    /// It fails as before, and wants to be left alone for this long.
    Bad {
        /// Its `Retry-After`.
        retry_after: Option<Duration>,
    },
}

impl ProbeOutcome {
    /// As before, with a wait of the gateway's own choice.
    pub const BAD: Self = Self::Bad { retry_after: None };

    /// What the answer to a probe says of the server.
    pub const fn of(answered: Answered) -> Self {
        match answered {
            Answered::Message | Answered::TooBig => Self::Good,
            Answered::Status { status, retry_after } => match meaning(status) {
                Meaning::Refused(_) => Self::Good,
                Meaning::Throttled | Meaning::Failed(_) => Self::Bad { retry_after },
            },
            Answered::Unsent | Answered::Lost | Answered::Timeout | Answered::Foreign => Self::BAD,
        }
    }
}

/// What the caller must do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProbeStep {
    /// Wait for that moment, or for a change of the server's health, or until the node may speak again.
    Wait(Option<Instant>),
    /// Probe, for the agent that [`crate::core::server::ServerState::reporter`] names for this
    /// number, and report [`ProbeEvent::Tried`].
    Try(usize),
    /// The server's state learns that it has served.
    Served,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ProbeState {
    /// Since then.
    Healthy(Instant),
    Waiting(Instant),
    Trying,
}

/// See the module's text.
#[derive(Debug, Clone)]
pub struct HttpProbe {
    rule: Rule,
    backoff: Backoff,
    state: ProbeState,
    tries: usize,
}

impl HttpProbe {
    /// Of a server that is well so far.
    pub fn new(rule: Rule, now: Instant) -> Self {
        Self { rule, backoff: Backoff::default(), state: ProbeState::Healthy(now), tries: 0 }
    }

    /// Takes an event. Returns what is due.
    pub fn handle(&mut self, event: ProbeEvent, facts: ProbeFacts, now: Instant) -> ProbeStep {
        if let ProbeEvent::Tried(outcome) = event {
            let ProbeOutcome::Bad { retry_after } = outcome else { return ProbeStep::Served };
            let wait = self.backoff.failed(self.rule, facts.jitter, retry_after);
            self.state = ProbeState::Waiting(now + wait.max(facts.pause.unwrap_or_default()));
        }
        match (self.state, facts.healthy) {
            (ProbeState::Healthy(_), true) => ProbeStep::Wait(None),
            (ProbeState::Waiting(_) | ProbeState::Trying, true) => {
                self.state = ProbeState::Healthy(now);
                ProbeStep::Wait(None)
            }
            (_, false) if facts.holds_still || is_on(Breach::HttpNeverProbes) => {
                ProbeStep::Wait(None)
            }
            (ProbeState::Healthy(since), false) => {
                // A server that answered probes and failed all else counts as failing throughout.
                let wait = self.backoff.lost(self.rule, facts.jitter, since, now);
                self.wait_until(now + wait.max(facts.pause.unwrap_or_default()))
            }
            (ProbeState::Waiting(until), false) if now < until => self.wait_until(until),
            (ProbeState::Waiting(_) | ProbeState::Trying, false) => {
                self.state = ProbeState::Trying;
                self.tries = self.tries.wrapping_add(1);
                ProbeStep::Try(self.tries)
            }
        }
    }

    const fn wait_until(&mut self, until: Instant) -> ProbeStep {
        self.state = ProbeState::Waiting(until);
        ProbeStep::Wait(Some(until))
    }
}
