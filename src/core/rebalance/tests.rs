//! Fleets whose connections are unevenly spread, and balancers that spread them anew.

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::time::{Duration, Instant};

use super::*;
use crate::core::drain::{AgentDrain, Candidate};
use crate::core::ownership::Figures;
use crate::ident::InstanceUid;

const SECOND: Duration = Duration::from_secs(1);

fn uid(number: u64) -> InstanceUid {
    InstanceUid::from_bytes(u128::from(number).to_be_bytes())
}

/// A node, its agents, and the rest of its fleet.
struct FleetBench {
    rebalance: Rebalance,
    now: Instant,
    /// Agents here, each with whether its server has yet to answer it.
    here: HashMap<InstanceUid, bool>,
    elsewhere: u64,
    others: u32,
    waiting: u64,
    /// Agents that dial again at a moment.
    dials: Vec<(Instant, InstanceUid)>,
    /// Of a hundred that dial, how many arrive here.
    percent_here: u64,
    dialled: u64,
    closed: Vec<Instant>,
    ends: Vec<RebalanceEnd>,
}

impl FleetBench {
    fn new(here: u64, elsewhere: u64, others: u32, terms: RebalanceTerms) -> Self {
        Self {
            rebalance: Rebalance::new(terms),
            now: crate::clock::now(),
            here: (0..here).map(|number| (uid(number), false)).collect(),
            elsewhere,
            others,
            waiting: 0,
            dials: Vec::new(),
            percent_here: 25,
            dialled: 0,
            closed: Vec::new(),
            ends: Vec::new(),
        }
    }

    fn fleet(&self) -> FleetConnections {
        FleetConnections {
            here: self.here.len() as u64,
            elsewhere: self.elsewhere,
            others: self.others,
            waiting: self.waiting,
            admit: 400,
            beyond: 0,
        }
    }

    fn pass(&mut self, time: Duration) {
        let until = self.now + time;
        while self.now < until {
            self.arrive();
            match self.rebalance.next(self.fleet(), self.now) {
                RebalanceStep::Wait(at) => self.now = at.max(self.now + Duration::from_micros(1)),
                RebalanceStep::Census => {
                    let of =
                        |uid: &InstanceUid| Candidate { uid: *uid, active: None, shuffle_key: 7 };
                    self.rebalance.line_up(self.here.keys().map(of).collect(), self.now);
                }
                RebalanceStep::Close(uid) => self.close(uid),
                RebalanceStep::Look(uid) => self.rebalance.looked(self.here.contains_key(&uid)),
                RebalanceStep::Over(end) => self.ends.push(end),
            }
        }
    }

    fn close(&mut self, uid: InstanceUid) {
        let outcome = match self.here.get(&uid) {
            None => AgentDrain::Absent,
            Some(true) => AgentDrain::Pending,
            Some(false) => {
                self.here.remove(&uid);
                self.closed.push(self.now);
                self.dials.push((self.now + SECOND / 10, uid));
                AgentDrain::Closing
            }
        };
        self.rebalance.closed(uid, outcome, self.now);
    }

    fn arrive(&mut self) {
        let due = self.dials.partition_point(|(at, _)| *at <= self.now);
        for (_, uid) in self.dials.drain(..due) {
            self.dialled += 1;
            if self.dialled * self.percent_here % 100 < self.percent_here {
                self.here.insert(uid, false);
            } else {
                self.elsewhere += 1;
            }
        }
    }

    /// Most that were closed in any second.
    fn worst(&self) -> usize {
        let within = |(n, from): (usize, &Instant)| {
            self.closed[n..].partition_point(|at| *at - *from < SECOND)
        };
        self.closed.iter().enumerate().map(within).max().unwrap_or(0)
    }
}

fn at_rate(rate: u32) -> RebalanceTerms {
    RebalanceTerms { by_itself: false, rate: NonZeroU32::new(rate) }
}

#[test]
fn a_node_sheds_down_to_its_share_at_the_rate() {
    let mut bench = FleetBench::new(2_000, 4_000, 3, at_rate(100));
    bench.pass(SECOND * 5);
    assert!(bench.closed.is_empty(), "no order has come");
    bench.rebalance.begin();
    bench.pass(SECOND * 60);
    assert_eq!(bench.ends, [RebalanceEnd::Balanced]);
    let here = bench.here.len();
    assert!((1_480..=1_520).contains(&here), "{here} of a share of 1500");
    assert!(bench.worst() <= 100, "{}", bench.worst());
    assert!(!bench.rebalance.status().shedding);
}

#[test]
fn without_a_set_rate_it_is_half_of_what_the_others_admit() {
    let mut bench = FleetBench::new(9_000, 1_000, 1, RebalanceTerms::default());
    bench.rebalance.begin();
    bench.pass(SECOND * 40);
    assert_eq!(bench.rebalance.status().rate, 200);
    assert!((180..=200).contains(&bench.worst()), "{}", bench.worst());
}

#[test]
fn nodes_that_shed_at_the_same_time_share_the_rate() {
    let figures = |connected, rate| Figures { connected, rate, waiting: 3, ..Figures::default() };
    let others = [figures(200, 100), figures(10, 300), figures(10, 0)];
    let fleet = FleetConnections::of(180, 5, &others, NonZeroU32::new(4_000));
    let expected = FleetConnections {
        here: 180,
        elsewhere: 220,
        others: 3,
        waiting: 14,
        admit: 4_000,
        beyond: 1,
    };
    assert_eq!((fleet, fleet.share()), (expected, 100));
    let mut rebalance = Rebalance::new(RebalanceTerms::default());
    rebalance.begin();
    rebalance.next(fleet, crate::clock::now());
    assert_eq!(rebalance.status().rate, 1_000);
    let automatic = FleetConnections::of(180, 5, &others, None);
    assert_eq!(automatic.admit, 400);
    assert_eq!(FleetConnections::of(180, 5, &[], NonZeroU32::new(4_000)).admit, 0);
}

#[test]
fn it_stops_when_more_than_half_of_the_last_hundred_came_back() {
    let mut bench = FleetBench::new(2_000, 0, 1, at_rate(100));
    bench.percent_here = 80;
    bench.rebalance.begin();
    bench.pass(SECOND * 60);
    assert_eq!(bench.ends, [RebalanceEnd::CameBack]);
    assert!(bench.closed.len() <= 150, "{}", bench.closed.len());
    let status = bench.rebalance.status();
    assert!(status.came_back > 50 && status.shed == bench.closed.len() as u64, "{status:?}");
}

#[test]
fn where_all_come_back_a_hundred_are_closed_at_any_rate() {
    for rate in [10, 500, 100_000] {
        let mut bench = FleetBench::new(600, 0, 2, at_rate(rate));
        bench.percent_here = 100;
        bench.rebalance.begin();
        bench.pass(SECOND * 60);
        assert_eq!(bench.ends, [RebalanceEnd::CameBack]);
        assert!(bench.closed.len() <= 101, "{} at {rate} a second", bench.closed.len());
    }
}

#[test]
fn a_node_within_the_tolerance_closes_nothing() {
    for (here, elsewhere, others, end) in [
        (1_090, 3_000, 3, RebalanceEnd::Balanced),
        (12, 9, 2, RebalanceEnd::Balanced),
        (900, 3_000, 3, RebalanceEnd::Balanced),
        (1_000, 0, 0, RebalanceEnd::Alone),
    ] {
        let mut bench = FleetBench::new(here, elsewhere, others, at_rate(100));
        bench.rebalance.begin();
        bench.pass(SECOND * 10);
        assert_eq!((bench.ends, bench.closed.len()), (vec![end], 0), "{here} and {elsewhere}");
    }
}

#[test]
fn an_operator_ends_it() {
    let mut bench = FleetBench::new(2_000, 0, 1, at_rate(10));
    bench.rebalance.stop();
    bench.rebalance.begin();
    bench.pass(SECOND * 5);
    bench.rebalance.stop();
    bench.pass(SECOND * 5);
    assert_eq!(bench.ends, [RebalanceEnd::Stopped]);
    assert!((40..=60).contains(&bench.closed.len()), "{}", bench.closed.len());
}

#[test]
fn nothing_is_closed_while_agents_wait_for_admission() {
    let mut bench = FleetBench::new(2_000, 0, 1, at_rate(100));
    bench.waiting = 5_000;
    bench.rebalance.begin();
    bench.pass(SECOND * 10);
    assert!(bench.closed.is_empty());
    bench.waiting = 0;
    bench.pass(SECOND * 2);
    assert!(!bench.closed.is_empty());
}

#[test]
fn agents_whose_servers_are_silent_stay() {
    let mut bench = FleetBench::new(2_000, 0, 1, at_rate(1_000));
    for waits in bench.here.values_mut().take(1_500) {
        *waits = true;
    }
    bench.percent_here = 0;
    bench.rebalance.begin();
    bench.pass(SECOND * 60);
    assert_eq!(bench.closed.len(), 500);
}

#[test]
fn by_itself_it_begins_after_a_while_and_rests_if_its_agents_came_back() {
    let terms = RebalanceTerms { by_itself: true, ..at_rate(100) };
    let mut bench = FleetBench::new(2_000, 0, 1, terms);
    bench.percent_here = 100;
    bench.pass(SECOND * 50);
    assert!(bench.closed.is_empty(), "it may be a passing state");
    bench.pass(SECOND * 120);
    assert_eq!(bench.ends, [RebalanceEnd::CameBack]);
    let before = bench.closed.len();
    bench.pass(SECOND * 400);
    assert_eq!(bench.closed.len(), before);
    bench.pass(SECOND * 400);
    assert!(bench.closed.len() > before, "it tries again");
}
