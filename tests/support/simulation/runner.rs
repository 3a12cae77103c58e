//! Runs seeds: one, with its story told, or many, on all cores. The three tests that each simulation has are here.

use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use seawall::clock;
use seawall::mutation::{self, Breach};

/// Seeds that run with the tests.
const SEEDS: u64 = 1_000;
/// Seeds within which each breach must be noticed, from 0 on or from [`Story::looks_from`] on. Most are noticed within
/// 300; some show only if faults meet that seldom do.
const BREACH_SEEDS: u64 = 1_000;

/// A simulation. A seed is always the same story.
pub(crate) trait Story: Sized {
    /// A story before its first event. `start` is what the clock shows then; `tells`: what happens is written down.
    fn begin(seed: u64, start: Instant, tells: bool) -> Self;

    /// From which seed on a breach is looked for. One that few stories show is looked for where one of them is known.
    fn looks_from(_: Breach) -> u64 {
        0
    }

    /// Runs the story to its end.
    fn run(&mut self);

    fn outcome(self) -> Outcome;
}

/// How a seed came out.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) violation: Option<String>,
    pub(crate) trace: u64,
    pub(crate) events: u64,
    /// The story, line by line, if it was told.
    pub(crate) log: Vec<String>,
}

impl Outcome {
    fn verdict(&self) -> String {
        self.violation.clone().unwrap_or_else(|| format!("well, after {} events", self.events))
    }
}

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok().map(|text| text.parse().expect("a number"))
}

/// The test that matters. `SEEDS`: how many; `FIRST`: from which on; `SEED`: only that one, told line by line;
/// `SURVEY`: each breach of a rule in a line, to the last seed.
pub(crate) fn no_seed_fails<S: Story>() {
    if let Some(seed) = number("SEED") {
        return tell::<S>(seed);
    }
    let first = number("FIRST").unwrap_or(0);
    let seeds = first..first + number("SEEDS").unwrap_or(SEEDS);
    if number("SURVEY").is_some() {
        return survey::<S>(seeds);
    }
    if let Some(seed) = run_all::<S>(seeds, None, Duration::from_secs(10)) {
        tell::<S>(seed);
    }
}

/// Two runs of a seed do the same.
pub(crate) fn stories_repeat<S: Story>() {
    for seed in 0..20 {
        let (first, second) = (run::<S>(seed, None, false), run::<S>(seed, None, false));
        assert_eq!((first.trace, first.events), (second.trace, second.events), "seed {seed}");
    }
}

/// Whatever rule is broken, it is noticed. `BREACH`: only that one; `SEEDS`: within this many.
pub(crate) fn all_are_noticed<S: Story>(breaches: &[Breach]) {
    let only = std::env::var("BREACH").ok();
    let wanted = |breach: &&Breach| only.as_ref().is_none_or(|only| *only == format!("{breach:?}"));
    let (mut unnoticed, seeds) = (Vec::new(), number("SEEDS").unwrap_or(BREACH_SEEDS));
    for breach in breaches.iter().copied().filter(|breach| wanted(&breach)) {
        let first = S::looks_from(breach);
        match run_all::<S>(first..first + seeds, Some(breach), Duration::MAX) {
            Some(seed) => {
                let outcome = run::<S>(seed, Some(breach), false);
                println!("{breach:?}: seed {seed}: {}", outcome.verdict());
            }
            None => unnoticed.push(breach),
        }
    }
    assert!(unnoticed.is_empty(), "not noticed within {seeds} seeds: {unnoticed:?}");
}

/// Runs a seed, with at most one rule broken on purpose.
fn run<S: Story>(seed: u64, breach: Option<Breach>, tells: bool) -> Outcome {
    mutation::switch(breach);
    // Before anything asks for the time: all that counts is how much later it is.
    let start = clock::now();
    let mut story = S::begin(seed, start, tells);
    let died = catch_unwind(AssertUnwindSafe(|| story.run())).err();
    mutation::switch(None);
    clock::simulated::clear();
    let panicked = died.map(|what| {
        let text = what.downcast_ref::<String>().map(String::as_str);
        format!("panic: {}", text.or(what.downcast_ref::<&str>().copied()).unwrap_or("?"))
    });
    let outcome = story.outcome();
    Outcome { violation: panicked.or(outcome.violation), ..outcome }
}

/// Runs a seed and prints its story. Fails if a rule is broken.
fn tell<S: Story>(seed: u64) {
    let outcome = run::<S>(seed, None, true);
    println!("{}\nseed {seed}: {}", outcome.log.join("\n"), outcome.verdict());
    assert!(outcome.violation.is_none(), "seed {seed}: {}", outcome.verdict());
}

/// Runs seeds and prints what is wrong with each.
fn survey<S: Story>(seeds: Range<u64>) {
    on_all_cores(seeds, Duration::from_secs(60), |seed| {
        let outcome = run::<S>(seed, None, false);
        if outcome.violation.is_some() {
            println!("seed {seed}: {}", outcome.verdict());
        }
        Some(outcome.events)
    });
}

/// Runs seeds until one breaks a rule; says which: the lowest, whatever the threads' luck.
fn run_all<S: Story>(
    seeds: Range<u64>,
    breach: Option<Breach>,
    report_every: Duration,
) -> Option<u64> {
    on_all_cores(seeds, report_every, |seed| {
        let outcome = run::<S>(seed, breach, false);
        outcome.violation.is_none().then_some(outcome.events)
    })
}

/// Calls `run` for each seed. It returns how many events there were, or `None` for a seed after which it is enough:
/// the lowest of those is the answer.
fn on_all_cores(
    seeds: Range<u64>,
    report_every: Duration,
    run: impl Fn(u64) -> Option<u64> + Sync,
) -> Option<u64> {
    let next = AtomicU64::new(seeds.start);
    let failed = AtomicU64::new(u64::MAX);
    let events = AtomicU64::new(0);
    let started = clock::now();
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let is_reported = report_every < Duration::MAX;
    std::thread::scope(|scope| {
        let work = || {
            loop {
                let seed = next.fetch_add(1, Ordering::Relaxed);
                if seed >= seeds.end.min(failed.load(Ordering::Relaxed)) {
                    return;
                }
                match run(seed) {
                    Some(count) => drop(events.fetch_add(count, Ordering::Relaxed)),
                    None => drop(failed.fetch_min(seed, Ordering::Relaxed)),
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
    if is_reported {
        let done = next.into_inner().min(seeds.end) - seeds.start;
        say(&format!("{} events", events.into_inner()), done, started);
    }
    Some(failed.into_inner()).filter(|seed| *seed != u64::MAX)
}

fn say(what: &str, seeds: u64, started: Instant) {
    let seconds = (clock::now() - started).as_secs_f64();
    println!("{seeds} seeds, {what}, {:.0} a second", seeds as f64 / seconds);
}
