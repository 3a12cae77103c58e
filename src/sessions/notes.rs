//! What has happened to a session, as events for logs and metrics: one for each note, so that every outcome is
//! counted.

use std::sync::atomic::Ordering;

use super::Sessions;
use crate::clock;
use crate::core::session::{EndReason, Note, OfferLoss};
use crate::ident::InstanceUid;
use crate::telemetry::events::sessions::{
    AcknowledgementSwallowed, CloneFound, ConnectionReplaced, CustomMessageDropped, GapDetected,
    Heartbeat, HeartbeatRoute, MessagesMissed, OfferDropped, OfferRefused, OfferStored,
    OffersTakenBack, Replied, ReportForwarded, ReportSuppressed, SessionAbsent, SessionEnded,
    SessionOpened, SessionResumed,
};
use crate::telemetry::events::store::{
    ContentMissing, FullStateAsked, FullStateWanted, ReportFromStore,
};

pub(super) fn emit(sessions: &Sessions, uid: InstanceUid, note: Note) {
    match note {
        Note::Reopened => SessionOpened { uid }.emit(),
        Note::Resumed => SessionResumed { uid }.emit(),
        Note::ConnectionReplaced => ConnectionReplaced { uid }.emit(),
        Note::Absent => SessionAbsent { uid }.emit(),
        Note::Ended(reason) => SessionEnded { uid, reason }.emit(),
        Note::Moved { settled } => {
            if !settled {
                sessions.unacknowledged.fetch_add(1, Ordering::Relaxed);
            }
            SessionEnded { uid, reason: EndReason::Moved }.emit();
        }
        Note::Gap { expected, received } => {
            GapDetected { uid, expected: expected.0, received: received.0 }.emit();
        }
        Note::Missed => MessagesMissed { uid }.emit(),
        Note::Heartbeat { forwarded: true } => {
            Heartbeat { route: HeartbeatRoute::Forwarded }.emit();
        }
        Note::Heartbeat { forwarded: false } => Heartbeat { route: HeartbeatRoute::Local }.emit(),
        Note::ReportForwarded => ReportForwarded { uid }.emit(),
        Note::ReportSuppressed(bytes) => ReportSuppressed { bytes }.emit(),
        Note::ReportFromStore(bytes) => ReportFromStore { uid, bytes }.emit(),
        Note::ContentMissing => ContentMissing { uid }.emit(),
        Note::Announced(server) => sessions.uplink.announced(uid, server),
        Note::FullStateWanted => FullStateWanted { uid }.emit(),
        Note::FullStateAsked => FullStateAsked { uid }.emit(),
        Note::Replied { by, after } => Replied { source: by, after }.emit(),
        Note::AcknowledgementSwallowed => AcknowledgementSwallowed.emit(),
        Note::OfferStored => OfferStored { uid }.emit(),
        Note::OffersTakenBack => OffersTakenBack { uid }.emit(),
        Note::OfferRefused(bytes) => OfferRefused { uid, bytes }.emit(),
        Note::OfferDropped(loss) => {
            if matches!(loss, OfferLoss::Evicted | OfferLoss::NoRoom) {
                sessions.counters.shortage.note();
            }
            OfferDropped { uid, reason: loss }.emit();
        }
        Note::CustomDropped(loss) => CustomMessageDropped { uid, reason: loss }.emit(),
        Note::CloneFound { fresh } => {
            sessions.ended.given.note(fresh, uid, clock::now());
            CloneFound { uid, fresh }.emit();
        }
        Note::UidGiven(given) => sessions.ended.given.note(given, uid, clock::now()),
    }
}
