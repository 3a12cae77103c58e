//! How long frames wait for others to go with. Waiting pays while frames are frequent: then several share a datagram and
//! the waking of both sides. Where one comes seldom it would wait in vain, and its agent with it. Frames that no agent
//! waits for wait always.

use std::time::{Duration, Instant};

use super::queue::Haste;

/// Frames are counted over about this long.
const COUNTED_OVER: Duration = Duration::from_millis(50);

/// A frame waits if as many others are expected meanwhile: it shares a datagram with one of them as a rule.
const OTHERS_MIN: f64 = 1.0;

/// How frequent the frames of one kind have been of late.
#[derive(Debug, Clone, Copy)]
pub struct Linger {
    haste: Haste,
    /// The longest wait.
    patience: Duration,
    /// Frames of about the last [`COUNTED_OVER`]: earlier ones are forgotten bit by bit.
    frames: f64,
    noted: Instant,
}

impl Linger {
    /// Frames of this haste, none of which has come yet, that may wait as long as `patience`.
    pub const fn new(haste: Haste, patience: Duration, now: Instant) -> Self {
        Self { haste, patience, frames: 0.0, noted: now }
    }

    /// As many frames went together.
    pub fn went(&mut self, frames: u32, now: Instant) {
        let passed = now.saturating_duration_since(self.noted);
        self.noted = now;
        self.frames = self.frames.mul_add(remaining(passed), f64::from(frames));
    }

    /// How long the frames that have come now wait: [`Duration::ZERO`] if agents wait for them and hardly any others are
    /// expected.
    pub fn wait(&self, now: Instant) -> Duration {
        let counted = self.frames * remaining(now.saturating_duration_since(self.noted));
        let expected = counted * self.patience.as_secs_f64() / COUNTED_OVER.as_secs_f64();
        if self.haste == Haste::Soon || expected >= OTHERS_MIN {
            self.patience
        } else {
            Duration::ZERO
        }
    }
}

fn remaining(passed: Duration) -> f64 {
    (1.0 - passed.as_secs_f64() / COUNTED_OVER.as_secs_f64()).max(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Duration = Duration::from_millis(2);

    /// How many of 1,000 frames, one each `gap`, find that they should wait.
    fn waits(gap: Duration) -> usize {
        let mut now = crate::clock::now();
        let mut linger = Linger::new(Haste::Shortly, PATIENCE, now);
        (0..1_000)
            .filter(|_| {
                now += gap;
                let waits = !linger.wait(now).is_zero();
                linger.went(1, now);
                waits
            })
            .count()
    }

    #[test]
    fn frequent_frames_wait_for_each_other_and_seldom_ones_go_at_once() {
        // A storm at 12,000 admissions a second over three nodes, one at 3,000, and a quiet fleet.
        let [dense, sparse, quiet] =
            [750, 3_000, 100_000].map(|micros| waits(Duration::from_micros(micros)));
        assert!(dense > 900, "{dense} waited");
        assert_eq!((sparse, quiet), (0, 0));
    }

    #[test]
    fn a_burst_is_over_when_it_has_been_silent() {
        let start = crate::clock::now();
        let mut linger = Linger::new(Haste::Shortly, PATIENCE, start);
        linger.went(1_000, start);
        assert_eq!(linger.wait(start + Duration::from_millis(10)), PATIENCE);
        assert_eq!(linger.wait(start + COUNTED_OVER), Duration::ZERO);
    }
}
