//! What happens at the front as time passes: attaches that are repeated, connections that are given up, batches of
//! heartbeats, and rounds of connections that must hear of a home.

use std::time::Instant;

use super::FrontSide;
use super::entry::FrontEntry;
use super::heartbeats::HeartbeatsFor;
use crate::core::attachment::FrontMoment;
use crate::core::node_link::Handle;
use crate::core::ownership::{Home, shard_of};
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
        let again = std::mem::take(&mut state.sent_away).then(|| self.home_again(&entry));
        self.call((&entry, &mut state), None, |front, moment, port| {
            let moment = &FrontMoment { now, ..*moment };
            if let Some(Some(home)) = again {
                front.home_reached(home, moment, port);
            }
            front.deadline_passed(moment, port);
        });
        drop(state);
        self.handle_loopback(handle.uid);
    }

    /// The home that sent the connection away, if the map names it still.
    fn home_again(self, entry: &FrontEntry) -> Option<Home> {
        self.joined.fronts.table.home(shard_of(entry.handle.uid)).0
    }
}
