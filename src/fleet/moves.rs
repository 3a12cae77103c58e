//! How long each shard's hand-over takes, and how it ends: at the home that gives it, and at the one that takes it.
//! It sees what is done and decides nothing.
//!
//! ```text
//!   (none) ── Frozen ────► giving ── Released: given ── Unfrozen: stayed ──► (none)
//!   (none) ── Receiving ─► taking ── HandedToUs: taken ── TakenOver: void ── Discarded: void ──► (none)
//! ```

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::core::ownership::ShardId;
use crate::telemetry::events::fleet::{HandOverResult, ShardStep};

/// See the module's text. At most one entry for each shard on either side.
#[derive(Debug, Default)]
pub(super) struct MovesUnderWay {
    giving: BTreeMap<ShardId, Instant>,
    taking: BTreeMap<ShardId, Instant>,
}

impl MovesUnderWay {
    /// Something was done with a shard. Returns how its hand-over ended and how long it took, if it has ended.
    pub(super) fn step(
        &mut self,
        shard: ShardId,
        step: ShardStep,
        now: Instant,
    ) -> Option<(HandOverResult, Duration)> {
        let (began, result) = match step {
            ShardStep::Frozen => {
                self.giving.insert(shard, now);
                return None;
            }
            ShardStep::Receiving => {
                self.taking.insert(shard, now);
                return None;
            }
            ShardStep::Released => (self.giving.remove(&shard)?, HandOverResult::Given),
            ShardStep::Unfrozen => (self.giving.remove(&shard)?, HandOverResult::Stayed),
            ShardStep::HandedToUs => (self.taking.remove(&shard)?, HandOverResult::Taken),
            ShardStep::FirstHome | ShardStep::TakenOver | ShardStep::Discarded => {
                (self.taking.remove(&shard)?, HandOverResult::Void)
            }
        };
        Some((result, now.saturating_duration_since(began)))
    }

    /// The node begins anew: what was under way is over, and its end is not known here.
    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_hand_over_ends_once_on_either_side() {
        let start = crate::clock::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let shard = ShardId::new(7).unwrap();
        let mut moves = MovesUnderWay::default();
        let mut step = |step, seconds| {
            moves.step(shard, step, at(seconds)).map(|(result, took)| (result, took.as_secs()))
        };
        assert_eq!(step(ShardStep::Released, 0), None, "another node took it over");
        assert_eq!(step(ShardStep::Frozen, 1), None);
        assert_eq!(step(ShardStep::Unfrozen, 3), Some((HandOverResult::Stayed, 2)));
        assert_eq!(step(ShardStep::Frozen, 4), None);
        assert_eq!(step(ShardStep::Released, 5), Some((HandOverResult::Given, 1)));
        assert_eq!(step(ShardStep::Released, 6), None);
        assert_eq!(step(ShardStep::Receiving, 6), None);
        assert_eq!(step(ShardStep::Discarded, 9), Some((HandOverResult::Void, 3)));
        assert_eq!(step(ShardStep::Receiving, 9), None);
        assert_eq!(step(ShardStep::HandedToUs, 10), Some((HandOverResult::Taken, 1)));
        assert_eq!(step(ShardStep::TakenOver, 11), None, "nothing was on its way");
    }
}
