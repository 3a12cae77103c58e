//! The task that grants sessions their permits at one server, when its pacer says so.

use std::sync::Arc;
use std::time::Duration;

use super::servers::Servers;
use super::transport::Target;
use crate::clock;
use crate::core::pacing::{Class, Next};
use crate::ident::InstanceUid;
use crate::sessions::{PermitUse, Sessions};

/// How long to wait for a link, or for room on it, before looking again.
const LOOK_AGAIN: Duration = Duration::from_millis(10);
/// Timers are this coarse.
const WAIT_MIN: Duration = Duration::from_millis(1);
/// Permits granted before other tasks may run.
const PERMITS_MAX: u32 = 32;

/// Sessions whose link is full are passed over. After this many in a row all that wait are likely to be
/// such sessions.
const PASSED_OVER_MAX: u32 = 64;

/// What became of a permit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Granted {
    /// It was used, or given back.
    Done,
    /// The session's link is full: the session goes on waiting, behind the others.
    NoRoom,
}

/// Grants sessions their permits, as fast as the server's pace allows, as long as the node lives.
pub(super) async fn grant_permits(
    servers: Arc<Servers>,
    target: Arc<Target>,
    sessions: Arc<Sessions>,
) {
    let server = &target.server;
    let (mut granted, mut passed_over) = (0_u32, 0);
    loop {
        if !server.is_reached() && server.pacer.waiting() > 0 {
            tokio::time::sleep(LOOK_AGAIN).await;
            continue;
        }
        match server.pacer.next(clock::now()) {
            Next::Permit(uid, class) => {
                granted = granted.wrapping_add(1);
                if servers.place(uid).is_some_and(|place| place.id != server.id) {
                    // It has moved since. Its permit is at its new server, where its link may be up.
                    server.pacer.refund(class);
                    servers.enqueue(uid, class);
                    continue;
                }
                let no_room = grant(&target, &sessions, uid, class) == Granted::NoRoom;
                passed_over = if no_room { passed_over + 1 } else { 0 };
                if passed_over == PASSED_OVER_MAX {
                    passed_over = 0;
                    tokio::time::sleep(LOOK_AGAIN).await;
                } else if granted.is_multiple_of(PERMITS_MAX) {
                    tokio::task::yield_now().await;
                }
            }
            Next::Wait(wait) => {
                // Whichever ends it, the pacer is asked again.
                let woken = server.pacer.woken();
                let _ = tokio::time::timeout(wait.max(WAIT_MIN), woken).await;
            }
            Next::Empty => server.pacer.woken().await,
        }
    }
}

fn grant(target: &Target, sessions: &Sessions, uid: InstanceUid, class: Class) -> Granted {
    let pacer = &target.server.pacer;
    match target.transport.link_of(uid) {
        // The agent is asked, whether or not its server is there.
        _ if class == Class::Ask => {}
        Some(link) if !link.is_up() => {
            // Its return brings the session its permit.
            if sessions.skip_permit(uid, class, &|| !link.is_up()) {
                pacer.refund(class);
            } else {
                pacer.requeue(uid, class);
            }
            return Granted::Done;
        }
        Some(link) if !link.has_room() => {
            pacer.requeue(uid, class);
            return Granted::NoRoom;
        }
        Some(_) | None => {}
    }
    match sessions.permit_granted(uid, class) {
        PermitUse::Idle => pacer.refund(class),
        PermitUse::Again => pacer.requeue(uid, class),
        PermitUse::Used => {}
    }
    Granted::Done
}
