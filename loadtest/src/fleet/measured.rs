//! What a fleet measures, and how the parts of several threads and processes become one.

use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use hdrhistogram::serialization::Serializer as _;
use serde::{Deserialize, Serialize};

use super::agent::Reaction;
use super::choice::TargetCounts;
use super::to_unix_us;

/// Latencies in microseconds: exact to a thousandth, up to an hour.
#[derive(Debug, Clone)]
pub(crate) struct Latencies(Histogram<u64>);

const HIGHEST_US: u64 = 3_600_000_000;

impl Default for Latencies {
    fn default() -> Self {
        Self(
            Histogram::new_with_bounds(1, HIGHEST_US, 3)
                .expect("the bounds are constant and valid"),
        )
    }
}

impl Latencies {
    /// Notes one. What is beyond an hour counts as an hour.
    pub(crate) fn record(&mut self, latency: Duration) {
        let us = u64::try_from(latency.as_micros()).unwrap_or(HIGHEST_US);
        self.0.saturating_record(us.clamp(1, HIGHEST_US));
    }

    /// The latency that this share (0..1) of all stay within, in milliseconds; `None` while empty.
    pub(crate) fn quantile_ms(&self, share: f64) -> Option<f64> {
        (!self.0.is_empty()).then(|| self.0.value_at_quantile(share) as f64 / 1000.0)
    }

    fn merge(&mut self, other: &Self) {
        self.0.add(&other.0).expect("all histograms have the same bounds");
    }
}

impl Serialize for Latencies {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut bytes = Vec::new();
        hdrhistogram::serialization::V2Serializer::new()
            .serialize(&self.0, &mut bytes)
            .map_err(serde::ser::Error::custom)?;
        serializer.serialize_bytes(&bytes)
    }
}

impl<'de> Deserialize<'de> for Latencies {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let bytes = Vec::<u8>::deserialize(deserializer)?;
        hdrhistogram::serialization::Deserializer::new()
            .deserialize(&mut &bytes[..])
            .map(Self)
            .map_err(serde::de::Error::custom)
    }
}

/// One agent's way back from the first cut, and from the second wave if that caught it too.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Return {
    /// From the first cut to the first reply of the connection it has now; `None` while it is away.
    pub(crate) back_us: Option<u64>,
    /// From the first cut until it had first asked a node for a WebSocket; `None` before that.
    pub(crate) asked_us: Option<u64>,
    /// From the first cut until a node opened its WebSocket; `None` while it waits for that.
    pub(crate) admitted_us: Option<u64>,
    /// Dials until then.
    pub(crate) dials: u64,
    /// It follows Retry-After and its own backoff.
    pub(crate) obedient: bool,
    /// Its number in the whole fleet.
    pub(crate) agent: u32,
    /// The target that it is back on, by its place.
    pub(crate) target: u16,
    /// From its first report there to the reply.
    pub(crate) acknowledged_us: u64,
}

/// How one agent came to another connection after its last was closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Move {
    /// When it was closed, in microseconds of Unix time.
    pub(crate) closed_at_us: u64,
    /// Dials meanwhile that were refused or failed.
    pub(crate) turned_away: u64,
}

/// Moves noted in each thread.
const MOVES_MAX: usize = 100_000;

macro_rules! measured {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// Everything counted and timed. Counts run from the start of the fleet unless they say
        /// otherwise.
        #[derive(Debug, Clone, Default, Serialize, Deserialize)]
        pub(crate) struct Measured {
            /// Of each agent that has noticed the cut, and is to come back.
            pub(crate) returns: Vec<Return>,
            /// Refusals in each second after the first cut.
            pub(crate) refused_per_second: Vec<u64>,
            /// From the intended instant of the dial that succeeded to the first reply on it.
            pub(crate) first_reply: Latencies,
            /// The same from the report that it answers: the time before admission is left out.
            pub(crate) acknowledged: Latencies,
            /// From the intended instant of a message under load to the reply.
            pub(crate) load: Latencies,
            /// From the intended instant of a forced move's dial to the first reply.
            pub(crate) moved_reply: Latencies,
            /// From the sending of a push at the server to its arrival.
            pub(crate) pushes: Latencies,
            /// By the targets' places.
            pub(crate) targets: Vec<TargetCounts>,
            /// Each return after the other side ended a connection, the last cut's apart; a bounded
            /// number of them.
            pub(crate) moves: Vec<Move>,
            $($(#[$doc])* pub(crate) $name: u64,)*
        }

        impl Measured {
            fn merge_counts(&mut self, other: &Self) {
                $(self.$name += other.$name;)*
            }

            /// What has been counted since `start`, which was asked for earlier. Times stay.
            pub(crate) fn counted_since(&self, start: &Self) -> Self {
                Self { $($name: self.$name.saturating_sub(start.$name),)* ..self.clone() }
            }
        }
    };
}

measured! {
    /// Dials.
    dials,
    /// Answers to an upgrade other than 101.
    refusals,
    /// Dials that failed in another way: reset, timeout, nonsense.
    dial_failures,
    /// Dials under way when the second wave came, which ended them.
    dials_cut,
    /// Connections that the second wave cut.
    second_wave_cut,
    /// Waits that clients gave up: their deadline passed after they had asked.
    given_up,
    /// Close frames received.
    close_frames,
    /// Agents whose client never dials again.
    lost_for_ever,
    /// Agents whose client was refused what it says only once.
    refused_for_good,
    /// POSTs sent, and connections opened for them.
    posts,
    post_connections,
    /// Connections that the other side ended.
    closed_by_peer,
    /// Messages for another agent.
    misrouted,
    /// Malformed messages, and breaches of the WebSocket protocol.
    malformed,
    /// Messages with an error_response.
    error_responses,
    /// Custom messages received.
    custom_messages,
    /// Offers and commands received.
    offers,
    /// Messages that asked for the full state.
    full_state_requests_seen,
    /// Messages that asked for the component map.
    component_requests_seen,
    /// Messages received, all told.
    received,
    /// Messages sent, all told.
    sent,
    /// Forced moves begun, and those that have led to a reply elsewhere.
    moves_begun,
    moves_answered,
    /// Pushes that had come before.
    pushes_repeated,
    /// Messages sent under load.
    load_sent,
    /// Replies to them.
    load_replies,
}

impl Measured {
    /// Adds what another thread or process has measured.
    pub(crate) fn merge(&mut self, other: &Self) {
        self.returns.extend_from_slice(&other.returns);
        self.moves.extend_from_slice(&other.moves);
        let seconds = self.refused_per_second.len().max(other.refused_per_second.len());
        self.refused_per_second.resize(seconds, 0);
        for (mine, theirs) in self.refused_per_second.iter_mut().zip(&other.refused_per_second) {
            *mine += theirs;
        }
        self.first_reply.merge(&other.first_reply);
        self.acknowledged.merge(&other.acknowledged);
        self.load.merge(&other.load);
        self.moved_reply.merge(&other.moved_reply);
        self.pushes.merge(&other.pushes);
        for (place, theirs) in other.targets.iter().enumerate() {
            self.at_target(place, |mine| mine.add(theirs));
        }
        self.merge_counts(other);
    }

    /// Counts a message received, and what the agent saw in it.
    pub(crate) fn reacted(&mut self, reaction: &Reaction, now: Instant) {
        self.received += 1;
        self.misrouted += u64::from(reaction.misrouted);
        self.error_responses += u64::from(reaction.error);
        self.custom_messages += u64::from(reaction.custom);
        self.pushes_repeated += u64::from(reaction.repeated);
        if let Some(sent_us) = reaction.pushed_us.filter(|_| !reaction.repeated) {
            let late_us = to_unix_us(now).saturating_sub(sent_us);
            self.pushes.record(Duration::from_micros(late_us));
        }
        self.offers += u64::from(reaction.offer);
        self.full_state_requests_seen += u64::from(reaction.full_state_asked);
        self.component_requests_seen += u64::from(reaction.components_asked);
    }

    /// Counts at one target.
    pub(crate) fn at_target(&mut self, place: usize, count: impl FnOnce(&mut TargetCounts)) {
        if self.targets.len() <= place {
            self.targets.resize(place + 1, TargetCounts::default());
        }
        count(&mut self.targets[place]);
    }

    /// What was counted at each target after `start`.
    pub(crate) fn targets_since(&self, start: &Self) -> Vec<TargetCounts> {
        let before = |place: usize| start.targets.get(place).copied().unwrap_or_default();
        let counts = self.targets.iter().enumerate();
        counts.map(|(place, counts)| counts.since(&before(place))).collect()
    }

    /// Notes a move, unless there have been very many.
    pub(crate) fn moved(&mut self, one: Move) {
        if self.moves.len() < MOVES_MAX {
            self.moves.push(one);
        }
    }

    /// Notes a refusal this long after the cut. Seconds beyond a day are the last one's.
    pub(crate) fn refused(&mut self, after: Duration) {
        let second = usize::try_from(after.as_secs()).unwrap_or(usize::MAX).min(86_400);
        if self.refused_per_second.len() <= second {
            self.refused_per_second.resize(second + 1, 0);
        }
        self.refused_per_second[second] += 1;
    }
}

/// The value that a share (0..1) of `sorted` stays within; `None` if it is empty.
pub(crate) fn quantile(sorted: &[u64], share: f64) -> Option<u64> {
    let count = sorted.len();
    // The smallest rank that covers the share.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0..=count")]
    let rank = ((share * count as f64).ceil() as usize).clamp(1, count.max(1));
    sorted.get(rank - 1).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_become_one_across_json() {
        let mut whole = Measured::default();
        for part in 0..3u64 {
            let mut measured = Measured { dials: 2, ..Measured::default() };
            measured.returns.push(Return {
                back_us: Some(part * 10),
                dials: 1,
                ..Return::default()
            });
            measured.refused(Duration::from_secs(part));
            measured.first_reply.record(Duration::from_millis(part + 1));
            let text = serde_json::to_string(&measured).unwrap();
            whole.merge(&serde_json::from_str(&text).unwrap());
        }
        assert_eq!((whole.dials, whole.first_reply.0.len()), (6, 3));
        let back: Vec<_> = whole.returns.iter().map(|agent| agent.back_us).collect();
        assert_eq!(back, [Some(0), Some(10), Some(20)]);
        assert_eq!(whole.refused_per_second, [1, 1, 1]);
        let median = whole.first_reply.quantile_ms(0.5).unwrap();
        assert!((median - 2.0).abs() < 0.01, "{median}");
        assert_eq!(whole.load.quantile_ms(0.5), None);
    }

    #[test]
    fn counts_can_begin_at_any_time() {
        let start = Measured { dials: 5, refusals: 1, ..Measured::default() };
        let mut end = Measured { dials: 7, refusals: 1, ..Measured::default() };
        end.returns.push(Return::default());
        let since = end.counted_since(&start);
        assert_eq!((since.dials, since.refusals, since.returns.len()), (2, 0, 1));
    }

    #[test]
    fn quantiles_are_ranks() {
        let sorted: Vec<u64> = (1..=100).collect();
        assert_eq!(quantile(&sorted, 0.5), Some(50));
        assert_eq!(quantile(&sorted, 0.99), Some(99));
        assert_eq!(quantile(&sorted, 1.0), Some(100));
        assert_eq!(quantile(&sorted[..1], 0.99), Some(1));
        assert_eq!(quantile(&[], 0.5), None);
    }
}
