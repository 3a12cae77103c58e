//! A server's life, event by event.

use std::time::{Duration, Instant};

use super::*;
use ServerEffect::{Fails, FirstLink, InUse, LastLinkLost, PassOn, Pause, Probe, Recovers, Tell};
use ServerEvent::{
    AnonymousPush, HoldStill, LinkLost, LinkUp, MaySpeak, MessageRefused, MessageServed,
    PauseAsked, ProbeAnswered, Tick,
};

const SECOND: Duration = Duration::from_secs(1);

const RULES: ServerRules = ServerRules {
    failover_after: Duration::from_secs(30),
    stable_after: Duration::from_secs(10),
    dial_probes: None,
    keyed_by: KeyedBy::Auto,
};

fn agent(n: u8) -> InstanceUid {
    InstanceUid::from_bytes([n; 16])
}

/// A server, and its time in seconds since the start.
struct Life {
    state: ServerState,
    start: Instant,
}

impl Life {
    fn new(rules: ServerRules) -> Self {
        let start = crate::clock::now();
        Self { state: ServerState::new(rules, start), start }
    }

    fn at(&mut self, second: u32, event: ServerEvent) -> Vec<ServerEffect> {
        self.state.handle(event, self.start + SECOND * second)
    }

    fn fail(&mut self, second: u32) -> Vec<ServerEffect> {
        let event = |n| ServerEvent::MessageFailed { uid: agent(n), agents: 100 };
        [1, 2, 3, 4].into_iter().flat_map(|n| self.at(second, event(n))).collect()
    }
}

fn dial_failed(retry_after: Option<Duration>, overloaded: bool) -> ServerEvent {
    ServerEvent::DialFailed(FailedDial { retry_after, overloaded })
}

#[test]
fn a_server_is_not_judged_while_the_node_holds_still() {
    let probing = Some(Rule { initial: SECOND, max: SECOND, stable_after: SECOND });
    let mut life = Life::new(ServerRules { dial_probes: probing, ..RULES });
    life.at(0, LinkUp);
    assert_eq!(life.at(1, HoldStill), []);
    assert_eq!(life.at(1, LinkLost), [LastLinkLost]);
    assert_eq!(life.at(900, Tick), [], "neither probed nor left");
    life.at(1_000, MaySpeak);
    assert_eq!(life.at(1_001, Tick), [Probe]);
    assert_eq!(life.at(1_029, Tick), [Probe]);
    assert_eq!(life.at(1_030, Tick), [Probe, InUse(false), PassOn]);
}

#[test]
fn a_short_outage_moves_no_agent_and_a_long_one_does() {
    let mut life = Life::new(RULES);
    assert_eq!(life.at(0, LinkUp), [FirstLink]);
    assert_eq!(life.at(0, LinkUp), []);
    assert_eq!(life.at(5, LinkLost), []);
    assert_eq!(life.at(5, LinkLost), [LastLinkLost]);
    assert!(!life.state.is_reached() && life.state.in_use());
    assert_eq!(life.at(34, Tick), []);
    assert_eq!(life.at(35, Tick), [InUse(false), PassOn]);
    assert_eq!(life.at(36, Tick), [PassOn], "what came meanwhile");
    assert_eq!(life.at(40, LinkUp), [FirstLink]);
    assert_eq!(life.at(49, Tick), [PassOn]);
    assert_eq!(life.at(50, Tick), [InUse(true)]);
    assert_eq!(life.at(51, Tick), []);
}

#[test]
fn a_server_that_fails_is_away_until_it_serves() {
    let mut life = Life::new(RULES);
    life.at(0, LinkUp);
    assert_eq!(life.fail(1), [Fails], "said once");
    assert!(life.state.is_failing() && !life.state.is_reached());
    assert_eq!(life.state.reporter(4), Some(agent(2)));
    assert_eq!(life.at(2, LinkLost), [LastLinkLost]);
    assert_eq!(life.at(3, dial_failed(None, false)), [Tell]);
    assert!(life.state.is_failing(), "a dial says nothing about messages");
    assert_eq!(life.at(4, MessageServed), [Recovers]);
    assert!(!life.state.is_failing() && !life.state.is_reached());
    assert_eq!(life.state.reporter(0), None);
    assert_eq!(life.at(5, LinkUp), [FirstLink]);
    assert!(life.state.is_reached());
    // Three seconds prove little: it is one outage since second 1.
    assert_eq!(life.fail(8), [Fails]);
    assert_eq!(life.at(30, Tick), []);
    assert_eq!(life.at(31, Tick), [InUse(false), PassOn]);
}

#[test]
fn one_good_answer_among_failures_acquits_it() {
    let mut life = Life::new(RULES);
    life.at(0, LinkUp);
    for n in 0..200 {
        for n in [n, n + 1] {
            let failed = ServerEvent::MessageFailed { uid: agent(n), agents: 100 };
            assert_eq!(life.at(1, failed), []);
        }
        assert_eq!(life.at(1, MessageServed), []);
    }
}

#[test]
fn a_servers_wish_holds_for_all_dials_within_reason() {
    let mut life = Life::new(RULES);
    assert_eq!(
        life.at(0, dial_failed(Some(SECOND * 7), false)),
        [Tell],
        "it has time for messages"
    );
    assert_eq!(life.state.held(life.start + SECOND * 3), Some(SECOND * 4));
    assert_eq!(life.at(1, dial_failed(Some(SECOND), true)), [Pause(SECOND)]);
    assert_eq!(life.state.held(life.start + SECOND * 3), Some(SECOND * 4), "the longer one holds");
    assert_eq!(life.state.held(life.start + SECOND * 7), None);
    let absurd = Some(SECOND * 1_000_000);
    assert_eq!(life.at(8, dial_failed(absurd, true)), [Pause(RETRY_AFTER_MAX)]);
    assert_eq!(life.state.held(life.start + SECOND * 8), Some(RETRY_AFTER_MAX));
    assert_eq!(life.at(9, PauseAsked(None)), [Pause(PAUSE_DEFAULT)]);
    assert_eq!(life.at(9, PauseAsked(absurd)), [Pause(RETRY_AFTER_MAX)]);
}

#[test]
fn the_log_is_told_the_first_of_a_kind() {
    let mut life = Life::new(RULES);
    let failed = dial_failed(None, false);
    assert_eq!((life.at(0, failed), life.at(0, failed)), (vec![Tell], vec![]));
    life.at(1, LinkUp);
    life.at(1, LinkLost);
    assert_eq!(life.at(2, failed), [Tell], "it was there in between");
    assert_eq!((life.at(3, AnonymousPush), life.at(3, AnonymousPush)), (vec![Tell], vec![]));
    for status in [400, 413] {
        let refused = MessageRefused(status);
        assert_eq!((life.at(3, refused), life.at(3, refused)), (vec![Tell], vec![]));
    }
}

#[test]
fn a_server_without_links_of_its_own_is_probed() {
    let rule = Rule { initial: SECOND * 2, max: SECOND * 30, stable_after: SECOND * 10 };
    let mut life = Life::new(ServerRules { dial_probes: Some(rule), ..RULES });
    let failed = |retry_after| {
        let dial = FailedDial { retry_after, overloaded: false };
        ServerEvent::ProbeFailed { dial, jitter: 0.5 }
    };
    assert_eq!(life.at(0, Tick), [Probe]);
    assert_eq!(life.at(0, failed(None)), []);
    assert_eq!((life.at(1, Tick), life.at(2, Tick)), (vec![], vec![Probe]));
    assert_eq!(life.at(2, failed(Some(SECOND * 6))), []);
    assert_eq!((life.at(7, Tick), life.at(8, Tick)), (vec![], vec![Probe]));
    assert_eq!(life.at(8, ProbeAnswered), []);
    assert!(life.state.is_reached());
    assert_eq!(life.at(9, Tick), []);
    assert_eq!(life.at(10, LinkUp), [FirstLink]);
    assert_eq!(life.at(11, LinkLost), [LastLinkLost], "its last agent has left");
    assert_eq!(life.at(11, Tick), [Probe]);
}
