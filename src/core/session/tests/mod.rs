//! Tests of the session's rules: each in the words of its rule, and all of them at once against a
//! naive model of agent and server, at random.

mod doubt;
mod echoes;
mod harness;
mod message;
mod peers;
mod presence;
mod random;
mod rules;
mod turns;
