//! What happens without anybody's message: agents that stayed away, and links that came back.

use std::time::Instant;

use super::Sessions;
use super::slot::Slot;
use crate::core::pacing::Class;
use crate::core::session::{EndReason, Expiry};
use crate::ident::InstanceUid;
use crate::mutation::{Breach, is_on};
use crate::telemetry::events::sessions as events;
use crate::telemetry::events::store::StoreMeasured;

/// Sessions looked at in one call: a bound on the work of one tick.
const SWEEP_MAX: usize = 10_000;

impl Sessions {
    /// Agents may have been told to come again until then, or wait to be let in: whoever is away is
    /// not given up before. The gate's own storm must not look to servers like the end of a fleet.
    pub fn excuse_absence(&self, until: Instant) {
        if is_on(Breach::AdmissionExcusesNoAbsence) {
            return;
        }
        let mut excused = self.excused.lock();
        *excused = Some(excused.map_or(until, |before| before.max(until)));
    }

    /// Ends sessions whose agents stayed away too long. Called a few times a second. `true`: more
    /// is due than one call looks at.
    pub fn sweep(&self, now: Instant) -> bool {
        let due = self.deadlines.due(now, SWEEP_MAX);
        let full = due.len() == SWEEP_MAX;
        for (at, uid) in due {
            self.look_at(uid, at, now);
        }
        let (connected, absent) = self.count();
        let outbox_bytes = self.tally.agent_bytes();
        events::SessionsMeasured { connected, absent, outbox_bytes }.emit();
        self.measure_store();
        self.echoes.lock().forget(now);
        full
    }

    fn measure_store(&self) {
        let figures = self.store.figures();
        StoreMeasured {
            bytes: figures.bytes,
            memory: figures.memory,
            entries: figures.entries,
            entries_evicted: figures.entries_evicted,
            handles: figures.handles,
            shared: figures.shared,
            stored: figures.stored + figures.revived,
            evictions: figures.evictions,
            refused: figures.refused,
            misses: figures.misses,
        }
        .emit();
    }

    fn look_at(&self, uid: InstanceUid, at: Instant, now: Instant) {
        let Some(slot) = self.find(uid) else { return };
        let mut slot = slot.lock(&self.tally);
        if slot.session.look_at != Some(at) {
            // Noted for an earlier session of the uid.
            return;
        }
        slot.session.look_at = None;
        let excused = *self.excused.lock();
        let expiry = slot.session.expire(now, excused, &self.policy);
        if let Expiry::At(at) = expiry {
            slot.session.look_at = Some(at);
            self.deadlines.push(at, uid);
        }
        if let Expiry::Ended(reason) = expiry {
            let reason = match reason {
                // The server hears nothing: see `drain`.
                _ if self.is_draining() => {
                    slot.session.gone();
                    EndReason::Moved
                }
                reason => reason,
            };
            events::SessionEnded { uid, reason }.emit();
        }
        self.finish(uid, slot);
    }

    /// A session's own link came back.
    pub fn enqueue_one(&self, uid: InstanceUid) {
        if let Some(slot) = self.find(uid) {
            self.enqueue_concerned(uid, &slot);
        }
    }

    /// A session's turn came while its link was down. `false`: it is not, by now, and the session
    /// keeps its turn. Asked with the session locked, or the link's return might pass by unseen.
    pub fn skip_permit(&self, uid: InstanceUid, class: Class, is_down: &dyn Fn() -> bool) -> bool {
        let Some(slot) = self.find(uid) else { return true };
        let mut slot = slot.lock(&self.tally);
        let skipped = is_down();
        if skipped {
            slot.session.queued.remove(class);
        }
        skipped
    }

    /// Gives every session a turn whose messages took, or will take, a way that `concerned` names:
    /// after a link came back, or a server's agents moved.
    pub fn enqueue_all(&self, concerned: &dyn Fn(InstanceUid) -> bool) -> usize {
        let concerned = self.table.iter().filter(|entry| concerned(*entry.key()));
        concerned.filter(|entry| self.enqueue_concerned(*entry.key(), entry.value())).count()
    }

    fn enqueue_concerned(&self, uid: InstanceUid, slot: &Slot) -> bool {
        let mut slot = slot.lock(&self.tally);
        let mut wanted = slot.session.wanted_turns();
        if slot.session.needs_introduction(self.uplink.route(uid)) {
            wanted.insert(Class::Announce);
        }
        let wanted = wanted.minus(slot.session.queued);
        slot.session.queued = slot.session.queued.union(wanted);
        drop(slot);
        wanted.iter().for_each(|class| self.uplink.enqueue(uid, class));
        !wanted.is_empty()
    }
}
