//! A node's own lease: how long it may count on it. It must not know the other nodes.
//!
//! A renewal counts from the moment at which it was *sent*, because the store may have written it at any time
//! since. It counts for two thirds of a lease time, on both clocks; the others wait for a whole one. One that shows a
//! map that is yet to be read counts once that is read: so no node speaks by a map that is older than its lease.

use std::time::Duration;

use super::clock_reading::ClockReading;
use super::ids::Counter;
use super::params::NodeParams;
use crate::mutation::{Breach, is_on};

/// See the module's text.
#[derive(Debug, Clone, Default)]
pub(super) struct OwnLease {
    counter: Counter,
    /// When the last renewal was sent, whatever came of it.
    tried: Option<ClockReading>,
    /// When the last renewal was sent that the store has written.
    written: Option<ClockReading>,
    /// The same, of those after which the map was read.
    read: Option<ClockReading>,
    /// The same, of those that count: none does just after the store went back.
    counted: Option<ClockReading>,
    /// The next renewal is due at once.
    pub(super) hurries: bool,
    /// The store has a higher counter than the last renewal had.
    is_late: bool,
}

impl OwnLease {
    /// The counter of the last renewal that was sent.
    pub(super) const fn counter(&self) -> Counter {
        self.counter
    }

    /// A renewal is about to be sent. Returns its counter, which is used once.
    pub(super) const fn begin(&mut self, now: ClockReading) -> Counter {
        self.counter = self.counter.next();
        self.tried = Some(now);
        self.hurries = false;
        self.counter
    }

    /// The store has a higher counter: an earlier renewal was slow. The next one follows at once, but for a counter that
    /// no renewal of this node has had: then each is late, and follows in its time.
    pub(super) const fn late(&mut self) {
        self.hurries = !self.is_late;
        self.is_late = true;
    }

    /// The store has written the renewal that was sent at `sent`.
    pub(super) fn written(&mut self, sent: ClockReading, now: ClockReading) {
        self.is_late = false;
        let from_answer = is_on(Breach::OwnershipCountsFromAnswer);
        self.written = Some(if from_answer { now } else { sent });
    }

    /// The map is as the last renewal that is written has shown it, or newer.
    pub(super) const fn map_is_read(&mut self) {
        self.read = self.written;
    }

    /// The lease counts now: autonomy begins anew.
    pub(super) const fn count(&mut self) {
        self.counted = self.read;
    }

    /// Whether the lease is valid.
    pub(super) fn is_valid(&self, now: ClockReading, params: &NodeParams) -> bool {
        self.read.is_some_and(|sent| now.is_within(params.valid_for(), sent))
    }

    /// Whether the store has written a renewal of late.
    pub(super) fn is_written(&self, now: ClockReading, params: &NodeParams) -> bool {
        self.written.is_some_and(|sent| now.is_within(params.valid_for(), sent))
    }

    /// Whether the node may still speak without a lease that counts.
    pub(super) fn is_autonomous(&self, now: ClockReading, params: &NodeParams) -> bool {
        let endless = is_on(Breach::OwnershipAutonomyNeverEnds);
        self.counted.is_some_and(|sent| endless || now.is_within(params.autonomy, sent))
    }

    /// Whether the next renewal is due, by whichever clock says so. A busy node reads
    /// more often what the others need: after `busy_each`, or a tenth of the lease time.
    pub(super) fn is_due(
        &self,
        now: ClockReading,
        busy_each: Option<Duration>,
        params: &NodeParams,
    ) -> bool {
        let busy_each = busy_each.map(|each| each.min(params.lease / 10));
        let every = busy_each.unwrap_or_else(|| params.renew_every());
        self.hurries || self.tried.is_none_or(|tried| !now.is_within(every, tried))
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use super::super::demand::BUSY_RENEWAL;
    use super::super::kit::params;
    use super::*;

    #[test]
    fn a_renewal_counts_from_its_sending_for_two_thirds_of_a_lease_time() {
        let start = ClockReading { monotonic: crate::clock::now(), wall: SystemTime::UNIX_EPOCH };
        let at = |seconds: u64| ClockReading {
            monotonic: start.monotonic + Duration::from_secs(seconds),
            wall: start.wall + Duration::from_secs(seconds),
        };
        let params = params();
        let mut own = OwnLease::default();
        assert!(own.is_due(start, None, &params) && !own.is_valid(start, &params));
        assert_eq!(own.begin(start), Counter(1));
        assert!(!own.is_valid(at(1), &params), "the store has not answered");
        own.written(start, at(2));
        assert!(own.is_written(at(5), &params) && !own.is_valid(at(5), &params), "the map is old");
        own.map_is_read();
        assert!(own.is_valid(at(5), &params) && !own.is_valid(at(7), &params));
        assert!(!own.is_due(at(2), None, &params) && own.is_due(at(4), None, &params));
        assert!(
            own.is_due(at(2), Some(BUSY_RENEWAL), &params),
            "it shares admission with busy nodes"
        );
        let stopped = ClockReading { monotonic: at(3).monotonic, wall: at(60).wall };
        assert!(!own.is_valid(stopped, &params), "the machine was stopped");
        assert_eq!(own.begin(at(4)), Counter(2), "a counter is used once");
    }

    #[test]
    fn a_renewal_that_is_late_again_is_in_no_hurry() {
        let start = ClockReading { monotonic: crate::clock::now(), wall: SystemTime::UNIX_EPOCH };
        let mut own = OwnLease::default();
        for hurries in [true, false, false] {
            own.begin(start);
            own.late();
            assert_eq!(own.is_due(start, None, &params()), hurries);
        }
        own.written(start, start);
        own.begin(start);
        own.late();
        assert!(own.is_due(start, None, &params()), "one was in time meanwhile");
    }

    #[test]
    fn autonomy_ends() {
        let start = ClockReading { monotonic: crate::clock::now(), wall: SystemTime::UNIX_EPOCH };
        let at = |seconds: u64| ClockReading {
            monotonic: start.monotonic + Duration::from_secs(seconds),
            wall: start.wall + Duration::from_secs(seconds),
        };
        let mut own = OwnLease::default();
        own.begin(start);
        own.written(start, at(1));
        own.map_is_read();
        assert!(!own.is_autonomous(at(1), &params()), "the lease has never counted");
        own.count();
        assert!(own.is_autonomous(at(1_799), &params()));
        assert!(!own.is_autonomous(at(1_800), &params()));
    }
}
