//! That a former home's links to servers have ended, before this node has read that it is the present home: the former
//! home may read the map first. That waits until the sessions that it concerns are in the table.

use crate::telemetry::events::homes::{PassOutcome, PassedOn};

/// Frames that wait for one shard. Of what is beyond servers find out with their agents' next full reports.
const FRAMES_MAX: usize = 8_192;

/// The frames about one shard, in their order. Each has a few bytes.
#[derive(Debug, Default)]
pub(super) struct EarlyWords(Vec<Box<[u8]>>);

impl EarlyWords {
    pub(super) fn put(&mut self, frame: &[u8]) {
        if self.0.len() < FRAMES_MAX {
            self.0.push(frame.into());
        } else {
            PassedOn { outcome: PassOutcome::NoSession }.emit();
        }
    }

    pub(super) fn into_frames(self) -> Vec<Box<[u8]>> {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounded() {
        let mut words = EarlyWords::default();
        (0..FRAMES_MAX + 5).for_each(|_| words.put(&[1, 2]));
        assert_eq!(words.into_frames().len(), FRAMES_MAX);
    }
}
