//! What a session holds of a content: a user of it, counted as long as it lives.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;

use super::shard::Shard;

/// One use of a content. Cloning is another use; the content goes with its last.
///
/// 16 bytes, also as an `Option`, because a session has one for each field.
pub struct Content {
    shard: Arc<Shard>,
    slot: u32,
}

impl Content {
    /// The handle of a use that the shard has already counted.
    pub(super) const fn new(shard: Arc<Shard>, slot: u32) -> Self {
        Self { shard, slot }
    }

    /// The bytes as they were put; nothing if they had to go.
    pub fn bytes(&self) -> Option<Bytes> {
        self.shard.read(self.slot)?.to_bytes()
    }

    /// Appends the bytes to a message; `false` if they had to go. Where they are to be copied anyway, this
    /// takes no memory for sharing them.
    pub fn append_to(&self, out: &mut Vec<u8>) -> bool {
        let body = self.shard.read(self.slot);
        body.and_then(|body| body.read(|bytes| out.extend_from_slice(bytes))).is_some()
    }

    /// Whether the bytes are there at present. Does not count as a use of them.
    pub fn is_kept(&self) -> bool {
        self.shard.is_kept(self.slot)
    }

    /// Whether both are uses of one content, which is then in memory once.
    pub fn is_shared_with(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.shard, &other.shard) && self.slot == other.slot
    }
}

impl Clone for Content {
    fn clone(&self) -> Self {
        self.shard.add_user(self.slot);
        Self { shard: Arc::clone(&self.shard), slot: self.slot }
    }
}

impl Drop for Content {
    fn drop(&mut self) {
        self.shard.remove_user(self.slot);
    }
}

impl fmt::Debug for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Content").field("slot", &self.slot).finish_non_exhaustive()
    }
}
