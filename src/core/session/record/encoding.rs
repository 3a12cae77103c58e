//! A session's record as bytes, for another node. The node that reads them may run another version: the first byte
//! is the format, and what a later version appends is passed over.
//!
//! Moments travel as milliseconds from the moment of writing, since clocks of two nodes have no common zero; the
//! record ages by as much as it is under way. Routes are those of the node that wrote it. The raw hash of the last
//! report stays behind: it means something on its own node alone.

use std::time::{Duration, Instant};

use super::{SeldomRecord, SessionRecord};
use crate::core::codec::{ByteReader, Undecodable, put_bytes, put_optional, put_uid, put_varint};
use crate::core::node_link::FRAME_BYTES_MAX;
use crate::core::session::parts::PARTS;
use crate::core::session::{
    AnswerDoubt, ClassSet, FullState, LastSent, LateReply, LiveReplacementsRecord, MailboxRecord,
    OutstandingRecord, PermitsRecord, Presence, QuestionsRecord, ReplicaState, RepliesRecord,
    Route,
};
use crate::ident::{ConnectionId, Incarnation, InstanceUid, LinkId, ServerId};
use crate::opamp::digest::{Digest, RawHash};
use crate::opamp::field_set::FieldSet;
use crate::opamp::offers::{Offers, OffersLimits};
use crate::opamp::server::ServerScan;
use crate::opamp::splice::Additions;

const FORMAT: u8 = 1;
const WHAT: &str = "a session's record";
/// The most one-shot messages, and the most messages in a mailbox.
const MESSAGES_MAX: usize = 1 << 16;
/// No moment of a record is farther away than this, in milliseconds: a year.
const AWAY_MAX: u64 = 366 * 24 * 3_600_000;

/// Bounds were checked where the offers came in.
const ALL_OFFERS: OffersLimits =
    OffersLimits { bytes_max: usize::MAX, custom_messages_max: MESSAGES_MAX };

type Read<T> = Result<T, Undecodable>;

/// Writes values for a reader that reads at `now`.
struct RecordWriter<'a> {
    now: Instant,
    out: &'a mut Vec<u8>,
}

/// Reads what [`RecordWriter`] wrote.
struct RecordReader<'a> {
    now: Instant,
    bytes: ByteReader<'a>,
}

impl SessionRecord {
    /// Appends the record's bytes.
    pub fn encode(&self, now: Instant, out: &mut Vec<u8>) {
        out.push(FORMAT);
        put_uid(self.uid, out);
        put_varint(self.capabilities, out);
        put_optional(self.agent_number, out, |number, out| put_varint(number.0, out));
        put_varint(self.upstream_number.0, out);
        let mut writer = RecordWriter { now, out };
        writer.presence(self.presence);
        writer.flags([self.drains, self.greeted]);
        writer.outstanding(&self.outstanding);
        writer.replies(&self.replies);
        writer.questions(&self.questions);
        writer.replica(self.replica.as_ref());
        writer.permits(&self.permits);
        writer.mailbox(self.uid, &self.mailbox);
        writer.one_shots(&self.one_shots);
        writer.seldom(&self.seldom);
    }

    /// Reads a record.
    ///
    /// # Errors
    /// Says what the other node got wrong.
    pub fn decode(bytes: &[u8], now: Instant) -> Result<Self, Undecodable> {
        let mut bytes = ByteReader::new(bytes);
        if bytes.byte(WHAT)? != FORMAT {
            return Err(Undecodable::Unknown(WHAT));
        }
        let uid = bytes.uid()?;
        let capabilities = bytes.varint(WHAT)?;
        let agent_number = bytes.optional(WHAT, ByteReader::sequence_num)?;
        let upstream_number = bytes.sequence_num()?;
        let mut reader = RecordReader { now, bytes };
        let presence = reader.presence()?;
        let [drains, greeted] = reader.flags()?;
        Ok(Self {
            uid,
            capabilities,
            presence,
            drains,
            greeted,
            agent_number,
            upstream_number,
            outstanding: reader.outstanding()?,
            replies: reader.replies()?,
            questions: reader.questions()?,
            replica: reader.replica()?,
            permits: reader.permits()?,
            mailbox: reader.mailbox()?,
            one_shots: reader.one_shots()?,
            seldom: reader.seldom()?,
        })
    }
}

impl RecordWriter<'_> {
    /// Milliseconds, with the direction in the lowest bit.
    fn moment(&mut self, at: Instant) {
        let (ahead, behind) = (at.checked_duration_since(self.now), self.now.duration_since(at));
        let away = ahead.unwrap_or(behind).as_millis().min(u128::from(AWAY_MAX));
        let away = u64::try_from(away).unwrap_or(AWAY_MAX);
        put_varint((away << 1) | u64::from(ahead.is_none()), self.out);
    }

    fn some_moment(&mut self, at: Option<Instant>) {
        self.out.push(u8::from(at.is_some()));
        if let Some(at) = at {
            self.moment(at);
        }
    }

    fn flags<const N: usize>(&mut self, flags: [bool; N]) {
        self.out.push(flags.iter().rev().fold(0, |all, flag| (all << 1) | u8::from(*flag)));
    }

    fn presence(&mut self, presence: Presence) {
        match presence {
            Presence::Connected { connection } => {
                self.out.push(0);
                put_varint(connection.0, self.out);
            }
            Presence::Polling { heard, waits } => {
                self.out.push(1);
                self.moment(heard);
                self.flags([waits]);
            }
            Presence::Absent { until } => {
                self.out.push(2);
                self.moment(until);
            }
            Presence::Disconnecting => self.out.push(3),
            Presence::Gone => self.out.push(4),
        }
    }

    fn route(&mut self, route: Route) {
        put_varint(u64::from(route.link.server.0), self.out);
        put_varint(u64::from(route.link.index), self.out);
        put_varint(u64::from(route.incarnation.0), self.out);
        put_varint(u64::from(route.memory.0), self.out);
    }

    fn outstanding(&mut self, record: &OutstandingRecord) {
        let OutstandingRecord { last, unanswered, announcing, left } = *record;
        self.flags([last.is_some(), announcing, left]);
        if let Some(LastSent { route, at }) = last {
            self.route(route);
            self.moment(at);
        }
        put_varint(u64::from(unanswered), self.out);
    }

    fn replies(&mut self, record: &RepliesRecord) {
        let RepliesRecord { due, owed, request } = *record;
        self.some_moment(due);
        put_varint(u64::from(owed), self.out);
        put_varint(u64::from(request), self.out);
    }

    fn full_state(&mut self, state: FullState) {
        match state {
            FullState::Reported => self.out.push(0),
            FullState::Wanted => self.out.push(1),
            FullState::Asked(at) => {
                self.out.push(2);
                self.moment(at);
            }
        }
    }

    fn questions(&mut self, record: &QuestionsRecord) {
        let QuestionsRecord { full_state, said_all, map, doubt } = *record;
        self.flags([said_all]);
        self.full_state(full_state);
        self.full_state(map);
        match doubt {
            AnswerDoubt::Settled => self.out.push(0),
            AnswerDoubt::Settling => self.out.push(1),
            AnswerDoubt::Until(at) => {
                self.out.push(2);
                self.moment(at);
            }
        }
    }

    fn replica(&mut self, replica: Option<&ReplicaState>) {
        let Some(state) = replica else { return self.out.push(0) };
        self.out.push(1);
        for set in [state.reported, state.acked, state.pending, state.in_flight, state.last_parts] {
            put_varint(u64::from(set.bits()), self.out);
        }
        self.flags([state.full_pending, state.full_given, state.map_given, state.has_map]);
        for (part, digest) in PARTS.into_iter().zip(state.digests) {
            if state.reported.contains(part) {
                self.out.extend_from_slice(&digest.0);
            }
        }
    }

    fn permits(&mut self, record: &PermitsRecord) {
        let PermitsRecord { queued, announce_due, answer_goes_first } = *record;
        self.out.push(queued.bits());
        self.flags([announce_due, answer_goes_first]);
    }

    /// Offers travel as the messages that would bring them to the agent.
    fn mailbox(&mut self, uid: InstanceUid, record: &MailboxRecord) {
        self.flags([record.renamed]);
        self.some_moment(record.in_doubt);
        let mut messages = Vec::new();
        if let Some(offers) = &record.offers {
            let mut offers = offers.clone();
            while !offers.is_empty() {
                let mut message = Vec::new();
                offers.take(uid, &Additions::default(), &mut message);
                messages.push(message);
            }
        }
        self.messages(&messages);
    }

    fn one_shots(&mut self, messages: &[Vec<u8>]) {
        self.messages(messages);
    }

    fn messages(&mut self, messages: &[Vec<u8>]) {
        put_varint(messages.len() as u64, self.out);
        for message in messages {
            put_bytes(message, self.out);
        }
    }

    fn seldom(&mut self, record: &SeldomRecord) {
        let SeldomRecord { late_reply, live_replacements } = *record;
        self.flags([late_reply.is_some()]);
        if let Some(LateReply { route, until }) = late_reply {
            self.route(route);
            self.moment(until);
        }
        self.out.push(live_replacements.in_a_row);
        self.some_moment(live_replacements.last);
    }
}

impl RecordReader<'_> {
    fn moment(&mut self) -> Read<Instant> {
        let number = self.bytes.varint(WHAT)?;
        let away = Duration::from_millis((number >> 1).min(AWAY_MAX));
        // A machine that has just started has no moment that long ago.
        let past = || self.now.checked_sub(away).unwrap_or(self.now);
        Ok(if number & 1 == 0 { self.now + away } else { past() })
    }

    fn some_moment(&mut self) -> Read<Option<Instant>> {
        Ok(if self.bytes.flag(WHAT)? { Some(self.moment()?) } else { None })
    }

    fn flags<const N: usize>(&mut self) -> Read<[bool; N]> {
        let byte = self.bytes.byte(WHAT)?;
        if byte >> N != 0 {
            return Err(Undecodable::Meaningless(WHAT));
        }
        Ok(std::array::from_fn(|place| (byte >> place) & 1 == 1))
    }

    fn presence(&mut self) -> Read<Presence> {
        Ok(match self.bytes.byte(WHAT)? {
            0 => Presence::Connected { connection: ConnectionId(self.bytes.varint(WHAT)?) },
            1 => {
                let heard = self.moment()?;
                let [waits] = self.flags()?;
                Presence::Polling { heard, waits }
            }
            2 => Presence::Absent { until: self.moment()? },
            3 => Presence::Disconnecting,
            4 => Presence::Gone,
            _ => return Err(Undecodable::Unknown(WHAT)),
        })
    }

    fn route(&mut self) -> Read<Route> {
        let server = ServerId(self.bytes.small(WHAT)?);
        let index = self.bytes.small(WHAT)?;
        let incarnation = Incarnation(self.bytes.small(WHAT)?);
        let memory = Incarnation(self.bytes.small(WHAT)?);
        Ok(Route { link: LinkId { server, index }, incarnation, memory })
    }

    fn outstanding(&mut self) -> Read<OutstandingRecord> {
        let [sent, announcing, left] = self.flags()?;
        let last = if sent {
            let route = self.route()?;
            Some(LastSent { route, at: self.moment()? })
        } else {
            None
        };
        Ok(OutstandingRecord { last, unanswered: self.bytes.small(WHAT)?, announcing, left })
    }

    fn replies(&mut self) -> Read<RepliesRecord> {
        let due = self.some_moment()?;
        let owed = self.bytes.small(WHAT)?;
        Ok(RepliesRecord { due, owed, request: self.bytes.small(WHAT)? })
    }

    fn full_state(&mut self) -> Read<FullState> {
        Ok(match self.bytes.byte(WHAT)? {
            0 => FullState::Reported,
            1 => FullState::Wanted,
            2 => FullState::Asked(self.moment()?),
            _ => return Err(Undecodable::Unknown(WHAT)),
        })
    }

    fn questions(&mut self) -> Read<QuestionsRecord> {
        let [said_all] = self.flags()?;
        let full_state = self.full_state()?;
        let map = self.full_state()?;
        let doubt = match self.bytes.byte(WHAT)? {
            0 => AnswerDoubt::Settled,
            1 => AnswerDoubt::Settling,
            2 => AnswerDoubt::Until(self.moment()?),
            _ => return Err(Undecodable::Unknown(WHAT)),
        };
        Ok(QuestionsRecord { full_state, said_all, map, doubt })
    }

    fn set(&mut self) -> Read<FieldSet> {
        self.bytes.small(WHAT).map(FieldSet::from_bits)
    }

    fn replica(&mut self) -> Read<Option<ReplicaState>> {
        if !self.bytes.flag(WHAT)? {
            return Ok(None);
        }
        let reported = self.set()?;
        let [acked, pending] = [self.set()?, self.set()?];
        let [in_flight, last_parts] = [self.set()?, self.set()?];
        let [full_pending, full_given, map_given, has_map] = self.flags()?;
        let mut digests = [Digest([0; 16]); PARTS.len()];
        for (part, digest) in PARTS.into_iter().zip(&mut digests) {
            if reported.contains(part) {
                digest.0 = self.bytes.array(WHAT)?;
            }
        }
        Ok(Some(ReplicaState {
            reported,
            acked,
            pending,
            in_flight,
            last_parts,
            full_pending,
            full_given,
            map_given,
            has_map,
            hash_counts: false,
            hash: RawHash(0),
            digests,
        }))
    }

    fn permits(&mut self) -> Read<PermitsRecord> {
        let queued = ClassSet::from_bits(self.bytes.byte(WHAT)?);
        let queued = queued.ok_or(Undecodable::Meaningless(WHAT))?;
        let [announce_due, answer_goes_first] = self.flags()?;
        Ok(PermitsRecord { queued, announce_due, answer_goes_first })
    }

    fn mailbox(&mut self) -> Read<MailboxRecord> {
        let [renamed] = self.flags()?;
        let in_doubt = self.some_moment()?;
        let mut offers = Offers::default();
        for message in self.messages()? {
            let scan = ServerScan::parse(&message).map_err(|_| Undecodable::Meaningless(WHAT))?;
            offers.absorb(&scan, ALL_OFFERS);
        }
        let offers = Some(Box::new(offers)).filter(|offers| !offers.is_empty());
        Ok(MailboxRecord { offers, in_doubt, renamed })
    }

    fn one_shots(&mut self) -> Read<Vec<Vec<u8>>> {
        self.messages()
    }

    fn messages(&mut self) -> Read<Vec<Vec<u8>>> {
        let count = self.bytes.small::<usize>(WHAT)?;
        if count > MESSAGES_MAX {
            return Err(Undecodable::TooLong(WHAT));
        }
        let read = |_| self.bytes.bytes(FRAME_BYTES_MAX, WHAT).map(<[u8]>::to_vec);
        (0..count).map(read).collect()
    }

    fn seldom(&mut self) -> Read<SeldomRecord> {
        let [is_late] = self.flags()?;
        let late_reply = if is_late {
            let route = self.route()?;
            Some(LateReply { route, until: self.moment()? })
        } else {
            None
        };
        let in_a_row = self.bytes.byte(WHAT)?;
        let live_replacements = LiveReplacementsRecord { in_a_row, last: self.some_moment()? };
        Ok(SeldomRecord { late_reply, live_replacements })
    }
}
