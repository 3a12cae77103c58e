//! What can happen in a story. Events name things by their numbers, because a thing may have gone by the time its
//! event comes; the event then has no effect.

use crate::wires::Key;
use crate::world::NodeKey;

/// What happens next. Whatever it names may be gone by then.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Event {
    /// An agent's process starts, dials, has its heartbeat's time, does something.
    Start(usize),
    Dial(usize, u32),
    HeartbeatDue(usize),
    Act(usize),
    /// Something arrives at the end of a WebSocket, or the end finds out that it is over.
    ToGateway(u64),
    ToAgent(u64),
    GatewayNotices(u64),
    AgentNotices(u64),
    ReplyDue(u64),
    /// A request arrives, is answered, fails; or has waited long enough.
    Asks(u64),
    Answered(u64),
    Fails(u64),
    Retries(u64),
    RequestDue(u64),
    /// A link is dialled, writes; its agents are enqueued, its messages arrive, a permit may be due.
    LinkDial(Key),
    LinkWrites(Key),
    Enqueue(Key, u32),
    ToServer(Key, u32),
    FromServer(Key, u32),
    LineClosed(Key, u32),
    Permit(NodeKey, usize),
    /// Mode `http`: a channel is looked at, its wait is over, its dial comes to something; a message
    /// arrives, is answered; a probe or polls may be due; a server recovers.
    ChannelWakes(Key),
    ChannelDue(Key, u32),
    ChannelDials(Key, u32),
    PostArrives(Key, u32),
    PostAnswered(Key, u32),
    ProbeDue(NodeKey, usize, u32),
    PollDue(NodeKey, usize),
    HttpHeals(usize),
    ServerStarts(usize),
    Recovers(usize),
    ServerActs,
    NodeStarts,
    /// A connection is offered to its node again; its agent gives up, or has gone; its refusal is sent.
    Accept(u64),
    GivesUp(u64),
    ApplicantGone(u64),
    HoldEnds(u64),
    /// A node's probe ticks; admission is looked at; clients outside of the story go away.
    Tick(NodeKey),
    Observe,
    CrowdLeaves(NodeKey),
    /// A node that drains takes its next step; the balancer finds out; what is left of it goes.
    DrainStep(NodeKey),
    BalancerMoves,
    NodeEnds(NodeKey),
    /// A WebSocket is looked at because time has passed.
    Ping(u64),
    Sweep,
    Watch,
    Fault,
    /// A node that held still may speak to servers again.
    MaySpeak(NodeKey),
    /// From here on everything works.
    Calm,
}
