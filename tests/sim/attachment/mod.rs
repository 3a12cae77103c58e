//! Attachments over several nodes: agents whose connections end at any node, sessions whose home is another, and
//! node links that delay, lose, cut and reset. Both sides of the real state machines run; the session behind a home
//! is a simple one that knows the rules it must keep.
//!
//! Some agents poll: each message is a request of its own, to any node. The others have WebSockets.
//! Agents move A, B, A within milliseconds, leave sockets behind that look open, restart, and share a uid. Homes are
//! handed over, crash, or wake up after another has taken over. In the end all is calm, and an oracle compares.

mod acting;
mod agent;
mod carry;
mod faults;
mod links;
mod node;
mod oracle;
mod session;
mod world;

use seawall::mutation::Breach;

use crate::simulation::runner;
use world::World;

#[test]
fn no_seed_breaks_an_attachment() {
    runner::no_seed_fails::<World>();
}

#[test]
fn a_seed_is_always_the_same_story_of_attachments() {
    runner::stories_repeat::<World>();
}

#[test]
fn every_breach_of_an_attachment_is_noticed() {
    runner::all_are_noticed::<World>(&Breach::OF_ATTACHMENTS);
}
