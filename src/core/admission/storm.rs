//! Whether a storm is under way, how many agents may be disconnected in it, and until when absences are
//! expected.
//!
//! ```text
//!            an arrival waited, and one was refused or a second's worth is parked
//!   Calm ──────────────────────────────────────────────────────────────────────► Storm
//!     ▲                                                                            │
//!     └────────────────────────────────────────────────────────────────────────────┘
//!            each arrival since the last observation was admitted at once
//! ```
//!
//! A wait of some milliseconds is ordinary; a log that told of it would hide the storms. How many agents may
//! be disconnected is more than `fleet` says while a storm is under way: of an agent whose balancer has moved
//! away the connection still looks alive, and an agent that polls counts as connected until it has stayed
//! away for long. So all agents that have yet to be admitted since the storm began count too.

use std::time::{Duration, Instant};

use super::fleet::Fleet;
use super::verdict::Refusal;

/// An agent that is expected at a moment has dialled and introduced itself this much later.
const EXPECTED_MARGIN: Duration = Duration::from_secs(2);

/// What admission sees at the moment of an observation.
#[derive(Debug, Clone, Copy)]
pub(super) struct StormSigns {
    /// Agents that are connected.
    pub(super) connected: u64,
    /// Arrivals that are parked.
    pub(super) parked: u64,
    /// Entries a second.
    pub(super) per_second: u64,
}

/// See the module's text.
#[derive(Debug)]
pub(super) struct StormWatch {
    fleet: Fleet,
    under_way: bool,
    /// Agents admitted since the storm began.
    admitted: u64,
    /// An arrival has had to wait since the last observation.
    waited: bool,
    /// An arrival has been refused since the last observation.
    refused: bool,
    /// The latest moment at which a refused agent was told to come again.
    scheduled: Option<Instant>,
}

impl StormWatch {
    pub(super) const fn new(fleet: Fleet) -> Self {
        let (under_way, admitted, scheduled) = (false, 0, None);
        Self { fleet, under_way, admitted, waited: false, refused: false, scheduled }
    }

    pub(super) const fn admitted(&mut self) {
        self.admitted += 1;
    }

    pub(super) const fn waited(&mut self) {
        self.waited = true;
    }

    /// Agents wait at other nodes of the fleet: not all that want to be are connected.
    pub(super) const fn waits_elsewhere(&mut self, now: Instant) {
        self.fleet.busy(now);
    }

    /// An arrival was refused at once.
    pub(super) fn refused(&mut self, refusal: &Refusal, now: Instant) {
        self.refused = true;
        self.schedule(refusal, now);
    }

    /// An agent was told when to come again.
    pub(super) fn schedule(&mut self, refusal: &Refusal, now: Instant) {
        self.scheduled = self.scheduled.max(Some(now + refusal.hold + refusal.retry_after));
    }

    /// Looks whether a storm has begun (`true`) or is over (`false`); empty if neither.
    pub(super) fn observe(&mut self, signs: StormSigns, now: Instant) -> Option<bool> {
        let waited = std::mem::take(&mut self.waited);
        let refused = std::mem::take(&mut self.refused);
        self.fleet.observe(signs.connected, waited, now);
        let heavy = refused || signs.parked >= signs.per_second;
        let under_way = waited && (self.under_way || heavy);
        let was = std::mem::replace(&mut self.under_way, under_way);
        if !under_way {
            self.admitted = 0;
        }
        (was != under_way).then_some(under_way)
    }

    /// Whether one is under way.
    pub(super) const fn is_under_way(&self) -> bool {
        self.under_way
    }

    /// How many agents there are taken to be; 0 while that is unknown.
    pub(super) fn fleet_size(&self) -> u64 {
        self.fleet.size()
    }

    /// How many agents may be disconnected, parked ones included; empty while that is unknown.
    pub(super) fn disconnected(&self, signs: StormSigns) -> Option<u64> {
        let by_fleet = self.fleet.disconnected(signs.connected)?;
        let yet_to_come =
            if self.under_way { self.fleet.size().saturating_sub(self.admitted) } else { 0 };
        Some(by_fleet.max(yet_to_come).max(signs.parked))
    }

    /// Until when agents may be away because admission has sent them away, or keeps them parked for up to
    /// `line`; empty while it does neither.
    pub(super) fn expected_until(&self, line: Duration, now: Instant) -> Option<Instant> {
        // Agents' clocks are wrong by up to a tenth.
        let scheduled = self.scheduled.filter(|at| *at > now).map(|at| at + (at - now) / 10);
        let line = (!line.is_zero()).then(|| now + line);
        scheduled.max(line).map(|until| until + EXPECTED_MARGIN)
    }
}

#[cfg(test)]
mod tests {
    use super::super::verdict::Reason;
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn refusal(seconds: u32) -> Refusal {
        let (hold, retry_after) = (SECOND, SECOND * seconds);
        Refusal { reason: Reason::ParkFull, hold, retry_after }
    }

    const fn signs(connected: u64, parked: u64) -> StormSigns {
        StormSigns { connected, parked, per_second: 10 }
    }

    /// A fleet of a hundred agents, all connected, and calm.
    fn calm() -> (StormWatch, Instant) {
        let start = crate::clock::now();
        let mut watch = StormWatch::new(Fleet::new(0, start));
        let now = start + SECOND * 2;
        assert_eq!(watch.observe(signs(100, 0), now), None);
        (watch, now)
    }

    #[test]
    fn a_short_wait_is_no_storm() {
        let (mut watch, now) = calm();
        watch.waited();
        assert_eq!(watch.observe(signs(90, 9), now), None);
    }

    #[test]
    fn a_second_s_worth_of_parked_arrivals_is_a_storm_until_the_last_wait_is_over() {
        let (mut watch, now) = calm();
        watch.waited();
        assert_eq!(watch.observe(signs(90, 10), now), Some(true));
        watch.waited();
        assert_eq!(watch.observe(signs(99, 1), now + SECOND), None, "one still waits");
        assert_eq!(watch.observe(signs(100, 0), now + SECOND * 2), Some(false));
    }

    #[test]
    fn a_refusal_begins_a_storm() {
        let (mut watch, now) = calm();
        watch.waited();
        watch.refused(&refusal(3), now);
        assert_eq!(watch.observe(signs(0, 0), now), Some(true));
    }

    #[test]
    fn agents_that_only_look_connected_count_as_disconnected_during_a_storm() {
        let (mut watch, now) = calm();
        assert_eq!(watch.disconnected(signs(100, 0)), Some(0));
        watch.waited();
        watch.refused(&refusal(3), now);
        watch.observe(signs(100, 0), now);
        assert_eq!(watch.disconnected(signs(100, 0)), Some(100), "all may have been cut");
        (0..30).for_each(|_| watch.admitted());
        assert_eq!(watch.disconnected(signs(100, 0)), Some(70));
        assert_eq!(watch.disconnected(signs(100, 80)), Some(80), "parked ones are certain");
        watch.observe(signs(100, 0), now + SECOND);
        assert_eq!(watch.disconnected(signs(100, 0)), Some(0), "it is over");
    }

    #[test]
    fn the_fleet_s_size_is_unknown_until_the_first_calm() {
        let start = crate::clock::now();
        let mut watch = StormWatch::new(Fleet::new(0, start));
        watch.waited();
        watch.observe(signs(50, 20), start + SECOND * 5);
        assert_eq!(watch.disconnected(signs(50, 20)), None);
    }

    #[test]
    fn absences_are_expected_until_the_last_reservation_and_a_tenth_or_the_end_of_the_line() {
        let (mut watch, now) = calm();
        assert_eq!(watch.expected_until(Duration::ZERO, now), None);
        assert_eq!(watch.expected_until(SECOND * 5, now), Some(now + SECOND * 7));
        watch.schedule(&refusal(19), now);
        watch.schedule(&refusal(2), now);
        assert_eq!(watch.expected_until(SECOND * 5, now), Some(now + SECOND * 24));
        assert_eq!(watch.expected_until(Duration::ZERO, now + SECOND * 20), None, "it has come");
    }
}
