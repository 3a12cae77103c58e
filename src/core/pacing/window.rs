//! How many messages may be in flight: a window that follows the server's answer times.
//!
//! A gradient controller. The shortest answer lately (*base*) is what the server needs when nothing
//! queues in it; what it needs now (*recent*) is longer by its queue. Their ratio shrinks the
//! window, and a small *headroom* grows it, until the two are in balance:
//!
//! ```text
//!   gradient = clamp(TOLERANCE x base / recent, 0.5, 1)
//!   window  += 0.2 x (window x gradient + headroom - window)      once each answer time
//! ```
//!
//! In balance about `headroom` messages stand in the server's queue: it never runs dry, and answers
//! stay short. AIMD would need losses to find the limit, and an OpAMP server loses nothing: it only
//! gets slower, so AIMD fills it to the brim, halves, and swings. CoDel says when a queue is too
//! long; here it must be known how long it should be, and that queue is in the server, out of reach.
//!
//! Our own standing queue would creep into the base as old measurements expire. So each time half
//! of the base's memory is dropped the window is halved for about two answer times (a *probe*), in
//! which the queue drains and the true base is seen, and then restored. The same is done when the
//! window is down to where it shrinks no further and answers still take long: either that is the
//! queue of a slow server, which the probe shortens, or answers take longer now for another reason
//! (full states after announcements, say) and the window wrongly stays small.
//!
//! ```text
//!   Opening ── answers get longer, or the last known size is near ──► Steady ◄──► Probe
//!      ▲                                                                │
//!      └─ a pause, the loss of all links, or a queue that stays empty  ─┘
//! ```

use std::time::{Duration, Instant};

/// The size at first: twice the smallest headroom, where even the slowest server settles.
const START: f64 = 16.0;
/// Answers within this time are fast, whatever the base: below it one measures the timers
/// and schedulers of two busy machines.
const TOLERATED: Duration = Duration::from_millis(10);
/// Answers that take this many times the base are still normal: jitter is different from a queue.
const TOLERANCE: f64 = 1.25;
/// One update shrinks the window at most as if answers took twice as long as they should.
const GRADIENT_MIN: f64 = 0.5;
/// How far one update goes towards its target: with [`GRADIENT_MIN`], a tenth down at most.
const SMOOTHING: f64 = 0.2;
/// The growth of one update while opening.
const OPENING: f64 = 1.5;
/// In balance there is always a little queue. After this many updates that find it empty the window is
/// far too small (the server has recovered, or leaves much unanswered) and opens as at first.
const REOPENS_AFTER: u32 = 8;
/// After this many updates with a small window and long answers a probe shows why.
const CRAMPED_AFTER: u32 = 8;
/// The least that should stand in the server's queue.
const HEADROOM_MIN: f64 = 8.0;
/// Of this many answers only the fastest is looked at: a queue delays all of them, chance only some.
const GROUP: u32 = 4;
/// Half of the base's memory.
const HALF: Duration = Duration::from_secs(15);
/// The longest probe: a server whose answers take seconds has other troubles.
const PROBE_MAX: Duration = Duration::from_secs(2);

/// The window of one server.
#[derive(Debug)]
pub(super) struct Window {
    size: f64,
    max: f64,
    phase: Phase,
    base: Base,
    /// Smoothed answer time, in seconds.
    recent: Option<f64>,
    sample: Sample,
    updated: Instant,
    /// The most in flight since the last update.
    peak: u32,
    /// Updates in a row that found the window used and the queue empty.
    clear: u32,
    /// Updates in a row that found the window small and answers long.
    cramped: u32,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Phase {
    /// Grows quickly up to this size.
    Opening {
        until: f64,
    },
    Steady,
    Probe {
        until: Instant,
        restore: f64,
        shortest: Duration,
    },
}

/// The shortest answer in each half of the memory.
#[derive(Debug)]
struct Base {
    now: Option<Duration>,
    before: Option<Duration>,
    since: Instant,
}

/// Answer times since the last update.
#[derive(Debug, Default)]
struct Sample {
    fastest: Option<Duration>,
    in_group: u32,
    sum: Duration,
    groups: u32,
}

impl Sample {
    fn add(&mut self, after: Duration) {
        self.fastest = Some(self.fastest.map_or(after, |fastest| fastest.min(after)));
        self.in_group += 1;
        if self.in_group == GROUP {
            self.sum += self.fastest.take().unwrap_or_default();
            self.groups += 1;
            self.in_group = 0;
        }
    }

    /// Seconds.
    fn mean(&self) -> Option<f64> {
        (self.groups > 0).then(|| self.sum.as_secs_f64() / f64::from(self.groups))
    }
}

impl Base {
    /// Returns whether half of the memory has been dropped.
    fn observe(&mut self, after: Duration, now: Instant) -> bool {
        let age = now.saturating_duration_since(self.since);
        let rolls = age >= HALF;
        if rolls {
            self.before = self.now.filter(|_| age < HALF * 2);
            self.now = None;
            self.since = now;
        }
        self.now = Some(self.now.map_or(after, |shortest| shortest.min(after)));
        rolls
    }

    fn shortest(&self) -> Duration {
        let shortest = self.now.into_iter().chain(self.before).min();
        shortest.unwrap_or_default().max(TOLERATED)
    }
}

impl Window {
    pub(super) fn new(max: u32, now: Instant) -> Self {
        let max = f64::from(max.max(1));
        Self {
            size: START.min(max),
            max,
            phase: Phase::Opening { until: max },
            base: Base { now: None, before: None, since: now },
            recent: None,
            sample: Sample::default(),
            updated: now,
            peak: 0,
            clear: 0,
            cramped: 0,
        }
    }

    /// How many messages may be in flight.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // 1 to `max`, which is a u32
    pub(super) const fn size(&self) -> u32 {
        self.size as u32
    }

    /// Small again, after the server asked for a pause: it opens quickly to half of what it was, which
    /// may have been too much, and then feels its way.
    pub(super) fn restart(&mut self, now: Instant) {
        let was = match self.phase {
            // Refused before it had grown: the known size stays.
            Phase::Opening { until } if self.size <= START => until * 2.0,
            Phase::Probe { restore, .. } => restore,
            Phase::Opening { .. } | Phase::Steady => self.size,
        };
        self.size = self.size.min(START);
        self.phase = Phase::Opening { until: was / 2.0 };
        self.begin(now);
    }

    /// A message was answered, `after` being sent; `in_flight` counts it still.
    pub(super) fn answered(&mut self, after: Duration, in_flight: u32, now: Instant) {
        self.peak = self.peak.max(in_flight);
        let rolled = self.base.observe(after, now);
        self.sample.add(after);
        if let Phase::Probe { until, restore, shortest } = self.phase {
            let shortest = shortest.min(after);
            self.phase = Phase::Probe { until, restore, shortest };
            if now >= until {
                self.size = restore;
                self.phase = Phase::Steady;
                self.base = Base { now: Some(shortest), before: None, since: now };
                self.begin(now);
            }
            return;
        }
        let recent = self.recent.unwrap_or(after.as_secs_f64());
        let wanted = rolled || self.cramped >= CRAMPED_AFTER;
        if wanted && self.phase == Phase::Steady && recent > TOLERATED.as_secs_f64() {
            let until = now + Duration::from_secs_f64(recent * 2.0).min(PROBE_MAX);
            self.phase = Phase::Probe { until, restore: self.size, shortest: after };
            self.size = (self.size / 2.0).max(1.0);
            self.cramped = 0;
            return;
        }
        let since = now.saturating_duration_since(self.updated).as_secs_f64();
        // What the last update did must show in the answers before the next.
        if since >= recent.max(TOLERATED.as_secs_f64() / 2.0) {
            self.update(now);
        }
    }

    fn update(&mut self, now: Instant) {
        let Some(sample) = self.sample.mean() else { return };
        let recent = self.recent.map_or(sample, |recent| f64::midpoint(recent, sample));
        self.recent = Some(recent);
        let base = self.base.shortest().as_secs_f64();
        let gradient = (TOLERANCE * base / recent).clamp(GRADIENT_MIN, 1.0);
        // Only a window that is used shows what the server can bear.
        let used = f64::from(self.peak) * 2.0 >= self.size;
        self.clear = if gradient >= 1.0 && used { self.clear + 1 } else { 0 };
        if self.phase == Phase::Steady && self.clear >= REOPENS_AFTER {
            self.phase = Phase::Opening { until: self.max };
        }
        let mut size = match self.phase {
            Phase::Opening { until } if gradient >= 1.0 && self.size < until => self.size * OPENING,
            Phase::Opening { .. } | Phase::Steady | Phase::Probe { .. } => {
                self.phase = Phase::Steady;
                let headroom = self.size.sqrt().max(HEADROOM_MIN);
                let target = self.size.mul_add(gradient, headroom);
                (target - self.size).mul_add(SMOOTHING, self.size)
            }
        };
        if size > self.size && !used {
            size = self.size;
        }
        let cramped = gradient <= GRADIENT_MIN && size <= START * 1.1;
        self.cramped = if cramped { self.cramped + 1 } else { 0 };
        self.size = size.clamp(1.0, self.max);
        self.begin(now);
    }

    fn begin(&mut self, now: Instant) {
        self.sample = Sample::default();
        self.updated = now;
        self.peak = 0;
    }
}
