//! A reply over HTTP, compressed if the agent accepts it and it is worth it.

use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;
use http_body_util::Full;
use hyper::Response;
use hyper::body::Bytes;
use hyper::header::{self, HeaderValue};

use super::refusal::{HttpResponse, PROTOBUF};
use crate::sessions::AnswerBytes;

/// A shorter reply is sent as it is, in bytes.
const GZIP_BYTES_MIN: usize = 512;

/// What is compressed before other agents of the thread have their turn, in bytes.
const PIECE_BYTES: usize = 64 << 10;

/// The response with this reply. `zipped`: the agent accepts gzip.
pub(super) async fn answer(reply: AnswerBytes, zipped: bool) -> HttpResponse {
    let zips = zipped && reply.as_ref().len() >= GZIP_BYTES_MIN;
    let zipped = if zips { gzip(reply.as_ref()).await } else { None };
    let (body, zipped) = match zipped {
        Some(smaller) => (reply.replaced_by(smaller), true),
        None => (reply, false),
    };
    // They are counted until hyper has written them.
    let mut answer = Response::new(Full::new(Bytes::from_owner(body)));
    answer.headers_mut().insert(header::CONTENT_TYPE, PROTOBUF);
    if zipped {
        answer.headers_mut().insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    answer
}

async fn gzip(bytes: &[u8]) -> Option<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    for (place, piece) in bytes.chunks(PIECE_BYTES).enumerate() {
        if place > 0 {
            tokio::task::yield_now().await;
        }
        encoder.write_all(piece).ok()?;
    }
    encoder.finish().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::read::GzDecoder;
    use std::io::Read as _;
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    #[test]
    fn a_large_reply_is_compressed_in_turns() {
        let reply: Vec<u8> = (0..4 * PIECE_BYTES).map(|n| n.to_le_bytes()[0]).collect();
        let mut zipping = pin!(gzip(&reply));
        let mut turns = 1;
        let zipped = loop {
            match zipping.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
                Poll::Pending => turns += 1,
                Poll::Ready(zipped) => break zipped.unwrap(),
            }
        };
        assert_eq!(turns, 4);
        let mut whole = Vec::new();
        GzDecoder::new(&*zipped).read_to_end(&mut whole).unwrap();
        assert_eq!(whole, reply);
    }
}
