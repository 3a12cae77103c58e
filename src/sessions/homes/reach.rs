//! Fronts that come into reach or go out of it.

use super::HomeSide;
use std::time::Instant;

use crate::clock;
use crate::core::ownership::{ABSENCE_MAX, AbsenceBegan, AbsenceEnd, NodeIncarnation};
use crate::ident::InstanceUid;

/// When a connection counts as lost whose front stays out of reach.
pub(super) fn cut_ends(cut: AbsenceBegan) -> Instant {
    cut.at + ABSENCE_MAX
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
        for uid in self.joined.homes.shards.sessions_held() {
            self.at_attachment(uid, |home, moment, port| {
                home.front_gone(front, moment, port);
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
