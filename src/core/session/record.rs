//! A session as plain values: everything that its decisions rest on. A session that is made from the record of
//! another behaves as that one would have. Its bytes are `encoding`'s.
//!
//! What is stored of the agent's state belongs to the record's holder, as do the agent's connection and the
//! session's place in its server's queue.

mod encoding;

use std::time::Instant;

use super::clones::Speakers;
use super::cold::Cold;
use super::greeting::Greeting;
use super::mailbox::Mailbox;
use super::numbers::Numbers;
use super::one_shots::OneShots;
use super::outstanding::Outstanding;
use super::permits::Permits;
use super::presence::{Attendance, LiveReplacements};
use super::questions::{MapQuestion, Questions};
use super::replica::Replica;
use super::replies::Replies;
use super::uid_requests::UidRequests;
use super::{
    FormerHome, LastSaid, LateReply, LiveReplacementsRecord, MailboxRecord, OfferSource,
    OutstandingRecord, PermitsRecord, Presence, QuestionsRecord, ReplicaState, RepliesRecord,
    Rhythm, Session,
};
use crate::ident::{InstanceUid, SequenceNum};
use crate::opamp::digest::Digest;
use crate::opamp::field_set::agent_field::STATE_PARTS;

/// See the module's text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionRecord {
    /// The agent.
    pub uid: InstanceUid,
    /// `AgentToServer.capabilities` as last reported.
    pub capabilities: u64,
    /// Whether the agent is there.
    pub presence: Presence,
    /// The agent was ordered to another node.
    pub drains: bool,
    /// The agent has the server's greeting on its present connection.
    pub greeted: bool,
    /// The agent's last number.
    pub agent_number: Option<SequenceNum>,
    /// The last number used towards the server.
    pub upstream_number: SequenceNum,
    /// Messages that the server has yet to answer.
    pub outstanding: OutstandingRecord,
    /// Replies that the agent is owed.
    pub replies: RepliesRecord,
    /// What the agent has to be asked for.
    pub questions: QuestionsRecord,
    /// What of the agent's state the server has; `None` before the first report.
    pub replica: Option<ReplicaState>,
    /// Where the session waits for permits.
    pub permits: PermitsRecord,
    /// What waits for the agent.
    pub mailbox: MailboxRecord,
    /// One-shot messages that wait for the server, in order.
    pub one_shots: Vec<Vec<u8>>,
    /// What seldom happens.
    pub seldom: SeldomRecord,
}

/// The part of a record that came with later versions: what an older node neither writes nor reads, and what does no harm
/// if it is lost.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct AddedRecord {
    /// How often the agent gives a sign of life.
    pub rhythm: Rhythm,
    /// The agent's last message only said that it is alive.
    pub last_was_heartbeat: bool,
    /// When a server's question was last passed on to the agent.
    pub question_passed_on: Option<Instant>,
}

/// The part of a record that is empty for most sessions.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SeldomRecord {
    /// Answers to an earlier session may still come.
    pub late_reply: Option<LateReply>,
    /// Replaced connections that proved to be alive.
    pub live_replacements: LiveReplacementsRecord,
    /// What is under way at the homes before this one.
    pub former_home: Option<FormerHome>,
    /// Whose link has brought the latest offer.
    pub offer_of: Option<OfferSource>,
    /// What the first versions leave out. It comes last.
    pub added: AddedRecord,
}

impl SessionRecord {
    /// The digest of a part that the agent has reported.
    pub fn digest_of(&self, part: u32) -> Option<Digest> {
        let state = self.replica.as_ref().filter(|state| state.reported.contains(part))?;
        let place = STATE_PARTS.iter().position(|known| *known == part)?;
        Some(state.digests[place])
    }
}

/// The next home knows nothing of offers that were dropped: the server hears of them with the move.
fn replica_record(replica: &Replica, has_dropped: bool) -> Option<ReplicaState> {
    let record = replica.to_record();
    if !has_dropped {
        return record;
    }
    let mut replica = Replica::from_record(record);
    replica.tell_all_again();
    replica.to_record()
}

impl Session {
    /// Writes everything down that the session's decisions rest on.
    pub fn to_record(&self) -> SessionRecord {
        let none = Cold::default();
        let cold = self.cold.as_deref().unwrap_or(&none);
        SessionRecord {
            uid: self.uid,
            capabilities: self.capabilities,
            presence: self.attendance.presence(),
            drains: self.drains,
            greeted: self.greeting.is_told(),
            agent_number: self.numbers.agent(),
            upstream_number: self.numbers.upstream(),
            outstanding: self.outstanding.to_record(),
            replies: self.replies.to_record(),
            questions: QuestionsRecord {
                full_state: self.questions.full_state(),
                said_all: self.questions.said_all(),
                map: cold.map.to_record(),
                doubt: cold.doubt,
            },
            replica: replica_record(&self.replica, cold.mailbox.has_dropped()),
            permits: self.permits.to_record(),
            mailbox: cold.mailbox.to_record(self.last_ping),
            one_shots: cold.one_shots.to_record(),
            seldom: SeldomRecord {
                late_reply: cold.late_reply,
                live_replacements: cold.live.to_record(),
                former_home: cold.former_home,
                offer_of: cold.offer_of,
                added: AddedRecord {
                    rhythm: self.rhythm,
                    last_was_heartbeat: self.last_said.was_heartbeat,
                    question_passed_on: cold.question_passed_on,
                },
            },
        }
    }

    /// Makes the session that the record was written from.
    pub fn from_record(record: SessionRecord) -> Self {
        let (last_ping, added) = (record.mailbox.last_ping, record.seldom.added);
        let cold = Cold {
            // Found out anew where it goes.
            offer_limit: None,
            mailbox: Mailbox::from_record(record.mailbox),
            one_shots: OneShots::from_record(record.one_shots),
            map: MapQuestion::from_record(record.questions.map),
            doubt: record.questions.doubt,
            late_reply: record.seldom.late_reply,
            former_home: record.seldom.former_home,
            offer_of: record.seldom.offer_of,
            // The next home tells what there is.
            awaits_all: None,
            live: LiveReplacements::from_record(&record.seldom.live_replacements),
            question_passed_on: added.question_passed_on,
            // Those that ask are there, and ask again.
            uid_requests: UidRequests::default(),
            speakers: Speakers::default(),
        };
        let QuestionsRecord { full_state, said_all, .. } = record.questions;
        Self {
            uid: record.uid,
            capabilities: record.capabilities,
            attendance: Attendance::restored(record.presence),
            numbers: Numbers::from_record(record.agent_number, record.upstream_number),
            outstanding: Outstanding::from_record(&record.outstanding),
            replies: Replies::from_record(&record.replies),
            questions: Questions::from_record(full_state, said_all),
            replica: Replica::from_record(record.replica),
            cold: (!cold.is_default()).then(|| Box::new(cold)),
            permits: Permits::from_record(&record.permits),
            greeting: Greeting::restored(record.greeted),
            drains: record.drains,
            // It has said something since it may have been told gone.
            last_said: LastSaid { was_heartbeat: added.last_was_heartbeat, is_told_gone: false },
            rhythm: added.rhythm,
            last_ping,
        }
    }
}
