//! Tests of a whole session: its rules one by one, and then everything at once in any order.

mod at_front;
mod customs;
mod doubt;
mod harness;
mod intervals;
mod late_replies;
mod liveness;
pub(super) mod message;
mod moves;
mod offer_sizes;
mod peers;
mod permits;
mod polls;
mod presence;
mod random;
mod record;
mod record_bytes;
mod room;
mod rules;
mod settled;
mod test_nodes;
mod told_once;
mod unsaid;

pub(super) use harness::{Gateway as Harness, POLICY, UID, route};
