//! Random lives of a server against a plain account of the same events.

use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::*;

const RULES: ServerRules = ServerRules {
    failover_after: Duration::from_secs(30),
    stable_after: Duration::from_secs(10),
    dial_probes: None,
    keyed_by: KeyedBy::Auto,
};

#[derive(Debug, Clone, Copy)]
enum Step {
    Up,
    Lost,
    DialFailed,
    Failed(u8),
    Served,
    Pass(u8),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        Just(Step::Up),
        Just(Step::Lost),
        Just(Step::DialFailed),
        (0..4_u8).prop_map(Step::Failed),
        Just(Step::Served),
        (0..20_u8).prop_map(Step::Pass),
    ];
    prop::collection::vec(step, 1..120)
}

/// The same, as flags that are looked at one by one.
struct Account {
    links: usize,
    reached: bool,
    since: Instant,
    failing: bool,
    failing_since: Option<Instant>,
    in_use: bool,
}

impl Account {
    fn reach(&mut self, reached: bool, now: Instant) {
        if self.reached != reached {
            (self.reached, self.since) = (reached, now);
            if !reached {
                self.failing_since = None;
            }
        }
    }

    fn fails(&mut self, now: Instant) {
        self.failing = true;
        if self.reached {
            let short = now - self.since < RULES.stable_after;
            self.since = self.failing_since.filter(|_| short).unwrap_or(now);
            (self.reached, self.failing_since) = (false, Some(self.since));
        } else {
            self.failing_since = Some(self.since);
        }
    }

    fn served(&mut self, now: Instant) {
        if std::mem::take(&mut self.failing) && self.links > 0 {
            self.reach(true, now);
        }
    }

    fn look(&mut self, now: Instant) {
        let lasting = now - self.since;
        if self.in_use && !self.reached {
            self.in_use = lasting < RULES.failover_after;
        } else if !self.in_use && self.reached {
            self.in_use = lasting >= RULES.stable_after;
        }
    }
}

proptest! {
    #[test]
    fn a_server_is_where_its_account_says(steps in steps()) {
        let mut now = crate::clock::now();
        let mut state = ServerState::new(RULES, now);
        let mut account = Account {
            links: 0,
            reached: false,
            since: now,
            failing: false,
            failing_since: None,
            in_use: true,
        };
        let mut told_in_use = true;
        for step in steps {
            let event = match step {
                // A channel of a failing server stays down.
                Step::Up if account.failing => continue,
                Step::Up => {
                    account.links += 1;
                    account.reach(true, now);
                    ServerEvent::LinkUp
                }
                Step::Lost if account.links == 0 => continue,
                Step::Lost => {
                    account.links -= 1;
                    if account.links == 0 {
                        account.reach(false, now);
                    }
                    ServerEvent::LinkLost
                }
                Step::DialFailed => {
                    if account.links == 0 {
                        account.reach(false, now);
                    }
                    ServerEvent::DialFailed(FailedDial::default())
                }
                Step::Failed(n) => {
                    let uid = InstanceUid::from_bytes([n; 16]);
                    ServerEvent::MessageFailed { uid, agents: 4 }
                }
                Step::Served => {
                    account.served(now);
                    ServerEvent::MessageServed
                }
                Step::Pass(seconds) => {
                    now += Duration::from_secs(seconds.into());
                    account.look(now);
                    ServerEvent::Tick
                }
            };
            for effect in state.handle(event, now) {
                match effect {
                    // How many failures are enough, `failures` knows.
                    ServerEffect::Fails => account.fails(now),
                    ServerEffect::InUse(in_use) => {
                        prop_assert_ne!(in_use, told_in_use, "told twice");
                        told_in_use = in_use;
                    }
                    ServerEffect::PassOn => prop_assert!(!state.in_use()),
                    _ => {}
                }
            }
            prop_assert_eq!(state.is_reached(), account.reached);
            prop_assert_eq!(state.is_failing(), account.failing);
            prop_assert_eq!(state.reach().since(), account.since);
            prop_assert_eq!((state.in_use(), told_in_use), (account.in_use, account.in_use));
            prop_assert_eq!(state.links_up(), account.links);
        }
    }
}
