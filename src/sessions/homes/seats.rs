//! Sessions that have come from a shard's former home take their places in the table, before the shard is held.

use std::collections::HashSet;
use std::time::Instant;

use super::ShardMoves;
use super::arrivals::{ArrivedSession, CompleteArrival};
use super::far::{FarConnection, FarHome};
use crate::clock;
use crate::core::attachment::HomeAttachment;
use crate::core::node_link::ContentName;
use crate::core::ownership::{AbsenceBegan, MoveNumber, ShardId};
use crate::core::server::Keying;
use crate::core::session::{LateReply, Move, Moved, Peer, Presence, Session, SessionRecord, Wire};
use crate::ident::InstanceUid;
use crate::sessions::carrier::EventContext;
use crate::sessions::contents::Contents;

/// What the sessions of one shard have in common.
struct Seating<'a> {
    moves: ShardMoves<'a>,
    from: Peer,
    /// The nodes that are members now.
    members: HashSet<Peer>,
    arrival: &'a CompleteArrival,
}

impl ShardMoves<'_> {
    /// Puts the sessions that an attempt has brought into the table. Returns their agents; `None`: they are not all here.
    pub(super) fn seat_arrivals(
        self,
        shard: ShardId,
        attempt: MoveNumber,
    ) -> Option<Vec<InstanceUid>> {
        let mut arrival = self.take_arrivals(shard, attempt)?;
        let sessions = std::mem::take(&mut arrival.sessions);
        let members = self.joined.ways.members().into_iter().map(Peer::of).collect();
        let from = Peer::of(arrival.from);
        let seating = Seating { moves: self, from, members, arrival: &arrival };
        let agents = sessions.iter().map(|it| it.record.uid).collect();
        sessions.into_iter().for_each(|session| seating.seat(session));
        Some(agents)
    }
}

impl Seating<'_> {
    fn seat(&self, arrived: ArrivedSession) {
        let ArrivedSession { mut record, attachment, tell_again, contents: names } = arrived;
        let sessions = self.moves.sessions;
        let (uid, now) = (record.uid, clock::now());
        let late = sessions.ended.late_replies.lock().take(uid, now);
        // Without a place for it the agent is a new one here, once there is a place.
        let Ok(entry) = sessions.find_or_open(uid) else { return };
        let home = HomeAttachment::from_record(uid, attachment, now);
        let connection = name_connection(self.moves, &mut record, &home, now);
        let mut locked = entry.lock(&sessions.counters);
        let front = home.holder().map(|at| at.front);
        let mut far = FarHome::new(home);
        far.connection = connection;
        far.cut = front.map(|front| AbsenceBegan { at: now, lost_with: Some(front) });
        far.tell_again = super::calls::tell_again_later(tell_again, now);
        sessions.counters.outbox_changed(0, far.unwritten_bytes());
        locked.contents = self.stored(&names, &record);
        locked.far = Some(Box::new(far));
        locked.session = self.session(record, late, now);
        let event = EventContext::default();
        sessions.apply(&mut locked, event, |session, _, port| {
            Moved::of(session).confirm_again(port);
        });
        // What the list of deadlines has of it is looked up in the next sweep.
        locked.noted = Some(now);
        sessions.deadlines.push(now, uid);
        self.moves.home().note_far_deadline(&mut locked);
    }

    fn stored(&self, names: &[(u32, ContentName)], record: &SessionRecord) -> Contents {
        let mut stored = Contents::default();
        for (part, name) in names {
            // What is missing counts as evicted: the agent is asked when it is wanted.
            let bytes = self.arrival.contents.get(name);
            if let (Some(bytes), Some(digest)) = (bytes, record.digest_of(*part)) {
                stored.restore(&self.moves.sessions.store, *part, digest, bytes);
            }
        }
        stored
    }

    fn session(&self, record: SessionRecord, late: Option<LateReply>, now: Instant) -> Session {
        let ShardMoves { sessions, joined } = self.moves;
        let (uid, server, uplink) = (record.uid, record.server(), &sessions.uplink);
        let keying = server.map_or(Keying::Link, |server| uplink.keying(server));
        server.into_iter().for_each(|server| uplink.adopt(uid, server));
        // A server that is polled remembers the agent whatever becomes of links.
        let is_polled = server.is_some_and(|server| uplink.is_polled(server));
        let has_ended = |wire: Wire| {
            if is_polled {
                return false;
            }
            let Wire { of, link, incarnation } = wire;
            of.is_some_and(|home| {
                let ended = &joined.homes.ended;
                !self.members.contains(&home) || ended.has(home, (uid, link.server), incarnation)
            })
        };
        let how = Move {
            from: self.from,
            me: Peer::of(joined.ways.me()),
            keying,
            own: uplink.route(uid),
            has_ended: &has_ended,
        };
        Session::moved_here(record, &how, late, now)
    }
}

/// The session's connection gets a name of this node's, if it has one. Replies that are owed are its front's: it
/// gives them when the home changes.
fn name_connection(
    side: ShardMoves<'_>,
    record: &mut SessionRecord,
    home: &HomeAttachment,
    now: Instant,
) -> FarConnection {
    record.replies.owed = 0;
    record.replies.due = None;
    match record.presence {
        Presence::Connected { .. } if home.is_attached() => {
            let connection = side.joined.homes.next_connection();
            record.presence = Presence::Connected { connection };
            FarConnection::Socket(connection)
        }
        Presence::Connected { .. } => {
            let until = now + side.sessions.policy.grace_period;
            record.presence = Presence::Absent { until };
            FarConnection::None
        }
        Presence::Polling { heard, .. } => {
            record.presence = Presence::Polling { heard, waits: false };
            FarConnection::Request(record.replies.request)
        }
        Presence::Absent { .. } | Presence::Disconnecting | Presence::Gone => FarConnection::None,
    }
}
