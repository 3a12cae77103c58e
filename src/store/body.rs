//! The bytes of one content as they are stored: whole, or compressed against a reference.
//!
//! A clone is one or two counts. So the holder of a shard's lock takes a clone along, and reads, compares and
//! frees the bytes after it has released the lock. Only bytes that `references` has compressed are ever
//! unpacked; bytes that fail to unpack all the same read as evicted. Must not know slots, users or budgets.

use std::cell::RefCell;
use std::sync::Arc;

use lz4_flex::block::decompress_into_with_dict;

use super::figures::allocated;
use super::reference::{Reference, SMALL_BYTES_MAX};

/// What an `Arc` of bytes takes for counting its users.
const COUNTS_BYTES: usize = 16;

thread_local! {
    /// Where packed bytes are unpacked. Zeroing as much on the stack takes a third of the time of a read.
    static SPACE: RefCell<[u8; SMALL_BYTES_MAX]> = const { RefCell::new([0; SMALL_BYTES_MAX]) };
}

/// See the module.
#[derive(Debug, Clone)]
pub(super) struct Body {
    bytes: Arc<[u8]>,
    /// What the bytes are compressed against. It lives as long as one of its contents does.
    reference: Option<Arc<Reference>>,
}

impl Body {
    /// Bytes stored as they are.
    pub(super) fn whole(bytes: &[u8]) -> Self {
        Self { bytes: Arc::from(bytes), reference: None }
    }

    /// Bytes of at most [`SMALL_BYTES_MAX`] that were compressed against a reference.
    pub(super) fn packed(packed: Arc<[u8]>, reference: Arc<Reference>) -> Self {
        Self { bytes: packed, reference: Some(reference) }
    }

    /// How many bytes are stored, the reference's apart.
    pub(super) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// The memory that the bytes take.
    pub(super) fn memory(&self) -> usize {
        allocated(COUNTS_BYTES + self.bytes.len())
    }

    /// Whether both are one content, judged by the stored form: two forms of one content count as two.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        let reference = |body: &Self| body.reference.as_ref().map(Arc::as_ptr);
        reference(self) == reference(other) && self.bytes == other.bytes
    }

    /// Whether these are the bytes.
    pub(super) fn is(&self, bytes: &[u8]) -> bool {
        self.read(|own| own == bytes) == Some(true)
    }

    /// Reads the bytes; packed ones are unpacked in the thread's space, so `read` must not read another body.
    pub(super) fn read<T>(&self, read: impl FnOnce(&[u8]) -> T) -> Option<T> {
        match &self.reference {
            None => Some(read(&self.bytes)),
            Some(reference) => SPACE.with_borrow_mut(|space| {
                let unpacked = decompress_into_with_dict(&self.bytes, space, reference.bytes());
                space.get(..unpacked.ok()?).map(read)
            }),
        }
    }
}
