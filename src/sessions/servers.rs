//! What servers bring about: messages for one agent, permits, links that come back, polls and probes. Each is
//! one call of one session's entry.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::carrier::Carrier;
use super::entry::SessionEntry;
use super::homes::{
    Aside, HomeSide, Homeless, OtherHomes, PassedAway, WordPast, may_speak, takes_answers,
};
use super::{Answer, Delivered, Delivery, InFleet, PermitUse, Polled, Probe, Sessions, table};
use crate::clock;
use crate::core::pacing::Class;
use crate::core::session::{Moment, RefusedMessage, Route, Session};
use crate::ident::{InstanceUid, LinkId, ServerId};
use crate::mutation::{Breach, is_on};
use crate::opamp::server::ServerScan;

impl Sessions {
    /// A message for `uid` that came on `from`.
    pub fn from_server(&self, uid: InstanceUid, from: Route, scan: &ServerScan<'_>) -> Delivery {
        hear(self, uid, (from, scan), None).delivery
    }

    /// A message that went out on `from` is refused by the server, outside of OpAMP: its agent is told by
    /// `refusal`. Returns what that is as an answer; `None` if none was awaited any more.
    pub fn refused(
        &self,
        uid: InstanceUid,
        from: Route,
        refusal: &ServerScan<'_>,
        said_something: bool,
    ) -> Option<Answer> {
        let refused = RefusedMessage { from, refusal, said_something };
        let answer = self.with(uid, |session, moment, port| {
            if takes_answers(self, uid) {
                session.message_refused(&refused, moment, port)
            } else {
                // The agent cannot be told now. If its session stays here, it is refused once more.
                session.message_lost(from, true, moment, port)
            }
        });
        answer.unwrap_or_else(|| late_reply(self, uid, from))
    }

    /// A message that went out on `from` came to nothing, outside of OpAMP. `again`: what it said must be
    /// sent once more, with a permit. Returns what that is as an answer; `None` if none was awaited any more.
    pub fn not_taken(&self, uid: InstanceUid, from: Route, again: bool) -> Option<Answer> {
        // Also of a session whose record is written: it may stay, and another home has this in doubt anyway.
        let answer =
            self.with(uid, |session, moment, port| session.message_lost(from, again, moment, port));
        answer.unwrap_or_else(|| late_reply(self, uid, from))
    }

    /// The agent's own link has ended. If its session was over before and awaited answers there: how many, and how long
    /// ago it ended.
    pub fn own_link_ended(
        &self,
        uid: InstanceUid,
        link: LinkId,
        now: Instant,
    ) -> Option<(u32, Duration)> {
        self.ended.late_replies.lock().link_ended(uid, link, now)
    }

    /// The session gets a permit of its server: one message goes, at most. If more waits, the session stands
    /// in the queue again.
    pub fn permit_granted(&self, uid: InstanceUid, class: Class) -> PermitUse {
        let used = self.with(uid, |session, moment, port| {
            if may_speak(self, uid) {
                return session.permit_granted(class, moment, port);
            }
            // The shard's new home, or its going on here, brings another one.
            session.permit_skipped(class);
            PermitUse::Idle
        });
        used.unwrap_or(PermitUse::Idle)
    }

    /// The session's link was down when its permit came. `false`: it is up by now, and the session keeps its
    /// place in the queue. `is_down` is asked with the session locked, so that the link's return, which
    /// brings the session another permit, is either seen here or comes afterwards.
    pub fn skip_permit(&self, uid: InstanceUid, class: Class, is_down: &dyn Fn() -> bool) -> bool {
        self.with(uid, |session, _, _| {
            let skipped = is_down();
            if skipped {
                session.permit_skipped(class);
            }
            skipped
        })
        .unwrap_or(true)
    }

    /// The session's own link came back, in mode `per-agent`, where each agent has one.
    pub fn enqueue_one(&self, uid: InstanceUid) {
        if let Some(entry) = self.find(uid) {
            self.enqueue_entry(&entry);
        }
    }

    /// Puts every session into its server's queue whose messages took, or will take, a way that `concerned`
    /// names: after a link came back, or a server's agents moved. Returns how many joined.
    pub fn enqueue_all(&self, concerned: &dyn Fn(InstanceUid) -> bool) -> usize {
        if !self.table.is_empty() {
            self.question_budget.lock().disturb(clock::now());
        }
        // What follows from an entry may need the table, so the walk over the table comes first.
        let concerned = self.table.iter().filter(|entry| concerned(*entry.key()));
        let concerned: Vec<Arc<SessionEntry>> =
            concerned.map(|entry| Arc::clone(entry.value())).collect();
        concerned.into_iter().filter(|entry| self.enqueue_entry(entry)).count()
    }

    fn enqueue_entry(&self, entry: &SessionEntry) -> bool {
        let joins = self.run(entry, None, |session, moment, port| {
            may_speak(self, session.uid()) && session.link_up(moment, port)
        });
        joins.unwrap_or(false)
    }

    /// The session is to ask `server`, with a permit, whether it has something for the agent, unless the
    /// server has heard of the agent less than `silence` ago.
    pub fn poll(&self, uid: InstanceUid, server: ServerId, silence: Duration) -> Polled {
        let polled = self.with(uid, |session, moment, port| {
            if may_speak(self, uid) {
                session.poll_due(server, silence, moment, port)
            } else {
                // Its shard may yet stay, or has just come. The end of the session ends the polls.
                Polled::NotYet
            }
        });
        polled.unwrap_or(Polled::Away)
    }

    /// A message for `server` on behalf of this agent, while no other message goes there. `None`: the agent is
    /// elsewhere.
    pub fn probe(&self, uid: InstanceUid, server: ServerId) -> Option<Probe> {
        let probe = |session: &mut Session, moment: &Moment<'_>, port: &mut Carrier<'_>| {
            if may_speak(self, uid) { session.probe(server, moment, port) } else { None }
        };
        self.with(uid, probe).flatten()
    }
}

/// What became of a message.
pub(super) struct Heard {
    pub(super) delivery: Delivery,
    /// It has its session, or there is none for it.
    pub(super) is_settled: bool,
}

impl HomeSide<'_> {
    /// A message for `uid` that came on a route, and has waited, or was passed on.
    pub(super) fn server_said(
        self,
        uid: InstanceUid,
        said: (Route, &ServerScan<'_>),
        past: &WordPast,
    ) -> Heard {
        hear(self.sessions, uid, said, Some(past))
    }
}

/// A message for `uid` that came on a route, and may have waited, or been passed on.
fn hear(
    sessions: &Sessions,
    uid: InstanceUid,
    (from, scan): (Route, &ServerScan<'_>),
    past: Option<&WordPast>,
) -> Heard {
    let wrong = is_on(Breach::R7WrongAgent).then(|| table::another(&sessions.table, uid)).flatten();
    let uid = wrong.unwrap_or(uid);
    loop {
        let delivery = sessions.with(uid, |session, moment, port| {
            takes_answers(sessions, uid).then(|| session.server_message(scan, from, moment, port))
        });
        let has_session = delivery.is_some();
        if let Some(delivery) = delivery.flatten() {
            return Heard { delivery, is_settled: true };
        }
        let message = Homeless { uid, from, scan, past, has_session };
        let aside = |fleet: InFleet<'_>| fleet.moves().set_aside(message);
        if sessions.in_fleet().map_or(Aside::Unwanted, aside) != Aside::Unwanted {
            return Heard { delivery: Delivery::of(Delivered::Done, None), is_settled: false };
        }
        if !has_session || !takes_answers(sessions, uid) {
            return to_former_agent(sessions, message);
        }
    }
}

/// A message for an agent that has no session here, or whose shard has another home by now.
fn to_former_agent(sessions: &Sessions, message: Homeless<'_>) -> Heard {
    let answer = late_reply(sessions, message.uid, message.from);
    let passed = sessions
        .in_fleet()
        .and_then(|fleet| OtherHomes::of(fleet.homes()).pass_on(message, answer));
    let kept =
        || sessions.ended.given.keep(message.uid, (message.from, message.scan), clock::now());
    let is_done = passed.is_some() || kept();
    let delivered = if is_done { Delivered::Done } else { Delivered::Unknown };
    let is_settled = passed != Some(PassedAway::Kept);
    Heard { delivery: Delivery::of(delivered, answer), is_settled }
}

/// What a server's words for an agent whose session is over are as an answer.
fn late_reply(sessions: &Sessions, uid: InstanceUid, from: Route) -> Option<Answer> {
    sessions.ended.late_replies.lock().heard(uid, from, clock::now())
}
