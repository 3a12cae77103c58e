//! What a node owes its agents and its servers while it drains: closes at the rate at most, agents whose
//! servers have answered first, silence about an agent that it has let go, and the goodbyes that agents
//! said themselves.

use std::collections::{BTreeMap, VecDeque};

use super::presence::Presence;
use super::{Fault, Oracle, Seen, Sent, Truth};
use crate::world::{NodeKey, Time};

/// How long it takes at most until every answer can be told from others again.
const AMBIGUOUS: Time = Time::from_secs(30);

/// What a node owes the node that an agent goes to next.
#[derive(Debug, Clone, Default)]
pub(super) struct Handover {
    /// The node has let the agent go: another one speaks for it.
    released: bool,
    /// Messages of the agent on their way to each server.
    under_way: BTreeMap<usize, u32>,
    /// When something was last said that may pass for the answer to another message: by a server
    /// unasked, or to a session that has ended.
    ambiguous_at: Option<Time>,
    /// When the last message went out.
    sent_at: Option<Time>,
}

impl Handover {
    pub(super) fn sent(&mut self, sent: &Sent) -> Result<(), Fault> {
        *self.under_way.entry(sent.server).or_default() += 1;
        // A miscount lasts until every message is answered.
        let again = self.ambiguous_at.is_some_and(|at| sent.at - at < AMBIGUOUS);
        if sent.report.disconnects || again {
            self.ambiguous_at = Some(sent.at);
        }
        self.sent_at = Some(sent.at);
        if self.released {
            return Err(("drain", "is spoken of by a node that has let it go".to_owned()));
        }
        Ok(())
    }

    /// A message has come to its server, or was lost on the way.
    pub(super) fn arrived(&mut self, server: usize) {
        let under_way = self.under_way.entry(server).or_default();
        *under_way = under_way.saturating_sub(1);
    }

    /// A server says something unasked.
    const fn pushed(&mut self, now: Time) {
        self.ambiguous_at = Some(now);
    }

    pub(super) const fn is_released(&self) -> bool {
        self.released
    }

    /// The agent speaks to this node.
    pub(super) const fn heard(&mut self) {
        self.released = false;
    }
}

impl Seen {
    /// The node has let the agent go, and forgets it.
    pub(super) fn let_go(&mut self) {
        let under_way = std::mem::take(&mut self.handover.under_way);
        // Answers to what it has sent may pass for answers to what comes next.
        let (sent_at, ambiguous_at) = (self.handover.sent_at, self.handover.sent_at);
        let handover = Handover { released: true, under_way, ambiguous_at, sent_at };
        *self = Self { handover, offers: self.offers.let_go(), ..Self::default() };
    }
}

impl Truth {
    /// A server hears of the agent from a node.
    pub(super) fn heard_by(&mut self, server: usize, node: NodeKey, disconnects: bool) {
        let newest = self.newest_at.entry(server).or_insert(node);
        self.overtaken |= node < *newest && !disconnects;
        *newest = node.max(*newest);
    }
}

/// A drain, as the oracle sees it.
#[derive(Debug)]
pub(super) struct DrainSeen {
    pub(super) begun: Time,
    /// When the last connections were closed, a second's worth.
    closes: VecDeque<Time>,
}

impl Oracle {
    /// A node begins to drain.
    pub(crate) fn drain_begins(&mut self, node: NodeKey, now: Time) {
        self.drains.insert(node, DrainSeen { begun: now, closes: VecDeque::new() });
    }

    /// A node stops accepting connections, and forgets the agents that are away.
    pub(crate) fn drain_closes(&mut self, node: NodeKey) {
        self.drain_forgets(node, |presence| matches!(presence, Presence::Absent(_)));
    }

    /// The last connection is closed: a node remembers only agents whose own goodbye has yet to go on.
    pub(crate) fn drain_delivers(&mut self, node: NodeKey) {
        self.drain_forgets(node, |_| true);
    }

    fn drain_forgets(&mut self, node: NodeKey, concerned: impl Fn(Presence) -> bool) {
        let Some(begun) = self.drains.get(&node).map(|drain| drain.begun) else { return };
        let params = self.params.clone();
        for seen in self.nodes.get_mut(&node).into_iter().flatten() {
            // One that was over before is spoken of still: its server is told that it has gone.
            if concerned(seen.presence) && !seen.presence.is_over(begun, &params) {
                seen.let_go();
            }
        }
    }

    /// A node lets an agent of plain HTTP go with its reply.
    pub(crate) fn let_go(&mut self, at: (NodeKey, usize)) {
        self.seen(at).let_go();
    }

    /// A node closes an agent's connection. `patient`: its server has answered everything.
    pub(crate) fn drain_closes_agent(&mut self, at: (NodeKey, usize), patient: bool, now: Time) {
        let seen = self.seen(at);
        let on = seen.on.and_then(|server| seen.handover.under_way.get(&server));
        let under_way = on.copied().unwrap_or(0);
        let recently = |at: Time| now - at < AMBIGUOUS;
        let ambiguous = seen.handover.ambiguous_at.is_some_and(recently);
        let custom = seen.customs.first();
        if patient && !ambiguous && (under_way > 0 || custom.is_some()) {
            self.fail("drain", || {
                format!("agent {} goes, with {under_way} messages on their way", at.1)
            });
        }
    }

    /// A server says something unasked of an agent.
    pub(crate) fn pushed(&mut self, at: (NodeKey, usize), now: Time) {
        self.seen(at).handover.pushed(now);
    }

    /// A node has closed a connection of the `rate` that it may close in a second.
    pub(crate) fn drain_has_closed(&mut self, node: NodeKey, rate: usize, now: Time) {
        let Some(drain) = self.drains.get_mut(&node) else { return };
        let first = (drain.closes.len() >= rate).then(|| drain.closes.pop_front()).flatten();
        drain.closes.push_back(now);
        if let Some(first) = first.filter(|first| now - *first < Time::from_secs(1)) {
            self.fail("drain", || {
                format!("{} connections are closed in {:?}", rate + 1, now - first)
            });
        }
    }

    /// A drain that is under way keeps to its time.
    pub(crate) fn drain_lasts(&mut self, node: NodeKey, now: Time, most: Time) {
        let Some(begun) = self.drains.get(&node).map(|drain| drain.begun) else { return };
        if now > begun + most {
            self.fail("drain", || format!("node {node} has drained for {:?}", now - begun));
        }
    }

    /// What an agent said as its last word to this node has gone on by now, if it was at this server.
    pub(crate) fn goodbye_is_passed_on(&mut self, at: (NodeKey, usize), server: usize) {
        let seen = self.seen(at);
        if seen.presence == Presence::Left && seen.on == Some(server) {
            self.fail("drain", || format!("the goodbye of agent {} is dropped", at.1));
        }
    }
}
