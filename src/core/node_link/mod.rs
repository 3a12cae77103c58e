//! What two nodes say to each other about agents, and its bytes: the messages of a node link. Who decides what is
//! `core::attachment`'s; how frames travel, how long they may wait and on which stream is the link's.
//!
//! An agent's connection ends at its *front*. Its session is at its *home*. A frame of either names the agent and
//! the front's connection ([`Handle`]); all frames of one agent take one stream, so that they keep their order.
//!
//! | front to home ([`ToHome`]) | | home to front ([`ToFront`]) | |
//! |---|---|---|---|
//! | `Attach` | a connection speaks for an agent, or goes on after a lost link | `Attached` | it is the session's; the home has had messages up to n |
//! | `Message` | one message: digests of its parts, and the parts that the home wants | `Needs` | the home wants these parts of message n, and what follows it once more |
//! | `Heartbeats` | a batch for many agents | `Confirmed` | the home has the content of all up to n |
//! | `Open`, `Alive` | the connection is open; its agent has answered a ping | `AskOpen`, `Ping` | the two questions before a connection replaces another |
//! | `Written` | bytes up to n are written: credit | `AgentFrame` | a reply or a push |
//! | `Detach` | the connection is over | `Close` | the front must close it |
//! | `WasAlive` | a connection that was replaced was alive | `Told` | servers have answered all that they were told of messages up to n |
//! | `FrontLeaves` | the front is about to leave, and holds nothing | | |
//! | `AllHere` | every attachment of the shard has been named | `Later`, `NotMine` | the home cannot take it now; it is another node's |
//!
//! A shard's former home says to its present one ([`ToNext`]) what servers still say on its links, and when those end.
//! The present one answers what it has taken.
//!
//! A home that hands a shard over says [`ToNewHome`] to the one that takes it: sessions, contents, and the end.
//!
//! A link begins with a [`Hello`] from each side. Both speak the lower of their highest formats from then on.
//! Frames end where they end: what a later version appends to one is passed over.
//!
//! `Confirmed` says three things at once: the parts that were asked for have come, those that were not are not
//! needed, and the front may forget the message. A home either takes a whole message or leaves it, so there is no
//! state in between that would need a name.

mod handle;
mod hello;
mod kind;
mod report;
#[cfg(test)]
mod tests;
mod to_front;
mod to_home;
mod to_new_home;
mod to_next;

use super::peer_link::Haste;
use to_front::CONFIRMED;
use to_home::{ATTACH, DETACH, HEARTBEATS, WRITTEN};
use to_next::WORD_TAKEN;

pub use handle::{AttachmentId, Handle};
pub use hello::{FORMAT, Hello};
pub use kind::NodeMessageKind;
pub use report::{AgentReport, DIGEST_BYTES, DIGESTED, PartDigests};
pub use to_front::{AgentFrame, Attached, CloseOrder, ForAgentKind, Needs, ToFront};
pub use to_home::{
    AgentConnection, Attach, Detach, DetachReason, HEARTBEATS_MAX, HeartbeatsBatch,
    HeartbeatsEntry, Numbered, ToHome,
};
pub use to_new_home::{ContentName, ContentNames, MovingContent, MovingSession, ToNewHome};
pub use to_next::{LetGo, LinkEnded, NamedWord, ServerSaid, ToNext, WordName, WordTaken};

/// When a frame must go. Agents come and go in crowds: those that come wait for a moment, so that one datagram takes
/// several of them. What is written, what was confirmed or taken, and heartbeats that were answered can wait longer.
pub fn haste_of(frame: &[u8]) -> Haste {
    match frame.first() {
        Some(&(ATTACH | DETACH)) => Haste::Shortly,
        Some(&(WRITTEN | HEARTBEATS | CONFIRMED | WORD_TAKEN)) => Haste::Soon,
        _ => Haste::Now,
    }
}

/// The longest frame: the longest message that the configuration allows, and what a frame adds to it.
pub const FRAME_BYTES_MAX: usize = (1 << 30) + (1 << 16);
