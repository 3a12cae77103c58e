//! The pacer in front of a server that works through one queue, on a simulated clock: does it find
//! the server's rate, keep answers short, and not swing?

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::{Duration, Instant};

use super::tests::{MS, SECOND, crowd, defaults, uid};
use super::{Class, Next, Pacer};

/// How often the gateway looks: what a timer of the runtime can do.
const STEP: Duration = MS;

/// A server: one queue, worked through at a rate, answers some time away.
#[derive(Clone, Copy)]
struct Model {
    /// Reports a second.
    rate: f64,
    /// From the gateway and back, apart from the queue.
    away: Duration,
    /// Chance adds up to this, half of it on average.
    noise: Duration,
    links: u16,
    /// How many percent of the messages are answered.
    answers: u64,
}

const fn plain(rate: f64) -> Model {
    Model { rate, away: MS, noise: Duration::ZERO, links: 4, answers: 100 }
}

struct PacedServer {
    pacer: Pacer,
    model: Model,
    now: Instant,
    /// When the server has worked through its queue.
    free: Instant,
    /// Answers under way: when, on which link, after how long.
    under_way: BinaryHeap<Reverse<(Instant, u16, Duration)>>,
    sent: u64,
    random: u64,
    /// Keeps this many waiting.
    keep: usize,
}

/// One second: answers, their mean time, the window at its end.
struct Report {
    answered: u32,
    mean: Duration,
    window: u32,
}

impl PacedServer {
    fn new(model: Model) -> Self {
        let now = crate::clock::now();
        let pacer = Pacer::new(defaults(), now);
        let (under_way, random) = (BinaryHeap::new(), 0x9e37_79b9_7f4a_7c15);
        Self { pacer, model, now, free: now, under_way, sent: 0, random, keep: 1_000 }
    }

    /// Xorshift: the same run every time.
    fn chance(&mut self) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random
    }

    fn send(&mut self) {
        let link = u16::try_from(self.chance() % u64::from(self.model.links)).unwrap();
        self.pacer.sent(link, self.now);
        self.sent += 1;
        self.free = self.free.max(self.now) + Duration::from_secs_f64(1.0 / self.model.rate);
        let noise = self.model.noise.mul_f64((self.chance() % 1_000) as f64 / 1_000.0);
        let at = self.free + self.model.away + noise;
        if self.chance() % 100 < self.model.answers {
            self.under_way.push(Reverse((at, link, at - self.now)));
        }
    }

    fn second(&mut self) -> Report {
        let (mut answered, mut sum) = (0_u32, Duration::ZERO);
        let end = self.now + SECOND;
        while self.now < end {
            self.now += STEP;
            // Answers wake the task that grants permits.
            while let Some(Reverse((at, link, after))) =
                self.under_way.peek().copied().filter(|next| next.0.0 <= self.now)
            {
                self.under_way.pop();
                self.pacer.answered(link, Some(after), at);
                answered += 1;
                sum += after;
            }
            while self.pacer.len() < self.keep {
                let n = u32::try_from(self.chance() & 0xffff_ffff).unwrap();
                self.pacer.enqueue(uid(n), Class::Announce);
            }
            while let Next::Permit(..) = self.pacer.next(self.now) {
                self.send();
            }
        }
        let mean = sum.checked_div(answered).unwrap_or_default();
        Report { answered, mean, window: self.pacer.window(self.now) }
    }

    fn seconds(&mut self, count: usize) -> Vec<Report> {
        (0..count).map(|_| self.second()).collect()
    }
}

/// The worst of some seconds: fewest and most answers, longest mean time.
fn extremes(reports: &[Report]) -> (u32, u32, Duration) {
    let answered = || reports.iter().map(|report| report.answered);
    let longest = reports.iter().map(|report| report.mean).max().unwrap();
    (answered().min().unwrap(), answered().max().unwrap(), longest)
}

#[test]
fn finds_the_servers_rate_and_keeps_answers_short() {
    println!("server            answered/s after 3 s   mean answer    window");
    println!("                     least     most      at worst       at end");
    let noisy = |rate| Model { noise: MS * 20, ..plain(rate) };
    for (name, model, seconds, longest) in [
        ("   200/s", plain(200.0), 40, 250),
        ("   500/s", plain(500.0), 40, 100),
        (" 2,000/s", plain(2_000.0), 40, 60),
        ("20,000/s", plain(19_800.0), 20, 60),
        ("   200/s, noise", noisy(200.0), 40, 250),
        (" 2,000/s, noise", noisy(2_000.0), 40, 60),
        ("10,000/s, noise", noisy(10_000.0), 20, 60),
        (" 2,000/s, 50 ms", Model { away: MS * 50, ..plain(2_000.0) }, 40, 110),
        (" 5,000/s, 1 link", Model { links: 1, ..plain(5_000.0) }, 20, 60),
        (" 2,000/s, 90 %", Model { answers: 90, ..plain(2_000.0) }, 40, 400),
    ] {
        let reports = PacedServer::new(model).seconds(seconds);
        let (least, most, mean) = extremes(&reports[3..]);
        let window = reports[seconds - 1].window;
        println!("{name:<18}{least:>8} {most:>8} {mean:>13.1?} {window:>12}");
        let full = model.rate * model.answers as f64 / 100.0;
        assert!(f64::from(least) >= full * 0.9, "{name}: {least} answers in a second");
        assert!(mean <= MS * longest, "{name}: {mean:?}");
        assert!(f64::from(most - least) <= f64::from(most) * 0.2, "{name}: swings");
    }
}

#[test]
fn a_server_that_slows_down_and_recovers_is_followed() {
    let mut paced = PacedServer::new(plain(2_000.0));
    paced.seconds(5);
    paced.model.rate = 500.0;
    paced.second();
    let (least, _, mean) = extremes(&paced.seconds(20));
    assert!(least >= 450 && mean <= MS * 100, "{least}/s, {mean:?}");
    paced.model.rate = 2_000.0;
    paced.second();
    let (least, _, mean) = extremes(&paced.seconds(20));
    assert!(least >= 1_800 && mean <= MS * 60, "{least}/s, {mean:?}");
}

/// Answers that take longer for another reason than a queue: the window must not stay small.
#[test]
fn what_takes_longer_without_a_queue_gets_a_larger_window() {
    let mut paced = PacedServer::new(plain(2_000.0));
    paced.seconds(5);
    paced.model.away = MS * 100;
    paced.seconds(5);
    let (least, _, mean) = extremes(&paced.seconds(20));
    assert!(least >= 1_700 && mean <= MS * 250, "{least}/s, {mean:?}");
    let (_, _, mean) = extremes(&paced.seconds(5));
    assert!(mean <= MS * 150, "in the end {mean:?}");
}

#[test]
fn a_server_that_stops_answering_gets_the_floor() {
    let mut paced = PacedServer::new(plain(2_000.0));
    paced.seconds(3);
    paced.model.answers = 0;
    paced.seconds(12);
    let before = paced.sent;
    paced.seconds(20);
    let gone = paced.sent - before;
    // What ages makes room as well: a windowful in ten seconds.
    assert!((190..=400).contains(&gone), "{gone} in 20 s");
    paced.model.answers = 100;
    paced.seconds(12);
    let (least, _, _) = extremes(&paced.seconds(3));
    assert!(least >= 1_800, "{least}/s");
}

/// 15,000 agents have come back to a server that is new to the gateway.
#[test]
fn a_cold_start_with_a_crowd_takes_as_long_as_the_server_needs() {
    for rate in [500.0, 2_000.0, 10_000.0] {
        let mut paced = PacedServer::new(plain(rate));
        paced.keep = 0;
        crowd(&mut paced.pacer, 0..15_000, Class::FullState);
        let (mut seconds, mut longest) = (0, Duration::ZERO);
        while !paced.pacer.is_empty() || !paced.under_way.is_empty() {
            seconds += 1;
            longest = longest.max(paced.second().mean);
        }
        println!("{rate}/s: {seconds} s, mean answer at worst {longest:.1?}");
        assert!(f64::from(seconds) <= 15_000.0 / rate * 1.1 + 1.5, "{rate}: {seconds} s");
        assert!(longest <= MS * 150, "{rate}: {longest:?}");
    }
}

/// After a pause the server is not met by a burst.
#[test]
fn a_pause_ends_gently() {
    let mut paced = PacedServer::new(plain(2_000.0));
    paced.seconds(5);
    paced.pacer.pause(paced.now + SECOND * 2, paced.now);
    paced.second();
    let before = paced.sent;
    paced.now += SECOND - MS;
    paced.now += STEP;
    while let Next::Permit(..) = paced.pacer.next(paced.now) {
        paced.send();
    }
    assert!(paced.sent - before <= 17, "{}", paced.sent - before);
    paced.second();
    let (least, _, _) = extremes(&paced.seconds(3));
    assert!(least >= 1_800, "{least}/s");
}
