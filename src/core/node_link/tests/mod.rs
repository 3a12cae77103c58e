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
