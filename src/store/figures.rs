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

/// What an allocation of `bytes` takes: a word for the allocator, whole steps of two words, and four words
/// at the least. So does glibc; other allocators have steps of their own, close to these.
pub(super) const fn allocated(bytes: usize) -> usize {
    const WORD: usize = size_of::<usize>();
    let taken = (bytes + WORD).next_multiple_of(2 * WORD);
    match bytes {
        0 => 0,
        _ if taken < 4 * WORD => 4 * WORD,
        _ => taken,
    }
}
