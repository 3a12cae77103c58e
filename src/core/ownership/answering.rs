//! What a node makes of the store's answers, and of their absence.

use super::calls::{ChangeAnswer, RenewAnswer, Renewed, Snapshot, StoreAnswer};
use super::events::{NodeEffect, PeerMessage};
use super::ids::{MapVersion, NodeIncarnation, RunId};
use super::lease::{Lease, LeaseHead};
use super::moment::Moment;
use super::node::{Node, NodePhase};
use super::open_call::{OpenCall, Purpose};

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

impl Node {
    /// The open call is answered.
    pub(super) fn call_answered(
        &mut self,
        call: OpenCall,
        answer: StoreAnswer,
        now: Moment,
        out: &mut Vec<NodeEffect>,
    ) {
        self.calls.answered();
        self.heard_run(answer.run(), now);
        self.waits.store_answered(now.monotonic);
        match (call.purpose, answer) {
            (Purpose::Read, StoreAnswer::Read(content)) => self.content_read(*content, now, out),
            (Purpose::Renew, StoreAnswer::Renew(answer)) => {
                self.renewal_answered(call, *answer, now, out);
            }
            (Purpose::Join, StoreAnswer::Change(answer)) => self.join_answered(call, answer, now),
            (Purpose::Change | Purpose::Leave, StoreAnswer::Change(answer)) => {
                self.calls.change_answered();
                if let ChangeAnswer::Changed { version, .. } = answer {
                    self.tell_of_change(version, out);
                }
            }
            (_, StoreAnswer::Read(_) | StoreAnswer::Renew(_) | StoreAnswer::Change(_)) => {
                self.call_failed(call, now, out);
            }
        }
    }

    fn tell_of_change(&self, version: MapVersion, out: &mut Vec<NodeEffect>) {
        let tell = |node| NodeEffect::Say(node, Box::new(PeerMessage::Changed(version)));
        out.extend(self.view.others().map(tell));
    }

    /// A call came to nothing, or its answer is late.
    pub(super) fn call_failed(&mut self, call: OpenCall, now: Moment, out: &mut Vec<NodeEffect>) {
        let members = self.peers.that_reach_the_store(now.monotonic, &self.params);
        self.calls.failed(call, &members, now.monotonic, self.params.retry_after());
        match call.purpose {
            Purpose::Read | Purpose::Join => self.calls.read_due = true,
            Purpose::Renew => self.own.hurries = true,
            Purpose::Change | Purpose::Leave => {
                if self.calls.change_silent() {
                    self.changes_are_settled(out);
                }
            }
        }
    }

    fn renewal_answered(
        &mut self,
        call: OpenCall,
        answer: RenewAnswer,
        now: Moment,
        out: &mut Vec<NodeEffect>,
    ) {
        match answer {
            RenewAnswer::Renewed(Renewed { run, version, leases, unreadable, .. }) => {
                self.own.written(call.sent, now);
                self.calls.renewed();
                let heads: Vec<LeaseHead> =
                    leases.iter().map(|lease| lease.head()).chain(unreadable).collect();
                self.see_counters(&heads, now);
                self.view.hear(heads.iter());
                self.see_figures(&leases, call.sent, now);
                self.view.see_leases(leases);
                let read = self.view.content();
                if (read.run, read.version) != (run, version) {
                    self.calls.read_due = true;
                }
            }
            // The store has just gone back, and this was sent before that was known.
            RenewAnswer::NotMember { .. } if self.store.rejoins(now, &self.params) => {
                self.own.hurries = true
            }
            RenewAnswer::NotMember { .. } => self.end_membership(out),
            RenewAnswer::Late { .. } => self.own.hurries = true,
        }
    }

    fn see_figures(&mut self, leases: &[Lease], sent: Moment, now: Moment) {
        self.demand.written(self.lease.figures.need, now.monotonic);
        let me = self.lease.incarnation;
        let others = leases.iter().filter(|lease| lease.incarnation != me);
        let needs: Vec<u32> = others.map(|lease| lease.figures.need).collect();
        let known = self.view.others().all(|node| self.view.knows_me(node));
        self.demand.read(needs, known, sent.monotonic);
        let told = leases.iter().map(|lease| (lease.incarnation, lease.figures.told_until));
        self.told.read(told, now.monotonic);
    }

    fn see_counters(&mut self, heads: &[LeaseHead], now: Moment) {
        let shown = heads.iter().map(|head| (head.incarnation, head.counter));
        self.watch.observe(shown, now.monotonic, &self.params);
    }

    fn join_answered(&mut self, call: OpenCall, answer: ChangeAnswer, now: Moment) {
        self.calls.read_due = true;
        let ChangeAnswer::Changed { run, version } = answer else { return };
        self.own.written(call.sent, now);
        let content = self.view.content();
        // What that node holds true is itself alone, or includes this one: without the store it holds still.
        let mut before = content.leases.iter().filter(|lease| lease.name != self.lease.name);
        if let (Some(only), None) = (before.next(), before.next())
            && content.unreadable.is_empty()
            && (content.run, content.version.next()) == (run, version)
            && (only.run, only.read) == (content.run, content.version)
            && !only.lone_speaks
        {
            self.waits.alone.insert(only.incarnation);
        }
        self.view.note_joined(run, version);
    }

    fn content_read(&mut self, content: Snapshot, now: Moment, out: &mut Vec<NodeEffect>) {
        if self.phase == NodePhase::Joining {
            return self.read_while_joining(content, now, out);
        }
        if self.store.is_away(now.monotonic, &self.params) {
            return;
        }
        let heads: Vec<LeaseHead> = content
            .leases
            .iter()
            .map(|lease| lease.head())
            .chain(content.unreadable.clone())
            .collect();
        self.see_counters(&heads, now);
        if !heads.iter().any(|head| head.incarnation == self.lease.incarnation) {
            return self.end_membership(out);
        }
        let settled = self.calls.map_is_read();
        self.adopt(content, now, out);
        if settled {
            self.changes_are_settled(out);
        }
    }

    fn read_while_joining(&mut self, content: Snapshot, now: Moment, out: &mut Vec<NodeEffect>) {
        if self.view.content().run != content.run {
            self.waits.begin_anew(now.monotonic);
        }
        let leases = content.leases.iter().map(|lease| lease.head());
        let heads: Vec<LeaseHead> = leases.chain(content.unreadable.clone()).collect();
        self.see_counters(&heads, now);
        self.calls.map_is_read();
        if heads.iter().any(|head| head.incarnation == self.lease.incarnation) {
            self.phase = NodePhase::Member;
            self.own.hurries = true;
            return self.adopt(content, now, out);
        }
        self.view.adopt(content);
        let former = heads.iter().filter(|head| head.name == self.lease.name);
        let former: Vec<NodeIncarnation> = former.map(|head| head.incarnation).collect();
        if former.iter().any(|node| self.watch.has_moved(*node)) {
            self.phase = NodePhase::Gone;
            return out.push(NodeEffect::NameInUse(self.lease.name.clone()));
        }
        let still = |node: &NodeIncarnation| {
            let stillness = self.watch.stillness(*node, now.monotonic);
            stillness.is_some_and(|(_, still)| still >= self.params.lease)
        };
        if !former.iter().all(still) {
            self.calls.read_due = true;
            self.calls.pause(now.monotonic + self.params.ask_every());
        }
    }

    /// Takes a content of the store for true.
    pub(super) fn adopt(&mut self, content: Snapshot, now: Moment, out: &mut Vec<NodeEffect>) {
        let secret = self.view.content().secret;
        if let Some(new) = content.secret.filter(|new| Some(*new) != secret) {
            out.push(NodeEffect::UseSecret(new));
        }
        if self.view.adopt(content) {
            self.confirmations.view_changed();
        }
        let view = &self.view;
        let homes = view.shards().filter_map(|(_, known)| known.node);
        let orphans: std::collections::BTreeSet<_> =
            homes.filter(|home| !view.is_member(*home)).collect();
        self.waits.see_orphans(orphans.into_iter(), now.monotonic);
        self.confirmations.retain(|node| view.is_member(node) || self.waits.is_orphan(node));
        self.peers.retain(|node| view.is_member(node));
        self.view.forget_gone();
        self.follow_map(out);
    }

    /// Tells the data plane what the map says of its shards.
    fn follow_map(&mut self, out: &mut Vec<NodeEffect>) {
        let me = self.lease.incarnation;
        for (shard, known) in self.view.shards() {
            let mine = known.node == Some(me);
            match (mine, self.moves.held().contains(&shard), known.epoch) {
                (true, false, Some(epoch)) => {
                    let prepared = self.moves.install(shard);
                    out.push(NodeEffect::Install { shard, epoch, prepared });
                }
                (false, true, _) => {
                    self.moves.release(shard);
                    out.push(NodeEffect::Release(shard));
                }
                _ => {}
            }
        }
    }

    /// The fate of the last change is known and its map is read: what it has not moved stays.
    fn changes_are_settled(&mut self, out: &mut Vec<NodeEffect>) {
        self.confirmations.unbind();
        self.waits.leave_asked = false;
        for (shard, to, epoch) in self.moves.settled() {
            out.push(NodeEffect::Unfreeze(shard));
            out.push(NodeEffect::Say(to, Box::new(PeerMessage::Cancel(shard, epoch))));
        }
    }
}
