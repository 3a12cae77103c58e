//! A request's body: bounded before and after decompression.

use std::fmt::Display;
use std::io::{self, Read};

use flate2::read::MultiGzDecoder;
use http_body_util::BodyExt;
use hyper::body::{Body, Bytes};

/// Why a body is rejected. The agent's fault, unless it says otherwise.
#[derive(Debug, thiserror::Error)]
pub(super) enum BodyError {
    /// Over the limit, compressed or not.
    #[error("the message is larger than {bytes_max} bytes")]
    TooLarge { bytes_max: usize },
    /// A few bytes that grow to very many.
    #[error("the body grows to more than {ratio_max} times its size")]
    Ratio { ratio_max: u32 },
    /// The request promises gzip, and the body is something else.
    #[error("the body is not valid gzip: {0}")]
    Gzip(#[source] io::Error),
    /// The budget of bytes is used up. The gateway's limit.
    #[error("no room for the body now")]
    NoRoom,
    /// The connection broke.
    #[error("the body ended early: {0}")]
    Broken(String),
}

/// How far a body may go.
#[derive(Debug, Clone, Copy)]
pub(super) struct BodyLimits {
    pub(super) bytes_max: usize,
    pub(super) gzip_ratio_max: u32,
}

/// A small body may grow to this size whatever the ratio: empty fields compress well.
const RATIO_EXEMPT_BYTES: usize = 64 << 10;

/// Collects a body as it was sent. Bytes are counted, because many agents leave the length open (chunked). A
/// length above the limit is refused unread. `hold` is told how many bytes are held, and may refuse.
pub(super) async fn collect<B>(
    mut body: B,
    limits: BodyLimits,
    mut hold: impl FnMut(usize) -> bool,
) -> Result<Vec<u8>, BodyError>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Display,
{
    let too_large = BodyError::TooLarge { bytes_max: limits.bytes_max };
    if body.size_hint().lower() > limits.bytes_max as u64 {
        return Err(too_large);
    }
    let mut whole = Vec::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| BodyError::Broken(error.to_string()))?;
        // Trailers are skipped.
        let Ok(piece) = frame.into_data() else { continue };
        if piece.len() > limits.bytes_max - whole.len() {
            return Err(too_large);
        }
        if !hold(whole.len() + piece.len()) {
            return Err(BodyError::NoRoom);
        }
        whole.extend_from_slice(&piece);
    }
    Ok(whole)
}

/// Undoes gzip (RFC 1952), reading only as far as the limits go.
pub(super) fn gunzip(compressed: &[u8], limits: BodyLimits) -> Result<Vec<u8>, BodyError> {
    let ratio_max = usize::try_from(limits.gzip_ratio_max).unwrap_or(usize::MAX);
    let by_ratio = compressed.len().saturating_mul(ratio_max).max(RATIO_EXEMPT_BYTES);
    let bytes_max = limits.bytes_max.min(by_ratio);
    let mut message = Vec::new();
    let mut reader = MultiGzDecoder::new(compressed).take(bytes_max as u64 + 1);
    reader.read_to_end(&mut message).map_err(BodyError::Gzip)?;
    if message.len() <= bytes_max {
        return Ok(message);
    }
    if by_ratio < limits.bytes_max {
        return Err(BodyError::Ratio { ratio_max: limits.gzip_ratio_max });
    }
    Err(BodyError::TooLarge { bytes_max: limits.bytes_max })
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::Compression;
    use flate2::write::GzEncoder;
    use http_body_util::StreamBody;
    use hyper::body::Frame;
    use std::io::Write;

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
        let limits = BodyLimits { bytes_max: 100, gzip_ratio_max: 1 };
        let mut held = 0;
        let mut hold = |bytes| {
            held = bytes;
            bytes < 90
        };
        let whole = collect(pieces(&[30, 0, 50]), limits, &mut hold).await.unwrap();
        assert_eq!(whole, [7; 80]);
        let refused = collect(pieces(&[60, 30, 9]), limits, &mut hold).await;
        assert!(matches!(refused, Err(BodyError::NoRoom)));
        let too_large = collect(pieces(&[60, 41]), limits, &mut hold).await;
        assert!(matches!(too_large, Err(BodyError::TooLarge { bytes_max: 100 })));
        assert_eq!(held, 60, "bytes are held before they are stored");
    }

    const LIMITS: BodyLimits = BodyLimits { bytes_max: 1 << 20, gzip_ratio_max: 100 };

    #[test]
    fn gzip_is_undone() {
        assert_eq!(gunzip(&gzip(b"agent"), LIMITS).unwrap(), b"agent");
    }

    #[test]
    fn a_bomb_is_found_before_it_grows() {
        let bomb = gzip(&vec![0; 900 << 10]);
        assert!(bomb.len() < 1 << 10);
        assert!(matches!(gunzip(&bomb, LIMITS), Err(BodyError::Ratio { ratio_max: 100 })));
        let loose = BodyLimits { bytes_max: 100 << 10, gzip_ratio_max: 100_000 };
        assert!(matches!(gunzip(&bomb, loose), Err(BodyError::TooLarge { .. })));
    }

    #[test]
    fn a_faulty_body_is_named() {
        assert!(matches!(gunzip(b"not gzip", LIMITS), Err(BodyError::Gzip(_))));
        let whole = gzip(b"a message that is cut off");
        assert!(matches!(gunzip(&whole[..whole.len() - 9], LIMITS), Err(BodyError::Gzip(_))));
    }
}
