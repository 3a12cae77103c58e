//! What the table promises, held on a small fleet: the storm lasts 50 s, as that of 100,000 agents
//! at 2,000 a second does.

use super::scenario::{AdmissionPolicy, RefusalPolicy, Scenario};
use super::world::{SimulatedStorm, simulate};

const AGENTS: u32 = 5_000;
const RATE: u32 = 100;

fn parked() -> Scenario {
    // The same share of refusals is held back as by default of 100,000 agents.
    let policy = AdmissionPolicy { held_max: 205, ..AdmissionPolicy::parked() };
    Scenario::plain(RefusalPolicy::Admission(policy), AGENTS, RATE.try_into().unwrap())
}

fn within(outcome: SimulatedStorm, time: f64, attempts: f64) {
    assert!(outcome.disconnected == 0, "{outcome:?}");
    assert!(outcome.time <= time && outcome.attempts <= attempts, "{outcome:?}");
}

#[test]
fn a_storm_takes_hardly_longer_than_it_must() {
    within(simulate(parked()), 1.05, 2.1);
    within(simulate(Scenario { clocks: 0.0, ..parked() }), 1.05, 2.1);
    within(simulate(Scenario { nodes: 4, ..parked() }), 1.05, 2.1);
}

#[test]
fn obedient_agents_hardly_suffer_from_misbehaving_ones() {
    within(simulate(Scenario { misbehaving: 0.2, ..parked() }), 1.15, 2.3);
    // Ten times as long, in which the guard matters: unguarded, this takes seven times the ideal.
    let rate = (RATE / 10).try_into().unwrap();
    within(simulate(Scenario { misbehaving: 0.2, rate, ..parked() }), 1.15, 2.3);
}

#[test]
fn a_rate_that_changes_leaves_every_agent_admitted() {
    within(simulate(Scenario { rate_changes: 0.5, ..parked() }), 1.05, 2.3);
    within(simulate(Scenario { second_wave: true, ..parked() }), 1.05, 2.1);
    // Sleeping agents are out of reach, but agents that come afterwards are served before them.
    let late = Scenario { latecomers: 0.75, change_at: 0.1, rate_changes: 4.0, ..parked() };
    within(simulate(late), 1.05, 2.1);
}

#[test]
fn other_ways_are_worse() {
    let of = |policy| simulate(Scenario { policy, ..parked() });
    assert!(of(RefusalPolicy::Nothing).attempts > 4.0);
    assert!(of(RefusalPolicy::Within(30.0, 30.0)).time > 1.5);
    assert!(of(RefusalPolicy::Within(30.0, 60.0)).time > 1.5);
    let exact = Scenario { clocks: 0.0, policy: RefusalPolicy::Within(30.0, 30.0), ..parked() };
    assert!(simulate(exact).time > 5.0);
}

/// What is known of the agents leaves the obedient ones as they were.
#[test]
fn the_same_with_identities() {
    let policy = AdmissionPolicy { identities: true, ..AdmissionPolicy::parked() };
    let scenario =
        Scenario { policy: RefusalPolicy::Admission(policy), misbehaving: 0.2, ..parked() };
    within(simulate(scenario), 1.15, 2.3);
}
