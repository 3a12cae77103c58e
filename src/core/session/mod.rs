//! What the gateway knows of one agent, and every decision that follows from it.
//!
//! A session outlives the agent's connection. It is made of parts, each of which owns its state:
//!
//! | part | owns | rules |
//! |---|---|---|
//! | `presence` | whether the agent is there, and how long its absence is excused | R8, R10 |
//! | `numbers` | the agent's number and the one towards the server | R3 |
//! | `replies` | replies that the agent is owed, and when the gateway gives them itself | R5 |
//! | `replica` | what of the agent's state the server has | R1, R2, R4 |
//! | `questions` | what the agent has to be asked for | R3, R4 |
//! | `outstanding` | messages that the server has yet to answer, and where they went | R6 |
//! | `permits` | the classes in which the session waits for its server | R6, R9 |
//! | `mailbox`, `giving_way` | offers that wait for the agent, and what it has yet to confirm; who gives way | R7, R11 |
//! | `one_shots`, `reading_less` | custom messages and requests that wait for the server; when the agent is read no further | R6 |
//! | `customs`, `custom_states` | which custom messages are states, and what the server has of them | R6 |
//! | `late_replies` | answers to an earlier session of the same agent | R6 |
//! | `rhythm` | how often the agent gives a sign of life | R8, R9 |
//! | `farewells` | ends of which servers were told | R3, R8 |
//! | `former_links` | on which links of former homes the server has heard of the agent | R6 |
//! | `former_home` | what is still under way at the homes that the session came from | R6 |
//!
//! Each event has one entry, a method of [`Session`]. It takes the event, the [`Moment`] and a
//! [`Port`]. The session sends its effects through the port in the order in which they must happen;
//! the port's owner carries each out before it returns. The table of sessions does so with
//! the session locked: that is how numbers and bytes leave in the same order. The rules R1 to R11 are
//! those of docs/PROTOCOL.md.

mod agent_message;
mod at_front;
mod clones;
mod cold;
mod compare;
mod connections;
mod custom_states;
mod customs;
mod deadlines;
mod delta;
mod doubts;
mod drain;
mod farewells;
mod former_home;
mod former_links;
mod forward;
mod giving_way;
mod greeting;
mod held_back;
mod info;
mod late_replies;
mod liveness;
mod mailbox;
mod moved_here;
mod numbers;
mod offer_size;
mod one_shots;
mod outstanding;
mod parts;
mod permit_granted;
mod permits;
mod polling;
mod port;
mod presence;
mod question_budget;
mod questions;
mod reading_less;
mod record;
mod replica;
mod replies;
mod rhythm;
mod route;
mod server_asks;
mod server_message;
mod uid_requests;
mod wanted;
mod work;

#[cfg(test)]
mod tests;

use std::time::{Duration, Instant};

pub use agent_message::{AgentMessage, MessageSource};
pub use at_front::{AtFront, follows, has_reported, told_parts};
pub use connections::{Opened, is_cloned};
pub use customs::{CustomKind, SentStates};
pub use delta::ReportDigests;
pub use doubts::{Doubt, Doubts};
pub use drain::Forgets;
pub use farewells::{Farewell, Farewells, succeed};
pub use former_home::FormerHome;
pub use former_links::{FormerLink, Move, OfferSource};
pub use giving_way::{evict_offers, give_way};
pub use greeting::ServerHello;
pub use held_back::{part_freed, part_held};
pub use info::{SessionFigures, SessionInfo};
pub use late_replies::{LateReplies, LateReply};
pub use mailbox::{MailboxRecord, Written};
pub use moved_here::{FormerLinksEnded, Moved};
pub use offer_size::offer_refused;
pub use outstanding::{Answer, LastSent, OutstandingRecord};
pub use parts::ForwardPlan;
pub(crate) use parts::reports_map;
pub use permit_granted::PermitUse;
pub use permits::{ClassSet, PermitsRecord};
pub use polling::{Polled, Probe};
pub use port::{
    CustomLoss, Departure, FreeBytes, NotSent, Note, OfferLoss, Port, Replier, ToAgent, ToServer,
};
pub use presence::{EndReason, LiveReplacementsRecord, Presence};
pub use question_budget::QuestionBudget;
pub use questions::{AnswerDoubt, FullState, QuestionsRecord};
pub use reading_less::keeps_message;
pub use record::{AddedRecord, SeldomRecord, SessionRecord};
pub use replica::ReplicaState;
pub use replies::RepliesRecord;
pub use rhythm::{Rhythm, silence_max};
pub use route::{Anchor, Memory, Peer, Route, Wire};
pub use server_message::{Delivered, Delivery, RefusedMessage};

use cold::Cold;
use greeting::Greeting;
use numbers::Numbers;
use outstanding::Outstanding;
use permits::Permits;
use presence::Attendance;
use questions::Questions;
use replica::Replica;
use replies::Replies;

use crate::ident::InstanceUid;
use crate::opamp::offers::OffersLimits;

/// What the configuration decides for every session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Policy {
    /// How long a session outlives its connection before the server is told (R8).
    pub grace_period: Duration,
    /// How long an agent waits for the server's own reply (R5).
    pub reply_wait: Duration,
    /// One heartbeat in each such interval goes on, if its server has not asked for more; zero forwards all (R9).
    pub heartbeat_forward_interval: Duration,
    /// Silence after which a polling agent counts as absent, if it is not known to poll seldom.
    pub poll_timeout: Duration,
    /// One-shot messages of one agent that may wait for the server.
    pub one_shots_max: usize,
    /// Bytes of such messages.
    pub one_shot_bytes_max: usize,
    /// How much may wait for one agent (R7).
    pub offers: OffersLimits,
}

/// When an event happens, and what holds for every session at that time.
#[derive(Debug, Clone, Copy)]
pub struct Moment<'a> {
    /// The time.
    pub now: Instant,
    /// The configuration's decisions.
    pub policy: &'a Policy,
    /// The node drains: agents that go away are taken to have gone to another node.
    pub drains: bool,
}

/// One agent's session. See the module's text.
#[derive(Debug)]
pub struct Session {
    uid: InstanceUid,
    /// `AgentToServer.capabilities` as last said; 0 before that.
    capabilities: u64,
    attendance: Attendance,
    numbers: Numbers,
    outstanding: Outstanding,
    replies: Replies,
    questions: Questions,
    replica: Replica,
    /// What few sessions have at any one time.
    cold: Option<Box<Cold>>,
    permits: Permits,
    greeting: Greeting,
    /// The agent is to go to another node: its connection closes once it has what waits for it.
    drains: bool,
    last_said: LastSaid,
    rhythm: Rhythm,
    /// The number of the last ping that the agent was to confirm something with.
    last_ping: u16,
}

/// The last word that was said.
#[derive(Debug, Clone, Copy, Default)]
struct LastSaid {
    /// The agent's only said that it is alive.
    was_heartbeat: bool,
    /// Servers were told lately that the agent has left, and it has said nothing since.
    is_told_gone: bool,
}

impl Session {
    /// A session for an agent that has just been heard of for the first time.
    /// [`Session::connection_opened`] or [`Session::request_opened`] comes next. `late`: answers to an
    /// earlier session of this agent may still come.
    pub fn new(uid: InstanceUid, late: Option<LateReply>, now: Instant) -> Self {
        let mut session = Self {
            uid,
            capabilities: 0,
            attendance: Attendance::new(now),
            numbers: Numbers::default(),
            outstanding: Outstanding::default(),
            replies: Replies::default(),
            questions: Questions::default(),
            replica: Replica::default(),
            cold: None,
            permits: Permits::default(),
            greeting: Greeting::default(),
            drains: false,
            last_said: LastSaid::default(),
            rhythm: Rhythm::default(),
            last_ping: 0,
        };
        if let Some(late) = late {
            session.cold_mut().late_reply = Some(late);
        }
        session
    }
}
