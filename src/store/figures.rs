//! What the store holds and has done, as numbers. Telemetry gives them their names.

/// Figures of a store; counters only rise.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ContentFigures {
    /// Bytes of contents as they are stored: small ones compressed, with their references.
    pub bytes: usize,
    /// All memory that the store takes, in bytes: contents, slots, index, and an estimate of what the
    /// allocator adds to them.
    pub memory: usize,
    /// Contents that have users.
    pub entries: usize,
    /// Entries whose bytes were evicted.
    pub entries_evicted: usize,
    /// Handles: users of all contents.
    pub handles: usize,
    /// Contents put that were there already: a counter.
    pub shared: u64,
    /// Contents put that were new: a counter.
    pub stored: u64,
    /// Contents put whose evicted bytes are there again: a counter.
    pub revived: u64,
    /// Contents put that were too large or too many to be stored: a counter.
    pub refused: u64,
    /// Contents asked for that were there: a counter.
    pub hits: u64,
    /// Contents asked for whose bytes were gone: a counter.
    pub misses: u64,
    /// Contents whose bytes were evicted: a counter.
    pub evictions: u64,
}

impl ContentFigures {
    /// Adds a part's figures.
    pub(super) const fn add(&mut self, part: &Self) {
        self.bytes += part.bytes;
        self.memory += part.memory;
        self.entries += part.entries;
        self.entries_evicted += part.entries_evicted;
        self.handles += part.handles;
        self.shared += part.shared;
        self.stored += part.stored;
        self.revived += part.revived;
        self.refused += part.refused;
        self.hits += part.hits;
        self.misses += part.misses;
        self.evictions += part.evictions;
    }
}

/// What an allocation of `bytes` takes: the next one of the sizes that jemalloc has, which are steps of 16 bytes up to
/// 128, and then four to each doubling. Other allocators have steps of their own, close to these.
pub(super) const fn allocated(bytes: usize) -> usize {
    const STEP: usize = 16;
    const STEPS_END: usize = 8 * STEP;
    match bytes {
        0 => 0,
        1..=8 => 8,
        _ if bytes <= STEPS_END => bytes.next_multiple_of(STEP),
        _ => bytes.next_multiple_of(bytes.next_power_of_two() / 8),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn allocations_come_in_jemallocs_sizes() {
        let sizes = [0, 1, 8, 9, 16, 17, 128, 129, 160, 161, 256, 257, 512, 513, 4_097];
        let taken = [0, 8, 8, 16, 16, 32, 128, 160, 160, 192, 256, 320, 512, 640, 5_120];
        assert_eq!(sizes.map(allocated), taken);
    }
}
