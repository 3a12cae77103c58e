//! How many messages may be in flight: a window that follows what the server gets done.
//!
//! A queue shows in this alone: *more in flight gets no more done*. Answers that take long, or vary, show nothing of the
//! kind: a server that works on all messages at once and answers each after 0 to 3 s gets twice as much done with twice
//! as many in flight. So answers are counted, not timed, and each question is put by moving the window:
//!
//! ```text
//!   Opening ── twice in a row no more was done with more in flight ──► Probe
//!      ▲  ▲                                                           ▲  │
//!      │  └── half the window, half done: there is no queue ──────────┼──┤
//!      │                                                              │  │ half the window, as much done: that was a
//!      │     from time to time, and when answers take clearly longer  │  │ queue; once more, until less is done
//!      │                                                              │  ▼
//!      └── a pause, the loss of all links, or a queue that stays ──── Steady
//!          empty
//! ```
//!
//! *Time* goes by rounds. A round ends when as many answers have come as were in flight when it began: that is one answer
//! time, whatever its distribution and order. By Little's law the mean answer time is the mean number in flight
//! divided by the answers a second, so it needs no stamp on any message, and servers whose answers name no agent are
//! paced like others. The noise of such a count is that of its number, however long the distribution's tail.
//!
//! *Steady* is a gradient controller. The *base*, which probes find, is what an answer takes when nothing queues; their
//! ratio shrinks the window, and a small *headroom* grows it. In balance about `headroom` messages stand in the
//! server's queue: it never runs dry, and answers stay short. AIMD would need losses to find the limit, and an OpAMP
//! server loses nothing: it only gets slower, so AIMD fills it to the brim, halves, and swings.
//!
//! *Silence* says less than answers do. A server whose first answer takes longer than any of the floor's pace either takes its
//! time, or is stuck. The window grows meanwhile up to a bound, and is small again if no answer comes at all.

use std::time::{Duration, Instant};

/// The size at first: twice the smallest headroom, where even the slowest server settles.
const START: f64 = 16.0;
/// A queue of this time is no matter: below it one measures the timers and schedulers of two busy machines.
const TOLERATED_S: f64 = 0.01;
/// Answers that take this many times the base are still normal.
const TOLERANCE: f64 = 1.25;
/// One update shrinks the window at most as if answers took twice as long as they should.
const GRADIENT_MIN: f64 = 0.5;
/// How far one update goes towards its target: with [`GRADIENT_MIN`], a tenth down at most.
const SMOOTHING: f64 = 0.2;
/// Answers that take this many times the base show an empty queue.
const CLEAR: f64 = 1.1;
/// What each answer adds while the window opens at first: it triples in a round.
const OPENING: f64 = 2.0;
/// The same later, when more is known: it doubles.
const REOPENING: f64 = 1.0;
/// Up to this many times what the server is known to work at. Above it the window grows at a quarter of that: what it does
/// shows an answer time later.
const FAST_UP_TO: f64 = 5.0;
const SLOWER: f64 = 0.25;
/// An answer that overtakes another shows that both were worked at: the window grows faster for it, up to here.
const OVERTAKING: f64 = 5.0;
const OVERTAKING_UP_TO: f64 = 512.0;
/// While the window opens each round gets this many times as much done as the one before, or shows a queue.
const RISES: f64 = 1.3;
/// With half the window, this part of what was done, or more: what the other half did was to wait.
const QUEUED: f64 = 0.8;
/// With a part of the window, hardly more than that part of what was done: all of it was worked at. This much of the rest
/// is noise.
const NO_QUEUE: f64 = 0.24;
/// This part of what was done, or less, says nothing of answer times.
const LITTLE: f64 = 0.62;
/// A round that takes this many times as long as it did before needs not be waited for.
const FALLEN: f64 = 4.0;
/// A window that would shrink to this part of itself asks first whether there is a queue.
const SHRINKS: f64 = 0.7;
/// And does so after this many rounds: the first of them saw things as they were, too.
const LONG_FOR: u32 = 2;
/// After this many rounds that find the queue empty the window is far too small and opens as at first.
const REOPENS_AFTER: u32 = 4;
/// The least that should stand in the server's queue.
const HEADROOM_MIN: f64 = 8.0;
/// The part that is tried where messages stay unanswered, which take their part of the window for long.
const PART_UNANSWERED: f64 = 0.85;
/// The smallest part of the window that is tried.
const PROBE_MIN: f64 = 6.0;
/// The fewest answers that say something of the pace.
const ROUND_MIN: u32 = 16;
/// The shortest round, in seconds.
const ROUND_MIN_S: f64 = 0.005;
/// The same where messages stay unanswered: those count until others have passed them over, and only then is seen what
/// they leave of the window.
const ROUND_MIN_UNANSWERED_S: f64 = 0.6;
/// The longest round: what is unanswered by then has stopped counting.
const ROUND_MAX_S: f64 = 10.0;
/// After this many answers in a row that took longer than a message counts, what is in flight is not known.
const OVERDUE_MAX: u32 = 8;
/// From one probe to the next, at least, and in answer times.
const PROBE_EVERY_S: f64 = 15.0;
const PROBE_EVERY_ANSWER_TIMES: f64 = 16.0;
/// The same when answers take clearly longer.
const AGAIN_S: f64 = 1.0;
const AGAIN_ANSWER_TIMES: f64 = 8.0;

/// A server that has not answered yet is sent twice as much after each of these.
const SILENCE_DOUBLES: Duration = Duration::from_millis(100);
/// Up to here.
const SILENCE_WINDOW_MAX: f64 = 1_024.0;
/// The same between two answers.
const GAP_FACTOR_MAX: f64 = 8.0;
/// Behind this many times the usual.
const USUAL_GAPS: f64 = 5.0;
const GAP_WINDOW_MAX: f64 = 512.0;
/// And for so long.
const SILENCE_MAX: Duration = Duration::from_millis(3_500);

/// The window of one server.
#[derive(Debug)]
pub(super) struct Window {
    size: f64,
    max: f64,
    phase: Phase,
    /// What an answer takes while nothing queues, in seconds.
    base_s: Option<f64>,
    /// The same as things are, smoothed.
    recent_s: Option<f64>,
    round: Round,
    silence: Quiet,
    probed: Instant,
    /// Answers in a row that took longer than their messages count.
    overdue: u32,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Phase {
    /// Grows quickly up to this size.
    Opening {
        until: f64,
        /// The most that was done in a round, by the second.
        rate: f64,
        /// The last round got no more done.
        held: bool,
        /// What each answer adds.
        growth: f64,
    },
    Steady {
        /// Rounds in a row that found the window used and the queue empty.
        clear: u32,
        /// Rounds in a row that found answers far too long.
        long: u32,
    },
    /// Smaller for a moment.
    Probe {
        /// What the whole window was, and got done by the second.
        whole: f64,
        rate: f64,
        /// Half, a quarter, ...
        part: f64,
        step: PartStep,
    },
}

/// What was known when a round of an opening window began: see [`Phase::Opening`].
#[derive(Debug, Clone, Copy)]
struct OpeningRound {
    until: f64,
    rate: f64,
    held: bool,
    growth: f64,
}

/// The same of a probe: see [`Phase::Probe`].
#[derive(Debug, Clone, Copy)]
struct ProbeRound {
    whole: f64,
    rate: f64,
    part: f64,
}

/// A part of the window shows what it gets done when nothing is left of a larger one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum PartStep {
    Drain,
    Settle,
    Measure,
    /// Less was done: once more, for it may have stood still for a moment.
    Confirm,
}

/// Whether the server has answered since it is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Quiet {
    NothingSent,
    /// Nothing was answered yet.
    Since(Instant),
    /// Since the last answer.
    Gap(Instant),
    Over,
}

/// An answer, as far as the window is concerned.
#[derive(Debug, Clone, Copy)]
pub(super) struct AnswerFacts {
    /// Messages in flight, this one among them.
    pub(super) in_flight: u32,
    /// Others that went out clearly earlier on its link are still unanswered.
    pub(super) overtakes: bool,
    /// The server leaves some messages unanswered.
    pub(super) some_unanswered: bool,
    /// It took longer than a message counts.
    pub(super) is_overdue: bool,
}

/// What has happened since the last update.
#[derive(Debug)]
struct Round {
    began: Instant,
    /// The account is complete until then.
    counted: Instant,
    /// It ends with this many answers.
    quota: u32,
    answers: u32,
    /// Messages in flight times seconds.
    message_seconds: f64,
    /// It lasts for this many seconds at least.
    least_s: f64,
}

/// What a round has shown.
#[derive(Debug, Clone, Copy)]
struct Shown {
    /// Answers a second.
    rate: f64,
    /// Mean messages in flight.
    in_flight: f64,
    /// Mean answer time, in seconds.
    answer_s: f64,
}

impl Round {
    fn new(in_flight: u32, now: Instant) -> Self {
        let quota = in_flight.max(ROUND_MIN);
        Self {
            began: now,
            counted: now,
            quota,
            answers: 0,
            message_seconds: 0.0,
            least_s: ROUND_MIN_S,
        }
    }

    fn count(&mut self, in_flight: u32, now: Instant) {
        let passed = now.saturating_duration_since(self.counted).as_secs_f64();
        self.message_seconds += f64::from(in_flight) * passed;
        self.counted = self.counted.max(now);
    }

    fn seconds(&self) -> f64 {
        self.counted.saturating_duration_since(self.began).as_secs_f64()
    }

    fn ends(&self) -> bool {
        let seconds = self.seconds();
        (self.answers >= self.quota && seconds >= self.least_s)
            || (self.answers > 0 && seconds >= ROUND_MAX_S)
    }

    /// There is an answer at least.
    fn shown(&self) -> Shown {
        let (answers, seconds) = (f64::from(self.answers), self.seconds());
        let answer_s = self.message_seconds / answers.max(1.0);
        Shown { rate: answers / seconds, in_flight: self.message_seconds / seconds, answer_s }
    }
}

impl Window {
    pub(super) fn new(max: u32, now: Instant) -> Self {
        let max = f64::from(max.max(1));
        Self {
            size: START.min(max),
            max,
            phase: Phase::Opening { until: max, rate: 0.0, held: false, growth: OPENING },
            base_s: None,
            recent_s: None,
            round: Round::new(0, now),
            silence: Quiet::NothingSent,
            probed: now,
            overdue: 0,
        }
    }

    /// How many messages may be in flight.
    pub(super) fn size(&self, now: Instant) -> u32 {
        let grown = |since, usual_s: f64, factor_max, most: f64| {
            let silence = now.saturating_duration_since(since);
            if silence >= SILENCE_MAX || !matches!(self.phase, Phase::Opening { .. }) {
                return self.size;
            }
            let doubles = SILENCE_DOUBLES.as_secs_f64();
            let doubled = (silence.as_secs_f64() - usual_s.max(doubles)) / doubles;
            let factor = doubled.max(0.0).exp2().min(factor_max);
            self.size.max((self.size * factor).min(most).min(self.max))
        };
        whole(match self.silence {
            Quiet::Since(since) => grown(since, 0.0, f64::MAX, SILENCE_WINDOW_MAX),
            Quiet::Gap(since) => grown(since, self.usual_gap_s(), GAP_FACTOR_MAX, GAP_WINDOW_MAX),
            Quiet::NothingSent | Quiet::Over => self.size,
        })
    }

    /// A busy server's answers come closer than this to one another.
    fn usual_gap_s(&self) -> f64 {
        let rate = match self.phase {
            Phase::Opening { rate, .. } if rate > 0.0 => rate,
            _ => f64::from(self.round.answers) / self.round.seconds().max(ROUND_MIN_S),
        };
        USUAL_GAPS / rate.max(f64::MIN_POSITIVE)
    }

    /// Small again, after the server asked for a pause: it opens quickly to half of what it was, which
    /// may have been too much, and then feels its way.
    pub(super) fn restart(&mut self, now: Instant) {
        let was = match self.phase {
            // Refused before it had grown: the known size stays.
            Phase::Opening { until, .. } if self.size <= START => until * 2.0,
            Phase::Probe { whole, .. } => whole,
            Phase::Opening { .. } | Phase::Steady { .. } => self.size,
        };
        self.size = self.size.min(START);
        self.phase = Phase::Opening { until: was / 2.0, rate: 0.0, held: false, growth: OPENING };
        self.silence = Quiet::Over;
        self.round = Round::new(0, now);
    }

    /// A message goes out, beside this many in flight.
    pub(super) fn sent(&mut self, in_flight: u32, now: Instant) {
        self.round.count(in_flight, now);
        if self.silence == Quiet::NothingSent {
            self.silence = Quiet::Since(now);
            self.round = Round::new(in_flight, now);
        }
        self.end_round(in_flight, now);
    }

    /// A message was answered.
    pub(super) fn answered(&mut self, answer: AnswerFacts, now: Instant) {
        let AnswerFacts { in_flight, overtakes, some_unanswered, is_overdue } = answer;
        if self.note_overdue(is_overdue, now) {
            return;
        }
        self.round.least_s = if some_unanswered { ROUND_MIN_UNANSWERED_S } else { ROUND_MIN_S };
        // What silence let through stays allowed: it is answered now.
        if in_flight > whole(self.size) {
            self.size = f64::from(self.size(now).min(in_flight));
        }
        self.silence = Quiet::Gap(now);
        self.round.count(in_flight, now);
        self.round.answers += 1;
        match &mut self.phase {
            Phase::Opening { until, growth, rate, held: false }
                if f64::from(in_flight) * 2.0 >= self.size =>
            {
                let known = *rate * self.base_s.unwrap_or_default().max(TOLERATED_S);
                let fast = *rate <= 0.0 || self.size <= known * FAST_UP_TO;
                let growth = match (fast, overtakes && self.size < OVERTAKING_UP_TO) {
                    (true, true) => *growth * OVERTAKING,
                    (true, false) => *growth,
                    (false, _) => *growth * SLOWER,
                };
                self.size = (self.size + growth).min(*until).min(self.max).max(1.0);
            }
            Phase::Probe { part, step: step @ PartStep::Drain, .. }
                if f64::from(in_flight) <= *part + 1.0 =>
            {
                *step = PartStep::Settle;
                self.round = Round::new(in_flight, now);
            }
            _ => {}
        }
        self.end_round(in_flight, now);
    }

    /// Answers that all take longer than their messages count show a queue of which little is seen. The floor alone goes
    /// on until it is worked off.
    fn note_overdue(&mut self, is_overdue: bool, now: Instant) -> bool {
        self.overdue = if is_overdue { self.overdue + 1 } else { 0 };
        if self.overdue < OVERDUE_MAX {
            return false;
        }
        self.overdue = 0;
        self.size = self.size.min(PROBE_MIN);
        self.phase = Phase::Steady { clear: 0, long: 0 };
        self.round = Round::new(0, now);
        true
    }

    fn end_round(&mut self, in_flight: u32, now: Instant) {
        let fell = self.has_fallen();
        if self.round.ends() || fell {
            let shown = self.round.shown();
            let least_s = self.round.least_s;
            self.round = Round { least_s, ..Round::new(in_flight, now) };
            self.round_ended(shown, fell, now);
            self.size = self.size.clamp(1.0, self.max);
        }
    }

    /// A part of the window gets so little done that no whole round is needed to see it.
    fn has_fallen(&self) -> bool {
        let Phase::Probe { rate, .. } = self.phase else { return false };
        let round = &self.round;
        round.seconds() >= round.least_s.max(f64::from(round.quota) * FALLEN / rate)
    }

    fn round_ended(&mut self, shown: Shown, fell: bool, now: Instant) {
        match self.phase {
            Phase::Opening { until, rate, held, growth } => {
                self.opened(shown, OpeningRound { until, rate, held, growth }, now)
            }
            Phase::Steady { clear, long } => self.steady(shown, (clear, long), now),
            Phase::Probe { whole, rate, part, step } => {
                let last = step == PartStep::Confirm
                    || (step == PartStep::Measure && shown.rate >= rate * QUEUED);
                let step = match step {
                    _ if last => {
                        return self.probe_ended(shown, ProbeRound { whole, rate, part }, now);
                    }
                    PartStep::Drain if !fell => PartStep::Settle,
                    PartStep::Settle if !fell => PartStep::Measure,
                    PartStep::Drain | PartStep::Settle | PartStep::Measure | PartStep::Confirm => {
                        PartStep::Confirm
                    }
                };
                self.phase = Phase::Probe { whole, rate, part, step };
            }
        }
    }

    fn opened(&mut self, shown: Shown, was: OpeningRound, now: Instant) {
        let OpeningRound { until, rate, held, growth } = was;
        self.base_s = Some(self.base_s.map_or(shown.answer_s, |base| base.min(shown.answer_s)));
        let rises = shown.rate >= rate * RISES || shown.answer_s <= TOLERATED_S;
        let used = shown.in_flight * 2.0 >= self.size;
        let most = rate.max(shown.rate);
        self.phase = if self.size >= until.min(self.max) {
            Phase::Steady { clear: 0, long: 0 }
        } else if rises || !used {
            Phase::Opening { until, rate: most, held: false, growth }
        } else if !held {
            Phase::Opening { until, rate: most, held: true, growth }
        } else {
            let part = (self.balance(most) / self.size).min(1.0) / 2.0;
            return self.probe(self.size, most, part, now);
        };
    }

    /// The window at which the server is busy, and little queues.
    fn balance(&self, rate: f64) -> f64 {
        let worked_at = rate * self.base_s.unwrap_or_default().max(TOLERATED_S) * TOLERANCE;
        worked_at + worked_at.sqrt().max(HEADROOM_MIN)
    }

    fn probe(&mut self, whole: f64, rate: f64, part: f64, now: Instant) {
        let part = (whole * part).max(1.0);
        self.phase = Phase::Probe { whole, rate, part, step: PartStep::Drain };
        self.size = part;
        self.probed = now;
    }

    fn probe_ended(&mut self, shown: Shown, tried: ProbeRound, now: Instant) {
        let ProbeRound { whole, rate, part } = tried;
        let used = shown.in_flight >= part * 0.7;
        if !used {
            // Too little is said to tell.
            self.size = whole;
            self.phase = Phase::Steady { clear: 0, long: 0 };
            return;
        }
        let done = shown.rate / rate;
        // As much less was done as there was less of the window.
        let share = part / whole;
        let no_queue = done <= (1.0 - share).mul_add(NO_QUEUE, share);
        if done > LITTLE || no_queue {
            self.base_s = Some(shown.answer_s);
        }
        let deeper = part >= PROBE_MIN * 2.0 && self.round.least_s <= ROUND_MIN_S;
        if done >= QUEUED && shown.answer_s > TOLERATED_S && deeper {
            return self.probe(whole, rate, part / whole / 2.0, now);
        }
        self.recent_s = None;
        if no_queue {
            self.size = whole;
            self.phase = Phase::Opening {
                until: self.max,
                rate: shown.rate,
                held: false,
                growth: REOPENING,
            };
        } else {
            self.size = self.balance(rate);
            self.phase = Phase::Steady { clear: 0, long: 0 };
        }
    }

    fn steady(&mut self, shown: Shown, (clear, long): (u32, u32), now: Instant) {
        // Only a window that is used shows what the server can bear.
        let used = shown.in_flight >= self.size * 0.75;
        if !used {
            self.phase = Phase::Steady { clear: 0, long: 0 };
            return;
        }
        let recent =
            self.recent_s.map_or(shown.answer_s, |recent| f64::midpoint(recent, shown.answer_s));
        self.recent_s = Some(recent);
        let base = self.base_s.map_or(recent, |base| base.min(recent));
        self.base_s = Some(base);
        let gradient = (TOLERANCE * base.max(TOLERATED_S) / recent).clamp(GRADIENT_MIN, 1.0);
        let headroom = self.size.sqrt().max(HEADROOM_MIN);
        let target = self.size.mul_add(gradient, headroom);
        let since_probe = now.saturating_duration_since(self.probed).as_secs_f64();
        let due = since_probe >= (recent * PROBE_EVERY_ANSWER_TIMES).max(PROBE_EVERY_S);
        let far = target < self.size * SHRINKS || gradient <= GRADIENT_MIN;
        let long = if far { long + 1 } else { 0 };
        if recent > TOLERATED_S
            && (due
                || (long >= LONG_FOR && since_probe >= (recent * AGAIN_ANSWER_TIMES).max(AGAIN_S)))
        {
            let part = if self.round.least_s > ROUND_MIN_S { PART_UNANSWERED } else { 0.5 };
            return self.probe(self.size, shown.rate, part, now);
        }
        let clear = if recent <= base.max(TOLERATED_S) * CLEAR { clear + 1 } else { 0 };
        self.phase = if clear >= REOPENS_AFTER {
            Phase::Opening { until: self.max, rate: shown.rate, held: false, growth: REOPENING }
        } else {
            Phase::Steady { clear, long }
        };
        self.size = (target - self.size).mul_add(SMOOTHING, self.size);
    }
}

#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // 1 to `max`, which is a u32
const fn whole(size: f64) -> u32 {
    size as u32
}
