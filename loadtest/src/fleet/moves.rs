//! Forced moves: agents that leave their target for another because they are told to, at a rate.
//!
//! The order concerns the agents with the lowest numbers. Each leaves at an instant of its own, with
//! or without a change of state, and dials another target than the one it is on.

use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

/// An order to move, for all processes of a fleet.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct MoveOrder {
    /// How many agents.
    pub(crate) agents: u32,
    /// How many a second; 0: all at once.
    pub(crate) per_second: f64,
    /// The share (0 to 1) whose state changes on the way.
    pub(crate) changed: f64,
    /// How often each one moves, without waiting for a reply between: with 2 it goes to another
    /// target and comes straight back.
    pub(crate) hops: u16,
}

impl MoveOrder {
    /// When the agent with this number leaves, if the order concerns it.
    fn due(&self, start: Instant, index: u32) -> Option<Instant> {
        if index >= self.agents || self.hops == 0 {
            return None;
        }
        let offset = if self.per_second > 0.0 { f64::from(index) / self.per_second } else { 0.0 };
        Some(start + Duration::from_secs_f64(offset))
    }
}

/// An order with its beginning.
#[derive(Debug, Clone)]
pub(super) struct OrderedMove {
    pub(super) start: Instant,
    pub(super) order: MoveOrder,
}

/// One agent's way through the orders.
#[derive(Debug, Default)]
pub(super) struct Itinerary {
    /// Orders that are done with.
    seen: usize,
    /// Hops of the current one that are still to come.
    hops_left: u16,
}

impl Itinerary {
    /// When the agent with this number leaves next.
    pub(super) fn next(&mut self, orders: &[OrderedMove], index: u32) -> Option<Instant> {
        while let Some(ordered) = orders.get(self.seen) {
            if let Some(due) = ordered.order.due(ordered.start, index) {
                return Some(due);
            }
            self.seen += 1;
        }
        None
    }

    /// It leaves now: the order that says so.
    pub(super) fn leave<'a>(&mut self, orders: &'a [OrderedMove]) -> Option<&'a MoveOrder> {
        let ordered = orders.get(self.seen)?;
        self.seen += 1;
        self.hops_left = ordered.order.hops.saturating_sub(1);
        Some(&ordered.order)
    }

    /// Takes the next hop, if there is one: the agent leaves as soon as it has spoken.
    pub(super) fn hop(&mut self) -> bool {
        let more = self.hops_left > 0;
        self.hops_left = self.hops_left.saturating_sub(1);
        more
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agents_leave_one_after_the_other_and_hop_as_often_as_ordered() {
        let start = seawall::clock::now();
        let order = |agents, hops| MoveOrder { agents, per_second: 10.0, changed: 0.0, hops };
        let orders = [order(1, 1), order(5, 2)].map(|order| OrderedMove { start, order });
        let mut agent = Itinerary::default();
        // The first order is for agent 0 alone.
        assert_eq!(agent.next(&orders, 3), Some(start + Duration::from_millis(300)));
        assert_eq!(agent.leave(&orders).map(|order| order.hops), Some(2));
        assert_eq!([agent.hop(), agent.hop(), agent.hop()], [true, false, false]);
        assert_eq!(agent.next(&orders, 3), None);
        assert_eq!(agent.leave(&orders), None);
        assert_eq!(Itinerary::default().next(&orders, 0), Some(start));
        assert_eq!(Itinerary::default().next(&orders, 5), None);
    }
}
