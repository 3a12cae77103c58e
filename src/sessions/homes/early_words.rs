//! What a shard's former home says before this node has read that it is the present one. The former home may read the
//! map first. Then messages of servers that it passes on, and the ends of its links, come before the sessions that they
//! concern are in the table: they wait for that.

use crate::telemetry::events::homes::{PassOutcome, PassedOn};

/// Words that wait for one shard, and their bytes. Of what is beyond servers find out with their agents' next full
/// reports.
const WORDS_MAX: usize = 4_096;
const BYTES_MAX: usize = 1 << 20;

/// The frames about one shard, in their order.
#[derive(Debug, Default)]
pub(super) struct EarlyWords {
    frames: Vec<Box<[u8]>>,
    bytes: usize,
}

impl EarlyWords {
    pub(super) fn put(&mut self, frame: &[u8]) {
        if self.frames.len() >= WORDS_MAX || self.bytes + frame.len() > BYTES_MAX {
            return PassedOn { outcome: PassOutcome::NoSession }.emit();
        }
        self.bytes += frame.len();
        self.frames.push(frame.into());
    }

    pub(super) fn into_frames(self) -> Vec<Box<[u8]>> {
        self.frames
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounded_in_count_and_bytes() {
        let mut words = EarlyWords::default();
        (0..WORDS_MAX + 5).for_each(|_| words.put(&[1, 2]));
        assert_eq!(words.into_frames().len(), WORDS_MAX);
        let mut words = EarlyWords::default();
        (0..5).for_each(|_| words.put(&vec![0; BYTES_MAX / 2]));
        assert_eq!(words.into_frames().len(), 2);
    }
}
