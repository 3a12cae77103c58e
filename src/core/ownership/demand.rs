//! A node's share of the fleet's admission rate: its equal part at once, and more of what the others leave.
//!
//! A node borrows from others only if it can know that they do without:
//! - its own need has been readable in the store for [`READABLE`], so that others that need have counted with it;
//! - from nodes that are idle in a reading of their leases that is younger than [`READABLE`].
//!
//! A node that begins to need, or to borrow, therefore renews at once and then about once a second. What is left over
//! is dealt out evenly, and to no node more than it needs. Without the store there is no reading, and each node
//! has its equal part.

use std::time::{Duration, Instant};

/// How long a need must have been readable, and how old a reading may be.
pub const READABLE: Duration = Duration::from_millis(1_200);
/// A node that not all others know of has this part of its share.
const JOINER_PART: u32 = 4;

/// See the module's text.
#[derive(Debug, Clone, Default)]
pub struct Demand {
    /// Since when the need of this node is readable.
    announced: Option<Instant>,
    /// What the others need, by their leases, and when that was read.
    reading: Option<(Instant, Vec<u32>)>,
    /// The members of the last reading, this node included.
    nodes: u32,
    /// Whether each of them knows of this node.
    known: bool,
}

impl Demand {
    /// The store has written a lease that says what this node needs.
    pub fn written(&mut self, need: u32, now: Instant) {
        if need == 0 {
            self.announced = None;
        } else {
            self.announced.get_or_insert(now);
        }
    }

    /// The leases of the others were asked for at `sent`, and have been read. `known`: each of them knows of this
    /// node.
    pub fn read(&mut self, others: Vec<u32>, known: bool, sent: Instant) {
        self.nodes = u32::try_from(others.len()).unwrap_or(u32::MAX).saturating_add(1);
        self.known = known;
        self.reading = Some((sent, others));
    }

    /// Admissions a second that this node may take of the fleet's `rate`: none before it has read who the others are.
    pub fn share(&self, rate: u32, now: Instant) -> u32 {
        let Some((read_at, others)) = &self.reading else { return 0 };
        let equal = rate / self.nodes.max(1);
        let readable = |since: Instant| now.saturating_duration_since(since) >= READABLE;
        let borrows = self.known && self.announced.is_some_and(readable);
        let fresh = |at: Instant| now.saturating_duration_since(at) < READABLE;
        let share = if borrows && fresh(*read_at) { equal.max(level(rate, others)) } else { equal };
        if self.known || self.nodes <= 1 { share } else { share / JOINER_PART }
    }
}

/// What is left for a node if the rate is dealt out evenly, and to no other node more than it needs.
fn level(rate: u32, others: &[u32]) -> u32 {
    let mut needs: Vec<u32> = others.to_vec();
    needs.sort_unstable();
    let mut left = rate;
    let mut nodes = u32::try_from(needs.len()).unwrap_or(u32::MAX).saturating_add(1);
    for other in needs {
        let part = left / nodes.max(1);
        if other >= part {
            break;
        }
        // It takes less than its part, and leaves the rest to those that need more.
        left -= other;
        nodes -= 1;
    }
    left / nodes.max(1)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const RATE: u32 = 1_000;

    fn at(start: Instant, ms: u64) -> Instant {
        start + Duration::from_millis(ms)
    }

    #[test]
    fn an_equal_part_at_once_and_more_when_the_need_has_been_readable() {
        let start = crate::clock::now();
        let mut demand = Demand::default();
        assert_eq!(demand.share(RATE, start), 0, "who else is there?");
        demand.read(Vec::new(), true, start);
        assert_eq!(demand.share(RATE, start), RATE, "a single node has everything");
        demand.read(vec![0, 0, 0], true, start);
        assert_eq!(demand.share(RATE, start), 250);
        demand.written(5_000, at(start, 100));
        demand.read(vec![0, 0, 0], true, at(start, 1_000));
        assert_eq!(demand.share(RATE, at(start, 1_200)), 250, "readable for 1.1 s");
        assert_eq!(demand.share(RATE, at(start, 1_300)), RATE);
        assert_eq!(demand.share(RATE, at(start, 2_200)), 250, "the reading is old");
        demand.read(vec![400, 0, 0], true, at(start, 2_200));
        assert_eq!(demand.share(RATE, at(start, 2_300)), 600);
        demand.read(vec![800, 800, 0], true, at(start, 2_300));
        assert_eq!(demand.share(RATE, at(start, 2_400)), 333);
    }

    #[test]
    fn a_node_that_is_new_to_the_others_is_modest() {
        let start = crate::clock::now();
        let mut demand = Demand::default();
        demand.read(vec![0, 0, 0], false, start);
        demand.written(5_000, start);
        assert_eq!(demand.share(RATE, at(start, 60_000)), 62);
    }

    /// Nodes that are idle until all of them need everything at once. Each renews in the interval of leases, and
    /// about once a second while it needs. Returns the highest sum of shares.
    fn storm(nodes: usize, phases: &[u64], borrows_at_once: bool) -> u32 {
        let start = crate::clock::now();
        let mut all = vec![Demand::default(); nodes];
        let mut written = vec![0_u32; nodes];
        let mut next: Vec<u64> = phases.iter().map(|phase| phase % 3_300).collect();
        let mut highest = 0;
        for ms in (0..20_000).step_by(20) {
            let need = if ms >= 5_000 { 9_000 } else { 0 };
            let now = at(start, ms);
            for node in 0..nodes {
                if ms >= next[node] || (need > 0 && written[node] == 0) {
                    written[node] = need;
                    next[node] = ms + if need > 0 { 1_000 } else { 3_300 };
                    all[node].written(need, now);
                    let mut others = written.clone();
                    others.remove(node);
                    all[node].read(others, true, now);
                }
                if borrows_at_once && need > 0 {
                    all[node].announced = Some(start);
                    all[node].reading.as_mut().unwrap().0 = now;
                }
            }
            let sum = all.iter().map(|demand| demand.share(RATE, now)).sum();
            highest = highest.max(sum);
        }
        highest
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, cases: 64, ..ProptestConfig::default() })]

        #[test]
        fn a_storm_on_all_nodes_gets_no_more_than_the_rate(
            nodes in 2_usize..9,
            phases in prop::collection::vec(any::<u64>(), 8),
        ) {
            prop_assert!(storm(nodes, &phases[..nodes], false) <= RATE);
        }

        #[test]
        fn what_is_dealt_out_is_no_more_than_there_is(
            needs in prop::collection::vec(0_u32..3_000, 1..9),
        ) {
            let level_of = |node: usize| {
                let mut others = needs.clone();
                let need = others.remove(node);
                level(RATE, &others).min(need)
            };
            let sum: u32 = (0..needs.len()).map(level_of).sum();
            prop_assert!(sum <= RATE);
            let wanted: u32 = needs.iter().sum();
            // Whole numbers leave a remainder.
            prop_assert!(sum + 8 >= wanted.min(RATE), "{sum} of {wanted}");
        }
    }

    #[test]
    fn borrowing_at_once_would_pass_the_rate() {
        let phases = [0, 700, 1_400, 2_100];
        assert!(storm(4, &phases, true) > RATE, "the check can fail");
    }
}
