//! Frames in a stream of bytes: four bytes of length, least significant first, then the frame.
//!
//! A whole frame in what was read is lent as it lies there. Only a frame that is cut by the end of what was
//! read is copied, and memory for it grows as it arrives, whatever length it announces.

/// Bytes before each frame.
pub const HEAD_BYTES: usize = 4;

/// Memory that is kept for the next frame that arrives in pieces.
const SPARE_BYTES: usize = 64 << 10;

/// A frame over the limit. The fault of the node that wrote it; sending it again does not help.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a frame has {bytes} bytes; at most {bytes_max} are accepted")]
pub struct FrameTooBig {
    /// Its length, as written or announced.
    pub bytes: usize,
    /// The limit.
    pub bytes_max: usize,
}

/// Appends one frame, which `write` writes, and says its length.
///
/// # Errors
/// If the frame is too big. `out` is then as it was.
pub fn append_frame(
    out: &mut Vec<u8>,
    bytes_max: usize,
    write: impl FnOnce(&mut Vec<u8>),
) -> Result<usize, FrameTooBig> {
    let start = out.len();
    out.extend_from_slice(&[0; HEAD_BYTES]);
    write(out);
    let bytes = out.len().saturating_sub(start + HEAD_BYTES);
    let head = u32::try_from(bytes).ok().filter(|_| bytes <= bytes_max);
    let Some(head) = head else {
        out.truncate(start);
        return Err(FrameTooBig { bytes, bytes_max });
    };
    out[start..start + HEAD_BYTES].copy_from_slice(&head.to_le_bytes());
    Ok(bytes)
}

/// How many frames end within the first `end` bytes of frames that lie one behind the other.
pub fn whole_frames(bytes: &[u8], end: usize) -> u64 {
    let (mut at, mut count) = (0, 0);
    while let Some(length) = announced(&bytes[at..]) {
        at += HEAD_BYTES + length;
        if at > end {
            break;
        }
        count += 1;
    }
    count
}

fn announced(bytes: &[u8]) -> Option<usize> {
    let head = bytes.first_chunk::<HEAD_BYTES>()?;
    usize::try_from(u32::from_le_bytes(*head)).ok()
}

/// Takes frames out of what is read from one stream.
#[derive(Debug)]
pub struct FrameReader {
    bytes_max: usize,
    /// The beginning of a frame whose end is yet to come, head included.
    partial: Vec<u8>,
}

impl FrameReader {
    /// At the beginning of a stream. Frames of more than `bytes_max` are refused.
    pub const fn new(bytes_max: usize) -> Self {
        Self { bytes_max, partial: Vec::new() }
    }

    /// Gives `take` each frame that ends in `bytes`, in order.
    ///
    /// # Errors
    /// If the peer announces a frame that is too big: the rest of the stream is of no use.
    pub fn feed(
        &mut self,
        mut bytes: &[u8],
        take: &mut dyn FnMut(&[u8]),
    ) -> Result<(), FrameTooBig> {
        loop {
            if !self.partial.is_empty() && !self.complete(&mut bytes, take)? {
                return Ok(());
            }
            let Some(length) = self.checked(bytes)? else { break };
            let Some(frame) = bytes.get(HEAD_BYTES..HEAD_BYTES + length) else { break };
            take(frame);
            bytes = &bytes[HEAD_BYTES + length..];
        }
        self.partial.extend_from_slice(bytes);
        Ok(())
    }

    /// Whether a frame has begun whose end is yet to come.
    pub const fn is_within_a_frame(&self) -> bool {
        !self.partial.is_empty()
    }

    /// Moves bytes to the frame that has begun; gives it out if it is whole now.
    fn complete(
        &mut self,
        bytes: &mut &[u8],
        take: &mut dyn FnMut(&[u8]),
    ) -> Result<bool, FrameTooBig> {
        self.fill(HEAD_BYTES, bytes);
        let Some(length) = self.checked(&self.partial)? else { return Ok(false) };
        self.fill(HEAD_BYTES + length, bytes);
        if self.partial.len() < HEAD_BYTES + length {
            return Ok(false);
        }
        take(&self.partial[HEAD_BYTES..]);
        self.partial.clear();
        self.partial.shrink_to(SPARE_BYTES);
        Ok(true)
    }

    fn fill(&mut self, wanted: usize, bytes: &mut &[u8]) {
        let missing = wanted.saturating_sub(self.partial.len()).min(bytes.len());
        let (now, later) = bytes.split_at(missing);
        self.partial.extend_from_slice(now);
        *bytes = later;
    }

    fn checked(&self, bytes: &[u8]) -> Result<Option<usize>, FrameTooBig> {
        match announced(bytes) {
            Some(bytes) if bytes > self.bytes_max => {
                Err(FrameTooBig { bytes, bytes_max: self.bytes_max })
            }
            length => Ok(length),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn written(frames: &[Vec<u8>]) -> Vec<u8> {
        let mut out = Vec::new();
        for frame in frames {
            append_frame(&mut out, 1_000, |out| out.extend_from_slice(frame)).unwrap();
        }
        out
    }

    proptest! {
        #[test]
        fn frames_come_out_as_they_went_in_however_they_are_cut(
            frames in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..60), 0..20),
            cuts in proptest::collection::vec(1..90_usize, 1..60),
        ) {
            let bytes = written(&frames);
            let (mut reader, mut read) = (FrameReader::new(1_000), Vec::new());
            let (mut rest, mut cuts) = (&bytes[..], cuts.into_iter().cycle());
            while !rest.is_empty() {
                let (now, later) = rest.split_at(cuts.next().unwrap().min(rest.len()));
                reader.feed(now, &mut |frame| read.push(frame.to_vec())).unwrap();
                let end = bytes.len() - later.len();
                prop_assert_eq!(whole_frames(&bytes, end), read.len() as u64);
                rest = later;
            }
            prop_assert!(!reader.is_within_a_frame());
            prop_assert_eq!(read, frames);
        }
    }

    #[test]
    fn a_frame_over_the_limit_is_refused_on_both_sides() {
        let mut out = vec![9];
        let refused = append_frame(&mut out, 3, |out| out.extend_from_slice(&[1, 2, 3, 4]));
        assert_eq!(refused, Err(FrameTooBig { bytes: 4, bytes_max: 3 }));
        assert_eq!(out, [9], "as it was");
        for cut in 1..HEAD_BYTES {
            let mut reader = FrameReader::new(3);
            let head = 4_u32.to_le_bytes();
            let fed = reader.feed(&head[..cut], &mut |_| panic!("a frame"));
            assert_eq!(fed, Ok(()));
            let fed = reader.feed(&head[cut..], &mut |_| panic!("a frame"));
            assert_eq!(fed, Err(FrameTooBig { bytes: 4, bytes_max: 3 }));
        }
    }

    #[test]
    fn memory_for_a_frame_grows_as_it_arrives_and_is_given_back() {
        let mut reader = FrameReader::new(16 << 20);
        let mut bytes = (16_u32 << 20).to_le_bytes().to_vec();
        reader.feed(&bytes, &mut |_| {}).unwrap();
        assert!(reader.partial.capacity() < 1_000, "the announcement alone costs nothing");
        bytes = vec![7; 16 << 20];
        let mut frames = 0;
        reader.feed(&bytes, &mut |frame| frames += frame.len()).unwrap();
        assert_eq!((frames, reader.partial.capacity()), (16 << 20, SPARE_BYTES));
    }
}
