//! What the node knows and decides about one server: whether it can be reached, whether its agents
//! are placed on it, when it may be dialled, and what the log has already said of it.
//!
//! [`ServerState::handle`] takes an event and the time, and returns effects in the order in which
//! the caller carries them out. `upstream` carries them out with sockets, the simulation (`tests/sim`)
//! with queues: both drive this one machine. Links, messages and the pacer are the caller's: the effects
//! say what must happen to them.
//!
//! ```text
//!                        the last link is lost
//!             ┌───────────────────────────────────────────────┐
//!             ▼        a link is up, a probe is answered      │
//!           Away ─────────────────────────────────────────► Reached ◄────────────────┐
//!             │                                               │  ▲                   │
//!             │        messages of several agents fail in a row  │ one is served,    │ a link
//!             └──────────────────────┐      ┌─────────────────┘  │ a link is up      │ is up
//!                                    ▼      ▼                    │                   │
//!                                    Failing ────────────────────┘                   │
//!                                    │     ▲                                         │
//!                one is served,      ▼     │ messages fail                           │
//!                links are down     Returning ───────────────────────────────────────┘
//! ```
//!
//! Placement follows with a delay, so that a short outage leaves agents where they are. Each tick looks at it:
//!
//! ```text
//!            out of reach for failover_after
//!   in use ───────────────────────────────────► out of use
//!     ▲                                            │
//!     └──────── Reached for stable_after ──────────┘
//! ```
//!
//! A server that relapses (it was `Reached` for less than `stable_after` since it last failed) counts
//! as out of reach since its first failure. Otherwise one that answers probes alone would keep its
//! agents for good.
//!
//! While its node holds still a server is not judged: all links are down for a reason of the node's own. An outage is
//! counted anew from the moment at which the node may speak again.

mod failures;
mod keying;
mod probe;
mod reach;
mod told;

#[cfg(test)]
mod property_tests;
#[cfg(test)]
mod tests;

use std::time::{Duration, Instant};

pub use keying::{KeyedBy, Keying};
pub use reach::Reach;

use crate::core::backoff::{RETRY_AFTER_MAX, Rule};
use crate::ident::InstanceUid;
use crate::mutation::{Breach, is_on};
use failures::Failures;
use keying::ServerKeys;
use probe::DialProbe;
use told::Told;

/// The pause of an overloaded server that leaves its length open.
const PAUSE_DEFAULT: Duration = Duration::from_secs(5);

/// The times by which a server is judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ServerRules {
    /// How long a server stays in use while it is out of reach.
    pub failover_after: Duration,
    /// How long it must be within reach before it is in use again.
    pub stable_after: Duration,
    /// How probes follow each other, for a server without shared links (mode `per-agent`): its
    /// return shows only when it is dialled for the purpose.
    pub dial_probes: Option<Rule>,
    /// How it knows its agents.
    pub keyed_by: KeyedBy,
}

/// Whose fault it is that messages fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Blame {
    /// The server's: it is in trouble, or leaves requests unanswered.
    Server,
    /// The gateway's: its credential is refused.
    Credential,
    /// The gateway's: it has the address of something else than OpAMP.
    Address,
}

/// Something has happened at a server.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum ServerEvent {
    /// A link is up. Pairs with [`ServerEvent::LinkLost`].
    LinkUp,
    /// A link that was up is gone, for whatever reason.
    LinkLost,
    /// A dial failed.
    DialFailed(FailedDial),
    /// The dial that [`ServerEffect::Probe`] wanted succeeded; its connection is closed again.
    ProbeAnswered,
    /// That dial failed.
    ProbeFailed {
        /// Why.
        dial: FailedDial,
        /// Uniform in 0..1: spreads the next probe.
        jitter: f64,
    },
    /// A message of this agent's failed, and the agent is innocent of it (mode `http`).
    MessageFailed {
        /// Whose message it was.
        uid: InstanceUid,
        /// How many agents the server has.
        agents: usize,
    },
    /// The server has taken a message, or has said what is wrong with one (mode `http`).
    MessageServed,
    /// The server has asked for a pause, of this length or of one that it leaves open.
    PauseAsked(Option<Duration>),
    /// The server refused a message for good, with this HTTP status (mode `http`).
    MessageRefused(u16),
    /// A push came without an agent's uid.
    AnonymousPush,
    /// What it did with an agent that came from another home shows how it knows its agents.
    ShowsKeying(Keying),
    /// The node holds still: its links end, and none is dialled.
    HoldStill,
    /// The node may speak again.
    MaySpeak,
    /// Time has passed: comes several times a second.
    Tick,
}

/// What a server answered to a dial, if it answered.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct FailedDial {
    /// Its `Retry-After`.
    pub retry_after: Option<Duration>,
    /// Whether it says that it has too much to do (429, 503).
    pub overloaded: bool,
}

/// What the caller must do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ServerEffect {
    /// The first link is up.
    FirstLink,
    /// The last link is gone: the pacer forgets what was in flight and how fast the server was.
    LastLinkLost,
    /// The pacer holds everything back for this long.
    Pause(Duration),
    /// Messages fail: all channels go down (mode `http`).
    Fails,
    /// Messages are taken again: channels may come up (mode `http`).
    Recovers,
    /// Dial once, and report [`ServerEvent::ProbeAnswered`] or [`ServerEvent::ProbeFailed`].
    Probe,
    /// From here on agents are placed on this server (`true`) or on the others: all sessions are
    /// enqueued where they belong now.
    InUse(bool),
    /// The server is out of use: what was enqueued at it meanwhile goes where it belongs.
    PassOn,
    /// What has happened is the first of its kind: the log shows it at the default level.
    Tell,
}

/// See the module's text.
#[derive(Debug, Clone)]
pub struct ServerState {
    rules: ServerRules,
    reach: Reach,
    in_use: bool,
    links_up: usize,
    /// The node holds still.
    holds_still: bool,
    /// A dial is allowed from then on: the server answered one with `Retry-After`.
    held_until: Option<Instant>,
    failures: Failures,
    probe: Option<DialProbe>,
    told: Told,
    keys: ServerKeys,
}

impl ServerState {
    /// A server before its first dial. Agents are placed on it from the start.
    pub fn new(rules: ServerRules, now: Instant) -> Self {
        Self {
            rules,
            reach: Reach::Away { since: now },
            in_use: true,
            links_up: 0,
            holds_still: false,
            held_until: None,
            failures: Failures::default(),
            probe: rules.dial_probes.map(|rule| DialProbe::new(rule, now)),
            told: Told::default(),
            keys: ServerKeys::new(rules.keyed_by),
        }
    }

    /// Takes an event. Returns what follows from it, in order.
    pub fn handle(&mut self, event: ServerEvent, now: Instant) -> Vec<ServerEffect> {
        let mut effects = Vec::new();
        match event {
            ServerEvent::LinkUp => self.link_up(now, &mut effects),
            ServerEvent::LinkLost => self.link_lost(now, &mut effects),
            ServerEvent::DialFailed(dial) => {
                self.dial_failed(dial, now, &mut effects);
                tell(self.told.dial_failed(), &mut effects);
            }
            ServerEvent::ProbeAnswered => {
                self.enter(self.reach.connected(now));
                self.probe.iter_mut().for_each(DialProbe::answered);
            }
            ServerEvent::ProbeFailed { dial, jitter } => {
                self.dial_failed(dial, now, &mut effects);
                self.probe.iter_mut().for_each(|probe| probe.failed(dial, jitter, now));
            }
            ServerEvent::MessageFailed { uid, agents } => {
                if self.failures.failed(uid, agents) && !self.is_failing() {
                    self.enter(self.reach.failed(self.rules.stable_after, now));
                    effects.push(ServerEffect::Fails);
                }
            }
            ServerEvent::MessageServed => {
                self.failures = Failures::default();
                if self.is_failing() {
                    self.enter(self.reach.served(self.links_up > 0, now));
                    effects.push(ServerEffect::Recovers);
                }
            }
            ServerEvent::PauseAsked(asked) => pause(asked.unwrap_or(PAUSE_DEFAULT), &mut effects),
            ServerEvent::MessageRefused(status) => tell(self.told.refused(status), &mut effects),
            ServerEvent::AnonymousPush => tell(self.told.anonymous(), &mut effects),
            ServerEvent::ShowsKeying(keying) => tell(self.keys.shows(keying), &mut effects),
            ServerEvent::HoldStill => self.holds_still = true,
            ServerEvent::MaySpeak => {
                self.holds_still = false;
                self.reach = self.reach.counted_from(now);
            }
            ServerEvent::Tick => self.tick(now, &mut effects),
        }
        effects
    }

    fn link_up(&mut self, now: Instant, effects: &mut Vec<ServerEffect>) {
        self.told.link_up();
        self.links_up += 1;
        self.enter(self.reach.connected(now));
        if self.links_up == 1 {
            effects.push(ServerEffect::FirstLink);
        }
    }

    fn link_lost(&mut self, now: Instant, effects: &mut Vec<ServerEffect>) {
        self.links_up = self.links_up.saturating_sub(1);
        if self.links_up == 0 {
            self.enter(self.reach.disconnected(now));
            effects.push(ServerEffect::LastLinkLost);
        }
    }

    /// What one link is told by `Retry-After` holds for all of them. A server that is too busy for
    /// another link is too busy for messages on the links that it has.
    fn dial_failed(&mut self, dial: FailedDial, now: Instant, effects: &mut Vec<ServerEffect>) {
        if self.links_up == 0 {
            self.enter(self.reach.disconnected(now));
        }
        let Some(asked) = dial.retry_after else { return };
        if dial.overloaded {
            pause(asked, effects);
        }
        self.held_until = self.held_until.max(Some(now + asked.min(RETRY_AFTER_MAX)));
    }

    fn tick(&mut self, now: Instant, effects: &mut Vec<ServerEffect>) {
        if !self.holds_still {
            self.judge(now, effects);
        }
        if !self.in_use {
            effects.push(ServerEffect::PassOn);
        }
    }

    fn judge(&mut self, now: Instant, effects: &mut Vec<ServerEffect>) {
        let may_dial = !self.is_reached() && self.held(now).is_none();
        if may_dial && self.probe.is_some_and(|probe| probe.is_due(now)) {
            effects.push(ServerEffect::Probe);
        }
        let lasting = now.saturating_duration_since(self.reach.since());
        let in_use = match (self.in_use, self.is_reached()) {
            (true, false) => lasting < self.rules.failover_after,
            (false, true) => lasting >= self.rules.stable_after,
            (unchanged, _) => unchanged,
        };
        if in_use != self.in_use {
            self.in_use = in_use;
            effects.push(ServerEffect::InUse(in_use));
        }
    }

    fn enter(&mut self, next: Reach) {
        debug_assert!(self.reach.may_become(next), "{:?} to {next:?}", self.reach);
        self.reach = next;
    }

    /// Whether, and since when, the server can be reached.
    pub const fn reach(&self) -> Reach {
        self.reach
    }

    /// Whether messages can be sent to it: a link is up or the last dial succeeded, and what is sent
    /// is taken.
    pub const fn is_reached(&self) -> bool {
        matches!(self.reach, Reach::Reached { .. })
    }

    /// Whether messages fail, so that channels must stay down.
    pub const fn is_failing(&self) -> bool {
        matches!(self.reach, Reach::Failing { .. })
    }

    /// Whether agents are placed here.
    pub const fn in_use(&self) -> bool {
        self.in_use
    }

    /// Whether the node holds still: no word of any agent's may go to this server.
    pub fn holds_still(&self) -> bool {
        self.holds_still && !is_on(Breach::HoldStillSpeaks)
    }

    /// How it knows its agents, as far as it has shown.
    pub const fn keying(&self) -> Keying {
        self.keys.keying()
    }

    /// Links that are up.
    pub const fn links_up(&self) -> usize {
        self.links_up
    }

    /// How long dials are still held back; `None`: one may go now.
    pub fn held(&self, now: Instant) -> Option<Duration> {
        let until = self.held_until?;
        (until > now).then(|| until - now)
    }

    /// One of the agents whose messages failed, a different one for each `number`: a probe can be sent
    /// on its behalf.
    pub fn reporter(&self, number: usize) -> Option<InstanceUid> {
        let index = number.checked_rem(self.failures.reporters().count())?;
        self.failures.reporters().nth(index)
    }
}

/// A server's wish for a pause is obeyed within reason: after a mistake in a unit its agents are heard
/// again in time.
fn pause(asked: Duration, effects: &mut Vec<ServerEffect>) {
    effects.push(ServerEffect::Pause(asked.min(RETRY_AFTER_MAX)));
}

fn tell(first: bool, effects: &mut Vec<ServerEffect>) {
    if first {
        effects.push(ServerEffect::Tell);
    }
}
