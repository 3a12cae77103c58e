//! Which sources send the most arrivals: an operator's first question in a storm.
//!
//! A bounded number of sources is counted, of the present minute and the one before. Where there are more, a new source
//! takes the place of the one with the fewest arrivals, and its count: a count may be too high, and no source that
//! sends more than its part of all is missed (Metwally, Agrawal and El Abbadi: Efficient Computation of Frequent and
//! Top-k Elements in Data Streams).

use std::collections::HashMap;
use std::hash::Hash;
use std::time::{Duration, Instant};

/// Sources that are counted.
const COUNTED_MAX: usize = 128;
/// How long counts last: two of these at most.
const PERIOD: Duration = Duration::from_mins(1);

/// Arrivals of one source.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SourceCount {
    /// In all.
    pub arrivals: u64,
    /// How many of them came while the source was over its share.
    pub over_share: u64,
}

/// See the module's text.
#[derive(Debug)]
pub struct TopSources<K> {
    counts: [HashMap<K, SourceCount>; 2],
    began: Instant,
}

impl<K: Copy + Eq + Hash + Ord> TopSources<K> {
    /// Without any.
    pub fn new(now: Instant) -> Self {
        Self { counts: [HashMap::new(), HashMap::new()], began: now }
    }

    /// Counts an arrival.
    pub fn count(&mut self, source: K, over_share: bool, now: Instant) {
        self.pass(now);
        let [present, _] = &mut self.counts;
        let mut inherited = 0;
        if present.len() >= COUNTED_MAX
            && !present.contains_key(&source)
            && let Some((fewest, count)) = present
                .iter()
                .map(|(source, count)| (*source, *count))
                .min_by_key(|(_, c)| c.arrivals)
        {
            present.remove(&fewest);
            inherited = count.arrivals;
        }
        let count = present.entry(source).or_default();
        count.arrivals += inherited + 1;
        count.over_share += u64::from(over_share);
    }

    /// The sources with the most arrivals, the most first.
    pub fn top(&mut self, most: usize, now: Instant) -> Vec<(K, SourceCount)> {
        self.pass(now);
        let mut sums: HashMap<K, SourceCount> = HashMap::new();
        for (source, count) in self.counts.iter().flatten() {
            let sum = sums.entry(*source).or_default();
            sum.arrivals += count.arrivals;
            sum.over_share += count.over_share;
        }
        let mut sums: Vec<_> = sums.into_iter().collect();
        sums.sort_unstable_by_key(|(source, count)| (std::cmp::Reverse(count.arrivals), *source));
        sums.truncate(most);
        sums
    }

    fn pass(&mut self, now: Instant) {
        let passed = now.saturating_duration_since(self.began);
        if passed < PERIOD {
            return;
        }
        self.counts.swap(0, 1);
        self.counts[0].clear();
        if passed >= PERIOD * 2 {
            self.counts[1].clear();
        }
        self.began = now;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_busiest_sources_are_named_for_a_minute_or_two() {
        let now = crate::clock::now();
        let mut top = TopSources::new(now);
        for source in 0..10_000_u32 {
            top.count(source, false, now);
            if source % 4 == 0 {
                top.count(70_000, true, now);
            }
            if source % 10 == 0 {
                top.count(80_000, false, now);
            }
        }
        assert!(top.counts[0].len() <= COUNTED_MAX);
        let busiest = top.top(2, now);
        assert_eq!((busiest[0].0, busiest[1].0), (70_000, 80_000));
        assert!((2_500..2_600).contains(&busiest[0].1.arrivals), "{busiest:?}");
        assert_eq!((busiest[0].1.over_share, busiest[1].1.over_share), (2_500, 0));
        assert_eq!(top.top(1, now + PERIOD)[0].0, 70_000);
        top.count(5, false, now + PERIOD);
        assert_eq!(top.top(9, now + PERIOD * 2), [(5, SourceCount { arrivals: 1, over_share: 0 })]);
        assert_eq!(top.top(9, now + PERIOD * 9), []);
    }
}
