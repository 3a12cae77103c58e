//! R6: the messages that the server has yet to answer, and where the last of them went. What is still
//! unanswered when a link is lost may be lost with it. What the messages say is left to others.
//!
//! ```text
//!             sent                      answered, refused
//!   idle ────────────► unanswered: n ──────────────────────► unanswered: n - 1
//!    ▲                      │ sent on another route: what was unanswered is in doubt
//!    └──────────────────────┘
//! ```

use std::time::{Duration, Instant};

use super::{Memory, Peer, Route};
use crate::ident::Incarnation;
use crate::opamp::server::ServerScan;

/// An answer of the server's, as its pace is judged by it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Answer {
    /// How long the server took, if that can be told.
    pub after: Option<Duration>,
    /// It answers an introduction by an announcement alone: whether it asked for the full state.
    pub introduction: Option<bool>,
    /// The session whose message it answers is over, or has left this server.
    pub orphan: bool,
}

impl Answer {
    /// An answer of which only that it came is known.
    pub const SOME: Self = Self { after: None, introduction: None, orphan: false };
    /// An answer to a session that is over.
    pub const ORPHAN: Self = Self { orphan: true, ..Self::SOME };
}

/// The last message sent upstream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LastSent {
    /// Where it went.
    pub route: Route,
    /// When.
    pub at: Instant,
}

/// What a session's record says of its messages to the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OutstandingRecord {
    /// The last message.
    pub last: Option<LastSent>,
    /// Messages sent on its route that the server has yet to answer.
    pub unanswered: u32,
    /// It introduced the agent by an announcement alone.
    pub announcing: bool,
    /// The server behind its route has been told that the agent left it for another.
    pub left: bool,
}

/// See the module's text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Outstanding {
    last: Option<LastSent>,
    /// Messages sent on the last route that the server has yet to answer.
    unanswered: u32,
    /// The last message introduced the agent by an announcement alone; its answer is awaited.
    announcing: bool,
    /// The server behind the last route has been told that the agent left it for another.
    left: bool,
}

impl Outstanding {
    /// Where the last message went.
    pub(super) fn route(&self) -> Option<Route> {
        self.last.map(|last| last.route)
    }

    /// When the server last heard of the agent.
    pub(super) fn sent_at(&self) -> Option<Instant> {
        self.last.map(|last| last.at)
    }

    /// Messages that the server has yet to answer.
    pub(super) const fn unanswered(&self) -> u32 {
        self.unanswered
    }

    /// Where unanswered messages went, and their number; `None` once all are answered, and of another node's link.
    pub(super) fn unanswered_on(&self) -> Option<(Route, u32)> {
        let own = self.route().filter(|route| self.unanswered > 0 && route.peer().is_none());
        own.map(|route| (route, self.unanswered))
    }

    /// A message went out.
    pub(super) const fn sent(&mut self, route: Route, now: Instant, announcing: bool) {
        self.last = Some(LastSent { route, at: now });
        self.unanswered = self.unanswered.saturating_add(1);
        self.announcing = announcing;
        self.left = false;
    }

    /// `route` as this session's messages take it: what the server remembers of the agent may rest on another
    /// node's link, as long as the one of `route` is new, or has been up since.
    pub(super) fn through(&self, route: Route) -> Route {
        let Some(last) = self.route().filter(|last| last.server() == route.server()) else {
            return route;
        };
        match last.memory {
            Memory::Elsewhere(peer) => Route { memory: Memory::Inherited(peer), ..route },
            Memory::Inherited(_) if last.wire() == route.wire() => last,
            _ => route,
        }
    }

    /// The session has moved here from `home`, whose link the last message took. `relies`: the server still
    /// remembers the agent. What rested on a node before that one is not relied upon: then `false`.
    pub(super) fn taken_over(&mut self, home: Peer, relies: bool) -> bool {
        let Some(last) = &mut self.last else { return true };
        let is_its = matches!(last.route.memory, Memory::Own(memory) if memory.0 != 0);
        let remembers = is_its && relies;
        last.route.memory =
            if remembers { Memory::Elsewhere(home) } else { Memory::Forgotten(home) };
        is_its
    }

    /// The link of `home` has ended on which the server's memory of the agent rests, if it does. Returns whether it
    /// did.
    pub(super) fn link_of_ended(&mut self, home: Peer) -> bool {
        let Some(last) = self.last.as_mut().filter(|last| last.route.rests_on() == Some(home))
        else {
            return false;
        };
        last.route.memory = match last.route.memory {
            Memory::Inherited(_) => Memory::Own(Incarnation(0)),
            _ => Memory::Forgotten(home),
        };
        true
    }

    /// Whether what was unanswered would go, and may be lost, with another wire than that of `route`.
    pub(super) fn is_on_wire(&self, route: Route) -> bool {
        self.route().is_some_and(|last| last.wire() == route.wire())
    }

    /// Whether the memory behind `route` has heard of the agent, as far as messages sent go.
    pub(super) fn is_introduced(&self, route: Option<Route>) -> bool {
        self.route().map(Route::anchor) == route.map(Route::anchor) && !self.left
    }

    /// Whether `route` leads to another server than the last message took.
    pub(super) fn leads_elsewhere(&self, route: Route) -> bool {
        self.route().is_some_and(|last| last.server() != route.server())
    }

    /// Whether the agent has gone, or goes now, from one server to another.
    pub(super) fn moves(&self, route: Route) -> bool {
        self.left || self.leads_elsewhere(route)
    }

    /// The last message is a goodbye, of a session that goes to another home.
    pub(super) const fn said_goodbye(&mut self) {
        self.unanswered = self.unanswered.saturating_add(1);
    }

    /// The server is taken to have forgotten the agent, though its link is up.
    pub(super) const fn forgotten(&mut self) {
        if let Some(last) = &mut self.last {
            last.route.memory = match last.route.memory {
                Memory::Own(_) | Memory::Inherited(_) => Memory::Own(Incarnation(0)),
                Memory::Elsewhere(home) | Memory::Forgotten(home) => Memory::Forgotten(home),
            };
        }
    }

    /// What was unanswered on another route is given up.
    pub(super) const fn give_up(&mut self) {
        self.unanswered = 0;
    }

    /// Where the former server can be told that the agent has left it for the one behind `route`. It is
    /// named once.
    pub(super) fn leave_for(&mut self, route: Route) -> Option<Route> {
        let elsewhere = |former: &Route| former.server() != route.server();
        // Over another node's link there is nothing to say.
        let former = self.route().filter(|former| elsewhere(former) && former.peer().is_none())?;
        (!std::mem::replace(&mut self.left, true)).then_some(former)
    }

    /// Takes a server's message as the answer to one of those sent on `route`. `None`: none was
    /// awaited there.
    pub(super) fn take_answer(
        &mut self,
        scan: &ServerScan<'_>,
        route: Route,
        now: Instant,
    ) -> Option<Answer> {
        let announced = self.announcing;
        if !self.take_lost(route) {
            return None;
        }
        // With several under way it is unknown which of them this one answers.
        let at = self.sent_at().filter(|_| self.unanswered == 0);
        Some(Answer {
            after: at.map(|at| now.saturating_duration_since(at)),
            introduction: (announced && scan.error_response.is_none())
                .then(|| scan.reports_full_state_wanted()),
            orphan: false,
        })
    }

    /// One message sent on `route` stays unanswered for good. `false`: none was awaited there.
    pub(super) fn take_lost(&mut self, route: Route) -> bool {
        if !self.is_on_wire(route) || self.unanswered == 0 {
            return false;
        }
        self.unanswered -= 1;
        self.announcing = false;
        true
    }

    /// Whether the server heard of the agent less than `interval` ago.
    pub(super) fn heard_within(&self, interval: Duration, now: Instant) -> bool {
        self.sent_at().is_some_and(|at| now.saturating_duration_since(at) < interval)
    }

    pub(super) const fn to_record(self) -> OutstandingRecord {
        let Self { last, unanswered, announcing, left } = self;
        OutstandingRecord { last, unanswered, announcing, left }
    }

    pub(super) const fn from_record(record: &OutstandingRecord) -> Self {
        let OutstandingRecord { last, unanswered, announcing, left } = *record;
        Self { last, unanswered, announcing, left }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::route;
    use super::*;

    const ACKNOWLEDGEMENT: &[u8] = &[];

    #[test]
    fn the_last_answer_tells_how_long_the_server_took() {
        let now = crate::clock::now();
        let later = now + Duration::from_millis(30);
        let scan = ServerScan::parse(ACKNOWLEDGEMENT).unwrap();
        let mut outstanding = Outstanding::default();
        outstanding.sent(route(1), now, false);
        outstanding.sent(route(1), now, true);
        let first = outstanding.take_answer(&scan, route(1), later).unwrap();
        assert_eq!(first, Answer { introduction: Some(false), ..Answer::SOME });
        let second = outstanding.take_answer(&scan, route(1), later).unwrap();
        assert_eq!(second, Answer { after: Some(later - now), ..Answer::SOME });
        assert_eq!(outstanding.take_answer(&scan, route(1), later), None);
    }

    #[test]
    fn an_answer_counts_on_its_own_route_alone() {
        let now = crate::clock::now();
        let mut outstanding = Outstanding::default();
        outstanding.sent(route(2), now, false);
        assert!(!outstanding.take_lost(route(1)));
        assert_eq!(outstanding.unanswered_on(), Some((route(2), 1)));
        assert!(outstanding.take_lost(route(2)) && !outstanding.take_lost(route(2)));
        assert!(outstanding.heard_within(Duration::from_secs(1), now));
    }

    #[test]
    fn a_memory_that_rests_on_another_nodes_link_lasts_as_long_as_both_links() {
        let now = crate::clock::now();
        let home = Peer::of(crate::core::ownership::NodeIncarnation::new(9).unwrap());
        let mut told = Outstanding::default();
        told.sent(route(1), now, false);
        told.taken_over(home, true);
        assert_eq!(told.unanswered_on(), None, "the other node's pacer counts it");
        let through = told.through(route(1));
        assert!(told.is_introduced(Some(through)) && !told.is_on_wire(through));
        told.sent(through, now, false);
        assert!(told.is_introduced(Some(told.through(route(1)))));
        assert!(!told.is_introduced(Some(told.through(route(2)))), "this node's link was lost");
        let mut ended = told;
        assert!(ended.link_of_ended(home) && !ended.link_of_ended(home));
        assert!(!ended.is_introduced(Some(ended.through(route(1)))));
        assert!(ended.is_on_wire(route(1)), "its answers still come");
        // On its way to a third node the memory is not relied upon.
        told.taken_over(home, true);
        assert!(!told.is_introduced(Some(told.through(route(1)))));
    }

    #[test]
    fn a_former_server_is_named_once() {
        let now = crate::clock::now();
        let mut other = route(1);
        other.link.server = crate::ident::ServerId(1);
        let mut outstanding = Outstanding::default();
        outstanding.sent(route(1), now, false);
        assert_eq!(outstanding.leave_for(route(2)), None, "the same server");
        assert_eq!(outstanding.leave_for(other), Some(route(1)));
        assert_eq!(outstanding.leave_for(other), None);
        assert!(!outstanding.is_introduced(Some(route(1))), "it has forgotten the agent");
        outstanding.sent(other, now, false);
        assert!(outstanding.is_introduced(Some(other)));
    }
}
