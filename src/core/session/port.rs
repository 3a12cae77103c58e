//! The port through which a session's effects go out, in the order in which they must happen. The shell
//! implements it over links, stores and connections; the tests over plain vectors. A port
//! carries an effect out before it returns, and leaves every decision to the session.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{
    ClassSet, CustomKind, EndReason, Farewell, ForwardPlan, ReportDigests, Route, ServerHello,
};
use crate::core::pacing::{Liveness, Permit};
use crate::ident::{InstanceUid, SequenceNum, ServerId};
use crate::opamp::agent::AgentScan;
use crate::opamp::digest::{Digest, RawHash};
use crate::opamp::field_set::FieldSet;
use crate::opamp::splice;

/// See the module's text. A session calls it while it handles one event.
pub trait Port {
    // What the session asks of its surroundings.

    /// The link that the agent's messages take now; `None` if no server is configured.
    fn route(&self) -> Option<Route>;

    /// Asks the pacer whether a message that has just come may go on `route`. What goes with a permit that
    /// was granted before goes as it is.
    fn permit(&mut self, route: Route) -> Permit;

    /// Asks whether a sign of life fits the budget of the server behind `route`, which asked for one in each `asked`, if
    /// that is not zero.
    fn liveness(&mut self, route: Route, asked: Duration) -> Liveness;

    /// Whether the server has asked for the full state of all agents that were introduced to this
    /// incarnation lately: then the next one is introduced by its full state, which spares a question.
    fn state_lost(&self, route: Route) -> bool;

    /// Whether the server speaks only when it is asked (mode `http`). Each message is answered then, or known to be
    /// lost.
    fn is_polled(&self, route: Route) -> bool;

    /// A server that was content asks for the agent's full state. Whether the question may go on to the agent, beside
    /// the store's answer: see [`super::QuestionBudget`].
    fn passes_question(&mut self) -> bool;

    /// A uid that no agent has.
    fn fresh_uid(&mut self) -> InstanceUid;

    /// What a server says of itself.
    fn server_hello(&self, server: ServerId) -> Arc<ServerHello>;

    /// How many bytes more may wait, for all sessions together.
    fn free_bytes(&self) -> FreeBytes;

    // What agents report.

    /// A hash of the report's bytes: equal bytes have equal digests.
    fn report_hash(&self, scan: &AgentScan<'_>) -> RawHash;

    /// A hash of these bytes.
    fn raw_hash(&self, bytes: &[u8]) -> RawHash;

    /// What a server needs of custom messages of this capability.
    fn custom_kind(&self, capability: &str) -> CustomKind;

    /// Puts the digests of a report's parts into `digests`.
    fn digest(&mut self, scan: &AgentScan<'_>, digests: &mut ReportDigests);

    /// Stores these parts of a report, in place of what was stored of them.
    fn store(&mut self, scan: &AgentScan<'_>, parts: impl Iterator<Item = (u32, Digest)>);

    /// Appends the stored bytes of these parts to `out`, encoded fields of an `AgentToServer`. Returns the
    /// parts that are missing.
    fn append_stored(&mut self, parts: FieldSet, out: &mut Vec<u8>) -> FieldSet;

    /// Forgets all that is stored of this agent.
    fn forget_stored(&mut self);

    // Towards the server.

    /// Sends one message.
    ///
    /// # Errors
    /// Says why the message was refused; it is still unwritten then.
    fn send(&mut self, route: Route, message: &ToServer<'_>) -> Result<(), NotSent>;

    /// The answers to this many messages, the last on `route`, come after the session's end: they count
    /// as unexpected.
    fn orphaned(&mut self, route: Route, messages: u32);

    /// Puts the session into its server's queue. [`super::Session::permit_granted`] follows for each class.
    fn enqueue(&mut self, classes: ClassSet);

    // Towards the agent.

    /// Writes one `ServerToAgent`, without a header, for the agent's present connection. `false`: the connection
    /// closes, and what waits there is dropped; or, with `write` uncalled, it closes already, or bytes of all agents leave
    /// no room for more now.
    fn to_agent(&mut self, message: ToAgent, write: impl FnOnce(&mut Vec<u8>)) -> bool;

    /// Answers the plain-HTTP request that waits. `settled`: the server has heard and answered everything.
    fn answer_request(&mut self, settled: bool, write: impl FnOnce(&mut Vec<u8>));

    /// From when on the agent's connection has to call [`super::Session::reply_overdue`].
    fn reply_due(&mut self, at: Option<Instant>);

    /// Has the agent's WebSocket confirm what was written to it: a ping of this number goes behind it.
    /// [`super::Session::confirmed`] follows with its pong.
    fn confirm(&mut self, ping: u16);

    /// Whether the agent's next messages may be read. They stay unread (`false`) once as many of its one-shot messages
    /// wait for the server as may; said again whenever one of them went.
    fn may_read(&mut self, may: bool);

    /// The agent's present connection is no longer the session's.
    fn detach(&mut self, why: Departure);

    /// The agent's present connection closes once what waits for it is written.
    fn close_when_written(&mut self);

    // About the session.

    /// What has happened, for logs and metrics.
    fn note(&mut self, note: Note);

    /// The session has to be looked at then ([`super::Session::deadline_passed`]). What was named first counts
    /// until it has passed: a session has one deadline at a time.
    fn deadline(&mut self, at: Instant);

    /// The session is over and leaves the table. `unanswered`: answers to it may still come. `farewell`: a server has
    /// been told that the agent has left.
    fn over(&mut self, unanswered: Option<(Route, u32)>, farewell: Option<Farewell>);
}

/// Why a message was refused on its way to a server. The session keeps what it says and waits for a permit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotSent {
    /// The link is down.
    Down,
    /// As many messages or bytes wait on the link as may.
    Full,
    /// The route was of an earlier incarnation.
    Stale,
}

/// How many bytes more may wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FreeBytes {
    /// For agents that are there. Offers that are stored for others give way to them.
    pub for_agents: usize,
    /// Offers that are stored for agents that are away.
    pub for_absent: usize,
    /// Copies of what agents have yet to confirm.
    pub for_copies: usize,
    /// One-shot messages, for servers.
    pub for_servers: usize,
}

/// One message to a server.
#[derive(Debug, Clone, Copy)]
pub enum ToServer<'a> {
    /// An agent's message, in this form.
    Report {
        /// The agent's message.
        scan: &'a AgentScan<'a>,
        /// Its form.
        plan: ForwardPlan,
        /// Its number.
        number: SequenceNum,
        /// The agent's capabilities. They go with every message, also where the agent left them out.
        capabilities: u64,
    },
    /// Introduces the agent, or says that it is alive.
    Announce {
        /// The agent's capabilities.
        capabilities: u64,
        /// Its number.
        number: SequenceNum,
    },
    /// A whole message that was put together from the store.
    Stored(&'a [u8]),
    /// A one-shot message that has waited.
    OneShot {
        /// Its fields.
        fields: &'a [u8],
        /// The agent's present capabilities.
        capabilities: u64,
        /// Its number.
        number: SequenceNum,
    },
    /// Says that the agent has left.
    Disconnect {
        /// Its number.
        number: SequenceNum,
    },
}

impl ToServer<'_> {
    /// Appends the encoded `AgentToServer`.
    pub fn write(&self, uid: InstanceUid, out: &mut Vec<u8>) {
        match *self {
            Self::Report { scan, plan, number, capabilities } => {
                match plan {
                    ForwardPlan::Fields(keep) => splice::forward_fields(scan, keep, number, out),
                    ForwardPlan::Nothing | ForwardPlan::Whole => splice::forward(scan, number, out),
                }
                if capabilities != scan.capabilities {
                    splice::set_capabilities(capabilities, out);
                }
            }
            Self::Announce { capabilities, number } => {
                splice::announce(uid, capabilities, number, out);
            }
            Self::Stored(message) => out.extend_from_slice(message),
            Self::OneShot { fields, capabilities, number } => {
                out.extend_from_slice(fields);
                splice::set_sequence_num(number, out);
                splice::set_capabilities(capabilities, out);
            }
            Self::Disconnect { number } => splice::disconnect(uid, number, out),
        }
    }
}

/// What a message to an agent is, and about how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ToAgent {
    /// The gateway's acknowledgement of the message that is being handled.
    ReplyNow,
    /// The gateway's acknowledgement of an earlier message.
    Acknowledgement,
    /// The server's reply, of about this many bytes.
    Reply(usize),
    /// A server's message or the gateway's question, of about this many bytes.
    Push(usize),
    /// A server's message that waited in the mailbox, of at most about this many bytes. They count as waiting
    /// for the agent already.
    Stored(usize),
}

/// About how long an acknowledgement is.
const ACKNOWLEDGEMENT_BYTES: usize = 32;

impl ToAgent {
    /// About how long the message is.
    pub const fn expected_bytes(self) -> usize {
        match self {
            Self::ReplyNow | Self::Acknowledgement => ACKNOWLEDGEMENT_BYTES,
            Self::Reply(bytes) | Self::Push(bytes) | Self::Stored(bytes) => bytes,
        }
    }
}

/// Why a connection is no longer a session's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Departure {
    /// A newer connection of the agent has the session.
    Replaced,
    /// The agent has said goodbye, or its session is over: it still gets what waits for it.
    Left,
    /// The connection goes on under another uid: it still gets what waits under this one.
    Renamed,
    /// The connection is lost.
    Lost,
    /// The node drains, and the agent has what waited for it.
    Drained,
}

/// Why an offer is lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OfferLoss {
    /// The session ended.
    SessionEnded,
    /// It is more than may wait for one agent.
    OverBudget,
    /// It is larger than the bytes that are left for all agents.
    NoRoom,
    /// It waited for an agent that is away, and gave way to what is for agents that are there.
    Evicted,
    /// The agent is a new process: the restart command was meant for the old one.
    NewProcess,
    /// It came from a server that the agent has been moved away from.
    FormerServer,
    /// It came on the link of the agent's former home, and this node's has brought a newer one.
    FormerHome,
    /// It is as large as one that the agent has refused for its size.
    TooLargeForAgent,
    /// It gives a uid to an agent whose connection is gone: another one has the temporary uid now.
    FormerConnection,
}

/// Why a one-shot message is lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CustomLoss {
    /// Too many wait, or too many bytes.
    OverBudget,
    /// The session ended.
    SessionEnded,
    /// It is a state, and a newer one took its place.
    Superseded,
}

/// Who wrote a reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Replier {
    /// The server.
    Server,
    /// The gateway.
    Gateway,
}

/// What has happened, for logs and metrics alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Note {
    /// An agent has come back that had said goodbye.
    Reopened,
    /// An agent has come back to its session.
    Resumed,
    /// A newer connection took an open one's place.
    ConnectionReplaced,
    /// The agent's connection is lost.
    Absent,
    /// The session ended.
    Ended(EndReason),
    /// The session ended because the node drains and the agent goes to another.
    Moved {
        /// Its server has heard and answered everything.
        settled: bool,
    },
    /// The agent's number jumped.
    Gap {
        /// The number expected.
        expected: SequenceNum,
        /// The number that came.
        received: SequenceNum,
    },
    /// Something that the agent said is lost between its front and here.
    Missed,
    /// A heartbeat was answered here, or sent on.
    Heartbeat {
        /// It was sent on.
        forwarded: bool,
    },
    /// A report went to the server.
    ReportForwarded,
    /// A report of this many bytes was answered here (R1).
    ReportSuppressed(usize),
    /// The server was told of the agent's state, in this many bytes, from the store.
    ReportFromStore(usize),
    /// The store lacks a part of the state that a server is to get.
    ContentMissing,
    /// The server was told of the agent by a message of the gateway's own.
    Announced(ServerId),
    /// A server wants the full state.
    FullStateWanted,
    /// The agent is asked for its full state.
    FullStateAsked,
    /// The agent gets a reply.
    Replied {
        /// From whom.
        by: Replier,
        /// How long the agent has waited, if that is known.
        after: Option<Duration>,
    },
    /// A server's late acknowledgement was held back.
    AcknowledgementSwallowed,
    /// An offer waits for its agent.
    OfferStored,
    /// The agent has yet to confirm what was written to it, and its connection is gone: it waits once more.
    OffersTakenBack,
    /// The agent has refused an offer of this many bytes for its size.
    OfferRefused(usize),
    /// An offer is lost.
    OfferDropped(OfferLoss),
    /// A custom message, or a request, is lost.
    CustomDropped(CustomLoss),
    /// Two live agents speak under this uid: one gets another.
    CloneFound {
        /// The other one.
        fresh: InstanceUid,
    },
    /// A server gives the agent another uid.
    UidGiven(InstanceUid),
}
