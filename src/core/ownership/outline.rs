//! What an operator may see of a node: the members by its view, what moves, and by what right it speaks. Must not
//! decide anything.

use std::time::Duration;

use super::clock_reading::ClockReading;
use super::events::{HoldReason, Standing};
use super::ids::{MapVersion, RunId};
use super::lease::{Lease, LeaseHead};
use super::node::{Node, NodePhase};

/// A node at one instant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeOutline {
    /// How far it is.
    pub phase: NodePhase,
    /// By what right it speaks to servers, or why it holds still.
    pub standing: Result<Standing, HoldReason>,
    /// The version of membership and map that it has read.
    pub version: MapVersion,
    /// The life of the store that answered last.
    pub run: Option<RunId>,
    /// Whether the store's word does not count, because it may have gone back.
    pub store_is_away: bool,
    /// The members, by incarnation.
    pub members: Vec<MemberOutline>,
    /// Shards without a home, or whose home is no member.
    pub homeless: usize,
    /// Shards that it hands over now.
    pub sending: usize,
    /// Shards that it receives now.
    pub receiving: usize,
}

/// A member, as the node sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemberOutline {
    /// The part of its lease that every version understands.
    pub head: LeaseHead,
    /// The lease; `None`: its format is newer than this software.
    pub lease: Option<Lease>,
    /// How long its counter has stood still; `None`: it has yet to be seen twice.
    pub still: Option<Duration>,
    /// Shards that are at home there.
    pub shards: usize,
}

impl Node {
    /// Everything that an operator may see.
    pub fn outline(&self, now: ClockReading) -> NodeOutline {
        let loads = self.view.loads();
        let content = self.view.content();
        let member = |head: LeaseHead, lease: Option<&Lease>| MemberOutline {
            still: self.watch.stillness(head.incarnation, now.monotonic).map(|(_, still)| still),
            shards: loads.get(&head.incarnation).copied().unwrap_or(0),
            lease: lease.cloned(),
            head,
        };
        let readable = content.leases.iter().map(|lease| member(lease.head(), Some(lease)));
        let unreadable = content.unreadable.iter().map(|head| member(head.clone(), None));
        let mut members: Vec<MemberOutline> = readable.chain(unreadable).collect();
        members.sort_by_key(|member| member.head.incarnation);
        let at_home: usize = loads.values().sum();
        NodeOutline {
            phase: self.phase,
            standing: self.standing(now),
            version: content.version,
            run: self.store.run(),
            store_is_away: self.store.is_away(now.monotonic, &self.params),
            members,
            homeless: usize::from(self.params.shards).saturating_sub(at_home),
            sending: self.moves.outgoing(),
            receiving: self.moves.incoming(),
        }
    }
}
