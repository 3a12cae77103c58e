//! The task that gives sessions their turns at one server, when its pacer says so.

use std::sync::Arc;
use std::time::Duration;

use super::Upstream;
use super::server::Server;
use crate::clock;
use crate::core::pacing::{Class, Next};
use crate::ident::InstanceUid;
use crate::sessions::{PermitUse, Sessions, Uplink};

/// How long to wait for a link, or for room on it, before looking again.
const LOOK_AGAIN: Duration = Duration::from_millis(10);
/// Timers know no less.
const WAIT_MIN: Duration = Duration::from_millis(1);
/// Turns given without letting anybody else run.
const TURNS_MAX: u32 = 32;

/// Those who wait for a link with room are passed over; after so many in a row it is likely that
/// nobody else waits.
const PASSED_OVER_MAX: u32 = 64;

/// What came of a turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Given {
    /// It was used, or nobody had a use for it.
    Done,
    /// The session's link has no room: it goes on waiting, behind the others.
    NoRoom,
}

/// Gives sessions their turns, no faster than the server is to be burdened.
pub(super) async fn grant_permits(up: Arc<Upstream>, server: Arc<Server>, sessions: Arc<Sessions>) {
    let (mut given, mut passed_over) = (0_u32, 0);
    loop {
        if !server.is_reachable() && server.pace.waiting() > 0 {
            tokio::time::sleep(LOOK_AGAIN).await;
            continue;
        }
        match server.pace.next(clock::now()) {
            Next::Permit(uid, class) => {
                given = given.wrapping_add(1);
                if up.place(uid).is_some_and(|place| place.id != server.id) {
                    // It has moved since. Here its link may be down, and would not bring it its turn.
                    server.pace.refund(class);
                    up.enqueue(uid, class);
                    continue;
                }
                let no_room = give(&server, &sessions, uid, class) == Given::NoRoom;
                passed_over = if no_room { passed_over + 1 } else { 0 };
                if passed_over == PASSED_OVER_MAX {
                    passed_over = 0;
                    tokio::time::sleep(LOOK_AGAIN).await;
                } else if given.is_multiple_of(TURNS_MAX) {
                    tokio::task::yield_now().await;
                }
            }
            Next::Wait(wait) => {
                // Whichever ends it, the pacer is asked again.
                let woken = server.pace.woken();
                let _ = tokio::time::timeout(wait.max(WAIT_MIN), woken).await;
            }
            Next::Empty => server.pace.woken().await,
        }
    }
}

fn give(server: &Server, sessions: &Sessions, uid: InstanceUid, class: Class) -> Given {
    match server.link_of(uid) {
        // The agent is asked, and its server need not be there for that.
        _ if class == Class::Ask => {}
        Some(link) if !link.is_up() => {
            // Its return brings the session its turn.
            if sessions.skip_permit(uid, class, &|| !link.is_up()) {
                server.pace.refund(class);
            } else {
                server.pace.requeue(uid, class);
            }
            return Given::Done;
        }
        Some(link) if !link.has_room() => {
            server.pace.requeue(uid, class);
            return Given::NoRoom;
        }
        Some(_) | None => {}
    }
    match sessions.permit_granted(uid, class) {
        PermitUse::Idle => server.pace.refund(class),
        PermitUse::Again => server.pace.requeue(uid, class),
        PermitUse::Used => {}
    }
    Given::Done
}
