//! Sessions that come from a shard's former home. They wait, out of the table, until the map gives the shard to this
//! node; then they go on where they stopped. Their agents' fronts have yet to attach here.
//!
//! ```text
//!              a frame, or "receive"            all are here, and "receive"       install
//!   (none) ──────────────────────────► coming ─────────────────────────────► complete ───► in the table
//!      ▲                                  │ a later attempt: from the beginning      │
//!      └──────────── discard ─────────────┴──────────────────────────────────────────┘
//! ```
//!
//! That links of their former home end meanwhile waits with them.

use std::collections::{HashMap, HashSet};
use std::time::Instant;

use parking_lot::Mutex;

use super::ShardMoves;
use super::early_words::EarlyWords;
use super::shards::ShardStage;
use crate::clock;
use crate::core::attachment::HomeRecord;
use crate::core::codec::Undecodable;
use crate::core::node_link::{ContentName, LetGo, MovingSession, ToNewHome, ToNext};
use crate::core::ownership::{MoveNumber, NodeIncarnation, ShardId, shard_of};
use crate::core::session::SessionRecord;
use crate::ident::InstanceUid;
use crate::opamp::field_set::FieldSet;
use crate::telemetry::events::homes::ArrivalVoid;

/// Bytes of all sessions that wait to be installed. An attempt that would take more is void: the shard stays where it
/// is.
const BYTES_MAX: usize = 512 << 20;
/// What a session costs beside its bytes. An estimate.
const SESSION_BYTES: usize = 1 << 10;

/// See the module's text. At most one attempt of each shard.
#[derive(Debug, Default)]
pub(in crate::sessions) struct Arrivals(Mutex<AllArrivals>);

#[derive(Debug, Default)]
struct AllArrivals {
    shards: HashMap<ShardId, ComingSessions>,
    bytes: usize,
}

/// The sessions of one shard, in one attempt.
#[derive(Debug)]
struct ComingSessions {
    from: NodeIncarnation,
    attempt: MoveNumber,
    /// The map may give this node the shard.
    is_wanted: bool,
    /// It took too much room.
    is_void: bool,
    sessions: Vec<ArrivedSession>,
    /// The agents that were named, also agents whose sessions have ended.
    named: HashSet<InstanceUid>,
    contents: HashMap<ContentName, Box<[u8]>>,
    expected: Option<u64>,
    bytes: usize,
    early: EarlyWords,
}

/// A session that has come, and the names of its contents.
#[derive(Debug)]
pub(super) struct ArrivedSession {
    pub(super) record: SessionRecord,
    pub(super) attachment: HomeRecord,
    pub(super) tell_again: FieldSet,
    pub(super) contents: Vec<(u32, ContentName)>,
}

/// All sessions of a shard.
pub(super) struct CompleteArrival {
    pub(super) from: NodeIncarnation,
    pub(super) sessions: Vec<ArrivedSession>,
    pub(super) contents: HashMap<ContentName, Box<[u8]>>,
}

impl ComingSessions {
    fn new(from: NodeIncarnation, attempt: MoveNumber, is_wanted: bool) -> Self {
        Self {
            from,
            attempt,
            is_wanted,
            is_void: false,
            sessions: Vec::new(),
            named: HashSet::new(),
            contents: HashMap::new(),
            expected: None,
            bytes: 0,
            early: EarlyWords::default(),
        }
    }

    fn is_complete(&self) -> bool {
        self.is_wanted && !self.is_void && self.expected == Some(self.named.len() as u64)
    }

    /// Takes a frame. Returns how many bytes it adds.
    fn take(&mut self, message: &ToNewHome<'_>, now: Instant) -> Result<usize, Undecodable> {
        let before = self.bytes;
        match message {
            ToNewHome::Session(_, uid, session) => {
                if self.named.insert(*uid)
                    && let Some(session) = session
                {
                    self.sessions.push(ArrivedSession::read(session, now)?);
                    self.bytes += SESSION_BYTES + session.session.len() + session.attachment.len();
                }
            }
            ToNewHome::Content(_, _, content) => {
                if self.contents.insert(content.name, content.bytes.into()).is_none() {
                    self.bytes += content.bytes.len();
                }
            }
            ToNewHome::End(_, _, count) => self.expected = Some(*count),
        }
        Ok(self.bytes - before)
    }
}

impl ArrivedSession {
    fn read(session: &MovingSession<'_>, now: Instant) -> Result<Self, Undecodable> {
        Ok(Self {
            record: SessionRecord::decode(session.session, now)?,
            attachment: HomeRecord::decode(session.attachment)?,
            tell_again: session.tell_again,
            contents: session.contents.iter().collect(),
        })
    }
}

impl AllArrivals {
    fn remove(&mut self, shard: ShardId) -> Option<ComingSessions> {
        let arrival = self.shards.remove(&shard)?;
        self.bytes -= arrival.bytes;
        Some(arrival)
    }

    /// Another attempt takes the place of what is here, if anything is. What the same node has said of its links goes on
    /// waiting.
    fn begin(&mut self, shard: ShardId, coming: ComingSessions) -> &mut ComingSessions {
        let before = self.remove(shard).filter(|before| before.from == coming.from);
        let early = before.map(|before| before.early).unwrap_or_default();
        self.shards.entry(shard).insert_entry(ComingSessions { early, ..coming }).into_mut()
    }

    /// The arrival that a frame belongs to. `None`: it is of an earlier attempt, or of another node than is wanted.
    /// A later attempt takes the place of what is here: it has yet to be said to be wanted.
    fn of_frame(
        &mut self,
        shard: ShardId,
        from: NodeIncarnation,
        attempt: MoveNumber,
    ) -> Option<&mut ComingSessions> {
        let known = self.shards.get(&shard).map(|it| (it.from, it.attempt, it.is_wanted));
        match known {
            Some((node, _, true)) if node != from => None,
            Some((node, known, _)) if node == from && attempt < known => None,
            Some((node, known, _)) if node == from && attempt == known => {
                self.shards.get_mut(&shard)
            }
            _ => Some(self.begin(shard, ComingSessions::new(from, attempt, false))),
        }
    }
}

impl Arrivals {
    /// The sessions of this shard come from that node, in this attempt. Some may be here already; if some of a later
    /// attempt are, this one is over.
    pub(in crate::sessions) fn receive(
        &self,
        shard: ShardId,
        from: NodeIncarnation,
        attempt: MoveNumber,
    ) {
        let all = &mut *self.0.lock();
        match all.shards.get_mut(&shard) {
            Some(it) if it.from == from && it.attempt >= attempt => {
                it.is_wanted |= it.attempt == attempt;
            }
            _ => {
                all.begin(shard, ComingSessions::new(from, attempt, true));
            }
        }
    }

    /// Whether all sessions of a shard are here that this attempt brings.
    pub(in crate::sessions) fn has_received(&self, shard: ShardId, attempt: MoveNumber) -> bool {
        let all = self.0.lock();
        all.shards.get(&shard).is_some_and(|it| it.attempt == attempt && it.is_complete())
    }

    /// The sessions that have come are void.
    pub(in crate::sessions) fn discard(&self, shard: ShardId) {
        self.0.lock().remove(shard);
    }

    /// Takes the sessions out. What their former home says of its links goes on waiting, until [`Arrivals::end`].
    fn take_sessions(&self, shard: ShardId) -> Option<ComingSessions> {
        let all = &mut *self.0.lock();
        let arrival = all.shards.get_mut(&shard)?;
        let early = std::mem::take(&mut arrival.early);
        let nothing = ComingSessions::new(arrival.from, arrival.attempt, arrival.is_wanted);
        let taken = std::mem::replace(arrival, ComingSessions { early, ..nothing });
        all.bytes -= taken.bytes;
        Some(taken)
    }

    /// The sessions are in the table, or void. Returns what their former home has said meanwhile.
    pub(super) fn end(&self, shard: ShardId) -> Option<(NodeIncarnation, EarlyWords)> {
        let arrival = self.0.lock().remove(shard)?;
        Some((arrival.from, arrival.early))
    }

    /// Keeps a former home's word that links have ended which sessions on their way here rest on. `true`: it is about
    /// nothing else.
    pub(in crate::sessions) fn keep_word(
        &self,
        from: NodeIncarnation,
        said: &ToNext<'_>,
        frame: &[u8],
    ) -> bool {
        let all = &mut *self.0.lock();
        let keep = |arrival: &mut ComingSessions| arrival.early.put(frame);
        match *said {
            ToNext::LetGo(LetGo { uid, .. }) => {
                let arrival = all.shards.get_mut(&shard_of(uid));
                arrival.filter(|arrival| arrival.from == from).map(keep).is_some()
            }
            ToNext::LinkEnded(_) => {
                let its = all.shards.values_mut().filter(|arrival| arrival.from == from);
                its.for_each(keep);
                false
            }
            // It waits apart, whether sessions come or not.
            ToNext::ServerSaid(_) | ToNext::WordTaken(_) => false,
        }
    }
}

impl ShardMoves<'_> {
    /// A node that hands a shard over says something. Returns the shard and the attempt if all its sessions are here
    /// with this.
    pub(in crate::sessions) fn take_session(
        self,
        from: NodeIncarnation,
        message: &ToNewHome<'_>,
    ) -> Result<Option<(ShardId, MoveNumber)>, Undecodable> {
        let (shard, attempt) = match message {
            ToNewHome::Session(attempt, uid, _) => (shard_of(*uid), *attempt),
            ToNewHome::Content(attempt, shard, _) | ToNewHome::End(attempt, shard, _) => {
                (*shard, *attempt)
            }
        };
        if self.joined.homes.shards.stage(shard) != ShardStage::NotHeld {
            return Ok(None);
        }
        let all = &mut *self.joined.homes.arrivals.0.lock();
        let free = BYTES_MAX.saturating_sub(all.bytes);
        let Some(arrival) = all.of_frame(shard, from, attempt) else { return Ok(None) };
        if arrival.is_void {
            return Ok(None);
        }
        let added = arrival.take(message, clock::now())?;
        if added > free {
            ArrivalVoid { shard }.emit();
            let void = ComingSessions {
                is_void: true,
                ..ComingSessions::new(from, attempt, arrival.is_wanted)
            };
            let former = std::mem::replace(arrival, void);
            all.bytes -= former.bytes - added;
            return Ok(None);
        }
        let is_complete = arrival.is_complete();
        all.bytes += added;
        Ok(is_complete.then_some((shard, attempt)))
    }

    /// Takes the sessions of a shard that an attempt has brought, and the node that they came from; `None`: they are not
    /// all here.
    pub(super) fn take_arrivals(
        self,
        shard: ShardId,
        attempt: MoveNumber,
    ) -> Option<CompleteArrival> {
        let arrival = self.joined.homes.arrivals.take_sessions(shard)?;
        if arrival.attempt != attempt || !arrival.is_complete() {
            return None;
        }
        let ComingSessions { sessions, contents, from, .. } = arrival;
        Some(CompleteArrival { from, sessions, contents })
    }
}
