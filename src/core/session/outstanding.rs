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

use super::former_links::{FormerLink, FormerLinks, Move};
use super::{Memory, Peer, Route, Wire};
use crate::core::server::Keying;
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

/// What a move means for the links that the session knew.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct LinksAfterMove {
    /// One has ended on which the server had heard of the agent.
    pub(super) ended: bool,
    /// The session is back at a link of this node's that is still up.
    pub(super) is_back: bool,
}

/// What a session's record says of its messages to the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutstandingRecord {
    /// The last message.
    pub last: Option<LastSent>,
    /// Messages sent on its route that the server has yet to answer.
    pub unanswered: u32,
    /// It introduced the agent by an announcement alone.
    pub announcing: bool,
    /// The server behind its route has been told that the agent left it for another.
    pub left: bool,
    /// Links of former homes on which its server has heard of the agent, oldest first.
    pub former: Vec<FormerLink>,
}

/// See the module's text.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Outstanding {
    last: Option<LastSent>,
    /// Links of former homes on which its server has heard of the agent.
    former: FormerLinks,
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
    pub(super) fn sent(&mut self, route: Route, now: Instant, announcing: bool) {
        if self.leads_elsewhere(route) {
            self.former.clear();
        }
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

    /// Links of former homes on which the server has heard of the agent.
    pub(super) const fn former(&self) -> &FormerLinks {
        &self.former
    }

    /// The session has moved here. Returns what this means for the links that it knew.
    pub(super) fn moved(&mut self, how: &Move<'_>) -> LinksAfterMove {
        let Some(LastSent { route, .. }) = &mut self.last else { return LinksAfterMove::default() };
        if route.peer().is_none() {
            self.former.add(FormerLink { home: how.from, incarnation: route.incarnation });
            route.memory = match route.memory {
                Memory::Own(Incarnation(0)) => Memory::Forgotten(how.from),
                _ => Memory::Elsewhere(how.from),
            };
        }
        // This node's own link, as it was when the session left this node.
        let own = how.own.filter(|own| own.server() == route.server());
        let is_own = |link: FormerLink| {
            link.home == how.me && own.is_some_and(|own| own.incarnation == link.incarnation)
        };
        let wire = |link: FormerLink| Wire {
            of: Some(link.home),
            link: route.link,
            incarnation: link.incarnation,
        };
        let spoke_here = self.former.take(is_own);
        let ended = self.former.take(|link| link.home == how.me || (how.has_ended)(wire(link)));
        let peer = route.peer().unwrap_or(Peer::UNKNOWN);
        let remembers =
            matches!(route.memory, Memory::Elsewhere(_)) && !ended && how.keying == Keying::Uid;
        if let Some(own) = own.filter(|_| spoke_here) {
            // Over this node's link the server knows the agent as before.
            let memory = match (remembers, peer == how.me) {
                (true, true) => Memory::Own(own.incarnation),
                (true, false) => Memory::Inherited(peer),
                (false, _) => Memory::Own(Incarnation(0)),
            };
            *route = Route { memory, ..own };
        } else if !remembers {
            route.memory = Memory::Forgotten(if peer == how.me { Peer::UNKNOWN } else { peer });
        }
        LinksAfterMove { ended, is_back: spoke_here }
    }

    /// The links of `home` up to this establishment have ended. Returns whether the server's memory rested on one.
    pub(super) fn links_ended(&mut self, has_ended: impl Fn(FormerLink) -> bool) -> bool {
        let rested = self.former.take(has_ended);
        if rested {
            self.forgotten();
        }
        rested
    }

    /// Whether what was unanswered would go, and may be lost, with another wire than that of `route`.
    pub(super) fn is_on_wire(&self, route: Route) -> bool {
        self.route().is_some_and(|last| last.wire() == route.wire())
    }

    /// Whether the last message took a link of this node's.
    pub(super) fn is_own(&self) -> bool {
        self.route().is_some_and(|last| last.peer().is_none())
    }

    /// The former homes' links are past, and this node's has yet to introduce the agent: messages go there from now on.
    pub(super) fn speak_on(&mut self, own: Route) {
        if let Some(last) = &mut self.last {
            last.route = Route { memory: Memory::Own(Incarnation(0)), ..own };
        }
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

    pub(super) fn to_record(&self) -> OutstandingRecord {
        let Self { last, unanswered, announcing, left, .. } = *self;
        OutstandingRecord {
            last,
            unanswered,
            announcing,
            left,
            former: self.former.iter().collect(),
        }
    }

    pub(super) fn from_record(record: &OutstandingRecord) -> Self {
        let OutstandingRecord { last, unanswered, announcing, left, .. } = *record;
        let former = FormerLinks::of(record.former.iter().copied());
        Self { last, former, unanswered, announcing, left }
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

    fn node(number: u64) -> Peer {
        Peer::of(crate::core::ownership::NodeIncarnation::new(number).unwrap())
    }

    /// From `from` to `me`, whose own link is there for the `own`th time, among nodes that all live.
    fn between(from: u64, me: u64, own: u32) -> Move<'static> {
        Move {
            from: node(from),
            me: node(me),
            keying: Keying::Uid,
            own: Some(route(own)),
            has_ended: &|_| false,
        }
    }

    fn told() -> Outstanding {
        let mut told = Outstanding::default();
        told.sent(route(1), crate::clock::now(), false);
        told
    }

    #[test]
    fn a_memory_that_rests_on_another_nodes_link_lasts_as_long_as_both_links() {
        let now = crate::clock::now();
        let mut told = told();
        assert_eq!(told.moved(&between(9, 1, 1)), LinksAfterMove::default());
        assert_eq!(told.unanswered_on(), None, "the other node's pacer counts it");
        let through = told.through(route(1));
        assert!(told.is_introduced(Some(through)) && !told.is_on_wire(through));
        told.sent(through, now, false);
        assert!(told.is_introduced(Some(told.through(route(1)))));
        assert!(!told.is_introduced(Some(told.through(route(2)))), "this node's link was lost");
        let of_home = |link: FormerLink| link.home == node(9);
        let mut ended = told.clone();
        assert!(ended.links_ended(of_home) && !ended.links_ended(of_home));
        assert!(!ended.is_introduced(Some(ended.through(route(1)))));
        assert!(ended.is_on_wire(route(1)), "its answers still come");
        // At a third node it rests on both.
        told.moved(&between(1, 2, 1));
        for home in [9, 1] {
            let mut ended = told.clone();
            assert!(ended.is_introduced(Some(ended.through(route(1)))));
            assert!(ended.links_ended(|link| link.home == node(home)));
            assert!(!ended.is_introduced(Some(ended.through(route(1)))));
        }
    }

    #[test]
    fn a_home_that_says_nothing_is_passed_over() {
        let mut told = told();
        told.moved(&between(9, 1, 5));
        told.moved(&between(1, 2, 6));
        assert!(told.former().iter().map(|link| link.home).eq([node(9)]));
        assert!(told.is_introduced(Some(told.through(route(6)))));
        assert!(!told.links_ended(|link| link.home == node(1)), "it has said nothing");
    }

    #[test]
    fn a_session_that_is_back_is_known_as_before_if_the_link_is_still_up() {
        for (speaks, is_up) in [(false, true), (true, true), (false, false), (true, false)] {
            let mut told = told();
            told.moved(&between(9, 1, 5));
            if speaks {
                told.sent(told.through(route(5)), crate::clock::now(), false);
            }
            let own = if is_up { 1 } else { 2 };
            let after = told.moved(&between(1, 9, own));
            assert_eq!(after, LinksAfterMove { ended: !is_up, is_back: is_up });
            let through = told.through(route(own));
            assert_eq!(told.is_introduced(Some(through)), is_up);
            assert_eq!(told.is_on_wire(through), is_up);
            assert_eq!(told.former().iter().any(|link| link.home == node(1)), speaks);
            // From here on its loss is noticed.
            assert!(!told.is_introduced(Some(told.through(route(own + 1)))));
        }
    }

    #[test]
    fn links_that_are_known_to_have_ended_are_not_relied_upon() {
        let mut told = told();
        let has_ended = |wire: Wire| wire.of == Some(node(9)) && wire.incarnation.0 <= 1;
        let after = told.moved(&Move { has_ended: &has_ended, ..between(9, 1, 1) });
        assert!(after.ended && !told.is_introduced(Some(told.through(route(1)))));
        assert!(told.former().is_empty());
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
