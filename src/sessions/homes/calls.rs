//! What an attachment wants of its session, carried out on the real one, in order and under its lock.

use super::HomeSide;
use std::time::{Duration, Instant};

use super::super::carrier::{EventContext, FollowUp};
use super::super::entry::LockedEntry;
use super::far::{FarConnection, FarHome, FarPort};
use super::messages::{self, AgentSoFar};
use crate::clock;
use crate::core::attachment::{ConnectionAt, HomeAttachment, HomeMoment, Newcomer, SessionCall};
use crate::core::node_link::{AgentConnection, AgentReport, CloseOrder, DetachReason};
use crate::core::ownership::Epoch;
use crate::core::session::{AgentMessage, MessageSource, Opened, offer_refused, told_parts};
use crate::opamp::agent::AgentScan;
use crate::opamp::field_set::{FieldSet, agent_field};
use crate::telemetry::events::homes::{AttachmentChanged, AttachmentEvent};

/// A state that a former home may have sent on lately goes to the server once more after this time, when all that the
/// former home said has come there or is lost.
const TELL_AGAIN_AFTER: Duration = Duration::from_secs(30);

/// When these parts are told again.
pub(super) fn tell_again_later(parts: FieldSet, now: Instant) -> Option<(Instant, FieldSet)> {
    (!parts.is_empty()).then(|| (now + TELL_AGAIN_AFTER, parts))
}

/// What became of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum CallOutcome {
    Done,
    /// The session refuses the connection: the calls behind this one are left out.
    Cloned,
}

/// Counts what became of the connections that had the session before, and have it after a call.
fn count_changes(
    before: Option<ConnectionAt>,
    after: Option<ConnectionAt>,
    calls: &[SessionCall<'_>],
) {
    let mut is_lost = false;
    for call in calls {
        let event = match call {
            SessionCall::Open { .. } => AttachmentEvent::Opened,
            SessionCall::Lost { reason } => {
                is_lost = true;
                match reason {
                    DetachReason::Lost | DetachReason::TooLarge => AttachmentEvent::Lost,
                    DetachReason::Drained => AttachmentEvent::Drained,
                    DetachReason::Renamed => AttachmentEvent::Renamed,
                    DetachReason::Answered => AttachmentEvent::Answered,
                }
            }
            _ => continue,
        };
        AttachmentChanged { event }.emit();
    }
    if before.is_some() && before != after && !is_lost {
        AttachmentChanged { event: AttachmentEvent::Replaced }.emit();
    }
}

impl HomeSide<'_> {
    /// Calls one entry of a session's attachment: frames go out, the session is called, what was taken is confirmed.
    pub(super) fn drive<'f>(
        self,
        epoch: Epoch,
        locked: &mut LockedEntry<'_>,
        act: impl FnOnce(&mut HomeAttachment, &HomeMoment<'_>, &mut FarPort<'_, 'f>),
    ) -> FollowUp {
        let uid = locked.session.uid();
        let mut far =
            locked.far.take().unwrap_or_else(|| Box::new(FarHome::new(HomeAttachment::new(uid))));
        let moment = HomeMoment { now: clock::now(), epoch, policy: &self.joined.homes.policy };
        let (before, holder) = (far.unwritten_bytes(), far.home.holder());
        let mut port = FarPort::new(self.joined, uid, Some((&locked.session, &locked.contents)));
        act(&mut far.home, &moment, &mut port);
        let calls = port.calls;
        count_changes(holder, far.home.holder(), &calls);
        if far.home.is_reached() {
            far.cut = None;
        }
        self.sessions.counters.outbox_changed(before, far.unwritten_bytes());
        locked.far = Some(far);
        let mut follow_up = FollowUp::NOTHING;
        for call in calls {
            let (outcome, then) = self.call(locked, call);
            follow_up = follow_up.and(then);
            if outcome == CallOutcome::Cloned || follow_up.is_over {
                break;
            }
        }
        self.settle(locked);
        follow_up
    }

    /// Confirms what was taken, and notes when to look at the attachment.
    fn settle(self, locked: &mut LockedEntry<'_>) {
        let uid = locked.session.uid();
        let Some(far) = &mut locked.far else { return };
        far.home.settle(&mut FarPort::new(self.joined, uid, None));
        self.note_told(locked);
        self.note_far_deadline(locked);
    }

    /// Says so to the front, if servers have answered all that they were to be told of its agent.
    pub(in crate::sessions) fn note_told(self, locked: &mut LockedEntry<'_>) {
        let uid = locked.session.uid();
        let is_told = locked.session.figures().is_told;
        if let Some(far) = locked.far.as_mut().filter(|far| is_told && far.tell_again.is_none()) {
            far.home.all_told(&mut FarPort::new(self.joined, uid, None));
        }
    }

    /// Notes when to look at the attachment, if that is earlier than was noted.
    pub(in crate::sessions) fn note_far_deadline(self, locked: &mut LockedEntry<'_>) {
        let uid = locked.session.uid();
        if let Some(far) = &mut locked.far
            && let Some(at) = far.deadline()
            && far.noted.is_none_or(|noted| at < noted)
        {
            far.noted = Some(at);
            self.joined.homes.deadlines.push(at, uid);
        }
    }

    fn call(self, locked: &mut LockedEntry<'_>, call: SessionCall<'_>) -> (CallOutcome, FollowUp) {
        let done = |follow_up| (CallOutcome::Done, follow_up);
        match call {
            SessionCall::Open { newcomer, gap } => self.open(locked, &newcomer, gap),
            SessionCall::Message(report) => done(self.take(locked, &report)),
            SessionCall::Heartbeats(last) => done(self.tell(locked, |session, moment, port| {
                session.at_front().heartbeats_answered(last, moment, port);
            })),
            SessionCall::Missed => done(self.miss(locked)),
            SessionCall::Heard => {
                locked.session.heard(clock::now());
                done(FollowUp::NOTHING)
            }
            SessionCall::Confirmed(ping) => {
                locked.session.confirmed(ping, clock::now());
                done(FollowUp::NOTHING)
            }
            SessionCall::ReplyOverdue => done(self.tell(locked, |session, moment, port| {
                session.reply_overdue(moment, port);
            })),
            SessionCall::Lost { reason } => done(self.lose(locked, reason)),
        }
    }

    /// Calls an entry that concerns the present connection.
    fn tell(
        self,
        locked: &mut LockedEntry<'_>,
        event: impl FnOnce(
            &mut crate::core::session::Session,
            &crate::core::session::Moment<'_>,
            &mut super::super::carrier::Carrier<'_>,
        ),
    ) -> FollowUp {
        self.sessions.apply(locked, EventContext::default(), event).1
    }

    fn miss(self, locked: &mut LockedEntry<'_>) -> FollowUp {
        self.tell(locked, |session, moment, port| session.at_front().missed(moment, port))
    }

    /// A connection has the session from now on; a former one is closed already. `gap`: something before it is lost.
    fn open(
        self,
        locked: &mut LockedEntry<'_>,
        newcomer: &Newcomer,
        gap: bool,
    ) -> (CallOutcome, FollowUp) {
        let is_unknown = locked.session.figures().is_unheard;
        let event = EventContext { is_cut_off: true, ..EventContext::default() };
        let (connection, mut follow_up) = match newcomer.transport {
            AgentConnection::WebSocket => {
                let connection = self.joined.homes.next_connection();
                let (opened, follow_up) =
                    self.sessions.apply(locked, event, |session, moment, port| {
                        session.connection_opened(connection, moment, port)
                    });
                if opened == Opened::Cloned {
                    self.refuse(locked);
                    return (CallOutcome::Cloned, follow_up);
                }
                if is_unknown && self.joined.homes.shards.is_orphan(locked.session.uid()) {
                    self.tell(locked, |session, moment, _| session.at_front().taken_over(moment));
                }
                (FarConnection::Socket(connection), follow_up)
            }
            AgentConnection::PlainHttp => {
                let (request, follow_up) =
                    self.sessions.apply(locked, event, |session, moment, port| {
                        session.request_opened(moment, port)
                    });
                (FarConnection::Request(request), follow_up)
            }
        };
        if let Some(far) = &mut locked.far {
            far.connection = connection;
            if is_unknown && newcomer.forwarded_lately {
                let all = FieldSet::of(&agent_field::STATE_PARTS);
                far.tell_again = tell_again_later(all, clock::now());
            }
        }
        if gap {
            follow_up = follow_up.and(self.miss(locked));
        }
        (CallOutcome::Done, follow_up)
    }

    /// Two live agents use the uid: the newcomer needs another (R10).
    fn refuse(self, locked: &mut LockedEntry<'_>) {
        let uid = locked.session.uid();
        if let Some(far) = &mut locked.far {
            let before = far.unwritten_bytes();
            far.home.close(CloseOrder::Cloned, &mut FarPort::new(self.joined, uid, None));
            AttachmentChanged { event: AttachmentEvent::Cloned }.emit();
            self.sessions.counters.outbox_changed(before, far.unwritten_bytes());
        }
    }

    /// The agent's message, made whole.
    fn take(self, locked: &mut LockedEntry<'_>, report: &AgentReport<'_>) -> FollowUp {
        let source = match locked.far.as_ref().map(|far| far.connection) {
            Some(FarConnection::Socket(connection)) => MessageSource::Socket(connection),
            Some(FarConnection::Request(_)) => MessageSource::Request,
            Some(FarConnection::None) | None => return FollowUp::NOTHING,
        };
        let secret_id = self.joined.homes.key.read().secret_id;
        let digests = messages::usable_digests(report, secret_id);
        let mut bytes = Vec::with_capacity(64 + report.fields.len());
        let uid = locked.session.uid();
        let told = if report.present.contains(agent_field::AGENT_DISCONNECT) {
            // A goodbye goes on as it is.
            FieldSet::EMPTY
        } else {
            told_parts(&locked.session, report.sequence_num, self.sessions.uplink.route(uid))
        };
        let has = AgentSoFar { session: &locked.session, contents: &locked.contents };
        let left_out = messages::make_whole(report, (secret_id, told), &has, &mut bytes);
        let Ok(mut scan) = AgentScan::parse(&bytes) else {
            // The front has scanned it: bytes of another version, or damaged ones.
            return self.miss(locked);
        };
        scan.present = scan.present.union(left_out.told);
        let message = AgentMessage { source, scan: &scan };
        let event = EventContext { digests, ..EventContext::default() };
        let ((), follow_up) = self.sessions.apply(locked, event, |session, moment, port| {
            session.agent_message(&message, moment, port);
        });
        if left_out.unknown.is_empty() || follow_up.is_over {
            return follow_up;
        }
        follow_up.and(self.miss(locked))
    }

    fn lose(self, locked: &mut LockedEntry<'_>, reason: DetachReason) -> FollowUp {
        let Some(far) = &mut locked.far else { return FollowUp::NOTHING };
        let event = EventContext { is_cut_off: true, ..EventContext::default() };
        match std::mem::take(&mut far.connection) {
            FarConnection::Socket(connection) => {
                let ((), follow_up) =
                    self.sessions.apply(locked, event, |session, moment, port| {
                        match reason {
                            DetachReason::Renamed => {
                                session.connection_renamed(connection, moment, port);
                            }
                            DetachReason::TooLarge => offer_refused(session, moment, port),
                            _ => {}
                        }
                        // Of one that took another uid by itself, too: its former session is absent. Drained, too:
                        // the agent comes back at another front, and its session stays.
                        session.connection_lost(connection, moment, port);
                    });
                follow_up
            }
            FarConnection::Request(request) => {
                locked.session.request_closed(request);
                FollowUp::NOTHING
            }
            FarConnection::None => FollowUp::NOTHING,
        }
    }
}
