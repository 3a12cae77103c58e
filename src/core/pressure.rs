//! Whether memory is short: the first defence, in front of admission. It begins at nine tenths of a bound and
//! ends at eight tenths, so that it holds for a while once it has begun.

/// How much memory may be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MemoryBounds {
    /// Resident memory, in bytes; `usize::MAX` if it is unbounded.
    pub resident_max: usize,
    /// Bytes of incomplete messages.
    pub buffered_max: usize,
}

/// How much memory is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MemoryUsed {
    /// Resident memory, in bytes.
    pub resident: usize,
    /// Bytes of incomplete messages.
    pub buffered: usize,
}

const TENTHS_ON: usize = 9;
const TENTHS_OFF: usize = 8;

impl MemoryBounds {
    /// Whether memory is short now; `was`: whether it was short when last asked.
    pub const fn is_short(self, was: bool, used: MemoryUsed) -> bool {
        let tenths = if was { TENTHS_OFF } else { TENTHS_ON };
        used.resident > self.resident_max / 10 * tenths
            || used.buffered > self.buffered_max / 10 * tenths
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn begins_near_a_bound_and_ends_well_below() {
        let bounds = MemoryBounds { resident_max: 1_000, buffered_max: 500 };
        let mut short = false;
        let mut judge = |resident, buffered| {
            short = bounds.is_short(short, MemoryUsed { resident, buffered });
            short
        };
        assert!(!judge(900, 450));
        assert!(judge(901, 0));
        assert!(judge(850, 0));
        assert!(!judge(800, 400));
        assert!(judge(0, 451));
        assert!(!judge(0, 399));
    }

    #[test]
    fn unbounded_memory_suffices() {
        let bounds = MemoryBounds { resident_max: usize::MAX, buffered_max: usize::MAX };
        assert!(!bounds.is_short(true, MemoryUsed { resident: 1 << 50, buffered: 1 << 50 }));
    }
}
