//! What happens at the home as time passes: replies that are overdue, questions about two connections that stay
//! unanswered, states that are told once more, fronts that stay out of reach.

use super::{HomeSide, ShardMoves};
use std::time::{Duration, Instant};

use super::super::carrier::EventContext;
use super::super::entry::LockedEntry;
use crate::core::attachment::HomeMoment;
use crate::core::ownership::{AbsenceBegan, AbsenceEnd};
use crate::core::session::{Presence, silence_max};
use crate::ident::InstanceUid;

/// Attachments looked at in one call.
const SWEEP_MAX: usize = 10_000;
/// When to look again at what has to wait: an absence of which too little is known, a shard that is frozen.
const LOOK_AGAIN_AFTER: Duration = Duration::from_secs(2);

impl HomeSide<'_> {
    /// Called a few times a second. `true`: more is due than one call looks at.
    pub(in crate::sessions) fn sweep(self, now: Instant) -> bool {
        let due = self.joined.homes.deadlines.due(now, SWEEP_MAX);
        let is_more = due.len() == SWEEP_MAX;
        due.into_iter().for_each(|(at, uid)| self.look_at_attachment(uid, (at, now)));
        let moves = ShardMoves { sessions: self.sessions, joined: self.joined };
        // Agents may have attached for which something waits.
        moves.deliver_all_aside();
        moves.give_up_aside(now);
        is_more
    }

    fn look_at_attachment(self, uid: InstanceUid, (at, now): (Instant, Instant)) {
        let Some(entry) = self.sessions.find(uid) else { return };
        let mut locked = entry.lock(&self.sessions.counters);
        let Some(far) = locked.far.as_mut().filter(|far| far.noted == Some(at)) else { return };
        far.noted = None;
        let Some(epoch) = self.joined.homes.shards.held(uid) else {
            let again = now + LOOK_AGAIN_AFTER;
            far.noted = Some(again);
            return self.joined.homes.deadlines.push(again, uid);
        };
        let due = |at: Instant| at <= now;
        let tell_again = far.tell_again.take_if(|(at, _)| due(*at));
        let cut = far.cut.take_if(|cut| due(super::reach::cut_ends(*cut)));
        let mut follow_up = self.drive(epoch, &mut locked, |home, moment, port| {
            home.deadline_passed(&HomeMoment { now, ..*moment }, port);
        });
        if let Some((_, parts)) = tell_again
            && !follow_up.is_over
        {
            let event = EventContext::default();
            let ((), then) = self.sessions.apply(&mut locked, event, |session, moment, port| {
                session.at_front().tell_again(parts, moment, port);
            });
            follow_up = follow_up.and(then);
        }
        drop(locked);
        self.sessions.follow_up(uid, follow_up);
        if let Some(cut) = cut {
            self.end_cut(uid, cut, now);
        }
    }

    /// When to look at an absent agent of a fleet once more: agents may wait at another node's gate. `None`: the
    /// absence may end.
    pub(in crate::sessions) fn absence_goes_on(
        self,
        locked: &LockedEntry<'_>,
        now: Instant,
    ) -> Option<Instant> {
        let (at, grace) = match locked.session.figures().presence {
            Presence::Absent { until } => (
                until.checked_sub(self.sessions.policy.grace_period)?,
                self.sessions.policy.grace_period,
            ),
            Presence::Polling { heard, .. } => {
                (heard, silence_max(&locked.session, &self.sessions.policy))
            }
            Presence::Connected { .. } | Presence::Disconnecting | Presence::Gone => return None,
        };
        let again = now + LOOK_AGAIN_AFTER;
        if !self.joined.homes.shards.may_speak(locked.session.uid()) {
            return Some(again);
        }
        match self.joined.ways.absence_end(AbsenceBegan { at, lost_with: None }, grace, now) {
            AbsenceEnd::Now => None,
            AbsenceEnd::At(end) => Some(end.max(now)).filter(|end| *end > now),
            AbsenceEnd::WhenKnown(last) => Some(again.min(last)).filter(|end| *end > now),
        }
    }
}
