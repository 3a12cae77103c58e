//! What happens at the front as time passes: attaches that are repeated, connections that are given up, batches of
//! heartbeats, and rounds of connections that must hear of a home.

use std::time::Instant;

use super::FrontSide;
use super::heartbeats::HeartbeatsFor;
use crate::core::attachment::FrontMoment;
use crate::core::node_link::Handle;
use crate::telemetry::events::fronts::FrontsMeasured;

/// Connections looked at in one call.
const SWEEP_MAX: usize = 10_000;

impl FrontSide<'_> {
    /// Called a few times a second. `true`: more is due than one call looks at.
    pub(in crate::sessions) fn sweep(self, now: Instant) -> bool {
        let fronts = &self.joined.fronts;
        let due = fronts.deadlines.due(now, SWEEP_MAX);
        let mut is_more = due.len() == SWEEP_MAX;
        for (at, handle) in due {
            self.look_at(handle, (at, now));
        }
        for HeartbeatsFor { home, uid, mut gather } in fronts.batches.take() {
            self.joined.to_home(home, uid, &mut |out| gather.flush(out));
            self.handle_loopback(uid);
        }
        is_more |= self.go_round(now);
        FrontsMeasured { connected: fronts.connected(), held_bytes: fronts.held_bytes() }.emit();
        is_more
    }

    fn look_at(self, handle: Handle, (at, now): (Instant, Instant)) {
        let Some(entry) = self.joined.fronts.table.find(handle) else { return };
        let mut state = entry.lock();
        if state.noted != Some(at) {
            return;
        }
        state.noted = None;
        self.call((&entry, &mut state), None, |front, moment, port| {
            let moment = &FrontMoment { now, ..*moment };
            front.deadline_passed(moment, port);
        });
        let is_given_up = state.front.is_given_up();
        drop(state);
        if is_given_up {
            self.forget_earlier(handle);
        }
        self.handle_loopback(handle.uid);
    }

    /// One word of a loss is enough for an agent, however often it came and went while no home was in reach.
    fn forget_earlier(self, than: Handle) {
        let table = &self.joined.fronts.table;
        for entry in table.of_agent(than.uid) {
            if entry.handle < than && entry.lock().front.is_given_up() {
                table.remove(entry.handle);
            }
        }
    }
}
