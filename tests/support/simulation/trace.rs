//! A number that depends on all that a story has done, in its order (FNV-1a): two runs of one seed must agree on it.

#[derive(Debug, Clone, Copy)]
pub(crate) struct Trace(u64);

impl Trace {
    pub(crate) const fn new() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }

    pub(crate) fn mark(&mut self, what: impl IntoIterator<Item = impl Into<u64>>) {
        for number in what {
            self.0 = (self.0 ^ number.into()).wrapping_mul(0x0100_0000_01b3);
        }
    }

    pub(crate) const fn number(self) -> u64 {
        self.0
    }
}
