//! The pacer of one server: what waits, the ceiling, the floor, the window and the pause, together.
//!
//! ```text
//!   paused ──► all wait
//!   else: no token under the ceiling ──► wait for it
//!   else: fewer in flight than the window ──► go
//!   else: less than the floor has gone ──► go all the same
//!   else ──► wait for an answer
//! ```

use std::num::{NonZeroU16, NonZeroU32};
use std::time::{Duration, Instant};

use super::flight::{COUNTED_FOR, Flight};
use super::liveness::{Liveness, LivenessBudget, LivenessNews};
use super::meter::Meter;
use super::waiting::WaitingSessions;
use super::window::{AnswerFacts, Window};
use super::{Class, Permit};
use crate::core::bucket::Bucket;
use crate::ident::InstanceUid;

/// A permit that comes within this time comes soon: about as long as a person, or an agent, waits
/// for an answer before wondering.
const SOON: Duration = Duration::from_secs(1);
/// A server has lost its state when it has answered this many announcements in a row by asking: fewer
/// could be agents that are new to this server alone.
const STATE_LOST_AFTER: u8 = 8;
/// At most this many agents a second are asked, whatever the ceiling: what they answer is read and
/// compared here.
const ASKS_MAX: NonZeroU32 = NonZeroU32::new(5_000).expect("not zero");
/// The pacer is asked again after this time in any case: messages that stay unanswered stop counting.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// The bounds of one server's pace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PacerParams {
    /// The ceiling, in messages a second.
    pub pace_max: NonZeroU32,
    /// The floor, in messages a second: that many go whatever is in flight. At most the ceiling.
    pub pace_min: NonZeroU32,
    /// The largest window, in messages. The floor may pass it.
    pub in_flight_max: NonZeroU32,
    /// Signs of life a second, at most; `None`: no sign of life goes.
    pub liveness: Option<NonZeroU32>,
    /// How many links there are; their numbers are below it.
    pub links: NonZeroU16,
}

/// What [`Pacer::next`] has found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// This session has a permit, for one message. It has left the queue of this class.
    Permit(InstanceUid, Class),
    /// Something waits, and must wait for this long, unless an answer comes or a session is enqueued
    /// before.
    Wait(Duration),
    /// All queues are empty.
    Empty,
}

/// Decides when what waits for one server may go.
#[derive(Debug)]
pub struct Pacer {
    params: PacerParams,
    waiting: WaitingSessions,
    ceiling: Bucket,
    floor: Bucket,
    asks: Bucket,
    liveness: LivenessBudget,
    /// Whether an Ask is looked at before the rest. They alternate in that: with plenty of tokens for
    /// both, each gets its share.
    ask_first: bool,
    flight: Flight,
    window: Window,
    gone: Meter,
    paused_until: Option<Instant>,
    /// Announcements answered by asking, in a row.
    asked_in_a_row: u8,
}

impl Pacer {
    /// With empty queues, and nothing in flight.
    pub fn new(params: PacerParams, now: Instant) -> Self {
        Self {
            params,
            waiting: WaitingSessions::default(),
            ceiling: Bucket::new(params.pace_max, now),
            floor: Bucket::new(params.pace_min, now),
            asks: Bucket::new(params.pace_max.min(ASKS_MAX), now),
            liveness: LivenessBudget::new(params.liveness, now),
            ask_first: false,
            flight: Flight::new(params.links.get(), now),
            window: Window::new(params.in_flight_max.get(), now),
            gone: Meter::new(now),
            paused_until: None,
            asked_in_a_row: 0,
        }
    }

    /// Sets other bounds of the pace, from now on.
    pub fn set_pace(&mut self, most: NonZeroU32, least: NonZeroU32, now: Instant) {
        (self.params.pace_max, self.params.pace_min) = (most, least);
        self.ceiling.set_rate(most, now);
        self.floor.set_rate(least, now);
        self.asks.set_rate(most.min(ASKS_MAX), now);
    }

    /// Whether a message that has just come may go at once. It may if all queues are empty and there is
    /// a token, which it takes.
    pub fn admit(&mut self, now: Instant) -> Permit {
        if self.waiting.len_paced() == 0 && self.take(now).is_ok() {
            return Permit::Granted;
        }
        Permit::Wait { soon: self.wait_for_change(now) < SOON }
    }

    /// A session waits for a permit. `true`: its queue was empty, so the task that grants permits may
    /// have to be woken.
    pub fn enqueue(&mut self, uid: InstanceUid, class: Class) -> bool {
        let before = match class {
            Class::Ask | Class::Liveness => self.waiting.len_of(class),
            _ => self.waiting.len_paced(),
        };
        self.waiting.push(uid, class);
        before == 0
    }

    /// The session that gets the next permit.
    pub fn next(&mut self, now: Instant) -> Next {
        if self.waiting.len() == 0 {
            return Next::Empty;
        }
        if let Some(left) = self.paused(now) {
            return Next::Wait(left);
        }
        let ask_first = self.ask_first;
        let mut wait = LOOK_AGAIN;
        for ask in [ask_first, !ask_first] {
            let found = if ask { self.next_ask(now) } else { self.next_paced(now) };
            match found {
                Ok(Some((uid, class))) => {
                    self.ask_first = !ask;
                    return Next::Permit(uid, class);
                }
                Ok(None) => {}
                Err(needed) => wait = wait.min(needed),
            }
        }
        Next::Wait(wait)
    }

    fn next_paced(&mut self, now: Instant) -> Result<Option<(InstanceUid, Class)>, Duration> {
        let signs = self.waiting.len_of(Class::Liveness);
        let liveness = if signs > 0 { self.liveness.ready(now) } else { Err(LOOK_AGAIN) };
        match liveness {
            Err(wait) if self.waiting.len_paced() == 0 => {
                return if signs > 0 { Err(wait) } else { Ok(None) };
            }
            Err(_) | Ok(()) => self.take(now)?,
        }
        let next = self.waiting.pop_paced(liveness.is_ok());
        if matches!(next, Some((_, Class::Liveness))) {
            self.liveness.take(now);
        }
        Ok(next)
    }

    /// A sign of life has come of an agent from which the server wants one in each `asked`; zero if it named no interval.
    pub fn liveness(&mut self, asked: Duration, now: Instant) -> Liveness {
        let waiting = self.waiting.len_of(Class::Liveness);
        self.liveness.admit(asked, waiting, now)
    }

    /// How long a sign of life waits, as things stand: the server hears of each agent about that often.
    pub fn liveness_every(&self) -> Duration {
        self.liveness.every(self.waiting.len_of(Class::Liveness))
    }

    /// What an operator is to know of the budget since this was last asked.
    pub fn liveness_news(&mut self, now: Instant) -> Option<LivenessNews> {
        self.liveness.news(self.waiting.len_of(Class::Liveness), now)
    }

    fn next_ask(&mut self, now: Instant) -> Result<Option<(InstanceUid, Class)>, Duration> {
        if self.waiting.len_of(Class::Ask) == 0 {
            return Ok(None);
        }
        self.asks.take(now)?;
        Ok(self.waiting.pop_ask().map(|uid| (uid, Class::Ask)))
    }

    /// Takes the token for one message, or says how long until there is one.
    fn take(&mut self, now: Instant) -> Result<(), Duration> {
        if let Some(left) = self.paused(now) {
            return Err(left);
        }
        self.ceiling.take(now)?;
        // What the window lets through counts for the floor: the floor only adds what is missing.
        let floor = self.floor.take(now);
        if self.flight.total(now) >= self.window.size(now)
            && let Err(wait) = floor
        {
            self.ceiling.refund();
            return Err(wait);
        }
        self.gone.count(now);
        Ok(())
    }

    /// The last permit of this class was left unused: it is free.
    pub fn refund(&mut self, class: Class) {
        if class == Class::Ask {
            self.asks.refund();
            return;
        }
        if class == Class::Liveness {
            self.liveness.refund();
        }
        self.ceiling.refund();
        self.floor.refund();
        self.gone.uncount();
        self.waiting.refund(class);
    }

    /// A message went out on `link`, with a permit or past the queues.
    pub fn sent(&mut self, link: u16, now: Instant) {
        let in_flight = self.flight.total(now);
        self.window.sent(in_flight, now);
        self.flight.sent(link, now);
    }

    /// A message that went out on `link` was answered, `after` that if it is known. `true`: a session
    /// that waits may go because of it.
    pub fn answered(&mut self, link: u16, after: Option<Duration>, now: Instant) -> bool {
        let overtakes = after.is_some_and(|after| self.flight.overtakes(link, after, now));
        self.count_answer(overtakes, after, now);
        self.flight.answered(link, after, now);
        self.wakes(now)
    }

    /// A session is over that has this many messages in flight on `link`.
    pub fn orphaned(&mut self, link: u16, messages: u32, now: Instant) {
        self.flight.orphaned(link, messages, now);
    }

    /// The same as [`Pacer::answered`], of a message whose session is over.
    pub fn orphan_answered(&mut self, after: Option<Duration>, now: Instant) -> bool {
        self.count_answer(false, after, now);
        self.flight.orphan_answered(after, now);
        self.wakes(now)
    }

    /// Messages of a session that is over, the last sent `after` ago, whose link has ended: they will stay unanswered.
    /// `true`: a session that waits may go because of it.
    pub fn orphans_lost(&mut self, messages: u32, after: Duration, now: Instant) -> bool {
        self.flight.orphans_lost(messages, after, now);
        self.wakes(now)
    }

    fn count_answer(&mut self, overtakes: bool, after: Option<Duration>, now: Instant) {
        let in_flight = self.flight.total(now);
        let some_unanswered = self.flight.some_unanswered();
        let is_overdue = after.is_some_and(|after| after >= COUNTED_FOR);
        let answer = AnswerFacts { in_flight, overtakes, some_unanswered, is_overdue };
        self.window.answered(answer, now);
    }

    fn wakes(&mut self, now: Instant) -> bool {
        self.waiting.len_paced() + self.waiting.len_of(Class::Liveness) > 0
            && self.flight.total(now) < self.window.size(now)
    }

    /// What was in flight on `link` will stay unanswered.
    pub fn link_lost(&mut self, link: u16) {
        self.flight.link_lost(link);
    }

    /// The server has lost its last link: what returns may be another process on another machine, so
    /// its pace is learnt anew. What waits goes on waiting, and a pause still holds.
    pub fn links_all_lost(&mut self, now: Instant) {
        self.flight.clear();
        self.window = Window::new(self.params.in_flight_max.get(), now);
        self.asked_in_a_row = 0;
    }

    /// The server is throttled: all messages wait until then. A shorter wish leaves a longer one as it
    /// is.
    pub fn pause(&mut self, until: Instant, now: Instant) {
        if until <= now {
            return;
        }
        // Refusals come in crowds; only the first of them finds the window as it was.
        if self.paused(now).is_none() {
            self.window.restart(now);
        }
        self.paused_until = self.paused_until.max(Some(until));
    }

    /// How long the server's pause still lasts.
    pub fn paused(&self, now: Instant) -> Option<Duration> {
        let until = self.paused_until?;
        (until > now).then(|| until - now)
    }

    /// An announcement was answered; `asked`: by asking for the full state.
    pub const fn announce_answered(&mut self, asked: bool) {
        self.asked_in_a_row = if asked { self.asked_in_a_row.saturating_add(1) } else { 0 };
    }

    /// The server has asked for the state of every agent that was announced to it lately.
    pub const fn state_lost(&self) -> bool {
        self.asked_in_a_row >= STATE_LOST_AFTER
    }

    /// How long until a change that is enqueued now has its permit, as things stand: most messages that
    /// just came are one.
    fn wait_for_change(&mut self, now: Instant) -> Duration {
        let rate = self.gone.per_second(now).max(f64::from(self.params.pace_min.get()));
        let permits = u32::try_from(self.waiting.permits_until(Class::Change)).unwrap_or(u32::MAX);
        let pause = self.paused(now).unwrap_or_default();
        pause.saturating_add(Duration::from_secs_f64(f64::from(permits) / rate))
    }

    /// Sessions that wait, in all classes: one that waits in two counts twice.
    pub fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Whether all queues are empty.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Sessions that wait in one class.
    pub fn len_of(&self, class: Class) -> usize {
        self.waiting.len_of(class)
    }

    /// Takes out everything that waits, for another server.
    pub fn drain(&mut self) -> Vec<(InstanceUid, Class)> {
        self.waiting.drain()
    }

    /// Messages that went lately, by the second.
    pub fn pace(&mut self, now: Instant) -> f64 {
        self.gone.per_second(now)
    }

    /// Messages sent and still unanswered.
    pub fn in_flight(&mut self, now: Instant) -> u32 {
        self.flight.total(now)
    }

    /// How many messages may be in flight.
    pub fn window(&self, now: Instant) -> u32 {
        self.window.size(now)
    }
}
