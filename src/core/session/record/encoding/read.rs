//! Reads the parts of a record.

use std::time::{Duration, Instant};

use super::{AWAY_MAX, FEW_MAX, MESSAGES_MAX, WHAT};
use crate::core::codec::{ByteReader, Undecodable};
use crate::core::node_link::FRAME_BYTES_MAX;
use crate::core::session::customs::SentStates;
use crate::core::session::parts::PARTS;
use crate::core::session::{
    AddedRecord, AnswerDoubt, ClassSet, Doubt, Doubts, FormerHome, FormerLink, FullState, LastSent,
    LateReply, LiveReplacementsRecord, MailboxRecord, Memory, OfferSource, OutstandingRecord, Peer,
    PermitsRecord, Presence, QuestionsRecord, ReplicaState, RepliesRecord, Rhythm, Route,
    SeldomRecord, Written,
};
use crate::ident::{ConnectionId, Incarnation, LinkId, ServerId};
use crate::opamp::digest::{Digest, RawHash};
use crate::opamp::field_set::FieldSet;
use crate::opamp::offers::{Offers, OffersLimits};
use crate::opamp::server::ServerScan;

/// Bounds were checked where the offers came in.
const ALL_OFFERS: OffersLimits =
    OffersLimits { bytes_max: usize::MAX, custom_messages_max: MESSAGES_MAX };

type Read<T> = Result<T, Undecodable>;

/// Reads what a `RecordWriter` wrote.
pub(super) struct RecordReader<'a> {
    pub(super) now: Instant,
    pub(super) bytes: ByteReader<'a>,
}

impl RecordReader<'_> {
    pub(super) fn moment(&mut self) -> Read<Instant> {
        let number = self.bytes.varint(WHAT)?;
        let away = Duration::from_millis((number >> 1).min(AWAY_MAX));
        // A machine that has just started has no moment that long ago.
        let past = || self.now.checked_sub(away).unwrap_or(self.now);
        Ok(if number & 1 == 0 { self.now + away } else { past() })
    }

    pub(super) fn some_moment(&mut self) -> Read<Option<Instant>> {
        Ok(if self.bytes.flag(WHAT)? { Some(self.moment()?) } else { None })
    }

    pub(super) fn flags<const N: usize>(&mut self) -> Read<[bool; N]> {
        let byte = self.bytes.byte(WHAT)?;
        if byte >> N != 0 {
            return Err(Undecodable::Meaningless(WHAT));
        }
        Ok(std::array::from_fn(|place| (byte >> place) & 1 == 1))
    }

    pub(super) fn presence(&mut self) -> Read<Presence> {
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

    pub(super) fn route(&mut self) -> Read<Route> {
        let server = ServerId(self.bytes.small(WHAT)?);
        let index = self.bytes.small(WHAT)?;
        let incarnation = Incarnation(self.bytes.small(WHAT)?);
        let (kind, number) = (self.bytes.byte(WHAT)?, self.bytes.small(WHAT)?);
        let memory = match kind {
            0 => Memory::Own(Incarnation(number)),
            1 => Memory::Elsewhere(Peer::from_bits(number)),
            2 => Memory::Inherited(Peer::from_bits(number)),
            3 => Memory::Forgotten(Peer::from_bits(number)),
            _ => return Err(Undecodable::Unknown(WHAT)),
        };
        Ok(Route { link: LinkId { server, index }, incarnation, memory })
    }

    pub(super) fn outstanding(&mut self) -> Read<OutstandingRecord> {
        let [sent, announcing, left] = self.flags()?;
        let last = if sent {
            let route = self.route()?;
            Some(LastSent { route, at: self.moment()? })
        } else {
            None
        };
        let unanswered = self.bytes.small(WHAT)?;
        let former = self.some(Self::former_link)?;
        Ok(OutstandingRecord { last, unanswered, announcing, left, former })
    }

    fn former_link(&mut self) -> Read<FormerLink> {
        let home = Peer::from_bits(self.bytes.small(WHAT)?);
        Ok(FormerLink { home, incarnation: Incarnation(self.bytes.small(WHAT)?) })
    }

    /// A few of the same kind.
    fn some<T>(&mut self, read: impl Fn(&mut Self) -> Read<T>) -> Read<Vec<T>> {
        let count = self.bytes.small::<usize>(WHAT)?;
        if count > FEW_MAX {
            return Err(Undecodable::TooLong(WHAT));
        }
        (0..count).map(|_| read(self)).collect()
    }

    pub(super) fn replies(&mut self) -> Read<RepliesRecord> {
        let due = self.some_moment()?;
        let owed = self.bytes.small(WHAT)?;
        Ok(RepliesRecord { due, owed, request: self.bytes.small(WHAT)? })
    }

    pub(super) fn full_state(&mut self) -> Read<FullState> {
        Ok(match self.bytes.byte(WHAT)? {
            0 => FullState::Reported,
            1 => FullState::Wanted,
            2 => FullState::Asked(self.moment()?),
            _ => return Err(Undecodable::Unknown(WHAT)),
        })
    }

    pub(super) fn questions(&mut self) -> Read<QuestionsRecord> {
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

    pub(super) fn set(&mut self) -> Read<FieldSet> {
        self.bytes.small(WHAT).map(FieldSet::from_bits)
    }

    pub(super) fn replica(&mut self) -> Read<Option<ReplicaState>> {
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
            remembered: FieldSet::EMPTY,
            pending,
            in_flight,
            last_parts,
            full_pending,
            full_given,
            map_given,
            is_content: false,
            customs: SentStates::EMPTY,
            has_map,
            hash_counts: false,
            hash: RawHash(0),
            digests,
        }))
    }

    pub(super) fn permits(&mut self) -> Read<PermitsRecord> {
        let queued = ClassSet::from_bits(self.bytes.byte(WHAT)?);
        let queued = queued.ok_or(Undecodable::Meaningless(WHAT))?;
        let [announce_due, answer_goes_first] = self.flags()?;
        Ok(PermitsRecord { queued, announce_due, answer_goes_first })
    }

    pub(super) fn mailbox(&mut self) -> Read<MailboxRecord> {
        let [renamed] = self.flags()?;
        let (last_ping, in_doubt) = (self.bytes.small(WHAT)?, self.some_moment()?);
        let mut offers = Offers::default();
        for message in self.messages()? {
            let scan = ServerScan::parse(&message).map_err(|_| Undecodable::Meaningless(WHAT))?;
            offers.absorb(&scan, ALL_OFFERS);
        }
        let offers = Some(Box::new(offers)).filter(|offers| !offers.is_empty());
        let count = self.count()?;
        let unconfirmed = (0..count).map(|_| self.written()).collect::<Read<_>>()?;
        Ok(MailboxRecord { offers, unconfirmed, last_ping, in_doubt, renamed })
    }

    fn written(&mut self) -> Read<Written> {
        let (ping, at) = (self.bytes.small(WHAT)?, self.moment()?);
        let [in_answer] = self.flags()?;
        Ok(Written {
            ping,
            at,
            in_answer,
            message: self.bytes.bytes(FRAME_BYTES_MAX, WHAT)?.into(),
        })
    }

    fn count(&mut self) -> Read<usize> {
        let count = self.bytes.small::<usize>(WHAT)?;
        if count > MESSAGES_MAX { Err(Undecodable::TooLong(WHAT)) } else { Ok(count) }
    }

    pub(super) fn one_shots(&mut self) -> Read<Vec<Vec<u8>>> {
        self.messages()
    }

    pub(super) fn messages(&mut self) -> Read<Vec<Vec<u8>>> {
        let count = self.count()?;
        let read = |_| self.bytes.bytes(FRAME_BYTES_MAX, WHAT).map(<[u8]>::to_vec);
        (0..count).map(read).collect()
    }

    pub(super) fn seldom(&mut self) -> Read<SeldomRecord> {
        let [is_late, has_moved_lately, has_offer] = self.flags()?;
        let late_reply = if is_late {
            let route = self.route()?;
            Some(LateReply { route, until: self.moment()? })
        } else {
            None
        };
        let in_a_row = self.bytes.byte(WHAT)?;
        let live_replacements = LiveReplacementsRecord { in_a_row, last: self.some_moment()? };
        let former_home = if has_moved_lately { Some(self.former_home()?) } else { None };
        let offer_of = if has_offer {
            let home: u32 = self.bytes.small(WHAT)?;
            let former = OfferSource::Former(Peer::from_bits(home));
            Some(if home == 0 { OfferSource::Here } else { former })
        } else {
            None
        };
        let added = self.added()?;
        Ok(SeldomRecord { late_reply, live_replacements, former_home, offer_of, added })
    }

    /// An older node's record ends before this.
    fn added(&mut self) -> Read<AddedRecord> {
        if self.bytes.rest().is_empty() {
            return Ok(AddedRecord::default());
        }
        let offered_s = self.bytes.small(WHAT)?;
        let rhythm = Rhythm { offered_s, observed_s: self.bytes.small(WHAT)? };
        let [last_was_heartbeat] = self.flags()?;
        Ok(AddedRecord { rhythm, last_was_heartbeat, question_passed_on: self.some_moment()? })
    }

    fn former_home(&mut self) -> Read<FormerHome> {
        let home = Peer::from_bits(self.bytes.small(WHAT)?);
        let mut doubts = Doubts::default();
        for doubt in self.some(Self::doubt)? {
            doubts.add(doubt);
        }
        let silent_until = self.some_moment()?;
        let until = self.moment()?;
        let renames = self.bytes.byte(WHAT)?;
        Ok(FormerHome { home, doubts, silent_until, until, renames })
    }

    fn doubt(&mut self) -> Read<Doubt> {
        let FormerLink { home, incarnation } = self.former_link()?;
        let parts = self.set()?;
        Ok(Doubt { home, incarnation, parts, unanswered: self.bytes.small(WHAT)? })
    }
}
