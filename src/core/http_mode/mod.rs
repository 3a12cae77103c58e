//! Decisions of mode `http`, where each message is a POST: what an answer means and whose fault it
//! is, whether a message goes again, when a channel is up, when a failing server is probed, when an
//! agent is polled for. Connections, tasks and the messages' bytes are the caller's.
//!
//! [`HttpChannel`] is one keep-alive connection at a time, and the queue of messages before it. An
//! agent always has the same channel (`core::placement::link_of`), so its messages keep their order.
//! `upstream/http` drives it with sockets. The simulation drives it in the same way:
//!
//! ```text
//! event = Wake
//! loop:
//!     for effect in channel.handle(event, facts, now):
//!         Wait { until, closable }   wait for: that moment; a message in the queue; the link's release;
//!                                    a change of the server's health; if `closable`, the connection's
//!                                    end (then event = ConnectionClosed). Otherwise event = Wake
//!         Dial                       dial; event = Dialled or DialFailed
//!         Post                       take the queue's first message and send it; event = Answered. If
//!                                    the queue is empty, or `is_withheld`, event = NotPosted. If the answer
//!                                    takes long, the exchange may go on elsewhere: event = WentAside, and
//!                                    `settle_aside` says what becomes of the message
//!         Deliver                    give the answer to its agent; event = Delivered
//!         End                        return
//!         any other                  carry it out at once; the event stays as it is
//!     if all were of the other kind, event = Wake
//! ```
//!
//! When the node has to hold still, whatever is under way or waited for ends at once, with event = Silenced.
//!
//! `facts` are read afresh for each call, because the effects before it may have changed them:
//! [`ChannelEffect::ServerFailed`] goes to [`crate::core::server::ServerState`], whose effects `Fails` and `Recovers`
//! take all channels of the server down and let them come back. Meanwhile [`HttpProbe`] says when a
//! probe goes, and [`PollSchedule`] runs on its own.

mod answer;
mod aside;
mod channel;
mod order;
mod polls;
mod probe;
mod steps;

#[cfg(test)]
mod property_tests;
#[cfg(test)]
mod tests;

pub use answer::{Answered, Objection, PostResult};
pub use aside::{ASIDE_AFTER, ASIDE_AGAIN_AFTER, ASIDES_MAX, after_delivery, settle_aside};
pub use channel::HttpChannel;
pub use order::PostOrder;
pub use polls::{PollParts, PollSchedule};
pub use probe::{HttpProbe, ProbeEvent, ProbeFacts, ProbeOutcome, ProbeStep};
pub use steps::{ChannelEffect, ChannelEvent, ChannelFacts};

use std::time::Duration;

/// When a server comes back, its channels come up one by one. One walk over all sessions, this long
/// after the first, enqueues the agents of all channels that are up by then.
pub const GATHER: Duration = Duration::from_millis(50);

/// Whether a message stays here: its agent was drained to another node, which has asked it for its
/// state (R6), and the message could arrive after what that node says. The agent's own goodbye goes,
/// because this node alone has it.
pub const fn is_withheld(drained: bool, goodbye: bool) -> bool {
    drained && !goodbye
}
