//! Decisions about the connection between two nodes: which of several is used and when one is dialled
//! (`pairing`), how frames lie in a stream of bytes (`frames`), what waits to be sent and which of it
//! was handed to the connection (`queue`), which stream a frame takes (`streams`), how long it waits for others (`linger`), whether this side was
//! stopped (`at_work`).
//!
//! Frames are opaque here: what they mean is for both nodes' cores. Sockets and tasks are `cluster`'s.

mod at_work;
mod end;
mod frames;
mod linger;
mod pairing;
mod queue;
mod streams;

#[cfg(test)]
mod pairing_tests;

pub use at_work::{NOTED_EVERY, STOPPED_FOR, SideAtWork};
pub use end::LinkEnd;
pub use frames::{FrameReader, FrameTooBig, HEAD_BYTES, append_frame, whole_frames};
pub use linger::Linger;
pub use pairing::{Attempt, Dialler, Pairing, PairingEffect, PairingEvent};
pub use queue::{FrameBounds, Haste, NotQueued, StreamQueue};
pub use streams::{AGENT_STREAMS, STREAMS, StreamIndex};
