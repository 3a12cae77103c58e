//! Fronts that come into reach or go out of it.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::{HomeSide, ShardMoves};
use crate::clock;
use crate::core::attachment::{HomeAttachment, HomeMoment, HomePort};
use crate::core::ownership::{ABSENCE_MAX, AbsenceBegan, AbsenceEnd, NodeIncarnation, ShardId};
use crate::ident::InstanceUid;

/// How long a shard may be on its way to another home, during which its sessions hear of nothing.
const ON_THE_WAY_MAX: Duration = Duration::from_secs(60);
/// Nodes that go within that time; of more the first are forgotten.
const GONE_MAX: usize = 64;

/// When a connection counts as lost whose front stays out of reach.
pub(super) fn cut_ends(cut: AbsenceBegan) -> Instant {
    cut.at + ABSENCE_MAX
}

/// Nodes that have gone so lately that sessions on their way between homes may not know of it.
#[derive(Debug, Default)]
pub(super) struct GoneLately(Mutex<GoneNodes>);

#[derive(Debug, Default)]
struct GoneNodes {
    gone: VecDeque<(NodeIncarnation, Instant)>,
    /// Fronts that have left, or will at once, and hold nothing.
    in_order: VecDeque<NodeIncarnation>,
}

/// How a front has gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum FrontEnd {
    /// It held nothing.
    InOrder,
    /// It may have held something of any agent.
    Died,
}

impl GoneLately {
    /// A front says that it leaves, and holds nothing.
    pub(super) fn leaves(&self, front: NodeIncarnation) {
        let GoneNodes { in_order, .. } = &mut *self.0.lock();
        if !in_order.contains(&front) {
            in_order.push_back(front);
        }
        in_order.drain(..in_order.len().saturating_sub(GONE_MAX));
    }

    fn end_of(&self, front: NodeIncarnation) -> FrontEnd {
        if self.0.lock().in_order.contains(&front) { FrontEnd::InOrder } else { FrontEnd::Died }
    }

    fn note(&self, node: NodeIncarnation, now: Instant) {
        let GoneNodes { gone, .. } = &mut *self.0.lock();
        gone.push_back((node, now));
        gone.drain(..gone.len().saturating_sub(GONE_MAX));
    }

    fn nodes(&self, now: Instant) -> Vec<NodeIncarnation> {
        let GoneNodes { gone, .. } = &mut *self.0.lock();
        gone.retain(|(_, at)| now.saturating_duration_since(*at) < ON_THE_WAY_MAX);
        gone.iter().map(|(node, _)| *node).collect()
    }
}

/// Tells an attachment that a front is gone.
fn tell_gone<'f, P: HomePort<'f>>(
    home: &mut HomeAttachment,
    (front, end): (NodeIncarnation, FrontEnd),
    moment: &HomeMoment<'_>,
    port: &mut P,
) {
    match end {
        FrontEnd::Died => home.front_gone(front, moment, port),
        FrontEnd::InOrder => {
            home.link_lost(front);
            home.not_here(front, moment, port);
        }
    }
}

impl HomeSide<'_> {
    /// The link to a front is lost. Its connections may be open: their sessions go on, and the front says when it is
    /// back which of them are.
    pub(in crate::sessions) fn front_lost(self, front: NodeIncarnation) {
        let now = clock::now();
        for uid in self.joined.homes.shards.sessions_held() {
            let Some(entry) = self.sessions.find(uid) else { continue };
            let mut locked = entry.lock(&self.sessions.counters);
            if let Some(far) = &mut locked.far {
                far.home.link_lost(front);
                if far.front() == Some(front) && far.cut.is_none() {
                    far.cut = Some(AbsenceBegan { at: now, lost_with: Some(front) });
                }
                self.note_far_deadline(&mut locked);
            }
        }
    }

    /// A front is gone for good.
    pub(in crate::sessions) fn front_gone(self, front: NodeIncarnation) {
        // Before the walk: a shard that comes meanwhile finds it here.
        self.joined.homes.gone.note(front, clock::now());
        let end = self.joined.homes.gone.end_of(front);
        for uid in self.joined.homes.shards.sessions_held() {
            self.at_attachment(uid, |home, moment, port| {
                tell_gone(home, (front, end), moment, port);
            });
        }
    }

    /// A connection whose front is out of reach counts as lost in the end.
    pub(super) fn end_cut(self, uid: InstanceUid, cut: AbsenceBegan, now: Instant) {
        let end = self.joined.ways.absence_end(cut, self.sessions.policy.grace_period, now);
        if let (AbsenceEnd::Now, Some(front)) = (end, cut.lost_with) {
            self.at_attachment(uid, |home, moment, port| {
                home.not_here(front, moment, port);
            });
        }
    }
}

impl ShardMoves<'_> {
    /// The sessions of a shard learn of the fronts that have gone while they were on their way, and of a front that
    /// their former home had taken for one that lives.
    pub(super) fn see_fronts(self, shard: ShardId) {
        let lately = &self.joined.homes.gone;
        let with_end = |front| (front, lately.end_of(front));
        let gone: Vec<_> = lately.nodes(clock::now()).into_iter().map(with_end).collect();
        let members = self.joined.ways.members();
        for uid in self.joined.homes.shards.members(shard) {
            self.home().at_attachment(uid, |home, moment, port| {
                let stranger =
                    home.holder().map(|at| at.front).filter(|front| !members.contains(front));
                let is_known = |front: NodeIncarnation| gone.iter().any(|(it, _)| *it == front);
                let unknown = stranger.filter(|front| !is_known(*front)).map(with_end);
                for end in gone.iter().copied().chain(unknown) {
                    tell_gone(home, end, moment, port);
                }
            });
        }
    }
}
