//! What waits to be sent on one stream, bounded in frames and bytes, and the numbers that say afterwards
//! which frames were handed to the connection.
//!
//! Frames are numbered from 0. Frames below `handed` may have arrived; the others have certainly stayed
//! here. Frames lie one behind the other in one buffer, so that many small ones are one write, and none
//! needs memory of its own.

use super::frames::{FrameTooBig, append_frame, whole_frames};

/// How much may wait on one stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FrameBounds {
    /// The longest frame, in bytes.
    pub frame_bytes_max: usize,
    /// Bytes that wait, of all frames together. The last frame may go over, so that one of any allowed
    /// length fits an empty queue.
    pub queue_bytes_max: usize,
    /// Frames that wait.
    pub queue_frames_max: usize,
}

impl FrameBounds {
    /// For each stream; a link has five. Agents' messages have at most 64 MiB by default (`edge.message_bytes_max`), and a frame says a
    /// little more. 4 MiB are what a link of 1 Gbit/s writes in 32 ms; 16,384 frames of 256 bytes are as
    /// much.
    pub const DEFAULT: Self = Self {
        frame_bytes_max: (64 << 20) + (64 << 10),
        queue_bytes_max: 4 << 20,
        queue_frames_max: 16 << 10,
    };
}

/// Why a frame was refused. It has gone nowhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotQueued {
    /// The peer, or the network to it, is slower than what is sent: try again when it has caught up.
    #[error("the queue towards the peer is full")]
    Full,
    /// This node's fault.
    #[error(transparent)]
    TooBig(#[from] FrameTooBig),
    /// The link is over; the next one is announced.
    #[error("the link to the peer is lost")]
    Lost,
}

/// When a frame must go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Haste {
    /// At once.
    Now,
    /// With the next frame that must go, or two milliseconds later; at once while there are few of its kind ([`super::Linger`]).
    Shortly,
    /// With the next frame that must go, or ten milliseconds later: no agent waits for it.
    Soon,
}

/// See the module's text.
#[derive(Debug, Default)]
pub struct StreamQueue {
    waiting: Vec<u8>,
    waiting_frames: usize,
    /// How many frames have been queued.
    queued: u64,
    /// What is being written.
    batch: WriteBatch,
    /// How many frames the connection has been given before the batch.
    before_batch: u64,
    closed: bool,
    /// The writer was called for what waits.
    called: bool,
}

#[derive(Debug, Default)]
struct WriteBatch {
    /// How many frames it has.
    frames: u64,
    /// Its bytes that the connection has been given.
    written: usize,
}

/// Memory that is kept while nothing waits.
const SPARE_BYTES: usize = 64 << 10;

impl StreamQueue {
    /// Queues the frame that `write` writes; says its number.
    ///
    /// # Errors
    /// If the frame is refused.
    pub fn push(
        &mut self,
        bounds: &FrameBounds,
        write: impl FnOnce(&mut Vec<u8>),
    ) -> Result<u64, NotQueued> {
        if self.closed {
            return Err(NotQueued::Lost);
        }
        let is_full = self.waiting.len() >= bounds.queue_bytes_max
            || self.waiting_frames >= bounds.queue_frames_max;
        if is_full {
            return Err(NotQueued::Full);
        }
        append_frame(&mut self.waiting, bounds.frame_bytes_max, write)?;
        self.waiting_frames += 1;
        self.queued += 1;
        Ok(self.queued - 1)
    }

    /// Notes that the writer is called for what waits. `false`: it was called before.
    pub const fn call(&mut self) -> bool {
        !std::mem::replace(&mut self.called, true)
    }

    /// Whether frames wait for which the writer was not called.
    pub const fn is_patient(&self) -> bool {
        !self.called && !self.waiting.is_empty()
    }

    /// Swaps all that waits with `buffer`, whose bytes have been written; says how many frames that is.
    pub fn take(&mut self, buffer: &mut Vec<u8>) -> u64 {
        self.before_batch += std::mem::take(&mut self.batch).frames;
        self.called = false;
        buffer.clear();
        buffer.shrink_to(SPARE_BYTES);
        std::mem::swap(&mut self.waiting, buffer);
        self.batch.frames = std::mem::take(&mut self.waiting_frames) as u64;
        self.batch.frames
    }

    /// The connection has been given this many more bytes of the batch.
    pub const fn written(&mut self, bytes: usize) {
        self.batch.written += bytes;
    }

    /// Frames below this number were given to the connection whole. `batch`: what was taken last.
    pub fn handed(&self, batch: &[u8]) -> u64 {
        self.before_batch + whole_frames(batch, self.batch.written)
    }

    /// How many frames were queued.
    pub const fn queued(&self) -> u64 {
        self.queued
    }

    /// Bytes that wait.
    pub const fn waiting_bytes(&self) -> usize {
        self.waiting.len()
    }

    /// From now on nothing is queued; what waits can still be taken.
    pub const fn close(&mut self) {
        self.closed = true;
    }

    /// Whether nothing is queued any more.
    pub const fn is_closed(&self) -> bool {
        self.closed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUNDS: FrameBounds =
        FrameBounds { frame_bytes_max: 500, queue_bytes_max: 100, queue_frames_max: 3 };

    fn push(queue: &mut StreamQueue, bytes: usize) -> Result<u64, NotQueued> {
        queue.push(&BOUNDS, |out| out.resize(out.len() + bytes, 7))
    }

    #[test]
    fn bounded_in_frames_and_bytes_but_one_always_fits() {
        let (mut queue, mut buffer) = (StreamQueue::default(), Vec::new());
        assert_eq!(push(&mut queue, 500), Ok(0));
        assert_eq!(push(&mut queue, 1), Err(NotQueued::Full));
        assert_eq!(queue.take(&mut buffer), 1);
        assert_eq!((buffer.len(), queue.waiting_bytes()), (504, 0));
        let too_big = FrameTooBig { bytes: 501, bytes_max: 500 };
        assert_eq!(push(&mut queue, 501), Err(too_big.into()));
        for number in 1..=3 {
            assert_eq!(push(&mut queue, 1), Ok(number));
        }
        assert_eq!(push(&mut queue, 1), Err(NotQueued::Full));
        queue.close();
        assert_eq!(push(&mut queue, 1), Err(NotQueued::Lost));
        assert_eq!(queue.take(&mut buffer), 3, "what waits is still sent");
        assert!(queue.take(&mut buffer) == 0 && queue.is_closed());
    }

    #[test]
    fn the_writer_is_called_once_for_all_that_waits() {
        let (mut queue, mut buffer) = (StreamQueue::default(), Vec::new());
        assert!(!queue.is_patient(), "nothing waits");
        push(&mut queue, 1).unwrap();
        assert!(queue.is_patient());
        assert!(queue.call() && !queue.call() && !queue.is_patient());
        queue.take(&mut buffer);
        push(&mut queue, 1).unwrap();
        assert!(queue.is_patient() && queue.call());
    }

    #[test]
    fn a_frame_counts_as_handed_when_its_last_byte_was() {
        let (mut queue, mut batch) = (StreamQueue::default(), Vec::new());
        for _ in 0..2 {
            push(&mut queue, 6).unwrap();
        }
        assert_eq!(queue.handed(&batch), 0);
        queue.take(&mut batch);
        push(&mut queue, 6).unwrap();
        for (bytes, handed) in [(9, 0), (1, 1), (9, 1), (1, 2)] {
            queue.written(bytes);
            assert_eq!(queue.handed(&batch), handed);
        }
        queue.take(&mut batch);
        assert_eq!((queue.handed(&batch), queue.queued()), (2, 3));
        queue.written(10);
        assert_eq!(queue.handed(&batch), 3);
        assert_eq!(queue.take(&mut batch), 0);
        assert_eq!(queue.handed(&batch), 3, "also when nothing is left");
    }
}
