//! What a node holds true of membership and map: the content of the store that it read last, and the highest
//! epochs that it has ever seen. It must not know the time.
//!
//! A store that went back shows lower epochs than before. They are ignored: the node that holds the higher one
//! writes it again. Of two homes with the same number the map's counts. A node that has never read that a shard was
//! given to it cannot write that again: then the lower epoch counts.

use std::collections::{BTreeMap, BTreeSet};

use super::calls::Snapshot;
use super::ids::{Epoch, MapVersion, NodeIncarnation, RunId};
use super::lease::{Lease, LeaseHead};
use super::shard::{Home, ShardId};
use crate::core::placement::mix;
use crate::mutation::{Breach, is_on};

/// Fits two views together: equal digests mean equal members and equal homes, with their epochs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ViewDigest(pub u64);

/// What is known of one shard.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct ShardKnown {
    /// The highest epoch seen.
    pub(super) epoch: Option<Epoch>,
    /// The home of that epoch.
    pub(super) node: Option<NodeIncarnation>,
    /// What the store shows.
    pub(super) stored: Option<Epoch>,
    /// The home that the store shows.
    pub(super) stored_node: Option<NodeIncarnation>,
}

/// See the module's text.
#[derive(Debug, Clone)]
pub(super) struct MembershipView {
    me: NodeIncarnation,
    content: Snapshot,
    /// The highest version of the content's run that was taken: a late answer may bring a lower one.
    newest: MapVersion,
    heads: BTreeMap<NodeIncarnation, LeaseHead>,
    leaving: BTreeSet<NodeIncarnation>,
    shards: Vec<ShardKnown>,
    digest: ViewDigest,
    /// The last few runs of which this node was a member.
    memberships: Vec<Membership>,
    /// Nodes whose last lease names a version with this node in it: what they hold true includes it.
    know_me: BTreeSet<NodeIncarnation>,
}

/// The versions of a run that are known to have this node as a member. With two masters others may go on to versions
/// of which this node knows nothing.
#[derive(Debug, Clone, Copy)]
struct Membership {
    run: RunId,
    first: MapVersion,
    last: MapVersion,
}

/// Runs of the store that are remembered.
const RUNS_MAX: usize = 8;

impl MembershipView {
    /// Before anything is read.
    pub(super) fn new(me: NodeIncarnation, shards: u16) -> Self {
        Self {
            me,
            content: Snapshot {
                run: RunId(0),
                version: MapVersion(0),
                secret: None,
                leases: Vec::new(),
                unreadable: Vec::new(),
                homes: BTreeMap::new(),
                vacant: BTreeMap::new(),
            },
            newest: MapVersion(0),
            heads: BTreeMap::new(),
            leaving: BTreeSet::new(),
            shards: vec![ShardKnown::default(); usize::from(shards)],
            digest: ViewDigest(0),
            memberships: Vec::new(),
            know_me: BTreeSet::new(),
        }
    }

    /// Takes a content of the store. Returns whether the view is another one than before.
    pub(super) fn adopt(&mut self, content: Snapshot) -> bool {
        self.heads = content.leases.iter().map(|lease| (lease.incarnation, lease.head())).collect();
        self.heads.extend(content.unreadable.iter().map(|head| (head.incarnation, head.clone())));
        let leaving = content.leases.iter().filter(|lease| lease.leaving);
        self.leaving = leaving.map(|lease| lease.incarnation).collect();
        for (index, known) in self.shards.iter_mut().enumerate() {
            let shard = u16::try_from(index).ok().and_then(ShardId::new);
            let home = shard.and_then(|shard| content.homes.get(&shard)).copied();
            let vacant = shard.and_then(|shard| content.vacant.get(&shard)).copied();
            known.take(home.map(|home| home.epoch).or(vacant), home.map(|home| home.node));
        }
        let before = if content.run == self.content.run { self.newest } else { MapVersion(0) };
        self.newest = before.max(content.version);
        self.content = content;
        if self.is_member(self.me) {
            self.note_member(self.content.run, self.content.version);
        }
        let heads: Vec<LeaseHead> = self.heads.values().cloned().collect();
        self.hear(heads.iter());
        let digest = self.compute_digest();
        std::mem::replace(&mut self.digest, digest) != digest
    }

    /// The members that a later content of the same run is without: they have left, or were taken over.
    pub(super) fn gone_in(&self, later: &Snapshot) -> Vec<NodeIncarnation> {
        if later.run != self.content.run || later.version <= self.newest {
            return Vec::new();
        }
        let stays = |node: NodeIncarnation| {
            let unreadable = later.unreadable.iter().map(|head| head.incarnation);
            later
                .leases
                .iter()
                .map(|lease| lease.incarnation)
                .chain(unreadable)
                .any(|it| it == node)
        };
        self.heads.keys().copied().filter(|node| !stays(*node)).collect()
    }

    /// The store's word counts. A home `writes` while its lease moves; each renewal writes what the map that it names as
    /// read shows with a lower epoch. Where the map still shows one, that home does not hold the shard: the store had lost
    /// the change before it was read. Returns whether the view is another one than before.
    pub(super) fn forget_unheld(&mut self, writes: impl Fn(NodeIncarnation) -> bool) -> bool {
        let Snapshot { run, version, leases, .. } = &self.content;
        if *version < self.newest {
            return false;
        }
        let has_read =
            |node| leases.iter().any(|lease| lease.incarnation == node && lease.run == *run);
        for known in &mut self.shards {
            if let Some(home) = known.node
                && home != self.me
                && known.stored.is_some()
                && known.is_ahead()
                && has_read(home)
                && writes(home)
            {
                (known.epoch, known.node) = (known.stored, known.stored_node);
            }
        }
        let digest = self.compute_digest();
        std::mem::replace(&mut self.digest, digest) != digest
    }

    /// This node is a member in this version.
    pub(super) fn note_member(&mut self, run: RunId, version: MapVersion) {
        if let Some(known) = self.memberships.iter_mut().find(|known| known.run == run) {
            known.last = known.last.max(version);
            return;
        }
        if self.memberships.len() == RUNS_MAX {
            self.memberships.remove(0);
        }
        self.memberships.push(Membership { run, first: version, last: version });
    }

    /// Leases that the store shows: which nodes hold true that this one is a member?
    pub(super) fn hear<'a>(&mut self, heads: impl Iterator<Item = &'a LeaseHead>) {
        for head in heads.filter(|head| head.incarnation != self.me) {
            let with_me = |known: &Membership| {
                known.run == head.run && (known.first..=known.last).contains(&head.read)
            };
            if self.memberships.iter().any(with_me) {
                self.know_me.insert(head.incarnation);
            } else {
                self.know_me.remove(&head.incarnation);
            }
        }
    }

    /// The leases as they are now: their figures are newer than those of the content.
    pub(super) fn see_leases(&mut self, leases: Vec<Lease>) {
        for lease in leases {
            let mut known = self.content.leases.iter_mut();
            if let Some(known) = known.find(|known| known.incarnation == lease.incarnation) {
                *known = lease;
            }
        }
        let leaving = self.content.leases.iter().filter(|lease| lease.leaving);
        self.leaving = leaving.map(|lease| lease.incarnation).collect();
    }

    /// Forgets nodes that are neither members nor homes.
    pub(super) fn forget_gone(&mut self) {
        let homes: BTreeSet<NodeIncarnation> =
            self.shards.iter().filter_map(|known| known.node).collect();
        let heads = &self.heads;
        self.know_me.retain(|node| heads.contains_key(node) || homes.contains(node));
    }

    fn compute_digest(&self) -> ViewDigest {
        let mut hash = 0;
        let mut add = |number: u64| hash = mix(hash ^ mix(number));
        self.heads.keys().for_each(|node| add(node.get()));
        add(0);
        for known in &self.shards {
            add(known.node.map_or(0, NodeIncarnation::get));
            add(known.epoch.map_or(0, |epoch| epoch.number));
            add(known.epoch.map_or(0, |epoch| epoch.taker.get()));
        }
        ViewDigest(hash)
    }

    /// Fits this view together with another node's.
    pub(super) const fn digest(&self) -> ViewDigest {
        self.digest
    }

    /// The content that was read last.
    pub(super) const fn content(&self) -> &Snapshot {
        &self.content
    }

    /// The members, with the heads of their leases.
    pub(super) const fn heads(&self) -> &BTreeMap<NodeIncarnation, LeaseHead> {
        &self.heads
    }

    /// Whether a node is a member.
    pub(super) fn is_member(&self, node: NodeIncarnation) -> bool {
        self.heads.contains_key(&node)
    }

    /// The members but this node.
    pub(super) fn others(&self) -> impl Iterator<Item = NodeIncarnation> {
        self.heads.keys().copied().filter(|node| *node != self.me)
    }

    /// Whether a member hands its shards over.
    pub(super) fn is_leaving(&self, node: NodeIncarnation) -> bool {
        self.leaving.contains(&node)
    }

    /// Whether this is the node whose view it is.
    pub(super) fn is_own(&self, node: NodeIncarnation) -> bool {
        node == self.me
    }

    /// Whether a member may go on without the store if there is no other. What a later version says of that is unknown.
    pub(super) fn may_be_lone(&self, node: NodeIncarnation) -> bool {
        let lease = self.content.leases.iter().find(|lease| lease.incarnation == node);
        lease.is_none_or(|lease| lease.lone_speaks)
    }

    /// Whether what that node holds true of the membership includes this node.
    pub(super) fn knows_me(&self, node: NodeIncarnation) -> bool {
        self.know_me.contains(&node)
    }

    /// All shards in use, with what is known of them.
    pub(super) fn shards(&self) -> impl Iterator<Item = (ShardId, &ShardKnown)> {
        ShardId::all().zip(&self.shards)
    }

    /// What is known of a shard.
    pub(super) fn known(&self, shard: ShardId) -> ShardKnown {
        self.shards.get(shard.index()).copied().unwrap_or_default()
    }

    /// The shard's home, as far as known.
    pub(super) fn home(&self, shard: ShardId) -> Option<Home> {
        let known = self.known(shard);
        Some(Home { node: known.node?, epoch: known.epoch? })
    }

    /// How many shards each member is home of.
    pub(super) fn loads(&self) -> BTreeMap<NodeIncarnation, usize> {
        let mut loads: BTreeMap<_, _> = self.heads.keys().map(|node| (*node, 0)).collect();
        for node in self.shards.iter().filter_map(|known| known.node) {
            if let Some(load) = loads.get_mut(&node) {
                *load += 1;
            }
        }
        loads
    }

    /// This node's shards, each with its epoch, that the store shows with a lower one; all of its shards if the
    /// store `went_back`.
    pub(super) fn to_restore(&self, went_back: bool) -> Vec<(ShardId, Epoch)> {
        let mine = self.shards().filter(|(_, known)| known.node == Some(self.me));
        let lower = mine.filter(|(_, known)| went_back || known.stored != known.epoch);
        lower.filter_map(|(shard, known)| Some((shard, known.epoch?))).collect()
    }
}

impl ShardKnown {
    /// The store shows a lower epoch than was seen.
    fn is_ahead(&self) -> bool {
        let number = |epoch: Option<Epoch>| epoch.map_or(0, |epoch| epoch.number);
        number(self.epoch) > number(self.stored)
    }

    /// The store shows this epoch and home.
    fn take(&mut self, epoch: Option<Epoch>, node: Option<NodeIncarnation>) {
        (self.stored, self.stored_node) = (epoch, node);
        let number = |epoch: Option<Epoch>| epoch.map_or(0, |epoch| epoch.number);
        if number(epoch) >= number(self.epoch) || is_on(Breach::OwnershipAcceptsLowerEpochs) {
            (self.epoch, self.node) = (epoch, node);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::kit::{epoch, lease, node, shard};
    use super::*;

    fn content(run: u128, version: u64, homes: &[(u16, u64, Epoch)]) -> Snapshot {
        let homes = homes.iter().map(|(number, home, epoch)| {
            (shard(*number), Home { node: node(*home), epoch: *epoch })
        });
        Snapshot {
            run: RunId(run),
            version: MapVersion(version),
            secret: None,
            leases: vec![lease(1), lease(2)],
            unreadable: Vec::new(),
            homes: homes.collect(),
            vacant: BTreeMap::new(),
        }
    }

    #[test]
    fn lower_epochs_are_ignored_and_written_again_by_their_home() {
        let mut view = MembershipView::new(node(1), 4);
        assert!(view.adopt(content(1, 5, &[(0, 1, epoch(7, 1)), (1, 2, epoch(3, 2))])));
        assert!(!view.adopt(content(2, 4, &[(0, 2, epoch(6, 2)), (1, 2, epoch(3, 2))])));
        assert_eq!(view.home(shard(0)), Some(Home { node: node(1), epoch: epoch(7, 1) }));
        assert_eq!(view.to_restore(false), [(shard(0), epoch(7, 1))]);
        assert_eq!(view.known(shard(0)).stored, Some(epoch(6, 2)));
    }

    #[test]
    fn what_its_home_has_never_read_is_forgotten_once_the_home_would_have_written_it() {
        let mut view = MembershipView::new(node(1), 4);
        view.adopt(content(1, 5, &[(0, 2, epoch(7, 1))]));
        let mut back = content(2, 6, &[(0, 1, epoch(6, 1))]);
        view.adopt(back.clone());
        let home = |view: &MembershipView| view.home(shard(0)).map(|home| home.node);
        assert!(!view.forget_unheld(|_| true), "it has yet to read the map");
        back.leases[1].run = RunId(2);
        view.adopt(back);
        assert!(!view.forget_unheld(|_| false), "it may have gone to another master");
        assert_eq!(home(&view), Some(node(2)));
        assert!(view.forget_unheld(|home| home == node(2)));
        assert_eq!(home(&view), Some(node(1)));
        // An answer that was slow.
        view.adopt(content(2, 7, &[(0, 2, epoch(8, 1))]));
        view.adopt(content(2, 6, &[(0, 1, epoch(6, 1))]));
        assert!(!view.forget_unheld(|_| true));
        assert_eq!(home(&view), Some(node(2)));
        // What this node holds itself it writes.
        view.adopt(content(2, 8, &[(0, 1, epoch(9, 1))]));
        let mut back = content(3, 9, &[(0, 2, epoch(7, 1))]);
        back.leases[0].run = RunId(3);
        view.adopt(back);
        assert!(!view.forget_unheld(|_| true));
        assert_eq!(home(&view), Some(node(1)));
    }

    #[test]
    fn members_that_a_later_map_of_the_same_run_is_without_are_gone() {
        let mut view = MembershipView::new(node(1), 4);
        view.adopt(content(1, 5, &[]));
        let mut later = content(1, 6, &[]);
        later.leases.pop();
        assert_eq!(view.gone_in(&later), [node(2)]);
        later.version = MapVersion(5);
        assert!(view.gone_in(&later).is_empty(), "it is no later one");
        (later.run, later.version) = (RunId(2), MapVersion(9));
        assert!(view.gone_in(&later).is_empty(), "the store may have forgotten it");
    }

    #[test]
    fn of_two_equal_numbers_the_maps_counts() {
        let mut view = MembershipView::new(node(1), 4);
        view.adopt(content(1, 5, &[(0, 1, epoch(7, 1))]));
        assert!(view.adopt(content(2, 6, &[(0, 2, epoch(7, 2))])));
        assert_eq!(view.home(shard(0)).map(|home| home.node), Some(node(2)));
        assert!(view.to_restore(false).is_empty());
    }

    #[test]
    fn a_node_knows_this_one_by_the_version_that_it_names_of_the_same_run() {
        let mut view = MembershipView::new(node(1), 4);
        view.note_member(RunId(1), MapVersion(5));
        let head = |run, read| {
            let mut lease = lease(2);
            (lease.run, lease.read) = (RunId(run), MapVersion(read));
            lease.head()
        };
        view.hear([head(1, 4), head(2, 9)].iter());
        assert!(!view.knows_me(node(2)));
        view.hear([head(1, 5)].iter());
        assert!(view.knows_me(node(2)));
        view.note_member(RunId(2), MapVersion(3));
        view.hear([head(1, 6)].iter());
        assert!(!view.knows_me(node(2)), "what the other master did is unknown");
        view.note_member(RunId(1), MapVersion(7));
        view.hear([head(1, 6)].iter());
        assert!(view.knows_me(node(2)));
    }

    #[test]
    fn views_fit_if_members_and_homes_are_the_same() {
        let digest = |content: Snapshot| {
            let mut view = MembershipView::new(node(1), 4);
            view.adopt(content);
            view.digest()
        };
        let one = digest(content(1, 5, &[(0, 1, epoch(7, 1))]));
        assert_eq!(one, digest(content(2, 9, &[(0, 1, epoch(7, 1))])), "whatever the run");
        assert_ne!(one, digest(content(1, 5, &[(0, 1, epoch(7, 2))])), "another taker");
        assert_ne!(one, digest(content(1, 5, &[(1, 1, epoch(7, 1))])), "another shard");
        let mut more = content(1, 5, &[(0, 1, epoch(7, 1))]);
        more.leases.push(lease(3));
        assert_ne!(one, digest(more), "another member");
    }
}
