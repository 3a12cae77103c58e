//! Did two nodes speak to the server for one agent at the same time?
//!
//! At most one node may speak for an agent. Which nodes did is seen at the server, where every link
//! names its node and every message is a *word* for one agent. The rules:
//!
//! 1. The words of a link count from its first to its last word for the agent. Links of the same node
//!    may take turns: a node redials its server, and spreads its agents over several links.
//! 2. A change of homes is one node's last word before the other node's first word. A home that hands
//!    an agent over waits for its answers and says its goodbye, if the server needs one, before the
//!    new home begins. A home that takes over waits until the lease of the dead one has run out. In
//!    both cases the old home's link stays open, and silent for this agent: it is the *anchor*, on which
//!    the server's own messages may still come.
//! 3. A node **speaks twice** if it spoke for the agent, another node spoke, and then the first one
//!    speaks again on a link that was open before the other node's word. It believed all the time that
//!    it was the agent's home.
//! 4. A node may come back as the home of an agent that it lost: then it has a new incarnation, which
//!    has closed the links of the old one. Words on links opened after the other node's word begin anew;
//!    so do words of a node all of whose links had ended meanwhile (another *life*), for it may have
//!    opened its new links before the other node's first word.
//!
//! The order is that in which the server read the words. Words that a server reads late look like a
//! double word; the stand-in reads at once unless it is told to stall.

use serde::{Deserialize, Serialize};

/// One link that spoke for one agent. Times are microseconds of Unix time at the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SpokenLink {
    /// The link's number among all connections of the server.
    pub(crate) link: u64,
    /// The number of its node: 1 for the node that the server heard of first.
    pub(crate) node: u16,
    /// Which of the node's lives: from a moment without links to the next one.
    pub(crate) life: u32,
    pub(crate) opened_us: u64,
    /// The first and the last word for the agent.
    pub(crate) first_us: u64,
    pub(crate) last_us: u64,
    /// All words for the agent, and those that the node said of its own accord.
    pub(crate) words: u64,
    pub(crate) own_accord: u64,
}

/// The two nodes that spoke for one agent at the same time, by the rules above: the one that came
/// back, and the one that had spoken meanwhile.
pub(crate) fn spoken_twice(links: &[SpokenLink]) -> Option<(u16, u16)> {
    let spoke_before = |again: &SpokenLink, at: u64| {
        let is_its_own = |link: &&SpokenLink| (link.node, link.life) == (again.node, again.life);
        links.iter().filter(is_its_own).any(|link| link.first_us < at)
    };
    links.iter().find_map(|again| {
        let meanwhile = links.iter().find(|other| {
            other.node != again.node
                && again.opened_us <= other.first_us
                && other.first_us < again.last_us
                && spoke_before(again, other.first_us)
        });
        meanwhile.map(|other| (again.node, other.node))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Link 10 times the node and more, opened at `opened`, with words from `first` to `last`.
    fn link(number: u64, opened_us: u64, words: std::ops::RangeInclusive<u64>) -> SpokenLink {
        let (first_us, last_us) = words.into_inner();
        let node = u16::try_from(number / 10).unwrap();
        let life = 1;
        SpokenLink {
            link: number,
            node,
            life,
            opened_us,
            first_us,
            last_us,
            words: 2,
            own_accord: 1,
        }
    }

    #[test]
    fn one_home_after_the_other_is_one_voice() {
        assert_eq!(spoken_twice(&[]), None);
        assert_eq!(spoken_twice(&[link(10, 0, 1..=9)]), None);
        // The second node's link had been open before: it has other agents.
        assert_eq!(spoken_twice(&[link(10, 0, 1..=9), link(20, 0, 10..=20)]), None);
        assert_eq!(
            spoken_twice(&[link(10, 0, 1..=9), link(20, 0, 10..=20), link(30, 0, 21..=22)]),
            None
        );
    }

    #[test]
    fn links_of_one_node_take_turns() {
        assert_eq!(spoken_twice(&[link(10, 0, 1..=9), link(11, 5, 6..=20)]), None);
    }

    #[test]
    fn a_word_after_another_nodes_is_a_double_word() {
        assert_eq!(spoken_twice(&[link(10, 0, 1..=11), link(20, 0, 10..=10)]), Some((1, 2)));
        assert_eq!(spoken_twice(&[link(20, 0, 10..=10), link(10, 0, 1..=11)]), Some((1, 2)));
        assert_eq!(spoken_twice(&[link(10, 0, 1..=30), link(20, 0, 10..=20)]), Some((1, 2)));
    }

    #[test]
    fn another_link_of_the_same_incarnation_gives_no_right_to_speak() {
        let links = [link(10, 0, 1..=1), link(20, 0, 5..=5), link(11, 3, 9..=9)];
        assert_eq!(spoken_twice(&links), Some((1, 2)));
    }

    #[test]
    fn a_node_without_links_forgets_that_it_spoke() {
        let again = link(11, 4, 9..=9);
        let links = [link(10, 0, 1..=1), link(20, 0, 5..=5), again];
        assert_eq!(spoken_twice(&links), Some((1, 2)));
        let links = [link(10, 0, 1..=1), link(20, 0, 5..=5), SpokenLink { life: 2, ..again }];
        assert_eq!(spoken_twice(&links), None);
    }

    #[test]
    fn a_new_incarnation_begins_anew() {
        let links = [link(10, 0, 1..=1), link(20, 0, 5..=5), link(11, 7, 9..=9)];
        assert_eq!(spoken_twice(&links), None);
        // Unless the other node goes on all the same.
        let links = [link(10, 0, 1..=1), link(20, 0, 5..=12), link(11, 7, 9..=9)];
        assert_eq!(spoken_twice(&links), Some((2, 1)));
    }
}
