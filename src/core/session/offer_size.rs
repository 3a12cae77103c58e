//! How large an offer the agent takes, as far as it has shown by closing its WebSocket with 1009 (RFC 6455, section 7.4.1).
//! An offer that it refused would be written to its next connection, and be refused once more, for ever: it is held back,
//! and so is what is as large, as long as the agent's process lives, for an hour at most.

use std::time::{Duration, Instant};

use super::{Moment, Note, OfferLoss, Port, Session};

/// After this time the agent is tried again: it may have been given a larger limit.
const KNOWN_FOR: Duration = Duration::from_secs(3_600);
/// What the first message on a connection has besides may make it too large, about.
const GREETING_BYTES: usize = 64;

/// The smallest offer that the agent has refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct OfferLimit {
    bytes: usize,
    since: Instant,
}

impl OfferLimit {
    pub(super) fn is_past(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.since) >= KNOWN_FOR
    }
}

/// The agent closes its WebSocket because a message was too large for it: the largest that it has yet to confirm.
pub fn offer_refused<P: Port>(session: &mut Session, moment: &Moment<'_>, port: &mut P) {
    let Some(cold) = &mut session.cold else { return };
    let Some(bytes) = cold.mailbox.drop_largest_unconfirmed() else { return };
    let limit = bytes.saturating_sub(GREETING_BYTES);
    let known = cold.offer_limit.map_or(limit, |known| known.bytes.min(limit));
    cold.offer_limit = Some(OfferLimit { bytes: known, since: moment.now });
    port.note(Note::OfferRefused(bytes));
    port.note(Note::OfferDropped(OfferLoss::TooLargeForAgent));
}

/// Whether the agent is known to refuse what is this large.
pub(super) fn is_refused(session: &Session, bytes: usize, now: Instant) -> bool {
    let limit = session.cold.as_ref().and_then(|cold| cold.offer_limit);
    limit.is_some_and(|limit| bytes >= limit.bytes && !limit.is_past(now))
}

/// What waits for the agent goes in one message. If that is known to be refused, it is given up: returns whether it
/// was.
pub(super) fn drop_refused(session: &mut Session, now: Instant) -> bool {
    let bytes = session.cold.as_ref().map_or(0, |cold| cold.mailbox.bytes());
    let dropped = is_refused(session, bytes, now);
    if let Some(cold) = session.cold.as_mut().filter(|_| dropped) {
        cold.mailbox.drop_waiting();
    }
    dropped
}
