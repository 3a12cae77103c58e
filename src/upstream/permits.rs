//! The task that grants sessions their permits at one server, when its pacer says so.

use std::sync::Arc;
use std::time::Duration;

use super::link::Link;
use super::servers::Servers;
use super::transport::Target;
use crate::clock;
use crate::core::pacing::{Class, Grant, GrantFacts, GrantLink, Next};
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

/// Grants sessions their permits, as fast as the server's pace allows, as long as the node lives.
pub(super) async fn grant_permits(
    servers: Arc<Servers>,
    target: Arc<Target>,
    sessions: Arc<Sessions>,
) {
    let server = &target.server;
    let (mut granted, mut passed_over) = (0_u32, 0);
    let mut right = servers.voice.listen();
    loop {
        if server.holds_still() {
            right.may_speak().await;
            continue;
        }
        if !server.is_reached() && server.pacer.waiting() > 0 {
            tokio::time::sleep(LOOK_AGAIN).await;
            continue;
        }
        match server.pacer.next(clock::now()) {
            Next::Permit(uid, class) => {
                granted = granted.wrapping_add(1);
                let full = grant(&servers, &target, &sessions, (uid, class)) == Grant::LinkFull;
                passed_over = if full { passed_over + 1 } else { 0 };
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

/// Has the session use its permit, or gives it back, as the core decides.
fn grant(
    servers: &Servers,
    target: &Target,
    sessions: &Sessions,
    permit: (InstanceUid, Class),
) -> Grant {
    let (uid, class) = permit;
    let pacer = &target.server.pacer;
    let link = target.transport.link_of(uid);
    let of = |link: &Arc<Link>| GrantLink { is_up: link.is_up(), has_room: link.has_room() };
    let grant = Grant::of(GrantFacts {
        class,
        placed_here: servers.place(uid).is_none_or(|place| place.id == target.server.id),
        link: link.as_ref().map(of),
    });
    match grant {
        Grant::Use => match sessions.permit_granted(uid, class) {
            PermitUse::Idle => pacer.refund(class),
            PermitUse::Again => pacer.requeue(uid, class),
            PermitUse::Used => {}
        },
        Grant::Elsewhere => {
            pacer.refund(class);
            servers.enqueue(uid, class);
        }
        Grant::LinkDown => {
            let still_down = || link.as_ref().is_some_and(|link| !link.is_up());
            if sessions.skip_permit(uid, class, &still_down) {
                pacer.refund(class);
            } else {
                pacer.requeue(uid, class);
            }
        }
        Grant::LinkFull => pacer.requeue(uid, class),
    }
    grant
}
