//! A number that depends on all that a story has done, in its order (FNV-1a): two runs of one seed must agree on it.

#[derive(Debug, Clone, Copy)]
pub(crate) struct Trace(u64);

impl Trace {
    pub(crate) const fn new() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }

    pub(crate) const fn mark(&mut self, number: u64) {
        self.0 = (self.0 ^ number).wrapping_mul(0x0100_0000_01b3);
    }

    pub(crate) fn mark_bytes(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.mark(u64::from(*byte)));
    }

    pub(crate) const fn number(self) -> u64 {
        self.0
    }
}
