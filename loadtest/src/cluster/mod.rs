//! `loadtest cluster`: several nodes, Redis, a server, a fleet that changes nodes.

mod folder;
mod process;
mod program;
mod redis;
