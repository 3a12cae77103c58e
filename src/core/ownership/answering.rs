//! What a node makes of the store's answers, and of their absence.

use super::calls::{ChangeAnswer, RenewAnswer, Renewed, Snapshot, StoreAnswer};
use super::clock_reading::ClockReading;
use super::demand::DemandElsewhere;
use super::events::{NodeEffect, PeerMessage};
use super::ids::{NodeIncarnation, RunId};
use super::lease::{Lease, LeaseHead};
use super::node::{Node, NodePhase};
use super::open_call::{OpenCall, Purpose};
use super::step::NodeStep;

impl StoreAnswer {
    /// Which life of the store answered.
    pub const fn run(&self) -> RunId {
        match self {
            Self::Read(content) => content.run,
            Self::Renew(answer) => match **answer {
                RenewAnswer::Renewed(Renewed { run, .. })
                | RenewAnswer::NotMember { run }
                | RenewAnswer::Late { run } => run,
            },
            Self::Change(ChangeAnswer::Changed { run, .. } | ChangeAnswer::Refused { run, .. }) => {
                *run
            }
        }
    }
}

impl NodeStep<'_> {
    /// The open call is answered.
    pub(super) fn call_answered(&mut self, call: OpenCall, answer: StoreAnswer) {
        self.node.calls.answered();
        self.heard_run(answer.run());
        self.node.waits.store_answered(self.now.monotonic);
        match (call.purpose, answer) {
            (Purpose::Read, StoreAnswer::Read(content)) => self.content_read(*content),
            (Purpose::Renew, StoreAnswer::Renew(answer)) => {
                self.renewal_answered(call, *answer);
            }
            (Purpose::Join, StoreAnswer::Change(answer)) => self.join_answered(call, answer),
            (Purpose::Change | Purpose::Leave, StoreAnswer::Change(answer)) => {
                self.node.calls.change_answered();
                if let ChangeAnswer::Changed { version, .. } = answer {
                    let tell =
                        |node| NodeEffect::Say(node, Box::new(PeerMessage::Changed(version)));
                    self.out.extend(self.node.view.others().map(tell));
                }
            }
            (_, StoreAnswer::Read(_) | StoreAnswer::Renew(_) | StoreAnswer::Change(_)) => {
                self.call_failed(call);
            }
        }
    }

    /// A call got no answer, or its answer is late: it may have been applied, or may be applied later.
    pub(super) fn call_failed(&mut self, call: OpenCall) {
        self.try_again(call);
        if call.purpose.is_change() && self.node.calls.change_silent() {
            self.changes_are_settled();
        }
    }

    /// A call has changed nothing, and will not: what it asked for binds no longer.
    pub(super) fn call_refused(&mut self, call: OpenCall) {
        self.try_again(call);
        if call.purpose.is_change() {
            self.node.calls.change_refused();
            self.changes_are_settled();
        }
    }

    /// The same is due again, by another way.
    fn try_again(&mut self, call: OpenCall) {
        let members = self.node.peers.that_reach_the_store(self.now.monotonic, &self.node.params);
        self.node.calls.failed(call, &members, self.now.monotonic, self.node.params.retry_after());
        match call.purpose {
            Purpose::Read | Purpose::Join => self.node.calls.read_due = true,
            Purpose::Renew => self.node.own.hurries = true,
            Purpose::Change | Purpose::Leave => {}
        }
    }

    fn renewal_answered(&mut self, call: OpenCall, answer: RenewAnswer) {
        match answer {
            RenewAnswer::Renewed(Renewed { run, version, secret, since, leases, unreadable }) => {
                self.node.own.written(call.sent, self.now);
                self.node.calls.renewed();
                let heads: Vec<LeaseHead> =
                    leases.iter().map(|lease| lease.head()).chain(unreadable.clone()).collect();
                see_counters(self.node, self.now, &heads);
                self.node.view.note_member(run, version);
                self.node.view.hear(heads.iter());
                if self.node.store.renewed(since, self.now.monotonic) {
                    self.node.sees_strangers(self.now.monotonic);
                }
                self.see_figures(&leases, &unreadable, call.sent);
                self.node.view.see_leases(leases);
                let read = self.node.view.content();
                // A key of digests leaves the version as it is.
                if (read.run, read.version) == (run, version) {
                    self.node.own.map_is_read();
                    if forget_unheld(self.node, self.now) {
                        self.follow_map();
                    }
                }
                let read = self.node.view.content();
                if (read.run, read.version, read.secret) != (run, version, secret) {
                    self.node.calls.read_due = true;
                }
            }
            // The store has just gone back, and this was sent before that was known.
            RenewAnswer::NotMember { .. }
                if self.node.store.rejoins(self.now, &self.node.params) =>
            {
                self.node.own.hurries = true;
            }
            RenewAnswer::NotMember { .. } => self.end_membership(),
            RenewAnswer::Late { .. } => self.node.own.late(),
        }
    }

    fn see_figures(&mut self, leases: &[Lease], unreadable: &[LeaseHead], sent: ClockReading) {
        let told = leases.iter().map(|lease| (lease.incarnation, lease.figures.told_until));
        self.node.told.read(told, self.now.monotonic);
        // What a store shows that went back may be older than what its nodes take.
        if self.node.store.is_away(self.now.monotonic, &self.node.params) {
            return;
        }
        let me = self.node.lease.incarnation;
        let others = leases.iter().filter(|lease| lease.incarnation != me);
        let others = others.map(|lease| DemandElsewhere {
            node: lease.incarnation,
            counter: lease.counter,
            need: Some(lease.figures.need),
            claim: Some(lease.figures.rate),
            knows_me: self.node.view.knows_me(lease.incarnation),
            connected: lease.figures.connected,
            waiting: lease.figures.waiting,
        });
        let unreadable = unreadable.iter().map(|head| DemandElsewhere {
            node: head.incarnation,
            counter: head.counter,
            need: None,
            claim: None,
            knows_me: self.node.view.knows_me(head.incarnation),
            connected: 0,
            waiting: 0,
        });
        self.node.demand.answered(others.chain(unreadable).collect(), sent.monotonic);
    }

    fn join_answered(&mut self, call: OpenCall, answer: ChangeAnswer) {
        self.node.calls.read_due = true;
        let ChangeAnswer::Changed { run, version } = answer else { return };
        self.node.own.written(call.sent, self.now);
        let content = self.node.view.content();
        // What that node holds true is itself alone, or includes this one: without the store it holds still.
        let mut before = content.leases.iter().filter(|lease| lease.name != self.node.lease.name);
        if let (Some(only), None) = (before.next(), before.next())
            && content.unreadable.is_empty()
            && (content.run, content.version.next()) == (run, version)
            && (only.run, only.read) == (content.run, content.version)
            && !only.lone_speaks
        {
            self.node.waits.alone.insert(only.incarnation);
        }
        self.node.view.note_member(run, version);
    }

    fn content_read(&mut self, content: Snapshot) {
        if self.node.phase == NodePhase::Joining {
            return self.read_while_joining(content);
        }
        if self.node.store.is_away(self.now.monotonic, &self.node.params) {
            return;
        }
        let heads: Vec<LeaseHead> = content
            .leases
            .iter()
            .map(|lease| lease.head())
            .chain(content.unreadable.clone())
            .collect();
        see_counters(self.node, self.now, &heads);
        if !heads.iter().any(|head| head.incarnation == self.node.lease.incarnation) {
            return self.end_membership();
        }
        self.node.store.map_is_read();
        self.node.own.map_is_read();
        let settled = self.node.calls.map_is_read();
        self.adopt(content);
        if forget_unheld(self.node, self.now) {
            self.follow_map();
        }
        if settled {
            self.changes_are_settled();
        }
    }

    fn read_while_joining(&mut self, content: Snapshot) {
        if self.node.view.content().run != content.run {
            self.node.waits.begin_anew(self.now.monotonic);
        }
        let leases = content.leases.iter().map(|lease| lease.head());
        let heads: Vec<LeaseHead> = leases.chain(content.unreadable.clone()).collect();
        see_counters(self.node, self.now, &heads);
        self.node.calls.map_is_read();
        if heads.iter().any(|head| head.incarnation == self.node.lease.incarnation) {
            let leaves = self.node.lease.leaving;
            self.node.phase = if leaves { NodePhase::Leaving } else { NodePhase::Member };
            if !self.node.store.is_away(self.now.monotonic, &self.node.params) {
                self.node.store.map_is_read();
            }
            self.node.own.map_is_read();
            self.node.own.hurries = true;
            return self.adopt(content);
        }
        self.out.extend(new_secret(self.node, &content));
        self.node.view.adopt(content);
        let former = heads.iter().filter(|head| head.name == self.node.lease.name);
        let former: Vec<NodeIncarnation> = former.map(|head| head.incarnation).collect();
        if former.iter().any(|node| self.node.watch.has_moved(*node)) {
            self.node.phase = NodePhase::Gone;
            return self.out.push(NodeEffect::NameInUse(self.node.lease.name.clone()));
        }
        let still = |node: &NodeIncarnation| {
            let stillness = self.node.watch.stillness(*node, self.now.monotonic);
            stillness.is_some_and(|(_, still)| still >= self.node.params.lease)
        };
        if !former.iter().all(still) {
            self.node.calls.read_due = true;
            self.node.calls.pause(self.now.monotonic + self.node.params.ask_every());
        }
    }

    /// Takes a content of the store for true.
    pub(super) fn adopt(&mut self, content: Snapshot) {
        self.out.extend(new_secret(self.node, &content));
        // A member may tell of a later map than the store has shown.
        self.node.watch.forget(&self.node.view.gone_in(&content));
        if self.node.view.adopt(content) {
            self.node.confirmations.view_changed();
        }
        let view = &self.node.view;
        let homes = view.shards().filter_map(|(_, known)| known.node);
        let missing: std::collections::BTreeSet<_> =
            homes.filter(|home| !view.is_member(*home)).collect();
        self.node.waits.see_missing(missing.into_iter(), self.now.monotonic);
        self.node
            .confirmations
            .retain(|node| view.is_member(node) || self.node.waits.is_missing(node));
        self.node.peers.retain(|node| view.is_member(node));
        self.node.view.forget_gone();
        self.follow_map();
    }

    /// Tells the data plane what the map says of its shards.
    fn follow_map(&mut self) {
        let me = self.node.lease.incarnation;
        for (shard, known) in self.node.view.shards() {
            let mine = known.node == Some(me);
            match (mine, self.node.moves.held().contains(&shard), known.epoch) {
                (true, false, Some(epoch)) => {
                    let handed_by = self.node.moves.install(shard, epoch);
                    self.out.push(NodeEffect::Install { shard, epoch, handed_by });
                }
                (false, true, _) => {
                    self.node.moves.release(shard);
                    self.out.push(NodeEffect::Release(shard));
                }
                _ => {}
            }
        }
    }

    /// The fate of the last change is known and its map is read: what it has not moved stays.
    fn changes_are_settled(&mut self) {
        self.node.confirmations.unbind();
        for (to, attempt) in self.node.moves.settled() {
            self.out.push(NodeEffect::Unfreeze(attempt.shard));
            self.out.push(NodeEffect::Say(to, Box::new(PeerMessage::Cancel(attempt))));
        }
    }
}

/// Lower epochs count where their homes do not write higher ones. Returns whether the view is another one than before.
fn forget_unheld(node: &mut Node, now: ClockReading) -> bool {
    if node.store.is_away(now.monotonic, &node.params) {
        return false;
    }
    let (watch, lease) = (&node.watch, node.params.lease);
    let stillness = |home| watch.stillness(home, now.monotonic).map(|(_, still)| still);
    let writes = |home| watch.has_moved(home) && stillness(home).is_some_and(|it| it < lease);
    let is_new = node.view.forget_unheld(writes);
    if is_new {
        node.confirmations.view_changed();
    }
    is_new
}

fn see_counters(node: &mut Node, now: ClockReading, heads: &[LeaseHead]) {
    let shown = heads.iter().map(|head| (head.incarnation, head.counter));
    node.watch.observe(shown, now.monotonic, &node.params);
}

/// Another key of digests than before, for the data plane.
fn new_secret(node: &Node, content: &Snapshot) -> Option<NodeEffect> {
    let before = node.view.content().secret;
    content.secret.filter(|new| Some(*new) != before).map(NodeEffect::UseSecret)
}
