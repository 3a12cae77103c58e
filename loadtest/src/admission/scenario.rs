//! What is simulated: the fleet, the gateway's policy, and what happens meanwhile.

use std::num::NonZeroU32;
use std::time::Duration;

use seawall::core::admission::AdmissionParams;

/// What a refused agent is told.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum RefusalPolicy {
    /// Nothing: the agent waits by its own rule.
    Nothing,
    /// A time between these two, in seconds.
    Within(f64, f64),
    /// What the gateway's own code says.
    Admission(AdmissionPolicy),
}

/// How the gateway's own code is set.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct AdmissionPolicy {
    pub(crate) park_horizon: Duration,
    pub(crate) overbook_percent: u16,
    pub(crate) retry_min: Duration,
    pub(crate) held_max: usize,
    /// How many disconnected agents admission is told of, as a multiple of the truth; `None` tells
    /// it nothing.
    pub(crate) backlog_told: Option<f64>,
    /// Whether it is told at once what the rate will be from half-time on.
    pub(crate) change_expected: bool,
    /// Whether agents can be recognised.
    pub(crate) identities: bool,
}

impl AdmissionPolicy {
    /// The defaults.
    pub(crate) const fn parked() -> Self {
        let defaults = AdmissionParams::new(NonZeroU32::MIN);
        Self {
            park_horizon: defaults.park_horizon,
            overbook_percent: defaults.overbook_percent,
            retry_min: defaults.retry_min,
            held_max: defaults.held_max,
            backlog_told: Some(1.0),
            change_expected: false,
            identities: false,
        }
    }

    /// The same with reservations alone: no agent is parked.
    pub(crate) const fn reservations() -> Self {
        Self { park_horizon: Duration::ZERO, overbook_percent: 10, ..Self::parked() }
    }

    pub(crate) const fn params(self, rate: NonZeroU32) -> AdmissionParams {
        AdmissionParams {
            park_horizon: self.park_horizon,
            overbook_percent: self.overbook_percent,
            retry_min: self.retry_min,
            held_max: self.held_max,
            ..AdmissionParams::new(rate)
        }
    }
}

/// One storm.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Scenario {
    pub(crate) policy: RefusalPolicy,
    pub(crate) agents: u32,
    /// Entries a second, over all nodes.
    pub(crate) rate: NonZeroU32,
    /// Nodes, among which each dial is spread by chance.
    pub(crate) nodes: u32,
    /// Agents' clocks run wrong by up to this part either way.
    pub(crate) clocks: f64,
    /// This part of the agents ignores what it is told and dials again a second after each refusal.
    pub(crate) misbehaving: f64,
    /// When something happens, as a part of agents / rate.
    pub(crate) change_at: f64,
    /// The rate is multiplied by this then.
    pub(crate) rate_changes: f64,
    /// Half of the fleet loses its connections then.
    pub(crate) second_wave: bool,
    /// This part of the agents dials for the first time then.
    pub(crate) latecomers: f64,
    /// Within this time all that begin to dial do.
    pub(crate) spread: Duration,
    pub(crate) seed: u64,
}

impl Scenario {
    /// A storm in which all agents dial at once and the rate stays.
    pub(crate) const fn plain(policy: RefusalPolicy, agents: u32, rate: NonZeroU32) -> Self {
        Self {
            policy,
            agents,
            rate,
            nodes: 1,
            clocks: 0.1,
            misbehaving: 0.0,
            change_at: 0.5,
            rate_changes: 1.0,
            second_wave: false,
            latecomers: 0.0,
            spread: Duration::from_secs(1),
            seed: 1,
        }
    }

    /// When something happens.
    pub(crate) fn change(&self) -> Duration {
        let whole = f64::from(self.agents) / f64::from(self.rate.get());
        Duration::from_secs_f64(whole * self.change_at)
    }

    /// The shortest time, in seconds, in which `entries` can be admitted.
    pub(crate) fn ideal(&self, entries: u64) -> f64 {
        let rate = f64::from(self.rate.get());
        let until_change = self.change().as_secs_f64() * rate;
        let after = (entries as f64 - until_change).max(0.0);
        (entries as f64).min(until_change) / rate + after / (rate * self.rate_changes)
    }
}
