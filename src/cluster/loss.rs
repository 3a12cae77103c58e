//! How a link ended, and what became of the frames that were sent on it.

use super::link::SentFrame;
use crate::core::peer_link::{LinkEnd, STREAMS};

/// See [`crate::cluster::NodeLinkEvents::lost`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LinkLoss {
    /// The reason.
    pub end: LinkEnd,
    /// For each stream how many frames were handed to the connection.
    pub(super) handed: [u64; STREAMS],
    /// For each stream how many frames were accepted for sending.
    pub(super) queued: [u64; STREAMS],
}

impl LinkLoss {
    /// Whether this frame was handed to the connection whole: it may have reached the peer, who may have
    /// acted on it. Any other has certainly stayed here.
    pub fn was_handed(&self, frame: SentFrame) -> bool {
        frame.number < self.handed[frame.stream.place()]
    }

    /// How many frames were handed to the connection in the life of the link.
    pub fn handed_frames(&self) -> u64 {
        self.handed.iter().sum()
    }

    /// How many frames have certainly stayed here.
    pub fn dropped_frames(&self) -> u64 {
        self.queued.iter().sum::<u64>() - self.handed_frames()
    }
}
