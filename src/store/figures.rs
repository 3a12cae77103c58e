//! What the store holds and has done, as numbers. Whoever publishes them gives them their names.

/// Figures of a store; counters only rise.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ContentFigures {
    /// Bytes of contents that are there, as they are kept: small ones compressed, with their references.
    pub bytes: usize,
    /// All memory that the store takes, in bytes: contents, slots, index, and an estimate of what the
    /// allocator adds to them.
    pub memory: usize,
    /// Contents that have users.
    pub entries: usize,
    /// Of them, those whose bytes have gone.
    pub entries_evicted: usize,
    /// Handles: users of all contents.
    pub handles: usize,
    /// Contents put that were there already: a counter.
    pub shared: u64,
    /// Contents put that were new: a counter.
    pub stored: u64,
    /// Contents put whose bytes had gone and are there again: a counter.
    pub revived: u64,
    /// Contents put that were not kept, for lack of room: a counter.
    pub refused: u64,
    /// Contents asked for that were there: a counter.
    pub hits: u64,
    /// Contents asked for whose bytes were not there: a counter.
    pub misses: u64,
    /// Contents whose bytes had to go: a counter.
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

/// What an allocation of so many bytes takes: a word for the allocator, whole steps of two words, and four
/// words at the least. So does glibc; others have steps of their own, which are not far from it.
pub(super) const fn allocated(bytes: usize) -> usize {
    const WORD: usize = size_of::<usize>();
    let taken = (bytes + WORD).next_multiple_of(2 * WORD);
    match bytes {
        0 => 0,
        _ if taken < 4 * WORD => 4 * WORD,
        _ => taken,
    }
}
