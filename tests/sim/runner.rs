//! Runs seeds: one, with its story told, or many, on all cores.

use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use seawall::clock;
use seawall::mutation::{self, Breach};

use crate::world::World;

/// How a seed came out.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) violation: Option<String>,
    pub(crate) trace: u64,
    pub(crate) events: u64,
}

impl Outcome {
    pub(crate) fn verdict(&self) -> String {
        self.violation.clone().unwrap_or_else(|| format!("well, after {} events", self.events))
    }
}

/// Runs a seed, with at most one rule broken on purpose.
pub(crate) fn run(seed: u64, breach: Option<Breach>) -> Outcome {
    run_world(seed, breach, false).0
}

/// Runs a seed and prints its story.
pub(crate) fn tell(seed: u64) -> Outcome {
    let (outcome, log) = run_world(seed, None, true);
    println!("{}", log.join("\n"));
    outcome
}

fn run_world(seed: u64, breach: Option<Breach>, log: bool) -> (Outcome, Vec<String>) {
    mutation::switch(breach);
    // Before anything asks for the time: all that counts is how much later it is.
    let start = clock::now();
    let mut world = World::new(seed, start, log);
    let died = catch_unwind(AssertUnwindSafe(|| world.run())).err();
    mutation::switch(None);
    clock::simulated::clear();
    let text = died.map(|what| {
        let text = what.downcast_ref::<String>().map(String::as_str);
        format!("panic: {}", text.or(what.downcast_ref::<&str>().copied()).unwrap_or("?"))
    });
    let outcome = Outcome {
        violation: text.or_else(|| world.oracle.violation.take()),
        trace: world.trace,
        events: world.events,
    };
    (outcome, world.log.take().unwrap_or_default())
}

/// Runs seeds and prints what is wrong with each.
pub(crate) fn survey(seeds: Range<u64>) {
    for seed in seeds {
        let outcome = run(seed, None);
        if outcome.violation.is_some() {
            println!("seed {seed}: {}", outcome.verdict());
        }
    }
}

/// Runs seeds until one breaks a rule; says which. The lowest of those found, so that the answer does
/// be the same whatever the threads' luck.
pub(crate) fn run_all(
    seeds: Range<u64>,
    breach: Option<Breach>,
    report_every: Duration,
) -> Option<u64> {
    let next = AtomicU64::new(seeds.start);
    let failed = AtomicU64::new(u64::MAX);
    let events = AtomicU64::new(0);
    let started = clock::now();
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        let work = || {
            loop {
                let seed = next.fetch_add(1, Ordering::Relaxed);
                if seed >= seeds.end.min(failed.load(Ordering::Relaxed)) {
                    return;
                }
                let outcome = run(seed, breach);
                events.fetch_add(outcome.events, Ordering::Relaxed);
                if outcome.violation.is_some() {
                    failed.fetch_min(seed, Ordering::Relaxed);
                }
            }
        };
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        let mut reported = started;
        while !workers.iter().all(std::thread::ScopedJoinHandle::is_finished) {
            std::thread::sleep(Duration::from_millis(50));
            if clock::now() - reported >= report_every {
                reported = clock::now();
                say("so far", next.load(Ordering::Relaxed).min(seeds.end) - seeds.start, started);
            }
        }
    });
    let failed = Some(failed.into_inner()).filter(|seed| *seed != u64::MAX);
    if breach.is_none() {
        let done = next.into_inner().min(seeds.end) - seeds.start;
        say(&format!("{} events", events.into_inner()), done, started);
    }
    failed
}

fn say(what: &str, seeds: u64, started: Instant) {
    let seconds = (clock::now() - started).as_secs_f64();
    println!("{seeds} seeds, {what}, {:.0} a second", seeds as f64 / seconds);
}
