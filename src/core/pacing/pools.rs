//! Servers with several workers, whose answers vary *and* queue, on a simulated clock: is the queue seen behind what varies?

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::{Duration, Instant};

use super::tests::{MS, SECOND, defaults, uid};
use super::{Class, Next, Pacer};

#[derive(Debug, Clone, Copy)]
struct Pool {
    workers: usize,
    /// Mean of a worker's time for one message, which is exponential.
    takes: Duration,
    /// A worker takes any message that waits, not the oldest.
    any_order: bool,
    /// All of them stand still for this part of each second.
    stalls: Duration,
}

struct PoolRun {
    pool: Pool,
    pacer: Pacer,
    start: Instant,
    now: Instant,
    random: u64,
    /// Link and moment of sending.
    waiting: Vec<(u16, Instant)>,
    worked_at: BinaryHeap<Reverse<(Instant, u16, Instant)>>,
}

impl PoolRun {
    fn new(pool: Pool) -> Self {
        let now = crate::clock::now();
        let pacer = Pacer::new(defaults(), now);
        let random = 0x9e37_79b9_7f4a_7c15;
        Self {
            pool,
            pacer,
            start: now,
            now,
            random,
            waiting: Vec::new(),
            worked_at: BinaryHeap::new(),
        }
    }

    fn chance(&mut self) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random
    }

    fn stalled(&self) -> bool {
        let in_second = (self.now - self.start).subsec_nanos();
        Duration::from_nanos(in_second.into()) < self.pool.stalls
    }

    fn work(&mut self) {
        while self.worked_at.len() < self.pool.workers && !self.waiting.is_empty() {
            let any = usize::try_from(self.chance()).unwrap_or_default() % self.waiting.len();
            let (link, sent) = self.waiting.remove(if self.pool.any_order { any } else { 0 });
            let chance = (self.chance() % 100_000) as f64 / 100_000.0;
            let takes = self.pool.takes.mul_f64(-(1.0 - chance).ln());
            self.worked_at.push(Reverse((self.now + takes, link, sent)));
        }
    }

    /// Answers in these seconds, their mean time, and the most that waited at any time.
    fn seconds(&mut self, count: u32) -> (u32, Duration, usize) {
        let end = self.now + SECOND * count;
        let (mut answered, mut sum, mut most) = (0_u32, Duration::ZERO, 0);
        while self.now < end {
            self.now += MS;
            while !self.stalled()
                && let Some(Reverse((at, link, sent))) = self.worked_at.peek().copied()
                && at <= self.now
            {
                self.worked_at.pop();
                let after = self.now - sent;
                self.pacer.answered(link, Some(after), self.now);
                answered += 1;
                sum += after;
                self.work();
            }
            while self.pacer.len() < 1_000 {
                let n = u32::try_from(self.chance() & 0xffff_ffff).unwrap();
                self.pacer.enqueue(uid(n), Class::Announce);
            }
            while let Next::Permit(..) = self.pacer.next(self.now) {
                let link = u16::try_from(self.chance() % 4).unwrap();
                self.pacer.sent(link, self.now);
                self.waiting.push((link, self.now));
            }
            self.work();
            most = most.max(self.waiting.len());
        }
        (answered / count, sum.checked_div(answered).unwrap_or_default(), most)
    }
}

const fn pool(workers: usize, takes: Duration) -> Pool {
    Pool { workers, takes, any_order: false, stalls: Duration::ZERO }
}

#[test]
fn a_queue_is_seen_behind_what_varies() {
    println!(
        "workers x time of each, order, stalls   answers/s of    mean answer   most that wait"
    );
    let any = |pool| Pool { any_order: true, ..pool };
    let stalls = |ms: u64, pool| Pool { stalls: Duration::from_millis(ms), ..pool };
    for (pool, longest) in [
        (pool(1, MS * 50), 2_500),
        (pool(10, MS * 20), 100),
        (pool(10, MS * 200), 600),
        (pool(50, MS * 50), 120),
        (pool(50, MS * 400), 1_000),
        (pool(200, MS * 400), 800),
        (any(pool(10, MS * 20)), 100),
        (any(pool(50, MS * 50)), 120),
        (any(pool(50, MS * 400)), 1_600),
        (stalls(200, pool(1, MS * 2)), 100),
        (stalls(150, pool(50, MS * 50)), 150),
    ] {
        let mut run = PoolRun::new(pool);
        let _ = run.seconds(15);
        let (answers, mean, most) = run.seconds(30);
        let moving = 1.0 - pool.stalls.as_secs_f64();
        let full = pool.workers as f64 / pool.takes.as_secs_f64() * moving;
        println!("{pool:?}: {answers} of {full:.0} {mean:.1?} {most}");
        assert!(f64::from(answers) >= full * 0.75, "{pool:?}: {answers}/s of {full}");
        assert!(mean <= MS * longest, "{pool:?}: {mean:?}");
    }
}
