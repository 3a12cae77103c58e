//! What a frame is, by its first byte: for sums. Must not know what follows from it.

use super::{to_front, to_home, to_new_home, to_next};

/// See the module's text. One for each row of the parent's tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum NodeMessageKind {
    /// What nodes say about leases and homes, their greetings, and what they ask each other for operators.
    Control,
    /// A connection speaks for an agent.
    Attach,
    /// An agent said something.
    Message,
    /// A batch of heartbeats.
    Heartbeats,
    /// A connection is open.
    Open,
    /// An agent has answered a ping.
    Alive,
    /// Bytes are written to an agent.
    Written,
    /// A connection is over.
    Detach,
    /// All attachments of a shard have been named.
    AllHere,
    /// A connection that was replaced was alive.
    WasAlive,
    /// The front is about to leave, and holds nothing.
    FrontLeaves,
    /// The connection is the session's.
    Attached,
    /// The home has the content of messages.
    Confirmed,
    /// The home wants parts of a message.
    Needs,
    /// Is the connection open?
    AskOpen,
    /// Does the agent answer a ping?
    Ping,
    /// A reply or a push.
    ForAgent,
    /// The front must close the connection.
    Close,
    /// The home cannot take the connection now.
    Later,
    /// It is not the agent's home.
    NotMine,
    /// Servers have answered what they were told.
    Told,
    /// A session on its way to a new home.
    Session,
    /// A content on its way to a new home.
    Content,
    /// The end of a shard's sessions.
    End,
    /// A server said something on a former home's link.
    ServerSaid,
    /// A former home has let an agent go.
    LetGo,
    /// A former home's link has ended.
    LinkEnded,
    /// A home has taken a server's message that was passed on to it.
    WordTaken,
    /// A kind that this version does not know.
    Unknown,
}

impl NodeMessageKind {
    /// Of an agent's stream.
    pub fn of(frame: &[u8]) -> Self {
        let Some(kind) = frame.first().copied() else { return NodeMessageKind::Unknown };
        match kind {
            to_home::ATTACH => NodeMessageKind::Attach,
            to_home::MESSAGE => NodeMessageKind::Message,
            to_home::HEARTBEATS => NodeMessageKind::Heartbeats,
            to_home::OPEN => NodeMessageKind::Open,
            to_home::ALIVE => NodeMessageKind::Alive,
            to_home::WRITTEN => NodeMessageKind::Written,
            to_home::DETACH => NodeMessageKind::Detach,
            to_home::ALL_HERE => NodeMessageKind::AllHere,
            to_home::WAS_ALIVE => NodeMessageKind::WasAlive,
            to_home::FRONT_LEAVES => NodeMessageKind::FrontLeaves,
            to_front::ATTACHED => NodeMessageKind::Attached,
            to_front::CONFIRMED => NodeMessageKind::Confirmed,
            to_front::NEEDS => NodeMessageKind::Needs,
            to_front::ASK_OPEN => NodeMessageKind::AskOpen,
            to_front::PING => NodeMessageKind::Ping,
            to_front::FOR_AGENT => NodeMessageKind::ForAgent,
            to_front::CLOSE => NodeMessageKind::Close,
            to_front::LATER => NodeMessageKind::Later,
            to_front::NOT_MINE => NodeMessageKind::NotMine,
            to_front::TOLD => NodeMessageKind::Told,
            to_new_home::SESSION => NodeMessageKind::Session,
            to_new_home::CONTENT => NodeMessageKind::Content,
            to_new_home::END => NodeMessageKind::End,
            to_next::SERVER_SAID => NodeMessageKind::ServerSaid,
            to_next::LET_GO => NodeMessageKind::LetGo,
            to_next::LINK_ENDED => NodeMessageKind::LinkEnded,
            to_next::WORD_TAKEN => NodeMessageKind::WordTaken,
            _ => NodeMessageKind::Unknown,
        }
    }
}
