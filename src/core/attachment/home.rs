//! The home's side of an attachment: which connection has the session, what it has had, and what waits for it.
//!
//! ```text
//!            first attach, none is there          close that lets go, Detach, not here
//!   (none) ───────────────────────────► current ──────────────────────────────────────► (none)
//!                                          ▲
//!            AskOpen        Open, Ping     │ detached, or no answer in answer_wait
//!   (none) ─────────► asked ─────────► candidate        Alive: Cloned, and the current one stays
//!      a first attach from another front than the current one's, or whose number jumps
//! ```
//!
//! An attach that goes on, with an id, has the session at once if no higher id is known, and is closed otherwise. Of
//! one front, the later connection has it: that front saw both. A first attach whose message does not go on with the agent's
//! numbers waits until its front says that it is open. If it is over, what it said is old, and a gap, unless another
//! request has said the same (`requests`).
//!
//! To drive it: hand each frame of a front to the entry of its name, then carry out the [`SessionCall`]s in their
//! order, then call [`HomeAttachment::settle`]. What the session does meanwhile (its `AttachmentPort`) comes in by
//! [`HomeAttachment::for_agent`], [`HomeAttachment::ping`], [`HomeAttachment::reply_due`] and
//! [`HomeAttachment::close`]. A session that
//! refuses the connection of [`SessionCall::Open`] (R10) calls `close` with `Cloned`, and the calls behind it are
//! left out. While the shard is frozen for a hand-over the shell answers every frame with `NotMine` instead.

mod newcomers;
mod port;
mod record;
mod requests;
mod session_side;
mod unwritten;

use std::time::{Duration, Instant};

use crate::core::node_link::{
    AgentConnection, AgentReport, Attach, Attached, AttachmentId, Detach, DetachReason, Handle,
    HeartbeatsEntry, Needs, Numbered, ToFront,
};
use crate::core::ownership::NodeIncarnation;
use crate::ident::InstanceUid;
use crate::mutation::{Breach, is_on};
use crate::opamp::field_set::{FieldSet, agent_field};

use newcomers::Contender;
pub use port::{ConnectionAt, HomeMoment, HomePolicy, HomePort, Newcomer, SessionCall};
pub use record::HomeRecord;
use requests::Requests;
pub use session_side::may_say_more;
pub use unwritten::Unwritten;

/// For how long a loss is remembered. A front notices a dead connection within that time.
const GAP_MEMORY: Duration = Duration::from_secs(60);

/// The connection that has the session.
#[derive(Debug, Clone)]
struct HeldBy {
    id: AttachmentId,
    at: ConnectionAt,
    transport: AgentConnection,
    /// The content of all messages up to this number is the session's.
    had: u64,
    telling: Telling,
    unwritten: Unwritten,
    /// The server's capabilities that the agent has heard of on this connection, or will: they are in a message that is
    /// repeated until it is written.
    greeted: Option<u64>,
    /// The front is in reach, and has named the attachment since it is.
    reached: bool,
    /// The front was told to close it, and has yet to say that it did.
    closing: bool,
    reply_due: Option<Instant>,
    /// The session's ping that the agent has yet to answer.
    asked: Option<u16>,
    /// The agent has yet to say all of its state on this connection. An earlier connection that held something may
    /// come to light until then.
    unsure_until: Option<Instant>,
    /// Something before its first message, which is on its way, may be lost. The agent is asked once that has come, unless
    /// it says all. A question before it would take it for the answer, and it may lack what an answer has.
    missed_before_first: bool,
    /// The front takes what its agent said up to this message for being on its way to servers.
    under_way: Option<u64>,
}

/// What the front has been told of what is the session's.
#[derive(Debug, Clone, Copy, Default)]
struct Telling {
    /// All up to this number.
    told: u64,
    /// About what the front holds of the messages after that.
    untold_bytes: usize,
    /// As much waits for the agent's server as may: until some of it has gone, the front holds what it was not told of,
    /// and reads no further.
    holds_back: bool,
}

/// What a message costs its front beside its parts. An estimate.
const MESSAGE_BYTES: usize = 256;
/// So much may be taken and untold: it is little beside what a front may hold, and beside the credit.
const UNTOLD_BYTES_MAX: usize = 4 << 10;

impl HeldBy {
    /// The front hears at once what was taken.
    const fn tell(&mut self) -> u64 {
        if self.telling.holds_back {
            return self.telling.told;
        }
        self.telling.untold_bytes = 0;
        self.telling.told = self.had;
        self.had
    }

    /// Whether the front can wait to hear what was taken: the reply says it, too, and comes soon; or there is no room for
    /// more.
    fn is_told_later(&self) -> bool {
        let Telling { told, untold_bytes, holds_back } = self.telling;
        holds_back || told > 0 && self.reply_due.is_some() && untold_bytes < UNTOLD_BYTES_MAX
    }
}

/// The highest attachment that has had the session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Highest {
    id: AttachmentId,
    at: ConnectionAt,
    /// How much of what its agent said the session has.
    had: u64,
    /// The number of the last message for its agent.
    numbered: u64,
}

/// See the module's text.
#[derive(Debug)]
pub struct HomeAttachment {
    uid: InstanceUid,
    current: Option<HeldBy>,
    candidate: Option<Contender>,
    highest: Option<Highest>,
    /// Something that a connection said is lost: all that begin before then begin with a gap. Which of several
    /// connections on several fronts is the latest is known only in the end.
    missed: Option<Instant>,
    /// The latest requests of an agent that polls.
    requests: Option<Box<Requests>>,
    /// Numbers pings, to tell the answer to this one from the answer to an earlier one.
    question: u32,
}

impl HomeAttachment {
    /// For an agent whose connections are all unknown yet.
    pub const fn new(uid: InstanceUid) -> Self {
        Self {
            uid,
            current: None,
            candidate: None,
            highest: None,
            missed: None,
            requests: None,
            question: 0,
        }
    }

    /// Whether a connection has the session.
    pub const fn is_attached(&self) -> bool {
        self.current.is_some()
    }

    /// The connection that has the session.
    pub fn holder(&self) -> Option<ConnectionAt> {
        self.current.as_ref().map(|current| current.at)
    }

    /// Whether that front is in reach and has named the connection since.
    pub fn is_reached(&self) -> bool {
        self.current.as_ref().is_some_and(|current| current.reached)
    }

    /// Bytes that wait for the agent.
    pub fn unwritten_bytes(&self) -> usize {
        self.current.as_ref().map_or(0, |current| current.unwritten.bytes())
    }

    const fn handle(&self, at: ConnectionAt) -> Handle {
        Handle { uid: self.uid, connection: at.connection }
    }

    /// The current connection, if it is this one.
    fn current_at(&mut self, at: ConnectionAt) -> Option<&mut HeldBy> {
        self.current.as_mut().filter(|it| it.at == at)
    }

    /// The agent said something. A message of a connection that does not have the session is left aside: if it is
    /// never taken, the agent's next number is a gap.
    pub fn message<'a, P: HomePort<'a>>(
        &mut self,
        at: ConnectionAt,
        message: &Numbered<'a>,
        port: &mut P,
    ) {
        let Some(current) = self.current_at(at) else { return };
        if message.number <= current.had {
            // The front may have missed that it was taken.
            current.telling.told = 0;
            if is_on(Breach::AttachmentTakesAgain) {
                port.session(SessionCall::Message(message.report));
            }
            return;
        }
        if message.number > current.had + 1 {
            return;
        }
        let parts = port.needs(&message.report);
        if parts.is_empty() {
            self.take(&message.report, port);
        } else {
            current.under_way = Some(message.number);
            let needs = Needs { number: message.number, parts };
            port.to_front(at.front, &ToFront::Needs(self.handle(at), needs));
        }
    }

    /// Takes the next message of the current connection.
    fn take<'a, P: HomePort<'a>>(&mut self, report: &AgentReport<'a>, port: &mut P) {
        let Some(current) = &mut self.current else { return };
        current.had += 1;
        current.telling.untold_bytes += MESSAGE_BYTES + report.fields.len();
        if let Some(highest) = &mut self.highest {
            highest.had = current.had;
        }
        let says_all = says_all(report);
        if says_all {
            current.unsure_until = None;
        }
        let at = current.at;
        let late = self.requests.as_mut().and_then(|requests| requests.takes(at, report));
        self.missed = late.or(self.missed);
        let missed = std::mem::take(&mut current.missed_before_first) || late.is_some();
        if let Some(last) = report.heartbeats {
            port.session(SessionCall::Heartbeats(last));
        }
        port.session(SessionCall::Message(*report));
        if missed && !says_all {
            port.session(SessionCall::Missed);
        }
    }

    /// A front has answered heartbeats.
    pub fn heartbeats<'a, P: HomePort<'a>>(
        &mut self,
        from: NodeIncarnation,
        entry: &HeartbeatsEntry,
        port: &mut P,
    ) {
        let at = ConnectionAt { front: from, connection: entry.handle.connection };
        let current = self.current_at(at);
        if current.is_some_and(|current| current.had == entry.after) {
            port.session(SessionCall::Heartbeats(entry.last));
        }
    }

    /// Everything up to a number is written to the agent.
    pub fn written(&mut self, at: ConnectionAt, number: u64) {
        if let Some(current) = self.current_at(at) {
            current.unwritten.written(number);
        }
    }

    /// A connection is over, or its front knows nothing of it.
    pub fn detach<'a, P: HomePort<'a>>(
        &mut self,
        at: ConnectionAt,
        detach: &Detach,
        moment: &HomeMoment<'_>,
        port: &mut P,
    ) {
        self.drop_candidate(at);
        let until = moment.now + GAP_MEMORY;
        let requests = self.requests.as_mut();
        if detach.missed
            && !is_on(Breach::AttachmentIgnoresGap)
            && requests.is_none_or(|requests| requests.is_lost(at, until))
        {
            port.session(SessionCall::Missed);
            // What the present connection says next may be older than what is lost.
            self.missed = Some(until);
        }
        let Some(current) = self.current_at(at) else { return };
        current.closing = true;
        if let Some(last) = detach.heartbeats {
            port.session(SessionCall::Heartbeats(last));
        }
        self.lose(detach.reason, port);
        self.admit_candidate(moment, port);
    }

    /// The front has named all attachments that it has. What it did not name is over.
    pub fn not_here<'a, P: HomePort<'a>>(
        &mut self,
        front: NodeIncarnation,
        moment: &HomeMoment<'_>,
        port: &mut P,
    ) {
        if self.current.as_ref().is_some_and(|it| it.at.front == front && !it.reached) {
            self.lose(DetachReason::Lost, port);
            self.admit_candidate(moment, port);
        }
    }

    /// A front is gone for good, and with it what it may have held: also of connections that had yet to attach, or
    /// that the session was closed to. So each session must hear of it. A front that has left in order holds
    /// nothing, and is [`HomeAttachment::not_here`].
    pub fn front_gone<'a, P: HomePort<'a>>(
        &mut self,
        front: NodeIncarnation,
        moment: &HomeMoment<'_>,
        port: &mut P,
    ) {
        self.link_lost(front);
        self.missed = Some(moment.now + GAP_MEMORY);
        let is_unsure = |it: &HeldBy| it.unsure_until.is_some_and(|until| moment.now < until);
        match &mut self.current {
            // Its end, which is near, says so.
            Some(current) if current.at.front == front => current.missed_before_first = true,
            Some(current) if is_unsure(current) && current.had == 0 => {
                current.missed_before_first = true;
            }
            Some(current) if is_unsure(current) => port.session(SessionCall::Missed),
            Some(_) | None => {}
        }
        self.not_here(front, moment, port);
    }

    /// The link to a front is lost. Its connections may be open: whether they are, the front says when it is back.
    pub fn link_lost(&mut self, front: NodeIncarnation) {
        if let Some(current) = self.current.as_mut().filter(|it| it.at.front == front) {
            current.reached = false;
        }
        self.candidate.take_if(|candidate| candidate.newcomer.at.front == front);
    }

    /// When to call [`HomeAttachment::deadline_passed`].
    pub fn deadline(&self) -> Option<Instant> {
        let reply = self.current.as_ref().and_then(|current| current.reply_due);
        let candidate = self.candidate.as_ref().map(|candidate| candidate.until);
        [reply, candidate].into_iter().flatten().min()
    }

    /// Looks at what is overdue.
    pub fn deadline_passed<'a, P: HomePort<'a>>(&mut self, moment: &HomeMoment<'_>, port: &mut P) {
        let due = |at: &mut Instant| *at <= moment.now;
        let current = self.current.as_mut();
        if current.is_some_and(|current| current.reply_due.take_if(due).is_some()) {
            port.session(SessionCall::ReplyOverdue);
        }
        self.answer_overdue(moment, port);
    }

    fn lose<'a, P: HomePort<'a>>(&mut self, reason: DetachReason, port: &mut P) {
        if let Some(current) = self.take_current() {
            if current.missed_before_first {
                port.session(SessionCall::Missed);
            }
            port.session(SessionCall::Lost { reason });
        }
    }

    /// The current connection has the session no more.
    fn take_current(&mut self) -> Option<HeldBy> {
        let current = self.current.take()?;
        if let Some(highest) = &mut self.highest {
            highest.numbered = current.unwritten.last();
        }
        Some(current)
    }

    /// Answers an attach of the current connection: where the home stands, what it has for the agent, and what
    /// follows from the message that came along.
    fn answer_attach<'a, P: HomePort<'a>>(
        &mut self,
        attach: &Attach<'a>,
        moment: &HomeMoment<'_>,
        port: &mut P,
    ) {
        let Some(current) = &mut self.current else { return };
        current.reached = true;
        let before = current.had;
        let is_next = attach.next == before + 1;
        let first = attach.first.filter(|_| is_next);
        let needs = first.as_ref().map_or(FieldSet::EMPTY, |first| port.needs(first));
        let taken = first.filter(|_| needs.is_empty());
        let had = before + u64::from(taken.is_some());
        if attach.forwarded_lately || !needs.is_empty() {
            current.under_way = Some(before + u64::from(first.is_some()));
        }
        let attached = Attached {
            id: current.id,
            epoch: moment.epoch.number,
            had,
            needs,
            credit: moment.policy.credit,
        };
        current.telling.told = had;
        let at = current.at;
        port.to_front(at.front, &ToFront::Attached(self.handle(at), attached));
        if let Some(last) = attach.heartbeats.filter(|_| is_next) {
            port.session(SessionCall::Heartbeats(last));
        }
        self.repeat_unwritten(attach.had, moment, port);
        if let Some(report) = taken {
            self.take(&report, port);
        }
    }

    /// Sends again what the front has not had.
    fn repeat_unwritten<'a, P: HomePort<'a>>(
        &mut self,
        had: u64,
        moment: &HomeMoment<'_>,
        port: &mut P,
    ) {
        let uid = self.uid;
        let Some(current) = &mut self.current else { return };
        if is_on(Breach::AttachmentForgetsUnwritten) {
            current.unwritten.written(u64::MAX);
        }
        let handle = Handle { uid, connection: current.at.connection };
        for message in current.unwritten.after(had) {
            let message = message.to_send(moment.epoch.number, current.had);
            port.to_front(current.at.front, &ToFront::AgentFrame(handle, message));
        }
    }
}

/// Whether a report leaves nothing of its agent's state in doubt.
fn says_all(report: &AgentReport<'_>) -> bool {
    report.present.contains(agent_field::AGENT_DESCRIPTION) && report.gone.is_empty()
}
