//! What happens as time passes: absences that end, and sums that are measured.

use std::time::Instant;

use super::Sessions;
use super::carrier::EventContext;
use super::counters::Counters;
use super::room::make_room;
use crate::ident::InstanceUid;
use crate::mutation::{Breach, is_on};
use crate::store::ContentStore;
use crate::telemetry::events::sessions::SessionsMeasured;
use crate::telemetry::events::store::StoreMeasured;

/// Sessions looked at in one call: a bound on the work of one tick.
const SWEEP_MAX: usize = 10_000;

impl Sessions {
    /// Until then agents may have been told to stay away by the gateway's own admission, or wait for it: every
    /// absence lasts at least that long. A storm of agents that wait must look to servers like what it is.
    pub fn excuse_absence(&self, until: Instant) {
        if is_on(Breach::AdmissionExcusesNoAbsence) {
            return;
        }
        let mut excused = self.excused.lock();
        *excused = Some(excused.map_or(until, |before| before.max(until)));
    }

    /// Ends sessions whose agents stayed away too long. Called a few times a second. `true`: more is due than
    /// one call looks at.
    pub fn sweep(&self, now: Instant) -> bool {
        let due = self.deadlines.due(now, SWEEP_MAX);
        let mut full = due.len() == SWEEP_MAX;
        let excused = *self.excused.lock();
        for (at, uid) in due {
            self.look_at(uid, at, (now, excused));
        }
        if let Some(fleet) = self.in_fleet() {
            full |= fleet.homes().sweep(now);
            full |= fleet.fronts().sweep(now);
        }
        let (connected, absent) = (self.counters.connected(), self.counters.absent());
        let at_fronts = self.joined.get().map_or(0, |joined| joined.fronts.outbox_bytes());
        let outbox_bytes = self.counters.agent_bytes() + at_fronts;
        SessionsMeasured { connected, absent, outbox_bytes }.emit();
        self.look_at_room(now);
        measure_store(&self.store);
        self.ended.late_replies.lock().forget(now);
        self.ended.farewells.lock().forget(now);
        full
    }

    /// Says when room for bytes gets short, and when there is enough again.
    fn look_at_room(&self, now: Instant) {
        make_room(self);
        let look = |counters: &Counters| {
            let max = self.params.outbox_total_bytes_max;
            if let Some(changed) = counters.shortage.look(now, (counters.agent_bytes(), max)) {
                changed.emit();
            }
        };
        look(&self.counters);
        if let Some(joined) = self.joined.get() {
            look(joined.fronts.outboxes());
        }
    }

    fn look_at(&self, uid: InstanceUid, at: Instant, (now, excused): (Instant, Option<Instant>)) {
        let Some(entry) = self.find(uid) else { return };
        let mut locked = entry.lock(&self.counters);
        if locked.is_over() || locked.noted != Some(at) {
            // Noted for an earlier session of the uid.
            return;
        }
        locked.noted = None;
        if let Some(fleet) = self.in_fleet()
            && let Some(again) = fleet.homes().absence_goes_on(&locked, now)
        {
            locked.noted = Some(again);
            return self.deadlines.push(again, uid);
        }
        let ((), follow_up) =
            self.apply(&mut locked, EventContext::default(), |session, moment, port| {
                let moment = crate::core::session::Moment { now, ..*moment };
                session.deadline_passed(excused, &moment, port);
            });
        drop(locked);
        self.follow_up(uid, follow_up);
    }
}

fn measure_store(store: &ContentStore) {
    let figures = store.figures();
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
