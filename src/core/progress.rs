//! Whether a peer that sends or reads slowly gets anywhere: judged by the bytes that move, not by the time that the
//! whole takes.
//!
//! A transfer has `patience`. Each byte that moves pays back its time at the pace of the thinnest link, and never more
//! than has passed. So a steady peer is waited for, whatever the length; one that stands still is given up after
//! `patience`; and a transfer of n bytes takes at most `patience` plus the time that the thinnest link needs for them.

use std::time::{Duration, Instant};

/// The thinnest link that is served, in bytes a second.
pub const THINNEST_LINK_BYTES_PER_SECOND: u32 = 4 << 10;

/// See the module's text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TransferProgress {
    due: Instant,
    moved: Instant,
}

impl TransferProgress {
    /// For a transfer that begins now.
    pub fn new(patience: Duration, now: Instant) -> Self {
        Self { due: now + patience, moved: now }
    }

    /// Bytes have moved.
    pub fn moved(&mut self, bytes: usize, patience: Duration, now: Instant) {
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
        let earned = Duration::from_secs(1) * bytes / THINNEST_LINK_BYTES_PER_SECOND;
        self.due = (self.due + earned).min(now + patience);
        self.moved = now;
    }

    /// When the peer is given up, if no more moves.
    pub const fn due(&self) -> Instant {
        self.due
    }

    /// Since when nothing has moved.
    pub const fn still_since(&self) -> Instant {
        self.moved
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Duration = Duration::from_secs(60);
    const SECOND: Duration = Duration::from_secs(1);

    /// For how many seconds a peer is waited for that moves `bytes` every `pause`, 10,000 times.
    fn given_up_after(bytes: usize, pause: Duration) -> Option<u64> {
        let start = crate::clock::now();
        let (mut now, mut progress) = (start, TransferProgress::new(PATIENCE, start));
        for _ in 0..10_000 {
            now += pause;
            if progress.due() <= now {
                return Some((progress.due() - start).as_secs());
            }
            progress.moved(bytes, PATIENCE, now);
        }
        None
    }

    #[test]
    fn a_steady_peer_is_waited_for_however_slow_the_link() {
        let thinnest = THINNEST_LINK_BYTES_PER_SECOND as usize;
        assert_eq!(given_up_after(thinnest, SECOND), None);
        assert_eq!(given_up_after(thinnest * 50, SECOND * 50), None, "in large pieces");
        assert_eq!(given_up_after(250 << 10, SECOND), None);
    }

    #[test]
    fn a_drip_or_a_stop_is_given_up() {
        assert_eq!(given_up_after(1, SECOND), Some(60));
        assert_eq!(given_up_after(usize::MAX, SECOND * 61), Some(60), "nothing is saved up");
        let half = THINNEST_LINK_BYTES_PER_SECOND as usize / 2;
        assert_eq!(given_up_after(half, SECOND), Some(119));
    }
}
