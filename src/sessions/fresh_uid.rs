//! Uids for agents whose own is another agent's (R10).

use crate::clock;
use crate::ident::InstanceUid;

/// A UUID of version 7, as the specification recommends (RFC 9562, section 5.7).
pub(super) fn fresh_uid() -> InstanceUid {
    let since = clock::wall().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    let millis = since.as_millis() & 0xffff_ffff_ffff;
    let random: u128 = rand::random::<u128>() & ((1 << 80) - 1);
    let bits = (millis << 80) | random;
    let versioned = (bits & !(0xf << 76)) | (0x7 << 76);
    let marked = (versioned & !(0x3 << 62)) | (0x2 << 62);
    InstanceUid::from_bytes(marked.to_be_bytes())
}
