//! The one call to the store that a node has open, the way that calls take, and what is still to be found out.
//!
//! ```text
//!             a change is silent                renewed                read
//!   Known ────────────────────────► Unknown ─────────────► Settled ──────────► Known
//!     │        a change is answered                           ▲
//!     └───────────────────────────────────────────────────────┘
//! ```
//!
//! A change that the store has refused with an error is void, and known to be.
//!
//! A change carries the caller's own counter. The caller's next renewal moves that, so that a change that is still
//! under way can no longer be applied: what is read after it is the change's fate.

use std::time::{Duration, Instant};

use super::clock_reading::ClockReading;
use super::events::CallId;
use super::ids::NodeIncarnation;
use super::params::NodeParams;
use crate::mutation::{Breach, is_on};

/// What an open call is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    Read,
    Renew,
    Join,
    Change,
    Leave,
}

impl Purpose {
    /// Whether membership or map of a member are to change. What came of a join, the next reading shows.
    pub(super) const fn is_change(self) -> bool {
        matches!(self, Self::Change | Self::Leave)
    }
}

/// Whether the fate of the last change is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    Known,
    Unknown,
    Settled,
}

/// A call that waits for its answer.
#[derive(Debug, Clone, Copy)]
pub(super) struct OpenCall {
    pub(super) id: CallId,
    pub(super) purpose: Purpose,
    pub(super) sent: ClockReading,
    /// The member that makes the call in this node's place.
    pub(super) via: Option<NodeIncarnation>,
}

/// See the module's text.
#[derive(Debug, Clone)]
pub(super) struct StoreCalls {
    open: Option<OpenCall>,
    last_id: u64,
    pub(super) fate: Fate,
    pub(super) read_due: bool,
    /// The way that the next call takes.
    route: Option<NodeIncarnation>,
    /// Calls that took this way in a row.
    routed: u32,
    failures: usize,
    not_before: Option<Instant>,
    /// When the last call was sent that came to nothing.
    unanswered: Option<ClockReading>,
    /// The node has asked to end its membership, and what came of that is unknown.
    leaves: bool,
}

/// After this many calls through a member the direct way is tried again.
const ROUTED_MAX: u32 = 8;

impl StoreCalls {
    pub(super) const fn new() -> Self {
        Self {
            open: None,
            last_id: 0,
            fate: Fate::Known,
            read_due: true,
            route: None,
            routed: 0,
            failures: 0,
            not_before: None,
            unanswered: None,
            leaves: false,
        }
    }

    /// A number for a call, also for one that is made in a member's place.
    pub(super) const fn next_id(&mut self) -> CallId {
        self.last_id += 1;
        CallId(self.last_id)
    }

    /// Whether a call may be made now.
    pub(super) fn is_free(&self, now: Instant) -> bool {
        self.open.is_none() && self.not_before.is_none_or(|at| now >= at)
    }

    /// A call is sent. Returns its number and its way.
    pub(super) fn begin(&mut self, purpose: Purpose, now: ClockReading) -> OpenCall {
        let via = self.route;
        self.leaves |= purpose == Purpose::Leave;
        self.routed += 1;
        let call = OpenCall { id: self.next_id(), purpose, sent: now, via };
        self.open = Some(call);
        call
    }

    /// The open call, if it has this number; it is open no longer.
    pub(super) fn close(&mut self, id: CallId) -> Option<OpenCall> {
        self.open.take_if(|open| open.id == id)
    }

    /// The open call, if its time is over; it is open no longer.
    pub(super) fn expire(&mut self, now: ClockReading, params: &NodeParams) -> Option<OpenCall> {
        let late = |open: &mut OpenCall| !now.is_within(params.call_time(), open.sent);
        self.open.take_if(late)
    }

    /// No call is made before this moment.
    pub(super) const fn pause(&mut self, until: Instant) {
        self.not_before = Some(until);
    }

    /// A call was answered.
    pub(super) const fn answered(&mut self) {
        self.failures = 0;
        self.not_before = None;
        if self.routed >= ROUTED_MAX {
            self.route = None;
            self.routed = 0;
        }
    }

    /// A call came to nothing: the next one takes another way. `members` can make calls.
    pub(super) fn failed(
        &mut self,
        call: OpenCall,
        members: &[NodeIncarnation],
        now: Instant,
        wait: Duration,
    ) {
        self.unanswered = Some(call.sent);
        self.failures = self.failures.wrapping_add(1);
        let other = members.get(self.failures / 2 % members.len().max(1)).copied();
        self.route = if call.via.is_none() { other } else { None };
        self.routed = 0;
        self.not_before = Some(now + if self.route.is_some() { Duration::ZERO } else { wait });
    }

    /// Whether a call that was sent of late has come to nothing. A machine that was stopped has yet to find out.
    pub(super) fn is_silent(&self, now: ClockReading, params: &NodeParams) -> bool {
        self.unanswered.is_some_and(|sent| now.is_within(params.valid_for(), sent))
    }

    /// A change was answered, in whatever way: the map tells.
    pub(super) const fn change_answered(&mut self) {
        self.fate = Fate::Settled;
        self.read_due = true;
    }

    /// A change was not answered. Returns whether what it asked for counts as refused.
    pub(super) fn change_silent(&mut self) -> bool {
        if is_on(Breach::OwnershipTakesSilenceForNo) {
            return true;
        }
        self.fate = Fate::Unknown;
        false
    }

    /// A renewal is written: an earlier change is applied now, or never.
    pub(super) fn renewed(&mut self) {
        if self.fate == Fate::Unknown {
            self.change_answered();
        }
    }

    /// The map is read. Returns whether the fate of the last change is known by that.
    pub(super) fn map_is_read(&mut self) -> bool {
        self.read_due = false;
        let settled = self.fate == Fate::Settled;
        if settled {
            self.fate = Fate::Known;
            self.leaves = false;
        }
        settled
    }

    /// The last change has changed nothing, and will not.
    pub(super) const fn change_refused(&mut self) {
        self.leaves = false;
    }

    /// Whether the node may be no member any more, because it asked for that.
    pub(super) const fn may_have_left(&self) -> bool {
        self.leaves
    }

    /// Whether a change may be made.
    pub(super) fn may_change(&self) -> bool {
        self.fate == Fate::Known && !self.read_due
    }
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::super::kit::{node, params};
    use super::*;

    fn start() -> ClockReading {
        ClockReading { monotonic: crate::clock::now(), wall: SystemTime::UNIX_EPOCH }
    }

    #[test]
    fn a_node_that_asked_to_leave_may_have_left_until_the_fate_of_that_is_known() {
        let mut calls = StoreCalls::new();
        calls.begin(Purpose::Change, start());
        assert!(!calls.may_have_left());
        calls.begin(Purpose::Leave, start());
        calls.change_silent();
        calls.map_is_read();
        assert!(calls.may_have_left(), "it may be applied yet");
        calls.renewed();
        calls.map_is_read();
        assert!(!calls.may_have_left());
        calls.begin(Purpose::Leave, start());
        calls.change_refused();
        assert!(!calls.may_have_left());
    }

    #[test]
    fn silence_is_settled_by_a_renewal_and_a_read() {
        let mut calls = StoreCalls::new();
        assert!(!calls.map_is_read() && calls.may_change());
        assert!(!calls.change_silent() && !calls.may_change());
        assert!(!calls.map_is_read(), "the change may be applied yet");
        calls.renewed();
        assert!(calls.read_due && calls.map_is_read() && calls.may_change());
    }

    #[test]
    fn an_answer_is_settled_by_a_read() {
        let mut calls = StoreCalls::new();
        calls.map_is_read();
        calls.change_answered();
        assert!(!calls.may_change() && calls.map_is_read() && calls.may_change());
    }

    #[test]
    fn a_late_answer_is_no_answer() {
        let now = start();
        let mut calls = StoreCalls::new();
        let first = calls.begin(Purpose::Renew, now);
        assert!(!calls.is_free(now.monotonic) && calls.expire(now, &params()).is_none());
        let late = ClockReading { monotonic: now.monotonic + params().call_time(), ..now };
        assert!(calls.expire(late, &params()).is_some());
        assert!(calls.close(first.id).is_none());
    }

    #[test]
    fn the_store_is_silent_for_a_node_that_has_tried_of_late() {
        let now = start();
        let later = |monotonic, wall| ClockReading {
            monotonic: now.monotonic + Duration::from_secs(monotonic),
            wall: now.wall + Duration::from_secs(wall),
        };
        let mut calls = StoreCalls::new();
        let call = calls.begin(Purpose::Renew, now);
        assert!(!calls.is_silent(later(2, 2), &params()), "the call is open");
        calls.failed(call, &[], later(2, 2).monotonic, Duration::from_secs(1));
        assert!(calls.is_silent(later(6, 6), &params()));
        assert!(!calls.is_silent(later(7, 7), &params()), "from its sending");
        assert!(!calls.is_silent(later(3, 60), &params()), "the machine was stopped");
    }

    #[test]
    fn after_a_failure_the_other_way_is_tried() {
        let now = start();
        let members = [node(2), node(3)];
        let mut calls = StoreCalls::new();
        let mut ways = Vec::new();
        for _ in 0..6 {
            let call = calls.begin(Purpose::Renew, now);
            calls.close(call.id).unwrap();
            ways.push(call.via);
            calls.failed(call, &members, now.monotonic, Duration::from_secs(1));
        }
        let (second, third) = (Some(node(2)), Some(node(3)));
        assert_eq!(ways, [None, second, None, third, None, second]);
        calls.answered();
        let call = calls.begin(Purpose::Renew, now);
        assert_eq!(call.via, None);
    }
}
