//! Which stream a frame takes. Frames of one stream arrive in the order in which they were sent; frames of
//! two streams pass each other.

use crate::core::placement;
use crate::ident::InstanceUid;

/// Streams for agents' frames. A lost packet holds up the stream that it carried: with four, three
/// quarters of the agents go on. More would mean more and smaller writes for the same frames.
pub const AGENT_STREAMS: u16 = 4;

/// All streams of a link: agents' and the one for control.
pub const STREAMS: usize = AGENT_STREAMS as usize + 1;

/// One of a link's streams.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StreamIndex(u8);

impl StreamIndex {
    /// Goes before agents' frames wherever both wait.
    pub const CONTROL: Self = Self(0);

    /// The stream of an agent's frames: always the same, so that they stay in order.
    pub fn of_agent(uid: InstanceUid) -> Self {
        let stream = placement::link_of(uid, AGENT_STREAMS).to_le_bytes()[0];
        Self(stream + 1)
    }

    /// Reads the byte with which a stream begins. Empty: the peer opened a stream that there is not.
    pub fn from_byte(byte: u8) -> Option<Self> {
        (usize::from(byte) < STREAMS).then_some(Self(byte))
    }

    /// The byte with which the stream begins.
    pub const fn byte(self) -> u8 {
        self.0
    }

    /// Its place in an array of all streams.
    pub const fn place(self) -> usize {
        self.0 as usize
    }

    /// All streams, control first.
    pub fn all() -> impl Iterator<Item = Self> {
        (0..).map_while(Self::from_byte)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_agent_has_one_stream_and_they_share_evenly() {
        let mut agents = [0; STREAMS];
        for n in 0..4_000_u32 {
            let mut bytes = [7; 16];
            bytes[..4].copy_from_slice(&n.to_be_bytes());
            let uid = InstanceUid::from_bytes(bytes);
            assert_eq!(StreamIndex::of_agent(uid), StreamIndex::of_agent(uid));
            agents[StreamIndex::of_agent(uid).place()] += 1;
        }
        assert_eq!(agents[StreamIndex::CONTROL.place()], 0);
        assert!(agents[1..].iter().all(|n| (880..1_120).contains(n)), "{agents:?}");
    }

    #[test]
    fn a_stream_reads_back_from_its_byte() {
        let all: Vec<_> = StreamIndex::all().collect();
        assert_eq!(all.len(), STREAMS);
        for (place, stream) in all.into_iter().enumerate() {
            assert_eq!(
                (stream.place(), StreamIndex::from_byte(stream.byte())),
                (place, Some(stream))
            );
        }
        assert_eq!(StreamIndex::from_byte(5), None);
    }
}
