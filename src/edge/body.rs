//! A request's body: bounded before and after decompression.

use std::fmt::Display;
use std::io::{self, BufRead, ErrorKind, Read};
use std::time::Duration;

use flate2::bufread::MultiGzDecoder;
use http_body_util::BodyExt;
use hyper::body::{Body, Bytes};

use crate::clock;
use crate::core::progress::TransferProgress;

/// Why a body is rejected. The agent's fault, unless it says otherwise.
#[derive(Debug, thiserror::Error)]
pub(super) enum BodyError {
    /// Over the limit, compressed or not.
    #[error("the message is larger than {bytes_max} bytes")]
    TooLarge { bytes_max: usize },
    /// The request promises gzip, and the body is something else.
    #[error("the body is not valid gzip: {0}")]
    Gzip(#[source] io::Error),
    /// The budget of bytes is used up. The gateway's limit.
    #[error("no room for the body now")]
    NoRoom,
    /// It comes too slowly. The agent's link, perhaps.
    #[error("the body stands still, or comes in drips")]
    TooSlow,
    /// The connection broke.
    #[error("the body ended early: {0}")]
    Broken(String),
}

/// Collects a body as it was sent. Bytes are counted, because many agents leave the length open (chunked). A
/// length above the limit is refused unread. It may come slowly, as `core::progress` has it. `hold` is told how many
/// bytes are held, and may refuse.
pub(super) async fn collect<B>(
    mut body: B,
    (bytes_max, patience): (usize, Duration),
    mut hold: impl FnMut(usize) -> bool,
) -> Result<Vec<u8>, BodyError>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Display,
{
    let too_large = BodyError::TooLarge { bytes_max };
    if body.size_hint().lower() > bytes_max as u64 {
        return Err(too_large);
    }
    let mut whole = Vec::new();
    let mut progress = TransferProgress::new(patience, clock::now());
    loop {
        let in_time = tokio::time::timeout_at(progress.due().into(), body.frame());
        let Some(frame) = in_time.await.map_err(|_| BodyError::TooSlow)? else {
            return Ok(whole);
        };
        let frame = frame.map_err(|error| BodyError::Broken(error.to_string()))?;
        // Trailers are skipped.
        let Ok(piece) = frame.into_data() else { continue };
        if piece.len() > bytes_max - whole.len() {
            return Err(too_large);
        }
        if !hold(whole.len() + piece.len()) {
            return Err(BodyError::NoRoom);
        }
        whole.extend_from_slice(&piece);
        progress.moved(piece.len(), patience, clock::now());
    }
}

/// What is decompressed before other agents of the thread have their turn: bytes that come of it, and bytes that it comes
/// of.
const TURN: (usize, usize) = (256 << 10, 16 << 10);

/// A member's head and its tail count as this many bytes each: tables are built anew, also for one that is empty (RFC
/// 1952, section 2.2, allows any number of members).
const ENDS_COUNT_AS_BYTES: usize = 512;

/// Undoes gzip (RFC 1952), reading only as far as the limit goes, and in turns. The limit alone says how much a body may
/// grow: what agents generate may compress as well as any bomb. `hold` is told how many bytes are held, and may refuse.
pub(super) async fn gunzip(
    compressed: &[u8],
    bytes_max: usize,
    mut hold: impl FnMut(usize) -> bool,
) -> Result<Vec<u8>, BodyError> {
    let mut message = Vec::new();
    let mut reader = MultiGzDecoder::new(InTurns { rest: compressed, turn: TURN.1 });
    loop {
        let most = TURN.0.min(bytes_max + 1 - message.len());
        match reader.by_ref().take(most as u64).read_to_end(&mut message) {
            Ok(read) if read < most => return Ok(message),
            Err(error) if error.kind() != ErrorKind::WouldBlock => {
                return Err(BodyError::Gzip(error));
            }
            Ok(_) | Err(_) => {}
        }
        if message.len() > bytes_max {
            return Err(BodyError::TooLarge { bytes_max });
        }
        if !hold(compressed.len() + message.len()) {
            return Err(BodyError::NoRoom);
        }
        tokio::task::yield_now().await;
        reader.get_mut().turn = TURN.1;
    }
}

/// Bytes of which only some may be read in each turn; then reading would block.
struct InTurns<'a> {
    rest: &'a [u8],
    turn: usize,
}

impl BufRead for InTurns<'_> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.turn == 0 && !self.rest.is_empty() {
            return Err(ErrorKind::WouldBlock.into());
        }
        Ok(&self.rest[..self.turn.min(self.rest.len())])
    }

    fn consume(&mut self, count: usize) {
        self.rest = &self.rest[count..];
        self.turn -= count;
    }
}

impl Read for InTurns<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.fill_buf()?.read(buffer)?;
        self.consume(count);
        // Heads and tails alone are read in this way.
        self.turn = self.turn.saturating_sub(ENDS_COUNT_AS_BYTES);
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::Compression;
    use flate2::write::GzEncoder;
    use http_body_util::StreamBody;
    use hyper::body::Frame;
    use std::io::Write;
    use std::task::{Context, Poll, Waker};

    const PATIENCE: Duration = Duration::from_secs(60);

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    /// A body as another protocol than HTTP/1.1 might bring it.
    fn pieces(sizes: &[usize]) -> impl Body<Data = Bytes, Error = &'static str> + Unpin + use<> {
        let frame = |size: &usize| Ok::<_, &str>(Frame::data(Bytes::from(vec![7; *size])));
        let frames: Vec<_> = sizes.iter().map(frame).collect();
        StreamBody::new(futures_util::stream::iter(frames))
    }

    #[tokio::test]
    async fn any_body_is_collected_within_its_bounds() {
        let mut held = 0;
        let mut hold = |bytes| {
            held = bytes;
            bytes < 90
        };
        let whole = collect(pieces(&[30, 0, 50]), (100, PATIENCE), &mut hold).await.unwrap();
        assert_eq!(whole, [7; 80]);
        let refused = collect(pieces(&[60, 30, 9]), (100, PATIENCE), &mut hold).await;
        assert!(matches!(refused, Err(BodyError::NoRoom)));
        let too_large = collect(pieces(&[60, 41]), (100, PATIENCE), &mut hold).await;
        assert!(matches!(too_large, Err(BodyError::TooLarge { bytes_max: 100 })));
        assert_eq!(held, 60, "bytes are held before they are stored");
    }

    /// A piece of this size every so often, `count` times.
    async fn comes(size: usize, every: Duration, count: usize) -> Result<Vec<u8>, BodyError> {
        let pieces = futures_util::stream::unfold(0, |sent| async move {
            tokio::time::sleep(every).await;
            let frame = Frame::data(Bytes::from(vec![7; size]));
            (sent < count).then_some((Ok::<_, &str>(frame), sent + 1))
        });
        collect(StreamBody::new(Box::pin(pieces)), (1 << 30, PATIENCE), |_| true).await
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_comes_steadily_is_waited_for_and_one_in_drips_is_not() {
        let second = Duration::from_secs(1);
        assert_eq!(comes(250 << 10, second, 98).await.unwrap().len(), 98 * (250 << 10));
        assert!(matches!(comes(1, second, 98).await, Err(BodyError::TooSlow)));
        assert!(matches!(comes(1 << 20, 2 * PATIENCE, 2).await, Err(BodyError::TooSlow)));
    }

    /// What comes of it, in how many turns, and the most bytes that it held between two of them.
    fn undo(compressed: &[u8], bytes_max: usize) -> (Result<Vec<u8>, BodyError>, usize, usize) {
        let (mut turns, mut most) = (1, 0);
        let hold = |bytes: usize| {
            most = most.max(bytes);
            true
        };
        let mut undoing = Box::pin(gunzip(compressed, bytes_max, hold));
        let outcome = loop {
            match undoing.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
                Poll::Pending => turns += 1,
                Poll::Ready(outcome) => break outcome,
            }
        };
        drop(undoing);
        (outcome, turns, most)
    }

    #[test]
    fn gzip_is_undone_in_one_turn_if_it_is_small() {
        let (message, turns, _) = undo(&gzip(b"agent"), 5);
        assert_eq!((message.unwrap(), turns), (b"agent".to_vec(), 1));
        let two = [gzip(b"ag"), gzip(b"ent")].concat();
        assert_eq!(undo(&two, 5).0.unwrap(), b"agent");
        assert!(matches!(undo(&two, 4).0, Err(BodyError::TooLarge { bytes_max: 4 })));
    }

    #[test]
    fn what_compresses_well_may_grow_as_far_as_the_limit() {
        let configuration = vec![b' '; 3 * TURN.0];
        let zipped = gzip(&configuration);
        assert!(zipped.len() * 500 < configuration.len());
        let (message, turns, most) = undo(&zipped, configuration.len());
        assert_eq!(message.unwrap(), configuration);
        assert!(turns >= 3 && most > 2 * TURN.0, "{turns} turns, {most} bytes");
        let bytes_max = configuration.len() - 1;
        let (refused, _, held) = undo(&zipped, bytes_max);
        assert!(matches!(refused, Err(BodyError::TooLarge { .. })));
        assert!(held <= bytes_max + zipped.len(), "a bomb is found before it grows");
    }

    /// Empty ones as well, which bring no byte by which their work could be counted.
    #[test]
    fn many_members_are_undone_in_turns() {
        for content in [&b""[..], b"x"] {
            let member = gzip(content);
            let count = 4 * TURN.1 / (2 * ENDS_COUNT_AS_BYTES);
            let (message, turns, _) = undo(&member.repeat(count), 1 << 20);
            assert_eq!(message.unwrap(), content.repeat(count));
            assert!((4..=6).contains(&turns), "{turns} turns");
        }
    }

    #[test]
    fn a_turn_may_end_anywhere() {
        let zipped = [gzip(b"a message "), gzip(b""), gzip(b"of some words")].concat();
        for turn in 1..zipped.len() {
            let mut message = Vec::new();
            let mut reader = MultiGzDecoder::new(InTurns { rest: &zipped, turn });
            while let Err(error) = reader.read_to_end(&mut message) {
                assert_eq!(error.kind(), ErrorKind::WouldBlock);
                reader.get_mut().turn = turn;
            }
            assert_eq!(message, b"a message of some words", "{turn}");
        }
    }

    #[test]
    fn a_faulty_body_is_named() {
        assert!(matches!(undo(b"not gzip", 100).0, Err(BodyError::Gzip(_))));
        assert!(matches!(undo(b"", 100).0, Err(BodyError::Gzip(_))));
        let whole = gzip(b"a message that is cut off");
        assert!(matches!(undo(&whole[..whole.len() - 9], 100).0, Err(BodyError::Gzip(_))));
    }
}
