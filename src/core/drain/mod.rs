//! The drain: a node hands its agents over to other nodes without making a storm. Each agent whose
//! connection is closed dials again at once (docs/FIELD-NOTES.md), so the node closes connections no faster
//! than the other nodes can admit their agents.
//!
//! ```text
//!            asked          notice over            0 connections
//!   Serving ──────► Notice ─────────────► Closing ─────────────► Delivering ──────► Drained
//!                   still accepting,      one by one  │            ▲   servers have heard
//!                   not ready             time is up  ▼            │   the goodbyes, or
//!                                                  Cutting ────────┘   DELIVERY_PATIENCE
//!                                                          0 connections, or CUT_PATIENCE
//! ```
//!
//! Within `Closing` an agent whose server has answered all of its messages goes first. From the moment its
//! connection is closed another node speaks for it, and what this node said of it later could only be out of
//! date. An agent whose server has yet to answer goes back to the end of the line, for
//! `ANSWER_PATIENCE` at most.
//!
//! # How to drive it
//! The shell (`gateway::drain`) and the simulation ask one [`Drain`] for its next [`DrainStep`], carry it out,
//! and say what came of it:
//!
//! 1. [`Drain::begin`] when the operator or a signal asks for it.
//! 2. [`Drain::next`] with the time and with what is left on the node ([`Left`]). Each step says what to carry
//!    out and how to answer: [`Drain::line_up`] after `Census`, [`Drain::closed`] after `Close`,
//!    [`Drain::links_stopped`] after `StopLinks`. Ask again at once; after `Wait` at its moment, or earlier
//!    if something has changed. Until `Over`.
//! 3. [`Drain::may_close`] for each connection outside of the line: a WebSocket whose agent is still unknown,
//!    and plain HTTP after each answer.

mod line;
mod machine;
mod pace;
#[cfg(test)]
mod property_tests;
mod step;
mod terms;

pub use line::DrainLine;
pub use machine::Drain;
pub use pace::DrainPace;
pub use step::{AgentDrain, Candidate, DrainPhase, DrainStep, Left};
pub use terms::Terms;
