//! An agent's connection on one node and its session on another, and what binds the two: the *attachment*.
//!
//! The *front* has the connection ([`FrontAttachment`]), the *home* the session ([`HomeAttachment`]); the messages
//! between them are `core::node_link`'s. Either side is a state machine with one entry for each event. Sockets,
//! frames on their way, timers and the session itself are the shells' business.
//!
//! ```text
//!  agent ── front ───────────── node link ───────────── home ── session
//!           owes the replies    loses, delays, resets    says whose the session is
//!           holds what the home                          drops what it has had
//!           has not confirmed                            holds what is not written
//! ```
//!
//! What holds, whatever a link does:
//!
//! - **Nothing lost, nothing twice, in order.** Messages of a connection are numbered from 1. The front holds each
//!   until the home has its content, and sends what is unconfirmed again after a loss, with its number. The home
//!   takes the next number alone. A home that does not know what came before says so to the session: a gap (R6).
//!   The same holds the other way for what an agent is told, apart from replies that say nothing.
//! - **What is lost in the end is told (R6).** Numbers alone would hide it from a home that happens to expect the
//!   next process's number. The front tells it until the home must have heard. If the front itself is gone, each
//!   agent may be concerned whose connection is new, and has not said all of its state: it is asked.
//! - **One reply for each message (R5).** The front alone owes it. It acknowledges when its bound has passed, and
//!   at once when no home is in reach. What the home answers later is a push, or nothing if it says nothing.
//! - **One attachment has the session.** The home numbers them ([`AttachmentId`](super::node_link::AttachmentId)),
//!   and the number outlives links and homes: one that goes on never displaces a higher one. A newcomer replaces
//!   the connection of another front only after both fronts were asked (R10).
//! - **Heartbeats stay at the front (R9).** It answers them and tells them in batches, as "after message n, the
//!   agent's number is s". That may be repeated, come late or be lost. The next message says it too.

mod batch;
mod front;
mod held;
mod home;
mod replies;
#[cfg(test)]
mod tests;

pub use batch::HeartbeatsGather;
pub use front::{AgentAbout, FrontAttachment, FrontMoment, FrontPolicy, FrontPort};
pub use home::{
    ConnectionAt, HomeAttachment, HomeMoment, HomePolicy, HomePort, HomeRecord, Newcomer,
    SessionCall, Unwritten, may_say_more,
};
