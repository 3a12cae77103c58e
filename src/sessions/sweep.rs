//! What happens without anybody's message: agents that stayed away, and links that came back.

use std::time::Instant;

use super::Sessions;
use crate::core::session::{EndReason, Expiry};
use crate::ident::InstanceUid;
use crate::telemetry::events::sessions as events;

/// Sessions looked at in one call: a bound on the work of one tick.
const SWEEP_MAX: usize = 10_000;

impl Sessions {
    /// Ends sessions whose agents stayed away too long. Called a few times a second. `true`: more
    /// is due than one call looks at.
    pub fn sweep(&self, now: Instant) -> bool {
        let due = self.deadlines.due(now, SWEEP_MAX);
        let full = due.len() == SWEEP_MAX;
        for uid in due {
            self.look_at(uid, now);
        }
        let (connected, lingering) = self.count();
        let outbox_bytes = self.tally.outbox_bytes.load(std::sync::atomic::Ordering::Relaxed);
        events::Counted { connected, lingering, outbox_bytes }.emit();
        full
    }

    fn look_at(&self, uid: InstanceUid, now: Instant) {
        let Some(slot) = self.find(uid) else { return };
        let mut slot = slot.lock(&self.tally);
        slot.session.expiry_armed = false;
        if let Expiry::Ended(reason) = slot.session.expire(now, &self.policy) {
            let reason = match reason {
                EndReason::AgentDisconnect => events::EndReason::AgentDisconnect,
                EndReason::LingerExpired => events::EndReason::LingerExpired,
                EndReason::PollExpired => events::EndReason::PollExpired,
            };
            events::SessionEnded { uid, reason }.emit();
        }
        // Not ended: `settle` notes the next deadline.
        self.finish(uid, slot);
    }

    /// A session's own link came back.
    pub fn enlist_one(&self, uid: InstanceUid) {
        let Some(slot) = self.find(uid) else { return };
        let mut slot = slot.lock(&self.tally);
        let stale = slot.session.sent_on().is_some_and(|on| Some(on) != self.uplink.route(uid));
        let enlist = !slot.session.queued && (stale || slot.session.wants_turn());
        slot.session.queued |= enlist;
        drop(slot);
        if enlist {
            self.uplink.enlist(uid);
        }
    }

    /// A session's turn came while its link was down.
    pub fn skip_turn(&self, uid: InstanceUid) {
        if let Some(slot) = self.find(uid) {
            slot.lock(&self.tally).session.queued = false;
        }
    }

    /// Gives every session a turn whose messages took, or will take, a way that `concerned` names:
    /// after a link came back, or a server's agents moved.
    pub fn enlist_all(&self, concerned: &dyn Fn(InstanceUid) -> bool) -> usize {
        let mut enlisted = 0;
        for entry in &self.table {
            let uid = *entry.key();
            if !concerned(uid) {
                continue;
            }
            let mut slot = entry.value().lock(&self.tally);
            if !slot.session.queued && slot.session.sent_on() != self.uplink.route(uid) {
                slot.session.queued = true;
                drop(slot);
                self.uplink.enlist(uid);
                enlisted += 1;
            }
        }
        enlisted
    }
}
