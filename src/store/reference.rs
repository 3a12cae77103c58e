//! One reference: bytes against which small contents are compressed, counted in the store's budget while
//! they live. Must not know its users.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::figures::allocated;
use super::ledger::Ledger;

/// Larger contents are stored whole: these are configurations and lists of components. Agents share them, so
/// compression would save little, and comparing or copying them stays cheap. Descriptions and health differ
/// between agents and have 0.3 to 4 KiB. The limit also bounds the stack, and the time that junk takes: it is
/// tried against all known references, at one to two microseconds each for 600 bytes, and four to six for
/// 4 KiB.
pub(super) const SMALL_BYTES_MAX: usize = 4096;

/// See the module.
#[derive(Debug)]
pub(super) struct Reference {
    bytes: Box<[u8]>,
    ledger: Arc<Ledger>,
}

impl Reference {
    pub(super) fn new(bytes: &[u8], ledger: &Arc<Ledger>) -> Arc<Self> {
        let new = Self { bytes: Box::from(bytes), ledger: Arc::clone(ledger) };
        ledger.bytes.fetch_add(new.bytes.len(), Ordering::Relaxed);
        ledger.references_memory.fetch_add(new.memory(), Ordering::Relaxed);
        Arc::new(new)
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    fn memory(&self) -> usize {
        allocated(self.bytes.len()) + allocated(2 * size_of::<usize>() + size_of::<Self>())
    }
}

impl Drop for Reference {
    fn drop(&mut self) {
        self.ledger.bytes.fetch_sub(self.bytes.len(), Ordering::Relaxed);
        self.ledger.references_memory.fetch_sub(self.memory(), Ordering::Relaxed);
    }
}
