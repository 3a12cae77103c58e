//! The messages of a node link: their bytes stay as they are, and read back.

mod budget;
mod golden;
mod random;
mod to_new_home;

use crate::core::ownership::{Epoch, NodeIncarnation};
use crate::ident::InstanceUid;

pub(super) const UID: InstanceUid = InstanceUid::from_bytes(*b"0123456789abcdef");

pub(super) fn epoch(number: u64) -> Epoch {
    Epoch { number, taker: NodeIncarnation::new(0x0102_0304_0506_0708).unwrap() }
}

#[test]
fn what_agents_wait_for_goes_at_once_and_crowds_go_together() {
    use super::super::peer_link::Haste;
    use super::haste_of;
    use super::{to_front as front, to_home as home};
    for (kind, haste) in [
        (home::ATTACH, Haste::Shortly),
        (home::DETACH, Haste::Shortly),
        (home::MESSAGE, Haste::Now),
        (home::OPEN, Haste::Now),
        (home::HEARTBEATS, Haste::Soon),
        (home::WRITTEN, Haste::Soon),
        (front::ATTACHED, Haste::Now),
        (front::FOR_AGENT, Haste::Now),
        (front::CONFIRMED, Haste::Soon),
    ] {
        assert_eq!(haste_of(&[kind]), haste, "{kind:#x}");
    }
}
