//! What one kind of client does, as data: the words of the table in [`super::table`]. What they mean
//! is carried out by the agent ([`crate::fleet::agent`]), its connections
//! ([`crate::fleet::session`], [`crate::fleet::poller`]) and its pauses ([`super::pauses`]).

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// How a client speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Transport {
    /// A WebSocket that stays open
    #[value(name = "websocket")]
    WebSocket,
    /// POSTs, at an interval
    Http,
}

/// A kind of client.
#[derive(Debug, PartialEq)]
pub(crate) struct Habits {
    /// The transports it has; the first is the one that it is known by.
    pub(crate) transports: &'static [Transport],
    /// `User-Agent`.
    pub(crate) user_agent: Option<&'static str>,
    /// Over HTTP it sends `OpAMP-Instance-UID`.
    pub(crate) names_uid: bool,
    /// `sequence_num` of a process's first message.
    pub(crate) first_number: u64,
    /// What it says.
    pub(crate) speech: Speech,
    /// How long it waits.
    pub(crate) deadline: Deadline,
    /// When it speaks without a reason.
    pub(crate) rhythm: Rhythm,
    /// How it comes again.
    pub(crate) law: PauseLaw,
    /// What becomes of a message over HTTP that was not answered.
    pub(crate) unanswered: Unanswered,
    /// How it closes connections over HTTP that are idle.
    pub(crate) idle: Idle,
    /// Over HTTP, head and body come in two writes.
    pub(crate) writes_apart: bool,
}

/// What a client says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Speech {
    /// A process's first message.
    pub(crate) first: First,
    /// What it says when a later connection opens.
    pub(crate) again: Again,
    /// What a heartbeat or a poll carries.
    pub(crate) beat: Beat,
    /// When it answers `ReportFullState`.
    pub(crate) answer: FullAnswer,
}

/// A process's first message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum First {
    /// All it has.
    Full,
    /// Uid and capabilities alone.
    Capabilities,
    /// Description and capabilities, which come this once.
    Identification,
}

impl First {
    /// Everything that it ever reports comes by itself, so that a server without it is wrong.
    pub(crate) const fn tells_all(self) -> bool {
        matches!(self, Self::Full)
    }
}

/// What it says when a later connection opens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Again {
    /// All it has.
    Full,
    /// The same under the number of its last message.
    FullSameNumber,
    /// What has changed meanwhile, or a heartbeat.
    Changes,
    /// Nothing, until its state changes.
    Silence,
}

/// What a heartbeat or a poll carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Beat {
    /// Uid, number and capabilities.
    Capabilities,
    /// Health with a moving time, and no capabilities.
    Health,
    /// Health, and a custom message.
    HealthAndCustom,
}

/// When `ReportFullState` is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FullAnswer {
    /// At once.
    AtOnce,
    /// After this many seconds.
    After(u64),
    /// With the next message that it sends anyway.
    NextMessage,
    /// With the next change of its state.
    NextChange,
}

/// How long a client waits. Absent: for ever.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Deadline {
    /// For a connection.
    pub(crate) connect: Option<Duration>,
    /// For an upgrade, or over HTTP for the next bytes of an answer.
    pub(crate) answer: Option<Duration>,
}

/// When a client speaks without a reason.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Rhythm {
    /// An interval after what it sent last; over HTTP, after the last exchange. Each time drawn from
    /// the interval plus or minus this share.
    AfterSent { spread: f64 },
    /// An interval after the last frame that was sent or received, pings included.
    AfterFrame,
    /// At multiples of the interval from the start of the process on.
    Ticks,
    /// Never.
    Never,
}

/// How a client comes again; see [`super::pauses`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum PauseLaw {
    /// opamp-go.
    Go,
    /// Python's client.
    Python,
    /// Java's client, which obeys a message always, and a header only if it came first.
    Java { heeds_header: bool },
    /// Node's client.
    Node,
    /// With the next tick, whatever was said. A WebSocket is never dialled again.
    NextTick,
    /// otel-arrow.
    OtelArrow,
    /// opamp-fleet's client.
    OpampFleet,
}

/// What becomes of a message over HTTP that was not answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unanswered {
    /// It is sent again, bytes and number as they were.
    SameBytes,
    /// The same, while the counter rises with each try; given up after at most this many tries, those
    /// of a heartbeat apart.
    SameBytesCounting { tries_max: u32, beat_tries_max: u32 },
    /// Kept if the client was told to come again, lost if the connection failed.
    LostByFailure,
    /// Lost.
    Lost,
}

/// How a client closes connections over HTTP that are idle.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Idle {
    /// After this time.
    pub(crate) after: Duration,
    /// An answer's `Keep-Alive: timeout=N` makes that N less a second.
    pub(crate) heeds_header: bool,
}
