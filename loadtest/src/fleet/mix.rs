//! Chance that can be repeated: everything about an agent follows from the fleet's seed and the
//! agent's number.

/// SplitMix64: small, quick, good enough to draw from.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Mix(u64);

impl Mix {
    /// A stream for one purpose of one agent.
    pub(crate) fn new(seed: u64, index: u64, purpose: u64) -> Self {
        let mut mix = Self(seed ^ index.wrapping_mul(0x9e6c_63d0_876a_3f6b));
        mix.0 = mix.next() ^ purpose;
        mix
    }

    /// The next 64 bits.
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `bound`, which must be at least 1.
    #[allow(clippy::cast_possible_truncation, reason = "the high half of a product is below bound")]
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        ((u128::from(self.next()) * bound as u128) >> 64) as usize
    }

    /// A number in 0..1.
    pub(crate) fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// Fills `bytes`.
    pub(crate) fn fill(&mut self, bytes: &mut [u8]) {
        for chunk in bytes.chunks_mut(8) {
            let word = self.next().to_le_bytes();
            chunk.copy_from_slice(&word[..chunk.len()]);
        }
    }

    /// The numbers 0 to `N` - 1 in some order, as Go walks a map.
    pub(crate) fn order<const N: usize>(&mut self) -> [usize; N] {
        let mut order = std::array::from_fn(|index| index);
        for last in (1..N).rev() {
            order.swap(last, self.below(last + 1));
        }
        order
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_question_has_the_same_answer() {
        assert_eq!(Mix::new(1, 2, 3).next(), Mix::new(1, 2, 3).next());
        assert_ne!(Mix::new(1, 2, 3).next(), Mix::new(1, 3, 3).next());
        assert_ne!(Mix::new(1, 2, 3).next(), Mix::new(1, 2, 4).next());
        assert_ne!(Mix::new(1, 2, 3).next(), Mix::new(2, 2, 3).next());
    }

    #[test]
    fn orders_are_orders() {
        let mut mix = Mix::new(1, 1, 1);
        let mut order = mix.order::<10>();
        assert_ne!(order, mix.order::<10>());
        order.sort_unstable();
        assert_eq!(order, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
        assert!((0..1000).all(|_| mix.below(3) < 3 && mix.unit() < 1.0));
    }
}
