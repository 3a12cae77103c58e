//! Whether the store's word counts. After a restart or a failover the store may have gone back: what it has
//! confirmed may be lost. For one lease time it then counts as *away*: renewals are written, but neither lease
//! nor take-over counts, and speaking goes by confirmation.
//!
//! ```text
//!             another run answers, or a member's store has another run
//!   Counts ────────────────────────────────────────────────────────────► Away
//!     ▲                                                                    │
//!     └──── a lease time has passed since the last of these ───────────────┘
//! ```

use std::time::Instant;

use super::clock_reading::ClockReading;
use super::doubt::Doubt;
use super::ids::{MapVersion, RunId};
use super::params::NodeParams;
use super::strangers::Strangers;
use crate::mutation::{Breach, is_on};

/// See the module's text.
#[derive(Debug, Clone, Default)]
pub(super) struct WentBack {
    run: Option<RunId>,
    until: Option<Instant>,
    /// When a node that spoke found another run.
    spoke: Option<ClockReading>,
    /// The map of this run is yet to be read, from the store itself.
    unread: bool,
    /// The lowest version that a renewal has named as read since the last one that was answered.
    read: Option<MapVersion>,
    /// The last renewal was sent while the store was away: it carries all of this node's epochs.
    carries_all: bool,
    /// This run has all of this node's epochs.
    has_all: bool,
    answered: Option<Instant>,
    /// Whether this node may have been taken over by a change that is lost.
    pub(super) doubt: Doubt,
    /// While this run was without this node, others that it does not know were members.
    pub(super) strangers: Strangers,
}

impl WentBack {
    /// The run that answered last.
    pub(super) const fn run(&self) -> Option<RunId> {
        self.run
    }

    /// A run has answered. Returns whether it is another one than before.
    pub(super) fn answered(&mut self, run: RunId, speaks: bool, now: ClockReading) -> bool {
        self.answered = Some(now.monotonic);
        let before = self.run.replace(run);
        let changed = before.is_some_and(|before| before != run);
        if changed {
            self.until = Some(now.monotonic);
            self.spoke = speaks.then_some(now);
            self.unread = true;
            self.strangers = Strangers::default();
            (self.carries_all, self.has_all) = (false, false);
        }
        changed
    }

    /// The map is read from the store, whose word counts.
    pub(super) const fn map_is_read(&mut self) {
        self.unread = false;
        self.strangers.map_is_read();
    }

    /// Whether the map of this run is yet to be read.
    pub(super) const fn is_unread(&self) -> bool {
        self.unread
    }

    /// A renewal is sent: it names this version as read, and carries all epochs, or not.
    pub(super) fn renewal_sent(&mut self, carries_all: bool, read: MapVersion) {
        self.carries_all = carries_all;
        self.read = Some(self.read.map_or(read, |before| before.min(read)));
    }

    /// A renewal is written; this node has become a member with the version `since`. Returns whether this store had
    /// forgotten it before: one that takes a member in again counts beyond the version that the member has read. With
    /// the first renewal that brings this node's epochs back the lease time begins anew, in which the others find out.
    pub(super) fn renewed(&mut self, since: MapVersion, now: Instant) -> bool {
        let forgotten = self.read.take().is_some_and(|read| since > read);
        if self.carries_all && !self.has_all {
            self.has_all = true;
            self.until = self.until.map(|_| now);
        }
        forgotten
    }

    /// Another node has heard another run within the last moments.
    pub(super) const fn conflict(&mut self, now: Instant) {
        self.until = Some(now);
    }

    /// Whether the store counts as away.
    pub(super) fn is_away(&self, now: Instant, params: &NodeParams) -> bool {
        let past = |since: Instant| now.saturating_duration_since(since) >= params.lease;
        !is_on(Breach::OwnershipTrustsStoreThatWentBack)
            && self.until.is_some_and(|since| !past(since))
    }

    /// Whether it counted as away and does so no longer: the map must be read anew. True once.
    pub(super) fn has_returned(&mut self, now: Instant, params: &NodeParams) -> bool {
        let returned = self.until.is_some() && !self.is_away(now, params);
        if returned {
            self.until = None;
        }
        returned
    }

    /// Whether the node may become a member again if the store has forgotten it: for a lease time, by both clocks.
    pub(super) fn rejoins(&self, now: ClockReading, params: &NodeParams) -> bool {
        self.spoke.is_some_and(|since| now.is_within(params.lease, since))
    }

    /// The run that has answered of late, if one has.
    pub(super) fn live_run(&self, now: Instant, params: &NodeParams) -> Option<RunId> {
        let recent = |at: Instant| now.saturating_duration_since(at) < params.valid_for();
        self.run.filter(|_| self.answered.is_some_and(recent))
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use super::super::kit::params;
    use super::*;

    fn times() -> impl Fn(u64) -> ClockReading {
        let start = crate::clock::now();
        move |seconds| {
            let passed = Duration::from_secs(seconds);
            ClockReading { monotonic: start + passed, wall: SystemTime::UNIX_EPOCH + passed }
        }
    }

    #[test]
    fn another_run_counts_as_away_for_a_lease_time() {
        let at = times();
        let mut store = WentBack::default();
        assert!(!store.answered(RunId(1), false, at(0)), "the first run is no other");
        assert!(!store.is_away(at(0).monotonic, &params()));
        assert!(!store.has_returned(at(0).monotonic, &params()));
        assert!(store.answered(RunId(2), true, at(10)));
        assert!(store.is_away(at(19).monotonic, &params()));
        assert!(store.rejoins(at(19), &params()) && !store.rejoins(at(20), &params()));
        assert!(!store.is_away(at(20).monotonic, &params()));
        assert!(store.has_returned(at(20).monotonic, &params()));
        assert!(!store.has_returned(at(20).monotonic, &params()), "once");
        assert!(store.is_unread());
        store.map_is_read();
        assert!(!store.is_unread());
    }

    #[test]
    fn a_member_with_another_run_counts_for_as_long_as_it_is_heard() {
        let at = times();
        let mut store = WentBack::default();
        store.answered(RunId(1), true, at(0));
        store.conflict(at(1).monotonic);
        store.conflict(at(8).monotonic);
        assert!(store.is_away(at(17).monotonic, &params()));
        assert!(!store.is_away(at(18).monotonic, &params()));
        assert!(!store.rejoins(at(9), &params()), "the own store has forgotten nothing");
    }

    #[test]
    fn a_node_that_did_not_speak_does_not_become_a_member_again() {
        let at = times();
        let mut store = WentBack::default();
        store.answered(RunId(1), true, at(0));
        store.answered(RunId(2), false, at(0));
        assert!(!store.rejoins(at(0), &params()));
    }

    #[test]
    fn a_store_that_had_forgotten_a_node_is_found_out() {
        let now = times()(1).monotonic;
        let mut store = WentBack::default();
        let mut sent = |read: &[u64], since| {
            read.iter().for_each(|read| store.renewal_sent(true, MapVersion(*read)));
            store.renewed(MapVersion(since), now)
        };
        assert!(!sent(&[3], 2), "it was a member all the time");
        assert!(sent(&[3], 4), "it has become one again");
        assert!(!sent(&[4], 4), "it has read the map since");
        assert!(sent(&[4, 7], 5), "the renewal without an answer was written");
    }

    #[test]
    fn a_stopped_machine_does_not_become_a_member_again() {
        let at = times();
        let mut store = WentBack::default();
        store.answered(RunId(1), true, at(0));
        store.answered(RunId(2), true, at(0));
        let stopped = ClockReading { monotonic: at(1).monotonic, wall: at(60).wall };
        assert!(!store.rejoins(stopped, &params()));
    }

    #[test]
    fn a_run_counts_as_away_until_all_had_time_to_read_what_was_restored() {
        let at = times();
        let mut store = WentBack::default();
        store.answered(RunId(1), true, at(0));
        store.renewal_sent(false, MapVersion(1));
        store.answered(RunId(2), true, at(10));
        store.renewed(MapVersion(1), at(10).monotonic);
        store.renewal_sent(true, MapVersion(1));
        store.renewed(MapVersion(1), at(14).monotonic);
        assert!(store.is_away(at(23).monotonic, &params()));
        store.renewal_sent(true, MapVersion(1));
        store.renewed(MapVersion(1), at(20).monotonic);
        assert!(!store.is_away(at(24).monotonic, &params()), "the first brings all");
    }

    #[test]
    fn a_run_is_live_while_it_answers() {
        let at = times();
        let mut store = WentBack::default();
        store.answered(RunId(1), true, at(0));
        assert_eq!(store.live_run(at(6).monotonic, &params()), Some(RunId(1)));
        assert_eq!(store.live_run(at(7).monotonic, &params()), None);
    }
}
