//! Messages in flight: sent to the server and still unanswered, counted for each link.
//!
//! Some servers answer only a part of the messages, so a message stops counting after a while. It also
//! stops counting as soon as one is answered that went out clearly later on the same link, since servers
//! work through a link in order. This second rule keeps the window of a server that leaves a tenth
//! unanswered from filling with messages that are long dealt with.
//!
//! A message whose session is over (an agent's goodbye, most of all) is an *orphan*. Some servers leave
//! orphans unanswered: where they have done so for a while, an orphan counts for a moment only. Otherwise
//! the end of many agents' grace periods would fill the window, and all other agents of the server would
//! go at the pace of the floor.
//!
//! The account is a ring of counts for each link, ten a second: its memory is fixed whatever is in
//! flight, and a link's loss forgets exactly that link's messages. Coarser counts would be dropped
//! in lumps too large for the window to follow.

use std::time::{Duration, Instant};

/// One count of the ring.
const TICK: Duration = Duration::from_millis(TICK_MILLIS as u64);
const TICK_MILLIS: u32 = 100;
const TICKS_PER_SECOND: u64 = 10;
/// How long an unanswered message counts; up to a tick longer.
pub(super) const COUNTED_FOR: Duration = Duration::from_secs(10);
/// Whole ticks that a message counts for, and the one it was sent in.
const TICKS: usize = 101;
/// A message stops counting when one is answered that went out this many ticks later: long enough for
/// a server with several workers, which finish in their own order.
const PASSED_OVER_AFTER: u64 = 5;

/// A server that has left all orphans unanswered for this long, while there were some, will do so.
const SILENT_AFTER: Duration = Duration::from_secs(2);

/// A server that leaves one message in this many unanswered leaves some unanswered.
const SOME_ARE: u32 = 50;
/// Of this many answers.
const REMEMBERED: u32 = 2_048;

#[derive(Debug, Clone)]
struct LinkFlight {
    sent: [u32; TICKS],
    total: u32,
    /// What was sent from this tick on counts.
    oldest: u64,
}

impl LinkFlight {
    const EMPTY: Self = Self { sent: [0; TICKS], total: 0, oldest: 0 };

    /// Forgets what was sent before `tick`; returns how much that was.
    fn forget_before(&mut self, tick: u64) -> u32 {
        let before = self.total;
        while self.oldest < tick && self.total > 0 {
            self.total -= std::mem::take(&mut self.sent[slot(self.oldest)]);
            self.oldest += 1;
        }
        self.oldest = self.oldest.max(tick);
        before - self.total
    }

    /// Takes one message off `tick` if it has one, else off the oldest that has.
    fn take(&mut self, tick: Option<u64>) -> bool {
        if self.total == 0 {
            return false;
        }
        let has_one = |tick: &u64| self.sent[slot(*tick)] > 0;
        let own = tick.filter(|tick| *tick >= self.oldest).filter(has_one);
        let mut candidates = self.oldest..self.oldest + TICKS as u64;
        let Some(tick) = own.or_else(|| candidates.find(has_one)) else { return false };
        self.sent[slot(tick)] -= 1;
        self.total -= 1;
        true
    }
}

/// The account of one server's links.
#[derive(Debug)]
pub(super) struct Flight {
    started: Instant,
    tick: u64,
    /// When the next tick begins: until then there is nothing to drop, and most calls end here.
    next_tick: Instant,
    links: Box<[LinkFlight]>,
    /// Of all links.
    orphans: LinkFlight,
    /// There was an orphan then, and all have been left unanswered since.
    silent_since: Option<Instant>,
    total: u32,
    /// Of the last answers, and of the messages that they have passed over.
    answers: u32,
    passed_over: u32,
}

impl Flight {
    /// With `links` links, on which nothing is in flight.
    pub(super) fn new(links: u16, now: Instant) -> Self {
        let links = vec![LinkFlight::EMPTY; usize::from(links)].into_boxed_slice();
        let orphans = LinkFlight::EMPTY;
        Self {
            started: now,
            tick: 0,
            next_tick: now + TICK,
            links,
            orphans,
            silent_since: None,
            total: 0,
            answers: 0,
            passed_over: 0,
        }
    }

    /// How many messages are in flight.
    pub(super) fn total(&mut self, now: Instant) -> u32 {
        self.age(now);
        self.total
    }

    pub(super) fn sent(&mut self, link: u16, now: Instant) {
        self.age(now);
        let tick = self.tick;
        // The caller's links are fixed: their numbers are all below the length.
        let Some(link) = self.links.get_mut(usize::from(link)) else { return };
        link.sent[slot(tick)] += 1;
        link.total += 1;
        self.total += 1;
    }

    /// One message sent `after` ago, if that is known, has been answered.
    pub(super) fn answered(&mut self, link: u16, after: Option<Duration>, now: Instant) {
        self.age(now);
        if after.is_some_and(|after| after >= COUNTED_FOR) {
            // It has stopped counting, and must be kept apart from messages that still count.
            return;
        }
        let sent_in = after.map(|after| self.tick_of(now.checked_sub(after).unwrap_or(now)));
        let Some(link) = self.links.get_mut(usize::from(link)) else { return };
        if sent_in.is_some_and(|tick| tick < link.oldest) {
            // It was passed over, or its link was lost: what counts is another's.
            self.passed_over = self.passed_over.saturating_sub(1);
            return;
        }
        // Where the time is unknown, or was measured from another message: the oldest.
        self.total -= u32::from(link.take(sent_in));
        if let Some(tick) = sent_in {
            let passed = link.forget_before(tick.saturating_sub(PASSED_OVER_AFTER));
            self.total -= passed;
            self.passed_over += passed;
        }
        self.answers += 1;
        if self.answers >= REMEMBERED {
            self.answers /= 2;
            self.passed_over /= 2;
        }
    }

    /// The server leaves some messages unanswered.
    pub(super) const fn some_unanswered(&self) -> bool {
        self.passed_over * SOME_ARE > self.answers
    }

    /// The answer to a message sent `after` ago overtakes that to one which went out clearly earlier on the same link.
    pub(super) fn overtakes(&self, link: u16, after: Duration, now: Instant) -> bool {
        let sent_in = self.tick_of(now.checked_sub(after).unwrap_or(now));
        let Some(link) = self.links.get(usize::from(link)) else { return false };
        let oldest = link.oldest.max(sent_in.saturating_sub(PASSED_OVER_AFTER));
        (oldest..sent_in).any(|tick| link.sent[slot(tick)] > 0)
    }

    /// A session is over that has `count` messages in flight on the link: the last ones sent.
    pub(super) fn orphaned(&mut self, link: u16, count: u32, now: Instant) {
        self.age(now);
        let tick = self.tick;
        let Some(link) = self.links.get_mut(usize::from(link)) else { return };
        for _ in 0..count {
            // The link may have been lost, and its messages have stopped counting.
            if !link.take(Some(tick)) {
                return;
            }
            self.orphans.sent[slot(tick)] += 1;
            self.orphans.total += 1;
            self.silent_since.get_or_insert(now);
        }
    }

    /// An orphan that was sent `after` ago, if that is known, has been answered.
    pub(super) fn orphan_answered(&mut self, after: Option<Duration>, now: Instant) {
        self.age(now);
        self.silent_since = None;
        if after.is_none_or(|after| after < COUNTED_FOR) {
            let sent_in = after.map(|after| self.tick_of(now.checked_sub(after).unwrap_or(now)));
            self.total -= u32::from(self.orphans.take(sent_in));
        }
    }

    /// The link has ended on which these orphans, sent `after` ago, were to be answered.
    pub(super) fn orphans_lost(&mut self, count: u32, after: Duration, now: Instant) {
        self.age(now);
        if after >= COUNTED_FOR {
            // They have stopped counting.
            return;
        }
        let sent_in = self.tick_of(now.checked_sub(after).unwrap_or(now));
        let count = count.min(self.orphans.total);
        let lost = (0..count).filter(|_| self.orphans.take(Some(sent_in))).count();
        self.total -= u32::try_from(lost).unwrap_or(count);
    }

    /// What was in flight on the link will stay unanswered.
    pub(super) fn link_lost(&mut self, link: u16) {
        let tick = self.tick;
        if let Some(link) = self.links.get_mut(usize::from(link)) {
            self.total -= link.forget_before(tick + 1);
            // What goes out in the rest of this tick counts again.
            link.oldest = tick;
        }
    }

    pub(super) fn clear(&mut self) {
        for link in 0..self.links.len() {
            self.link_lost(u16::try_from(link).unwrap_or(u16::MAX));
        }
        self.total -= self.orphans.forget_before(self.tick + 1);
        self.orphans.oldest = self.tick;
        self.silent_since = None;
    }

    fn tick_of(&self, at: Instant) -> u64 {
        // In 64 bits: this is done for each message.
        let passed = at.saturating_duration_since(self.started);
        passed.as_secs() * TICKS_PER_SECOND + u64::from(passed.subsec_millis() / TICK_MILLIS)
    }

    /// Drops the counts that are too old.
    fn age(&mut self, now: Instant) {
        if now < self.next_tick {
            return;
        }
        let tick = self.tick_of(now);
        self.next_tick += TICK * u32::try_from(tick - self.tick).unwrap_or(u32::MAX);
        self.tick = tick;
        let oldest = (tick + 1).saturating_sub(TICKS as u64);
        for link in &mut self.links {
            self.total -= link.forget_before(oldest);
        }
        let silent = |since| now.saturating_duration_since(since) >= SILENT_AFTER;
        let oldest = if self.silent_since.is_some_and(silent) { tick } else { oldest };
        self.total -= self.orphans.forget_before(oldest);
    }
}

fn slot(tick: u64) -> usize {
    // Below `TICKS`, whatever the width of a pointer.
    usize::try_from(tick % TICKS as u64).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn what_stays_unanswered_stops_counting() {
        let start = crate::clock::now();
        let mut flight = Flight::new(1, start);
        flight.sent(0, start + TICK / 2);
        assert_eq!(flight.total(start + SECOND * 10), 1);
        assert_eq!(flight.total(start + SECOND * 10 + TICK), 0);
        // A later answer is not taken for another message's.
        let late = start + SECOND * 12;
        flight.sent(0, late);
        flight.answered(0, Some(SECOND * 11), late);
        assert_eq!(flight.total(late), 1);
    }

    #[test]
    fn an_answer_is_counted_against_its_own_time() {
        let start = crate::clock::now();
        let mut flight = Flight::new(1, start);
        flight.sent(0, start);
        flight.sent(0, start + TICK * 3);
        flight.answered(0, Some(TICK), start + TICK * 4);
        // The one left is the older, and stops counting first.
        assert_eq!(flight.total(start + SECOND * 10), 1);
        assert_eq!(flight.total(start + SECOND * 10 + TICK), 0);
    }

    #[test]
    fn what_a_link_has_passed_over_stops_counting() {
        let start = crate::clock::now();
        for second in 0..30 {
            let start = start + SECOND * second;
            let mut flight = Flight::new(2, start);
            (0..5).for_each(|n| flight.sent(0, start + SECOND * n));
            flight.sent(1, start);
            flight.answered(0, Some(SECOND), start + SECOND * 4);
            // What went out in the last second, and on the other link.
            assert_eq!(flight.total(start + SECOND * 4), 2);
        }
    }

    #[test]
    fn a_late_answer_to_what_was_passed_over_is_nobody_elses() {
        let start = crate::clock::now();
        let mut flight = Flight::new(1, start);
        flight.sent(0, start);
        (0..3).for_each(|_| flight.sent(0, start + SECOND));
        let now = start + SECOND * 2;
        flight.answered(0, Some(SECOND), now);
        assert_eq!(flight.total(now), 2, "it, and what it passed over");
        assert!(flight.some_unanswered());
        flight.answered(0, Some(SECOND * 2), now);
        assert_eq!(flight.total(now), 2, "those are still worked at");
        assert!(!flight.some_unanswered());
    }

    #[test]
    fn who_overtakes_is_seen() {
        let start = crate::clock::now();
        let mut flight = Flight::new(2, start);
        flight.sent(0, start);
        flight.sent(0, start + TICK * 2);
        flight.sent(1, start + TICK * 2);
        let now = start + TICK * 3;
        assert!(flight.overtakes(0, TICK, now));
        assert!(!flight.overtakes(0, TICK * 3, now), "the first one");
        assert!(!flight.overtakes(1, TICK, now), "on another link");
        assert!(!flight.overtakes(9, TICK, now), "a link that there is not");
    }

    #[test]
    fn a_links_loss_forgets_exactly_its_own() {
        let start = crate::clock::now();
        let mut flight = Flight::new(3, start);
        for (link, count) in [(0, 3), (1, 5), (2, 7)] {
            (0..count).for_each(|n| flight.sent(link, start + SECOND * n));
        }
        flight.link_lost(1);
        assert_eq!(flight.total(start + SECOND * 7), 10);
        flight.answered(1, None, start + SECOND * 7);
        assert_eq!(flight.total(start + SECOND * 7), 10, "an answer from before the loss");
        flight.sent(9, start);
        flight.answered(9, None, start);
        flight.link_lost(9);
        assert_eq!(flight.total(start + SECOND * 7), 10, "a link that there is not");
    }

    #[test]
    fn an_orphan_counts_until_it_is_answered() {
        let start = crate::clock::now();
        let mut flight = Flight::new(2, start);
        (0..3).for_each(|_| flight.sent(1, start));
        flight.orphaned(1, 2, start);
        flight.orphaned(0, 2, start);
        assert_eq!(flight.total(start), 3, "of link 0 there is none");
        for left in [2, 1, 1] {
            flight.orphan_answered(Some(TICK), start + TICK);
            assert_eq!(flight.total(start + TICK), left, "the third is no orphan");
        }
        flight.answered(1, Some(SECOND), start + SECOND);
        assert_eq!(flight.total(start + SECOND), 0);
    }

    #[test]
    fn orphans_end_with_their_link() {
        let start = crate::clock::now();
        let mut flight = Flight::new(1, start);
        for _ in 0..3 {
            flight.sent(0, start);
            flight.orphaned(0, 1, start);
        }
        flight.sent(0, start);
        flight.orphans_lost(2, TICK, start + TICK);
        assert_eq!(flight.total(start + TICK), 2);
        flight.orphans_lost(9, TICK, start + TICK);
        assert_eq!(flight.total(start + TICK), 1, "others count as ever");
        // Whether the server answers orphans is as open as before.
        flight.orphaned(0, 1, start + TICK);
        flight.orphans_lost(1, COUNTED_FOR, start + TICK);
        assert_eq!(flight.total(start + TICK), 1, "what stopped counting was another");
    }

    #[test]
    fn orphans_of_a_server_that_does_not_answer_them_count_for_a_moment() {
        let start = crate::clock::now();
        let mut flight = Flight::new(1, start);
        let orphan = |flight: &mut Flight, at| {
            flight.sent(0, at);
            flight.orphaned(0, 1, at);
        };
        orphan(&mut flight, start);
        flight.sent(0, start);
        assert_eq!(flight.total(start + SILENT_AFTER - TICK), 2);
        assert_eq!(flight.total(start + SILENT_AFTER), 1, "others count as ever");
        orphan(&mut flight, start + SECOND * 3);
        assert_eq!(flight.total(start + SECOND * 3), 2);
        assert_eq!(flight.total(start + SECOND * 3 + TICK), 1);
        // It does answer them after all.
        flight.orphan_answered(None, start + SECOND * 4);
        orphan(&mut flight, start + SECOND * 4);
        assert_eq!(flight.total(start + SECOND * 5), 2);
        flight.clear();
        assert_eq!(flight.total(start + SECOND * 5), 0);
        orphan(&mut flight, start + SECOND * 5);
        assert_eq!(flight.total(start + SECOND * 5), 1);
    }

    #[test]
    fn more_answers_than_messages_do_no_harm() {
        let start = crate::clock::now();
        let mut flight = Flight::new(1, start);
        flight.sent(0, start);
        for _ in 0..3 {
            flight.answered(0, None, start);
        }
        assert_eq!(flight.total(start), 0);
    }
}
