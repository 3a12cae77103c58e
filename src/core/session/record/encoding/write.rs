//! Writes the parts of a record.

use std::time::Instant;

use super::AWAY_MAX;
use crate::core::codec::{put_bytes, put_varint};
use crate::core::session::parts::PARTS;
use crate::core::session::{
    AddedRecord, AnswerDoubt, Doubt, FormerHome, FormerLink, FullState, LastSent, LateReply,
    MailboxRecord, Memory, OfferSource, OutstandingRecord, PermitsRecord, Presence,
    QuestionsRecord, ReplicaState, RepliesRecord, Route, SeldomRecord, Written,
};
use crate::ident::InstanceUid;
use crate::opamp::splice::Additions;

/// Writes values for a reader that reads at `now`.
pub(super) struct RecordWriter<'a> {
    pub(super) now: Instant,
    pub(super) out: &'a mut Vec<u8>,
}

impl RecordWriter<'_> {
    /// Milliseconds, with the direction in the lowest bit.
    pub(super) fn moment(&mut self, at: Instant) {
        let (ahead, behind) = (at.checked_duration_since(self.now), self.now.duration_since(at));
        let away = ahead.unwrap_or(behind).as_millis().min(u128::from(AWAY_MAX));
        let away = u64::try_from(away).unwrap_or(AWAY_MAX);
        put_varint((away << 1) | u64::from(ahead.is_none()), self.out);
    }

    pub(super) fn some_moment(&mut self, at: Option<Instant>) {
        self.out.push(u8::from(at.is_some()));
        if let Some(at) = at {
            self.moment(at);
        }
    }

    pub(super) fn flags<const N: usize>(&mut self, flags: [bool; N]) {
        self.out.push(flags.iter().rev().fold(0, |all, flag| (all << 1) | u8::from(*flag)));
    }

    pub(super) fn presence(&mut self, presence: Presence) {
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

    pub(super) fn route(&mut self, route: Route) {
        put_varint(u64::from(route.link.server.0), self.out);
        put_varint(u64::from(route.link.index), self.out);
        put_varint(u64::from(route.incarnation.0), self.out);
        let (kind, number) = match route.memory {
            Memory::Own(memory) => (0, memory.0),
            Memory::Elsewhere(peer) => (1, peer.bits()),
            Memory::Inherited(peer) => (2, peer.bits()),
            Memory::Forgotten(peer) => (3, peer.bits()),
        };
        self.out.push(kind);
        put_varint(u64::from(number), self.out);
    }

    fn former_link(&mut self, FormerLink { home, incarnation }: FormerLink) {
        put_varint(u64::from(home.bits()), self.out);
        put_varint(u64::from(incarnation.0), self.out);
    }

    pub(super) fn outstanding(&mut self, record: &OutstandingRecord) {
        let OutstandingRecord { last, unanswered, announcing, left, .. } = *record;
        self.flags([last.is_some(), announcing, left]);
        if let Some(LastSent { route, at }) = last {
            self.route(route);
            self.moment(at);
        }
        put_varint(u64::from(unanswered), self.out);
        put_varint(record.former.len() as u64, self.out);
        record.former.iter().for_each(|link| self.former_link(*link));
    }

    pub(super) fn replies(&mut self, record: &RepliesRecord) {
        let RepliesRecord { due, owed, request } = *record;
        self.some_moment(due);
        put_varint(u64::from(owed), self.out);
        put_varint(u64::from(request), self.out);
    }

    pub(super) fn full_state(&mut self, state: FullState) {
        match state {
            FullState::Reported => self.out.push(0),
            FullState::Wanted => self.out.push(1),
            FullState::Asked(at) => {
                self.out.push(2);
                self.moment(at);
            }
        }
    }

    pub(super) fn questions(&mut self, record: &QuestionsRecord) {
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

    pub(super) fn replica(&mut self, replica: Option<&ReplicaState>) {
        let Some(state) = replica else { return self.out.push(0) };
        self.out.push(1);
        // What the server may have forgotten is doubtful elsewhere.
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

    pub(super) fn permits(&mut self, record: &PermitsRecord) {
        let PermitsRecord { queued, announce_due, answer_goes_first } = *record;
        self.out.push(queued.bits());
        self.flags([announce_due, answer_goes_first]);
    }

    /// Offers travel as the messages that would bring them to the agent.
    pub(super) fn mailbox(&mut self, uid: InstanceUid, record: &MailboxRecord) {
        self.flags([record.renamed]);
        put_varint(u64::from(record.last_ping), self.out);
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
        put_varint(record.unconfirmed.len() as u64, self.out);
        for Written { ping, at, in_answer, message } in &record.unconfirmed {
            put_varint(u64::from(*ping), self.out);
            self.moment(*at);
            self.flags([*in_answer]);
            put_bytes(message, self.out);
        }
    }

    pub(super) fn one_shots(&mut self, messages: &[Vec<u8>]) {
        self.messages(messages);
    }

    pub(super) fn messages(&mut self, messages: &[Vec<u8>]) {
        put_varint(messages.len() as u64, self.out);
        for message in messages {
            put_bytes(message, self.out);
        }
    }

    pub(super) fn seldom(&mut self, record: &SeldomRecord) {
        let SeldomRecord { late_reply, live_replacements, former_home, offer_of, added } = *record;
        self.flags([late_reply.is_some(), former_home.is_some(), offer_of.is_some()]);
        if let Some(LateReply { route, until }) = late_reply {
            self.route(route);
            self.moment(until);
        }
        self.out.push(live_replacements.in_a_row);
        self.some_moment(live_replacements.last);
        former_home.iter().for_each(|former| self.former_home(former));
        if let Some(source) = offer_of {
            // No node is called 0.
            let home = if let OfferSource::Former(home) = source { home.bits() } else { 0 };
            put_varint(u64::from(home), self.out);
        }
        self.added(added);
    }

    fn added(&mut self, record: AddedRecord) {
        let AddedRecord { rhythm, last_was_heartbeat, question_passed_on } = record;
        put_varint(u64::from(rhythm.offered_s), self.out);
        put_varint(u64::from(rhythm.observed_s), self.out);
        self.flags([last_was_heartbeat]);
        self.some_moment(question_passed_on);
    }

    fn former_home(&mut self, former: &FormerHome) {
        let FormerHome { home, doubts, silent_until, until, renames } = *former;
        put_varint(u64::from(home.bits()), self.out);
        put_varint(doubts.iter().count() as u64, self.out);
        for Doubt { home, incarnation, parts, unanswered } in doubts.iter() {
            self.former_link(FormerLink { home, incarnation });
            put_varint(u64::from(parts.bits()), self.out);
            put_varint(u64::from(unanswered), self.out);
        }
        self.some_moment(silent_until);
        self.moment(until);
        self.out.push(renames);
    }
}
