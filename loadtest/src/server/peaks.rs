//! The worst second: how much of something came within one, at most.
//!
//! A second is any ten neighbouring buckets of a tenth, so that a burst is seen whole wherever in
//! time it falls. `POST /reset` begins anew.

use std::time::{Duration, Instant};

use parking_lot::Mutex;
use seawall::clock;
use serde::Serialize;

/// Buckets of a window.
const BUCKETS: usize = 10;
/// What one of them is long.
const BUCKET: Duration = Duration::from_millis(100);

/// What is watched.
#[derive(Debug)]
pub(crate) struct Peaks {
    started: Instant,
    windows: Mutex<Windows>,
}

/// As the report shows them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub(crate) struct PeaksPerSecond {
    /// Of messages.
    messages_peak_per_second: u64,
    /// Of full states.
    full_states_peak_per_second: u64,
    /// Of announces.
    announces_peak_per_second: u64,
}

/// What a message counts as, beside a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sort {
    FullState,
    Announce,
    Other,
}

#[derive(Debug, Default)]
struct Windows {
    messages: SecondWindow,
    full_states: SecondWindow,
    announces: SecondWindow,
}

impl Peaks {
    /// All peaks begin at 0.
    pub(crate) fn new() -> Self {
        Self { started: clock::now(), windows: Mutex::default() }
    }

    /// A message has come.
    pub(crate) fn message(&self, sort: Sort) {
        let tenth = (clock::now() - self.started).as_millis() / BUCKET.as_millis();
        let tenth = u64::try_from(tenth).unwrap_or(u64::MAX);
        let mut windows = self.windows.lock();
        windows.messages.one(tenth);
        match sort {
            Sort::FullState => windows.full_states.one(tenth),
            Sort::Announce => windows.announces.one(tenth),
            Sort::Other => {}
        }
    }

    /// The worst seconds so far.
    pub(crate) fn per_second(&self) -> PeaksPerSecond {
        let windows = self.windows.lock();
        PeaksPerSecond {
            messages_peak_per_second: windows.messages.peak,
            full_states_peak_per_second: windows.full_states.peak,
            announces_peak_per_second: windows.announces.peak,
        }
    }

    /// Forgets them.
    pub(crate) fn reset(&self) {
        *self.windows.lock() = Windows::default();
    }
}

/// The last ten buckets of one count.
#[derive(Debug, Default)]
struct SecondWindow {
    buckets: [u64; BUCKETS],
    /// The number of the newest bucket, from the start on.
    newest: u64,
    sum: u64,
    peak: u64,
}

impl SecondWindow {
    /// One more, in this bucket. Another thread may have begun the next one meanwhile: then it
    /// counts there.
    fn one(&mut self, bucket: u64) {
        let passed = usize::try_from(bucket.saturating_sub(self.newest)).unwrap_or(BUCKETS);
        for _ in 0..passed.min(BUCKETS) {
            self.newest += 1;
            let oldest = self.place();
            self.sum -= std::mem::take(&mut self.buckets[oldest]);
        }
        self.newest = self.newest.max(bucket);
        let place = self.place();
        self.buckets[place] += 1;
        self.sum += 1;
        self.peak = self.peak.max(self.sum);
    }

    #[allow(clippy::cast_possible_truncation, reason = "below BUCKETS")]
    const fn place(&self) -> usize {
        (self.newest % BUCKETS as u64) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peak(buckets: impl IntoIterator<Item = u64>) -> u64 {
        let mut window = SecondWindow::default();
        buckets.into_iter().for_each(|bucket| window.one(bucket));
        window.peak
    }

    #[test]
    fn a_second_is_any_ten_tenths() {
        assert_eq!(peak([]), 0);
        assert_eq!(peak(0..10), 10);
        // The eleventh tenth drives the first out.
        assert_eq!(peak(0..500), 10);
        // A burst across the border of a full second is one burst.
        assert_eq!(peak([8, 9, 9, 10, 11, 11]), 6);
        assert_eq!(peak([0, 0, 0, 9, 10, 10]), 4);
    }

    #[test]
    fn pauses_of_any_length_empty_the_window() {
        assert_eq!(peak([3, 3, 3, 12]), 4);
        assert_eq!(peak([3, 3, 3, 13, 13]), 3);
        assert_eq!(peak([3, 3, 1_000_000, 1_000_000_000_007, 1_000_000_000_016]), 2);
    }

    #[test]
    fn a_late_thread_counts_in_the_newest_bucket() {
        assert_eq!(peak([20, 19, 20, 29, 30]), 4);
    }

    #[test]
    fn sorts_are_apart_and_a_reset_forgets() {
        let peaks = Peaks::new();
        for sort in [Sort::FullState, Sort::FullState, Sort::Announce, Sort::Other] {
            peaks.message(sort);
        }
        let PeaksPerSecond {
            messages_peak_per_second: messages,
            full_states_peak_per_second: full_states,
            announces_peak_per_second: announces,
        } = peaks.per_second();
        assert_eq!((messages, full_states, announces), (4, 2, 1));
        peaks.reset();
        assert_eq!(peaks.per_second(), PeaksPerSecond::default());
    }
}
