//! A request's body: bounded before and after decompression.

use std::io::{self, Read};

use flate2::read::MultiGzDecoder;
use http_body_util::BodyExt;
use hyper::body::{Body, Incoming};

/// Why a body is not taken. The agent's fault.
#[derive(Debug, thiserror::Error)]
pub(super) enum BodyError {
    /// Over the limit, compressed or not.
    #[error("the message is larger than {bytes_max} bytes")]
    TooLarge { bytes_max: usize },
    /// A few bytes that become very many.
    #[error("the body grows to more than {ratio_max} times its size")]
    Ratio { ratio_max: u32 },
    /// Not gzip, although the request says so.
    #[error("the body is not valid gzip: {0}")]
    Gzip(#[source] io::Error),
    /// As many bytes are held as may be. The gateway's limit.
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

/// Collects a body as it was sent. Many agents send no length (chunked), so bytes are counted; where
/// the length says it all, not a byte is read. `hold` is told how many bytes are held, and may refuse.
pub(super) async fn collect(
    mut body: Incoming,
    limits: BodyLimits,
    mut hold: impl FnMut(usize) -> bool,
) -> Result<Vec<u8>, BodyError> {
    let too_large = BodyError::TooLarge { bytes_max: limits.bytes_max };
    if body.size_hint().lower() > limits.bytes_max as u64 {
        return Err(too_large);
    }
    let mut whole = Vec::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| BodyError::Broken(error.to_string()))?;
        // Trailers say nothing to us.
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

/// Undoes gzip (RFC 1952), reading no further than the limits go.
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
    use std::io::Write;

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    const LIMITS: BodyLimits = BodyLimits { bytes_max: 1 << 20, gzip_ratio_max: 100 };

    #[test]
    fn what_went_in_comes_out() {
        assert_eq!(gunzip(&gzip(b"agent"), LIMITS).unwrap(), b"agent");
    }

    #[test]
    fn a_bomb_is_not_set_off() {
        let bomb = gzip(&vec![0; 900 << 10]);
        assert!(bomb.len() < 1 << 10);
        assert!(matches!(gunzip(&bomb, LIMITS), Err(BodyError::Ratio { ratio_max: 100 })));
        let loose = BodyLimits { bytes_max: 100 << 10, gzip_ratio_max: 100_000 };
        assert!(matches!(gunzip(&bomb, loose), Err(BodyError::TooLarge { .. })));
    }

    #[test]
    fn nonsense_is_named() {
        assert!(matches!(gunzip(b"not gzip", LIMITS), Err(BodyError::Gzip(_))));
        let whole = gzip(b"a message that is cut off");
        assert!(matches!(gunzip(&whole[..whole.len() - 9], LIMITS), Err(BodyError::Gzip(_))));
    }
}
