//! Servers whose answers take their time, on a simulated clock: is what varies taken for a queue? They work on all
//! messages at once, so a fleet that is paced must be done hardly later than one that is not.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::time::{Duration, Instant};

use super::tests::{MS, SECOND, defaults, uid};
use super::{Class, Next, Pacer, Permit};

/// How long the answer to one message takes.
#[derive(Debug, Clone, Copy)]
enum Times {
    Constant(f64),
    /// From 0 to this.
    Uniform(f64),
    /// With this mean, 3 s at most.
    Exponential(f64),
    /// This long for most, 3 s for one in this many.
    Bimodal(f64, u64),
}

#[derive(Debug, Clone, Copy)]
struct Answerer {
    times: Times,
    /// Answers leave a link in the order in which the messages came.
    in_order: bool,
    /// Answers name no agent.
    unnamed: bool,
}

#[derive(Debug, Clone, Copy)]
struct VariedFleet {
    agents: u32,
    /// All of them come within this time.
    within: Duration,
    /// Messages of each, each behind the answer to the one before.
    messages: u32,
}

const LINKS: usize = 4;

struct VariedRun {
    server: Answerer,
    random: u64,
    /// The answer that leaves each link last.
    last: [Instant; LINKS],
}

impl VariedRun {
    /// Xorshift: the same run every time.
    fn chance(&mut self) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random
    }

    fn takes(&mut self) -> Duration {
        let chance = (self.chance() % 100_000) as f64 / 100_000.0;
        Duration::from_secs_f64(match self.server.times {
            Times::Constant(seconds) => seconds,
            Times::Uniform(most) => chance * most,
            Times::Exponential(mean) => (-(1.0 - chance).ln() * mean).min(3.0),
            Times::Bimodal(most, one_in) => {
                if self.chance().is_multiple_of(one_in) {
                    3.0
                } else {
                    most
                }
            }
        })
    }

    /// When a message that goes out now on a link is answered.
    fn answer_at(&mut self, link: usize, now: Instant) -> Instant {
        let mut at = now + self.takes();
        if self.server.in_order {
            at = at.max(self.last[link]);
            self.last[link] = at;
        }
        at
    }
}

/// How long the fleet takes, with a pacer or without.
fn seconds(server: Answerer, fleet: VariedFleet, seed: u64, paced: bool) -> f64 {
    let start = crate::clock::now();
    let mut run = VariedRun { server, random: seed, last: [start; LINKS] };
    let mut pacer = Pacer::new(defaults(), start);
    let mut under_way = BinaryHeap::new();
    let mut arrivals: VecDeque<(Instant, u32)> = (0..fleet.agents)
        .map(|n| (start + fleet.within.mul_f64(f64::from(n) / f64::from(fleet.agents)), n))
        .collect();
    let mut left = vec![fleet.messages; fleet.agents as usize];
    let (mut now, mut done) = (start, start);
    while !(arrivals.is_empty() && under_way.is_empty() && pacer.is_empty()) {
        now += MS;
        let mut ready = Vec::new();
        while arrivals.front().is_some_and(|next| next.0 <= now) {
            ready.extend(arrivals.pop_front().map(|next| next.1));
        }
        while let Some(Reverse((at, link, sent, n))) = under_way
            .peek()
            .copied()
            .filter(|next: &Reverse<(Instant, usize, Instant, u32)>| next.0.0 <= now)
        {
            under_way.pop();
            let after = (!server.unnamed).then(|| at - sent);
            pacer.answered(u16::try_from(link).unwrap(), after, at);
            done = done.max(at);
            left[n as usize] -= 1;
            ready.extend((left[n as usize] > 0).then_some(n));
        }
        let mut go = Vec::new();
        for n in ready {
            if !paced || pacer.admit(now) == Permit::Granted {
                go.push(n);
            } else {
                pacer.enqueue(uid(n), Class::Change);
            }
        }
        while let Next::Permit(who, _) = pacer.next(now) {
            let bytes: [u8; 4] = who.as_bytes()[..4].try_into().unwrap();
            go.push(u32::from_be_bytes(bytes));
            send(&mut run, &mut pacer, &mut under_way, go.pop().unwrap(), now);
        }
        for n in go {
            send(&mut run, &mut pacer, &mut under_way, n, now);
        }
        assert!(now < start + SECOND * 300, "{server:?}");
    }
    (done - start).as_secs_f64()
}

type Answers = BinaryHeap<Reverse<(Instant, usize, Instant, u32)>>;

fn send(run: &mut VariedRun, pacer: &mut Pacer, under_way: &mut Answers, n: u32, now: Instant) {
    let link = n as usize % LINKS;
    pacer.sent(u16::try_from(link).unwrap(), now);
    under_way.push(Reverse((run.answer_at(link, now), link, now, n)));
}

/// How many times as long the fleet takes as without a pacer, at worst.
fn slower(server: Answerer, fleet: VariedFleet) -> f64 {
    let seeds = [0x9e37_79b9_7f4a_7c15, 0x1234_5678_9abc_def1];
    let times = seeds.map(|seed| {
        let paced = seconds(server, fleet, seed, true);
        paced / seconds(server, fleet, seed, false)
    });
    times.into_iter().fold(0.0, f64::max)
}

const VARIED: [Times; 9] = [
    Times::Constant(0.02),
    Times::Constant(0.4),
    Times::Constant(3.0),
    Times::Uniform(0.8),
    Times::Uniform(3.0),
    Times::Exponential(0.4),
    Times::Exponential(1.0),
    Times::Bimodal(0.01, 10),
    Times::Bimodal(0.2, 2),
];

#[test]
fn what_varies_is_no_queue() {
    println!("agents x messages, answers          times as long as without: any order  no names");
    for (agents, within, messages) in [(1_000, 1, 1), (1_000, 1, 2), (3_000, 3, 2)] {
        let fleet = VariedFleet { agents, within: SECOND * within, messages };
        for times in VARIED {
            let server = Answerer { times, in_order: false, unnamed: false };
            let (named, unnamed) =
                (slower(server, fleet), slower(Answerer { unnamed: true, ..server }, fleet));
            println!("{agents:>6} x {messages}, {times:?}: {named:.2} {unnamed:.2}");
            assert!(named <= 1.4, "{times:?} for {fleet:?}: {named:.2}");
            assert!(unnamed <= 2.0, "{times:?} for {fleet:?}, no names: {unnamed:.2}");
        }
    }
}

/// What is behind a late answer on its link waits for it, so nothing is in flight for less than the longest time of late.
/// With few messages in flight this looks like a queue for a while, and it is no longer so with many.
#[test]
fn what_varies_and_is_answered_in_order_is_slow_for_a_moment() {
    let fleet = VariedFleet { agents: 3_000, within: SECOND * 3, messages: 2 };
    for times in VARIED.into_iter().filter(|times| !matches!(times, Times::Bimodal(_, 10))) {
        let in_order = slower(Answerer { times, in_order: true, unnamed: false }, fleet);
        println!("{times:?}: {in_order:.2}");
        assert!(in_order <= 2.2, "{times:?}: {in_order:.2}");
    }
}
