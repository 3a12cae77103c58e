//! Room for some is not taken from others: who gives way to whom when the bytes that wait for agents, or the places in
//! the table, are used up.
//!
//! - What agents that are there have yet to read goes before offers that are stored for agents that are away. These are
//!   evicted, the longest stored first: once its agent is back, the server is sent the agent's state and offers again.
//! - A message that finds no room all the same is not brought, and no connection closes for others' bytes. Its server
//!   hears of it in the same way. Agents that read nothing are given up sooner meanwhile (`core::keepalive`).
//! - A newcomer takes the place of an agent that is away, whose server is told that it has left.

use super::Sessions;
use super::carrier::{Carrier, EventContext, FollowUp};
use super::counters::Counters;
use crate::core::session::{Moment, Session, evict_offers, give_way};
use crate::ident::InstanceUid;

/// Sessions whose offers go in one call: a bound on its work. The next call goes on.
const EVICTED_AT_ONCE: usize = 1_024;
/// Sessions that are looked at for one newcomer's place.
const LOOKED_AT_FOR_A_PLACE: usize = 16;

/// Where bytes are counted that wait at connections of this node.
pub(super) fn connection_counters(sessions: &Sessions) -> &Counters {
    sessions.joined.get().map_or(&sessions.counters, |joined| joined.fronts.outboxes())
}

/// Whether so much waits for agents that are there that agents that read nothing are in others' way: three quarters of
/// what may.
pub fn is_short_of_room(sessions: &Sessions) -> bool {
    let max = sessions.params.outbox_total_bytes_max;
    connection_counters(sessions).present_bytes() > max / 4 * 3
}

/// Has offers for absent agents give way to what waits for present ones. Called without locks.
pub(super) fn make_room(sessions: &Sessions) {
    let (counters, max) = (&sessions.counters, sessions.params.outbox_total_bytes_max);
    for _ in 0..EVICTED_AT_ONCE {
        if counters.present_bytes() + counters.absent_bytes() <= max {
            return;
        }
        let Some(uid) = counters.absent_sessions.longest_stored() else { return };
        let evicted = look_at(sessions, uid, |session, moment, port| {
            evict_offers(session, moment, port);
        });
        if evicted.is_none() {
            counters.absent_sessions.stores_offers(uid, false);
        }
    }
}

/// Has an absent agent give its place in the table to a newcomer. `false`: none can. Called without locks.
pub(super) fn make_place(sessions: &Sessions) -> bool {
    for _ in 0..LOOKED_AT_FOR_A_PLACE {
        let Some(uid) = sessions.counters.absent_sessions.longest_away() else { return false };
        let gave = look_at(sessions, uid, |session, moment, port| give_way(session, moment, port));
        if gave == Some(true) {
            return true;
        }
    }
    false
}

/// Calls an entry of one session. `None`: there is none.
fn look_at<T>(
    sessions: &Sessions,
    uid: InstanceUid,
    event: impl FnOnce(&mut Session, &Moment<'_>, &mut Carrier<'_>) -> T,
) -> Option<T> {
    let entry = sessions.find(uid)?;
    let mut locked = entry.lock(&sessions.counters);
    if locked.is_over() {
        return None;
    }
    let (done, follow_up) = sessions.apply(&mut locked, EventContext::default(), event);
    drop(locked);
    carry_out(sessions, uid, follow_up);
    Some(done)
}

/// Does what follows from a session's event, apart from making room. Called without locks.
pub(super) fn carry_out(sessions: &Sessions, uid: InstanceUid, follow_up: FollowUp) {
    follow_up.enqueue.iter().for_each(|class| sessions.uplink.enqueue(uid, class));
    if follow_up.is_over {
        // In this order: once its place is free, a new session may want a link.
        sessions.uplink.release(uid);
        sessions.table.remove_if(&uid, |_, entry| {
            let is_over = entry.peek().is_over();
            if let Some(joined) = sessions.joined.get().filter(|_| is_over) {
                joined.homes.shards.left(uid);
            }
            is_over
        });
    }
    if let Some(fleet) = sessions.in_fleet() {
        fleet.handle_loopback(uid);
    }
}
