//! What happens between Seawall and servers. Each event takes the server's handles, which its
//! sender holds.

use std::time::Duration;

use tracing::{debug, info, trace, warn};

use super::room::seconds;
use crate::core::http_mode::PostResult;
use crate::core::link::LossReason;
use crate::core::ownership::HoldReason;
use crate::core::pacing::Class;
use crate::core::server::{Blame, Keying};
use crate::ident::InstanceUid;
use crate::opamp::server::ErrorKind;
use crate::telemetry::label::Label as _;
pub(crate) use crate::telemetry::labels::upstream::*;
use crate::telemetry::names::ServerMetrics;

/// The target by which operators filter the log: the part that these events are about.
const TARGET: &str = "seawall::upstream";

/// Which link of which server, as the log shows it.
#[derive(Clone, Copy)]
pub(crate) struct LinkName<'a> {
    /// The server's name in the configuration.
    pub server: &'a str,
    /// The link's number.
    pub link: u16,
    /// Whether many agents share it for long. One agent's own link, or a pooled connection, is only seen
    /// at the level `debug`.
    pub shared: bool,
}

/// A dial failed.
pub(crate) struct DialFailed<'a> {
    /// Which link.
    pub name: LinkName<'a>,
    /// How it ended.
    pub result: DialResult,
    /// What was wrong, in words.
    pub error: &'a dyn std::fmt::Display,
    /// The first since the server was last there is logged at the default level.
    pub first: bool,
    /// When the next is tried.
    pub retry_after: Duration,
}

impl DialFailed<'_> {
    /// Logs and counts it.
    pub(crate) fn emit(self, metrics: &ServerMetrics) {
        metrics.dials.with(self.result).increment(1);
        let LinkName { server, link, .. } = self.name;
        let (error, retry_after_seconds) = (self.error, seconds(self.retry_after));
        if self.first {
            warn!(target: TARGET, server, link, %error, retry_after_seconds, "server cannot be reached");
        } else {
            debug!(target: TARGET, server, link, %error, retry_after_seconds, "dial failed");
        }
    }
}

/// A link is up. Pairs with [`LinkLost`].
pub(crate) struct LinkUp<'a> {
    /// Which link.
    pub name: LinkName<'a>,
}

impl LinkUp<'_> {
    /// Logs and counts it.
    pub(crate) fn emit(self, metrics: &ServerMetrics) {
        metrics.dials.with(DialResult::Up).increment(1);
        metrics.links.increment(1.0);
        let LinkName { server, link, shared } = self.name;
        if shared {
            info!(target: TARGET, server, link, "link up");
        } else {
            debug!(target: TARGET, server, link, "connection up");
        }
    }
}

/// A link that was up is gone.
pub(crate) struct LinkLost<'a> {
    /// Which link.
    pub name: LinkName<'a>,
    /// The reason.
    pub reason: LossReason,
    /// The code of the server's Close, if it had one.
    pub code: Option<u16>,
    /// How long it had held.
    pub held: Duration,
}

impl LinkLost<'_> {
    /// Logs and counts it.
    pub(crate) fn emit(self, metrics: &ServerMetrics) {
        metrics.links.decrement(1.0);
        metrics.links_lost.with(self.reason).increment(1);
        let LinkName { server, link, shared } = self.name;
        let (released, held_seconds) = (self.reason == LossReason::Released, seconds(self.held));
        let (reason, code) = (self.reason.as_str(), self.code);
        if shared && !released {
            info!(target: TARGET, server, link, reason, code, held_seconds, "link lost");
        } else {
            debug!(target: TARGET, server, link, reason, code, held_seconds, "link ended");
        }
    }
}

/// A server has shown how it knows its agents.
pub(crate) struct KeyingShown<'a> {
    /// The server's name in the configuration.
    pub server: &'a str,
    /// By what it knows them.
    pub keying: Keying,
    /// This is news, and what is configured leaves it open.
    pub first: bool,
}

impl KeyingShown<'_> {
    /// Logs it.
    pub(crate) fn emit(self) {
        let Self { server, keying, first } = self;
        if first {
            info!(target: TARGET, server, ?keying, "server shows how it knows its agents (keyed_by)");
        } else {
            debug!(target: TARGET, server, ?keying, "server shows how it knows its agents");
        }
    }
}

/// The node has to hold still towards servers, or may speak again.
pub(crate) struct Silence {
    /// Why it holds still; `None`: it may speak.
    pub why: Option<HoldReason>,
}

impl Silence {
    /// Logs it; the links that end are counted one by one.
    pub(crate) fn emit(self) {
        match self.why {
            // Every start begins so.
            Some(why @ HoldReason::NoMember) => {
                info!(target: TARGET, ?why, "holding still towards servers");
            }
            Some(why) => warn!(target: TARGET, ?why, "holding still towards servers"),
            None => info!(target: TARGET, "speaking to servers"),
        }
    }
}

/// The first connection of a server's pool is open.
pub(crate) struct ServerReached<'a> {
    /// The server's name in the configuration.
    pub server: &'a str,
}

impl ServerReached<'_> {
    /// Logs it; connections are counted one by one.
    pub(crate) fn emit(self) {
        info!(target: TARGET, server = self.server, "server reached");
    }
}

/// Something else than a message came of a POST. What it said is sent again.
pub(crate) struct PostFailed<'a> {
    /// The server's name in the configuration.
    pub server: &'a str,
    /// What came instead.
    pub result: PostResult,
    /// The same in words.
    pub reason: &'a dyn std::fmt::Display,
}

impl PostFailed<'_> {
    /// Logs and counts it.
    pub(crate) fn emit(self, metrics: &ServerMetrics) {
        metrics.posts_failed.with(self.result).increment(1);
        let Self { server, result, reason } = self;
        debug!(target: TARGET, server, result = result.as_str(), %reason, "POST failed");
    }
}

/// A server refused a message for good.
pub(crate) struct PostRefused<'a> {
    /// The server's name in the configuration.
    pub server: &'a str,
    /// The status of the answer.
    pub status: http::StatusCode,
    /// Whether it is the first with this status: only that is logged at the default level.
    pub first: bool,
}

impl PostRefused<'_> {
    /// Logs and counts it.
    pub(crate) fn emit(self, metrics: &ServerMetrics) {
        metrics.posts_failed.with(PostResult::Refused).increment(1);
        let (server, status) = (self.server, self.status.as_u16());
        if self.first {
            warn!(target: TARGET, server, status, "the server refuses a message, which is not sent again");
        } else {
            debug!(target: TARGET, server, status, "POST refused");
        }
    }
}

/// A server can be connected to, and fails every message. Pairs with [`ServerUsable`].
pub(crate) struct ServerUnusable<'a> {
    /// The server's name in the configuration.
    pub server: &'a str,
    /// Whose fault that is.
    pub blame: Blame,
    /// What came last instead of an answer.
    pub reason: &'a dyn std::fmt::Display,
}

impl ServerUnusable<'_> {
    /// Logs and counts it.
    pub(crate) fn emit(self, metrics: &ServerMetrics) {
        metrics.unusable.with(self.blame).increment(1);
        let Self { server, blame, reason } = self;
        let whose = match blame {
            Blame::Server => "the server fails",
            Blame::Credential => "the gateway's fault: its headers for this server",
            Blame::Address => "the gateway's fault: its url for this server",
        };
        let blame = blame.as_str();
        warn!(target: TARGET, server, blame, %reason, whose, "the server takes nothing: it counts as away");
    }
}

/// A server takes messages again.
pub(crate) struct ServerUsable<'a> {
    /// The server's name in the configuration.
    pub server: &'a str,
}

impl ServerUsable<'_> {
    /// Logs it.
    pub(crate) fn emit(self) {
        info!(target: TARGET, server = self.server, "the server takes messages again");
    }
}

/// Messages on a server's links that are dropped because the node leaves.
pub(crate) struct Undelivered<'a> {
    /// The server's name in the configuration.
    pub server: &'a str,
    /// Their number.
    pub messages: usize,
}

impl Undelivered<'_> {
    /// Logs and counts it. What follows for agents is told once, when all are gone.
    pub(crate) fn emit(self, metrics: &ServerMetrics) {
        metrics.undelivered.increment(self.messages as u64);
        if self.messages > 0 {
            debug!(target: TARGET, server = self.server, messages = self.messages, "not delivered");
        }
    }
}

/// It is time to ask a server on behalf of an agent.
pub(crate) struct PollDue;

impl PollDue {
    /// Counts it.
    pub(crate) fn emit(self, metrics: &ServerMetrics) {
        metrics.polls.increment(1);
    }
}

/// A server has come into use or has gone out of it. One for each change.
pub(crate) struct ServerHealth<'a> {
    /// The server's name in the configuration.
    pub server: &'a str,
    /// Whether agents are sent to it from now on.
    pub healthy: bool,
    /// Sessions that move because of it.
    pub sessions: usize,
}

impl ServerHealth<'_> {
    /// Logs and counts it.
    pub(crate) fn emit(self, metrics: &ServerMetrics) {
        metrics.sessions_moved.increment(self.sessions as u64);
        let Self { server, sessions, .. } = self;
        if self.healthy {
            info!(target: TARGET, server, sessions, "server in use");
        } else {
            warn!(target: TARGET, server, sessions, "server away: its agents go to the next one");
        }
    }
}

/// A message was written to a server.
pub(crate) struct ServerMessageSent {
    /// Its size in bytes.
    pub bytes: usize,
}

impl ServerMessageSent {
    /// Counts it.
    pub(crate) fn emit(self, metrics: &ServerMetrics) {
        metrics.messages_sent.increment(1);
        metrics.bytes_sent.increment(self.bytes as u64);
    }
}

/// A message arrived from a server.
pub(crate) struct ServerMessageReceived {
    /// Its size in bytes.
    pub bytes: usize,
}

impl ServerMessageReceived {
    /// Counts it.
    pub(crate) fn emit(self, metrics: &ServerMetrics) {
        metrics.messages_received.increment(1);
        metrics.bytes_received.increment(self.bytes as u64);
    }
}

/// A link's queue was too full for a message.
pub(crate) struct QueueRefused<'a> {
    /// Which server.
    pub server: &'a str,
}

impl QueueRefused<'_> {
    /// Logs and counts it.
    pub(crate) fn emit(self, metrics: &ServerMetrics) {
        metrics.queue_refusals.increment(1);
        trace!(target: TARGET, server = self.server, "queue full");
    }
}

/// A server's message was over the limit, and was read and not stored.
pub(crate) struct MessagePassedOver<'a> {
    /// The link that it came on.
    pub name: LinkName<'a>,
    /// The agent that it was for, if it says so at its beginning.
    pub uid: Option<InstanceUid>,
    /// Its size.
    pub bytes: u64,
}

impl MessagePassedOver<'_> {
    /// Logs and counts it.
    pub(crate) fn emit(self, metrics: &ServerMetrics) {
        metrics.messages_passed_over.increment(1);
        let (server, uid, bytes) =
            (self.name.server, self.uid.map(tracing::field::display), self.bytes);
        warn!(target: TARGET, server, uid, bytes,
            "a message of the server's is over upstream.message_bytes_max: its agent does not get it");
    }
}

/// A server sent something else than a `ServerToAgent`, or one with a malformed uid.
pub(crate) struct MessageMalformed<'a> {
    /// The link that it came on.
    pub name: LinkName<'a>,
    /// What is wrong.
    pub fault: &'a dyn std::fmt::Display,
}

impl MessageMalformed<'_> {
    /// Logs and counts it.
    pub(crate) fn emit(self, metrics: &ServerMetrics) {
        metrics.messages_malformed.increment(1);
        debug!(target: TARGET, server = self.name.server, fault = %self.fault, "malformed message from the server");
    }
}

/// A server's pace, and what waits for a permit at it.
pub(crate) struct PaceMeasured {
    /// Sessions that wait, in the order of [`Class::ALL`].
    pub waiting: [usize; Class::ALL.len()],
    /// Messages sent and still unanswered.
    pub in_flight: u32,
    /// How many those may be.
    pub window: u32,
    /// How often the server hears of each agent, where its budget is smaller than what they say.
    pub liveness_every: Duration,
    /// Messages that lately went, by the second.
    pub per_second: f64,
    /// How long the server's pause still lasts.
    pub paused: Duration,
}

/// What waits for a server, taken a few times a second.
pub(crate) struct ServerMeasured {
    /// Agents are sent to it.
    pub in_use: bool,
    /// Bytes on all links' queues.
    pub queue_bytes: usize,
    /// Permits, and how fast they come.
    pub pace: PaceMeasured,
}

impl ServerMeasured {
    /// Sets the gauges.
    #[allow(clippy::cast_precision_loss)] // far below 2^52
    pub(crate) fn emit(self, metrics: &ServerMetrics) {
        metrics.healthy.set(f64::from(u8::from(self.in_use)));
        metrics.queue_bytes.set(self.queue_bytes as f64);
        for (class, waiting) in Class::ALL.into_iter().zip(self.pace.waiting) {
            metrics.resync_sessions.with(class).set(waiting as f64);
        }
        metrics.in_flight.set(f64::from(self.pace.in_flight));
        metrics.window.set(f64::from(self.pace.window));
        metrics.pace.set(self.pace.per_second);
        metrics.liveness_interval.set(self.pace.liveness_every.as_secs_f64());
        metrics.pause_seconds.set(self.pace.paused.as_secs_f64());
    }
}

/// A message came on a shared link that lacks a uid.
pub(crate) struct PushAnonymous<'a> {
    /// Which link.
    pub name: LinkName<'a>,
    /// Whether it is the server's first: only that is logged at the default level.
    pub first: bool,
}

impl PushAnonymous<'_> {
    /// Logs and counts it.
    pub(crate) fn emit(self, metrics: &ServerMetrics) {
        metrics.pushes_anonymous.increment(1);
        if self.first {
            warn!(target: TARGET,
                server = self.name.server,
                "the server pushes without an instance uid, which cannot be routed on a shared \
                 link; set `mode = \"per-agent\"` for it"
            );
        }
    }
}

/// A message came for an agent that is unknown here.
pub(crate) struct PushUnroutable<'a> {
    /// Which link.
    pub name: LinkName<'a>,
    /// The agent that it is for.
    pub uid: InstanceUid,
}

impl PushUnroutable<'_> {
    /// Logs and counts it.
    pub(crate) fn emit(self, metrics: &ServerMetrics) {
        metrics.pushes_unroutable.increment(1);
        debug!(target: TARGET, server = self.name.server, uid = %self.uid, "message for an agent not here");
    }
}

/// A server answered with an error.
pub(crate) struct ServerErrorReceived<'a> {
    /// The server's name in the configuration.
    pub server: &'a str,
    /// Its kind.
    pub kind: ErrorKind,
}

impl ServerErrorReceived<'_> {
    /// Logs and counts it.
    pub(crate) fn emit(self, metrics: &ServerMetrics) {
        metrics.server_errors.with(self.kind).increment(1);
        debug!(target: TARGET, server = self.server, kind = self.kind.as_str(), "error response");
    }
}

/// A server asked to be spared for a while.
pub(crate) struct Paused<'a> {
    /// The server's name in the configuration.
    pub server: &'a str,
    /// For how long.
    pub pause: Duration,
}

impl Paused<'_> {
    /// Logs and counts it.
    pub(crate) fn emit(self, metrics: &ServerMetrics) {
        metrics.pauses.increment(1);
        debug!(target: TARGET, server = self.server, pause_seconds = seconds(self.pause), "server asked for a pause");
    }
}

/// An agent was introduced to a server.
pub(crate) struct Announced {
    /// Which agent.
    pub uid: InstanceUid,
}

impl Announced {
    /// Logs and counts it.
    pub(crate) fn emit(self, metrics: &ServerMetrics) {
        metrics.announces.increment(1);
        trace!(target: TARGET, uid = %self.uid, "announce sent");
    }
}
