//! The links of other nodes on which a server has heard of an agent, and which have yet to end: with any of them the
//! server may forget it. A session has them from the homes that it was at, over any number of moves.
//!
//! Bounded: of more the oldest is forgotten. If its server forgets the agent with it, the server finds out with the
//! next heartbeat.

use super::{Peer, Route, Wire};
use crate::core::server::Keying;
use crate::ident::Incarnation;

/// As many as one agent's homes that all live on. More than that are rare.
pub(super) const FORMER_LINKS_MAX: usize = 4;

/// A link of a node that was the session's home.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FormerLink {
    /// The node.
    pub home: Peer,
    /// The establishment that spoke for the agent.
    pub incarnation: Incarnation,
}

/// How a session comes to this node.
#[derive(Clone, Copy)]
pub struct Move<'a> {
    /// The node that wrote its record.
    pub from: Peer,
    /// This node.
    pub me: Peer,
    /// How the server knows its agents that the session's last message went to.
    pub keying: Keying,
    /// The way to that server from here.
    pub own: Option<Route>,
    /// Whether this establishment of another node's link is known to have ended. A node that is no member has none.
    pub has_ended: &'a dyn Fn(Wire) -> bool,
}

/// Whose link has brought an agent the latest offer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OfferSource {
    /// This node's.
    Here,
    /// A former home's.
    Former(Peer),
}

impl OfferSource {
    /// The same, after a move from one node to another.
    pub(super) fn after_move(self, from: Peer, to: Peer) -> Self {
        match self {
            Self::Here => Self::Former(from),
            Self::Former(home) if home == to => Self::Here,
            elsewhere @ Self::Former(_) => elsewhere,
        }
    }
}

/// See the module's text. Small while there are none, as of most sessions.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct FormerLinks(Option<Box<OldestFirst>>);

#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct OldestFirst {
    links: [Option<FormerLink>; FORMER_LINKS_MAX],
}

impl FormerLinks {
    /// Oldest first; of too many the latest.
    pub(super) fn of(links: impl IntoIterator<Item = FormerLink>) -> Self {
        let mut all = Self::default();
        links.into_iter().for_each(|link| all.add(link));
        all
    }

    /// All of them, oldest first.
    pub(super) fn iter(&self) -> impl Iterator<Item = FormerLink> {
        self.0.iter().flat_map(|all| all.links.iter().flatten().copied())
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    /// The home of the latest.
    pub(super) fn latest(&self) -> Option<Peer> {
        self.iter().last().map(|link| link.home)
    }

    /// Whether a link of `one` is known to have spoken before one of `other`. A link that is not known has ended.
    pub(super) fn is_older(&self, one: Peer, other: Peer) -> bool {
        let place = |home: Peer| self.iter().position(|link| link.home == home);
        one != other && place(one).is_none_or(|one| place(other).is_some_and(|other| one < other))
    }

    /// The latest link that has spoken. Of each home the latest establishment counts.
    pub(super) fn add(&mut self, link: FormerLink) {
        let before = self.iter().filter(|known| known.home != link.home);
        let mut all: Vec<FormerLink> = before.chain([link]).collect();
        let surplus = all.len().saturating_sub(FORMER_LINKS_MAX);
        all.drain(..surplus);
        self.set(all.into_iter());
    }

    /// Takes out those of which `is_past` says so. Returns whether there were any.
    pub(super) fn take(&mut self, is_past: impl Fn(FormerLink) -> bool) -> bool {
        let before = self.iter().count();
        if before == 0 {
            return false;
        }
        let left: Vec<FormerLink> = self.iter().filter(|link| !is_past(*link)).collect();
        let took = left.len() < before;
        if took {
            self.set(left.into_iter());
        }
        took
    }

    /// None is left.
    pub(super) fn clear(&mut self) {
        self.0 = None;
    }

    fn set(&mut self, links: impl Iterator<Item = FormerLink>) {
        let mut all = OldestFirst::default();
        for (place, link) in all.links.iter_mut().zip(links) {
            *place = Some(link);
        }
        self.0 = all.links[0].is_some().then(|| Box::new(all));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::ownership::NodeIncarnation;

    fn home(number: u64) -> Peer {
        Peer::of(NodeIncarnation::new(number).unwrap())
    }

    fn link(number: u64, incarnation: u32) -> FormerLink {
        FormerLink { home: home(number), incarnation: Incarnation(incarnation) }
    }

    #[test]
    fn the_latest_links_count_and_each_home_once() {
        let mut links = FormerLinks::default();
        assert!(links.is_empty() && !links.take(|_| true));
        for number in 1..=6 {
            links.add(link(number, 1));
        }
        assert!(links.iter().map(|link| link.home).eq((3..=6).map(home)));
        links.add(link(4, 2));
        assert_eq!(links.latest(), Some(home(4)));
        assert!(links.iter().eq([link(3, 1), link(5, 1), link(6, 1), link(4, 2)]));
        assert!(links.is_older(home(5), home(4)) && !links.is_older(home(4), home(5)));
        assert!(links.is_older(home(1), home(3)) && !links.is_older(home(3), home(3)));
        assert!(links.take(|link| link.home == home(3)) && links.iter().count() == 3);
        assert_eq!(FormerLinks::of(links.iter()), links);
        assert!(links.take(|_| true) && links.is_empty());
    }
}
